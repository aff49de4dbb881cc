--- Writes records of CSV.
local writer = {}

local dialect = require "heymarket.csv.dialect"

local find, sub = string.find, string.sub

local UTF8_MARK = "\239\187\191"

local function encode_cell(cell, delimiter)
  local is_special = find(cell, '["\r\n]') or find(cell, delimiter, 1, true)
  if is_special or sub(cell, 1, 3) == UTF8_MARK or dialect.is_separator(cell) then
    return '"' .. cell:gsub('"', '""') .. '"'
  end
  return cell
end

--- Writes a record as one line of CSV that `csv.open` reads back as the same cells.
---@param cells string[]
---@param delimiter string? one character between the cells: "," (the default), ";", tab or "|"
---@return string line with its line feed
function writer.encode_row(cells, delimiter)
  if type(cells) ~= "table" then
    error("cells must be an array of strings, not a " .. type(cells), 2)
  end
  delimiter = delimiter or ","
  if not dialect.delimiter(delimiter) or #delimiter ~= 1 then
    error("delimiter must be a comma, a semicolon, a tab or |", 2)
  end
  local written = {}
  for i = 1, #cells do
    if type(cells[i]) ~= "string" then
      error(("cells[%d] must be a string, not a %s"):format(i, type(cells[i])), 2)
    end
    written[i] = encode_cell(cells[i], delimiter)
  end
  -- A single empty cell would be a blank line, which is no record.
  if #written == 1 and written[1] == "" then
    written[1] = '""'
  end
  return table.concat(written, delimiter) .. "\n"
end

return writer
