--- The header of a CSV file: which column is for which field of a contact.
local header = {}

local columns_of = require "heymarket.csv.columns"
local encoding = require "heymarket.csv.encoding"
local fields = require "heymarket.contact.fields"
local rows = require "heymarket.rows"
local spelling = require "heymarket.util.spelling"
local text = require "heymarket.util.text"

local find, lower, match, sub = string.find, string.lower, string.match, string.sub

local MAPPED_BEFORE = -1e6 -- mapped columns come before those that are known by their names

local KIND_OF = {} -- by name of the field
for _, field in ipairs(fields) do
  KIND_OF[field.name] = field.kind
end

local function folded(name)
  return lower(text.trim(name))
end

-- What a map says, as an array of {column, field}. One that has no order is put into that of the columns.
local function in_order(map, columns)
  local list, place = {}, {}
  for i, name in ipairs(columns or {}) do
    place[lower(name)] = i
  end
  for key, item in pairs(map or {}) do
    local is_pair = type(item) == "table"
    local name = is_pair and item[1] or key
    local rank = is_pair and key or place[folded(name)] or math.huge
    list[#list + 1] = { name, is_pair and item[2] or item, rank = rank }
  end
  table.sort(list, function(x, y)
    if x.rank ~= y.rank then
      return x.rank < y.rank
    end
    return x[1] < y[1]
  end)
  return list
end

--- How many of these are names of columns that are known: fields, names that begin with _, and those of the options.
---@param names string[] as they stand in the file
---@param map table? see header.read
---@param ignore string[]? see header.read
---@return integer
function header.count_known(names, map, ignore)
  local is_given, count = {}, 0
  for _, pair in ipairs(in_order(map)) do
    is_given[folded(pair[1])] = true
  end
  for _, name in pairs(ignore or {}) do
    is_given[folded(name)] = true
  end
  for _, name in ipairs(names) do
    local key = folded(name)
    local is_known = key ~= "" and (is_given[key] or columns_of.is_known(key) or sub(key, 1, 1) == "_")
    count = count + (is_known and 1 or 0)
  end
  return count
end

local Header = {}
Header.__index = Header

function Header:complain(field, code, values)
  self.issues[#self.issues + 1] = { field = field, code = code, values = values }
end

-- Names that an option gives: each must be a column, and, where there is a code for that, stand there once.
function Header:check_names(names, absent_code, double_code)
  local first, absent = {}, {}
  table.sort(names)
  for _, name in ipairs(names) do
    local key = folded(name)
    if not first[key] then
      first[key] = name
      absent[#absent + 1] = not self.present[key] and name or nil
    elseif double_code then
      self:complain(name, double_code, { other = text.shown(first[key]) })
    end
  end
  for _, name in ipairs(absent) do
    self:complain(name, absent_code, { nearest = spelling.nearest(name, self.columns) })
  end
end

function Header:check_options(map, ignore)
  local mapped, ignored = {}, {}
  for i, pair in ipairs(map) do
    mapped[i] = pair[1]
  end
  for _, name in pairs(ignore) do
    ignored[#ignored + 1] = name ~= "*" and name or nil
  end
  self:check_names(mapped, "csv_mapped_absent", "csv_mapped_twice")
  self:check_names(ignored, "csv_ignored_absent")
end

-- A column that is not known.
function Header:complain_unknown(column)
  if not rows.quote(column) then
    self:complain(column, "csv_header_not_utf8", { encoding = encoding.guess(column) })
    return
  end
  local name = columns_of.nearest(column)
  self:complain(column, name == columns_of.CUSTOM and "csv_unknown_custom" or "csv_unknown_column", { nearest = name })
end

-- A column without a field: it is passed over, or that is a mistake.
function Header:pass_over(i, column)
  if self.ignored["*"] or self.product then
    return
  elseif column ~= "" then
    self:complain_unknown(column)
  else
    self:complain("column " .. i, "csv_unnamed_column")
  end
end

-- The field of a column, and its rank among the columns of that field. Nil where it has none: it is ignored, or
-- something is wrong with it.
function Header:field_of_column(i, column)
  local key, ignored = lower(column), self.ignored
  local mapped, field, rank = self.map[key], nil, nil
  local passed_over = ignored[key] and "csv_mapped_and_ignored" or sub(column, 1, 1) == "_" and "csv_mapped_internal"
  if passed_over then
    if mapped then
      self:complain(column, passed_over)
    end
  elseif mapped then
    field, rank = columns_of.target(mapped), MAPPED_BEFORE + self.map_rank[key]
    if not field then
      local nearest = columns_of.nearest(mapped)
      self:complain(column, "csv_mapped_to_unknown", { name = text.shown(mapped), nearest = nearest })
    end
  else
    field, rank = columns_of.field_of(self.product, column)
    if not field and not self.is_paired[i] then
      self:pass_over(i, column)
    end
  end
  return field, rank
end

-- May a column stand beside the others of its field? Only for phone there may be several, and where a product has them.
function Header:may_join(group, field, place)
  for _, other in ipairs(group) do
    local is_double = other.rank == place.rank
    local are_own = self.product and other.rank >= 0 and place.rank >= 0
    if is_double or not (field == "phone" or are_own) then
      return false, other
    end
  end
  return true
end

-- Takes a column for a field.
function Header:take(field, place)
  local group = self.groups[field]
  if not group then
    group = {}
    self.groups[field] = group
    self.order[#self.order + 1] = field
  end
  local may, other = self:may_join(group, field, place)
  if not may then
    local values = { name = field, other = self.columns[other.column] }
    self:complain(self.columns[place.column], "csv_second_column", values)
    return
  end
  local at = 1
  while group[at] and group[at].rank < place.rank do
    at = at + 1
  end
  table.insert(group, at, place)
end

-- Takes the pairs of columns that give the phone in exports of the product.
function Header:take_pairs()
  local list, kept = self.product and columns_of.phone_pairs(self.product, self.columns) or {}, {}
  for _, pair in ipairs(list) do
    local key = lower(self.columns[pair.value])
    if not self.ignored[key] and not self.map[key] then
      self.is_paired[pair.value] = true
      kept[#kept + 1] = pair
    end
    if pair.label and not self.map[lower(self.columns[pair.label])] then
      self.is_paired[pair.label] = true
    end
  end
  if kept[1] then
    self:take("phone", { column = kept[1].value, rank = 0, pairs = kept })
  end
end

-- The columns that have a field, those of one field together.
function Header:layout()
  local layout, separator = { product = self.product }, (self.product or {}).separator
  for _, field in ipairs(self.order) do
    local id = match(field, "^custom%.(%d+)$")
    for n, place in ipairs(self.groups[field]) do
      layout[#layout + 1] = {
        column = place.column,
        name = id or field,
        kind = id and "custom" or KIND_OF[field],
        is_alternative = n > 1,
        pairs = place.pairs,
        separator = field == "phone" and place.rank >= 0 and separator or nil,
      }
    end
  end
  return layout
end

-- Finds the product whose export the file is.
function Header:recognise(from)
  local product, code, values = columns_of.recognise(self.columns, from)
  if code then
    self.issues[1] = { field = "from", code = code, values = values, is_option = true }
  end
  self.product = product
  return not code
end

--- Finds the field of each column.
---@param columns string[] names of the columns, trimmed
---@param map table<string, string>|string[][]|nil name of a column to name of a field, or an array of {column, field}
---@param ignore string[]? names of columns to ignore; "*" stands for all whose names are not known
---@param from string? name of the product whose export the file is; it is recognised without it
---@return table[]? layout array of {column, name, kind, is_alternative, pairs, separator}: which column gives which
--- field (a custom field by its id). An alternative counts where the columns of its field before it are blank.
--- `pairs` and `separator` are for phones, see products.lua. `layout.product` is the product that was recognised
---@return heymarket.Issue[]? issues all at once
function header.read(columns, map, ignore, from)
  local pairs_given = in_order(map, columns)
  ignore = ignore or {}
  local self = setmetatable({
    columns = columns,
    present = {}, -- their names, folded
    map = {},
    map_rank = {}, -- by folded name of a column: its place in the map
    ignored = {},
    issues = {},
    groups = {}, -- by field: its columns, as {column, rank, pairs} by rank
    order = {}, -- the fields, by their first column
    product = nil, -- whose export the file is
    is_paired = {}, -- by number: columns that are parts of pairs
  }, Header)
  for rank, pair in ipairs(pairs_given) do
    local key = folded(pair[1])
    self.map[key], self.map_rank[key] = pair[2], rank
  end
  -- A header that another delimiter holds together looks like one long name. What else would be wrong is not known.
  if #columns == 1 and find(columns[1], "[,;\t|]") and not self.map[lower(columns[1])] then
    self:complain(columns[1], "csv_other_delimiter")
    return nil, self.issues
  elseif not self:recognise(from) then
    return nil, self.issues
  end
  for _, name in pairs(ignore) do
    self.ignored[folded(name)] = true
  end
  self:take_pairs()
  for i, column in ipairs(columns) do
    self.present[lower(column)] = true
    local field, rank = self:field_of_column(i, column)
    if field then
      self:take(field, { column = i, rank = rank })
    end
  end
  self:check_options(pairs_given, ignore)
  if not self.groups.phone then
    self:complain("phone", "csv_no_phone")
  end
  if #self.issues > 0 then
    return nil, self.issues
  end
  return self:layout()
end

return header
