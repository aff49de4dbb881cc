--- The two ways of waiting: a plain program sleeps in libcurl's poll; an nginx handler yields to the worker.
---
--- An inbox is where the results of one call arrive. Whoever waits on an inbox returns when a result is there.
local waiting = {}

local failure = require "heymarket.failure"
local text = require "heymarket.util.text"

local Plain = {}

function Plain.problem() end

function Plain.inbox()
  return { first = 1, last = 0, reserved = 0 }
end

function Plain.started() end

function Plain.arrived() end

-- Everything happens here: the transfers of all calls that share this transport go on while one of them waits.
function Plain.wait(transport, inbox, seconds)
  transport:pump()
  if inbox.first <= inbox.last then
    return
  end
  if transport:running() > 0 then
    transport.pool:wait(seconds)
    transport:pump()
  else
    transport.runtime.sleep(seconds)
  end
end

function Plain.rest() end

local Nginx = {}

-- Where ngx.sleep and ngx.semaphore can yield.
local YIELDABLE = {
  rewrite = true,
  server_rewrite = true,
  access = true,
  content = true,
  timer = true,
  ssl_cert = true,
  ssl_session_fetch = true,
  ssl_client_hello = true,
  preread = true,
}

function Nginx.problem()
  local phase = ngx.get_phase()
  if YIELDABLE[phase] then
    return nil
  end
  return failure.new(
    "context",
    ("nginx cannot wait in the %s phase: make the call in rewrite, access, content or a timer; from here, "):format(
      phase
    ) .. "ngx.timer.at(0, …) starts one"
  )
end

function Nginx.inbox()
  return { first = 1, last = 0, reserved = 0, semaphore = require("ngx.semaphore").new(0) }
end

-- How long the driver sleeps between two looks at libcurl: short while something happens, longer when nothing does.
local LOOK_MIN, LOOK_MAX = 0.001, 0.004
local LOOKS_SHORT = 40
-- nginx may take a timer and then drop it, when too many run. Seconds after which another one is asked for.
local ASK_AGAIN = 1
-- So many errors in a row while answers are read, and no more are awaited.
local MAX_ERRORS = 10

-- One light thread per transport and worker moves the bytes of all calls. It runs in a timer, so that it does not end
-- with the request that happened to start it.
local function drive_on(transport)
  local idle, errors = 0, 0
  while transport:running() > 0 do
    -- Were this thread to die of an error, every call would wait in vain.
    local ok, count = pcall(transport.pump, transport)
    if ok then
      idle, errors = count > 0 and 0 or idle + 1, 0
    else
      idle, errors = idle + 1, errors + 1
    end
    if errors == 1 then
      ngx.log(ngx.ERR, "heymarket: ", text.raised(count))
    elseif errors >= MAX_ERRORS then
      -- It does not pass: no answer will be read any more.
      transport:abandon(text.raised(count))
      return
    end
    if transport:running() > 0 then
      ngx.sleep(idle < LOOKS_SHORT and LOOK_MIN or LOOK_MAX)
    end
  end
end

local function drive(_, transport)
  if transport.driving then
    return
  end
  transport.driving = true
  local ok, raised = pcall(drive_on, transport)
  transport.driving, transport.asked_at = nil, nil
  if not ok then
    ngx.log(ngx.ERR, "heymarket: ", text.raised(raised))
  end
end

local function employ(transport)
  if transport.driving then
    return
  end
  local now = transport.runtime.monotonic()
  if not transport.asked_at or now - transport.asked_at >= ASK_AGAIN then
    transport.asked_at = now
    ngx.timer.at(0, drive, transport)
  end
end

function Nginx.started(transport)
  transport:pump()
  employ(transport)
  -- nginx counts a sleep from when it last looked at the clock, before all that it has done since. Without a look now
  -- the driver would sleep longer by the time that the handlers took.
  ngx.update_time()
end

function Nginx.arrived(inbox)
  inbox.semaphore:post(1)
end

function Nginx.wait(transport, inbox, seconds)
  if inbox.first <= inbox.last then
    return
  end
  -- nginx counts in milliseconds; less than one would not wait at all.
  local span = seconds > 0 and math.max(seconds, LOOK_MIN) or 0
  if transport.driving or transport:running() == 0 then
    inbox.semaphore:wait(span)
    ngx.update_time()
    return
  end
  -- The timer has not begun yet, or there was none to be had: until there is, the handlers drive their transfers.
  if not inbox.semaphore:wait(math.min(span, LOOK_MAX)) then
    transport:pump()
    employ(transport)
  end
end

function Nginx.rest()
  ngx.sleep(LOOK_MIN) -- Debian's nginx warns of a sleep of 0
end

--- The way of waiting that fits where this code runs. It is asked at each call, for a client may be made in one place
--- and used in another.
---@return table
function waiting.here()
  -- A VM of ngx.run_worker_thread has an `ngx` too, but nothing in it that waits; it may block.
  -- Where each handler has its own table of globals, `ngx` is only inherited by it: package.loaded has it in any case.
  local ngx = package.loaded.ngx or rawget(_G, "ngx")
  if type(ngx) == "table" and ngx.get_phase and ngx.sleep and ngx.timer and ngx.worker then
    return Nginx
  end
  return Plain
end

return waiting
