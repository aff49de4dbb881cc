--- Reads records of CSV: bytes become cells, or entries of an import where a row is ordinary. It knows no fields.
---
--- Nothing is read leniently where that could change a customer's data: what is not clearly one thing is a mistake of
--- its row, and the rows around it are still read. The bytes are looked at in csrc/rows/csv.c.
local reader = {}

local dialect = require "heymarket.csv.dialect"
local input = require "heymarket.csv.input"
local rows = require "heymarket.rows"
local text = require "heymarket.util.text"

local byte, find, sub = string.byte, string.find, string.sub

local Reader = input.extend()

-- How often a character stands in a text.
local function count_of(cell, character)
  local count, at = 0, find(cell, character, 1, true)
  while at do
    count = count + 1
    at = find(cell, character, at + 1, true)
  end
  return count
end

function Reader:add_issue(issues, column, code, values)
  issues = issues or {}
  issues[#issues + 1] = { field = self.columns[column] or "cell " .. column, code = code, values = values }
  return issues
end

local QUOTE_CODES = { stray = "csv_stray_quote", bare = "csv_bare_quote" }

-- Code and values of what is wrong with a cell in this row. The cell goes from one line of the file to another.
local function judge(verdict, content, row, first, last)
  if verdict == "bare" and not find(content, '"', 1, true) then
    return "csv_stray_break"
  elseif verdict == "unclosed" then
    -- The line break at the end of the file begins no line.
    return "csv_unclosed_quote", { row = row, last = find(content, "[\r\n]$") and last - 1 or last }
  end
  return QUOTE_CODES[verdict], first < last and { first = first, last = last } or {}
end

-- The issues of the cells of the next record about which there is a verdict, by number of the cell.
function Reader:judge_cells(cells, verdicts)
  local issues
  local line = self.row + 1 + self.inner_breaks
  for i, cell in ipairs(cells) do
    local first = line
    line = line + count_of(cell, self.line_end)
    if verdicts[i] then
      issues = self:add_issue(issues, i, judge(verdicts[i], cell, self.row + 1, first, line))
    end
  end
  return issues
end

-- Reads the next record, blank or not. Gives its cells, its issues and whether it is blank; nil at the end of the
-- input; false where the buffer ends before it. `is_patient` wants one byte behind the record, to tell CR from CR LF.
function Reader:scan(is_patient)
  if self.failed then
    error(self.failed, 0)
  end
  local cells, after, verdicts, is_blank
  if self.next <= #self.buffer then
    cells, after, verdicts, is_blank = rows.csv_record(self.buffer, self.next, self.at_end, self.delimiter, self.ending)
  elseif self.at_end then
    return nil
  end
  if (after or #self.buffer + 1) - self.next > self.max_record then
    self:fail("csv_record_too_long", { row = self.row + 1, limit = self.max_record })
  elseif not cells or is_patient and after > #self.buffer and not self.at_end then
    return false
  end
  local issues = verdicts and self:judge_cells(cells, verdicts)
  self.next = after
  self.row = self.row + 1
  return cells, issues, is_blank
end

-- Has a quoted cell swallowed rows of this width? Then one of its lines holds as many delimiters as such a row. Where a
-- row has none or one, as any line of text may have, it takes two such lines.
function Reader:has_rows(cell, width)
  local found, from = 0, 1
  repeat
    local at = find(cell, self.line_end, from, true)
    if count_of(sub(cell, from, at and at - 1), self.delimiter) == width - 1 then
      found = found + 1
    end
    from = at and at + 1
  until not from
  return found >= (width <= 2 and 2 or 1)
end

-- The same for rows of this file. In a failures file, they are rows of the file that it came from: without the columns
-- that begin with _.
function Reader:has_swallowed(cell)
  local width, own = self.width, self.width
  for _, name in ipairs(self.columns) do
    own = own - (sub(name, 1, 1) == "_" and 1 or 0)
  end
  return self:has_rows(cell, width) or own < width and self:has_rows(cell, own)
end

-- Looks at the cells of a record of several lines, and counts these. Gives the issues.
function Reader:check_lines(cells, issues)
  -- For a cell with misplaced quotes its own issue says how far it goes.
  local is_allowed = self.allow_multiline_rows or issues ~= nil
  local line = self.row + self.inner_breaks
  for i = 1, #cells do
    local cell = cells[i]
    local breaks = count_of(cell, self.line_end)
    line = line + breaks
    if breaks > 0 and not is_allowed and self:has_swallowed(cell) then
      issues = self:add_issue(issues, i, "csv_swallowed_rows", { last = line })
    end
  end
  self.inner_breaks = line - self.row
  return issues
end

--- Reads the next record that is not blank, whatever it holds.
---@return string[]|nil|false cells nil at the end of the input; false where more input has to be read first, see
--- `fill`. Raises a failure of kind "source" where the record cannot be read
---@return heymarket.Issue[]? issues what is wrong with its quotes, its lines or the number of its cells; that number is
--- named by an issue without a field
---@return string? origin its bytes
function Reader:read_record()
  local cells, issues, is_blank, first
  repeat
    first = self.next
    cells, issues, is_blank = self:scan()
    if not cells then
      return cells
    end
    issues = self:check_lines(cells, issues)
    self.has_blank = self.has_blank or is_blank
  until not is_blank
  if #cells ~= self.width then
    issues = issues or {}
    issues[#issues + 1] = { code = "csv_cell_count", values = { count = #cells, columns = self.width } }
  end
  return cells, issues, sub(self.buffer, first, self.next - 1)
end

--- Adds ordinary rows to a lot, up to the first row that is not ordinary or not whole in the buffer.
---@param lot heymarket.Lot
---@param n integer at most so many
---@param max_bytes integer their bodies have no more bytes
---@param default_country string|boolean|nil see heymarket.contact.phone
---@return integer taken
---@return integer left_out in how many of these rows a false was left out
---@return boolean is_cut does the buffer end before the next row?
---@return boolean is_full is the body of the next row too large?
function Reader:take(lot, n, max_bytes, default_country)
  local taken, after, left_out, is_cut, is_full =
    self.ordinary:take(self.buffer, self.next, n, max_bytes, default_country, lot)
  self.next, self.row = after, self.row + taken
  return taken, left_out, is_cut and not self.at_end, is_full
end

--- Does `take` ever add something to a lot?
---@return boolean
function Reader:gives_lots()
  return self.ordinary ~= nil
end

--- Was a blank row read?
---@return boolean
function Reader:is_after_blank()
  return self.has_blank
end

--- The cells of entries, from the bytes of their records.
---@param entries heymarket.Entry[]
---@return (string[]|false)[] by the place of the entry; false where it has no `origin`
function Reader:cells_of(entries)
  local cells = {}
  for i, entry in ipairs(entries) do
    cells[i] = entry.origin and (rows.csv_record(entry.origin, 1, true, self.delimiter, self.ending)) or false
  end
  return cells
end

--- Says which columns have a field, for `take`. To be called after `read_header`.
---@param columns table[]? see csrc/rows/csv_rows.c; nil where no row is ordinary
function Reader:set_fields(columns)
  self.ordinary = columns and rows.csv_rows(columns, self.width, self.max_record, self.delimiter, self.ending)
end

-- Reads the line that names the delimiter, if the file begins with one. It is no row of a spreadsheet, but a line.
function Reader:read_separator()
  local character, length
  repeat
    character, length =
      dialect.separator(sub(self.buffer, self.next, self.next + dialect.MAX_SEPARATOR - 1), self.at_end)
    if character == false then
      self:fill()
    end
  until character ~= false
  if character then
    self.next = self.next + length
    self.inner_breaks = 1
    self.has_separator = true
    self.delimiter = self.delimiter or dialect.delimiter(character)
    return not self.delimiter and { { code = "csv_separator", values = { character = text.shown(character) } } } or nil
  end
end

-- Finds the delimiter in the header, where neither the user nor the file names it.
function Reader:find_delimiter(count_known)
  while not self.delimiter do
    self.delimiter = dialect.detect(self.buffer, self.next, self.at_end, self.max_record, count_known)
    if not self.delimiter then
      self:fill()
    end
  end
end

-- Reads the first record whole.
function Reader:scan_first()
  local cells, issues, is_blank = self:scan(true)
  while cells == false do
    self:fill()
    cells, issues, is_blank = self:scan(true)
  end
  return cells, issues, is_blank
end

-- The cells of the first record, and what is wrong with it.
function Reader:read_first_record()
  local ok, cells, issues, is_blank = pcall(self.scan_first, self)
  -- This comes first, for in such a file the quotes and line ends mean nothing.
  local has_zero = find(sub(self.buffer, 1, self.next - 1), "\0", 1, true)
  if has_zero or not ok and find(self.buffer, "\0", 1, true) then
    self:fail("csv_zero_bytes", {})
  elseif not ok then
    error(cells, 0)
  elseif not cells then
    return nil, { { code = "csv_empty", values = { name = self.name } } }
  elseif is_blank then
    return nil, { { code = "csv_blank_header" } }
  end
  return cells, issues
end

--- Reads the header. To be called once, before any other record.
---@param count_known fun(names: string[]): integer how many of these are names of known columns
---@return string[]? columns their names, trimmed
---@return heymarket.Issue[]? issues
function Reader:read_header(count_known)
  self:read_mark()
  local cells, issues = nil, self:read_separator()
  if not issues then
    self:find_delimiter(count_known)
    cells, issues = self:read_first_record()
  end
  if issues then
    return nil, issues
  end
  -- A lone CR ends records only in a file whose header ends with one.
  if byte(self.buffer, self.next - 1) == byte "\r" then
    self.ending, self.line_end = "cr", "\r"
  else
    self.ending = "lf"
  end
  for i, name in ipairs(cells) do
    self.inner_breaks = self.inner_breaks + count_of(name, self.line_end)
    self.columns[i] = text.trim(name)
  end
  self.width = #cells
  return self.columns
end

--- Makes a reader.
---@param handle table|userdata has read(size)
---@param name string of the input, for messages
---@param settings table `chunk_size`, `max_record` (bytes), `allow_multiline_rows`, `delimiter` (else it is found)
function reader.new(handle, name, settings)
  local self = input.fields(handle, name, settings)
  self.allow_multiline_rows = settings.allow_multiline_rows
  self.columns = {}
  self.width = nil -- number of columns
  self.delimiter = settings.delimiter and dialect.delimiter(settings.delimiter)
  self.has_separator = false -- does a line of its own name the delimiter?
  self.ending = "any"
  self.line_end = "\n"
  self.inner_breaks = 0 -- line breaks within cells so far: rows and these give the lines of the file
  self.has_blank = false -- was a blank row read?
  self.ordinary = nil -- what reads ordinary rows, see csrc/rows/csv_rows.c
  return setmetatable(self, Reader)
end

return reader
