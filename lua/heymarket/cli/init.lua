--- The `heymarket` command: from its arguments to its exit code.
local cli = {}

local console = require "heymarket.cli.console"

local NO_ARGPARSE =
  "argparse is not installed: install the Debian package lua-argparse, or use luarocks install argparse"

local function version()
  local runtime = require "heymarket.runtime"
  return ("heymarket %s (%s)\n"):format(runtime.VERSION, runtime.LUA)
end

local function run(arguments)
  if arguments[1] == "--version" then
    return console.print(version())
  end
  local found, argparse = pcall(require, "argparse")
  if not found then
    console.complain(NO_ARGPARSE)
    return console.COULD_NOT_RUN
  end
  local parser = require "heymarket.cli.parser"
  local main, commands = parser.make(argparse, version, arguments[1])
  local given = main:parse(parser.joined(arguments))
  given.typed = arguments
  return require("heymarket.cli.commands")[given.command](given, commands[given.command])
end

-- The exit code after an error. Where a C module cannot be loaded, its error says what to do.
local function code_of_error(raised)
  local code = console.code_of_exit(raised)
  local loaded, failure = pcall(require, "heymarket.failure")
  if code then
    return code
  elseif not loaded then
    console.complain(failure, "")
  elseif failure.is_interrupt(raised) then
    console.complain "interrupted"
    return console.INTERRUPTED
  else
    console.complain("this should not have happened: " .. tostring(raised))
  end
  return console.COULD_NOT_RUN
end

--- Runs the command.
---@param arguments string[] as the interpreter gives them
---@return integer code to exit with: 0 all accepted, 1 could not run, 2 wrong usage, 3 finished but not all accepted, 4
--- credentials refused, 5 stopped by --max-failures, 130 interrupted
function cli.main(arguments)
  console.occupy()
  local ok, result = pcall(run, arguments)
  local system = package.loaded["heymarket.system"]
  if system then
    system.interrupts "restore"
  end
  return ok and result or code_of_error(result)
end

return cli
