-- luacheck: std min+ngx_lua
--- The sandbox inside nginx: the handlers of the configuration that nginx_conf.lua writes.
local sandbox_nginx = {}

local json = require "heymarket.util.json"
local rows = require "heymarket.rows"
local sandbox = require "heymarket.sandbox"
local sandbox_script = require "heymarket.sandbox.script"

local CONTROL = "/_sandbox/"
local NEVER = 3600 -- seconds; a client has given up long before
local JSON = "application/json"

-- The state of the one process.
local served, settings

--- Makes the sandbox when nginx starts, with the settings that server.lua has written.
function sandbox_nginx.open(path)
  local file = assert(io.open(path, "rb"))
  local _, found = assert(json.decode(file:read "*a"))
  file:close()
  settings, served = found, sandbox.new(found.options)
end

-- The request that nginx is handling, as sandbox:handle takes it.
local function read_request()
  local headers = {}
  for name, value in pairs(ngx.req.get_headers(0)) do
    headers[name:lower()] = type(value) == "table" and value[1] or value
  end
  ngx.req.read_body()
  return {
    method = ngx.req.get_method(),
    path = ngx.var.request_uri,
    headers = headers,
    body = ngx.req.get_body_data(),
  }
end

local function send(response)
  ngx.status = response.status
  for name, value in pairs(response.headers) do
    ngx.header[name] = tostring(value)
  end
  local body, is_cut = response.body, response.fault == "truncated"
  ngx.header["Content-Length"] = is_cut and math.max(1, #body) or #body
  ngx.print(is_cut and body:sub(1, math.floor(#body / 2)) or body)
  if is_cut then
    ngx.flush(true)
    return ngx.exit(ngx.ERROR) -- which closes the connection
  end
end

local function send_json(status, value)
  return send { status = status, headers = { ["Content-Type"] = JSON }, body = json.encode(value) }
end

-- Names by which a program on this machine reaches a server on it. A web page reaches it by a name of its own, which it
-- can let lead here.
local LOOPBACK = { ["127.0.0.1"] = true, localhost = true, ["[::1]"] = true }
local FOREIGN = "the sandbox answers to 127.0.0.1 and localhost with its port, and to no other name"

local function is_loopback()
  local host = (ngx.var.http_host or ""):lower()
  local name, port = host:match "^(.*):(%d+)$"
  -- Clients leave port 80 out. The name may stand in the request line as well.
  return LOOPBACK[name or host] and (port or "80") == ngx.var.server_port and LOOPBACK[ngx.var.host]
end

--- Answers a request to the API.
function sandbox_nginx.answer()
  if not is_loopback() then
    return send_json(403, { error = FOREIGN })
  end
  local response = served:handle(read_request())
  ngx.sleep(response.fault == "timeout" and NEVER or response.delay or 0)
  if not response.status or response.fault == "timeout" then
    return ngx.exit(444) -- which resets the connection
  end
  return send(response)
end

-- By method and name, what the control interface does with the JSON that was sent, and what it answers.
local ACTIONS = {
  ["GET ready"] = function()
    return { pid = ngx.worker.pid() }
  end,
  ["GET contacts"] = function()
    return served.contacts
  end,
  ["GET count"] = function()
    return { count = served:count() }
  end,
  ["GET requests"] = function()
    return json.array(served.requests)
  end,
  ["GET script"] = function()
    return { pending = served:pending() }
  end,
  ["POST script"] = function(given)
    return { pending = served:script(given):pending() }
  end,
  ["POST contacts"] = function(given)
    for _, item in ipairs(sandbox_script.list(given)) do
      served:put(item)
    end
    return { count = served:count() }
  end,
  ["POST refuse"] = function(given)
    local phones = sandbox_script.list(given)
    for _, phone in ipairs(phones) do
      if type(phone) == "table" then
        error('send an array of phones, such as ["12025550103"]', 0)
      end
    end
    served:refuse(unpack(phones))
    return { refused = true }
  end,
  ["POST rotate"] = function(given)
    served:rotate(given.secret_id, given.secret_key)
    return { rotated = true }
  end,
  ["POST reset"] = function()
    return { count = served:reset():count() }
  end,
}

-- Why this request is refused: a status and a sentence, or nil. Any web page and any user of this machine can send one;
-- only who started the sandbox knows its key.
local function objection(method, action)
  local key = (ngx.var.http_authorization or ""):match "^[Bb]earer (.+)$" or ""
  if not is_loopback() then
    return 403, FOREIGN
  elseif ngx.var.http_origin then
    return 403, "web pages may not use this interface"
  elseif rows.hash(key) ~= rows.hash(settings.key) then -- by hash: the time that this takes tells nothing of the key
    return 401, "send the sandbox's key: Authorization: Bearer, and what HEYMARKET_SANDBOX_KEY says"
  elseif method == "POST" and (ngx.var.content_type or ""):lower():match "^%s*([^;%s]*)" ~= JSON then
    return 415, "the body must be JSON, with Content-Type: application/json"
  elseif not action then
    return 404, "there is nothing at this address"
  end
end

--- Answers who wants to know what the sandbox holds, or scripts it, and shows its key.
---
--- GET: contacts (object, phone to contact), count, requests, script. POST: contacts (one or an array, put in), script
--- (one step or an array), refuse (phones), rotate (secret_id and secret_key, the only good ones from then on), reset.
function sandbox_nginx.control()
  local method, name = ngx.req.get_method(), ngx.var.uri:sub(#CONTROL + 1)
  local action = ACTIONS[method .. " " .. name]
  local status, message = objection(method, action)
  if status then
    return send_json(status, { error = message })
  end
  local body, ok, value = read_request().body, true, nil
  if body then
    ok, value = json.decode(body)
  elseif method == "POST" and name ~= "reset" then
    ok, value = false, "the body is missing"
  end
  if ok then
    ok, value = pcall(action, value)
  end
  return send_json(ok and 200 or 400, ok and value or { error = (tostring(value):gsub("^[^:]+:%d+: ", "")) })
end

return sandbox_nginx
