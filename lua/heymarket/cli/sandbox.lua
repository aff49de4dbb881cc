--- The `sandbox` command: the API in memory, served over HTTP on this machine.
local cli_sandbox = {}

-- Flag, argument, description, and whether it can be repeated. The flags are the names of sandbox.new's options.
local FLAGS = {
  { "--list-existing", "true|false", "answers list contacts that were left as they are because they exist (true)" },
  { "--bad-contact", "refuse|list", "one bad contact turns the request into a 400, or is only listed (refuse)" },
  { "--refused-phones", "PHONE", "refuse this phone although it is well formed; can be repeated", true },
  { "--ok", "WORD", 'how "all were taken" looks: quoted, raw, array, null or empty (quoted)' },
  { "--phone-format", "digits|plus", "phones in answers (digits)" },
  { "--duplicates", "WORD", "a phone that stands twice in a request: last_wins, list or refuse (last_wins)" },
  { "--unknown-field", "refuse|ignore", "a field that the API does not document (refuse)" },
  { "--clear-on-null", "true|false", "null clears what is stored (false)" },
  { "--clear-on-blank", "true|false", "an empty string or array clears what is stored (true)" },
  { "--resubscribe", "true|false", "is_opted_out = false subscribes again who had opted out (true)" },
  { "--max-contacts", "N", "greatest number of contacts in a request (no limit)" },
  { "--max-bytes", "N", "greatest number of bytes in a request (no limit)" },
  { "--too-large", "413|400", "status of a request beyond these limits (413)" },
  { "--max-length", "N", "greatest number of bytes in a text field (no limit)" },
  { "--error-shape", "WORD", "body of an error: error_code, code, nested, error, text or empty (error_code)" },
  { "--requests-per-minute", "N|off", "requests beyond this in a minute are answered with 429 (500)" },
  { "--retry-after", "true|false|N", "a 429 carries Retry-After, or one of so many seconds (false)" },
  { "--clock-skew", "SECONDS", "by which the time of a token may be off (0)" },
  { "--clock-offset", "SECONDS", "by which the server's clock is ahead (0)" },
  { "--inboxes", "array|object", "how the list of inboxes looks (array)" },
  { "--tags", "NAME", "a tag that exists; can be repeated", true },
}

local function option_of(flag)
  return (flag:gsub("^%-%-", ""):gsub("%-", "_"))
end

local function typed(given)
  if given == "true" then
    return true
  elseif given == "false" or given == "off" then
    return false
  end
  return tonumber(given) or given
end

--- Adds the flags of the command.
---@param command table argparse's
function cli_sandbox.add(command)
  command
    :option("--port")
    :argname("N")
    :convert(function(given)
      if not given:find "^%d+$" then
        return nil, ("--port: '%s' is not a number"):format(given)
      end
      return tonumber(given)
    end)
    :description "port to listen on (any free one)"
  for _, entry in ipairs(FLAGS) do
    local option = command:option(entry[1]):argname(entry[2]):description(entry[3])
    if entry[4] then
      option:count "*"
    else
      option:convert(typed)
    end
  end
end

--- Serves until it is interrupted.
---@param given table arguments as parsed
---@param refuse fun(message: string) called for wrong usage; does not return
---@return integer? code to exit with
---@return heymarket.Failure?
function cli_sandbox.run(given, refuse)
  local options = {}
  for _, entry in ipairs(FLAGS) do
    local name = option_of(entry[1])
    local value = given[name]
    if type(value) ~= "table" or #value > 0 then
      options[name] = value
    end
  end
  -- A value that the sandbox does not know is an error of Lua to it, and wrong usage here.
  local known, message = pcall(require("heymarket.sandbox").new, options)
  if not known then
    local field, wanted = tostring(message):match "sandbox%.new: (%S+) (.*)$"
    refuse(field and "--" .. field:gsub("_", "-") .. " " .. wanted or tostring(message))
  elseif given.port and given.port > 65535 then
    refuse "--port must be a whole number from 0 to 65535"
  end
  return require("heymarket.sandbox.server").run { port = given.port, options = options }
end

return cli_sandbox
