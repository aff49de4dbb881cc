-- luacheck: std min+ngx_lua
--- The sandbox inside nginx: sandbox_server writes a configuration whose handlers are here.
local sandbox_nginx = {}

local rows = require "heymarket.rows"
local sandbox = require "heymarket.sandbox"
local sandbox_json = require "heymarket.sandbox.json"

local ADMIN = "/_sandbox/"
local LOOK_EVERY = 0.25 -- seconds between two looks whether the program that started this is still there
local ESRCH = 3 -- "no such process", on every system that nginx runs on
local NEVER = 3600 -- seconds; a client has given up long before

-- The state of the one worker.
local served, settings

local function read_file(path)
  local file = assert(io.open(path, "rb"))
  local text = file:read "*a"
  file:close()
  return text
end

-- Ends nginx when the program that started it is gone, however it ended, so that nothing is left behind.
local function watch(owner, folder)
  local ffi = require "ffi"
  pcall(ffi.cdef, "int kill(int pid, int sig);")
  local function is_there()
    if ffi.C.kill(owner, 0) ~= 0 and ffi.errno() == ESRCH then
      return false
    end
    -- One that has ended keeps its number until its parent has asked for it.
    local stat = io.open(("/proc/%d/stat"):format(owner), "rb")
    local line = stat and stat:read "*l"
    if stat then
      stat:close()
    end
    return not (line and line:find "%) Z")
  end
  local function look(premature)
    if premature then
      return
    end
    if not is_there() then
      os.execute("rm -rf '" .. folder:gsub("'", "'\\''") .. "'")
      ffi.C.kill(ngx.worker.pid(), 15)
      return
    end
    ngx.timer.at(LOOK_EVERY, look)
  end
  ngx.timer.at(LOOK_EVERY, look)
end

--- Makes the sandbox when the worker starts.
---@param folder string where sandbox_server has put settings.json
function sandbox_nginx.open(folder)
  local ok, found = sandbox_json.read(read_file(folder .. "/settings.json"))
  assert(ok, found)
  settings = found
  served = sandbox.new(settings.options)
  if settings.owner then
    watch(settings.owner, folder)
  end
end

local function body_of()
  ngx.req.read_body()
  local body = ngx.req.get_body_data()
  local path = not body and ngx.req.get_body_file()
  return body or path and read_file(path) or ""
end

local function headers_of()
  local headers = {}
  for name, value in pairs(ngx.req.get_headers(0)) do
    headers[name:lower()] = type(value) == "table" and value[1] or value
  end
  return headers
end

local function send(response, length)
  ngx.status = response.status
  for name, value in pairs(response.headers) do
    ngx.header[name] = tostring(value)
  end
  ngx.header["Content-Length"] = length or #response.body
  ngx.print(response.body)
end

-- nginx resets a connection that is closed with this code.
local function reset()
  return ngx.exit(444)
end

-- Answers that are to be cut, on their way to the location that closes its connections regularly.
local to_cut, cuts = {}, 0

