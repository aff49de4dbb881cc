--- The `heymarket` command: its arguments, and the commands that need no file of their own.
local cli = {}

local ABOUT = "Contacts into Heymarket, and what became of every one of them."
local ENVIRONMENT = [[
Environment:
   HEYMARKET_SECRET_ID, HEYMARKET_SECRET_KEY   the credentials; they are never given as arguments
   HEYMARKET_BASE_URL                          another server than https://api.heymarket.com
   NO_COLOR                                    no colours in the progress bar]]
-- One line each: the help wraps them.
local ABOUT_IMPORT = "Imports contacts from CSV in UTF-8 with a header: the fields phone, first, last, display_name, "
  .. "email, avatar, assignee_id, tags (ids separated by ;), is_opted_out, email_suppressions and custom.<id>, or the "
  .. "product's own columns (First Name, Last Name, Phone Number, Opt Out). Columns that begin with _ are passed over. "
  .. "An unknown column is an error before anything is sent."
local ABOUT_SANDBOX = "Serves the API from memory on this machine, until it is interrupted, and prints its address "
  .. "and credentials as lines NAME=value for the environment. The options are for what the API's documentation leaves "
  .. "open."
local EXIT_CODES = [[
Exit codes:
   0 all accepted                     4 credentials refused
   1 could not run to its end         5 stopped by --max-failures
   2 wrong usage                    130 interrupted
   3 finished, some not accepted]]

local COULD_NOT_RUN, USAGE, REFUSED, INTERRUPTED = 1, 2, 4, 130

-- What ends the reading of the arguments early: help, version, a mistake.
local Exit = {}

local function exit(code)
  error(setmetatable({ code = code }, Exit), 0)
end

-- One line on stderr. The module that makes it safe may be what cannot be loaded.
local function complain(message)
  local loaded, text = pcall(require, "heymarket.util.text")
  local line = loaded and text.one_line(message) or tostring(message):gsub("[^\32-\126]+", " ")
  io.stderr:write("heymarket: ", line, "\n")
end

local BAD_DESCRIPTOR = 9 -- EBADF, the same on all systems

-- A standard stream that was closed leaves its number to the next file that is opened, and what is written to the
-- stream would go into that file. So /dev/null takes the place first.
local placeholders = {}
local function occupy_standard_streams()
  for _, stream in ipairs { io.stdin, io.stdout, io.stderr } do
    local _, _, code = stream:seek()
    if code == BAD_DESCRIPTOR then
      placeholders[stream] = io.open("/dev/null", "r+b")
    end
  end
end

-- Writes to stdout. A result that nobody can read is no success.
local function print_out(written)
  local ok, message = not placeholders[io.stdout], "it is closed"
  if ok then
    ok, message = io.stdout:write(written)
  end
  if ok then
    ok, message = io.stdout:flush()
  end
  if not ok then
    complain("the standard output cannot be written: " .. tostring(message))
  end
  return ok and true or false
end

local function version()
  local jit = rawget(_G, "jit")
  return ("heymarket %s (%s)\n"):format(require("heymarket")._VERSION, jit and jit.version or _VERSION)
end

---------------------------------------------------------------------------------------------------------------------
-- Arguments

local function number(given)
  if not given:find "^%-?%d+%.?%d*$" then
    return nil, ("'%s' is not a number"):format(given)
  end
  return tonumber(given)
end

-- A number, or a word for "none".
local function number_or_off(given)
  if given == "off" then
    return false
  end
  return number(given)
end

local function country(given)
  if given == "none" or given == "false" then
    return false
  end
  return given
end

-- The name of a field has no "=", that of a column may.
local function mapping(given)
  local column, field = given:match "^(.+)=([^=]+)$"
  if not column then
    return nil, ("'%s' is not COLUMN=FIELD"):format(given)
  end
  return { column = column, field = field }
end

-- The same reader, which names the flag where it complains.
local function naming(flag, read)
  return function(given)
    local value, message = read(given)
    return value, message and flag .. ": " .. message
  end
end

-- Options of `import`: flag, option of the client, argument, how it is read, description.
local IMPORT_OPTIONS = {
  {
    "--default-country",
    "CODE",
    country,
    "calling code of the phone numbers that come without one, such as 1; none takes them as they are",
  },
  { "--batch-size", "N", number, "contacts in a request (100)" },
  { "--concurrency", "N", number, "requests on their way at a time (4)" },
  { "--requests-per-minute", "N", number_or_off, "pace (500); off for none" },
  { "--max-attempts", "N", number, "tries of each request (5)" },
  { "--timeout", "SECONDS", number, "for one try (60)" },
  { "--deadline", "SECONDS", number, "for the whole import" },
  { "--max-failures", "N", number, "stop after so many contacts that were not accepted" },
  {
    "--journal",
    "FILE",
    nil,
    "note what is done, so that the same command goes on after an interruption, however it came",
  },
}

