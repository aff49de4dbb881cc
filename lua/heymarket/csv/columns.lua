--- Names of columns: which field each is for, in the export of a product and in other files.
local columns = {}

local fields = require "heymarket.contact.fields"
local products = require "heymarket.csv.products"
local spelling = require "heymarket.util.spelling"
local text = require "heymarket.util.text"

local find, gsub, lower, sub = string.find, string.gsub, string.lower, string.sub

local MIN_COLUMNS = 2 -- by so many of its columns a product is recognised

--- The name of a column as names are compared with those that are known.
---@param name string
---@return string
local function normal(name)
  return (gsub(lower(text.trim(name)), "[%s_%-]+", " "))
end
columns.normal = normal

-- By normal name of a column: the field, and the rank of the column among those of the field.
local FIELD_OF, RANK_OF = {}, {}
local OPT_OUT = {} -- by normal name: true
-- By folded name: the field. These can be the targets of a map. Their names, sorted, are for suggestions.
local TARGETS, TARGET_NAMES = {}, {}

local function add_target(name, field)
  TARGETS[lower(name)] = field
  TARGET_NAMES[#TARGET_NAMES + 1] = lower(name)
  FIELD_OF[normal(name)], RANK_OF[normal(name)] = field, 0
end

for _, field in ipairs(fields) do
  if field.kind ~= "custom" then
    add_target(field.name, field.name)
    for _, label in ipairs(field.labels or {}) do
      add_target(label, field.name)
    end
  end
end
table.sort(TARGET_NAMES)
for field, names in pairs(products.general) do
  for rank, name in ipairs(names) do
    FIELD_OF[normal(name)], RANK_OF[normal(name)] = field, rank
  end
end
for _, name in ipairs(products.opt_outs) do
  OPT_OUT[normal(name)] = true
  FIELD_OF[normal(name)], RANK_OF[normal(name)] = "is_opted_out", 0
end

local KNOWN = {} -- by normal name: true, where some product has such a column
for _, product in ipairs(products.list) do
  local own = {}
  local function add(name, field, rank)
    local key = normal(name)
    own[key] = own[key] or { field = field, rank = rank }
    KNOWN[key] = true
  end
  for field, names in pairs(product.fields) do
    for rank, name in ipairs(names) do
      add(name, field, rank)
    end
  end
  for _, list in pairs { all = product.all or {}, any = product.any or {} } do
    for _, name in ipairs(list) do
      add(name)
    end
  end
  product.own = own
end

local function custom_field(name)
  local key = lower(text.trim(name))
  return find(key, "^custom%.[1-9]%d*$") and key or nil
end

--- The field that a map names.
---@param name string
---@return string? field
function columns.target(name)
  return TARGETS[lower(text.trim(name))] or custom_field(name)
end

columns.CUSTOM = "custom.<id>" -- how a column of a custom field is called

--- Which name of a field a misspelt one most likely means.
---@param name string
---@return string? CUSTOM where it is one of a custom field
function columns.nearest(name)
  return find(lower(name), "^%s*custom") and columns.CUSTOM or spelling.nearest(name, TARGET_NAMES)
end

--- The field of a column by its name.
---@param product heymarket.Product? of whose export the column is
---@param name string
---@return string? field
---@return integer? rank of the column among those of the field
function columns.field_of(product, name)
  local key, custom = normal(name), custom_field(name)
  if custom then
    return custom, 0
  elseif OPT_OUT[key] then
    return "is_opted_out", 0
  elseif product then
    local own = product.own[key] or {}
    return own.field, own.rank
  end
  return FIELD_OF[key], RANK_OF[key]
end

--- Is the name known, in some file?
---@param name string
---@return boolean
function columns.is_known(name)
  local key = normal(name)
  return FIELD_OF[key] ~= nil or KNOWN[key] ~= nil or custom_field(name) ~= nil
end

-- How many of the names are in the list.
local function count_of(list, present)
  local count = 0
  for _, name in ipairs(list) do
    count = count + (present[normal(name)] and 1 or 0)
  end
  return count
end

-- How many columns a file has that the product has.
local function count_own(product, names)
  local count, beginning = 0, product.beginning and lower(product.beginning)
  for _, name in ipairs(names) do
    local is_own = beginning and sub(lower(text.trim(name)), 1, #beginning) == beginning
    count = count + ((is_own or product.own[normal(name)]) and 1 or 0)
  end
  return count
end

local function matches(product, names, present)
  local all = product.all or {}
  return count_of(all, present) == #all
    and (not product.any or count_of(product.any, present) > 0)
    and count_of(product.without or {}, present) == 0
    and count_own(product, names) >= MIN_COLUMNS
end

--- Finds the product whose export a file is.
---@param names string[] of its columns
---@param from string? name of the product, where the user says it
---@return heymarket.Product? product nil where it is none that is known
---@return string? code of an issue, with its values, where it cannot be told
---@return table? values
function columns.recognise(names, from)
  local present, found = {}, {}
  for _, name in ipairs(names) do
    present[normal(name)] = true
  end
  for _, product in ipairs(products.list) do
    if product.name == from then
      if count_own(product, names) < MIN_COLUMNS then
        return nil, "csv_from_other", { product = product.title }
      end
      return product
    elseif not from and matches(product, names, present) then
      found[#found + 1] = product
    end
  end
  if #found > 1 then
    local choices = {}
    for i, product in ipairs(found) do
      choices[i] = product.name
    end
    return nil, "csv_from_several", { names = table.concat(choices, ", ") }
  end
  return found[1]
end

--- The numbered pairs of columns that give the phone.
---@param product heymarket.Product
---@param names string[] of the columns
---@return table[] pairs of {value, label}: numbers of columns; label nil where there is no such column
function columns.phone_pairs(product, names)
  local place, list = {}, {}
  for i, name in ipairs(names) do
    place[normal(name)] = place[normal(name)] or i
  end
  for n = 1, product.labelled and #names or 0 do
    local value = place[("phone %d value"):format(n)]
    list[#list + 1] = value and { value = value, label = place[("phone %d %s"):format(n, lower(product.labelled))] }
  end
  return list
end

--- Does a column that is passed over look like one of opt-outs?
---@param name string
---@return boolean
function columns.is_like_opt_out(name)
  for _, word in ipairs(products.other_consent) do
    if find(normal(name), word, 1, true) then
      return false
    end
  end
  return spelling.nearest(name, products.opt_outs) ~= nil
end

return columns
