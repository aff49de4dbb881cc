--- A transport in virtual time, with the API behind it: exact about when things happen, and as fast as Lua runs.
---
--- It stands in for heymarket.http.transport and for the clocks. A request that starts at t with latency l ends at
--- t + l, or at its timeout; the clock moves only in `wait` and `sleep`. The server behind it keeps contacts by phone
--- and a ledger of its own, so that reports can be compared with what it saw.
local fake = {}

local cjson = require("cjson").new()
local fifo = require "heymarket.util.fifo"

local Fake = {}
Fake.__index = Fake

local BASE64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

local function base64url(text)
  local bits, count, out = 0, 0, {}
  for char in text:gmatch "." do
    bits = bits * 64 + BASE64:find(char, 1, true) - 1
    count = count + 6
    if count >= 8 then
      local low = 2 ^ (count - 8)
      out[#out + 1] = string.char(math.floor(bits / low) % 256)
      bits, count = bits % low, count - 8
    end
  end
  return table.concat(out)
end

--- The iat of the token in a request.
---@param headers string[]
---@return number? iat
---@return string? token
function fake.iat(headers)
  for _, line in ipairs(headers) do
    local token = line:match "^Authorization: Bearer (.+)$"
    if token then
      return cjson.decode(base64url(token:match "^[^.]+%.([^.]+)%.")).iat, token
    end
  end
end

--- A date as HTTP writes it.
---@param seconds number Unix time
---@return string
function fake.http_date(seconds)
  return os.date("!%a, %d %b %Y %H:%M:%S GMT", math.floor(seconds))
end

--- A source of random numbers that is the same under every Lua (Lehmer's generator).
---@param seed integer
---@return fun(low: integer?, high: integer?): number uniform in [0, 1), or an integer between low and high
function fake.random(seed)
  local state = (seed * 48271 + 11) % 2147483647
  if state == 0 then
    state = 1
  end
  local function draw(low, high)
    state = state * 48271 % 2147483647
    local fraction = (state - 1) / 2147483646
    if not low then
      return fraction
    end
    return low + math.floor(fraction * (high - low + 1))
  end
  draw()
  return draw
end

--- Makes a transport with its clock and its server.
---@param options table? `handler(request, fake)` gives the answer: nil for what the API would do, or a table with any
--- of status headers body code message sent early latency process ("all", "none"); `latency` seconds, 0.1 unless told,
--- or a function; `random`, a function, always 0 unless told; `start` and `offset`, monotonic time at first and what
--- the wall clock is ahead of it
function fake.new(options)
  options = options or {}
  local self = setmetatable({
    options = options,
    now = options.start or 1000,
    offset = options.offset or 1713225600,
    flights = {},
    requests = {}, -- the server's log: one entry per try, in order of start
    contacts = {}, -- by phone: what is stored
    stored = {}, -- by phone: how often it was written
    active = {}, -- by phone: requests at the server that hold it
    overlap = {},
    doubles = {},
    order = {}, -- by phone: the `first` of each of its contacts that arrived
    last_id = 0,
    in_flight = 0,
    max_in_flight = 0,
    idle = 0,
  }, Fake)
  self.runtime = {
    transport = self,
    monotonic = function()
      return self.now
    end,
    time = function()
      return self.now + self.offset
    end,
    sleep = function(seconds)
      self.now = self.now + seconds
    end,
    random = options.random or function()
      return 0
    end,
  }
  return self
end

function Fake:completions()
  return fifo.new()
end

function Fake:problem() end

function Fake:running()
  return #self.flights
end

function Fake:close()
  self.closed = true
end

-- What the API does with the contacts: the contacts to list.
local function store(self, seen)
  local listed = {}
  local overwrite = seen.url:find("overwrite=true", 1, true)
  for _, contact in ipairs(seen.sent) do
    local stored = self.contacts[contact.phone]
    if stored and not overwrite then
      -- What an account holds has an id.
      self.last_id = self.last_id + 1
      stored.id = stored.id or self.last_id
      listed[#listed + 1] = stored
    else
      self.contacts[contact.phone] = contact
      self.stored[contact.phone] = (self.stored[contact.phone] or 0) + 1
    end
  end
  return listed
end

function Fake:start(request, completions, headers)
  local seen = {
    t = self.now,
    url = request.url,
    method = request.method,
    headers = headers,
    body = request.body,
    timeout = request.timeout,
    connect_timeout = request.connect_timeout,
    number = #self.requests + 1,
    beside = #self.flights,
    sent = request.body and cjson.decode(request.body) or {},
    phones = {},
    has = {},
  }
  for i, contact in ipairs(seen.sent) do
    seen.phones[i] = contact.phone
    if seen.has[contact.phone] then
      self.doubles[#self.doubles + 1] = contact.phone
    end
    seen.has[contact.phone] = true
  end
  self.requests[seen.number] = seen
  local result = self.options.handler and self.options.handler(seen, self) or {}
  seen.result = result
  if result.refuse_start then
    return nil, result.code, result.message
  end
  local latency = result.latency or self.options.latency or 0.1
  if type(latency) == "function" then
    latency = latency(seen)
  end
  local arrived = result.sent ~= false
  if arrived then
    for phone in pairs(seen.has) do
      if (self.active[phone] or 0) > 0 then
        self.overlap[#self.overlap + 1] = phone
      end
      self.active[phone] = (self.active[phone] or 0) + 1
    end
    for _, contact in ipairs(seen.sent) do
      self.order[contact.phone] = self.order[contact.phone] or {}
      table.insert(self.order[contact.phone], tonumber(contact.first) or 0)
    end
  end
  local given = {
    request = request,
    status = result.status or not result.code and 200 or nil,
    code = result.code,
    message = result.message or result.code and "scripted",
    sent = arrived,
    early = result.early,
    elapsed = latency,
    http_version = 1.1,
  }
  local process = result.process
  if not process then
    process = arrived and given.status == 200 and not result.code and "all" or "none"
  end
  seen.stored = process == "all"
  local listed = seen.stored and store(self, seen) or {}
  local body = result.body
  if not body then
    local nothing = request.method == "GET" and "[]" or '"ok"'
    body = given.status == 200 and (listed[1] and cjson.encode(listed) or nothing) or ""
  end
  given.body = not result.code and body or ""
  local answered = result.headers or {}
  local lines = { "HTTP/1.1 " .. tostring(given.status) .. " Scripted" }
  for name, value in pairs(answered) do
    lines[#lines + 1] = name .. ": " .. value
  end
  lines[#lines + 1] = "Content-Length: " .. #body
  given.headers = not result.code and table.concat(lines, "\r\n") .. "\r\n\r\n" or ""
  if latency > request.timeout then
    given.status, given.code, given.body, given.headers = nil, "OPERATION_TIMEDOUT", "", ""
    latency = request.timeout
  end
  seen.ends = self.now + latency
  seen.arrived = arrived
  seen.code = given.code
  seen.status = given.status
  self.flights[#self.flights + 1] = { seen = seen, completions = completions, result = given, ends = seen.ends }
  self.in_flight = #self.flights
  self.max_in_flight = math.max(self.max_in_flight, #self.flights)
  return true
end

-- Ends the requests whose time has come, earliest first.
function Fake:deliver()
  local count = 0
  while true do
    local best
    for i, flight in ipairs(self.flights) do
      if flight.ends <= self.now and (not best or flight.ends < self.flights[best].ends) then
        best = i
      end
    end
    if not best then
      return count
    end
    local flight = table.remove(self.flights, best)
    if flight.seen.arrived then
      for phone in pairs(flight.seen.has) do
        self.active[phone] = self.active[phone] - 1
      end
    end
    count = count + 1
    flight.result.request.ended(flight.result)
    flight.completions:push(flight.result)
  end
end

function Fake:yield()
  self:deliver()
end

function Fake:wait(completions, seconds)
  if self:deliver() > 0 or completions:length() > 0 then
    self.idle = 0
    return
  end
  local before = self.now
  local target = self.now + seconds
  for _, flight in ipairs(self.flights) do
    target = math.min(target, flight.ends)
  end
  self.now = target
  if self:deliver() > 0 or self.now > before then
    self.idle = 0
    return
  end
  -- Nothing came and no time passed: whoever asks again and again would keep a processor busy for ever.
  self.idle = self.idle + 1
  assert(self.idle < 1000, "waits without end for nothing")
  self.now = self.now + 1e-6
end

return fake
