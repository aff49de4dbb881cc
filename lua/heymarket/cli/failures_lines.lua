--- The failures file of an import of JSON Lines: the objects that were not accepted, with why beside their own members.
local failures_lines = {}

local json = require "heymarket.util.json"
local rows = require "heymarket.rows"

local byte, find, match, sub = string.byte, string.find, string.match, string.sub

local OWN = { "_row", "_outcome", "_field", "_message" }
local is_own = {}
for _, name in ipairs(OWN) do
  is_own[name] = true
end

local BACKSLASH, QUOTE = byte "\\", byte '"'

-- The place of the quote that ends the string whose first quote is at `at`.
local function string_end(line, at)
  repeat
    at = find(line, '["\\]', at + 1)
    local is_end = byte(line, at) == QUOTE
    if byte(line, at) == BACKSLASH then
      at = at + 1
    end
  until is_end
  return at
end

-- The name of a member, as its decoder reads it.
local function name_of(member)
  local first = find(member, '"', 1, true)
  local written = sub(member, first, string_end(member, first))
  return find(written, "\\", 1, true) and select(2, json.decode(written)) or sub(written, 2, -2)
end

-- The members of an object in well-formed JSON, as they are written, without our own of an earlier run.
local function members_of(line)
  local members, depth = {}, 0
  local from = find(line, "{", 1, true) + 1
  local at = from
  while depth >= 0 do
    at = find(line, '["%[%]{},]', at)
    local character = sub(line, at, at)
    if character == '"' then
      at = string_end(line, at)
    elseif character == "[" or character == "{" then
      depth = depth + 1
    elseif character ~= "," then
      depth = depth - 1
    end
    if depth < 0 or character == "," and depth == 0 then
      local member = sub(line, from, at - 1)
      if find(member, "%S") and not is_own[name_of(member)] then
        members[#members + 1] = member
      end
      from = at + 1
    end
    at = at + 1
  end
  return members
end

-- Text as JSON can hold it: bytes that are not UTF-8 become U+FFFD.
local function as_utf8(text)
  return (
    text:gsub("[\128-\255][\128-\191]*", function(piece)
      return not rows.quote(piece) and "\239\191\189" or nil
    end)
  )
end

local function is_object(line)
  return find(line, "^%s*{") ~= nil and json.read_marked(line, #line) ~= nil
end

--- Is this the start of such a file?
function failures_lines.is_start(start)
  local line = match(start, "^[\239\187\191]*([^\r\n]+)")
  local ok, value = json.decode(line or "")
  if not ok or type(value) ~= "table" then
    return false
  end
  return value._row ~= nil and value._outcome ~= nil and value._field ~= nil and value._message ~= nil
end

--- A line of the file.
---@param line string what the input has, or its beginning
---@param own string[] row, outcome, field and message
---@return string
function failures_lines.encode(line, own)
  local is_readable = is_object(line)
  local members = is_readable and members_of(line) or {}
  for i, value in ipairs(own) do
    members[#members + 1] = ('"%s":%s'):format(OWN[i], i == 1 and value or json.encode(value))
  end
  if not is_readable then
    members[#members + 1] = '"_line":' .. json.encode(as_utf8(line))
  end
  return "{" .. table.concat(members, ",") .. "}\n"
end

return failures_lines
