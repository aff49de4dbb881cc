--- A network without sockets and a clock that moves only while somebody waits: hours of pacing pass in an instant.
---
--- Give `runtime` to heymarket.new. Every request arrives at the imaginary server some time after its start and ends
--- some time after its arrival; `arrivals` is the server's ledger.
local instant = {}

local fifo = require "heymarket.util.fifo"

local Instant = {}
Instant.__index = Instant

local function zero()
  return 0
end

--- Makes such a network.
---
--- Options, all optional: `way()` and `back()`, seconds from start to arrival and from arrival to answer;
--- `answer(request, number)`, a table of status, headers (an array of lines) and body in place of a 200 that lists
--- nothing, or of code and sent for a transport error; `keep`, false for no ledger.
---@param options table?
function instant.new(options)
  options = options or {}
  local made = setmetatable({
    now = 1000,
    flights = {},
    arrivals = {},
    requests = {},
    count = 0,
    in_flight_max = 0,
    way = options.way or zero,
    back = options.back or zero,
    answer = options.answer or function() end,
    keep = options.keep ~= false,
  }, Instant)
  made.runtime = {
    monotonic = function()
      return made.now
    end,
    time = function()
      return 1700000000 + made.now
    end,
    sleep = function(seconds)
      made.now = made.now + seconds
    end,
    random = math.random,
    transport = made,
  }
  return made
end

--- The phones of a request body, in order.
---@param body string? nil where the request has none
---@return string[]
function instant.phones(body)
  local phones = {}
  for phone in (body or ""):gmatch '"phone":"(%d+)"' do
    phones[#phones + 1] = phone
  end
  return phones
end

function Instant:problem() end

function Instant:yield() end

function Instant:close() end

function Instant:completions()
  return fifo.new()
end

function Instant:running()
  return #self.flights
end

function Instant:start(request, completions)
  self.count = self.count + 1
  local arrival = self.now + self.way()
  local flight = {
    request = request,
    completions = completions,
    ends = arrival + self.back(),
    answer = self.answer(request, self.count) or {},
  }
  if self.keep then
    self.arrivals[self.count] = arrival
    self.requests[self.count] = request
  end
  self.flights[#self.flights + 1] = flight
  self.in_flight_max = math.max(self.in_flight_max, #self.flights)
  return true
end

function Instant:deliver(index)
  local flight = table.remove(self.flights, index)
  local given = flight.answer
  local body = given.body or flight.request.method == "GET" and "[]" or '"ok"'
  local result = { request = flight.request, elapsed = 0, sent = true }
  if given.code then
    result.code, result.message, result.sent = given.code, "scripted", given.sent
  else
    local lines = { "HTTP/1.1 200 OK", "Content-Length: " .. #body }
    for _, line in ipairs(given.headers or {}) do
      lines[#lines + 1] = line
    end
    result.status, result.body, result.http_version = given.status or 200, body, 1.1
    result.headers = table.concat(lines, "\r\n") .. "\r\n\r\n"
  end
  flight.request.ended(result)
  flight.completions:push(result)
end

-- Moves the clock to the first event, or by so many seconds when nothing happens before.
function Instant:wait(_, seconds)
  local first
  for i, flight in ipairs(self.flights) do
    if not first or flight.ends < self.flights[first].ends then
      first = i
    end
  end
  if first and self.flights[first].ends <= self.now + seconds then
    self.now = math.max(self.now, self.flights[first].ends)
    self:deliver(first)
  else
    self.now = self.now + seconds
  end
end

return instant
