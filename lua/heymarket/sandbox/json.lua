--- JSON as the sandbox reads and writes it: strict, and telling apart what a decoder for clients does not.
---
--- A server that expects an integer does not take `42.0` or `1e+15`, an array is not an object even when it is empty,
--- and a null is not an absent field. It is also another reader than the client's, so that neither hides the other's
--- mistakes.
local sandbox_json = {}

local byte, char, find, format, sub = string.byte, string.char, string.find, string.format, string.sub
local floor = math.floor

local MAX_DEPTH = 100
local EXACT = 2 ^ 53

--- What stands for null.
sandbox_json.null = require("cjson").null

local Array = {}
local Literal = {
  __tostring = function(self)
    return self.literal
  end,
}

--- Marks a table as an array.
---@param t table
---@return table t
function sandbox_json.array(t)
  return setmetatable(t, Array)
end

--- Is this an array that was read, or one marked as such?
---@param value any
---@return boolean
function sandbox_json.is_array(value)
  return type(value) == "table" and getmetatable(value) == Array
end

--- Is this an object that was read?
---@param value any
---@return boolean
function sandbox_json.is_object(value)
  return type(value) == "table" and getmetatable(value) == nil
end

--- Was this written as an integer?
---@param value any
---@return boolean
function sandbox_json.is_integer(value)
  if getmetatable(value) == Literal then
    return value.integer
  end
  return type(value) == "number" and value % 1 == 0
end

--- Is this a number of any form?
---@param value any
---@return boolean
function sandbox_json.is_number(value)
  return type(value) == "number" or getmetatable(value) == Literal
end

local function fail(message, i)
  error({ json = format("%s at byte %d", message, i) }, 0)
end

local function utf8_bytes(code)
  if code < 0x80 then
    return char(code)
  elseif code < 0x800 then
    return char(0xC0 + floor(code / 64), 0x80 + code % 64)
  elseif code < 0x10000 then
    return char(0xE0 + floor(code / 4096), 0x80 + floor(code / 64) % 64, 0x80 + code % 64)
  end
  local tail = char(0x80 + floor(code / 4096) % 64, 0x80 + floor(code / 64) % 64, 0x80 + code % 64)
  return char(0xF0 + floor(code / 262144)) .. tail
end

local ESCAPED = { ['"'] = '"', ["\\"] = "\\", ["/"] = "/", b = "\b", f = "\f", n = "\n", r = "\r", t = "\t" }

-- The character of an escape that begins at `i`, and where it ends.
local function escaped(s, i)
  local letter = sub(s, i + 1, i + 1)
  if ESCAPED[letter] then
    return ESCAPED[letter], i + 2
  end
  local high = letter == "u" and tonumber(s:match("^%x%x%x%x", i + 2) or "", 16)
  if not high then
    fail("a bad escape", i)
  elseif high < 0xD800 or high > 0xDFFF then
    return utf8_bytes(high), i + 6
  end
  local low = tonumber(s:match("^\\u(%x%x%x%x)", i + 6) or "", 16)
  if high > 0xDBFF or not low or low < 0xDC00 or low > 0xDFFF then
    fail("half a surrogate pair", i)
  end
  return utf8_bytes(0x10000 + (high - 0xD800) * 0x400 + low - 0xDC00), i + 12
end

