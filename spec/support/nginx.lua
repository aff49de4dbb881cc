--- nginx as a Lua object: start it with a configuration, reload it, end it, read its log.
---
--- It ends with the pipe that started it, so that it cannot outlive the tests however they end.
local nginx = {}

local core = require "heymarket.core"
local process = require "spec.support.process"
local system = require "heymarket.system"

local Nginx = {}
Nginx.__index = Nginx

local quote, output = process.quote, process.output

--- The top of the source tree.
nginx.root = output("pwd"):match "[^\n]+"

local built = output "nginx -V 2>&1"
local modules = built:match "%-%-modules%-path=(%S+)"

--- Lines of a configuration that load the Lua module, where it is not part of the program.
nginx.load_modules = (built:find("lua-nginx-module", 1, true) or built:find("ngx_lua", 1, true)) and ""
  or ("load_module %s/ndk_http_module.so;\nload_module %s/ngx_http_lua_module.so;\n"):format(modules, modules)

--- Lines of a configuration by which Lua finds this source tree, its tests, and the core that was built for LuaJIT.
nginx.paths = ('lua_package_path "%s/?.lua;%s/lua/?.lua;%s/lua/?/init.lua;;";\n'):format(
  nginx.root,
  nginx.root,
  nginx.root
) .. ('lua_package_cpath "%s/build/jit/?.so;;";\n'):format(nginx.root)

--- Waits for something to become true.
---@param what string for the message
---@param condition fun(): any
---@param seconds number? patience, 30 unless told
---@return any what the condition gave
function nginx.eventually(what, condition, seconds)
  local give_up = system.monotonic() + (seconds or 30)
  local value = condition()
  while not value do
    if system.monotonic() > give_up then
      error("did not happen: " .. what, 2)
    end
    system.sleep(0.02)
    value = condition()
  end
  return value
end

local function read(path)
  return process.read_file(path) or ""
end

local write = process.write_file

--- Why nothing can be tested in nginx here, or nil.
nginx.missing = read(nginx.root .. "/build/jit/heymarket/core.so") == ""
    and "the core for LuaJIT, which nginx needs, is not built"
  or nil

local FREE_PORT = 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'

local function free_port()
  return tonumber(output("/usr/bin/env python3 -c " .. quote(FREE_PORT)))
end

