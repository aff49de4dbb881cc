--- Files of CSV and JSON Lines as a source of contacts: `client:import(csv.open("contacts.csv"))`.
---@class heymarket.csv
local csv = {}

local contacts = require "heymarket.csv.contacts"
local failure = require "heymarket.failure"
local header = require "heymarket.csv.header"
local lines = require "heymarket.csv.lines"
local messages = require "heymarket.messages"
local objects = require "heymarket.csv.objects"
local options = require "heymarket.options"
local reader = require "heymarket.csv.reader"
local rows = require "heymarket.rows"

local sub = string.sub

csv.encode_row = require("heymarket.csv.writer").encode_row

local NO_LIMIT = 2 ^ 52 -- bytes

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

-- The next record, as Reader:read_record gives it.
local function read_record(self)
  if self.failed then
    error(self.failed, 0)
  end
  local cells, issues, origin = self.reader:read_record()
  if cells then
    give(self)
  elseif cells == nil then
    self.has_ended = true
    self.last_end = self.reader:consumed() -- blank lines at the end count, too
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
  local before = #entries
  local lot = rows.lot(index + before + 1, self.reader:position() + 1)
  local taken, left_out = self.reader:take(lot, n - before, NO_LIMIT, default_country)
  if taken > 0 then
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
  local first_position, total = self.reader:position() + 1, 0
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
    give(self)
  end
  return total > 0 and lot or nil, is_full and "full" or total < n and "odd" or nil
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
---@return integer? total bytes; nil where that cannot be known, as with a pipe
function Source:progress()
  return self.last_end, self.total
end

--- In how many rows so far `is_opted_out` was left out because it was false; see the option `allow_opt_in`.
---@return integer
function Source:opt_ins_left_out()
  return self.contacts.opt_ins_left_out
end

