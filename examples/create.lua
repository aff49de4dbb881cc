local heymarket = require "heymarket"

local client, problem = heymarket.new()
if not client then
  error(tostring(problem), 0)
end
local report, failure = client:create_contacts({
  { phone = "+1 (234) 567-8900", first = "John", last = "Smith" },
  { phone = "+44 20 7946 0958", first = "Zoë", email = "zoe@example.com", is_opted_out = true },
}, { overwrite = false })

if not report then
  print(tostring(failure)) -- one line; every fact is in a field of its own as well
  for _, issue in ipairs(failure.issues or {}) do
    print(tostring(issue)) -- index, field and message are fields of it
  end
  report = failure.report -- what was done before the failure
end

if report then
  print(("%d of %d accepted"):format(report.accepted, report.total))
  for _, item in ipairs(report.items) do
    print(item.index, item.outcome, item.failure and item.failure.message or item.reason)
  end
end
client:close()
