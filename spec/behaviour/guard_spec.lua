-- No error leaves a call, and each call has its report: whatever hooks, sources and our own functions raise, and where
-- a client is closed while its call runs.

local clients = require "spec.support.clients"
local fake = require "spec.support.fake"
local heymarket = require "heymarket"
local positions = require "spec.support.positions"
local process = require "spec.support.process"
local rounds = require "spec.support.rounds"
local sandbox = require "heymarket.sandbox"
local server = require "spec.support.server"
local system = require "heymarket.system"
local witness = require "spec.support.witness"

local unpack = rawget(_G, "unpack") or rawget(table, "unpack")

local client_of = clients.of

after_each(clients.close)

local function contact_of(i)
  return { phone = ("1202555%04d"):format(i), first = tostring(i) }
end

local function contacts_of(count)
  local made = {}
  for i = 1, count do
    made[i] = contact_of(i)
  end
  return made
end

-- A source of so many contacts; `at_end` is called for what comes after them.
local function source_of(count, at_end)
  local i = 0
  return function()
    i = i + 1
    if i <= count then
      return contact_of(i), i
    end
    return at_end()
  end
end

-- Values that may be raised, with a piece of the text that shows them.
local function raised_values()
  local loops = setmetatable({}, {})
  getmetatable(loops).__tostring = function()
    local made = tostring(loops) -- no tail call, which would never end
    return made
  end
  return {
    { "a plain text", "a plain text" },
    { { code = 7 }, "table: " },
    { 42, "42" },
    { false, "false" },
    { nil, "nil" },
    { function() end, "function: " },
    {
      setmetatable({}, {
        __tostring = function()
          error "no text for you"
        end,
      }),
      "a table that cannot be shown",
    },
    {
      setmetatable({}, {
        __tostring = function()
          return {}
        end,
      }),
      "a table that cannot be shown",
    },
    {
      setmetatable({}, {
        __tostring = function()
          error(setmetatable({}, {
            __tostring = function()
              error "never"
            end,
          }))
        end,
      }),
      "a table that cannot be shown",
    },
    { loops, "a table that cannot be shown" },
    { ("x"):rep(1000000), ("x"):rep(100) },
    { "two\nlines\27[2J", "two lines<U+001B>[2J" },
  }
end

