--- The sandbox in-process: a clock that can be moved, and a transport that never leaves this program.
---
--- Whatever waits on them only moves the clock: a backoff of a minute takes no time. Otherwise the clock runs with the
--- real one.
local sandbox_transport = {}

local fifo = require "heymarket.util.fifo"
local system = require "heymarket.system"

local Clock = {}
Clock.__index = Clock

--- Makes a clock.
---@return table clock
function sandbox_transport.clock()
  return setmetatable({ ahead = 0 }, Clock)
end

--- Seconds of a clock that is never set.
---@return number
function Clock:monotonic()
  return system.monotonic() + self.ahead
end

--- Unix time in seconds.
---@return number
function Clock:time()
  return system.time() + self.ahead
end

--- Lets time pass.
---@param seconds number
function Clock:advance(seconds)
  self.ahead = self.ahead + math.max(0, seconds)
end

local Transport = {}
Transport.__index = Transport

-- The sandbox of each transport: not a field, because the sandbox knows the key and the tokens that clients have sent,
-- and a client that is printed or logged shows its transport.
local sandbox_of = setmetatable({}, { __mode = "k" })

--- Makes the transport of a client.
---@param sandbox heymarket.Sandbox
---@return table transport with the methods of heymarket.http.transport
function sandbox_transport.new(sandbox)
  local made = setmetatable({ clock = sandbox.clock, flights = {} }, Transport)
  sandbox_of[made] = sandbox
  return made
end

--- See heymarket.http.transport.
function Transport.completions()
  return fifo.new()
end

--- Nothing here waits for anything, so every place is good.
function Transport.problem() end

-- libcurl's name of what the client sees, whether the request may have arrived, and how a person calls it.
local BROKEN = {
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
  local names = {}
  for name in pairs(response.headers) do
    names[#names + 1] = name
  end
  table.sort(names)
  local lines = { ("HTTP/1.1 %d %s"):format(response.status, response.status == 200 and "OK" or "Sandbox") }
  for _, name in ipairs(names) do
    lines[#lines + 1] = name .. ": " .. tostring(response.headers[name])
  end
  lines[#lines + 1] = "Content-Length: " .. #response.body
  return table.concat(lines, "\r\n") .. "\r\n\r\n"
end

local function result_of(request, response)
  local result = { request = request, sent = true, http_version = 1.1 }
  local broken = response.fault and BROKEN[response.fault]
  if broken then
    result.code, result.sent, result.message = broken[1], broken[2], broken[3]
  end
  if response.status then
    result.status, result.headers, result.body = response.status, header_block(response), response.body
    if response.fault == "truncated" then
      result.body = response.body:sub(1, math.floor(#response.body / 2))
    elseif response.fault == "oversized" then
      result.body = ""
    end
  end
  return result
end

--- See heymarket.http.transport. The sandbox acts on the request now; the answer comes when its time has come.
---@param request table
---@param completions table
---@param lines string[] the headers
---@return boolean? started
---@return string? code libcurl's name of the error
---@return string? message
function Transport:start(request, completions, lines)
  if self.closed then
    return nil, "ABORTED_BY_CALLBACK", "the client was closed"
  end
  local headers = {}
  for _, header in ipairs(lines) do
    local name, value = header:match "^([^:]+):%s*(.-)%s*$"
    headers[name:lower()] = value
  end
  local response = sandbox_of[self]:handle {
    method = request.method,
    path = request.url:match "^%a+://[^/]+(.*)$",
    headers = headers,
    body = request.body,
  }
  local started = self.clock:monotonic()
  local due = started + (response.delay or 0)
  local result = result_of(request, response)
  local patience = result.sent and request.timeout or request.connect_timeout or request.timeout
  if response.fault == "timeout" then
    due = started + request.timeout
  elseif due - started > patience then
    due = started + patience
    result = result_of(request, { fault = "timeout" })
    result.sent = response.fault == nil or BROKEN[response.fault][2]
  end
  result.elapsed = due - started
  self.flights[#self.flights + 1] = { due = due, completions = completions, result = result }
  return true
end

--- Hands over what has arrived by now, the earliest first.
---@return integer count
function Transport:pump()
  local now, flights = self.clock:monotonic(), self.flights
  local arrived, flying = {}, {}
  for place, flight in ipairs(flights) do
    flight.place = place
    local list = flight.due <= now and arrived or flying
    list[#list + 1] = flight
  end
  if #arrived == 0 then
    return 0
  end
  self.flights = flying
  table.sort(arrived, function(a, b)
    if a.due ~= b.due then
      return a.due < b.due
    end
    return a.place < b.place
  end)
  for _, flight in ipairs(arrived) do
    flight.result.request.ended(flight.result)
    flight.completions:push(flight.result)
  end
  return #arrived
end

--- See heymarket.http.transport.
function Transport:yield()
  self:pump()
end

--- See heymarket.http.transport. Moves the clock to the next arrival, or by so many seconds.
---@param completions table
---@param seconds number
function Transport:wait(completions, seconds)
  self:pump()
  if completions:length() > 0 then
    return
  end
  local now = self.clock:monotonic()
  local target = now + seconds
  for _, flight in ipairs(self.flights) do
    target = math.min(target, flight.due)
  end
  self.clock:advance(target - now)
  self:pump()
end

--- See heymarket.http.transport.
---@return integer
function Transport:running()
  return #self.flights
end

--- See heymarket.http.transport. What is on its way is forgotten: the client knows that its answer will not come.
function Transport:close()
  self.closed = true
  self.flights = {}
end

return sandbox_transport
