-- What goes into one request, and what a report says when a call stops.

local fake = require "spec.support.fake"
local heymarket = require "heymarket"
local witness = require "spec.support.witness"

local opened = {}

after_each(function()
  for _, client in ipairs(opened) do
    client:close()
  end
  opened = {}
end)

local function client_of(world, config)
  local given = {
    secret_id = "some-id",
    secret_key = "a-key",
    base_url = "https://api.heymarket.com",
    requests_per_minute = false,
    runtime = world.runtime,
  }
  for name, value in pairs(config or {}) do
    given[name] = value
  end
  local client = assert(heymarket.new(given))
  opened[#opened + 1] = client
  return client
end

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

  it("cost no more than one request, however many pairs there are", function()
    local phones = {}
    for i = 1, 50 do
      phones[#phones + 1] = ("234567%04d"):format(i)
      phones[#phones + 1] = ("1234567%04d"):format(i)
    end
    assert.are.equal(2, #import(phones).requests)
    table.sort(phones)
    assert.are.equal(2, #import(phones).requests)
  end)

  it("keep the order of each phone, for 300 random inputs", function()
    for seed = 1, 300 do
      local draw = fake.random(seed)
      local phones = {}
      for i = 1, draw(1, 120) do
        local prefix = ({ "", "1", "44", "353", "1684", "99999" })[draw(1, 6)]
        phones[i] = prefix .. ("23456%04d"):format(draw(1, 8))
      end
      import(phones, { batch_size = draw(1, 30), concurrency = draw(1, 5) })
    end
  end)

  it("have an outcome when the call stops, and so have create_contacts' halves", function()
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
