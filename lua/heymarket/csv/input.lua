--- The bytes of an input on their way to records: a buffer that is filled a chunk at a time. The readers of CSV and of
--- JSON Lines share it.
local input = {}

local encoding = require "heymarket.csv.encoding"
local failure = require "heymarket.failure"
local rows = require "heymarket.rows"

local sub = string.sub

local GROWTH = 64 * 1024 -- a record that is longer than this is read in growing steps
local MARK_LENGTH = 3 -- bytes at most

---@class heymarket.csv.Input
---@field buffer string
---@field next integer where in the buffer the next record begins
---@field at_end boolean is the end of the buffer that of the input?
---@field row integer the last record that was read
---@field failed heymarket.Failure? why reading failed
---@field has_mark boolean does the input begin with a byte-order mark?
---@field encoding string? of the input; nil for UTF-8
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
---@param settings table `chunk_size`, `max_record` (bytes), `encoding`
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
    encoding = settings.encoding,
    decoder = nil, -- where the input is not UTF-8
    decoded = {}, -- the chunks in the buffer: where they end in the text and in the input
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
  if self.failed then
    error(self.failed, 0)
  end
  local rest = sub(self.buffer, self.next)
  -- A long record is scanned anew after each step, so the steps grow.
  local chunk, problem = self.handle:read(#rest > GROWTH and #rest or self.chunk_size)
  if chunk == nil and problem ~= nil then
    self:fail("csv_unreadable", { problem = tostring(problem) })
  elseif chunk ~= nil and type(chunk) ~= "string" then
    self:fail("csv_not_text", { type = type(chunk) })
  end
  self.at_end = chunk == nil
  local text = self:decode(chunk or "")
  self.dropped = self.dropped + self.next - 1
  self.next = 1
  self.buffer = rest .. text
end

-- The text of a chunk. Notes where it ends in the text and in the input.
function Input:decode(chunk)
  if not self.decoder then
    return chunk
  end
  local text = self.decoder:decode(chunk, self.at_end)
  local list = self.decoded
  local last = list[#list]
  list[#list + 1] = { text = last.text + #text, input = last.input + #chunk }
  return text
end

--- Reads the mark at the start of the input. It tells the encoding, else the user does, and else it is UTF-8.
function Input:read_mark()
  repeat
    self:fill()
  until #self.buffer >= MARK_LENGTH or self.at_end
  local name, length = encoding.of_mark(sub(self.buffer, 1, MARK_LENGTH))
  self.has_mark = name ~= nil
  self.encoding = name or self.encoding
  if not self.encoding or encoding.is_utf8(self.encoding) then
    self.encoding, self.next = nil, (length or 0) + 1
    return
  end
  local rest = sub(self.buffer, (length or 0) + 1)
  self.decoder = rows.decoder(self.encoding)
  self.decoded[1] = { text = 0, input = length or 0 }
  self.buffer = self:decode(rest)
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

--- Bytes of the input up to the end of the last record that was read. Where it is not UTF-8, what is within a chunk is
--- shared out evenly.
---@return integer
function Input:consumed()
  local at, list = self.dropped + self.next - 1, self.decoded
  if not self.decoder then
    return at
  end
  while list[2] and list[2].text <= at do
    table.remove(list, 1)
  end
  local before, after = list[1], list[2]
  if not after then
    return before.input
  end
  local share = (at - before.text) / (after.text - before.text)
  return before.input + math.floor(share * (after.input - before.input))
end

return input
