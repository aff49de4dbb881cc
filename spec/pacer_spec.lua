local fake = require "spec.support.fake"
local pace_memory = require "heymarket.http.pace_memory"
local pace_shared_dict = require "heymarket.http.pace_shared_dict"
local pacer = require "heymarket.http.pacer"
local rounds = require "spec.support.rounds"

local WINDOW = 60 -- seconds in which the API counts

-- A lua_shared_dict in virtual time: what all workers see. `during` runs at each call, as another worker might.
local function new_dict(clock)
  local dict = { entries = {}, clock = clock }

  local function live(key)
    local entry = dict.entries[key]
    if entry and entry.expires and entry.expires <= clock.now then
      dict.entries[key] = nil
      return nil
    end
    return entry
  end

  local function between()
    local act = dict.during
    if act then
      dict.during = nil
      act()
      dict.during = act
    end
  end

  function dict.get(_, key)
    between()
    local entry = live(key)
    return entry and entry.value
  end

  function dict.set(_, key, value, seconds)
    between()
    dict.entries[key] = { value = value, expires = seconds and clock.now + seconds }
    return true
  end

  function dict.incr(_, key, value, init, seconds)
    between()
    local entry = live(key)
    if not entry then
      if not init then
        return nil, "not found"
      end
      entry = { value = init, expires = seconds and clock.now + seconds }
      dict.entries[key] = entry
    end
    entry.value = entry.value + value
    return entry.value
  end

  return dict
end

local function new_worker(dict, name)
  local store = pace_shared_dict.new(dict, name or "account", function()
    return dict.clock.now
  end)
  return pacer.new(store, function()
    return dict.clock.now - 1e9 -- each worker's own clock
  end)
end

local function most_in_a_minute(arrivals)
  table.sort(arrivals)
  local most, first = 0, 1
  for last = 1, #arrivals do
    while arrivals[first] <= arrivals[last] - WINDOW do
      first = first + 1
    end
    most = math.max(most, last - first + 1)
  end
  return most
end

