--- Checks that every file of lua/ uses only what stands below it, and that no files require each other in a circle.
---
---   lua5.4 tools/storeys.lua [TOP]
---
--- A file uses a module when the module's name stands in one of its strings. So these are all found: a `require`, also
--- through pcall, a table of modules to load on demand, `runtime.native`, and code inside a string.
--- Prints what is wrong with file and line, and exits with 1.

-- From top to bottom. Each line is one storey: modules, or all modules below a name that ends with a dot. A module may
-- use those of its own storey and of the storeys below.
local STOREYS = {
  { "command line", "bin/heymarket", "heymarket.cli", "heymarket.cli." },
  { "public face", "heymarket" },
  { "sandbox", "heymarket.sandbox", "heymarket.sandbox." },
  { "client", "heymarket.client" },
  { "bulk", "heymarket.bulk", "heymarket.bulk." },
  { "csv", "heymarket.csv", "heymarket.csv." },
  { "api", "heymarket.api." },
  { "http", "heymarket.http." },
  { "loop", "heymarket.loop", "heymarket.loop." },
  { "contact", "heymarket.contact", "heymarket.contact." },
  {
    "facts",
    "heymarket.catalogue",
    "heymarket.catalogue_input",
    "heymarket.options",
    "heymarket.types",
    "heymarket.option_kinds",
    "heymarket.failure",
    "heymarket.report",
    "heymarket.messages",
    "heymarket.regions",
    "heymarket.runtime",
  },
  { "util", "heymarket.util." },
  { "C", "heymarket.core", "heymarket.rows", "heymarket.system", "heymarket.phonenumber" },
}

-- Only these require a module whose name is in a variable. The names stand in their own strings, or in the caller's.
local COMPUTED = { ["heymarket"] = true, ["heymarket.runtime"] = true }

-- Edges that are wrong and still there: "from -> to". Each must be found, so that the list shrinks when one goes.
local KNOWN = {}

local top = arg[1] or "."
local problems = {}

