--- The reader of CSV as it was in version 0.2: LPeg cuts the records, and each row becomes a contact in Lua. It is kept
--- for one release, as the oracle of spec/csv_rows_spec.lua.
local oracle = {}

local contacts = require "spec.support.csv_oracle.contacts"
local grammar = require "spec.support.csv_oracle.grammar"
local header = require "heymarket.csv.header"
local reader = require "spec.support.csv_oracle.reader"

--- Reads a whole file. Gives the entries of all its rows, and in how many a false was left out; or raises.
---@param handle table has read(size)
---@param default_country string|boolean|nil
---@param allow_opt_in boolean
---@return heymarket.Entry[]
---@return heymarket.Item[] described what Source:describe says of each
---@return integer
function oracle.read(handle, default_country, allow_opt_in)
  local input = reader.new(handle, "the CSV input", grammar.load(), { chunk_size = 65536, max_record = 1024 * 1024 })
  local columns = assert(input:read_header())
  local found = contacts.new(columns, assert(header.read(columns)), allow_opt_in)
  local records, all, items = reader.records(), {}, {}
  input:read(records, 100)
  while records.count > 0 do
    local first = 1
    while first <= records.count do
      local entries = found:entries(records, first, default_country, #all)
      local described = {}
      for i, entry in ipairs(entries) do
        all[#all + 1] = entry
        described[i] = {}
        items[#items + 1] = described[i]
      end
      found:describe(entries, described)
      first = first + #entries
    end
    input:read(records, 100)
  end
  return all, items, found.opt_ins_left_out
end

return oracle