describe("a pacer that workers share", function()
  local clock, dict

  before_each(function()
    clock = { now = 1700000000.4 }
    dict = new_dict(clock)
  end)

  it("lets all workers together send as many as allowed, and then says when to ask again", function()
    local one, two = new_worker(dict), new_worker(dict)
    for i = 1, 10 do
      assert.is_truthy((i % 2 == 0 and one or two):reserve(10))
    end
    for _, worker in ipairs { one, two } do
      local permit, delay = worker:reserve(10)
      assert.is_nil(permit)
      assert.is_true(delay > WINDOW - 1 and delay <= WINDOW + 1)
    end
  end)

  it("frees a place a minute after a request ended, not after it started", function()
    local worker = new_worker(dict)
    local permit = worker:reserve(1)
    clock.now = clock.now + 30
    worker:finish(permit)
    clock.now = clock.now + WINDOW - 1
    assert.is_nil((worker:reserve(1)))
    clock.now = clock.now + 2
    assert.is_truthy(worker:reserve(1))
  end)

  it("never exceeds the limit in any minute, whatever the workers, the limit and the latencies", function()
    for seed = 1, rounds(20) do
      local random = fake.random(seed)
      clock.now = 1700000000 + random()
      dict.entries = {}
      local limit = random(1, 40)
      local workers, flying, arrivals = {}, {}, {}
      for i = 1, random(1, 5) do
        workers[i] = new_worker(dict)
      end
      for _ = 1, 4000 do
        local worker = workers[random(1, #workers)]
        local permit = worker:reserve(limit)
        if permit then
          local length = random() * 3
          table.insert(flying, { worker = worker, permit = permit, ends = clock.now + length })
          arrivals[#arrivals + 1] = clock.now + random() * length
        end
        clock.now = clock.now + random() * 0.2
        for i = #flying, 1, -1 do
          if flying[i].ends <= clock.now then
            flying[i].worker:finish(flying[i].permit)
            table.remove(flying, i)
          end
        end
      end
      assert.is_true(most_in_a_minute(arrivals) <= limit, "seed " .. seed)
      -- And it is no slower than it has to be: a second is lost to counting by seconds, and the latencies.
      assert.is_true(#arrivals >= limit * 4, "seed " .. seed .. ": only " .. #arrivals .. " with a limit of " .. limit)
    end
  end)

  it("gives the last place to one of two workers that ask at the same moment, and not to none", function()
    for place = 1, 4 do
      dict.entries = {}
      local one, two = new_worker(dict), new_worker(dict)
      for _ = 1, 9 do
        assert.is_truthy(one:reserve(10))
      end
      local calls, permit_of_two = 0, nil
      dict.during = function()
        calls = calls + 1
        if calls == place then
          permit_of_two = two:reserve(10)
        end
      end
      local permit_of_one = one:reserve(10)
      dict.during = nil
      assert.is_true((permit_of_one == nil) ~= (permit_of_two == nil), "other worker at call " .. place)
    end
  end)

  it("counts requests of the second that has just begun", function()
    dict.entries = {}
    local one, two = new_worker(dict), new_worker(dict)
    clock.now = 1700000000.999
    local calls, permit_of_two = 0, nil
    dict.during = function()
      calls = calls + 1
      if calls == 2 then -- the first worker has read the clock, and not counted yet
        clock.now = 1700000001.001
        permit_of_two = two:reserve(1)
      end
    end
    local permit_of_one = one:reserve(1)
    dict.during = nil
    assert.is_truthy(permit_of_two)
    assert.is_nil(permit_of_one)
  end)

  it("frees the places of a dead worker after a minute", function()
    local dead, other = new_worker(dict), new_worker(dict)
    for _ = 1, 10 do
      assert.is_truthy(dead:reserve(10))
    end
    -- It never says that its requests have ended.
    clock.now = clock.now + WINDOW - 1
    assert.is_nil((other:reserve(10)))
    clock.now = clock.now + 2.1
    for _ = 1, 10 do
      assert.is_truthy(other:reserve(10))
    end
  end)

  it("leaves nothing behind in the dict", function()
    local worker = new_worker(dict)
    for _ = 1, 300 do
      local permit = worker:reserve(100)
      clock.now = clock.now + 0.7
      if permit then
        worker:finish(permit)
      end
    end
    worker:on_throttled(5, 0)
    for _, entry in pairs(dict.entries) do
      assert.is_true(entry.expires ~= nil and entry.expires <= clock.now + WINDOW + 2)
    end
  end)

  it("pauses all workers after a 429, and no longer than that", function()
    local one, two = new_worker(dict), new_worker(dict)
    one:on_throttled(20, clock.now - 1e9)
    for _, worker in ipairs { one, two } do
      local permit, delay = worker:reserve(10)
      assert.is_nil(permit)
      assert.is_true(delay > 19 and delay <= 20.1)
    end
    two:on_throttled(5, clock.now - 1e9) -- a shorter one does not shorten it
    clock.now = clock.now + 15
    assert.is_nil((two:reserve(10)))
    clock.now = clock.now + 5.2
    assert.is_truthy(two:reserve(10))
  end)

  it("keeps accounts apart", function()
    local one, two = new_worker(dict, "a"), new_worker(dict, "b")
    assert.is_truthy(one:reserve(1))
    assert.is_nil((one:reserve(1)))
    assert.is_truthy(two:reserve(1))
  end)

  it("counts nothing where there is no limit", function()
    local worker = new_worker(dict)
    for _ = 1, 100 do
      worker:finish(worker:reserve(false))
    end
    assert.are.same({}, dict.entries)
  end)
end)

describe("the pacer of one client", function()
  local now, one

  before_each(function()
    now = 1000
    local function clock()
      return now
    end
    one = pacer.new(pace_memory.new(clock), clock)
  end)

  it("never exceeds the limit in any minute, whatever the limit and the latencies", function()
    for seed = 1, 20 do
      local random = fake.random(seed)
      local limit, in_flight, arrivals = random(1, 40), {}, {}
      for _ = 1, 3000 do
        if one:reserve(limit) then
          local length = random() * 20
          table.insert(arrivals, now + random() * length) -- the server counts it between its start and its end
          table.insert(in_flight, now + length)
        end
        now = now + random() * 0.5
        for i = #in_flight, 1, -1 do
          if in_flight[i] <= now then
            table.remove(in_flight, i)
            one:finish(true)
          end
        end
      end
      assert.is_true(most_in_a_minute(arrivals) <= limit, "seed " .. seed)
      now = now + 1000
      for _ = 1, #in_flight do
        one:finish(true)
      end
      now = now + WINDOW
    end
  end)

  it("tells when to ask again, and nothing where that depends on a request in flight", function()
    assert.is_true(one:reserve(2))
    assert.is_true(one:reserve(2))
    assert.are.same({}, { one:reserve(2) })
    one:finish(true)
    now = now + 10
    local permit, delay = one:reserve(2)
    assert.is_nil(permit)
    assert.are.equal(WINDOW - 10, delay)
    now = now + delay
    assert.is_true(one:reserve(2))
  end)

  it("waits, after the limit was lowered, until enough requests no longer count", function()
    for i = 1, 3 do
      assert.is_true(one:reserve(3))
      now = now + i
      one:finish(true)
    end
    -- They ended at 1001, 1003 and 1006: with a limit of 1 the last of them must leave.
    local permit, delay = one:reserve(1)
    assert.is_nil(permit)
    assert.are.equal(1006 + WINDOW - now, delay)
  end)

  -- What follows a 429 with a pause of 5 s: seconds between two requests, one after another.
  it("keeps a distance after a 429, doubles it with the next one, and shortens it with each success", function()
    local function wait()
      local permit, delay = one:reserve(false)
      if not permit then
        now = now + delay
        assert.is_true(one:reserve(false))
      end
      one:finish(true)
      return delay or 0
    end
    local function near(expected, actual)
      assert.is_true(math.abs(expected - actual) < 1e-6, ("%g, not %g"):format(actual, expected))
    end
    near(0, wait())
    one:on_throttled(5, now)
    near(5, wait())
    near(0.12, wait())
    one:on_throttled(0, 999) -- it was in flight with the first one
    near(0.12, wait())
    one:on_throttled(0, now)
    near(0.24, wait())
    one:on_success(now - 100) -- it was in flight before the 429
    near(0.24, wait())
    one:on_success(now)
    near(0.192, wait())
    for _ = 1, 100 do
      one:on_success(now)
    end
    near(0, wait())
  end)
end)
