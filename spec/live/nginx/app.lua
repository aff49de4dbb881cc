-- luacheck: std min+ngx_lua, globals ngx
--- What the nginx of spec/live/nginx_spec.lua runs: one function per location.
local app = {}

local cjson = require("cjson").new()

cjson.encode_sparse_array(true, 1)

-- Answers JSON, on one line.
local function say(value)
  ngx.header["Content-Type"] = "application/json"
  ngx.say(cjson.encode(value))
end

-- What a call gave, as plain data.
local function plain(report, failure)
  local heymarket = require "heymarket"
  if report == nil then
    if not heymarket.is_failure(failure) then
      return { kind = "no failure", message = tostring(failure) }
    end
    local made = { kind = failure.kind, message = failure.message, line = tostring(failure) }
    made.delivered, made.retryable, made.status = failure.delivered, failure.retryable, failure.status
    report = failure.report
    made.report = report and { total = report.total, unknown = report.unknown, failed = report.failed }
    return made
  end
  return { accepted = report.accepted, total = report.total, requests = report.requests, rejected = report.rejected }
end

-- Pipes are left out: there is one for the very command that counts.
local function number_of_files()
  local pipe = io.popen("ls -l /proc/" .. ngx.worker.pid() .. "/fd | grep -vc pipe:")
  local count = tonumber(pipe:read "*l")
  pipe:close()
  return count
end

--- For init_by_lua: makes the client there, and notes what that opened.
---@param config table as for heymarket.new
function app.open(config)
  local files = number_of_files()
  local heymarket = require "heymarket"
  local core = require "heymarket.core"
  app.noted = { at_require = core.open_handles(), opened = number_of_files() - files }
  app.client = assert(heymarket.new(config))
  app.noted.at_new, app.noted.opened_by_new = core.open_handles(), number_of_files() - files
  app.try "init"
end

-- Creates the contact that the query names.
local function create()
  return plain(
    app.client:create_contacts(
      { { phone = ngx.var.arg_phone, first = "pid " .. ngx.worker.pid() } },
      { deadline = tonumber(ngx.var.arg_deadline) }
    )
  )
end

--- Creates a contact with a client of this request alone.
function app.own_client()
  local heymarket = require "heymarket"
  local client = assert(heymarket.new { secret_id = "id", secret_key = "key", base_url = app.base_url })
  local report = assert(client:create_contacts { { phone = ngx.var.arg_phone } })
  client:close()
  say { accepted = report.accepted }
end

--- From now on no folder can be written for the socket of the thread.
function app.no_folder()
  local mailbox = require("heymarket.loop.nginx").mailbox()
  function mailbox.connect() end
  say {}
end

--- Creates a contact while the light thread that reads the answers raises so many errors in a row.
function app.breaking()
  local box, left = require("heymarket.loop").here().mailbox(), tonumber(ngx.var.arg_errors)
  function box:pump()
    if left > 0 and ngx.get_phase() == "timer" then
      left = left - 1
      error "the thread breaks"
    end
    return getmetatable(self).__index.pump(self)
  end
  local made = create()
  box.pump = nil
  say(made)
end

--- Checks 200,000 contacts that are invalid, in one handler.
function app.long()
  ngx.shared.results:set("long", "running")
  local count = 200000
  local made
  if ngx.var.arg_method == "import" then
    local taken = 0
    made = app.client:import(function()
      taken = taken + 1
      return taken <= count and { phone = "1" } or nil
    end, { on_item = function() end })
  else
    local list = {}
    for i = 1, count do
      list[i] = { phone = "1" }
    end
    local _, failure = app.client:create_contacts(list)
    made = failure.report
  end
  ngx.shared.results:set("long", "ended")
  say { invalid = made.invalid }
end

--- Answers how far `long` is.
function app.how_long()
  ngx.say(ngx.shared.results:get "long" or "not begun")
end

--- Makes a call where waiting is impossible, and keeps what came of it for `tried`.
---@param phase string
function app.try(phase)
  ngx.shared.results:set(
    "tried " .. phase,
    cjson.encode(plain(app.client:create_contacts { { phone = "12345670000" } }))
  )
