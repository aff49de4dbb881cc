--- Notes which lines of lua/ a process runs, for tools/coverage.py. LUA_INIT makes Lua 5.4 run it first. At the end of
--- the process it appends lines "FILE:NUMBER" to the file that HEYMARKET_COVERAGE names.
local path = os.getenv "HEYMARKET_COVERAGE"
if not path then
  return
end

local seen = {} -- by source, a set of lines
local lines_of = setmetatable({}, { __mode = "k" }) -- by function, the set of its source
local getinfo = debug.getinfo

local function note(_, line)
  local body = getinfo(2, "f").func -- cheaper than asking for the source at each line
  local lines = lines_of[body]
  if not lines then
    local source = getinfo(2, "S").source
    lines = seen[source] or {}
    seen[source], lines_of[body] = lines, lines
  end
  if not lines[line] then
    lines[line] = true
  end
end

local function write()
  debug.sethook()
  local file = assert(io.open(path, "a"))
  for source, lines in pairs(seen) do
    local name = source:match "^@.-(lua/heymarket/.*)$"
    for line in pairs(name and lines or {}) do
      file:write(name, ":", line, "\n")
    end
  end
  file:close()
end

-- A hook belongs to one coroutine: each new one is given it, too.
local create = coroutine.create
function coroutine.create(body)
  local thread = create(body)
  debug.sethook(thread, note, "l")
  return thread
end
local resume = coroutine.resume
local function pass(ok, ...)
  if not ok then
    error((...), 0)
  end
  return ...
end
function coroutine.wrap(body)
  local thread = coroutine.create(body)
  return function(...)
    return pass(resume(thread, ...))
  end
end

-- os.exit leaves without closing Lua, unless it is told to.
local exit = os.exit
function os.exit(...)
  write()
  write = function() end
  return exit(...)
end
_G["coverage of this process"] = setmetatable({}, {
  __gc = function()
    write()
  end,
})
debug.sethook(note, "l")
