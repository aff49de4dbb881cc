--- Records of CSV become contacts, and entries for an import.
local contacts = {}

local contact = require "heymarket.contact"
local failure = require "heymarket.failure"
local text = require "heymarket.util.text"

local byte, find, lower, sub = string.byte, string.find, string.lower, string.sub
local encode, trim = contact.encode, text.trim
local integer_type = rawget(math, "type") -- Lua 5.3 and later

-- Doubles hold every integer up to here, and only on Lua 5.3 and later is there another number type.
local MAX_EXACT = 2 ^ 53 - 1
local MAX_SHOWN = 40 -- bytes of a cell that a message repeats

-- A cell may be a megabyte long and hold anything; a message is one short line.
local function shown(cell)
  local start, is_cut = text.value(cell, MAX_SHOWN)
  return { cell = '"' .. start .. (is_cut and "…" or "") .. '"' }
end

---------------------------------------------------------------------------------------------------------------------
-- Values of cells. Each reader gives a value (nil: the cell is blank), or nil, a code and values.

-- As trim of a cell that is not empty, faster for the many cells whose ends are plain letters and digits. Nil where
-- nothing is left.
local function read_text(cell)
  local head, tail = byte(cell, 1), byte(cell, -1)
  if head > 32 and head < 127 and tail > 32 and tail < 127 then
    return cell
  end
  local trimmed = trim(cell)
  return trimmed ~= "" and trimmed or nil
end

local function plain_integer(digits)
  if not find(digits, "^%-?%d+$") then
    return nil
  end
  local number = tonumber(digits)
  if integer_type then
    return integer_type(number) == "integer" and number or nil
  end
  if number > MAX_EXACT or number < -MAX_EXACT then
    return nil
  end
  return number + 0 -- turns "-0" into 0
end

-- An integer, or nothing: a number that this Lua would round is refused.
local function exact_integer(cell)
  return plain_integer(cell) or plain_integer(trim(cell))
end

local TRUTH = {}
for yes, no in ("yes no y n true false t f 1 0"):gmatch "(%S+) (%S+)" do
  TRUTH[yes], TRUTH[no] = true, false
end

local function read_boolean(cell)
  local value = TRUTH[cell]
  if value == nil then
    local word = lower(trim(cell))
    value = TRUTH[word]
    if value == nil and word ~= "" then
      return nil, "csv_not_boolean", shown(cell)
    end
  end
  return value
end

local function read_integer(cell)
  local value = exact_integer(cell)
  if not value and trim(cell) ~= "" then
    return nil, "csv_not_integer", shown(cell)
  end
  return value
end

local function read_integers(cell)
  if not find(cell, "%d") and trim(cell) == "" then
    return nil
  end
  local list, from = {}, 1
  repeat
    local semicolon = find(cell, ";", from, true)
    local value = exact_integer(sub(cell, from, semicolon and semicolon - 1))
    if not value then
      return nil, "csv_not_integers", shown(cell)
    end
    list[#list + 1] = value
    from = semicolon and semicolon + 1
  until not from
  return list
end

-- By kind of field. Cells of the other kinds are taken as text.
local READERS = { boolean = read_boolean, integers = read_integers, tag_ids = read_integers, user_id = read_integer }

---------------------------------------------------------------------------------------------------------------------
-- Records

local Contacts = {}
Contacts.__index = Contacts

--- Makes what turns the records of a file into contacts.
---@param columns string[] names of the columns
---@param layout table[] see header.read
---@param allow_opt_in boolean false leaves out is_opted_out where it is false
function contacts.new(columns, layout, allow_opt_in)
  local places = {}
  for i, place in ipairs(layout) do
    places[i] = {
      column = place.column,
      name = place.name,
      read = READERS[place.kind] or read_text,
      is_text = not READERS[place.kind],
      is_custom = place.kind == "custom",
      without_false = place.name == "is_opted_out" and not allow_opt_in,
    }
  end
  return setmetatable({
    columns = columns,
    places = places, -- of the columns that have a field
    opt_ins_left_out = 0,
    draft = {}, -- a contact, and its custom fields, that are filled anew for each entry
    draft_custom = {},
  }, Contacts)
end

-- A contact, with room for most of its fields at once.
local function new_contact()
  return {
    phone = nil,
    first = nil,
    last = nil,
    email = nil,
    tags = nil,
    custom = nil,
    is_opted_out = nil,
    avatar = nil,
  }
end

-- Sets all fields of a contact that have a column; `custom` is for the custom fields. Gives the issues, and whether
-- is_opted_out was left out.
local function fill(self, found, custom, cells, issues, is_trimmed)
  local places, is_left_out = self.places, false
  for i = 1, #places do
    local place = places[i]
    local cell, value = cells[place.column], nil
    if is_trimmed and place.is_text then
      value = cell ~= "" and cell or nil
    elseif cell ~= "" then
      local code, values
      value, code, values = place.read(cell)
      if code then
        issues = issues or {}
        issues[#issues + 1] = { field = self.columns[place.column], code = code, values = values }
      elseif value == false and place.without_false then
        is_left_out, value = true, nil
      end
    end
    if place.is_custom then
      custom[place.name] = value
    else
      found[place.name] = value
    end
  end
  found.custom = next(custom) ~= nil and custom or nil
  return issues, is_left_out
end

-- Sets all fields of a contact from a record; gives what is wrong with the row.
local function read_record(self, found, custom, records, i)
  local cells, issues = records.cells[i], records.issues[i] or nil
  if issues and #cells ~= #self.columns then
    return issues -- which cell belongs to which column is not known
  end
  local is_left_out
  issues, is_left_out = fill(self, found, custom, cells, issues, records.is_trimmed[i])
  if is_left_out then
    self.opt_ins_left_out = self.opt_ins_left_out + 1
  end
  return issues
end

--- The contact of a record.
---@param records table see reader.records
---@param i integer
---@return table|heymarket.Failure contact or what is wrong with the row
function Contacts:of_record(records, i)
  local found = new_contact()
  local issues = read_record(self, found, {}, records, i)
  return issues and failure.invalid(issues) or found
end

--- See Source:describe of heymarket.csv.
---@param entries heymarket.Entry[]
---@param items heymarket.Item[]
function Contacts:describe(entries, items)
  for i, item in ipairs(items) do
    local entry, found = entries[i], nil
    if entry.origin then
      found = new_contact()
      fill(self, found, {}, entry.origin, nil, false)
    end
    item.index, item.position = entry.index, entry.position
    item.contact, item.row = found, entry.origin or entry.row
  end
end

--- Entries of records.
---@param records table see reader.records
---@param first integer the first of them
---@param default_country string|boolean|nil see contact.phone
---@param index integer number of contacts before the first
---@return heymarket.Entry[] entries the last one may have a `problem`: then records after it were not looked at
function Contacts:entries(records, first, default_country, index)
  local entries, problems = {}, {}
  for i = first, records.count do
    index = index + 1
    local cells, body, digits = records.cells[i], nil, nil
    local issues = read_record(self, self.draft, self.draft_custom, records, i)
    if not issues then
      body, digits = encode(self.draft, index, default_country, problems)
    end
    -- Later fields of most entries are named here, so that the table is made in its final size.
    local entry = {
      index = index,
      position = records.rows[i],
      origin = cells,
      phone = digits,
      body = body,
      batch = nil,
      fingerprint = nil,
    }
    entries[i - first + 1] = entry
    if issues then
      entry.origin, entry.row, entry.problem = nil, cells, failure.invalid(issues)
      break
    elseif not body then
      entry.problem = failure.invalid(problems)
      break
    end
  end
  return entries
end

return contacts
