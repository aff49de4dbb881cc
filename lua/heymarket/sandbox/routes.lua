--- What the sandbox does for each call of the API.
local routes = {}

local answers = require "heymarket.sandbox.answers"
local contacts = require "heymarket.sandbox.contacts"
local sandbox_json = require "heymarket.sandbox.json"

local array, is_array, is_object = sandbox_json.array, sandbox_json.is_array, sandbox_json.is_object

local TAGS_PER_PAGE = 30 -- documented by the vendor
local FIRST_TAG = 1704067200 -- 2024-01-01; each tag is a second newer than the one before
local TEAM, USER = 1, 1 -- ids

-- A reason to refuse a request, for answers.problem.
local function bad_data(state, message, field)
  return answers.problem(state.options, 400, message, field)
end

-- The contacts of a batch that are good, in order, and those that are to be listed; or the answer that refuses all.
local function sort_batch(state, given)
  local options = state.options
  local good, listed, place = {}, {}, {}
  for i, item in ipairs(given) do
    local field, problem = contacts.check(state, item)
    local is_double = not problem and place[item.phone] ~= nil
    if is_double and options.duplicates == "refuse" then
      field, problem = "phone", "stands twice in the request"
    end
    if problem and (is_double or options.bad_contact == "refuse") then
      local where = ("[%d]%s"):format(i - 1, field ~= "" and "." .. field or "")
      return nil, bad_data(state, where .. " " .. problem, where)
    elseif problem or is_double and options.duplicates == "list" then
      listed[#listed + 1] = item
    elseif is_double then
      good[place[item.phone]] = item
    else
      good[#good + 1] = item
      place[item.phone] = #good
    end
  end
  return good, listed
end

local function batch(state, request)
  local options, given = state.options, request.decoded
  local overwrite = request.query.overwrite or "false"
  if overwrite ~= "true" and overwrite ~= "false" then
    return bad_data(state, "overwrite must be true or false", "overwrite")
  elseif options.max_contacts and #given > options.max_contacts then
    return answers.problem(options, options.too_large, ("more than %d contacts"):format(options.max_contacts))
  end
  local good, listed = sort_batch(state, given)
  if not good then
    return listed
  end
  local shown = array {}
  for _, item in ipairs(good) do
    local stored = state.contacts[item.phone]
    if not stored or overwrite == "true" then
      contacts.store(state, item)
    elseif options.list_existing then
      shown[#shown + 1] = contacts.shown(state, stored)
    end
  end
  for _, item in ipairs(listed) do
    shown[#shown + 1] = contacts.shown_refused(state, item)
  end
  return #shown > 0 and answers.json(shown) or answers.ok(options)
end

local function inboxes(state)
  local list = array { { id = 1, name = "Sandbox", phone = "15555550100", team_id = TEAM } }
  return answers.json(state.options.inboxes == "object" and { inboxes = list } or list)
end

local function list_custom_fields(state)
  return answers.json(array(state.custom_fields or {}))
end

local function create_custom_fields(state, request)
  local fields, by_title, made = state.custom_fields or array {}, {}, array {}
  for i, item in ipairs(request.decoded) do
    if not is_object(item) or type(item.title) ~= "string" or item.title == "" then
      local where = ("[%d].title"):format(i - 1)
      return bad_data(state, where .. " is required", where)
    end
  end
  for _, field in ipairs(fields) do
    by_title[field.title] = by_title[field.title] or field
  end
  for i, item in ipairs(request.decoded) do
    local found = by_title[item.title]
    local field = found or { id = contacts.next_id(state), title = item.title }
    fields[#fields + 1] = not found and field or nil
    by_title[field.title] = field
    made[i] = { id = field.id, title = field.title, duplicate = found ~= nil }
  end
  state.custom_fields = fields
  return answers.json(made)
end

local function list_tags(state, request)
  local date = request.decoded.date
  if date ~= nil and not (type(date) == "string" and date:find "^%d%d%d%d%-%d%d%-%d%dT%d%d:%d%d:%d%d%.?%d*Z$") then
    return bad_data(state, "date must be an RFC 3339 date in UTC", "date")
  end
  -- Dates of one form sort as text; one without a fraction stands for its full second.
  date = date and (date:find(".", 1, true) and date or date:gsub("Z$", ".000Z")) or ""
  local page = array {}
  for i, name in ipairs(state.options.tags) do
    local at = answers.date(FIRST_TAG + i)
    if at > date and #page < TAGS_PER_PAGE then
      page[#page + 1] = { id = i, tag = name, color = "#808080", team_id = TEAM, created = at, updated = at, rev = 1 }
    end
  end
  return answers.json(page)
end

local function team(state)
  local members = array { { id = USER, name = "Sandbox User", role = "admin" } }
  return answers.json { id = TEAM, name = "Sandbox", list_size = contacts.count(state), members = members }
end

local function create_contact(state, request)
  local given = request.decoded
  local field, problem = contacts.check(state, given)
  if problem then
    return bad_data(state, field .. " " .. problem, field)
  end
  local stored = contacts.store(state, given)
  if not stored.display_name and (stored.first or stored.last) then
    stored.display_name = ((stored.first or "") .. " " .. (stored.last or "")):match "^ ?(.-) ?$"
  end
  return answers.json { id = stored.id, rev = stored.rev, uuid = answers.uuid() }
end

local function search(state, request)
  local channels = request.decoded.contact_channels
  if not is_array(channels) then
    return bad_data(state, "contact_channels is required", "contact_channels")
  end
  local found = array {}
  for _, channel in ipairs(channels) do
    if not is_object(channel) or channel.channel_type ~= "phone" or not is_array(channel.channel_ids) then
      return bad_data(state, "a channel needs the channel_type phone and channel_ids", "contact_channels")
    end
    for _, phone in ipairs(channel.channel_ids) do
      local stored = state.contacts[phone]
      found[#found + 1] = stored and contacts.shown(state, stored)
    end
  end
  return answers.json(found)
end

-- By path: the method, what answers, and what the body must be.
local ROUTES = {
  ["/v1/batch/contacts"] = { "POST", batch, "array" },
  ["/v1/inboxes"] = { "GET", inboxes },
  ["/v1/contact-fields"] = { "POST", list_custom_fields },
  ["/v1/contacts/fields"] = { "POST", create_custom_fields, "array" },
  ["/v1/tags"] = { "POST", list_tags, "object" },
  ["/v1/team"] = { "GET", team },
  ["/v1/contact"] = { "POST", create_contact, "object" },
  ["/v2/contacts/search"] = { "POST", search, "object" },
}

-- The answer to a request whose body is not what it must be, or nil.
local function body_problem(state, request, wanted)
  local options = state.options
  local content_type = (request.headers["content-type"] or ""):lower():match "^[^;%s]*"
  if options.max_bytes and #request.body > options.max_bytes then
    return answers.problem(options, options.too_large, ("more than %d bytes"):format(options.max_bytes))
  elseif content_type ~= "application/json" then
    return bad_data(state, "Content-Type must be application/json")
  elseif request.decoded == nil then
    return bad_data(state, "the body is not JSON: " .. request.not_json)
  elseif not (wanted == "array" and is_array or is_object)(request.decoded) then
    return bad_data(state, "the body must be an " .. wanted)
  end
end

--- Acts on a request as the API does, and answers it.
function routes.answer(state, request)
  local route = ROUTES[request.path]
  if not route then
    return answers.problem(state.options, 404, "there is nothing at this address")
  elseif route[1] ~= request.method then
    return answers.problem(state.options, 405, "this address takes " .. route[1], nil, { Allow = route[1] })
  end
  return route[3] and body_problem(state, request, route[3]) or route[2](state, request)
end

return routes
