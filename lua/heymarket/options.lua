--- What a client and a call may be told: names, types, limits and defaults in one table.
local options = {}

local core = require "heymarket.core"
local text = require "heymarket.util.text"

local function is_function(value)
  if type(value) == "function" then
    return true
  end
  local meta = type(value) == "table" and getmetatable(value)
  return type(meta) == "table" and type(meta.__call) == "function"
end

local function number(low, high, unit)
  return function(value)
    if type(value) ~= "number" or value ~= value or value < low or value > high then
      return ("must be a number of %s from %s to %s"):format(unit, low, high)
    end
  end
end

local function whole(low, high)
  return function(value)
    if type(value) ~= "number" or value % 1 ~= 0 or value < low or value > high then
      return ("must be a whole number from %d to %d"):format(low, high)
    end
  end
end

local function hook(value)
  if not is_function(value) then
    return "must be a function, not a " .. type(value)
  end
end

local function one_line(value)
  if type(value) ~= "string" or value == "" then
    return "must be a string that is not empty"
  elseif value:find "[%c\127]" then
    return "must not hold a line break or another control character"
  end
end

local function seams(value)
  if type(value) ~= "table" then
    return "must be a table with any of monotonic, time, sleep, random and transport"
  end
end

local function boolean(value)
  if type(value) ~= "boolean" then
    return "must be true or false"
  end
end

local function rate(value)
  local wanted = "must be a whole number from 1 to 1000000, or false for no pacing"
  if value ~= false and (type(value) ~= "number" or value % 1 ~= 0 or value < 1 or value > 1000000) then
    return wanted
  end
end

local function country(value)
  if value == false or type(value) == "string" and value:find "^[1-9]%d?%d?%d?$" then
    return nil
  elseif type(value) == "string" and value:find "^%a%a$" then
    local wanted = 'must be the digits of a calling code, such as "49" for Germany: the region "%s" cannot be read yet'
    return wanted:format(value)
  end
  return 'must be the digits of a calling code as a string, such as "1", or false'
end

local function secret(value)
  return one_line(value) and "must be a string that is not empty, on one line" or nil
end

-- libcurl's parser decides, for it is libcurl that connects.
local function base_url(value)
  if type(value) ~= "string" then
    return "must be a string such as https://api.heymarket.com"
  end
  local secure, _, message = core.check_url(value, "base_url")
  if secure == nil then
    return "must be a URL such as https://api.heymarket.com: " .. message
  end
end

local function proxy_url(value)
  local problem = one_line(value)
  if problem then
    return problem
  end
  local secure, _, message = core.check_url(value, "proxy")
  if secure == nil then
    return "must be a proxy such as http://127.0.0.1:3128: " .. message
  end
end

--- Would plain http to a loopback host leave this machine all the same, by way of the proxy?
---@param url string a base_url that was accepted
---@param proxy string that was accepted
---@return boolean
function options.leaves_machine(url, proxy)
  local _, proxy_is_local = core.check_url(proxy, "proxy")
  return not core.check_url(url, "base_url") and not proxy_is_local
end

-- Which mistakes are told first: the order of this list.
local KNOWN = {
  { "secret_id", secret, "config" },
  { "secret_key", secret, "config" },
  { "base_url", base_url, "config", "https://api.heymarket.com" },
  { "timeout", number(0.001, 3600, "seconds"), "config call check", 60 },
  { "connect_timeout", number(0.001, 3600, "seconds"), "config", 10 },
  { "max_attempts", whole(1, 100), "config call check", 5 },
  { "max_retry_after", number(0, 86400, "seconds"), "config", 120 },
  { "requests_per_minute", rate, "config call check", 500 },
  { "batch_size", whole(1, 10000), "config call", 100 },
  { "concurrency", whole(1, 256), "config call", 4 },
  -- The vendor takes a token for 5 minutes; the last seconds of that are left for the way.
  { "token_ttl", number(0, 290, "seconds"), "config", 240 },
  { "default_country", country, "config call contact" },
  { "ca_file", one_line, "config" },
  { "proxy", proxy_url, "config" },
  { "user_agent", one_line, "config" },
  { "on_event", hook, "config call check" },
  { "shared_dict", one_line, "config" },
  { "runtime", seams, "config" },
  { "overwrite", boolean, "call import", false },
  { "deadline", number(0.001, 31536000, "seconds"), "call check" },
  { "on_item", hook, "import" },
  { "on_progress", hook, "import" },
  { "max_failures", whole(1, 2 ^ 53), "import" },
  { "journal", one_line, "import" },
  { "should_stop", hook, "import" },
}

