--- The sandbox: the API in memory, for tests.
---
--- It keeps contacts by phone, checks tokens, applies `overwrite` and answers as the API does. Where nobody outside
--- knows how the API behaves there is an option: a test should pass with each of its values.
---@class heymarket.sandbox
local sandbox = {}

local answers = require "heymarket.sandbox.answers"
local contact = require "heymarket.contact"
local failure = require "heymarket.failure"
local options = require "heymarket.options"
local routes = require "heymarket.sandbox.routes"
local sandbox_contacts = require "heymarket.sandbox.contacts"
local sandbox_json = require "heymarket.sandbox.json"
local sandbox_options = require "heymarket.sandbox.options"
local sandbox_script = require "heymarket.sandbox.script"
local sandbox_token = require "heymarket.sandbox.token"
local sandbox_transport = require "heymarket.sandbox.transport"

local BASE_URL = "https://sandbox.invalid" -- a name that can have no address
local MINUTE = 60 -- seconds in which requests are counted

---@class heymarket.Sandbox
---@field contacts table<string, table> by phone (digits): what was sent, and id, rev, created, updated and the like
---@field requests heymarket.SandboxEntry[] newest last, at most `keep_requests`
---@field options heymarket.SandboxOptions every option with its value
local Sandbox = {}
Sandbox.__index = Sandbox
Sandbox.__name = "heymarket.Sandbox"

---@class (exact) heymarket.SandboxEntry a request that was answered
---@field method string
---@field path string with the query
---@field body? any decoded
---@field contacts integer number of contacts in it
---@field status? integer of the answer
---@field request_id string
---@field fault? heymarket.SandboxFault
---@field time number Unix seconds by the server's clock

---@class (exact) heymarket.SandboxRequest
---@field method string
---@field path string without the query
---@field query table<string, string>
---@field headers table<string, string> by lower-case name
---@field body string
---@field decoded? any the body, where it is JSON
---@field contacts integer number of contacts in it

--- Makes a sandbox without contacts. A wrong option raises.
---@param given heymarket.SandboxOptions?
---@return heymarket.Sandbox
function sandbox.new(given)
  local settings = sandbox_options.expect("sandbox", given or {}, "sandbox.new", 2)
  local made = setmetatable({ options = settings, clock = sandbox_transport.clock() }, Sandbox)
  made.born = made.clock.monotonic()
  return made:reset()
end

--- Forgets contacts, requests and script. The clock runs on.
---@return heymarket.Sandbox self
function Sandbox:reset()
  self.state = sandbox_contacts.new(self.options, function()
    return self:time()
  end)
  self.contacts, self.requests, self.steps = self.state.contacts, {}, {}
  self.turns = {} -- when the requests of the last minute came
  for _, phone in ipairs(self.options.refused_phones) do
    self:refuse(phone)
  end
  return self
end

--- Unix time by the server's clock, in seconds.
---@return number
function Sandbox:time()
  return self.clock.time() + self.options.clock_offset
end

--- Seconds since this sandbox was made, those included that only the clock was moved by.
---@return number
function Sandbox:elapsed()
  return self.clock.monotonic() - self.born
end

--- Lets time pass at once.
---@param seconds number 0 or more
---@return heymarket.Sandbox self
function Sandbox:advance(seconds)
  options.expect(seconds, "number", "sandbox:advance: seconds", 2)
  self.clock.sleep(seconds)
  return self
end

local function copy(from, into)
  for name, value in pairs(from) do
    into[name] = value
  end
end

--- Puts a contact in, as if it had been there before. It replaces one of the same phone.
---@param fields table a contact as create_contacts takes it; id, rev, created and the like may be set too
---@return table stored
function Sandbox:put(fields)
  options.expect(fields, "table", "sandbox:put: contact", 2)
  local given, set = {}, {}
  for name, value in pairs(fields) do
    local into = sandbox_contacts.is_server_field(name) and set or given
    into[name] = value
  end
  local issues = {}
  local body, phone = contact.encode(given, nil, false, issues)
  if not body then
    error("sandbox:put: " .. failure.invalid(issues).message, 2)
  end
  self.contacts[phone] = nil
  local stored = sandbox_contacts.store(self.state, sandbox_json.read(body))
  copy(set, stored)
  return stored
end

--- The stored contact of a phone.
---@param phone string|integer in any form that a contact may have
---@return table? stored
function Sandbox:get(phone)
  local digits = contact.phone(phone, false)
  return digits and self.contacts[digits]
end

--- Number of contacts.
---@return integer
function Sandbox:count()
  return sandbox_contacts.count(self.state)
end

--- From now on these phones are refused as bad, until reset.
---@param ... string|integer phones
---@return heymarket.Sandbox self
function Sandbox:refuse(...)
  for i = 1, select("#", ...) do
    local digits, problem = contact.phone((select(i, ...)), false)
    if not digits then
      error(("sandbox:refuse: phone %d %s"):format(i, problem), 2)
    end
    self.state.refused[digits] = true
  end
  return self
end

--- Scripts how the next API requests are answered. Each request takes the first step that fits it; a request that no
--- step fits is answered as usual. A step without `status` and `fault` answers as usual too, after its `delay`.
---@param ... heymarket.SandboxStep steps, or one array of steps
---@return heymarket.Sandbox self
function Sandbox:script(...)
  sandbox_script.add(self.steps, sandbox_script.list(...), 2)
  return self
