--- What the command says of the columns of a file: which became which field, and which are passed over.
local columns = {}

local command_line = require "heymarket.cli.command_line"
local console = require "heymarket.cli.console"
local csv = require "heymarket.csv"
local messages = require "heymarket.messages"
local names_of = require "heymarket.csv.columns"
local products = require "heymarket.csv.products"
local reasons = require "heymarket.cli.reasons"
local text = require "heymarket.util.text"

local ROWS = 3 -- so many are shown
local CELL = 24 -- bytes of a cell that are shown
local SPELT_OUT = { ["--from"] = true, ["--map"] = true, ["--ignore"] = true, ["--limit"] = true }
local NONE = "-" -- in place of the field of a column that is passed over

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

-- Can --map say which columns give which fields? Not where cells hold several phones, nor where pairs of columns or
-- several columns for another field than phone give it.
local function can_be_mapped(name, mapping)
  for _, product in ipairs(products.list) do
    if product.name == name and product.separator then
      return false
    end
  end
  for _, entry in ipairs(mapping) do
    if entry.rank and entry.field ~= "phone" then
      return false
    end
  end
  return true
end

-- The flags that say the same as the names of the columns. Those of one field come in the order in which they count.
local function flags_of(source, mapping)
  local taken, words, is_passed_over = {}, {}, false
  local name = source:product()
  if name and not can_be_mapped(name, mapping) then
    return { "--from", name }
  end
  for _, entry in ipairs(mapping) do
    if entry.field then
      taken[#taken + 1] = entry
    else
      is_passed_over = true
    end
  end
  table.sort(taken, function(a, b)
    if (a.rank or 0) ~= (b.rank or 0) then
      return (a.rank or 0) < (b.rank or 0)
    end
    return a.column < b.column
  end)
  for _, entry in ipairs(taken) do
    if entry.rank or entry.name:lower() ~= entry.field then
      words[#words + 1] = "--map"
      words[#words + 1] = entry.name .. "=" .. entry.field
    end
  end
  if is_passed_over then
    words[#words + 1] = "--ignore"
    words[#words + 1] = "*"
  end
  return words
end

-- The cells of the first rows, for each column in one line.
local function examples_of(source)
  local rows, examples = {}, {}
  for _, _, cells in source do
    rows[#rows + 1] = cells
  end
  for i in ipairs(source.columns) do
    local shown = {}
    for n, cells in ipairs(rows) do
      shown[n] = text.shortened(text.one_line(cells[i] or ""), CELL)
    end
    examples[i] = table.concat(shown, " | ")
  end
  return examples
end

-- Characters of a text in UTF-8.
local function width_of(cell)
  return #cell:gsub("[\128-\191]", "")
end

local function padded(cell, width)
  return cell .. (" "):rep(width - width_of(cell))
end

-- The table: column, field, cells.
local function table_of(mapping, examples)
  local rows, widths = { { "column", "field", "first rows" } }, { 0, 0 }
  for _, entry in ipairs(mapping) do
    rows[#rows + 1] = { text.shown(entry.name), shown_field(entry) or NONE, examples[entry.column] or "" }
  end
  for _, row in ipairs(rows) do
    for i = 1, 2 do
      widths[i] = math.max(widths[i], width_of(row[i]))
    end
  end
  for i, row in ipairs(rows) do
    local line = "  " .. padded(row[1], widths[1]) .. "  " .. padded(row[2], widths[2]) .. "  " .. row[3]
    rows[i] = line:gsub(" +$", "")
  end
  return rows
end

-- Opens the file. Where columns are not known, this is complained of, and they are shown as passed over.
local function open(arguments)
  local given = {}
  for name, value in pairs(arguments.csv) do
    given[name] = value
  end
  given.limit = math.min(given.limit or ROWS, ROWS)
  local input = arguments.file
  if input == "-" then
    return csv.open(io.stdin, given)
  end
  local source, problem = csv.open(input, given)
  if source or problem.kind ~= "invalid" then
    return source, problem
  end
  given.ignore = { "*" }
  for _, name in ipairs(arguments.csv.ignore or {}) do
    table.insert(given.ignore, name)
  end
  return csv.open(input, given), problem
end

--- Runs the command `columns`: prints which column became which field, the first rows, and the flags that say the same.
---@param arguments table `file` (path, or "-"), `typed` (the words of the command), `csv` (options of csv.open)
---@return integer code
function columns.run(arguments)
  local source, problem = open(arguments)
  local code = problem and reasons.complain(problem) or console.ALL_ACCEPTED
  if not source then
    return code
  elseif source.format ~= "csv" then
    source:close()
    return console.print("JSON Lines have no columns: the keys of their objects are fields.\n", code)
  end
  local mapping, lines, _, title = source:mapping(), {}, source:product()
  lines[1] = title and messages.text("columns_of_product", { product = title }) .. "\n" or nil
  local ok, raised = pcall(examples_of, source)
  source:close()
  for _, line in ipairs(table_of(mapping, ok and raised or {})) do
    lines[#lines + 1] = line
  end
  local words = flags_of(source, mapping)
  if words[1] then
    lines[#lines + 1] = "\nThe same in flags:"
    local typed = { "import" }
    for i = 2, #arguments.typed do
      typed[i] = arguments.typed[i]
    end
    lines[#lines + 1] = "  " .. command_line.changed(typed, { without = SPELT_OUT, with = words })
  end
  return console.print(table.concat(lines, "\n") .. "\n", code)
end

return columns
