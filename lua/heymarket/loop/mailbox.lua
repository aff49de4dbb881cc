--- Mailbox: where the results of requests arrive, and who waits for them.
---
--- The results come out of a pool, which this thread drives itself, or out of an inbox, which the core's thread fills.
local mailbox = {}

local core = require "heymarket.core"

local ABORTED = "ABORTED_BY_CALLBACK" -- libcurl's name for it

local Mailbox = {}
Mailbox.__index = Mailbox

local function new(source, wake)
  return setmetatable({
    source = source,
    wake = wake,
    flights = {}, -- requests in flight, by number
    last_id = 0,
    is_closed = false,
  }, Mailbox)
end

--- The mailbox of a pool whose transfers are moved by `pump`.
---@param pool table of heymarket.core
---@param wake fun(completions: table) tells who waits for these completions; raises nothing
function mailbox.of_pool(pool, wake)
  local made = new(pool, wake)
  made.pool = pool
  return made
end

--- A mailbox with an inbox of its own.
---@param wake fun(completions: table) tells who waits for these completions; raises nothing
function mailbox.of_inbox(wake)
  local made = new(core.inbox(), wake)
  made.own_inbox = made.source
  return made
end

--- The inbox, which `pool:start` is given; nil where the results come out of the pool.
function Mailbox:inbox()
  return self.own_inbox
end

--- Connects somebody to the inbox, who then reads a byte when results come.
---@param connect fun(path: string): any is given the path of a unix socket, gives what is connected to it
---@return any connected nil where no such socket can be made
function Mailbox:connect(connect)
  local path = self.own_inbox:listen()
  local connected = path and connect(path)
  return self.own_inbox:accept() and connected or nil
end

--- Expects the result of a request that is about to start. All memory is asked for now, since a result must not be lost
--- for want of memory once the request was sent.
---@param request table
---@param completions table
---@param owner table whose request it is
---@return integer id
function Mailbox:expect(request, completions, owner)
  local id = self.last_id + 1
  self.last_id = id
  local flight = {
    request = request,
    completions = completions,
    owner = owner,
    aborted = { request = request, code = ABORTED, sent = true, elapsed = 0 },
  }
  completions:reserve()
  self.flights[id] = flight
  return id
end

--- Is the result with this number still to come?
---@param id integer
---@return boolean
function Mailbox:expects(id)
  return self.flights[id] ~= nil
end

--- Expects that result no more: its request did not start.
---@param id integer
function Mailbox:forget(id)
  local flight = self.flights[id]
  self.flights[id] = nil
  flight.completions:unreserve()
end

--- Is no request in flight?
---@return boolean
function Mailbox:is_empty()
  return next(self.flights) == nil
end

-- The place of a result was reserved when its request started. So nothing is allocated here that could fail, and the
-- result is in the queue before any other code runs.
local function deliver(self, flight, result)
  result.request = flight.request
  flight.completions:push(result)
  local ok, problem = pcall(flight.request.ended, result)
  self.wake(flight.completions)
  if not ok then
    error(problem, 0)
  end
end

--- Hands over the results that are there, without blocking.
---@return integer count
function Mailbox:pump()
  local count = 0
  if self.pool and not self.is_closed then
    self.pool:perform()
  end
  -- Where a callback has closed it, every result was handed over already.
  local result = not self.is_closed and self.source:take()
  while result do
    local flight = self.flights[result.id]
    self.flights[result.id] = nil
    if flight then
      count = count + 1
      deliver(self, flight, result)
    end
    result = not self.is_closed and self.source:take()
  end
  return count
end

-- A finalizer may come here by closing a client. There LuaJIT may never leave a loop of `pairs` or `in next`, see
-- spec/live/finalizer_spec.lua.
local function next_flight(self, owner)
  local id, flight = next(self.flights)
  while flight and owner ~= nil and flight.owner ~= owner do
    id, flight = next(self.flights, id)
  end
  return id, flight
end

--- Tells whoever waits for a result that it will not come.
---@param owner table? only for the requests of this one
---@param problem string? why, a code of heymarket.messages
---@param message string? why, in words
function Mailbox:abandon(owner, problem, message)
  local id, flight = next_flight(self, owner)
  while flight do
    self.flights[id] = nil
    flight.aborted.problem, flight.aborted.message = problem, message
    pcall(deliver, self, flight, flight.aborted) -- an error of one must not keep the others from their results
    id, flight = next_flight(self, owner)
  end
end

--- Takes no more results out of its pool, which is closed.
function Mailbox:close()
  self.is_closed = true
end

return mailbox
