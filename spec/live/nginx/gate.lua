-- luacheck: std min+ngx_lua
--- An API whose answers are held back until the test lets them go: one worker of an nginx of its own.
local gate = {}

local semaphore = require "ngx.semaphore"

local NEVER = 600 -- seconds

local waiting, held, seen, closed = semaphore.new(0), 0, 0, true

--- Answers "ok", as soon as the gate is open.
function gate.answer()
  ngx.req.read_body()
  seen = seen + 1
  if closed then
    held = held + 1
    waiting:wait(NEVER)
    held = held - 1
  end
  ngx.header["Content-Type"] = "application/json"
  ngx.header["Content-Length"] = 4
  ngx.print '"ok"'
end

--- How many are held now, and how many came since the last look that closed the gate.
function gate.held()
  ngx.say(held, " ", seen)
end

--- Lets all go that are held, and those that come.
function gate.open()
  closed = false
  waiting:post(math.max(1, held))
  ngx.say "open"
end

--- Holds what comes.
function gate.close()
  waiting = semaphore.new(0)
  closed, seen = true, 0
  ngx.say "closed"
end

return gate
