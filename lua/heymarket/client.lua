--- The client: what users call, each call checked, run and turned into a report or a failure.
local client = {}

local runtime = require "heymarket.runtime"

runtime.native "heymarket.core" -- before any other part needs it: its message is plainer than that of `require`

local calls = require "heymarket.bulk.calls"
local credentials = require "heymarket.http.credentials"
local endpoints = require "heymarket.api.endpoints"
local failure = require "heymarket.failure"
local options = require "heymarket.options"
local pace_memory = require "heymarket.http.pace_memory"
local pace_shared_dict = require "heymarket.http.pace_shared_dict"
local pacer = require "heymarket.http.pacer"
local rows = require "heymarket.rows"
local sender = require "heymarket.http.sender"
local token = require "heymarket.http.token"
local transport = require "heymarket.http.transport"

local protected_call = failure.protected_call

---@class heymarket.Client
local Client = {}
Client.__index = Client
Client.__name = "heymarket.Client"

-- By what a journal knows the account: its name, or the id that is in use. Where a function gives that, it is asked.
local function account_of(self)
  if not self.account and not self.credentials:account() then
    local bearer, problem = self.tokens:get()
    if not bearer then
      return nil, problem
    end
  end
  return self.account or self.credentials:account()
end

-- Makes the sender of one call.
local function new_sender(self, settings, before_send)
  local config, clocks = self.config, self.runtime
  return sender.new {
    tokens = self.tokens,
    pacer = self.pacer,
    transport = self.transport,
    monotonic = clocks.monotonic,
    time = clocks.time,
    random = clocks.random,
    base_url = config.base_url,
    connect_timeout = config.connect_timeout,
    max_retry_after = config.max_retry_after,
    timeout = settings.timeout,
    max_attempts = settings.max_attempts,
    max_outage = settings.max_outage,
    probe = endpoints.inboxes,
    concurrency = settings.concurrency,
    requests_per_minute = settings.requests_per_minute,
    deadline = settings.deadline,
    should_stop = settings.should_stop,
    emit = settings.on_event,
    is_closed = self.services.is_closed,
    before_send = before_send,
  }
end

-- What calls need of their client. It is made once: making functions for each call would cost as much as its request.
local function services_of(self)
  return {
    monotonic = self.runtime.monotonic,
    base_url = self.config.base_url,
    account = function()
      return account_of(self)
    end,
    new_sender = function(settings, before_send)
      return new_sender(self, settings, before_send)
    end,
    yield = function()
      self.transport:yield()
    end,
    is_closed = function()
      return self.closed
    end,
  }
end

local function new_client(config)
  local settings, issues = options.read("config", options.with_environment(config or {}))
  if not settings then
    return nil, failure.invalid(issues)
  end
  local dict = settings.shared_dict and rawget(_G, "ngx").shared[settings.shared_dict]
  local replaced = settings.runtime or {}
  local clocks = {}
  for _, name in ipairs { "monotonic", "time", "sleep", "random" } do
    clocks[name] = replaced[name] or runtime[name]
  end
  local credentials_function = settings.credentials
  local keys = credentials_function and credentials.from_function(credentials_function, settings.loop)
    or credentials.fixed(settings.secret_id, settings.secret_key)
  local application = settings.user_agent
  settings.user_agent = application and runtime.USER_AGENT .. " " .. application or runtime.USER_AGENT
  settings.base_url = settings.base_url:gsub("/+$", "")
  -- The credentials must not be in the client, which may be printed or logged. The function is not asked before the
  -- first token. Without a name for the account, clients with the same base_url share one pace.
  local account = settings.account and rows.hash(settings.account)
  local pace_name = account or keys:account() or rows.hash(settings.base_url)
  local chosen_transport = replaced.transport or transport.new(settings, clocks)
  local store = dict and pace_shared_dict.new(dict, pace_name, clocks.time) or pace_memory.new(clocks.monotonic)
  settings.secret_id, settings.secret_key, settings.proxy, settings.runtime = nil, nil, nil, nil
  settings.credentials, settings.account = nil, nil
  local self = setmetatable({
    spare = failure.spare(), -- for a call that finds no memory at its start
    spares = {}, -- for calls that find none later, see failure.spare: those that no call has
    config = settings,
    account = account,
    runtime = clocks,
    credentials = keys,
    tokens = token.new(keys, settings.token_ttl, clocks.time),
    pacer = pacer.new(store, clocks.monotonic),
    transport = chosen_transport,
  }, Client)
  self.services = services_of(self)
  return self
end

--- Makes a client. Nothing is opened or sent before the first call.
---
--- Credentials and base_url come from the environment where the config does not have them: HEYMARKET_SECRET_ID,
--- HEYMARKET_SECRET_KEY, HEYMARKET_BASE_URL. The secret key is kept in guarded memory only, never in a Lua table. With
--- `credentials` a function is asked for both, each time a token is to be signed.
---@param config heymarket.Config? the options
---@return heymarket.Client?
---@return heymarket.Failure? failure of kind "invalid", with all mistakes in `issues`
---@see doc/vendor-api.md#credentials-and-tokens what the vendor says of credentials
function client.new(config)
  options.expect(config, "table?", "heymarket.new: config", 2)
  return protected_call(new_client, config)
end

local function closed_failure()
  return failure.make("invalid", "client_is_closed", nil, { issues = {} })
end

local function expect_client(value, where)
  if type(value) ~= "table" or getmetatable(value) ~= Client then
    error(where .. ": this is no client: call it as client:" .. where, 3)
  end
end

