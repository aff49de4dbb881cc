--- Outages: a server that stops answering in the middle of an import, in virtual time, against the server's ledger.
local clients = require "spec.support.clients"
local fake = require "spec.support.fake"
local heymarket = require "heymarket"
local rounds = require "spec.support.rounds"
local witness = require "spec.support.witness"

after_each(clients.close)

local BATCH = 10
local DAY = 86400
local PATH = "/v1/batch/contacts"

local contacts_of = clients.contacts

local function is_batch(request)
  return request.url:find(PATH, 1, true) ~= nil
end

local HTML = { ["Content-Type"] = "text/html" }

-- What a server that is down may do with a request, and what its contacts are when the call stops then.
local TROUBLES = {
  refuse = { answer = { code = "COULDNT_CONNECT", sent = false }, outcome = "failed" },
  reset = { answer = { code = "RECV_ERROR", sent = true, process = "none" }, outcome = "unknown" },
  timeout = { answer = { latency = 1e9, process = "none" }, outcome = "unknown" },
  ["500"] = { answer = { status = 500, process = "none" }, outcome = "unknown" },
  ["503 with Retry-After"] = {
    answer = { status = 503, process = "none", headers = { ["Retry-After"] = "7" } },
    outcome = "unknown",
  },
  ["429"] = { answer = { status = 429, process = "none" }, outcome = "failed" },
  ["429 with Retry-After"] = {
    answer = { status = 429, process = "none", headers = { ["Retry-After"] = "20" } },
    outcome = "failed",
  },
  ["a web page with 200"] = { answer = { headers = HTML, body = "<html>", process = "none" }, outcome = "unknown" },
  ["a web page with 503"] = {
    answer = { status = 503, headers = HTML, body = "<html>", process = "none" },
    outcome = "unknown",
  },
  ["a web page with 404"] = {
    answer = { status = 404, headers = HTML, body = "<html>", process = "none" },
    outcome = "unknown",
  },
  ["a redirect to a web page"] = {
    answer = { status = 302, headers = HTML, body = "<html>", process = "none" },
    outcome = "unknown",
  },
}

local function copy(answer)
  local made = {}
  for name, value in pairs(answer) do
    made[name] = value
  end
  return made
end

-- Has the server certainly not acted on a request?
local function is_certain(request)
  return not request.arrived or request.status == 429 and request.result.headers ~= HTML
end

