--- The two faces of the sandbox under one set of names, so that the same tests run on both.
local faces = {}

local core = require "heymarket.core"
local heymarket = require "heymarket"
local sandbox_server = require "heymarket.sandbox.server"

local function output_of(command)
  local pipe = assert(io.popen(command, "r"))
  local text = pipe:read "*a"
  pipe:close()
  return text
end

faces.output_of = output_of

local function quote(text)
  return "'" .. text:gsub("'", "'\\''") .. "'"
end

faces.quote = quote

local BASE64URL = "openssl base64 -A | tr '+/' '-_' | tr -d '='"

--- A token that the openssl command makes, without any code of ours.
---@param claims string JSON
---@param given table? header (JSON), id, key
---@return string
function faces.token(claims, given)
  given = given or {}
  local header = given.header or '{"alg":"HS256","typ":"JWT"}'
  local key = (given.id or "sandbox-id") .. "||" .. (given.key or "sandbox-key")
  local hex = key:gsub(".", function(c)
    return ("%02x"):format(c:byte())
  end)
  local script = ("h=$(printf %%s %s | %s); p=$(printf %%s %s | %s); "):format(
    quote(header),
    BASE64URL,
    quote(claims),
    BASE64URL
  ) .. ('s=$(printf %%s "$h.$p" | openssl dgst -sha256 -mac HMAC -macopt hexkey:%s -binary | %s); '):format(
    hex,
    BASE64URL
  ) .. 'printf %s "$h.$p.$s"'
  return output_of(script)
end

--- One HTTP exchange by the core, without the client.
---@return table result status, headers (by lower-case name), body, code
function faces.exchange(method, url, headers, body, timeout)
  local pool = core.pool {}
  local lines = {}
  for name, value in pairs(headers) do
    lines[#lines + 1] = name .. ": " .. value
  end
  assert(pool:start(method, url, lines, body, timeout or 10, 5))
  local result
  while not result do
    pool:perform()
    result = pool:take()
    if not result then
      pool:wait(1)
    end
  end
  pool:close()
  local found = {}
  for name, value in (result.headers or ""):gmatch "([^\r\n:]+):[ \t]*([^\r\n]*)" do
    found[name:lower()] = value
  end
  result.headers = found
  return result
end

local function local_face(options)
  local sandbox = heymarket.sandbox.new(options)
  local clients = {}
  local face = { sandbox = sandbox }

  function face.client(config)
    clients[#clients + 1] = assert(sandbox:client(config))
    return clients[#clients]
  end

  function face.raw(method, path, headers, body)
    local lower = {}
    for name, value in pairs(headers) do
      lower[name:lower()] = value
    end
    local response = sandbox:handle { method = method, path = path, headers = lower, body = body }
    local found = {}
    for name, value in pairs(response.headers or {}) do
      found[name:lower()] = tostring(value)
    end
    return { status = response.status, headers = found, body = response.body, fault = response.fault }
  end

  function face.put(contact)
    sandbox:put(contact)
  end

  function face.get(phone)
    return sandbox:get(phone)
  end

  function face.count()
    return sandbox:count()
  end

  function face.rotate(id, key)
    sandbox:rotate(id, key)
  end

  function face.script(...)
    sandbox:script(...)
  end

  function face.pending()
    return sandbox:pending()
  end

  function face.requests()
    return sandbox.requests
  end

  function face.reset()
    sandbox:reset()
  end

  function face.close()
    for _, client in ipairs(clients) do
      client:close()
    end
  end

  return face
end

local function http_face(options)
  local server = assert(sandbox_server.start { options = options })
  local clients = {}
  local face = { server = server }

  local function ask(method, name, value)
    local answer, problem = server:admin(method, name, value)
    return assert(answer, problem)
  end

  function face.client(config)
    local settings = { base_url = server.base_url, secret_id = server.secret_id, secret_key = server.secret_key }
    for name, value in pairs(config or {}) do
      settings[name] = value
    end
    clients[#clients + 1] = assert(heymarket.new(settings))
    return clients[#clients]
  end

  function face.raw(method, path, headers, body)
    return faces.exchange(method, server.base_url .. path, headers, body)
  end

  function face.put(contact)
    ask("POST", "contacts", contact)
  end

  function face.get(phone)
    return ask("GET", "contacts")[phone]
  end

  function face.count()
    return ask("GET", "count").count
  end

  function face.rotate(id, key)
    server:rotate(id, key)
  end

  function face.script(...)
    server:script(...)
  end

  function face.pending()
    return ask("GET", "script").pending
  end

  function face.requests()
    return ask("GET", "requests")
  end

  function face.reset()
    ask("POST", "reset")
  end

  function face.close()
    for _, client in ipairs(clients) do
      client:close()
    end
    server:stop()
  end

  return face
end

faces.open = { ["in-process"] = local_face, ["over HTTP"] = http_face }
faces.names = { "in-process", "over HTTP" }

return faces
