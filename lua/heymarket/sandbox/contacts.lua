--- The sandbox's contacts: what the endpoint takes as one, how two become one, and how they are shown.
local sandbox_contacts = {}

local sandbox_json = require "heymarket.sandbox.json"

local is_integer, is_array, is_object = sandbox_json.is_integer, sandbox_json.is_array, sandbox_json.is_object
local null = sandbox_json.null

local MAX_TAGS = 5 -- documented by the vendor

local function line(value, options)
  if type(value) ~= "string" then
    return "must be a string"
  elseif options.max_length and #value > options.max_length then
    return ("is longer than %d bytes"):format(options.max_length)
  end
end

local function positive(value)
  if type(value) == "number" then
    return value % 1 == 0 and value > 0
  end
  return is_integer(value) and value.json:sub(1, 1) ~= "-"
end

local RULES = {
  avatar = line,
  display_name = line,
  email = line,
  first = line,
  last = line,
}

function RULES.phone(value)
  if type(value) ~= "string" then
    return "must be a string"
  elseif not value:find "^[1-9]%d*$" or #value < 7 or #value > 15 then
    return "must be the digits of a phone number with its country code"
  end
end

function RULES.custom(value)
  if not is_object(value) then
    return "must be an object"
  end
  for id, item in pairs(value) do
    if not id:find "^%d+$" then
      return "has a key that is no id of a custom field"
    elseif type(item) ~= "string" and type(item) ~= "boolean" and not sandbox_json.is_number(item) and item ~= null then
      return "has a value that is neither text nor number nor boolean"
    end
  end
end

function RULES.assignee_id(value)
  if not positive(value) and value ~= -1 then
    return "must be a user id or -1"
  end
end

function RULES.tags(value)
  if not is_array(value) then
    return "must be an array"
  elseif #value > MAX_TAGS then
    return ("has more than %d items"):format(MAX_TAGS)
  end
  for _, item in ipairs(value) do
    if not is_object(item) or not positive(item.tag_id) or next(item, next(item)) ~= nil then
      return 'must hold objects of the form {"tag_id": 1}'
    end
  end
end

function RULES.is_opted_out(value)
  if type(value) ~= "boolean" then
    return "must be true or false"
  end
end

function RULES.email_suppressions(value)
  if not is_array(value) then
    return "must be an array"
  end
  for _, item in ipairs(value) do
    if not is_integer(item) then
      return "must hold integers"
    end
  end
end

--- Checks one contact of a request.
---@param given any
---@param options table of the sandbox
---@param refused table<string, boolean> phones that are refused although they are well formed
---@return string? field
---@return string? problem
function sandbox_contacts.problem(given, options, refused)
  if not is_object(given) then
    return "", "must be an object"
  end
  local names = {}
  for name in pairs(given) do
    names[#names + 1] = name
  end
  table.sort(names)
  for _, name in ipairs(names) do
    local value, rule = given[name], RULES[name]
    if not rule then
      if options.unknown_field == "refuse" then
        return name, "is not a field of a contact"
      end
    elseif value ~= null then
      local problem = rule(value, options)
      if problem then
        return name, problem
      end
    end
  end
  if given.phone == nil or given.phone == null then
    return "phone", "is required"
  elseif refused[given.phone] then
    return "phone", "is not a valid number"
  end
  return nil
end

local function is_blank(value)
  return value == "" or type(value) == "table" and next(value) == nil
end

local function copy(value)
  if type(value) ~= "table" then
    return value
  end
  local made = {}
  for key, item in pairs(value) do
    made[key] = copy(item)
  end
  return setmetatable(made, getmetatable(value))
end

sandbox_contacts.copy = copy

local function merge_custom(target, value, known)
  local custom = target.custom or {}
  for id, item in pairs(value) do
    if not known or known[tonumber(id)] then
      custom[id] = item ~= null and item or nil
    end
  end
  target.custom = custom
end

local function write_field(target, name, value, options, known)
  if name == "custom" and not is_blank(value) then
    merge_custom(target, value, known)
  elseif name == "assignee_id" and value == -1 then
    target.assignee_id = nil
  elseif name ~= "is_opted_out" or value or not target.is_opted_out or options.resubscribe then
    target[name] = copy(value)
  end
end

--- Writes the fields of a request's contact into a stored one.
---@param target table the stored contact
---@param given table a contact that was found good
---@param options table of the sandbox
---@param known table<integer, boolean>? ids of the custom fields there are; values of others are dropped
function sandbox_contacts.merge(target, given, options, known)
  for name in pairs(RULES) do
    local value = given[name]
    if value == null then
      if options.clear_on_null then
        target[name] = nil
      end
    elseif value ~= nil and (options.clear_on_blank or not is_blank(value)) then
      write_field(target, name, value, options, known)
    end
  end
end

-- Keys of a returned contact that the vendor documents, by the name under which the sandbox stores them.
local SHOWN = {
  assignee_id = "assigned_user_id",
  avatar = "avatar",
  created = "created",
  creator_id = "creator_id",
  custom = "custom",
  display_name = "display_name",
  email = "email",
  external_id = "external_id",
  external_ref = "external_ref",
  first = "first",
  id = "id",
  inbox_id = "inbox_id",
  last = "last",
  note = "note",
  op = "op",
  parent_id = "parent_id",
  phone = "phone",
  rev = "rev",
  shared = "shared",
  tags = "tags",
  team_id = "team_id",
  type = "type",
  updated = "updated",
}

--- A contact as an answer shows it.
---@param stored table
---@param phone_format "digits"|"plus"
---@return table shown
function sandbox_contacts.shown(stored, phone_format)
  local shown = {}
  for name, key in pairs(SHOWN) do
    shown[key] = stored[name]
  end
  shown.note = shown.note or sandbox_json.array {}
  shown.tags = shown.tags or sandbox_json.array {}
  if phone_format == "plus" and type(shown.phone) == "string" and shown.phone:find "^%d" then
    shown.phone = "+" .. shown.phone
  end
  return shown
end

--- A contact of a request as it is listed when it was not taken. It has no id: the server gives one when it stores.
---@param given any
---@param phone_format "digits"|"plus"
---@return table shown
function sandbox_contacts.refused(given, phone_format)
  local sent = {}
  if is_object(given) then
    for name in pairs(RULES) do
      sent[name] = given[name]
    end
  end
  return sandbox_contacts.shown(sent, phone_format)
end

return sandbox_contacts