local SCOPES = {
  config = { "config" },
  call = { "call" },
  import = { "call", "import" },
  contact = { "contact" },
  check = { "check" },
}

-- By scope: the entries by name, and the names in order.
local KNOWN_IN, NAMES_IN = {}, {}
for scope, words in pairs(SCOPES) do
  local known, names = {}, {}
  for _, entry in ipairs(KNOWN) do
    for _, word in ipairs(words) do
      if not known[entry[1]] and (" " .. entry[3] .. " "):find(" " .. word .. " ", 1, true) then
        known[entry[1]] = entry
        names[#names + 1] = entry[1]
      end
    end
  end
  KNOWN_IN[scope], NAMES_IN[scope] = known, names
end

--- Checks options and reports all mistakes at once.
---@param scope "config"|"call"|"import"|"contact" where they were given
---@param given table? what the user gave
---@param fallback table? where values come from that were not given: the client's config
---@return table? options every known name with its value
---@return heymarket.Issue[]? issues
function options.read(scope, given, fallback)
  local known, list = KNOWN_IN[scope], NAMES_IN[scope]
  local issues, values = {}, {}
  given = given or {}
  for _, name in ipairs(list) do
    local entry = known[name]
    local value = given[name]
    if value ~= nil then
      local problem = entry[2] and entry[2](value)
      if problem then
        issues[#issues + 1] = { field = name, message = problem }
      end
    elseif fallback and fallback[name] ~= nil then
      value = fallback[name]
    else
      value = entry[4]
    end
    values[name] = value
  end
  local unknown = {}
  for name in pairs(given) do
    if not known[name] then
      unknown[#unknown + 1] = name
    end
  end
  table.sort(unknown, function(a, b)
    return text.shown(a) < text.shown(b)
  end)
  for _, name in ipairs(unknown) do
    issues[#issues + 1] = {
      field = text.shown(name),
      message = "is not an option here" .. text.did_you_mean(name, list),
    }
  end
  if #issues > 0 then
    return nil, issues
  end
  return values
end

--- The country to check phones with where some of the options were refused. One that was refused itself must neither be
--- used nor bring the blame on the phones.
---@param given table what the user gave
---@param fallback string|boolean|nil the client's
---@return string|boolean|nil
function options.country(given, fallback)
  local value = given.default_country
  if value == nil then
    return fallback
  end
  return not country(value) and value
end

-- Looked up rather than taken apart, since this runs where an error for want of memory would leave the call.
local OPTIONAL = { ["table?"] = "table" }

--- Raises when an argument has the wrong Lua type: a mistake in the program, not in its data.
---@param value any
---@param wanted string "table", or "table?" where nil will do
---@param where string function and argument, such as 'heymarket.new: argument "config"'
---@param level integer stack level for `error`
function options.expect(value, wanted, where, level)
  local kind = OPTIONAL[wanted] or wanted
  if type(value) ~= kind and not (kind ~= wanted and value == nil) then
    error(("%s must be a %s, not %s"):format(where, kind, value == nil and "nil" or "a " .. type(value)), level + 1)
  end
end

-- Options that the command takes from the environment. A journal calls the secret_id "account".
local VARIABLES = {
  base_url = "HEYMARKET_BASE_URL",
  secret_id = "HEYMARKET_SECRET_ID",
  secret_key = "HEYMARKET_SECRET_KEY",
  account = "HEYMARKET_SECRET_ID",
}

--- The name of an option as its user knows it.
---@param name string
---@param names "library"|"command"|nil
---@return string
function options.shown_name(name, names)
  if names ~= "command" then
    return name
  end
  return VARIABLES[name] or "--" .. name:gsub("_", "-")
end

--- Is this value a function, or an object that can be called like one?
options.is_function = is_function

return options
