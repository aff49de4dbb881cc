--- cqueues: a call waits as a coroutine that a controller resumes.
local cqueues = {}

local failure = require "heymarket.failure"

--- True in a coroutine of a controller.
function cqueues.can_wait()
  if require("cqueues").running() then
    return true
  end
  return false, failure.make("context", "cqueues_not_running")
end

--- Yields until the descriptor is readable or the time has passed.
---@param fd integer
---@param seconds number
function cqueues.wait(fd, seconds)
  require("cqueues").poll({ pollfd = fd, events = "r" }, seconds)
end

return cqueues
