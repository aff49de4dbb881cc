--- The rules of contacts in Lua, as they were before the encoder in C: an oracle for spec/encoder_spec.lua.
local contact = {}

local json = require "heymarket.util.json"
local phone = require "spec.support.phone_oracle"
local rows = require "heymarket.rows"
local spelling = require "heymarket.util.spelling"
local text = require "heymarket.util.text"

local concat, sort = table.concat, table.sort
local find, gmatch = string.find, string.gmatch
local integer, narrow = json.integer, json.narrow

local FIELDS = {}
for i, field in ipairs(require "heymarket.contact.fields") do
  FIELDS[i] = field.name
end

local MAX_TAGS = 5 -- documented by the vendor

-- What a person reads of a wrong value: its type, and the value itself where that is short and harmless.
local function describe(value)
  local kind = type(value)
  if kind == "number" then
    local written = value == 0 and "0" or tostring(value)
    if written:find "^%-?%d+$" then
      return written
    end
    return (value % 1 == 0 and math.abs(value) <= 2 ^ 53 and "%.0f" or "%.14g"):format(value)
  elseif kind == "boolean" then
    return tostring(value)
  end
  return "a " .. kind
end

local INEXACT = "is a whole number too large to be exact in this Lua"

local function integer_problem(value, wanted)
  if type(value) == "number" and value % 1 == 0 then
    return INEXACT
  end
  return ("must be %s, not %s"):format(wanted, describe(value))
end

--- The digits of a phone number as the API wants them: country code first, no plus sign.
---@param value any string or integer
---@param default_country string|boolean|nil see phone.read
---@return string? digits
---@return string? problem
function contact.phone(value, default_country)
  local given = value
  if type(value) == "number" then
    given = integer(value)
    if not given then
      return nil, integer_problem(value, "a string or an integer")
    elseif value < 0 then
      return nil, "must not be negative"
    end
  elseif type(value) ~= "string" then
    return nil, "must be a string or an integer, not " .. describe(value)
  end
  return phone.read(given, default_country)
end

local HAS_CONTROL, HAS_SPACE, HAS_DELIMITER = 1, 2, 4

-- A JSON string behind a prefix, and which classes of characters it holds.
local function quote(value, prefix)
  local written, position = rows.quote(value)
  if not written then
    return nil, position
  end
  local control = find(value, "[%z\1-\31\127]") or find(value, "\194[\128-\159]")
  return prefix .. written,
    (control and HAS_CONTROL or 0)
      + (find(value, "[\t-\r ]") and HAS_SPACE or 0)
      + (find(value, "[,;<>]") and HAS_DELIMITER or 0)
end

local function not_utf8(position)
  return ("is not valid UTF-8 (byte %d): save the source as UTF-8"):format(position)
end

-- The first control character, as a message names it.
local function control_of(value)
  local at = find(value, "[%z\1-\31\127]") or #value + 1
  local beyond = find(value, "\194[\128-\159]") or #value + 1 -- U+0080 to U+009F
  return text.character(at < beyond and value:sub(at, at) or value:sub(beyond, beyond + 1))
end

-- A name or an address: UTF-8 without control characters. "" is omitted, for a blank must not clear a stored value.
local function line(value, prefix)
  if type(value) ~= "string" then
    return nil, "must be a string, not " .. describe(value)
  elseif value == "" then
    return ""
  end
  local written, holds = quote(value, prefix)
  if not written then
    return nil, not_utf8(holds)
  elseif holds % 2 == HAS_CONTROL then
    return nil, ("holds the control character %s: take it out"):format(control_of(value))
  end
  return written, holds
end

local function email(value, prefix)
  local written, holds = line(value, prefix)
  if not written or written == "" then
    return written, holds
  end
  for character in gmatch(value, "[\194-\239][\128-\191]+") do
    if text.unseen[character] then
      return nil, ("holds %s, which does not show: take it out"):format(text.character(character))
    end
  end
  local at = find(value, "@", 1, true)
  if holds ~= 0 or not at or at == 1 or not find(value, "^[^@.][^@]*%.[^@.]+$", at + 1) then
    return nil, "does not look like an email address, such as ann@example.com"
  end
  return written
end

local function avatar(value, prefix)
  local written, holds = line(value, prefix)
  if not written then
    return nil, holds
  elseif written == "" or holds % 4 >= HAS_SPACE or not find(value, "^[hH][tT][tT][pP][sS]?://[^/?#]") then
    return nil, "must be the URL of an image that starts with http:// or https://"
  end
  return written
end

