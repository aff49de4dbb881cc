--- JSON as this API needs it: exact integers both ways, the same bytes from every Lua and every build of lua-cjson.
local json = {}

local rows = require "heymarket.rows"

local byte, find, format, gsub, match, sub =
  string.byte, string.find, string.format, string.gsub, string.match, string.sub
local quote = rows.quote
local tointeger = math.tointeger
local math_type = math.type

-- A private instance: the settings of the application's own cjson stay as they are.
local cjson
do
  local found, module = pcall(require, "cjson")
  if not found then
    error(
      "heymarket needs lua-cjson, which this Lua does not find: install it (Debian: lua-cjson, LuaRocks: lua-cjson, "
        .. "OpenResty brings it)",
      0
    )
  end
  cjson = module.new()
  cjson.decode_max_depth(100) -- ROWS_JSON_DEPTH in csrc/rows/rows.h
end

-- Doubles beyond this cannot tell one whole number from the next: 2^53 itself may stand for 2^53 + 1.
local EXACT = 2 ^ 53

--- A whole number as exactly its digits.
---@param n any
---@return string? digits nil when it is not a whole number, or one that this Lua cannot hold exactly
function json.integer(n)
  if math_type and math_type(n) == "integer" then
    return format("%d", n)
  elseif type(n) ~= "number" or n % 1 ~= 0 or n >= EXACT or n <= -EXACT then
    return nil
  end
  return n == 0 and "0" or format("%.0f", n)
end

local function fewest_digits(n)
  for precision = 15, 17 do
    local digits = format("%." .. precision .. "g", n)
    if precision == 17 or tonumber(digits) == n then
      -- A locale may write (and read) a comma for the decimal point; JSON has the point only.
      return (gsub(digits, ",", "."))
    end
  end
end

--- A number as this Lua holds it best: a whole one as an integer where there are integers.
---@param value any anything but a number is given back as it is
---@return any
function json.narrow(value)
  return type(value) == "number" and tointeger and tointeger(value) or value
end

-- rows.json_check has marked what lua-cjson would lose by these first bytes of a string (see csrc/rows/json_check.c).
local NUMBER, STRING, EMPTY_ARRAY = 1, 2, "\3"
json.EMPTY_ARRAY = EMPTY_ARRAY

local MAX_VALUES = 500000 -- of one text: so many small tables are tens of megabytes
local EXACT_DIGITS = 15 -- so many significant digits of a decimal number survive in a double

-- The significant digits of a number as text, without sign, point, exponent and outer zeros.
local function digits_of(text)
  return (gsub(gsub(gsub(match(text, "^[^eE]*"), "[-.,]", ""), "^0+", ""), "0+$", ""))
end

-- A number that lua-cjson was not given: as a number where this Lua holds it, else its text. Whole numbers keep all
-- their digits, and nothing becomes infinite or 0 that was not.
local function number_of(text)
  if find(text, "^-?%d+$") then
    local value = math_type and tonumber(text)
    return value and math_type(value) == "integer" and value or text
  end
  -- A locale may read a comma for the decimal point.
  local value = tonumber(text) or tonumber((gsub(text, "%.", ",")))
  local digits = digits_of(text)
  if not value or value - value ~= 0 or value == 0 and digits ~= "" then
    return text
  elseif #digits <= EXACT_DIGITS or value < EXACT and value > -EXACT then
    return json.narrow(value)
  end
  local same = digits == digits_of(format("%.16g", value)) or digits == digits_of(format("%.17g", value))
  return same and value or text
end

--- A string that was read with its marks: as the string or number that it stands for.
---@param text string
---@param read_number fun(digits: string): any
---@return any
function json.without_mark(text, read_number)
  local mark = byte(text)
  if mark == NUMBER then
    return read_number(sub(text, 2))
  end
  return mark == STRING and sub(text, 2) or text
end

-- An array or object with its marks taken out, whole numbers as integers where this Lua has them, and nulls out of
-- objects.
local function plain_table(value, fractions)
  if value[1] == EMPTY_ARRAY then
    return json.array {}
  end
  for key, item in pairs(value) do
    local kind = type(item)
    if kind == "string" then
      local mark = byte(item)
      if mark == NUMBER and find(item, "[.eE]") then
        fractions[value] = fractions[value] or {}
        fractions[value][key] = sub(item, 2)
      end
      if mark == NUMBER or mark == STRING then
        value[key] = json.without_mark(item, number_of)
      end
    elseif kind == "number" then
      value[key] = tointeger and tointeger(item) or item
    elseif kind == "table" then
      value[key] = plain_table(item, fractions)
    elseif item == cjson.null and type(key) == "string" then
      value[key] = nil
    end
  end
  return value
end

--- What stands for null in an array.
json.null = cjson.null

--- Reads JSON, strictly, and leaves the marks and every null (json.null) in it.
---@param s string
---@param max_values integer
---@return any value nil where it is no JSON
---@return integer|string depth how deep it is nested, or why it is no JSON
---@return integer? values how many it has
function json.read_marked(s, max_values)
  local checked, depth, values = rows.json_check(s, max_values)
  if not checked then
    return nil, format("%s at byte %.0f", depth, values)
  end
  return cjson.decode(checked), depth, values
