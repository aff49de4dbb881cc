--- heymarket: contacts into Heymarket, with the outcome of each contact.
---@class heymarket
---@field _VERSION string
---@field new fun(config?: heymarket.Config): heymarket.Client?, heymarket.Failure? makes a client, see client.lua
---@field csv heymarket.csv CSV files as a source of contacts
---@field sandbox heymarket.sandbox the API in memory, for tests
local heymarket = {}

local runtime = require "heymarket.runtime"

-- Before any other part needs it: the message of this function is plainer than that of `require`.
runtime.native "heymarket.rows"

local contact = require "heymarket.contact"
local failure = require "heymarket.failure"
local options = require "heymarket.options"

local protected_call = failure.protected_call

heymarket._VERSION = runtime.VERSION

local function checked_contact(fields, given)
  local _, issues = options.read("contact", given)
  issues = issues or {}
  local body = contact.encode(fields, nil, options.country(given), issues)
  if #issues > 0 or not body then
    return nil, failure.invalid(issues)
  end
  return contact.wire(body)
end

--- Checks one contact and gives its wire form.
---@param fields heymarket.Contact it is not changed
---@param given heymarket.ContactOptions?
---@return table? wire a new table, as the endpoint documents it
---@return heymarket.Failure? failure of kind "invalid", with all mistakes in `issues`
---@see doc/vendor-api.md#fields-of-a-contact what the vendor says of each field
function heymarket.contact(fields, given)
  options.expect(fields, "table", "heymarket.contact: fields", 2)
  options.expect(given, "table?", "heymarket.contact: options", 2)
  return protected_call(checked_contact, fields, given)
end

--- Is this value a failure?
---@param value any
---@return boolean
heymarket.is_failure = failure.is

-- The parts that only some users need are loaded when they are first named. The client brings libcurl.
local ON_DEMAND = {
  new = function()
    return require("heymarket.client").new
  end,
  csv = function()
    return require "heymarket.csv"
  end,
  sandbox = function()
    return require "heymarket.sandbox"
  end,
}

return setmetatable(heymarket, {
  __index = function(self, name)
    local load = ON_DEMAND[name]
    local part = load and load()
    if part then
      rawset(self, name, part)
    end
    return part
  end,
})
