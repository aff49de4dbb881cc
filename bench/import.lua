--- The import as one would write it with this module: import.lua FILE.
-- The command paces itself as the vendor asks; here pacing is off, since the sink has no limit to keep.
local heymarket = require "heymarket"

local client = assert(heymarket.new { requests_per_minute = false })
local report = assert(client:import(assert(heymarket.csv.open(arg[1], { allow_opt_in = true }))))
client:close()
print(report.accepted .. " contacts sent")
for _, item in ipairs(report.items) do
  io.stderr:write("row ", tostring(item.position), ": ", item.outcome, ": ", tostring(item.failure), "\n")
end
os.exit(report.accepted + report.invalid == report.total and 0 or 1)
