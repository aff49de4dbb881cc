local cjson = require("cjson").new()
local core = require "heymarket.core"
local heymarket = require "heymarket"
local bulk_journal = require "heymarket.bulk.journal"
local memory_api = require "spec.support.memory_api"
local positions = require "spec.support.positions"
local process = require "spec.support.process"
local rounds = require "spec.support.rounds"
local server = require "spec.support.server"
local system = require "heymarket.system"

local assert_sound = memory_api.assert_sound

local quote, read_file, write_file = process.quote, process.read_file, process.write_file
local phone_of, contacts, make_api, run = memory_api.phone, memory_api.contacts, memory_api.new, memory_api.import
local folder

setup(function()
  folder = process.folder_in_memory()
end)

teardown(function()
  server.remove(folder)
end)

local names = 0
local function new_path()
  names = names + 1
  return folder .. "/journal" .. names
end

local function assert_refused(api, report, problem)
  assert.is_nil(report)
  assert.is_true(heymarket.is_failure(problem))
  assert.are.equal("journal", problem.kind, tostring(problem))
  assert.are.equal(0, api.requests, "something was sent")
  if problem.report then
    assert_sound(problem.report)
  end
end

local function by_index(items)
  local map = {}
  for _, item in ipairs(items) do
    map[item.index] = item
  end
  return map
end