local function check_message(failure, wanted)
  assert.is_true(heymarket.is_failure(failure))
  assert.is_truthy(failure.message:find(wanted, 1, true), failure.message)
  assert.is_true(#failure.message < 700)
  assert.is_nil(failure.message:find "%c")
  assert.is_string(tostring(failure))
end

describe("an error that is raised", function()
  it("by a source stops the call with a whole report", function()
    for _, row in ipairs(raised_values()) do
      local world = fake.new()
      local report, failure = client_of(world):import(
        source_of(25, function()
          error(row[1], 0)
        end),
        { batch_size = 10, concurrency = 1 }
      )
      assert.is_nil(report)
      assert.are.equal("source", failure.kind)
      check_message(failure, row[2])
      witness.sums(25, failure.report)
      assert.are.equal(20, failure.report.accepted)
    end
  end)

  for _, name in ipairs { "on_item", "on_progress", "should_stop" } do
    it("by " .. name .. " stops the call with a whole report", function()
      for _, row in ipairs(raised_values()) do
        local world = fake.new()
        world.contacts["12025550003"] = contact_of(3)
        local calls = 0
        local report, failure = client_of(world):import(contacts_of(25), {
          batch_size = 5,
          concurrency = 1,
          [name] = function()
            calls = calls + 1
            if calls >= 2 or name == "on_item" then
              error(row[1], 0)
            end
          end,
        })
        assert.is_nil(report)
        assert.are.equal("stopped", failure.kind)
        check_message(failure, name .. " raised an error: " .. row[2])
        local made = failure.report
        assert.are.equal(25, made.total)
        assert.is_true(made.unsent > 0)
        assert.are.equal(#world.requests * 5, made.accepted + made.rejected)
        assert.are.equal(25 - made.accepted, #made.items)
      end
    end)
  end

  it("by on_event does not stop the call; the report has the first such error", function()
    for _, row in ipairs(raised_values()) do
      for _, method in ipairs { "import", "create_contacts" } do
        local world = fake.new()
        local calls = 0
        local client = client_of(world)
        local report = assert(client[method](client, contacts_of(25), {
          batch_size = 5,
          on_event = function()
            calls = calls + 1
            if calls == 1 then
              error(row[1], 0)
            end
            error "a later one"
          end,
        }))
        assert.are.equal(25, report.accepted)
        assert.is_true(calls > 5)
        assert.is_truthy(report.hook_error:find("on_event raised an error: " .. row[2], 1, true), report.hook_error)
        assert.is_true(#report.hook_error < 700)
      end
    end
  end)

  it("is what hook_error is about: without one the report has none", function()
    local report = assert(client_of(fake.new()):import(contacts_of(5), { on_event = function() end }))
    assert.is_nil(report.hook_error)
  end)

  it("by on_event is in the report of a call that failed as well", function()
    local world = fake.new {
      handler = function()
        return { status = 403 }
      end,
    }
    local _, failure = client_of(world):create_contacts(contacts_of(5), {
      on_event = function()
        error "seen"
      end,
    })
    assert.is_truthy(failure.report.hook_error:find("seen", 1, true))
  end)

  it("by a contact's own metamethods makes that contact invalid, and no other", function()
    local odd = setmetatable({}, {
      __index = function()
        error(setmetatable({}, {
          __tostring = function()
            error "no"
          end,
        }))
      end,
      __pairs = function()
        error "no pairs"
      end,
    })
    local list = contacts_of(10)
    list[4] = odd
    local report = assert(client_of(fake.new()):import(list))
    witness.sums(10, report)
    assert.are.equal(9, report.accepted)
    assert.are.equal(4, report.items[1].index)
    assert.are.equal("invalid", report.items[1].outcome)
    local _, failure = client_of(fake.new()):create_contacts(list)
    assert.are.equal("invalid", failure.kind)
    assert.are.equal(4, failure.issues[1].index)
    local wire, problem = heymarket.contact(odd)
    assert.is_nil(wire)
    assert.is_true(heymarket.is_failure(problem))
  end)
end)

describe("a source that ends with nil and a message", function()
  local function failing(...)
    local given, count = { ... }, select("#", ...)
    return source_of(25, function()
      return unpack(given, 1, count)
    end)
  end

  it("could not be read", function()
    local _, own = heymarket.csv.open "/nonexistent/file.csv"
    for _, row in ipairs {
      { "the disk is gone", "the disk is gone" },
      { { code = 7 }, "table: " },
      { true, "true" },
      { "", "reading the contacts failed: " },
      { own, own.message },
    } do
      local world = fake.new()
      local calls = 0
      local source = failing(nil, row[1])
      local report, failure = client_of(world):import(function()
        calls = calls + 1
        return source()
      end, { batch_size = 10, concurrency = 1 })
      assert.is_nil(report)
      assert.are.equal("source", failure.kind)
      check_message(failure, row[2])
      witness.sums(25, failure.report)
      assert.are.equal(20, failure.report.accepted)
      assert.are.equal(5, failure.report.unsent)
      assert.are.equal(26, calls, "the source was read on after it had failed")
    end
    assert.is_nil(own.report, "the failure of the source itself was changed")
  end)

  it("could not be read, also where it gave no contact before", function()
    local report, failure = client_of(fake.new()):import(function()
      return nil, "no such table"
    end)
    assert.is_nil(report)
    assert.are.equal("source", failure.kind)
    assert.are.equal("no", failure.delivered)
    witness.sums(0, failure.report)
  end)

  it("has ended, not failed, where a position or nothing stands in place of the message", function()
    for _, last in ipairs { { nil }, { nil, nil, nil }, { nil, 26 }, { nil, false } } do
      local report = assert(client_of(fake.new()):import(failing(unpack(last, 1, 3))))
      assert.are.equal(25, report.accepted)
    end
    assert.are.equal(25, assert(client_of(fake.new()):import(failing())).accepted)
  end)

  it("leaves a journal with which a later run of the whole input goes on", function()
    local folder = server.folder()
    for number, failed in ipairs {
      function()
        return nil, "the connection is gone"
      end,
      function()
        error "the connection is gone"
      end,
    } do
      local path = folder .. "/journal" .. number
      local given = { journal = path, batch_size = 10, concurrency = 1 }
      local world = fake.new()
      local report, failure = client_of(world):import(source_of(25, failed), given)
      assert.is_nil(report)
      assert.are.equal("source", failure.kind)
      local file = assert(io.open(path, "rb"))
      assert.is_nil(file:read("*a"):find "\nend ")
      file:close()
      report = assert(client_of(world):import(contacts_of(40), given))
      assert.are.equal(40, report.accepted)
      assert.are.equal(failure.report.accepted, report.resumed)
      for i = 1, 40 do
        assert.are.equal(1, world.stored[contact_of(i).phone])
      end
    end
    server.remove(folder)
  end)
end)

describe("a client that is closed while its call runs", function()
  -- Closes the client at the n-th time that the place comes up.
  local function closing_at(place, n, given)
    local client, count = nil, 0
    local function here(value)
      return function()
        count = count + 1
        if count == n then
          client:close()
        end
        return value
      end
    end
    local options = { batch_size = 2, concurrency = 3 }
    for name, value in pairs(given or {}) do
      options[name] = value
    end
    local source = contacts_of(20)
    if place == "source" then
      local touch, i = here(), 0
      source = function()
        touch()
        i = i + 1
        return i <= 20 and contact_of(i) or nil
      end
    elseif place == "finalizer" then
      -- The collector runs at every step of the call; what it finds then closes the client.
      options.on_event = function()
        count = count + 1
        if count == n then
          local proxy = rawget(_G, "newproxy")
          if proxy then
            getmetatable(proxy(true)).__gc = function()
              client:close()
            end
          else
            setmetatable({}, {
              __gc = function()
                client:close()
              end,
            })
          end
        end
      end
    else
      options[place] = here(false)
    end
    return source, options, function(made)
      client = made
    end
  end

  local function check(report, failure, world)
    assert.is_nil(report)
    assert.are.equal("stopped", failure.kind)
    assert.is_truthy(failure.message:find("closed", 1, true), failure.message)
    local made = failure.report
    local sum = made.accepted + made.rejected + made.invalid + made.failed + made.unknown + made.unsent
    assert.are.equal(made.total, sum)
    local known = {}
    for _, item in ipairs(made.items) do
      known[item.index] = item.outcome
    end
    for i = 1, made.total do
      local stored = world.stored[contact_of(i).phone]
      if not known[i] then
        assert.are.equal(1, stored, "accepted, but not stored")
      elseif known[i] == "unsent" or known[i] == "failed" then
        assert.is_nil(stored, known[i] .. ", but stored")
      end
    end
  end

  for _, place in ipairs { "source", "on_event", "on_progress", "should_stop", "finalizer" } do
    it("by " .. place .. " ends the call with the whole report", function()
      for n = 1, 12 do
        local world = fake.new { latency = 0.5 }
        local source, options, use = closing_at(place, n)
        local client = client_of(world)
        use(client)
        local mode
        if place == "finalizer" then
          mode = { collectgarbage "count" }
          collectgarbage("setstepmul", 1000)
          collectgarbage("setpause", 1)
        end
        local report, failure = client:import(source, options)
        if mode then
          collectgarbage("setstepmul", 200)
          collectgarbage("setpause", 200)
        end
        if not report then
          check(report, failure, world)
        else
          -- It came to its end before the client was closed.
          assert.are.equal(20, report.accepted)
          assert.is_true(n > 6 or place == "finalizer")
        end
        local bearer, problem = client:token()
        if client.closed then
          assert.is_nil(bearer)
          assert.are.equal("invalid", problem.kind)
        end
      end
    end)
  end

  it("by a hook ends create_contacts and check as well", function()
    for n = 1, 6 do
      for _, method in ipairs { "create_contacts", "check" } do
        local world = fake.new { latency = 0.5 }
        local client, count = client_of(world), 0
        local function hook()
          count = count + 1
          if count == n then
            client:close()
          end
        end
        local value, failure
        if method == "check" then
          value, failure = client:check { on_event = hook }
        else
          value, failure = client:create_contacts(contacts_of(20), { batch_size = 2, on_event = hook })
        end
        if method == "create_contacts" then
          check(value, failure, world)
        elseif not value then
          assert.is_true(heymarket.is_failure(failure))
        end
      end
    end
  end)

  it("while a token is signed ends the call, and client:token() gives a failure", function()
    local world = fake.new()
    local client = client_of(world)
    local get = client.tokens.get
    function client.tokens:get()
      client:close() -- as a finalizer would that runs while the signature is made
      return get(self)
    end
    local report, failure = client:create_contacts(contacts_of(3))
    assert.is_nil(report)
    assert.are.equal("stopped", failure.kind)
    assert.are.equal(3, failure.report.unsent)
    assert.are.equal(0, #world.requests)

    client = client_of(world)
    function client.tokens:get()
      client:close()
      return get(self)
    end
    local bearer, problem = client:token()
    assert.is_nil(bearer)
    assert.are.equal("invalid", problem.kind)
    assert.is_truthy(problem.message:find("closed", 1, true))
  end)

  -- Lua 5.1 itself cannot yield across a pcall, so that no coroutine of it can wait in a call.
  if _VERSION ~= "Lua 5.1" or rawget(_G, "jit") then
    it("by another coroutine, while requests are in flight, does not make the call wait for ever", function()
      local world = fake.new { latency = 5 }
      local client = client_of(world)
      local wait = world.wait
      function world:wait(completions, seconds)
        if coroutine.running() then
          coroutine.yield()
        end
        return wait(self, completions, seconds)
      end
      local report, failure
      local call = coroutine.create(function()
        report, failure = client:create_contacts(contacts_of(20), { batch_size = 2, concurrency = 4 })
      end)
      assert(coroutine.resume(call))
      assert.are.equal(4, #world.requests)
      client:close()
      local steps = 0
      while coroutine.status(call) ~= "dead" do
        steps = steps + 1
        assert(steps < 100, "the call waits for ever")
        assert(coroutine.resume(call))
      end
      assert.is_nil(report)
      assert.are.equal("stopped", failure.kind)
      witness.sums(20, failure.report)
      assert.are.equal(8, failure.report.unknown)
      assert.are.equal(12, failure.report.unsent)
    end)
  end

  it("of a sandbox leaves every request that was in flight in the report", function()
    local api = sandbox.new()
    local client = assert(api:client())
    api:script { delay = 5, times = 10 }
    local count = 0
    local report, failure = client:create_contacts(contacts_of(20), {
      batch_size = 2,
      on_event = function(event)
        count = count + (event.type == "request" and 1 or 0)
        if count == 4 then
          client:close()
        end
      end,
    })
    assert.is_nil(report)
    assert.are.equal("stopped", failure.kind)
    witness.sums(20, failure.report)
    -- Three were on their way; the fourth was announced, and the client was closed before it left.
    assert.are.equal(6, failure.report.unknown)
    assert.are.equal(14, failure.report.unsent)
    assert.are.equal(3, failure.report.requests)
  end)

  it("over a real connection ends the call with the whole report", function()
    local at = server.start()
    for _, place in ipairs { "source", "on_event", "on_progress", "should_stop" } do
      for n = 1, 8 do
        at:reset()
        at:default { delay = 0.02 }
        local source, options, use = closing_at(place, n)
        local client = assert(heymarket.new {
          secret_id = "id",
          secret_key = "key",
          base_url = at.url,
          requests_per_minute = false,
        })
        use(client)
        local report, failure = client:import(source, options)
        client:close()
        if not report then
          check(report, failure, { stored = at:ledger().stored })
        end
      end
    end
    at:stop()
  end)
end)

describe("a transport that loses a request", function()
  it("is not waited for for ever, and its contacts are unknown", function()
    local world = fake.new()
    local start = world.start
    function world:start(request, completions, headers)
      local started = start(self, request, completions, headers)
      if #self.requests == 2 then
        table.remove(self.flights) -- its answer never comes
      end
      return started
    end
    local client = client_of(world)
    local report, failure = client:create_contacts(contacts_of(10), {
      batch_size = 5,
      timeout = 20,
      max_attempts = 1,
    })
    assert.is_nil(report)
    assert.are.equal("maybe", failure.delivered)
    witness.sums(10, failure.report)
    assert.are.same({ 5, 5 }, { failure.report.accepted, failure.report.unknown })
    -- No earlier than it might have ended by itself.
    assert.is_true(world.now >= 1000 + 20)
    assert.is_true(world.now <= 1000 + 40)
  end)

  it("may give its result late after the process was asleep, and the result counts", function()
    local world = fake.new { latency = 1 }
    local slept = false
    local wait = world.wait
    function world:wait(completions, seconds)
      if not slept then
        -- For an hour nobody looks; the answers are there, and nobody has read them yet.
        slept = true
        self.now = self.now + 3600
        return
      end
      return wait(self, completions, seconds)
    end
    local report = assert(client_of(world):create_contacts(contacts_of(10), { batch_size = 5, timeout = 20 }))
    assert.are.equal(10, report.accepted)
    assert.are.equal(0, report.retries)
  end)
end)

-- LuaJIT has an allocator of its own.
if not rawget(_G, "jit") then
  describe("memory that runs out", function()
    it("leaves a report, raises no error out of a call, and leaves no journal locked", function()
      if os.getenv "HEYMARKET_COVERAGE" then
        pending "the hook that counts lines asks for memory itself"
      end
      local folder = server.folder()
      local library = folder .. "/limit.so"
      local built = process.output(
        ("cc -shared -fPIC $(pkg-config --cflags lua%s) -o %s spec/support/memory_limit.c 2>&1"):format(
          _VERSION:match "%d%.%d",
          library
        )
      )
      assert.are.equal("", built)
      -- How many allocations further the next run has its limit.
      local stride = 11 * 50 / rounds(50)
      local script = ("arg = { '%s', '%s', '%d' }\n"):format(folder, folder, stride)
      local out = process.lua(script .. 'dofile "spec/support/memory_limit.lua"\n')
      server.remove(folder)
      local kinds = 0
      for runs, reports in out:gmatch ": (%d+) runs, (%d+) reports, %d+ of memory\n" do
        kinds = kinds + 1
        assert.is_true(tonumber(runs) > rounds(50) and tonumber(reports) > 0, out)
      end
      assert.are.equal(6, kinds, out)
    end)
  end)
end

describe("an error injected into any function of the library", function()
  -- Every function of the module, once for each place where it is called from outside its file.
  local MODULES = {
    "heymarket.api.batch_contacts",
    "heymarket.api.endpoints",
    "heymarket.contact",
    "heymarket.http.date",
    "heymarket.http.events",
    "heymarket.http.in_flight",
    "heymarket.http.response",
    "heymarket.http.stop",
    "heymarket.http.try",
    "heymarket.http.sender",
    "heymarket.bulk",
    "heymarket.bulk.bisect",
    "heymarket.bulk.calls",
    "heymarket.bulk.order",
    "heymarket.bulk.outcome",
    "heymarket.bulk.resume",
    "heymarket.failure",
    "heymarket.bulk.source",
    "heymarket.bulk.journal",
    "heymarket.bulk.notes",
    "heymarket.bulk.record_log",
    "heymarket.bulk.resume",
    "heymarket.util.json",
    "heymarket.options",
    "heymarket.http.pace_memory",
    "heymarket.http.pacer",
    "heymarket.report",
    "heymarket.http.retry",
    "heymarket.util.text",
    "heymarket.http.token",
    "heymarket.http.credentials",
  }

  -- Calls the function with each table of functions that belongs to the running client, or to the modules.
  local function tables_of(client, world)
    local found = { client.tokens, client.credentials, client.pacer, client.pacer.store, world }
    for _, name in ipairs(MODULES) do
      found[#found + 1] = require(name)
    end
    return found
  end

  local SAFE = {
    -- Where these raise there is no message to be had, and only the failure made in advance is left.
    spare = true,
    is = true,
    expect = true, -- raises where Lua is used wrongly, and nowhere else
    is_function = true, -- is asked before the call begins
    -- These only add up numbers that are there: they ask for no memory.
    accept = true,
    add = true,
    count = true,
    count_unsettled = true,
    failure_of_error = true,
    is_complete = true,
    last_report = true,
    last_snapshot = true,
    taken = true,
    total = true,
    without_memory = true,
    statistics = true,
    hook_error = true,
  }

  -- Names and tables of all functions that can be made to raise: those in the modules, and the methods of the objects
  -- of a running call.
  local function targets()
    local world = fake.new()
    local client = client_of(world)
    local seen, list = {}, {}
    local function add(owner, where)
      for name, value in pairs(owner) do
        if type(value) == "function" and not (seen[owner] and seen[owner][name]) and not SAFE[name] then
          seen[owner] = seen[owner] or {}
          seen[owner][name] = true
          list[#list + 1] = { owner = owner, name = name, where = where }
        end
      end
    end
    for _, module in ipairs(tables_of(client, world)) do
      add(module, "module")
      local meta = getmetatable(module)
      if type(meta) == "table" and type(meta.__index) == "table" then
        add(meta.__index, "object")
      end
    end
    local clocks = world.runtime
    local settings = { concurrency = 1, batch_size = 1, overwrite = false }
    local requests = require("heymarket.http.sender").new {
      transport = world,
      monotonic = clocks.monotonic,
      is_closed = function() end,
    }
    local input = assert(require("heymarket.bulk.source").new({}, nil, print))
    local counter = require("heymarket.report").new(1)
    local made = require("heymarket.bulk").new {
      sender = requests,
      source = input,
      input = input,
      counter = counter,
      settings = settings,
      monotonic = clocks.monotonic,
    }
    local of_requests = { requests, requests.events, requests.in_flight, requests.stops, requests.tries }
    local of_bulk = { made, input, counter, made.bisect, made.order }
    for _, objects in ipairs { of_requests, of_bulk } do
      for _, object in ipairs(objects) do
        add(getmetatable(object).__index, "object")
      end
    end
    add(getmetatable(require("heymarket.bulk.source").of_entries {}).__index, "object")
    add(getmetatable(require("heymarket.bulk.resume").new {}).__index, "object")
    return list
  end

  -- A call with a little of everything: listed contacts, a refused batch that is split, a lost answer, a 401.
  local function run(method, journal)
    local world
    world = fake.new {
      handler = function(request)
        if request.number == 2 then
          return { code = "RECV_ERROR", sent = true, process = "all" }
        elseif request.number == 3 then
          return { status = 401 }
        elseif request.has["12025550017"] then
          return { status = 400 }
        end
      end,
    }
    world.contacts["12025550005"] = contact_of(5)
    local list = contacts_of(30)
    list[31] = contact_of(1)
    if method == "import" then
      list[8] = { phone = "x" }
    end
    return world,
      list,
      { batch_size = 4, concurrency = 2, journal = journal, on_event = function() end },
      client_of(world)
  end

  local function check_truth(world, count, made)
    local sum = made.accepted + made.rejected + made.invalid + made.failed + made.unknown + made.unsent
    assert(sum == made.total, "the sum is wrong")
    assert(made.total == count, ("%d contacts, but a total of %d"):format(count, made.total))
    local by_index = {}
    for _, item in ipairs(made.items) do
      assert(not by_index[item.index], "two items for one contact")
      by_index[item.index] = item.outcome
    end
    if made.items_truncated then
      return
    end
    for i = 1, 30 do
      local outcome, stored = by_index[i] or "accepted", world.stored[contact_of(i).phone] or 0
      if outcome == "accepted" then
        assert(stored > 0, ("contact %d is accepted, and not stored"):format(i))
      elseif (outcome == "failed" or outcome == "unsent") and i ~= 1 then
        assert(stored == 0, ("contact %d is %s, and stored"):format(i, outcome))
      end
    end
  end

  local KINDS = { stopped = true, source = true, journal = true, refused = true }

  local function try(method, target, times, raised, folder)
    local journal = method == "import" and folder .. "/journal" or nil
    if journal then
      os.remove(journal)
    end
    local world, list, given, client = run(method, journal)
    local original = target.owner[target.name]
    local left, hit = times, 0
    target.owner[target.name] = function(...)
      if left > 0 then
        left = left - 1
        hit = hit + 1
        error(raised, 0)
      end
      return original(...)
    end
    local ok, report, failure = pcall(client[method], client, list, given)
    target.owner[target.name] = original
    if not ok then
      error(("an error left the call: %s"):format(tostring(report)))
    elseif hit == 0 then
      return false
    end
    local made = report or failure.report
    if not report then
      assert(heymarket.is_failure(failure), "no failure")
      assert(failure.message ~= "" and tostring(failure) ~= "")
    end
    if made then
      check_truth(world, 31, made)
    else
      -- Nothing had been sent when it was raised.
      assert(#world.requests == 0, "requests were made, and there is no report")
      assert(KINDS[failure.kind] or failure.kind == "invalid", failure.kind)
    end
    -- Whoever comes next finds the journal unlocked.
    if journal then
      local file = io.open(journal, "r+b")
      if file then
        assert(system.lock(file), "the journal is still locked")
        file:close()
      end
    end
    return true
  end

  for _, method in ipairs { "create_contacts", "import" } do
    it("comes back from " .. method .. " as a failure or in a true report, raised once or each time", function()
      local folder = server.folder()
      local reached = 0
      local list = targets()
      for i in positions(1, #list) do
        local target = list[i]
        for _, times in ipairs { 1, math.huge } do
          for _, raised in ipairs { "not enough memory", "attempt to do what cannot be done" } do
            local ok, hit = pcall(try, method, target, times, raised, folder)
            if not ok then
              error(("%s %s, %s times, %q: %s"):format(target.where, target.name, times, raised, tostring(hit)))
            end
            reached = reached + (hit and 1 or 0)
          end
        end
      end
      server.remove(folder)
      assert.is_true(reached > rounds(150), reached .. " functions were reached")
    end)
  end

  it("never leaves check, token, heymarket.new and heymarket.contact", function()
    for _, target in ipairs(targets()) do
      local world = fake.new()
      local client = client_of(world)
      local original = target.owner[target.name]
      for _, act in ipairs {
        function()
          return client:check()
        end,
        function()
          return client:token()
        end,
        function()
          local made, failure = heymarket.new { secret_id = "a", secret_key = "b" }
          if made then
            made:close()
          end
          return made, failure
        end,
        function()
          return heymarket.contact { phone = "+12025550001", first = "A" }
        end,
      } do
        target.owner[target.name] = function()
          error "attempt to do what cannot be done"
        end
        local ok, value, failure = pcall(act)
        target.owner[target.name] = original
        if not ok then
          error(("%s: an error left the call: %s"):format(target.name, tostring(value)))
        end
        assert.is_true(value ~= nil or heymarket.is_failure(failure))
      end
    end
  end)
end)
