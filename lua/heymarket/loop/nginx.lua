--- The loop of an nginx worker: a call waits on a semaphore, and one timer for each transport moves the bytes.
local nginx = {}

local failure = require "heymarket.failure"
local text = require "heymarket.util.text"

-- Phases in which a handler can yield.
local YIELDABLE = " rewrite server_rewrite access content timer ssl_cert ssl_session_fetch ssl_client_hello preread "
-- Seconds between two looks at libcurl: few while results come, more after LOOKS_SHORT looks without any.
local LOOK_MIN, LOOK_MAX, LOOKS_SHORT = 0.001, 0.004, 40
local ASK_AGAIN = 1 -- seconds; nginx may drop a timer when too many run, so another one is asked for
local MAX_ERRORS = 10 -- in a row: then no answer is awaited any more

-- What belongs to a queue of results or a transport, without a field in it.
local semaphores, drivers = setmetatable({}, { __mode = "k" }), setmetatable({}, { __mode = "k" })

function nginx.can_wait()
  local phase = ngx.get_phase()
  if YIELDABLE:find(" " .. phase .. " ", 1, true) then
    return true
  end
  return false, failure.make("context", "nginx_cannot_wait", { phase = phase })
end

-- Moves the bytes until no transfer is left. An error does not end it, for then every call would wait in vain.
local function drive(transport)
  local idle, errors = 0, 0
  while transport:running() > 0 do
    local ok, count = pcall(transport.pump, transport)
    idle = ok and count > 0 and 0 or idle + 1
    errors = ok and 0 or errors + 1
    if errors == 1 then
      ngx.log(ngx.ERR, "heymarket: ", text.raised(count))
    elseif errors == MAX_ERRORS then
      return transport:abandon(nil, text.raised(count))
    end
    ngx.sleep(idle < LOOKS_SHORT and LOOK_MIN or LOOK_MAX)
  end
end

-- Asks for the timer that drives a transport, unless it runs. A timer outlives the request that needed it first.
local function employ(transport)
  local driver = drivers[transport] or { running = false, asked_at = -math.huge }
  drivers[transport] = driver
  if not driver.running and ngx.now() - driver.asked_at >= ASK_AGAIN then
    driver.asked_at = ngx.now()
    ngx.timer.at(0, function()
      if not driver.running then
        driver.running = true
        local ok, raised = pcall(drive, transport)
        driver.running, driver.asked_at = false, -math.huge
        return ok or ngx.log(ngx.ERR, "heymarket: ", text.raised(raised))
      end
    end)
  end
  return driver.running
end

--- Waits on a semaphore. Until the timer runs, the handlers move the bytes of their calls themselves.
function nginx.wait(transport, completions, seconds)
  transport:pump()
  if completions:length() > 0 then
    return
  end
  semaphores[completions] = semaphores[completions] or require("ngx.semaphore").new(0)
  -- nginx counts in whole milliseconds, from when it last looked at its clock.
  ngx.update_time()
  local span, driven = math.max(seconds, LOOK_MIN), transport:running() == 0 or employ(transport)
  if not semaphores[completions]:wait(driven and span or math.min(span, LOOK_MAX)) and not driven then
    transport:pump()
  end
  ngx.update_time()
end

--- Lets other coroutines run, where this phase can wait.
function nginx.pause(seconds)
  local can_wait = nginx.can_wait()
  if can_wait then
    ngx.sleep(seconds)
    ngx.update_time()
  end
  return can_wait
end

function nginx.wake(completions)
  return semaphores[completions] and semaphores[completions]:post(1)
end

return nginx
