--- Progress of an import on stderr: a bar on a terminal, elsewhere a line now and then.
local progress = {}

local format = require "heymarket.cli.format"
local report = require "heymarket.report"
local system = require "heymarket.system"

local REDRAW_EVERY, LINE_EVERY = 0.1, 5 -- seconds
local SAMPLE_EVERY, WINDOW = 1, 15 -- seconds; rate and time left are those of the last WINDOW seconds
local BAR_MIN, BAR_MAX = 10, 30 -- columns
local COLOURS = { accepted = "\27[32m", rejected = "\27[33m", invalid = "\27[31m", failed = "\27[31m" }
COLOURS.unknown, COLOURS.unsent = COLOURS.failed, COLOURS.rejected

local Progress = {}
Progress.__index = Progress

--- Makes the progress display of one import, whose `source` tells how far it was read.
function progress.new(source)
  local now, terminal = system.monotonic(), system.isatty(io.stderr) and os.getenv "TERM" ~= "dumb"
  return setmetatable({
    source = source,
    terminal = terminal,
    colour = terminal and (os.getenv "NO_COLOR" or "") == "",
    drawn_at = now,
    samples = { { at = now, rows = 0, bytes = 0 } },
  }, Progress)
end

-- Rows per second and bytes per second in the last WINDOW seconds.
function Progress:rates(now, rows, bytes)
  local samples = self.samples
  if now - samples[#samples].at >= SAMPLE_EVERY then
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

-- The facts as pieces of text, in the order in which they are shown, and the share that is done, where it is known.
function Progress:pieces(now, made)
  local read, total = self.source:progress()
  local rows, rows_read = made.total, self.source:position() - 1 -- the header is row 1
  -- Reading is ahead of sending: what counts are the bytes of the rows that are done.
  local bytes = rows_read > 0 and read * math.min(1, rows / rows_read) or 0
  local rate, byte_rate = self:rates(now, rows, bytes)
  local share = total and total > 0 and math.min(1, bytes / total)
  local pieces = {}
  local function add(piece, colour)
    pieces[#pieces + 1] = { text = piece, colour = self.colour and colour }
  end
  if share then
    add(("%3d%%"):format(math.floor(share * 100)))
  end
  add(format.plural(rows, "row"))
  if rate then
    add(format.grouped(rate) .. "/s")
  end
  if rate and share and byte_rate > 0 then
    add(format.duration((total - bytes) / byte_rate) .. " left")
  end
  for _, outcome in ipairs(report.outcomes) do
    if made[outcome] > 0 then
      add(outcome .. " " .. format.grouped(made[outcome]), COLOURS[outcome])
    end
  end
  return pieces, share
end

-- The line of a terminal: a bar as wide as the pieces leave room for. Pieces that do not fit are left out.
local function bar(pieces, share)
  local room, parts = (system.columns(io.stderr) or 80) - 1, {}
  for _, piece in ipairs(pieces) do
    room = room - #piece.text - (#parts > 0 and 2 or 0)
    if room < 0 then
      break
    end
    parts[#parts + 1] = piece.colour and piece.colour .. piece.text .. "\27[0m" or piece.text
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
---@param counter table of heymarket.report
function Progress:update(counter)
  local now = system.monotonic()
  if now - self.drawn_at < (self.terminal and REDRAW_EVERY or LINE_EVERY) then
    return
  end
  self.drawn_at = now
  local pieces, share = self:pieces(now, counter:report({}, false))
  if self.terminal then
    self.visible = true
    io.stderr:write("\r\27[K", bar(pieces, share))
  else
    for i, piece in ipairs(pieces) do
      pieces[i] = piece.text:match "^%s*(.*)$"
    end
    io.stderr:write(table.concat(pieces, ", "), "\n")
  end
  io.stderr:flush()
end

--- Clears the bar, so that something else can be written. The next update draws it again.
function Progress:clear()
  if self.visible then
    self.visible = false
    io.stderr:write "\r\27[K"
    io.stderr:flush()
  end
end

return progress
