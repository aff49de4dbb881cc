-- The catalogue of messages against its uses in the sources: a code that nobody words, words that nobody uses, and a
-- placeholder without a value are found here.

local messages = require "heymarket.messages"
local options = require "heymarket.options"
local failure = require "heymarket.failure"

local function lines_of(command)
  local pipe = assert(io.popen(command))
  local lines = {}
  for line in pipe:lines() do
    lines[#lines + 1] = line
  end
  pipe:close()
  return lines
end

local function read(path)
  local file = assert(io.open(path, "rb"))
  local content = file:read "*a"
  file:close()
  return content
end

local sources = {}
for _, path in ipairs(lines_of "find lua csrc -name '*.lua' -o -name '*.c' -o -name '*.h'") do
  if not path:find "messages%.lua$" then
    sources[path] = read(path)
  end
end

-- All words of an entry.
local function words_of(entry)
  return type(entry) == "table" and { entry.library, entry.command } or { entry }
end

-- The names of the values in words: those that must be given, and those that may be left out.
local function placeholders(words)
  local needed, possible = {}, {}
  for name, sort, rest in words:gmatch "{([%w_]+)([:?]?)([^{}]*)}" do
    if sort ~= "" and name ~= "option" or sort == "" and rest == "" then
      possible[name == "options" and rest or name] = true
    end
  end
  for name, sort, rest in words:gsub("%b[]", ""):gmatch "{([%w_]+)([:?]?)([^{}]*)}" do
    if sort ~= "" and name ~= "option" or sort == "" and rest == "" then
      needed[name == "options" and rest or name] = true
    end
  end
  return needed, possible
end

-- Calls `use(path, code, values)` for each code in the sources; `values` is the text of the table that is written with
-- it, false where there is none, nil where it is made elsewhere.
local function each_use(use)
  for path, content in pairs(sources) do
    local function found(code, after)
      local values = content:match("^,%s*(%b{})", after) or content:match("^,%s*values%s*=%s*(%b{})", after)
      if not values and content:find("^%s*[,]?%s*[%)}]", after) then
        values = false
      end
      use(path, code, values)
    end
    for code, after in content:gmatch 'failure%.make%(%s*[^,()]+,%s*"([%w_]+)"()' do
      found(code, after)
    end
    for code, after in content:gmatch '[{,%s]code = "([%l_][%l%d_]*)"()' do
      found(code, after)
    end
    for code, after in content:gmatch 'message_code = "([%w_]+)"()' do
      found(code, after)
    end
    for code, after in content:gmatch 'messages%.text%(%s*"([%w_]+)"()' do
      found(code, after)
    end
  end
end

describe("the catalogue of messages", function()
  it("has words for every code that is used", function()
    local count = 0
    each_use(function(path, code)
      count = count + 1
      assert.truthy(messages.catalogue[code], path .. " uses the code " .. code .. ", which has no words")
    end)
    assert.is_true(count > 3)
  end)

  it("has words for every code of heymarket.core", function()
    -- Where a code stands in C: the last argument of these functions, and the last value of a row of the chunk table.
    local PLACES = {
      '%f[%w]wrong%([^"]-"([%l%d_]+)"%)',
      '%f[%w]refuse_response%([^"]-"([%l%d_]+)"%)',
      '%f[%w]fail%([^"]-"[%u%d_]+",%s*"([%l%d_]+)"%)',
      '%[CHUNK_%u+_?%u*_?%u*%] = {[^"]-"([%l%d_]+)"}',
    }
    local count, found_at = 0, {}
    for path, content in pairs(sources) do
      for _, place in ipairs(PLACES) do
        for code in (path:find "^csrc/core/" and content or ""):gmatch(place) do
          count, found_at[place] = count + 1, true
          assert.truthy(messages.catalogue[code], path .. " uses the code " .. code .. ", which has no words")
        end
      end
    end
    for _, place in ipairs(PLACES) do
      assert.is_true(found_at[place], "no code stands in C where it is looked for: " .. place)
    end
    assert.is_true(count > 40, count)
  end)

  it("has no words that nobody uses", function()
    for code in pairs(messages.catalogue) do
      local used = false
      for _, content in pairs(sources) do
        used = used or content:find('"' .. code .. '"', 1, true) ~= nil
      end
      assert.is_true(used, "nobody uses " .. code)
    end
  end)

  it("gets a value for every placeholder", function()
    each_use(function(path, code, values)
      for _, words in ipairs(values ~= nil and words_of(messages.catalogue[code]) or {}) do
        local needed, possible = placeholders(words)
        local given = {}
        for name in (values and values:sub(2, -2):gsub("%b{}", ""):gsub("%b()", "") or ""):gmatch "([%w_]+)%s*=[^=]" do
          given[name] = true
          assert.truthy(possible[name], path .. ": " .. code .. " has no place for " .. name)
        end
        for name in pairs(needed) do
          assert.truthy(given[name], path .. ": " .. code .. " is used without " .. name)
        end
      end
    end)
  end)

  it("renders in the words of the library and of the command, on one line", function()
    for code, entry in pairs(messages.catalogue) do
      local values = {}
      for _, words in ipairs(words_of(entry)) do
        local _, possible = placeholders(words)
        for name in pairs(possible) do
          values[name] = words:find("{" .. name .. "?", 1, true) and 2 or "timeout"
        end
      end
      for _, names in ipairs { "library", "command" } do
        for _, given in ipairs { values, {} } do
          local text = messages.text(code, given, names)
          assert.truthy(text:find "%S", code)
          assert.is_nil(text:find "%c", code)
          assert.is_nil(text:find "[%[%]]", code .. ": " .. text)
          assert.is_true(given ~= values or not text:find "{[%w_]+[:?}]", code .. ": " .. text)
        end
      end
    end
  end)
end)

describe("a message", function()
  local catalogue = messages.catalogue

  -- Entries for the tests of the rules themselves.
  local ENTRIES = {
    test_plain = "{count} {count?row|rows} of {name}[, at {where}]: use {option:batch_size} or {options:others}",
    test_sides = { library = "call again", command = "give the command again" },
    test_outer = "stopped: {inner}",
    test_braces = "write { {phone = …} } and {tag_id = id}",
  }

  before_each(function()
    for code, words in pairs(ENTRIES) do
      catalogue[code] = words
    end
  end)

  after_each(function()
    for code in pairs(ENTRIES) do
      catalogue[code] = nil
    end
  end)

  it("has its values in it, and the names of options for the library or the command", function()
    local values = { count = 1, name = "{count}[x]", others = "overwrite, secret_id" }
    assert.equal("1 row of {count}[x]: use batch_size or overwrite, secret_id", messages.text("test_plain", values))
    values.count, values.where = 2.5, 3
    assert.equal(
      "2.5 rows of {count}[x], at 3: use --batch-size or --overwrite, HEYMARKET_SECRET_ID",
      messages.text("test_plain", values, "command")
    )
    assert.equal("call again", messages.text "test_sides")
    assert.equal("give the command again", messages.text("test_sides", nil, "command"))
    assert.equal("write { {phone = …} } and {tag_id = id}", messages.text("test_braces", { tag_id = 1, phone = 2 }))
  end)

  it("renders a failure in another one in the same words", function()
    local inner = failure.make("journal", "test_sides")
    local outer = failure.make("stopped", "test_outer", { inner = inner })
    assert.equal("stopped: call again", outer.message)
    assert.equal("stopped: give the command again", messages.render(outer, "command"))
    assert.equal("stopped: stopped: call again", tostring(outer))
    outer = failure.make("stopped", "test_outer", { inner = { code = "test_sides" } })
    assert.equal("stopped: give the command again", messages.render(outer, "command"))
  end)

  it("of an issue stands behind its contact and its field", function()
    local made = failure.invalid {
      { field = "batch_size", is_option = true, code = "test_sides" },
      { index = 3, field = "timeout", code = "test_sides" },
    }
    assert.equal("batch_size call again (and 1 more, see issues)", made.message)
    assert.equal("call again", made.issues[2].message)
    assert.equal("contact 3: timeout call again", tostring(made.issues[2]))
    assert.equal("--batch-size give the command again", messages.line(made.issues[1], "command"))
    assert.equal("contact 3: timeout give the command again", messages.line(made.issues[2], "command"))
  end)

  it("holds nothing that drives a terminal, also where its values do", function()
    local made = failure.make("stopped", "test_outer", { inner = "a\27[2J\nb" })
    assert.equal("stopped: a<U+001B>[2J b", made.message)
    assert.equal("a<U+001B>[2J b", made.values.inner)
  end)

  it("names options by the flags that the command has", function()
    assert.equal("--max-failures", options.shown_name("max_failures", "command"))
    assert.equal("HEYMARKET_BASE_URL", options.shown_name("base_url", "command"))
    assert.equal("max_failures", options.shown_name "max_failures")
  end)
end)
