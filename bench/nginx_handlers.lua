-- luacheck: std max+ngx_lua
--- The handlers that bench/nginx compares.
local handlers = {}

local cjson = require "cjson"
local heymarket = require "heymarket"

local CONTACT = { phone = "+1 234 567 8900", first = "John", last = "Smith", tags = { 1, 2 } }

local host, port, client, slow_client

--- Makes the clients. Pacing is off: 500 requests a minute would be all that is measured.
---@param upstream_host string
---@param upstream_port integer
function handlers.open(upstream_host, upstream_port)
  host, port = upstream_host, upstream_port
  local config = { secret_id = "bench-id", secret_key = "bench-key", requests_per_minute = false, timeout = 10 }
  config.base_url = ("http://%s:%d"):format(host, port)
  client = assert(heymarket.new(config))
  config.base_url = config.base_url .. "/slow"
  slow_client = assert(heymarket.new(config))
end

local function answer(good)
  ngx.status = good and 200 or 502
  ngx.say(good and "ok" or "failed")
end

--- Creates a contact with heymarket.
function handlers.ours()
  answer(client:create_contacts { CONTACT })
end

--- The same on an upstream that takes a second.
function handlers.slow()
  answer(slow_client:create_contacts { CONTACT })
end

-- One request on a kept connection, as one writes it by hand: the body is made, the token is cached, the answer is
-- read by its length. It neither checks its input nor tries again.
local function exchange(sock, path, body)
  local sent = sock:send {
    "POST ",
    path,
    "/v1/batch/contacts?overwrite=false HTTP/1.1\r\nHost: ",
    host,
    "\r\nAuthorization: Bearer ",
    client:token(),
    "\r\nContent-Type: application/json\r\nContent-Length: ",
    #body,
    "\r\n\r\n",
    body,
  }
  local line = sent and sock:receive "*l"
  local status, length = tonumber(line and line:match " (%d+)"), nil
  while line and line ~= "" do
    line = sock:receive "*l"
    local name, value = (line or ""):match "^([^:]+):%s*(.*)"
    if name and name:lower() == "content-length" then
      length = tonumber(value)
    end
  end
  local text = length and sock:receive(length)
  return status == 200 and text and cjson.decode(text) == "ok"
end

-- Creates a contact on a cosocket.
local function create_by_hand(path)
  local body = cjson.encode {
    { phone = "12345678900", first = "John", last = "Smith", tags = { { tag_id = 1 }, { tag_id = 2 } } },
  }
  local sock = ngx.socket.tcp()
  sock:settimeout(10000)
  if not sock:connect(host, port, { pool_size = 64 }) then
    return answer(false)
  end
  local good = exchange(sock, path, body)
  if good then
    sock:setkeepalive(60000, 64)
  end
  answer(good)
end

--- Creates a contact on a cosocket.
function handlers.hand()
  create_by_hand ""
end

--- The same on an upstream that takes a second.
function handlers.slow_hand()
  create_by_hand "/slow"
end

return handlers
