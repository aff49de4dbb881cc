--- Decides what follows a failed try: another try, the end of its request, or the end of the whole call.
---
--- All here are pure functions of what they are given.
local retry = {}

local failure = require "heymarket.failure"

local BASE, CAP = 0.5, 30 -- seconds
-- The API counts requests by the minute, so a 429 needs more patience than a broken connection.
local BASE_RATE_LIMITED = 1
-- After so many failed tries in a row, of whichever requests, the server counts as down.
local MAX_CONSECUTIVE_FAILURES = 10

---@class heymarket.RetryState
---@field attempts integer tries of this request so far, 1 or more
---@field max_attempts integer
---@field max_retry_after number seconds; a server that asks for more is not waited for
---@field repeatable boolean may the request be sent again although the server may have acted on it?
---@field was_unauthorized boolean was an earlier try of this request answered with 401?
---@field stopped boolean has the call stopped?
---@field deadline number? monotonic time at which the call ends
---@field deadline_seconds number? the same as the user gave it
---@field consecutive_failures integer failed tries in a row, of all requests of the call, this one included
---@field random fun():number uniform in [0, 1)

--- The state of a request.
---@param given heymarket.Sender.Dependencies
---@param ends_at number? monotonic time at which the call ends
---@param request heymarket.Request
---@param consecutive_failures integer
---@param stopped boolean
---@return heymarket.RetryState
function retry.state(given, ends_at, request, consecutive_failures, stopped)
  return {
    attempts = request.attempts,
    max_attempts = given.max_attempts,
    max_retry_after = given.max_retry_after,
    repeatable = request.endpoint.repeatable,
    was_unauthorized = request.was_unauthorized,
    stopped = stopped,
    deadline = ends_at,
    deadline_seconds = given.deadline,
    consecutive_failures = consecutive_failures,
    random = given.random,
  }
end

--- Exponential backoff with full jitter.
---@param attempts integer tries made so far, 1 or more
---@param random fun():number uniform in [0, 1)
---@param kind string kind of the failure
---@return number seconds
function retry.backoff(attempts, random, kind)
  local base = kind == "rate_limited" and BASE_RATE_LIMITED or BASE
  return random() * math.min(CAP, base * 2 ^ (attempts - 1))
end

--- Counts failed tries in a row. A refusal sets the count to 0, because it shows that the server is up.
---@param count integer before this failure
---@param problem heymarket.Failure
---@return integer count
function retry.count_failure(count, problem)
  return (problem.retryable or problem.kind == "unexpected") and count + 1 or 0
end

-- The seconds before another try; the second value is true where the server asks for more than the user allows.
local function delay_of(problem, state)
  local delay = retry.backoff(state.attempts, state.random, problem.kind)
  local asked = problem.retry_after or 0
  if asked > state.max_retry_after then
    return state.max_retry_after, true
  end
  return math.max(delay, asked), false
end

local function decide_credentials(problem, state)
  if problem.kind == "denied" or state.was_unauthorized or state.attempts >= state.max_attempts then
    return "stop", nil, problem, problem
  end
  return "retry", 0 -- once more, with a new token
end

local function decide_retryable(problem, state, now)
  local delay, is_too_long = delay_of(problem, state)
  if is_too_long and problem.kind == "rate_limited" then
    local values =
      { asked = problem.retry_after, limit = state.max_retry_after, words = problem.values and problem.values.words }
    local told = failure.reworded(problem, "rate_limited_too_long", values)
    return "stop", delay, told, told
  elseif is_too_long or state.attempts >= state.max_attempts then
    return "fail", delay, problem
  elseif problem.delivered == "maybe" and not state.repeatable then
    return "fail", delay, problem
  elseif state.deadline and now + delay >= state.deadline then
    -- The try would start after the deadline. Other requests may still have time.
    local values = { seconds = state.deadline_seconds, last = problem }
    return "fail", delay, failure.reworded(problem, "no_time_for_retry", values, { kind = "timeout" })
  end
  return "retry", delay
end

--- Decides what follows a failed try.
---@param problem heymarket.Failure of the try
---@param state heymarket.RetryState
---@param now number monotonic time
---@return "retry"|"fail"|"stop" decision "fail" ends the request, "stop" the whole call
---@return number? delay seconds before the next try; after a 429 they hold for all requests of the client, whatever the
--- decision
---@return heymarket.Failure? failure what the request ends with
---@return heymarket.Failure? reason why the call stops
function retry.decide(problem, state, now)
  local decision, delay, final, reason
  if state.stopped then
    return "fail", nil, problem
  elseif problem.kind == "unauthorized" or problem.kind == "denied" then
    return decide_credentials(problem, state)
  elseif problem.retryable then
    decision, delay, final, reason = decide_retryable(problem, state, now)
  else
    decision, final = "fail", problem
  end
  if decision == "fail" and state.consecutive_failures >= MAX_CONSECUTIVE_FAILURES then
    local values = { count = state.consecutive_failures, last = final }
    return "stop", delay, final, failure.reworded(final, "consecutive_failures", values)
  end
  return decision, delay, final, reason
end

return retry
