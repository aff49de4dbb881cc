--- The sandbox over HTTP: served by nginx with its Lua module, on this machine only.
---
--- nginx runs as one process in a folder of its own. It ends with `stop`, and also when the program that started it has
--- ended, in whatever way.
local sandbox_server = {}

local answers = require "heymarket.sandbox.answers"
local core = require "heymarket.core"
local failure = require "heymarket.failure"
local json = require "heymarket.util.json"
local nginx_conf = require "heymarket.sandbox.nginx_conf"
local options = require "heymarket.options"
local runtime = require "heymarket.runtime"
local sandbox_script = require "heymarket.sandbox.script"

local HOST = "127.0.0.1"
local PORT_LOW, PORT_HIGH = 12000, 32000 -- below the ports that systems give to outgoing connections
local PORTS_TRIED = 20
local START_SECONDS, LOOK_SECONDS = 15, 0.02

local function write_file(path, content)
  local file = assert(io.open(path, "wb"))
  assert(file:write(content))
  assert(file:close())
end

-- One HTTP exchange with the sandbox; the key is for its control interface.
local function exchange(method, url, body, key, timeout)
  local pool, result = core.pool {}, nil
  local headers = { "Content-Type: application/json", key and "Authorization: Bearer " .. key }
  local started, code = pool:start(method, url, headers, body, timeout or 60, 2)
  while started and not result do
    pool:perform()
    result = pool:take()
    if not result then
      pool:wait(1)
    end
  end
  pool:close()
  return result or { code = code }
end

local function is_free(port)
  return exchange("GET", ("http://%s:%d/_sandbox/"):format(HOST, port), nil, nil, 2).code == "COULDNT_CONNECT"
end

---@class heymarket.SandboxServer
---@field base_url string
---@field pid integer of nginx
---@field folder string of nginx
---@field secret_id string
---@field secret_key string
---@field sandbox_key string opens the control interface below /_sandbox/; made anew for each server
local Server = {}
Server.__index = Server
Server.__name = "heymarket.SandboxServer"

--- Asks the sandbox something, or tells it something.
---@param method "GET"|"POST"
---@param name string GET: contacts, count, requests, script; POST: contacts, script, refuse, rotate, reset
---@param value any? what is sent
---@return any? answer decoded; nil, problem where it was refused
function Server:admin(method, name, value)
  local body = method == "POST" and (value ~= nil and json.encode(value) or "") or nil
  local result = exchange(method, self.base_url .. "/_sandbox/" .. name, body, self.sandbox_key)
  if result.code then
    return nil, result.code
  end
  local ok, answer = json.decode(result.body)
  if ok and result.status == 200 then
    return answer
  end
  return nil, ok and answer.error or answer
end

--- From now on only these credentials are good, as sandbox:rotate does.
---@param secret_id string
---@param secret_key string
---@return heymarket.SandboxServer self
function Server:rotate(secret_id, secret_key)
  local _, problem = self:admin("POST", "rotate", { secret_id = secret_id, secret_key = secret_key })
  if problem then
    error(problem, 2)
  end
  self.secret_id, self.secret_key = secret_id, secret_key
  return self
end

--- Scripts how the next API requests are answered, as sandbox:script does. A step cannot have `when` here.
---@param ... heymarket.SandboxStep steps, or one array of steps
---@return heymarket.SandboxServer self
function Server:script(...)
  local _, problem = self:admin("POST", "script", sandbox_script.list(...))
  if problem then
    error(problem, 2)
  end
  return self
end

-- The pipe to each server's shell. While it is here, no collector closes it.
local pipes = {}

--- Is nginx running?
---@return boolean
function Server:is_running()
  return pipes[self] ~= nil and not is_free(self.port)
end

--- Ends nginx and removes its folder. May be called twice.
function Server:stop()
  local pipe = pipes[self]
  pipes[self] = nil
  if pipe then
    pipe:write "stop\n"
    pipe:close() -- waits for the shell
  end
end

Server.__close = Server.stop

-- The shell that starts nginx then reads from its pipe. A line is the order to stop. The end of the pipe, or a signal
-- of the terminal, means that the program ends. nginx is killed: it has nothing to keep, and may hang.
local SHELL = [[
trap : HUP INT QUIT TERM
exec >/dev/null 2>&1
env -u LUA_PATH -u LUA_CPATH -u LUA_INIT {program} -p {folder} -c {folder}/nginx.conf </dev/null >{folder}/output 2>&1 &
read -r line
kill -KILL $!
wait
rm -rf {folder}
]]

