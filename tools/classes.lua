--- Reads the classes for editors in lua/: by name (without "heymarket."), the file and the fields of each, and whether
--- an editor is to mark all other fields (`is_exact`). A field has `type` and `is_optional`.
--- For tools/compare_types.lua and spec/types_spec.lua.

local classes = {}

-- Is nil one of the values? Functions and tables may have a "nil" of their own inside.
local function is_optional(kind)
  local outer = kind:gsub("%b()", ""):gsub("%b<>", ""):gsub("%b{}", "")
  return outer:find "%?$" ~= nil or ("|" .. outer .. "|"):find("|nil|", 1, true) ~= nil or outer == "any"
end

-- The type at the start of a text: it ends at a blank that stands in no brackets and in no quotes.
local function type_of(text)
  local depth, quoted = 0, false
  for i = 1, #text do
    local sign = text:sub(i, i)
    if sign == '"' then
      quoted = not quoted
    elseif not quoted and sign:find "[%(<{]" then
      depth = depth + 1
    elseif not quoted and sign:find "[%)>}]" then
      depth = depth - 1
    elseif sign == " " and depth == 0 and not quoted and not text:sub(1, i - 1):find "[:|]$" then
      return text:sub(1, i - 1)
    end
  end
  return text
end

local function read_file(path)
  local class
  for line in io.lines(path) do
    local name = line:gsub("^(%-%-%-@class )%(exact%) ", "%1"):match "^%-%-%-@class heymarket%.([%w_.]+)"
    local field, rest = line:match "^%-%-%-@field ([%w_]+%??) (.*)$"
    if name then
      class = { file = path, fields = {}, is_exact = line:find("(exact)", 1, true) ~= nil }
      classes[name] = class
    elseif field and class then
      local kind = type_of(rest)
      local bare = field:gsub("%?$", "")
      class.fields[bare] = { type = kind, is_optional = bare ~= field or is_optional(kind) }
    elseif not line:find "^%-%-%-" then
      class = nil
    end
  end
end

local pipe = assert(io.popen "find lua -name '*.lua'")
for path in pipe:lines() do
  read_file(path)
end
pipe:close()

return classes
