--- The pace of a client: never more requests in a minute than allowed, and slower for a while after a 429.
local pacer = {}

local Pacer = {}
Pacer.__index = Pacer

local WINDOW = 60 -- seconds, the window in which the API counts
local GAP_MAX = 10 -- seconds between two requests at the slowest
local GAP_FIRST = 0.12 -- a minute divided by the API's 500 requests
local SPEED_UP = 0.8 -- what an answered request leaves of the gap

--- Makes a pacer.
---@param monotonic fun():number clock in seconds
function pacer.new(monotonic)
  return setmetatable({
    monotonic = monotonic,
    active = 0, -- requests on their way
    first = 1, -- the finished ones of the last minute are finished[first] to finished[last], oldest first
    last = 0,
    finished = {},
    pause_until = 0,
    gap = 0,
    last_start = -math.huge,
    slowed_at = -math.huge,
  }, Pacer)
end

--- May a request start now? If so it counts from here on, and `finish` must follow.
---
--- The server counts when a request arrives, which is after its start here and before its end. So a request keeps its
--- place from its start until a minute after its end: then no minute at the server can hold more than the limit.
---@param limit integer|false requests per minute
---@return any permit for `finish`; nil when it may not
---@return number? seconds after which to ask again; nil when that depends on a request that is on its way
function Pacer:reserve(limit)
  self.limited = self.limited or limit
  local now = self.monotonic()
  local earliest = math.max(self.pause_until, self.last_start + self.gap)
  if now < earliest then
    return nil, earliest - now
  end
  local finished = self.finished
  while self.first <= self.last and finished[self.first] + WINDOW <= now do
    finished[self.first] = nil
    self.first = self.first + 1
  end
  if limit and self.active + self.last - self.first + 1 >= limit then
    -- With a limit below what is already out, more than one of the finished must leave the window.
    local leaving = self.first + (self.active + self.last - self.first + 1 - limit)
    local oldest = finished[leaving]
    return nil, oldest and oldest + WINDOW - now
  end
  self.active = self.active + 1
  self.last_start = now
  return true
end

--- A request has ended, however it ended.
function Pacer:finish()
  self.active = self.active - 1
  -- Without a limit nothing asks, and the log of a fast import would only grow.
  if not self.limited then
    return
  end
  self.last = self.last + 1
  self.finished[self.last] = self.monotonic()
end

--- A 429: every request of the client waits, and they keep a distance afterwards.
---@param delay number seconds
---@param started number monotonic time at which the refused request started
function Pacer:on_throttled(delay, started)
  local now = self.monotonic()
  self.pause_until = math.max(self.pause_until, now + delay)
  -- Requests that were on their way together are refused together; that is one reason to slow down, not several.
  if started >= self.slowed_at then
    self.gap = math.min(GAP_MAX, math.max(GAP_FIRST, self.gap * 2))
    self.slowed_at = now
  end
end

--- A request was answered: the distance shrinks step by step.
---@param started number monotonic time at which it started: those that were on their way before a 429 tell nothing
function Pacer:on_success(started)
  if self.gap > 0 and started >= self.slowed_at then
    self.gap = self.gap * SPEED_UP
    if self.gap < GAP_FIRST / 10 then
      self.gap = 0
    end
  end
end

-- The pace of all workers of an nginx together: what is counted stands in a lua_shared_dict, by seconds.
local Shared = setmetatable({}, { __index = Pacer })
Shared.__index = Shared

-- A second is in the window until a minute after its last moment.
local SECONDS = WINDOW + 1

--- Makes a pacer that counts in a lua_shared_dict.
---
--- Every entry there expires by itself, so that a worker which dies takes nothing with it. A pause after a 429 holds
--- for all workers; the distance between requests afterwards is each worker's own.
---@param dict table a lua_shared_dict
---@param name string what the workers have in common: the account
---@param monotonic fun():number this worker's clock
---@param time fun():number the machine's clock, Unix seconds: the same in all workers
function pacer.shared(dict, name, monotonic, time)
  local self = pacer.new(monotonic)
  self.dict, self.prefix, self.time = dict, "heymarket:" .. name .. ":", time
  return setmetatable(self, Shared)
end

function Shared:reserve(limit)
  local now = self.time()
  local pause = self.dict:get(self.prefix .. "pause")
  if pause and pause > now then
    return nil, pause - now
  end
  -- The worker's own part: the distance between requests, and nothing else, for it never counts.
  local permit, delay = Pacer.reserve(self, false)
  if not permit or not limit then
    return permit, delay
  end
  local second = math.floor(now)
  -- Counted first and looked at afterwards: of two workers that ask at once for the last place, never both go.
  local counted, problem = self.dict:incr(self.prefix .. second, 1, 0, SECONDS + 1)
  if not counted then
    error("heymarket: the lua_shared_dict given as shared_dict cannot count: " .. tostring(problem))
  end
  -- Who counts after us in this second has to look at us, not we at them: else both would wait with a place free. In
  -- the second after, another worker may already have counted.
  local sum, counts = counted, { [second] = counted }
  for s = second - WINDOW, second + 1 do
    if s ~= second then
      counts[s] = self.dict:get(self.prefix .. s) or 0
      sum = sum + counts[s]
    end
  end
  if sum <= limit then
    return second
  end
  self.dict:incr(self.prefix .. second, -1)
  self.active = self.active - 1
  local surplus = sum - limit
  for s = second - WINDOW, second do
    surplus = surplus - counts[s]
    if surplus <= 0 then
      return nil, s + SECONDS - now
    end
  end
  return nil, 1
end

function Shared:finish(second)
  Pacer.finish(self)
  if type(second) == "number" then
    -- The server may have seen it as late as now.
    local now = math.floor(self.time())
    if now ~= second and self.dict:incr(self.prefix .. now, 1, 0, SECONDS + 1) then
      self.dict:incr(self.prefix .. second, -1)
    end
  end
end

function Shared:on_throttled(delay, started)
  Pacer.on_throttled(self, delay, started)
  local until_time = self.time() + delay
  local pause = self.dict:get(self.prefix .. "pause")
  if delay > 0 and (not pause or pause < until_time) then
    self.dict:set(self.prefix .. "pause", until_time, delay)
  end
end

return pacer
