--- Chooses the loop: how a call waits in the place where it runs.
---
--- A loop has four functions:
--- - `can_wait()`: true, or false and a failure that says why a call cannot wait here. It never yields.
--- - `mailbox(transport, completions)`: where the result of a request arrives that is about to start.
--- - `wait(transport, completions, seconds)`: moves transfers, and returns when `completions` holds a result or the
---   time has passed. It may return early, and it may yield. With 0 seconds it moves what can be moved and lets others
---   have their turn.
--- - `pause(seconds)`: lets others run for so long and gives true; false, at once, where nobody else could run.
local loop = {}

local nginx = require "heymarket.loop.nginx"
local plain = require "heymarket.loop.plain"

--- The loop that fits where this code runs. It is asked at each call, for a client may be made in one place and used in
--- another.
---@return table
function loop.here()
  -- A VM of ngx.run_worker_thread has an `ngx` too, but nothing in it that waits; it may block.
  -- Where each handler has its own table of globals, `ngx` is only inherited by it: package.loaded has it in any case.
  local ngx = package.loaded.ngx or rawget(_G, "ngx")
  if type(ngx) == "table" and ngx.get_phase and ngx.sleep and ngx.timer and ngx.worker then
    return nginx
  end
  return plain
end

--- The loop that a user chose for a client; nil where none was chosen.
---@param chosen string|table|nil "luv", "cqueues", or a table with `wait`
---@return table?
function loop.chosen(chosen)
  if chosen == "luv" then
    chosen = require "heymarket.loop.luv"
  elseif chosen == "cqueues" then
    chosen = require "heymarket.loop.cqueues"
  end
  return chosen and require("heymarket.loop.table").new(chosen)
end

return loop
