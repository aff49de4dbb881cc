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

-- An integer, or nothing: a number that this Lua would round is refused.
local function exact_integer(digits)
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

local TRUTH = {}
for word in ("yes y true t 1"):gmatch "%S+" do
  TRUTH[word] = true
end
for word in ("no n false f 0"):gmatch "%S+" do
  TRUTH[word] = false
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
  if not value then
    local digits = trim(cell)
    value = exact_integer(digits)
    if not value and digits ~= "" then
      return nil, "csv_not_integer", shown(cell)
    end
  end
  return value
end

local function read_integers(cell)
  local value = exact_integer(cell)
  if value then
    return { value }
  elseif not find(cell, "%d") and trim(cell) == "" then
    return nil
  end
  local list, count, from = {}, 0, 1
  repeat
    local semicolon = find(cell, ";", from, true)
    local item = sub(cell, from, semicolon and semicolon - 1)
    value = exact_integer(item) or exact_integer(trim(item))
    if not value then
      return nil, "csv_not_integers", shown(cell)
    end
    count = count + 1
    list[count] = value
    from = semicolon and semicolon + 1
  until not from
  return list
end

-- By kind of field. Cells of the other kinds are taken as text.
local READERS = { boolean = read_boolean, integers = read_integers, tag_ids = read_integers, user_id = read_integer }

-- As trim of a cell that is not empty, faster for the many cells whose ends are plain letters and digits.
local function trimmed(cell)
  local head, tail = byte(cell, 1), byte(cell, -1)
  if head > 32 and head < 127 and tail > 32 and tail < 127 then
    return cell
  end
  return trim(cell)
end

---------------------------------------------------------------------------------------------------------------------
-- Records

local Contacts = {}
Contacts.__index = Contacts

--- Makes what turns the records of a file into contacts.
---@param columns string[] names of the columns
---@param layout table[] see header.read
---@param allow_opt_in boolean false leaves out is_opted_out where it is false
function contacts.new(columns, layout, allow_opt_in)
  local self = setmetatable({
    columns = columns,
    allow_opt_in = allow_opt_in,
    opt_ins_left_out = 0,
    text_at = {}, -- columns of text, and their fields
    text_names = {},
    typed_at = {},
    typed_names = {},
    readers = {},
    custom_at = {},
    custom_names = {}, -- ids of custom fields
    draft = {}, -- a contact, and its custom fields, that are filled anew for each entry
    draft_custom = {},
  }, Contacts)
  for _, place in ipairs(layout) do
    local reader = READERS[place.kind]
    local kind = place.kind == "custom" and "custom" or reader and "typed" or "text"
    local at, names = self[kind .. "_at"], self[kind .. "_names"]
    at[#at + 1], names[#names + 1] = place.column, place.name
    self.readers[#self.readers + 1] = reader
  end
  return self
end

-- Sets the typed fields of a contact. Gives the issues, and whether is_opted_out was left out.
local function fill_typed(self, found, cells, issues)
  local at, names, is_left_out = self.typed_at, self.typed_names, false
  for i = 1, #at do
    local cell, value, code, values = cells[at[i]], nil
    if cell ~= "" then
      value, code, values = self.readers[i](cell)
      if code then
        issues = issues or {}
        issues[#issues + 1] = { field = self.columns[at[i]], code = code, values = values }
      elseif value == false and names[i] == "is_opted_out" and not self.allow_opt_in then
        is_left_out, value = true, nil
      end
    end
    found[names[i]] = value
  end
  return issues, is_left_out
end

-- Sets the fields of a contact from text cells; nil where a cell is blank.
local function fill_text(found, cells, at, names, is_trimmed)
  local is_empty = true
  for i = 1, #at do
    local cell = cells[at[i]]
    if not is_trimmed and cell ~= "" then
      cell = trimmed(cell)
    end
    if cell ~= "" then
      is_empty = false
      found[names[i]] = cell
    else
      found[names[i]] = nil
    end
  end
  return is_empty
end

-- Sets all fields that have a column; `custom` is for the custom fields. Gives the issues, and whether is_opted_out was
-- left out.
local function fill(self, found, custom, cells, issues, is_trimmed)
  fill_text(found, cells, self.text_at, self.text_names, is_trimmed)
  local is_left_out
  issues, is_left_out = fill_typed(self, found, cells, issues)
  if self.custom_at[1] then
    local is_empty = fill_text(custom, cells, self.custom_at, self.custom_names, is_trimmed)
    found.custom = not is_empty and custom or nil
  end
  return issues, is_left_out
end

-- A contact of a record, with all its names at once: the table is made in its final size.
local function new_contact()
  return {
    phone = nil,
    first = nil,
    last = nil,
    display_name = nil,
    email = nil,
    avatar = nil,
    assignee_id = nil,
    tags = nil,
    is_opted_out = nil,
    email_suppressions = nil,
    custom = nil,
  }
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