local function complain(...)
  problems[#problems + 1] = string.format(...)
end

-- The words, strings and signs of a Lua source: arrays of {kind, text, line}. Comments are left out.
local function tokens_of(source)
  local tokens, position, line = {}, 1, 1
  local function advance(last)
    local _, breaks = source:sub(position, last):gsub("\n", "")
    position, line = last + 1, line + breaks
  end
  local function add(kind, text, last)
    tokens[#tokens + 1] = { kind = kind, text = text, line = line }
    advance(last)
  end
  while position <= #source do
    local comment = source:match("^%-%-()", position)
    local level = source:match("^%[(=*)%[", comment or position)
    if level then
      local open = (comment or position) + #level + 2
      local _, last = source:find("]" .. level .. "]", open, true)
      last = last or #source
      if comment then
        advance(last)
      else
        add("long", source:sub(open, last - #level - 2), last)
      end
    elseif comment then
      advance((source:find("\n", position, true) or #source + 1) - 1)
    elseif source:find("^[\"']", position) then
      local quote, last = source:sub(position, position), position + 1
      while last < #source and source:sub(last, last) ~= quote do
        last = last + (source:sub(last, last) == "\\" and 2 or 1)
      end
      add("string", source:sub(position + 1, last - 1), last)
    elseif source:find("^[%a_]", position) then
      local word = source:match("^[%w_]+", position)
      add("word", word, position + #word - 1)
    elseif source:find("^%s", position) then
      advance(position)
    else
      add("sign", source:sub(position, position), position)
    end
  end
  return tokens
end

-- Is the string at this place the argument of `require`, directly or through pcall?
local function is_required(tokens, i)
  local before, second = tokens[i - 1] or {}, tokens[i - 2] or {}
  if before.kind == "sign" and (before.text == "(" or before.text == ",") then
    return second.text == "require"
  end
  return before.text == "require"
end

-- Calls found(module, line) for each module that the source names.
local function each_use(source, name, modules, found)
  local tokens = tokens_of(source)
  for i, token in ipairs(tokens) do
    local following = tokens[i + 1] or {}
    if token.kind == "long" or token.kind == "string" and token.text:find "require" then
      for at, module in token.text:gmatch "()require%s*%(?%s*[\"']([%w_.]+)" do
        local _, breaks = token.text:sub(1, at):gsub("\n", "")
        found(module, token.line + breaks)
      end
    elseif token.kind == "string" then
      if is_required(tokens, i) or token.text ~= "heymarket" and modules[token.text] then
        found(token.text, token.line)
      end
    elseif token.text == "require" and following.kind ~= "string" and not COMPUTED[name] then
      local argument, after = tokens[i + 2] or {}, tokens[i + 3] or {}
      if argument.kind ~= "string" or after.text == "." then
        complain("lua/%s:%d: requires a module whose name is computed", modules[name].file, token.line)
      end
    end
  end
end

local function storey_of(module)
  for number, storey in ipairs(STOREYS) do
    for i = 2, #storey do
      local name = storey[i]
      if module == name or name:sub(-1) == "." and module:sub(1, #name) == name then
        return number
      end
    end
  end
end

-- All Lua files of lua/, by the name that `require` has for them.
local function modules_below(folder)
  local modules, names = {}, {}
  local pipe = assert(io.popen(("cd '%s/lua' && find . -type f"):format(folder)))
  for path in pipe:lines() do
    path = path:sub(3)
    if path:find "%.lua$" or path:find "^bin/" then
      local name = path:find "^bin/" and path or path:gsub("%.lua$", ""):gsub("/init$", ""):gsub("/", ".")
      modules[name] = { file = path, uses = {} }
      names[#names + 1] = name
    end
  end
  pipe:close()
  table.sort(names)
  for _, native in ipairs(STOREYS[#STOREYS]) do
    modules[native] = { file = "csrc", uses = {} }
  end
  return modules, names
end

local function read_uses(modules, name)
  local file = assert(io.open(top .. "/lua/" .. modules[name].file, "rb"))
  local source = file:read "*a"
  file:close()
  each_use(source, name, modules, function(module, line)
    local here = modules[name].file
    if not module:find "^heymarket%f[%.%z]" then
      return -- another project's
    elseif not modules[module] then
      complain("lua/%s:%d: requires %s, which is no file of lua/", here, line, module)
      return
    end
    table.insert(modules[name].uses, { name = module, line = line })
  end)
end

local function check_order(modules, name)
  local own = storey_of(name)
  if not own then
    complain("lua/%s:1: stands in no storey: name it in tools/storeys.lua", modules[name].file)
    return
  end
  for _, use in ipairs(modules[name].uses) do
    local edge, other = name .. " -> " .. use.name, storey_of(use.name)
    if other and other < own and not KNOWN[edge] then
      local up, here = STOREYS[other][1], STOREYS[own][1]
      complain("lua/%s:%d: %s uses %s, which stands above it: %s", modules[name].file, use.line, here, up, use.name)
    end
  end
end

-- Depth first: a module that uses one of those that led to it closes a circle.
local known_found = {}
local function check_circles(modules, names)
  local done, way = {}, {}
  local function visit(name)
    way[#way + 1] = name
    way[name] = #way
    for _, use in ipairs(modules[name].uses) do
      if KNOWN[name .. " -> " .. use.name] then
        known_found[name .. " -> " .. use.name] = true
      elseif way[use.name] then
        local circle = table.concat(way, " -> ", way[use.name])
        complain("lua/%s:%d: a circle: %s -> %s", modules[name].file, use.line, circle, use.name)
      elseif not done[use.name] then
        visit(use.name)
      end
    end
    way[name], way[#way] = nil, nil
    done[name] = true
  end
  for _, name in ipairs(names) do
    if not done[name] then
      visit(name)
    end
  end
end

local modules, names = modules_below(top)
for _, name in ipairs(names) do
  read_uses(modules, name)
end
for _, name in ipairs(names) do
  check_order(modules, name)
end
check_circles(modules, names)
for edge in pairs(KNOWN) do
  if top == "." and not known_found[edge] then
    complain("tools/storeys.lua: the known exception %s is no longer there: take it out", edge)
  end
end
for _, problem in ipairs(problems) do
  print(problem)
end
os.exit(#problems == 0 and 0 or 1)
