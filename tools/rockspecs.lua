--- Writes the rockspecs anew: from the version in runtime.lua, the source in tools/source.lua, and the files in lua/
--- and csrc/.
---
---   lua5.4 tools/rockspecs.lua [check]     with check, only says whether they are as they should be
local source = dofile "tools/source.lua"

-- The rock `heymarket` is the library. What only the command or the served sandbox needs is in `heymarket-cli`.
-- `heymarket-phonenumber` is the module in C++ that links libphonenumber.
local CLI_ONLY = {
  "^heymarket%.cli$",
  "^heymarket%.cli%.",
  "^heymarket%.sandbox%.nginx",
  "^heymarket%.sandbox%.server$",
}

-- The modules in C, as `make rock` builds them.
local NATIVE = { "core", "rows", "system" }

local HEAD = [[
-- Written by tools/rockspecs.lua: `make format` writes it anew.
rockspec_format = "3.0"
package = "%s"
version = "%s-1"

%s
description = {
%s
  license = "MIT",
}

supported_platforms = { "linux" }
]]

-- What the name of a rock and a version make of these is all that differs between the six files.
local LIBRARY = [[
  summary = "Heymarket batch contacts for Lua: each contact handed in comes back with exactly one outcome",
  detailed = [=[
    Validates contacts, signs and sends them in batches to the Heymarket API, and accounts for every one of them.
    Runs on Lua 5.1 to 5.4, LuaJIT and in nginx. The rock heymarket-cli has the command.
  ]=],
  labels = { "heymarket", "sms", "contacts", "import", "csv", "nginx" },]]
local LIBRARY_NEEDS = [[
dependencies = { "lua >= 5.1, < 5.5", "lua-cjson >= 2.1" }

-- LuaRocks looks for the libraries only: Debian keeps curl/curl.h where LuaRocks does not look, and the compiler does.
-- CURL_DIR and SODIUM_DIR name another place.
external_dependencies = { CURL = { library = "curl" }, SODIUM = { library = "sodium" } }
]]
local COMMAND = [[
  summary = "The heymarket command: imports CSV files of contacts, and serves a sandbox of the Heymarket API",
  detailed = [=[
    heymarket import, check, token and sandbox. The sandbox is served by an nginx with its Lua module, which has to be
    installed beside it.
  ]=],
  labels = { "heymarket", "contacts", "import", "csv", "commandline" },]]
local COMMAND_NEEDS = [[
dependencies = { "lua >= 5.1, < 5.5", "heymarket == %s-1", "argparse >= 0.7" }
]]

local PHONES = [[
  summary = "Phone numbers by region for heymarket, read by libphonenumber",
  detailed = [=[
    With this rock, default_country of heymarket can be a region, such as "DE".
  ]=],
  labels = { "heymarket", "phone", "contacts" },]]
local PHONES_NEEDS = [[
dependencies = { "lua >= 5.1, < 5.5", "heymarket == %s-1" }

-- Looked for as those of heymarket are. PHONENUMBER_DIR names another place. CXX names the compiler of C++.
external_dependencies = { PHONENUMBER = { library = "phonenumber" } }
]]
local PHONES_BUILD = [[

build = {
  type = "make",
  build_target = "rock-phonenumber",
  build_variables = {
    CC = "$(CC)",
    CFLAGS = "$(CFLAGS)",
    LUA_INCDIR = "$(LUA_INCDIR)",
    INCDIRS = "$(PHONENUMBER_INCDIR)",
    LIBDIRS = "$(PHONENUMBER_LIBDIR)",
  },
  install_pass = false,
  install = { lib = { ["heymarket.phonenumber"] = "build/rock/heymarket/phonenumber.so" } },
}
]]

