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
  local deadline = dependencies.deadline
  local ends_at = deadline and dependencies.monotonic() + deadline
  return setmetatable({ given = dependencies, ends_at = ends_at }, Stop)
end

--- The end of the call, where it has a deadline.
---@return number? ends_at monotonic time
function Stop:limit()
  return self.ends_at
end

--- Is there a reason to stop now?
---@return heymarket.Failure? reason
function Stop:check()
  local given = self.given
  if given.is_closed() then
    return failure.make("stopped", "client_closed")
  elseif self.ends_at and given.monotonic() >= self.ends_at then
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

return stop
