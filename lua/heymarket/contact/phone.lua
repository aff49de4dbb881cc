--- Phone numbers: from what people, files and answers hold to the digits that the API takes. The rules are in
--- csrc/rows/phone.c.
local phone = {}

local json = require "heymarket.util.json"
local rows = require "heymarket.rows"

local match = string.match

--- Reads a phone number. One that could be the number of somebody else is refused.
---@param value any string or integer
---@param default_country string|boolean|nil region, or calling code of the numbers that come without one; false takes
--- them as they are. A region is one that heymarket.regions has checked
---@return string? digits country code first, no plus sign
---@return string? code why it was refused, see heymarket.messages
---@return table<string, string|number>? values of the code
phone.read = rows.phone

--- The digits of a phone in an answer. Plain digits are taken as the server wrote them: whether an answer is to be
--- believed is decided where answers are read. Anything else is read as people's phones are.
---@param value any
---@return string? digits nil where it is no phone
function phone.of_answer(value)
  if type(value) == "number" then
    value = value > 0 and json.integer(value) or ""
  elseif type(value) ~= "string" then
    return nil
  end
  local digits = match(value, "^00(%d+)$") or match(value, "^%+?(%d+)$")
  if digits then
    return digits
  end
  return (phone.read(value, false))
end

return phone
