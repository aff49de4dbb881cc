--- Writes the list of files in doc/architecture.md: each file of lua/ and csrc/ with the first sentence of its comment.
---
---   lua5.4 tools/file_list.lua [check]
---
--- With `check` it changes nothing, and fails if the list is not the one that it would write.

local PATH, START, END = "doc/architecture.md", "<!-- files -->\n", "<!-- end of files -->\n"

local function read(path)
  local file = assert(io.open(path, "rb"))
  local text = file:read "*a"
  file:close()
  return text
end

-- The comment with which a source begins, in one line.
local function comment_of(text)
  local in_c = text:match "^/%*%s*(.-)%s*%*/"
  if in_c then
    return (in_c:gsub("%s*\n%s*%*%s*", " "))
  end
  local lines = {}
  for line in text:gmatch "([^\n]*)\n" do
    local words = line:match "^%-%-%-?%s*(.*)$" or line:match "^//%s*(.*)$"
    if not words or lines[1] and words == "" then
      break
    elseif words ~= "" and not words:find "^@" and not words:find "^luacheck" then
      lines[#lines + 1] = words
    end
  end
  return table.concat(lines, " ")
end

local function first_sentence(comment)
  return comment:match "^(.-[^%.]%.)%s" or comment
end

-- What a file says of itself. A C file may leave that to its header.
local function description_of(folder, name)
  local sentence = first_sentence(comment_of(read(folder .. "/" .. name)))
  local header = sentence:match "^See ([%w_]+%.h)%.$"
  return header and first_sentence(comment_of(read(folder .. "/" .. header))) or sentence
end

local function all_files()
  local files = {}
  local pipe = assert(io.popen "find lua/heymarket csrc -name '*.lua' -o -name '*.c' -o -name '*.cpp'")
  for path in pipe:lines() do
    local folder, name = path:match "^(.*)/([^/]*)$"
    files[#files + 1] = { folder = folder, name = name }
  end
  pipe:close()
  table.sort(files, function(a, b)
    if a.folder ~= b.folder then
      return a.folder < b.folder
    end
    return a.name < b.name
  end)
  return files
end

local lines, folder = {}, nil
for _, file in ipairs(all_files()) do
  if file.folder ~= folder then
    folder = file.folder
    lines[#lines + 1] = ("%s**%s/**\n"):format(lines[1] and "\n" or "", folder)
  end
  lines[#lines + 1] = ("- `%s`: %s"):format(file.name, description_of(folder, file.name))
end
local list = "\n" .. table.concat(lines, "\n") .. "\n\n"

local document = read(PATH)
local _, first = document:find(START, 1, true)
local last = document:find(END, 1, true)
local wanted = document:sub(1, first) .. list .. document:sub(last)
if arg[1] == "check" then
  if wanted ~= document then
    print(PATH .. ": the list of files is out of date: run lua5.4 tools/file_list.lua")
    os.exit(1)
  end
else
  local file = assert(io.open(PATH, "wb"))
  file:write(wanted)
  file:close()
end
