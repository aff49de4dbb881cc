--- The arguments of the command. Flags, their help and how they are read come from the list in heymarket.options.
local parser = {}

local console = require "heymarket.cli.console"
local fields = require "heymarket.contact.fields"
local options = require "heymarket.options"

local ABOUT = "Contacts into Heymarket, with the outcome of each contact."
local ENVIRONMENT = [[
Environment:
   HEYMARKET_SECRET_ID, HEYMARKET_SECRET_KEY   the credentials; they are never given as arguments
   HEYMARKET_BASE_URL                          another server than https://api.heymarket.com
   NO_COLOR                                    no colours in the progress bar]]
-- One line each: the help wraps them.
local ABOUT_IMPORT = "Imports contacts from CSV with a header: the fields %s, Heymarket's own columns "
  .. "(%s), or those of a common product's export; or from JSON Lines, one contact a line. Columns that begin with "
  .. "_ are ignored. An unknown column is an error before anything is sent, but for exports, where it is named and "
  .. "ignored."
local ABOUT_SANDBOX = "Serves the API from memory on this machine, until it is interrupted, and prints its address "
  .. "and credentials as lines NAME=value for the environment. The options are for what the API's documentation leaves "
  .. "open."
local ABOUT_COLUMNS = "Shows which column of a file is for which field, with what the first rows hold, and the flags "
  .. "of heymarket import that say the same. Nothing is sent."
local ABOUT_CHECK = "Ask the server whether the credentials are good; nothing is written."
local ABOUT_TOKEN = "Print a bearer token. It is a secret, good for five minutes."
local EXIT_CODES = [[
Exit codes:
   0 all accepted                     4 credentials refused
   1 could not run to its end         5 stopped by --max-failures
   2 wrong usage                    130 interrupted
   3 finished, some not accepted]]

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

-- Words that stand for other values, by the type of an option.
local YES_NO = { ["true"] = true, ["false"] = false }
local WORDS = { number_or_off = { off = false }, country = { none = false, ["false"] = false } }
WORDS.boolean, WORDS.word = YES_NO, YES_NO

local REPEATED = { map = true, names = true }

-- Reads the value of a flag by the type of its option. Gives nil and what is wrong where it cannot be read.
local function read(kind, given)
  local value = (WORDS[kind] or {})[given]
  if value ~= nil then
    return value
  elseif kind == "word" then
    return tonumber(given) or given
  elseif kind == "map" then
    local column, field = given:match "^(.+)=([^=]+)$" -- the name of a field has no "=", that of a column may
    return column and { column = column, field = field }, ("'%s' is not COLUMN=FIELD"):format(given)
  elseif kind == "number" or kind == "number_or_off" then
    return given:find "^%-?%d+%.?%d*$" and tonumber(given), ("'%s' is not a number"):format(given)
  end
  return given
end

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
  option:count(REPEATED[row.kind.type] and "*" or "0-1"):convert(function(given)
    local value, message = read(row.kind.type, given)
    return value, message and flag .. ": " .. message
  end)
end

-- Prints what --help or --version show.
local function show(written)
  console.exit(console.print(written))
end

-- Ends the command because its usage is wrong, with a message unless it was told already.
local function complain_of_usage(command, message)
  if message then
    console.complain(message)
  end
  io.stderr:write(command:get_usage(), "\n")
  console.exit(console.USAGE)
end

-- What the program and each of its commands do in the same way: complain of their usage, and show their help.
local function set_up(command)
  command.error = complain_of_usage
  command:add_help {
    action = function()
      show(command:get_help() .. "\n")
    end,
  }
end

-- Adds a command, with its help and the options of these scopes that have a flag, in the order of the help. Where
-- another command is wanted, only its name and its help are added, because the options take most of the time.
local function add_command(main, wanted, name, scopes, about)
  local command = main:command(name, about)
  if wanted and wanted ~= name then
    return command
  end
  set_up(command)
  for _, scope in ipairs(scopes) do
    for _, row in ipairs(options.list(scope)) do
      if row.argument then
        add_flag(command, row)
      end
    end
  end
  return command
end

local COMMANDS = { import = true, columns = true, check = true, token = true, sandbox = true }

--- Makes the parser.
---@param argparse table the module
---@param version fun(): string what --version prints
---@param first string? the first argument: where it is the name of a command, only that one gets its options
function parser.make(argparse, version, first)
  local wanted = COMMANDS[first] and first
  local main = argparse("heymarket", ABOUT, ENVIRONMENT):command_target "command"
  main:help_max_width(100):usage_max_width(100):help_description_margin(29)
  set_up(main)
  main:flag("--version"):description("Show the version and exit."):action(function()
    show(version())
  end)
  local commands = {
    import = add_command(main, wanted, "import", { "csv", "import", "command", "connection" }, about_import()),
    columns = add_command(main, wanted, "columns", { "csv" }, ABOUT_COLUMNS),
    check = add_command(main, wanted, "check", { "connection" }, ABOUT_CHECK),
    token = add_command(main, wanted, "token", {}, ABOUT_TOKEN),
    sandbox = add_command(main, wanted, "sandbox", { "server", "sandbox" }, ABOUT_SANDBOX),
  }
  commands.import:summary("Import contacts from a file."):epilog(EXIT_CODES)
  commands.import:argument("file"):argname("FILE"):description "CSV or JSON Lines; - is the standard input"
  commands.columns:summary "Show which column of a file is for which field."
  commands.columns:argument("file"):argname("FILE"):description "CSV; - is the standard input"
  commands.sandbox:summary("Serve the API on this machine, to try things out."):help_description_margin(35)
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
