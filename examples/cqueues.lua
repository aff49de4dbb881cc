-- Creates contacts under a controller of cqueues: all calls wait at once, and another coroutine goes on meanwhile.
local cqueues = require "cqueues"
local heymarket = require "heymarket"

local contacts = {
  { phone = "+1 234 567 8901", first = "Ann" },
  { phone = "+1 234 567 8902", first = "Ben" },
  { phone = "+1 234 567 8903", first = "Cleo" },
}

local client, problem = heymarket.new { loop = "cqueues" } -- HEYMARKET_SECRET_ID and HEYMARKET_SECRET_KEY
if not client then
  io.stderr:write(tostring(problem), "\n")
  os.exit(1)
end

local controller = cqueues.new()
local ticks, left = 0, #contacts

controller:wrap(function()
  while left > 0 do
    cqueues.sleep(0.01)
    ticks = ticks + 1
  end
end)

for _, contact in ipairs(contacts) do
  controller:wrap(function()
    local report, failure = client:create_contacts { contact }
    print(contact.first .. ": " .. (report and report.accepted .. " accepted" or tostring(failure)))
    left = left - 1
  end)
end
assert(controller:loop())
client:close()
print(ticks > 0 and "the other coroutine went on" or "the other coroutine stood still")
