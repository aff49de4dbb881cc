--- Compares the classes for editors (`---@class`) with the lists that they describe: options with heymarket.options,
--- contacts with contact/fields.lua.
---
---   lua5.4 tools/compare_types.lua
---
--- Prints what differs, and exits with 1. What calls return is compared by spec/types_spec.lua.

package.path = "./lua/?.lua;./lua/?/init.lua;" .. package.path
-- The lists need no C module, but the files that hold them ask for some. Here each module has whatever is asked for: an
-- empty table that can be called.
local anything = {}
setmetatable(anything, {
  __call = function()
    return anything
  end,
})
for _, name in ipairs { "core", "rows", "system" } do
  package.preload["heymarket." .. name] = function()
    return setmetatable({}, {
      __index = function()
        return anything
      end,
    })
  end
end

local classes = dofile "tools/classes.lua"
local fields = require "heymarket.contact.fields"
local options = require "heymarket.options"

local problems = 0

local function complain(...)
  problems = problems + 1
  print(string.format(...))
end

-- Compares a class with the names of a list. `is_required(row)` says which of them are not optional.
local function compare(class, rows, where, is_required)
  local found = classes[class]
  if not found then
    return complain("no class heymarket.%s", class)
  elseif not found.is_exact then
    complain("%s: heymarket.%s is not exact, so no editor marks a misspelt field", found.file, class)
  end
  local known = {}
  for _, row in ipairs(rows) do
    known[row.name] = true
    local field = found.fields[row.name]
    if not field then
      complain("%s: heymarket.%s has no field %s, which is in %s", found.file, class, row.name, where)
    elseif field.is_optional == is_required(row) then
      local what = field.is_optional and "optional" or "required"
      complain("%s: heymarket.%s says that %s is %s, %s says otherwise", found.file, class, row.name, what, where)
    end
  end
  for name in pairs(found.fields) do
    if not known[name] then
      complain("%s: heymarket.%s has a field %s, which is not in %s", found.file, class, name, where)
    end
  end
end

local SCOPES = {
  Config = "config",
  CreateOptions = "call",
  ImportOptions = "import",
  CheckOptions = "check",
  ContactOptions = "contact",
  CsvOptions = "csv",
  SandboxOptions = "sandbox",
  SandboxStep = "step",
  SandboxServerOptions = "server",
}
for class, scope in pairs(SCOPES) do
  compare(class, options.list(scope), "options.lua", function()
    return false
  end)
end
compare("Contact", fields, "contact/fields.lua", function(field)
  return field.required == true
end)
os.exit(problems == 0 and 0 or 1)
