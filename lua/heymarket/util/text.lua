--- Text: trimmed, cut at a character, and made safe for one line of a message.
local text = {}

local rows = require "heymarket.rows"

local byte, find, match, sub = string.byte, string.find, string.match, string.sub
local visible = rows.visible

local MAX_SHOWN = 60 -- bytes of a name that somebody gave
local MAX_RAISED = 500 -- bytes of what somebody raised

-- Any value as text, even one whose __tostring raises.
local function as_text(value)
  if type(value) == "string" then
    return value
  end
  local ok, made = pcall(tostring, value)
  -- On Lua 5.1 and LuaJIT, __tostring may give anything.
  return ok and type(made) == "string" and made or "a " .. type(value) .. " that cannot be shown"
end

--- The UTF-8 of a code point.
---@param point integer below 0x110000
---@return string
function text.utf8_of(point)
  if point < 0x80 then
    return string.char(point)
  end
  local bytes, room = "", 64 -- the first byte has room for less and less
  while point >= room do
    bytes = string.char(0x80 + point % 64) .. bytes
    point, room = math.floor(point / 64), #bytes == 1 and 32 or room / 2
  end
  return string.char(256 - 2 * room + point) .. bytes
end

--- Characters beyond ASCII that show nothing: " " for a blank, "" for a mark that takes no room.
---@type table<string, string>
text.unseen = rows.unseen()

-- What is trimmed: blanks of ASCII, and those characters.
local TRIMMED = { [" "] = true, ["\t"] = true, ["\n"] = true, ["\v"] = true, ["\f"] = true, ["\r"] = true }
-- Bytes with which one of them begins.
local BEGINS_TRIMMED = {}
for character in pairs(text.unseen) do
  TRIMMED[character] = true
end
for character in pairs(TRIMMED) do
  BEGINS_TRIMMED[byte(character)] = true
end

-- Is it plain at the first look that there is nothing to trim? Nearly always it is.
local function is_trimmed(value)
  local last = byte(value, -1)
  return not BEGINS_TRIMMED[byte(value)]
    and not BEGINS_TRIMMED[last]
    and (last < 0x80 or not BEGINS_TRIMMED[byte(value, -2)] and not BEGINS_TRIMMED[byte(value, -3)])
end

-- Bytes of the character to trim that begins at a place, or ends there; nil where there is none.
local function width_from(value, first)
  for width = 1, 3 do
    if TRIMMED[sub(value, first, first + width - 1)] then
      return width
    end
  end
end

local function width_up_to(value, last)
  for width = 1, math.min(3, last) do
    if TRIMMED[sub(value, last - width + 1, last)] then
      return width
    end
  end
end

--- Text without the blanks and invisible marks at its ends. Takes linear time, even for a megabyte of blanks.
---@param value string
---@return string
function text.trim(value)
  if value == "" or is_trimmed(value) then
    return value
  end
  local first, last = 1, #value
  local width = width_from(value, first)
  while width do
    first = first + width
    width = width_from(value, first)
  end
  width = width_up_to(value, last)
  while width and last >= first do
    last = last - width
    width = width_up_to(value, last)
  end
  return sub(value, first, last)
end

--- Text from anywhere, made safe for one line of a terminal or a log. Everything that is shown goes through this.
---
--- A run of line breaks and tabs becomes one blank. Every other character that shows nothing, or changes how the text
--- around it shows (control and format characters), is named by its code point, such as <U+202E>; a byte that is not
--- UTF-8 is named as <0xFF>.
---@param value any
---@return string
function text.one_line(value)
  return visible(as_text(value), "line")
end

-- Invisible characters that stand in copied text most often.
local CHARACTER_NAMES = {
  ["\194\160"] = "a no-break space",
  ["\194\173"] = "a soft hyphen",
  ["\226\128\139"] = "a zero width space",
  ["\226\128\140"] = "a zero width non-joiner",
  ["\226\128\141"] = "a zero width joiner",
  ["\226\128\142"] = "a left-to-right mark",
  ["\226\128\143"] = "a right-to-left mark",
  ["\226\128\168"] = "a line separator",
  ["\239\187\191"] = "a byte-order mark",
  ["\t"] = "a tab",
  ["\n"] = "a line feed",
  ["\r"] = "a carriage return",
  ["\0"] = "a NUL",
}

local function code_point(character)
  local length = #character
  local point = byte(character) % (length == 1 and 0x80 or 2 ^ (7 - length))
  for i = 2, length do
    point = point * 64 + byte(character, i) % 64
  end
  return point
end

--- A character as a message names it: "x" where it can be seen and typed, else its code point.
---@param character string one character in UTF-8, or bytes that are none
---@return string
function text.character(character)
  if find(character, "^[!-~]$") then
    return '"' .. character .. '"'
  elseif #character > 4 or not rows.quote(character) then
    return ("the byte 0x%02X"):format(byte(character))
  end
  local point = ("U+%04X"):format(code_point(character))
  local name = CHARACTER_NAMES[character]
  if not name then
    name = character ~= " " and visible(character, "value") == character and '"' .. character .. '"'
  end
  return name and ("%s (%s)"):format(point, name) or point
end

--- The beginning of a value that somebody gave, made safe for a message. As blanks matter in a value, line breaks, tabs
--- and every blank but the common one are named by code point as well.
---@param value string
---@param length integer bytes that are shown at most
---@return string shown
---@return boolean cut was anything left out?
function text.value(value, length)
  local start, cut = text.beginning(value, length)
  return visible(start, "value"), cut
end

--- JSON that is safe to print: the characters that one_line names are escaped, and mean what they meant.
---@param encoded string well-formed JSON
---@return string
function text.safe_json(encoded)
  return visible(encoded, "json")
end

--- The beginning of a text, not cut in the middle of a character.
---@param value string
---@param length integer bytes
---@return string beginning
---@return boolean cut was anything left out?
function text.beginning(value, length)
  if #value <= length then
    return value, false
  end
  local start = sub(value, 1, length)
  -- A sequence that goes on after the cut is left out; bytes that are not UTF-8 stay.
  if find(value, "^[\128-\191]", length + 1) then
    start = match(start, "^(.-)[\192-\255][\128-\191]?[\128-\191]?$") or start
  end
  return start, true
end

--- A text of bounded length: the beginning of a longer one, with an ellipsis.
---@param value string
---@param length integer bytes
---@return string
function text.shortened(value, length)
  local start, cut = text.beginning(value, length)
  return cut and start .. "…" or start
end

--- What was raised as an error, for a message: one line of bounded length. Any value may be raised.
---@param value any
---@return string
function text.raised(value)
  return visible(text.shortened(as_text(value), MAX_RAISED), "line")
end

--- A name that somebody gave, fit for a message: short, on one line, without invisible characters.
---@param name any
---@return string
function text.shown(name)
  local kind = type(name)
  if kind == "number" or kind == "boolean" then
    return tostring(name)
  elseif kind ~= "string" then
    return "a " .. kind
  end
  return (text.value(name, MAX_SHOWN))
end

return text
