--- Writes doc/reference.md: the public functions, methods and classes, from the LuaCATS comments above them; and the
--- list of codes in doc/errors.md, from the catalogue of messages.
---
---   lua5.4 tools/reference.lua [check]
---
--- With `check` it changes nothing, and fails if a page is not the one that it would write. It fails in any case if a
--- public function has no comment on what it does, on a parameter, or on its failures.

local PATH = "doc/reference.md"

-- The page: sections, and what stands in each. A function is named by file and name in the source; `as` is how users
-- call it. `hidden` are methods for other parts of the library.
local SECTIONS = {
  {
    "Clients",
    functions = {
      { "client.lua", "client.new", as = "heymarket.new" },
      { "client.lua", "Client:", as = "client:" },
      { "init.lua", "heymarket.", as = "heymarket." },
    },
    classes = { "Config", "CreateOptions", "ImportOptions", "CheckOptions", "Contact", "ContactOptions" },
  },
  { "Reports", classes = { "Report", "Item" } },
  { "Failures", classes = { "Failure", "Issue" } },
  { "Events", classes = { "Event" } },
  {
    "CSV",
    functions = {
      { "csv/init.lua", "csv.", as = "heymarket.csv." },
      {
        "csv/source.lua",
        "Source:",
        as = "source:",
        hidden = { take = true, describe = true, __call = true },
      },
    },
    classes = { "CsvOptions", "csv.Source" },
  },
  {
    "Sandbox",
    functions = {
      { "sandbox/init.lua", "sandbox.", as = "heymarket.sandbox." },
      { "sandbox/init.lua", "Sandbox:", as = "sandbox:" },
    },
    classes = { "SandboxOptions", "SandboxStep", "Sandbox", "SandboxEntry", "SandboxRequest" },
  },
  {
    "The sandbox as a server",
    functions = {
      { "sandbox/server.lua", "sandbox_server.", as = 'require("heymarket.sandbox.server").' },
      { "sandbox/server.lua", "Server:", as = "server:" },
    },
    classes = { "SandboxServerOptions", "SandboxServer" },
  },
}

-- Names of return values, which the comments have for editors.
local RETURNED = {}
for name in ("report failure wire token source stored answer response self"):gmatch "%a+" do
  RETURNED[name] = true
end

local problems = {}

local function read(path)
  local file = io.open(path, "rb")
  local text = file and file:read "*a"
  if file then
    file:close()
  end
  return text
end

-- The type at the start of a text, and the rest. A type ends at a blank that stands in no brackets and in no quotes,
-- and not behind a colon or a bar.
local function split_type(text)
  local depth, quoted = 0, false
  for i = 1, #text do
    local sign = text:sub(i, i)
    if sign == '"' then
      quoted = not quoted
    elseif not quoted and sign:find "[%(<{]" then
      depth = depth + 1
    elseif not quoted and sign:find "[%)>}]" then
      depth = depth - 1
    elseif sign == " " and depth == 0 and not quoted and not text:sub(1, i - 1):find "[:|,]$" then
      return text:sub(1, i - 1), text:sub(i + 1)
    end
  end
  return text, ""
end

