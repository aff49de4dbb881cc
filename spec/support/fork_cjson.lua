--- A stand-in for OpenResty's build of lua-cjson, where only 2.1.0 is at hand.
---
--- It differs from 2.1.0 as that build is known to: whole numbers are decoded to integers where this Lua has them,
--- those beyond the range to the greatest there is; `empty_array` and the array metatables exist.
local fork = {}

local real = require "cjson"

local to_integer = rawget(math, "tointeger")

local function integers(value)
  if type(value) == "number" then
    if value >= 2 ^ 63 then
      return rawget(math, "maxinteger") or 2 ^ 63
    end
    return to_integer and to_integer(value) or value
  elseif type(value) == "table" then
    for key, item in pairs(value) do
      value[key] = integers(item)
    end
  end
  return value
end

local function new()
  local inner = real.new()
  local made = {}
  for name, value in pairs(inner) do
    made[name] = value
  end
  made.decode = function(text)
    return integers(inner.decode(text))
  end
  made.new = new
  made.empty_array, made.empty_array_mt, made.array_mt = inner.null, {}, {}
  made.encode_empty_table_as_object = function() end
  made.decode_array_with_array_mt = function() end
  made._VERSION = "2.1.0.14"
  return made
end

local NATIVE = { ["heymarket.core"] = true, ["heymarket.rows"] = true, ["heymarket.system"] = true }

--- Runs a function in which `require "heymarket"` gives the module as it is with that build.
---@param act fun()
function fork.run(act)
  local kept = {}
  for name, module in pairs(package.loaded) do
    if name == "cjson" or name:find "^heymarket" and not NATIVE[name] then
      kept[name] = module
    end
  end
  for name in pairs(kept) do
    package.loaded[name] = nil
  end
  package.loaded.cjson = new()
  local ok, problem = pcall(act)
  for name in pairs(package.loaded) do
    if name == "cjson" or name:find "^heymarket" and not NATIVE[name] then
      package.loaded[name] = nil
    end
  end
  for name, module in pairs(kept) do
    package.loaded[name] = module
  end
  if not ok then
    error(problem, 0)
  end
end

return fork
