--- HTTP/2 frames written by hand, for answers that no library would send.
---
--- The answer to the first request of a connection goes on stream 1. Header fields are literals without indexing and
--- without Huffman's code.
local frames = {}

local END_STREAM, END_HEADERS, PADDED, PRIORITY = 0x1, 0x4, 0x8, 0x20

local function big_endian(number, bytes)
  local made = {}
  for i = bytes, 1, -1 do
    made[i] = string.char(number % 256)
    number = math.floor(number / 256)
  end
  return table.concat(made)
end

-- A number with a prefix of that many bits (RFC 7541 5.1).
local function prefixed(number, bits, first)
  local most = 2 ^ bits - 1
  if number < most then
    return string.char(first + number)
  end
  local made = { string.char(first + most) }
  number = number - most
  while number >= 128 do
    made[#made + 1] = string.char(number % 128 + 128)
    number = math.floor(number / 128)
  end
  made[#made + 1] = string.char(number)
  return table.concat(made)
end

--- A frame of any type.
---@param kind integer
---@param flags integer
---@param stream integer
---@param payload string?
---@return string bytes
function frames.frame(kind, flags, stream, payload)
  payload = payload or ""
  return big_endian(#payload, 3) .. string.char(kind, flags) .. big_endian(stream, 4) .. payload
end

--- A header block.
---@param fields string[][] names and values
---@return string bytes
function frames.block(fields)
  local made = {}
  for i, field in ipairs(fields) do
    made[i] = "\0" .. prefixed(#field[1], 7, 0) .. field[1] .. prefixed(#field[2], 7, 0) .. field[2]
  end
  return table.concat(made)
end

--- The fields of an answer: its status, then what else is given, then a content type where none is given.
---@param status string
---@param more string[][]?
---@return string[][]
function frames.fields(status, more)
  local made, typed = { { ":status", status } }, false
  for _, field in ipairs(more or {}) do
    made[#made + 1] = field
    typed = typed or field[1] == "content-type"
  end
  if not typed then
    made[#made + 1] = { "content-type", "application/json" }
  end
  return made
end

--- A HEADERS frame.
---@param fields string[][]
---@param options {last: boolean?, more: boolean?, stream: integer?, priority: boolean?, pad: integer?}? `last` ends the
--- stream, `more` means that CONTINUATION follows
---@return string bytes
function frames.headers(fields, options)
  options = options or {}
  local payload = frames.block(fields)
  local flags = (options.last and END_STREAM or 0) + (options.more and 0 or END_HEADERS)
  if options.priority then
    flags, payload = flags + PRIORITY, big_endian(0, 4) .. "\15" .. payload
  end
  if options.pad then
    flags, payload = flags + PADDED, string.char(options.pad) .. payload .. ("\0"):rep(options.pad)
  end
  return frames.frame(1, flags, options.stream or 1, payload)
end

--- A DATA frame that ends the stream, unless told otherwise.
---@param text string
---@param options {open: boolean?, stream: integer?, pad: integer?}?
---@return string bytes
function frames.data(text, options)
  options = options or {}
  local flags = options.open and 0 or END_STREAM
  if options.pad then
    flags, text = flags + PADDED, string.char(options.pad) .. text .. ("\0"):rep(options.pad)
  end
  return frames.frame(0, flags, options.stream or 1, text)
end

--- A CONTINUATION frame.
---@param block string
---@param last boolean whether the header block ends with it
---@return string bytes
function frames.continuation(block, last)
  return frames.frame(9, last and END_HEADERS or 0, 1, block)
end

--- RST_STREAM.
---@param code integer
---@return string bytes
function frames.rst(code)
  return frames.frame(3, 0, 1, big_endian(code, 4))
end

--- GOAWAY.
---@param last_stream integer
---@param code integer
---@return string bytes
function frames.goaway(last_stream, code)
  return frames.frame(7, 0, 0, big_endian(last_stream, 4) .. big_endian(code, 4))
end

--- WINDOW_UPDATE.
---@param stream integer
---@param size integer
---@return string bytes
function frames.window_update(stream, size)
  return frames.frame(8, 0, stream, big_endian(size, 4))
end

--- PING.
---@return string bytes
function frames.ping()
  return frames.frame(6, 0, 0, "12345678")
end

--- SETTINGS: of one setting, or none.
---@param id integer?
---@param value integer?
---@return string bytes
function frames.settings(id, value)
  return frames.frame(4, 0, 0, id and big_endian(id, 2) .. big_endian(value, 4) or "")
end

return frames
