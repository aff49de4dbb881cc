--- The `heymarket` command as its users run it: a process of its own, against the fault server.
---
--- A spec calls `setup`, `teardown`, `before_each` and `after_each` from busted's functions of these names.
local command = {}

local assert = require "luassert"
local cjson = require("cjson").new()
local process = require "spec.support.process"
local server = require "spec.support.server"
local system = require "heymarket.system"

local ID, KEY = "the-secret-id", "the-secret-key-that-nobody-may-see"
local PYTHON = "/usr/bin/env python3 "
command.ID, command.KEY, command.PYTHON = ID, KEY, PYTHON

local folder, faults

command.quote, command.read_file, command.output_of = process.quote, process.read_file, process.output

function command.write_file(name, content)
  local path = folder .. "/" .. name
  process.write_file(path, content)
  return path
end

-- The command line that starts the command: this interpreter, these modules, and no settings of the user's.
function command.command_line(arguments, options)
  local words = { "env --default-signal=HUP -u NO_COLOR" }
  for _, version in ipairs { "5_2", "5_3", "5_4" } do
    words[#words + 1] = "-u LUA_PATH_" .. version .. " -u LUA_CPATH_" .. version
  end
  local environment = {
    LUA_PATH = package.path,
    LUA_CPATH = package.cpath,
    HEYMARKET_SECRET_ID = ID,
    HEYMARKET_SECRET_KEY = KEY,
    HEYMARKET_BASE_URL = faults.url,
    TERM = "xterm",
  }
  for name, value in pairs(options.environment or {}) do
    environment[name] = value
  end
  for name, value in pairs(environment) do
    words[#words + 1] = command.quote(name .. "=" .. value)
  end
  for _, word in ipairs(options.before or {}) do
    words[#words + 1] = command.quote(word)
  end
  words[#words + 1] = command.quote(process.interpreter())
  if options.chunk then
    words[#words + 1] = "-e " .. command.quote(options.chunk)
  end
  words[#words + 1] = "lua/bin/heymarket"
  for _, argument in ipairs(arguments) do
    words[#words + 1] = command.quote(argument)
  end
  return table.concat(words, " ")
end

local function assert_no_secret(text)
  assert.is_nil(text:find(KEY, 1, true))
end

-- Starts the command without waiting for it. Its `wait()` gives {code, out, err}.
local started, unfinished = 0, {}
function command.start(arguments, options)
  options = options or {}
  started = started + 1
  local base = folder .. "/run" .. started
  os.execute(
    ("( umask %s; %s < %s > %s 2> %s & echo $! > %s; wait $!; echo $? > %s ) > /dev/null 2>&1 &"):format(
      options.umask or "022",
      command.command_line(arguments, options),
      command.quote(options.stdin or "/dev/null"),
      command.quote(options.stdout or base .. ".out"),
      command.quote(base .. ".err"),
      command.quote(base .. ".pid"),
      command.quote(base .. ".code")
    )
  )
  local run = {}
  unfinished[run] = true
  function run.out()
    return command.read_file(base .. ".out") or ""
  end
  function run.err()
    return command.read_file(base .. ".err") or ""
  end
  function run.signal(name)
    local pid
    repeat
      pid = (command.read_file(base .. ".pid") or ""):match "%d+\n"
    until pid
    os.execute("kill -" .. name .. " " .. pid)
  end
  function run.wait()
    local give_up = system.monotonic() + 60
    local code
    repeat
      code = (command.read_file(base .. ".code") or ""):match "^(%d+)\n"
      if not code then
        system.sleep(0.01)
      end
    until code or system.monotonic() > give_up
    if not code then
      error "the command did not end"
    end
    unfinished[run] = nil
    local made = { code = tonumber(code), out = run.out(), err = run.err() }
    assert_no_secret(made.out)
    assert_no_secret(made.err)
    return made
  end
  return run
end

function command.run(arguments, options)
  return command.start(arguments, options).wait()
end

-- Waits until something is so.
function command.eventually(is_so)
  local give_up = system.monotonic() + 30
  while not is_so() do
    assert(system.monotonic() < give_up, "it did not come about")
    system.sleep(0.02)
  end
end

-- Python reads the JSON and writes it anew, so that what is not JSON, or more than one object, does not pass.
function command.parsed(text)
  local path = command.write_file("json", text)
  local program = "import json,sys; v = json.loads(open(sys.argv[1], 'rb').read().decode('utf-8')); "
    .. "assert isinstance(v, dict); print(json.dumps(v))"
  local written = command.output_of(PYTHON .. "-c " .. command.quote(program) .. " " .. command.quote(path))
  return cjson.decode(written)
end

-- Python's idea of a CSV file: an array of rows, each an array of cells.
function command.cells_of(path)
  local program = "import csv,json,sys; "
    .. "print(json.dumps(list(csv.reader(open(sys.argv[1], newline='', encoding='utf-8')))))"
  return cjson.decode(command.output_of(PYTHON .. "-c " .. command.quote(program) .. " " .. command.quote(path)))
end

function command.failures_of(path)
  local rows = command.cells_of(path)
  local header, records = rows[1], {}
  for i = 2, #rows do
    records[i - 1] = {}
    for column, name in ipairs(header) do
      records[i - 1][name] = rows[i][column]
    end
  end
  return records, header
end

function command.requests()
  return #faults:ledger().requests
end

-- A CSV file of so many good contacts.
function command.good_file(count, name)
  local lines = { "phone,first" }
  for i = 1, count do
    lines[#lines + 1] = ("1234567%04d,Name %d"):format(i, i)
  end
  return command.write_file(name or "good.csv", table.concat(lines, "\n") .. "\n")
end

--- Makes the folder for files and starts the fault server.
---@return string folder
---@return table faults
function command.setup()
  folder = server.folder()
  faults = server.start()
  return folder, faults
end

function command.teardown()
  faults:stop()
  server.remove(folder)
end

function command.before_each()
  faults:reset()
end

-- What a failed test left behind must not outlive it: it would keep the fault server's pipe open.
function command.after_each()
  for left in pairs(unfinished) do
    left.signal "KILL"
  end
  unfinished = {}
end

return command
