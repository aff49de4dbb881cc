--- Seats: what a call has while it waits for a descriptor.
---
--- Each call that waits has a seat of its own, because many loops let only one coroutine wait for a descriptor.
local seat = {}

local mailbox = require "heymarket.loop.mailbox"

local Seat = {}
Seat.__index = Seat

-- Seats that no call has. Their descriptors stay open for the next calls: cqueues looks at one once more after nobody
-- waits for it, and fails where it was closed meanwhile.
local free = {}

-- Somebody else delivers a result only when the client is closed.
local function wake(completions)
  local taken = completions:kept()
  if taken and taken.is_waiting then
    taken.own:inbox():ring()
  end
end

local function descriptor_of(own)
  return own:inbox():descriptor() or error("too many files are open", 0)
end

local function new()
  local own = mailbox.of_inbox(wake)
  descriptor_of(own) -- where there is none left, nothing must be sent
  return setmetatable({ own = own, is_waiting = false }, Seat)
end

--- Takes a free seat, or a new one.
function seat.take()
  return table.remove(free) or new()
end

--- Where results for this seat arrive.
function Seat:mailbox()
  return self.own
end

--- Waits for the descriptor, and hands over what has come.
---@param wait fun(fd: integer, seconds: number)
---@param seconds number
function Seat:wait(wait, seconds)
  self.is_waiting = true
  wait(descriptor_of(self.own), seconds)
  self.is_waiting = false
  self.own:inbox():clear()
  self.own:pump()
end

--- Gives the seat to the next call.
function Seat:leave()
  free[#free + 1] = self
end

return seat
