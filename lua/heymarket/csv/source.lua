--- A source of contacts: what `csv.open` gives, an iterator and a source of an import.
local source = {}

local failure = require "heymarket.failure"
local rows = require "heymarket.rows"

local NO_LIMIT = 2 ^ 52 -- bytes, or rows

---@class heymarket.csv.Source
---@field format "csv"|"jsonl"
---@field columns string[] names of the columns as written in the header, trimmed; none in JSON Lines
---@field has_mark boolean does the input begin with a byte-order mark?
---@field encoding string? of the input, where it is not UTF-8
---@field delimiter string? what separates the cells of a row of CSV
---@field has_separator boolean does the input begin with a line that names the delimiter, such as `sep=;`?
---@overload fun(): (table|heymarket.Failure|nil), integer?, string[]?
local Source = { __name = "heymarket.csv.Source" }
Source.__index = Source

-- Notes how far records were given.
local function give(self)
  self.last_row, self.last_end = self.reader:position(), self.reader:consumed()
end

-- How many rows may come yet.
local function rows_left(self)
  return self.limit - self.given
end

-- The next record, as Reader:read_record gives it.
local function read_record(self)
  if self.failed then
    error(self.failed, 0)
  end
  local cells, issues, origin
  if rows_left(self) > 0 then
    cells, issues, origin = self.reader:read_record()
    while cells and self.reader:is_after_blank() and self.contacts:is_footer(cells, issues) do
      self.footers = self.footers + 1
      give(self)
      cells, issues, origin = self.reader:read_record()
    end
  else
    self.is_limited, self.total = true, self.total and self.last_end
  end
  if cells then
    self.given = self.given + 1
    give(self)
  elseif cells == nil then
    self.has_ended = true
    -- Blank lines at the end count, too.
    self.last_end = self.is_limited and self.last_end or self.reader:consumed()
    self:close()
  end
  return cells, issues, origin
end

--- Gives the next record; the source is an iterator. Raises a failure of kind "source" where it cannot go on.
---@return table|heymarket.Failure|nil contact nil at the end of the input
---@return integer? position row in a spreadsheet, where the header is row 1; in JSON Lines the line
---@return string[]|string|nil cells the record as it was written, in JSON Lines the line; the caller may keep it
function Source:__call()
  local cells, issues = read_record(self)
  while cells == false do
    self.reader:fill()
    cells, issues = read_record(self)
  end
  if cells then
    return self.contacts:of_record(cells, issues), self.last_row, cells
  end
end

-- Adds the entries of ordinary rows, so that there are n.
local function add_rows(self, entries, n, index, default_country)
  if not self.reader:gives_lots() then
    return
  end
  local before = #entries
  n = math.min(n, before + rows_left(self))
  local lot = rows.lot(index + before + 1, self.reader:position() + 1)
  local taken, left_out = self.reader:take(lot, n - before, NO_LIMIT, default_country)
  if taken > 0 then
    self.given = self.given + taken
    self.contacts:count_left_out(left_out)
    give(self)
    for i, entry in ipairs(lot:entries()) do
      entries[before + i] = entry
    end
  end
  lot:free()
end

