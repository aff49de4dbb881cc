--- The bytes of an input on their way to records: a buffer that is filled a chunk at a time. The readers of CSV and of
--- JSON Lines share it.
local input = {}

local failure = require "heymarket.failure"

local sub = string.sub

local GROWTH = 64 * 1024 -- a record that is longer than this is read in growing steps
local UTF8_MARK = "\239\187\191"

---@class heymarket.csv.Input
---@field buffer string
---@field next integer where in the buffer the next record begins
---@field at_end boolean is the end of the buffer that of the input?
---@field row integer the last record that was read
---@field failed heymarket.Failure? why reading failed
---@field has_mark boolean does the input begin with a byte-order mark?
local Input = {}
Input.__index = Input

--- Methods of a reader, which has these as well.
---@return table
function input.extend()
  local methods = setmetatable({}, Input)
  methods.__index = methods
  return methods
end

--- What a reader has of its own.
---@param handle table|userdata has read(size)
---@param name string of the input, for messages
---@param settings table `chunk_size`, `max_record` (bytes)
---@return table fields
function input.fields(handle, name, settings)
  return {
    handle = handle,
    name = name,
    chunk_size = settings.chunk_size,
    max_record = settings.max_record,
    buffer = "",
    next = 1,
    dropped = 0, -- bytes that were in the buffer and no longer are
    at_end = false,
    row = 0,
    failed = nil,
    has_mark = false,
  }
end

--- Ends the reading. A reader that failed stays failed: asked again, it must not look as if it had come to its end.
---@param code string
---@param values table
function Input:fail(code, values)
  values.name = self.name
  self.failed = failure.make("source", code, values)
  error(self.failed, 0)
end

--- Adds the next chunk to the unread rest of the buffer.
function Input:fill()
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

--- Reads the mark at the start of the input. Files in UTF-16 have one of their own.
function Input:read_mark()
  repeat
    self:fill()
  until #self.buffer >= #UTF8_MARK or self.at_end
  local mark = sub(self.buffer, 1, 2)
  if mark == "\255\254" or mark == "\254\255" then
    self:fail("csv_utf16", {})
  elseif sub(self.buffer, 1, 3) == UTF8_MARK then
    self.next, self.has_mark = 4, true
  end
end

--- Number of the last record: a row as a spreadsheet counts, where the header is row 1, or a line.
---@return integer
function Input:position()
  return self.row
end

--- Has reading failed? Then every further call raises the same failure.
---@return boolean
function Input:has_failed()
  return self.failed ~= nil
end

--- Has all of the input been read?
---@return boolean
function Input:has_ended()
  return self.at_end and self.next > #self.buffer
end

--- Bytes up to the end of the last record that was read.
---@return integer
function Input:consumed()
  return self.dropped + self.next - 1
end

return input
