--- What every part needs of the running program: the version, the native modules, and the clocks.
local runtime = {}

runtime.VERSION = "0.2.0"

--- The name of this Lua, as messages tell it: "Lua 5.4", or LuaJIT with its version.
runtime.LUA = rawget(_G, "jit") and rawget(_G, "jit").version or _VERSION

--- How requests name this library; an application may add its own name.
runtime.USER_AGENT = "heymarket-lua/" .. runtime.VERSION .. " (" .. (rawget(_G, "jit") and "LuaJIT" or _VERSION) .. ")"

-- How this Lua is installed from the sources.
local MAKE = "(in the checkout: make install LUAS=" .. (rawget(_G, "jit") and "jit" or _VERSION:match "%d%.%d") .. ")"
local CPATH = rawget(_G, "ngx") and "lua_package_cpath in nginx.conf" or "package.cpath"

--- Requires one of the modules that are written in C. The dynamic linker's own message does not help when a module was
--- built for another Lua, so this raises a plain one.
---@param name string "heymarket.core", "heymarket.rows" or "heymarket.system"
---@return table module
function runtime.native(name)
  local found, module = pcall(require, name)
  if found then
    return module
  end
  local problem = tostring(module)
  if problem:find("undefined symbol", 1, true) or problem:find("was built for", 1, true) then
    local words = "heymarket: its C module %s was built for another Lua than this one (%s): run the program with that "
      .. "Lua, or build the module for this one %s"
    error(words:format(name, runtime.LUA, MAKE), 0)
  elseif problem:find("module '" .. name .. "' not found", 1, true) then
    local words = "heymarket: its C module %s for %s is not installed: run the program with a Lua that it is installed "
      .. "for, build it for this one %s, or set %s"
    error(words:format(name, runtime.LUA, MAKE, CPATH), 0)
  end
  error(("heymarket: its C module %s cannot be loaded: %s"):format(name, problem), 0)
end

local system = runtime.native "heymarket.system"

--- Seconds since some moment in the past; they never go back.
runtime.monotonic = system.monotonic
--- Seconds since 1970.
runtime.time = system.time
--- Waits for so many seconds; a signal ends the wait.
runtime.sleep = system.sleep
--- A number from 0 up to and without 1, from the system's random bytes.
runtime.random = system.random

return runtime