end

--- Reads JSON, strictly: what RFC 8259 does not allow is refused, and so are two members of an object with one name.
---
--- A number that this Lua does not hold as it was written (an integer beyond 2^53, or beyond 64 bits on Lua 5.3 and
--- later, 1e400) comes as a string with its text. A null in an array is json.null; in an object it is an absent field.
---@param s string
---@param max_values integer? so many values at most; the default bounds the memory for what a server sends
---@return boolean ok
---@return any value the value (nil for null), or why it is not JSON
---@return {depth: integer, values: integer, fractions: table<table, table<any, string>>}? facts how deep it is nested,
--- how many values it has, and the text of numbers with a point or an exponent, by table and key
function json.decode(s, max_values)
  local value, depth, values = json.read_marked(s, max_values or MAX_VALUES)
  if value == nil then
    return false, depth
  end
  local facts = { depth = depth, values = values, fractions = {} }
  if value == cjson.null then
    return true, nil, facts
  end
  if type(value) == "table" then
    value = plain_table(value, facts.fractions)
  elseif type(value) == "string" then
    value = json.without_mark(value, number_of)
  end
  return true, json.narrow(value), facts
end

-- Any finite number in the fewest digits that give it again. JSON has no other numbers.
local function written_number(n)
  return n - n ~= 0 and "null" or json.integer(n) or fewest_digits(n)
end

--- Writes plain Lua values as JSON, for reports, logs and journals; what goes to the server is built field by field
--- instead. What json.decode gave is written so that it gives the same again.
---@param value any tables with a sequence are arrays; an empty table is an object unless marked with json.array
---@return string
function json.encode(value)
  local kind = type(value)
  if kind == "string" then
    return (quote(value) or quote((gsub(value, "[\128-\255]", "?"))))
  elseif kind == "number" then
    return written_number(value)
  elseif kind == "table" then
    local parts, mark = {}, getmetatable(value)
    if mark == json.verbatim_mark then
      return value.json
    elseif #value > 0 or mark == json.array_mark then
      for i = 1, #value do
        parts[i] = json.encode(value[i])
      end
      return "[" .. table.concat(parts, ",") .. "]"
    end
    local names = {}
    for name in pairs(value) do
      names[#names + 1] = name
    end
    table.sort(names, function(a, b)
      return tostring(a) < tostring(b)
    end)
    for i, name in ipairs(names) do
      parts[i] = json.encode(tostring(name)) .. ":" .. json.encode(value[name])
    end
    return "{" .. table.concat(parts, ",") .. "}"
  elseif kind == "boolean" then
    return tostring(value)
  end
  return "null"
end

-- Bytes and values of what json.decode gave; infinite where it is nested too deeply.
local function measure(value, depth)
  if type(value) == "string" then
    return #value + 2, 1
  elseif type(value) ~= "table" then
    return 8, 1
  elseif depth == 0 then
    return math.huge, math.huge
  end
  local bytes, values = 2, 1
  for key, item in pairs(value) do
    local item_bytes, item_values = measure(item, depth - 1)
    bytes = bytes + item_bytes + 1 + (type(key) == "string" and #key + 3 or 0)
    values = values + item_values
  end
  return bytes, values
end

--- What fits of a decoded value: all of it, or of an array the first items, of an object the small fields, of a string
--- nothing.
---@param value any
---@param limits {bytes: integer, values: integer, depth: integer}
---@return any kept
---@return boolean cut was something left out
function json.bounded(value, limits)
  local bytes, values = measure(value, limits.depth)
  if bytes <= limits.bytes and values <= limits.values then
    return value, false
  elseif type(value) ~= "table" then
    return nil, true
  end
  local fields, is_array = {}, #value > 0
  for key, item in pairs(value) do
    local field_bytes, field_values = measure(item, limits.depth - 1)
    field_bytes = field_bytes + 1 + (is_array and 0 or #key + 3)
    fields[#fields + 1] = { key = key, item = item, bytes = field_bytes, values = field_values }
  end
  table.sort(fields, function(a, b)
    if is_array or a.bytes == b.bytes then
      return a.key < b.key
    end
    return a.bytes < b.bytes
  end)
  local kept = is_array and json.array {} or {}
  bytes, values = 2, 1
  for _, field in ipairs(fields) do
    bytes, values = bytes + field.bytes, values + field.values
    if bytes > limits.bytes or values > limits.values then
      break
    end
    kept[field.key] = field.item
  end
  return kept, true
end

json.verbatim_mark = {
  __tostring = function(self)
    return self.json
  end,
}

--- Makes a value that json.encode writes as this text.
---@param written string JSON
---@return table
function json.verbatim(written)
  return setmetatable({ json = written }, json.verbatim_mark)
end

json.array_mark = {}

--- Is what json.decode gave an array?
---@param value any
---@return boolean
function json.is_array(value)
  return type(value) == "table" and (#value > 0 or getmetatable(value) == json.array_mark)
end

--- Marks a table as an array, so that an empty one is written as [].
---@param t table
---@return table t
function json.array(t)
  return setmetatable(t, json.array_mark)
end

return json
