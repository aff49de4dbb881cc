-- Calls in event loops: they wait as coroutines of the loop, all at once, and the loop goes on.
local core = require "heymarket.core"
local heymarket = require "heymarket"
local loops = require "spec.support.loops"
local process = require "spec.support.process"
local server = require "spec.support.server"
local system = require "heymarket.system"

local NAMES = { "luv", "cqueues", "table" }

if _VERSION == "Lua 5.1" and not rawget(_G, "jit") then
  describe("in Lua 5.1, whose coroutines cannot wait inside of pcall,", function()
    for _, name in ipairs(NAMES) do
      it("the loop " .. name .. " is refused with the reason", function()
        local client, failure = heymarket.new { secret_id = "id", secret_key = "key", loop = loops[name].option }
        assert.is_nil(client)
        assert.are.same({ "invalid", "loop" }, { failure.kind, failure.issues[1].field })
        assert.is_truthy(failure.message:find("LuaJIT", 1, true), failure.message)
      end)
    end
  end)
  return
end

-- The threads of this process by their names.
local function threads()
  local names = {}
  for name in process.output("cat /proc/$PPID/task/*/comm"):gmatch "[^\n]+" do
    names[name] = (names[name] or 0) + 1
  end
  return names
end

-- Descriptors that stay open. The thread closes those of a client a moment after the client is closed, so that the
-- smallest of several counts is taken.
local function number_of_files()
  collectgarbage() -- a controller of cqueues has some
  collectgarbage()
  local smallest = math.huge
  for _ = 1, 10 do
    -- Pipes are left out: there is one for the very command that counts.
    local count = tonumber(process.output "ls -l /proc/$PPID/fd 2>/dev/null | grep -vc pipe:")
    smallest = math.min(smallest, count)
    system.sleep(0.02)
  end
  return smallest
end

local last_phone = 12025550000

local function new_contact()
  last_phone = last_phone + 1
  return { phone = ("%.0f"):format(last_phone) }
end

local api

setup(function()
  api = server.start()
end)

teardown(function()
  api:stop()
end)

before_each(function()
  api:reset()
end)

after_each(function()
  collectgarbage()
  collectgarbage()
  assert.are.equal(0, core.open_handles().transfers)
  assert.is_nil(threads().heymarket, "the thread goes on after the last client")
end)

