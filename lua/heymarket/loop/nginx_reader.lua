--- The timer of an nginx worker that hands over the results of all calls.
---
--- The core's thread rings through a unix socket, which the timer reads as any cosocket.
local reader = {}

local text = require "heymarket.util.text"

local LOOK = 0.004 -- seconds between two looks for results where nothing rings
local LINGER = 0.2 -- seconds that the timer stays after the last result, for the next request
local ASK_AGAIN = 1 -- seconds; nginx may drop a timer when too many run, so another one is asked for
local CONNECT, FOR_EVER = 1000, 2 ^ 31 - 1 -- milliseconds
local MAX_ERRORS = 10 -- in a row: then no result is awaited any more

local is_running, is_resting, asked_at = false, false, -math.huge
local wanted -- a semaphore that ends the rest
local errors, is_told = 0, false

-- Hands results over. An error does not end it, for then every call would wait in vain. False where there was one.
local function pump(mailbox)
  local ok, raised = pcall(mailbox.pump, mailbox)
  errors = ok and 0 or errors + 1
  if errors == 1 then
    ngx.log(ngx.ERR, "heymarket: ", text.raised(raised))
  elseif errors == MAX_ERRORS then
    mailbox:abandon(nil, nil, text.raised(raised))
  end
  return ok
end

local function connect(path)
  local sock = ngx.socket.tcp()
  sock:settimeouts(CONNECT, CONNECT, FOR_EVER)
  return sock:connect("unix:" .. path) and sock
end

-- A socket that can be read when there are results, or nil where no folder can be written for it.
local function open_socket(mailbox)
  local sock = mailbox:connect(connect)
  if not sock and not is_told then
    is_told = true
    local words =
      "heymarket: no unix socket can be made in /tmp, /var/tmp, /dev/shm or /run: results are looked for every "
    ngx.log(ngx.WARN, words, LOOK * 1000, " ms")
  end
  return sock
end

-- Hands results over until no request is in flight. What came before the socket did not ring.
local function read(mailbox, sock)
  local good = pump(mailbox)
  while not mailbox:is_empty() do
    if not (sock and good and sock:receive(1)) then
      ngx.sleep(LOOK)
    end
    good = pump(mailbox)
  end
end

local function run(mailbox)
  local sock = open_socket(mailbox)
  wanted = wanted or require("ngx.semaphore").new(0)
  repeat
    read(mailbox, sock)
    is_resting = true
    wanted:wait(LINGER)
    is_resting = false
  until mailbox:is_empty()
  if sock then
    sock:close()
  end
end

local function on_timer(_, mailbox)
  if not is_running then
    is_running = true
    local ok, raised = pcall(run, mailbox)
    is_running, is_resting, asked_at = false, false, -math.huge
    return ok or ngx.log(ngx.ERR, "heymarket: ", text.raised(raised))
  end
end

--- Makes sure that the results are read. The timer outlives the request that needed it first.
---@param mailbox table of this worker
---@return boolean runs false as long as nginx has not begun it
function reader.employ(mailbox)
  if is_resting then
    is_resting = false
    wanted:post(1)
  elseif not is_running and ngx.now() - asked_at >= ASK_AGAIN then
    asked_at = ngx.now()
    ngx.timer.at(0, on_timer, mailbox)
  end
  return is_running
end

return reader
