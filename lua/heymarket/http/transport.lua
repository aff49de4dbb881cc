--- Transport: sends requests over libcurl and hands over their results.
---
--- What stands in for it (the sandbox, a test) has the same methods: completions, start, wait, yield, problem, close.
local transport = {}

local core = require "heymarket.core"
local fifo = require "heymarket.util.fifo"
local loop = require "heymarket.loop"

local ABORTED = "ABORTED_BY_CALLBACK" -- libcurl's name for it

local Transport = {}
Transport.__index = Transport

--- Makes a transport. No socket is opened before the first request.
---@param config table `ca_file`, `proxy`, `user_agent`
---@param runtime table clock and sleep
function transport.new(config, runtime)
  return setmetatable({
    runtime = runtime,
    pool = core.pool { ca_file = config.ca_file, proxy = config.proxy, user_agent = config.user_agent },
    flights = {}, -- requests in flight, by number
    last_id = 0,
    nothing = fifo.new(), -- what `yield` waits for: it stays empty
  }, Transport)
end

--- A queue for the results of one call.
---@return table completions
function Transport.completions()
  return fifo.new()
end

-- The place of a result was reserved when its request started. So nothing is allocated here that could fail, and the
-- result is in the queue before any other code runs.
local function deliver(flight, result)
  result.request = flight.request
  flight.completions:push(result)
  local ok, problem = pcall(flight.request.ended, result)
  loop.here().wake(flight.completions)
  if not ok then
    error(problem, 0)
  end
end

local function forget(self, id, flight)
  self.flights[id] = nil
  flight.completions:unreserve()
end

--- Sends a request without waiting for anything.
---@param request table `method`, `url`, `body`, `timeout` and `connect_timeout` in seconds, and `ended(result)`, called
--- when it has ended, even where nobody waits for its result any more
---@param completions table
---@param headers string[] lines; they hold the token, so they are kept in no table
---@return boolean? started
---@return string? code libcurl's name of the error
---@return string? message a value for the words of `problem`; without one, libcurl's own words
---@return string? problem a code of heymarket.messages
function Transport:start(request, completions, headers)
  -- All memory is asked for now, since a result must not be lost for want of memory once the request was sent. A
  -- finalizer that runs meanwhile may close this transport.
  local id = self.last_id + 1
  self.last_id = id
  local flight = {
    request = request,
    completions = completions,
    aborted = { request = request, code = ABORTED, sent = true, elapsed = 0 },
  }
  completions:reserve()
  self.flights[id] = flight
  if self.closed then
    forget(self, id, flight)
    return nil, ABORTED, nil, "client_closed"
  end
  local pool = self.pool
  local timeout, connect_timeout = request.timeout, request.connect_timeout
  local ok, started, code, message, problem =
    pcall(pool.start, pool, request.method, request.url, headers, request.body, timeout, connect_timeout, id)
  if self.flights[id] == nil then
    return true -- closed meanwhile: its result is there already
  elseif not ok or not started then
    forget(self, id, flight)
    if not ok then
      error(started, 0)
    end
    return nil, code, message, problem
  end
  return true
end

--- Moves what can be moved without blocking, and hands results over.
---@return integer count results handed over
function Transport:pump()
  local count = 0
  if not self.closed then
    self.pool:perform()
  end
  -- Where a callback has closed it, every result was handed over already.
  local result = not self.closed and self.pool:take()
  while result do
    local flight = self.flights[result.id]
    self.flights[result.id] = nil
    if flight then
      count = count + 1
      deliver(flight, result)
    end
    result = not self.closed and self.pool:take()
  end
  return count
end

--- Number of requests in flight.
---@return integer
function Transport:running()
  return self.closed and 0 or self.pool:running()
end

--- Blocks this thread until something can be moved, or for so long.
---@param seconds number
function Transport:block(seconds)
  if self:running() > 0 then
    self.pool:wait(seconds)
  else
    self.runtime.sleep(seconds)
  end
end

--- Waits until there is a result, or for so long. It may return early.
---@param completions table
---@param seconds number
function Transport:wait(completions, seconds)
  loop.here().wait(self, completions, seconds)
end

--- Moves what can be moved, and lets others have their turn, where there are others.
function Transport:yield()
  loop.here().wait(self, self.nothing, 0)
end

--- Why a call cannot wait here, or nil.
---@return heymarket.Failure?
function Transport.problem()
  local _, problem = loop.here().can_wait()
  return problem
end

--- Closes all connections. Each request in flight gets a result that says so.
function Transport:close()
  if self.closed then
    return
  end
  self.closed = true
  self.pool:close()
  self:abandon "client_closed"
end

--- Tells whoever waits for an answer that it will not come.
---@param problem string? why, a code of heymarket.messages
---@param message string? why, in words
function Transport:abandon(problem, message)
  local id, flight = next(self.flights)
  while flight do
    self.flights[id] = nil
    flight.aborted.problem, flight.aborted.message = problem, message
    pcall(deliver, flight, flight.aborted) -- an error of one must not keep the others from their results
    id, flight = next(self.flights)
  end
end

return transport
