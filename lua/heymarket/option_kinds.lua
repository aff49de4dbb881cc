--- Kinds of options. Of each, `type` says how the command reads a value of its flag, and `check(value, values)` gives
--- nothing, or the code and the values of the issue.
local kinds = {}

local regions = require "heymarket.regions"
local runtime = require "heymarket.runtime"

--- Is this value a function, or an object that can be called like one?
function kinds.is_function(value)
  if type(value) == "function" then
    return true
  end
  local meta = type(value) == "table" and getmetatable(value)
  return type(meta) == "table" and type(meta.__call) == "function"
end

-- A kind whose wrong values all have the same issue; `values` of it can be a function of the wrong value.
local function kind(type_name, passes, code, values)
  return {
    type = type_name,
    check = function(value)
      if not passes(value) then
        return code, type(values) == "function" and values(value) or values
      end
    end,
  }
end

-- The values of an issue that names the wanted type and the given one.
local function types(wanted)
  return function(value)
    return { wanted = wanted, given = type(value) }
  end
end

-- NaN is in no range.
local function in_range(value, low, high)
  return type(value) == "number" and value >= low and value <= high
end

-- Without `high` up to the last integer that every Lua holds.
local function is_whole(value, low, high)
  return in_range(value, low, high or 2 ^ 53) and value % 1 == 0
end

function kinds.seconds(low, high)
  return kind("number", function(value)
    return in_range(value, low, high)
  end, "option_seconds", { low = low, high = high })
end

function kinds.whole(low, high, unit)
  return kind("number", function(value)
    return is_whole(value, low, high)
  end, "option_whole", { low = high and low, high = high, least = not high and low or nil, unit = unit })
end

kinds.bytes = kinds.whole(1, 2 ^ 31 - 1, "bytes")

-- So many a minute, or false for no limit.
function kinds.rate(high)
  return kind("number_or_off", function(value)
    return value == false or is_whole(value, 1, high)
  end, "option_rate", { high = high })
end

function kinds.of_type(wanted)
  return kind(wanted, function(value)
    return type(value) == wanted
  end, "option_type", types(wanted))
end

kinds.hook = kind("function", kinds.is_function, "option_type", types "function")

-- It stands in the place of an id and a key.
kinds.credentials = { type = "function" }
function kinds.credentials.check(value, values)
  if values.secret_id or values.secret_key then
    return "option_credentials_twice"
  end
  return kinds.hook.check(value)
end

kinds.boolean = kind("boolean", function(value)
  return type(value) == "boolean"
end, "option_boolean")

--- One of the values of a list.
function kinds.one_of(list)
  local known, quoted, choices = {}, {}, {}
  for i, value in ipairs(list) do
    known[value], choices[i] = true, tostring(value)
    quoted[i] = type(value) == "string" and ("%q"):format(value) or tostring(value)
  end
  local made = kind("word", function(value)
    return known[value] ~= nil
  end, "option_one_of", { words = table.concat(quoted, ", ") })
  made.choices = table.concat(choices, ", ") -- for the help
  return made
end

