--- Dialects of CSV: which delimiter a file has.
local dialect = {}

local kinds = require "heymarket.option_kinds"
local rows = require "heymarket.rows"

local find, lower, match, sub = string.find, string.lower, string.match, string.sub

-- Those that are looked for. The first one counts where the header fits several equally well, or none.
local DELIMITERS = { ",", ";", "\t", "|" }

--- The delimiter that a user names.
---@param name string the character, or its name
---@return string? delimiter
function dialect.delimiter(name)
  return kinds.DELIMITERS[name]
end

dialect.MAX_SEPARATOR = 9 -- bytes of the line that names the delimiter, with quotes and CR LF

--- Looks for the line by which Excel is told the delimiter, such as `sep=;`.
---@param start string the first MAX_SEPARATOR bytes of the file, or fewer
---@param at_end boolean does the file end with them?
---@return string|nil|false character nil where there is no such line; false where more bytes are needed to know it
---@return integer? length of the line with its line end
function dialect.separator(start, at_end)
  local opening = lower(match(start, '^"?(.?.?.?.?)'))
  if opening ~= sub("sep=", 1, #opening) then
    return nil
  elseif #start < dialect.MAX_SEPARATOR and not at_end then
    return false
  end
  local quote, character, line_end = match(start, '^("?)....([^\r\n])%1(\r?\n?)')
  local length = character and 2 * #quote + #"sep=;" + #line_end
  if not character or line_end == "" and length < #start then
    return nil -- the line goes on, so it is a header
  end
  return character, length
end

-- Is the first array greater, compared item by item?
local function is_greater(a, b)
  for i = 1, #a do
    if a[i] ~= b[i] then
      return a[i] > b[i]
    end
  end
  return false
end

--- Finds the delimiter by the first record: that one counts with which its quotes are sound, then with which it has the
--- most names of known columns, then the most cells.
---@param buffer string
---@param from integer where the record begins
---@param at_end boolean is the end of the buffer that of the file?
---@param max_record integer bytes of a record at most
---@param count_known fun(names: string[]): integer how many of these are names of known columns
---@return string? delimiter nil where more has to be read
function dialect.detect(buffer, from, at_end, max_record, count_known)
  local found, best = DELIMITERS[1], { -1, 0, 0 }
  if from > #buffer then
    return at_end and found or nil
  end
  for _, delimiter in ipairs(DELIMITERS) do
    local cells, after, verdicts = rows.csv_record(buffer, from, at_end, delimiter, "any")
    if not cells and #buffer - from < max_record then
      return nil
    end
    if cells and after - from <= max_record then
      local score = { verdicts and 0 or 1, count_known(cells), #cells }
      if is_greater(score, best) then
        found, best = delimiter, score
      end
    end
  end
  return found
end

--- Would this cell, written first in a file without quotes, be taken for the line that names the delimiter?
---@param cell string
---@return boolean
function dialect.is_separator(cell)
  return find(cell, "^[sS][eE][pP]=") ~= nil
end

return dialect
