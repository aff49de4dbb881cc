--- Dates of HTTP, and Retry-After.
local date = {}

local core = require "heymarket.core"

-- The forms of RFC 9110, section 5.6.7: the preferred one, and the two old ones.
local FORMS = {
  "^%a+, (%d%d) %a%a%a %d%d%d%d %d%d:%d%d:(%d%d) GMT$",
  "^%a+, (%d%d)%-%a%a%a%-%d%d %d%d:%d%d:(%d%d) GMT$",
  "^%a+ %a%a%a ([%d ]%d) %d%d:%d%d:(%d%d) %d%d%d%d$",
}

local function read(value)
  for _, form in ipairs(FORMS) do
    local day, second = value:match(form)
    local time = day and core.parse_date(value)
    if time then
      -- libcurl takes November 31 for December 1. A leap second belongs to the day before it.
      local real = tonumber(os.date("!%d", second == "60" and time - 1 or time))
      return real == tonumber(day) and time or nil
    end
  end
end

local last_value, last_time -- the responses of one second have the same date

--- Reads a date of HTTP.
---@param value string? such as "Sun, 06 Nov 1994 08:49:37 GMT"
---@return number? seconds Unix time
function date.parse(value)
  if value and value ~= last_value then
    local time = read(value)
    last_value, last_time = value, time
  end
  return value and last_time
end

local LONGEST = 2 ^ 31 -- seconds: a lifetime. More digits could make an infinite number, which JSON does not have.

--- Reads Retry-After: seconds or a date (RFC 9110, section 10.2.3).
---@param value string?
---@param now number Unix time, by the server's clock where the response tells it
---@return number? seconds from now, 0 or more
function date.retry_after(value, now)
  if not value then
    return nil
  end
  local seconds = value:match "^%d+$" or value:match "^%d+%.%d*$"
  if seconds then
    return math.min(tonumber(seconds), LONGEST)
  end
  local time = date.parse(value)
  return time and math.min(math.max(0, time - now), LONGEST)
end

return date
