--- Text: is it well-formed UTF-8, does it hold control characters, and which known name is nearest to a misspelt one.
local text = {}

local byte, find = string.byte, string.find

local function is_tail(b)
  return b and b >= 0x80 and b <= 0xBF
end

-- Length of the well-formed UTF-8 sequence at `i` (RFC 3629, table in section 4), or nil. Overlong forms, surrogates and
-- code points above U+10FFFF are not well-formed.
local function sequence_length(s, i)
  local a, b, c, d = byte(s, i, i + 3)
  if a >= 0xC2 and a <= 0xDF then
    return is_tail(b) and 2
  elseif a >= 0xE0 and a <= 0xEF then
    local low, high = a == 0xE0 and 0xA0 or 0x80, a == 0xED and 0x9F or 0xBF
    return b and b >= low and b <= high and is_tail(c) and 3
  elseif a >= 0xF0 and a <= 0xF4 then
    local low, high = a == 0xF0 and 0x90 or 0x80, a == 0xF4 and 0x8F or 0xBF
    return b and b >= low and b <= high and is_tail(c) and is_tail(d) and 4
  end
  return nil
end

--- Where does a string stop being well-formed UTF-8?
---@param s string
---@return integer? position first byte that is not part of a well-formed sequence; nil when there is none
---@return boolean c1 does it hold a C1 control character (U+0080 to U+009F)?
function text.invalid_utf8(s)
  local c1 = false
  local i = find(s, "[\128-\255]")
  while i do
    local length = sequence_length(s, i)
    if not length then
      return i, c1
    end
    if length == 2 and byte(s, i) == 0xC2 and byte(s, i + 1) < 0xA0 then
      c1 = true
    end
    i = find(s, "[\128-\255]", i + length)
  end
  return nil, c1
end

-- Levenshtein distance of two short words, transpositions counted as one (optimal string alignment), since that is the
-- commonest slip of a typist.
local function distance(a, b)
  local before, last, row = {}, {}, {}
  for j = 0, #b do
    last[j] = j
  end
  for i = 1, #a do
    row = { [0] = i }
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

--- "; did you mean "first"?", or nothing.
---@param name any
---@param known string[]
---@return string
function text.did_you_mean(name, known)
  local nearest = text.nearest(name, known)
  return nearest and ('; did you mean "%s"?'):format(nearest) or ""
end

return text