local function target_of(flag)
  return (flag:gsub("^%-%-", ""):gsub("%-", "_"))
end

local NAMES = {
  base_url = "HEYMARKET_BASE_URL",
  secret_id = "HEYMARKET_SECRET_ID",
  secret_key = "HEYMARKET_SECRET_KEY",
  account = "HEYMARKET_SECRET_ID", -- so journals call it
  ca_file = "--ca-file",
  proxy = "--proxy",
  overwrite = "--overwrite",
}

-- The flag of an option, the variable of a setting that comes from the environment.
local function name_of(field)
  for _, entry in ipairs(IMPORT_OPTIONS) do
    if target_of(entry[1]) == field then
      return entry[1]
    end
  end
  return NAMES[field] or field
end

local function add_help(parser)
  parser:add_help {
    action = function()
      exit(print_out(parser:get_help() .. "\n") and 0 or COULD_NOT_RUN)
    end,
  }
end

local function add_connection(command)
  command:option("--ca-file"):argname("FILE"):description "certificates to trust, in place of the system's"
  command:option("--proxy"):argname("URL"):description "go through this HTTP proxy"
end

local function add_import(parser)
  local command = parser:command("import", ABOUT_IMPORT, EXIT_CODES):summary "Import contacts from a CSV file."
  add_help(command)
  command:argument("file"):argname("FILE"):description "CSV file; - is the standard input"
  command
    :option("--map")
    :argname("COLUMN=FIELD")
    :count("*")
    :convert(naming("--map", mapping))
    :description "take this column for this field; can be repeated"
  command
    :option("--ignore")
    :argname("COLUMN")
    :count("*")
    :description "pass this column over; can be repeated; '*' is all whose names are not known"
  command:flag("--allow-opt-in"):description(
    "send is_opted_out where it is false; without this it is left out, because it may undo an opt-out that the person "
      .. "sent by text"
  )
  command:flag("--allow-multiline-rows"):description "let a quoted cell hold lines that look like rows of the file"
  command:flag("--overwrite"):description "overwrite contacts that exist; without it they stay as they are"
  for _, entry in ipairs(IMPORT_OPTIONS) do
    local option = command:option(entry[1]):argname(entry[2]):description(entry[4])
    if entry[3] then
      option:convert(naming(entry[1], entry[3]))
    end
  end
  command:option("--failures"):argname("FILE"):description(
    "write the rows that were not accepted to this CSV file, as they come and so not in the order of the input, "
      .. "with _row, _outcome, _field and _message beside their own columns; mended, it can be imported as it is; "
      .. "a file that is no failures file is refused, and one that was edited is kept as FILE.1, FILE.2 and so on"
  )
  command:flag("--dry-run"):description "check everything and send nothing; neither credentials nor journal are used"
  command:flag("--json"):description "print the report as one JSON object"
  command:flag("--quiet"):description "no progress, and nothing on stderr but errors"
  command:flag("--no-progress"):description "no progress"
  add_connection(command)
  return command
end

local function add_sandbox(parser)
  local command = parser:command("sandbox", ABOUT_SANDBOX):summary "Serve the API on this machine, to try things out."
  command:help_description_margin(35)
  add_help(command)
  require("heymarket.cli.sandbox").add(command)
  return command
end

local function make_parser(argparse)
  local parser = argparse("heymarket", ABOUT, ENVIRONMENT):command_target "command"
  parser:help_max_width(100):usage_max_width(100):help_description_margin(29)
  parser.error = function(current, message)
    complain(message)
    io.stderr:write(current:get_usage(), "\n")
    exit(USAGE)
  end
  add_help(parser)
  parser:flag("--version"):description("Show the version and exit."):action(function()
    exit(print_out(version()) and 0 or COULD_NOT_RUN)
  end)
  local parsers = { import = add_import(parser) }
  local check = "Ask the server whether the credentials are good; nothing is written."
  check = parser:command("check", check):summary(check)
  add_help(check)
  add_connection(check)
  parsers.check = check
  local token = "Print a bearer token. It is a secret, good for five minutes."
  add_help(parser:command("token", token):summary(token))
  parsers.sandbox = add_sandbox(parser)
  for _, command in pairs(parsers) do
    command.error = parser.error
  end
  return parser, parsers
end

---------------------------------------------------------------------------------------------------------------------
-- Commands

local commands = {}

