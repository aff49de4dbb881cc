--- In flight: the tries whose results have not come yet, and which of them are lost.
local in_flight = {}

local InFlight = {}
InFlight.__index = InFlight

-- The transport ends every try within its timeout. A try that it has not ended so many seconds later is lost: nobody
-- waits for it any more.
local LOST_AFTER = 10
local SEARCH_INTERVAL = 1 -- seconds between two searches for lost tries

--- Makes an empty record.
function in_flight.new()
  -- `tries` holds for each try the monotonic time at which it counts as lost, false as long as it is not late.
  return setmetatable({ tries = {}, number = 0, next_search = 0 }, InFlight)
end

--- Notes that a try has started.
---@param try heymarket.Try
function InFlight:add(try)
  self.tries[try] = false
  self.number = self.number + 1
end

--- Notes that a try has ended.
---@param try heymarket.Try
---@return boolean removed false where it had ended before
function InFlight:remove(try)
  if self.tries[try] == nil then
    return false
  end
  self.tries[try] = nil
  self.number = self.number - 1
  return true
end

--- Number of tries in flight.
---@return integer
function InFlight:count()
  return self.number
end

--- All tries in flight.
---@return heymarket.Try[]
function InFlight:all()
  local list = {}
  for try in pairs(self.tries) do
    list[#list + 1] = try
  end
  return list
end

--- The tries whose results will not come any more. It searches once a second.
---@param now number monotonic time
---@return heymarket.Try[]? lost nil where there are none
function InFlight:lost(now)
  if self.number == 0 or now < self.next_search then
    return nil
  end
  self.next_search = now + SEARCH_INTERVAL
  local lost
  for try, lost_at in pairs(self.tries) do
    if lost_at and now >= lost_at then
      lost = lost or {}
      lost[#lost + 1] = try
    elseif not lost_at and now > try.started + try.timeout then
      -- The time starts now, not at the timeout: if the process was suspended, the result may be there already.
      self.tries[try] = now + LOST_AFTER
    end
  end
  return lost
end

return in_flight
