--- The client: what users call, each call checked, run and turned into a report or a failure.
local client = {}

local core = require "heymarket.core"
local dispatch = require "heymarket.dispatch"
local engine = require "heymarket.engine"
local failure = require "heymarket.failure"
local intake = require "heymarket.intake"
local journal = require "heymarket.journal"
local options = require "heymarket.options"
local pacer = require "heymarket.pacer"
local report = require "heymarket.report"
local token = require "heymarket.token"
local transport = require "heymarket.transport"

local VERSION = "0.2.0"
local MAX_ITEMS = 1000 -- of an import's report

---@class heymarket.Client
local Client = {}
Client.__index = Client
Client.__name = "heymarket.Client"

client.VERSION = VERSION

local function environment(config)
  local given = {}
  for name, value in pairs(config) do
    given[name] = value
  end
  for name, variable in pairs {
    secret_id = "HEYMARKET_SECRET_ID",
    secret_key = "HEYMARKET_SECRET_KEY",
    base_url = "HEYMARKET_BASE_URL",
  } do
    local value = os.getenv(variable)
    if given[name] == nil and value and value ~= "" then
      given[name] = value
    end
  end
  return given
end

local function missing(name, variable)
  return {
    field = name,
    message = ("is missing: give it to heymarket.new, or set %s in the environment"):format(variable),
  }
end

--- Makes a client. Nothing is opened or sent before the first call.
---
--- Credentials and base_url come from the environment where the config does not have them: HEYMARKET_SECRET_ID,
--- HEYMARKET_SECRET_KEY, HEYMARKET_BASE_URL. The secret key is kept in guarded memory only, never in a Lua table.
---@param config table? secret_id, secret_key, base_url, timeout (s), connect_timeout (s), max_attempts, max_retry_after
--- (s), requests_per_minute (or false), batch_size, concurrency, token_ttl (s), default_country, ca_file, proxy,
--- user_agent, on_event, shared_dict; and for tests `runtime`, a table with any of monotonic, time, sleep, random (all
--- functions) and transport
---@return heymarket.Client?
---@return heymarket.Failure? failure of kind "invalid", with all mistakes in `issues`
function client.new(config)
  options.expect(config, "table?", "heymarket.new: config", 2)
  local given = environment(config or {})
  local settings, issues = options.read("config", given)
  issues = issues or {}
  for _, pair in ipairs { { "secret_key", "HEYMARKET_SECRET_KEY" }, { "secret_id", "HEYMARKET_SECRET_ID" } } do
    if given[pair[1]] == nil then
      table.insert(issues, 1, missing(pair[1], pair[2]))
    end
  end
  local dict
  if type(given.shared_dict) == "string" and given.shared_dict ~= "" then
    local ngx = rawget(_G, "ngx")
    dict = type(ngx) == "table" and ngx.shared and ngx.shared[given.shared_dict]
    if not dict then
      issues[#issues + 1] = {
        field = "shared_dict",
        message = "names no lua_shared_dict: declare it in nginx.conf (outside nginx there is none)",
      }
    end
  end
  if settings and settings.proxy and options.leaves_machine(settings.base_url, settings.proxy) then
    issues[#issues + 1] = {
      field = "proxy",
      message = "is on another machine, and base_url is plain http: the token would cross the network in the open",
    }
  end
  if #issues > 0 then
    return nil, failure.invalid(issues)
  end
  local seams = settings.runtime or {}
  local runtime = {
    monotonic = seams.monotonic or core.monotonic,
    time = seams.time or core.time,
    sleep = seams.sleep or core.sleep,
    random = seams.random or core.random,
  }
  local signer = core.signer(settings.secret_id, settings.secret_key)
  local agent = "heymarket-lua/" .. VERSION .. " (" .. (rawget(_G, "jit") and "LuaJIT" or _VERSION) .. ")"
  settings.user_agent = settings.user_agent and agent .. " " .. settings.user_agent or agent
  settings.base_url = settings.base_url:gsub("/+$", "")
  -- Whoever prints or stores the client must not find the credentials in it.
  local account = core.hash(settings.secret_id)
  local carrier = seams.transport or transport.new(settings, runtime)
  settings.secret_id, settings.secret_key, settings.proxy, settings.runtime = nil, nil, nil, nil
  return setmetatable({
    config = settings,
    account = account,
    runtime = runtime,
    signer = signer,
    tokens = token.new(signer, settings.token_ttl, runtime.time),
    pacer = dict and pacer.shared(dict, account, runtime.monotonic, runtime.time) or pacer.new(runtime.monotonic),
    transport = carrier,
  }, Client)
end

-- What every call checks first: wrong use raises, everything else is a failure.
function Client:prepare(scope, given, where)
  options.expect(given, "table?", where .. ": options", 3)
  if self.closed then
    return nil, failure.new("invalid", "this client is closed: make a new one", { issues = {} })
  end
  local problem = self.transport:problem()
  if problem then
    return nil, problem
  end
  return options.read(scope, given, self.config)
end

-- A copy of the failure that ended a call, with the report of what was done.
local function with_report(problem, made)
  local touched = made.accepted + made.rejected + made.unknown > 0
  return failure.with(problem, { report = made, delivered = touched and "maybe" or problem.delivered })
end

-- Which failure tells most of a call that ran to its end: doubt first, then a certain failure, then what the server
-- listed. Nil where every contact is in the account.
local function worst(items, overwrite)
  local doubt, failed, refused = nil, nil, 0
  for _, item in ipairs(items) do
    if item.outcome == "unknown" then
      doubt = doubt or item.failure
    elseif item.outcome == "failed" then
      failed = failed or item.failure
    elseif item.reason == "refused" then
      refused = refused + 1
    end
  end
  return doubt or failed or refused > 0 and failure.refused(refused, overwrite) or nil
