--- luv: a call waits as a coroutine that libuv's loop resumes.
local luv = {}

--- Yields until the descriptor is readable or the time has passed.
---@param fd integer
---@param seconds number
function luv.wait(fd, seconds)
  local uv = require "luv"
  local this, is_waiting = coroutine.running(), true
  local poll, timer = assert(uv.new_poll(fd)), assert(uv.new_timer())
  local function resume()
    if is_waiting then
      is_waiting = false
      local ok, raised = coroutine.resume(this)
      if not ok then
        error(debug.traceback(this, tostring(raised)), 0)
      end
    end
  end
  poll:start("r", resume)
  timer:start(math.ceil(seconds * 1000), 0, resume)
  coroutine.yield()
  is_waiting = false -- also where somebody else has resumed it
  poll:close()
  timer:close()
end

return luv
