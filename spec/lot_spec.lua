--- rows.lot and rows.phones: contacts that travel as one, and the set of phones in flight.
local fake = require "spec.support.fake"
local rounds = require "spec.support.rounds"
local rows = require "heymarket.rows"

local COLUMNS = {
  { column = 1, kind = "phone", prefix = ',"phone":' },
  { column = 2, kind = "text", prefix = ',"first":' },
}

-- A lot of these phones, whose first contact has the index 101 and the position 202.
local function lot_of(phones)
  local lines = {}
  for i, phone in ipairs(phones) do
    lines[i] = phone .. ",N" .. i .. "\n"
  end
  local lot = rows.lot(101, 202)
  local reader = rows.csv_rows(COLUMNS, 2, 100, ",", "lf")
  assert.equal(#phones, (reader:take(table.concat(lines), 1, #phones, 2 ^ 30, false, lot)))
  return lot
end

describe("a lot", function()
  it("gives the body of a request, and its contacts as entries", function()
    local lot = lot_of { "12025550001", "12025550002" }
    assert.equal(2, lot:count())
    assert.same({ 101, 102 }, { lot:range() })
    local first, second = '{"phone":"12025550001","first":"N1"}', '{"phone":"12025550002","first":"N2"}'
    assert.equal("[" .. first .. "," .. second .. "]", lot:body())
    assert.equal(lot:body(), lot:body())
    assert.same({
      { index = 101, position = 202, origin = "12025550001,N1\n", phone = "12025550001", body = first },
      { index = 102, position = 203, origin = "12025550002,N2\n", phone = "12025550002", body = second },
    }, lot:entries())
  end)

  it("has the fingerprints that its contacts have one by one", function()
    local lot = lot_of { "12025550001", "12025550002", "12025550003" }
    local expected = {}
    for i, entry in ipairs(lot:entries()) do
      expected[i] = rows.hash(("%d:%s"):format(entry.index, entry.body)):sub(1, 8)
    end
    assert.equal(table.concat(expected), lot:fingerprints())
  end)

  it("grows no further than the bytes that are allowed", function()
    local buffer = ("12025550001,ab\n"):rep(10)
    local lot = rows.lot(1, 2)
    local reader = rows.csv_rows(COLUMNS, 2, 100, ",", "lf")
    local length = #'[{"phone":"12025550001","first":"ab"}' * 2 + 1
    assert.same({ 2, 31, 0, false, true }, { reader:take(buffer, 1, 10, length, nil, lot) })
    assert.equal(length, #lot:body())
    local smaller = rows.lot(1, 2)
    assert.same({ 1, 16, 0, false, true }, { reader:take(buffer, 1, 10, length - 1, nil, smaller) })
    -- A contact that is too large by itself is one of its own.
    assert.same({ 1, 16, 0, false, true }, { reader:take(buffer, 1, 10, 1, nil, rows.lot(1, 2)) })
  end)

  it("takes contacts that Lua has checked, each with its own index and position", function()
    local lot = lot_of { "12025550001", "12025550002" }
    lot:at(104, 210)
    local body = '{"phone":"12025550003"}'
    local before = #lot:body()
    assert.equal(before + 1 + #body, lot:bytes(#body))
    lot:add("12025550003", body, "the row")
    assert.equal(before + 1 + #body, #lot:body())
    lot:at(105, 211)
    lot:add("12025550004", body, "")
    lot:at(107, 300)
    lot:add("12025550005", body, "x")
    assert.same({ 101, 107 }, { lot:range() })
    assert.equal("101-102,104-105,107", lot:ranges())
    local entries, expected = lot:entries(), {}
    assert.same({ index = 104, position = 210, origin = "the row", phone = "12025550003", body = body }, entries[3])
    assert.equal(300, entries[5].position)
    for i, entry in ipairs(entries) do
      expected[i] = rows.hash(("%d:%s"):format(entry.index, entry.body)):sub(1, 8)
    end
    assert.equal(table.concat(expected), lot:fingerprints())
    assert.is_false(pcall(lot.add, lot, "1234567890123456", body, ""))
    assert.equal(
      "1",
      (function()
        local one = rows.lot(1, 1)
        one:add("12025550003", body, "")
        return one:ranges()
      end)()
    )
    assert.equal("", rows.lot(1, 1):ranges())
    assert.is_false(pcall(lot.range, rows.lot(1, 1)))
  end)

  it("is empty after it was freed, and can be freed twice", function()
    local lot = lot_of { "12025550001" }
    lot:free()
    lot:free()
    assert.same({ 0, "[]", "", {} }, { lot:count(), lot:body(), lot:fingerprints(), lot:entries() })
  end)

  it("is not freed while it is read", function()
    local lot = lot_of { "12025550001", "12025550002", "12025550003" }
    local made = 0
    -- Garbage whose finalizers free the lot, as often as a collection comes.
    local function plant()
      local new_proxy = rawget(_G, "newproxy") -- tables have no finalizer on Lua 5.1 and LuaJIT
      local proxy = new_proxy and new_proxy(true)
      local meta = proxy and getmetatable(proxy) or {}
      meta.__gc = function()
        made = made + 1
        lot:free()
      end
      return proxy or setmetatable({}, meta)
    end
    collectgarbage "setpause"
    local before = collectgarbage("setstepmul", 1000000)
    for _ = 1, 100 do
      plant()
      local entries = lot:entries()
      assert.is_true(#entries == 3 or #entries == 0)
      for i, entry in ipairs(entries) do
        assert.equal("1202555000" .. i, entry.phone)
      end
    end
    collectgarbage("setstepmul", before)
    collectgarbage()
    collectgarbage()
    assert.equal(100, made)
  end)
end)

describe("a set of phones", function()
  it("tells whether a phone was there, zeros at its start included", function()
    local phones = rows.phones()
    assert.is_true(phones:add "1234567")
    assert.is_false(phones:add "1234567")
    assert.is_true(phones:add "01234567")
    assert.is_true(phones:add "001234567")
    phones:remove "01234567"
    assert.is_true(phones:add "01234567")
    assert.is_false(phones:add "001234567")
    phones:remove "7654321"
    assert.is_false(pcall(phones.add, phones, "12a"))
    assert.is_false(pcall(phones.add, phones, ("1"):rep(16)))
  end)

  it("takes all phones of a lot or none", function()
    local phones = rows.phones()
    phones:add "12025550003"
    local lot = lot_of { "12025550001", "12025550002", "12025550003", "12025550004" }
    assert.is_false(phones:add_lot(lot))
    assert.is_true(phones:add "12025550001")
    phones:remove "12025550001"
    phones:remove "12025550003"
    assert.is_true(phones:add_lot(lot))
    assert.is_false(phones:add "12025550004")
    assert.is_false(phones:add_lot(lot))
    phones:remove_lot(lot)
    assert.is_true(phones:add "12025550003")
    assert.is_false(phones:add_lot(lot_of { "12025550005", "12025550005" }))
    assert.is_true(phones:add "12025550005")
  end)

  it("refuses a lot in which one phone is another with a country code in front", function()
    for _, case in ipairs {
      { { "12025550001", "2025550001" }, false },
      { { "2025550001", "1112025550001" }, false },
      { { "12342025550001", "2025550001" }, false },
      { { "2025550001", "123452025550001" }, true },
      { { "2025550001", "12025550002" }, true },
      { { "12025550001", "4930123456", "30123456" }, false },
      { { "4930123456", "12025550001", "2025550001" }, false },
    } do
      assert.equal(case[2], rows.phones():add_lot(lot_of(case[1])), table.concat(case[1], " "))
    end
  end)

  it("is what a table of phones is, whatever is added and removed", function()
    local random = fake.random(7)
    local phones, known = rows.phones(), {}
    local live = {}
    for _ = 1, rounds(60000) do
      local phone = ("%d"):format(20000000 + math.floor(random() * 3000) * 4096)
      local chance = random()
      if chance < 0.5 then
        assert.equal(not known[phone], phones:add(phone))
        known[phone] = true
      elseif chance < 0.9 then
        phones:remove(phone)
        known[phone] = nil
      elseif chance < 0.95 then
        local list, is_free = {}, true
        for i = 1, 5 do
          list[i] = ("%d"):format(20000000 + math.floor(random() * 3000) * 4096)
          is_free = is_free and not known[list[i]]
          for j = 1, i - 1 do
            is_free = is_free and list[j] ~= list[i]
          end
        end
        local lot = lot_of(list)
        assert.equal(is_free, phones:add_lot(lot))
        for _, added in ipairs(is_free and list or {}) do
          known[added] = true
        end
        live[#live + 1] = is_free and { lot, list } or nil
      elseif live[1] then
        local lot, list = live[#live][1], live[#live][2]
        live[#live] = nil
        phones:remove_lot(lot)
        for _, removed in ipairs(list) do
          known[removed] = nil
        end
      end
    end
  end)
end)
