local cjson = require("cjson").new()
local nginx = require "spec.support.nginx"
local process = require "spec.support.process"
local sandbox_server = require "heymarket.sandbox.server"
local server = require "spec.support.server"

if nginx.missing then
  it("works in nginx", function()
    pending(nginx.missing)
  end)
  return
end

local eventually = nginx.eventually

-- Phones are never used twice: each test asks the upstream what became of its own.
local last_phone = 12025550000

local function new_phone()
  last_phone = last_phone + 1
  return ("%.0f"):format(last_phone)
end

local LOCATIONS = [[
    location = /_there { return 204; }
    location = /static { return 200 "static"; }
    location = /create { content_by_lua_block { require("spec.live.nginx.app").create() } }
    location = /rewrite { rewrite_by_lua_block { require("spec.live.nginx.app").create() } }
    location = /access {
      access_by_lua_block { require("spec.live.nginx.app").create() }
      content_by_lua_block { ngx.say "not reached" }
    }
    location = /coroutine { content_by_lua_block { require("spec.live.nginx.app").in_coroutine() } }
    location = /threads { content_by_lua_block { require("spec.live.nginx.app").in_threads() } }
    location = /breaking { content_by_lua_block { require("spec.live.nginx.app").breaking() } }
    location = /long { content_by_lua_block { require("spec.live.nginx.app").long() } }
    location = /how_long { content_by_lua_block { require("spec.live.nginx.app").how_long() } }
    location = /kill_thread { content_by_lua_block { require("spec.live.nginx.app").kill_thread() } }
    location = /timer { content_by_lua_block { require("spec.live.nginx.app").in_timer() } }
    location = /import { content_by_lua_block { require("spec.live.nginx.app").import() } }
    location = /of_timer { content_by_lua_block { require("spec.live.nginx.app").of_timer() } }
    location = /worker_thread { content_by_lua_block { require("spec.live.nginx.app").in_worker_thread() } }
    location = /own_client { content_by_lua_block { require("spec.live.nginx.app").own_client() } }
    location = /no_folder { content_by_lua_block { require("spec.live.nginx.app").no_folder() } }
    location = /handles { content_by_lua_block { require("spec.live.nginx.app").handles() } }
    location = /opened { content_by_lua_block { require("spec.live.nginx.app").opened() } }
    location = /tried { content_by_lua_block { require("spec.live.nginx.app").tried() } }
    location = /filters {
      header_filter_by_lua_block { require("spec.live.nginx.app").try("header_filter") }
      body_filter_by_lua_block { require("spec.live.nginx.app").try("body_filter") }
      log_by_lua_block { require("spec.live.nginx.app").try("log") }
      content_by_lua_block { ngx.say "filtered" }
    }
]]

