--- The failures file of an import: the rows that were not accepted, as CSV or JSON Lines as the input
--- is, that can be corrected and imported again.
local failures = {}

local csv = require "heymarket.csv"
local failures_lines = require "heymarket.cli.failures_lines"
local reasons = require "heymarket.cli.reasons"

local OWN = { "_row", "_outcome", "_field", "_message" }
-- A header that ends with them. A quote before them is one that is never closed: where such a header ends is not known.
local OWN_HEADER = '^[^"]*([,;\t|])' .. table.concat(OWN, "%1") .. "$"

local is_own = {}
for _, name in ipairs(OWN) do
  is_own[name] = true
end

-- The line that names the delimiter, with the mark that may stand before it.
local SEPARATOR_LINE = '^[\239\187\191]*"?[sS][eE][pP]=[^\r\n]"?\r?\n?'

--- Is this the start of a failures file? A spreadsheet may have saved it with quotes, or with another delimiter.
function failures.is_start(start)
  if failures_lines.is_start(start) then
    return true
  end
  start = start:gsub(SEPARATOR_LINE, "")
  local unquoted = start:gsub('"([^"]*)"', function(cell)
    return (cell:gsub("[,;\t|\r\n]", " "))
  end)
  return unquoted:match("^[^\r\n]*"):find(OWN_HEADER) ~= nil
end

local Failures = {}
Failures.__index = Failures

-- Writes a record: the cells that are in the columns of the input, and others.
local function write(self, cells, others)
  local record = {}
  for i, at in ipairs(self.kept) do
    record[i] = cells[at] or ""
  end
  for _, cell in ipairs(others) do
    record[#record + 1] = cell
  end
  self.file:write(csv.encode_row(record, self.delimiter))
end

--- Makes the writer of a failures file. `file` is one of output_file. `source` is the input, whose columns, delimiter
--- and byte-order mark it gets: the spreadsheet that opens the input opens this file as well. `overwrite`: does the
--- import overwrite what exists?
function failures.new(file, source, overwrite)
  local columns = source.columns
  local kept = {} -- columns of an earlier failures file give way to the new ones
  for i, name in ipairs(columns) do
    kept[#kept + 1] = not is_own[name] and i or nil
  end
  local self = { file = file, columns = columns, kept = kept, overwrite = overwrite, has_rows = false }
  self.delimiter, self.is_lines = source.delimiter, source.format == "jsonl"
  if source.has_mark or source.encoding then
    file:write "\239\187\191" -- the mark in UTF-8
  end
  if source.has_separator then
    file:write("sep=" .. source.delimiter .. "\n")
  end
  if not self.is_lines then
    write(self, columns, OWN)
  end
  return setmetatable(self, Failures)
end

-- A spreadsheet must not take what we write ourselves for a formula.
local function no_formula(cell)
  return cell:find "^[=+%-@]" and " " .. cell or cell
end

function Failures:write_row(item, field, message)
  local row = item.row or {}
  local ragged = #row ~= #self.columns
  if ragged then
    message = message .. "; when it is corrected, delete the cells after this one"
  end
  local own = { tostring(item.position or item.index), item.outcome, no_formula(field), no_formula(message) }
  -- A ragged row keeps its wrong number of cells, so that it is not imported as it is, and every column its name.
  for i = #self.columns + 1, ragged and math.max(#row, #self.columns + 1) or 0 do
    own[#own + 1] = row[i] or ""
  end
  write(self, row, own)
end

function Failures:write_line(item, field, message)
  local own = { tostring(item.position or item.index), item.outcome, field, message }
  self.file:write(failures_lines.encode(item.row or "", own))
end

--- Writes the row of an item. Unsent rows alone do not replace what an earlier run wrote: they are there, too, where
--- the import is refused before it begins, as with a journal of another input.
function Failures:write(item)
  local field, message = reasons.explain(item, self.overwrite)
  local write_one = self.is_lines and self.write_line or self.write_row
  write_one(self, item, field, message)
  self.has_rows = true
  if item.outcome ~= "unsent" then
    self.file:begin()
  end
end

--- Are there rows in the file, and all of them?
function Failures:holds_rows()
  return self.has_rows and self.file:is_complete()
end

return failures
