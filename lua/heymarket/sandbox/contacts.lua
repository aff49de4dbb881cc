--- The contacts of the sandbox: what it takes as one, how a new one changes a stored one, and how answers show them.
local sandbox_contacts = {}

local answers = require "heymarket.sandbox.answers"
local sandbox_json = require "heymarket.sandbox.json"

local is_integer, is_array, is_object = sandbox_json.is_integer, sandbox_json.is_array, sandbox_json.is_object
local null = sandbox_json.null

local MAX_TAGS = 5 -- documented by the vendor

local function is_text(value, options)
  return type(value) == "string" and (not options.max_length or #value <= options.max_length)
end

local function is_phone(value)
  return type(value) == "string" and #value >= 7 and #value <= 15 and value:find "^[1-9]%d*$"
end

local function is_id(value)
  return is_integer(value) and not tostring(value):find "^[-0]"
end

local function is_boolean(value)
  return type(value) == "boolean"
end

local function is_user(value)
  return is_id(value) or value == -1
end

local function is_tag(value)
  return is_object(value) and is_id(value.tag_id) and next(value, next(value)) == nil
end

-- The value of a custom field; an id that is no number has none.
local function is_custom(value, id)
  local is_scalar = type(value) == "string" or is_boolean(value) or sandbox_json.is_number(value) or value == null
  return is_scalar and id:find "^%d+$" ~= nil
end

local function are_all(list, passes)
  for key, item in pairs(list) do
    if not passes(item, key) then
      return false
    end
  end
  return true
end

local function are_customs(value)
  return is_object(value) and are_all(value, is_custom)
end

local function are_tags(value)
  return is_array(value) and #value <= MAX_TAGS and are_all(value, is_tag)
end

local function are_integers(value)
  return is_array(value) and are_all(value, is_integer)
end

-- What each field may be. These rules stand apart from those of heymarket.contact, because a server does not share the
-- client's mistakes.
local TEXT = { is_text, "must be a string that is not too long" }
local RULES = {
  avatar = TEXT,
  display_name = TEXT,
  email = TEXT,
  first = TEXT,
  last = TEXT,
  phone = { is_phone, "must be the digits of a phone number with its country code, as a string" },
  custom = { are_customs, "must be an object of strings, numbers and booleans by the ids of custom fields" },
  assignee_id = { is_user, "must be a user id or -1" },
  tags = { are_tags, ('must be an array of at most %d objects of the form {"tag_id": 1}'):format(MAX_TAGS) },
  is_opted_out = { is_boolean, "must be true or false" },
  email_suppressions = { are_integers, "must be an array of integers" },
}

--- Makes a store without contacts. `contacts` and `refused` are by phone; `custom_fields` is nil where every id is that
--- of a custom field.
function sandbox_contacts.new(options, time)
  local fields = options.custom_fields and {}
  for i, field in ipairs(options.custom_fields or {}) do
    fields[i] = { id = field.id, title = field.title or tostring(field.id) }
  end
  return { options = options, time = time, contacts = {}, refused = {}, custom_fields = fields, last_id = 1000 }
end

--- Gives the next id of a contact or custom field.
function sandbox_contacts.next_id(state)
  state.last_id = state.last_id + 1
  return state.last_id
end

--- Number of contacts.
function sandbox_contacts.count(state)
  local count = 0
  for _ in pairs(state.contacts) do
    count = count + 1
  end
  return count
end

--- Checks one contact of a request.
---@return string? field the first by name of those that are wrong; "" where it is no object
---@return string? problem nil when the contact is good
function sandbox_contacts.check(state, given)
  if not is_object(given) then
    return "", "must be an object"
  end
  local field, problem
  for name, value in pairs(given) do
    local rule = RULES[name]
    local is_good = rule and (value == null or rule[1](value, state.options))
    if not is_good and (rule or state.options.unknown_field == "refuse") and (not field or name < field) then
      field, problem = name, rule and rule[2] or "is not a field of a contact"
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
  local options = state.options
  if value == nil or value == null and not options.clear_on_null or is_blank(value) and not options.clear_on_blank then
    return
  elseif value == null then
    stored[name] = nil
  elseif name == "custom" and not is_blank(value) then
    merge_custom(state, stored, value)
  elseif name == "assignee_id" and value == -1 then
    stored.assignee_id = nil
  elseif name ~= "is_opted_out" or value or not stored.is_opted_out or options.resubscribe then
    stored[name] = value
  end
end

-- The stored contact of a phone, made where there is none yet.
local function open_contact(state, phone)
  local now, stored = answers.date(state.time()), state.contacts[phone]
  if not stored then
    stored = { id = sandbox_contacts.next_id(state), rev = 0, created = now }
    stored.creator_id, stored.team_id, stored.type, stored.op, stored.shared = 1, 1, "contact", "", true
    state.contacts[phone] = stored
  end
  stored.rev, stored.updated = stored.rev + 1, now
  return stored
end

--- Stores a contact that was found good, and gives the stored one. Where its phone is known already, its fields change
--- the stored contact. Nobody else may keep `given`.
function sandbox_contacts.store(state, given)
  local stored = open_contact(state, given.phone)
  for name in pairs(RULES) do
    write_field(state, stored, name, given[name])
  end
  return stored
end

-- Keys of a returned contact that the vendor documents, and under which name the sandbox stores them.
local SHOWN = { assigned_user_id = "assignee_id" }
local KEYS = "avatar created creator_id custom display_name email external_id external_ref first id inbox_id last "
  .. "note op parent_id phone rev shared tags team_id type updated"
for key in KEYS:gmatch "%S+" do
  SHOWN[key] = key
end

--- Is this a field that the server sets and no request may have?
function sandbox_contacts.is_server_field(name)
  return SHOWN[name] == name and not RULES[name]
end

--- A contact as an answer shows it.
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

--- A contact of a request as an answer lists it when it was not taken: it has no id.
function sandbox_contacts.shown_refused(state, given)
  local sent = {}
  for name in pairs(is_object(given) and RULES or {}) do
    sent[name] = given[name]
  end
  return sandbox_contacts.shown(state, sent)
end

return sandbox_contacts
