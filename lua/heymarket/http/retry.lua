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

-- Statuses of web pages that stand for an address, not for what is in the request.
local PAGES_OF_AN_ADDRESS = { [404] = true, [405] = true, [410] = true }

---@class heymarket.RetryState
---@field attempts integer tries of this request that count so far, 1 or more
---@field max_attempts integer
---@field max_retry_after number seconds; a server that asks for more is not waited for
---@field repeatable boolean may the request be sent again although the server may have acted on it?
---@field was_unauthorized boolean was an earlier try of this request answered with 401?
---@field stopped boolean has the call stopped?
---@field deadline number? monotonic time at which the call ends
---@field deadline_seconds number? the same as the user gave it
---@field consecutive_failures integer failed tries in a row, of all requests of the call, this one included
---@field waits boolean would an outage of the server be waited for?
---@field is_down boolean is the server probably down, so that only probes go out?
---@field is_answered boolean was another request answered since this try began?
---@field random fun():number uniform in [0, 1)

--- The state of a request.
---@param given heymarket.Sender.Dependencies
---@param ends_at number? monotonic time at which the call ends
---@param request heymarket.Request
---@param state table<string, any> the fields that the call knows: `consecutive_failures`, `stopped`, `waits`,
--- `is_down`, `is_answered` and `attempts`
---@return heymarket.RetryState
function retry.state(given, ends_at, request, state)
  return {
    attempts = state.attempts,
    max_attempts = given.max_attempts,
    max_retry_after = given.max_retry_after,
    repeatable = request.endpoint.repeatable,
    was_unauthorized = request.was_unauthorized,
    stopped = state.stopped,
    deadline = ends_at,
    deadline_seconds = given.deadline,
    consecutive_failures = state.consecutive_failures,
    waits = state.waits,
    is_down = state.is_down,
    is_answered = state.is_answered,
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

--- What does the failure of a try show of the server?
---@param problem heymarket.Failure
---@return "up"|"down"|nil shown "down": nothing that is an answer came; nil where it is not clear whose answer it is
function retry.shown(problem)
  local is_page = problem.reason == "page"
  if problem.retryable or problem.kind == "unexpected" or problem.kind == "network" then
    return "down"
  elseif is_page and PAGES_OF_AN_ADDRESS[problem.status] then
    return "down" -- while a service is maintained, something in front of it may answer in this way
  end
  return not is_page and "up" or nil
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
  local is_last = state.attempts >= state.max_attempts
  if is_too_long and (problem.kind == "rate_limited" or state.waits and not state.is_answered) then
    local values =
      { asked = problem.retry_after, limit = state.max_retry_after, words = problem.values and problem.values.words }
    local told = failure.reworded(problem, "rate_limited_too_long", values)
    return "stop", delay, told, told
  elseif is_too_long or is_last and not (state.waits and not state.is_answered) then
    return "fail", delay, problem
  elseif problem.delivered == "maybe" and not state.repeatable then
    return "fail", delay, problem
  elseif state.deadline and now + delay >= state.deadline then
    -- The try would start after the deadline. Other requests may still have time.
    local values = { seconds = state.deadline_seconds, last = problem }
    return "fail", delay, failure.reworded(problem, "no_time_for_retry", values, { kind = "timeout" })
  end
  return (is_last or state.waits and state.is_down) and "wait" or "retry", delay
end

-- Failed tries in a row that show that something is wrong with more than this request. Where an outage is waited for,
-- its own tries do not count: other requests may have answers.
local function failures_of_others(state)
  return state.consecutive_failures - (state.waits and state.attempts or 0)
end

--- Decides what follows a failed try.
---@param problem heymarket.Failure of the try
---@param state heymarket.RetryState
---@param now number monotonic time
---@return "retry"|"wait"|"fail"|"stop" decision "wait": it is held back until it is clear whether the server is down;
--- "fail" ends the request, "stop" the whole call
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
  elseif problem.retryable or state.waits and retry.shown(problem) == "down" then
    decision, delay, final, reason = decide_retryable(problem, state, now)
  else
    decision, final = "fail", problem
  end
  if decision == "fail" and failures_of_others(state) >= MAX_CONSECUTIVE_FAILURES then
    local values = { count = state.consecutive_failures, last = final }
    return "stop", delay, final, failure.reworded(final, "consecutive_failures", values)
  end
  return decision, delay, final, reason
end

return retry
