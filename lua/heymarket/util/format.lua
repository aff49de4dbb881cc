--- Numbers and durations as people read them.
local format = {}

--- A whole number with a comma between thousands: 12,345.
function format.grouped(n)
  local backwards = ("%.0f"):format(n):reverse():gsub("%d%d%d", "%0,")
  return (backwards:reverse():gsub("^,", ""))
end

--- A number and its noun: 1 row, 2,000 rows.
function format.plural(n, noun)
  return format.grouped(n) .. " " .. noun .. (n == 1 and "" or "s")
end

--- A duration: 0:07, 12:34, 1:02:03.
function format.duration(seconds)
  local whole = math.max(0, math.floor(seconds + 0.5))
  local hours, minutes = math.floor(whole / 3600), math.floor(whole / 60) % 60
  local head = hours > 0 and ("%d:%02d"):format(hours, minutes) or ("%d"):format(minutes)
  return ("%s:%02d"):format(head, whole % 60)
end

return format
