--- The loop of an nginx worker: a call waits on a semaphore until its result is handed over.
local nginx = {}

local failure = require "heymarket.failure"
local mailbox = require "heymarket.loop.mailbox"
local reader = require "heymarket.loop.nginx_reader"

-- Phases in which a handler can yield.
local YIELDABLE = {}
for phase in
  ("rewrite server_rewrite access content timer ssl_cert ssl_session_fetch ssl_client_hello preread"):gmatch "%S+"
do
  YIELDABLE[phase] = true
end
local TURN = 0.001 -- seconds: the least that nginx counts
local LOOK = 0.004 -- seconds between two looks for results while nobody reads them

local of_worker -- the mailbox of all transports

function nginx.can_wait()
  local phase = ngx.get_phase()
  if YIELDABLE[phase] then
    return true
  end
  return false, failure.make("context", "nginx_cannot_wait", { phase = phase })
end

local function wake(completions)
  local semaphore = completions:kept()
  return semaphore and semaphore:post(1)
end

function nginx.mailbox()
  of_worker = of_worker or mailbox.of_inbox(wake)
  return of_worker
end

--- Waits on a semaphore. Until the reader runs, the handlers look for results themselves.
function nginx.wait(_, completions, seconds)
  local semaphore = completions:kept() or require("ngx.semaphore").new(0)
  completions:keep(semaphore)
  local is_read = not of_worker or of_worker:is_empty() or reader.employ(of_worker)
  if not is_read then
    of_worker:pump()
    if completions:length() > 0 then
      return
    end
  end
  -- nginx counts in whole milliseconds, from when it last looked at its clock.
  ngx.update_time()
  local span = math.max(is_read and seconds or math.min(seconds, LOOK), TURN)
  if not semaphore:wait(span) and not is_read then
    of_worker:pump()
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

return nginx
