-- cli/forecast: what an import waits for, its speed, and the time left, compared with runs whose end is known.
local forecast = require "heymarket.cli.forecast"
local instant = require "spec.support.instant"
local heymarket = require "heymarket"

local function request(made, now, contacts)
  made:note({ type = "request", attempt = 1, contacts = contacts or 100 }, now)
end

local function response(made, now, status)
  made:note({ type = "response", status = status or 200, contacts = 100 }, now)
end

describe("a forecast of what is waited for", function()
  it("knows the pace, and after a 429 that the server wants fewer requests", function()
    local made = forecast.new(500, 0)
    request(made, 0)
    response(made, 1)
    assert.is_nil(made:waiting(1))
    made:note({ type = "pace", delay = 34 }, 2)
    assert.are.same({ "pace", 30 }, { made:waiting(6) })
    assert.is_nil(made:waiting(36))
    made:note({ type = "pace", delay = 10 }, 40)
    request(made, 45)
    assert.is_nil(made:waiting(45))
    response(made, 46, 429)
    made:note({ type = "pace", delay = 10 }, 46)
    assert.are.same({ "throttled", 10 }, { made:waiting(46) })
  end)

  it("knows an outage, its beginning and the next try", function()
    local made = forecast.new(500, 0)
    made:note({ type = "outage", elapsed = 90, delay = 40, failure = {} }, 100)
    assert.are.same({ "outage", 100, 30 }, { made:waiting(110) })
    request(made, 140, 0)
    assert.are.same({ "outage", 135, 0 }, { made:waiting(145) })
    made:note({ type = "outage", elapsed = 136 }, 146)
    response(made, 146)
    assert.is_nil(made:waiting(146))
  end)

  it("knows an answer that does not come, and a pause before another try", function()
    local made = forecast.new(500, 0)
    request(made, 10)
    assert.is_nil(made:waiting(12))
    assert.are.same({ "answer", 5 }, { made:waiting(15) })
    response(made, 20, 503)
    made:note({ type = "retry", delay = 8 }, 20)
    assert.are.same({ "retry", 6 }, { made:waiting(22) })
    request(made, 28)
    assert.is_nil(made:waiting(28))
  end)
end)

-- Runs an import in virtual time. Gives when it ended, and what was forecast on the way: moments and the times left.
local function run(batches, options)
  local batch = 10
  local world = instant.new {
    back = function()
      return options.latency
    end,
  }
  local made = forecast.new(options.requests_per_minute, world.now)
  local client = assert(heymarket.new {
    secret_id = "some-id",
    secret_key = "some-key",
    requests_per_minute = options.requests_per_minute,
    runtime = world.runtime,
  })
  local contacts, done, told = {}, 0, {}
  for i = 1, batches * batch do
    contacts[i] = { phone = ("120255%05d"):format(i) }
  end
  local function look()
    made:progress(done, world.now)
    told[#told + 1] = { at = world.now, left = made:left(#contacts - done, world.now), rate = made:rate(world.now) }
  end
  local report = assert(client:import(contacts, {
    batch_size = batch,
    on_event = function(event)
      made:note(event, world.now)
    end,
    on_progress = function(so_far)
      made:settled()
      done = so_far.total
      look()
    end,
    should_stop = look,
  }))
  client:close()
  assert.are.equal(#contacts, report.accepted)
  return world.now, told
end

describe("a forecast of the time left", function()
  for name, options in pairs {
    ["where the pace allows all"] = { batches = 100, latency = 2, requests_per_minute = 500 },
    ["without a pace"] = { batches = 400, latency = 2, requests_per_minute = false },
    ["where the pace decides"] = { batches = 100, latency = 0.5, requests_per_minute = 20 },
    ["where the pace decides for a long time"] = { batches = 1000, latency = 0.1, requests_per_minute = 50 },
    ["where the last requests fit into the pace"] = { batches = 45, latency = 1, requests_per_minute = 20 },
  } do
    it("comes true " .. name, function()
      local ended, told = run(options.batches, options)
      local begun, count = told[1].at, 0
      for _, one in ipairs(told) do
        -- At first there is little to measure.
        if one.left and one.at - begun > 20 then
          count = count + 1
          local truth = ended - one.at
          assert.is_true(
            math.abs(one.left - truth) <= 3 + 0.1 * truth,
            ("%.1f s after the start: forecast %.1f s, true %.1f s"):format(one.at - begun, one.left, truth)
          )
        end
      end
      assert.is_true(count > 20)
    end)
  end

  it("is not told in an outage", function()
    local made = forecast.new(500, 0)
    request(made, 0)
    made:progress(0, 0)
    response(made, 1)
    made:progress(100, 1)
    assert.are.equal(1, made:left(100, 1))
    made:note({ type = "outage", elapsed = 1, delay = 5, failure = {} }, 2)
    assert.is_nil(made:left(100, 2))
  end)
end)

describe("the speed", function()
  it("is that of the last minute, waiting included", function()
    local made = forecast.new(500, 0)
    for second = 1, 200 do
      made:progress(second <= 100 and second * 10 or 1000, second)
    end
    assert.are.equal(0, made:rate(200))
    made:progress(2200, 260)
    assert.is_true(math.abs(made:rate(260) - 20) < 1)
  end)
end)
