--- Misspelt names: which known one is meant.
local spelling = {}

local byte, find = string.byte, string.find

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
function spelling.nearest(name, known)
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

return spelling
