--- Contacts: checked, and encoded as the API takes them. The fields are listed in contact/fields.lua; what each kind of
--- field takes is in csrc/rows.
local contact = {}

local fields = require "heymarket.contact.fields"
local json = require "heymarket.util.json"
local messages = require "heymarket.messages"
local phone = require "heymarket.contact.phone"
local rows = require "heymarket.rows"
local spelling = require "heymarket.util.spelling"
local text = require "heymarket.util.text"

local encoder = rows.encoder(fields)

local names = {}
for i, field in ipairs(fields) do
  names[i] = field.name
end

-- Makes the values of a mistake fit for a message. They can hold whatever a contact held.
local function shown_values(values)
  for name, value in pairs(values) do
    if name == "character" then
      values[name] = text.character(value)
    elseif type(value) == "string" then
      values[name] = text.shown(value)
    end
  end
  return values
end

local function issue_of(mistake, index)
  local values = mistake.values
  local issue = { index = index, field = names[mistake.place], code = mistake.code, values = values }
  if not issue.field then
    issue.field = text.shown(values.name or values.key)
    issue.values = { nearest = spelling.nearest(values.name, names) }
  end
  shown_values(issue.values)
  return issue
end

-- The mistakes of one field become one issue.
local function add_issues(mistakes, index, issues)
  local last
  for _, mistake in ipairs(mistakes) do
    local issue = issue_of(mistake, index)
    if last and last.field == issue.field and names[mistake.place] then
      if last.code ~= "several" then
        last.code, last.values = "several", { mistakes = { { code = last.code, values = last.values } } }
      end
      table.insert(last.values.mistakes, { code = issue.code, values = issue.values })
    else
      issues[#issues + 1] = issue
      last = issue
    end
  end
end

--- Checks a contact and encodes it. Tables are read past their metatables.
---@param given table the contact; it is not changed
---@param index integer? its number in the call, for the issues
---@param default_country string|boolean|nil see heymarket.contact.phone
---@param issues heymarket.Issue[] every mistake is added here
---@return string? body the JSON object; nil when something is wrong
---@return string? digits the phone by which the server knows it
---@return boolean? is_doubtful is the phone, read by region, in no range of numbers that libphonenumber knows?
function contact.encode(given, index, default_country, issues)
  if type(given) ~= "table" then
    local value = (type(given) == "number" or type(given) == "boolean") and tostring(given) or "a " .. type(given)
    issues[#issues + 1] = { index = index, code = "contact_type", values = { given = value } }
    return nil
  end
  local body, digits, is_doubtful = encoder(given, default_country)
  if body then
    return body, digits, is_doubtful
  end
  add_issues(digits, index, issues)
  return nil
end

--- The digits of a phone number.
---@param value any
---@param default_country string|boolean|nil see heymarket.contact.phone
---@return string? digits
---@return string? problem in words
function contact.phone(value, default_country)
  local digits, code, values = phone.read(value, default_country)
  if digits then
    return digits
  end
  return nil, messages.text(code, shown_values(values))
end

--- The wire form as a table.
---@param body string what contact.encode gave
---@return table wire a new table
function contact.wire(body)
  local _, wire = json.decode(body, #body)
  for _, value in pairs(wire) do
    if type(value) == "table" then
      setmetatable(value, nil) -- the mark of an empty array
    end
  end
  return wire
end

return contact