local function lines_of(command)
  local pipe = assert(io.popen(command))
  local lines = {}
  for line in pipe:lines() do
    lines[#lines + 1] = line
  end
  assert(pipe:close())
  return lines
end

local function read(path)
  local file = io.open(path)
  local text = file and file:read "a"
  if file then
    file:close()
  end
  return text
end

local version = assert(read("lua/heymarket/runtime.lua"):match 'VERSION = "([^"]+)"')

-- The lines of the Lua modules: those of the library, and those of the command.
local function lua_modules()
  local library, command = {}, {}
  for _, file in ipairs(lines_of "find lua/heymarket -name '*.lua' | LC_ALL=C sort") do
    local name = file:match("^lua/(.*)%.lua$"):gsub("/", "."):gsub("%.init$", "")
    local lines = library
    for _, pattern in ipairs(CLI_ONLY) do
      lines = name:find(pattern) and command or lines
    end
    local key = name:find(".", 1, true) and ("[%q]"):format(name) or name
    lines[#lines + 1] = ("      %s = %q,\n"):format(key, file)
  end
  return table.concat(library), table.concat(command)
end

local library_modules, command_modules = lua_modules()

local function native_modules()
  local lines = {}
  for i, name in ipairs(NATIVE) do
    lines[i] = ('      ["heymarket.%s"] = "build/rock/heymarket/%s.so",\n'):format(name, name)
  end
  return table.concat(lines)
end

local LIBRARY_BUILD = [[

-- Not the type "builtin": it would install all files of lua/, the command among them.
build = {
  type = "make",
  build_target = "rock",
  build_variables = {
    CC = "$(CC)",
    CFLAGS = "$(CFLAGS)",
    LUA_INCDIR = "$(LUA_INCDIR)",
    INCDIRS = "$(CURL_INCDIR) $(SODIUM_INCDIR)",
    LIBDIRS = "$(CURL_LIBDIR) $(SODIUM_LIBDIR)",
  },
  install_pass = false,
  install = {
    lua = {
%s    },
    lib = {
%s    },
  },
}
]]
local COMMAND_BUILD = [[

build = {
  type = "none",
  install = {
    lua = {
%s    },
    bin = { heymarket = "lua/bin/heymarket" },
  },
}
]]

local function source_lines(place)
  local note = source.url and "" or "-- The address is set at release (tools/source.lua). This one can lead nowhere.\n"
  local url = source.url or source.PLACEHOLDER
  return ("%ssource = { url = %q, %s }\n"):format(note, url, place)
end

local files = {}
local RELEASED = { version, "", ("tag = %q"):format(source.tag:format(version)) }
local NEWEST = { "scm", "rockspecs/", 'branch = "main"' }
for _, kind in ipairs { RELEASED, NEWEST } do
  local name, folder, place = kind[1], kind[2], source_lines(kind[3])
  files[("%sheymarket-%s-1.rockspec"):format(folder, name)] = HEAD:format("heymarket", name, place, LIBRARY)
    .. LIBRARY_NEEDS
    .. LIBRARY_BUILD:format(library_modules, native_modules())
  files[("%sheymarket-cli-%s-1.rockspec"):format(folder, name)] = HEAD:format("heymarket-cli", name, place, COMMAND)
    .. COMMAND_NEEDS:format(name)
    .. COMMAND_BUILD:format(command_modules)
  files[("%sheymarket-phonenumber-%s-1.rockspec"):format(folder, name)] = HEAD:format(
    "heymarket-phonenumber",
    name,
    place,
    PHONES
  ) .. PHONES_NEEDS:format(name) .. PHONES_BUILD
end

local wrong = false
for path, text in pairs(files) do
  if arg[1] == "check" and read(path) ~= text then
    io.stderr:write(path, " does not list the files in lua/ and csrc/ as they are: run `make format`\n")
    wrong = true
  elseif read(path) ~= text then
    local file = assert(io.open(path, "w"))
    file:write(text)
    file:close()
  end
end
-- Those of another version or another name.
for _, path in ipairs(lines_of "ls *.rockspec rockspecs/*.rockspec") do
  if not files[path] and arg[1] == "check" then
    io.stderr:write(path, " is not of this version: run `make format`\n")
    wrong = true
  elseif not files[path] then
    os.remove(path)
  end
end
os.exit(not wrong)
