--- The commands. Each is given the arguments as parsed and its argparse command, and gives its exit code.
local commands = {}

local exit_codes = require "heymarket.cli.exit_codes"
local failure = require "heymarket.failure"
local messages = require "heymarket.messages"
local options = require "heymarket.options"
local reasons = require "heymarket.cli.reasons"
local streams = require "heymarket.cli.streams"

local function complain_of(problem)
  for _, message in ipairs(reasons.complaints(problem)) do
    streams.complain(message)
  end
  return exit_codes.of_failure(problem)
end

-- The values of the flags that are options of this scope. A wrong value is wrong usage.
local function values_of(command, scope, given)
  local values = {}
  for _, row in ipairs(options.list(scope)) do
    local value = given[row.name]
    if row.argument and (type(value) ~= "table" or #value > 0) then
      values[row.name] = value
    end
  end
  local _, issues = options.read(scope, values)
  for _, issue in ipairs(issues or {}) do
    streams.complain(messages.line(issue, "command"))
  end
  if issues then
    io.stderr:write(command:get_usage(), "\n")
    exit_codes.exit(exit_codes.USAGE)
  end
  return values
end

local function connection_of(command, given)
  if given.proxy and given.proxy:find("@", 1, true) then
    command:error "--proxy must not hold a name or password: other users of this machine can read arguments"
  end
  return values_of(command, "connection", given)
end

-- Makes a client, or gives the failure that names the missing variables.
local function client_of(config)
  local absent = {}
  for _, variable in ipairs { "HEYMARKET_SECRET_ID", "HEYMARKET_SECRET_KEY" } do
    if (os.getenv(variable) or "") == "" then
      absent[#absent + 1] = variable
    end
  end
  if #absent > 0 then
    local values = { variables = table.concat(absent, " and ") }
    return nil, failure.make("invalid", "no_credentials", values, { issues = {} })
  end
  local loaded, client = pcall(require, "heymarket.client")
  if not loaded then
    streams.complain(client, "") -- the error of a C module says what to do
    exit_codes.exit(exit_codes.COULD_NOT_RUN)
  end
  return client.new(config)
end

-- The value of --map: by column, each once.
local function map_of(command, pairs_given)
  local map, mapped = {}, {}
  for _, pair in ipairs(pairs_given) do
    local folded = require("heymarket.util.text").trim(pair.column):lower()
    if mapped[folded] then
      command:error(("--map is given twice for the column %s"):format(pair.column))
    end
    map[pair.column], mapped[folded] = pair.field, true
  end
  return map
end

function commands.import(given, command)
  local arguments = { file = given.file, config = connection_of(command, given) }
  for _, row in ipairs(options.list "command") do
    arguments[row.name] = given[row.name]
  end
  arguments.options = values_of(command, "import", given)
  given.map = map_of(command, given.map)
  arguments.csv = values_of(command, "csv", given)
  arguments.csv.map = given.map
  return require("heymarket.cli.import").run(arguments, client_of)
end

-- Runs `call(client)` and prints what `shown` makes of its value.
local function with_client(config, call, shown)
  local client, problem = client_of(config)
  local value
  if client then
    value, problem = call(client)
    client:close()
  end
  if value then
    return exit_codes.of_print(streams.print(shown(value)))
  end
  return complain_of(problem)
end

function commands.check(given, command)
  return with_client(connection_of(command, given), function(client)
    return client:check()
  end, function()
    return "The credentials are good.\n"
  end)
end

function commands.token()
  return with_client({}, function(client)
    return client:token()
  end, function(token)
    return token .. "\n"
  end)
end

function commands.sandbox(given, command)
  local served = { options = values_of(command, "sandbox", given), port = values_of(command, "server", given).port }
  local code, problem = require("heymarket.sandbox.server").run(served)
  return code or complain_of(problem)
end

return commands