-- Adds the entry of the next record, which is not ordinary. Gives the entry; nil where none could be added without
-- reading more input, or at the end.
local function add_record(self, entries, index, default_country)
  local cells, issues, origin = read_record(self)
  if not cells then
    return nil
  end
  local entry = { index = index, position = self.last_row, origin = origin }
  self.contacts:complete(entry, cells, issues, default_country)
  entries[#entries + 1] = entry
  return entry
end

-- Reads more input. False where that fails: the rows before are given first, then `take` raises the failure.
local function fill(reading)
  local ok, raised = pcall(reading.fill, reading)
  if not ok and not reading:has_failed() then
    error(raised, 0)
  end
  return ok
end

--- Gives the next ordinary rows as a lot. Raises a failure of kind "source" where it cannot go on.
---@param n integer at most so many
---@param max_bytes integer their bodies have no more bytes
---@param default_country string|boolean|nil see contact.phone
---@param index integer number of contacts before these
---@param lot heymarket.Lot? the lot to which they are added; a new one unless it is given
---@return heymarket.Lot? lot nil where no row was added
---@return "odd"|"full"|nil state nil where the input gives no lots; "odd" where `take` gives the next row: it is not
--- ordinary, not whole in the buffer, or there is none; "full" where its body is too large for the lot
function Source:take_lot(n, max_bytes, default_country, index, lot)
  if not self.reader:gives_lots() then
    return nil
  end
  local first_position, total, wanted = self.reader:position() + 1, 0, n
  n = math.min(n, rows_left(self))
  lot = lot or rows.lot(index + 1, first_position)
  lot:at(index + 1, first_position)
  local goes_on, is_full
  repeat
    local taken, left_out, is_cut
    taken, left_out, is_cut, is_full = self.reader:take(lot, n - total, max_bytes, default_country)
    self.contacts:count_left_out(left_out)
    total = total + taken
    -- From a file, the rest of a row comes at once. A pipe may give it much later.
    goes_on = is_cut and total > 0 and total < n and self.total ~= nil and fill(self.reader)
  until not goes_on
  if total > 0 then
    self.given = self.given + total
    give(self)
  end
  return total > 0 and lot or nil, is_full and "full" or total < wanted and "odd" or nil
end

--- Gives the next records as entries of an import, as many as the buffer holds: it waits for more input only before the
--- first one. Raises a failure of kind "source" where it cannot go on.
---@param n integer
---@param default_country string|boolean|nil see contact.phone
---@param index integer number of contacts before these
---@return heymarket.Entry[] entries at most n, empty at the end of the input; the last one may have a `problem`
function Source:take(n, default_country, index)
  local entries = {}
  while true do
    add_rows(self, entries, n, index, default_country)
    if #entries == n then
      return entries
    end
    local ok, entry = pcall(add_record, self, entries, index + #entries + 1, default_country)
    if not ok and not (entries[1] and self.reader:has_failed()) then
      error(entry, 0) -- where entries come before it, the next call raises it again
    end
    entry = ok and entry
    if entry and entry.problem or not entry and (entries[1] or self.has_ended) then
      return entries
    elseif not entry then
      self.reader:fill()
    end
  end
end

--- Says in items which contacts they are of. Only now are the contacts of these entries made.
---@param entries heymarket.Entry[] of `take`
---@param items heymarket.Item[] of these entries, in the same order; each gets index, position, contact (nil where
--- something is wrong with the row) and row (the record as it was written)
function Source:describe(entries, items)
  self.contacts:describe(entries, self.reader:cells_of(entries), items)
end

--- Row of the last record given, as a spreadsheet counts: the header is row 1. In JSON Lines the line.
---@return integer
function Source:position()
  return self.last_row
end

--- How far the input has been read.
---@return integer consumed bytes up to the end of the last record given
---@return integer? total bytes; nil where that cannot be known, as with a pipe. With the option `limit` it is estimated
--- until the last row was given
function Source:progress()
  local total = self.total
  if total and self.given > 0 and self.limit < NO_LIMIT then
    total = math.min(total, self.last_end * self.limit / self.given)
  end
  return self.last_end, total
end

--- Did the source end because of its option `limit`? Then more rows may follow in the input.
---@return boolean
function Source:is_cut_short()
  return self.is_limited
end

--- In how many rows so far `is_opted_out` was left out because it was false; see the option `allow_opt_in`.
---@return integer
function Source:opt_ins_left_out()
  return self.contacts.opt_ins_left_out
end

--- What each column is for, but for those that begin with _, which are always ignored. None in JSON Lines.
---@return table[] mapping array of {column, name, field, rank}: number and name of the column, the name of its field
--- (nil where it is passed over), and, where several give one field, which it is
function Source:mapping()
  return self.contacts:mapping()
end

--- Whose export the file is.
---@return string? name see the option `from`; nil where no product was recognised
---@return string? title for people
function Source:product()
  local product = self.contacts.product
  if product then
    return product.name, product.title
  end
end

--- How many lines about the report behind its rows were passed over so far.
---@return integer
function Source:footer_rows()
  return self.footers
end

--- Closes the file if `csv.open` opened it. Can be called twice.
function Source:close()
  local handle = self.owned
  self.owned = nil
  if handle then
    handle:close()
  end
  -- A source that is closed in the middle has not come to the end of its input.
  if not self.failed and not self.is_limited and not self.reader:has_ended() then
    self.failed = failure.make("source", "csv_closed", { name = self.reader.name })
  end
end

Source.__gc = Source.close
Source.__close = Source.close

--- Makes a source.
---@param settings table `format`, `reader`, `contacts`, `columns`, `owned` (the handle that it closes), `total`
--- (bytes), `limit` (rows), `last_row` (1 where there is a header)
---@return heymarket.csv.Source
function source.new(settings)
  local reader = settings.reader
  settings.contacts:set_encoding(reader.encoding)
  return setmetatable({
    format = settings.format,
    reader = reader,
    contacts = settings.contacts,
    columns = settings.columns,
    owned = settings.owned,
    total = settings.total,
    limit = settings.limit or NO_LIMIT, -- rows
    given = 0, -- rows
    footers = 0, -- rows that were passed over
    is_limited = false, -- did the limit end it?
    has_ended = false,
    last_row = settings.last_row,
    last_end = reader:consumed(),
    has_mark = reader.has_mark,
    encoding = reader.encoding,
    delimiter = reader.delimiter,
    has_separator = reader.has_separator or false,
    failed = nil,
  }, Source)
end

return source