--- The columns that are ignored, but for those that begin with _, which always are.
---@return string[] names
---@return boolean whether another column gives is_opted_out
function Source:ignored_columns()
  local field_of, names, has_opt_outs = {}, {}, false
  for _, place in ipairs(self.contacts.places) do
    field_of[place.column] = place.name
    has_opt_outs = has_opt_outs or place.name == "is_opted_out"
  end
  for i, name in ipairs(self.columns) do
    if not field_of[i] and sub(name, 1, 1) ~= "_" then
      names[#names + 1] = name ~= "" and name or "column " .. i
    end
  end
  return names, has_opt_outs
end

--- Closes the file if `csv.open` opened it. Can be called twice.
function Source:close()
  local handle = self.owned
  self.owned = nil
  if handle then
    handle:close()
  end
  -- A source that is closed in the middle has not come to the end of its input.
  if not self.failed and not self.reader:has_ended() then
    self.failed = failure.make("source", "csv_closed", { name = self.reader.name })
  end
end

Source.__gc = Source.close
Source.__close = Source.close

---------------------------------------------------------------------------------------------------------------------
-- Opening

-- Lua types of options, by the type of their kind, where the two differ.
local LUA_TYPES = { map = "table", names = "table", word = "string" }
-- Issues that are mistakes in the program, which raise.
local IS_WRONG_USE = { option_map = true, option_names = true }

-- Raises on wrong use of Lua; gives the values of the options, or the issues of those that cannot be.
local function read_options(given)
  options.expect(given, "table?", "options", 3)
  for _, row in ipairs(options.list "csv") do
    local value = (given or {})[row.name]
    if value ~= nil then
      options.expect(value, LUA_TYPES[row.kind.type] or row.kind.type, "options." .. row.name, 3)
    end
  end
  local values, issues = options.read("csv", given)
  for _, issue in ipairs(issues or {}) do
    if IS_WRONG_USE[issue.code] then
      error("options." .. issue.field .. " " .. messages.text(issue.code, issue.values), 3)
    end
  end
  return values, issues
end

-- Bytes from here to the end of the file, or nil where it cannot be known.
local function size_of(handle)
  local is_seekable, here = pcall(function()
    return handle:seek()
  end)
  if not is_seekable or not here then
    return nil
  end
  local last = handle:seek "end"
  handle:seek("set", here)
  return last and last > here and last - here or nil
end

local function is_readable(value)
  if io.type(value) then
    return io.type(value) == "file"
  end
  local is_indexed, read = pcall(function()
    return value.read
  end)
  return is_indexed and read ~= nil
end

local STARTS = {}

-- Reads and checks the header. Raises a failure where it cannot be used.
function STARTS.csv(self, values)
  local columns, issues = self.reader:read_header(function(names)
    return header.count_known(names, values.map, values.ignore)
  end)
  local layout
  if columns then
    layout, issues = header.read(columns, values.map, values.ignore)
  end
  if not layout then
    error(failure.invalid(issues), 0)
  end
  self.columns, self.last_end = columns, self.reader:consumed()
  self.delimiter, self.has_separator = self.reader.delimiter, self.reader.has_separator
  self.contacts = contacts.new(columns, layout, values.allow_opt_in)
  self.reader:set_fields(self.contacts:fields())
end

-- Only CSV has columns. The keys of JSON Lines are fields.
function STARTS.jsonl(self, values)
  local issues = {}
  for _, name in ipairs { "delimiter", "map", "allow_multiline_rows" } do
    local value = values[name]
    if type(value) == "table" and next(value) ~= nil or type(value) ~= "table" and value then
      issues[#issues + 1] = { field = name, code = "jsonl_without_option", is_option = true }
    end
  end
  if issues[1] then
    error(failure.invalid(issues), 0)
  end
  self.reader:read_mark()
  self.columns, self.last_row = {}, 0
  self.contacts = objects.new(values.ignore, values.allow_opt_in)
end

-- The format that a name has by its ending.
local function format_of(file)
  local ending = type(file) == "string" and file:lower():match "%.(%w+)$"
  return (ending == "jsonl" or ending == "ndjson") and "jsonl" or "csv"
end

-- Opens what the caller gave. Returns a handle, its name for messages, and whether it is ours to close.
local function open_handle(file)
  if type(file) ~= "string" then
    return file, "the input", false
  end
  local handle, problem = io.open(file, "rb")
  if not handle then
    return nil, failure.make("source", "csv_not_opened", { problem = problem })
  end
  return handle, file, true
end

--- Opens a file of CSV or JSON Lines as a source of contacts. Reads and checks the header of CSV.
---
--- Options:
--- - `format` ("jsonl" where the name ends with .jsonl or .ndjson, else "csv"): "csv", or "jsonl" for one contact in
---   JSON a line;
--- - `delimiter` (found in the header): what separates the cells: ",", ";", tab or "|", or the name of one: "comma",
---   "semicolon", "tab", "pipe";
--- - `encoding` (UTF-8): as iconv knows it, such as "windows-1252", for input without a mark; UTF-8 and UTF-16 are
---   known by their marks;
--- - `map` (table): name of a column to name of a field;
--- - `ignore` (array): names of columns to ignore; "*" stands for all whose names are not known;
--- - `allow_opt_in` (false): send `is_opted_out = false`. Without it that is left out, because it may undo an opt-out
---   that the person sent by text;
--- - `allow_multiline_rows` (false): a quoted cell may hold lines that look like rows;
--- - `max_record` (1 MiB): greatest length in bytes of a record with its line end;
--- - `chunk_size` (64 KiB): bytes that are read at a time.
---@param file string|table|userdata path, or a handle with a `read` method as files have; a handle is not closed
---@param given heymarket.CsvOptions?
---@return heymarket.csv.Source? source
---@return heymarket.Failure? failure kind "source" or "invalid"
function csv.open(file, given)
  if type(file) ~= "string" and not is_readable(file) then
    local what = io.type(file) or file == nil and "nil" or "a " .. type(file)
    error("file must be a path or an open file handle, not " .. what, 2)
  end
  local values, issues = read_options(given)
  if not values then
    return nil, failure.invalid(issues)
  end
  local handle, name, is_owned = open_handle(file)
  if not handle then
    return nil, name
  end
  local format = values.format or format_of(file)
  local source = setmetatable({
    format = format,
    reader = (format == "csv" and reader or lines).new(handle, name, values),
    owned = is_owned and handle or nil,
    total = size_of(handle),
    has_ended = false,
    last_row = 1,
    last_end = 0,
    columns = nil,
    has_mark = false,
    delimiter = nil,
    has_separator = false,
    contacts = nil,
    failed = nil,
  }, Source)
  local ok, problem = pcall(STARTS[format], source, values)
  if ok then
    source.has_mark, source.encoding = source.reader.has_mark, source.reader.encoding
    source.contacts:set_encoding(source.encoding)
    return source
  end
  source:close()
  if failure.is(problem) then
    return nil, problem
  end
  error(problem, 0)
end

return csv
