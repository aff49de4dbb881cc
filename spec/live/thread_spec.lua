-- The thread of the core: one for a process, and a clean end however the process, the Lua state or the call ends.
local core = require "heymarket.core"
local process = require "spec.support.process"
local server = require "spec.support.server"
local system = require "heymarket.system"

local api, folder

local function compile(name)
  local library = ("%s/%s.so"):format(folder, name)
  local made = os.execute(("cc -shared -fPIC -o %s spec/support/%s.c"):format(process.quote(library), name))
  assert(made == true or made == 0, name .. " could not be compiled")
  return library
end

setup(function()
  api = server.start()
  folder = server.folder()
end)

teardown(function()
  api:stop()
  server.remove(folder)
end)

before_each(function()
  api:reset()
end)

-- What every script begins with: `go(count)` starts so many requests, `get()` waits for a result.
local BEGIN = [[
  local core = require "heymarket.core"
  local system = require "heymarket.system"
  local url = os.getenv "TEST_URL"
  local pool, inbox = core.pool(), core.inbox()
  local function go(count)
    for _ = 1, count do
      assert(pool:start("GET", url, {}, nil, 30, 30, nil, inbox))
    end
  end
  local function get()
    local result
    repeat
      result = inbox:take()
      system.sleep(0.0005)
    until result
    return result
  end
  local function threads()
    local pipe = io.popen "cat /proc/$PPID/task/*/comm"
    local _, count = pipe:read("*a"):gsub("heymarket\n", "")
    pipe:close()
    return count
  end
]]

-- Runs a script in a process of its own; gives what it prints, with its exit code. A process that hangs is ended.
local function run(script, before)
  return process.with_file(BEGIN .. script, function(path)
    local command = ("timeout -s KILL 60 %s %s 2>&1; echo exit $?"):format(
      process.this_lua { TEST_URL = api.url .. "/v1/inboxes", TEST_FOLDER = folder },
      process.quote(path)
    )
    return process.output((before or "") .. command)
  end)
end