for _, name in ipairs(NAMES) do
  local loop = loops[name]

  describe("in the loop " .. name, function()
    if not loop.is_there then
      it("calls wait", function()
        pending("no library for " .. name .. " is there for this Lua")
      end)
      return
    end

    local client

    local function new_client(config)
      local full = { secret_id = "id", secret_key = "key", base_url = api.url, loop = loop.option }
      full.requests_per_minute = false
      for key, value in pairs(config or {}) do
        full[key] = value
      end
      client = assert(heymarket.new(full))
    end

    after_each(function()
      if client then
        client:close()
      end
    end)

    -- So many functions that create a contact each.
    local function creations(count, reports, options)
      local functions = {}
      for i = 1, count do
        functions[i] = function()
          local report, failure = client:create_contacts({ new_contact() }, options)
          reports[#reports + 1] = report or failure
        end
      end
      return functions
    end

    it("a hundred calls wait at once, while a timer ticks", function()
      new_client()
      api:default { delay = 1 }
      local reports = {}
      local ticks = loop.run(creations(100, reports))
      local accepted = 0
      for _, report in ipairs(reports) do
        accepted = accepted + (report.accepted or 0)
      end
      assert.are.equal(100, accepted)
      -- All were in the server's hands at the same moment, and the loop went on while they were.
      assert.are.equal(100, api:ledger().max_in_flight)
      assert.is_true(ticks > 10, ticks .. " ticks")
    end)

    it("there is one thread, however many clients there are", function()
      new_client()
      local other = assert(heymarket.new {
        secret_id = "id",
        secret_key = "key",
        base_url = api.url,
        loop = loop.option,
      })
      local seen
      api:default { delay = 0.2 }
      loop.run {
        function()
          assert(client:create_contacts { new_contact() })
          seen = threads().heymarket
        end,
        function()
          assert(other:create_contacts { new_contact() })
        end,
      }
      other:close()
      assert.are.equal(1, seen)
    end)

    it("an import and check wait too", function()
      new_client { batch_size = 2 }
      local report
      local ticks = loop.run {
        function()
          assert(client:check())
          api:default { delay = 0.05 }
          report = assert(client:import { new_contact(), new_contact(), new_contact(), new_contact(), { phone = "1" } })
        end,
      }
      assert.are.same({ 4, 1, 2 }, { report.accepted, report.invalid, report.requests })
      assert.is_true(ticks > 0)
    end)

    it("no more descriptors stay open than calls have waited at once", function()
      local counts, reports = {}, {}
      api:default { delay = 0.2 } -- so that all wait at once
      for round = 1, 3 do
        new_client()
        loop.run(creations(5, reports))
        client:close()
        counts[round] = number_of_files()
      end
      assert.are.equal(15, #reports)
      assert.are.same({ counts[1], counts[1] }, { counts[2], counts[3] })
    end)

    it("a pause before another try lets the loop go on", function()
      new_client()
      api:script { { status = 429, headers = { ["Retry-After"] = "1" } } }
      local reports = {}
      local ticks = loop.run(creations(1, reports))
      assert.are.same({ 1, 1 }, { reports[1].accepted, reports[1].retries })
      assert.is_true(ticks > 10, ticks .. " ticks")
    end)

    it("failures are those of a plain program", function()
      new_client { max_attempts = 1 }
      local reports = {}
      api:default { status = 403 }
      loop.run(creations(1, reports))
      assert.are.same({ "denied", "no" }, { reports[1].kind, reports[1].delivered })
      api:default { delay = 5 }
      loop.run(creations(1, reports, { deadline = 0.2 }))
      assert.are.same({ "timeout", "maybe", 1 }, { reports[2].kind, reports[2].delivered, reports[2].report.unknown })
      api:default { fault = "reset_after_read" }
      loop.run(creations(1, reports))
      assert.are.same({ "network", "maybe" }, { reports[3].kind, reports[3].delivered })
    end)

    it("a proxy that cannot be used is found by the thread, and nothing was sent", function()
      new_client { max_attempts = 1, ca_file = "/nowhere/at/all.pem", base_url = "https://127.0.0.1:1" }
      local reports = {}
      loop.run(creations(1, reports))
      assert.are.same({ "network", "no" }, { reports[1].kind, reports[1].delivered })
    end)

    it("calls that wait end at once when another coroutine closes the client", function()
      new_client()
      api:default { delay = 20 }
      local reports = {}
      local functions = creations(5, reports)
      functions[6] = function()
        local other = assert(heymarket.new {
          secret_id = "id",
          secret_key = "key",
          base_url = api.url,
          loop = loop.option,
        })
        api:script {}
        other:create_contacts({ new_contact() }, { deadline = 0.3 })
        other:close()
        client:close()
      end
      local started = system.monotonic()
      loop.run(functions)
      assert.is_true(system.monotonic() - started < 15)
      assert.are.equal(5, #reports)
      for _, failure in ipairs(reports) do
        assert.are.same({ "maybe", 1 }, { failure.delivered, failure.report.unknown })
        assert.is_truthy(failure.message:find("closed", 1, true), failure.message)
      end
    end)

    it("a hook may close the client", function()
      new_client()
      local reports = {}
      loop.run(creations(3, reports, {
        on_event = function(event)
          if event.type == "response" then
            client:close()
          end
        end,
      }))
      assert.are.equal(3, #reports)
      for _, report in ipairs(reports) do
        assert.are.equal(1, (report.report or report).total)
      end
    end)

    it("a call outside of a coroutine says what to do, and sends nothing", function()
      new_client()
      local report, failure = client:create_contacts { new_contact() }
      assert.is_nil(report)
      assert.are.same({ "context", "no" }, { failure.kind, failure.delivered })
      assert.is_truthy(failure.message:find("coroutine", 1, true), failure.message)
      assert.are.equal(0, #api:ledger().requests)
    end)
  end)
end

describe("a loop", function()
  local function refusal(loop)
    local client, failure = heymarket.new { secret_id = "id", secret_key = "key", loop = loop }
    assert.is_nil(client)
    assert.are.same({ "invalid", "loop" }, { failure.kind, failure.issues[1].field })
    return failure.message
  end

  for _, name in ipairs { "luv", "cqueues" } do
    it("is refused where its library cannot be loaded, with what to install: " .. name, function()
      local loaded, preload = package.loaded[name], package.preload[name]
      package.loaded[name] = nil
      package.preload[name] = function()
        error "not here"
      end
      local ok, message = pcall(refusal, name)
      package.loaded[name], package.preload[name] = loaded, preload
      assert.is_true(ok, tostring(message))
      assert.is_truthy(message:find("install " .. name, 1, true), message)
    end)
  end

  it("that is neither known nor a table with wait is refused", function()
    assert.is_truthy(refusal("libev"):find('"luv", "cqueues"', 1, true))
    assert.is_truthy(refusal({}):find("wait(fd, seconds)", 1, true))
  end)

  if loops.cqueues.is_there then
    it("of cqueues that does not run is told from one that does", function()
      local client =
        assert(heymarket.new { secret_id = "id", secret_key = "key", base_url = api.url, loop = "cqueues" })
      local failure
      coroutine.wrap(function()
        failure = select(2, client:create_contacts { new_contact() })
      end)()
      client:close()
      assert.are.same({ "context", "no" }, { failure.kind, failure.delivered })
      assert.is_truthy(failure.message:find("controller", 1, true), failure.message)
    end)
  end

  it("whose wait raises an error ends the call, which may have been sent", function()
    local client = assert(heymarket.new {
      secret_id = "id",
      secret_key = "key",
      base_url = api.url,
      loop = {
        wait = function()
          error "the loop is broken"
        end,
      },
    })
    local report, failure
    coroutine.wrap(function()
      report, failure = client:create_contacts { new_contact() }
    end)()
    client:close()
    assert.is_nil(report)
    assert.are.same({ "maybe", 1 }, { failure.delivered, failure.report.unknown })
    assert.is_truthy(failure.message:find("the loop is broken", 1, true), failure.message)
  end)
end)

describe("the example", function()
  local WORDS = {
    luv = "the timer went on\n",
    cqueues = "the other coroutine went on\n",
    own_loop = "",
  }
  local MODULES = { luv = "luv", cqueues = "cqueues", own_loop = "socket" }

  for _, name in ipairs { "luv", "cqueues", "own_loop" } do
    it("examples/" .. name .. ".lua creates its contacts at once", function()
      if not pcall(require, MODULES[name]) then
        pending(MODULES[name] .. " is not there for this Lua")
      end
      api:default { delay = 0.3 }
      local out = process.lua(process.read_file("examples/" .. name .. ".lua"), {
        HEYMARKET_SECRET_ID = "an-id",
        HEYMARKET_SECRET_KEY = "a-key",
        HEYMARKET_BASE_URL = api.url,
        NO_PROXY = "*",
      })
      local lines = {}
      for line in out:gmatch "[^\n]+" do
        lines[#lines + 1] = line
      end
      assert.are.equal(WORDS[name], #lines == 4 and lines[4] .. "\n" or "", out)
      lines[4] = nil
      table.sort(lines)
      assert.are.same({ "Ann: 1 accepted", "Ben: 1 accepted", "Cleo: 1 accepted" }, lines)
      assert.are.equal(3, api:ledger().max_in_flight)
    end)
  end
end)
