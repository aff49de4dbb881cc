--- Command lines: what is to be typed next, made from what was typed, and quoted for the shell.
local command_line = {}

local options = require "heymarket.options"

local SCOPES = { "csv", "import", "command", "connection" } -- of the flags of `import`

--- A word as a POSIX shell reads it back. One with control characters is written as $'…', which most shells know.
---@param word string
---@return string
function command_line.quote(word)
  if word:find "^[%w_@%%+=:,./-]+$" then
    return word
  elseif word:find "[%c\127]" then
    local escaped = word:gsub("[\\']", "\\%0"):gsub("[%c\127]", function(character)
      return ("\\%03o"):format(character:byte())
    end)
    return "$'" .. escaped .. "'"
  end
  return "'" .. word:gsub("'", "'\\''") .. "'"
end

-- By flag: has it an argument?
local function flags_with_arguments()
  local has_argument = {}
  for _, scope in ipairs(SCOPES) do
    for _, row in ipairs(options.list(scope)) do
      if row.argument then
        has_argument[options.shown_name(row.name, "command")] = row.argument ~= ""
      end
    end
  end
  return has_argument
end

-- Takes arguments apart: an array of {flag, value} for flags, and of {value} for the command and its file.
local function parts_of(arguments)
  local has_argument, parts, i, only_values = flags_with_arguments(), {}, 1, false
  while i <= #arguments do
    local word = arguments[i]
    local flag, value = word:match "^(%-%-[^=]+)=?(.*)$"
    if word == "--" and not only_values then
      only_values = true
    elseif only_values or not flag then
      parts[#parts + 1] = { value = word }
    else
      if has_argument[flag] and not word:find("=", 1, true) then
        i = i + 1
        value = arguments[i]
      end
      parts[#parts + 1] = { flag = flag, value = has_argument[flag] and value or nil }
    end
    i = i + 1
  end
  return parts
end

--- The command that was typed, with some changes.
---@param arguments string[] of the program, the command's name first
---@param changes table? `file` in place of the one that was given; `without`, a set of flags to leave out; `with`, an
--- array of words to add
---@return string
function command_line.changed(arguments, changes)
  changes = changes or {}
  local words, values = { "heymarket" }, 0
  for _, part in ipairs(parts_of(arguments)) do
    if part.flag and not (changes.without and changes.without[part.flag]) then
      words[#words + 1] = part.flag
      words[#words + 1] = part.value
    elseif not part.flag then
      values = values + 1
      local value = values == 2 and changes.file or part.value
      words[#words + 1] = value:find "^%-." and "./" .. value or value
    end
  end
  for _, word in ipairs(changes.with or {}) do
    words[#words + 1] = word
  end
  for i, word in ipairs(words) do
    words[i] = command_line.quote(word)
  end
  return table.concat(words, " ")
end

--- The name of a further file beside one: people.csv becomes people2.csv, that one people3.csv.
---@param path string
---@return string
function command_line.next_name(path)
  local folder, name = path:match "^(.*/)([^/]*)$"
  folder, name = folder or "", name or path
  local stem, ending = name:match "^(.+)(%.[^.]*)$"
  stem, ending = stem or name, ending or ""
  local base, number = stem:match "^(.-)(%d+)$"
  if not number or #number > 4 then
    base, number = stem, 1
  end
  return ("%s%s%d%s"):format(folder, base, number + 1, ending)
end

return command_line
