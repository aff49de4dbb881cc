--- A transport that keeps what it is given and answers at once, and a clock that stands still but for waiting.
---
--- With it a test sees exactly what a client would send, and shows a client exactly what it wants answered.
local capture = {}

local fifo = require "heymarket.util.fifo"

--- The module under test; a test that loads it anew sets this.
capture.heymarket = require "heymarket"

local Transport = {}
Transport.__index = Transport

function Transport:completions()
  return fifo.new()
end

function Transport:start(request, completions, headers)
  self.sent[#self.sent + 1] = {
    method = request.method,
    url = request.url,
    headers = headers,
    body = request.body,
    timeout = request.timeout,
    connect_timeout = request.connect_timeout,
  }
  local given = self.answer and self.answer(request, #self.sent, headers) or {}
  local body = given.body or request.method == "GET" and "[]" or '"ok"'
  local result = {
    request = request,
    status = not given.code and (given.status or 200) or nil,
    headers = given.headers or ("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n"):format(#body),
    body = body,
    code = given.code,
    message = given.message,
    sent = given.sent ~= false,
    early = given.early,
    elapsed = 0.001,
    http_version = 1.1,
  }
  request.ended(result)
  completions:push(result)
  return true
end

function Transport:wait(completions, seconds)
  if completions:length() == 0 then
    self.now = self.now + math.max(seconds, 0.001)
  end
end

function Transport:running()
  return 0
end

function Transport:yield() end

function Transport:problem() end

function Transport:close()
  self.closed = true
end

--- A client over such a transport.
---@param config table? of the client, in place of credentials that mean nothing
---@param answer? fun(request: table, number: integer, headers: string[]): table? what comes back: `status`, `headers`
--- (a block), `body`, `early`, or `code`, `message` and `sent` of a transport error; else 200 and what the API says
---@return table client
---@return table[] sent every request that left
---@return table transport its `now` is the clock
function capture.client(config, answer)
  local transport = setmetatable({ sent = {}, answer = answer, now = 1000 }, Transport)
  local function clock()
    return transport.now
  end
  local given = {
    secret_id = "an-id",
    secret_key = "a-key",
    base_url = "https://api.example.com",
    runtime = {
      transport = transport,
      monotonic = clock,
      time = function()
        return 1713225600 + transport.now
      end,
      sleep = function(seconds)
        transport.now = transport.now + seconds
      end,
      random = function()
        return 0
      end,
    },
  }
  for name, value in pairs(config or {}) do
    given[name] = value
  end
  return assert(capture.heymarket.new(given)), transport.sent, transport
end

return capture
