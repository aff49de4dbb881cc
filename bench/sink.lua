-- luacheck: std max+ngx_lua
--- What the sink does with a request. bench/run starts it inside nginx.
local cjson = require "cjson"

local sink = {}

local store = ngx.shared.sink
local find, match = string.find, string.match

-- Inside a JSON string a quote is escaped, so this text can only be a key. The sum of the phones shows that each came
-- once: the numbers are below 2^34, and a hundred thousand of them stay exact in a double.
local function count(body)
  local contacts, sum, from = 0, 0, 1
  while true do
    local _, last = find(body, '"phone":', from, true)
    if not last then
      return contacts, sum
    end
    contacts, sum, from = contacts + 1, sum + (tonumber(match(body, '^%s*"(%d+)"', last + 1)) or 0), last + 1
  end
end

--- Answers one import request.
---@param keep boolean also keep the body and the token until the next drain
function sink.take(keep)
  local body = ngx.req.get_body_data() or ""
  local contacts, sum = count(body)
  store:incr("requests", 1, 0)
  store:incr("contacts", contacts, 0)
  store:incr("phones", sum, 0)
  store:incr("bytes", #body, 0)
  if ngx.var.connection_requests == "1" then
    store:incr("connections", 1, 0)
  end
  if keep then
    store:rpush("kept", cjson.encode { body = body, authorization = ngx.var.http_authorization or "" })
  end
  ngx.header["Content-Length"] = 4
  ngx.print '"ok"'
end

--- Answers with everything counted and kept since the last time, and forgets it.
function sink.drain()
  local answer = { kept = {} }
  for _, name in ipairs { "requests", "contacts", "phones", "bytes", "connections" } do
    -- As text: this cjson prints 14 digits of a number, and the sum of the phones has more.
    answer[name] = string.format("%.0f", store:get(name) or 0)
  end
  for place = 1, store:llen "kept" or 0 do
    answer.kept[place] = store:lpop "kept"
  end
  store:flush_all()
  ngx.print(cjson.encode(answer))
end

return sink
