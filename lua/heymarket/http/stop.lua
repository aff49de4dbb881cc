--- Stop: the reasons to stop a call that do not come from a response.
local stop = {}

local failure = require "heymarket.failure"
local text = require "heymarket.util.text"

-- By the cause of a wait.
local NO_TIME = { pace = "no_time_for_pace", pause = "no_time_for_pause" }

--- Is there a reason to stop now?
---@param given heymarket.Sender.Dependencies
---@param ends_at number? monotonic time at which the deadline passes
---@return heymarket.Failure? reason
function stop.reason(given, ends_at)
  if given.is_closed() then
    return failure.make("stopped", "client_closed")
  elseif ends_at and given.monotonic() >= ends_at then
    return failure.make("timeout", "deadline_passed", { seconds = given.deadline }, { retryable = true })
  elseif given.should_stop then
    local ok, wanted = pcall(given.should_stop)
    if not ok then
      return failure.make("stopped", "should_stop_raised", { raised = text.raised(wanted) })
    elseif wanted then
      return failure.make("stopped", "stopped_on_request", nil, { retryable = true })
    end
  end
end

--- Is the wait for a permit known to outlast the deadline? Then the call ends at once.
---@param given heymarket.Sender.Dependencies
---@param ends_at number? monotonic time at which the deadline passes
---@param seconds number? until a request may start
---@param cause string? why, see Pacer:reserve; nil where it can become shorter
---@return heymarket.Failure? reason
function stop.too_late(given, ends_at, seconds, cause)
  if ends_at and seconds and cause and given.monotonic() + seconds >= ends_at then
    local values = { seconds = given.deadline, limit = given.requests_per_minute, wait = math.ceil(seconds) }
    return failure.make("timeout", NO_TIME[cause], values, { retryable = true, retry_after = seconds })
  end
end

return stop