describe("a journal", function()
  it("that is complete makes the same call send nothing and report the same", function()
    local api, path = make_api(), new_path()
    api.store[phone_of(7)] = 7
    api.store[phone_of(23)] = 23
    local list = contacts(45)
    list[30] = { phone = "none" }
    local first = assert(run(api, list, { journal = path }))
    assert_sound(first, 45)
    assert.are.equal(42, first.accepted)
    assert.are.equal(2, first.rejected)
    assert.are.equal(0, first.resumed)
    for _ = 1, 3 do
      api:forget()
      local again = assert(run(api, list, { journal = path }))
      assert.are.equal(0, api.requests)
      assert.are.equal(0, again.requests)
      assert.are.equal(44, again.resumed)
      for _, outcome in ipairs(memory_api.outcomes) do
        assert.are.equal(first[outcome], again[outcome], outcome)
      end
      assert.are.equal(#first.items, #again.items)
      for i, item in ipairs(first.items) do
        assert.are.equal(item.index, again.items[i].index)
        assert.are.equal(item.outcome, again.items[i].outcome)
        assert.are.equal(item.position, again.items[i].position)
        assert.are.equal(item.ambiguous, again.items[i].ambiguous)
        assert.are.same(item.remote, again.items[i].remote)
        assert.are.equal(list[item.index], again.items[i].contact)
      end
    end
  end)

  it("tells on_item again what an earlier run had rejected", function()
    local api, path = make_api(), new_path()
    api.store[phone_of(7)] = 7
    assert(run(api, contacts(20), { journal = path }))
    local seen = {}
    assert(run(api, contacts(20), {
      journal = path,
      on_item = function(item)
        seen[#seen + 1] = item
      end,
    }))
    assert.are.equal(1, #seen)
    assert.are.equal(7, seen[1].index)
    assert.are.equal("rejected", seen[1].outcome)
    assert.are.equal(7, seen[1].remote.id)
    assert.is_falsy(seen[1].ambiguous)
  end)

  it("goes on where a stopped run ended", function()
    local api, path = make_api(), new_path()
    local list = contacts(500)
    local function source()
      local i = 0
      return function()
        i = i + 1
        return list[i], i
      end
    end
    local report, problem
    local runs, accepted = 0, 0
    repeat
      runs = runs + 1
      local in_this_run = 0
      report, problem = run(api, source(), {
        journal = path,
        should_stop = function()
          in_this_run = in_this_run + 1
          return in_this_run > 5
        end,
      }, { concurrency = 3 })
      local made = report or problem.report
      assert_sound(made)
      assert.are.equal(0, made.rejected)
      assert.is_true(made.accepted > accepted, "no progress")
      accepted = made.accepted
    until report or runs > 100
    assert.is_true(runs > 3)
    assert_sound(report, 500)
    assert.are.equal(500, report.accepted)
    for i = 1, 500 do
      assert.are.equal(1, api.sent[phone_of(i)])
    end
  end)

  it("does not make a contact ambiguous that was never sent", function()
    -- The pace leaves requests waiting when the run is stopped: they were due, but nothing of them was ever sent.
    local api, path = make_api(), new_path()
    local stop = false
    local report, problem = run(api, contacts(60), {
      journal = path,
      on_event = function(event)
        stop = stop or event.type == "pace"
      end,
      should_stop = function()
        return stop
      end,
    }, { requests_per_minute = 2, concurrency = 4 })
    assert.is_nil(report)
    assert.are.equal("stopped", problem.kind)
    assert.are.equal(2, api.requests)
    assert.are.equal(20, problem.report.accepted)
    api.store[phone_of(25)] = 25
    report = assert(run(api, contacts(60), { journal = path }))
    assert_sound(report, 60)
    assert.are.equal(59, report.accepted)
    assert.are.equal(1, #report.items)
    assert.are.equal(25, report.items[1].index)
    assert.are.equal("rejected", report.items[1].outcome)
    assert.is_falsy(report.items[1].ambiguous)
  end)

  it("has failed contacts sent again, and unknown ones as ambiguous where they are listed", function()
    -- The first request is refused for good, the answer of the second is lost after the server acted, that of the third
    -- before it did.
    local api
    local path = new_path()
    api = make_api(function(_, number, phones)
      if number == 1 then
        return { status = 429, body = "" }
      elseif number == 2 then
        for _, phone in ipairs(phones) do
          api.store[phone] = 1
        end
        return { code = "RECV_ERROR", sent = true }
      elseif number == 3 then
        return { code = "RECV_ERROR", sent = true }
      end
    end)
    local first = assert(run(api, contacts(40), { journal = path }))
    assert_sound(first, 40)
    assert.are.equal(10, first.failed)
    assert.are.equal(20, first.unknown)
    assert.are.equal(10, first.accepted)
    api:forget()
    api.store[phone_of(3)] = 3 -- somebody else made this one meanwhile
    local report = assert(run(api, contacts(40), { journal = path }))
    assert_sound(report, 40)
    assert.are.equal(3, api.requests)
    assert.are.equal(10, report.resumed)
    assert.are.equal(29, report.accepted)
    assert.are.equal(11, report.rejected)
    for i = 31, 40 do
      assert.is_nil(api.sent[phone_of(i)])
    end
    for _, item in ipairs(report.items) do
      assert.are.equal("rejected", item.outcome)
      -- Only those of the second request may have been made by the first run.
      assert.are.equal(item.index > 10 or nil, item.ambiguous)
    end
    -- And they stay so.
    api:forget()
    local again = assert(run(api, contacts(40), { journal = path }))
    assert.are.equal(0, api.requests)
    assert.are.equal(11, again.rejected)
    for i, item in ipairs(again.items) do
      assert.are.equal(report.items[i].ambiguous, item.ambiguous)
      assert.are.equal(phone_of(item.index), item.remote.phone)
    end
  end)

  it("knows that a contact which failed in one run was in flight at the end of the next", function()
    local path, dying = new_path(), nil
    local api
    api = make_api(function(_, number, phones)
      if number == 1 then
        return { status = 429, body = "" }
      elseif number == 2 then
        for _, phone in ipairs(phones) do
          api.store[phone] = 1
        end
        dying = read_file(path) -- what the disk holds if the machine of the second run dies here
      end
    end)
    assert.are.equal(10, assert(run(api, contacts(10), { journal = path })).failed)
    assert(run(api, contacts(10), { journal = path }))
    write_file(path, dying)
    local report = assert(run(api, contacts(10), { journal = path }))
    assert.are.equal(10, report.rejected)
    for _, item in ipairs(report.items) do
      assert.is_true(item.ambiguous)
    end
  end)

  it("makes a contact unknown, not unsent, that an earlier run may have sent", function()
    local path = new_path()
    local api = make_api(function()
      return { code = "RECV_ERROR", sent = true }
    end)
    local report = run(api, contacts(4), { journal = path, batch_size = 2, concurrency = 1, max_attempts = 1 })
    assert.are.equal(4, report.unknown)
    api = make_api()
    local _, problem = run(api, contacts(4), {
      journal = path,
      batch_size = 2,
      should_stop = function()
        return true
      end,
    })
    assert.are.equal("stopped", problem.kind)
    assert.are.equal(0, api.requests)
    assert.are.equal(4, problem.report.unknown)
    assert.are.equal("maybe", problem.report.items[1].failure.delivered)
    assert_sound(problem.report, 4)
  end)

  it("lets the contacts before an invalid one be sent before max_failures stops the import", function()
    for _, with_journal in ipairs { true, false } do
      local api = make_api()
      local list = contacts(16)
      list[13] = { phone = "none" }
      local options =
        { journal = with_journal and new_path() or nil, max_failures = 1, batch_size = 2, concurrency = 1 }
      local report, problem = run(api, list, options)
      assert.is_nil(report)
      assert.are.equal("max_failures", problem.reason)
      assert.are.equal(12, problem.report.accepted)
      assert.are.equal(1, problem.report.invalid)
      assert.are.equal(3, problem.report.unsent)
    end
  end)

  it("counts for max_failures over all runs, each contact once", function()
    -- The first 100 of 200 are in the account already; two more have no phone.
    local api, path = make_api(), new_path()
    local list = contacts(200)
    for i = 1, 100 do
      api.store[phone_of(i)] = i
    end
    list[5], list[150] = { phone = "none" }, { phone = "none" }
    local function go_on(max)
      api:forget()
      return run(api, list, { journal = path, max_failures = max })
    end
    local report, problem = go_on(25)
    assert.is_nil(report)
    assert.are.equal("max_failures", problem.reason)
    assert_sound(problem.report, 200)
    assert.are.equal(30, problem.report.rejected)
    -- The same number is reached at once, and nothing more is sent.
    report, problem = go_on(25)
    assert.is_nil(report)
    assert.are.equal("max_failures", problem.reason)
    assert.are.equal(0, api.requests)
    assert.are.equal(30, problem.report.rejected)
    -- A larger one goes on until it is reached; what an earlier run had rejected does not count again.
    report, problem = go_on(60)
    assert.is_nil(report)
    assert.are.equal("max_failures", problem.reason)
    assert.are.equal(60, problem.report.rejected)
    assert.is_nil(api.sent[phone_of(31)])
    assert.are.equal(1, api.sent[phone_of(32)])
    report = assert(go_on(102 + 1))
    assert_sound(report, 200)
    assert.are.equal(99, report.rejected)
    assert.are.equal(2, report.invalid)
    assert.are.equal(99, report.accepted)
  end)

  it("is not used by an import of which an option is wrong", function()
    local api, path = make_api(), new_path()
    local report, problem = run(api, contacts(3), { journal = path, batch_size = 0 })
    assert.is_nil(report)
    assert.are.equal("invalid", problem.kind)
    assert.is_nil(read_file(path))
  end)

  it("takes an empty input, and an empty file", function()
    local api, path = make_api(), new_path()
    write_file(path, "")
    for _ = 1, 2 do
      assert.are.equal(0, assert(run(api, {}, { journal = path })).total)
    end
    path = new_path()
    write_file(path, "")
    assert.are.equal(3, assert(run(api, contacts(3), { journal = path })).accepted)
  end)

  it("holds no secret", function()
    local path = new_path()
    assert(run(make_api(), contacts(3), { journal = path }, { secret_id = "my-own-id", secret_key = "my-own-key" }))
    local text = read_file(path)
    assert.is_nil(text:find("my-own-key", 1, true))
    assert.is_nil(text:find("eyJ", 1, true))
  end)
end)

describe("a journal of another import", function()
  -- A journal of an import of 250 contacts that died when its 16th request of 10 contacts reached the server.
  local half, complete

  setup(function()
    local path = new_path()
    local api = make_api(function(_, number)
      if number == 16 then
        half = read_file(path)
      end
    end)
    assert(run(api, contacts(250), { journal = path, overwrite = true }))
    complete = read_file(path)
  end)

  local function resume(text, list, options, config)
    local path = new_path()
    write_file(path, text)
    local api = make_api()
    local given = { journal = path, overwrite = true }
    for name, value in pairs(options or {}) do
      given[name] = value
    end
    local report, problem = run(api, list, given, config)
    return api, report, problem, path
  end

  it("is accepted when input and options are equal", function()
    local api, report = resume(half, contacts(250))
    assert_sound(report, 250)
    assert.are.equal(250, report.accepted)
    assert.are.equal(150, report.resumed)
    assert.is_nil(api.sent[phone_of(150)])
    for i = 151, 250 do
      assert.are.equal(1, api.sent[phone_of(i)])
    end
    api, report = resume(complete, contacts(250))
    assert.are.equal(250, report.accepted)
    assert.are.equal(0, api.requests)
  end)

  local changes = {
    ["a changed first contact"] = function(list)
      list[1].first = "Other"
    end,
    ["another phone in the first batch"] = function(list)
      list[5].phone = phone_of(5000)
    end,
    ["another phone later"] = function(list)
      list[125].phone = phone_of(5000)
    end,
    ["a changed name later"] = function(list)
      list[125].first = "Other"
    end,
    ["a changed contact in flight at the time of death"] = function(list)
      list[155].first = "Other"
    end,
    ["one contact more in the middle"] = function(list)
      table.insert(list, 120, { phone = phone_of(5000) })
    end,
    ["one contact less in the middle"] = function(list)
      table.remove(list, 120)
    end,
    ["one contact less at the start"] = function(list)
      table.remove(list, 1)
    end,
    ["two contacts of one request in another order"] = function(list)
      list[123], list[124] = list[124], list[123]
    end,
    ["two contacts of two requests in another order"] = function(list)
      list[105], list[145] = list[145], list[105]
    end,
    ["all contacts the other way round"] = function(list)
      for i = 1, 125 do
        list[i], list[251 - i] = list[251 - i], list[i]
      end
    end,
    ["a contact that became invalid"] = function(list)
      list[140] = { phone = "none" }
    end,
    ["half as many contacts"] = function(list)
      for i = 126, 250 do
        list[i] = nil
      end
    end,
    ["few contacts"] = function(list)
      for i = 51, 250 do
        list[i] = nil
      end
    end,
    ["no contacts"] = function(list)
      for i = 1, 250 do
        list[i] = nil
      end
    end,
  }
  for name, change in pairs(changes) do
    it("is refused for " .. name .. ", and nothing is sent", function()
      for _, text in ipairs { half, complete } do
        for _, as_function in ipairs { false, true } do
          local list = contacts(250)
          change(list)
          local count = #list
          local source = list
          if as_function then
            local i = 0
            source = function()
              i = i + 1
              return list[i], i
            end
          end
          local api, report, problem, path = resume(text, source)
          assert_refused(api, report, problem)
          if not as_function and problem.report then
            assert_sound(problem.report, count)
          end
          -- The right input still goes on from it.
          local again = assert(run(api, contacts(250), { journal = path, overwrite = true }))
          assert.are.equal(250, again.accepted)
          assert.is_nil(api.sent[phone_of(1)])
        end
      end
    end)
  end

  it("is refused before its unanswered contacts are sent again", function()
    -- The second of 25 requests has no answer yet when the 16th arrives.
    local text
    local path = new_path()
    local api = make_api(function(_, number)
      if number == 16 then
        text = read_file(path)
      end
    end, function(number)
      return number == 2 and 1000 or 1
    end)
    assert(run(api, contacts(250), { journal = path, overwrite = true }, { concurrency = 3 }))
    local list = contacts(250)
    list[125].first = "Other"
    assert_refused(resume(text, list))
    local report
    api, report = resume(text, contacts(250))
    assert_sound(report, 250)
    assert.are.equal(250, report.accepted)
    assert.are.equal(1, api.sent[phone_of(11)])
    assert.is_nil(api.sent[phone_of(1)])
    assert.is_nil(api.sent[phone_of(30)])
  end)

  it("is refused for more contacts than a complete import had, and for fewer", function()
    for _, count in ipairs { 249, 251, 300, 1000 } do
      assert_refused(resume(complete, contacts(count)))
    end
  end)

  local other_options = {
    overwrite = { { overwrite = false } },
    ["default_country, where there was none"] = { { default_country = "1" } },
    batch_size = { { batch_size = 20 } },
    base_url = { nil, { base_url = "http://127.0.0.1:2" } },
    secret_id = { nil, { secret_id = "other" } },
  }
  for name, case in pairs(other_options) do
    it("is refused for another " .. name .. ", and nothing is sent", function()
      for _, text in ipairs { half, complete } do
        local api, report, problem = resume(text, contacts(250), case[1], case[2])
        assert_refused(api, report, problem)
        assert.is_truthy(problem.message:find(name == "secret_id" and "account" or name:match "^%S-%f[,%z]", 1, true))
      end
    end)
  end

  it("is refused where default_country is no longer given", function()
    local api, path = make_api(), new_path()
    assert(run(api, contacts(20), { journal = path, default_country = "1" }))
    api:forget()
    assert_refused(api, run(api, contacts(20), { journal = path }))
    assert_refused(api, run(api, contacts(20), { journal = path, default_country = false }))
    assert(run(api, contacts(20), { journal = path, default_country = "1" }))
    assert.are.equal(0, api.requests)
  end)

  it("is accepted with another pace, timeout or concurrency", function()
    local _, report = resume(half, contacts(250), { timeout = 7, concurrency = 2, max_attempts = 3 })
    assert.are.equal(250, report.accepted)
  end)

  local not_journals = {
    ["a CSV file"] = "phone,first\n12000000001,Ann\n12000000002,Bob\n",
    ["a CSV file without an end of line"] = "phone,first",
    ["an empty line"] = "\n",
    ["a picture"] = "\137PNG\r\n\26\n" .. ("\0\255\1"):rep(5000),
    ["a long line"] = ("x"):rep(100000),
    ["JSON"] = '{"phone":"12000000001"}',
    ["a journal of a later version"] = "heymarket-journal 99 {} 00000000\n",
    ["a word like the start of one"] = "heymarketing",
  }
  for name, text in pairs(not_journals) do
    it("is refused and left untouched when it is " .. name, function()
      local api, report, problem, path = resume(text, contacts(30))
      assert_refused(api, report, problem)
      assert.are.equal(text, read_file(path))
      assert.is_truthy(problem.message:find(path, 1, true))
    end)
  end

  it("is refused when its first line is damaged", function()
    local damaged = half:gsub("^(.-)%d", "%1x")
    local api, report, problem, path = resume(damaged, contacts(250))
    assert_refused(api, report, problem)
    assert.are.equal(damaged, read_file(path))
  end)

  it("is refused when it is a folder, in a folder that is not there, or no plain file", function()
    local api = make_api()
    for _, path in ipairs { folder, folder .. "/none/journal", "/proc/self/nothing", "/dev/full" } do
      assert_refused(api, run(api, contacts(30), { journal = path }))
    end
    local pipe = new_path()
    os.execute("mkfifo " .. quote(pipe))
    assert_refused(api, run(api, contacts(30), { journal = pipe }))
  end)
end)

-- spec/support/journals holds two journals that heymarket wrote before its files were split. Both are of 40 contacts in
-- batches of 10: the first batch was answered, the second one failed for certain, the third one may have arrived, the
-- fourth one was answered. Contact 37 is invalid; 33 and 34 have the phones of 12 and 22. In `plain`, 5 and 35 were
-- listed; in `overwrite`, the answer for 33 and 34 superseded 12 and 22.
describe("a journal of format 2 that was written by an earlier build", function()
  local ANSWERED = { [5] = "1-10", [14] = "31-40" } -- by line of the file
  local SENDING = { [3] = "1-10", [6] = "11-20", [9] = "21-30", [12] = "31-40" }
  local CERTAIN = { [5] = "1-10", [8] = "11-20", [14] = "31-40" }

  local function list_of_40()
    local list = contacts(40)
    list[33] = { phone = phone_of(12), first = "Newer" }
    list[34] = { phone = phone_of(22), first = "Newer" }
    list[37] = { phone = "1" }
    return list
  end

  -- Sets a value for the contacts that these lines are about, up to a line.
  local function mark(set, lines, count, value)
    for number = 1, count do
      local first, last = (lines[number] or ""):match "(%d+)-(%d+)"
      for i = tonumber(first) or 1, tonumber(last) or 0 do
        set[i] = value
      end
    end
  end

  local function read_lines(name)
    local lines = {}
    for line in read_file("spec/support/journals/" .. name):gmatch "[^\n]*\n" do
      lines[#lines + 1] = line
    end
    assert.are.equal(15, #lines)
    return lines
  end

  local function expected(count)
    local answered, possibly_sent = {}, {}
    mark(answered, ANSWERED, count, true)
    for number = 1, count do
      mark(possibly_sent, { [number] = SENDING[number] }, number, true)
      mark(possibly_sent, { [number] = CERTAIN[number] }, number, nil)
    end
    return answered, possibly_sent
  end

  it("is continued from each of its lines", function()
    local lines = read_lines "plain"
    for count = 2, #lines do
      local path, list = new_path(), list_of_40()
      write_file(path, table.concat(lines, "", 1, count))
      local api = make_api()
      for i = 1, 40 do
        api.store[phone_of(i)] = i
      end
      local report = assert(run(api, list, { journal = path, overwrite = false }))
      assert_sound(report, 40)
      local items, answered, possibly_sent = by_index(report.items), expected(count)
      for i, contact in ipairs(list) do
        local item = items[i]
        if i == 37 then
          assert.are.equal("invalid", item.outcome)
        elseif answered[i] then
          assert.are.equal((i == 5 or i == 35) and "rejected" or nil, item and item.outcome, count .. ": " .. i)
          assert.are.equal(item and i, item and item.remote.id)
          -- The phones of 33 and 34 may be sent for 12 and 22.
          if i <= 10 then
            assert.is_nil(api.sent[contact.phone])
          end
        else
          assert.are.equal("rejected", item.outcome)
          assert.are.equal(possibly_sent[i], item.ambiguous, count .. ": " .. i)
          assert.is_true(api.sent[contact.phone] >= 1)
        end
      end
    end
  end)

  it("keeps older contacts from overwriting newer ones", function()
    local path = new_path()
    write_file(path, read_file "spec/support/journals/overwrite")
    local api = make_api()
    local report = assert(run(api, list_of_40(), { journal = path, overwrite = true }))
    local items = by_index(report.items)
    assert.are.equal("failed", items[12].outcome)
    assert.are.equal("unknown", items[22].outcome)
    assert.are.equal("superseded", items[12].failure.reason)
    assert.are.equal("superseded", items[22].failure.reason)
    assert.is_nil(api.sent[phone_of(12)])
    assert.is_nil(api.sent[phone_of(22)])
    -- The two batches that were not answered, without these two.
    assert.are.equal(18, report.total - report.resumed - report.invalid)
  end)

  -- The same calls, over a file that has the same first line, and so the same id.
  it("has the same bytes as this build writes", function()
    for _, name in ipairs { "plain", "overwrite" } do
      local lines, path = read_lines(name), new_path()
      write_file(path, lines[1])
      local options = cjson.decode(lines[1]:match "{.*}")
      local notes = assert(bulk_journal.open(path, options, function()
        return 1000
      end))
      local entries = {}
      for i, contact in ipairs(list_of_40()) do
        local body = ('{"phone":"%s","first":"%s"}'):format(contact.phone, contact.first or "")
        entries[i] = { index = i, phone = contact.phone, body = i ~= 37 and body or nil }
      end
      local function batch(first, last)
        local list = {}
        for i = first, last do
          list[#list + 1] = i ~= 37 and entries[i] or nil
        end
        return list
      end
      local function send(list)
        assert(notes:sending { entries = list })
        assert(notes:commit())
        return list
      end
      local remotes = {}
      for _, i in ipairs(name == "plain" and { 5, 35 } or {}) do
        remotes[phone_of(i)] = { id = i, phone = phone_of(i) }
      end
      assert(notes:begin(entries))
      assert(notes:answered(send(batch(1, 10)), remotes, nil, nil, {}))
      assert(notes:failed(send(batch(11, 20)), { delivered = "no" }))
      assert(notes:failed(send(batch(21, 30)), { delivered = "maybe" }))
      assert(notes:ended(40))
      assert(notes:answered(send(batch(31, 40)), remotes, nil, nil, {}))
      assert(notes:close())
      assert.are.equal(table.concat(lines), read_file(path))
    end
  end)
end)

describe("a damaged journal", function()
  -- Three requests of ten; the server had 5, 15 and 25 before. What the journal held when each request arrived is known
  -- from the server's side, not from its form.
  local text, on_disk, store

  setup(function()
    local path = new_path()
    local size
    on_disk = {} -- by request: how much of the journal had reached the disk when it arrived
    local api = make_api(function(_, number)
      on_disk[number] = size
    end)
    for i = 5, 25, 10 do
      api.store[phone_of(i)] = i
    end
    local sync = system.sync
    system.sync = function(file)
      size = #read_file(path)
      return sync(file)
    end
    local report = assert(run(api, contacts(30), { journal = path }))
    system.sync = sync
    assert.are.equal(3, report.rejected)
    text, store = read_file(path), api.store
  end)

  local function resume(damaged)
    local path = new_path()
    write_file(path, damaged)
    local api = make_api()
    for phone, id in pairs(store) do
      api.store[phone] = id
    end
    local report, problem = run(api, contacts(30), { journal = path })
    return api, report, problem, path
  end

  it("notes a request on the disk before it is sent", function()
    assert.is_true(on_disk[1] > 0)
    assert.is_true(on_disk[2] > on_disk[1] and on_disk[3] > on_disk[2])
    assert.is_true(#text > on_disk[3])
  end)

  it("can be continued after being cut at any byte", function()
    for size in positions(0, #text) do
      local api, report, problem, path = resume(text:sub(1, size))
      assert(report, "torn at " .. size .. ": " .. tostring(problem))
      assert_sound(report, 30)
      assert.are.equal(30, report.accepted + report.rejected)
      local items = by_index(report.items)
      for i = 1, 30 do
        local batch = math.floor((i - 1) / 10) + 1
        local item, sent = items[i], api.sent[phone_of(i)]
        if not sent then
          -- Its outcome is the one that it had.
          assert.are.equal(i % 10 == 5, item ~= nil, "torn at " .. size)
          assert.is_true(size > on_disk[batch])
        else
          assert.are.equal(1, sent)
          -- This server lists what it has: all of them. They are ambiguous where the journal said that they were being
          -- sent.
          assert.are.equal("rejected", item.outcome)
          -- Where only the end of that line is missing, both are true enough.
          if size ~= on_disk[batch] - 1 then
            assert.are.equal(size >= on_disk[batch] or nil, item.ambiguous, "torn at " .. size)
          end
        end
        -- What was answered before the next request left is not sent again.
        if batch < 3 and size >= on_disk[batch + 1] then
          assert.is_nil(sent, "torn at " .. size)
        end
      end
      -- And what went on after the torn line is itself a journal to go on from.
      api:forget()
      local again = assert(run(api, contacts(30), { journal = path }))
      assert.are.equal(0, api.requests, "torn at " .. size)
      assert.are.equal(report.accepted, again.accepted)
      assert.are.equal(report.rejected, again.rejected)
    end
  end)

  it("can be continued whatever happened to bytes after the last sync", function()
    math.randomseed(7)
    -- Three requests at once: when the import closes its journal, all answers are noted and none is on the disk.
    local path = new_path()
    local api = make_api()
    for i = 5, 25, 10 do
      api.store[phone_of(i)] = i
    end
    local sync, safe, image = system.sync, nil, nil
    system.sync = function(file)
      safe, image = image and #image, read_file(path)
      return sync(file)
    end
    assert(run(api, contacts(30), { journal = path }, { concurrency = 3 }))
    system.sync = sync
    assert.is_true(#image > safe + 200)
    for case = 1, rounds(300) do
      local from = math.random(safe + 1, #image)
      local to = math.random(from, #image)
      local damage = ("\0"):rep(to - from + 1)
      if case % 2 == 0 then
        damage = damage:gsub("%z", function()
          return string.char(math.random(0, 255))
        end)
      end
      local damaged = image:sub(1, from - 1) .. damage .. image:sub(to + 1, math.random(to, #image))
      local again, report, problem, its_path = resume(damaged)
      assert(report, tostring(problem))
      assert_sound(report, 30)
      assert.are.equal(30, report.accepted + report.rejected)
      local items = by_index(report.items)
      for i = 1, 30 do
        if not again.sent[phone_of(i)] then
          assert.are.equal(i % 10 == 5, items[i] ~= nil)
          assert.is_nil(items[i] and items[i].ambiguous)
        else
          assert.is_true(items[i].ambiguous)
        end
      end
      again:forget()
      assert.are.equal(30, assert(run(again, contacts(30), { journal = its_path })).resumed)
      assert.are.equal(0, again.requests)
    end
  end)

  -- The line of a byte, counted as an editor does.
  local function line_at(place)
    local _, count = text:sub(1, place - 1):gsub("\n", "")
    return count + 1
  end

  local function assert_names_line(damaged, number, what)
    local api, report, problem, path = resume(damaged)
    assert_refused(api, report, problem)
    assert.are.equal("damaged", problem.reason)
    assert.is_truthy(problem.message:find(("line %d "):format(number), 1, true), what .. ": " .. problem.message)
    assert.are.equal(damaged, read_file(path), what .. ": it was changed")
  end

  it("is refused with the line's number where something that had reached the disk is different", function()
    math.randomseed(11)
    -- The last line says that the others have reached the disk.
    local last = #text - #text:match "[^\n]+\n$"
    for place in positions(#"heymarket-journal 2 " + 1, last) do
      local number, byte = line_at(place), text:byte(place)
      local other = (byte + math.random(255)) % 256
      assert_names_line(
        text:sub(1, place - 1) .. string.char(other) .. text:sub(place + 1),
        number,
        "a byte at " .. place
      )
    end
    for _ = 1, rounds(100) do
      local from = math.random(#"heymarket-journal 2 " + 1, last)
      local to = math.random(from, math.min(from + 200, last))
      assert_names_line(text:sub(1, from - 1) .. ("\0"):rep(to - from + 1) .. text:sub(to + 1), line_at(from), "zeros")
    end
  end)

  it("is refused with the line's number where a line is missing, stands twice, or was put elsewhere", function()
    local lines = {}
    for line in text:gmatch "[^\n]+\n" do
      lines[#lines + 1] = line
    end
    for i = 2, #lines do
      local doubled, missing, moved = {}, {}, {}
      for j, line in ipairs(lines) do
        doubled[#doubled + 1] = line
        if j == i then
          doubled[#doubled + 1] = line
        else
          missing[#missing + 1], moved[#moved + 1] = line, line
        end
      end
      table.insert(moved, i > 2 and 2 or 3, lines[i])
      assert_names_line(table.concat(doubled), i + 1, "doubled")
      if i < #lines then
        assert_names_line(table.concat(missing), i, "missing")
      end
      assert_names_line(table.concat(moved), i > 2 and 2 or 2, "moved")
    end
  end)
end)

describe("this spec file", function()
  it("leaves no handle open", function()
    collectgarbage()
    collectgarbage()
    assert.are.same({ signers = 0, pools = 0, transfers = 0 }, core.open_handles())
  end)
end)

describe("the journal of an import of the first rows", function()
  local function csv_of(count, changed)
    local lines = { "phone,first" }
    for i = 1, count do
      lines[i + 1] = i % 7 == 0 and "none,x" or ("%s,%s"):format(phone_of(i), changed == i and "other" or "Ann")
    end
    return table.concat(lines, "\n") .. "\n"
  end

  local function import(api, content, path, limit)
    api:forget()
    local file = assert(io.tmpfile())
    file:write(content)
    file:seek "set"
    local report, problem = run(api, assert(heymarket.csv.open(file, { limit = limit })), { journal = path })
    file:close()
    return report, problem
  end

  it("is one of the whole file: each further run sends what is left", function()
    for _, limits in ipairs { { 10, 10, 25 }, { 99, 100, 101 }, { 250, 7 }, { 300, 12 }, { 400, 3 } } do
      local api, path, content = make_api(), new_path(), csv_of(300)
      local most = 0
      for _, limit in ipairs(limits) do
        local report = assert(import(api, content, path, limit))
        assert_sound(report, math.min(limit, 300))
        local valid = math.min(limit, 300) - math.floor(math.min(limit, 300) / 7)
        assert.are.equal(valid, report.accepted)
        local before = math.min(most, limit, 300)
        assert.are.equal(before - math.floor(before / 7), report.resumed)
        most = math.max(most, limit)
      end
      local whole = assert(import(api, content, path))
      assert_sound(whole, 300)
      assert.are.equal(300 - 42, whole.accepted)
      local again = assert(import(api, content, path))
      assert.are.equal(0, again.requests)
      assert.are.equal(0, assert(import(api, content, path, 20)).requests)
    end
  end)

  it("is refused for another file", function()
    local api, path = make_api(), new_path()
    assert(import(api, csv_of(300), path, 10))
    assert_refused(api, import(api, csv_of(300, 3), path))
    assert_refused(api, import(api, csv_of(300, 3), path, 5))
    assert_refused(api, import(api, csv_of(5), path))
    assert(import(api, csv_of(300), path))
    assert_refused(api, import(api, csv_of(300, 3), path, 10))
    assert_refused(api, import(api, csv_of(301), path, 301))
  end)
end)
