--- The sandbox in-process: a clock that can be moved, and a transport that never leaves this program.
---
--- To wait for them only moves the clock: a backoff of a minute takes no time. Otherwise it runs with the real one.
local sandbox_transport = {}

local fifo = require "heymarket.util.fifo"
local runtime = require "heymarket.runtime"

--- Makes a clock. Its functions are those that a client's `runtime` has, so that the waiting of a client moves it.
function sandbox_transport.clock()
  local clock, ahead = {}, 0
  --- Seconds of a clock that is never set.
  function clock.monotonic()
    return runtime.monotonic() + ahead
  end
  --- Unix time in seconds.
  function clock.time()
    return runtime.time() + ahead
  end
  --- Lets so many seconds pass.
  function clock.sleep(seconds)
    ahead = ahead + math.max(0, seconds)
  end
  return clock
end

-- Its methods are those of heymarket.http.transport.
local Transport = {}
Transport.__index = Transport

-- The sandbox of each transport: not a field, because the sandbox knows the key and the tokens that clients have sent,
-- and a client that is printed or logged shows its transport.
local sandbox_of = setmetatable({}, { __mode = "k" })

--- Makes the transport of a client.
function sandbox_transport.new(sandbox, clock)
  local made = setmetatable({ clock = clock, flights = {} }, Transport)
  sandbox_of[made] = sandbox
  return made
end

Transport.completions = fifo.new

--- Nothing here waits for anything, so a call can be made anywhere.
function Transport.problem() end

-- libcurl's name of what the client sees, whether the request may have arrived, and libcurl's words.
local ERRORS = {
  refused = { "COULDNT_CONNECT", false, "Failed to connect: Connection refused" },
  unresolved = { "COULDNT_RESOLVE_HOST", false, "Could not resolve host" },
  tls = { "PEER_FAILED_VERIFICATION", false, "SSL certificate problem: self-signed certificate" },
  reset_before = { "RECV_ERROR", true, "Recv failure: Connection reset by peer" },
  reset = { "RECV_ERROR", true, "Recv failure: Connection reset by peer" },
  timeout = { "OPERATION_TIMEDOUT", true, "Operation timed out" },
  truncated = { "PARTIAL_FILE", true, "transfer closed with outstanding read data remaining" },
  oversized = { "FILESIZE_EXCEEDED", true, "Maximum file size exceeded" },
}

local function header_block(response)
  local lines = { ("HTTP/1.1 %d Sandbox"):format(response.status) }
  for name, value in pairs(response.headers) do
    lines[#lines + 1] = name .. ": " .. tostring(value)
  end
  lines[#lines + 1] = "Content-Length: " .. #response.body
  return table.concat(lines, "\r\n") .. "\r\n\r\n"
end

-- What the client gets, `elapsed` seconds from now.
local function result_of(request, response)
  local fault, seconds = response.fault, response.delay or 0
  local sent = not ERRORS[fault] or ERRORS[fault][2]
  local patience = sent and request.timeout or request.connect_timeout or request.timeout
  if fault == "timeout" or seconds > patience then
    response, fault, seconds = {}, "timeout", patience
  end
  local problem, body = ERRORS[fault] or {}, response.body
  local result = { request = request, sent = sent, elapsed = seconds, http_version = 1.1 }
  result.code, result.message = problem[1], problem[3]
  if response.status then
    result.status, result.headers = response.status, header_block(response)
    result.body = fault == "truncated" and body:sub(1, math.floor(#body / 2)) or fault == "oversized" and "" or body
  end
  return result
end

--- The sandbox acts on the request now; the answer comes when its time has come.
function Transport:start(request, completions, lines)
  if self.closed then
    return nil, "ABORTED_BY_CALLBACK", nil, "client_closed"
  end
  local headers = {}
  for _, line in ipairs(lines) do
    local name, value = line:match "^([^:]+):%s*(.-)%s*$"
    headers[name:lower()] = value
  end
  local path = request.url:match "^%a+://[^/]+(.*)$"
  local given = { method = request.method, path = path, headers = headers, body = request.body }
  local result = result_of(request, sandbox_of[self]:handle(given))
  local due, place = self.clock.monotonic() + result.elapsed, #self.flights + 1
  -- The earliest answer stands first; of those that come at one time, the one that was started first.
  while place > 1 and self.flights[place - 1].due > due do
    place = place - 1
  end
  table.insert(self.flights, place, { due = due, completions = completions, result = result })
  return true
end

--- Hands over what has arrived by now.
function Transport:yield()
  local now = self.clock.monotonic()
  while self.flights[1] and self.flights[1].due <= now do
    local flight = table.remove(self.flights, 1)
    flight.result.request.ended(flight.result)
    flight.completions:push(flight.result)
  end
end

--- Moves the clock to the next arrival, or by so many seconds.
function Transport:wait(completions, seconds)
  self:yield()
  if completions:length() == 0 then
    local flight = self.flights[1]
    self.clock.sleep(math.min(seconds, flight and flight.due - self.clock.monotonic() or seconds))
    self:yield()
  end
end

--- What is in flight is forgotten: the client knows that its answer will not come.
function Transport:close()
  self.closed = true
  self.flights = {}
end

return sandbox_transport
