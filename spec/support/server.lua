--- fault_server.py as a Lua object: start it, script it, read its ledger, stop it.
---
--- It ends with the pipe that started it, so that it cannot outlive the tests however they end. Control calls go
--- through the core's pool directly: nothing of the layer that retries and paces stands between a test and its witness.
local server = {}

local cjson = require("cjson").new()
local core = require "heymarket.core"
local system = require "heymarket.system"

local Server = {}
Server.__index = Server

local function quote(text)
  return "'" .. text:gsub("'", "'\\''") .. "'"
end

local function output_of(command)
  local pipe = assert(io.popen(command, "r"))
  local text = pipe:read "*a"
  pipe:close()
  return text
end

-- Nulls become absent fields.
local function plain(value)
  if type(value) == "table" then
    for key, item in pairs(value) do
      if item == cjson.null then
        value[key] = nil
      else
        plain(item)
      end
    end
  end
  return value
end

--- Makes a folder for the files of a test.
---@return string path
function server.folder()
  return (output_of("mktemp -d"):match "%S+")
end

--- Removes such a folder.
---@param path string
function server.remove(path)
  os.execute("rm -rf " .. quote(path))
end

--- Makes a certificate for 127.0.0.1 that is its own authority.
---@param folder string where to put it
---@return {certificate: string, key: string} paths
function server.certificate(folder)
  local made = { certificate = folder .. "/certificate.pem", key = folder .. "/key.pem" }
  output_of(
    "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=127.0.0.1 -addext subjectAltName=IP:127.0.0.1 -keyout "
      .. quote(made.key)
      .. " -out "
      .. quote(made.certificate)
      .. " 2>&1"
  )
  return made
end

--- Starts a command that prints its port on one line and ends with its standard input.
---@param command string
---@return file* pipe close it to end the command
---@return integer port
function server.spawn(command)
  local folder = server.folder()
  local path = folder .. "/port"
  local pipe = assert(io.popen("exec " .. command .. " > " .. quote(path), "w"))
  local port
  local give_up = system.monotonic() + 20
  while not port and system.monotonic() < give_up do
    local file = io.open(path, "r")
    local text = file and file:read "*a" or ""
    if file then
      file:close()
    end
    port = tonumber(text:match "^(%d+)\n")
    if not port then
      system.sleep(0.01)
    end
  end
  server.remove(folder)
  if not port then
    pipe:close()
    error("did not start: " .. command)
  end
  return pipe, port
end

--- Starts a fault server.
---@param tls {certificate: string, key: string}? for https
function server.start(tls)
  local command = "/usr/bin/env python3 spec/support/fault_server.py"
  if tls then
    command = command .. " --tls " .. quote(tls.certificate) .. " " .. quote(tls.key)
  end
  local pipe, port = server.spawn(command)
  local made = setmetatable({ pipe = pipe, control_port = port }, Server)
  made.url = ("%s://127.0.0.1:%d"):format(tls and "https" or "http", port)
  made.control_port = made:reset().control_port
  return made
end

--- A control call.
---@param method string
---@param name string
---@param value any? sent as JSON
---@return table answer
function Server:control(method, name, value)
  -- One connection for all of them: a new one costs time, and a test makes several calls.
  self.pool = self.pool or core.pool {}
  local pool = self.pool
  local body = method == "POST" and (value == nil and "" or cjson.encode(value)) or nil
  local url = ("http://127.0.0.1:%d/_control/%s"):format(self.control_port, name)
  assert(pool:start(method, url, {}, body, 30, 10))
  local result
  repeat
    pool:perform()
    result = pool:take()
    if not result then
      pool:wait(1)
    end
  until result
  if result.code or result.status ~= 200 then
    error(("control call %s: %s %s"):format(name, tostring(result.code or result.status), tostring(result.body)))
  end
  return plain(cjson.decode(result.body))
end

--- What the next requests meet, one step each.
---@param steps table[]
function Server:script(steps)
  self:control("POST", "script", steps)
end

--- What the next connections meet, one step each.
---@param steps table[]
function Server:connection_script(steps)
  self:control("POST", "connection_script", steps)
end

--- What a request meets when the script is used up.
---@param step table
function Server:default(step)
  self:control("POST", "default", step)
end

--- Forgets scripts, store and ledger.
function Server:reset()
  return self:control("POST", "reset")
end

--- What happened since the last reset; see fault_server.py.
---@return table
function Server:ledger()
  return self:control("GET", "ledger")
end

--- Closes the connection of the control calls; the next call opens one.
function Server:disconnect()
  if self.pool then
    self.pool:close()
    self.pool = nil
  end
end

--- Ends the server.
function Server:stop()
  self:disconnect()
  if self.pipe then
    self.pipe:close()
    self.pipe = nil
  end
end

return server
