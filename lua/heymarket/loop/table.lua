--- Loops that wait for a descriptor: luv, cqueues, and any other as a table with `wait(fd, seconds)`, which yields
--- until `fd` is readable or the time has passed.
local waiting = {}

local failure = require "heymarket.failure"
local seat = require "heymarket.loop.seat"

--- Makes a loop.
---@param given table `wait(fd, seconds)`, and perhaps `can_wait()` as a loop has it
---@return table loop see heymarket.loop
function waiting.new(given)
  local loop = {}

  function loop.can_wait()
    local running, is_main = coroutine.running()
    if not running or is_main then
      return false, failure.make("context", "loop_needs_coroutine")
    elseif given.can_wait then
      return given.can_wait()
    end
    return true
  end

  function loop.mailbox(_, completions)
    local own = completions:kept() or seat.take()
    completions:keep(own)
    return own:mailbox()
  end

  -- A seat is kept beyond the waiting only while requests are in flight.
  function loop.wait(_, completions, seconds)
    local own = completions:kept() or seat.take()
    own:mailbox():pump()
    if completions:length() == 0 then
      own:wait(given.wait, seconds)
    end
    if own:mailbox():is_empty() then
      completions:keep(nil)
      own:leave()
    end
  end

  function loop.pause(seconds)
    local can_wait = loop.can_wait()
    if can_wait then
      local own = seat.take()
      own:wait(given.wait, seconds)
      own:leave()
    end
    return can_wait
  end

  return loop
end

return waiting
