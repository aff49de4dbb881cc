--- Sender: the requests of one call, from the first try to the final answer.
---
--- Requests go in with `add`; `next` gives them back one by one with what came of them. Between the two it signs, keeps
--- the pace, retries, and decides when to give up. It knows nothing of contacts.
local sender = {}

local failure = require "heymarket.failure"
local response = require "heymarket.http.response"
local retry = require "heymarket.http.retry"
local text = require "heymarket.util.text"

local Sender = {}
Sender.__index = Sender

-- After so many failed tries in a row, of whichever requests, the server counts as down and the call stops.
local MAX_CONSECUTIVE_FAILURES = 10
-- The transport ends every try within its timeout. One of which it says nothing for so much longer (s) is lost, and
-- nobody waits for it any more.
local LOST_AFTER = 10
local LOOK_EVERY = 1 -- seconds between two looks for lost tries

---@class heymarket.Request
---@field method string
---@field path string path and query, after base_url
---@field body string?
---@field contacts integer number of contacts in it
---@field attempts integer tries made
---@field possibly_sent boolean an earlier try may have been acted upon
---@field failure heymarket.Failure? what came of the last try; nil while one is on its way

---@class heymarket.Try one try of a request: what a transport is given, and gives back in its result
---@field request heymarket.Request
---@field method string
---@field url string
---@field body string?
---@field timeout number seconds
---@field connect_timeout number seconds
---@field started number monotonic time
---@field ended fun() to be called when the try has ended, however it ended

--- Makes the sender of one call.
---@param client table tokens, pacer, transport, runtime and base_url of the client
---@param options table of the call
function sender.new(client, options)
  local now = client.runtime.monotonic()
  return setmetatable({
    client = client,
    options = options,
    limit = options.concurrency, -- requests on their way at a time
    queue = {}, -- waiting requests, in the order in which they came
    in_flight = 0,
    on_way = {}, -- the tries that are on their way, as keys
    next_look = 0, -- monotonic time of the next look for lost tries
    completions = client.transport:completions(),
    ended = {}, -- requests with their outcome that `next` has not given out yet
    consecutive_failures = 0,
    requests = 0,
    retries = 0,
    deadline = options.deadline and now + options.deadline,
    stopped = nil, -- the failure that ended it all
    before_start = nil, -- asked before a request starts; nil and a failure end the call
  }, Sender)
end

local function call_hook(hook, event)
  local problem = event.failure
  if problem and (problem.body or problem.details) then
    -- Events are for logs, and a server may write back what it was sent.
    event.failure = failure.with(problem, {})
    event.failure.body, event.failure.details = nil, nil
  end
  hook(event)
end

local function hook_error(raised)
  return "on_event raised an error: " .. text.raised(raised)
end

--- Reports an event to the user's hook. Its errors do not disturb the call; the first is kept for the report.
---@param event table
function Sender:emit(event)
  local hook = self.options.on_event
  if not hook then
    return
  end
  local ok, raised = pcall(call_hook, hook, event)
  if not ok and not self.hook_error then
    local made, message = pcall(hook_error, raised)
    self.hook_error = made and message or "on_event raised an error"
  end
end

