--- Transport: requests out, results in, over libcurl.
---
--- Whatever stands in for it (the sandbox, a test) has the same methods: inbox, start, wait, rest, problem, close.
local transport = {}

local core = require "heymarket.core"
local waiting = require "heymarket.loop"

local ABORTED, CLOSED = "ABORTED_BY_CALLBACK", "the client was closed"

local Transport = {}
Transport.__index = Transport

--- Makes a transport. No socket is opened before the first request.
---@param config table `ca_file`, `proxy`, `user_agent`
---@param runtime table clock and sleep
function transport.new(config, runtime)
  return setmetatable({
    runtime = runtime,
    pool = core.pool { ca_file = config.ca_file, proxy = config.proxy, user_agent = config.user_agent },
    flights = {}, -- requests on their way, by number
    last_id = 0,
  }, Transport)
end

--- A place where the results of one call arrive.
---@return table inbox
function Transport:inbox()
  return waiting.here().inbox()
end

-- A result has a place in its inbox since its request started. So nothing is allocated here that could fail, and the
-- result is in its place before anybody else's code runs.
local function deliver(flight, result)
  local inbox = flight.inbox
  result.request = flight.request
  inbox.reserved = inbox.reserved - 1
  inbox.last = inbox.last + 1
  inbox[inbox.last] = result
  local ok, problem = pcall(flight.request.ended, result)
  waiting.here().arrived(inbox)
  if not ok then
    error(problem, 0)
  end
end

local function forget(self, id, flight)
  self.flights[id] = nil
  flight.inbox.reserved = flight.inbox.reserved - 1
end

--- Sends a request without waiting for anything.
---@param request table `method`, `url`, `body`, `timeout` and `connect_timeout` in seconds, and `ended(result)`, called
--- when it has ended, even where nobody waits for the inbox any more
---@param inbox table
---@param headers string[] lines; they hold the token, so they are kept in no table
---@return boolean? started
---@return string? code libcurl's name of the error
---@return string? message
function Transport:start(request, inbox, headers)
  -- All that has to be allocated is allocated now: once the request is on its way, its result must find its place. A
  -- finalizer that runs meanwhile may close this transport.
  local id = self.last_id + 1
  self.last_id = id
  local flight = {
    request = request,
    inbox = inbox,
    aborted = { request = request, code = ABORTED, message = CLOSED, sent = true, elapsed = 0 },
  }
  inbox.reserved = inbox.reserved + 1
  inbox[inbox.last + inbox.reserved] = false
  self.flights[id] = flight
  if self.closed then
    forget(self, id, flight)
    return nil, ABORTED, CLOSED
  end
  local pool = self.pool
  local ok, started, code, message = pcall(
    pool.start,
    pool,
    request.method,
    request.url,
    headers,
    request.body,
    request.timeout,
    request.connect_timeout,
    id
  )
  if self.flights[id] == nil then
    return true -- closed meanwhile: the inbox has been told
  elseif not ok or not started then
    forget(self, id, flight)
    if not ok then
      error(started, 0)
    end
    return nil, code, message
  end
  waiting.here().started(self)
  return true
end

--- Moves what can be moved without blocking, and hands results to their inboxes.
---@return integer count results handed over
function Transport:pump()
  local count = 0
  if not self.closed then
    self.pool:perform()
  end
  -- Closed in the middle, it has told every inbox already.
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

--- Number of requests on their way.
---@return integer
function Transport:running()
  return self.closed and 0 or self.pool:running()
end

--- Waits until the inbox has a result, or for so long. It may return early.
---@param inbox table
---@param seconds number
function Transport:wait(inbox, seconds)
  waiting.here().wait(self, inbox, seconds)
end

--- Lets others have their turn, where there are others.
function Transport:rest()
  waiting.here().rest()
end

--- Why this is no place to wait, or nil.
---@return heymarket.Failure?
function Transport:problem()
  return waiting.here().problem()
end

--- Closes all connections. Whoever waits for an answer is told that it will not come.
function Transport:close()
  if self.closed then
    return
  end
  self.closed = true
  self.pool:close()
  self:abandon(CLOSED)
end

--- Tells whoever waits for an answer that it will not come.
---@param message string why
function Transport:abandon(message)
  local id, flight = next(self.flights)
  while flight do
    self.flights[id] = nil
    flight.aborted.message = message
    pcall(deliver, flight, flight.aborted) -- everybody is told, whatever one of them does
    id, flight = next(self.flights)
  end
end

return transport