-- Compares the report of an import of contacts with different phones with what the server saw.
local function check(world, count, report)
  witness.sums(count, report)
  local outcomes, items = witness.outcomes(count, report)
  local tries = {}
  for _, request in ipairs(world.requests) do
    for _, phone in ipairs(request.phones) do
      tries[phone] = tries[phone] or {}
      table.insert(tries[phone], request)
    end
  end
  assert.are.same({}, world.overlap)
  assert.are.same({}, world.doubles)
  for i = 1, count do
    local phone, outcome = ("120255%05d"):format(i), outcomes[i]
    local list, doubt = tries[phone] or {}, false
    local last = list[#list]
    for n, request in ipairs(list) do
      doubt = doubt or (n < #list or outcome ~= "rejected") and not is_certain(request)
    end
    local where = ("contact %d, %s"):format(i, outcome)
    assert.is_true((world.stored[phone] or 0) <= 1, where .. ", was written twice")
    if outcome == "accepted" then
      assert.are.equal(200, last.status, where)
      assert.are.equal(1, world.stored[phone], where)
    elseif outcome == "failed" then
      assert.is_truthy(last, where)
      assert.is_false(doubt, where)
      assert.is_nil(world.stored[phone], where)
    elseif outcome == "unknown" then
      assert.is_true(doubt, where)
    elseif outcome == "unsent" then
      assert.is_nil(last, where)
    else
      assert.are.equal("rejected", outcome)
      assert.are.equal("exists", items[i].reason, where)
      assert.are.equal(doubt, items[i].ambiguous or false, where)
    end
  end
end

-- A world that does something to every request while an outage lasts. It begins a moment after so many batches were
-- answered.
local function world_of(given)
  local world, answered, draw = nil, 0, fake.random(11)
  world = fake.new {
    random = given.random or fake.random(1),
    -- No two requests begin at the same moment, or it would not be clear which of them met the outage first.
    latency = given.latency or function()
      return 0.05 + draw() / 10
    end,
    handler = function(request)
      if not world.began and answered >= given.after then
        world.began = world.now
      end
      local is_down = world.began and world.now < world.began + given.seconds
      local answer
      if is_down then
        answer = copy(type(given.answer) == "function" and given.answer(request) or given.answer)
      elseif given.otherwise then
        answer = given.otherwise(request)
      end
      if not answer and is_batch(request) then
        answered = answered + 1
      end
      request.is_down = is_down
      return answer
    end,
  }
  return world
end

local function import(world, count, options)
  local given = { batch_size = BATCH, concurrency = 4, max_outage = DAY * 2 }
  for name, value in pairs(options or {}) do
    given[name] = value
  end
  local report, failure =
    clients.of(world, { requests_per_minute = given.requests_per_minute or false }):import(contacts_of(count), given)
  return report or failure.report, failure
end

-- By name: how many of 20 batches are answered before it begins, how long it lasts, and how many requests may be in
-- flight.
local PHASES = {
  ["after the first batch"] = { after = 1, long = 3600, concurrency = 1 },
  ["in the middle"] = { after = 9, long = DAY },
  ["at the last batch"] = { after = 19, long = 3600, concurrency = 1 },
}

describe("an outage", function()
  for name, trouble in pairs(TROUBLES) do
    for phase, at in pairs(PHASES) do
      for _, seconds in ipairs { 10, at.long } do
        it(("of %d s is waited for, %s: %s"):format(seconds, phase, name), function()
          local world = world_of { after = at.after, seconds = seconds, answer = trouble.answer }
          local report, failure = import(world, 200, { concurrency = at.concurrency })
          assert.is_nil(failure)
          check(world, 200, report)
          assert.are.equal(200, report.accepted)
          assert.is_true(world.now > world.began + seconds)
          assert.is_true(world.now < world.began + seconds + 200)
        end)
      end
    end

    it("that lasts longer than max_outage stops the call: " .. name, function()
      for max_outage = 30, 600, 570 do
        local world = world_of { after = 9, seconds = DAY, answer = trouble.answer }
        local report, failure = import(world, 200, { max_outage = max_outage })
        check(world, 200, report)
        assert.are.equal("outage", failure.reason)
        assert.is_true(failure.retryable)
        assert.are.equal("maybe", failure.delivered)
        assert.is_truthy(failure.message:find("it is not waited for any longer (max_outage)", 1, true))
        assert.is_true(world.now - world.began >= max_outage)
        assert.is_true(world.now - world.began <= max_outage + 130)
        assert.is_true(report.unsent > 0)
        assert.are.equal(200, report.accepted + report.unsent + report[trouble.outcome])
      end
    end)
  end

  it("is probed by one request at a time, after pauses that grow to a minute and differ", function()
    local world = world_of { after = 9, seconds = DAY, answer = TROUBLES.reset.answer }
    import(world, 200)
    local probes, pauses = {}, {}
    for _, request in ipairs(world.requests) do
      if request.is_down and request.t > world.began + 5 then
        probes[#probes + 1] = request
      end
    end
    for i = 2, #probes do
      assert.is_false(is_batch(probes[i]))
      assert.are.equal("GET", probes[i].method)
      pauses[i - 1] = probes[i].t - probes[i - 1].ends
      assert.is_true(pauses[i - 1] > 0 and pauses[i - 1] <= 60)
      assert.is_true(i < 10 or pauses[i - 1] >= 30)
    end
    assert.is_true(pauses[1] < 10)
    assert.is_true(#pauses > DAY / 61 and #pauses < DAY / 30 + 20)
    assert.are_not.equal(pauses[20], pauses[21])
    assert.is_true(world.requests[#world.requests].t - world.began - DAY < 62)
  end)

  it("is probed by requests that wait for their first try, each once, before anything else", function()
    -- The pace lets the first ten requests go at once, and the others one by one.
    local world = world_of { after = 9, seconds = 3000, answer = TROUBLES.reset.answer }
    local report = import(world, 200, { max_attempts = 1, requests_per_minute = 10 })
    assert.are.equal(200, report.accepted)
    local batches, others = {}, 0
    for _, request in ipairs(world.requests) do
      if request.is_down and is_batch(request) then
        assert.are.equal(0, others)
        assert.is_nil(batches[request.phones[1]])
        batches[request.phones[1]] = true
        batches[#batches + 1] = request
      elseif request.is_down then
        others = others + 1
      end
    end
    assert.are.equal(4, #batches)
    assert.is_true(others > 10)
  end)

  it("uses up no tries, however few there are", function()
    for max_attempts = 1, 3 do
      for _, name in ipairs { "reset", "429", "refuse" } do
        local world = world_of { after = 9, seconds = 1000, answer = TROUBLES[name].answer }
        local report, failure = import(world, 200, { max_attempts = max_attempts })
        assert.is_nil(failure)
        assert.are.equal(200, report.accepted)
        check(world, 200, report)
      end
    end
  end)

  it("that comes again is waited for anew", function()
    local world
    world = fake.new {
      random = fake.random(5),
      handler = function(request)
        -- Ten minutes in each quarter of an hour, the first five minutes of it aside.
        if (world.now - 1000) % 900 > 300 then
          return copy(TROUBLES.reset.answer)
        end
        request.is_up = true
        return { latency = 60 }
      end,
    }
    local report, failure = import(world, 200, { max_outage = 700, concurrency = 1, timeout = 61 })
    assert.is_nil(failure)
    check(world, 200, report)
    assert.are.equal(200, report.accepted)
    assert.is_true(world.now > 1000 + 3 * 900)
  end)

  it("before the first answer stops the call after ten tries in a row", function()
    for name, trouble in pairs(TROUBLES) do
      if trouble.answer.status ~= 404 and trouble.answer.status ~= 302 then
        local world = world_of { after = 0, seconds = DAY, answer = trouble.answer }
        local report, failure = import(world, 200)
        check(world, 200, report)
        assert.is_nil(failure.reason == "outage" or nil, name)
        assert.is_true(#world.requests >= 10 and #world.requests <= 24, name)
        assert.is_true(report.unsent >= 160)
        assert.is_truthy(failure.message:find("tries in a row without a usable response", 1, true), failure.message)
      end
    end
  end)

  it("is not waited for where max_outage is 0", function()
    local world = world_of { after = 9, seconds = DAY, answer = TROUBLES.reset.answer }
    local report, failure = import(world, 200, { max_outage = 0 })
    check(world, 200, report)
    assert.is_truthy(failure.message:find("tries in a row without a usable response", 1, true))
    for _, request in ipairs(world.requests) do
      assert.is_true(is_batch(request))
    end
  end)

  it("is waited for ten minutes unless told", function()
    local world = world_of { after = 9, seconds = 590, answer = TROUBLES["500"].answer }
    local report = assert(clients.of(world):import(contacts_of(200), { batch_size = BATCH }))
    assert.are.equal(200, report.accepted)
    world = world_of { after = 9, seconds = 700, answer = TROUBLES["500"].answer }
    local _, failure = clients.of(world):import(contacts_of(200), { batch_size = BATCH })
    assert.are.equal("outage", failure.reason)
    assert.are.equal("server", failure.kind)
  end)

  it("does not concern create_contacts, which has no max_outage", function()
    local world = world_of { after = 9, seconds = DAY, answer = TROUBLES.reset.answer }
    local client = clients.of(world)
    local _, failure = client:create_contacts(contacts_of(200), { batch_size = BATCH })
    assert.is_truthy(failure.message:find("tries in a row without a usable response", 1, true))
    for _, request in ipairs(world.requests) do
      assert.is_true(is_batch(request))
    end
    _, failure = client:create_contacts(contacts_of(1), { max_outage = 1 })
    assert.are.equal("max_outage", failure.issues[1].field)
  end)

  for _, status in ipairs { 429, 503 } do
    it("with a Retry-After beyond max_retry_after stops the call: " .. status, function()
      local headers = { ["Retry-After"] = "121" }
      local world =
        world_of { after = 9, seconds = DAY, answer = { status = status, headers = headers, process = "none" } }
      local report, failure = import(world, 200)
      check(world, 200, report)
      assert.are.equal(121, failure.retry_after)
      assert.is_true(failure.retryable)
      assert.is_true(report.unsent > 0)
      assert.is_true(world.now < world.began + 1)
    end)
  end

  it("with a Retry-After is not probed before its time", function()
    local headers = { ["Retry-After"] = "110" }
    local world = world_of { after = 9, seconds = 1000, answer = { status = 503, headers = headers, process = "none" } }
    local report = import(world, 200)
    assert.are.equal(200, report.accepted)
    local last
    for _, request in ipairs(world.requests) do
      if request.is_down and request.t > world.began + 1 then
        assert.is_true(not last or request.t - last.ends >= 110)
        last = request
      end
    end
    assert.is_truthy(last)
  end)

  it("is told in events", function()
    local told = {}
    local world = world_of { after = 9, seconds = 3000, answer = TROUBLES["500"].answer }
    import(world, 200, {
      on_event = function(event)
        if event.type == "outage" then
          event.at = world.now
          told[#told + 1] = event
        end
      end,
    })
    for i = 1, #told - 1 do
      local event = told[i]
      assert.is_true(math.abs(event.at - world.began - event.elapsed) < 0.2)
      assert.is_true(event.delay > 0 and event.delay <= 60)
      assert.are.equal("server", event.failure.kind)
      assert.are.equal(500, event.status)
      assert.is_true(told[i + 1].at >= event.at + event.delay)
    end
    local over = told[#told]
    assert.is_true(#told > 40)
    assert.is_nil(over.delay)
    assert.is_nil(over.failure)
    assert.is_true(over.elapsed >= 2999 and over.elapsed < 3070)
  end)

  it("ends with should_stop, at once and also while a probe is in flight", function()
    for _, name in ipairs { "500", "timeout" } do
      for at = 100, 160, 20 do
        local world = world_of { after = 9, seconds = DAY, answer = TROUBLES[name].answer }
        local report, failure = import(world, 200, {
          should_stop = function()
            return world.began and world.now >= world.began + at
          end,
        })
        check(world, 200, report)
        assert.are.equal("stopped_on_request", failure.message_code)
        -- Batches in flight are awaited, a probe is not.
        local ends = world.began + at + 1
        for _, request in ipairs(world.requests) do
          ends = is_batch(request) and math.max(ends, request.ends) or ends
        end
        assert.is_true(world.now >= world.began + at and world.now <= ends)
        assert.is_true(report.unsent > 0)
      end
    end
  end)

  it("ends with the deadline", function()
    for _, name in ipairs { "500", "timeout", "429", "refuse" } do
      local world = world_of { after = 9, seconds = DAY, answer = TROUBLES[name].answer }
      local report, failure = import(world, 200, { deadline = 300 })
      check(world, 200, report)
      assert.are.equal("timeout", failure.kind)
      assert.is_true(world.now <= 1300 + 1e-6)
      assert.is_true(report.unsent > 0)
    end
  end)

  it("keeps the order of a phone", function()
    local contacts = contacts_of(100)
    for i = 1, 100 do
      contacts[i].phone = ("120255%05d"):format(i % 7)
    end
    local world = world_of {
      after = 9,
      seconds = 500,
      answer = { code = "RECV_ERROR", sent = true, process = "all" },
    }
    local report = assert(clients.of(world):import(contacts, { batch_size = 3, overwrite = true }))
    assert.are.equal(100, report.accepted)
    assert.are.same({}, world.overlap)
    for _, order in pairs(world.order) do
      for i = 2, #order do
        assert.is_true(order[i] >= order[i - 1])
      end
    end
  end)

  it("is waited for in an import of a CSV file, whose batches are lots", function()
    for _, name in ipairs { "refuse", "reset", "429" } do
      for concurrency = 1, 4, 3 do
        local rows, at = { "phone,first" }, 0
        for i, contact in ipairs(contacts_of(200)) do
          rows[i + 1] = contact.phone .. "," .. contact.first
        end
        local text = table.concat(rows, "\n") .. "\n"
        local world = world_of { after = 9, seconds = 100, answer = TROUBLES[name].answer }
        local source = assert(heymarket.csv.open {
          read = function(_, count)
            at = at + count
            local piece = text:sub(at - count + 1, at)
            return piece ~= "" and piece or nil
          end,
        })
        local given = { batch_size = BATCH, concurrency = concurrency }
        local report, failure = clients.of(world):import(source, given)
        assert.is_nil(failure)
        check(world, 200, report)
        assert.are.equal(200, report.accepted)
        source:close()
      end
    end
  end)

  it("that stopped an import leaves a journal that goes on", function()
    for _, name in ipairs { "reset", "429", "timeout" } do
      local path = os.tmpname()
      os.remove(path)
      local world = world_of { after = 9, seconds = 2000, answer = TROUBLES[name].answer }
      local client = clients.of(world)
      local given = { batch_size = BATCH, journal = path, max_outage = 60 }
      local _, failure = client:import(contacts_of(200), given)
      assert.are.equal("outage", failure.reason)
      check(world, 200, failure.report)
      world.now = world.began + 2001
      local report, problem = client:import(contacts_of(200), given)
      os.remove(path)
      assert.is_nil(problem)
      assert.are.equal(200, report.accepted)
      for _, times in pairs(world.stored) do
        assert.are.equal(1, times)
      end
    end
  end)
end)

describe("a batch that the server never answers while it answers others", function()
  -- The batch with this number is poisoned.
  local function poisoned(number, answer)
    return function(request)
      if request.has[("120255%05d"):format(number * BATCH)] then
        return copy(answer)
      end
    end
  end

  local function tries_of(world, number)
    local count = 0
    for _, request in ipairs(world.requests) do
      count = count + (request.has[("120255%05d"):format(number * BATCH)] and 1 or 0)
    end
    return count
  end

  for _, name in ipairs { "500", "reset", "timeout" } do
    for _, number in ipairs { 1, 2, 10, 20 } do
      it(("ends after max_attempts and is no outage: batch %d of 20, %s"):format(number, name), function()
        for _, max_attempts in ipairs { 1, 2, 5, 15 } do
          for concurrency = 1, 4, 3 do
            -- Of the first batch nothing shows that the server is up, and then ten tries in a row stop a call.
            if number > 1 or concurrency > 1 or max_attempts < 10 then
              local told = 0
              local world = world_of {
                after = 1e9,
                seconds = 0,
                answer = {},
                otherwise = poisoned(number, TROUBLES[name].answer),
              }
              local report, failure = import(world, 200, {
                max_attempts = max_attempts,
                concurrency = concurrency,
                on_event = function(event)
                  told = told + (event.type == "outage" and 1 or 0)
                end,
              })
              assert.is_nil(failure)
              check(world, 200, report)
              assert.are.same({ 190, 10 }, { report.accepted, report.unknown })
              assert.are.equal(max_attempts, tries_of(world, number))
              assert.are.equal(0, told)
            end
          end
        end
      end)
    end
  end

  it("is found out after a real outage as well", function()
    for _, seconds in ipairs { 10, DAY } do
      for _, number in ipairs { 9, 10, 11, 20 } do
        local world = world_of {
          after = 8,
          seconds = seconds,
          answer = TROUBLES.reset.answer,
          otherwise = poisoned(number, TROUBLES["500"].answer),
        }
        local report, failure = import(world, 200)
        assert.is_nil(failure)
        check(world, 200, report)
        assert.are.same({ 190, 10 }, { report.accepted, report.unknown })
      end
    end
  end)

  it("stops the call where no other batch has an answer, though the server answers a probe", function()
    local world = world_of {
      after = 9,
      seconds = DAY,
      answer = function(request)
        return is_batch(request) and TROUBLES["500"].answer or {}
      end,
    }
    local report, failure = import(world, 900)
    check(world, 900, report)
    assert.is_truthy(failure.message:find("tries in a row without a usable response", 1, true))
    assert.is_true(report.unsent > 700)
  end)
end)

describe("outages and faults at random", function()
  local NAMES = {}
  for name in pairs(TROUBLES) do
    NAMES[#NAMES + 1] = name
  end
  table.sort(NAMES)

  -- One import in which the network fails now and then, and the server is away for a while, once or several times.
  local function run(seed)
    local draw = fake.random(seed)
    local trouble = draw(0, 30)
    local function any()
      local answer = copy(TROUBLES[NAMES[draw(1, #NAMES)]].answer)
      if answer.process == "none" and answer.status ~= 429 and draw(1, 3) == 1 then
        answer.process = "all" -- it acted on the request, and its answer was lost
      end
      return answer
    end
    local seconds = ({ 10, 300, 3600 })[draw(1, 3)]
    local kind = TROUBLES[NAMES[draw(1, #NAMES)]].answer
    local bad = draw(1, 3) == 1 and draw(1, 20) or 0
    local count = 200
    local world = world_of {
      after = draw(1, 20),
      seconds = seconds,
      random = draw,
      latency = function()
        return 0.01 + draw()
      end,
      answer = function()
        return draw(1, 2) == 1 and any() or kind
      end,
      otherwise = function(request)
        if request.has[("120255%05d"):format(bad * BATCH)] then
          return { status = 500, process = "none" }
        end
        return draw(1, 100) <= trouble and any() or nil
      end,
    }
    local max_outage = draw(1, 3) == 1 and draw(5, 500) or DAY
    local report, failure = import(world, count, {
      max_outage = max_outage,
      concurrency = draw(1, 6),
      max_attempts = draw(1, 5) == 1 and draw(1, 4) or 30,
      timeout = draw(3, 30),
      requests_per_minute = draw(1, 2) == 1 and draw(20, 100) or nil,
    })
    check(world, count, report)
    return report, failure
  end

  it("end in what the server's ledger says", function()
    local seen = {}
    for seed = 1, rounds(300) do
      local ok, report, failure = pcall(run, seed)
      if not ok then
        error(("seed %d: %s"):format(seed, type(report) == "table" and report.message or tostring(report)))
      end
      for _, outcome in ipairs { "accepted", "rejected", "failed", "unknown", "unsent" } do
        seen[outcome] = seen[outcome] or report[outcome] > 0
      end
      seen.outage = seen.outage or failure and failure.reason == "outage"
      seen.ended = seen.ended or not failure
    end
    for _, what in ipairs { "accepted", "rejected", "unknown", "unsent", "outage", "ended" } do
      assert.is_true(seen[what], what)
    end
  end)
end)
