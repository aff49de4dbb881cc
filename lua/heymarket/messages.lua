--- Messages: from a code and values to words. The words stand in catalogue.lua. Nobody reads a message back: programs
--- read kind, reason and codes.
---
--- In the words:
--- - `{name}` stands for the value of that name: a string, a number, a failure or issue with a code of its own, or an
---   array of issues;
--- - `{count?contact|contacts}` is the first for a count of 1, the second for any other;
--- - `{option:batch_size}` is the name of an option, `{options:names}` those that the value `names` lists: `batch_size`
---   for who calls the library, `--batch-size` for who runs the command;
--- - a part in `[` and `]` is left out where one of its values is missing.
--- An entry with `library` and `command` has other words for each of the two.
local messages = {}

local catalogue = require "heymarket.catalogue"
local options = require "heymarket.options"

local concat = table.concat

-- Integers in full, and floats without the ".0" that Lua 5.3 and later would show.
local function shown_number(value)
  local written = tostring(value)
  if written:find "^%-?%d+$" then
    return written
  end
  return value % 1 == 0 and math.abs(value) <= 2 ^ 53 and ("%.0f"):format(value) or ("%.14g"):format(value)
end

local function shown_value(value, names)
  if type(value) == "table" and value[1] then
    local lines = {}
    for i, told in ipairs(value) do
      lines[i] = messages.line(told, names)
    end
    return concat(lines, "; ")
  elseif type(value) == "table" then
    return messages.line(value, names)
  end
  return type(value) == "number" and shown_number(value) or tostring(value)
end

local function shown_options(list, names)
  return (list:gsub("[%w_]+", function(option)
    return options.shown_name(option, names)
  end))
end

-- Each kind of braces: what stands for them. `part` has what stands in them.
local FILL = {
  value = function(part, values, names)
    local value = values[part.name]
    return value == nil and part.written or shown_value(value, names)
  end,
  option = function(part, _, names)
    return options.shown_name(part.name, names)
  end,
  options = function(part, values, names)
    return shown_options(values[part.name] or "", names)
  end,
  count = function(part, values)
    return values[part.name] == 1 and part.one or part.many
  end,
}

-- Takes the text of one pair of braces apart; nil where it is none, for words may show a Lua table.
local function braces(written)
  local name, sort, rest = written:match "^{([%w_]+)([:?]?)([^{}]*)}$"
  if sort == "?" then
    local one, many = rest:match "^(.*)|(.*)$"
    return { fill = FILL.count, name = name, one = one, many = many }
  elseif sort == ":" then
    return { fill = FILL[name], name = rest }
  end
  return rest == "" and { fill = FILL.value, name = name, written = written, is_value = true } or nil
end

local function add(parts, part)
  parts[#parts + 1] = part ~= "" and part or nil
end

-- Adds the parts of a piece of words: strings, and tables for braces.
local function add_parts(parts, piece)
  local at = 1
  for first, last in piece:gmatch "(){[^{}]*}()" do
    local part = braces(piece:sub(first, last - 1))
    if part then
      add(parts, piece:sub(at, first - 1))
      add(parts, part)
      at = last
    end
  end
  add(parts, piece:sub(at))
  return parts
end

-- Takes words apart: strings, braces, and groups that may be left out.
local function compile(words)
  local parts, at = {}, 1
  for first, group, last in words:gmatch "()%[([^%[%]]*)%]()" do
    add_parts(parts, words:sub(at, first - 1))
    parts[#parts + 1] = { group = add_parts({}, group) }
    at = last
  end
  return add_parts(parts, words:sub(at))
end

local function has_values(parts, values)
  for _, part in ipairs(parts) do
    if type(part) == "table" and part.is_value and values[part.name] == nil then
      return false
    end
  end
  return true
end

local function fill(parts, values, names)
  local filled = {}
  for i, part in ipairs(parts) do
    if type(part) == "string" then
      filled[i] = part
    elseif part.group then
      filled[i] = has_values(part.group, values) and fill(part.group, values, names) or ""
    else
      filled[i] = part.fill(part, values, names)
    end
  end
  return concat(filled)
end

local compiled = {} -- by words

--- The words of a code.
---@param code string
---@param values table<string, any>? what stands in the words
---@param names "library"|"command"|nil how options are called; "library" unless told
---@return string
function messages.text(code, values, names)
  local words = catalogue[code]
  names = names or "library"
  if type(words) == "table" then
    words = words[names]
  elseif not words then
    return code
  end
  compiled[words] = compiled[words] or compile(words)
  return fill(compiled[words], values or {}, names)
end

--- The message of a failure or an issue, in the words of the library or the command.
---@param told heymarket.Failure|heymarket.Issue|table anything with `message_code` or `code`, and `values`
---@param names "library"|"command"|nil
---@return string
function messages.render(told, names)
  local code = told.message_code or not told.message_code and not told.kind and told.code
  if not code or told.message and names ~= "command" then
    return told.message
  end
  return messages.text(code, told.values, names)
end

--- The message of a failure or an issue; that of an issue with its contact and its field before it.
---@param told heymarket.Failure|heymarket.Issue|table
---@param names "library"|"command"|nil
---@return string
function messages.line(told, names)
  local contact = told.index and ("contact %.0f: "):format(told.index) or ""
  local field = told.field and (told.is_option and options.shown_name(told.field, names) or told.field) .. " " or ""
  return contact .. field .. messages.render(told, names)
end

--- Codes and words, for the spec that compares them with their uses.
messages.catalogue = catalogue

return messages
