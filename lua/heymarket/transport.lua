--- Transport: requests out, results in, over libcurl.
---
--- Whatever stands in for it (the sandbox, a test) has the same methods: inbox, start, wait, rest, problem, close.
local transport = {}

local core = require "heymarket.core"
local waiting = require "heymarket.waiting"

local Transport = {}
Transport.__index = Transport

--- Makes a transport. No socket is opened before the first request.
---@param config table `ca_file`, `proxy`, `user_agent`
---@param runtime table clock and sleep
function transport.new(config, runtime)
  return setmetatable({
    runtime = runtime,
    pool = core.pool { ca_file = config.ca_file, proxy = config.proxy, user_agent = config.user_agent },
    flights = {},
  }, Transport)
end

--- A place where the results of one call arrive.
---@return table inbox
function Transport:inbox()
  return waiting.here().inbox()
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
  if self.closed then
    return nil, "ABORTED_BY_CALLBACK", "the client was closed"
  end
  local id, code, message =
    self.pool:start(request.method, request.url, headers, request.body, request.timeout, request.connect_timeout)
  if not id then
    return nil, code, message
  end
  self.flights[id] = { request = request, inbox = inbox }
  waiting.here().started(self)
  return true
end

local function deliver(flight, result)
  local inbox = flight.inbox
  result.request = flight.request
  flight.request.ended(result)
  inbox.last = inbox.last + 1
  inbox[inbox.last] = result
  waiting.here().arrived(inbox)
end

--- Moves what can be moved without blocking, and hands results to their inboxes.
---@return integer count results handed over
function Transport:pump()
  if self.closed then
    return 0
  end
  self.pool:perform()
  local count = 0
  local result = self.pool:take()
  while result do
    local flight = self.flights[result.id]
    self.flights[result.id] = nil
    if flight then
      count = count + 1
      deliver(flight, result)
    end
    result = self.pool:take()
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
  local flights = self.flights
  self.flights = {}
  for _, flight in pairs(flights) do
    deliver(flight, { code = "ABORTED_BY_CALLBACK", message = "the client was closed", sent = true, elapsed = 0 })
  end
end

return transport