--- Sends half of an answer, and at least one byte less than it announces; then nginx closes the connection.
function sandbox_nginx.cut()
  local number = ngx.var.sandbox_cut
  local response = to_cut[number]
  to_cut[number] = nil
  local length = math.max(1, #response.body)
  response.body = response.body:sub(1, math.floor(#response.body / 2))
  send(response, length)
end

-- Names by which a program on this machine reaches a server on it. A web page reaches it by a name of its own, which it
-- can let lead here.
local LOOPBACK = { ["127.0.0.1"] = true, localhost = true, ["[::1]"] = true }

local function is_loopback()
  local host = (ngx.var.http_host or ""):lower()
  local name, port = host:match "^(.*):(%d+)$"
  if not name then
    name, port = host, "80" -- which clients leave out
  end
  -- The name may stand in the request line as well.
  return LOOPBACK[name] and port == ngx.var.server_port and LOOPBACK[ngx.var.host] or false
end

local function refuse(status, message)
  ngx.req.discard_body()
  local headers = { ["Content-Type"] = "application/json" }
  return send { status = status, headers = headers, body = sandbox_json.write { error = message } }
end

local FOREIGN = "the sandbox answers to 127.0.0.1 and localhost with its port, and to no other name"

--- Answers a request to the API.
function sandbox_nginx.answer()
  if not is_loopback() then
    return refuse(403, FOREIGN)
  end
  local response = served:handle {
    method = ngx.req.get_method(),
    path = ngx.var.request_uri,
    headers = headers_of(),
    body = body_of(),
  }
  if response.delay then
    ngx.sleep(response.delay)
  end
  local fault = response.fault
  if fault == "timeout" then
    ngx.sleep(NEVER)
    return reset()
  elseif fault == "truncated" then
    cuts = cuts + 1
    to_cut[tostring(cuts)] = response
    ngx.var.sandbox_cut = tostring(cuts)
    return ngx.exec "@cut"
  elseif fault and not response.status then
    return reset()
  end
  return send(response)
end

local function without_null(value)
  if type(value) == "table" and getmetatable(value) == nil or sandbox_json.is_array(value) then
    for key, item in pairs(value) do
      if item == sandbox_json.null then
        value[key] = nil
      else
        without_null(item)
      end
    end
  end
  return value
end

local admin = {}

admin["GET ready"] = function()
  return { ready = true, nonce = settings.nonce, pid = ngx.worker.pid() }
end

admin["GET contacts"] = function()
  return served.contacts
end

admin["GET count"] = function()
  return { count = served:count() }
end

admin["GET requests"] = function()
  return sandbox_json.array(served.requests)
end

admin["GET script"] = function()
  return { pending = served:pending() }
end

admin["POST script"] = function(given)
  if not sandbox_json.is_array(given) then
    given = { given }
  end
  served:script(sandbox_json.array(given))
  return { pending = served:pending() }
end

admin["POST contacts"] = function(given)
  if not sandbox_json.is_array(given) then
    given = { given }
  end
  for i, item in ipairs(given) do
    if type(item) ~= "table" then
      error(("contact %d is no object"):format(i), 0)
    end
    served:put(item)
  end
  return { count = served:count() }
end

admin["POST refuse"] = function(given)
  served:refuse(unpack(sandbox_json.is_array(given) and given or { given }))
  return { refused = true }
end

admin["POST reset"] = function()
  served:reset()
  return { count = 0 }
end

local function is_json()
  local sort = (ngx.var.content_type or ""):lower():match "^%s*([^;%s]*)"
  return sort == "application/json"
end

-- Compared by hash, so that the time it takes tells nothing of the key.
local function has_key()
  local given = (ngx.var.http_authorization or ""):match "^[Bb]earer (.+)$"
  return given ~= nil and rows.hash(given) == rows.hash(settings.key)
end

-- Why this request is not obeyed: a status and a sentence, or nil. Any web page and any user of this machine can send
-- one; only who started the sandbox knows its key.
local function objection(method)
  if not is_loopback() then
    return 403, FOREIGN
  elseif ngx.var.http_origin then
    return 403, "web pages may not use this interface"
  elseif not has_key() then
    return 401, "send the sandbox's key: Authorization: Bearer, and what HEYMARKET_SANDBOX_KEY says"
  elseif method == "POST" and not is_json() then
    return 415, "the body must be JSON, with Content-Type: application/json"
  end
end

--- Answers who looks into the sandbox or scripts it, and shows its key.
---
--- GET: contacts (object, phone to contact), count, requests, script. POST: contacts (one or an array, put in), script
--- (one step or an array), refuse (phones), reset.
function sandbox_nginx.admin()
  local name = ngx.var.uri:sub(#ADMIN + 1)
  local method = ngx.req.get_method()
  local status, message = objection(method)
  if status then
    return refuse(status, message)
  end
  local action = admin[method .. " " .. name]
  local response = { status = 200, headers = { ["Content-Type"] = "application/json" } }
  if not action then
    return refuse(404, "there is nothing at this address")
  end
  local body = body_of()
  local ok, value = true, nil
  if body ~= "" then
    ok, value = sandbox_json.read(body)
    if ok then
      value = without_null(value)
    end
  elseif method == "POST" and name ~= "reset" then
    ok, value = false, "the body is missing"
  end
  if ok then
    ok, value = pcall(action, value)
  end
  if not ok then
    response.status = 400
    value = { error = (tostring(value):gsub("^[^:]+:%d+: ", "")) }
  end
  response.body = sandbox_json.write(value)
  return send(response)
end

return sandbox_nginx