-- What every call checks first. Gives the values of its options; or nil, a failure, and the issues of the options where
-- it is about them.
local function prepare(self, scope, given)
  if self.closed then
    return nil, closed_failure()
  end
  local problem = self.transport:problem()
  if problem then
    return nil, problem
  end
  local settings, issues = options.read(scope, given, self.config)
  return settings, issues and failure.invalid(issues), issues
end

local function new_call(self)
  local call = { running = false, journal = false, services = self.services }
  call.spare = table.remove(self.spares) or failure.spare()
  return call
end

-- Runs a call. No error leaves it: whatever is raised in it comes back as a failure.
---@param body function the call itself: is given the client, what must outlive an error (see heymarket.Call), and the
--- arguments
local function run(self, body, subject, given)
  local ok, call = pcall(new_call, self)
  if not ok then
    return nil, self.spare
  end
  local value, problem
  ok, value, problem = pcall(body, self, call, subject, given)
  if not ok then
    value, problem = nil, calls.failure_of_error(value, call)
  end
  call.running = false -- what it holds can be collected: closing a file may ask for memory
  if ok and not problem then
    pcall(table.insert, self.spares, call.spare) -- nobody has seen it: the next call needs not make one
  end
  if call.journal then
    pcall(call.journal.close, call.journal)
  elseif not ok then
    pcall(collectgarbage) -- closes the files that an error left open
  end
  return value, problem
end

local function create_contacts(self, call, contacts, given)
  local settings, problem, issues = prepare(self, "call", given)
  if problem and not issues then
    return nil, problem
  end
  call.settings = settings
  call.issues = issues or {}
  call.default_country = options.country(given, self.config.default_country)
  return calls.create_contacts(call, contacts)
end

--- Creates contacts. All are checked before anything is sent: one invalid contact refuses the whole call.
---
--- Uses `POST /v1/batch/contacts`, in as many requests as it takes.
---@param contacts heymarket.Contact[] they are not changed
---@param given heymarket.CreateOptions?
---@return heymarket.Report? report when every contact was accepted, or is known to be in the account already
---@return heymarket.Failure? failure otherwise, of any kind but "source" and "journal"; "invalid": nothing was sent.
--- `failure.report` tells what was done
---@see doc/vendor-api.md#the-batch-call what the vendor says of the batch call
function Client:create_contacts(contacts, given)
  expect_client(self, "create_contacts")
  options.expect(contacts, "table", "create_contacts: contacts", 2)
  options.expect(given, "table?", "create_contacts: options", 2)
  return run(self, create_contacts, contacts, given)
end

local function import(self, call, source, given)
  local settings, problem = prepare(self, "import", given)
  if not settings then
    return nil, problem
  end
  call.settings = settings
  return calls.import(call, source)
end

--- Imports contacts from a source, as a stream: what is invalid is counted and passed over.
---@param source table|function an array, or a function (or callable object, such as heymarket.csv.open gives) that
--- returns `contact [, position]` until nil
---@param given heymarket.ImportOptions?
---@return heymarket.Report? report when the source came to its end, whatever the outcomes
---@return heymarket.Failure? failure when the import had to stop, of any kind but "refused"; "invalid" is about an
--- option. `failure.report` tells what was done
---@see doc/vendor-api.md#the-batch-call what the vendor says of the batch call
function Client:import(source, given)
  expect_client(self, "import")
  if not options.is_function(source) then
    options.expect(source, "table", "import: source", 2)
  end
  options.expect(given, "table?", "import: options", 2)
  return run(self, import, source, given)
end

-- Sends one request, with the options of a scope. Gives the value of its response, or nil and a failure.
local function ask(self, scope, given, endpoint, body)
  local settings, problem = prepare(self, scope, given)
  if not settings then
    return nil, problem
  end
  settings.concurrency = 1
  local requests = new_sender(self, settings)
  requests:add { endpoint = endpoint, body = body, items = 0 }
  local outcome = requests:next()
  if outcome.value then
    return outcome.value
  end
  return nil, outcome.failure or requests:stop_reason()
end

local function check(self, _, given)
  local value, problem = ask(self, "check", given, endpoints.inboxes)
  return value and true, problem
end

--- Are these credentials good? Writes nothing.
---
--- Asks `GET /v1/inboxes`, which the vendor recommends for this. Only a whole JSON list of inboxes counts.
---@param given heymarket.CheckOptions?
---@return boolean? true
---@return heymarket.Failure? failure "unauthorized" or "denied" where they are not good; others where it cannot be told
---@see doc/vendor-api.md#the-check-of-credentials what the vendor says of this
function Client:check(given)
  expect_client(self, "check")
  options.expect(given, "table?", "check: options", 2)
  return run(self, check, given)
end

local function sign(self)
  local ok, bearer, problem
  if not self.closed then
    ok, bearer, problem = pcall(self.tokens.get, self.tokens)
  end
  if self.closed then
    -- Signing allocates, so a finalizer may run in it that closes the client.
    return nil, closed_failure()
  elseif not ok then
    error(bearer, 0)
  end
  return bearer, problem
end

--- A bearer token for the API: signed now, or one from the cache that is younger than token_ttl. It is a secret.
---@return string? token
---@return heymarket.Failure? failure of kind "invalid" where the client is closed
---@see doc/vendor-api.md#credentials-and-tokens what the vendor says of tokens
function Client:token()
  expect_client(self, "token")
  return run(self, sign)
end

--- Closes the connections and wipes the key. May be called twice.
function Client:close()
  expect_client(self, "close")
  if not self.closed then
    self.closed = true
    -- The key is wiped in any case.
    pcall(self.tokens.forget, self.tokens)
    pcall(self.transport.close, self.transport)
    pcall(self.credentials.close, self.credentials)
  end
end

Client.__close = Client.close

return client
