--- Other programs as witnesses, and this Lua once more with another environment.
local process = {}

--- A word for the shell.
---@param text string
---@return string
function process.quote(text)
  return "'" .. text:gsub("'", "'\\''") .. "'"
end

--- What a command prints.
---@param command string
---@return string
function process.output(command)
  local pipe = assert(io.popen(command, "r"))
  local text = pipe:read "*a"
  pipe:close()
  return text
end

--- What a file holds, nil where there is none.
---@param path string
---@return string?
function process.read_file(path)
  local file = io.open(path, "rb")
  local text = file and file:read "*a"
  if file then
    file:close()
  end
  return text
end

--- Makes a folder, in memory where that can be: there a wait for the disk takes no time.
---@return string path
function process.folder_in_memory()
  return process.output("mktemp -d -p /dev/shm 2>/dev/null || mktemp -d"):match "%S+"
end

---@param path string
---@param text string
function process.write_file(path, text)
  local file = assert(io.open(path, "wb"))
  file:write(text)
  file:close()
end

--- Whether a process runs. One that has ended and was not waited for does not.
---@param pid integer
---@return boolean
function process.is_alive(pid)
  local state = process.read_file(("/proc/%d/stat"):format(pid)) or ""
  return state:match "^%d+ %b() ([^ZX])" ~= nil
end

--- Runs something with a file that holds the text, and removes the file.
---@param text string
---@param act fun(path: string): any
---@return any what it returned
function process.with_file(text, act)
  local path = process.output("mktemp"):match "%S+"
  process.write_file(path, text)
  local ok, result = pcall(act, path)
  os.remove(path)
  return assert(ok and { result } or nil, result)[1]
end

--- Gives text to Python and reads what it prints.
---@param script string file below spec/support, with its arguments
---@param text string standard input
---@return string[] lines
function process.python(script, text)
  local out = process.with_file(text, function(path)
    return process.output("/usr/bin/env python3 spec/support/" .. script .. " < " .. process.quote(path))
  end)
  local lines = {}
  for line in out:gmatch "([^\n]*)\n" do
    lines[#lines + 1] = line
  end
  return lines
end

--- The interpreter that runs these tests.
---@return string
function process.interpreter()
  local first = 0
  while _G.arg[first - 1] do
    first = first - 1
  end
  return os.getenv "HEYMARKET_TEST_LUA" or _G.arg[first]
end

--- The words for the shell that start the same interpreter again. It finds the modules that this process finds, also
--- where LUA_PATH is not set because plain `busted` runs.
---@param environment table<string, string>? variables to set; HEYMARKET_… of this process are not handed on
---@return string
function process.this_lua(environment)
  local words = { "env", "-u HEYMARKET_SECRET_ID", "-u HEYMARKET_SECRET_KEY", "-u HEYMARKET_BASE_URL" }
  for _, version in ipairs { "5_2", "5_3", "5_4" } do
    words[#words + 1] = "-u LUA_PATH_" .. version .. " -u LUA_CPATH_" .. version
  end
  local variables = { LUA_PATH = package.path, LUA_CPATH = package.cpath }
  for name, value in pairs(environment or {}) do
    variables[name] = value
  end
  for name, value in pairs(variables) do
    words[#words + 1] = name .. "=" .. process.quote(value)
  end
  words[#words + 1] = process.quote(process.interpreter())
  return table.concat(words, " ")
end

--- Runs Lua code in a process of its own, under the Lua that runs the tests.
---@param code string
---@param environment table<string, string>? as for this_lua
---@return string output both streams
function process.lua(code, environment)
  return process.with_file(code, function(path)
    return process.output(process.this_lua(environment) .. " " .. process.quote(path) .. " 2>&1")
  end)
end

return process
