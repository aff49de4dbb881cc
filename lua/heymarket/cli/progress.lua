--- Progress of an import on stderr: a bar on a terminal, elsewhere a line now and then.
local progress = {}

local format = require "heymarket.util.format"
local report = require "heymarket.report"
local system = require "heymarket.system"

local REDRAW_EVERY, LINE_EVERY = 0.1, 5 -- seconds
local SAMPLE_EVERY, WINDOW = 1, 15 -- seconds; rate and time left are those of the last WINDOW seconds
local BAR_MIN, BAR_MAX = 10, 30 -- columns
local COLOURS = { accepted = "\27[32m", rejected = "\27[33m", invalid = "\27[31m", failed = "\27[31m" }
COLOURS.unknown, COLOURS.unsent = COLOURS.failed, COLOURS.rejected

local Progress = {}
Progress.__index = Progress

--- Makes the progress display of one import. Where it is not wanted, it shows nothing.
---@param wanted boolean
function progress.new(wanted)
  local now, terminal = system.monotonic(), system.isatty(io.stderr) and os.getenv "TERM" ~= "dumb"
  return setmetatable({
    wanted = wanted,
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
function Progress:pieces(now, made, source)
  local read, total = source:progress()
  local rows, rows_read = made.total, source:position() - 1 -- the header is row 1
  -- Reading is ahead of sending: what counts are the bytes of the rows that are done.
  local bytes = rows_read > 0 and read * math.min(1, rows / rows_read) or 0
  local rate, byte_rate = self:rates(now, rows, bytes)
  local share = total and total > 0 and math.min(1, bytes / total)
  local pieces = {}
  local function add(piece, colour)
    pieces[#pieces + 1] = { text = piece, colour = self.colour and colour }
  end
  if share then
    add(("%d%%"):format(math.floor(share * 100)))
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

-- The line. On a terminal pieces that do not fit are left out, and a bar is as wide as they leave room for.
function Progress:line(pieces, share)
  local room, parts = self.terminal and (system.columns(io.stderr) or 80) - 1 or math.huge, {}
  for _, piece in ipairs(pieces) do
    room = room - #piece.text - (#parts > 0 and 2 or 0)
    if room < 0 then
      break
    end
    parts[#parts + 1] = piece.colour and piece.colour .. piece.text .. "\27[0m" or piece.text
  end
  local line = table.concat(parts, self.terminal and "  " or ", ")
  local width = math.min(BAR_MAX, room - 3)
  if self.terminal and share and width >= BAR_MIN then
    local full = math.floor(share * width)
    line = "[" .. ("#"):rep(full) .. ("."):rep(width - full) .. "] " .. line
  end
  return line
end

--- Shows the progress, if the last time is long enough ago.
---@param counter table of heymarket.report
---@param source table of heymarket.csv, which tells how far it was read
function Progress:update(counter, source)
  local now = system.monotonic()
  if not self.wanted or now - self.drawn_at < (self.terminal and REDRAW_EVERY or LINE_EVERY) then
    return
  end
  self.drawn_at, self.visible = now, self.terminal
  local line = self:line(self:pieces(now, counter:report({}, false), source))
  io.stderr:write(self.terminal and "\r\27[K" .. line or line .. "\n")
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
