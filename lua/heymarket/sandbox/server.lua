--- The sandbox over HTTP: served by nginx with its Lua module, on this machine only.
---
--- nginx runs as one process in a folder of its own. It ends with `stop`, and also by itself soon after the program
--- that started it has ended, whichever way that happened (even by SIGKILL).
local sandbox_server = {}

local core = require "heymarket.core"
local failure = require "heymarket.failure"
local options = require "heymarket.options"
local rows = require "heymarket.rows"
local sandbox = require "heymarket.sandbox"
local sandbox_json = require "heymarket.sandbox.json"
local system = require "heymarket.system"
local text = require "heymarket.util.text"

local HOST = "127.0.0.1"
local PORT_LOW, PORT_HIGH = 12000, 32000 -- below the ports that systems give to outgoing connections
local PORTS_TRIED = 20
local START_SECONDS, STOP_SECONDS = 15, 5
local LOOK_SECONDS = 0.02

local NGINX_PLACES = {
  "nginx",
  "openresty",
  "/usr/sbin/nginx",
  "/usr/local/sbin/nginx",
  "/usr/local/nginx/sbin/nginx",
  "/usr/local/openresty/nginx/sbin/nginx",
}
local INSTALL = "install nginx with its Lua module (Debian: apt-get install nginx libnginx-mod-http-lua), or OpenResty"

local function quote(argument)
  return "'" .. argument:gsub("'", "'\\''") .. "'"
end

local function output_of(command)
  local pipe = assert(io.popen(command, "r"))
  local output = pipe:read "*a" or "" -- nothing, where a signal came in between
  pipe:close()
  return output
end

local function read_file(path)
  local file = io.open(path, "rb")
  if not file then
    return nil
  end
  local content = file:read "*a"
  file:close()
  return content
end

local function write_file(path, content)
  local file = assert(io.open(path, "wb"))
  assert(file:write(content))
  assert(file:close())
end

local function missing(message)
  return failure.new("context", message)
end

-- The program, and the lines of its configuration that load the Lua module.
local function find_nginx(given)
  local program
  for _, place in ipairs(given and { given } or NGINX_PLACES) do
    local found = output_of("command -v " .. quote(place) .. " 2>/dev/null"):match "^(/[^\n]+)"
    if found then
      program = found
      break
    end
  end
  if not program then
    return nil, missing("the sandbox is served by nginx, which was not found: " .. INSTALL)
  end
  local built = output_of(quote(program) .. " -V 2>&1")
  if built:find("ngx_lua", 1, true) or built:find("lua-nginx-module", 1, true) then
    return program, ""
  end
  local folder = built:match "%-%-modules%-path=(%S+)"
  folder = folder or (built:match "%-%-prefix=(%S+)" or "/usr/local/nginx") .. "/modules"
  local load = ""
  for _, name in ipairs { "ndk_http_module.so", "ngx_http_lua_module.so" } do
    local path = folder .. "/" .. name
    local there = io.open(path, "rb")
    if there then
      there:close()
      load = load .. ("load_module %q;\n"):format(path)
    elseif name:find("lua", 1, true) then
      return nil, missing(("nginx is here (%s), but without its Lua module: %s"):format(program, INSTALL))
    end
  end
  return program, load
end

-- How a path of another Lua's modules leads to those of Lua 5.1: in this source tree, and where modules are installed.
local CHANGES = {
  { "^$", "" },
  { "/build/[%w.]+/%?", "/build/jit/?" },
  { "/build/[%w.]+/%?", "/build/5.1/?" },
  { "/lua/5%.%d/", "/lua/5.1/" },
}