end

-- The report of a call that was refused before anything was sent.
local function refused_report(contacts, entries, size, issues)
  local books = report.new(math.huge)
  local by_index = {}
  for _, issue in ipairs(issues) do
    if issue.index then
      by_index[issue.index] = by_index[issue.index] or {}
      table.insert(by_index[issue.index], issue)
    end
  end
  local unsent = failure.new("stopped", "not sent, because the call was refused: see the issues of its failure")
  for index = 1, size do
    local outcome = entries[index] and "unsent" or "invalid"
    books:add(outcome)
    books:keep {
      index = index,
      position = index,
      outcome = outcome,
      contact = contacts[index],
      failure = outcome == "unsent" and unsent or failure.invalid(by_index[index]),
    }
  end
  return books:report({ requests = 0, retries = 0, elapsed = 0 }, true)
end

--- Creates contacts. All are checked before anything is sent: one invalid contact refuses the whole call.
---
--- Uses `POST /v1/batch/contacts`, in as many requests as it takes.
---@param contacts table[] array of contacts
---@param given table? options: overwrite (false), deadline (s), and timeout, max_attempts, batch_size, concurrency,
--- requests_per_minute, default_country, on_event in place of the client's
---@return heymarket.Report? report when every contact was accepted, or is known to be in the account already
---@return heymarket.Failure? failure otherwise; `failure.report` tells what was done
function Client:create_contacts(contacts, given)
  options.expect(contacts, "table", "create_contacts: contacts", 2)
  local settings, issues = self:prepare("call", given, "create_contacts")
  if failure.is(issues) then
    return nil, issues
  end
  issues = issues or {}
  local country
  if settings then
    country = settings.default_country
  else
    country = options.country(given, self.config.default_country)
  end
  local entries, size = intake.list(contacts, country, issues, function()
    self.transport:rest()
  end)
  if #issues > 0 then
    local problem = failure.invalid(issues)
    problem.report = refused_report(contacts, entries, size, issues)
    return nil, problem
  end
  local index = 0
  local running = engine.new(self, settings, report.new(math.huge))
  running.source = function()
    index = index + 1
    return entries[index]
  end
  local made, stopped = running:run()
  -- Nothing is left to do where a call was stopped after its last contact had been taken.
  local untaken = made.failed + made.unknown + made.unsent > 0
  local problem = untaken and stopped or worst(made.items, settings.overwrite)
  if problem then
    return nil, with_report(problem, made)
  end
  return made
end

--- Imports contacts from a source, as a stream: what is invalid is counted and passed over.
---@param source table|function an array, or a function (or callable object, such as heymarket.csv.open gives) that
--- returns `contact [, position]` until nil
---@param given table? options of create_contacts, and on_item(item), on_progress(report), max_failures, journal (path),
--- should_stop() (asked about once a second; true ends the import after what is on its way)
---@return heymarket.Report? report when the source came to its end, whatever the outcomes
---@return heymarket.Failure? failure when the import had to stop; `failure.report` tells what was done
function Client:import(source, given)
  if not options.is_function(source) then
    options.expect(source, "table", "import: source", 2)
  end
  local settings, issues = self:prepare("import", given, "import")
  if not settings then
    return nil, failure.is(issues) and issues or failure.invalid(issues)
  end
  local read, whole = intake.reader(source)
  if not read then
    return nil, whole
  end
  local notes, problem
  if settings.journal then
    notes, problem = journal.open(settings.journal, {
      overwrite = settings.overwrite,
      default_country = settings.default_country,
      batch_size = settings.batch_size,
      base_url = self.config.base_url,
      account = self.account,
    }, self.runtime.monotonic)
    if not notes then
      return nil, problem
    end
  end
  local running = engine.new(self, settings, report.new(MAX_ITEMS), notes)
  running.source = intake.source(read, whole, settings, running, notes)
  local made, stopped = running:run()
  if notes then
    local _, unwritten = notes:close()
    stopped = stopped or unwritten
  end
  if stopped then
    return nil, with_report(stopped, made)
  end
  return made
end

--- Are these credentials good? Writes nothing.
---
--- Asks `GET /v1/inboxes`, which the vendor recommends for this, and looks at the status only.
---@param given table? options: timeout (s), max_attempts, deadline (s), requests_per_minute, on_event
---@return boolean? true
---@return heymarket.Failure?
function Client:check(given)
  local settings, issues = self:prepare("check", given, "check")
  if not settings then
    return nil, failure.is(issues) and issues or failure.invalid(issues)
  end
  settings.concurrency = 1
  local calls = dispatch.new(self, settings)
  calls:add { method = "GET", path = "/v1/inboxes", contacts = 0 }
  local outcome = calls:next()
  if outcome.refused then
    return true
  end
  return nil, outcome.failure or calls.stopped
end

--- A bearer token for the API: signed now, or one from the cache that is younger than token_ttl. It is a secret.
---@return string? token
---@return heymarket.Failure?
function Client:token()
  if self.closed then
    return nil, failure.new("invalid", "this client is closed: make a new one", { issues = {} })
  end
  return self.tokens:get()
end

--- Closes the connections and wipes the key. May be called twice.
function Client:close()
  if not self.closed then
    self.closed = true
    self.tokens:forget()
    self.transport:close()
    self.signer:close()
  end
end

Client.__close = Client.close

return client
