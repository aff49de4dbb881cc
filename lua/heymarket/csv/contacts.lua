--- Records of CSV become contacts, and entries for an import.
local contacts = {}

local contact = require "heymarket.contact"
local fields = require "heymarket.contact.fields"
local encoding = require "heymarket.csv.encoding"
local failure = require "heymarket.failure"
local text = require "heymarket.util.text"

local byte, find, lower, sub = string.byte, string.find, string.lower, string.sub
local trim = text.trim
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

-- The first piece of a cell that is not blank; nil where there is none.
local function first_piece(cell, separator)
  local from = 1
  repeat
    local first, last = find(cell, separator, from, true)
    local piece = read_text(sub(cell, from, first and first - 1) .. " ") -- read_text takes no empty text
    if piece then
      return piece
    end
    from = last and last + 1
  until not from
end

-- Labels of numbers that reach no phone.
local NO_PHONES = { "fax", "pager", "assistant" }

local function is_phone_label(label)
  for _, word in ipairs(NO_PHONES) do
    if find(label, word, 1, true) then
      return false
    end
  end
  return true
end

-- The phone that pairs of columns give: the one labelled Mobile, else the first.
local function phone_of_pairs(place, cells)
  local chosen
  for _, pair in ipairs(place.pairs) do
    local value = first_piece(cells[pair.value] or "", place.separator)
    local label = lower(trim(pair.label and cells[pair.label] or "")):gsub("^%* ", "")
    if value and label == "mobile" then
      return value
    elseif value and not chosen and is_phone_label(label) then
      chosen = value
    end
  end
  return chosen
end

-- The value of a place; nil, a code and values where it cannot be read.
local function read_place(place, cells)
  local cell = cells[place.column]
  if place.pairs then
    return phone_of_pairs(place, cells)
  elseif cell == "" then
    return nil
  elseif place.separator then
    return first_piece(cell, place.separator)
  end
  return place.read(cell)
end

-- By kind of field. Cells of the other kinds are taken as text.
local READERS = { boolean = read_boolean, integers = read_integers, tag_ids = read_integers, user_id = read_integer }

---------------------------------------------------------------------------------------------------------------------
-- Records

local Contacts = {}
Contacts.__index = Contacts

--- Methods of what makes contacts of other records, which has these as well and a `read` of its own.
---@return table
function contacts.extend()
  local methods = setmetatable({}, Contacts)
  methods.__index = methods
  return methods
end

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
      kind = place.kind,
      read = READERS[place.kind] or read_text,
      is_custom = place.kind == "custom",
      without_false = place.name == "is_opted_out" and not allow_opt_in,
      is_alternative = place.is_alternative or false,
      pairs = place.pairs,
      separator = place.separator,
      order = i,
    }
  end
  return setmetatable({
    columns = columns,
    places = places, -- of the columns that have a field
    product = layout.product, -- whose export the file is
    opt_ins_left_out = 0,
  }, Contacts)
end

-- Custom fields stand in the order of their ids: longer ones are greater, for none begins with 0.
local function is_before(a, b)
  if a.rank ~= b.rank then
    return a.rank < b.rank
  elseif a.name == b.name then
    return a.order < b.order
  elseif #a.name ~= #b.name then
    return #a.name < #b.name
  end
  return a.name < b.name
end

--- The columns that have a field, in the order in which the server is given the fields.
---@return table[]? columns see Reader:set_fields; nil where which column counts is told by another one
function Contacts:fields()
  local rank, max_items, list = {}, {}, {}
  for i, field in ipairs(fields) do
    rank[field.name], max_items[field.name] = i, field.max_items
  end
  for i, place in ipairs(self.places) do
    if place.pairs then
      return nil
    end
    list[i] = {
      rank = rank[place.is_custom and "custom" or place.name],
      name = place.name,
      column = place.column,
      kind = place.kind,
      prefix = (',"%s":'):format(place.name),
      max_items = max_items[place.name],
      without_false = place.without_false,
      is_alternative = place.is_alternative,
      order = place.order,
    }
  end
  table.sort(list, is_before)
  return list
end

--- Is this record a line about the report, which some products write behind the rows and a blank line?
---@param cells string[]
---@param issues heymarket.Issue[]? what is known to be wrong with it
---@return boolean
function Contacts:is_footer(cells, issues)
  if not (self.product and self.product.has_footer) or issues and (issues[2] or issues[1].field) then
    return false
  end
  for i = 2, #cells do
    if trim(cells[i]) ~= "" then
      return false
    end
  end
  -- What holds letters is no phone, whatever column it stands in.
  return find(cells[1], "%a") ~= nil
