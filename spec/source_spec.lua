--- bulk/source: what users hand in becomes entries, a batch at a time.
local failure = require "heymarket.failure"
local heymarket = require "heymarket"
local source = require "heymarket.bulk.source"

local function contact_of(i)
  return { phone = ("1202555%04d"):format(i), first = "Name " .. i }
end

local function going()
  return false
end

local INVALID = { [3] = true, [4] = true, [8] = true }

local function contact_at(i)
  return INVALID[i] and { phone = "x" } or contact_of(i)
end

local function array()
  local list = {}
  for i = 1, 10 do
    list[i] = contact_at(i)
  end
  return list
end

local function iterator()
  local i = 0
  return function()
    i = i + 1
    if i <= 10 then
      return contact_at(i), i + 1, { "row", i }
    end
  end
end

local function csv_file()
  local lines = { "phone,first" }
  for i = 1, 10 do
    lines[i + 1] = contact_at(i).phone .. ",Name " .. i
  end
  local text = table.concat(lines, "\n") .. "\n"
  return assert(heymarket.csv.open {
    read = function()
      local given = text
      text = nil
      return given
    end,
  })
end

-- Takes everything; returns all entries and the sizes of the batches.
local function drain(taken_from, n)
  local all, sizes = {}, {}
  local entries = taken_from:take(n)
  while entries[1] do
    sizes[#sizes + 1] = #entries
    for i, entry in ipairs(entries) do
      assert(not entry.problem or i == #entries, "an invalid entry is not the last of its batch")
      all[#all + 1] = entry
    end
    entries = taken_from:take(n)
  end
  return all, sizes
end

describe("take", function()
  for _, case in ipairs {
    { "an array", array, position = 0, contact = true },
    { "an iterator", iterator, position = 1, contact = true, row = true },
    { "a CSV file", csv_file, position = 1, row = true },
  } do
    local what, make = case[1], case[2]

    it("gives all contacts of " .. what .. " in order, and an invalid one as the last of its batch", function()
      local input = assert(source.new(make(), nil, going))
      local all, sizes = drain(input, 4)
      assert.are.same({ 3, 1, 4, 2 }, sizes)
      assert.are.equal(10, #all)
      assert.are.equal(10, input:taken())
      for i, entry in ipairs(all) do
        assert.are.equal(i, entry.index)
        assert.are.equal(i + case.position, entry.position)
        if INVALID[i] then
          assert.are.equal("invalid", entry.problem.kind)
          assert.are.equal(i, entry.problem.issues[1].index)
        else
          assert.are.equal(contact_of(i).phone, entry.phone)
          assert.are.equal(('{"phone":"%s","first":"Name %d"}'):format(entry.phone, i), entry.body)
        end
      end
    end)

    it("gives at most so many contacts of " .. what, function()
      local _, sizes = drain(assert(source.new(make(), nil, going)), 2)
      assert.are.same({ 2, 1, 1, 2, 2, 2 }, sizes)
    end)

    it("can give contact and row of an entry of " .. what .. " back", function()
      local input = assert(source.new(make(), nil, going))
      local all = drain(input, 100)
      local items = {}
      for i = 1, #all do
        items[i] = {}
      end
      input:describe(all, items)
      for i, item in ipairs(items) do
        assert.are.equal(i, item.index)
        assert.are.equal(i + case.position, item.position)
        assert.are.equal(case.row or false, item.row ~= nil)
        if case.contact or not INVALID[i] then
          assert.are.equal(contact_at(i).phone, item.contact.phone)
        end
      end
    end)
  end

  it("ends a batch at 1 MiB of bodies, with every kind of entry so far", function()
    local i = 0
    local input = assert(source.new(function()
      i = i + 1
      return i <= 10 and { phone = contact_of(i).phone, first = ("x"):rep(400000) } or nil
    end, nil, going))
    local all, sizes = drain(input, 100)
    assert.are.equal(10, #all)
    assert.are.same({ 3, 3, 3, 1 }, sizes)
  end)

  it("gives the entries before an error, and raises it at the next call, once", function()
    for _, finish in ipairs {
      function()
        error("the disk is gone", 0)
      end,
      function()
        return nil, "the disk is gone"
      end,
    } do
      local i = 0
      local input = assert(source.new(function()
        i = i + 1
        if i <= 3 then
          return contact_of(i)
        end
        return finish()
      end, nil, going))
      assert.are.equal(3, #input:take(10))
      local ok, raised = pcall(input.take, input, 10)
      assert.is_false(ok)
      assert.is_true(failure.is(raised))
      assert.are.equal("source", raised.kind)
      assert.is_truthy(raised.message:find("the disk is gone", 1, true))
      assert.are.same({}, input:take(10))
      assert.are.equal(4, i)
    end
  end)

  it("makes a contact invalid whose metamethods raise, and goes on", function()
    local odd = setmetatable({}, {
      __index = function()
        error "no"
      end,
      __pairs = function()
        error "no"
      end,
    })
    local list = { contact_of(1), odd, contact_of(3) }
    local all = drain(assert(source.new(list, nil, going)), 10)
    assert.are.equal("invalid", all[2].problem.kind)
    assert.is_nil(all[3].problem)
  end)

  it("gives nothing of a stopped iterator, and all of an array", function()
    local function stopped()
      return true
    end
    assert.are.same({}, assert(source.new(iterator(), nil, stopped)):take(10))
    local input = assert(source.new(array(), nil, stopped))
    assert.is_true(input:is_finite())
    assert.are.equal(10, #drain(input, 10))
  end)

  it("gives entries that were checked before in slices", function()
    local all = drain(assert(source.of_array { contact_of(1), contact_of(2), contact_of(3) }), 10)
    local checked = source.of_entries(all)
    assert.are.equal(3, checked:taken())
    local again, sizes = drain(checked, 2)
    assert.are.same(all, again)
    assert.are.same({ 2, 1 }, sizes)
  end)
end)

describe("what is no list of contacts", function()
  for _, case in ipairs {
    { "a single contact", contact_of(1) },
    { "a key that is no whole number", { contact_of(1), [1.5] = contact_of(2) } },
    { "a key below 1", { [0] = contact_of(1) } },
    { "thousands of holes", { contact_of(1), [5000] = contact_of(2) } },
  } do
    it("is refused: " .. case[1], function()
      local made, problem = source.new(case[2], nil, going)
      assert.is_nil(made)
      assert.are.equal("invalid", problem.kind)
    end)
  end

  it("may have a few holes, each an invalid contact", function()
    local all = drain(assert(source.new({ contact_of(1), nil, contact_of(3) }, nil, going)), 10)
    assert.are.equal(3, #all)
    assert.are.same({ 2, "invalid" }, { all[2].index, all[2].problem.kind })
  end)
end)