local function client_of(config)
  local absent = {}
  for _, variable in ipairs { "HEYMARKET_SECRET_ID", "HEYMARKET_SECRET_KEY" } do
    if (os.getenv(variable) or "") == "" then
      absent[#absent + 1] = variable
    end
  end
  if #absent > 0 then
    local message = ("no credentials: set %s in the environment"):format(table.concat(absent, " and "))
    return nil, require("heymarket.failure").new("invalid", message, { issues = {} })
  end
  return require("heymarket").new(config)
end

local function complain_of(problem)
  for _, line in ipairs(require("heymarket.cli.summary").complaints(problem, name_of)) do
    complain(line)
  end
  if problem.reason == "interrupted" then
    return INTERRUPTED
  end
  return (problem.kind == "unauthorized" or problem.kind == "denied") and REFUSED or COULD_NOT_RUN
end

-- Mistakes in the values of options are wrong usage; the client's own table of them says what is allowed.
local function check_values(parser, scope, values)
  local _, issues = require("heymarket.options").read(scope, values)
  for _, issue in ipairs(issues or {}) do
    complain(require("heymarket.messages").line(issue, "command"))
  end
  if issues then
    io.stderr:write(parser:get_usage(), "\n")
    exit(USAGE)
  end
end

local function connection_of(parser, given)
  local config = { ca_file = given.ca_file, proxy = given.proxy }
  if config.proxy and config.proxy:find("@", 1, true) then
    parser:error "--proxy must not hold a name or password: other users of this machine can read arguments"
  end
  check_values(parser, "connection", config)
  return config
end

function commands.import(given, parser)
  local options = { overwrite = given.overwrite or false }
  for _, entry in ipairs(IMPORT_OPTIONS) do
    local name = target_of(entry[1])
    options[name] = given[name]
  end
  local config = connection_of(parser, given)
  check_values(parser, "import", options)
  local map, mapped = {}, {}
  for _, pair in ipairs(given.map) do
    local folded = require("heymarket.util.text").trim(pair.column):lower()
    if mapped[folded] then
      parser:error(("--map is given twice for the column %s"):format(pair.column))
    end
    map[pair.column], mapped[folded] = pair.field, true
  end
  return require("heymarket.cli.import").run({
    file = given.file,
    config = config,
    options = options,
    csv = {
      map = map,
      ignore = given.ignore,
      allow_opt_in = given.allow_opt_in or false,
      allow_multiline_rows = given.allow_multiline_rows or false,
    },
    dry_run = given.dry_run,
    failures = given.failures,
    json = given.json,
    quiet = given.quiet,
    no_progress = given.no_progress,
  }, { print = print_out, name_of = name_of, client = client_of })
end

function commands.check(given, parser)
  local client, problem = client_of(connection_of(parser, given))
  if client then
    local good
    good, problem = client:check()
    client:close()
    if good then
      return print_out "The credentials are good.\n" and 0 or COULD_NOT_RUN
    end
  end
  return complain_of(problem)
end

function commands.token()
  local client, problem = client_of {}
  if client then
    local token
    token, problem = client:token()
    client:close()
    if token then
      return print_out(token .. "\n") and 0 or COULD_NOT_RUN
    end
  end
  return complain_of(problem)
end

function commands.sandbox(given, parser)
  local code, problem = require("heymarket.cli.sandbox").run(given, function(message)
    parser:error(message)
  end)
  return code or complain_of(problem)
end

-- Ctrl-C where no command watches for it: the interpreter makes an error of it.
local function is_interrupt(problem)
  return type(problem) == "string" and problem:find "interrupted!$" ~= nil
end

-- argparse takes what begins with "-" for a flag. Behind a flag that wants a number, -1 is its value, and a wrong one.
local function joined(arguments)
  local wants_number, words = {}, {}
  for _, entry in ipairs(IMPORT_OPTIONS) do
    wants_number[entry[1]] = entry[3] == number or entry[3] == number_or_off
  end
  for _, word in ipairs(arguments) do
    local last = words[#words]
    if wants_number[last] and word:find "^%-[%d.]" then
      words[#words] = last .. "=" .. word
    else
      words[#words + 1] = word
    end
  end
  return words
end

--- Runs the command.
---@param arguments string[] as the interpreter gives them
---@return integer code to exit with: 0 all accepted, 1 could not run, 2 wrong usage, 3 finished but not all accepted, 4
--- credentials refused, 5 stopped by --max-failures, 130 interrupted
function cli.main(arguments)
  occupy_standard_streams()
  local found, argparse = pcall(require, "argparse")
  if not found then
    complain "argparse is not installed: install the Debian package lua-argparse, or use luarocks install argparse"
    return COULD_NOT_RUN
  end
  local loaded, problem = pcall(require, "heymarket")
  if is_interrupt(problem) then
    return INTERRUPTED
  elseif not loaded then
    complain((tostring(problem):gsub("^heymarket: ", "")))
    return COULD_NOT_RUN
  end
  local ok, result = pcall(function()
    local parser, parsers = make_parser(argparse)
    local given = parser:parse(joined(arguments))
    return commands[given.command](given, parsers[given.command])
  end)
  require("heymarket.system").interrupts "restore"
  if ok then
    return result
  elseif getmetatable(result) == Exit then
    return result.code
  elseif is_interrupt(result) then
    complain "interrupted"
    return INTERRUPTED
  end
  complain("this should not have happened: " .. tostring(result))
  return COULD_NOT_RUN
end

return cli
