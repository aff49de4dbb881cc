--- JSON as the sandbox reads and writes it.
---
--- The server refuses `42.0` and `1e+15` where it expects an integer, an empty array is not an object to it, and null
--- is not an absent field. The client's reader does not keep these differences, so the sandbox has a reader of its own.
--- Both share the strict check of the text.
local sandbox_json = {}

local json = require "heymarket.util.json"

local MAX_VALUES = 10000000 -- of one text

sandbox_json.null = json.null -- what stands for null
sandbox_json.array = json.array
sandbox_json.is_array = json.is_array
sandbox_json.write = json.encode

--- Is this an object that was read?
function sandbox_json.is_object(value)
  return type(value) == "table" and getmetatable(value) == nil
end

--- Is this a number, in whatever form it was written?
function sandbox_json.is_number(value)
  return type(value) == "number" or getmetatable(value) == json.verbatim_mark
end

--- Was this written as an integer?
function sandbox_json.is_integer(value)
  if getmetatable(value) == json.verbatim_mark then
    return not value.json:find "[.eE]"
  end
  return type(value) == "number" and value % 1 == 0
end

-- Only a finite fraction becomes a number of Lua. The others would not be written again as they came.
local function number_of(digits)
  local value = tonumber(digits)
  return value and value % 1 ~= 0 and value - value == 0 and value or json.verbatim(digits)
end

-- What cjson has read, with the marks of json_check taken out and arrays marked.
local function without_marks(value)
  if type(value) == "string" then
    return json.without_mark(value, number_of)
  elseif type(value) ~= "table" then
    return json.narrow(value)
  elseif value[1] == json.EMPTY_ARRAY then
    return json.array {}
  end
  local is_array = value[1] ~= nil
  for key, item in pairs(value) do
    value[key] = without_marks(item)
  end
  return is_array and json.array(value) or value
end

--- Reads JSON text. Arrays are marked, and null is sandbox_json.null. A number that this Lua would write in another way
--- than it came (`1e+15`, `42.0`, more than 2^53) becomes a table that is written as it came.
---@return any value nil where it is no JSON
---@return string? problem
function sandbox_json.read(s)
  local value, problem = json.read_marked(s, MAX_VALUES)
  if value == nil then
    return nil, problem
  end
  return (without_marks(value))
end

return sandbox_json
