-- What goes into one request, and what a report says when a call stops.

local clients = require "spec.support.clients"
local fake = require "spec.support.fake"
local rounds = require "spec.support.rounds"
local witness = require "spec.support.witness"

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

local function always(answer)
  return function()
    local copy = {}
    for name, value in pairs(answer) do
      copy[name] = value
    end
    return copy
  end
end

-- Is one phone the other with one to four digits in front? By the words of the rule, and slowly.
local function is_prefixed(long, short)
  for digits = 1, 4 do
    if #long == #short + digits and long:sub(digits + 1) == short then
      return true
    end
  end
  return false
end

local function check_requests(world)
  for _, request in ipairs(world.requests) do
    for i, one in ipairs(request.phones) do
      for j, other in ipairs(request.phones) do
        assert(i == j or not is_prefixed(one, other), one .. " stands beside " .. other)
      end
    end
  end
  for phone, order in pairs(world.order) do
    for i = 2, #order do
      assert(order[i] >= order[i - 1], phone .. " went out of order")
    end
  end
  assert.are.same({}, world.overlap)
  assert.are.same({}, world.doubles)
end

describe("phones of which one is the other with digits in front", function()
  local function import(phones, options)
    local list = {}
    for i, phone in ipairs(phones) do
      list[i] = { phone = phone, first = tostring(i) }
    end
    local world = fake.new()
    local given = { default_country = false, overwrite = true }
    for name, value in pairs(options or {}) do
      given[name] = value
    end
    local report = assert(client_of(world):import(list, given))
    assert.are.equal(#phones, report.accepted)
    check_requests(world)
    return world
  end

  it("never stand in one request, with one to four digits, in either order", function()
    for _, pair in ipairs {
      { "2345678901", "12345678901" },
      { "3541234567", "13541234567" },
      { "2345678901", "442345678901" },
      { "2345678901", "3532345678901" },
      { "2345678901", "12342345678901" },
      { "2345678", "12345678" },
      { "2345678", "99992345678" },
    } do
      assert.are.equal(2, #import(pair).requests)
      assert.are.equal(2, #import({ pair[2], pair[1] }).requests)
    end
  end)

  it("may stand together where there are more digits in front, or other ones at the end", function()
    for _, pair in ipairs {
      { "2345678901", "123452345678901" },
      { "2345678901", "12345678902" },
      { "12345678901", "22345678901" },
      { "2345678", "123452345678" },
    } do
      assert.are.equal(1, #import(pair).requests)
    end
  end)

  it("need one more request only, however many pairs there are", function()
    local phones = {}
    for i = 1, 50 do
      phones[#phones + 1] = ("234567%04d"):format(i)
      phones[#phones + 1] = ("1234567%04d"):format(i)
    end
    assert.are.equal(2, #import(phones).requests)
    table.sort(phones)
    assert.are.equal(2, #import(phones).requests)
  end)

  it("keep the order of each phone, for random inputs", function()
    for seed = 1, rounds(300) do
      local draw = fake.random(seed)
      local phones = {}
      for i = 1, draw(1, 120) do
        local prefix = ({ "", "1", "44", "353", "1684", "99999" })[draw(1, 6)]
        phones[i] = prefix .. ("23456%04d"):format(draw(1, 8))
      end
      import(phones, { batch_size = draw(1, 30), concurrency = draw(1, 5) })
    end
  end)

  it("have an outcome when the call stops, in halves of a refused batch too", function()
    for stop_at = 1, 6 do
      local list = {}
      for i = 1, 40 do
        list[i] = { phone = (i % 2 == 0 and "1" or "") .. ("234567%04d"):format(math.ceil(i / 2)), first = tostring(i) }
      end
      local world
      world = fake.new {
        handler = function(request)
          if request.has["12345670003"] then
            return { status = 400 }
          end
        end,
      }
      local given = { default_country = false, batch_size = 8, concurrency = 2 }
      local _, failure = client_of(world):create_contacts(list, given)
      witness.sums(40, failure.report)
      assert.are.equal(1, failure.report.failed)
      check_requests(world)
      given.should_stop = function()
        return #world.requests >= stop_at
      end
      world = fake.new()
      local report
      report, failure = client_of(world):import(list, given)
      witness.sums(40, (report or failure.report))
      check_requests(world)
    end
  end)
end)

local EPSILON = 1e-6

local function near(wanted, found, what)
  if math.abs(wanted - found) > EPSILON then
    error(("%s is %.9f, not %.9f"):format(what or "time", found, wanted), 2)
  end
end

describe("the report of a call that stops", function()
  -- So large that two go into one request, and a third does not.
  local function large(i)
    return { phone = contact_of(i).phone, first = tostring(i), display_name = ("x"):rep(450000) }
  end

  it("has the contact for which there was no room in the request", function()
    local taken = 0
    local function source()
      taken = taken + 1
      return taken <= 7 and large(taken) or nil
    end
    local world = fake.new { handler = always { status = 403 } }
    local _, failure = client_of(world):import(source, { concurrency = 1 })
    assert.are.equal("denied", failure.kind)
    assert.are.equal(2, #world.requests[1].sent)
    witness.sums(taken, failure.report)
    assert.are.same({ 2, taken - 2 }, { failure.report.failed, failure.report.unsent })

    local list = {}
    for i = 1, 7 do
      list[i] = large(i)
    end
    world = fake.new { handler = always { status = 403 } }
    _, failure = client_of(world):create_contacts(list, { concurrency = 2 })
    witness.sums(7, failure.report)
  end)

  it("says of requests that were never sent that they were not delivered", function()
    -- The pace lets one request go; the others wait, are announced to nobody, and the call is stopped.
    local world
    world = fake.new {}
    local client = client_of(world, { requests_per_minute = 1 })
    local _, failure = client:import(contacts_of(40), {
      batch_size = 10,
      should_stop = function()
        return world.now > 1005
      end,
    })
    assert.are.equal("stopped", failure.kind)
    assert.are.equal(1, #world.requests)
    witness.sums(40, failure.report)
    assert.are.same({ 10, 30, 0 }, { failure.report.accepted, failure.report.unsent, failure.report.unknown })
    for _, item in ipairs(failure.report.items) do
      assert.are.equal("no", item.failure.delivered)
    end

    -- Nothing left at all.
    world = fake.new {}
    _, failure = client_of(world):create_contacts(contacts_of(40), { deadline = 0.001, timeout = 5 })
    witness.sums(40, failure.report)
    world = fake.new { handler = always { code = "COULDNT_CONNECT", sent = false, refuse_start = true } }
    _, failure = client_of(world, { max_attempts = 1 }):create_contacts(contacts_of(40), { batch_size = 10 })
    assert.are.equal("no", failure.delivered)
    assert.are.equal(40, failure.report.failed)
    for _, item in ipairs(failure.report.items) do
      assert.are.equal("no", item.failure.delivered)
    end
  end)

  it("has the failure of an unknown contact first, wherever that contact stands", function()
    for place = 1, 3 do
      local world = fake.new {
        handler = function(request)
          if request.has[contact_of(place).phone] then
            return { code = "RECV_ERROR", sent = true, process = "none" }
          end
          return { status = 400 }
        end,
      }
      local client = client_of(world, { max_attempts = 1, batch_size = 1 })
      local _, failure = client:create_contacts(contacts_of(3))
      assert.are.equal("network", failure.kind)
      assert.are.equal("maybe", failure.delivered)
      assert.are.same({ 2, 1 }, { failure.report.failed, failure.report.unknown })
    end
  end)
end)

describe("a refused batch whose size is the fault", function()
  it("limits later batches to the size of the halves that were accepted", function()
    local refused = 0
    local world = fake.new {
      handler = function(request)
        if #request.phones > 25 then
          refused = refused + 1
          return { status = 400 }
        end
      end,
    }
    local report = assert(client_of(world):import(contacts_of(3000), { batch_size = 100, concurrency = 1 }))
    assert.are.equal(3000, report.accepted)
    -- One of 100 and its two halves of 50; all that come later are cut to 25.
    assert.are.equal(3, refused)
    assert.are.equal(120 + 3, #world.requests)
  end)

  it("changes no later batch where one half was refused as well", function()
    local contacts = contacts_of(400)
    local world = fake.new {
      handler = function(request)
        if request.has[contact_of(7).phone] then
          return { status = 400 }
        end
      end,
    }
    local report = assert(client_of(world):import(contacts, { batch_size = 100, concurrency = 1 }))
    assert.are.equal(399, report.accepted)
    assert.are.equal(100, #world.requests[#world.requests].phones)
  end)
end)

describe("a call of which everything is refused", function()
  it("stops after sixteen refusals that are alike, and not before", function()
    for _, first_good in ipairs { 15, 16, 17 } do
      local world = fake.new {
        handler = function(request)
          if request.number <= first_good then
            return { status = 400, body = '{"error_code":"bad_data"}' }
          end
        end,
      }
      local client = client_of(world, { batch_size = 1, concurrency = 1 })
      local report, failure = client:import(contacts_of(50))
      if first_good == 15 then
        assert.are.same({ 15, 35 }, { report.failed, report.accepted })
      else
        assert.is_nil(report)
        assert.are.equal(16, #world.requests)
        assert.are.equal("bad_data", failure.kind)
        assert.is_truthy(failure.message:find("16 requests in a row were refused alike", 1, true), failure.message)
        witness.sums(50, failure.report)
        assert.are.same({ 16, 34 }, { failure.report.failed, failure.report.unsent })
      end
    end
  end)

  it("does not stop for refusals that differ, nor before three contacts stood alone", function()
    local world = fake.new {
      handler = function(request)
        if request.number <= 40 then
          return { status = 400, body = ('{"error_code":"kind_%d"}'):format(request.number % 2) }
        end
      end,
    }
    local report = assert(client_of(world, { batch_size = 1, concurrency = 1 }):import(contacts_of(60)))
    assert.are.same({ 40, 20 }, { report.failed, report.accepted })
  end)
end)

describe("retries", function()
  it("after a 401 keep to max_attempts", function()
    local world = fake.new { handler = always { status = 401 } }
    local _, failure = client_of(world, { max_attempts = 1 }):create_contacts(contacts_of(1))
    assert.are.equal("unauthorized", failure.kind)
    assert.are.equal(1, #world.requests)
    assert.are.equal(1, failure.attempts)

    -- A 500 before it counts as well.
    world = fake.new {
      handler = function(request)
        return { status = request.number == 1 and 500 or 401 }
      end,
    }
    _, failure = client_of(world, { max_attempts = 2 }):create_contacts(contacts_of(1))
    assert.are.equal(2, #world.requests)
    assert.are.equal(1, failure.report.unknown)
  end)

  it("after a late 401 keep a token that is newer than the refused one", function()
    local tokens = {}
    local world = fake.new {
      handler = function(request)
        local _, bearer = fake.iat(request.headers)
        tokens[request.number] = bearer
        -- Two go out with the first token. The second hears of it only after others have used the new one.
        if request.number == 1 then
          return { status = 401, latency = 2 }
        elseif request.number == 2 then
          return { status = 401, latency = 20 }
        end
        return { latency = 2 }
      end,
    }
    local client = client_of(world, { batch_size = 1, concurrency = 2, token_ttl = 240 })
    local report = assert(client:create_contacts(contacts_of(20)))
    assert.are.equal(20, report.accepted)
    assert.are.equal(22, #world.requests)
    assert.are.equal(tokens[1], tokens[2])
    assert.are_not.equal(tokens[1], tokens[3])
    for i = 4, 22 do
      assert.are.equal(tokens[3], tokens[i], "request " .. i)
    end
  end)

  it("follow a 425, after which contacts may have been taken", function()
    local world = fake.new {
      handler = function(request)
        if request.number == 1 then
          return { status = 425, process = "all" }
        end
      end,
    }
    local report = assert(client_of(world):create_contacts(contacts_of(2)))
    assert.are.equal(2, #world.requests)
    assert.are.equal(2, report.rejected)
    for _, item in ipairs(report.items) do
      assert.is_true(item.ambiguous)
    end
    local _, failure = client_of(fake.new { handler = always { status = 425 } }):create_contacts(contacts_of(2))
    assert.are.equal("maybe", failure.delivered)
    assert.are.equal(2, failure.report.unknown)
    assert.are.equal(5, failure.attempts)
  end)

  it("end where a server answers 500 and 400 by turns, and contacts that may have been taken are unknown", function()
    local world = fake.new {
      handler = function(request)
        return { status = request.number % 2 == 1 and 500 or 400 }
      end,
    }
    local _, failure = client_of(world):create_contacts(contacts_of(1))
    assert.are.equal(2, #world.requests)
    assert.are.equal("bad_data", failure.kind)
    assert.are.equal(1, failure.report.unknown)
    assert.are.equal("maybe", failure.report.items[1].failure.delivered)

    -- There are no ten failed tries in a row, but refusals that are alike are counted all the same.
    local taken = 0
    world = fake.new {
      handler = function(request)
        return { status = request.number % 2 == 1 and 500 or 400 }
      end,
    }
    local report
    report, failure = client_of(world, { batch_size = 1, concurrency = 1 }):import(function()
      taken = taken + 1
      return contact_of(taken)
    end)
    assert.is_nil(report)
    assert.are.equal(32, #world.requests)
    assert.are.equal(failure.report.total, failure.report.unknown + failure.report.unsent)
    assert.are.equal(16, failure.report.unknown)
  end)

  it("are not made where they would begin exactly at the deadline", function()
    local function run(seconds)
      local world = fake.new {
        latency = 0.5,
        handler = always { status = 503, headers = { ["Retry-After"] = seconds } },
      }
      local _, failure = client_of(world):create_contacts(contacts_of(1), { deadline = 8 })
      return world, failure
    end
    local world, failure = run "7.5"
    assert.are.equal(1, #world.requests)
    near(1000.5, world.now)
    assert.are.equal("timeout", failure.kind)
    world = run "7.25"
    assert.are.equal(2, #world.requests)
  end)
end)

describe("a call with a deadline", function()
  it("succeeds when the last answer comes exactly at the deadline", function()
    local world = fake.new { latency = 8 }
    local report = assert(client_of(world):create_contacts(contacts_of(3), { deadline = 8 }))
    assert.are.equal(3, report.accepted)
    near(1008, world.now)
  end)
end)

describe("the pace after a 429", function()
  it("is kept by the next call, also where the server asks for a longer pause than the call waits", function()
    local world = fake.new {
      handler = function(request)
        if request.number == 1 then
          return { status = 429, headers = { ["Retry-After"] = "4000" } }
        end
      end,
    }
    local client = client_of(world, { max_retry_after = 90 })
    local _, failure = client:create_contacts(contacts_of(1))
    assert.are.equal("rate_limited", failure.kind)
    assert.are.equal(4000, failure.retry_after)
    local ended = world.now
    near(1000.1, ended)
    assert(client:create_contacts(contacts_of(1)))
    near(ended + 90, world.requests[2].t)
  end)

  it("is the longest pause of several, in either order", function()
    for _, pauses in ipairs { { 30, 5 }, { 5, 30 } } do
      local world = fake.new {
        handler = function(request)
          local pause = pauses[request.number]
          if pause then
            return { status = 429, headers = { ["Retry-After"] = tostring(pause) }, latency = request.number }
          end
        end,
      }
      assert(client_of(world):create_contacts(contacts_of(4), { batch_size = 1, concurrency = 2 }))
      local until_time = math.max(world.requests[1].ends + pauses[1], world.requests[2].ends + pauses[2])
      near(until_time, world.requests[3].t)
    end
  end)

  it("is slowed down once by eight 429s of requests in flight together", function()
    local function gap_after(together)
      local world = fake.new {
        handler = function(request)
          if request.number <= together then
            return { status = 429, headers = { ["Retry-After"] = "1" } }
          end
        end,
      }
      local client = client_of(world, { batch_size = 1, concurrency = 8, max_attempts = 9 })
      assert(client:create_contacts(contacts_of(16)))
      return world.requests[10].t - world.requests[9].t
    end
    local eight = gap_after(8)
    assert.is_true(eight > 0.01)
    local world = fake.new {
      handler = function(request)
        if request.number == 1 then
          return { status = 429, headers = { ["Retry-After"] = "1" } }
        end
      end,
    }
    assert(client_of(world, { batch_size = 1, concurrency = 1 }):create_contacts(contacts_of(16)))
    near(world.requests[3].t - world.requests[2].t, eight, "the distance")
  end)
end)