end

--- What each column is for, but for those that begin with _, which are always ignored.
---@return table[] mapping array of {column, name, field, rank}: number and name of the column, the name of its field
--- (nil where it is passed over), and, where several give one field, which it is
function Contacts:mapping()
  local by_column, count = {}, {}
  for _, place in ipairs(self.places) do
    local field = place.is_custom and "custom." .. place.name or place.name
    for _, at in ipairs(place.pairs or { { value = place.column } }) do
      count[field] = (count[field] or 0) + 1
      by_column[at.value] = { field = field, rank = count[field] }
      if at.label then
        by_column[at.label] = false -- a part of the pair
      end
    end
  end
  local mapping = {}
  for i, name in ipairs(self.columns) do
    local found = by_column[i]
    if found ~= false and (found or sub(name, 1, 1) ~= "_") then
      local entry = { column = i, name = name ~= "" and name or "column " .. i, field = found and found.field }
      entry.rank = found and count[found.field] > 1 and found.rank or nil
      mapping[#mapping + 1] = entry
    end
  end
  return mapping
end

--- Says how the input is encoded, for messages.
---@param name string? nil for UTF-8
function Contacts:set_encoding(name)
  self.encoding = name
end

local NOT_UTF8 = { not_utf8 = true, custom_not_utf8 = true }

-- Of bytes that are not UTF-8 it says which encoding they look like, or which one does not have them.
local function explain_bytes(self, issues, cells)
  for _, issue in ipairs(issues or {}) do
    if NOT_UTF8[issue.code] and self.encoding then
      issue.code, issue.values = "csv_not_encoded", { encoding = self.encoding }
    elseif NOT_UTF8[issue.code] then
      issue.values.encoding = encoding.guess(type(cells) == "table" and table.concat(cells, " ") or cells)
    elseif issue.code == "several" then
      explain_bytes(self, issue.values.mistakes, cells)
    end
  end
end
Contacts.explain_bytes = explain_bytes

--- Counts rows in which is_opted_out was left out.
---@param count integer
function Contacts:count_left_out(count)
  self.opt_ins_left_out = self.opt_ins_left_out + count
end

--- Reads a record.
---@param cells string[]
---@param issues heymarket.Issue[]? what is known to be wrong with it
---@return table? contact nil where it cannot be known
---@return heymarket.Issue[]? issues what is wrong with the record
---@return boolean is_left_out was is_opted_out left out?
function Contacts:read(cells, issues)
  if issues and #cells ~= #self.columns then
    return nil, issues, false -- which cell belongs to which column is not known
  end
  local found, custom, is_left_out = {}, {}, false
  for _, place in ipairs(self.places) do
    local value
    if place.is_alternative and found[place.name] ~= nil then
      value = found[place.name] -- of several columns the first filled one counts
    else
      local code, values
      value, code, values = read_place(place, cells)
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
  return found, issues, is_left_out
end

--- The contact of a record.
---@param cells string[]
---@param issues heymarket.Issue[]? what is wrong with the record
---@return table|heymarket.Failure contact or what is wrong with the row
function Contacts:of_record(cells, issues)
  local found, all, is_left_out = self:read(cells, issues)
  self:count_left_out(is_left_out and 1 or 0)
  return all and failure.invalid(all) or found
end

--- See Source:describe of heymarket.csv.
---@param entries heymarket.Entry[]
---@param cells (string[]|false)[] of these entries; false where something is wrong with the row
---@param items heymarket.Item[]
function Contacts:describe(entries, cells, items)
  for i, item in ipairs(items) do
    local entry = entries[i]
    item.index, item.position, item.row = entry.index, entry.position, cells[i] or entry.row
    item.contact = cells[i] and self:read(cells[i]) or nil
  end
end

--- The entry of a record.
---@param cells string[]
---@param issues heymarket.Issue[]? what is wrong with the record
---@param entry heymarket.Entry its index, position and origin; it gets body and phone, or a `problem`
---@param default_country string|boolean|nil see contact.phone
function Contacts:complete(entry, cells, issues, default_country)
  local found, problems = self:of_record(cells, issues), {}
  if failure.is(found) then
    entry.origin, entry.row, entry.problem = nil, cells, found
    return
  end
  entry.body, entry.phone, entry.is_doubtful = contact.encode(found, entry.index, default_country, problems)
  if not entry.body then
    self:explain_bytes(problems, cells)
    entry.problem = failure.invalid(problems)
  end
end

return contacts
