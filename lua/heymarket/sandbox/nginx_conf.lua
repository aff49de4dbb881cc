--- What nginx needs to serve the sandbox: the program, the paths of its Lua modules, and its configuration.
local nginx_conf = {}

local failure = require "heymarket.failure"

local PLACES = "nginx openresty /usr/sbin/nginx /usr/local/sbin/nginx /usr/local/nginx/sbin/nginx "
  .. "/usr/local/openresty/nginx/sbin/nginx"

--- An argument of a shell command.
function nginx_conf.quote(argument)
  return "'" .. argument:gsub("'", "'\\''") .. "'"
end

--- What a shell command prints.
function nginx_conf.output_of(command)
  local pipe = assert(io.popen(command, "r"))
  local output = pipe:read "*a" or "" -- nothing, where a signal came in between
  pipe:close()
  return output
end

local function exists(path)
  local file = io.open(path, "rb")
  return file ~= nil and file:close()
end

local function find_program(given)
  for place in (given or PLACES):gmatch(given and ".+" or "%S+") do
    local program = nginx_conf.output_of("command -v " .. nginx_conf.quote(place) .. " 2>/dev/null"):match "^(/[^\n]+)"
    if program then
      return program
    end
  end
end

-- The lines of a configuration that load the Lua module; nil where there is none.
local function find_lua_module(program)
  local built = nginx_conf.output_of(nginx_conf.quote(program) .. " -V 2>&1")
  if built:find("ngx_lua", 1, true) or built:find("lua-nginx-module", 1, true) then
    return ""
  end
  local folder = built:match "%-%-modules%-path=(%S+)"
  folder = folder or (built:match "%-%-prefix=(%S+)" or "/usr/local/nginx") .. "/modules"
  local load = ""
  for _, name in ipairs { "/ndk_http_module.so", "/ngx_http_lua_module.so" } do
    load = load .. (exists(folder .. name) and ("load_module %q;\n"):format(folder .. name) or "")
  end
  return load:find("ngx_http_lua", 1, true) and load or nil
end

-- What is different in the path of a module that is built for Lua 5.1, which nginx's LuaJIT loads.
local CHANGES = {
  { "/build/[%w.]+/%?", "/build/jit/?" },
  { "/build/[%w.]+/%?", "/build/5.1/?" },
  { "/lua/5%.%d/", "/lua/5.1/" },
}

-- The templates of a search path, absolute. What cannot stand in a string of the configuration is left out.
local function templates(path)
  local here, list = nginx_conf.output_of("pwd"):match "^[^\n]+", {}
  for template in path:gmatch "[^;]+" do
    template = template:sub(1, 1) == "/" and template or here .. "/" .. template:gsub("^%./", "")
    list[#list + 1] = not template:find '["\\]' and template or nil
  end
  return list
end

-- Templates for modules that are built for Lua 5.1. Those of this interpreter are only if it is one itself.
local function templates_51()
  local list = templates(os.getenv "HEYMARKET_SANDBOX_CPATH" or "")
  for _, template in ipairs(templates(package.cpath)) do
    if rawget(_G, "jit") or _VERSION == "Lua 5.1" then
      list[#list + 1] = template
    end
    for _, change in ipairs(CHANGES) do
      local changed = template:gsub(change[1], change[2])
      list[#list + 1] = changed ~= template and changed or nil
    end
  end
  return list
end

--- Finds nginx, its Lua module, and the C modules that were built for its LuaJIT.
---@return {program: string, load: string, path: string, cpath: string}?
---@return heymarket.Failure?
function nginx_conf.find(given)
  local program, list, has_core = find_program(given), templates_51(), false
  local load = program and find_lua_module(program)
  for _, template in ipairs(list) do
    has_core = has_core or exists((template:gsub("%?", "heymarket/core")))
  end
  if not program then
    return nil, failure.make("context", "nginx_missing")
  elseif not load then
    return nil, failure.make("context", "nginx_without_lua", { program = program })
  elseif not has_core then
    return nil, failure.make("context", "nginx_core")
  end
  local path = table.concat(templates(package.path), ";") .. ";;"
  return { program = program, load = load, path = path, cpath = table.concat(list, ";") .. ";;" }
end

-- One process in the foreground: the contacts are in its memory, and a master would only replace it by an empty one.
-- Bodies of requests stay in memory, too. reset_timedout_connection is for the fault "reset".
local TEMPLATE = [[
{load}daemon off; master_process off;
pid "{folder}/nginx.pid";
error_log "{folder}/error.log" warn;
events { worker_connections 512; }
http {
  access_log off; server_tokens off;
  default_type "";
  keepalive_requests 1000000; keepalive_timeout 300s;
  reset_timedout_connection on;
  client_max_body_size 256m; client_body_buffer_size 256m;
  client_body_temp_path "{folder}/body"; proxy_temp_path "{folder}/proxy"; fastcgi_temp_path "{folder}/fastcgi";
  uwsgi_temp_path "{folder}/uwsgi"; scgi_temp_path "{folder}/scgi";
  lua_check_client_abort on;
  lua_package_path "{path}";
  lua_package_cpath "{cpath}";
  init_worker_by_lua_block { require("heymarket.sandbox.nginx").open("{folder}/settings.json") }
  server {
    listen 127.0.0.1:{port};
    location / { content_by_lua_block { require("heymarket.sandbox.nginx").answer() } }
    location /_sandbox/ { content_by_lua_block { require("heymarket.sandbox.nginx").control() } }
  }
}
]]

--- The configuration, of what `find` has found, and a folder and a port.
function nginx_conf.text(values)
  return (TEMPLATE:gsub("{(%w+)}", values))
end

return nginx_conf
