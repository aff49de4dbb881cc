--- Pacer: never more requests in a minute than allowed, and slower for a while after a 429.
---
--- The rule is here; a store keeps what is counted. A store has these methods, none of which yields:
--- - `take(limit)`: counts a request that starts now, where fewer than `limit` (false: no limit) count in the last
---   minute. Gives a permit; or nil and the seconds after which to ask again, without seconds where that depends on the
---   end of a request in flight. It raises an error where it cannot count.
--- - `finish(permit)`: that request has ended. It stays counted for a minute.
--- - `pause(seconds)`: tells the other pacers of the store to start no request for so long. A shorter pause does not
---   shorten a longer one.
--- - `paused()`: seconds until such a pause ends, 0 or less where there is none.
---
--- The server counts when a request arrives, which is after its start here and before its end. So a request is counted
--- from its start until a minute after its end: then no minute at the server can hold more than the limit.
local pacer = {}

local Pacer = {}
Pacer.__index = Pacer

local GAP_MAX = 10 -- seconds between two requests at the slowest
local GAP_FIRST = 0.12 -- a minute divided by the API's 500 requests
local GAP_KEPT = 0.8 -- the part of the gap that is left after a successful request

--- Makes a pacer.
---@param store table see above
---@param monotonic fun():number clock in seconds
function pacer.new(store, monotonic)
  return setmetatable({
    store = store,
    monotonic = monotonic,
    pause_ends = -math.huge, -- monotonic time
    gap = 0, -- seconds between two requests of this process
    last_start = -math.huge,
    throttled_at = -math.huge, -- monotonic time of the last 429 that made the gap larger
  }, Pacer)
end

--- May a request start now? If so it is counted from here on, and `finish` must follow.
---@param limit integer|false requests per minute
---@return any permit for `finish`; nil when it may not
---@return number? seconds after which to ask again; nil when that depends on a request in flight
---@return "pace"|"pause"|nil cause why no request can start before; nil where a response may make the wait shorter
function Pacer:reserve(limit)
  local now = self.monotonic()
  local pause = math.max(self.pause_ends - now, self.store:paused())
  local seconds = math.max(pause, self.last_start + self.gap - now)
  if seconds > 0 then
    return nil, seconds, pause >= seconds and "pause" or nil
  end
  local permit, delay = self.store:take(limit)
  if permit then
    self.last_start = now
  end
  return permit, delay, delay and "pace"
end

--- A request has ended, however it ended.
---@param permit any
function Pacer:finish(permit)
  self.store:finish(permit)
end

--- A 429: every request waits, and requests keep a distance afterwards.
---@param delay number seconds
---@param started number monotonic time at which the refused request started
function Pacer:on_throttled(delay, started)
  local now = self.monotonic()
  self.pause_ends = math.max(self.pause_ends, now + delay)
  self.store:pause(delay)
  -- Requests that were in flight together are refused together; that is one reason to slow down, not several.
  if started >= self.throttled_at then
    self.gap = math.min(GAP_MAX, math.max(GAP_FIRST, self.gap * 2))
    self.throttled_at = now
  end
end

--- A request had a good response: the distance shrinks step by step.
---@param started number monotonic time at which it started: those that were in flight before a 429 do not count
function Pacer:on_success(started)
  if self.gap > 0 and started >= self.throttled_at then
    self.gap = self.gap * GAP_KEPT
    if self.gap < GAP_FIRST / 10 then
      self.gap = 0
    end
  end
end

return pacer
