--- bulk/order: which entries may stand in the next request.
local order = require "heymarket.bulk.order"

local function entries_of(phones, body)
  local entries = {}
  for i, phone in ipairs(phones) do
    entries[i] = { index = i, phone = phone, body = body or "{}" }
  end
  return entries
end

-- A reader of entries, which notes how many were asked for each time.
local function reader_of(entries)
  local at, asked = 0, {}
  return function(count)
    asked[#asked + 1] = count
    local given = {}
    while #given < count and entries[at + 1] do
      at = at + 1
      given[#given + 1] = entries[at]
    end
    return given
  end,
    asked
end

local function indices_of(entries)
  local indices = {}
  for i, entry in ipairs(entries) do
    indices[i] = entry.index
  end
  return indices
end

describe("the order of entries", function()
  it("admits the first entry of each phone and blocks the others until it is released", function()
    local ordered = order.new()
    local list = entries_of { "1", "2", "1", "1" }
    local a1, b, a2, a3 = list[1], list[2], list[3], list[4]
    assert.are.same({ a1, b }, ordered:admit { a1, b, a2, a3 })
    local nothing = reader_of {}
    assert.are.same({}, ordered:next_batch(10, 1000, nothing))
    ordered:release { b }
    assert.are.same({}, ordered:next_batch(10, 1000, nothing))
    ordered:release { a1 }
    assert.are.same({ a2 }, ordered:next_batch(10, 1000, nothing))
    ordered:release { a2 }
    assert.are.same({ a3 }, ordered:next_batch(10, 1000, nothing))
  end)

  it("lets no entry that is read later overtake one that is runnable", function()
    local ordered = order.new()
    local list = entries_of { "1", "1", "1" }
    assert.are.equal(list[1], ordered:admit({ list[1], list[2] })[1])
    ordered:release { list[1] } -- the second is runnable now
    assert.are.same({}, ordered:admit { list[3] })
    assert.are.same({ 2 }, indices_of(ordered:next_batch(10, 1000, reader_of {})))
  end)

  it("frees a phone for which nothing waits", function()
    local ordered = order.new()
    local first, second = entries_of({ "1" })[1], entries_of({ "1" })[1]
    ordered:admit { first }
    ordered:release { first }
    assert.are.same({ second }, ordered:admit { second })
  end)
end)

describe("a batch", function()
  it("has at most batch_size entries, and reads no more", function()
    local read, asked = reader_of(entries_of { "1", "2", "3", "4", "5" })
    local ordered = order.new()
    assert.are.same({ 1, 2 }, indices_of(ordered:next_batch(2, 1000, read)))
    assert.are.same({ 3, 4 }, indices_of(ordered:next_batch(2, 1000, read)))
    assert.are.same({ 5 }, indices_of(ordered:next_batch(2, 1000, read)))
    assert.are.same({ 2, 2, 2, 1 }, asked)
  end)

  -- A body of n entries with b bytes each has n * b bytes, n - 1 commas and two brackets.
  for _, case in ipairs {
    { max_bytes = 2 + 10 + 1 + 10, size = 2 },
    { max_bytes = 2 + 10 + 1 + 10 - 1, size = 1 },
    { max_bytes = 5, size = 1 }, -- a single entry may be larger
  } do
    it(("of at most %d bytes holds %d entries of 10 bytes"):format(case.max_bytes, case.size), function()
      local list = entries_of({ "1", "2", "3", "4" }, ("x"):rep(10))
      local ordered, seen = order.new(), {}
      local read = reader_of(list)
      for _ = 1, 4 / case.size do
        local batch = ordered:next_batch(4, case.max_bytes, read)
        assert.are.equal(case.size, #batch)
        for _, entry in ipairs(batch) do
          seen[#seen + 1] = entry.index
        end
      end
      table.sort(seen)
      assert.are.same({ 1, 2, 3, 4 }, seen)
    end)
  end

  for _, case in ipairs {
    { "2345678901", "12345678901", true },
    { "2345678901", "12342345678901", true },
    { "2345678901", "123452345678901", false },
    { "2345678901", "12345678902", false },
    { "12345678901", "22345678901", false },
    { "2345678", "12345678", true },
  } do
    local one, other, is_confusable = case[1], case[2], case[3]
    it((is_confusable and "parts %s and %s" or "may hold %s and %s"):format(one, other), function()
      for _, phones in ipairs { { one, other }, { other, one } } do
        local ordered = order.new()
        local read = reader_of(entries_of(phones))
        assert.are.equal(is_confusable and 1 or 2, #ordered:next_batch(10, 1000, read))
        assert.are.equal(is_confusable and 1 or 0, #ordered:next_batch(10, 1000, read))
      end
    end)
  end

  it("stops reading when the left-over entries would fill a batch", function()
    local phones = { "2345678901" }
    for i = 1, 4 do
      phones[#phones + 1] = i .. "2345678901" -- confusable with the first
    end
    local read, asked = reader_of(entries_of(phones))
    assert.are.equal(1, #order.new():next_batch(3, 1000, read))
    local sum = 0
    for _, count in ipairs(asked) do
      sum = sum + count
    end
    assert.is_true(sum <= 3 + 3)
  end)

  it("reads nothing while a thousand entries are blocked", function()
    local phones = {}
    for i = 1, 3000 do
      phones[i] = "1"
    end
    local read, asked = reader_of(entries_of(phones))
    local ordered = order.new()
    assert.are.same({ 1 }, indices_of(ordered:next_batch(100, 1000, read)))
    local sum = 0
    for _, count in ipairs(asked) do
      sum = sum + count
    end
    assert.is_true(sum >= 1000 and sum < 1000 + 100 + 1, sum)
    local before = #asked
    ordered:next_batch(100, 1000, read)
    assert.are.equal(before, #asked)
  end)
end)
