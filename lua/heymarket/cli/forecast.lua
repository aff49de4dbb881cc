--- Forecast: how fast an import is, what it waits for, and how long it will take. It is told what happens, and when.
local forecast = {}

local MINUTE = 60 -- seconds for which the pace counts a request after its end
local SAMPLE_EVERY, WINDOW = 1, 60 -- seconds; the speed is that of the last WINDOW seconds
local BUSY_MIN = 0.5 -- seconds of work from which the speed can be told
local SILENT_AFTER = 3 -- seconds without an answer from which on it is said that one is waited for

local Forecast = {}
Forecast.__index = Forecast

--- Makes the forecast of an import that begins now.
---@param limit integer|false requests a minute
---@param now number seconds
function forecast.new(limit, now)
  return setmetatable({
    limit = limit,
    ends = {}, -- when the requests of the last minute ended, oldest first
    in_flight = 0,
    undecided = 0, -- requests that have an answer whose contacts have no outcome yet
    batches = 0, -- requests with contacts that were sent for the first time
    contacts = 0, -- in them
    rows = 0,
    busy = 0, -- seconds in which neither the pace nor an outage held anything up
    idle = 0, -- of them, those since the number of rows has grown
    seen = now,
    samples = { { at = now, rows = 0, busy = 0 } },
  }, Forecast)
end

--- Takes note of an event of the call.
---@param event heymarket.Event
---@param now number seconds
function Forecast:note(event, now)
  if event.type == "request" then
    self.silent_since = self.in_flight == 0 and now or self.silent_since
    self.in_flight = self.in_flight + 1
    self.paced_until, self.retry_at = nil, nil
    if event.attempt == 1 and event.contacts > 0 then
      self.batches, self.contacts = self.batches + 1, self.contacts + event.contacts
    end
  elseif event.type == "response" then
    self.silent_since = now
    self.in_flight = self.in_flight - 1
    self.ends[#self.ends + 1] = now
    self.undecided = self.undecided + (event.contacts > 0 and 1 or 0)
    self.is_throttled = event.status == 429
  elseif event.type == "retry" then
    self.retry_at = now + event.delay
    self:settled()
  elseif event.type == "pace" then
    self.paced_until = now + event.delay
  elseif event.type == "outage" then
    self.undecided = 0
    self.outage = event.delay and { since = now - event.elapsed, next_try = now + event.delay } or nil
  end
end

--- Takes note that the contacts of a request have their outcome, or that it goes on in another one.
function Forecast:settled()
  self.undecided = math.max(0, self.undecided - 1)
end

--- What the import waits for now.
---@param now number seconds
---@return "outage"|"pace"|"throttled"|"retry"|"answer"|nil what
---@return number? seconds until it goes on; of "outage" and "answer": since it waits
---@return number? next_try of "outage": seconds until the server is asked again, 0 or less while it is asked
function Forecast:waiting(now)
  if self.outage then
    return "outage", now - self.outage.since, self.in_flight > 0 and 0 or self.outage.next_try - now
  elseif self.paced_until and self.paced_until > now then
    return self.is_throttled and "throttled" or "pace", self.paced_until - now
  elseif self.in_flight > 0 and now - self.silent_since >= SILENT_AFTER then
    return "answer", now - self.silent_since
  elseif self.in_flight == 0 and self.retry_at and self.retry_at > now then
    return "retry", self.retry_at - now
  end
end

-- Waits that say nothing of how fast the server is.
local HELD_UP = { outage = true, pace = true, throttled = true }

--- Takes note of how far the import is.
---@param rows number that have their outcome
---@param now number seconds
function Forecast:progress(rows, now)
  local passed = HELD_UP[self:waiting(now)] and 0 or now - self.seen
  self.busy, self.idle, self.seen = self.busy + passed, self.idle + passed, now
  local samples = self.samples
  if now - samples[#samples].at >= SAMPLE_EVERY then
    samples[#samples + 1] = { at = now, rows = rows, busy = self.busy }
    while #samples > 2 and now - samples[2].at >= WINDOW do
      table.remove(samples, 1)
    end
  end
  local oldest = samples[1]
  if rows > self.rows then
    self.idle = 0
    if self.busy - oldest.busy >= BUSY_MIN then
      self.speed = (rows - oldest.rows) / (self.busy - oldest.busy)
    end
  end
  self.rows = rows
end

--- Rows per second in the last minute, waiting included.
---@param now number seconds
---@return number? rate nil where it cannot be told yet
function Forecast:rate(now)
  local oldest = self.samples[1]
  local passed = now - oldest.at
  return passed >= BUSY_MIN and (self.rows - oldest.rows) / passed or nil
end

-- Seconds until the pace has let so many further requests go.
local function pace_wait(self, requests, now)
  local ends, limit = self.ends, self.limit
  while ends[1] and ends[1] + MINUTE <= now do
    table.remove(ends, 1)
  end
  local over = requests - (limit - self.in_flight - #ends)
  if over <= 0 then
    return 0
  end
  -- A place becomes free a minute after its request has ended; then all of them once a minute.
  local minutes, place = math.floor((over - 1) / limit), (over - 1) % limit + 1
  return minutes * MINUTE + (ends[place] and ends[place] + MINUTE - now or MINUTE)
end

--- Seconds until so many further rows have their outcome: at the speed of the last minute, or as the pace allows,
--- whichever is longer.
---@param rows number
---@param now number seconds
---@return number? seconds nil where it cannot be told
function Forecast:left(rows, now)
  local is_paced = self.limit and self.batches > 0
  if self.outage or not self.speed and not is_paced then
    return nil
  end
  local left = self.speed and math.max(0, rows / self.speed - self.idle) or 0
  if is_paced then
    local requests = math.ceil(rows / (self.contacts / self.batches)) - self.in_flight - self.undecided
    left = math.max(left, pace_wait(self, requests, now))
  end
  return (self.speed or left > 0) and left or nil
end

return forecast
