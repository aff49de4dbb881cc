--- Progress of an import on stderr: a bar on a terminal, elsewhere a line now and then.
local progress = {}

local format = require "heymarket.cli.format"
local report = require "heymarket.report"

local REDRAW_EVERY, LINE_EVERY = 0.1, 5 -- seconds
local SAMPLE_EVERY, WINDOW = 1, 15 -- seconds; rate and time left are those of the last WINDOW seconds
local BAR_MIN, BAR_MAX = 10, 30 -- columns
local COLOURS = { accepted = "\27[32m", rejected = "\27[33m", invalid = "\27[31m", failed = "\27[31m" }
COLOURS.unknown, COLOURS.unsent = COLOURS.failed, COLOURS.rejected

local Progress = {}
Progress.__index = Progress

--- Makes the progress display of one import.
---@param options table `stream` to draw on, `terminal` (is it one?), `colour`, `columns()` gives the width of
--- the terminal; `monotonic()` is the clock in seconds; `read()` gives the bytes read so far, of how many where that is
--- known, and the rows read so far
function progress.new(options)
  local now = options.monotonic()
  return setmetatable({
    options = options,
    drawn_at = now,
    sampled_at = now,
    samples = { { at = now, rows = 0, bytes = 0 } },
  }, Progress)
end

-- Rows per second and bytes per second in the last WINDOW seconds.
function Progress:rates(now, rows, bytes)
  local samples = self.samples
  if now - self.sampled_at >= SAMPLE_EVERY then
    self.sampled_at = now
    samples[#samples + 1] = { at = now, rows = rows, bytes = bytes }
    while #samples > 2 and now - samples[2].at >= WINDOW do
      table.remove(samples, 1)
    end
  end
  local oldest = samples[1]
  local passed = now - oldest.at
  if passed < REDRAW_EVERY then
    return nil
  end
  return (rows - oldest.rows) / passed, (bytes - oldest.bytes) / passed
end

-- The facts as pieces of text, in the order in which they are shown.
function Progress:pieces(now, counts)
  local bytes, total, rows_read = self.options.read()
  local rows = 0
  for _, outcome in ipairs(report.outcomes) do
    rows = rows + counts[outcome]
  end
  -- Reading is ahead of sending: what counts are the bytes of the rows that are done.
  bytes = rows_read > 0 and bytes * math.min(1, rows / rows_read) or 0
  local rate, byte_rate = self:rates(now, rows, bytes)
  local share = total and total > 0 and math.min(1, bytes / total)
  local pieces = {}
  if share then
    pieces[#pieces + 1] = { ("%3d%%"):format(math.floor(share * 100)) }
  end
  pieces[#pieces + 1] = { format.plural(rows, "row") }
  if rate then
    pieces[#pieces + 1] = { format.grouped(rate) .. "/s" }
    if share and byte_rate > 0 then
      pieces[#pieces + 1] = { format.duration((total - bytes) / byte_rate) .. " left" }
    end
  end
  for _, outcome in ipairs(report.outcomes) do
    if counts[outcome] > 0 then
      pieces[#pieces + 1] = { outcome .. " " .. format.grouped(counts[outcome]), COLOURS[outcome] }
    end
  end
  return pieces, share
end

-- The line of a terminal: a bar as wide as the pieces leave room for. Pieces that do not fit are left out.
function Progress:bar(pieces, share)
  local room = (self.options.columns() or 80) - 1
  local parts = {}
  for _, piece in ipairs(pieces) do
    local text, colour = piece[1], self.options.colour and piece[2]
    room = room - #text - (#parts > 0 and 2 or 0)
    if room < 0 then
      break
    end
    parts[#parts + 1] = colour and colour .. text .. "\27[0m" or text
  end
  local line = table.concat(parts, "  ")
  local width = math.min(BAR_MAX, room - 3)
  if share and width >= BAR_MIN then
    local full = math.floor(share * width)
    line = "[" .. ("#"):rep(full) .. ("."):rep(width - full) .. "] " .. line
  end
  return line
end

--- Shows the progress, if the last time is long enough ago.
function Progress:update(counts)
  local now = self.options.monotonic()
  if now - self.drawn_at < (self.options.terminal and REDRAW_EVERY or LINE_EVERY) then
    return
  end
  self.drawn_at = now
  local pieces, share = self:pieces(now, counts)
  local stream = self.options.stream
  if self.options.terminal then
    self.visible = true
    stream:write("\r\27[K", self:bar(pieces, share))
  else
    for i, piece in ipairs(pieces) do
      pieces[i] = piece[1]:match "^%s*(.*)$"
    end
    stream:write(table.concat(pieces, ", "), "\n")
  end
  stream:flush()
end

--- Clears the bar, so that something else can be written. The next update draws it again.
function Progress:clear()
  if self.visible then
    self.visible = false
    self.options.stream:write "\r\27[K"
    self.options.stream:flush()
  end
end

return progress
