--- Endpoints: one row for each call of the API.
---
--- - `name`: what its response holds, for messages;
--- - `method`, `path`;
--- - `repeatable`: may a request be sent again although the server may have acted on it?
--- - `read(response)`: the value of a 200 response, or nil, and code and values of a message where it is none that this
---   endpoint gives;
--- - `first_page`, `next_page(items)`: the bodies of the requests for the pages of a list, see heymarket.api.pages;
---   `next_page` gives nil after the last page.
local endpoints = {}

local batch_contacts = require "heymarket.api.batch_contacts"
local json = require "heymarket.util.json"

---@class heymarket.Endpoint
---@field name string
---@field method "GET"|"POST"
---@field path string after base_url
---@field repeatable boolean
---@field read fun(response: heymarket.Response): any, string?, table?
---@field first_page string?
---@field next_page (fun(items: table[]): string?)?

local TAGS_IN_A_PAGE = 30

-- The JSON of a response whose contents will be used.
local function read_json(response)
  local ok, value = json.decode(response.body)
  if not ok then
    return nil, "not_json", { why = value }
  elseif response:shows_token() then
    return nil, "shows_token"
  end
  return value
end

-- Makes a reader of an array, or of an object that holds one in a field: older guides show such objects.
local function list_of(what, field)
  return function(response)
    local value, code, values = read_json(response)
    if code then
      return nil, code, values
    elseif type(value) == "table" and not json.is_array(value) then
      value = value[field]
    end
    if not json.is_array(value) then
      return nil, "not_a_list", { what = what }
    end
    return value
  end
end

-- Makes a reader of an object that has a field, with a value of some type.
local function object_with(field, wanted)
  return function(response)
    local value, code, values = read_json(response)
    if code then
      return nil, code, values
    elseif type(value) ~= "table" or type(value[field]) ~= wanted then
      return nil, "not_an_object", { what = field }
    end
    return value
  end
end

-- Only the shape counts: the call is a check of the credentials, and nothing of its response is shown.
local function read_inboxes(response)
  local ok, value = json.decode(response.body)
  if not ok then
    return nil, "not_json", { why = value }
  elseif json.is_array(value) or type(value) == "table" and json.is_array(value.inboxes) then
    return {}
  end
  return nil, "not_a_list", { what = "inboxes" }
end

local function next_page_of_tags(items)
  local last = items[TAGS_IN_A_PAGE]
  local updated = type(last) == "table" and last.updated
  return type(updated) == "string" and json.encode { date = updated } or nil
end

-- Adds a row. `extra` are its further fields.
local function add(name, method, path, repeatable, read, extra)
  local row = extra or {}
  row.name, row.method, row.path, row.repeatable, row.read = name, method, path, repeatable, read
  endpoints[name] = row
end

add("batch_contacts", "POST", "/v1/batch/contacts", true, batch_contacts.read)
add("inboxes", "GET", "/v1/inboxes", true, read_inboxes)
-- No method of the client uses these yet, nor heymarket.api.pages; spec/live/endpoints_spec.lua tests them.
add("team", "GET", "/v1/team", true, object_with("members", "table"))
add("tags", "POST", "/v1/tags", true, list_of("tags", "tags"), { first_page = "{}", next_page = next_page_of_tags })
add("contact_fields", "POST", "/v1/contact-fields", true, list_of("contact fields", "fields"))
add("search_contacts", "POST", "/v2/contacts/search", true, list_of("contacts", "contacts"))
add("create_tag", "POST", "/v1/tag", false, object_with("id", "number"))
add("create_contact_fields", "POST", "/v1/contacts/fields", false, list_of("contact fields", "fields"))

return endpoints
