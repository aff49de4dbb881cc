-- The journal of imports that are killed, that share it, or that find no room for it: in processes of their own.
local cjson = require("cjson").new()
local heymarket = require "heymarket"
local memory_api = require "spec.support.memory_api"
local process = require "spec.support.process"
local server = require "spec.support.server"
local system = require "heymarket.system"

local RUN = os.getenv "HEYMARKET_TEST_RUN"
-- Deaths by kill -9. Under one Lua there are many; HEYMARKET_TEST_KILLS asks for another number.
local KILLS = tonumber(os.getenv "HEYMARKET_TEST_KILLS") or ((RUN == nil or RUN == "5.4") and 30 or 10)
local assert_sound = memory_api.assert_sound

local contacts, quote, read_file = memory_api.contacts, process.quote, process.read_file
local folder

setup(function()
  folder = server.folder()
end)

teardown(function()
  server.remove(folder)
end)

local names = 0
local function new_path()
  names = names + 1
  return folder .. "/journal" .. names
end

describe("a journal and the processes", function()
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

  local function worker(options)
    options.url = api.url
    return ("%s spec/support/import_worker.lua %s"):format(process.this_lua(), quote(cjson.encode(options)))
  end

  -- Runs a worker to its end, or to its death. Returns what it printed, nil when it was killed, and all its output.
  local function execute(options, before, kill_after)
    local command = worker(options)
    if kill_after then
      command = ("timeout --foreground -s KILL %.4f %s"):format(kill_after, command)
    end
    local text = process.output((before or "") .. command .. " 2>&1")
    local line = text:match "({.*})\n"
    return line and cjson.decode(line), text
  end

  local function last_request(order)
    return order[#order]
  end

  local function number_of_life(request)
    return tonumber((request.headers["user-agent"] or ""):match "life%-(%d+)")
  end

  -- Kills and restarts one import until it is through. Returns the number of deaths.
  local function live_and_die(overwrite, most, whole)
    api:reset()
    api:default { delay = 0.004 }
    local count, journal, log = 400, new_path(), new_path()
    local options =
      { journal = journal, count = count, overwrite = overwrite, batch_size = 5, concurrency = 4, log = log }
    local result
    local deaths = -1
    repeat
      deaths = deaths + 1
      options.life = deaths + 1
      local text
      result, text = execute(options, nil, deaths < most and math.random() * whole or nil)
      assert(result or deaths < most, text)
      -- Death may come while the result is printed, but nothing else is ever said.
      assert(text == "" or text:sub(1, 1) == "{", text)
    until result
    assert.is_nil(result.failure)

    local ledger = api:ledger()
    local by_id = {}
    for number, request in ipairs(ledger.requests) do
      request.number = number
      by_id[request.request_id] = request
    end
    local invalid, doubles = count / 100, count / 100
    local valid = count - invalid

    -- What a life took in, and so noted, no later life sent again: its last request is the last one with these phones.
    -- The doubled phones stand in two requests of their own accord.
    local taken_in = 0
    for id in (read_file(log) or ""):gmatch "%S+" do
      local request = assert(by_id[id], "the log names a request that the server did not see")
      taken_in = taken_in + 1
      for _, phone in ipairs(request.phones) do
        if tonumber(phone:sub(-2)) ~= 59 then
          assert.are.equal(request.number, last_request(ledger.order[phone]), phone .. " was sent again")
        else
          local later = {}
          for _, number in ipairs(ledger.order[phone]) do
            if number > request.number then
              later[#later + 1] = number
            end
          end
          -- Its twin may follow, as often as it was interrupted.
          for _, number in ipairs(later) do
            assert.is_true(number_of_life(ledger.requests[number]) >= number_of_life(request))
          end
        end
      end
    end
    assert.is_true(taken_in > 0)

    -- Nothing was left out.
    local stored = 0
    for phone, times in pairs(ledger.stored) do
      stored = stored + 1
      if not overwrite then
        assert.are.equal(1, times, phone)
      end
    end
    assert.are.equal(valid - doubles, stored)
    assert.are.same({}, ledger.doubles)

    -- The report is what the server said last.
    local report = result.report
    assert_sound(report, count)
    assert.are.equal(invalid, report.invalid)
    assert.are.equal(valid, report.accepted + report.rejected)
    local rejected = {}
    for _, item in ipairs(result.items) do
      assert.are.equal(item.index + 1, item.position)
      if item.outcome == "rejected" then
        assert.are.equal(item.phone, item.remote)
        rejected[item.phone] = (rejected[item.phone] or 0) + 1
        local arrived = #ledger.order[item.phone]
        local place = item.index % 100
        if place ~= 59 and place ~= 60 then
          assert.is_true(item.ambiguous, "the contact of an interrupted request is not ambiguous")
          assert.is_true(arrived > 1)
        end
      end
    end
    for phone, order in pairs(ledger.order) do
      if tonumber(phone:sub(-2)) ~= 59 then
        local listed = false
        for _, other in ipairs(ledger.requests[last_request(order)].listed) do
          listed = listed or other == phone
        end
        assert.are.equal(listed and 1 or nil, rejected[phone], phone)
      elseif not overwrite then
        assert.is_true(rejected[phone] >= 1, "the second of two contacts with one phone was not rejected")
      end
    end
    return deaths, report
  end

  it(("survives %d deaths by kill -9 at random moments"):format(KILLS), function()
    math.randomseed(os.time())
    -- How long a life lasts here decides when it is to end.
    local started = system.monotonic()
    live_and_die(false, 0, 0)
    local whole = (system.monotonic() - started) * 0.7
    local deaths, lives = 0, 0
    while deaths < KILLS do
      local overwrite = lives % 3 == 2
      deaths = deaths + live_and_die(overwrite, math.min(25, KILLS - deaths), whole)
      lives = lives + 1
    end
    assert.is_true(deaths >= KILLS)
  end)

  it("serves one import at a time", function()
    api:default { delay = 0.5 }
    local journal, out = new_path(), new_path()
    local options = { journal = journal, count = 20, batch_size = 5, concurrency = 1 }
    local pipe = assert(io.popen(worker(options) .. " > " .. quote(out) .. " 2>&1", "r"))
    repeat
      system.sleep(0.01)
    until #api:ledger().requests > 0
    local before = read_file(journal)
    local second = execute(options)
    assert.are.equal("journal", second.failure.kind)
    assert.is_truthy(second.failure.message:find(journal, 1, true))
    assert.are.equal(before, read_file(journal):sub(1, #before))
    -- The same within one process.
    local client = assert(heymarket.new { secret_id = "id", secret_key = "key", base_url = api.url, batch_size = 5 })
    local report, problem = client:import(contacts(20), { journal = journal })
    client:close()
    assert.is_nil(report)
    assert.are.equal("journal", problem.kind)
    pipe:close()
    local first = cjson.decode(read_file(out))
    assert.is_nil(first.failure)
    assert.are.equal(20, first.report.accepted)
    assert.are.equal(4, #api:ledger().requests)
  end)

  -- The report of a run whose journal could not be written must be what the server saw.
  local function assert_stopped_truly(result, count)
    assert.are.equal("journal", result.failure.kind)
    local ledger = api:ledger()
    local stored, sent = 0, 0
    for _ in pairs(ledger.stored) do
      stored = stored + 1
    end
    for _ in pairs(ledger.order) do
      sent = sent + 1
    end
    assert_sound(result.report)
    assert.is_true(result.report.total <= count)
    assert.are.equal(stored, result.report.accepted)
    assert.are.equal(sent, stored)
    assert.are.equal(0, result.report.unknown)
    return stored
  end

  it("stops with a true report where the journal hits a limit, and goes on when there is room", function()
    local journal = new_path()
    local options = { journal = journal, count = 1000, batch_size = 5, concurrency = 4 }
    local result = execute(options, "trap '' XFSZ; ulimit -f 8; ")
    local stored = assert_stopped_truly(result, 1000)
    assert.is_true(stored > 0 and stored < 900)
    result = execute(options)
    assert.is_nil(result.failure)
    assert_sound(result.report, 1000)
    assert.are.equal(10, result.report.invalid)
    assert.are.equal(990, result.report.accepted + result.report.rejected)
    for phone, times in pairs(api:ledger().stored) do
      assert.are.equal(1, times, phone)
    end
    for _, item in ipairs(result.items) do
      if item.outcome == "rejected" and item.index % 100 ~= 60 then
        assert.is_true(item.ambiguous)
      end
    end
  end)

  -- The file system of its own vanishes with the process that mounted it.
  local mount = "unshare -m sh -c "
  local function on_full_disk(command)
    return mount .. quote("mount -t tmpfs -o size=12k none " .. quote(folder) .. " && " .. command) .. " 2>&1"
  end

  it("stops with a true report where the disk is full", function()
    if not process.output(on_full_disk "echo mounted"):find "mounted" then
      pending "a file system may not be mounted here"
    end
    local options = { journal = folder .. "/full", count = 2000, batch_size = 5, concurrency = 4 }
    local text = process.output(on_full_disk(worker(options)))
    local stored = assert_stopped_truly(cjson.decode(text), 2000)
    assert.is_true(stored > 0 and stored < 2000)
  end)

  it("sends nothing where nothing can be written from the start", function()
    local result = execute { journal = "/dev/full", count = 50 }
    assert.are.equal("journal", result.failure.kind)
    assert.are.equal(0, #api:ledger().requests)
  end)
end)