-- One of the words of a list.
function kinds.words(list)
  local words = {}
  for word in list:gmatch "%S+" do
    words[#words + 1] = word
  end
  return kinds.one_of(words)
end

-- What passes one of several kinds.
function kinds.either(code, ...)
  local all = { ... }
  return kind("word", function(value)
    for _, one in ipairs(all) do
      if not one.check(value) then
        return true
      end
    end
  end, code)
end

-- A table all of whose items pass.
local function table_of(type_name, code, passes)
  return kind(type_name, function(value)
    for key, item in pairs(type(value) == "table" and value or {}) do
      if not passes(key, item) then
        return false
      end
    end
    return type(value) == "table"
  end, code)
end

kinds.names = table_of("names", "option_names", function(_, item)
  return type(item) == "string"
end)
-- By column its field, or an array of {column, field} where the order counts.
kinds.map = table_of("map", "option_map", function(key, item)
  if type(item) == "table" then
    return type(key) == "number" and type(item[1]) == "string" and type(item[2]) == "string"
  end
  return type(key) == "string" and type(item) == "string"
end)
kinds.custom_fields = table_of("table", "option_custom_fields", function(_, item)
  return type(item) == "table" and is_whole(item.id, 1)
end)
-- A name and a value on one line. Content-Length is always that of the body.
kinds.headers = table_of("table", "option_headers", function(name, value)
  local is_name = type(name) == "string" and name:find "^[%w%-]+$" and name:lower() ~= "content-length"
  return is_name and (type(value) == "number" or type(value) == "string" and not value:find "%c")
end)

kinds.line = { type = "string" }
function kinds.line.check(value)
  if type(value) ~= "string" or value == "" then
    return "option_string"
  end
  return value:find "[%c\127]" and "option_control" or nil
end

-- By what users may call it: the delimiter.
kinds.DELIMITERS = {
  [","] = ",",
  [";"] = ";",
  ["\t"] = "\t",
  ["|"] = "|",
  comma = ",",
  semicolon = ";",
  tab = "\t",
  ["\\t"] = "\t",
  pipe = "|",
}
kinds.delimiter = kind("string", function(value)
  return kinds.DELIMITERS[value] ~= nil
end, "option_delimiter")

-- A name that iconv knows.
kinds.encoding = kind("string", function(value)
  return type(value) == "string" and runtime.native("heymarket.rows").decoder(value) ~= nil
end, "option_encoding")

kinds.country = { type = "country" }
function kinds.country.check(value)
  if value == false or type(value) == "string" and value:find "^[1-9]%d?%d?%d?$" then
    return nil
  elseif type(value) == "string" and value:find "^%a%a$" then
    return regions.check(value)
  end
  return "option_country"
end

kinds.shared_dict = { type = "string" }
function kinds.shared_dict.check(value)
  local ngx = rawget(_G, "ngx")
  local code = kinds.line.check(value)
  if not code and not (type(ngx) == "table" and ngx.shared and ngx.shared[value]) then
    return "option_shared_dict"
  end
  return code
end

-- Lua 5.1 lets no coroutine wait inside of pcall, which every call runs in. LuaJIT does.
local COROUTINES_WAIT = _VERSION ~= "Lua 5.1" or rawget(_G, "jit") ~= nil
-- By name: what loads the library.
local LOOPS = {
  luv = function()
    return require "luv"
  end,
  cqueues = function()
    return require "cqueues"
  end,
}

kinds.loop = { type = "word" }
function kinds.loop.check(value)
  local is_table = type(value) == "table" and kinds.is_function(value.wait)
  if not is_table and not LOOPS[value] then
    return "option_loop"
  elseif not COROUTINES_WAIT then
    return "option_loop_lua51"
  elseif not is_table and not pcall(LOOPS[value]) then
    return "option_loop_missing", { name = value }
  end
end

-- libcurl's parser decides, for it is libcurl that connects. It is loaded only where there is a URL to check.
-- Returns whether the URL is https and whether it stays on this machine, or nil and what is wrong with it.
local function check_url(value, purpose)
  local secure, is_local, detail = runtime.native("heymarket.core").check_url(value, purpose)
  if secure == nil then
    return nil, { code = is_local, values = { detail = detail } }
  end
  return secure, is_local
end

kinds.base_url = { type = "string" }
function kinds.base_url.check(value)
  if type(value) ~= "string" then
    return "option_base_url"
  end
  local secure, problem = check_url(value, "base_url")
  if secure == nil then
    return "option_base_url", { problem = problem }
  end
end

kinds.proxy = { type = "string" }
function kinds.proxy.check(value, values)
  local code = kinds.line.check(value)
  if code then
    return code
  end
  local secure, is_local = check_url(value, "proxy")
  if secure == nil then
    return "option_proxy", { problem = is_local } -- no answer but what is wrong
  elseif values.base_url and not is_local and not check_url(values.base_url, "base_url") then
    return "option_proxy_leaves_machine" -- plain http is for this machine only
  end
end

return kinds
