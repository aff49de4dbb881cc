-- What a journal knows after a power cut, a stop or a second run, and what becomes of contacts that it speaks of.
local memory_api = require "spec.support.memory_api"
local process = require "spec.support.process"
local server = require "spec.support.server"
local system = require "heymarket.system"

local assert_sound = memory_api.assert_sound
local phone_of, contacts, import = memory_api.phone, memory_api.contacts, memory_api.import
local quote, read_file, write_file = process.quote, process.read_file, process.write_file
local folder
local originals = {}

setup(function()
  folder = server.folder()
  for _, name in ipairs { "sync", "sync_directory" } do
    originals[name] = system[name]
  end
end)

after_each(function()
  for name, original in pairs(originals) do
    system[name] = original
  end
end)

teardown(function()
  server.remove(folder)
end)

local names = 0
local function new_path()
  names = names + 1
  return folder .. "/journal" .. names
end

local function by_index(report)
  local map = {}
  for _, item in ipairs(report.items) do
    map[item.index] = item
  end
  return map
end

-- An iterator over a list, for which the end is not known beforehand.
local function stream(list)
  local i = 0
  return function()
    i = i + 1
    return list[i], i
  end
end

-- Keeps what the disk holds of a file: what it was when it was last synced.
local function watch_disk(path)
  local disk = { syncs = 0, text = "" }
  system.sync = function(file)
    local ok, problem = originals.sync(file)
    disk.syncs = disk.syncs + 1
    disk.text = read_file(path)
    return ok, problem
  end
  system.sync_directory = function(given)
    disk.directory = given
    disk.requests_before_directory = disk.requests_before_directory or 0
    return originals.sync_directory(given)
  end
  return disk
end

