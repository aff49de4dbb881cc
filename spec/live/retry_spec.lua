-- Retries against a real server on this machine.

local core = require "heymarket.core"
local fake = require "spec.support.fake"
local heymarket = require "heymarket"
local server = require "spec.support.server"
local witness = require "spec.support.witness"

local cjson = require("cjson").new()

local opened = {}

after_each(function()
  for _, client in ipairs(opened) do
    client:close()
  end
  opened = {}
end)

local function contacts_of(count)
  local made = {}
  for i = 1, count do
    made[i] = { phone = ("120255%05d"):format(i), first = tostring(i) }
  end
  return made
end

local function constant(value)
  return function()
    return value
  end
end

describe("retries over sockets", function()
  local at

  setup(function()
    at = server.start()
  end)

  teardown(function()
    at:stop()
  end)

  before_each(function()
    at:reset()
  end)

  local function real_client(config)
    config = config or {}
    local given = {
      secret_id = "id",
      secret_key = "a-key",
      base_url = at.url,
      requests_per_minute = false,
      runtime = { random = constant(0) },
    }
    for name, value in pairs(config) do
      given[name] = value
    end
    local client = assert(heymarket.new(given))
    opened[#opened + 1] = client
    return client
  end

  it("one contact at fault of 100 needs at most 14 more requests", function()
    for _, index in ipairs { 1, 2, 37, 50, 51, 99, 100 } do
      at:reset()
      local contacts = contacts_of(100)
      at:default { refuse_phones = { contacts[index].phone } }
      local _, failure = real_client():create_contacts(contacts)
      witness.only_failed(100, failure.report, { [index] = true })
      local ledger = at:ledger()
      assert.is_true(#ledger.requests <= 15)
      witness.compare(contacts, failure.report, ledger)
    end
  end)

  it("the token after a 401 goes by the server's clock", function()
    local there = 2000000000
    at:script { { status = 401, headers = { Date = fake.http_date(there) } } }
    local report = assert(real_client():create_contacts(contacts_of(3)))
    assert.are.equal(3, report.accepted)
    local ledger = at:ledger()
    local first = fake.iat { "Authorization: " .. ledger.requests[1].headers.authorization }
    local second = fake.iat { "Authorization: " .. ledger.requests[2].headers.authorization }
    assert.is_true(math.abs(first - os.time()) < 60)
    assert.is_true(math.abs(second - there) < 60)
  end)

  it("Retry-After is waited for", function()
    at:script { { status = 503, process = "none", headers = { ["Retry-After"] = "1" } } }
    assert(real_client():create_contacts(contacts_of(1)))
    local arrivals = at:ledger().arrivals
    assert.is_true(arrivals[2] - arrivals[1] >= 0.999)
  end)

  it("a 403 stops the call, and requests in flight are awaited", function()
    at:default { delay = 0.2 }
    at:script { {}, { status = 403 } }
    local contacts = contacts_of(100)
    local _, failure = real_client():create_contacts(contacts, { batch_size = 5 })
    assert.are.equal("denied", failure.kind)
    witness.compare(contacts, failure.report, at:ledger())
    assert.are.equal(5, failure.report.failed)
    assert.is_true(failure.report.unsent >= 70)
  end)

  it("a phone is never in two requests at a time", function()
    for seed = 1, 10 do
      at:reset()
      local draw = fake.random(seed)
      local contacts, steps = {}, {}
      for i = 1, 150 do
        contacts[i] = { phone = ("1202555%04d"):format(draw(1, 30)), first = tostring(i) }
      end
      for i = 1, 60 do
        steps[i] = { delay = draw(0, 10) / 1000, keep_body = true }
        local kind = draw(1, 6)
        if kind == 1 then
          steps[i].status = 500
        elseif kind == 2 then
          steps[i].fault = "reset_after_read"
        elseif kind == 3 then
          steps[i].fault = "close_after_read"
        end
      end
      at:default { keep_body = true }
      at:script(steps)
      local given = { batch_size = draw(1, 10), concurrency = draw(2, 8), overwrite = true }
      local report, failure = real_client():import(contacts, given)
      witness.sums(150, report or failure.report)
      local ledger = at:ledger()
      assert.are.same({}, ledger.overlap)
      assert.are.same({}, ledger.doubles)
      assert.is_true(ledger.max_in_flight <= given.concurrency)
      local last = {}
      for _, request in ipairs(ledger.requests) do
        -- A request that asks whether the server is there has no body.
        for _, contact in ipairs(request.body ~= "" and cjson.decode(request.body) or {}) do
          local number = tonumber(contact.first)
          assert.is_true(number >= (last[contact.phone] or 0), "out of order")
          last[contact.phone] = number
        end
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