-- The application: workers that share a client made in init_by_lua.
local function start_app(upstream, options)
  options = options or {}
  local config = options.config or ""
  return nginx.start(nginx.load_modules .. "worker_processes " .. (options.workers or 3) .. [[;
pid @FOLDER@/nginx.pid;
error_log @FOLDER@/error.log info;
worker_rlimit_nofile 8192;
thread_pool pool threads=2;
events { worker_connections 4096; }
http {
  access_log off;
  lua_check_client_abort ]] .. (options.check_abort or "off") .. ";\n" .. (options.http or "") .. nginx.paths .. [[
  lua_shared_dict results 1m;
  lua_shared_dict pace 1m;
  init_by_lua_block {
    local app = require "spec.live.nginx.app"
    app.base_url = "]] .. upstream .. [["
    app.open { secret_id = "sandbox-id", secret_key = "sandbox-key", base_url = app.base_url, ]] .. config .. [[ }
  }
  init_worker_by_lua_block { require("spec.live.nginx.app").try("init_worker") ]] .. (options.init_worker or "") .. [[ }
  server {
    listen 127.0.0.1:@PORT@ backlog=2048;
]] .. LOCATIONS .. "  }\n}\n")
end

local function start_gate()
  return nginx.start(nginx.load_modules .. [[
worker_processes 1;
worker_rlimit_nofile 8192;
pid @FOLDER@/nginx.pid;
events { worker_connections 4096; }
http {
  access_log off;
  keepalive_requests 1000000;
]] .. nginx.paths .. [[
  server {
    listen 127.0.0.1:@PORT@ backlog=2048;
    location = /_there { return 204; }
    location = /held { content_by_lua_block { require("spec.live.nginx.gate").held() } }
    location = /open { content_by_lua_block { require("spec.live.nginx.gate").open() } }
    location = /close { content_by_lua_block { require("spec.live.nginx.gate").close() } }
    location / { content_by_lua_block { require("spec.live.nginx.gate").answer() } }
  }
}
]])
end

local function json_of(target, path)
  local status, body = target:get(path)
  assert.are.equal(200, status)
  return cjson.decode(body)
end

local function create(target, path, phone)
  return json_of(target, path .. "?phone=" .. phone)
end

-- What a timer left, as soon as it has ended.
local function of_timer(target, phone)
  return eventually("the timer has ended", function()
    local made = json_of(target, "/of_timer?phone=" .. phone)
    return next(made) and made
  end)
end

local function held(gate)
  local _, body = gate:get "/held"
  return tonumber(body:match "^%d+")
end

local function wait_until_held(gate, count)
  eventually(count .. " requests are held", function()
    return held(gate) == count
  end)
end

-- Nothing of ours may go wrong where only the error log would tell.
local function assert_clean(target)
  local log = target:log()
  for line in log:gmatch "[^\n]+" do
    assert.is_nil(
      line:match "%[emerg%]" or line:match "%[crit%]" or line:match "%[error%]" or line:match "%[alert%]",
      line
    )
    assert.is_nil(line:match "%[warn%].*sleep", line)
  end
end

local function number_of(map)
  local count = 0
  for _ in pairs(map) do
    count = count + 1
  end
  return count
end

describe("the client in nginx", function()
  local upstream, app

  setup(function()
    upstream = server.start()
    app = start_app(upstream.url, { config = "requests_per_minute = false, timeout = 20" })
  end)

  teardown(function()
    if app then
      app:stop()
    end
    if upstream then
      upstream:stop()
    end
  end)

  before_each(function()
    upstream:reset()
  end)

  for _, path in ipairs { "/rewrite", "/access", "/create" } do
    it("works in " .. (path == "/create" and "content" or path:sub(2)), function()
      local phone = new_phone()
      assert.are.same({ accepted = 1, total = 1, requests = 1, rejected = 0 }, create(app, path, phone))
      assert.are.equal(1, upstream:ledger().stored[phone])
    end)
  end

  it("works in a timer", function()
    local phone = new_phone()
    create(app, "/timer", phone)
    assert.are.equal(1, of_timer(app, phone).accepted)
    assert.are.equal(1, upstream:ledger().stored[phone])
  end)

  it("works in a coroutine that yields for its own purposes as well", function()
    local phone = new_phone()
    local made = create(app, "/coroutine", phone)
    assert.are.same({ accepted = 1, rejected = 1, status = "dead" }, made)
    assert.are.equal(2, #upstream:ledger().requests)
  end)

  it("works in light threads at once", function()
    upstream:default { delay = 0.2 }
    assert.are.equal(5, create(app, "/threads", "1202555999").accepted)
    assert.are.equal(5, upstream:ledger().max_in_flight)
  end)

  it("works in a worker thread, where it may block", function()
    local phone = new_phone()
    assert.are.same({ ok = true, value = 1 }, create(app, "/worker_thread", phone))
    assert.are.equal(1, upstream:ledger().stored[phone])
  end)

  it("works after a light thread was killed during a call", function()
    upstream:default { delay = 0.3 }
    local phone = new_phone()
    assert.are.equal(1, create(app, "/kill_thread", phone).killed)
    assert.are.equal(1, create(app, "/create", new_phone()).accepted)
    assert.are.equal(1, upstream:ledger().stored[phone])
  end)

  it("opens nothing when it is loaded, and neither socket nor connection when a client is made", function()
    local noted = json_of(app, "/opened")
    assert.are.same({ signers = 0, pools = 0, transfers = 0 }, noted.at_require)
    assert.are.same({ signers = 1, pools = 1, transfers = 0 }, noted.at_new)
    assert.are.equal(0, noted.opened)
    assert.are.equal(0, noted.opened_by_new)
  end)

  for _, phase in ipairs { "init", "init_worker", "header_filter", "body_filter", "log" } do
    it("fails in " .. phase .. ", which cannot wait, and says what to do", function()
      app:get "/filters"
      local made = eventually("the phase was there", function()
        local found = json_of(app, "/tried?phase=" .. phase)
        return next(found) and found
      end)
      assert.are.equal("context", made.kind)
      assert.are.equal("no", made.delivered)
      assert.is_truthy(made.message:find(phase, 1, true))
      assert.is_truthy(made.message:find("ngx.timer.at", 1, true))
      assert.are.equal(0, #upstream:ledger().requests)
    end)
  end

  it("serves every worker with one client that was made before the fork, and none inherits a connection", function()
    local workers = app:workers()
    assert.are.equal(3, #workers)
    local seen, round = {}, 0
    eventually("every worker has answered", function()
      round = round + 1
      local statuses, bodies = app:crowd(("/create?phone=1214%03d%%d"):format(round), 30):finish()
      assert.are.same({ [200] = 30 }, statuses)
      for _, body in ipairs(bodies) do
        assert.are.equal(1, cjson.decode(body).accepted)
      end
      local ledger = upstream:ledger()
      for _, request in ipairs(ledger.requests) do
        local pid = ledger.contacts[request.phones[1]].first
        seen[pid] = true
        seen[request.connection] = seen[request.connection] or pid
        assert.are.equal(pid, seen[request.connection], "two workers used one connection")
      end
      for _, pid in ipairs(workers) do
        if not seen["pid " .. pid] then
          return false
        end
      end
      return true
    end)
  end)

  it("shares connections between the handlers of a worker", function()
    for round = 1, 10 do
      assert.are.same({ [200] = 30 }, (app:crowd(("/create?phone=1303%03d%%d"):format(round), 30):finish()))
    end
    local ledger = upstream:ledger()
    assert.are.equal(300, #ledger.requests)
    assert.is_true(ledger.connections <= 100, ledger.connections .. " connections for 300 requests")
  end)

  it("gives the same failures as outside nginx", function()
    for _, case in ipairs {
      { { status = 401 }, "unauthorized", "no" },
      { { status = 403 }, "denied", "no" },
      { { status = 404 }, "bad_data", "no" },
      { { fault = "not_json" }, "unexpected", "maybe" },
      { { fault = "reset_after_read" }, "network", "maybe" },
      { { fault = "oversized" }, "unexpected", "maybe" },
    } do
      upstream:default(case[1])
      local made = json_of(app, "/create?deadline=0.3&phone=" .. new_phone())
      assert.are.equal(case[3], made.delivered, case[2])
      if made.kind ~= "timeout" then -- the deadline ends the tries of those that may be tried again
        assert.are.equal(case[2], made.kind)
      end
      assert.are.equal(1, made.report.total)
    end
    upstream:default { delay = 5 }
    local made = json_of(app, "/create?deadline=0.3&phone=" .. new_phone())
    assert.are.same({ "timeout", "maybe", 1 }, { made.kind, made.delivered, made.report.unknown })
    upstream:default {}
    assert.are.equal(1, create(app, "/create", new_phone()).accepted)
  end)

  it("imports a CSV file in a timer", function()
    local lines = { "phone,first" }
    for i = 1, 95 do
      lines[#lines + 1] = ("1404555%04d,Name %d"):format(i, i)
    end
    table.insert(lines, 51, "12,too short")
    process.with_file(table.concat(lines, "\n") .. "\n", function(path)
      local id = new_phone()
      json_of(app, "/import?phone=" .. id .. "&file=" .. path)
      local made = of_timer(app, id)
      assert.is_nil(made.message)
      assert.are.same({ 96, 95, 1, 10 }, { made.total, made.accepted, made.invalid, made.requests })
      assert.are.same({ { position = 51, outcome = "invalid" } }, made.items)
      assert.are.equal(10, made.events.request)
      assert.are.equal(10, made.events.response)
    end)
    local ledger = upstream:ledger()
    assert.are.equal(95, number_of(ledger.stored))
    assert.is_true(ledger.max_in_flight <= 4)
  end)

  it("leaves nothing open and nothing in the error log", function()
    upstream:default {}
    eventually("no worker has a transfer", function()
      local busy = 0
      for _ = 1, 30 do
        busy = busy + json_of(app, "/handles").transfers
      end
      return busy == 0
    end)
    assert_clean(app)
  end)
end)

describe("the client in nginx and the sandbox", function()
  local sandbox, app

  setup(function()
    sandbox = assert(sandbox_server.start { port = 0, options = { requests_per_minute = false } })
    app = start_app(sandbox.base_url, { config = "requests_per_minute = false" })
  end)

  teardown(function()
    if app then
      app:stop()
    end
    if sandbox then
      sandbox:stop()
    end
  end)

  it("signs tokens that are good, in every phase", function()
    local count = 0
    for _, path in ipairs { "/rewrite", "/access", "/create" } do
      assert.are.equal(1, create(app, path, new_phone()).accepted)
      count = count + 1
    end
    local phone = new_phone()
    create(app, "/timer", phone)
    assert.are.equal(1, of_timer(app, phone).accepted)
    assert.are.equal(count + 1, sandbox:admin("GET", "count").count)
  end)

  it("reports existing contacts as rejected", function()
    local phone = new_phone()
    assert.are.equal(1, create(app, "/create", phone).accepted)
    assert.are.equal(1, create(app, "/create", phone).rejected)
  end)
end)

describe("many handlers at once", function()
  local gate, app

  setup(function()
    gate = start_gate()
  end)

  teardown(function()
    gate:stop()
  end)

  before_each(function()
    gate:get "/close"
  end)

  after_each(function()
    gate:get "/open"
    if app then
      app:stop()
      app = nil
    end
  end)

  local UNPACED = "requests_per_minute = false, timeout = 300"

  it("wait by the thousand in one worker", function()
    app = start_app(gate.url, { workers = 1, config = UNPACED })
    local crowd = app:crowd("/create?phone=1505555%d", 1000)
    wait_until_held(gate, 1000)
    assert.are.equal(1000, json_of(app, "/handles").transfers)
    gate:get "/open"
    assert.are.same({ [200] = 1000 }, (crowd:finish()))
    local open = json_of(app, "/handles")
    assert.are.same({ 0, 1000 }, { open.transfers, open.ended })
    assert_clean(app)
  end)

  it("do not keep a static page from being served", function()
    app = start_app(gate.url, { workers = 1, config = UNPACED })
    local crowd = app:crowd("/create?phone=1505555%d", 200)
    wait_until_held(gate, 200)
    for _ = 1, 50 do
      local status, body = app:get "/static"
      assert.are.same({ 200, "static" }, { status, body })
    end
    assert.are.equal(200, held(gate))
    gate:get "/open"
    assert.are.same({ [200] = 200 }, (crowd:finish()))
  end)

  for _, check in ipairs { "on", "off" } do
    it("end or go on when their clients go away, with lua_check_client_abort " .. check, function()
      app = start_app(gate.url, { workers = 1, config = UNPACED, check_abort = check })
      local crowd = app:crowd("/create?phone=1606555%d", 25)
      wait_until_held(gate, 25)
      crowd:leave(20)
      assert.are.equal(200, (app:get "/static"))
      if check == "on" then
        -- nginx closes the connection of a client that left when it has noticed.
        eventually("nginx has noticed", function()
          return select(2, app:log():gsub("client prematurely closed connection", "")) == 20
        end)
      end
      gate:get "/open"
      local statuses, bodies = crowd:finish()
      assert.are.same({ [200] = 5 }, statuses)
      for _, body in ipairs(bodies) do
        assert.are.equal(1, cjson.decode(body).accepted)
      end
      local open = eventually("no transfer is left", function()
        local found = json_of(app, "/handles")
        return found.transfers == 0 and found.ended == (check == "on" and 5 or 25) and found
      end)
      assert.are.equal(check == "on" and 5 or 25, open.ended)
      assert.are.equal(1, create(app, "/create", new_phone()).accepted)
    end)
  end

  for _, name in ipairs { "reload", "quit" } do
    it("finish what is in flight at nginx -s " .. name .. ", and the old workers end", function()
      app = start_app(gate.url, { workers = 2, config = UNPACED })
      local crowd = app:crowd("/create?phone=1707555%d", 20)
      wait_until_held(gate, 20)
      local old = app:workers()
      assert.are.equal(2, #old)
      app:signal(name)
      if name == "reload" then
        eventually("new workers run beside the old ones", function()
          return #app:workers() == 4
        end)
        assert.are.equal(200, (app:get "/static"))
      else
        eventually("nginx listens no more", function()
          return app:get "/static" == 0
        end)
      end
      assert.are.equal(20, held(gate))
      gate:get "/open"
      assert.are.same({ [200] = 20 }, (crowd:finish()))
      eventually("the old workers have ended", function()
        return not process.is_alive(old[1]) and not process.is_alive(old[2])
      end)
      if name == "reload" then
        assert.are.equal(1, create(app, "/create", new_phone()).accepted)
        assert.are.equal(2, #app:workers())
      else
        eventually("nginx has ended", function()
          return not process.is_alive(app.pid)
        end)
      end
    end)
  end

  it("are not disturbed when another worker is killed", function()
    app = start_app(gate.url, { workers = 2, config = UNPACED })
    local crowd = app:crowd("/create?phone=1808555%d", 40)
    wait_until_held(gate, 40)
    local victim = app:workers()[1]
    app:kill(victim)
    eventually("another worker takes its place", function()
      local workers = app:workers()
      return not process.is_alive(victim) and #workers == 2
    end)
    gate:get "/open"
    local statuses, bodies = crowd:finish()
    local answered = statuses[200] or 0
    assert.are.equal(40, answered + (statuses[0] or 0))
    for _, body in ipairs(bodies) do
      if body ~= "" then
        assert.are.equal(1, cjson.decode(body).accepted)
      end
    end
    assert.are.same({ [200] = 20 }, (app:crowd("/create?phone=1809555%d", 20):finish()))
  end)

  it("work without a timer, where nginx gives none", function()
    app = start_app(gate.url, {
      workers = 1,
      config = UNPACED,
      http = "lua_max_running_timers 1;\n",
      init_worker = 'require("spec.live.nginx.app").occupy()',
    })
    local crowd = app:crowd("/create?phone=1909555%d", 30)
    wait_until_held(gate, 30)
    gate:get "/open"
    assert.are.same({ [200] = 30 }, (crowd:finish()))
    assert.are.equal(0, json_of(app, "/handles").transfers)
  end)
end)

describe("the thread that moves the bytes of all calls", function()
  local upstream, app

  setup(function()
    upstream = server.start()
  end)

  teardown(function()
    upstream:stop()
  end)

  before_each(function()
    upstream:reset()
  end)

  after_each(function()
    app:stop()
  end)

  local CONFIG = "requests_per_minute = false, timeout = 20"

  local function threads_of(pid)
    local _, count = process.output("cat /proc/" .. pid .. "/task/*/comm"):gsub("heymarket\n", "")
    return count
  end

  it("is one in each worker that calls, and none in the master", function()
    app = start_app(upstream.url, { workers = 1, config = CONFIG })
    local worker = app:workers()[1]
    assert.are.equal(0, threads_of(worker))
    for _ = 1, 3 do
      assert.are.equal(1, create(app, "/create", new_phone()).accepted)
      assert.are.equal(1, threads_of(worker))
    end
    assert.are.equal(0, threads_of(app.pid))
    app:signal "reload"
    eventually("the old worker has ended", function()
      return not process.is_alive(worker)
    end)
    assert.are.equal(1, create(app, "/create", new_phone()).accepted)
    assert.are.equal(1, threads_of(app:workers()[1]))
    assert_clean(app)
  end)

  it("is one where each request has a Lua state of its own (lua_code_cache off)", function()
    local gate = start_gate()
    app = start_app(gate.url, { workers = 1, config = CONFIG, http = "lua_code_cache off;\n" })
    local worker = app:workers()[1]
    local crowd = app:crowd("/own_client?phone=1210555%d", 20)
    wait_until_held(gate, 20)
    assert.are.equal(1, threads_of(worker))
    gate:get "/open"
    local statuses, bodies = crowd:finish()
    gate:stop()
    assert.are.same({ [200] = 20 }, statuses)
    for _, body in ipairs(bodies) do
      assert.are.equal(1, cjson.decode(body).accepted)
    end
    eventually("the thread has ended with the last client", function()
      return threads_of(worker) == 0
    end)
    local log = app:log():gsub("[^\n]*%[alert%][^\n]*lua_code_cache is off[^\n]*\n", "")
    assert.is_nil(log:match "%[error%]" or log:match "%[crit%]" or log:match "%[alert%]", log)
  end)

  it("is asked now and then where no folder can be written, which the log says once", function()
    app = start_app(upstream.url, { workers = 1, config = CONFIG })
    json_of(app, "/no_folder")
    for _ = 1, 3 do
      assert.are.same({ [200] = 10 }, (app:crowd("/create?phone=1211555%d", 10):finish()))
    end
    local _, told = app:log():gsub("no unix socket can be made", "")
    assert.are.equal(1, told)
    assert_clean(app)
  end)

  it("leaves no folder behind", function()
    local before = process.output "ls -d /tmp/heymarket-?????? 2> /dev/null"
    app = start_app(upstream.url, { workers = 1, config = CONFIG })
    assert.are.equal(1, create(app, "/create", new_phone()).accepted)
    assert.are.equal(before, process.output "ls -d /tmp/heymarket-?????? 2> /dev/null")
  end)
end)

describe("the timer that hands over the results of all calls", function()
  local upstream, app

  setup(function()
    upstream = server.start()
    app =
      start_app(upstream.url, { workers = 1, config = "requests_per_minute = false, timeout = 20, max_attempts = 1" })
  end)

  teardown(function()
    app:stop()
    upstream:stop()
  end)

  before_each(function()
    -- Before the thread has begun the handler reads by itself: no answer comes so early.
    upstream:default { delay = 0.5 }
  end)

  it("goes on after a few errors", function()
    local phone = new_phone()
    assert.are.equal(1, create(app, "/breaking", phone .. "&errors=3").accepted)
    assert.are.equal(1, upstream:ledger().stored[phone])
    assert.is_truthy(app:log():find("the thread breaks", 1, true))
  end)

  it("ends every call where errors do not stop, and leaves contacts unknown", function()
    local phone = new_phone()
    local made = create(app, "/breaking", phone .. "&errors=1000000")
    assert.are.same({ "network", "maybe" }, { made.kind, made.delivered })
    assert.is_truthy(made.message:find("the thread breaks", 1, true), made.message)
    assert.are.same({ total = 1, unknown = 1, failed = 0 }, made.report)
    -- The next call has a thread that works.
    upstream:default {}
    assert.are.equal(1, create(app, "/create", new_phone()).accepted)
  end)
end)

describe("a long loop in one handler", function()
  local upstream, app

  setup(function()
    upstream = server.start()
    app = start_app(upstream.url, { workers = 1 })
  end)

  teardown(function()
    app:stop()
    upstream:stop()
  end)

  for _, method in ipairs { "import", "create_contacts" } do
    it("lets the worker serve others: " .. method, function()
      local crowd = app:crowd("/long?method=" .. method, 1)
      -- An answer that says so can only come while the loop runs.
      eventually("another request is served while the loop runs", function()
        local _, body = app:get "/how_long"
        return body == "running\n"
      end)
      assert.are.same({ [200] = 1 }, (crowd:finish()))
      local _, body = app:get "/how_long"
      assert.are.equal("ended\n", body)
    end)
  end
end)

describe("pacing in nginx", function()
  local upstream, app

  setup(function()
    upstream = server.start()
  end)

  teardown(function()
    upstream:stop()
  end)

  after_each(function()
    app:stop()
  end)

  -- Sends 60 contacts, one request each, to three workers that may wait no longer than a second.
  local function flood(config)
    upstream:reset()
    app = start_app(upstream.url, { config = "requests_per_minute = 10" .. config })
    local statuses, bodies = app:crowd("/create?deadline=1&phone=1212555%d", 60):finish()
    assert.are.same({ [200] = 60 }, statuses)
    local accepted, refused = 0, 0
    for _, body in ipairs(bodies) do
      local made = cjson.decode(body)
      if made.accepted then
        accepted = accepted + 1
      elseif made.kind == "timeout" and made.delivered == "no" then
        refused = refused + 1
      end
    end
    assert.are.equal(60, accepted + refused)
    assert.are.equal(accepted, #upstream:ledger().requests)
    return accepted
  end

  it("is the pace of all workers together through a shared dict, and stays so when workers die", function()
    assert.are.equal(10, flood [[, shared_dict = "pace"]])
    for _, pid in ipairs(app:workers()) do
      app:kill(pid)
    end
    eventually("three new workers serve", function()
      return #app:workers() == 3 and app:get "/static" == 200
    end)
    app:crowd("/create?deadline=1&phone=1213555%d", 30):finish()
    assert.are.equal(10, #upstream:ledger().requests)
  end)

  it("is the pace of each worker without one", function()
    local accepted = flood ""
    assert.is_true(accepted >= 10 and accepted <= 30, accepted .. " requests")
  end)
end)

describe("an nginx that cannot load the module", function()
  -- The lines of the error log that tell why it did not start.
  local function complaints(http)
    local app =
      nginx.start(nginx.load_modules .. "pid @FOLDER@/nginx.pid;\nevents { }\nhttp {\n  access_log off;\n" .. http .. [[
  init_by_lua_block { require "heymarket" }
  server { listen 127.0.0.1:@PORT@; location = /_there { return 204; } }
}
]], { may_fail = true })
    local log = app:log()
    app:stop()
    local lines = {}
    for line in log:gmatch "[^\n]+" do
      -- What goes to the terminal as well begins with the program's name.
      if line:find("heymarket", 1, true) and not line:find "^[\t ]" and not line:find "^nginx: " then
        lines[#lines + 1] = line
      end
    end
    return lines, log
  end

  it("says in one line that the core was built for another Lua", function()
    local other = process.output("ls " .. nginx.root .. "/build/5.4/heymarket/core.so 2> /dev/null")
    if other == "" then
      pending "the core for Lua 5.4 is not built"
    end
    local lines, log = complaints((nginx.paths:gsub("/build/jit/", "/build/5.4/")))
    assert.are.equal(1, #lines, log)
    assert.is_truthy(lines[1]:find("built for another Lua than this one (LuaJIT", 1, true), lines[1])
    assert.is_nil(lines[1]:find("undefined symbol", 1, true))
  end)

  it("says in one line that lua-cjson is missing", function()
    local only_ours = nginx.paths:gsub('(lua_package_cpath "[^";]+);;', "%1")
    local lines, log = complaints(only_ours)
    assert.are.equal(1, #lines, log)
    assert.is_truthy(lines[1]:find("needs lua-cjson", 1, true), lines[1])
  end)

  it("says in one line that the core is missing", function()
    local lines, log = complaints((nginx.paths:gsub("/build/jit/", "/build/nowhere/")))
    assert.are.equal(1, #lines, log)
    assert.is_truthy(lines[1]:find("is not installed", 1, true), lines[1])
    assert.is_truthy(lines[1]:find("lua_package_cpath", 1, true), lines[1])
  end)
end)
