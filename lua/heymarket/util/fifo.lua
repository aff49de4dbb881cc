--- A queue: what goes in first comes out first. Taking the oldest value moves nothing.
local fifo = {}

local Fifo = {}
Fifo.__index = Fifo

--- Makes an empty queue.
function fifo.new()
  -- The values are self[first] to self[last]. Values never nil; places beyond `last` may be reserved.
  return setmetatable({ first = 1, last = 0, reserved = 0 }, Fifo)
end

--- Adds a value at the end. It takes a reserved place where there is one.
---@param value any not nil
function Fifo:push(value)
  self.last = self.last + 1
  self[self.last] = value
  if self.reserved > 0 then
    self.reserved = self.reserved - 1
  end
end

--- Takes the oldest value out.
---@return any value nil when the queue is empty
function Fifo:shift()
  local first = self.first
  if first > self.last then
    return nil
  end
  local value = self[first]
  self[first] = nil
  self.first = first + 1
  return value
end

--- Number of values in the queue.
---@return integer
function Fifo:length()
  return self.last - self.first + 1
end

--- The value at a place, 1 for the oldest.
---@param place integer from 1 to length()
---@return any
function Fifo:at(place)
  return self[self.first + place - 1]
end

--- Reserves one more place, so that a later `push` allocates nothing.
function Fifo:reserve()
  self[self.last + self.reserved + 1] = false
  self.reserved = self.reserved + 1
end

--- Gives one reserved place up.
function Fifo:unreserve()
  self.reserved = self.reserved - 1
end

--- Keeps a value as long as this queue: what somebody has that belongs to it.
---@param value any
function Fifo:keep(value)
  self.kept_value = value
end

--- The value that is kept.
---@return any
function Fifo:kept()
  return self.kept_value
end

return fifo
