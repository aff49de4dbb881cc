--- The commands. Each is given the arguments as parsed and its argparse command, and gives its exit code.
local commands = {}

local console = require "heymarket.cli.console"
local options = require "heymarket.options"
local reasons = require "heymarket.cli.reasons"
local text = require "heymarket.util.text"

-- The values of the options of this scope, from the flags or their defaults. A wrong value is wrong usage.
local function values_of(command, scope, given)
  local chosen = {}
  for _, row in ipairs(options.list(scope)) do
    chosen[row.name] = given[row.name]
  end
  local values, issues = options.read(scope, chosen)
  if issues then
    reasons.complain { issues = issues }
    command:error()
  end
  return values
end

local function connection_of(command, given)
  if given.proxy and given.proxy:find("@", 1, true) then
    command:error "--proxy must not hold a name or password: other users of this machine can read arguments"
  end
  return values_of(command, "connection", given)
end

-- Makes a client. Where a C module cannot be loaded, its error says what to do.
local function client_of(config)
  local loaded, client = pcall(require, "heymarket.client")
  if not loaded then
    console.complain(client, "")
    console.exit(console.COULD_NOT_RUN)
  end
  return client.new(config)
end

-- The value of --map: an array of {column, field}, each column once.
local function map_of(command, pairs_given)
  local map, mapped = {}, {}
  for _, pair in ipairs(pairs_given) do
    local folded = text.trim(pair.column):lower()
    if mapped[folded] then
      command:error(("--map is given twice for the column %s"):format(pair.column))
    end
    map[#map + 1], mapped[folded] = { pair.column, pair.field }, true
  end
  return map
end

local function csv_of(command, given)
  given.map = map_of(command, given.map)
  return values_of(command, "csv", given)
end

function commands.columns(given, command)
  given.csv = csv_of(command, given)
  return require("heymarket.cli.columns").run(given)
end

function commands.import(given, command)
  given.config = connection_of(command, given)
  given.options = values_of(command, "import", given)
  given.csv = csv_of(command, given)
  return require("heymarket.cli.import").run(given, client_of)
end

-- Calls a method of a client, and prints its value as `shown` says.
local function call_client(config, method, shown)
  local client, problem = client_of(config)
  local value
  if client then
    value, problem = client[method](client)
    client:close()
  end
  return value and console.print(shown:format(value)) or reasons.complain(problem)
end

function commands.check(given, command)
  return call_client(connection_of(command, given), "check", "The credentials are good.\n")
end

function commands.token()
  return call_client({}, "token", "%s\n")
end

function commands.sandbox(given, command)
  local served = { options = values_of(command, "sandbox", given), port = values_of(command, "server", given).port }
  local code, problem = require("heymarket.sandbox.server").run(served)
  return code or reasons.complain(problem)
end

return commands
