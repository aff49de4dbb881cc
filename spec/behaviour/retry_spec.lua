local capture = require "spec.support.capture"
local core = require "heymarket.core"
local clients = require "spec.support.clients"
local fake = require "spec.support.fake"
local heymarket = require "heymarket"
local positions = require "spec.support.positions"
local rounds = require "spec.support.rounds"
local witness = require "spec.support.witness"

local cjson = require("cjson").new()

-- Times are exact but for the arithmetic of doubles.
local EPSILON = 1e-6
local KEY = clients.KEY

local client_of = clients.of

after_each(clients.close)

local contacts_of = clients.contacts

-- A source that counts what is taken from it.
local function stream_of(count)
  local counter = { taken = 0 }
  return function()
    if counter.taken < count then
      counter.taken = counter.taken + 1
      return { phone = ("12%09d"):format(counter.taken), first = tostring(counter.taken) }
    end
  end,
    counter
end

local function near(wanted, found, what)
  if math.abs(wanted - found) > EPSILON then
    error(("%s is %.9f, not %.9f"):format(what or "time", found, wanted), 2)
  end
end

-- The pauses between the end of each try and the start of the next.
local function pauses_of(world)
  local pauses = {}
  for i = 2, #world.requests do
    pauses[i - 1] = world.requests[i].t - world.requests[i - 1].ends
  end
  return pauses
end

local function constant(value)
  return function()
    return value
  end
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

local UNREACHABLE = { code = "COULDNT_CONNECT", sent = false }
local LOST = { code = "GOT_NOTHING", sent = true, process = "none" }

