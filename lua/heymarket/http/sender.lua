--- Sender: the requests of one call, from the first try to the final response.
---
--- Requests go in with `add`; `next` gives each back with its value or its failure. Between the two the sender signs,
--- keeps the pace, retries, and decides when to give up. What a response means is known to the endpoint of its request.
local sender = {}

local backlog = require "heymarket.http.backlog"
local events = require "heymarket.http.events"
local in_flight = require "heymarket.http.in_flight"
local permits = require "heymarket.http.permits"
local response = require "heymarket.http.response"
local text = require "heymarket.util.text"
local try = require "heymarket.http.try"

local Sender = {}
Sender.__index = Sender

local LONGEST_WAIT = 0.4 -- seconds; then `should_stop` is asked again, which also shows how long the call waits

---@class heymarket.Sender.Dependencies
---@field tokens table see http/token.lua
---@field pacer table see http/pacer.lua
---@field transport table see http/transport.lua
---@field monotonic fun():number seconds
---@field time fun():number Unix seconds
---@field random fun():number uniform in [0, 1)
---@field base_url string
---@field timeout number seconds for one try
---@field connect_timeout number seconds
---@field max_attempts integer tries of one request
---@field max_retry_after number seconds
---@field max_outage number? seconds for which a server is waited for that does not answer; nil or 0 for none
---@field probe heymarket.Endpoint? of a request that shows whether the server answers
---@field concurrency integer requests in flight at a time
---@field requests_per_minute integer|false
---@field deadline number? seconds for all requests together
---@field is_closed fun():boolean has the client been closed?
---@field should_stop (fun():any)? asked at least once a second; a true value stops the call
---@field emit fun(event: table)? is told of every event
---@field before_send (fun():boolean?, heymarket.Failure?)? runs before a try starts; nil and a failure stop the call

--- Makes the sender of one call.
---@param dependencies heymarket.Sender.Dependencies a table that becomes the sender: a call of one contact is not to
--- pay for a copy
function sender.new(dependencies)
  local self = dependencies
  self.completions = self.transport:completions()
  self.requests, self.retries = 0, 0
  self.events, self.emit = events.new(self.emit), nil
  self.in_flight = in_flight.new()
  self.given = self
  self.ends_at = self.deadline and self.monotonic() + self.deadline
  local function emit(event)
    self.events:emit(event)
  end
  self.permits = permits.new(self, self.ends_at, emit)
  self.backlog = backlog.new(self, self.ends_at, emit)
  return setmetatable(self, Sender)
end

--- Reports an event to the user's hook. Its errors do not disturb the call; the first is kept for the report.
---@param event table
function Sender:emit(event)
  self.events:emit(event)
end

--- Takes a request in.
---@param request heymarket.Request
function Sender:add(request)
  self.backlog:add(request)
end

--- Number of requests that were not given back yet.
---@return integer
function Sender:pending()
  return self.backlog:count() + self.in_flight:count()
end

--- Ends the call: nothing more is started; what is in flight is awaited.
---@param reason heymarket.Failure
function Sender:stop(reason)
  self.backlog:stop(reason)
end

--- Why the call has stopped.
---@return heymarket.Failure? reason nil while it goes on
function Sender:stop_reason()
  return self.backlog:stop_reason()
end

--- What the call has cost so far.
---@return integer requests tries that were started
---@return integer retries those of them that repeated an earlier one
---@return string? hook_error what `emit` raised first
function Sender:statistics()
  return self.requests, self.retries, self.events:hook_error()
end

-- A try has ended.
function Sender:on_result(result)
  local tried = result.request
  if not self.in_flight:remove(tried) then
    return -- it was given up before
  end
  local request, token = tried.request, self.tokens:of(tried)
  local sent = { token = token, body = request.body, now = self.time(), advice = self.tokens:advice() }
  local value, problem, answered = response.value_of(result, request.endpoint, sent)
  if self.events:have_hook() then
    local event = events.of(request, "response")
    event.status, event.elapsed, event.failure = result.status, result.elapsed, problem
    event.request_id = answered.request_id
    self:emit(event)
  end
  if problem then
    if problem.kind == "unauthorized" then
      self.tokens:refuse(token, answered.date)
    end
    local pause = self.backlog:failed(tried, problem)
    return pause and self.pacer:on_throttled(pause, tried.started)
  end
  self.pacer:on_success(tried.started)
  self.backlog:succeeded(tried, value)
end

-- The next try of a request, its headers, and its event where anybody is told of it.
function Sender:prepare(request, permit, bearer)
  local made, headers = try.prepare(self.given, self.ends_at, request, permit, bearer)
  local event = self.events:have_hook() and events.of(request, "request")
  if event then
    event.url, event.attempt = made.url, request.attempts + 1
  end
  return made, headers, event
end

