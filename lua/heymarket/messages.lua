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

-- A function that gives what stands for a pair of braces; nil where it is none, for words may show a Lua table.
local function braces(name, sort, rest)
  if sort == "?" then
    local one, many = rest:match "^(.*)|(.*)$"
    return function(values)
      return values[name] == 1 and one or many
    end
  elseif sort == ":" then
    return function(values, names)
      return shown_options(name == "option" and rest or values[rest] or "", names)
    end
  end
  return rest == ""
    and function(values, names)
      return values[name] ~= nil and shown_value(values[name], names) or nil
    end
end

local function add(parts, part)
  parts[#parts + 1] = part ~= "" and part or nil
end

-- Adds the parts of words without groups: strings, and functions for braces.
local function add_parts(parts, words)
  local at = 1
  for first, name, sort, rest, last in words:gmatch "(){([%w_]+)([:?]?)([^{}]*)}()" do
    local part = braces(name, sort, rest)
    if part then
      add(parts, words:sub(at, first - 1))
      add(parts, part)
      at = last
    end
  end
  add(parts, words:sub(at))
  return parts
end

-- The text of some parts. Where one of their values is missing, a group is left out (nil).
local function fill(parts, values, names, is_group)
  local filled = {}
  for i = 1, #parts do
    local part = parts[i]
    if type(part) ~= "string" then
      part = part(values, names)
      if part == nil and is_group then
        return nil
      end
    end
    filled[i] = part or "?"
  end
  return concat(filled)
end

-- Takes words apart: strings, and functions for braces and for groups that may be left out.
local function compile(words)
  local parts, at = {}, 1
  for first, group, last in words:gmatch "()%[([^%[%]]*)%]()" do
    local inner = add_parts({}, group)
    add_parts(parts, words:sub(at, first - 1))
    add(parts, function(values, names)
      return fill(inner, values, names, true) or ""
    end)
    at = last
  end
  return add_parts(parts, words:sub(at))
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
