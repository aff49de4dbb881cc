local heymarket = require "heymarket"

local client = assert(heymarket.new { default_country = "1" })
local report, failure = client:import(assert(heymarket.csv.open(arg[1])), {
  journal = arg[1] .. ".journal",
  on_item = function(item) -- every contact that was not accepted, as it happens
    print(("row %d: %s: %s"):format(item.position, item.outcome, tostring(item.failure or "listed by the server")))
  end,
})
report = report or failure.report
print(("%d of %d accepted"):format(report and report.accepted or 0, report and report.total or 0))
client:close()
if failure then
  io.stderr:write(tostring(failure), "\n")
  os.exit(1)
end
