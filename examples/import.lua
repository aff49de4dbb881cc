local heymarket = require "heymarket"

local path = assert(arg[1], "usage: lua5.4 import.lua FILE.csv")
local client, problem = heymarket.new { default_country = "1" }
local contacts
if client then
  contacts, problem = heymarket.csv.open(path)
end
if problem then
  error(tostring(problem), 0)
end
local report, failure = client:import(contacts, {
  journal = path .. ".journal",
  on_item = function(item) -- every contact that was not accepted, as it happens
    local why = item.failure and item.failure.message or item.reason
    print(("row %d: %s: %s"):format(item.position, item.outcome, why))
  end,
})
report = report or failure.report
print(("%d of %d accepted"):format(report and report.accepted or 0, report and report.total or 0))
client:close()
if failure then
  io.stderr:write(tostring(failure), "\n")
  os.exit(1)
end
