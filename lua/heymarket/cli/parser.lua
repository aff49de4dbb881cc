--- The arguments of the command. Flags, their help and how they are read come from the list in heymarket.options.
local parser = {}

local exit_codes = require "heymarket.cli.exit_codes"
local fields = require "heymarket.contact.fields"
local options = require "heymarket.options"
local streams = require "heymarket.cli.streams"

local ABOUT = "Contacts into Heymarket, with the outcome of each contact."
local ENVIRONMENT = [[
Environment:
   HEYMARKET_SECRET_ID, HEYMARKET_SECRET_KEY   the credentials; they are never given as arguments
   HEYMARKET_BASE_URL                          another server than https://api.heymarket.com
   NO_COLOR                                    no colours in the progress bar]]
-- One line each: the help wraps them.
local ABOUT_IMPORT = "Imports contacts from CSV in UTF-8 with a header: the fields %s, or the product's own columns "
  .. "(%s). Columns that begin with _ are ignored. An unknown column is an error before anything is sent."
local ABOUT_SANDBOX = "Serves the API from memory on this machine, until it is interrupted, and prints its address "
  .. "and credentials as lines NAME=value for the environment. The options are for what the API's documentation leaves "
  .. "open."
local ABOUT_CHECK = "Ask the server whether the credentials are good; nothing is written."
local ABOUT_TOKEN = "Print a bearer token. It is a secret, good for five minutes."
local EXIT_CODES = [[
Exit codes:
   0 all accepted                     4 credentials refused
   1 could not run to its end         5 stopped by --max-failures
   2 wrong usage                    130 interrupted
   3 finished, some not accepted]]

-- Scopes of the flags of each command, in the order of its help.
local SCOPES = { import = { "csv", "import", "command", "connection" }, check = { "connection" }, token = {} }
SCOPES.sandbox = { "server", "sandbox" }

-- What the help of `import` says, with the names of all columns.
local function about_import()
  local names, labels = {}, {}
  for _, field in ipairs(fields) do
    local more = field.kind == "tag_ids" and " (ids separated by ;)" or ""
    names[#names + 1] = field.kind == "custom" and "custom.<id>" or field.name .. more
    for _, label in ipairs(field.labels or {}) do
      labels[#labels + 1] = label
    end
  end
  return ABOUT_IMPORT:format(table.concat(names, ", "), table.concat(labels, ", "))
end

---------------------------------------------------------------------------------------------------------------------
-- Values of flags, by the type of their option: a value, or nil and what is wrong.

local read = {}

function read.number(given)
  if not given:find "^%-?%d+%.?%d*$" then
    return nil, ("'%s' is not a number"):format(given)
  end
  return tonumber(given)
end

function read.number_or_off(given)
  if given == "off" then
    return false
  end
  return read.number(given)
end

function read.country(given)
  return given ~= "none" and given ~= "false" and given
end

-- The name of a field has no "=", that of a column may.
function read.map(given)
  local column, field = given:match "^(.+)=([^=]+)$"
  if not column then
    return nil, ("'%s' is not COLUMN=FIELD"):format(given)
  end
  return { column = column, field = field }
end

-- One of several words, which can stand for a boolean or a number.
function read.word(given)
  local words = { ["true"] = true, ["false"] = false }
  if words[given] ~= nil then
    return words[given]
  end
  return tonumber(given) or given
end
read.boolean = read.word

local REPEATED = { map = true, names = true }

-- Adds an option to argparse's `command`. The help ends with the default, where that is one word.
local function add_flag(command, row)
  local flag = options.shown_name(row.name, "command")
  if row.argument == "" then
    command:flag(flag):description(row.help)
    return
  end
  local has_default = row.default ~= nil and type(row.default) ~= "table" and row.help:sub(-1) ~= ")"
  local help = row.argument == "WORD" and row.help .. ": " .. row.kind.choices or row.help
  help = has_default and ("%s (%s)"):format(help, tostring(row.default)) or help
  local option = command:option(flag):argname(row.argument):description(help)
  local reader = read[row.kind.type]
  if REPEATED[row.kind.type] then
    option:count "*"
  end
  if reader then
    option:convert(function(given)
      local value, message = reader(given)
      return value, message and flag .. ": " .. message
    end)
  end
end

-- Adds the options of a command that have a flag.
local function add_flags(name, command)
  for _, scope in ipairs(SCOPES[name]) do
    for _, row in ipairs(options.list(scope)) do
      if row.argument then
        add_flag(command, row)
      end
    end
  end
end

-- Prints what --help or --version show.
local function show(written)
  exit_codes.exit(exit_codes.of_print(streams.print(written)))
end

local function add_help(command)
  command:add_help {
    action = function()
      show(command:get_help() .. "\n")
    end,
  }
end

local function add_command(main, name, about, summary, epilog)
  local command = main:command(name, about, epilog):summary(summary or about)
  command.error = main.error
  add_help(command)
  return command
end

--- Makes the parser.
function parser.make(argparse, version)
  local main = argparse("heymarket", ABOUT, ENVIRONMENT):command_target "command"
  main:help_max_width(100):usage_max_width(100):help_description_margin(29)
  main.error = function(current, message)
    streams.complain(message)
    io.stderr:write(current:get_usage(), "\n")
    exit_codes.exit(exit_codes.USAGE)
  end
  add_help(main)
  main:flag("--version"):description("Show the version and exit."):action(function()
    show(version())
  end)
  local commands = {
    import = add_command(main, "import", about_import(), "Import contacts from a CSV file.", EXIT_CODES),
    check = add_command(main, "check", ABOUT_CHECK),
    token = add_command(main, "token", ABOUT_TOKEN),
    sandbox = add_command(main, "sandbox", ABOUT_SANDBOX, "Serve the API on this machine, to try things out."),
  }
  commands.import:argument("file"):argname("FILE"):description "CSV file; - is the standard input"
  commands.sandbox:help_description_margin(35)
  for name, command in pairs(commands) do
    add_flags(name, command)
  end
  return main, commands
end

--- The arguments, with each negative number joined to the flag before it: argparse would take -1 for a flag.
function parser.joined(arguments)
  local words = {}
  for _, word in ipairs(arguments) do
    local last = words[#words]
    if last and last:find "^%-%-" and word:find "^%-[%d.]" then
      words[#words] = last .. "=" .. word
    else
      words[#words + 1] = word
    end
  end
  return words
end

return parser