local function assignee_id(value, prefix)
  local digits = integer(value)
  if not digits then
    return nil, integer_problem(value, "an integer")
  elseif value <= 0 and value ~= -1 then
    return nil, "must be a user id (greater than 0), or -1 for nobody"
  end
  return prefix .. digits
end

-- The id in one item of `tags`: an integer, or {tag_id = integer}.
local function tag_id(item)
  if type(item) == "table" then
    for key in next, item do
      if key ~= "tag_id" then
        return nil, ('has the field "%s": a tag is an id, or {tag_id = id}'):format(text.shown(key))
      end
    end
    item = rawget(item, "tag_id")
  end
  local digits = integer(item)
  if not digits then
    return nil, integer_problem(item, "an id (an integer, or {tag_id = integer})")
  elseif item <= 0 then
    return nil, "must be an id greater than 0"
  end
  return digits
end

-- Several mistakes in one field are told together.
local function also(problems, problem)
  return problems and problems .. "; " .. problem or problem
end

-- Tables are read past their metatables: a metamethod could raise, or come back to this module.
local rawlen = rawget(_G, "rawlen") or function(value)
  return #value
end

-- Writes each item of an array with `write` into `into`. Gives their number, or nil and what is wrong.
local function write_items(value, into, write, what)
  if type(value) ~= "table" then
    return nil, ("must be an array of %s, not %s"):format(what, describe(value))
  end
  local length, count, problems = rawlen(value), 0, nil
  for i, item in next, value do
    count = count + 1
    if type(i) ~= "number" or i < 1 or i > length or i % 1 ~= 0 then
      return nil, ("must be an array of %s without gaps or names"):format(what)
    end
    local digits, problem = write(item)
    if not digits then
      problems = also(problems, ("item %s %s"):format(tostring(i), problem))
    end
    into[i] = digits
  end
  if count ~= length then
    return nil, ("must be an array of %s without gaps or names"):format(what)
  elseif problems then
    return nil, problems
  end
  return count
end

local function tags(value, prefix)
  local ids = {}
  local count, problem = write_items(value, ids, tag_id, "tag ids")
  if not count then
    return nil, problem
  elseif count > MAX_TAGS then
    return nil, ("has %d tags: a contact has at most %d"):format(count, MAX_TAGS)
  end
  for i = 2, count do
    for j = 1, i - 1 do
      if ids[j] == ids[i] then
        problem = also(problem, ("has the tag %s twice"):format(ids[i]))
      end
    end
  end
  if problem then
    return nil, problem
  end
  return count == 0 and prefix .. "[]" or prefix .. '[{"tag_id":' .. concat(ids, '},{"tag_id":', 1, count) .. "}]"
end

-- The id of a custom field as a string of digits.
local function custom_id(key)
  if type(key) == "string" then
    return find(key, "^[1-9]%d*$") and key or nil
  end
  local digits = integer(key)
  return digits and key > 0 and digits or nil
end

-- Unlike a name, a custom value may hold line breaks: it is free text.
local function custom_value(value, prefix)
  local kind = type(value)
  if kind == "string" then
    local written, position = quote(value, prefix)
    if not written then
      return nil, not_utf8(position)
    end
    return written
  elseif kind == "boolean" then
    return prefix .. tostring(value)
  elseif kind == "number" then
    local is_exact = value - value == 0 and (value % 1 ~= 0 or integer(value) ~= nil)
    local digits = is_exact and json.encode(value) or nil
    if digits then
      return prefix .. digits
    end
    return nil, value % 1 == 0 and INEXACT .. ": give it as a string of digits" or "must be a finite number"
  end
  return nil, "must be a string, an integer, a finite number or a boolean, not " .. describe(value)
end

-- Longer ids are greater, for none has leading zeros.
local function by_number(a, b)
  if #a ~= #b then
    return #a < #b
  end
  return a < b
end