describe("the thread", function()
  it("is one for all pools, begins with the first request, and ends with the last pool", function()
    local text = run [[
      local other = core.pool()
      print(threads())
      go(1)
      assert(other:start("GET", url, {}, nil, 30, 30, nil, inbox))
      print(threads(), get().status, get().status)
      other:close()
      print(threads())
      go(1)
      print(get().status)
      pool:close()
      print(threads(), core.open_handles().transfers)
    ]]
    assert.are.equal("0\n1\t200\t200\n1\n200\n0\t0\nexit 0\n", text)
  end)

  it("begins anew after it has ended", function()
    local text = run [[
      for _ = 1, 50 do
        go(3)
        assert(get().status == 200 and get().status == 200 and get().status == 200)
        pool:close()
        pool = core.pool()
      end
      print(threads())
    ]]
    assert.are.equal("0\nexit 0\n", text)
  end)

  it("blocks every signal, so that the program handles them", function()
    local text = run [[
      go(1)
      get()
      local pipe = io.popen "grep -l '^heymarket' /proc/$PPID/task/*/comm"
      local path = pipe:read("*l"):gsub("comm$", "status")
      pipe:close()
      for line in io.lines(path) do
        local mask = line:match "^SigBlk:%s*(%x+)"
        if mask then
          -- Two signals belong to the C library; KILL and STOP cannot be blocked.
          print(mask)
        end
      end
    ]]
    assert.are.equal("fffffffe7ffbfeff\nexit 0\n", text)
  end)

  it("drops the requests of a pool that is closed, and no others", function()
    api:default { delay = 20 }
    local text = run [[
      local other = core.pool()
      go(3)
      other:start("GET", url, {}, nil, 0.3, 0.3, 99, inbox)
      pool:close()
      local result = get()
      print(result.id, result.code, inbox:take())
      other:close()
      print(core.open_handles().transfers)
    ]]
    assert.are.equal("99\tOPERATION_TIMEDOUT\tnil\n0\nexit 0\n", text)
  end)

  it("goes on with the requests of an inbox that is closed, and drops their results", function()
    api:default { delay = 0.2 }
    local text = run [[
      go(3)
      inbox:close()
      local give_up = system.monotonic() + 20
      while core.open_handles().transfers > 0 and system.monotonic() < give_up do
        system.sleep(0.01)
      end
      print(core.open_handles().transfers)
    ]]
    assert.are.equal("0\nexit 0\n", text)
    assert.are.equal(3, #api:ledger().requests)
  end)

  it("tells what keeps a request from beginning as its result", function()
    local text = run [[
      local broken = core.pool { proxy = "http://127.0.0.1:1", ca_file = "/nowhere" }
      assert(broken:start("GET", "https://127.0.0.1:1/", {}, nil, 5, 5, nil, inbox))
      local result = get()
      print(result.sent, type(result.code), result.status)
      broken:close()
    ]]
    assert.are.equal("false\tstring\tnil\nexit 0\n", text)
  end)
end)

describe("a process with requests in flight", function()
  before_each(function()
    api:default { delay = 30 }
  end)

  local ENDS = {
    { "ends with its script", "", "exit 0\n" },
    { "ends with os.exit, which leaves the Lua state open", "os.exit(3)", "exit 3\n" },
    { "ends with os.exit, which closes the Lua state", "os.exit(3, true)", "exit 3\n" },
    { "ends with an error", "error('the end', 0)", "exit 1\n" },
    { "is killed", "io.popen('kill -TERM $PPID'):close() system.sleep(30)", "exit 143\n" },
  }
  for _, case in ipairs(ENDS) do
    it(case[1] .. ", at once", function()
      local started = system.monotonic()
      local text = run("go(20)\n" .. case[2], "trap - TERM; ")
      assert.are.equal(case[3], text:match "exit %d+\n$")
      assert.is_nil(text:find("egmentation", 1, true), text)
      assert.is_true(system.monotonic() - started < 20)
    end)
  end

  it("may end before they have begun, and while they end", function()
    api:default {}
    for round = 0, 20 do
      local text = run(("go(5) system.sleep(%g) os.exit(0, %s)"):format(round / 4000, tostring(round % 2 == 0)))
      assert.are.equal("exit 0\n", text)
    end
  end)

  -- In cqueues, since luv crashes, without this library too, where the Lua state is closed inside of its callbacks.
  if pcall(require, "cqueues") and (rawget(_G, "jit") or _VERSION ~= "Lua 5.1") then
    for _, closes in ipairs { "true", "false" } do
      it("may end inside of a hook: os.exit(0, " .. closes .. ")", function()
        api:default {}
        local text = run(([[
          local heymarket = require "heymarket"
          local client = assert(heymarket.new {
            secret_id = "a", secret_key = "b", loop = "cqueues", base_url = url:match "^(.*)/v1/",
          })
          local controller = require("cqueues").new()
          for i = 1, 5 do
            controller:wrap(function()
              client:create_contacts({ { phone = "1202555000" .. i } }, {
                on_event = function(event)
                  if event.type == "response" then
                    os.exit(0, %s)
                  end
                end,
              })
            end)
          end
          controller:loop()
          print "not reached"
        ]]):format(closes))
        assert.are.equal("exit 0\n", text)
      end)
    end
  end
end)

describe("a forked child", function()
  it("makes a thread of its own at whatever moment it was forked, and the parent's goes on", function()
    if os.getenv "HEYMARKET_TEST_RUN" == "asan" then
      pending "the sanitizer's own allocator does not survive a fork of a process with several threads"
    end
    compile "core_fork"
    local text = run(
      [[
      local forks = assert(package.loadlib(os.getenv "TEST_FOLDER" .. "/core_fork.so", "luaopen_core_fork"))()
      local in_flight = 0
      for round = 1, 60 do
        go(3)
        in_flight = in_flight + 3
        system.sleep(round % 10 / 5000)
        local child = forks.fork()
        if child == 0 then
          local ok, problem = pcall(function()
            assert(core.open_handles().transfers == 0, "the child counts the parent's transfers")
            assert(inbox:take() == nil, "the child has a result of the parent's")
            go(2)
            assert(get().status == 200 and get().status == 200)
            assert(threads() == 1)
            pool:close()
            assert(threads() == 0)
          end)
          if not ok then
            print(problem)
          end
          if round % 2 == 0 then
            os.exit(ok and 0 or 1)
          end
          forks.exit(ok and 0 or 1)
        end
        while in_flight > 0 do
          assert(get().status == 200)
          in_flight = in_flight - 1
        end
        assert(forks.wait(child) == 0, "the child failed")
      end
      print(threads(), core.open_handles().transfers)
    ]],
      "export ASAN_OPTIONS=detect_leaks=0; "
    )
    assert.are.equal("1\t0\nexit 0\n", text)
  end)
end)

describe("the state of this spec", function()
  it("has used no thread itself", function()
    assert.are.same({ signers = 0, pools = 1, transfers = 0 }, core.open_handles()) -- of the control calls
  end)
end)