-- A comment in parts: its words, and its tags (`@param` and the like), each with the lines that go on with it.
local function parts_of(comment)
  local words, tags = {}, {}
  for _, line in ipairs(comment) do
    local name, rest = line:match "^@(%w+)%s*(.*)$"
    if name then
      tags[#tags + 1] = { name = name, text = rest }
    elseif tags[1] then
      tags[#tags].text = tags[#tags].text .. " " .. line:match "^%s*(.*)$"
    else
      words[#words + 1] = line
    end
  end
  return words, tags
end

local functions, classes = {}, {} -- functions by file, in order; classes by name without "heymarket."

local function take_class(words, tags)
  local name, about
  for _, tag in ipairs(tags) do
    if tag.name == "class" then
      name, about = tag.text:gsub("^%(exact%) ", ""):match "^heymarket%.([%w_.]+):?%s*(.*)$"
      if not name then
        return
      end
      classes[name] = { name = name, about = about, words = words, fields = {} }
    elseif tag.name == "field" and name then
      local field, rest = tag.text:match "^([%w_]+%??) (.*)$"
      local kind, meaning = split_type(rest)
      local is_optional = field:find "%?$" or kind:find "%?$"
      local bare = kind:gsub("%?$", ""):gsub("^%((fun.*)%)$", "%1")
      local row = { name = field:gsub("%?$", ""), kind = bare, meaning = meaning }
      row.is_optional = is_optional ~= nil
      table.insert(classes[name].fields, row)
    end
  end
end

local function take_function(path, line, words, tags)
  local name, parameters = line:match "^function ([%w_.:]+)%((.-)%)"
  if not name then
    name, parameters = line:match "^(heymarket%.[%w_]+) = ", nil
  end
  if name then
    parameters = parameters or tags[1] and tags[1].text:match "^%S+" -- of a function that has another name, too
    local made = { name = name, parameters = parameters, words = words, tags = tags, where = path .. ": " .. name }
    functions[path] = functions[path] or {}
    table.insert(functions[path], made)
  end
end

local function read_source(path)
  local comment = {}
  for line in (read("lua/heymarket/" .. path) .. "\n"):gmatch "([^\n]*)\n" do
    local words = line:match "^%-%-%-%s?(.*)$"
    if words then
      comment[#comment + 1] = words
    else
      if comment[1] then
        local text, tags = parts_of(comment)
        take_class(text, tags)
        take_function(path, line, text, tags)
      end
      comment = {}
    end
  end
end

for _, path in ipairs {
  "init.lua",
  "client.lua",
  "types.lua",
  "report.lua",
  "failure.lua",
  "csv/init.lua",
  "csv/source.lua",
  "sandbox/init.lua",
  "sandbox/options.lua",
  "sandbox/script.lua",
  "sandbox/server.lua",
} do
  read_source(path)
end

---------------------------------------------------------------------------------------------------------------------
-- Writing

local lines = {}

local function add(...)
  lines[#lines + 1] = string.format(...)
end

-- Where each class that the page has is described.
local anchors = {}
for _, section in ipairs(SECTIONS) do
  for _, name in ipairs(section.classes or {}) do
    anchors["heymarket." .. name] = "#" .. ("heymarket." .. name):lower():gsub("[^%w_]", "")
  end
end

anchors["heymarket.Client"] = "#clients"

-- A type as code, which leads to its class where it is one.
local function shown_type(kind, in_table)
  local code = "`" .. (in_table and kind:gsub("|", "\\|") or kind) .. "`"
  local anchor = anchors[kind:match "^[%w_.]+"]
  return anchor and kind:find "^[%w_.%[%]?]+$" and ("[%s](%s)"):format(code, anchor) or code
end

local function with_meaning(text, meaning)
  return meaning ~= "" and text .. ": " .. meaning or text
end

local function add_words(words)
  for _, line in ipairs(words) do
    add("%s", line)
  end
end

local function write_function(made, as)
  add("\n### %s%s(%s)\n", as, made.name:match "[.:]([%w_]+)$", made.parameters)
  add_words(made.words)
  local given, returned, see = {}, {}, {}
  for _, tag in ipairs(made.tags) do
    if tag.name == "param" then
      local name, rest = tag.text:match "^([%w_.]+%??) (.*)$"
      local kind, meaning = split_type(rest)
      given[#given + 1] = ("- `%s` (%s)"):format(name, shown_type(kind))
      given[#given] = with_meaning(given[#given], meaning)
    elseif tag.name == "return" then
      local kind, meaning = split_type(tag.text)
      local name, rest = meaning:match "^(%l+)%s*(.*)$"
      meaning = RETURNED[name] and rest or meaning
      returned[#returned + 1] = with_meaning("- " .. shown_type(kind), meaning)
      if kind:find "^heymarket%.Failure" and meaning == "" then
        problems[#problems + 1] = made.where
          .. " does not say which failures it gives: write `---@return heymarket.Failure? failure of kind …` above it"
      end
    elseif tag.name == "see" then
      see[#see + 1] = tag.text
    end
  end
  local _, wanted = made.parameters:gsub("[^,%s]+", "")
  if #given ~= wanted then
    problems[#problems + 1] = ("%s has %d parameters, and comments on %d"):format(made.where, wanted, #given)
  end
  if #made.words == 0 then
    problems[#problems + 1] = made.where .. " does not say what it does"
  end
  for _, part in ipairs { { "Takes:", given }, { "Returns:", returned } } do
    if part[2][1] then
      add("\n%s\n", part[1])
      add_words(part[2])
    end
  end
  for _, text in ipairs(see) do
    add("\nRests on %s.", text:gsub("^(%S+%.md)(%S*)%s*(.*)$", "[%3](%1%2)"):gsub("%(doc/", "("))
  end
end

local function write_class(name)
  local class = assert(classes[name], name)
  add("\n### heymarket.%s\n", name)
  if class.about ~= "" then
    add(
      "%s%s.\n",
      class.about:sub(1, 1):upper(),
      class.about:sub(2):gsub("%.$", ""):gsub("doc/([%l-]+%.md)", "[%1](%1)")
    )
  end
  add "| field | type | |"
  add "|---|---|---|"
  for _, field in ipairs(class.fields) do
    local kind = shown_type(field.kind, true) .. (field.is_optional and ", optional" or "")
    local meaning = field.meaning:gsub("|", "\\|"):gsub("doc/([%l-]+%.md)", "[%1](%1)")
    add("| `%s` | %s | %s |", field.name, kind, meaning)
  end
end

add "# Reference"
add ""
add "Every public function with what it takes and returns, and every table with its fields. This page is made from the"
add "comments in the sources by `make reference`; the other pages explain what is listed here."
add ""
add "`nil, failure` stands for two values: where the first is nil, the second says why. A parameter or a field that is"
add "optional has a `?` or the word behind its type. Durations are in seconds, sizes in bytes."
for _, section in ipairs(SECTIONS) do
  add("\n## %s", section[1])
  for _, wanted in ipairs(section.functions or {}) do
    local found = false
    for _, made in ipairs(functions[wanted[1]] or {}) do
      local rest = made.name:sub(1, #wanted[2]) == wanted[2] and made.name:sub(#wanted[2] + 1)
      if rest and not (wanted.hidden and wanted.hidden[rest]) then
        found = true
        write_function(
          made,
          wanted.as:gsub("[%w_]+$", function(word)
            return rest == "" and "" or word
          end)
        )
      end
    end
    assert(found, wanted[2])
  end
  for _, name in ipairs(section.classes or {}) do
    write_class(name)
  end
end

local pages = { [PATH] = table.concat(lines, "\n") .. "\n" }

---------------------------------------------------------------------------------------------------------------------
-- The codes of messages, in doc/errors.md

local ERRORS, START, END = "doc/errors.md", "<!-- codes -->\n", "<!-- end of codes -->\n"
-- What to do about the messages of a section, beside what they say themselves.
local ADVICE = {
  ["URLs and malformed answers"] = "Of URLs: correct the option. Of responses: "
    .. "something between here and the vendor answers wrongly, so check `base_url` and `proxy`, and try again.",
  ["Several mistakes at once"] = "Correct what `issues` names.",
  ["Options and reports"] = "Correct the option, or look at the contacts that the report names.",
  ["Contact"] = "Correct the contact. `field` says which field.",
  ["nginx phases and event loops"] = "Make the call where it can wait; the message says where.",
  ["Sending"] = "See the kind of the failure above. A code that begins with `advise` is a part of other messages.",
  ["Answers"] = "Something else than the API answered, or it has changed: check `base_url`, and look at `body`.",
  ["CSV"] = "Correct the file, or say with an option how it is meant.",
  ["JSON Lines"] = "Correct the line, or leave the option out.",
  ["Journal"] = "Use the same input and options as before, or begin anew with another journal.",
  ["Imports"] = "The report says what was done.",
  ["Client"] = "Make a client, and close it when no call needs it any more.",
  ["Sandbox"] = "These are about this machine, not about the API.",
  ["Command line"] = "The command prints these.",
}

-- A message as readers see it.
local function shown_words(words)
  local text =
    words:gsub("{%w+%?[^|}]*|([^}]*)}", "%1"):gsub("{option:([%w_]+)}", "%1"):gsub("{options:([%w_]+)}", "‹%1›")
  text = text:gsub("{([%l_]+)}", "‹%1›")
  return (text:gsub("[\\`*_<>|~]", "\\%0"))
end

package.path = "lua/?.lua;" .. package.path
local catalogue = require "heymarket.catalogue"
local shown, codes, section = {}, { "" }, nil
for line in (read "lua/heymarket/catalogue_input.lua" .. read "lua/heymarket/catalogue.lua"):gmatch "[^\n]+" do
  section = line:match "^  %-%- (.-) %-%-%-+$" or section
  local code = line:match "^  ([%l_%d]+) = "
  local words = code and catalogue[code]
  if words then
    if not shown[section] then
      shown[section] = true
      local advice = assert(ADVICE[section], "no advice on the section of the catalogue: " .. section)
      codes[#codes + 1] = ("### %s\n\n%s\n\n| code | words |\n|---|---|"):format(section, advice)
    end
    local name = shown_words(type(words) == "table" and words.library or words)
    codes[#codes + 1], shown[code] = ("| `%s` | %s |"):format(code, name), true
  end
end
for code in pairs(catalogue) do
  assert(shown[code], code .. " was not found in the source of the catalogue")
end
for i = #codes, 2, -1 do
  codes[i] = codes[i]:find "^###" and codes[i - 1]:find "^|" and "\n" .. codes[i] or codes[i]
end
local errors = read(ERRORS)
local _, first = errors:find(START, 1, true)
local last = errors:find(END, 1, true)
pages[ERRORS] = errors:sub(1, first) .. table.concat(codes, "\n") .. "\n\n" .. errors:sub(last)

for path, page in pairs(pages) do
  if arg[1] ~= "check" then
    local file = assert(io.open(path, "wb"))
    file:write(page)
    file:close()
  elseif page ~= read(path) then
    problems[#problems + 1] = path .. " is not what the sources say: run `make reference`"
  end
end
for _, problem in ipairs(problems) do
  print(problem)
end
os.exit(problems[1] == nil and 0 or 1)
