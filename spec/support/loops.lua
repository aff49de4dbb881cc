--- Event loops for specs: each runs functions as its coroutines, and a timer that ticks until they have ended.
local loops = {}

local TICK = 0.01 -- seconds

-- Whether a module can be loaded.
local function has(name)
  return (pcall(require, name))
end

-- Runs functions in a loop. `spawn` starts a coroutine of it, `tick` a timer, `go` runs it all.
local function drive(functions, spawn, tick, go)
  local left, ticks, first = #functions, 0, nil
  for _, one in ipairs(functions) do
    spawn(function()
      local ok, raised = pcall(one)
      left = left - 1
      if not ok then
        first = first or raised
      end
    end)
  end
  tick(function()
    ticks = ticks + 1
    return left > 0
  end)
  go()
  if first then
    error(first, 0)
  end
  return ticks
end

--- luv.
loops.luv = { option = "luv", is_there = has "luv" }

--- Runs functions until all have ended.
---@param functions function[]
---@return integer ticks how often the timer came
function loops.luv.run(functions)
  local uv = require "luv"
  return drive(functions, function(one)
    coroutine.wrap(one)()
  end, function(on_tick)
    local timer = uv.new_timer()
    timer:start(TICK * 1000, TICK * 1000, function()
      if not on_tick() then
        timer:close()
      end
    end)
  end, uv.run)
end

--- cqueues.
loops.cqueues = { option = "cqueues", is_there = has "cqueues" }

function loops.cqueues.run(functions)
  local cqueues = require "cqueues"
  local controller = cqueues.new()
  return drive(functions, function(one)
    controller:wrap(one)
  end, function(on_tick)
    controller:wrap(function()
      repeat
        cqueues.sleep(TICK)
      until not on_tick()
    end)
  end, function()
    assert(controller:loop())
  end)
end

-- A loop of this spec's own. Like many, it lets only one coroutine wait for a descriptor.
local waiting = {}
local own = {}

function own.wait(fd, seconds)
  assert(not waiting[fd], "two coroutines wait for one descriptor")
  waiting[fd] = { this = coroutine.running(), ends = require("socket").gettime() + seconds }
  coroutine.yield()
end

--- A table with `wait`.
loops.table = { option = own, is_there = has "socket" }

function loops.table.run(functions)
  local socket = require "socket"
  local next_tick, on_tick, goes_on = socket.gettime() + TICK, nil, true
  local function look()
    local list, soonest = {}, next_tick
    for fd, waiter in pairs(waiting) do
      list[#list + 1] = {
        getfd = function()
          return fd
        end,
        fd = fd,
      }
      soonest = math.min(soonest, waiter.ends)
    end
    local readable = socket.select(list, nil, math.max(0, soonest - socket.gettime()))
    for _, place in ipairs(list) do
      local waiter = waiting[place.fd]
      if waiter and (readable[place] or waiter.ends <= socket.gettime()) then
        waiting[place.fd] = nil
        assert(coroutine.resume(waiter.this))
      end
    end
  end
  return drive(functions, function(one)
    coroutine.wrap(one)()
  end, function(given)
    on_tick = given
  end, function()
    while goes_on do
      look()
      if socket.gettime() >= next_tick then
        next_tick = socket.gettime() + TICK
        goes_on = on_tick()
      end
    end
  end)
end

return loops
