-- Creates contacts in a loop of luv: all calls wait at once, and a timer goes on meanwhile.
local heymarket = require "heymarket"
local uv = require "luv"

local contacts = {
  { phone = "+1 234 567 8901", first = "Ann" },
  { phone = "+1 234 567 8902", first = "Ben" },
  { phone = "+1 234 567 8903", first = "Cleo" },
}

local client, problem = heymarket.new { loop = "luv" } -- HEYMARKET_SECRET_ID and HEYMARKET_SECRET_KEY
if not client then
  io.stderr:write(tostring(problem), "\n")
  os.exit(1)
end

local ticks, left = 0, #contacts
local timer = uv.new_timer()
timer:start(10, 10, function()
  ticks = ticks + 1
end)

for _, contact in ipairs(contacts) do
  coroutine.wrap(function()
    local report, failure = client:create_contacts { contact }
    print(contact.first .. ": " .. (report and report.accepted .. " accepted" or tostring(failure)))
    left = left - 1
    if left == 0 then
      client:close()
      timer:close()
    end
  end)()
end
uv.run()
print(ticks > 0 and "the timer went on" or "the timer stood still")