-- Counts a try that starts now.
function Sender:count_try(started)
  self.backlog:started(started)
  self.requests = self.requests + 1
  if started.request.attempts > 1 then
    self.retries = self.retries + 1
  end
  self.in_flight:add(started)
end

function Sender:start(next_try, headers, event)
  self:emit(event)
  if self.is_closed() then
    -- The hook has closed the client: nothing of this try was sent.
    next_try.ended()
    self.backlog:put_back(next_try.request)
    return
  end
  self:count_try(next_try)
  local transport = self.transport
  local ok, started, code, message, problem = pcall(transport.start, transport, next_try, self.completions, headers)
  if not ok then
    -- How much of it was sent is not known. The error ends the call, and this try with it.
    next_try.ended()
    self:give_up(next_try, nil, text.raised(started))
    error(started, 0)
  elseif not started then
    next_try.ended()
    self:on_result { request = next_try, code = code, message = message, problem = problem, sent = false, elapsed = 0 }
  end
end

-- Ends a try that may have been sent and whose result will not come.
function Sender:give_up(lost, problem, message)
  self:on_result {
    request = lost,
    code = "ABORTED_BY_CALLBACK",
    problem = problem,
    message = message,
    sent = true,
    elapsed = self.monotonic() - lost.started,
  }
end

-- Gives up the tries whose results will not come any more, so that no call waits for ever.
function Sender:give_up_lost()
  local closed = self.is_closed()
  if closed then
    self.backlog:check_stop()
  end
  local lost = closed and self.in_flight:all() or self.in_flight:lost(self.monotonic())
  for _, one in ipairs(lost or {}) do
    self:give_up(one, closed and "client_closed" or "transport_lost_request")
  end
end

-- Starts a request. False, and perhaps the seconds after which to ask again, where it cannot start now.
function Sender:start_request(request, now)
  local bearer, problem = self.permits:token()
  local permit, delay
  if bearer then
    permit, delay, problem = self.permits:take(request, now)
  end
  if problem then
    self:stop(problem)
  end
  if not permit then
    return false, delay
  end
  local ok, next_try, headers, event = pcall(self.prepare, self, request, permit, bearer)
  if not ok then
    self.pacer:finish(permit)
    error(next_try, 0)
  end
  self.backlog:remove(request)
  self:start(next_try, headers, event)
  if self.is_closed() then
    self.backlog:check_stop() -- a hook has closed it: there is nothing left to sign the next request with
  end
  return true
end

-- Starts what may start now. Returns the seconds until something more might, nil when that depends on results only.
function Sender:start_due()
  local now = self.monotonic()
  while self.in_flight:count() < self.concurrency and not self.backlog:stop_reason() do
    local request, delay = self.backlog:due(now)
    local started = false
    if request then
      started, delay = self:start_request(request, now)
    end
    if not started then
      return delay
    end
  end
end

function Sender:collect()
  local result = self.completions:shift()
  while result do
    self:on_result(result)
    result = self.completions:shift()
  end
end

-- Does what can be done without waiting. Returns the seconds until more can be done, nil when that depends on results.
function Sender:turn()
  self:collect()
  self.backlog:check_stop()
  local soonest
  -- Where starting has a cost of its own, it is paid once for all that the results at hand lead to.
  local gather = self.before_send and self.backlog:has_ended()
  if not self.backlog:stop_reason() and not gather then
    soonest = self:start_due()
  end
  self:give_up_lost()
  local needless = self.backlog:stop_reason() and self.backlog:drop()
  if needless then
    self:give_up(needless, "probe_given_up")
  end
  return soonest
end

--- Gives a request back that has its outcome, without waiting. See `next`.
---@return table? outcome nil when there is none yet; `pending` is 0 where none is left
function Sender:poll()
  self:turn()
  if not self.backlog:has_ended() and self.in_flight:count() > 0 then
    self.transport:wait(self.completions, 0)
    self:turn()
  end
  return self.backlog:shift()
end

--- Waits until a request has its outcome and gives it back. Where the call stopped before it was sent, it has neither
--- value nor failure.
---@return {request: heymarket.Request, value: any, failure: heymarket.Failure?}? outcome nil when none is left
function Sender:next()
  while true do
    local soonest = self:turn()
    local outcome = self.backlog:shift()
    if outcome then
      return outcome
    elseif self:pending() == 0 then
      return nil
    end
    local seconds = math.min(soonest or LONGEST_WAIT, LONGEST_WAIT)
    if self.ends_at and not self.backlog:stop_reason() then
      seconds = math.max(0, math.min(seconds, self.ends_at - self.monotonic()))
    end
    self.transport:wait(self.completions, seconds)
  end
end

--- Lets transfers go on and others have their turn, during long work without waiting.
function Sender:yield()
  self.backlog:check_stop()
  if not self.backlog:stop_reason() then
    self:start_due()
  end
  self.transport:yield()
  self:collect()
end

return sender