-- Waits until nginx answers; its key tells this server from another one at the same port. Gives what is wrong, or nil.
local function wait_until_ready(server)
  local last = runtime.monotonic() + START_SECONDS
  local folder = nginx_conf.quote(server.folder)
  local answer, problem, said
  repeat
    runtime.sleep(LOOK_SECONDS)
    answer, problem = server:admin("GET", "ready")
    if answer then
      server.pid = answer.pid
      return nil
    end
    said = nginx_conf.output_of(("cat %s/error.log %s/output 2>/dev/null"):format(folder, folder))
    said = said:match "%[emerg%] ([^\n]*)" or said:match "%[error%] ([^\n]*)"
  until said or problem ~= "COULDNT_CONNECT" or runtime.monotonic() > last
  return said or problem
end

-- Starts nginx: what nginx_conf.find has found, and a port.
local function launch(settings, nginx)
  local folder = nginx_conf.output_of("umask 077; mktemp -d"):match "^(/[^\n]+)"
  if not folder or folder:find '["\\$]' then
    return nil, failure.make("context", "nginx_folder")
  end
  nginx.folder = folder
  write_file(folder .. "/settings.json", json.encode(settings))
  write_file(folder .. "/nginx.conf", nginx_conf.text(nginx))
  local server = setmetatable({
    base_url = ("http://%s:%d"):format(HOST, nginx.port),
    port = nginx.port,
    folder = folder,
    secret_id = settings.options.secret_id,
    secret_key = settings.options.secret_key,
    sandbox_key = settings.key,
  }, Server)
  -- A function as a field, so that both server.stop() and server:stop() work.
  function server.stop()
    Server.stop(server)
  end
  local quoted = { program = nginx_conf.quote(nginx.program), folder = nginx_conf.quote(folder) }
  pipes[server] = assert(io.popen(SHELL:gsub("{(%w+)}", quoted), "w"))
  runtime.native("heymarket.system").close_on_exec(pipes[server]) -- else programs started later keep it open
  local problem = wait_until_ready(server)
  if problem then
    server.stop()
    return nil, failure.make("context", "nginx_not_started", { problem = problem })
  end
  return server
end

-- A port that can be used, or nil and the failure.
local function choose_port(wanted)
  for _ = 1, wanted and 1 or PORTS_TRIED do
    local port = wanted or PORT_LOW + math.floor(runtime.random() * (PORT_HIGH - PORT_LOW))
    if is_free(port) then
      return port
    end
  end
  return nil, failure.make("context", "nginx_port_taken", { port = wanted })
end

---@class (exact) heymarket.SandboxServerOptions
---@field port? integer 0 (the default) is any free one
---@field host? string can only be this machine
---@field options? heymarket.SandboxOptions
---@field nginx? string the program, where it is not in one of its usual places

--- Starts the sandbox over HTTP.
---@param given heymarket.SandboxServerOptions?
---@return heymarket.SandboxServer?
---@return heymarket.Failure? failure of kind "context" where nginx, its Lua module or the core for it is missing
function sandbox_server.start(given)
  options.expect(given, "table?", "sandbox_server.start: options", 2)
  local values, issues = options.read("server", given)
  local settings
  if values then
    settings, issues = options.read("sandbox", values.options)
  end
  if issues then
    return nil, failure.invalid(issues)
  end
  local nginx, problem = nginx_conf.find(values.nginx)
  if nginx then
    nginx.port, problem = choose_port(values.port ~= 0 and values.port or nil)
  end
  if problem then
    return nil, problem
  end
  local key = answers.uuid():gsub("-", "") -- 122 bits that nobody can guess
  return launch({ options = settings, key = key }, nginx)
end

--- Serves the sandbox until it is interrupted: the command `heymarket sandbox`. Prints its address and credentials as
--- lines NAME=value.
---@param given heymarket.SandboxServerOptions?
---@return integer? code 0 when it was interrupted
---@return heymarket.Failure? failure of kind "context" or "invalid", as of `start`
function sandbox_server.run(given)
  local server, problem = sandbox_server.start(given)
  if not server then
    return nil, problem
  end
  local interrupts = runtime.native("heymarket.system").interrupts
  interrupts "count"
  for _, name in ipairs { "base_url", "sandbox_key", "secret_id", "secret_key" } do
    io.stdout:write("HEYMARKET_", name:upper(), "=", server[name], "\n")
  end
  io.stdout:flush()
  while interrupts "count" == 0 and server:is_running() do
    runtime.sleep(0.2)
  end
  local interrupted = interrupts "count" > 0
  server.stop()
  interrupts "restore"
  if interrupted then
    return 0
  end
  return nil, failure.make("context", "nginx_ended")
end

return sandbox_server
