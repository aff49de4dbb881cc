--- Stop: the reasons to stop a call that do not come from a response.
local stop = {}

local failure = require "heymarket.failure"
local text = require "heymarket.util.text"

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

return stop
