--- Counts the requests of one client in memory. A store of heymarket.http.pacer, which says what its methods do.
local pace_memory = {}

local fifo = require "heymarket.util.fifo"

local Memory = {}
Memory.__index = Memory

local WINDOW = 60 -- seconds in which the API counts

--- Makes a store.
---@param monotonic fun():number clock in seconds
function pace_memory.new(monotonic)
  return setmetatable({
    monotonic = monotonic,
    active = 0, -- requests in flight
    finished = fifo.new(), -- when those of the last minute ended, oldest first
    is_limited = false, -- was there ever a limit? Without one the times of a fast import would only take memory
  }, Memory)
end

function Memory:take(limit)
  self.is_limited = self.is_limited or limit ~= false
  local now, finished = self.monotonic(), self.finished
  while finished:length() > 0 and finished:at(1) + WINDOW <= now do
    finished:shift()
  end
  local surplus = self.active + finished:length() + 1 - (limit or math.huge)
  if surplus > 0 then
    -- With a limit below what is counted already, more than one of the finished must leave the window.
    local leaving = surplus <= finished:length() and finished:at(surplus)
    return nil, leaving and leaving + WINDOW - now or nil
  end
  self.active = self.active + 1
  return true
end

function Memory:finish()
  self.active = self.active - 1
  if self.is_limited then
    self.finished:push(self.monotonic())
  end
end

-- No other pacer uses this store.
function Memory:pause() end

function Memory:paused()
  return 0
end

return pace_memory
