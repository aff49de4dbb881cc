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

-- The first record: up to a line end that is not within quotes.
local function first_record(start)
  local quotes, from, stop = 0, 1
  repeat
    stop = start:find("[\r\n]", from) or #start + 1
    local _, count = start:sub(from, stop - 1):gsub('"', "")
    quotes = quotes + count
    from = stop + 1
  until quotes % 2 == 0 or stop > #start
  return start:sub(1, stop - 1)
end

-- Is this the start of a failures file? A spreadsheet may have saved it with quotes, or with another delimiter.
local function has_own_header(start)
  local header = first_record(start):gsub("^" .. UTF8_MARK, ""):gsub('"([^"]*)"', function(cell)
    return (cell:gsub("[,;\t|]", " "))
  end)
  for _, delimiter in ipairs { ",", ";", "\t", "|" } do
    local own = delimiter .. table.concat(OWN, delimiter)
    if (delimiter .. header):sub(-#own) == own then
      return true
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
  local made = { file = file, columns = columns, kept = kept, overwrite = overwrite, count = 0 }
  return setmetatable(made, Failures)
end

-- The cells of a record that are in the columns of the input.
function Failures:kept_cells(record)
  local cells = {}
  for i, at in ipairs(self.kept) do
    cells[i] = record[at] or ""
  end
  return cells
end

--- Empties the file and writes its header. May be called twice.
function Failures:begin()
  if self.file:begin() then
    local cells = self:kept_cells(self.columns)
    for _, name in ipairs(OWN) do
      cells[#cells + 1] = name
    end
    self.file:write(csv.encode_row(cells))
  end
end

-- A spreadsheet must not take what we write ourselves for a formula.
local function no_formula(cell)
  return cell:find "^[=+%-@]" and " " .. cell or cell
end

--- Writes the row of an item.
function Failures:write(item)
  self:begin()
  if self.file:problem() then
    return
  end
  local row = item.row or {}
  local cells = self:kept_cells(row)
  local field, message = reasons.explain(item, self.overwrite)
  local ragged = #row ~= #self.columns
  if ragged then
    message = message .. "; when it is corrected, delete the cells after this one"
  end
  local position = tostring(item.position or item.index)
  for _, cell in ipairs { position, item.outcome, no_formula(field), no_formula(message) } do
    cells[#cells + 1] = cell
  end
  -- A ragged row keeps its wrong number of cells, so that it is not imported as it is, and every column its name.
  for i = #self.columns + 1, ragged and math.max(#row, #self.columns + 1) or 0 do
    cells[#cells + 1] = row[i] or ""
  end
  self.count = self.count + 1
  self.file:write(csv.encode_row(cells))
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
