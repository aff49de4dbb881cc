--- JSON as this API needs it: exact integers both ways, the same bytes from every Lua and every build of lua-cjson.
local json = {}

local core = require "heymarket.core"

local format, gsub = string.format, string.gsub
local quote = core.quote
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
  cjson.decode_invalid_numbers(false)
  cjson.decode_max_depth(100)
end

-- Doubles beyond this cannot tell one whole number from the next: 2^53 itself may stand for 2^53 + 1.
local EXACT = 2 ^ 53

--- A string as a JSON string. cjson escapes "/" in one build and not in the other, and passes invalid UTF-8 on; the
--- wire form must do neither.
---@param s string
---@param prefix string? what stands before it
---@return string? written prefix and JSON string; nil when `s` is not well-formed UTF-8
---@return integer what sum of what it holds (CORE_HAS_… in csrc/core.h), or where it stops being UTF-8
function json.string(s, prefix)
  return quote(s, prefix or "")
end

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

--- A finite number in the fewest digits that give the same number again.
---@param n number
---@return string? digits nil for NaN, infinity, and whole numbers that are not exact
function json.number(n)
  if n ~= n or n == math.huge or n == -math.huge then
    return nil
  end
  if n % 1 == 0 then
    return json.integer(n)
  end
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

-- lua-cjson gives every number as a double, so that an id prints as "12345.0" on Lua 5.3 and 5.4; and it stands in a
-- userdata for null, which no caller wants to meet in a field.
local function plain(value)
  local kind = type(value)
  if kind == "number" then
    return json.narrow(value)
  elseif kind == "table" then
    for key, item in pairs(value) do
      if item == cjson.null then
        if type(key) == "number" then
          value[key] = false -- a hole would end the array there, and hide the items after it
        else
          value[key] = nil
        end
      elseif kind ~= "string" then
        value[key] = plain(item)
      end
    end
  end
  return value
end

--- Reads JSON. Whole numbers come as integers on Lua 5.3 and later; a null in an object is an absent field, one in an
--- array is false.
---@param s string
---@return boolean ok
---@return any value the value (nil for null), or why it is not JSON
function json.decode(s)
  local ok, value = pcall(cjson.decode, s)
  if not ok then
    return false, tostring(value)
  end
  if value == cjson.null then
    return true, nil
  end
  return true, plain(value)
end

--- Writes plain Lua values as JSON, for reports and logs; what goes to the server is built field by field instead.
---@param value any tables with a sequence are arrays; an empty table is an object unless marked with json.array
---@return string
function json.encode(value)
  local kind = type(value)
  if kind == "string" then
    return (quote(value, "") or quote(gsub(value, "[\128-\255]", "?"), ""))
  elseif kind == "number" then
    return json.number(value) or "null"
  elseif kind == "table" then
    local parts = {}
    if #value > 0 or getmetatable(value) == json.array_mark then
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

json.array_mark = {}

--- Marks a table as an array, so that an empty one is written as [].
---@param t table
---@return table t
function json.array(t)
  return setmetatable(t, json.array_mark)
end

return json
