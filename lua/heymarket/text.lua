--- Text for messages: made safe for one line, and the known name that is nearest to a misspelt one.
local text = {}

local core = require "heymarket.core"

local byte, find, match, sub = string.byte, string.find, string.match, string.sub
local visible = core.visible

local MAX_SHOWN = 60 -- bytes of a name that somebody gave

--- Text from anywhere, made safe for one line of a terminal or a log. Everything that is shown goes through this.
---
--- A run of line breaks and tabs becomes one blank. Every other character that shows nothing, or changes how the text
--- around it shows (control and format characters), is named by its code point, such as <U+202E>; a byte that is not
--- UTF-8 is named as <0xFF>.
---@param value any
---@return string
function text.one_line(value)
  if type(value) ~= "string" then
    local ok, made = pcall(tostring, value)
    -- On Lua 5.1 and LuaJIT, __tostring may give anything.
    value = ok and type(made) == "string" and made or "a " .. type(value) .. " that cannot be shown"
  end
  return visible(value, "line")
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

-- Levenshtein distance of two short words, transpositions counted as one (optimal string alignment), since that is the
-- commonest slip of a typist.
local function distance(a, b)
  local before, last = {}, {}
  for j = 0, #b do
    last[j] = j
  end
  for i = 1, #a do
    local row = { [0] = i }
    for j = 1, #b do
      local cost = byte(a, i) == byte(b, j) and 0 or 1
      row[j] = math.min(last[j] + 1, row[j - 1] + 1, last[j - 1] + cost)
      if i > 1 and j > 1 and byte(a, i) == byte(b, j - 1) and byte(a, i - 1) == byte(b, j) then
        row[j] = math.min(row[j], before[j - 2] + 1)
      end
    end
    before, last = last, row
  end
  return last[#b]
end

local function simplified(name)
  return (name:lower():gsub("[%s_%-]", ""))
end

--- The known name that a misspelt one most likely means.
---@param name any
---@param known string[]
---@return string? nearest nil when none is near enough to be a help
function text.nearest(name, known)
  if type(name) ~= "string" or #name > 60 then
    return nil
  end
  local wanted = simplified(name)
  local best, best_distance
  for _, candidate in ipairs(known) do
    local plain = simplified(candidate)
    local d = distance(wanted, plain)
    -- "first_name" is far from "first" by letters, but it begins with it.
    if d > 2 and #plain >= 3 and #wanted >= 3 and (find(wanted, plain, 1, true) or find(plain, wanted, 1, true)) then
      d = 2
    end
    if d <= math.max(1, math.floor(#wanted / 3)) or d <= 2 and #wanted > 3 then
      if not best or d < best_distance then
        best, best_distance = candidate, d
      end
    end
  end
  return best
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
  return text.one_line((text.beginning(name, MAX_SHOWN)))
end

--- "; did you mean "first"?", or nothing.
---@param name any
---@param known string[]
---@return string
function text.did_you_mean(name, known)
  local nearest = text.nearest(name, known)
  return nearest and ('; did you mean "%s"?'):format(nearest) or ""
end

return text
