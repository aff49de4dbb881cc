-- The first row of each phone, against a Lua table.

local rows = require "heymarket.rows"

-- A lot of these phones; nothing else of the file.
local function lot_of(phones, position)
  local columns = { { column = 1, kind = "phone", prefix = ',"phone":' } }
  local text = table.concat(phones, "\n") .. "\n"
  local lot = rows.lot(1, position)
  assert(rows.csv_rows(columns, 1, 4096, ",", "lf"):take(text, 1, #phones, 2 ^ 40, nil, lot) == #phones)
  return lot
end

describe("the first rows of phones", function()
  it("are found again, whether a row comes alone or in a lot", function()
    local first, seen, row, repeats = rows.first_rows(100000), {}, 1, 0
    math.randomseed(7)
    for _ = 1, 300 do
      local phones, wanted, from = {}, {}, row + 1
      for i = 1, math.random(1, 60) do
        phones[i] = ("%.0f"):format(447700900000 + math.random(1, 4000)) .. ("7"):rep(math.random(0, 1))
        row = row + 1
        if seen[phones[i]] then
          wanted[#wanted + 1], wanted[#wanted + 2] = row, seen[phones[i]]
        end
        seen[phones[i]] = seen[phones[i]] or row
      end
      repeats = repeats + #wanted / 2
      local found = {}
      if math.random(2) == 1 then
        found = first:add_lot(lot_of(phones, from)) or {}
      else
        for i, phone in ipairs(phones) do
          local earlier = first:add(phone, from + i - 1)
          if earlier then
            found[#found + 1], found[#found + 2] = from + i - 1, earlier
          end
        end
      end
      assert.same(wanted, found)
    end
    assert.is_true(repeats > 100)
    assert.is_false(first:is_partial())
  end)

  it("are remembered up to a number of phones", function()
    local first = rows.first_rows(2)
    assert.is_nil(first:add("447700900007", 2))
    assert.is_nil(first:add("447700900008", 3))
    assert.is_false(first:is_partial())
    assert.is_nil(first:add("447700900009", 4))
    assert.is_true(first:is_partial())
    assert.is_nil(first:add("447700900009", 5))
    assert.equal(2, first:add("447700900007", 6))
    assert.same({ 7, 3 }, first:add_lot(lot_of({ "447700900008" }, 7)))
  end)

  it("refuse what is no phone", function()
    local first = rows.first_rows(10)
    assert.has_error(function()
      first:add("12a", 1)
    end)
    assert.has_error(function()
      first:add(("1"):rep(40), 1)
    end)
    assert.has_error(function()
      rows.first_rows(0)
    end)
  end)
end)
