--- The `sandbox` command: the API in memory, served over HTTP on this machine.
local cli_sandbox = {}

local messages = require "heymarket.messages"
local options = require "heymarket.options"

-- Calls `use` with each option that has a flag, and the flag.
local function each_flag(scope, use)
  for _, option in ipairs(options.list(scope)) do
    if option.argument then
      use(option, "--" .. option.name:gsub("_", "-"))
    end
  end
end

local function typed(given)
  if given == "true" then
    return true
  elseif given == "false" or given == "off" then
    return false
  end
  return tonumber(given) or given
end

-- The port has a default that its help explains in words; "no limit" is no value.
local function help_of(option)
  local shows_default = option.name ~= "port" and option.default ~= nil and type(option.default) ~= "table"
  return option.help .. (shows_default and (" (%s)"):format(tostring(option.default)) or "")
end

--- Adds the flags of the command.
---@param command table argparse's
function cli_sandbox.add(command)
  for _, scope in ipairs { "server", "sandbox" } do
    each_flag(scope, function(option, flag)
      local made = command:option(flag):argname(option.argument):description(help_of(option))
      if option.kind.type == "names" then
        made:count "*"
      elseif option.kind.type == "number" then
        made:convert(function(given)
          local value = tonumber(given)
          return value, not value and ("%s: '%s' is not a number"):format(flag, given) or nil
        end)
      else
        made:convert(typed)
      end
    end)
  end
end

-- The values that were given in a scope. Repeated flags give an empty array where they are absent.
local function values_of(scope, given)
  local values = {}
  each_flag(scope, function(option)
    local value = given[option.name]
    if type(value) ~= "table" or #value > 0 then
      values[option.name] = value
    end
  end)
  return values
end

--- Serves until it is interrupted.
---@param given table arguments as parsed
---@param refuse fun(message: string) called for wrong usage; does not return
---@return integer? code to exit with
---@return heymarket.Failure?
function cli_sandbox.run(given, refuse)
  local values = values_of("server", given)
  for _, scope in ipairs { "server", "sandbox" } do
    local _, issues = options.read(scope, values_of(scope, given))
    if issues then
      refuse(messages.line(issues[1], "command"))
    end
  end
  values.options = values_of("sandbox", given)
  return require("heymarket.sandbox.server").run(values)
end

return cli_sandbox