end

--- Answers what came of `try`.
function app.tried()
  ngx.say(ngx.shared.results:get("tried " .. ngx.var.arg_phase) or "{}")
end

--- Answers what `open` noted.
function app.opened()
  say(app.noted)
end

--- Creates a contact; also for rewrite and access.
function app.create()
  local made = create()
  ngx.shared.results:incr("ended", 1, 0)
  say(made)
  if ngx.get_phase() ~= "content" then
    ngx.exit(ngx.HTTP_OK)
  end
end

--- Creates a contact from a coroutine that lives through several yields of its own.
function app.in_coroutine()
  local inner = coroutine.create(function(phone)
    local first = coroutine.yield(phone)
    local report = assert(app.client:create_contacts { { phone = first } })
    coroutine.yield(report.accepted)
    return app.client:create_contacts { { phone = first } }
  end)
  local _, phone = coroutine.resume(inner, ngx.var.arg_phone)
  local _, accepted = coroutine.resume(inner, phone)
  local _, report = coroutine.resume(inner)
  say { accepted = accepted, rejected = report.rejected, status = coroutine.status(inner) }
end

--- Creates contacts from light threads at once: phones are the one of the query with a digit behind.
function app.in_threads()
  local threads = {}
  for i = 1, 5 do
    threads[i] = ngx.thread.spawn(function()
      return app.client:create_contacts { { phone = ngx.var.arg_phone .. i } }
    end)
  end
  local accepted = 0
  for i = 1, 5 do
    local _, report = ngx.thread.wait(threads[i])
    accepted = accepted + report.accepted
  end
  say { accepted = accepted }
end

--- Kills a light thread while it waits for its answer, and goes on.
function app.kill_thread()
  local thread = ngx.thread.spawn(create)
  ngx.sleep(0.05)
  say { killed = ngx.thread.kill(thread) }
end

-- Runs something in a timer; its result is for `of_timer`.
local function in_timer(act)
  local name = "timer " .. ngx.var.arg_phone
  local shared = ngx.shared.results
  assert(ngx.timer.at(0, function()
    local ok, made = pcall(act)
    shared:set(name, cjson.encode(ok and made or { message = tostring(made) }))
  end))
  say { started = true }
end

--- Creates a contact in a timer.
function app.in_timer()
  local phone = ngx.var.arg_phone
  in_timer(function()
    return plain(app.client:create_contacts { { phone = phone } })
  end)
end

--- Imports a CSV file in a timer.
function app.import()
  local path = ngx.var.arg_file
  in_timer(function()
    local heymarket = require "heymarket"
    local items, events = {}, {}
    local report, failure = app.client:import(assert(heymarket.csv.open(path)), {
      batch_size = 10,
      on_item = function(item)
        items[#items + 1] = { position = item.position, outcome = item.outcome }
      end,
      on_event = function(event)
        events[event.type] = (events[event.type] or 0) + 1
      end,
    })
    local made = plain(report, failure)
    made.items, made.events, made.invalid = items, events, report and report.invalid
    return made
  end)
end

--- Answers what came of a timer, `{}` until it has ended.
function app.of_timer()
  ngx.say(ngx.shared.results:get("timer " .. ngx.var.arg_phone) or "{}")
end

--- Creates a contact in a VM of ngx.run_worker_thread, where there is an `ngx` that cannot wait.
function app.in_worker_thread()
  local module = "spec.live.nginx.in_thread"
  local ok, value = ngx.run_worker_thread("pool", module, "create", app.base_url, ngx.var.arg_phone)
  say { ok = ok, value = value }
end

--- What is open in this worker, and how many of the handlers of `create` came to their end.
function app.handles()
  local open = require("heymarket.core").open_handles()
  open.ended = ngx.shared.results:get "ended" or 0
  open.pid = ngx.worker.pid()
  say(open)
end

--- Keeps a timer busy until the worker ends.
function app.occupy()
  ngx.timer.at(0, function()
    repeat
      ngx.sleep(0.1)
    until ngx.worker.exiting()
  end)
end

return app
