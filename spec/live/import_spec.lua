local core = require "heymarket.core"
local heymarket = require "heymarket"
local instant = require "spec.support.instant"
local process = require "spec.support.process"
local server = require "spec.support.server"
local system = require "heymarket.system"

local RUN = os.getenv "HEYMARKET_TEST_RUN"
local OUTCOMES = { "accepted", "rejected", "invalid", "failed", "unknown", "unsent" }

local function phone_of(i)
  return ("1%010d"):format(2000000000 + i)
end

local function contact_of(i)
  return { phone = phone_of(i), first = "Name " .. i }
end

local function contacts(count)
  local list = {}
  for i = 1, count do
    list[i] = contact_of(i)
  end
  return list
end

-- A source that counts what was taken from it.
local function counted(count, make)
  local source = { taken = 0, after_end = 0 }
  return setmetatable(source, {
    __call = function()
      if source.taken == count then
        source.after_end = source.after_end + 1
        return nil
      end
      source.taken = source.taken + 1
      return (make or contact_of)(source.taken), "row " .. source.taken
    end,
  })
end

local function sum_of(report)
  local sum = 0
  for _, outcome in ipairs(OUTCOMES) do
    sum = sum + report[outcome]
  end
  return sum
end

-- What must hold for every report, whatever happened.
local function assert_sound(report, total)
  assert.are.equal(sum_of(report), report.total)
  if total then
    assert.are.equal(total, report.total)
  end
  assert.is_true(#report.items <= 1000)
  local last = 0
  for _, item in ipairs(report.items) do
    assert.is_true(item.index > last, "items are not in input order, or one stands twice")
    assert.are_not.equal("accepted", item.outcome)
    last = item.index
  end
  if not report.items_truncated and #report.items > 0 then
    assert.are.equal(report.total - report.accepted, #report.items)
  end
end

local function make_client(config)
  local full = { secret_id = "id", secret_key = "key", base_url = "http://127.0.0.1:1", requests_per_minute = false }
  for name, value in pairs(config) do
    full[name] = value
  end
  return assert(heymarket.new(full))
end

local function fake_client(network, config)
  config = config or {}
  config.runtime = network.runtime
  return make_client(config)
end

local function stored_count(ledger)
  local count = 0
  for _ in pairs(ledger.stored) do
    count = count + 1
  end
  return count
end

local api, clients

local function connect(config)
  config = config or {}
  config.base_url = api.url
  local client = make_client(config)
  clients[#clients + 1] = client
  return client
end

setup(function()
  api = server.start()
end)

teardown(function()
  api:stop()
end)

before_each(function()
  api:reset()
  clients = {}
end)

after_each(function()
  for _, client in ipairs(clients) do
    client:close()
  end
end)

describe("a source", function()
  it("may be an array, whose positions are its indices", function()
    local list = contacts(25)
    list[7] = { phone = "no phone" }
    local report = assert(connect({ batch_size = 10 }):import(list))
    assert_sound(report, 25)
    assert.are.equal(24, report.accepted)
    assert.are.equal(1, report.invalid)
    assert.are.equal(1, #report.items)
    local item = report.items[1]
    assert.are.equal(7, item.index)
    assert.are.equal(7, item.position)
    assert.are.equal("invalid", item.outcome)
    assert.are.equal(list[7], item.contact)
    assert.are.equal("invalid", item.failure.kind)
    assert.are.equal("phone", item.failure.issues[1].field)
    local ledger = api:ledger()
    assert.are.equal(24, stored_count(ledger))
    assert.is_nil(ledger.stored["nophone"])
    assert.are.equal("Name 25", ledger.contacts[phone_of(25)].first)
  end)

  it("may be an empty array, and sends nothing", function()
    local report = assert(connect():import {})
    assert_sound(report, 0)
    assert.are.equal(0, report.requests)
    assert.are.equal(0, #api:ledger().requests)
  end)

  it("may be a function that gives contact and position", function()
    local i = 0
    local report = assert(connect():import(function()
      i = i + 1
      if i <= 5 then
        return i == 3 and { phone = "3" } or contact_of(i), { line = i + 1 }
      end
    end))
    assert_sound(report, 5)
    assert.are.equal(4, report.accepted)
    assert.are.equal(3, report.items[1].index)
    assert.are.same({ line = 4 }, report.items[1].position)
  end)

  it("may be a function that gives no position", function()
    local i = 0
    local report = assert(connect():import(function()
      i = i + 1
      if i <= 3 then
        return { phone = "3" }
      end
    end))
    assert_sound(report, 3)
    assert.are.equal(3, report.invalid)
    assert.is_nil(report.items[2].position)
    assert.are.equal(2, report.items[2].index)
  end)

  it("may be a callable table, and is not called again once it has given nil", function()
    local source = counted(12)
    local report = assert(connect({ batch_size = 5 }):import(source))
    assert.are.equal(12, report.accepted)
    assert.are.equal(1, source.after_end)
  end)

  it("may be a coroutine", function()
    local report = assert(connect({ batch_size = 5 }):import(coroutine.wrap(function()
      for i = 1, 12 do
        coroutine.yield(contact_of(i), i)
      end
    end)))
    assert.are.equal(12, report.accepted)
  end)

  it("may be a CSV file, in which a row that cannot be read is invalid and the others are sent", function()
    local text = "phone,first\n12345678901,A\n12345678902,B,extra\n12345678903,C\n"
    local handle = {
      read = function()
        local given = text
        text = nil
        return given
      end,
    }
    local report = assert(connect():import(assert(heymarket.csv.open(handle))))
    assert_sound(report, 3)
    assert.are.equal(2, report.accepted)
    assert.are.equal(1, report.invalid)
    assert.are.equal(3, report.items[1].position)
    assert.are.equal("invalid", report.items[1].failure.kind)
  end)

  it("that gives a failure in place of a contact has an invalid one there", function()
    local _, problem = heymarket.contact { phone = "12" }
    local report = assert(connect():import { contact_of(1), problem, contact_of(3) })
    assert_sound(report, 3)
    assert.are.equal(2, report.accepted)
    assert.are.equal(1, report.invalid)
    assert.are.equal(2, report.items[1].index)
    assert.are.equal("invalid", report.items[1].outcome)
    assert.are.equal("phone", report.items[1].failure.issues[1].field)
    assert.are.equal(2, stored_count(api:ledger()))
  end)

  it("that gives something else in place of a contact has an invalid one there", function()
    local odd = { 42, "12345678901", true, false, print, {} }
    local i = 0
    local report, problem = connect():import(function()
      i = i + 1
      return odd[i]
    end)
    assert(report, tostring(problem))
    assert_sound(report, #odd)
    assert.are.equal(#odd, report.invalid)
    for index, item in ipairs(report.items) do
      assert.are.equal(odd[index], item.contact)
      assert.are.equal("invalid", item.failure.kind)
    end
    assert.are.equal(0, #api:ledger().requests)
  end)

  it("that is an array with a hole has an outcome for every contact behind the hole", function()
    local list = { [1] = contact_of(1), [2] = contact_of(2), [4] = contact_of(4) }
    local report, problem = connect():import(list)
    if report then
      assert_sound(report, 4)
      assert.are.equal(3, report.accepted)
      assert.are.equal(1, report.invalid)
    else
      assert.are.equal("invalid", problem.kind)
      assert.are.equal(0, #api:ledger().requests)
    end
  end)

  it("that is a single contact is refused, not taken as an empty array", function()
    local report, problem = connect():import(contact_of(1))
    assert.is_nil(report)
    assert.are.equal("invalid", problem.kind)
    assert.are.equal(0, #api:ledger().requests)
  end)

  it("of the wrong Lua type raises an error that names it", function()
    local client = connect()
    for _, wrong in ipairs { 42, "contacts.csv", true, io.stdout } do
      assert.error_matches(function()
        client:import(wrong)
      end, "source")
    end
    assert.error_matches(function()
      client:import(nil)
    end, "source")
    assert.error_matches(function()
      client:import({}, 42)
    end, "options")
  end)

  it("is not read when an option is wrong; all mistakes are told at once", function()
    local source = counted(3)
    local report, problem = connect():import(source, {
      overwrite = "yes",
      max_failures = 0,
      on_item = 42,
      on_progress = "x",
      journal = 7,
      concurency = 3,
    })
    assert.is_nil(report)
    assert.are.equal("invalid", problem.kind)
    local fields = {}
    for _, issue in ipairs(problem.issues) do
      fields[issue.field] = issue.message
    end
    for _, name in ipairs { "overwrite", "max_failures", "on_item", "on_progress", "journal", "concurency" } do
      assert.is_string(fields[name], name)
    end
    assert.is_truthy(fields.concurency:find("concurrency", 1, true))
    assert.are.equal(0, source.taken)
    assert.are.equal(0, #api:ledger().requests)
  end)
end)

describe("overwrite", function()
  it("stands in the query, false unless told otherwise", function()
    local client = connect()
    assert(client:import(contacts(1)))
    assert(client:import(contacts(1), { overwrite = true }))
    local report = assert(client:import(contacts(2), { overwrite = false }))
    local requests = api:ledger().requests
    assert.are.same({ "overwrite=false", "overwrite=true", "overwrite=false" }, {
      requests[1].query,
      requests[2].query,
      requests[3].query,
    })
    assert.are.equal(1, report.rejected)
    assert.are.equal(1, report.accepted)
    assert.are.equal(phone_of(1), report.items[1].remote.phone)
    assert.is_falsy(report.items[1].ambiguous)
  end)
end)

describe("a stream", function()
  it("is read only as fast as requests finish", function()
    for _, shape in ipairs { { 4, 100 }, { 1, 1 }, { 8, 10 }, { 3, 250 } } do
      local concurrency, batch_size = shape[1], shape[2]
      local source = counted(3000)
      local answered, worst = 0, 0
      local network = instant.new {
        way = function()
          return math.random()
        end,
        back = function()
          return math.random()
        end,
      }
      local deliver = network.deliver
      function network:deliver(index)
        local flight = self.flights[index]
        worst = math.max(worst, source.taken - answered)
        answered = answered + #instant.phones(flight.request.body)
        deliver(self, index)
      end
      local client = fake_client(network, { concurrency = concurrency, batch_size = batch_size })
      local report = assert(client:import(source))
      client:close()
      assert_sound(report, 3000)
      assert.are.equal(3000, report.accepted)
      assert.are.equal(concurrency, network.in_flight_max)
      assert.is_true(worst <= concurrency * batch_size + 10, worst .. " contacts were read ahead")
    end
  end)

  it("is not read ahead while the pace lets nothing go", function()
    local source = counted(1000)
    local network = instant.new()
    local client = fake_client(network, { concurrency = 2, batch_size = 10, requests_per_minute = 3 })
    local worst, sent = 0, 0
    local start = network.start
    function network:start(request, completions, headers)
      worst = math.max(worst, source.taken - sent)
      sent = sent + #instant.phones(request.body)
      return start(self, request, completions, headers)
    end
    assert.are.equal(1000, assert(client:import(source)).accepted)
    client:close()
    assert.is_true(worst <= 2 * 10 + 10, worst .. " contacts were read ahead")
  end)

  it("of 50 requests keeps 8 of them in flight at a server that takes its time", function()
    api:default { delay = 0.2 }
    local report = assert(connect({ concurrency = 8, batch_size = 2 }):import(contacts(100)))
    assert.are.equal(100, report.accepted)
    assert.are.equal(50, report.requests)
    local ledger = api:ledger()
    assert.are.equal(50, #ledger.requests)
    assert.are.equal(8, ledger.max_in_flight)
    assert.are.same({}, ledger.overlap)
  end)

  it("goes out whole, each contact once and in batches of the size wanted", function()
    assert.are.equal(1003, assert(connect({ batch_size = 100 }):import(contacts(1003))).accepted)
    local ledger = api:ledger()
    assert.are.equal(11, #ledger.requests)
    assert.are.equal(1003, stored_count(ledger))
    for phone, count in pairs(ledger.stored) do
      assert.are.equal(1, count, phone)
    end
    assert.are.same({}, ledger.doubles)
  end)

  it("with 100,000 invalid rows in a row does not starve the requests in flight", function()
    -- The answers need somebody who reads them while the rows are looked through.
    api:default { delay = 0.1, body = "[" .. (" "):rep(1024 * 1024) .. "]" }
    local source = counted(100040, function(i)
      if i % 1000 == 0 then
        system.sleep(0.025)
      end
      return i > 40 and { phone = "x" } or contact_of(i)
    end)
    local answered_at = {}
    local report = assert(connect({ batch_size = 10, concurrency = 5 }):import(source, {
      on_event = function(event)
        if event.type == "response" then
          answered_at[#answered_at + 1] = source.taken
        end
      end,
    }))
    assert_sound(report, 100040)
    assert.are.equal(40, report.accepted)
    assert.are.equal(100000, report.invalid)
    assert.are.equal(4, report.requests)
    assert.are.equal(4, #answered_at)
    assert.is_true(answered_at[4] < 50000, "the last answer was seen at row " .. answered_at[4])
  end)

  it("hears of a stop during a long run of invalid rows", function()
    local source = counted(math.huge, function()
      return { phone = "x" }
    end)
    local started = system.monotonic()
    local report, problem = connect():import(source, { deadline = 0.3, on_item = function() end })
    assert.is_nil(report)
    assert.are.equal("timeout", problem.kind)
    assert_sound(problem.report, source.taken)
    assert.is_true(system.monotonic() - started >= 0.3)

    source = counted(math.huge, function()
      return { phone = "x" }
    end)
    report, problem = connect():import(source, {
      on_item = function() end,
      should_stop = function()
        return source.taken >= 5000
      end,
    })
    assert.is_nil(report)
    assert.are.equal("stopped", problem.kind)
    assert_sound(problem.report, source.taken)
  end)
end)

describe("an import that has to stop", function()
  -- What the report says must be what the server saw, and every contact that was read must be in it.
  local function assert_true_to_the_ledger(report, source)
    assert_sound(report, source.taken)
    local ledger = api:ledger()
    assert.are.equal(stored_count(ledger), report.accepted + report.rejected)
    for _, item in ipairs(report.items) do
      if item.outcome == "unsent" or item.outcome == "invalid" then
        assert.is_nil(ledger.stored[item.contact.phone])
      end
    end
  end

  it("because its source raised has the whole report, whatever was raised", function()
    local _, own = heymarket.csv.open "/nonexistent/file.csv"
    assert.are.equal("source", own.kind)
    for _, raised in ipairs { "the disk is gone", { code = 7 }, own, 42, false } do
      api:reset()
      local source = counted(100, function(i)
        if i == 36 then
          error(raised, 0)
        end
        return i % 10 == 0 and { phone = "x" } or contact_of(i)
      end)
      local report, problem = connect({ batch_size = 5, concurrency = 2 }):import(source)
      assert.is_nil(report)
      assert.is_true(heymarket.is_failure(problem))
      assert.are.equal("source", problem.kind)
      if type(raised) == "string" then
        assert.is_truthy(problem.message:find(raised, 1, true))
      elseif raised == own then
        assert.are.equal(own.message, problem.message)
        assert.is_nil(own.report, "the failure of the source itself was changed")
      end
      assert.are.equal(36, source.taken, "the source was read on after it had raised")
      source.taken = 35 -- the last one never came
      assert_true_to_the_ledger(problem.report, source)
      assert.are.equal(3, problem.report.invalid)
      assert.is_true(problem.report.accepted >= 25)
    end
  end)

  it("because on_item raised has the whole report", function()
    local source = counted(1000, function(i)
      return i == 12 and { phone = "x" } or contact_of(i)
    end)
    local seen = 0
    local report, problem = connect({ batch_size = 5, concurrency = 2 }):import(source, {
      on_item = function()
        seen = seen + 1
        error "no more paper"
      end,
    })
    assert.is_nil(report)
    assert.are.equal("stopped", problem.kind)
    assert.is_truthy(problem.message:find("on_item", 1, true))
    assert.is_truthy(problem.message:find("no more paper", 1, true))
    assert.are.equal(1, seen)
    assert.is_true(source.taken < 100)
    assert_true_to_the_ledger(problem.report, source)
  end)

  it("because on_progress raised has the whole report", function()
    local source = counted(1000)
    local calls = 0
    local report, problem = connect({ batch_size = 5, concurrency = 2 }):import(source, {
      on_progress = function()
        calls = calls + 1
        error { code = 1 }
      end,
    })
    assert.is_nil(report)
    assert.are.equal("stopped", problem.kind)
    assert.is_truthy(problem.message:find("on_progress", 1, true))
    assert.are.equal(1, calls)
    assert.is_true(source.taken < 100)
    assert_true_to_the_ledger(problem.report, source)
  end)

  it("because should_stop raised has the whole report", function()
    local source = counted(1000)
    local calls = 0
    local report, problem = connect({ batch_size = 5, concurrency = 2 }):import(source, {
      should_stop = function()
        calls = calls + 1
        if calls > 3 then
          error "no answer to that"
        end
      end,
    })
    assert.is_nil(report)
    assert.are.equal("stopped", problem.kind)
    assert.is_truthy(problem.message:find("should_stop", 1, true))
    assert_true_to_the_ledger(problem.report, source)
  end)

  it("because should_stop said so finishes what is in flight", function()
    api:default { delay = 0.05 }
    local source = counted(1000)
    local stop = false
    local report, problem = connect({ batch_size = 5, concurrency = 2 }):import(source, {
      on_progress = function(so_far)
        stop = so_far.accepted >= 20
      end,
      should_stop = function()
        return stop
      end,
    })
    assert.is_nil(report)
    assert.are.equal("stopped", problem.kind)
    assert.are.equal("maybe", problem.delivered)
    assert.is_true(problem.report.accepted >= 20)
    assert.is_true(source.taken < 100)
    assert_true_to_the_ledger(problem.report, source)
    assert.are.equal(0, problem.report.unknown)
    assert.are.equal(0, problem.report.failed)
  end)

  it("leaves nothing of an array without an outcome", function()
    local list = contacts(1000)
    list[900] = { phone = "x" }
    local report, problem = connect({ batch_size = 5, concurrency = 2 }):import(list, {
      should_stop = function()
        return true
      end,
    })
    assert.is_nil(report)
    assert.are.equal("stopped", problem.kind)
    assert.are.equal("no", problem.delivered)
    assert_sound(problem.report, 1000)
    assert.are.equal(0, #api:ledger().requests)
  end)

  it("because of max_failures stops after so many, whatever their outcome", function()
    local kinds = {
      invalid = function(i)
        return i % 2 == 0 and { phone = "x" } or contact_of(i)
      end,
      rejected = function(i)
        return contact_of(i % 2 == 0 and i or i + 100000)
      end,
      failed = contact_of,
    }
    for kind, make in pairs(kinds) do
      api:reset()
      local existing = {}
      if kind == "rejected" then
        for i = 1, 1000 do
          existing[i] = contact_of(2 * i)
        end
        assert(connect():import(existing))
      elseif kind == "failed" then
        local bad = {}
        for i = 1, 1000 do
          bad[i] = phone_of(2 * i)
        end
        api:default { refuse_phones = bad }
      end
      local source = counted(2000, make)
      local report, problem = connect({ batch_size = 5, concurrency = 2 }):import(source, { max_failures = 10 })
      assert.is_nil(report)
      assert.are.equal("stopped", problem.kind)
      local made = problem.report
      assert_sound(made, source.taken)
      assert.is_true(made.rejected + made.invalid + made.failed + made.unknown >= 10, kind)
      assert.is_true(made[kind] >= 10 and made[kind] <= 10 + 2 * 5, kind .. " " .. made[kind])
      assert.is_true(made.accepted > 0)
      assert.is_true(source.taken <= 60, kind .. " " .. source.taken)
    end
  end)

  it("does not stop for fewer than max_failures", function()
    local list = contacts(100)
    for i = 1, 9 do
      list[i * 10] = { phone = "x" }
    end
    local report = assert(connect({ batch_size = 5 }):import(list, { max_failures = 10 }))
    assert.are.equal(9, report.invalid)
    assert.are.equal(91, report.accepted)
  end)
end)

describe("the items of an import", function()
  it("are at most 1,000, in input order, and say when they are not all", function()
    for _, case in ipairs { { 1000, false }, { 1001, true }, { 5000, true } } do
      local list = {}
      for i = 1, case[1] do
        list[i] = { phone = "x" }
      end
      local report = assert(connect():import(list))
      assert_sound(report, case[1])
      assert.are.equal(case[1], report.invalid)
      assert.are.equal(1000, #report.items)
      assert.are.equal(case[2], report.items_truncated)
    end
  end)

  it("are in input order where requests end in another", function()
    local network = instant.new {
      way = math.random,
      back = math.random,
      answer = function(request)
        local phones = instant.phones(request.body)
        return { body = ('[{"phone":"%s"}]'):format(phones[math.random(#phones)]) }
      end,
    }
    local client = fake_client(network, { batch_size = 3, concurrency = 8 })
    local report = assert(client:import(contacts(300)))
    client:close()
    assert_sound(report, 300)
    assert.are.equal(100, report.rejected)
    assert.are.equal(100, #report.items)
    for _, item in ipairs(report.items) do
      assert.are.equal(phone_of(item.index), item.remote.phone)
    end
  end)

  it("are given to on_item alone where there is one, every one of them and once", function()
    local list = contacts(3000)
    for i = 2, 3000, 2 do
      list[i] = { phone = "x" }
    end
    assert(connect():import { contact_of(1), contact_of(3) })
    local seen, count = {}, 0
    local report = assert(connect():import(list, {
      on_item = function(item)
        assert(not seen[item.index])
        seen[item.index] = item.outcome
        assert(item.contact == list[item.index] and item.position == item.index)
        count = count + 1
      end,
    }))
    assert_sound(report, 3000)
    assert.are.equal(1502, count)
    assert.are.equal("rejected", seen[3])
    assert.are.equal("invalid", seen[3000])
    assert.are.same({}, report.items)
    assert.is_false(report.items_truncated)
  end)

  it("may be sent again from on_item with the same client", function()
    local client = connect { batch_size = 10, concurrency = 3 }
    assert(client:import(contacts(10)))
    local again = 0
    local report = assert(client:import(contacts(100), {
      on_item = function(item)
        again = again + assert(client:create_contacts({ item.contact }, { overwrite = true })).accepted
      end,
    }))
    assert_sound(report, 100)
    assert.are.equal(90, report.accepted)
    assert.are.equal(10, report.rejected)
    assert.are.equal(10, again)
    assert.are.same({}, api:ledger().overlap)
  end)
end)

describe("on_progress", function()
  it("is told the report so far, which only grows and whose sums always hold", function()
    local last, calls = { total = 0 }, 0
    local report = assert(connect({ batch_size = 10, concurrency = 3 }):import(contacts(200), {
      on_progress = function(so_far)
        assert_sound(so_far)
        for _, outcome in ipairs(OUTCOMES) do
          assert(so_far[outcome] >= (last[outcome] or 0))
        end
        assert(so_far.elapsed >= (last.elapsed or 0) and so_far.requests >= (last.requests or 0))
        last = so_far
        calls = calls + 1
      end,
    }))
    assert.is_true(calls >= 20)
    assert.are.equal(200, last.total)
    assert.are.equal(200, report.total)
  end)
end)

describe("a report of a random import", function()
  -- Every contact has one outcome, and it is the one that the answers of the imaginary server allow.
  it("is true of every contact, for 300 inputs and servers", function()
    for seed = 1, 300 do
      math.randomseed(seed)
      local answered = {} -- by phone: the last word of the server, "listed", "taken", "refused" or nil
      local network
      network = instant.new {
        way = math.random,
        back = math.random,
        answer = function(request)
          local dice = math.random(20)
          local phones = instant.phones(request.body)
          if dice == 1 then
            return { status = 500, body = "" }
          elseif dice == 2 then
            return { status = 429, headers = { "Retry-After: 1" }, body = "" }
          elseif dice == 3 then
            return { code = "COULDNT_CONNECT", sent = false }
          elseif dice == 4 then
            return { code = "RECV_ERROR", sent = true }
          elseif dice == 5 and #phones > 1 then
            return { status = 400, body = "" }
          end
          local listed = {}
          for _, phone in ipairs(phones) do
            answered[phone] = (answered[phone] or 0) + 1
            if math.random(10) == 1 then
              listed[#listed + 1] = ('{"phone":"%s"}'):format(phone)
            end
          end
          return { body = "[" .. table.concat(listed, ",") .. "]" }
        end,
      }
      local size = math.random(0, 400)
      local source = counted(size, function(i)
        local dice = math.random(12)
        if dice == 1 then
          return { phone = "bad" }
        elseif dice == 2 then
          return contact_of(math.random(20))
        end
        return contact_of(1000 + i)
      end)
      local items = {}
      local client = fake_client(network, {
        batch_size = math.random(1, 30),
        concurrency = math.random(1, 9),
        requests_per_minute = math.random(2) == 1 and 100 or false,
        max_attempts = math.random(1, 5),
      })
      local report, problem = client:import(source, {
        on_item = function(item)
          assert(not items[item.index], "two outcomes for one contact")
          items[item.index] = item
        end,
      })
      client:close()
      report = report or problem.report
      assert_sound(report, source.taken)
      local counts = { accepted = 0, rejected = 0, invalid = 0, failed = 0, unknown = 0, unsent = 0 }
      for i = 1, source.taken do
        local item = items[i]
        counts[item and item.outcome or "accepted"] = counts[item and item.outcome or "accepted"] + 1
        if item then
          assert.are.equal("row " .. i, item.position)
          if item.outcome == "failed" or item.outcome == "unknown" then
            assert.is_true(heymarket.is_failure(item.failure))
          elseif item.outcome == "rejected" then
            assert.are.equal(item.contact.phone, item.remote.phone)
          end
        end
      end
      for _, outcome in ipairs(OUTCOMES) do
        assert.are.equal(counts[outcome], report[outcome], outcome .. ", seed " .. seed)
      end
      assert.are.equal(network.count, report.requests)
      for _, request in ipairs(network.requests) do
        local seen = {}
        for _, phone in ipairs(instant.phones(request.body)) do
          assert.is_nil(seen[phone], "a phone stands twice in a request")
          seen[phone] = true
        end
      end
    end
  end)
end)

describe("the pace", function()
  -- The server's point of view: no 60 seconds, wherever they begin, hold more arrivals than allowed.
  local function busiest(arrivals)
    table.sort(arrivals)
    local most, first = 0, 1
    for last = 1, #arrivals do
      while arrivals[last] - arrivals[first] >= 60 do
        first = first + 1
      end
      most = math.max(most, last - first + 1)
    end
    return most
  end

  it("keeps every minute at the server within the limit, however long requests are on their way", function()
    for seed = 1, 60 do
      math.randomseed(seed)
      local limit = math.random(1, 40)
      local longest = ({ 0, 0.3, 5, 50 })[math.random(4)]
      local function latency()
        return math.random() ^ 3 * longest
      end
      local network = instant.new { way = latency, back = latency }
      local client = fake_client(network, {
        requests_per_minute = limit,
        batch_size = 1,
        concurrency = math.random(1, 12),
        timeout = 600,
      })
      local report = assert(client:import(contacts(150)))
      client:close()
      assert.are.equal(150, report.accepted)
      local most = busiest(network.arrivals)
      assert.is_true(most <= limit, ("%d of %d arrived in one minute, seed %d"):format(most, limit, seed))
    end
  end)

  it("is the client's, not the call's", function()
    local network = instant.new()
    local client = fake_client(network, { requests_per_minute = 10, batch_size = 1 })
    for i = 1, 30 do
      assert(client:import { contact_of(i) })
      assert(client:create_contacts { contact_of(1000 + i) })
    end
    client:close()
    assert.are.equal(60, #network.arrivals)
    assert.is_true(busiest(network.arrivals) <= 10)
  end)

  it("uses nearly all requests that are allowed", function()
    local network = instant.new {
      way = function()
        return 0.05
      end,
      back = function()
        return 0.05
      end,
    }
    local client = fake_client(network, { requests_per_minute = 20, batch_size = 1 })
    assert(client:import(contacts(200)))
    client:close()
    -- 200 requests at 20 a minute: the tenth score may start after nine minutes.
    assert.is_true(network.now - 1000 >= 9 * 60)
    assert.is_true(network.now - 1000 <= 9 * 60 * 1.05)
  end)

  it("is off when told so", function()
    local network = instant.new()
    local client = fake_client(network, { batch_size = 1 })
    assert(client:import(contacts(2000)))
    client:close()
    assert.are.equal(1000, network.now)
  end)
end)

describe("memory", function()
  -- A million rows under the sanitizers take minutes, and residence says little there: Lua's count stands in.
  local sanitized = RUN == "asan"
  local rows = sanitized and 200000 or 1000000
  it(("after %d rows is at most 4 MiB above that after 10,000"):format(rows), function()
    local text = process.output(process.this_lua() .. (" spec/support/memory_worker.lua 10000 %d 2>&1"):format(rows))
    local marks = {}
    for index, resident, used in text:gmatch "(%d+) (%d+) (%d+)\n" do
      marks[tonumber(index)] = { resident = tonumber(resident), used = tonumber(used) }
    end
    assert(marks[10000] and marks[rows], text)
    assert.is_true(marks[rows].used - marks[10000].used <= 512, text)
    if not sanitized then
      assert.is_true(marks[rows].resident - marks[10000].resident <= 4096, text)
    end
  end)
end)

describe("this spec file", function()
  it("leaves no handle open", function()
    api:disconnect()
    collectgarbage()
    collectgarbage()
    assert.are.same({ signers = 0, pools = 0, transfers = 0 }, core.open_handles())
  end)
end)
