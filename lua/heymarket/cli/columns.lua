--- What the command says of the columns of a file: which became which field, and which are passed over.
local columns = {}

local messages = require "heymarket.messages"
local names_of = require "heymarket.csv.columns"
local text = require "heymarket.util.text"

-- A field as it is shown; of several columns for one field the place of each.
local function shown_field(entry)
  return entry.rank and ("%s (%d)"):format(entry.field, entry.rank) or entry.field
end

--- Says which column became which field, where that does not go without saying, and which are ignored.
---@param source heymarket.csv.Source
---@param ignore string[]? the columns that the user names: of these it is meant
---@return string[] lines
function columns.told(source, ignore)
  local lines, taken, passed_over, is_named = {}, {}, {}, {}
  local _, title = source:product()
  local is_plain, has_opt_outs = title == nil, false
  for _, name in ipairs(ignore or {}) do
    is_named[text.trim(name):lower()] = true
  end
  for _, entry in ipairs(source:mapping()) do
    if entry.field then
      taken[#taken + 1] = ("%s=%s"):format(text.shown(entry.name), shown_field(entry))
      is_plain = is_plain and entry.name:lower() == entry.field
      has_opt_outs = has_opt_outs or entry.field == "is_opted_out"
    else
      passed_over[#passed_over + 1] = entry.name
    end
  end
  lines[1] = title and messages.text("columns_of_product", { product = title }) or nil
  if not is_plain then
    lines[#lines + 1] = "Columns: " .. table.concat(taken, ", ")
  end
  for i, name in ipairs(passed_over) do
    passed_over[i] = text.shown(name)
    if not (has_opt_outs or is_named[name:lower()]) and names_of.is_like_opt_out(name) then
      lines[#lines + 1] = messages.text("column_like_opt_out", { column = passed_over[i] })
    end
  end
  if passed_over[1] then
    lines[#lines + 1] = "Ignored columns: " .. table.concat(passed_over, ", ")
  end
  return lines
end

return columns