end

--- From now on only these credentials are good, as after a key was rotated: tokens of the old key are refused.
---@param secret_id string
---@param secret_key string
---@return heymarket.Sandbox self
function Sandbox:rotate(secret_id, secret_key)
  options.expect(secret_id, "string", "sandbox:rotate: secret_id", 2)
  options.expect(secret_key, "string", "sandbox:rotate: secret_key", 2)
  sandbox_options.expect("sandbox", { secret_id = secret_id, secret_key = secret_key }, "sandbox:rotate", 2)
  self.options.secret_id, self.options.secret_key = secret_id, secret_key
  return self
end

--- Number of requests that the script still has steps for.
---@return number
function Sandbox:pending()
  return sandbox_script.pending(self.steps)
end

-- Counts this request. Where the last minute has no room for it: the seconds until there is some.
local function seconds_to_wait(turns, limit, now)
  while turns[1] and turns[1] <= now - MINUTE do
    table.remove(turns, 1)
  end
  if #turns >= limit then
    return turns[1] + MINUTE - now
  end
  turns[#turns + 1] = now
end

-- The answer as the API would give it.
local function regular(self, request)
  local settings = self.options
  local problem = sandbox_token.problem(request.headers.authorization, settings, self:time())
  if problem then
    return answers.problem(settings, 401, problem)
  end
  local limit, after = settings.requests_per_minute, settings.retry_after
  local seconds = limit and seconds_to_wait(self.turns, limit, self.clock.monotonic())
  if seconds then
    local headers = { ["Retry-After"] = after and math.ceil(after == true and seconds or after) or nil }
    return answers.problem(settings, 429, "too many requests in this minute", nil, headers)
  end
  return routes.answer(self.state, request)
end

-- A request as steps and routes look at it.
local function opened(given)
  local path, query_text = given.path:match "^([^?]*)%??(.*)$"
  local request = { method = given.method, path = path, query = {}, headers = given.headers or {} }
  request.body = given.body or ""
  for name, value in query_text:gmatch "([^&=]+)=?([^&]*)" do
    request.query[name] = value
  end
  request.decoded, request.not_json = sandbox_json.read(request.body)
  request.contacts = sandbox_json.is_array(request.decoded) and #request.decoded or 0
  return request
end

--- Answers one request: the sandbox itself, whichever way requests come to it.
---@param given {method: string, path: string, headers: table<string, string>?, body: string?} the path has the query,
---headers are by lower-case name
---@return {status: integer?, headers: table?, body: string?, delay: number?, fault: heymarket.SandboxFault?} response
---without a status where no answer comes; delay in seconds
function Sandbox:handle(given)
  local request = opened(given)
  local step = sandbox_script.take(self.steps, request) or {}
  local response = sandbox_script.answer(step, self.options, function()
    return regular(self, request)
  end)
  local headers = { ["X-Request-Id"] = answers.uuid(), Date = answers.http_date(self:time()) }
  self.requests[#self.requests + 1] = {
    method = request.method,
    path = given.path,
    status = response.status,
    fault = step.fault,
    contacts = request.contacts,
    request_id = headers["X-Request-Id"],
    body = sandbox_json.read(request.body), -- once more, because what is stored goes on to change
    time = self:time(),
  }
  if #self.requests > self.options.keep_requests then
    table.remove(self.requests, 1)
  end
  -- Names of headers have no case: one that is given replaces the one that is there, whose spelling stays.
  local spelling = { date = "Date", ["x-request-id"] = "X-Request-Id" }
  for _, more in ipairs { response.headers or {}, { ["Retry-After"] = step.retry_after }, step.headers or {} } do
    for name, value in pairs(more) do
      local lower = name:lower()
      spelling[lower] = spelling[lower] or name
      headers[spelling[lower]] = tostring(value)
    end
  end
  response.headers = response.status and headers
  return response
end

--- Makes a client that talks to this sandbox, in-process and without a network. Its waiting takes no time: backoff,
--- pacing and delays only move the sandbox's clock.
---@param config table? as for heymarket.new, without base_url; of `runtime` all but the transport may be replaced
---@return heymarket.Client?
---@return heymarket.Failure? failure of kind "invalid", as of heymarket.new
function Sandbox:client(config)
  options.expect(config, "table?", "sandbox:client: config", 2)
  local settings, runtime = {}, {}
  if not (config and config.credentials) then
    settings.secret_id, settings.secret_key = self.options.secret_id, self.options.secret_key
  end
  copy(config or {}, settings)
  options.expect(settings.runtime, "table?", "sandbox:client: runtime", 2)
  copy(self.clock, runtime) -- so that waiting moves the clock
  copy(settings.runtime or {}, runtime)
  if settings.base_url ~= nil then
    error("sandbox:client: base_url cannot be set, the client talks to the sandbox", 2)
  elseif runtime.transport ~= nil then
    error("sandbox:client: runtime.transport cannot be set, it leads to the sandbox", 2)
  end
  runtime.transport = sandbox_transport.new(self, self.clock)
  settings.runtime, settings.base_url = runtime, BASE_URL
  return require("heymarket.client").new(settings)
end

return sandbox
