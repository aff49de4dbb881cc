--- Numbers and durations as the command prints them.
local format = {}

--- A whole number with a comma between thousands: 12,345.
function format.grouped(n)
  local digits = ("%.0f"):format(n)
  local head, tail = digits:match "^(%-?%d%d?%d?)(.*)$"
  while #tail % 3 ~= 0 do
    head, tail = head:sub(1, -2), head:sub(-1) .. tail
  end
  return head .. tail:gsub("%d%d%d", ",%0")
end

--- A number and its noun: 1 row, 2,000 rows.
function format.plural(n, noun)
  return format.grouped(n) .. " " .. noun .. (n == 1 and "" or "s")
end

--- A duration: 0:07, 12:34, 1:02:03.
function format.duration(seconds)
  local whole = math.max(0, math.floor(seconds + 0.5))
  local minutes = math.floor(whole / 60)
  if minutes < 60 then
    return ("%d:%02d"):format(minutes, whole % 60)
  end
  return ("%d:%02d:%02d"):format(math.floor(minutes / 60), minutes % 60, whole % 60)
end

return format
