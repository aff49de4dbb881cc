-- What doc/events.md and doc/errors.md say is what programs see.

local capture = require "spec.support.capture"
local console = require "heymarket.cli.console"
local heymarket = require "heymarket"
local process = require "spec.support.process"

local function page(name)
  return assert(process.read_file("doc/" .. name .. ".md"))
end

local load_text = rawget(_G, "loadstring") or load

-- Runs the first Lua example of a page. Gives what it prints.
local function output_of(text)
  local lines = {}
  local function print_line(...)
    local words = {}
    for i = 1, select("#", ...) do
      words[i] = tostring((select(i, ...)))
    end
    lines[#lines + 1] = table.concat(words, "\t") .. "\n"
  end
  assert(load_text("local print = ...\n" .. text:match "```lua\n(.-)```"))(print_line)
  return table.concat(lines)
end

-- The rows of a table whose header begins with a word: by their first cell, the other cells.
local function rows_of(text, header)
  local rows = {}
  local body = assert(text:match("\n| `?" .. header .. "`? |[^\n]*\n|[-|]+\n(.-)\n\n"))
  for line in body:gmatch "[^\n]+" do
    local cells = {}
    for cell in line:gmatch "| ([^|]*)" do
      cells[#cells + 1] = cell
    end
    rows[cells[1]:match "^`?([^ `]*)"] = cells
  end
  return rows
end

local function names_in(cell)
  local names = {}
  for name in (cell or ""):gmatch "`([%w_]+)`" do
    names[name] = true
  end
  return names
end

describe("the example of", function()
  for _, name in ipairs { "events", "errors" } do
    it("doc/" .. name .. ".md prints what the page says", function()
      local text = page(name)
      local wanted = text:match "```text\n(.-)```"
      local pattern = "^" .. wanted:gsub("…", "\1"):gsub("%p", "%%%0"):gsub("\1", ".-") .. "$"
      local printed = output_of(text)
      assert.is_truthy(printed:find(pattern), printed)
    end)
  end
end)

describe("doc/events.md", function()
  it("says which fields each type always has, and which it may have", function()
    local events = {}
    local function import(contacts, answer, options)
      local client = capture.client({
        max_attempts = 2,
        requests_per_minute = 1,
        on_event = function(event)
          events[#events + 1] = event
        end,
      }, answer)
      client:import(contacts, options)
      client:close()
    end
    local two = { { phone = "12025550101" }, { phone = "12025550102" }, { phone = "1" } }
    local function unavailable()
      local id = "HTTP/1.1 503 No\r\nContent-Length: 2\r\nX-Request-Id: abc\r\n\r\n"
      return { status = 503, headers = id, body = "{}" }
    end
    import(two, nil, { batch_size = 1 })
    -- An outage begins only after an answer.
    import(two, function(_, number)
      return number > 1 and number < 4 and unavailable() or nil
    end, { batch_size = 1, concurrency = 1 })
    import(two, unavailable)
    import(two, function()
      return { code = "RECV_ERROR", message = "reset" }
    end)

    local rows, seen = rows_of(page "events", "type"), {}
    for _, event in ipairs(events) do
      local row = assert(rows[event.type], event.type)
      local always, perhaps = names_in(row[3]), names_in(row[4])
      seen[event.type] = seen[event.type] or {}
      for name in pairs(event) do
        assert(name == "type" or always[name] or perhaps[name], event.type .. " has " .. name)
        seen[event.type][name] = true
      end
      for name in pairs(always) do
        assert(event[name] ~= nil, event.type .. " has no " .. name)
      end
    end
    for kind, row in pairs(rows) do
      for name in pairs(names_in(row[4])) do
        assert(seen[kind] and seen[kind][name], "no " .. kind .. " had " .. name)
      end
    end
  end)
end)

describe("doc/errors.md", function()
  it("has a row for each kind that the class for editors names", function()
    local source = process.read_file "lua/heymarket/failure.lua"
    local list = source:match("@field kind string (.-)\n%-%-%-@field"):gsub("\n%-%-%-", " "):gsub(" or ", ", ")
    local rows, count = rows_of(page "errors", "kind"), 0
    for kind in list:gmatch "[%l_]+" do
      assert.is_table(rows[kind], kind)
      count = count + 1
    end
    for _ in pairs(rows) do
      count = count - 1
    end
    assert.are.equal(0, count)
  end)

  it("lists the exit codes of the command", function()
    local rows, found = rows_of(page "errors", "exit code"), {}
    for name, value in pairs(console) do
      if name:find "^%u[%u_]*$" and type(value) == "number" then
        assert.is_table(rows[tostring(value)], name)
        found[tostring(value)] = true
      end
    end
    for code in pairs(rows) do
      assert.is_true(found[code] or false, code)
    end
  end)

  it("lists every code of the catalogue", function()
    local text, count = page "errors", 0
    for code in pairs(require "heymarket.catalogue") do
      assert.is_truthy(text:find("| `" .. code .. "` | ", 1, true), code)
      count = count + 1
    end
    local codes = text:match "<!%-%- codes %-%->(.*)<!%-%-"
    local _, rows = codes:gsub("\n| `", "")
    assert.are.equal(count, rows)
  end)

  it("has the words that programs see", function()
    local _, problem = heymarket.contact { phone = "" }
    assert.is_truthy(page("errors"):find("| `phone_empty` | " .. problem.issues[1].message .. " |", 1, true))
    local client = capture.client {}
    client:close()
    local _, closed = client:check()
    assert.is_truthy(page("errors"):find("| `client_is_closed` | " .. closed.message .. " |", 1, true))
  end)
end)
