--- Regions: the countries by whose rules libphonenumber reads phone numbers, where it is installed.
local regions = {}

local rows = require "heymarket.rows"
local spelling = require "heymarket.util.spelling"

-- What people write for a region that has another code.
local OTHER_NAMES = { EL = "GR", EN = "GB", SF = "FI", UK = "GB" }

-- The module of libphonenumber, which tells heymarket.rows how it reads; or nil where it does not work.
local function load()
  local ok, library = pcall(require, "heymarket.phonenumber")
  -- One of another version is loaded as well, but heymarket.rows does not take it.
  return ok and pcall(rows.phone, "", "US") and library or nil
end

--- Says what is wrong with the name of a region.
---@param name string
---@return string? code nil where numbers can be read by this region; else see heymarket.messages
---@return table<string, string>? values of the code
function regions.check(name)
  local library = load()
  local known = library and library.regions()
  if not known then
    return "option_region_library", { region = name }
  end
  for _, region in ipairs(known) do
    if region == name then
      return nil
    end
  end
  return "option_region", { region = name, nearest = OTHER_NAMES[name:upper()] or spelling.nearest(name, known) }
end

return regions
