--- Stop: the reasons to stop a call that do not come from a response.
local stop = {}

local failure = require "heymarket.failure"
local text = require "heymarket.util.text"

local Stop = {}
Stop.__index = Stop

--- Makes the reasons of one call.
---@param dependencies table `is_closed` and `monotonic` (functions), `should_stop` (the user's function, or nil),
--- `deadline` (s, or nil)
function stop.new(dependencies)
  local deadline, monotonic = dependencies.deadline, dependencies.monotonic
  return setmetatable({
    is_closed = dependencies.is_closed,
    should_stop = dependencies.should_stop,
    monotonic = monotonic,
    deadline = deadline,
    ends_at = deadline and monotonic() + deadline,
  }, Stop)
end

--- The end of the call, where it has a deadline.
---@return number? ends_at monotonic time
---@return number? deadline seconds, as the user gave it
function Stop:limit()
  return self.ends_at, self.deadline
end

--- Is there a reason to stop now?
---@return heymarket.Failure? reason
function Stop:check()
  if self.is_closed() then
    return failure.make("stopped", "client_closed")
  elseif self.ends_at and self.monotonic() >= self.ends_at then
    return failure.make("timeout", "deadline_passed", { seconds = self.deadline }, { retryable = true })
  elseif self.should_stop then
    local ok, wanted = pcall(self.should_stop)
    if not ok then
      return failure.make("stopped", "should_stop_raised", { raised = text.raised(wanted) })
    elseif wanted then
      return failure.make("stopped", "stopped_on_request", nil, { retryable = true })
    end
  end
end

return stop