local function custom(value, prefix)
  if type(value) ~= "table" then
    return nil, "must be a table of custom field ids and values, not " .. describe(value)
  end
  local names, fragments, count, problems = {}, {}, 0, {}
  for key, item in next, value do
    local id = custom_id(key)
    if not id then
      local shown = type(key) == "string" and ('"%s"'):format(text.shown(key)) or describe(key)
      problems[#problems + 1] = ("has the key %s: keys are numeric ids of custom fields, such as 123"):format(shown)
    elseif fragments[id] then
      problems[#problems + 1] = ("has the field %s twice, as a number and as a string"):format(text.shown(id))
    else
      local fragment, problem = custom_value(item, '"' .. id .. '":')
      if fragment then
        count = count + 1
        names[count] = id
        fragments[id] = fragment
      else
        problems[#problems + 1] = ("field %s %s"):format(text.shown(id), problem)
      end
    end
  end
  if #problems > 0 then
    sort(problems) -- pairs has no order; a message must have one
    return nil, concat(problems, "; ")
  elseif count > 1 then
    sort(names, by_number)
  end
  for i = 1, count do
    names[i] = fragments[names[i]]
  end
  return prefix .. "{" .. concat(names, ",") .. "}"
end

local function is_opted_out(value, prefix)
  if value == true then
    return prefix .. "true"
  elseif value == false then
    return prefix .. "false"
  end
  return nil, "must be true or false, not " .. describe(value)
end

local function suppression_id(item)
  local digits = integer(item)
  if not digits then
    return nil, integer_problem(item, "an integer")
  end
  return digits
end

local function email_suppressions(value, prefix)
  local parts = {}
  local count, problem = write_items(value, parts, suppression_id, "integers")
  if not count then
    return nil, problem
  end
  return prefix .. "[" .. concat(parts, ",") .. "]"
end

local rules = {
  phone = contact.phone,
  avatar = avatar,
  custom = custom,
  display_name = line,
  email = email,
  first = line,
  last = line,
  assignee_id = assignee_id,
  tags = tags,
  is_opted_out = is_opted_out,
  email_suppressions = email_suppressions,
}

-- By name: place on the wire, rule, and how the field begins there.
local place, rule_at, prefix = {}, {}, {}
for i, name in ipairs(FIELDS) do
  place[name], rule_at[i], prefix[i] = i, rules[name], ',"' .. name .. '":'
end

--- Validates a contact and writes its wire form.
---@param fields table the contact; it is not changed
---@param index integer? its number in the call, for the issues
---@param default_country string|boolean|nil see contact.phone
---@param issues heymarket.Issue[] every mistake is added here
---@return string? body the JSON object; nil when something is wrong
---@return string? digits the phone by which the server knows it
function contact.encode(fields, index, default_country, issues)
  if type(fields) ~= "table" then
    issues[#issues + 1] = { index = index, message = "a contact must be a table, not " .. describe(fields) }
    return nil
  end
  local body, digits
  local slots, before = {}, #issues
  for name, value in next, fields do
    local i = place[name]
    if i == 1 then
      local problem
      digits, problem = contact.phone(value, default_country)
      if not digits then
        issues[#issues + 1] = { index = index, field = name, message = problem }
      end
    elseif i then
      local written, problem = rule_at[i](value, prefix[i])
      slots[i] = written
      if not written then
        issues[#issues + 1] = { index = index, field = name, message = problem }
      end
    else
      local nearest = spelling.nearest(name, FIELDS)
      issues[#issues + 1] = {
        index = index,
        field = text.shown(name),
        message = "is not a field of a contact" .. (nearest and ('; did you mean "%s"?'):format(nearest) or ""),
      }
    end
  end
  if rawget(fields, "phone") == nil then
    issues[#issues + 1] = { index = index, field = "phone", message = "is required" }
  end
  local found = #issues - before
  if found == 0 then
    slots[1] = '{"phone":"' .. digits .. '"'
    for i = 2, #FIELDS do
      slots[i] = slots[i] or ""
    end
    body = concat(slots) .. "}"
  elseif found > 1 then
    -- pairs has no order; a report must have one.
    local mine = {}
    for i = before + 1, #issues do
      mine[#mine + 1] = issues[i]
      issues[i] = nil
    end
    sort(mine, function(a, b)
      local pa, pb = place[a.field] or 99, place[b.field] or 99
      if pa ~= pb then
        return pa < pb
      end
      return a.field < b.field
    end)
    for i = 1, #mine do
      issues[before + i] = mine[i]
    end
  end
  return body, digits
end

--- The wire form as a table.
---@param fields table a contact that contact.encode has accepted
---@param digits string its phone
---@return table wire a new table
function contact.wire(fields, digits)
  local wire = { phone = digits }
  for name, value in next, fields do
    if name == "tags" then
      wire.tags = {}
      for i, item in ipairs(value) do
        wire.tags[i] = { tag_id = narrow(type(item) == "table" and rawget(item, "tag_id") or item) }
      end
    elseif name == "custom" then
      wire.custom = {}
      for key, item in next, value do
        wire.custom[custom_id(key)] = narrow(item)
      end
    elseif name == "email_suppressions" then
      wire.email_suppressions = {}
      for i, item in ipairs(value) do
        wire.email_suppressions[i] = narrow(item)
      end
    elseif name ~= "phone" and value ~= "" then
      wire[name] = narrow(value)
    end
  end
  return wire
end

return contact
