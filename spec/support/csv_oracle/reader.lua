--- Reads records of CSV: bytes become cells. It knows no contacts.
---
--- Nothing is read leniently where that could change a customer's data: what is not clearly one thing is a mistake of
--- its row, and the rows around it are still read.
local reader = {}

local failure = require "heymarket.failure"
local text = require "heymarket.util.text"

local byte, find, gsub, sub = string.byte, string.find, string.gsub, string.sub

local GROWTH = 64 * 1024 -- a record that is longer than this is read in growing steps
local COMMA = byte ","
local UTF8_MARK = "\239\187\191"

local Reader = {}
Reader.__index = Reader

-- A reader that failed stays failed: asked again, it must not look as if it had come to its end.
function Reader:fail(code, values)
  values.name = self.name
  self.failed = failure.make("source", code, values)
  error(self.failed, 0)
end

-- Adds the next chunk to the unread rest of the buffer.
function Reader:fill()
  local rest = sub(self.buffer, self.next)
  self.dropped = self.dropped + self.next - 1
  self.next = 1
  -- A long record is scanned anew after each step, so the steps grow.
  local chunk, problem = self.handle:read(#rest > GROWTH and #rest or self.chunk_size)
  if chunk == nil and problem ~= nil then
    self:fail("csv_unreadable", { problem = tostring(problem) })
  elseif chunk ~= nil and type(chunk) ~= "string" then
    self:fail("csv_not_text", { type = type(chunk) })
  end
  self.at_end = chunk == nil
  self.buffer = rest .. (chunk or "")
end

local function count_breaks(cell, line_end)
  local count, at = 0, find(cell, line_end, 1, true)
  while at do
    count = count + 1
    at = find(cell, line_end, at + 1, true)
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

-- Reads any record cell by cell. Gives the cells, the position of its line end, the position after it and the
-- mistakes; nothing where the buffer holds only the start of the record.
function Reader:scan()
  local scanner, match = self.grammar.scanners[self.ending], self.grammar.match
  local buffer, from = self.buffer, self.next
  local cells, count, issues = {}, 0, nil
  local line = self.row + 1 + self.inner_breaks
  while true do
    local verdict, content, past = match(scanner.cell, buffer, from)
    count = count + 1
    cells[count] = content
    local first = line
    line = line + count_breaks(content, self.line_end)
    if verdict ~= "good" then
      issues = self:add_issue(issues, count, judge(verdict, content, self.row + 1, first, line))
    end
    if byte(buffer, past) == COMMA then
      from = past + 1
    else
      local after = match(scanner.eol, buffer, past)
      if not after and self.at_end then
        after = past
      end
      return after and cells, past, after, issues
    end
  end
end

-- Reads the next record by the scanner. Gives its cells, its mistakes and whether it is blank; nil at the end of the
-- input; false where more was read into the buffer. `is_patient` waits for one byte after the record, to tell CR from
-- CR LF.
function Reader:read_scanned(is_patient)
  while true do
    local cells, past, after, issues
    if self.next <= #self.buffer then
      cells, past, after, issues = self:scan()
    elseif self.at_end then
      return nil
    end
    if (cells and after or #self.buffer + 1) - self.next > self.max_record then
      self:fail("csv_record_too_long", { row = self.row + 1, limit = self.max_record })
    end
    if cells and not (is_patient and after > #self.buffer and not self.at_end) then
      local is_blank = past == self.next
      self.next = after
      self.row = self.row + 1
      return cells, issues, is_blank
    end
    self:fill()
    if not is_patient then
      return false
    end
  end
end

-- Has a quoted cell swallowed rows? Then one of its lines holds as many delimiters as the header. Where the header has
-- none or one, as any line of text may have, it takes two such lines.
local function has_swallowed(cell, line_end, width)
  local found, from = 0, 1
  repeat
    local at = find(cell, line_end, from, true)
    local _, delimiters = gsub(sub(cell, from, at and at - 1), ",", "")
    if delimiters == width - 1 then
      found = found + 1
    end
    from = at and at + 1
  until not from
  return found >= (width <= 2 and 2 or 1)
end

-- Looks at the cells of a record of several lines, and counts these. Gives the issues.
function Reader:check_lines(cells, issues)
  -- For a cell with misplaced quotes its own issue says how far it goes.
  local is_allowed = self.allow_multiline_rows or issues ~= nil
  local line = self.row + self.inner_breaks
  for i = 1, #cells do
    local cell = cells[i]
    local breaks = count_breaks(cell, self.line_end)
    line = line + breaks
    if breaks > 0 and not is_allowed and has_swallowed(cell, self.line_end, self.width) then
      issues = self:add_issue(issues, i, "csv_swallowed_rows", { last = line })
    end
  end
  self.inner_breaks = line - self.row
  return issues
end

-- Reads the next record that is not blank, slowly. Nil at the end, false where more was read into the buffer.
function Reader:read_odd()
  local cells, issues, is_blank
  repeat
    cells, issues, is_blank = self:read_scanned()
    if not cells then
      return cells
    end
    issues = self:check_lines(cells, issues)
  until not is_blank
  if #cells ~= self.width then
    issues = issues or {}
    issues[#issues + 1] = { code = "csv_cell_count", values = { count = #cells, columns = self.width } }
  end
  return cells, issues
end

-- Reads the next record by one pattern. Nil where that does not match: the record is odd, or not whole in the buffer.
-- The third value says that no cell has anything to trim.
function Reader:read_fast()
  local from, width, match = self.next, self.width, self.match
  local cells = { match(self.trimmed_row, self.buffer, from) }
  local is_trimmed = cells[1] ~= nil
  if not is_trimmed then
    cells = { match(self.any_row, self.buffer, from) }
  end
  local after = cells[width + 1]
  if not after or after - from > self.max_record then
    return nil
  end
  cells[width + 1] = nil
  self.next = after
  self.row = self.row + 1
  local issues
  if find(self.buffer, self.line_end, from, true) ~= after - 1 then
    issues = self:check_lines(cells)
  end
  return cells, issues, is_trimmed
end

--- Makes a place for records, to be filled by `read`.
---@return table records arrays: `cells`; `issues` (false where there are none; a row with another number of cells than
--- the header has one without a field); `rows` (the header is row 1), `ends` (bytes of the input up to the record's
--- end), `is_trimmed`; and `count`
function reader.records()
  return { cells = {}, issues = {}, rows = {}, ends = {}, is_trimmed = {}, count = 0 }
end

--- Reads the next records, as many as the buffer holds: it waits for more input only before the first one.
---@param records table see reader.records; its count is 0 at the end of the input. Raises a failure of kind "source"
--- where that cannot be read
---@param n integer at most so many
function Reader:read(records, n)
  if self.failed then
    error(self.failed, 0)
  end
  local count = 0
  records.count = 0
  while count < n do
    local cells, issues, is_trimmed = self:read_fast()
    if not cells then
      if count > 0 then
        break
      end
      cells, issues = self:read_odd()
      if cells == nil then
        break
      end
    end
    if cells then
      count = count + 1
      records.cells[count], records.issues[count] = cells, issues or false
      records.rows[count], records.is_trimmed[count] = self.row, is_trimmed or false
      records.ends[count] = self.dropped + self.next - 1
    end
  end
  records.count = count
end

--- Has all of the input been read?
---@return boolean
function Reader:has_ended()
  return self.at_end and self.next > #self.buffer
end

--- Bytes up to the end of the last record that was read.
---@return integer
function Reader:consumed()
  return self.dropped + self.next - 1
end

-- Reads the mark at the start of the input. Files in UTF-16 have one of their own.
function Reader:read_mark()
  repeat
    self:fill()
  until #self.buffer >= #UTF8_MARK or self.at_end
  local mark = sub(self.buffer, 1, 2)
  if mark == "\255\254" or mark == "\254\255" then
    self:fail("csv_utf16", {})
  elseif sub(self.buffer, 1, 3) == UTF8_MARK then
    self.next = 4
  end
end

-- The cells of the first record, and what is wrong with it.
function Reader:read_first_record()
  local ok, cells, issues, is_blank = pcall(self.read_scanned, self, true)
  -- This comes first, for in such a file the quotes and line ends mean nothing.
  local has_zero = find(sub(self.buffer, 1, self.next - 1), "\0", 1, true)
  if has_zero or not ok and find(self.buffer, "\0", 1, true) then
    self:fail("csv_zero_bytes", {})
  elseif not ok then
    error(cells, 0)
  elseif not cells then
    return nil, { { code = "csv_empty" } }
  elseif is_blank then
    return nil, { { code = "csv_blank_header" } }
  end
  return cells, issues
end

--- Reads the header. To be called once, before `read`.
---@return string[]? columns their names, trimmed
---@return heymarket.Issue[]? issues
function Reader:read_header()
  self:read_mark()
  local cells, issues = self:read_first_record()
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
    self.inner_breaks = self.inner_breaks + count_breaks(name, self.line_end)
    self.columns[i] = text.trim(name)
  end
  self.width = #cells
  self.any_row = self.grammar.row(#cells, self.ending)
  self.trimmed_row = self.grammar.row(#cells, self.ending, true)
  return self.columns
end

--- Makes a reader.
---@param handle table|userdata has read(size)
---@param name string of the input, for messages
---@param rules table the grammar
---@param settings table `chunk_size`, `max_record` (bytes), `allow_multiline_rows`
function reader.new(handle, name, rules, settings)
  return setmetatable({
    handle = handle,
    name = name,
    grammar = rules,
    match = rules.match,
    chunk_size = settings.chunk_size,
    max_record = settings.max_record,
    allow_multiline_rows = settings.allow_multiline_rows,
    columns = {},
    width = nil, -- number of columns
    buffer = "",
    next = 1, -- where in the buffer the next record begins
    dropped = 0, -- bytes that were in the buffer and no longer are
    at_end = false,
    row = 0,
    ending = "any",
    line_end = "\n",
    inner_breaks = 0, -- line breaks within cells so far: rows and these give the lines of the file
    any_row = nil, -- patterns of a row, see grammar.lua
    trimmed_row = nil,
    failed = nil,
  }, Reader)
end

return reader
