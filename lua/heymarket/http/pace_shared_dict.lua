--- Counts the requests of all workers of an nginx in a lua_shared_dict. A store of heymarket.http.pacer, which says
--- what its methods do.
---
--- Requests are counted by seconds. Every entry expires by itself, so that a worker which dies leaves nothing behind.
local pace_shared_dict = {}

local SharedDict = {}
SharedDict.__index = SharedDict

local WINDOW = 60 -- seconds in which the API counts
-- A second is in the window until a minute after its last moment.
local SECONDS = WINDOW + 1

--- Makes a store.
---@param dict table a lua_shared_dict
---@param name string what the workers have in common: the account
---@param time fun():number the machine's clock, Unix seconds: the same in all workers
function pace_shared_dict.new(dict, name, time)
  return setmetatable({ dict = dict, prefix = "heymarket:" .. name .. ":", time = time }, SharedDict)
end

-- Adds up the window around a second. Others may have counted in the second after it already.
local function sum_of_window(self, second, counted)
  local sum, counts = counted, { [second] = counted }
  for s = second - WINDOW, second + 1 do
    if s ~= second then
      counts[s] = self.dict:get(self.prefix .. s) or 0
      sum = sum + counts[s]
    end
  end
  return sum, counts
end

function SharedDict:take(limit)
  if not limit then
    return true
  end
  local now = self.time()
  local second = math.floor(now)
  -- It counts first and looks afterwards: of two workers that ask at once for the last place, never both go. Who counts
  -- after us in this second sees our count, and we need not see theirs: else both would wait with a place free.
  local counted, problem = self.dict:incr(self.prefix .. second, 1, 0, SECONDS + 1)
  if not counted then
    error("heymarket: the lua_shared_dict given as shared_dict cannot count: " .. tostring(problem))
  end
  local sum, counts = sum_of_window(self, second, counted)
  if sum <= limit then
    return second
  end
  self.dict:incr(self.prefix .. second, -1)
  local surplus = sum - limit
  for s = second - WINDOW, second do
    surplus = surplus - counts[s]
    if surplus <= 0 then
      return nil, s + SECONDS - now
    end
  end
  return nil, 1
end

function SharedDict:finish(second)
  if type(second) == "number" then
    -- The server may have seen it as late as now.
    local now = math.floor(self.time())
    if now ~= second and self.dict:incr(self.prefix .. now, 1, 0, SECONDS + 1) then
      self.dict:incr(self.prefix .. second, -1)
    end
  end
end

function SharedDict:pause(seconds)
  if seconds > 0 and seconds > self:paused() then
    self.dict:set(self.prefix .. "pause", self.time() + seconds, seconds)
  end
end

function SharedDict:paused()
  local ends = self.dict:get(self.prefix .. "pause")
  return ends and ends - self.time() or 0
end

return pace_shared_dict
