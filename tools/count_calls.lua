--- Counts calls from one Lua file of the library to another, per contact of an import in batches of 100.
---
---   lua5.4 tools/count_calls.lua [--edges]    --edges also lists who calls whom how often
---
--- A call hook sees each call. A call counts where caller and callee are Lua functions of different files below
--- lua/heymarket/; C functions between them, such as pcall, are passed over. Debian's Lua 5.4 and the core built for it
--- are needed. The network is spec/support/fake.lua, in virtual time, so that the figures are the same on each run.

local root = arg[0]:match "^(.*)tools/count_calls%.lua$" or ""
package.path = ("%slua/?.lua;%slua/?/init.lua;%s?.lua;"):format(root, root, root) .. package.path
package.cpath = root .. "build/5.4/?.so;" .. package.cpath

local fake = require "spec.support.fake"
local heymarket = require "heymarket"

local CONTACTS = 5000
local FILE = "lua/heymarket/(.*)$"

-- By function: its file below lua/heymarket/, or false.
local file_of = setmetatable({}, {
  __mode = "k",
  __index = function(known, called)
    local file = debug.getinfo(called, "S").source:match(FILE) or false
    known[called] = file
    return file
  end,
})

-- The nearest Lua function above a level of the stack.
local function caller_of(level)
  local info = debug.getinfo(level, "fS")
  while info and info.what == "C" do
    level = level + 1
    info = debug.getinfo(level, "fS")
  end
  return info and info.func
end

-- Runs a function and counts the calls that it leads to, by "caller → callee".
local function count(body)
  local edges, total = {}, 0
  debug.sethook(function()
    local callee = file_of[debug.getinfo(2, "f").func]
    local caller = callee and caller_of(4)
    local from = caller and file_of[caller]
    if from and from ~= callee then
      local edge = from .. " → " .. callee
      edges[edge] = (edges[edge] or 0) + 1
      total = total + 1
    end
  end, "c")
  local ok, problem = pcall(body)
  debug.sethook()
  assert(ok, problem)
  return total, edges
end

local function contact_of(i)
  return { phone = ("1%010d"):format(2000000000 + i), first = "Name " .. i, tags = { 1, 2 } }
end

-- The ways to hand contacts in.
local SOURCES = {
  {
    "array",
    function()
      local list = {}
      for i = 1, CONTACTS do
        list[i] = contact_of(i)
      end
      return list
    end,
  },
  {
    "iterator",
    function()
      local i = 0
      return function()
        i = i + 1
        return i <= CONTACTS and contact_of(i) or nil, i
      end
    end,
  },
  {
    "CSV file",
    function()
      local lines = { "phone,first,tags" }
      for i = 1, CONTACTS do
        lines[i + 1] = ("1%010d,Name %d,1;2"):format(2000000000 + i, i)
      end
      local text = table.concat(lines, "\n") .. "\n"
      return assert(heymarket.csv.open {
        read = function()
          local given = text
          text = nil
          return given
        end,
      })
    end,
  },
}

local journal = os.tmpname()

local CASES = {
  { "plain", {} },
  { "journal", { journal = journal } },
  { "all listed", {}, listed = true },
  { "and on_item", { on_item = function() end }, listed = true },
}

-- The calls of one import per contact, and by edge.
local function measure(make, case)
  local world = fake.new()
  for i = 1, case.listed and CONTACTS or 0 do
    local contact = contact_of(i)
    world.contacts[contact.phone] = contact
  end
  local client = assert(heymarket.new {
    secret_id = "id",
    secret_key = "key",
    base_url = "https://api.heymarket.com",
    requests_per_minute = false,
    batch_size = 100,
    runtime = world.runtime,
  })
  os.remove(journal)
  local source, report = make(), nil
  local total, edges = count(function()
    report = assert(client:import(source, case[2]))
  end)
  client:close()
  assert(report.total == CONTACTS and report[case.listed and "rejected" or "accepted"] == CONTACTS)
  return total / CONTACTS, edges
end

local function print_edges(edges)
  local names = {}
  for name, calls in pairs(edges) do
    if calls >= CONTACTS / 100 then
      names[#names + 1] = name
    end
  end
  table.sort(names, function(a, b)
    return edges[a] > edges[b]
  end)
  for _, name in ipairs(names) do
    print(("  %8.3f  %s"):format(edges[name] / CONTACTS, name))
  end
end

print(("calls from file to file per contact, %d contacts in batches of 100"):format(CONTACTS))
local header = { ("%-10s"):format "" }
for i, case in ipairs(CASES) do
  header[i + 1] = ("%13s"):format(case[1])
end
print(table.concat(header))
for _, source in ipairs(SOURCES) do
  local figures, all_edges = {}, {}
  for i, case in ipairs(CASES) do
    local figure
    figure, all_edges[i] = measure(source[2], case)
    figures[i] = ("%13.2f"):format(figure)
  end
  print(("%-10s%s"):format(source[1], table.concat(figures)))
  for i, edges in ipairs(arg[1] == "--edges" and all_edges or {}) do
    print("  " .. CASES[i][1])
    print_edges(edges)
  end
end
os.remove(journal)