describe("backoff", function()
  local SHARE = 1 - 2 ^ -40 -- the greatest that a number below 1 can be, near enough

  local function pauses_with(share, answer)
    local world = fake.new { random = constant(share), handler = always(answer) }
    local _, failure = client_of(world, { max_attempts = 9 }):create_contacts(contacts_of(1))
    assert.are.equal(9, failure.attempts)
    return pauses_of(world)
  end

  local ANSWERS = { server = { status = 503 }, unreachable = UNREACHABLE, lost = LOST, rate = { status = 429 } }
  for name, answer in pairs(ANSWERS) do
    it("is a random part of a time that doubles with each try: " .. name, function()
      local spans = pauses_with(SHARE, answer)
      assert.is_true(spans[1] > 0.05 and spans[1] < 5)
      local doubled = 0
      for i = 2, #spans do
        assert.is_true(spans[i] <= 60)
        if math.abs(spans[i] - 2 * spans[i - 1]) < 1e-3 then
          doubled = doubled + 1
        else
          assert.is_true(spans[i] >= spans[i - 1] - 1e-3, "a span shrinks")
        end
      end
      if answer.status == 429 then
        return -- here the pace of the client counts as well; see below
      end
      assert.is_true(doubled >= 4)
      for _, share in ipairs { 0.25, 0.5, 0.75 } do
        for i, pause in ipairs(pauses_with(share, answer)) do
          assert.is_true(math.abs(pause - share * spans[i]) < 1e-3, "pause " .. i .. " is " .. pause)
        end
      end
    end)
  end

  it("is drawn anew for each try", function()
    local draw = fake.random(7)
    local drawn = {}
    local world = fake.new {
      random = function()
        drawn[#drawn + 1] = draw()
        return drawn[#drawn]
      end,
      handler = always { status = 500 },
    }
    client_of(world, { max_attempts = 6 }):create_contacts(contacts_of(1))
    local pauses = pauses_of(world)
    local first = pauses[1] / drawn[1]
    for i, pause in ipairs(pauses) do
      near(drawn[i] * first * 2 ^ (i - 1), pause, "pause " .. i)
    end
  end)

  it("may be 0", function()
    for _, pause in ipairs(pauses_with(0, { status = 500 })) do
      near(0, pause)
    end
  end)

  it("does not hold up other requests", function()
    local failed = 0
    local world = fake.new {
      random = constant(0.99),
      handler = function(request)
        if request.has["12025500001"] then
          failed = failed + 1
          return { status = 500, process = "none" }
        end
      end,
    }
    local _, failure = client_of(world):create_contacts(contacts_of(30), { batch_size = 1, concurrency = 2 })
    assert.are.equal(29, failure.report.accepted)
    assert.are.equal(5, failed)
    -- 29 requests of 0.1 s on the lanes that are free; the pauses alone take longer than all of them.
    local others = 0
    for _, request in ipairs(world.requests) do
      if not request.has["12025500001"] then
        others = math.max(others, request.ends)
      end
    end
    assert.is_true(others - 1000 < 3.2)
  end)

  it("is in the retry event", function()
    local delays = {}
    local world = fake.new { random = constant(0.5), handler = always { status = 500 } }
    client_of(world, {
      on_event = function(event)
        if event.type == "retry" then
          delays[#delays + 1] = event.delay
        end
      end,
    }):create_contacts(contacts_of(1))
    for i, pause in ipairs(pauses_of(world)) do
      near(delays[i], pause)
    end
    assert.are.equal(4, #delays)
  end)
end)

describe("max_attempts", function()
  for attempts = 1, 7 do
    it("limits the tries of a request: " .. attempts, function()
      for _, answer in ipairs { { status = 500 }, { status = 429 }, UNREACHABLE, LOST, { body = "<html>" } } do
        local world = fake.new { handler = always(answer) }
        local client = client_of(world, { max_attempts = attempts })
        local _, failure = client:create_contacts(contacts_of(2))
        assert.are.equal(attempts, #world.requests)
        assert.are.equal(attempts, failure.attempts)
        assert.are.equal(attempts, failure.report.requests)
        assert.are.equal(attempts - 1, failure.report.retries)
        assert.is_true(failure.retryable)
      end
    end)
  end

  it("of the call replaces that of the client", function()
    local world = fake.new { handler = always { status = 500 } }
    client_of(world, { max_attempts = 2 }):create_contacts(contacts_of(1), { max_attempts = 4 })
    assert.are.equal(4, #world.requests)
  end)

  it("is 5 unless told", function()
    local world = fake.new { handler = always { status = 500 } }
    client_of(world):create_contacts(contacts_of(1))
    assert.are.equal(5, #world.requests)
  end)

  it("limits the tries of check", function()
    local world = fake.new { handler = always { status = 500 } }
    local ok, failure = client_of(world, { max_attempts = 3 }):check()
    assert.is_nil(ok)
    assert.are.equal(3, #world.requests)
    assert.are.equal("server", failure.kind)
    assert.are.equal("GET", world.requests[1].method)
  end)

  it("is not used up where another try is pointless", function()
    for _, status in ipairs { 400, 403, 404, 405, 410, 413, 422 } do
      local world = fake.new { handler = always { status = status } }
      local _, failure = client_of(world):create_contacts(contacts_of(1))
      assert.are.equal(1, #world.requests)
      assert.are.equal(1, failure.attempts)
      assert.are.equal(status, failure.status)
    end
  end)
end)

describe("Retry-After", function()
  -- The pause after one answer, and what came of it.
  local function pause_after(answer, config, random)
    local first = true
    local world
    world = fake.new {
      random = constant(random or 0),
      handler = function(request)
        if first then
          first = false
          return type(answer) == "function" and answer(request, world) or answer
        end
      end,
    }
    local report, failure = client_of(world, config):create_contacts(contacts_of(1))
    return pauses_of(world)[1], report, failure, world
  end

  for _, status in ipairs { 429, 503, 500, 408 } do
    it("in seconds is waited for: " .. status, function()
      for _, seconds in ipairs { 1, 7, 60, 120 } do
        local pause, report =
          pause_after { status = status, headers = { ["Retry-After"] = tostring(seconds) }, process = "none" }
        near(seconds, pause)
        assert.are.equal(1, report.accepted)
      end
    end)

    it("as a date is waited for, by the server's own clock: " .. status, function()
      for _, offset in ipairs { 0, 3600, -86400 } do
        local pause, report = pause_after(function(_, world)
          local there = math.floor(world.now + world.offset + offset)
          return {
            status = status,
            process = "none",
            headers = { ["Retry-After"] = fake.http_date(there + 9), Date = fake.http_date(there) },
          }
        end)
        near(9, pause)
        assert.are.equal(1, report.accepted)
      end
    end)
  end

  it("as a date without Date is read by our clock", function()
    local pause = pause_after(function(_, world)
      return { status = 503, headers = { ["Retry-After"] = fake.http_date(world.now + world.offset + 20) } }
    end)
    assert.is_true(pause > 18.5 and pause <= 20)
  end)

  it("that has passed, is zero or cannot be read causes no wait", function()
    for _, value in ipairs { "0", "Fri, 31 Dec 1999 23:59:59 GMT", "soon", "-5", "", "1e3", "12 34", "0x10" } do
      local pause = pause_after { status = 503, headers = { ["Retry-After"] = value } }
      near(0, pause, "pause after " .. value)
    end
  end)

  it("does not shorten the backoff", function()
    local without = pause_after({ status = 503 }, nil, 0.9)
    local with = pause_after({ status = 503, headers = { ["Retry-After"] = "0" } }, nil, 0.9)
    near(without, with)
    assert.is_true(without > 0)
  end)

  for _, status in ipairs { 429, 503 } do
    it("beyond max_retry_after ends the tries at once: " .. status, function()
      local _, report, failure, world = pause_after { status = status, headers = { ["Retry-After"] = "121" } }
      assert.is_nil(report)
      assert.are.equal(1, #world.requests)
      near(1000.1, world.now)
      assert.are.equal(121, failure.retry_after)
      assert.are.equal(status, failure.status)
      assert.are.equal(1, failure.attempts)
      assert.is_true(failure.retryable)
      assert.are.equal(status == 429 and 1 or 0, failure.report.failed)
      assert.are.equal(status == 503 and 1 or 0, failure.report.unknown)
    end)

    it("beyond a max_retry_after that the user gave ends the tries: " .. status, function()
      local headers = { ["Retry-After"] = "6" }
      local _, _, failure = pause_after({ status = status, headers = headers }, { max_retry_after = 5 })
      assert.are.equal(6, failure.retry_after)
      local pause = pause_after({ status = status, headers = headers, process = "none" }, { max_retry_after = 6 })
      near(6, pause)
    end)

    it("as a date beyond max_retry_after ends the tries at once: " .. status, function()
      local _, _, failure, world = pause_after(function(_, it)
        local now = it.now + it.offset
        return {
          status = status,
          headers = { ["Retry-After"] = fake.http_date(now + 4000), Date = fake.http_date(now) },
        }
      end)
      assert.are.equal(1, #world.requests)
      assert.are.equal(4000, failure.retry_after)
    end)
  end

  it("is in the failure after the last try", function()
    local world = fake.new { handler = always { status = 429, headers = { ["Retry-After"] = "3" } } }
    local _, failure = client_of(world, { max_attempts = 2 }):create_contacts(contacts_of(1))
    assert.are.equal(3, failure.retry_after)
    assert.is_truthy(tostring(failure):find("(status 429, retry after 3 s, ", 1, true), tostring(failure))
    assert.are.equal("rate_limited", failure.kind)
    assert.are.equal("no", failure.delivered)
    assert.are.equal(1, failure.report.failed)
  end)
end)

describe("a deadline", function()
  local function check(world, deadline)
    for _, request in ipairs(world.requests) do
      assert.is_true(request.t < 1000 + deadline, "a try after the deadline")
      assert.is_true(request.t + request.timeout <= 1000 + deadline + EPSILON, "a try may outlive the deadline")
      assert.is_true(request.connect_timeout <= request.timeout)
    end
    assert.is_true(world.now <= 1000 + deadline + EPSILON, "the call outlives its deadline")
  end

  it("lets no try start after it, and does not wait for a try that could not start", function()
    local world = fake.new { handler = always { status = 503, headers = { ["Retry-After"] = "4" } } }
    local _, failure = client_of(world):create_contacts(contacts_of(3), { deadline = 10 })
    check(world, 10)
    assert.are.equal(3, #world.requests)
    assert.are.equal("timeout", failure.kind)
    assert.are.equal("maybe", failure.delivered)
    assert.are.equal(3, failure.report.unknown)
  end)

  it("ends requests that are in flight", function()
    local world = fake.new { latency = 30 }
    local _, failure = client_of(world):create_contacts(contacts_of(1), { deadline = 5 })
    check(world, 5)
    near(1005, world.now)
    near(5, world.requests[1].timeout)
    assert.are.equal("timeout", failure.kind)
    assert.are.equal(1, failure.report.unknown)
  end)

  it("does not shorten the timeout of a try that has time enough", function()
    local world = fake.new { handler = always { status = 500, process = "none", latency = 1 } }
    client_of(world, { timeout = 4 }):create_contacts(contacts_of(1), { deadline = 100 })
    assert.are.equal(4, world.requests[1].timeout)
  end)

  it("leaves contacts unsent that were not tried", function()
    local world = fake.new { latency = 1 }
    local client = client_of(world)
    local given = { deadline = 3.5, batch_size = 1, concurrency = 2 }
    local _, failure = client:create_contacts(contacts_of(50), given)
    check(world, 3.5)
    witness.sums(50, failure.report)
    assert.are.equal("timeout", failure.kind)
    assert.are.equal(6, failure.report.accepted)
    assert.are.equal(2, failure.report.unknown)
    assert.are.equal(42, failure.report.unsent)
    assert.are.equal("maybe", failure.delivered)
  end)

  it("stops an import from a stream", function()
    local world = fake.new { latency = 1 }
    local source, counter = stream_of(100000)
    local report, failure =
      client_of(world):import(source, { deadline = 10.5, batch_size = 10, concurrency = 2, timeout = 60 })
    assert.is_nil(report)
    check(world, 10.5)
    witness.sums(counter.taken, failure.report)
    assert.are.equal(200, failure.report.accepted)
    assert.is_true(counter.taken < 300)
  end)

  it("ends a call at once where the pace allows no request before it", function()
    local world = fake.new { latency = 0.5 }
    local events = {}
    local client = client_of(world, {
      requests_per_minute = 1,
      on_event = function(event)
        events[#events + 1] = event.type
      end,
    })
    local _, failure = client:create_contacts(contacts_of(3), { batch_size = 1, deadline = 10 })
    check(world, 10)
    assert.are.equal(1, #world.requests)
    near(1000.5, world.now) -- the first request was in flight until then
    witness.sums(3, failure.report)
    assert.are.equal(1, failure.report.accepted)
    assert.are.equal(2, failure.report.unsent)
    assert.are.equal("timeout", failure.kind)
    assert.are.equal("maybe", failure.delivered)

    _, failure = client:create_contacts(contacts_of(1), { deadline = 6 })
    near(1000.5, world.now)
    assert.are.equal("timeout", failure.kind)
    assert.are.equal("no", failure.delivered)
    assert.is_true(failure.retryable)
    near(60, failure.retry_after)
    assert.are.equal(
      "the deadline of 6 s leaves no time: the pace of 1 request a minute (requests_per_minute) allows the next one in "
        .. "60 s",
      failure.message
    )
    assert.are.equal(1, failure.report.unsent)
    for _, name in ipairs(events) do
      assert.are_not.equal("pace", name) -- nothing waited for it
    end

    world.now = world.now + failure.retry_after
    assert(client:create_contacts(contacts_of(1), { deadline = 6 }))
  end)

  it("does not end a call whose wait for the pace is shorter", function()
    local world = fake.new {}
    local client = client_of(world, { requests_per_minute = 1 })
    assert.are.equal(2, assert(client:create_contacts(contacts_of(2), { batch_size = 1, deadline = 61 })).accepted)
    near(1060.2, world.now) -- two requests that take 0.1 s
  end)

  it("does not end a call at once whose pace depends on a request in flight", function()
    local world = fake.new { latency = 5 }
    local client = client_of(world, { requests_per_minute = 1 })
    local given = { batch_size = 1, concurrency = 2, deadline = 20 }
    local _, failure = client:create_contacts(contacts_of(2), given)
    near(1005, world.now)
    near(60, failure.retry_after)
    assert.are.equal(1, failure.report.accepted)
    assert.are.equal(1, failure.report.unsent)
  end)

  it("ends a call at once where a 429 makes all requests wait beyond it", function()
    local world = fake.new { handler = always { status = 429, headers = { ["Retry-After"] = "30" } } }
    local client = client_of(world, { max_attempts = 1 })
    client:create_contacts(contacts_of(1))
    local _, failure = client:create_contacts(contacts_of(1), { deadline = 10 })
    near(1000.1, world.now) -- the end of the first request
    assert.are.equal(1, #world.requests)
    assert.are.equal("timeout", failure.kind)
    assert.are.equal("no", failure.delivered)
    near(30, failure.retry_after)
    assert.are.equal(
      "the deadline of 10 s leaves no time: the server has asked for fewer requests (429), and the next one may start "
        .. "in 30 s",
      failure.message
    )
  end)

  it("ends check", function()
    local world = fake.new { latency = 30 }
    local ok, failure = client_of(world):check { deadline = 2 }
    assert.is_nil(ok)
    check(world, 2)
    assert.are.equal("timeout", failure.kind)
  end)
end)

describe("a 429", function()
  it("delays every request of the call, then keeps a distance between them", function()
    local world
    world = fake.new {
      latency = 0.05,
      handler = function(request)
        if request.number == 20 then
          return { status = 429, headers = { ["Retry-After"] = "20" } }
        end
      end,
    }
    local report = assert(client_of(world):create_contacts(contacts_of(120), { batch_size = 1, concurrency = 8 }))
    assert.are.equal(120, report.accepted)
    assert.are.equal(1, report.retries)
    local pause = world.requests[20].ends
    local later = {}
    for _, request in ipairs(world.requests) do
      assert.is_false(request.t > pause and request.t < pause + 20 - EPSILON, "a request during the pause")
      if request.t >= pause + 20 - EPSILON then
        later[#later + 1] = request.t
      end
    end
    -- One by one at first, and in the end as many at a time as before.
    local before = math.huge
    for i = 2, 8 do
      local gap = later[i] - later[i - 1]
      assert.is_true(gap <= before + EPSILON)
      assert.is_true(gap > 0.01)
      before = gap
    end
    assert.is_true(later[8] - later[7] < later[2] - later[1])
    assert.is_true(later[#later] - later[#later - 7] <= 0.05 + EPSILON)
  end)

  it("delays the next calls of the client, but not another client", function()
    local refused = false
    local world = fake.new {
      handler = function()
        if not refused then
          refused = true
          return { status = 429, headers = { ["Retry-After"] = "15" } }
        end
      end,
    }
    local client, other = client_of(world), client_of(world)
    local _, failure = client:create_contacts(contacts_of(1), { max_attempts = 1 })
    assert.are.equal("rate_limited", failure.kind)
    local ended = world.now
    assert(other:create_contacts(contacts_of(1)))
    near(ended, world.requests[2].t)
    assert(client:create_contacts(contacts_of(1)))
    near(ended + 15, world.requests[3].t)
  end)

  it("slows requests down also where some that started before it succeed", function()
    local world = fake.new {
      handler = function(request)
        if request.number == 1 then
          return { status = 429, headers = { ["Retry-After"] = "1" } }
        end
      end,
    }
    assert(client_of(world):create_contacts(contacts_of(100), { batch_size = 1, concurrency = 32 }))
    for i = 34, 37 do
      assert.is_true(world.requests[i].t - world.requests[i - 1].t > 0.01, "request " .. i)
    end
  end)

  it("that comes again makes the distance larger, up to a limit", function()
    local world = fake.new {
      handler = function(request)
        if request.number <= 40 and request.number % 2 == 1 then
          return { status = 429, headers = { ["Retry-After"] = "0" } }
        end
      end,
    }
    local report = client_of(world):create_contacts(contacts_of(60), {
      batch_size = 1,
      concurrency = 1,
      max_attempts = 50,
    })
    assert.are.equal(60, report.accepted)
    local gaps = {}
    for i = 2, #world.requests do
      gaps[#gaps + 1] = world.requests[i].t - world.requests[i - 1].t
    end
    assert.is_true(gaps[30] > gaps[1])
    for _, gap in ipairs(gaps) do
      assert.is_true(gap < 60)
    end
    near(0.1, gaps[#gaps])
  end)

  it("does not stop the call while there are tries left", function()
    local world = fake.new {
      handler = function(request)
        if request.number % 5 ~= 0 then
          return { status = 429, headers = { ["Retry-After"] = "1" } }
        end
      end,
    }
    local report = assert(client_of(world):create_contacts(contacts_of(300), { concurrency = 1 }))
    assert.are.equal(300, report.accepted)
    assert.are.equal(15, #world.requests)
  end)
end)

describe("a server that is down", function()
  local KINDS = {
    unreachable = { UNREACHABLE, "network", "failed" },
    lost = { LOST, "network", "unknown" },
    ["503"] = { { status = 503 }, "server", "unknown" },
    html = { { body = "<html>down for maintenance</html>", process = "none" }, "unexpected", "unknown" },
    ["429"] = { { status = 429 }, "rate_limited", "failed" },
    slow = { { latency = 1e9 }, "timeout", "unknown" },
  }

  for name, row in pairs(KINDS) do
    it("gets few requests from a long import: " .. name, function()
      for _, concurrency in ipairs { 1, 4, 16 } do
        local world = fake.new { random = constant(0.5), handler = always(row[1]) }
        local source, counter = stream_of(100000)
        local report, failure = client_of(world):import(source, { concurrency = concurrency })
        assert.is_nil(report)
        assert.are.equal(row[2], failure.kind)
        assert.is_true(failure.retryable)
        local made = failure.report
        assert.are.equal(counter.taken, made.total)
        assert.are.equal(counter.taken, made[row[3]] + made.unsent)
        assert.is_true(made[row[3]] > 0)
        assert.are.equal(#world.requests, made.requests)
        assert.is_true(#world.requests <= 10 + 6 * concurrency, #world.requests .. " requests")
        assert.is_true(counter.taken <= 100 * (#world.requests + concurrency))
      end
    end)

    it("leaves the rest of an array unsent: " .. name, function()
      local world = fake.new { random = constant(0.5), handler = always(row[1]) }
      for _, method in ipairs { "import", "create_contacts" } do
        local client = client_of(world)
        local _, failure = client[method](client, contacts_of(900), { batch_size = 1 })
        local made = failure.report
        witness.sums(900, made)
        assert.are.equal(900, made[row[3]] + made.unsent)
        assert.is_true(made.unsent > 800)
      end
    end)
  end

  it("in the middle of an import leaves every contact with an outcome", function()
    for seed = 1, 20 do
      local draw = fake.random(seed)
      local last = draw(1, 40)
      local world = fake.new {
        random = draw,
        latency = function()
          return 0.05 + draw()
        end,
        handler = function(request)
          if request.number > last then
            return draw() < 0.5 and { code = "RECV_ERROR", sent = true, process = draw() < 0.5 and "all" or "none" }
              or { code = "COULDNT_CONNECT", sent = false }
          end
        end,
      }
      local source, counter = stream_of(100000)
      local report, failure = client_of(world):import(source, { batch_size = 10 })
      assert.is_nil(report)
      assert.are.equal("network", failure.kind)
      local made = failure.report
      witness.sums(counter.taken, made)
      assert.is_true(#world.requests <= last + 40)
      local accepted = 0
      for _, request in ipairs(world.requests) do
        accepted = accepted + (request.status == 200 and 10 or 0)
      end
      assert.are.equal(accepted, made.accepted)
    end
  end)

  it("for a short while does not stop the call", function()
    local world
    world = fake.new {
      random = constant(0.9),
      handler = function()
        if world.now > 1000.5 and world.now < 1003 then
          return { code = "COULDNT_CONNECT", sent = false }
        end
      end,
    }
    local report = assert(client_of(world):import((stream_of(20000))))
    assert.are.equal(20000, report.accepted)
  end)

  it("now and then does not stop the call", function()
    for seed = 1, rounds(10) do
      local draw = fake.random(seed)
      local world = fake.new {
        random = draw,
        handler = function()
          if draw() < 0.3 then
            return { status = 503, process = "none" }
          end
        end,
      }
      local report = assert(client_of(world, { max_attempts = 12 }):import((stream_of(20000))))
      assert.are.equal(20000, report.accepted)
      assert.is_true(report.retries > 40)
    end
  end)

  it("for one batch makes only that batch unknown", function()
    local world = fake.new {
      handler = function(request)
        if request.has["12000000555"] then
          return { status = 500, process = "none" }
        end
      end,
    }
    local report = assert(client_of(world):import((stream_of(5000))))
    assert.are.equal(4900, report.accepted)
    assert.are.equal(100, report.unknown)
    assert.are.equal(501, report.items[1].index)
    assert.are.equal(600, report.items[100].index)
  end)
end)

-- A server that takes tokens of the last five minutes only, by a clock of its own.
local function strict_clock(ahead, with_date)
  return function(request, world)
    local there = world.now + world.offset + ahead
    request.iat = fake.iat(request.headers)
    if math.abs(there - request.iat) > 300 then
      return { status = 401, headers = with_date ~= false and { Date = fake.http_date(there) } or nil }
    end
  end
end

describe("a 401", function()
  it("is followed by one try with a new token", function()
    local world = fake.new {
      handler = function(request, it)
        request.iat = fake.iat(request.headers)
        if request.number == 1 then
          it.now = it.now + 3
          return { status = 401 }
        end
      end,
    }
    local report = assert(client_of(world):create_contacts(contacts_of(5)))
    assert.are.equal(5, report.accepted)
    assert.are.equal(2, #world.requests)
    assert.is_true(world.requests[2].iat > world.requests[1].iat)
    near(0, pauses_of(world)[1])
  end)

  for _, ahead in ipairs { 3600, -3600, 86400 * 400 } do
    it(
      ("is followed by a token that goes by the server's Date, where our clock is wrong by %d s"):format(ahead),
      function()
        local world = fake.new { handler = strict_clock(ahead) }
        local client = client_of(world)
        local report = assert(client:create_contacts(contacts_of(1000), { batch_size = 20 }))
        assert.are.equal(1000, report.accepted)
        -- As many as were on their way when the first answer came, and no more.
        assert.are.equal(50 + 4, #world.requests)
        assert.are.equal(4, report.retries)
        for _, request in ipairs(world.requests) do
          if request.status == 200 then
            local age = request.t + world.offset + ahead - request.iat
            assert.is_true(age >= -2 and age <= 242, "the token is " .. age .. " s old")
          end
        end
        -- The client remembers.
        assert(client:create_contacts(contacts_of(10)))
        assert.is_true(client:check())
        assert.are.equal(56, #world.requests)
        -- And a token that a user asks for is right, too.
        local iat = fake.iat { "Authorization: Bearer " .. client:token() }
        assert.is_true(math.abs(world.now + world.offset + ahead - iat) < 245)
      end
    )

    it(("stops the call where the server sends no Date and our clock is wrong by %d s"):format(ahead), function()
      local world = fake.new { handler = strict_clock(ahead, false) }
      local _, failure = client_of(world):create_contacts(contacts_of(5))
      assert.are.equal(2, #world.requests)
      assert.are.equal("unauthorized", failure.kind)
      assert.are.equal(401, failure.status)
      assert.are.equal(2, failure.attempts)
      assert.are.equal("no", failure.delivered)
      assert.is_false(failure.retryable)
      assert.are.equal(5, failure.report.failed)
    end)
  end

  it("a second time stops the call; requests in flight are awaited, other contacts are unsent", function()
    local world = fake.new {
      handler = function(request)
        if request.has["12025500021"] then
          return { status = 401, latency = 0.1 }
        end
        return { latency = request.number <= 4 and 5 or 0.1 }
      end,
    }
    -- The third batch is refused; the three others of the first four are slow.
    local _, failure = client_of(world):create_contacts(contacts_of(200), { batch_size = 10, concurrency = 4 })
    assert.are.equal("unauthorized", failure.kind)
    witness.sums(200, failure.report)
    assert.are.equal(30, failure.report.accepted)
    assert.are.equal(10, failure.report.failed)
    assert.are.equal(160, failure.report.unsent)
    assert.are.equal(5, #world.requests)
    assert.are.equal("maybe", failure.delivered)
    near(1005, world.now)
  end)

  it("of all requests at once ends each after two tries", function()
    local world = fake.new { handler = always { status = 401, headers = { Date = "Sun, 06 Nov 1994 08:49:37 GMT" } } }
    local source, counter = stream_of(100000)
    local report, failure = client_of(world):import(source, { concurrency = 8 })
    assert.is_nil(report)
    assert.are.equal("unauthorized", failure.kind)
    assert.is_true(#world.requests <= 16)
    witness.sums(counter.taken, failure.report)
    assert.are.equal(0, failure.report.unknown)
    assert.are.equal("no", failure.delivered)
  end)

  for _, date in ipairs {
    "Thu, 01 Jan 1970 00:00:00 GMT",
    "Wed, 31 Dec 1969 23:59:59 GMT",
    "Mon, 01 Jan 1900 00:00:00 GMT",
    "Sat, 01 Jan 0000 00:00:00 GMT",
    "Mon, 01 Jan 0001 00:00:00 GMT",
    "Tue, 31 Dec 2019 23:59:59 GMT",
    "Fri, 01 Jan 2100 00:00:00 GMT",
    "Fri, 31 Dec 9999 23:59:59 GMT",
    "Sun Nov  6 08:49:37 0000",
  } do
    it("whose Date cannot be true does not move our clock: " .. date, function()
      local world = fake.new { handler = always { status = 401, headers = { Date = date } } }
      local client = client_of(world)
      local _, failure = client:create_contacts(contacts_of(5))
      assert.are.equal("unauthorized", failure.kind)
      assert.are.equal(5, failure.report.failed)
      assert.are.equal(2, #world.requests)
      for _, request in ipairs(world.requests) do
        local iat = fake.iat(request.headers)
        assert.are.equal(math.floor(request.t + world.offset), iat)
      end
      local iat = fake.iat { "Authorization: Bearer " .. client:token() }
      assert.are.equal(math.floor(world.now + world.offset), iat)
    end)
  end

  it("with two Dates that differ does not move our clock", function()
    local there = 1713225600 + 90000
    local lines = ("Date: %s\r\nDate: %s\r\n"):format(fake.http_date(there), fake.http_date(there + 3600))
    local heads = {}
    local client, _, transport = capture.client({}, function(_, number, headers)
      heads[number] = headers
      return { status = 401, headers = "HTTP/1.1 401 x\r\n" .. lines .. "\r\n", body = "{}" }
    end)
    client:create_contacts(contacts_of(1))
    client:close()
    assert.are.equal(2, #heads)
    assert.is_true(math.abs(fake.iat(heads[2]) - 1713225600 - transport.now) < 2)
  end)

  it("is the failure of check", function()
    local world = fake.new { handler = always { status = 401 } }
    local ok, failure = client_of(world):check()
    assert.is_nil(ok)
    assert.are.equal("unauthorized", failure.kind)
    assert.are.equal(2, #world.requests)
  end)
end)

describe("tokens", function()
  it("hold a whole number of seconds, 0 or more, whatever our clock shows", function()
    for _, offset in ipairs { -1e9, -5e12, -1000.5, 0.25, 1e17, 1e300 } do
      local world = fake.new { offset = offset }
      assert(client_of(world):create_contacts(contacts_of(1)))
      local iat = fake.iat(world.requests[1].headers)
      assert.are.equal(math.floor(math.max(0, math.min(1000 + offset, 2 ^ 53 - 1))), iat)
    end
  end)

  it("are used again, but never longer than token_ttl", function()
    for _, ttl in ipairs { 240, 290, 30, 0 } do
      local seen, count = {}, 0
      local world
      world = fake.new {
        latency = 7,
        handler = function(request)
          local iat, token = fake.iat(request.headers)
          local age = world.now + world.offset - iat
          assert(age >= 0 and age < ttl + 1, "a token that is too old")
          if not seen[token] then
            seen[token], count = true, count + 1
          end
        end,
      }
      client_of(world, { token_ttl = ttl }):import((stream_of(20000)), { concurrency = 1 })
      -- 200 requests of 7 s each.
      assert.are.equal(200, #world.requests)
      if ttl >= 30 then
        assert.is_true(count <= 1400 / (ttl - 7) + 1)
      else
        assert.are.equal(200, count)
      end
    end
  end)

  it("that became too old while a request waited are not used", function()
    local world
    world = fake.new {
      handler = function(request)
        local age = world.now + world.offset - fake.iat(request.headers)
        assert(age < 291, "a token that is too old")
        if request.number < 5 then
          return { status = 429, headers = { ["Retry-After"] = "115" } }
        end
      end,
    }
    assert(client_of(world):create_contacts(contacts_of(1)))
  end)
end)

describe("a 403", function()
  it("stops the call at once; requests in flight are awaited", function()
    local world = fake.new {
      handler = function(request)
        if request.number == 2 then
          return { status = 403, latency = 0.1 }
        end
        return { latency = 3 }
      end,
    }
    local _, failure = client_of(world):create_contacts(contacts_of(100), { batch_size = 5, concurrency = 4 })
    assert.are.equal("denied", failure.kind)
    assert.are.equal(403, failure.status)
    assert.are.equal(4, #world.requests)
    witness.sums(100, failure.report)
    assert.are.equal(15, failure.report.accepted)
    assert.are.equal(5, failure.report.failed)
    assert.are.equal(80, failure.report.unsent)
    near(1003, world.now)
  end)
end)

-- A server that refuses a whole request where one of these phones is in it.
local function refusing(bad, status, more)
  return function(request, world)
    for _, phone in ipairs(request.phones) do
      if bad[phone] then
        return { status = status or 400, body = '{"error_code":"bad_data","message":"phone"}' }
      end
    end
    return more and more(request, world)
  end
end

local function bad_of(contacts, indexes)
  local bad, wanted = {}, {}
  for _, index in ipairs(indexes) do
    bad[contacts[index].phone] = true
    wanted[index] = true
  end
  return bad, wanted
end

describe("a refused batch", function()
  it("needs at most 14 more requests where one contact of 100 is at fault, whichever it is", function()
    for _, status in ipairs { 400, 413, 422 } do
      for _, concurrency in ipairs { 1, 4 } do
        for index in positions(1, 100) do
          local contacts = contacts_of(100)
          local bad, wanted = bad_of(contacts, { index })
          local world = fake.new { handler = refusing(bad, status) }
          local _, failure = client_of(world):create_contacts(contacts, { concurrency = concurrency })
          witness.only_failed(100, failure.report, wanted, status)
          assert.are.equal(status, failure.status)
          if #world.requests > 15 then
            error(("%d requests for contact %d at concurrency %d"):format(#world.requests, index, concurrency))
          end
          assert.are.equal(#world.requests, failure.report.requests)
        end
      end
    end
  end)

  it("does not count its halves as retries", function()
    local contacts = contacts_of(100)
    local world = fake.new { handler = refusing((bad_of(contacts, { 50 }))) }
    local _, failure = client_of(world):create_contacts(contacts)
    assert.are.equal(0, failure.report.retries)
    assert.are.equal("bad_data", failure.kind)
    assert.are.equal(50, failure.report.items[1].index)
  end)

  it("is halved until each of several contacts at fault stands alone, and all others are accepted", function()
    for seed = 1, rounds(60) do
      local draw = fake.random(seed)
      local contacts = contacts_of(draw(1, 400))
      -- Up to one in eight, but not so many at the start that the early stop may think all of them are.
      local indexes = {}
      for i = 1, #contacts do
        if i > 20 and draw(1, 8) == 1 then
          indexes[#indexes + 1] = i
        end
      end
      local bad, wanted = bad_of(contacts, indexes)
      local world = fake.new {
        handler = refusing(bad),
        latency = function()
          return 0.01 + draw()
        end,
      }
      local size = draw(1, 20)
      local report = assert(client_of(world):import(contacts, { batch_size = size, concurrency = draw(1, 6) }))
      witness.only_failed(#contacts, report, wanted)
      local deep = math.ceil(math.log(size) / math.log(2))
      assert.is_true(#world.requests <= math.ceil(#contacts / size) + #indexes * 2 * (deep + 1))
    end
  end)

  it("does not stop the call where some contacts are at fault, the first one included", function()
    for k = 1, 5 do
      for _, size in ipairs { 1, 2, 3, 5, 10, 50, 100 } do
        for _, concurrency in ipairs { 1, 2, 4, 8 } do
          local contacts = contacts_of(150)
          local indexes = {}
          for i = 1, k do
            indexes[i] = i
          end
          local bad, wanted = bad_of(contacts, indexes)
          local world = fake.new { handler = refusing(bad) }
          local given = { batch_size = size, concurrency = concurrency }
          local report, failure = client_of(world):import(contacts, given)
          if not report then
            error(("k = %d, size %d, concurrency %d: %s"):format(k, size, concurrency, tostring(failure)))
          end
          witness.only_failed(150, report, wanted)
        end
      end
    end
  end)

  it("does not stop the call where up to five contacts are at fault", function()
    for seed = 1, rounds(150) do
      local draw = fake.random(seed)
      local contacts = contacts_of(100)
      local indexes = {}
      for i = 1, draw(1, 5) do
        indexes[i] = draw(1, 100)
      end
      local bad, wanted = bad_of(contacts, indexes)
      local world = fake.new { handler = refusing(bad) }
      local given = { batch_size = draw(1, 100), concurrency = draw(1, 8) }
      local report, failure = client_of(world):import(contacts, given)
      if not report then
        error(("seed %d: %s"):format(seed, tostring(failure)))
      end
      witness.only_failed(100, report, wanted)
    end
  end)

  for _, status in ipairs { 400, 413, 422 } do
    it("stops the call early where all contacts are at fault: " .. status, function()
      for _, size in ipairs { 1, 2, 10, 100 } do
        for _, concurrency in ipairs { 1, 4, 16 } do
          local world = fake.new { handler = always { status = status, body = '{"error_code":"bad_data"}' } }
          local source, counter = stream_of(50000)
          local given = { batch_size = size, concurrency = concurrency }
          local report, failure = client_of(world):import(source, given)
          assert.is_nil(report)
          assert.are.equal(status, failure.status)
          assert.are.equal("no", failure.delivered)
          local made = failure.report
          assert.are.equal(counter.taken, made.total)
          assert.are.equal(counter.taken, made.failed + made.unsent)
          assert.are.equal(0, made.accepted + made.unknown + made.rejected)
          assert.is_true(made.failed > 0)
          if #world.requests > 20 + concurrency then
            error(("%d requests at size %d, concurrency %d"):format(#world.requests, size, concurrency))
          end
        end
      end
    end)
  end

  it("that is small is halved to single contacts, even where all are at fault", function()
    local world = fake.new { handler = always { status = 400 } }
    local _, failure = client_of(world):create_contacts(contacts_of(4))
    assert.are.equal(7, #world.requests)
    assert.are.equal(4, failure.report.failed)
  end)

  it("keeps input order for each phone and never sends a half twice", function()
    local contacts = {}
    for i = 1, 60 do
      contacts[i] = { phone = ("12025500%03d"):format(i % 20), first = tostring(i) }
    end
    local world = fake.new { handler = refusing { ["12025500007"] = true } }
    local report = assert(client_of(world):import(contacts, { overwrite = true }))
    assert.are.equal(57, report.accepted)
    assert.are.equal(3, report.failed)
    for phone, order in pairs(world.order) do
      for i = 2, #order do
        assert.is_true(order[i] >= order[i - 1], phone)
      end
    end
  end)

  it("whose number of contacts is too large makes later batches smaller", function()
    for _, limit in ipairs { 60, 30, 13, 1 } do
      local refused = 0
      local world = fake.new {
        handler = function(request)
          if #request.phones > limit then
            refused = refused + 1
            return { status = 413 }
          end
        end,
      }
      local report = assert(client_of(world):import((stream_of(3000))))
      assert.are.equal(3000, report.accepted)
      -- Without learning, each of the 30 batches would be refused, and most of their parts.
      if refused > 40 then
        error(("%d refusals at a limit of %d"):format(refused, limit))
      end
    end
  end)

  it("whose body is too large makes later bodies smaller", function()
    local refused = 0
    local world = fake.new {
      handler = function(request)
        if #request.body > 20000 then
          refused = refused + 1
          return { status = 413 }
        end
      end,
    }
    local contacts = contacts_of(2000)
    for _, contact in ipairs(contacts) do
      contact.display_name = ("x"):rep(400)
    end
    local report = assert(client_of(world):import(contacts))
    assert.are.equal(2000, report.accepted)
    -- At most those on their way when the first answers came, and their halves.
    assert.is_true(refused <= 12, refused .. " refusals")
  end)

  it("of one contact that is too large fails only that contact", function()
    for index = 1, 30 do
      local contacts = contacts_of(30)
      contacts[index].display_name = ("x"):rep(30000)
      local world = fake.new {
        handler = function(request)
          return #request.body > 20000 and { status = 413 } or nil
        end,
      }
      local report = assert(client_of(world):import(contacts))
      witness.only_failed(30, report, { [index] = true }, 413)
      assert.are.equal("too_large", report.items[1].failure.kind)
    end
  end)

  it("does not stop the call once a contact was accepted", function()
    local world = fake.new {
      handler = function(request)
        if request.number > 1 then
          return { status = 400 }
        end
      end,
    }
    local report = assert(client_of(world):import(contacts_of(60), { batch_size = 4, concurrency = 1 }))
    assert.are.equal(4, report.accepted)
    assert.are.equal(56, report.failed)
  end)

  it("leaves a contact unknown if an earlier try may have arrived", function()
    for _, process in ipairs { "all", "none" } do
      local contacts = contacts_of(20)
      local bad = bad_of(contacts, { 7 })
      local refuse = refusing(bad)
      local world = fake.new {
        handler = function(request)
          if request.number == 1 then
            return { status = 500, process = process }
          end
          return refuse(request)
        end,
      }
      local _, failure = client_of(world):create_contacts(contacts)
      local outcomes, items = witness.outcomes(20, failure.report)
      witness.sums(20, failure.report)
      for i = 1, 20 do
        if i == 7 then
          assert.are.equal("unknown", outcomes[i])
          assert.are.equal("maybe", items[i].failure.delivered)
        elseif process == "all" then
          assert.are.equal("rejected", outcomes[i])
          assert.is_true(items[i].ambiguous)
        else
          assert.are.equal("accepted", outcomes[i])
        end
      end
    end
  end)

  it("that was refused by every try leaves its contacts failed", function()
    local contacts = contacts_of(20)
    local world = fake.new { handler = refusing((bad_of(contacts, { 7 }))) }
    for _, contact in ipairs(contacts) do
      world.contacts[contact.phone] = contact
    end
    local _, failure = client_of(world):create_contacts(contacts)
    assert.are.equal(1, failure.report.failed)
    assert.are.equal(19, failure.report.rejected)
    for _, item in ipairs(failure.report.items) do
      assert.is_falsy(item.ambiguous)
    end
  end)

  it("leaves every contact with an outcome where a deadline ends the call", function()
    for tenths = 1, 20 do
      local contacts = contacts_of(64)
      local world = fake.new { handler = refusing((bad_of(contacts, { 3, 30, 60 }))) }
      local report, failure = client_of(world):import(contacts, { deadline = tenths / 10, concurrency = 2 })
      report = report or failure.report
      witness.sums(64, report)
      local outcomes = witness.outcomes(64, report)
      for _, index in ipairs { 3, 30, 60 } do
        assert.is_true(outcomes[index] == "failed" or outcomes[index] == "unknown")
      end
    end
  end)
end)

describe("an address that does not exist", function()
  for _, status in ipairs { 404, 405, 410 } do
    it("stops the call after few requests: " .. status, function()
      local world = fake.new { handler = always { status = status } }
      local source, counter = stream_of(50000)
      local report, failure = client_of(world):import(source)
      assert.is_nil(report)
      assert.are.equal(status, failure.status)
      assert.are.equal("bad_data", failure.kind)
      assert.is_true(#world.requests <= 8)
      witness.sums(counter.taken, failure.report)
    end)
  end
end)

describe("a redirect", function()
  it("for every request stops the call after few requests", function()
    local world = fake.new { handler = always { status = 302, headers = { Location = "https://elsewhere.example/" } } }
    local source, counter = stream_of(50000)
    local report, failure = client_of(world):import(source)
    assert.is_nil(report)
    assert.are.equal("unexpected", failure.kind)
    assert.is_true(#world.requests <= 20)
    assert.are.equal(counter.taken, failure.report.unknown + failure.report.unsent)
    for _, request in ipairs(world.requests) do
      assert.is_truthy(request.url:find("https://api.heymarket.com/", 1, true))
    end
  end)
end)

-- Every string in a value, wherever it stands.
local function strings_in(value, found, seen)
  found, seen = found or {}, seen or {}
  if type(value) == "string" then
    found[#found + 1] = value
  elseif type(value) == "table" and not seen[value] then
    seen[value] = true
    for name, item in pairs(value) do
      strings_in(name, found, seen)
      strings_in(item, found, seen)
    end
  end
  return found
end

describe("events", function()
  local FIELDS = {
    request = { method = "string", url = "string", attempt = "number", contacts = "number", bytes = "number" },
    response = { method = "string", url = "string", attempt = "number", contacts = "number", elapsed = "number" },
    retry = { method = "string", url = "string", attempt = "number", delay = "number", failure = "table" },
    pace = { delay = "number" },
    outage = { elapsed = "number" },
    outcome = { contacts = "number" },
  }

  -- A run with a little of everything: invalid contacts, doubles, faults, refusals, pacing.
  local function run(seed, hook, options)
    local draw = fake.random(seed)
    local contacts = {}
    for i = 1, draw(1, 200) do
      local phone = ("1202555%04d"):format(draw(1, 150))
      contacts[i] = { phone = draw(1, 12) == 1 and "bad" or phone, first = tostring(i), last = "Private-Name" }
    end
    local world
    world = fake.new {
      random = draw,
      latency = function()
        return 0.05 + draw()
      end,
      handler = function(request)
        local _, token = fake.iat(request.headers)
        world.tokens = world.tokens or {}
        world.tokens[token] = true
        for phone in pairs(request.has) do
          if phone:find "7$" then
            return { status = 400, body = cjson.encode { error_code = "bad_data", message = "phone" } }
          end
        end
        local kind = draw(1, 12)
        local id = { ["X-Request-Id"] = "id-" .. request.number }
        if kind == 1 then
          return { status = 500, process = draw(1, 2) == 1 and "all" or "none", headers = id }
        elseif kind == 2 then
          return { status = 429, headers = { ["Retry-After"] = "2", ["X-Request-Id"] = "id-" .. request.number } }
        elseif kind == 3 then
          return { code = "COULDNT_CONNECT", sent = false }
        elseif kind == 4 then
          -- A server that is so kind as to show what it got.
          return { status = 502, body = request.body .. token, headers = id }
        elseif kind == 5 then
          return { body = "<html>" .. request.body .. token .. "</html>", process = "none", headers = id }
        end
        return { headers = id }
      end,
    }
    local given = {
      on_event = hook,
      batch_size = 10,
      requests_per_minute = draw(1, 2) == 1 and 20 or false,
    }
    for name, value in pairs(options or {}) do
      given[name] = value
    end
    local report, failure = client_of(world):import(contacts, given)
    return report or failure.report, world, #contacts, failure
  end

  it("of the type outcome add up to the report", function()
    local types = {}
    for seed = 1, 40 do
      local sum, by_outcome, counts = 0, {}, {}
      local report, world, count = run(seed, function(event)
        types[event.type] = true
        counts[event.type] = (counts[event.type] or 0) + 1
        if event.type == "outcome" then
          sum = sum + event.contacts
          by_outcome[event.outcome] = (by_outcome[event.outcome] or 0) + event.contacts
        end
      end)
      assert.are.equal(count, report.total)
      assert.are.equal(count, sum)
      for _, outcome in ipairs { "accepted", "rejected", "invalid", "failed", "unknown", "unsent" } do
        assert.are.equal(report[outcome], by_outcome[outcome] or 0)
      end
      assert.are.equal(report.requests, counts.request or 0)
      assert.are.equal(report.requests, counts.response or 0)
      assert.are.equal(#world.requests, counts.request or 0)
      -- A try that was announced is not made where the call stops before its time has come.
      assert.is_true(report.retries <= (counts.retry or 0))
    end
    for name in pairs(types) do
      assert.is_truthy(FIELDS[name], "an unknown type: " .. tostring(name))
    end
    for name in pairs(FIELDS) do
      assert.is_true(types[name], "no event of type " .. name)
    end
  end)

  it("have the fields of their type", function()
    -- An error in a hook is swallowed by design, so it is kept here.
    local raised = {}
    for seed = 1, 20 do
      run(seed, function(event)
        local ok, problem = pcall(function()
          for field, kind in pairs(FIELDS[event.type]) do
            assert(type(event[field]) == kind, event.type .. "." .. field)
          end
          if event.type == "response" then
            assert(event.status or event.failure, "neither status nor failure")
            assert(event.elapsed >= 0, "elapsed")
            assert(not event.status or event.status ~= 500 or event.request_id:find "^id%-%d+$", "request_id")
          elseif event.type == "retry" then
            assert(heymarket.is_failure(event.failure), "failure")
          end
        end)
        if not ok then
          raised[#raised + 1] = problem
        end
      end)
    end
    assert.are.same({}, raised)
  end)

  it("hold no secret, no token and no body", function()
    for seed = 1, rounds(40) do
      local events = {}
      local _, world = run(seed, function(event)
        events[#events + 1] = event
      end)
      -- One text of all strings: one search for each secret finds it wherever it is.
      local shown = table.concat(strings_in(events), "\0")
      assert.is_truthy(shown:find("https://", 1, true))
      assert.is_nil(shown:find(KEY, 1, true))
      assert.is_nil(shown:find("Private-Name", 1, true))
      for token in pairs(world.tokens or {}) do
        assert.is_nil(shown:find(token, 1, true))
        assert.is_nil(shown:find(token:match "[^.]+$", 1, true))
      end
    end
  end)

  it("do not disturb the call where the hook raises errors", function()
    for seed = 1, rounds(40) do
      local quiet, world = run(seed)
      local count = 0
      local loud, other = run(seed, function()
        count = count + 1
        error(count % 2 == 0 and "no" or { "no" })
      end)
      quiet.items, loud.items = #quiet.items, #loud.items
      assert.is_truthy(loud.hook_error:find("on_event raised an error: ", 1, true))
      loud.hook_error = nil
      assert.are.same(quiet, loud)
      assert.are.equal(#world.requests, #other.requests)
      assert.is_true(count >= quiet.requests)
    end
  end)

  it("come from the hook of the call, where it has one", function()
    local world = fake.new {}
    local seen = { client = 0, call = 0 }
    local client = client_of(world, {
      on_event = function()
        seen.client = seen.client + 1
      end,
    })
    client:create_contacts(contacts_of(1), {
      on_event = function()
        seen.call = seen.call + 1
      end,
    })
    assert.are.equal(0, seen.client)
    assert.are.equal(3, seen.call)
    client:create_contacts(contacts_of(1))
    assert.are.equal(3, seen.client)
  end)
end)

describe("the report", function()
  it("is complete where a hook closes the client", function()
    for _, kind in ipairs { "request", "response", "outcome" } do
      local world = fake.new()
      local client = client_of(world)
      local _, failure = client:create_contacts(contacts_of(10), {
        batch_size = 1,
        concurrency = 4,
        on_event = function(event)
          if event.type == kind then
            client:close()
          end
        end,
      })
      assert.are.equal("stopped", failure.kind, kind)
      witness.sums(10, failure.report)
      assert.is_true(failure.report.unsent >= 6, kind)
    end
  end)

  -- Statuses by which the server says that it did nothing.
  local function is_certain(request)
    if not request.arrived then
      return true
    elseif request.code then
      return false
    end
    local status = request.status
    return status >= 400 and status < 500 and status ~= 408
  end

  -- A run in which anything may happen, drawn from a seed, and all that must be true of it.
  local function run(seed)
    local draw = fake.random(seed)
    local count, pool = draw(1, 150), draw(1, 60)
    local contacts, marked = {}, {}
    for i = 1, count do
      contacts[i] = { phone = ("1202555%04d"):format(draw(1, pool)), first = tostring(i) }
      marked[i] = {}
    end
    local method = draw(1, 2) == 1 and "import" or "create_contacts"
    local invalid = {}
    if method == "import" then
      for i = 1, count do
        if draw(1, 20) == 1 then
          contacts[i] = { phone = "123", first = tostring(i) }
          invalid[i] = true
        end
      end
    end
    -- How bad the network is, how often the server refuses, and what is wrong with it.
    local trouble = draw(0, 60)
    local bad = {}
    for _ = 1, draw(0, 6) do
      bad[("1202555%04d"):format(draw(1, pool))] = true
    end
    local greatest = draw(1, 3) == 1 and draw(1, 12) or 1000
    local ahead = draw(1, 4) == 1 and 3600 or 0
    local world
    world = fake.new {
      random = draw,
      latency = function()
        return 0.01 + draw() * 2
      end,
      handler = function(request)
        for _, contact in ipairs(request.sent) do
          table.insert(marked[tonumber(contact.first)], request)
        end
        if draw(1, 100) <= trouble then
          local kind = draw(1, 9)
          local process = draw(1, 2) == 1 and "all" or "none"
          if kind == 1 then
            return { code = "COULDNT_CONNECT", sent = false }
          elseif kind == 2 then
            return { code = "RECV_ERROR", sent = true, process = process }
          elseif kind == 3 then
            return { status = draw(500, 504), process = process }
          elseif kind == 4 then
            return { status = 429, headers = { ["Retry-After"] = tostring(draw(0, 3)) } }
          elseif kind == 5 then
            return { body = "<html>", process = process }
          elseif kind == 6 then
            return { latency = 1000, process = process }
          elseif kind == 7 then
            return { status = 408, process = process }
          elseif kind == 8 then
            return { code = "SSL_CONNECT_ERROR", sent = false }
          elseif draw(1, 4) == 1 then
            request.strange = true
            return { body = '[{"phone":"19998887777"}]', process = "all" }
          end
          return { code = "PARTIAL_FILE", sent = true, process = process }
        end
        if math.abs(world.now + world.offset + ahead - fake.iat(request.headers)) > 300 then
          return { status = 401, headers = { Date = fake.http_date(world.now + world.offset + ahead) } }
        elseif #request.phones > greatest then
          return { status = 413 }
        end
        for phone in pairs(request.has) do
          if bad[phone] then
            return { status = 400 }
          end
        end
      end,
    }
    for _ = 1, draw(0, 10) do
      local phone = ("1202555%04d"):format(draw(1, pool))
      world.contacts[phone] = { phone = phone, first = "0" }
    end
    local given = {
      batch_size = draw(1, 20),
      concurrency = draw(1, 8),
      max_attempts = draw(1, 6),
      overwrite = draw(1, 2) == 1,
      timeout = draw(3, 20),
      deadline = draw(1, 5) == 1 and draw(1, 40) or nil,
      requests_per_minute = draw(1, 3) == 1 and draw(5, 60) or false,
    }
    local client = client_of(world)
    local report, failure = client[method](client, contacts, given)
    local made = report or failure.report

    witness.sums(count, made)
    local outcomes, items = witness.outcomes(count, made)
    assert(#world.overlap == 0, "a phone was in two requests at a time")
    assert(#world.doubles == 0, "a phone stood twice in a request")
    assert(world.max_in_flight <= given.concurrency, "more in flight than allowed")
    assert(made.requests == #world.requests, "requests")
    for phone, order in pairs(world.order) do
      for i = 2, #order do
        assert(order[i] >= order[i - 1], "out of order: " .. phone)
      end
    end
    if given.deadline then
      for _, request in ipairs(world.requests) do
        assert(request.t < 1000 + given.deadline, "a try after the deadline")
      end
      assert(world.now <= 1000 + given.deadline + EPSILON, "the deadline was overrun")
    end
    for i = 1, count do
      local tries, outcome = marked[i], outcomes[i]
      local last = tries[#tries]
      local doubt = false
      for n = 1, #tries - 1 do
        doubt = doubt or not is_certain(tries[n])
      end
      local problem
      if invalid[i] ~= (outcome == "invalid" or nil) then
        problem = "invalid"
      elseif (outcome == "unsent" or outcome == "invalid") and last then
        problem = "was sent"
      elseif outcome == "accepted" and not (last and last.status == 200 and not last.strange and last.stored) then
        problem = "has no good answer"
      elseif outcome == "failed" then
        for _, request in ipairs(tries) do
          if request.stored or not is_certain(request) then
            problem = "may be there"
          end
        end
        if not last then
          problem = "was never tried"
        elseif items[i].failure.delivered ~= "no" then
          problem = "is failed, but its failure says maybe"
        end
      elseif outcome == "rejected" then
        if last.status ~= 200 or items[i].remote.phone ~= contacts[i].phone then
          problem = "was not listed"
        elseif (items[i].ambiguous or false) ~= doubt then
          problem = "ambiguous is " .. tostring(items[i].ambiguous)
        end
      elseif outcome == "unknown" then
        if not last or not doubt and is_certain(last) then
          problem = "is in no doubt"
        elseif items[i].failure.delivered ~= "maybe" then
          problem = "is unknown, but its failure says no"
        end
      end
      for _, request in ipairs(tries) do
        if #tries > 1 and request ~= last and request.status == 200 and not request.strange then
          if request.result.body ~= "<html>" then
            problem = "was sent again after an answer"
          end
        end
      end
      if problem then
        error(("contact %d, %s: %s"):format(i, outcome, problem))
      end
    end
    if method == "create_contacts" then
      local untaken = made.failed + made.unknown + made.unsent
      assert((report ~= nil) == (untaken == 0), "create_contacts gives a report only where all is done")
    end
    return made, failure
  end

  for part = 1, rounds(10) do
    it(("agrees with what the server saw, seeds %d to %d"):format(part * 60 - 59, part * 60), function()
      local reached = {}
      for seed = part * 60 - 59, part * 60 do
        local ok, made = pcall(run, seed)
        if not ok then
          error(("seed %d: %s"):format(seed, type(made) == "table" and made.message or tostring(made)))
        end
        for _, outcome in ipairs { "accepted", "rejected", "invalid", "failed", "unknown", "unsent" } do
          reached[outcome] = reached[outcome] or made[outcome] > 0
        end
      end
      -- The runs are of use only where they come to everything.
      for _, outcome in ipairs { "accepted", "rejected", "invalid", "failed", "unknown", "unsent" } do
        assert.is_true(reached[outcome], outcome)
      end
    end)
  end
end)

describe("thousands of small calls", function()
  -- LuaJIT compiles what has run often, and not always as it should.
  it("have reports that add up", function()
    for round = 1, rounds(1500) do
      local draw = fake.random(round)
      local count = draw(1, 60)
      local contacts = contacts_of(count)
      local world = fake.new {
        handler = function()
          local kind = draw(1, 8)
          if kind == 1 then
            return { code = "RECV_ERROR", sent = true, process = "none" }
          elseif kind == 2 then
            return { code = "COULDNT_CONNECT", sent = false }
          elseif kind == 3 then
            return { status = 500 }
          elseif kind == 4 then
            return { status = 400 }
          elseif kind == 5 then
            return { body = "<html>" }
          end
        end,
      }
      for _ = 1, draw(0, 10) do
        local phone = contacts[draw(1, count)].phone
        world.contacts[phone] = { phone = phone }
      end
      local client = client_of(world)
      local method = draw(1, 2) == 1 and "import" or "create_contacts"
      local given = { batch_size = draw(1, 10), max_attempts = draw(1, 3) }
      local report, failure = client[method](client, contacts, given)
      client:close()
      local ok, problem = pcall(witness.sums, count, report or failure.report)
      if not ok then
        error(("round %d: %s"):format(round, problem))
      end
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
