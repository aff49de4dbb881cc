--- Dates of HTTP, and Retry-After.
local date = {}

local MONTHS = {}
for place, name in ("Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec"):gmatch "()(%a+)" do
  MONTHS[name] = (place + 3) / 4
end

-- Days since 1970-01-01 of a date in the Gregorian calendar; os.time would read it in the local time zone.
local function days(year, month, day)
  if month <= 2 then
    year, month = year - 1, month + 12
  end
  return 365 * year
    + math.floor(year / 4)
    - math.floor(year / 100)
    + math.floor(year / 400)
    + math.floor((153 * (month - 3) + 2) / 5)
    + day
    - 1
    - 719468
end

--- Reads a date of HTTP (RFC 9110, section 5.6.7: the preferred form and the two old ones).
---@param value string? such as "Sun, 06 Nov 1994 08:49:37 GMT"
---@return number? seconds Unix time
function date.parse(value)
  value = value or ""
  local day, month, year, h, m, s = value:match "^%a+,? (%d%d)[ %-](%a%a%a)[ %-](%d+) (%d%d):(%d%d):(%d%d) GMT$"
  if not day then
    month, day, h, m, s, year = value:match "^%a+ (%a%a%a) ([%d ]%d) (%d%d):(%d%d):(%d%d) (%d+)$"
  end
  month, year = MONTHS[month], year and #year <= 4 and tonumber(year)
  if not month or not year then
    return nil
  elseif year < 100 then
    year = year + (year < 70 and 2000 or 1900)
  end
  day, h, m, s = tonumber(day), tonumber(h), tonumber(m), tonumber(s)
  local next_month = month < 12 and days(year, month + 1, 1) or days(year + 1, 1, 1)
  if day < 1 or days(year, month, day) >= next_month or h > 23 or m > 59 or s > 60 then
    return nil
  end
  return days(year, month, day) * 86400 + h * 3600 + m * 60 + s
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
