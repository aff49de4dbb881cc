--- The contacts of the sandbox: what it takes as one, how a new one changes a stored one, and how answers show them.
local sandbox_contacts = {}

local answers = require "heymarket.sandbox.answers"
local sandbox_json = require "heymarket.sandbox.json"

local is_integer, is_array, is_object = sandbox_json.is_integer, sandbox_json.is_array, sandbox_json.is_object
local null = sandbox_json.null

local MAX_TAGS = 5 -- documented by the vendor

local function check_text(value, options)
  if type(value) ~= "string" then
    return "must be a string"
  elseif options.max_length and #value > options.max_length then
    return ("is longer than %d bytes"):format(options.max_length)
  end
end

local function is_id(value)
  return is_integer(value) and not tostring(value):find "^[-0]"
end

-- What is wrong with the value of a field. These rules are written apart from those of heymarket.contact, because a
-- server does not share the client's mistakes.
local RULES = {
  avatar = check_text,
  display_name = check_text,
  email = check_text,
  first = check_text,
  last = check_text,
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
  if not is_id(value) and value ~= -1 then
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
    if not is_object(item) or not is_id(item.tag_id) or next(item, next(item)) ~= nil then
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

---@class heymarket.SandboxState what the sandbox holds
---@field options heymarket.SandboxOptions
---@field contacts table<string, table> by phone
---@field refused table<string, boolean> phones that are refused although they are well formed
---@field custom_fields {id: integer, title: string}[]? nil: every id is one of a custom field
---@field last_id integer the last one given
---@field time fun(): number the server's clock, Unix seconds

--- Gives the next id of a contact or custom field.
---@param state heymarket.SandboxState
---@return integer
function sandbox_contacts.next_id(state)
  state.last_id = state.last_id + 1
  return state.last_id
end

--- Number of contacts.
---@param state heymarket.SandboxState
---@return integer
function sandbox_contacts.count(state)
  local count = 0
  for _ in pairs(state.contacts) do
    count = count + 1
  end
  return count
end

local function problem_of(state, name, value)
  local rule = RULES[name]
  if not rule then
    return state.options.unknown_field == "refuse" and "is not a field of a contact" or nil
  end
  return value ~= null and rule(value, state.options) or nil
end

--- Checks one contact of a request.
---@param state heymarket.SandboxState
---@param given any
---@return string? field the first by name of those that are wrong; "" where it is no object
---@return string? problem nil when the contact is good
function sandbox_contacts.check(state, given)
  if not is_object(given) then
    return "", "must be an object"
  end
  local field, problem
  for name, value in pairs(given) do
    local found = (not field or name < field) and problem_of(state, name, value)
    if found then
      field, problem = name, found
    end
  end
  if field then
    return field, problem
  elseif given.phone == nil or given.phone == null then
    return "phone", "is required"
  elseif state.refused[given.phone] then
    return "phone", "is not a valid number"
  end
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

-- Values of custom fields that do not exist are dropped, as the API does.
local function merge_custom(state, stored, values)
  local known = state.custom_fields and {}
  for _, field in ipairs(state.custom_fields or {}) do
    known[field.id] = true
  end
  local custom = stored.custom or {}
  for id, item in pairs(values) do
    if not known or known[tonumber(id)] then
      custom[id] = item ~= null and item or nil
    end
  end
  stored.custom = custom
end

local function write_field(state, stored, name, value)
  if name == "custom" and not is_blank(value) then
    merge_custom(state, stored, value)
  elseif name == "assignee_id" and value == -1 then
    stored.assignee_id = nil
  elseif name ~= "is_opted_out" or value or not stored.is_opted_out or state.options.resubscribe then
    stored[name] = copy(value)
  end
end

-- The stored contact of a phone, made where there is none yet.
local function open_contact(state, phone)
  local now, stored = answers.date(state.time()), state.contacts[phone]
  if stored then
    stored.rev, stored.updated = stored.rev + 1, now
    return stored
  end
  stored = { id = sandbox_contacts.next_id(state), rev = 1, created = now, updated = now }
  stored.creator_id, stored.team_id, stored.type, stored.op, stored.shared = 1, 1, "contact", "", true
  state.contacts[phone] = stored
  return stored
end

--- Stores a contact. Where its phone is known already, its fields change the stored contact.
---@param state heymarket.SandboxState
---@param given table a contact that was found good
---@return table stored
function sandbox_contacts.store(state, given)
  local options, stored = state.options, open_contact(state, given.phone)
  for name in pairs(RULES) do
    local value = given[name]
    if value == null then
      value = nil
      stored[name] = not options.clear_on_null and stored[name] or nil
    end
    if value ~= nil and (options.clear_on_blank or not is_blank(value)) then
      write_field(state, stored, name, value)
    end
  end
  return stored
end

-- Keys of a returned contact that the vendor documents, and under which name the sandbox stores them.
local SHOWN = { assigned_user_id = "assignee_id" }
for key in
  (
    "avatar created creator_id custom display_name email external_id external_ref first id inbox_id last note op "
    .. "parent_id phone rev shared tags team_id type updated"
  ):gmatch "%S+"
do
  SHOWN[key] = key
end

--- Is this a field that the server sets and no request may have?
---@param name any
---@return boolean
function sandbox_contacts.is_server_field(name)
  return SHOWN[name] == name and not RULES[name]
end

--- A contact as an answer shows it.
---@param state heymarket.SandboxState
---@param stored table
---@return table shown
function sandbox_contacts.shown(state, stored)
  local shown = {}
  for key, name in pairs(SHOWN) do
    shown[key] = stored[name]
  end
  shown.note = shown.note or sandbox_json.array {}
  shown.tags = shown.tags or sandbox_json.array {}
  if state.options.phone_format == "plus" and type(shown.phone) == "string" and shown.phone:find "^%d" then
    shown.phone = "+" .. shown.phone
  end
  return shown
end

--- A contact of a request as an answer lists it when it was not taken. The server gives an id only when it stores.
---@param state heymarket.SandboxState
---@param given any
---@return table shown
function sandbox_contacts.shown_refused(state, given)
  local sent = {}
  for name in pairs(is_object(given) and RULES or {}) do
    sent[name] = given[name]
  end
  return sandbox_contacts.shown(state, sent)
end

return sandbox_contacts
