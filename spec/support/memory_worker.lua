-- Imports so many made-up contacts through a network without sockets and prints, at the given marks, how many contacts
-- were read and how much memory the process has: resident KiB, and KiB in use by Lua after a collection.
--
--   lua memory_worker.lua MARK…      the last mark is the number of contacts
local heymarket = require "heymarket"
local instant = require "spec.support.instant"

local marks = {}
for i, mark in ipairs(arg) do
  marks[i] = tonumber(mark)
end
local total = marks[#marks]

local function resident()
  for line in io.lines "/proc/self/status" do
    local kib = line:match "^VmRSS:%s*(%d+) kB"
    if kib then
      return tonumber(kib)
    end
  end
end

local network = instant.new { keep = false }
local client = assert(heymarket.new {
  secret_id = "id",
  secret_key = "key",
  base_url = "http://127.0.0.1:1",
  requests_per_minute = false,
  runtime = network.runtime,
})

local index, next_mark = 0, 1
local function source()
  if index == marks[next_mark] then
    next_mark = next_mark + 1
    local before = resident()
    collectgarbage()
    print(("%d %d %.0f"):format(index, before, collectgarbage "count"))
  end
  if index == total then
    return nil
  end
  index = index + 1
  -- One in nine is invalid: the items of the report, of which there are at most 1,000, are complete at the first mark.
  return {
    phone = index % 9 == 0 and "12" or ("12%09d"):format(index),
    first = "Name " .. index,
    tags = { 1, 2 },
    custom = { [7] = "value " .. index },
  },
    index
end

local report = assert(client:import(source))
assert(report.total == total and report.accepted == total - math.floor(total / 9), "the report is wrong")
assert(#report.items <= 1000, "too many items")
client:close()
