--- The header of a CSV file: which column is for which field of a contact.
local header = {}

local encoding = require "heymarket.csv.encoding"
local fields = require "heymarket.contact.fields"
local rows = require "heymarket.rows"
local spelling = require "heymarket.util.spelling"
local text = require "heymarket.util.text"

local find, lower, match, sub = string.find, string.lower, string.match, string.sub

-- By folded name of a column: the field. The names, sorted, are for suggestions.
local FIELD_OF, COLUMN_NAMES = {}, {}
local KIND_OF = {} -- by name of the field

local function add_column(name, field)
  FIELD_OF[lower(name)] = field
  COLUMN_NAMES[#COLUMN_NAMES + 1] = lower(name)
end

for _, field in ipairs(fields) do
  if field.kind ~= "custom" then
    KIND_OF[field.name] = field.kind
    add_column(field.name, field.name)
    for _, label in ipairs(field.labels or {}) do
      add_column(label, field.name)
    end
  end
end
table.sort(COLUMN_NAMES)

local function folded(name)
  return lower(text.trim(name))
end

-- A name of a column, or of a field that a column is mapped to.
local function field_of(name)
  local key = folded(name)
  return FIELD_OF[key] or find(key, "^custom%.[1-9]%d*$") and key or nil
end

local CUSTOM = "custom.<id>" -- how a column of a custom field is called

-- Which name a misspelt one most likely means; <id> stands for the number of the custom field.
local function nearest(name)
  return find(lower(name), "^%s*custom") and CUSTOM or spelling.nearest(name, COLUMN_NAMES)
end

--- What a map says, as an array of {column, field}. One that has no order is put into that of the columns.
---@param map table<string, string>|string[][]|nil
---@param columns string[]?
---@return string[][]
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
    local is_known = key ~= "" and (is_given[key] or field_of(key) or sub(key, 1, 1) == "_")
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
  local name = nearest(column)
  self:complain(column, name == CUSTOM and "csv_unknown_custom" or "csv_unknown_column", { nearest = name })
end

-- The field of a column. Nil where it has none: it is ignored, or something is wrong with it.
function Header:field_of_column(i, column)
  local key, ignored = lower(column), self.ignored
  local mapped, field = self.map[key], nil
  local passed_over = ignored[key] and "csv_mapped_and_ignored" or sub(column, 1, 1) == "_" and "csv_mapped_internal"
  if passed_over then
    if mapped then
      self:complain(column, passed_over)
    end
  elseif mapped then
    field = field_of(mapped)
    if not field then
      self:complain(column, "csv_mapped_to_unknown", { name = text.shown(mapped), nearest = nearest(mapped) })
    end
  elseif column ~= "" then
    field = field_of(column)
    if not field and not ignored["*"] then
      self:complain_unknown(column)
    end
  elseif not ignored["*"] then
    self:complain("column " .. i, "csv_unnamed_column")
  end
  return field
end

-- Takes a column for a field. Only for phone there may be several: those of the option `map` come first, in its order.
function Header:take(i, column, field)
  local group = self.groups[field]
  if not group then
    group = {}
    self.groups[field] = group
    self.order[#self.order + 1] = field
  elseif field ~= "phone" or not (self.map_rank[lower(column)] or self.map_rank[lower(self.columns[group[1]])]) then
    self:complain(column, "csv_second_column", { name = field, other = self.columns[group[1]] })
    return
  end
  group[#group + 1] = i
  table.sort(group, function(a, b)
    local rank_a, rank_b = self.map_rank[lower(self.columns[a])], self.map_rank[lower(self.columns[b])]
    if rank_a ~= rank_b then
      return (rank_a or math.huge) < (rank_b or math.huge)
    end
    return a < b
  end)
end

-- The columns that have a field, those of one field together.
function Header:layout()
  local layout = {}
  for _, field in ipairs(self.order) do
    local id = match(field, "^custom%.(%d+)$")
    for n, i in ipairs(self.groups[field]) do
      local kind = id and "custom" or KIND_OF[field]
      layout[#layout + 1] = { column = i, name = id or field, kind = kind, is_alternative = n > 1 }
    end
  end
  return layout
end

--- Finds the field of each column.
---@param columns string[] names of the columns, trimmed
---@param map table<string, string>|string[][]|nil name of a column to name of a field, or an array of {column, field}
---@param ignore string[]? names of columns to ignore; "*" stands for all whose names are not known
---@return table[]? layout array of {column, name, kind, is_alternative}: which column gives which field (a custom field
--- by its id); an alternative counts where the columns of its field that come before it are blank
---@return heymarket.Issue[]? issues all at once
function header.read(columns, map, ignore)
  local pairs_given = in_order(map, columns)
  ignore = ignore or {}
  local self = setmetatable({
    columns = columns,
    present = {}, -- their names, folded
    map = {},
    map_rank = {}, -- by folded name of a column: its place in the map
    ignored = {},
    issues = {},
    groups = {}, -- by field: its columns, by number
    order = {}, -- the fields, by their first column
  }, Header)
  for rank, pair in ipairs(pairs_given) do
    local key = folded(pair[1])
    self.map[key], self.map_rank[key] = pair[2], rank
  end
  -- A header that another delimiter holds together looks like one long name. What else would be wrong is not known.
  if #columns == 1 and find(columns[1], "[,;\t|]") and not self.map[lower(columns[1])] then
    self:complain(columns[1], "csv_other_delimiter")
    return nil, self.issues
  end
  for _, name in pairs(ignore) do
    self.ignored[folded(name)] = true
  end
  for i, column in ipairs(columns) do
    self.present[lower(column)] = true
    local field = self:field_of_column(i, column)
    if field then
      self:take(i, column, field)
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
