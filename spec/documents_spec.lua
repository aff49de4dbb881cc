-- The documents hold together: links lead somewhere, files that are named exist, tables are those of the code.

local documents = require "spec.support.documents"
local options = require "heymarket.options"
local process = require "spec.support.process"

-- Blocks of the documents that cannot run, each with its reason in the page. Where this number grows, somebody has
-- thought about it.
local NOT_RUN = 5
local LONGEST_TABLE = 25 -- rows, in the README

local pages = documents.pages()
pages[#pages + 1] = "CONTRIBUTING.md"
pages[#pages + 1] = "CHANGELOG.md"

-- The page without the contents of code spans.
local function without_code(line)
  return (line:gsub("`[^`]*`", ""))
end

-- A path that stands in a page, seen from the top of the tree.
local function resolved(page, path)
  local folder = page:match "^(.*/)" or ""
  local whole = folder .. path
  repeat
    local count
    whole, count = whole:gsub("[^/]+/%.%./", "")
  until count == 0
  return whole
end

local function exists(path)
  return process.output("ls -d " .. process.quote(path) .. " 2>/dev/null") ~= ""
end

describe("in the documents", function()
  it("every link leads to a file and a heading that are there", function()
    local count = 0
    for _, page in ipairs(pages) do
      for _, line in ipairs(documents.prose(page)) do
        for target in without_code(line):gmatch "%]%(([^)]+)%)" do
          if not target:find "^https?://" then
            local path, anchor = target:match "^([^#]*)#?(.*)$"
            local file = path == "" and page or resolved(page, path)
            count = count + 1
            assert.is_true(exists(file), page .. ": " .. target)
            assert.is_true(anchor == "" or documents.anchors(file)[anchor] ~= nil, page .. ": " .. target)
          end
        end
      end
    end
    assert.is_true(count > 60)
  end)

  it("every file of this tree that is named exists", function()
    local folders = "^"
      .. table.concat({ "bench", "csrc", "doc", "examples", "lua", "spec", "tools", "%.ci" }, " ")
      .. " "
    local count = 0
    for _, page in ipairs(pages) do
      for _, line in ipairs(page == "CHANGELOG.md" and {} or documents.prose(page)) do
        for name in line:gmatch "`([%w_%./-]+/[%w_%./-]*)`" do
          local top = name:match "^([^/]+)/"
          if top and folders:gsub("%%", ""):find("[%^ ]" .. top:gsub("%p", "%%%0") .. " ") then
            count = count + 1
            assert.is_true(exists(name), page .. ": " .. name)
          end
        end
      end
    end
    assert.is_true(count > 30)
  end)

  it("no table of the README is longer than a screen", function()
    local rows, longest = 0, 0
    for _, line in ipairs(documents.prose "README.md") do
      rows = line:find "^|" and rows + 1 or 0
      longest = math.max(longest, rows)
    end
    assert.is_true(longest > 2 and longest <= LONGEST_TABLE)
  end)

  it("what cannot run says why", function()
    local count = 0
    for _, page in ipairs(documents.pages()) do
      for _, block in ipairs(documents.blocks(page)) do
        count = count + (block.not_run and 1 or 0)
        assert.is_truthy(
          (" lua sh nginx csv text "):find(" " .. block.language .. " ", 1, true),
          page .. ":" .. block.line
        )
      end
    end
    assert.are.equal(NOT_RUN, count)
  end)

  it("every page begins with its title and whom it is for", function()
    for _, page in ipairs(documents.pages()) do
      local lines = documents.prose(page)
      assert.is_truthy(lines[1]:find "^# %S", page)
      assert.is_truthy(lines[3] and lines[3]:find "^%u", page)
    end
  end)

  it("the README names every page", function()
    local readme = process.read_file "README.md"
    for _, page in ipairs(documents.pages()) do
      assert.is_truthy(page == "README.md" or readme:find("(" .. page .. ")", 1, true), page)
    end
  end)
end)

describe("doc/command.md", function()
  local parser = require "heymarket.cli.parser"
  local _, commands = parser.make(require "argparse", function() end)

  -- By command: flag with its argument to the help, as the page has them.
  local function sections()
    local found, current = {}, nil
    for _, line in ipairs(documents.prose "doc/command.md") do
      current = line:match "^## heymarket (%l+)" or line:find "^## " and "" or current
      local flag, help = line:match "^| `(%-%-[^`]+)` | (.*) |$"
      if flag then
        found[current] = found[current] or {}
        found[current][flag:gsub("\\|", "|")] = help
      end
    end
    return found
  end

  local WITH_FILE = { import = true, columns = true }

  it("has every command", function()
    for name in pairs(commands) do
      assert.is_true(documents.anchors("doc/command.md")["heymarket-" .. (WITH_FILE[name] and name .. "-file" or name)])
    end
  end)

  it("has the flags of each command as its help has them", function()
    local found, count = sections(), 0
    for name, command in pairs(commands) do
      local help = command:get_help()
      local flat = help:gsub("%s+", " ")
      local listed = found[name] or {}
      for flag, text in pairs(listed) do
        assert.is_truthy(
          flat:find(" " .. flag .. " " .. text, 1, true),
          ("doc/command.md has another text for `%s` in its section on %s than the help: %s"):format(flag, name, help)
        )
        count = count + 1
      end
      for flag in help:gmatch "\n   (%-%-[%w-]+)" do
        local is_there = listed[flag] ~= nil
        for with_argument in pairs(listed) do
          is_there = is_there or with_argument:match "^%S+" == flag
        end
        assert.is_true(
          is_there,
          ("doc/command.md has no row for `%s` in its section on %s; the help: %s"):format(flag, name, help)
        )
      end
    end
    assert.is_true(count > 40)
  end)

  it("has the exit codes of the command", function()
    local console = require "heymarket.cli.console"
    local wanted, codes = {}, {}
    for _, value in pairs(console) do
      wanted[#wanted + 1] = type(value) == "number" and value or nil
    end
    for _, cells in ipairs(documents.tables("doc/command.md", "| exit code | |")[1]) do
      codes[#codes + 1] = tonumber(cells[1])
    end
    table.sort(wanted)
    assert.are.same(wanted, codes)
  end)
end)

describe("doc/calls.md", function()
  it("has every method of a client, and no other", function()
    local client = require("heymarket.sandbox").new():client()
    local wanted, listed = {}, {}
    for name, value in pairs(getmetatable(client).__index) do
      if type(value) == "function" and not name:find "^__" then
        wanted[name] = true
      end
    end
    client:close()
    for _, cells in ipairs(documents.tables("doc/calls.md", "| call | gives |")[1]) do
      local name = cells[1]:match "^`client:([%w_]+)%("
      if name then
        listed[name] = true
      end
    end
    assert.is_truthy(wanted.import)
    assert.are.same(wanted, listed)
  end)
end)

-- Names and defaults of the options that a page's table has, by name.
local function defaults_of(page)
  local found = {}
  for _, cells in ipairs(documents.tables(page, "| option | default | what it is |")[1]) do
    local i, values = 0, {}
    for value in cells[2]:gmatch "[^,]+" do
      values[#values + 1] = value:match "^%s*`?(.-)`?$"
    end
    for name in cells[1]:gmatch "`([%w_]+)`" do
      i = i + 1
      found[name] = values[i]
    end
  end
  return found
end

describe("the list of options", function()
  it("of CSV files is the table in doc/import.md", function()
    local found = defaults_of "doc/import.md"
    for _, row in ipairs(options.list "csv") do
      assert.are.equal(row.default == nil and "none" or tostring(row.default), found[row.name], row.name)
      found[row.name] = nil
    end
    assert.is_nil(next(found))
  end)

  it("of the sandbox is the flags of doc/command.md and the table in doc/sandbox.md", function()
    local found = defaults_of "doc/sandbox.md"
    for _, row in ipairs(options.list "sandbox") do
      if not row.argument then
        assert.are.equal(row.default == nil and "none" or tostring(row.default), found[row.name], row.name)
        found[row.name] = nil
      end
    end
    assert.is_nil(next(found))
  end)

  it("of a step is the table in doc/sandbox.md", function()
    local names = {}
    for i, cells in ipairs(documents.tables("doc/sandbox.md", "| field of a step | what it is |")[1]) do
      names[i] = cells[1]
    end
    for i, row in ipairs(options.list "step") do
      assert.are.equal("`" .. row.name .. "`", names[i])
    end
    assert.are.equal(#options.list "step", #names)
  end)

  it("of clients and calls is the table in doc/configuration.md", function()
    local given_to, wanted = {}, {}
    local SCOPES = { config = "new", call = "create_contacts", import = "import", check = "check", contact = "contact" }
    for _, cells in
      ipairs(documents.tables("doc/configuration.md", "| option | default | unit | given to | what it is |")[1])
    do
      local name = cells[1]:match "^`([%w_]+)`$"
      given_to[name] = {}
      for scope in cells[4]:gmatch "[%w_]+" do
        given_to[name][scope] = cells[2]
      end
    end
    for scope, shown in pairs(SCOPES) do
      for _, row in ipairs(options.list(scope)) do
        wanted[row.name] = wanted[row.name] or {}
        local default = row.default == nil and "none" or tostring(row.default)
        local variable = row.variable
          and ("`%s`%s"):format(row.variable, row.default and ", or `" .. default .. "`" or "")
        wanted[row.name][shown] = variable or default
      end
    end
    assert.are.same(wanted, given_to)
  end)
end)