describe("a power cut", function()
  -- Each request is on the wire with its note on the disk: an import that goes on from what the disk held then calls
  -- ambiguous whatever the server made of this request.
  local function assert_noted_before_sent(list, options, config, answer)
    local path = new_path()
    local disk = watch_disk(path)
    local cuts = {}
    local api
    api = memory_api.new(function(_, number, phones)
      cuts[#cuts + 1] = { disk = disk.text, phones = phones }
      return answer and answer(number, phones, api)
    end, function(number)
      return number % 3
    end)
    options.journal = path
    import(api, list, options, config)
    assert.is_true(#cuts > 3)
    for _, cut in ipairs(cuts) do
      local again = memory_api.new()
      for _, phone in ipairs(cut.phones) do
        again.store[phone] = 1
      end
      local resumed = new_path()
      write_file(resumed, cut.disk)
      local report = assert(import(again, list, { journal = resumed, overwrite = options.overwrite }, config))
      assert_sound(report, #list)
      local ambiguous = {}
      for _, item in ipairs(report.items) do
        if item.ambiguous then
          ambiguous[item.contact.phone] = true
        end
      end
      for _, phone in ipairs(cut.phones) do
        assert.is_true(ambiguous[phone], phone .. " was on the wire, and the disk knew nothing of it")
      end
    end
    return disk, #cuts
  end

  it("finds every request on the disk that was sent", function()
    assert_noted_before_sent(contacts(100), {}, { concurrency = 1 })
    assert_noted_before_sent(contacts(100), {}, { concurrency = 4 })
  end)

  it("finds those on the disk that were split, or are tried again", function()
    assert_noted_before_sent(contacts(60), {}, { concurrency = 3, max_attempts = 3 }, function(number, phones)
      if #phones > 3 and number % 2 == 0 then
        return { status = 400, body = '{"error_code":"bad_data"}' }
      elseif number % 5 == 0 then
        return { code = "RECV_ERROR", sent = true }
      end
    end)
  end)

  it("keeps outcomes that came a second ago, although nothing was sent since", function()
    local path, at_second = new_path(), nil
    local disk = watch_disk(path)
    local api = memory_api.new(nil, function(number)
      return number == 1 and 100 or 5
    end)
    assert(import(api, contacts(20), {
      journal = path,
      on_progress = function()
        at_second = at_second or disk.text
      end,
    }, { concurrency = 2 }))
    write_file(path, at_second)
    assert.are.equal(10, assert(import(memory_api.new(), contacts(20), { journal = path })).resumed)
  end)

  it("does not bring back a damaged end that was cut off", function()
    local path = new_path()
    assert(import(memory_api.new(), contacts(30), { journal = path }))
    local whole = read_file(path)
    local torn = whole:sub(1, -20)
    write_file(path, torn)
    local disk, sizes = watch_disk(path), {}
    local sync = system.sync
    system.sync = function(file)
      local ok, problem = sync(file)
      sizes[#sizes + 1] = #disk.text
      return ok, problem
    end
    assert(import(memory_api.new(), contacts(30), { journal = path }))
    -- What was torn is gone from the disk before anything stands in its place.
    assert.are.equal(#torn:match "^.*\n", sizes[1])
  end)

  it("leaves the new file in its directory", function()
    local path = new_path()
    local disk = watch_disk(path)
    local directory_at_first, size_at_directory
    local sync_directory = system.sync_directory
    system.sync_directory = function(given)
      size_at_directory = #disk.text
      return sync_directory(given)
    end
    assert(import(
      memory_api.new(function()
        directory_at_first = directory_at_first or disk.directory or "none"
      end),
      contacts(10),
      { journal = path }
    ))
    assert.are.equal(path, directory_at_first)
    assert.is_true(size_at_directory > 0)
  end)

  it("may come while the first line is written", function()
    local path = new_path()
    assert(import(memory_api.new(), contacts(10), { journal = path }))
    local first = read_file(path):match "^[^\n]+\n"
    for size = 0, #first - 1, 6 do
      local torn = first:sub(1, size)
      for _, text in ipairs {
        torn,
        torn .. ("\0"):rep(#first - size),
        ("\0"):rep(size),
        ("\0"):rep(size) .. first:sub(size + 1),
      } do
        if text ~= first then
          write_file(path, text)
          assert.are.equal(10, assert(import(memory_api.new(), contacts(10), { journal = path })).accepted)
        end
      end
    end
  end)
end)

describe("a wait for the disk", function()
  it("happens once for requests that start together", function()
    local path = new_path()
    local disk = watch_disk(path)
    local syncs_at = {}
    local api = memory_api.new(function(_, number)
      syncs_at[number] = disk.syncs
    end)
    assert(import(api, contacts(40), { journal = path }, { concurrency = 4 }))
    assert.are.equal(4, api.requests)
    assert.are.equal(syncs_at[1], syncs_at[4])
    assert.is_true(syncs_at[1] > 0)
  end)

  it("happens once for answers that come together", function()
    local path = new_path()
    local disk = watch_disk(path)
    local api = memory_api.new(nil, function()
      return 0.1
    end)
    local network = api.network
    local wait = network.wait
    function network:wait(...)
      wait(self, ...)
      while self.flights[1] and self.flights[1].ends <= self.now do
        self:deliver(1)
      end
    end
    assert(import(api, contacts(400), { journal = path }, { concurrency = 4 }))
    assert.are.equal(40, api.requests)
    assert.is_true(disk.syncs <= 15, disk.syncs .. " waits")
  end)

  it("does not happen without a journal", function()
    local disk = watch_disk "/dev/null"
    assert(import(memory_api.new(), contacts(40), {}))
    assert.are.equal(0, disk.syncs)
    assert.is_nil(disk.directory)
  end)
end)

describe("a contact that may have been sent", function()
  local LOST = { code = "RECV_ERROR", sent = true }

  it("is in the journal as such, with what the server listed for it", function()
    -- The first answer is lost after the server has acted; the second lists all.
    local path, store = new_path(), {}
    local api = memory_api.new(function(_, number, phones)
      if number == 1 then
        for _, phone in ipairs(phones) do
          store[phone] = 1
        end
        return LOST
      end
    end)
    api.store = store
    local first = assert(import(api, contacts(5), { journal = path }, { max_attempts = 2 }))
    api:forget()
    local again = assert(import(api, contacts(5), { journal = path }))
    assert.are.equal(0, api.requests)
    for _, report in ipairs { first, again } do
      assert.are.equal(5, report.rejected)
      for _, item in ipairs(report.items) do
        assert.is_true(item.ambiguous)
        assert.are.equal("exists", item.reason)
      end
    end
  end)

  it("stays unknown when a later run certainly fails", function()
    local path, run, store = new_path(), 1, {}
    local api = memory_api.new(function(_, _, phones)
      if run == 1 then
        for _, phone in ipairs(phones) do
          store[phone] = 1
        end
        return LOST
      elseif run == 2 then
        return { status = 429, body = "" }
      end
    end)
    api.store = store
    assert.are.equal(5, assert(import(api, contacts(5), { journal = path })).unknown)
    run = 2
    assert.are.equal(5, assert(import(api, contacts(5), { journal = path })).unknown)
    run = 3
    local report = assert(import(api, contacts(5), { journal = path }))
    assert.are.equal(5, report.rejected)
    for _, item in ipairs(report.items) do
      assert.is_true(item.ambiguous)
    end
  end)

  it("is not noted as accepted where the server listed only others of its request", function()
    -- The answer lists one contact of the request, and one that nobody sent.
    local path, run = new_path(), 1
    local api = memory_api.new(function(_, _, phones)
      if run == 1 then
        return { body = ('[{"phone":"%s","id":7},{"phone":"19999999999","id":8}]'):format(phones[2]) }
      end
    end)
    local first = assert(import(api, contacts(5), { journal = path }))
    assert.are.equal(4, first.unknown)
    assert.are.equal(1, first.rejected)
    run = 2
    api:forget()
    for i = 1, 5 do
      api.store[phone_of(i)] = i
    end
    local report = assert(import(api, contacts(5), { journal = path }))
    assert.are.equal(5, report.rejected)
    assert.are.equal(1, report.resumed)
    for i, item in pairs(by_index(report)) do
      assert.are.equal(i ~= 2 and 1 or nil, api.sent[phone_of(i)])
      assert.are.equal(i ~= 2 or nil, item.ambiguous)
    end
  end)

  it("shows that the input is another where it is invalid in the next run", function()
    for _, answer in ipairs { LOST, { status = 429, body = "" } } do
      local path = new_path()
      local list = contacts(120)
      import(
        memory_api.new(function(_, number)
          return number == 11 and answer or nil
        end),
        list,
        { journal = path }
      )
      list[105] = { phone = "none" }
      local api = memory_api.new()
      local report, problem = import(api, list, { journal = path })
      assert.is_nil(report)
      assert.are.equal("other_input", problem.reason)
      assert.are.equal(0, api.requests)
    end
  end)
end)

describe("an older contact", function()
  local function refuse()
    return { status = 429, body = "" }
  end
  local function lose()
    return { code = "RECV_ERROR", sent = true }
  end

  -- 30 contacts; the phone of the 3rd stands again in the 15th, with newer data, that of the 4th in the 16th and 17th.
  local function list_with_doubles()
    local list = contacts(30)
    list[15].phone, list[16].phone, list[17].phone = list[3].phone, list[4].phone, list[4].phone
    return list
  end

  -- Which names arrived, in their order.
  local function names_of(api)
    local arrived = {}
    for _, request in ipairs(api.network.requests) do
      for name in request.body:gmatch '"first":"([^"]*)"' do
        arrived[#arrived + 1] = name
      end
    end
    return arrived
  end

  for what, fault in pairs { failed = refuse, unknown = lose } do
    for how, make in pairs {
      ["an array"] = function(list)
        return list
      end,
      ["a stream"] = stream,
    } do
      it(("that is %s does not overwrite a newer one in a later run (%s)"):format(what, how), function()
        local path, list = new_path(), list_with_doubles()
        local first = assert(import(
          memory_api.new(function(_, number)
            return number == 1 and fault() or nil
          end),
          make(list),
          { journal = path, overwrite = true }
        ))
        assert_sound(first, 30)
        assert.are.equal(10, first[what])
        assert.are.equal(20, first.accepted)
        for run = 2, 4 do
          local api = memory_api.new()
          local report = assert(import(api, make(list), { journal = path, overwrite = true, max_failures = 1 }))
          assert_sound(report, 30)
          assert.are.equal(28, report.accepted)
          assert.are.equal(2, report[what])
          assert.are.equal(run == 2 and 8 or 0, #names_of(api))
          assert.are.equal(run == 2 and 22 or 30, report.resumed)
          assert.are.equal(2, #report.items)
          for i, item in ipairs(report.items) do
            assert.are.equal(i + 2, item.index)
            assert.are.equal(what, item.outcome)
            assert.are.equal("superseded", item.failure.reason)
            assert.are.equal(what == "failed" and "no" or "maybe", item.failure.delivered)
            assert.are.equal(list[item.index], item.contact)
          end
          for _, name in ipairs(names_of(api)) do
            assert.is_false(name == "Name 3" or name == "Name 4")
          end
        end
      end)
    end
  end

  it("is superseded in the third run, where the newer one failed as well until then", function()
    local path, list = new_path(), contacts(50)
    for i = 2, 5 do
      list[(i - 1) * 10 + 1].phone = list[1].phone
    end
    -- Run 1 ends all five in failure, run 2 the first three, of which the third in doubt.
    local refused = { { 5 }, { 3 }, {} }
    local arrived
    for run = 1, 4 do
      local api = memory_api.new(function(_, number)
        return refused[run] and number <= (refused[run][1] or 0) and (number == 3 and lose() or refuse()) or nil
      end)
      local report = assert(import(api, list, { journal = path, overwrite = true }))
      assert_sound(report, 50)
      arrived = names_of(api)
      local items = by_index(report)
      if run == 3 then
        -- The 31st was accepted in run 2: all before it are older, and only the others of their requests are sent.
        assert.are.equal(27, #arrived)
        for i = 1, 21, 10 do
          assert.are.equal("superseded", items[i].failure.reason)
          assert.are.equal(i == 21 and "unknown" or "failed", items[i].outcome)
        end
      elseif run == 4 then
        assert.are.equal(0, #arrived)
        assert.are.equal(3, #report.items)
      end
    end
  end)

  it("is superseded as well when it stood alone after its request was split", function()
    local path, list = new_path(), list_with_doubles()
    local first = assert(import(
      memory_api.new(function(request)
        return request.body:find('"Name 3"', 1, true) and { status = 400, body = '{"error_code":"bad_data"}' } or nil
      end),
      list,
      { journal = path, overwrite = true }
    ))
    assert.are.equal(1, first.failed)
    assert.are.equal(29, first.accepted)
    local api = memory_api.new()
    local report = assert(import(api, list, { journal = path, overwrite = true }))
    assert.are.equal(0, api.requests)
    assert.are.equal("superseded", report.items[1].failure.reason)
    assert.are.equal(3, report.items[1].index)
  end)

  it("is sent again where the newer one was rejected or failed too", function()
    local path, list = new_path(), list_with_doubles()
    assert(import(
      memory_api.new(function(_, number, phones)
        if number == 1 then
          return refuse()
        end
        return { body = number == 2 and ('[{"phone":"%s"}]'):format(phones[5]) or "[]" }
      end),
      list,
      { journal = path, overwrite = true }
    ))
    local api = memory_api.new()
    local report = assert(import(api, list, { journal = path, overwrite = true }))
    assert.are.equal("Name 1 Name 2 Name 3", table.concat(names_of(api), " ", 1, 3))
    assert.are.equal(2, #report.items) -- the 15th, which was rejected, and the 4th
    assert.are.equal("rejected", by_index(report)[15].outcome)
    assert.are.equal("superseded", by_index(report)[4].failure.reason)
  end)

  it("is sent again without overwrite: the server leaves the newer one as it is, and says so", function()
    local path, list = new_path(), list_with_doubles()
    local api = memory_api.new(function(_, number)
      return number == 1 and refuse() or nil
    end)
    assert(import(api, list, { journal = path }))
    api:forget()
    local report = assert(import(api, list, { journal = path }))
    local items = by_index(report)
    for i = 3, 4 do
      assert.are.equal(1, api.sent[phone_of(i)])
      assert.are.equal("rejected", items[i].outcome)
      assert.are.equal("exists", items[i].reason)
      assert.is_nil(items[i].ambiguous)
    end
  end)

  it("of an answer that could not be read in full does not overwrite a newer one either", function()
    local path, list = new_path(), list_with_doubles()
    local first = assert(import(
      memory_api.new(function(_, number)
        return number == 1 and { body = '[{"phone":"19999999999","id":8}]' } or nil
      end),
      list,
      { journal = path, overwrite = true }
    ))
    assert.are.equal(10, first.unknown)
    local api = memory_api.new()
    local items = by_index(assert(import(api, list, { journal = path, overwrite = true })))
    assert.are.equal(8, #names_of(api))
    for i = 3, 4 do
      assert.are.equal("unknown", items[i].outcome)
      assert.are.equal("superseded", items[i].failure.reason)
    end
  end)

  it("that has changed since shows that the input is another", function()
    -- Behind the first contacts, by which an input is known as a whole.
    local path, list = new_path(), contacts(150)
    list[140].phone = list[125].phone
    assert(import(
      memory_api.new(function(_, number)
        return number == 13 and refuse() or nil
      end),
      list,
      { journal = path, overwrite = true }
    ))
    for i = 124, 125 do -- one that failed, and the one that is superseded
      local changed = contacts(150)
      changed[140].phone = list[140].phone
      changed[i].first = "Other"
      local api = memory_api.new()
      local report, problem = import(api, changed, { journal = path, overwrite = true })
      assert.is_nil(report)
      assert.are.equal("other_input", problem.reason)
      assert.are.equal(0, api.requests)
    end
  end)
end)

describe("what the server listed", function()
  it("is the same after a resume", function()
    local deep = ("[["):rep(20) .. "7" .. ("]]"):rep(20)
    local fields = [["id":12345678901234567890,"small":42,"minus":-7,"half":0.1,"far":1e400,"none":null,"empty":[],
      "list":[1,null,3],"object":{},"text":"a\u0000\n \ud83d\ude00 \"quoted\"","yes":true]]
    local listed = ('{"phone":"%s",%s,"deep":%s}'):format(phone_of(2), fields, deep)
    local path = new_path()
    local first = assert(import(
      memory_api.new(function()
        return { body = "[" .. listed .. "]" }
      end),
      contacts(3),
      { journal = path }
    ))
    assert.are.equal(1, first.rejected)
    local api = memory_api.new()
    for _ = 1, 2 do
      local again = assert(import(api, contacts(3), { journal = path }))
      assert.are.equal(0, api.requests)
      assert.are.same(first.items[1].remote, again.items[1].remote)
      assert.are.equal(first.items[1].reason, again.items[1].reason)
    end
    assert.are.equal("12345678901234567890", tostring(first.items[1].remote.id))
  end)

  it("can be read from the journal at any depth, or its answer is refused", function()
    local taken = 0
    for depth = 1, 400, 7 do
      local path = new_path()
      local body = ('[{"phone":"%s","id":1,"deep":%s}]'):format(phone_of(2), ("["):rep(depth) .. ("]"):rep(depth))
      local first = assert(import(
        memory_api.new(function()
          return { body = body }
        end),
        contacts(3),
        { journal = path }
      ))
      local again = assert(import(memory_api.new(), contacts(3), { journal = path }))
      if first.rejected == 1 then
        taken = taken + 1
        assert.are.same(first.items[1].remote, again.items[1].remote)
      else
        assert.are.equal(3, first.unknown)
      end
    end
    assert.is_true(taken > 3)
  end)
end)

describe("a resumed import that stops early", function()
  local function journal_of(list, ended)
    local path = new_path()
    local api = memory_api.new(function(_, number)
      return not ended and number == 15 and { status = 429, body = "" } or nil
    end)
    api.store[phone_of(7)] = 7
    assert(import(api, list, { journal = path }, { batch_size = 13 }))
    return path
  end

  it("keeps the noted outcome of what it has read, and does not count the rest", function()
    for _, ended in ipairs { true, false } do
      local list = contacts(260)
      local path = journal_of(list, ended)
      for stop_at = 1, 260, 37 do
        for _, how in ipairs { "stop", "raise" } do
          local read = 0
          local function source()
            read = read + 1
            if how == "raise" and read == stop_at then
              error("the disk is gone", 0)
            end
            return list[read], read
          end
          local report, problem = import(memory_api.new(), source, {
            journal = path,
            should_stop = function()
              return how == "stop" and read >= stop_at
            end,
          }, { batch_size = 13 })
          local made = report or problem.report
          local last = how == "raise" and read - 1 or read
          assert_sound(made, math.min(last, 260))
          local undone = 0
          for _, item in ipairs(made.items) do
            if item.index == 7 then
              assert.are.equal("rejected", item.outcome)
            else
              assert.is_false(ended)
              assert.is_true(item.index > 14 * 13 and item.index <= 15 * 13, "contact " .. item.index)
              undone = undone + 1
            end
          end
          assert.are.equal(made.total - undone, made.resumed)
        end
      end
    end
  end)

  it("keeps it for the whole of an array, of which all was read", function()
    local list = contacts(260)
    local path = journal_of(list, false)
    local _, problem = import(memory_api.new(), list, {
      journal = path,
      should_stop = function()
        return true
      end,
    }, { batch_size = 13 })
    assert_sound(problem.report, 260)
    assert.are.equal(13, problem.report.unsent)
    assert.are.equal(1, problem.report.rejected)
    assert.are.equal(246, problem.report.accepted)
  end)
end)

describe("an array whose element cannot be read", function()
  it("has not ended there: the corrected array is continued", function()
    local path, list = new_path(), contacts(4)
    local broken = setmetatable({ list[1], list[2], [4] = list[4] }, {
      __index = function()
        error "cannot be read"
      end,
    })
    local _, problem = import(memory_api.new(), broken, { journal = path })
    assert.are.equal("source", problem.kind)
    local report = assert(import(memory_api.new(), list, { journal = path }))
    assert.are.equal(4, report.accepted)
  end)
end)

describe("a contact that an earlier run has perhaps sent", function()
  it("is unknown where this run is refused, and its failure says so", function()
    local path, list = new_path(), contacts(1)
    import(
      memory_api.new(function()
        return { code = "RECV_ERROR", sent = true }
      end),
      list,
      { journal = path, max_attempts = 1 }
    )
    local report = assert(import(
      memory_api.new(function()
        return { status = 400, body = "{}" }
      end),
      list,
      { journal = path }
    ))
    assert.are.equal(1, report.unknown)
    assert.are.equal("maybe", report.items[1].failure.delivered)
    assert.are.equal(400, report.items[1].failure.status)
  end)
end)

describe("a journal in use", function()
  local ways = {
    deleted = function(path)
      os.remove(path)
    end,
    replaced = function(path)
      local text = read_file(path)
      os.remove(path)
      write_file(path, text)
    end,
    ["moved away"] = function(path)
      os.rename(path, path .. ".moved")
    end,
    emptied = function(path)
      write_file(path, "")
    end,
    truncated = function(path)
      write_file(path, read_file(path):sub(1, -20))
    end,
    ["written on"] = function(path)
      write_file(path, read_file(path) .. "more\n")
    end,
  }
  for what, act in pairs(ways) do
    it("stops the import when it is " .. what, function()
      local path = new_path()
      local api = memory_api.new(function(_, number)
        if number == 3 then
          act(path)
        end
      end)
      local report, problem = import(api, contacts(100), { journal = path })
      assert.is_nil(report)
      assert.are.equal("journal", problem.kind)
      assert.are.equal("changed", problem.reason)
      assert.are.equal(3, api.requests)
      assert_sound(problem.report, 100)
      assert.are.equal(30, problem.report.accepted)
      assert.are.equal(70, problem.report.unsent)
    end)
  end

  it("that disappears is reported also when the import stops at the same time", function()
    for _, option in ipairs { "should_stop", "deadline" } do
      local path, stop = new_path(), false
      local api = memory_api.new(function(_, number)
        if number == 3 then
          os.remove(path)
          stop = true
        end
      end)
      local report, problem = import(api, contacts(100), {
        journal = path,
        should_stop = option == "should_stop" and function()
          return stop
        end or nil,
        on_progress = option == "deadline" and function()
          if stop then
            api.network.now = api.network.now + 1000
          end
        end or nil,
        deadline = option == "deadline" and 500 or nil,
      })
      assert.is_nil(report)
      assert.are.equal("journal", problem.kind)
      assert.are.equal("changed", problem.reason)
      assert.is_truthy(
        problem.message:find(option == "deadline" and "deadline" or "stopped on request", 1, true),
        problem.message
      )
      assert_sound(problem.report, 100)
      assert.are.equal(30, problem.report.accepted)
    end
  end)

  it("that was edited while a resumed import reads it stops the import", function()
    local path, list = new_path(), contacts(400)
    local first = memory_api.new()
    first.store[phone_of(350)] = 350
    assert(import(first, list, { journal = path }))
    local text = read_file(path)
    local place = assert(text:find("[350,", 1, true))
    local read = 0
    local api = memory_api.new()
    local report, problem = import(api, function()
      read = read + 1
      if read == 200 then
        local file = assert(io.open(path, "r+b"))
        file:seek("set", place)
        file:write "351"
        file:close()
      end
      return list[read], read
    end, { journal = path })
    assert.is_nil(report)
    assert.are.equal("changed", problem.reason)
    assert.are.equal(0, api.requests)
  end)

  it("is not kept open, nor locked, by a program that a hook starts", function()
    local path = new_path()
    local seen
    assert(import(memory_api.new(), contacts(10), {
      journal = path,
      on_progress = function()
        seen = process.output("ls -l /proc/self/fd | grep -c " .. quote(path))
      end,
    }))
    assert.are.equal("0", seen:match "%d+")
  end)

  it("can be read and written by its owner only, however it was created", function()
    for _, mode in ipairs { "666", "640", "400" } do
      local path = new_path()
      local target = path .. ".target"
      os.execute(
        ("umask 0; : > %s; chmod %s %s; ln -s %s %s"):format(
          quote(path),
          mode == "400" and "600" or mode,
          quote(path),
          quote(target),
          quote(path .. ".link")
        )
      )
      for _, name in ipairs { path, path .. ".link" } do
        local mode_at_first
        assert(import(
          memory_api.new(function()
            mode_at_first = process.output("stat -L -c %a " .. quote(name)):match "%d+"
          end),
          contacts(3),
          { journal = name }
        ))
        assert.are.equal("600", mode_at_first)
        os.execute("chmod 644 " .. quote(name))
        assert(import(memory_api.new(), contacts(3), { journal = name }))
        assert.are.equal("600", process.output("stat -L -c %a " .. quote(name)):match "%d+")
      end
    end
  end)

  it("that is a pipe is refused without waiting, and a file that is no journal keeps its mode", function()
    local pipe, other_file = new_path(), new_path()
    os.execute("mkfifo " .. quote(pipe))
    local report, problem = import(memory_api.new(), contacts(3), { journal = pipe })
    assert.is_nil(report)
    assert.are.equal("not_regular", problem.reason)
    write_file(other_file, "phone,first\n")
    os.execute("chmod 644 " .. quote(other_file))
    report, problem = import(memory_api.new(), contacts(3), { journal = other_file })
    assert.is_nil(report)
    assert.are.equal("not_journal", problem.reason)
    assert.are.equal("644", process.output("stat -c %a " .. quote(other_file)):match "%d+")
    assert.are.equal("phone,first\n", read_file(other_file))
  end)

  it("of version 0.1 is refused and left as it is", function()
    local path = new_path()
    local text = 'heymarket-journal 1 {"overwrite":false} 12345678\ninput 3 1 12345678\n'
    write_file(path, text)
    local api = memory_api.new()
    local report, problem = import(api, contacts(3), { journal = path })
    assert.is_nil(report)
    assert.are.equal("version", problem.reason)
    assert.is_truthy(problem.message:find("0.1", 1, true))
    assert.are.equal(0, api.requests)
    assert.are.equal(text, read_file(path))
  end)
end)

describe("a long journal", function()
  -- Nothing is to survive here, so the disk is not waited for.
  local function without_disk()
    system.sync = function()
      return true
    end
  end

  it("is read in memory, and work, that grow with its size only", function()
    if os.getenv "HEYMARKET_COVERAGE" then
      pending "the hook that counts lines asks for memory itself"
    end
    without_disk()
    local path = new_path()
    assert(import(memory_api.new(), contacts(4000), { journal = path }, { batch_size = 1 }))
    local size = #read_file(path)
    assert.is_true(size > 200000)
    -- While nothing is collected, whatever is copied adds up. A line has 28 characters here.
    local before, allocated
    collectgarbage()
    collectgarbage "stop"
    before = collectgarbage "count"
    import(memory_api.new(), function()
      allocated = allocated or (collectgarbage "count" - before) * 1024
      return nil
    end, { journal = path }, { batch_size = 1 })
    collectgarbage "restart"
    assert.is_true(allocated < 100 * size, ("%.0f bytes for a journal of %.0f"):format(allocated, size))
  end)

  it("needs memory per request, not per contact, whatever became of the contacts", function()
    without_disk()
    local path, count, requests = new_path(), 40000, 400
    local function source(visit)
      local i = 0
      return function()
        i = i + 1
        if visit then
          visit(i)
        end
        if i <= count then
          return { phone = phone_of(i) }, i
        end
      end
    end
    local function on_item() end
    local batches = 0
    local first = assert(import(
      memory_api.new(function(_, _, phones)
        batches = batches + (phones[1] and 1 or 0)
        return phones[1] and batches % 2 == 0 and { code = "RECV_ERROR", sent = true } or nil
      end),
      source(),
      { journal = path, on_item = on_item },
      { batch_size = count / requests }
    ))
    assert.are.equal(count / 2, first.unknown)
    -- What Lua holds when the first contacts were read and nothing was sent.
    local function in_use(journal)
      local used
      local api = memory_api.new()
      import(
        api,
        source(function(i)
          if i == 100 then
            collectgarbage()
            collectgarbage()
            used = collectgarbage "count" * 1024
            error("enough", 0)
          end
        end),
        { journal = journal, on_item = on_item },
        { batch_size = count / requests }
      )
      assert.are.equal(0, api.requests)
      return used
    end
    in_use(new_path()) -- whatever is made once is made now
    local without = in_use(new_path())
    local with = in_use(path)
    assert.is_true(with - without < requests * 200, ("%.0f bytes for %d requests"):format(with - without, requests))
  end)

  it("is refused when the input has over 1,000 contacts more", function()
    local path = new_path()
    assert(import(memory_api.new(), contacts(150), { journal = path }))
    local api = memory_api.new()
    local report, problem = import(api, stream(contacts(1600)), { journal = path })
    assert.is_nil(report)
    assert.are.equal("other_input", problem.reason)
    assert.are.equal(0, api.requests)
  end)

  it("is refused when the input has lost an invalid contact at its end", function()
    local path, list = new_path(), contacts(150)
    list[150] = { phone = "none" }
    assert(import(memory_api.new(), list, { journal = path }))
    list[150] = nil
    local report, problem = import(memory_api.new(), stream(list), { journal = path })
    assert.is_nil(report)
    assert.are.equal("other_input", problem.reason)
  end)
end)
