-- Creates contacts in a loop that is neither luv nor cqueues: here one of a few lines, over the select of LuaSocket.
local heymarket = require "heymarket"
local socket = require "socket"

-- The coroutines that wait: each with a descriptor, as LuaSocket takes one, and the time at which it waits no longer.
local waiting = {}

-- Yields until the descriptor is readable or the time has passed.
local function wait(fd, seconds)
  local place = {
    getfd = function()
      return fd
    end,
  }
  waiting[place] = { this = coroutine.running(), ends = socket.gettime() + seconds }
  coroutine.yield()
end

-- Runs until no coroutine waits any more.
local function run()
  while next(waiting) do
    local places, soonest = {}, math.huge
    for place, waiter in pairs(waiting) do
      places[#places + 1] = place
      soonest = math.min(soonest, waiter.ends)
    end
    local readable = socket.select(places, nil, math.max(0, soonest - socket.gettime()))
    for _, place in ipairs(places) do
      local waiter = waiting[place]
      if readable[place] or waiter.ends <= socket.gettime() then
        waiting[place] = nil
        assert(coroutine.resume(waiter.this))
      end
    end
  end
end

local contacts = {
  { phone = "+1 234 567 8901", first = "Ann" },
  { phone = "+1 234 567 8902", first = "Ben" },
  { phone = "+1 234 567 8903", first = "Cleo" },
}

local client, problem = heymarket.new { loop = { wait = wait } } -- HEYMARKET_SECRET_ID and HEYMARKET_SECRET_KEY
if not client then
  io.stderr:write(tostring(problem), "\n")
  os.exit(1)
end

for _, contact in ipairs(contacts) do
  coroutine.wrap(function()
    local report, failure = client:create_contacts { contact }
    print(contact.first .. ": " .. (report and report.accepted .. " accepted" or tostring(failure)))
  end)()
end
run()
client:close()