-- Reads the rest of a string whose opening quotation mark stands before `i`.
local function read_string(s, i)
  local from, parts = i, nil
  while true do
    local j = find(s, '["\\%c]', i)
    if not j then
      fail("a string without end", from)
    end
    local b = byte(s, j)
    if b == 34 then
      if not parts then
        return sub(s, from, j - 1), j + 1
      end
      parts[#parts + 1] = sub(s, from, j - 1)
      return table.concat(parts), j + 1
    elseif b == 92 then
      parts = parts or {}
      parts[#parts + 1] = sub(s, from, j - 1)
      parts[#parts + 1], i = escaped(s, j)
      from = i
    elseif b == 127 then
      i = j + 1
    else
      fail("a control character in a string", j)
    end
  end
end

local function read_number(s, i)
  local _, last = find(s, "^-?%d+", i)
  if not last or find(s, "^-?0%d", i) then
    fail("no value", i)
  end
  local integer = true
  local _, fraction = find(s, "^%.%d+", last + 1)
  last = fraction or last
  local _, exponent = find(s, "^[eE][+-]?%d+", last + 1)
  last = exponent or last
  if fraction or exponent then
    integer = false
  end
  local literal = sub(s, i, last)
  -- LuaJIT has no value for an exponent of many digits; the others have infinity.
  local value = tonumber(literal) or math.huge
  local whole = value % 1 == 0
  -- A number that Lua would show in another way than it was written keeps its digits.
  if integer and value < EXACT and value > -EXACT or not integer and not whole and value - value == 0 then
    return value, last + 1
  end
  return setmetatable({ literal = literal, integer = integer }, Literal), last + 1
end

local read_value

local function read_array(s, i, depth)
  local array, count = {}, 0
  i = find(s, "[^ \t\r\n]", i)
  if i and byte(s, i) == 93 then
    return setmetatable(array, Array), i + 1
  end
  while true do
    count = count + 1
    array[count], i = read_value(s, i or #s + 1, depth)
    i = find(s, "[^ \t\r\n]", i)
    local b = i and byte(s, i)
    if b == 93 then
      return setmetatable(array, Array), i + 1
    elseif b ~= 44 then
      fail("a comma or ] is missing", i or #s + 1)
    end
    i = i + 1
  end
end

local function read_object(s, i, depth)
  local object = {}
  i = find(s, "[^ \t\r\n]", i)
  if i and byte(s, i) == 125 then
    return object, i + 1
  end
  while true do
    i = i and find(s, "[^ \t\r\n]", i)
    if not i or byte(s, i) ~= 34 then
      fail("a name is missing", i or #s + 1)
    end
    local name
    name, i = read_string(s, i + 1)
    local _, colon = find(s, "^[ \t\r\n]*:", i)
    if not colon then
      fail("a colon is missing", i)
    end
    object[name], i = read_value(s, colon + 1, depth)
    i = find(s, "[^ \t\r\n]", i)
    local b = i and byte(s, i)
    if b == 125 then
      return object, i + 1
    elseif b ~= 44 then
      fail("a comma or } is missing", i or #s + 1)
    end
    i = i + 1
  end
end

local WORDS = { t = { "true", true }, f = { "false", false }, n = { "null", sandbox_json.null } }

function read_value(s, i, depth)
  if depth > MAX_DEPTH then
    fail("too many levels", i)
  end
  i = find(s, "[^ \t\r\n]", i)
  if not i then
    fail("the end where a value belongs", #s + 1)
  end
  local b = byte(s, i)
  if b == 34 then
    return read_string(s, i + 1)
  elseif b == 123 then
    return read_object(s, i + 1, depth + 1)
  elseif b == 91 then
    return read_array(s, i + 1, depth + 1)
  end
  local word = WORDS[char(b)]
  if word then
    if sub(s, i, i + #word[1] - 1) ~= word[1] then
      fail("no value", i)
    end
    return word[2], i + #word[1]
  end
  return read_number(s, i)
end

local TAIL = "[\128-\191]"
-- Well-formed sequences of several bytes by the first of them (RFC 3629, section 4): neither overlong forms, nor
-- surrogates, nor anything beyond U+10FFFF.
local SEQUENCES = {
  { 0xC2, 0xDF, "^" .. TAIL },
  { 0xE0, 0xE0, "^[\160-\191]" .. TAIL },
  { 0xE1, 0xEC, "^" .. TAIL .. TAIL },
  { 0xED, 0xED, "^[\128-\159]" .. TAIL },
  { 0xEE, 0xEF, "^" .. TAIL .. TAIL },
  { 0xF0, 0xF0, "^[\144-\191]" .. TAIL .. TAIL },
  { 0xF1, 0xF3, "^" .. TAIL .. TAIL .. TAIL },
  { 0xF4, 0xF4, "^[\128-\143]" .. TAIL .. TAIL },
}

local REST = {}
for _, sequence in ipairs(SEQUENCES) do
  for first = sequence[1], sequence[2] do
    REST[first] = sequence[3]
  end
end

-- The first byte that is not part of well-formed UTF-8.
local function bad_utf8(s)
  local i = find(s, "[\128-\255]")
  while i do
    local pattern = REST[byte(s, i)]
    local _, last = find(s, pattern or "^$", i + 1)
    if not pattern or not last then
      return i
    end
    i = find(s, "[\128-\255]", last + 1)
  end
  return nil
end

--- Reads JSON text. Arrays are marked, null is sandbox_json.null, and a number that this Lua cannot hold as it was
--- written (`1e+15`, `42.0`, more than 2^53) becomes a table with its digits as `literal`.
---@param s string
---@return boolean ok
---@return any value, or what is wrong
function sandbox_json.read(s)
  local bad = bad_utf8(s)
  if bad then
    return false, ("bytes that are not UTF-8 at byte %d"):format(bad)
  end
  local ok, value, rest = pcall(read_value, s, 1, 1)
  if not ok then
    if type(value) == "table" and value.json then
      return false, value.json
    end
    error(value, 0)
  end
  local more = find(s, "[^ \t\r\n]", rest)
  if more then
    return false, ("more text after the value at byte %d"):format(more)
  end
  return true, value
end

local function written_string(s)
  s = s:gsub('[%c"\\]', function(c)
    return (c == '"' or c == "\\") and "\\" .. c or format("\\u%04x", byte(c))
  end)
  return '"' .. s .. '"'
end

local function written_number(n)
  if n ~= n or n == math.huge or n == -math.huge then
    return "null"
  elseif n % 1 == 0 then
    -- Beyond 2^53 only an integer of Lua 5.3 and later has all its digits.
    return (n >= EXACT or n <= -EXACT) and tostring(n):find "^-?%d+$" and tostring(n) or format("%.0f", n)
  end
  return (format("%.17g", n):gsub(",", "."))
end

--- Writes JSON text, the names of an object in alphabetical order. A table with items 1 to n is an array.
---@param value any
---@return string
function sandbox_json.write(value)
  local kind = type(value)
  if kind == "string" then
    return written_string(value)
  elseif kind == "number" then
    return written_number(value)
  elseif kind == "boolean" then
    return tostring(value)
  elseif kind ~= "table" then
    return "null"
  elseif getmetatable(value) == Literal then
    return value.literal
  end
  local parts = {}
  if sandbox_json.is_array(value) or value[1] ~= nil then
    for i, item in ipairs(value) do
      parts[i] = sandbox_json.write(item)
    end
    return "[" .. table.concat(parts, ",") .. "]"
  end
  local names = {}
  for name in pairs(value) do
    names[#names + 1] = tostring(name)
  end
  table.sort(names)
  for i, name in ipairs(names) do
    local item = value[name]
    if item == nil then
      item = value[tonumber(name)]
    end
    parts[i] = written_string(name) .. ":" .. sandbox_json.write(item)
  end
  return "{" .. table.concat(parts, ",") .. "}"
end

return sandbox_json