--- Takes a request in.
---@param request heymarket.Request
function Sender:add(request)
  request.attempts = 0
  request.due = 0
  self.queue[#self.queue + 1] = request
end

--- Number of requests that are not given back yet.
---@return integer
function Sender:pending()
  return #self.queue + self.in_flight + #self.ended
end

--- Ends the call: nothing more is started; what is in flight is awaited.
---@param reason heymarket.Failure
function Sender:stop(reason)
  self.stopped = self.stopped or reason
end

--- Why the call has stopped.
---@return heymarket.Failure? reason nil while it goes on
function Sender:stop_reason()
  return self.stopped
end

--- What the call has cost so far.
---@return integer requests tries that were started
---@return integer retries those of them that repeated an earlier one
---@return string? hook_error what on_event raised first
function Sender:statistics()
  return self.requests, self.retries, self.hook_error
end

local function event_of(request, kind)
  return {
    type = kind,
    method = request.method,
    url = request.url,
    attempt = request.attempts,
    contacts = request.contacts,
    bytes = request.body and #request.body or 0,
  }
end

function Sender:finish(request, refused, problem)
  if problem then
    if request.possibly_sent and problem.delivered == "no" then
      problem = failure.with(problem, { delivered = "maybe" })
    end
    if request.attempts > 0 then
      problem.attempts = request.attempts
    end
  end
  request.failure = problem
  self.ended[#self.ended + 1] = { request = request, refused = refused, failure = problem }
end

-- What is left when the call has stopped: requests that were tried keep the failure of their last try.
function Sender:drop_queue()
  for _, request in ipairs(self.queue) do
    self:finish(request, nil, request.failure)
  end
  self.queue = {}
end

function Sender:deadline_failure()
  return failure.new("timeout", ("the deadline of %g s has passed"):format(self.options.deadline), {
    retryable = true,
  })
end

function Sender:emit_retry(request, problem, delay)
  local event = event_of(request, "retry")
  event.delay, event.failure, event.status, event.request_id = delay, problem, problem.status, problem.request_id
  self:emit(event)
end

-- Decides what a failed try means: try again (true) or not (false, and what to say instead of the failure).
function Sender:may_retry(request, problem, started)
  local options = self.options
  if self.stopped then
    return false
  elseif problem.kind == "unauthorized" then
    -- Once more, with a new token.
    if request.refused_token or request.attempts >= options.max_attempts then
      self:stop(problem)
      return false
    end
    request.refused_token = true
    request.due = 0
    self:emit_retry(request, problem, 0)
    return true
  elseif problem.kind == "denied" then
    self:stop(problem)
    return false
  end
  if not problem.retryable then
    return false
  end
  local now = self.client.runtime.monotonic()
  local delay = retry.backoff(request.attempts, self.client.runtime.random, problem.kind)
  local asked = problem.retry_after
  if asked then
    if asked > self.client.config.max_retry_after then
      -- Asking sooner than the server wants is pointless, and waiting longer than the user wants is not ours to do.
      if problem.kind == "rate_limited" then
        self.client.pacer:on_throttled(self.client.config.max_retry_after, started)
        self:stop(problem)
      end
      return false
    end
    delay = math.max(delay, asked)
  end
  if problem.kind == "rate_limited" then
    self.client.pacer:on_throttled(delay, started)
  end
  if request.attempts >= options.max_attempts then
    return false
  end
  if self.deadline and now + delay >= self.deadline then
    -- It could only start when the call is over. Other requests may still have time.
    return false,
      failure.with(problem, {
        kind = "timeout",
        message = ("the deadline of %g s leaves no time for another try; the last: %s"):format(
          options.deadline,
          problem.message
        ),
      })
  end
  request.due = now + delay
  self:emit_retry(request, problem, delay)
  return true
end

-- Reads what came of a try.
function Sender:on_result(result)
  local try, client = result.request, self.client
  if not self.on_way[try] then
    return -- it was given up before
  end
  self.on_way[try] = nil
  self.in_flight = self.in_flight - 1
  local request = try.request
  local now = client.runtime.time()
  local bearer = client.tokens:of(try)
  local refused, problem, about = response.read(result, {
    token = bearer,
    sent = request.body,
    now = now,
    inboxes = request.method == "GET",
  })
  local event = event_of(request, "response")
  event.status, event.elapsed, event.failure = result.status, result.elapsed, problem
  event.request_id = about.request_id
  self:emit(event)
  if refused then
    self.consecutive_failures = 0
    client.pacer:on_success(try.started)
    self:finish(request, refused)
    return
  end
  problem.attempts = request.attempts
  request.failure = problem
  if problem.kind == "unauthorized" then
    client.tokens:refuse(bearer, about.date)
  end
  if problem.retryable or problem.kind == "unexpected" then
    self.consecutive_failures = self.consecutive_failures + 1
  else
    self.consecutive_failures = 0 -- a refusal is an answer: somebody is there
  end
  local again, instead = self:may_retry(request, problem, try.started)
  problem = instead or problem
  if problem.delivered == "maybe" then
    request.possibly_sent = true
  end
  if again then
    self.queue[#self.queue + 1] = request
    return
  end
  self:finish(request, nil, problem)
  if self.consecutive_failures >= MAX_CONSECUTIVE_FAILURES then
    self:stop(failure.with(problem, {
      message = ("stopped after %d tries in a row without a usable answer; the last: %s"):format(
        self.consecutive_failures,
        problem.message
      ),
    }))
  end
end

-- The next try of a request, its headers, and the event that tells of it. The headers hold the token, so they are kept
-- in no table: a try can be printed or logged while it is on its way.
function Sender:prepare(request, permit)
  local client, now = self.client, self.client.runtime.monotonic()
  local timeout = self.options.timeout
  if self.deadline then
    timeout = math.max(0.001, math.min(timeout, self.deadline - now))
  end
  local try = {
    request = request,
    method = request.method,
    url = client.config.base_url .. request.path,
    body = request.body,
    timeout = timeout,
    connect_timeout = math.min(client.config.connect_timeout, timeout),
    started = now,
  }
  function try.ended()
    if permit then
      client.pacer:finish(permit)
      permit = nil
    end
  end
  local headers = {
    "Authorization: Bearer " .. client.tokens:lend(try),
    "Accept: application/json",
    request.body and "Content-Type: application/json",
  }
  local event = event_of(request, "request")
  event.url, event.attempt = try.url, request.attempts + 1
  return try, headers, event
end

function Sender:start(try, headers, event)
  local request = try.request
  self:emit(event)
  if self.client.closed then
    -- The hook has closed the client: nothing of this try has left.
    try.ended()
    self.queue[#self.queue + 1] = request
    return
  end
  request.attempts = request.attempts + 1
  request.url = try.url
  request.failure = nil
  self.requests = self.requests + 1
  if request.attempts > 1 then
    self.retries = self.retries + 1
  end
  self.on_way[try] = true
  self.in_flight = self.in_flight + 1
  local transport = self.client.transport
  local ok, started, code, message = pcall(transport.start, transport, try, self.completions, headers)
  if not ok then
    -- How far it came is not known. The error ends the call, and this try with it.
    try.ended()
    self:give_up(try, text.raised(started))
    error(started, 0)
  elseif not started then
    try.ended()
    self:on_result { request = try, code = code, message = message, sent = false, elapsed = 0 }
  end
end

-- Ends a try that may have been sent and of which nothing more will be heard.
function Sender:give_up(try, message)
  self:on_result {
    request = try,
    code = "ABORTED_BY_CALLBACK",
    message = message,
    sent = true,
    elapsed = self.client.runtime.monotonic() - try.started,
  }
end

-- Gives up the tries of which the transport will say nothing more, so that no call waits for ever.
function Sender:give_up_lost()
  if self.client.closed then
    self:check_stop()
  end
  local now = self.client.runtime.monotonic()
  if self.in_flight == 0 or now < self.next_look and not self.client.closed then
    return
  end
  self.next_look = now + LOOK_EVERY
  for try in pairs(self.on_way) do
    if self.client.closed then
      self:give_up(try, "the client was closed")
    elseif try.lost_at and now >= try.lost_at then
      self:give_up(try, "the transport lost it")
    elseif not try.lost_at and now > try.started + try.timeout then
      -- Counted from this look on: where the process was asleep, an answer may wait to be read.
      try.lost_at = now + LOST_AFTER
    end
  end
end

-- Starts what may start now. Returns the seconds until something more might, nil when that depends on answers only.
function Sender:start_due()
  local soonest
  local now = self.client.runtime.monotonic()
  local i = 1
  while self.in_flight < self.limit and i <= #self.queue and not self.stopped do
    local request = self.queue[i]
    if request.due > now then
      soonest = math.min(soonest or math.huge, request.due - now)
      i = i + 1
    else
      local may_start, problem = true, nil
      if self.before_start then
        may_start, problem = self.before_start()
      end
      if not may_start then
        self:stop(problem)
        break
      end
      local permit, delay = self.client.pacer:reserve(self.options.requests_per_minute)
      if not permit then
        if delay then
          local event = event_of(request, "pace")
          event.url = self.client.config.base_url .. request.path
          event.delay = delay
          if not self.paced_until or now >= self.paced_until then
            self.paced_until = now + delay
            self:emit(event)
          end
          soonest = math.min(soonest or math.huge, delay)
        end
        break
      end
      local ok, try, headers, event = pcall(self.prepare, self, request, permit)
      if not ok then
        self.client.pacer:finish(permit)
        -- Signing allocates, so a finalizer may run in it that closes the client.
        self:check_stop()
        if not self.stopped then
          error(try, 0)
        end
        break
      end
      table.remove(self.queue, i)
      self:start(try, headers, event)
      if self.client.closed then
        self:check_stop() -- a hook has closed it: there is nothing left to sign the next request with
      end
    end
  end
  return soonest
end

function Sender:collect()
  local result = self.completions:shift()
  while result do
    self:on_result(result)
    result = self.completions:shift()
  end
end

-- Reasons to stop that do not come from an answer.
function Sender:check_stop()
  if self.stopped then
    return
  elseif self.client.closed then
    self:stop(failure.new("stopped", "the client was closed during the call"))
  elseif self.deadline and self.client.runtime.monotonic() >= self.deadline then
    self:stop(self:deadline_failure())
  elseif self.options.should_stop then
    local ok, wanted = pcall(self.options.should_stop)
    if not ok then
      self:stop(failure.new("stopped", "should_stop raised an error: " .. text.raised(wanted)))
    elseif wanted then
      self:stop(failure.new("stopped", "stopped on request", { retryable = true }))
    end
  end
end

--- Waits until a request has its outcome and gives it back. Those that never left have neither `refused` nor `failure`.
---@return {request: heymarket.Request, refused: table[]?, failure: heymarket.Failure?}? outcome nil when none is left
function Sender:next()
  while true do
    self:collect()
    self:check_stop()
    local soonest
    -- Where starting has a cost of its own, it is paid once for all that the answers at hand lead to.
    local gather = self.before_start and #self.ended > 0
    if not self.stopped and not gather then
      soonest = self:start_due()
    end
    self:give_up_lost()
    if self.stopped then
      self:drop_queue()
    end
    if #self.ended > 0 then
      return table.remove(self.ended, 1)
    elseif self.in_flight == 0 and #self.queue == 0 then
      return nil
    end
    -- Without anything to wait for, a look now and then keeps a stop request from going unheard.
    local seconds = math.min(soonest or 1, 1)
    if self.deadline and not self.stopped then
      seconds = math.max(0, math.min(seconds, self.deadline - self.client.runtime.monotonic()))
    end
    self.client.transport:wait(self.completions, seconds)
  end
end

--- Lets transfers go on and others have their turn, during long work without waiting.
function Sender:yield()
  self:check_stop()
  if not self.stopped then
    self:start_due()
  end
  self.client.transport:yield()
  self:collect()
end

return sender
