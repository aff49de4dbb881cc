--- The failures file of an import: the rows that were not accepted, as CSV that can be corrected and imported again.
local failures = {}

local csv = require "heymarket.csv"
local output_file = require "heymarket.cli.output_file"
local reasons = require "heymarket.cli.reasons"

local OWN = { "_row", "_outcome", "_field", "_message" }
local UTF8_MARK = "\239\187\191"

local is_own = {}
for _, name in ipairs(OWN) do
  is_own[name] = true
end

-- Is this the start of a failures file? A spreadsheet may have saved it with quotes, or with another delimiter.
local function has_own_header(start)
  local unquoted = start:gsub("^" .. UTF8_MARK, ""):gsub('"([^"]*)"', function(cell)
    return (cell:gsub("[,;\t|\r\n]", " "))
  end)
  local header = unquoted:match "^[^\r\n]*"
  for _, delimiter in ipairs { ",", ";", "\t", "|" } do
    local own = delimiter .. table.concat(OWN, delimiter)
    if (delimiter .. header):sub(-#own) == own then
      return not header:find('"', 1, true) -- a quote that is never closed
    end
  end
  return false
end

local Failures = {}
Failures.__index = Failures

--- Opens a failures file as output_file.open does. `columns` is the header of the input; `overwrite`: does the import
--- overwrite what exists? Gives the file, or nil and a failure.
function failures.open(path, columns, overwrite, on_kept)
  local file, problem = output_file.open(path, has_own_header, on_kept)
  if not file then
    return nil, problem
  end
  local kept = {} -- columns of an earlier failures file give way to the new ones
  for i, name in ipairs(columns) do
    if not is_own[name] then
      kept[#kept + 1] = i
    end
  end
  local made = { file = file, columns = columns, kept = kept, overwrite = overwrite, count = 0, waiting = {} }
  return setmetatable(made, Failures)
end

-- A record of the cells that are in the columns of the input, and of own cells.
function Failures:record(cells, own)
  local record = {}
  for i, at in ipairs(self.kept) do
    record[i] = cells[at] or ""
  end
  for _, cell in ipairs(own) do
    record[#record + 1] = cell
  end
  return record
end

--- Empties the file and writes its header. May be called twice.
function Failures:begin()
  if self.file:begin() then
    self.file:write(csv.encode_row(self:record(self.columns, OWN)))
  end
end

-- A spreadsheet must not take what we write ourselves for a formula.
local function no_formula(cell)
  return cell:find "^[=+%-@]" and " " .. cell or cell
end

local function write(self, item)
  self:begin()
  if self.file:problem() then
    return
  end
  local row = item.row or {}
  local field, message = reasons.explain(item, self.overwrite)
  local ragged = #row ~= #self.columns
  if ragged then
    message = message .. "; when it is corrected, delete the cells after this one"
  end
  local position = tostring(item.position or item.index)
  local cells = self:record(row, { position, item.outcome, no_formula(field), no_formula(message) })
  -- A ragged row keeps its wrong number of cells, so that it is not imported as it is, and every column its name.
  for i = #self.columns + 1, ragged and math.max(#row, #self.columns + 1) or 0 do
    cells[#cells + 1] = row[i] or ""
  end
  self.count = self.count + 1
  self.file:write(csv.encode_row(cells))
end

--- Writes the row of an item. That of an unsent one waits until `finish` while nothing else is in the file.
function Failures:write(item)
  if item.outcome == "unsent" and not self.file:has_begun() then
    self.waiting[#self.waiting + 1] = item
  else
    write(self, item)
  end
end

--- Writes what waits and closes the file. Where the import was refused before it began, as with a journal of another
--- input, what an earlier run wrote there stays.
function Failures:finish(is_refused)
  if not is_refused or self.file:has_begun() then
    self:begin()
    for _, item in ipairs(self.waiting) do
      write(self, item)
    end
  end
  self.file:close()
end

--- Number of rows written.
function Failures:rows()
  return self.count
end

--- The file itself, see output_file.
function Failures:output()
  return self.file
end

return failures
