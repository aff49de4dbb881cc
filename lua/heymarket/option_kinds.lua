--- Kinds of options. Of each, `type` says how the command reads a value of its flag, and `check(value, values)` gives
--- nothing, or the code and the values of the issue.
local kinds = {}

local runtime = require "heymarket.runtime"

--- Is this value a function, or an object that can be called like one?
function kinds.is_function(value)
  if type(value) == "function" then
    return true
  end
  local meta = type(value) == "table" and getmetatable(value)
  return type(meta) == "table" and type(meta.__call) == "function"
end

-- NaN is in no range.
local function in_range(value, low, high)
  return type(value) == "number" and value >= low and value <= high
end

function kinds.seconds(low, high)
  return {
    type = "number",
    check = function(value)
      if not in_range(value, low, high) then
        return "option_seconds", { low = low, high = high }
      end
    end,
  }
end

-- Without `high` up to the last integer that every Lua holds.
function kinds.whole(low, high, unit)
  return {
    type = "number",
    check = function(value)
      if not in_range(value, low, high or 2 ^ 53) or value % 1 ~= 0 then
        return "option_whole", { low = low, high = high, unit = unit }
      end
    end,
  }
end

kinds.bytes = kinds.whole(1, 2 ^ 31 - 1, "bytes")

function kinds.of_type(wanted)
  return {
    type = wanted,
    check = function(value)
      if type(value) ~= wanted then
        return "option_type", { wanted = wanted, given = type(value) }
      end
    end,
  }
end

kinds.boolean = { type = "boolean" }
function kinds.boolean.check(value)
  return type(value) ~= "boolean" and "option_boolean" or nil
end

kinds.hook = { type = "function" }
function kinds.hook.check(value)
  if not kinds.is_function(value) then
    return "option_type", { wanted = "function", given = type(value) }
  end
end

kinds.line = { type = "string" }
function kinds.line.check(value)
  if type(value) ~= "string" or value == "" then
    return "option_string"
  elseif value:find "[%c\127]" then
    return "option_control"
  end
end

-- So many a minute, or false for no limit.
function kinds.rate(high)
  return {
    type = "number_or_off",
    check = function(value)
      if value ~= false and (not in_range(value, 1, high or 2 ^ 53) or value % 1 ~= 0) then
        return "option_rate", { high = high }
      end
    end,
  }
end

kinds.country = { type = "country" }
function kinds.country.check(value)
  if value == false or type(value) == "string" and value:find "^[1-9]%d?%d?%d?$" then
    return nil
  elseif type(value) == "string" and value:find "^%a%a$" then
    return "option_region", { region = value }
  end
  return "option_country"
end

function kinds.one_of(...)
  local known, words = {}, {}
  for i, value in ipairs { ... } do
    known[value], words[i] = true, type(value) == "string" and ("%q"):format(value) or tostring(value)
  end
  words = table.concat(words, ", ")
  return {
    type = "word",
    check = function(value)
      if known[value] == nil then
        return "option_one_of", { words = words }
      end
    end,
  }
end

-- How an exchange with the sandbox can fail.
kinds.fault = kinds.one_of(
  "html",
  "not_json",
  "oversized",
  "redirect",
  "refused",
  "reset",
  "reset_before",
  "timeout",
  "tls",
  "truncated",
  "unresolved"
)

-- A table all of whose items pass.
local function table_of(type_name, code, passes)
  return {
    type = type_name,
    check = function(value)
      if type(value) ~= "table" then
        return "option_type", { wanted = "table", given = type(value) }
      end
      for key, item in pairs(value) do
        if not passes(key, item) then
          return code
        end
      end
    end,
  }
end

kinds.names = table_of("names", "option_names", function(_, item)
  return type(item) == "string"
end)
kinds.map = table_of("map", "option_map", function(key, item)
  return type(key) == "string" and type(item) == "string"
end)
kinds.custom_fields = table_of("table", "option_custom_fields", function(_, item)
  return type(item) == "table" and in_range(item.id, 1, 2 ^ 53) and item.id % 1 == 0
end)
-- A name and a value on one line; the length of an answer is not for others to say.
kinds.headers = table_of("table", "option_headers", function(name, value)
  local is_name = type(name) == "string" and name:find "^[%w%-]+$" and name:lower() ~= "content-length"
  return is_name and (type(value) == "number" or type(value) == "string" and not value:find "%c")
end)

-- What passes one of several kinds.
function kinds.either(code, ...)
  local all = { ... }
  return {
    type = "word",
    check = function(value)
      for _, kind in ipairs(all) do
        if not kind.check(value) then
          return nil
        end
      end
      return code
    end,
  }
end

kinds.retry_after = kinds.either("option_retry_after", kinds.boolean, kinds.seconds(0, 1e9))

kinds.shared_dict = { type = "string" }
function kinds.shared_dict.check(value)
  local ngx = rawget(_G, "ngx")
  local code = kinds.line.check(value)
  if not code and not (type(ngx) == "table" and ngx.shared and ngx.shared[value]) then
    return "option_shared_dict"
  end
  return code
end

-- libcurl's parser decides, for it is libcurl that connects. It is loaded only where there is a URL to check.
local function check_url(value, purpose)
  return runtime.native("heymarket.core").check_url(value, purpose)
end

kinds.base_url = { type = "string" }
function kinds.base_url.check(value)
  if type(value) ~= "string" then
    return "option_base_url"
  end
  local secure, _, problem = check_url(value, "base_url")
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
  local secure, is_local, problem = check_url(value, "proxy")
  if secure == nil then
    return "option_proxy", { problem = problem }
  elseif values.base_url and not is_local and not check_url(values.base_url, "base_url") then
    return "option_proxy_leaves_machine" -- plain http is for this machine only
  end
end

return kinds
