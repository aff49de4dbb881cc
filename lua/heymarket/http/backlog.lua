--- Backlog: the requests of a call that wait for a try, what follows each try, and the outcomes that come of them.
local backlog = {}

local events = require "heymarket.http.events"
local failure = require "heymarket.failure"
local fifo = require "heymarket.util.fifo"
local outage = require "heymarket.http.outage"
local retry = require "heymarket.http.retry"
local stop = require "heymarket.http.stop"

local Backlog = {}
Backlog.__index = Backlog

--- Makes the backlog of one call.
---@param given heymarket.Sender.Dependencies
---@param ends_at number? monotonic time at which the call ends
---@param emit fun(event: table)
function backlog.new(given, ends_at, emit)
  return setmetatable({
    given = given,
    ends_at = ends_at,
    emit = emit,
    outage = outage.new(given, emit),
    queue = {}, -- requests that wait for a try, in the order in which they came
    ended = fifo.new(), -- outcomes that nobody has taken yet
    consecutive_failures = 0, -- of tries, those of probes left out
    stopped = nil, -- the failure that ended the call
  }, Backlog)
end

--- Takes a request in.
---@param request heymarket.Request
function Backlog:add(request)
  request.attempts = 0
  request.due = 0
  self.queue[#self.queue + 1] = request
end

--- Number of requests that wait, and of outcomes.
---@return integer
function Backlog:count()
  return #self.queue + self.ended:length()
end

--- Are there outcomes?
---@return boolean
function Backlog:has_ended()
  return self.ended:length() > 0
end

--- Takes an outcome out.
---@return table? outcome
function Backlog:shift()
  return self.ended:shift()
end

--- Ends the call: no request gets another try.
---@param reason heymarket.Failure
function Backlog:stop(reason)
  self.stopped = self.stopped or reason
end

--- Why the call has stopped.
---@return heymarket.Failure? reason nil while it goes on
function Backlog:stop_reason()
  return self.stopped
end

--- Looks for reasons to stop that do not come from a response.
function Backlog:check_stop()
  self.stopped = self.stopped or stop.reason(self.given, self.ends_at) or self.outage:reason(self.given.monotonic())
end

-- Gives a request back with its value or its failure.
local function finish(self, request, value, problem)
  if problem then
    if request.possibly_sent and problem.delivered == "no" then
      problem = failure.with(problem, { delivered = "maybe" })
    end
    if request.attempts > 0 then
      problem.attempts = request.attempts
    end
  end
  request.failure = problem
  self.ended:push { request = request, value = value, failure = problem }
end

--- When the call has stopped, requests that were tried keep the failure of their last try.
---@return heymarket.Try? probe one that nobody needs to wait for
function Backlog:drop()
  for _, request in ipairs(self.queue) do
    finish(self, request, nil, request.failure)
  end
  self.queue = {}
  return self.outage:needless()
end

---------------------------------------------------------------------------------------------------------------------
-- Tries

-- While the server is probably down, the next probe is a request of which no try has failed since the last answer, else
-- one that asks for nothing of its own.
local function next_probe(self, now)
  local delay = self.outage:delay(now)
  if not delay or delay > 0 or not self.queue[1] then
    return nil, self.queue[1] and delay
  end
  for _, request in ipairs(self.queue) do
    if request.due <= now and self.outage:is_untried(request) then
      return request
    end
  end
  return self.outage:probe() or self.queue[1]
end

--- The request whose next try may start now.
---@param now number monotonic time
---@return heymarket.Request? request
---@return number? delay seconds until there is one, nil where that depends on results only
function Backlog:due(now)
  self.outage:check(now)
  if self.outage:is_suspected() then
    return next_probe(self, now)
  end
  local soonest
  for _, request in ipairs(self.queue) do
    local delay = request.due - now
    if delay <= 0 then
      return request
    end
    soonest = math.min(soonest or delay, delay)
  end
  return nil, soonest
end

--- Takes a request out whose try is about to start.
---@param request heymarket.Request
function Backlog:remove(request)
  for i, waiting in ipairs(self.queue) do
    if waiting == request then
      return table.remove(self.queue, i)
    end
  end
end

--- Puts a request back whose try did not start.
---@param request heymarket.Request
function Backlog:put_back(request)
  if not request.is_probe then
    self.queue[#self.queue + 1] = request
  end
end

--- Counts a try that starts.
---@param try heymarket.Try
function Backlog:started(try)
  local request = try.request
  request.attempts = request.attempts + 1
  request.url = try.url
  request.failure = nil
  self.outage:started(try)
end

-- Tells that a request will be tried again.
local function tell_retry(self, request, delay)
  local problem, event = request.failure, events.of(request, "retry")
  event.delay, event.failure, event.status, event.request_id = delay, problem, problem.status, problem.request_id
  self.emit(event)
end

-- What follows the failure of a request, see retry.decide.
local function decide(self, request, is_answered, now)
  local state = retry.state(self.given, self.ends_at, request, {
    attempts = self.outage:tries_of(request),
    consecutive_failures = self.consecutive_failures,
    stopped = self.stopped ~= nil,
    waits = self.outage:is_waited_for(),
    is_down = self.outage:is_suspected(),
    is_answered = is_answered,
  })
  return retry.decide(request.failure, state, now)
end

-- Does what was decided: a request goes back into the queue, or has ended.
local function follow(self, request, now, decision, delay, final, reason)
  request.held_back = decision == "wait" or nil
  if decision == "retry" or decision == "wait" then
    request.due = now + delay
    self.queue[#self.queue + 1] = request
  else
    finish(self, request, nil, final)
  end
  if decision == "retry" then
    tell_retry(self, request, delay)
  elseif decision == "wait" then
    self.outage:suspect(now)
  elseif decision == "stop" then
    self:stop(reason)
  end
end

-- Requests that were held back are tried again, or have used up their tries.
local function release(self, now)
  local queue = self.queue
  self.queue = {}
  for _, request in ipairs(queue) do
    if not request.held_back then
      self.queue[#self.queue + 1] = request
    elseif self.outage:tries_of(request) >= self.given.max_attempts then
      follow(self, request, now, decide(self, request, true, now))
    else
      request.held_back = nil
      self.queue[#self.queue + 1] = request
      tell_retry(self, request, math.max(0, request.due - now))
    end
  end
end

-- The server has answered a try.
local function on_answer(self, try, now)
  local was_suspected, was_real = self.outage:ended(try, now)
  if was_real or not try.request.is_probe then
    self.consecutive_failures = 0
  end
  if was_suspected then
    release(self, now)
  end
end

--- A try had a response that its endpoint has read.
---@param try heymarket.Try
---@param value any
function Backlog:succeeded(try, value)
  on_answer(self, try, self.given.monotonic())
  if not try.request.is_probe then
    finish(self, try.request, value)
  end
end

--- A try has failed: its request goes back into the queue, or has ended.
---@param try heymarket.Try
---@param problem heymarket.Failure
---@return number? pause seconds for which all requests of the client are to wait
function Backlog:failed(try, problem)
  local request, now, shown = try.request, self.given.monotonic(), retry.shown(problem)
  local is_answered = self.outage:is_answered_since(try)
  if not request.is_probe then
    self.consecutive_failures = retry.count_failure(self.consecutive_failures, problem)
  end
  if shown == "up" then
    on_answer(self, try, now)
  end
  if not self.stopped then
    self.outage:failed(try, problem, now, shown == "down")
  end
  problem.attempts = request.attempts
  request.failure = problem
  local decision, delay, final, reason = decide(self, request, is_answered, now)
  if not request.is_probe then
    request.was_unauthorized = request.was_unauthorized or problem.kind == "unauthorized"
    request.possibly_sent = request.possibly_sent or problem.delivered == "maybe" or nil
    follow(self, request, now, decision, delay, final, reason)
  elseif decision == "stop" and shown == "down" then
    self:stop(reason)
  end
  return problem.kind == "rate_limited" and delay or nil
end

return backlog