-- Starts it once. True, or nil and what it said.
local function launch(made, text, environment)
  made.ports = {}
  made.configuration = text:gsub("@FOLDER@", made.folder):gsub("@([A-Z0-9_]*PORT)@", function(name)
    made.ports[name] = made.ports[name] or free_port()
    return tostring(made.ports[name])
  end)
  made.port = made.ports.PORT
  made.url = "http://127.0.0.1:" .. made.port
  write(made.folder .. "/nginx.conf", made.configuration)
  local words = { "env -u LUA_PATH -u LUA_CPATH -u LUA_INIT" }
  for _, name in ipairs { "SECRET_ID", "SECRET_KEY", "BASE_URL" } do
    words[#words + 1] = "-u HEYMARKET_" .. name
  end
  for name, value in pairs(environment) do
    words[#words + 1] = name .. "=" .. quote(value)
  end
  made.program = ("nginx -p %s -e %s -c %s"):format(
    quote(made.folder),
    quote(made.folder .. "/error.log"),
    quote(made.folder .. "/nginx.conf")
  )
  -- Root's nginx would give its workers to a user who may not be able to read this tree.
  local globals = "daemon off;"
  if output("id -u"):match "^0" then
    globals = globals .. " user root;"
  end
  words[#words + 1] = made.program .. " -g " .. quote(globals)
  local folder = quote(made.folder)
  made.pipe = assert(
    io.popen(
      (
        "%s < /dev/null > %s/output 2>&1 & n=$!; echo $n > %s/started; "
        .. "cat > /dev/null; kill -TERM $n 2> /dev/null; wait $n"
      ):format(table.concat(words, " "), folder, folder),
      "w"
    )
  )
  made.pid = nginx.eventually("nginx has a pid", function()
    return tonumber(read(made.folder .. "/started"):match "^(%d+)\n")
  end)
  return nginx.eventually("nginx listens, or has ended", function()
    if not process.is_alive(made.pid) then
      return "ended"
    end
    local pool = core.pool {}
    pool:start("GET", made.url .. "/_there", {}, nil, 5, 5)
    local result
    repeat
      pool:perform()
      result = pool:take()
      if not result then
        pool:wait(0.1)
      end
    until result
    pool:close()
    return result.status and "listens"
  end) == "listens"
end

--- Starts nginx.
---@param text string configuration; @PORT@, @…_PORT@ and @FOLDER@ stand for what is known only then
---@param options {files: table<string, string>?, environment: table<string, string>?, may_fail: boolean?}? files to put
--- into its folder; variables to set; whether to give it back when it did not start
---@return table nginx with port, url, ports (by the names in the configuration), pid, folder
function nginx.start(text, options)
  options = options or {}
  local made = setmetatable({ folder = output("mktemp -d"):match "%S+", crowds = {} }, Nginx)
  for name, content in pairs(options.files or {}) do
    write(made.folder .. "/" .. name, content)
  end
  for _ = 1, 5 do
    if launch(made, text, options.environment or {}) then
      return made
    end
    made.pipe:close()
    made.pipe = nil
    if not made:log():find("Address already in use", 1, true) then
      break
    end
    os.remove(made.folder .. "/error.log")
    os.remove(made.folder .. "/started")
  end
  if options.may_fail then
    return made
  end
  local log = made:log()
  made:stop()
  error("nginx did not start: " .. log)
end

--- What it has logged so far.
---@return string
function Nginx:log()
  return read(self.folder .. "/error.log") .. read(self.folder .. "/output")
end

--- One request, by a program that shares nothing with what is tested.
---@param path string
---@param arguments string? further words for curl
---@return integer status 0 where there was no answer
---@return string body
---@return string head
function Nginx:get(path, arguments)
  local head, body = self.folder .. "/head", self.folder .. "/body"
  local status = output(
    ("curl -q -s -m 20 --noproxy '*' -D %s -o %s -w '%%{http_code}' %s %s"):format(
      quote(head),
      quote(body),
      arguments or "",
      quote(self.url .. path)
    )
  )
  local answer, answer_head = read(body), read(head)
  os.remove(body)
  os.remove(head)
  return tonumber(status) or 0, answer, answer_head
end

--- The processes that serve requests at this moment.
---@return integer[] pids
function Nginx:workers()
  local pids = {}
  for pid in read(("/proc/%d/task/%d/children"):format(self.pid, self.pid)):gmatch "%d+" do
    if process.is_alive(tonumber(pid)) then
      pids[#pids + 1] = tonumber(pid)
    end
  end
  return pids
end

--- Sends `nginx -s`.
---@param name string reload, quit, stop
function Nginx:signal(name)
  output(self.program .. " -s " .. name .. " 2>&1")
end

--- Kills a process of it without warning.
---@param pid integer
function Nginx:kill(pid)
  os.execute("kill -KILL " .. pid)
end

--- Ends it and removes its folder. May be called twice.
function Nginx:stop()
  if self.pipe then
    self.pipe:close()
    self.pipe = nil
  end
  -- Those that a failed test did not wait for.
  for _, crowd in ipairs(self.crowds) do
    if crowd.pipe then
      crowd:finish()
    end
  end
  self.crowds = {}
  if self.folder then
    os.execute("rm -rf " .. quote(self.folder))
    self.folder = nil
  end
end

local Crowd = {}
Crowd.__index = Crowd

--- Many clients at once: each sends a request and waits. In the path, %d stands for its number (0001 and on).
---@param path string
---@param count integer
---@return table crowd
function Nginx:crowd(path, count)
  local out = output("mktemp"):match "%S+"
  local pipe = assert(
    io.popen(
      ("exec /usr/bin/env python3 spec/live/nginx/crowd.py %d %s %d > %s"):format(self.port, quote(path), count, out),
      "w"
    )
  )
  local crowd = setmetatable({ pipe = pipe, out = out }, Crowd)
  self.crowds[#self.crowds + 1] = crowd
  return crowd
end

--- The first so many of them close their connections.
---@param count integer
function Crowd:leave(count)
  self.pipe:write("leave " .. count .. "\n")
  self.pipe:flush()
end

--- Waits for all answers.
---@return table<integer, integer> statuses how often each came; 0 where a connection ended without an answer
---@return string[] bodies
function Crowd:finish()
  self.pipe:close()
  self.pipe = nil
  local statuses, bodies = {}, {}
  for status, body in read(self.out):gmatch "(%d+) ([^\n]*)\n" do
    statuses[tonumber(status)] = (statuses[tonumber(status)] or 0) + 1
    bodies[#bodies + 1] = body
  end
  os.remove(self.out)
  return statuses, bodies
end

return nginx
