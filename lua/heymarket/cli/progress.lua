--- Progress of an import on stderr: a bar on a terminal, elsewhere a line now and then.
local progress = {}

local forecast = require "heymarket.cli.forecast"
local format = require "heymarket.util.format"
local messages = require "heymarket.messages"
local report = require "heymarket.report"
local system = require "heymarket.system"

local REDRAW_EVERY, LINE_EVERY = 0.1, 5 -- seconds
local OUTAGE_LINE_EVERY = 60 -- seconds, where lines tell of an outage
local BAR_MIN, BAR_MAX = 10, 30 -- columns
local COLOURS = { accepted = "\27[32m", rejected = "\27[33m", invalid = "\27[31m", failed = "\27[31m" }
COLOURS.unknown, COLOURS.unsent = COLOURS.failed, COLOURS.rejected
local WAITING = "\27[33m"
-- What is waited for, in words, and in fewer words.
local WAITS = {
  answer = { "waits_answer", "waits_answer_short" },
  outage = { "waits_outage", "waits_outage_short" },
  pace = { "waits_pace", "waits_pace_short" },
  retry = { "waits_retry", "waits_retry_short" },
  throttled = { "waits_throttled", "waits_throttled_short" },
}

local Progress = {}
Progress.__index = Progress

--- Makes the progress display of one import. Where it is not wanted, it shows nothing.
---@param wanted boolean
---@param limit integer|false|nil requests a minute
function progress.new(wanted, limit)
  local now, terminal = system.monotonic(), system.isatty(io.stderr) and os.getenv "TERM" ~= "dumb"
  return setmetatable({
    wanted = wanted,
    terminal = terminal,
    colour = terminal and (os.getenv "NO_COLOR" or "") == "",
    drawn_at = now,
    forecast = forecast.new(limit or false, now),
  }, Progress)
end

--- Is progress shown? Otherwise it need not be told of events.
---@return boolean
function Progress:is_wanted()
  return self.wanted
end

--- Takes note of an event of the call.
---@param event heymarket.Event
function Progress:note(event)
  self.forecast:note(event, system.monotonic())
end

--- Takes note that the contacts of a request have their outcome.
function Progress:settled()
  self.forecast:settled()
end

-- What the import waits for, in words, and the same in fewer words.
local function waiting_words(what, seconds, next_try)
  local values = { time = format.duration(seconds) }
  values.next = next_try and next_try > 0 and format.duration(next_try) or nil
  return messages.text(WAITS[what][1], values), messages.text(WAITS[what][2], values)
end

-- The facts as pieces of text, in the order in which they are shown, and the share that is done, where it is known.
function Progress:pieces(now, made, source)
  local read, total = source:progress()
  local rows, rows_read = made.total, source:position() - 1 -- the header is row 1
  -- Reading is ahead of sending: what counts are the bytes of the rows that are done.
  local bytes = rows_read > 0 and read * math.min(1, rows / rows_read) or 0
  local share = total and total > 0 and math.min(1, bytes / total)
  self.forecast:progress(rows, now)
  local pieces = {}
  local function add(piece, colour, short)
    pieces[#pieces + 1] = { text = piece, short = short, colour = self.colour and colour }
  end
  local what, seconds, next_try = self.forecast:waiting(now)
  if what then
    local words, fewer = waiting_words(what, seconds, next_try)
    add(words, WAITING, fewer)
  end
  if share then
    add(("%d%%"):format(math.floor(share * 100)))
  end
  add(format.plural(rows, "row"))
  local rate = what ~= "outage" and self.forecast:rate(now)
  if rate and rate >= 1 then
    add(format.grouped(rate) .. "/s")
  end
  local left = share and share > 0 and self.forecast:left(rows * (1 / share - 1), now)
  if left then
    add(format.duration(left) .. " left")
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
    local gap = #parts > 0 and 2 or 0
    local shown = #piece.text + gap > room and piece.short or piece.text
    room = room - #shown - gap
    if room < 0 then
      break
    end
    parts[#parts + 1] = piece.colour and piece.colour .. shown .. "\27[0m" or shown
  end
  local line = table.concat(parts, self.terminal and "  " or ", ")
  local width = math.min(BAR_MAX, room - 3)
  if self.terminal and share and width >= BAR_MIN then
    local full = math.floor(share * width)
    line = "[" .. ("#"):rep(full) .. ("."):rep(width - full) .. "] " .. line
  end
  return line
end

-- Seconds between two lines. That an outage has begun is told at once; then little changes.
function Progress:interval(what)
  if self.terminal then
    return REDRAW_EVERY
  elseif what == "outage" then
    return self.told == "outage" and OUTAGE_LINE_EVERY or 0
  end
  return LINE_EVERY
end

--- Shows the progress, if the last time is long enough ago.
---@param counter table of heymarket.report
---@param source table of heymarket.csv, which tells how far it was read
function Progress:update(counter, source)
  if not self.wanted then
    return
  end
  local now = system.monotonic()
  local what = self.forecast:waiting(now)
  if now - self.drawn_at < self:interval(what) then
    return
  end
  self.drawn_at, self.visible, self.told = now, self.terminal, what
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
