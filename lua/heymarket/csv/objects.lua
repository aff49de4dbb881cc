--- Lines of JSON Lines become contacts, and entries for an import.
local objects = {}

local contacts = require "heymarket.csv.contacts"
local encoding = require "heymarket.csv.encoding"
local fields = require "heymarket.contact.fields"
local json = require "heymarket.util.json"
local rows = require "heymarket.rows"
local text = require "heymarket.util.text"

local find, gsub, sub = string.find, string.gsub, string.sub
local trim = text.trim

local KIND_OF = {} -- by name of the field
for _, field in ipairs(fields) do
  KIND_OF[field.name] = field.kind
end

-- A number as Lua reads it. What it does not hold exactly the encoder refuses.
local function number_of(digits)
  -- A locale may read a comma for the decimal point.
  return json.narrow(tonumber(digits) or tonumber((gsub(digits, "%.", ","))))
end

-- What was read with its marks, as the value that it stands for. Null is left out of objects.
local function plain(value)
  local kind = type(value)
  if kind == "string" then
    return json.without_mark(value, number_of)
  elseif kind == "number" then
    return json.narrow(value)
  elseif kind ~= "table" then
    return value
  elseif value[1] == json.EMPTY_ARRAY then
    return {}
  end
  for key, item in pairs(value) do
    if item == json.null and type(key) == "string" then
      value[key] = nil
    else
      value[key] = plain(item)
    end
  end
  return value
end

---------------------------------------------------------------------------------------------------------------------
-- Values of fields. Each reader gives the value, nil where it is left out.

-- Blank text is left out, as a blank cell is.
local function read_text(value)
  if type(value) ~= "string" then
    return value
  end
  local trimmed = trim(value)
  return trimmed ~= "" and trimmed or nil
end

-- A string of digits is an id.
local function read_id(value)
  local word = read_text(value)
  return type(word) == "string" and find(word, "^%-?%d+$") and number_of(word) or word
end

-- A blank item is a mistake, not a hole.
local function read_item(item)
  local value = read_id(item)
  return value == nil and item or value
end

local function read_ids(value)
  if type(value) ~= "table" then
    return read_text(value)
  end
  for i, item in ipairs(value) do
    if type(item) == "table" and item.tag_id ~= nil then
      item.tag_id = read_item(item.tag_id)
    else
      value[i] = read_item(item)
    end
  end
  return value
end

local function read_custom(value)
  if type(value) ~= "table" or next(value) == nil then
    return read_text(value)
  end
  for id, item in pairs(value) do
    value[id] = read_text(item)
  end
  return next(value) ~= nil and value or nil
end

-- By kind of field. The other kinds are text, or taken as they are.
local READERS = { user_id = read_id, tag_ids = read_ids, integers = read_ids, custom = read_custom }

-- The place of a null in an array; nil where there is none.
local function null_in(value)
  for i, item in ipairs(type(value) == "table" and value or {}) do
    if item == json.null then
      return i
    end
  end
end

---------------------------------------------------------------------------------------------------------------------
-- Lines

local Objects = contacts.extend()

-- The object of a line; nil and the issue where there is none. `name` is that of the encoding, nil for UTF-8.
local function read_object(line, name)
  local value, problem = json.read_marked(line, #line)
  if value == nil then
    local is_utf8 = rows.quote(line) ~= nil
    if not is_utf8 and name then
      return nil, { { code = "csv_not_encoded", values = { encoding = name } } }
    end
    local looks = not is_utf8 and encoding.guess(line) or nil
    return nil, { { code = "jsonl_not_json", values = { problem = problem, encoding = looks } } }
  elseif not find(line, "^%s*{") then
    return nil, { { code = "jsonl_not_object" } }
  end
  return plain(value)
end

--- See contacts.lua.
function Objects:read(line, issues)
  local object = nil
  if not issues then
    object, issues = read_object(line, self.encoding)
  end
  if not object then
    return nil, issues, false
  end
  local found, is_left_out = {}, false
  for name, value in pairs(object) do
    local kind = KIND_OF[name]
    local null = null_in(value)
    if sub(name, 1, 1) == "_" or self.ignored[name] or self.ignored["*"] and not kind then
      value = nil
    elseif null then
      issues = issues or {}
      issues[#issues + 1] = { field = text.shown(name), code = "jsonl_null_item", values = { item = null } }
    elseif name == "is_opted_out" and value == false and not self.allow_opt_in then
      is_left_out, value = true, nil
    else
      value = (READERS[kind] or read_text)(value)
    end
    found[name] = value
  end
  -- pairs has no order; a report needs one.
  if issues then
    table.sort(issues, function(a, b)
      return a.field < b.field
    end)
  end
  return found, issues, is_left_out
end

--- JSON Lines have no footer.
function Objects.is_footer()
  return false
end

--- See contacts.lua: the members of JSON Lines are no columns.
function Objects.mapping()
  return {}
end

--- Makes what turns lines into contacts.
---@param ignore string[]? keys to pass over; "*" stands for all that are no fields
---@param allow_opt_in boolean false leaves out is_opted_out where it is false
function objects.new(ignore, allow_opt_in)
  local ignored = {}
  for _, name in pairs(ignore or {}) do
    ignored[name] = true
  end
  return setmetatable({
    ignored = ignored,
    allow_opt_in = allow_opt_in,
    places = {},
    opt_ins_left_out = 0,
  }, Objects)
end

return objects