-- The templates of a search path, absolute, each also as it would be for Lua 5.1, whose modules nginx's LuaJIT takes.
local function templates(path, here, as_they_are)
  local list = {}
  for template in path:gmatch "[^;]+" do
    if template:sub(1, 1) ~= "/" then
      template = here .. "/" .. template:gsub("^%./", "")
    end
    for _, change in ipairs(as_they_are and { CHANGES[1] } or CHANGES) do
      local changed = template:gsub(change[1], change[2])
      if not list[changed] and not changed:find '["\\]' then
        list[changed] = true
        list[#list + 1] = changed
      end
    end
  end
  return list
end

local function find_module(list, name)
  for _, template in ipairs(list) do
    local file = io.open((template:gsub("%?", (name:gsub("%.", "/")))), "rb")
    if file then
      file:close()
      return template
    end
  end
  return nil
end

local function this_abi()
  return rawget(_G, "jit") and true or _VERSION == "Lua 5.1"
end

-- Where nginx's LuaJIT finds this module, the core that was built for it, and what they need.
local function find_paths()
  local here = output_of("pwd"):match "^[^\n]+"
  local sources = templates(package.path, here)
  local cores = {}
  local given = os.getenv "HEYMARKET_SANDBOX_CPATH"
  local others = templates(package.cpath, here)
  local wanted, asked = {}, {}
  for _, template in ipairs(templates(package.cpath, here, true)) do
    asked[template] = true
  end
  for _, template in ipairs(others) do
    -- What this interpreter loads is of another kind, unless it is a Lua 5.1 itself.
    if this_abi() or not asked[template] then
      wanted[#wanted + 1] = template
    end
  end
  if given and given ~= "" then
    for _, template in ipairs(templates(given, here)) do
      cores[#cores + 1] = template
    end
  end
  for _, template in ipairs(wanted) do
    cores[#cores + 1] = template
  end
  local source, built = find_module(sources, "heymarket.sandbox"), find_module(cores, "heymarket.core")
  if not source then
    return nil, nil, missing "the sandbox runs in nginx, which does not find heymarket: set package.path to where it is"
  elseif not built then
    return nil,
      nil,
      missing(
        "the sandbox runs in nginx's LuaJIT, and the C core for it was not found: build it for LuaJIT or Lua 5.1 too, "
          .. "or set HEYMARKET_SANDBOX_CPATH to where it is, such as /usr/local/lib/lua/5.1/?.so"
      )
  end
  return source .. ";" .. table.concat(sources, ";") .. ";;", built .. ";" .. table.concat(cores, ";") .. ";;"
end

-- One process, in the foreground of the shell that starts it: what is known by its pid can be ended by its pid. Bodies
-- stay in memory. The reset is for the fault of that name.
local CONFIGURATION = [[
%sdaemon off;
master_process off;
pid "%s/nginx.pid";
error_log "%s/error.log" warn;
events { worker_connections 512; }
http {
  access_log off;
  server_tokens off;
  default_type "";
  keepalive_requests 1000000;
  keepalive_timeout 300s;
  tcp_nodelay on;
  reset_timedout_connection on;
  client_max_body_size 256m;
  client_body_buffer_size 16m;
  client_body_in_single_buffer on;
  client_body_temp_path "%s/body";
  proxy_temp_path "%s/proxy";
  fastcgi_temp_path "%s/fastcgi";
  uwsgi_temp_path "%s/uwsgi";
  scgi_temp_path "%s/scgi";
  lua_check_client_abort on;
  lua_package_path "%s";
  lua_package_cpath "%s";
  init_worker_by_lua_block { require("heymarket.sandbox.nginx").open("%s") }
  server {
    listen %s:%d;
    location /_sandbox/ { content_by_lua_block { require("heymarket.sandbox.nginx").admin() } }
    set $sandbox_cut "";
    location @cut {
      keepalive_timeout 0;
      content_by_lua_block { require("heymarket.sandbox.nginx").cut() }
    }
    location / { content_by_lua_block { require("heymarket.sandbox.nginx").answer() } }
  }
}
]]

local function configuration(load, folder, paths, port)
  local f = folder
  return CONFIGURATION:format(load, f, f, f, f, f, f, f, paths[1], paths[2], f, HOST, port)
end

-- One HTTP exchange with the sandbox; the key is for its control interface.
local function exchange(method, url, body, timeout, key)
  local pool = core.pool {}
  local headers = { "Accept: application/json" }
  if key then
    headers[#headers + 1] = "Authorization: Bearer " .. key
  end
  if body then
    headers[#headers + 1] = "Content-Type: application/json"
  end
  local started, code = pool:start(method, url, headers, body, timeout or 60, 2)
  local result = not started and { code = code } or nil
  while not result do
    pool:perform()
    result = pool:take()
    if not result then
      pool:wait(1)
    end
  end
  pool:close()
  return result
end

local function is_alive(pid)
  -- A process that has ended but was not collected yet still has a pid.
  local stat = read_file(("/proc/%d/stat"):format(pid))
  if stat and stat:find "%) Z" then
    return false
  end
  return output_of(("kill -0 %d 2>/dev/null && echo yes"):format(pid)):find "yes" ~= nil
end

-- 128 bits that nobody can guess.
local function new_key()
  local parts = {}
  for i = 1, 8 do
    parts[i] = ("%.17g"):format(system.random())
  end
  return rows.hash(table.concat(parts, " "))
end

local function is_free(port)
  return exchange("GET", ("http://%s:%d/"):format(HOST, port), nil, 2).code == "COULDNT_CONNECT"
end

local function choose_port(tried)
  for _ = 1, 100 do
    local port = PORT_LOW + math.floor(system.random() * (PORT_HIGH - PORT_LOW))
    if not tried[port] and is_free(port) then
      tried[port] = true
      return port
    end
  end
  error "no free port was found"
end

---@class heymarket.SandboxServer
---@field base_url string
---@field pid integer of nginx
---@field secret_id string
---@field secret_key string
---@field sandbox_key string opens the control interface below /_sandbox/; made anew for each server
local Server = {}
Server.__index = Server
Server.__name = "heymarket.SandboxServer"

--- Asks the sandbox something, or tells it something.
---@param method "GET"|"POST"
---@param name string GET: contacts, count, requests, script; POST: contacts, script, refuse, reset
---@param value any? what is sent, as plain tables
---@return any? answer decoded
---@return string? problem
function Server:admin(method, name, value)
  local url = self.base_url .. "/_sandbox/" .. name
  local body = method == "POST" and (value ~= nil and sandbox_json.write(value) or "") or nil
  local result = exchange(method, url, body, nil, self.sandbox_key)
  if result.code then
    return nil, result.code
  end
  local ok, answer = sandbox_json.read(result.body)
  if not ok then
    return nil, answer
  elseif result.status ~= 200 then
    return nil, answer.error
  end
  return answer
end

--- Scripts what the next API requests meet, as sandbox:script does. A step cannot have `when` here.
---@param ... heymarket.SandboxStep steps, or one array of steps
---@return heymarket.SandboxServer self
function Server:script(...)
  local steps = { ... }
  if #steps == 1 and type(steps[1]) == "table" and steps[1][1] ~= nil then
    steps = steps[1]
  end
  local _, problem = self:admin("POST", "script", sandbox_json.array(steps))
  if problem then
    error(problem, 2)
  end
  return self
end

--- Is nginx running?
---@return boolean
function Server:is_running()
  return self.pid ~= nil and is_alive(self.pid)
end

--- Ends nginx and removes its folder. May be called twice.
function Server:stop()
  local pid = self.pid
  self.pid = nil
  if pid and is_alive(pid) then
    os.execute(("kill -TERM %d 2>/dev/null"):format(pid))
    local patience = system.monotonic() + STOP_SECONDS
    while is_alive(pid) do
      if system.monotonic() > patience then
        os.execute(("kill -KILL %d 2>/dev/null"):format(pid))
        patience = math.huge
      end
      system.sleep(LOOK_SECONDS)
    end
  end
  if self.folder then
    os.execute("rm -rf " .. quote(self.folder))
    self.folder = nil
  end
end

Server.__close = Server.stop

local function complaint(folder)
  local log = (read_file(folder .. "/error.log") or "") .. (read_file(folder .. "/output") or "")
  local last
  for line in log:gmatch "[^\n]+" do
    if line:find("[emerg]", 1, true) or line:find("[error]", 1, true) then
      last = line:gsub("^.-%[%a+%] ", "")
    end
  end
  return last or log:match "([^\n]+)\n*$" or "it says nothing"
end

-- Starts nginx on a port. Returns whether the port was the trouble, where there was any.
local function launch(server, program, load, paths, settings, port)
  local folder = server.folder
  settings.nonce = ("%.0f"):format(system.random() * 2 ^ 53)
  write_file(folder .. "/settings.json", sandbox_json.write(settings))
  write_file(folder .. "/nginx.conf", configuration(load, folder, paths, port))
  local command = ("env -u LUA_PATH -u LUA_CPATH -u LUA_INIT %s -p %s -c %s/nginx.conf"):format(
    quote(program),
    quote(folder),
    quote(folder)
  )
  local pid = tonumber(output_of(("%s </dev/null >%s/output 2>&1 & echo $!"):format(command, quote(folder))))
  server.pid = pid
  server.base_url = ("http://%s:%d"):format(HOST, port)
  local patience = system.monotonic() + START_SECONDS
  while system.monotonic() < patience do
    local answer, problem = server:admin("GET", "ready")
    if type(answer) == "table" and answer.nonce == settings.nonce then
      server.pid = answer.pid
      return true
    elseif not is_alive(pid) or problem ~= "COULDNT_CONNECT" then
      break
    end
    system.sleep(LOOK_SECONDS)
  end
  local message = complaint(folder)
  return nil, missing("nginx did not start: " .. message), message:find("Address already in use", 1, true) ~= nil
end

local KNOWN = { port = "number", host = "string", options = "table", nginx = "string" }

--- Starts the sandbox over HTTP.
---@param given {port: integer?, host: string?, options: heymarket.SandboxOptions?, nginx: string?}? port 0 (the
--- default) is any free one; host can only be this machine; nginx is the program, where it is not in its usual place
---@return heymarket.SandboxServer?
---@return heymarket.Failure? failure of kind "context" where nginx, its Lua module or the core for it is missing
function sandbox_server.start(given)
  options.expect(given, "table?", "sandbox_server.start: options", 2)
  given = given or {}
  for name, value in pairs(given) do
    if not KNOWN[name] then
      local hint = text.did_you_mean(name, { "port", "host", "options", "nginx" })
      error(("sandbox_server.start: %s is not an option%s"):format(tostring(name), hint), 2)
    end
    options.expect(value, KNOWN[name], "sandbox_server.start: " .. name, 2)
  end
  local port = given.port or 0
  local issues = {}
  if port % 1 ~= 0 or port < 0 or port > 65535 then
    issues[1] = { field = "port", message = "must be a whole number from 0 to 65535" }
  end
  if given.host and given.host ~= HOST and given.host ~= "localhost" then
    issues[#issues + 1] = { field = "host", message = "must be 127.0.0.1: the sandbox serves this machine only" }
  end
  if #issues > 0 then
    return nil, failure.invalid(issues)
  end
  local settings = { options = sandbox.new(given.options).options, owner = system.pid(), key = new_key() }
  local program, load = find_nginx(given.nginx)
  if not program then
    return nil, load
  end
  local path, cpath, problem = find_paths()
  if not path then
    return nil, problem
  end
  local folder = output_of("umask 077; mktemp -d"):match "^(/[^\n]+)"
  if not folder or folder:find '["\\$]' then
    return nil, missing "no folder could be made for nginx: check TMPDIR"
  end
  local server = setmetatable({
    folder = folder,
    secret_id = settings.options.secret_id,
    secret_key = settings.options.secret_key,
    sandbox_key = settings.key,
  }, Server)
  -- A function as a field, so that both server.stop() and server:stop() work.
  function server.stop()
    Server.stop(server)
  end
  local tries, tried = port == 0 and PORTS_TRIED or 1, {}
  local started, busy
  if port ~= 0 and not is_free(port) then
    server.stop()
    return nil, missing(("port %d is taken: choose another one, or leave it out"):format(port))
  end
  repeat
    local chosen = port == 0 and choose_port(tried) or port
    started, problem, busy = launch(server, program, load, { path, cpath }, settings, chosen)
    tries = tries - 1
  until started or not busy or tries == 0
  if not started then
    server.stop()
    return nil, problem
  end
  return server
end

--- Serves the sandbox until it is interrupted: the command `heymarket sandbox`. Prints its address and credentials as
--- lines NAME=value.
---@param given table? as for start
---@return integer? code 0 when it was interrupted
---@return heymarket.Failure?
function sandbox_server.run(given)
  local server, problem = sandbox_server.start(given)
  if not server then
    return nil, problem
  end
  system.interrupts "count"
  io.stdout:write(
    "HEYMARKET_BASE_URL=" .. server.base_url .. "\n",
    "HEYMARKET_SANDBOX_KEY=" .. server.sandbox_key .. "\n",
    "HEYMARKET_SECRET_ID=" .. server.secret_id .. "\n",
    "HEYMARKET_SECRET_KEY=" .. server.secret_key .. "\n"
  )
  io.stdout:flush()
  while system.interrupts "count" == 0 and server:is_running() do
    system.sleep(0.2)
  end
  local ended_by_itself = system.interrupts "count" == 0
  server.stop()
  system.interrupts "restore"
  if ended_by_itself then
    return nil, missing "nginx has ended"
  end
  return 0
end

return sandbox_server
