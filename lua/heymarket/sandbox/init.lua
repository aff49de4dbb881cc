--- The sandbox: the API in memory, for tests.
---
--- It keeps contacts by phone, checks tokens, applies `overwrite` and answers as the API does. Where nobody outside
--- knows how the API behaves there is an option: what is tested should hold whichever way it is set.
local sandbox = {}

local contact = require "heymarket.contact"
local failure = require "heymarket.failure"
local options = require "heymarket.options"
local sandbox_contacts = require "heymarket.sandbox.contacts"
local sandbox_json = require "heymarket.sandbox.json"
local sandbox_script = require "heymarket.sandbox.script"
local sandbox_token = require "heymarket.sandbox.token"
local sandbox_transport = require "heymarket.sandbox.transport"
local system = require "heymarket.system"
local text = require "heymarket.util.text"

local array, is_array, is_object = sandbox_json.array, sandbox_json.is_array, sandbox_json.is_object

local BASE_URL = "https://sandbox.invalid" -- a name that can have no address
local OVERSIZED = 9 * 1024 * 1024 -- bytes, more than a client takes
local TAGS_PER_PAGE = 30 -- documented by the vendor
local TEAM, CREATOR = 1, 1 -- ids
local WINDOW = 60 -- seconds in which requests are counted

---@class heymarket.SandboxOptions
---@field secret_id string? credentials that are good here; "sandbox-id" unless told
---@field secret_key string? "sandbox-key" unless told
---@field list_existing boolean? does an answer list contacts that were left as they are because they exist? (true)
---@field ok "quoted"|"raw"|"array"|"null"|"empty"|nil how does "every contact was taken" look: `"ok"`, `ok`, `[]`,
---`null` or no body? ("quoted")
---@field bad_contact "refuse"|"list"|nil does one bad contact turn the whole request into a 400, or is it only listed?
---("refuse")
---@field phone_format "digits"|"plus"|nil is the phone of a returned contact the digits that were sent, or written
---with a plus sign? ("digits")
---@field clear_on_null boolean? does null clear a stored value (true), or is it as good as absent? (false)
---@field clear_on_blank boolean? does "" or [] clear a stored value (true), or is it as good as absent? (true)
---@field max_contacts integer? greatest number of contacts in one request (no limit)
---@field max_bytes integer? greatest number of bytes in one request (no limit)
---@field too_large 413|400|nil status of a request beyond these limits (413)
---@field duplicates "last_wins"|"list"|"refuse"|nil a phone that stands twice in one request: the later one counts, is
---listed, or makes it a 400 ("last_wins")
---@field unknown_field "refuse"|"ignore"|nil a field that the API does not document: 400, or dropped? ("refuse")
---@field max_length integer? greatest length of a text field in bytes (no limit)
---@field error_shape "error_code"|"code"|"nested"|"error"|"text"|"empty"|nil how does the body of an error look?
---("error_code")
---@field resubscribe boolean? does `is_opted_out: false` subscribe somebody again who had opted out? (true)
---@field clock_skew number? seconds by which a token's time may be off (0)
---@field clock_offset number? seconds by which the server's clock is ahead of this machine's (0)
---@field requests_per_minute integer|false|nil requests beyond this in any minute are answered with 429 (500)
---@field retry_after boolean|number|nil does a 429 carry Retry-After? true: the seconds until there is room; a number:
---that (false)
---@field inboxes "array"|"object"|nil is the list of inboxes an array, or wrapped as an older guide shows? ("array")
---@field refused_phones string[]? phones that are refused although they are well formed
---@field custom_fields table[]? custom fields that exist, as {id, title}; values of others are silently dropped, as the
---API does (every id exists)
---@field tags string[]? names of tags that exist
---@field keep_requests integer? how many of the newest requests are kept (1000)

local function one_of(...)
  local allowed, shown = {}, {}
  for i = 1, select("#", ...) do
    local value = select(i, ...)
    allowed[value] = true
    shown[i] = type(value) == "string" and ("%q"):format(value) or tostring(value)
  end
  return function(value)
    return allowed[value] ~= nil, "must be one of " .. table.concat(shown, ", ")
  end
end

local function whole(value)
  return type(value) == "number" and value % 1 == 0 and value >= 1, "must be a whole number, 1 or more"
end

local function is_number(value)
  return type(value) == "number" and value == value and math.abs(value) ~= math.huge
end

local function a_boolean(value)
  return type(value) == "boolean", "must be true or false"
end

local function name_of_secret(value)
  local good = type(value) == "string" and value ~= "" and not value:find "%c"
  return good, "must be a string on one line that is not empty"
end

local function fields_list(value)
  local good = type(value) == "table"
  for _, field in ipairs(good and value or {}) do
    good = good and type(field) == "table" and whole(field.id)
  end
  return good, "must be an array of {id = integer, title = string}"
end

local function list_of(kind)
  return function(value)
    local good = type(value) == "table"
    for _, item in ipairs(good and value or {}) do
      good = good and type(item) == kind
    end
    return good, ("must be an array of %ss"):format(kind)
  end
end

local OPTIONS = {
  secret_id = { name_of_secret, "sandbox-id" },
  secret_key = { name_of_secret, "sandbox-key" },
  list_existing = { a_boolean, true },
  ok = { one_of("quoted", "raw", "array", "null", "empty"), "quoted" },
  bad_contact = { one_of("refuse", "list"), "refuse" },
  phone_format = { one_of("digits", "plus"), "digits" },
  clear_on_null = { a_boolean, false },
  clear_on_blank = { a_boolean, true },
  max_contacts = { whole },
  max_bytes = { whole },
  too_large = { one_of(413, 400), 413 },
  duplicates = { one_of("last_wins", "list", "refuse"), "last_wins" },
  unknown_field = { one_of("refuse", "ignore"), "refuse" },
  max_length = { whole },
  error_shape = { one_of("error_code", "code", "nested", "error", "text", "empty"), "error_code" },
  resubscribe = { a_boolean, true },
  clock_skew = {
    function(value)
      return is_number(value) and value >= 0, "must be seconds, 0 or more"
    end,
    0,
  },
  clock_offset = {
    function(value)
      return is_number(value), "must be seconds"
    end,
    0,
  },
  requests_per_minute = {
    function(value)
      return value == false or whole(value), "must be a whole number, 1 or more, or false"
    end,
    500,
  },
  retry_after = {
    function(value)
      return type(value) == "boolean" or is_number(value) and value >= 0, "must be true, false or seconds"
    end,
    false,
  },
  inboxes = { one_of("array", "object"), "array" },
  refused_phones = { list_of "string", {} },
  custom_fields = { fields_list },
  tags = { list_of "string", {} },
  keep_requests = { whole, 1000 },
}

local OPTION_NAMES = {}
for name in pairs(OPTIONS) do
  OPTION_NAMES[#OPTION_NAMES + 1] = name
end
table.sort(OPTION_NAMES)

--- Names of all options, for who passes them on.
sandbox.option_names = OPTION_NAMES

---@class heymarket.Sandbox
---@field contacts table<string, table> by phone (digits): what was sent, and id, rev, created, updated and the like
---@field requests table[] newest last, at most keep_requests: method, path, status, fault, contacts (number),
---request_id, body (decoded), time
---@field options heymarket.SandboxOptions every option with its value
---@field clock table
local Sandbox = {}
Sandbox.__index = Sandbox
Sandbox.__name = "heymarket.Sandbox"

--- Makes a sandbox without contacts.
---@param given heymarket.SandboxOptions?
---@return heymarket.Sandbox
function sandbox.new(given)
  options.expect(given, "table?", "sandbox.new: options", 2)
  local settings = {}
  for name, entry in pairs(OPTIONS) do
    settings[name] = entry[2]
  end
  for name, value in pairs(given or {}) do
    local entry = OPTIONS[name]
    if not entry then
      error(("sandbox.new: %s is not an option%s"):format(tostring(name), text.did_you_mean(name, OPTION_NAMES)), 2)
    end
    local good, wanted = entry[1](value)
    if not good then
      error(("sandbox.new: %s %s"):format(name, wanted), 2)
    end
    settings[name] = value
  end
  local made = setmetatable({ options = settings, clock = sandbox_transport.clock() }, Sandbox)
  made.born = made.clock:monotonic()
  made:reset()
  return made
end

--- Forgets contacts, requests and script. The clock runs on.
---@return heymarket.Sandbox self
function Sandbox:reset()
  self.contacts = {}
  self.requests = {}
  self.script_steps = {}
  self.window = { first = 1, last = 0 }
  self.last_id = 1000
  self.refused = {}
  for _, phone in ipairs(self.options.refused_phones) do
    self:refuse(phone)
  end
  self.fields = nil
  if self.options.custom_fields then
    self.fields = {}
    for _, field in ipairs(self.options.custom_fields) do
      self.fields[#self.fields + 1] = { id = field.id, title = field.title or tostring(field.id) }
    end
  end
  return self
end

--- Unix time by the server's clock, in seconds.
---@return number
function Sandbox:time()
  return self.clock:time() + self.options.clock_offset
end

--- Seconds since this sandbox was made, those included that only the clock was moved by.
---@return number
function Sandbox:elapsed()
  return self.clock:monotonic() - self.born
end

--- Lets time pass at once.
---@param seconds number 0 or more
---@return heymarket.Sandbox self
function Sandbox:advance(seconds)
  options.expect(seconds, "number", "sandbox:advance: seconds", 2)
  self.clock:advance(seconds)
  return self
end

local function iso(time)
  local seconds = math.floor(time)
  return os.date("!%Y-%m-%dT%H:%M:%S", seconds) .. (".%03dZ"):format(math.floor((time - seconds) * 1000))
end

local DAYS = { "Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat" }
local MONTHS = { "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" }

-- The names are English whatever the locale says.
local function http_date(time)
  local t = os.date("!*t", math.floor(time))
  return ("%s, %02d %s %04d %02d:%02d:%02d GMT"):format(
    DAYS[t.wday],
    t.day,
    MONTHS[t.month],
    t.year,
    t.hour,
    t.min,
    t.sec
  )
end

local function word()
  return ("%04x"):format(math.floor(system.random() * 65536))
end

-- A random UUID (RFC 9562, version 4).
local function uuid()
  local variant = ("%x"):format(8 + math.floor(system.random() * 4))
  return table.concat({
    word() .. word(),
    word(),
    "4" .. word():sub(2),
    variant .. word():sub(2),
    word() .. word() .. word(),
  }, "-")
end

function Sandbox:next_id()
  self.last_id = self.last_id + 1
  return self.last_id
end

-- Stores a contact that was found good, over what is there.
function Sandbox:store(given)
  local now = iso(self:time())
  local stored = self.contacts[given.phone]
  if stored then
    stored.rev = stored.rev + 1
    stored.updated = now
  else
    stored = {
      id = self:next_id(),
      rev = 1,
      created = now,
      updated = now,
      creator_id = CREATOR,
      team_id = TEAM,
      type = "contact",
      op = "",
      shared = true,
    }
    self.contacts[given.phone] = stored
  end
  local known
  if self.fields then
    known = {}
    for _, field in ipairs(self.fields) do
      known[field.id] = true
    end
  end
  sandbox_contacts.merge(stored, given, self.options, known)
  return stored
end

local SERVER_KEYS = {
  id = true,
  rev = true,
  created = true,
  updated = true,
  creator_id = true,
  team_id = true,
  type = true,
  op = true,
  shared = true,
  note = true,
  parent_id = true,
  inbox_id = true,
  external_id = true,
  external_ref = true,
}

--- Puts a contact in, as if it had been there before. It replaces one of the same phone.
---@param fields table a contact as create_contacts takes it; id, rev, created and the like may be set too
---@return table stored
function Sandbox:put(fields)
  options.expect(fields, "table", "sandbox:put: contact", 2)
  local mine, set = {}, {}
  for name, value in pairs(fields) do
    if SERVER_KEYS[name] then
      set[name] = value
    else
      mine[name] = value
    end
  end
  local issues = {}
  local body, phone = contact.encode(mine, nil, false, issues)
  if not body then
    error("sandbox:put: " .. failure.invalid(issues).message, 2)
  end
  local _, wire = sandbox_json.read(body)
  self.contacts[phone] = nil
  local stored = self:store(wire)
  for name, value in pairs(set) do
    stored[name] = value
  end
  return stored
end

--- The stored contact of a phone.
---@param phone string|integer in any form that a contact may have
---@return table? stored
function Sandbox:get(phone)
  local digits = contact.phone(phone, false)
  return digits and self.contacts[digits]
end

--- Number of contacts.
---@return integer
function Sandbox:count()
  local count = 0
  for _ in pairs(self.contacts) do
    count = count + 1
  end
  return count
end

--- From now on these phones are refused as bad, until reset.
---@param ... string|integer phones
---@return heymarket.Sandbox self
function Sandbox:refuse(...)
  for i = 1, select("#", ...) do
    local digits, problem = contact.phone((select(i, ...)), false)
    if not digits then
      error(("sandbox:refuse: phone %d %s"):format(i, problem), 2)
    end
    self.refused[digits] = true
  end
  return self
end

--- Scripts what the next API requests meet. Each request takes the first step that fits it; a request that no step
--- fits is answered as usual. A step without `status` and `fault` answers as usual too, after its `delay`.
---@param ... heymarket.SandboxStep steps, or one array of steps
---@return heymarket.Sandbox self
function Sandbox:script(...)
  sandbox_script.add(self.script_steps, 3, ...)
  return self
end

--- Number of requests that the script is still good for.
---@return number
function Sandbox:pending()
  return sandbox_script.pending(self.script_steps)
end

local ERROR_CODES = {
  [400] = "bad_data",
  [401] = "unauthorized",
  [403] = "denied",
  [404] = "not_found",
  [405] = "method_not_allowed",
  [413] = "too_large",
  [429] = "rate_limited",
}

local function error_body(shape, status, message, field)
  local code = ERROR_CODES[status] or (status >= 500 and "server_error") or "error"
  if shape == "empty" then
    return "", nil
  elseif shape == "text" then
    return code .. ": " .. message, "text/plain"
  end
  local facts = { message = message, field = field }
  if shape == "nested" then
    facts.code = code
    facts = { error = facts }
  elseif shape == "error" then
    facts = { error = code .. ": " .. message, field = field }
  else
    facts[shape] = code
  end
  return sandbox_json.write(facts), "application/json"
end

local function problem_answer(self, status, message, field, headers)
  local body, content_type = error_body(self.options.error_shape, status, message, field)
  headers = headers or {}
  headers["Content-Type"] = content_type
  return { status = status, headers = headers, body = body }
end

local function json_answer(value)
  return { status = 200, headers = { ["Content-Type"] = "application/json" }, body = sandbox_json.write(value) }
end

local OK_BODIES = {
  quoted = { '"ok"', "application/json" },
  raw = { "ok", "text/plain" },
  array = { "[]", "application/json" },
  null = { "null", "application/json" },
  empty = { "" },
}

local function ok_answer(self)
  local body = OK_BODIES[self.options.ok]
  return { status = 200, headers = { ["Content-Type"] = body[2] }, body = body[1] }
end

-- The contacts of a batch that can be taken, in order, and those that are to be listed; or the answer that ends it all.
local function sort_out(self, given)
  local settings = self.options
  local good, listed, place = {}, {}, {}
  for i, item in ipairs(given) do
    local field, problem = sandbox_contacts.problem(item, settings, self.refused)
    if problem then
      if settings.bad_contact == "refuse" then
        local where = ("[%d]%s"):format(i - 1, field ~= "" and "." .. field or "")
        return nil, problem_answer(self, 400, where .. " " .. problem, where)
      end
      listed[#listed + 1] = item
    elseif place[item.phone] and settings.duplicates == "refuse" then
      local where = ("[%d].phone"):format(i - 1)
      return nil, problem_answer(self, 400, where .. " stands twice in the request", where)
    elseif place[item.phone] and settings.duplicates == "list" then
      listed[#listed + 1] = item
    elseif place[item.phone] then
      good[place[item.phone]] = item
    else
      good[#good + 1] = item
      place[item.phone] = #good
    end
  end
  return good, nil, listed
end

local function batch(self, request)
  local settings = self.options
  local overwrite = request.query.overwrite or "false"
  if overwrite ~= "true" and overwrite ~= "false" then
    return problem_answer(self, 400, "overwrite must be true or false", "overwrite")
  end
  local given = request.decoded
  if not is_array(given) then
    return problem_answer(self, 400, "the body must be an array of contacts")
  elseif settings.max_contacts and #given > settings.max_contacts then
    return problem_answer(self, settings.too_large, ("more than %d contacts"):format(settings.max_contacts))
  end
  local good, ended, listed = sort_out(self, given)
  if not good then
    return ended
  end
  local shown = array {}
  for _, item in ipairs(good) do
    local stored = self.contacts[item.phone]
    if not stored or overwrite == "true" then
      self:store(item)
    elseif settings.list_existing then
      shown[#shown + 1] = sandbox_contacts.shown(stored, settings.phone_format)
    end
  end
  for _, item in ipairs(listed) do
    shown[#shown + 1] = sandbox_contacts.refused(item, settings.phone_format)
  end
  if #shown > 0 then
    return json_answer(shown)
  end
  return ok_answer(self)
end

local function inboxes(self)
  local list = array { { id = 1, name = "Sandbox", phone = "15555550100", team_id = TEAM } }
  return json_answer(self.options.inboxes == "object" and { inboxes = list } or list)
end

local function list_fields(self)
  local list = array {}
  for i, field in ipairs(self.fields or {}) do
    list[i] = { id = field.id, title = field.title }
  end
  return json_answer(list)
end

local function create_fields(self, request)
  local given = request.decoded
  if not is_array(given) then
    return problem_answer(self, 400, "the body must be an array of fields")
  end
  for i, item in ipairs(given) do
    if not is_object(item) or type(item.title) ~= "string" or item.title == "" then
      return problem_answer(self, 400, ("[%d].title is required"):format(i - 1), ("[%d].title"):format(i - 1))
    end
  end
  self.fields = self.fields or {}
  local answers = array {}
  for i, item in ipairs(given) do
    local found
    for _, field in ipairs(self.fields) do
      found = found or field.title == item.title and field
    end
    local duplicate = found and true or false
    if not found then
      found = { id = self:next_id(), title = item.title }
      self.fields[#self.fields + 1] = found
    end
    answers[i] = { id = found.id, title = found.title, duplicate = duplicate }
  end
  return json_answer(answers)
end

-- Tags have been there since 2024-01-01, one a second, so that each has its own time.
local FIRST_TAG = 1704067200

local function list_tags(self, request)
  local given = request.decoded
  if not is_object(given) then
    return problem_answer(self, 400, "the body must be an object")
  end
  local date = given.date
  if date ~= nil and not (type(date) == "string" and date:find "^%d%d%d%d%-%d%d%-%d%dT%d%d:%d%d:%d%d%.?%d*Z$") then
    return problem_answer(self, 400, "date must be an RFC 3339 date in UTC", "date")
  end
  -- Dates of one form sort as text; without a fraction a date stands for its full second.
  date = date and (date:find(".", 1, true) and date or date:gsub("Z$", ".000Z")) or ""
  local page = array {}
  for i, name in ipairs(self.options.tags) do
    local updated = iso(FIRST_TAG + i)
    if updated > date and #page < TAGS_PER_PAGE then
      page[#page + 1] =
        { id = i, tag = name, color = "#808080", team_id = TEAM, created = updated, updated = updated, rev = 1 }
    end
  end
  return json_answer(page)
end

local function team(self)
  return json_answer {
    id = TEAM,
    name = "Sandbox",
    list_size = self:count(),
    members = array { { id = CREATOR, name = "Sandbox User", role = "admin" } },
  }
end

local function create_one(self, request)
  local given = request.decoded
  local field, problem = sandbox_contacts.problem(given, self.options, self.refused)
  if problem then
    return problem_answer(self, 400, (field ~= "" and field or "the body") .. " " .. problem, field)
  end
  local stored = self:store(given)
  if not stored.display_name then
    local names = {}
    names[#names + 1] = stored.first
    names[#names + 1] = stored.last
    stored.display_name = names[1] and table.concat(names, " ")
  end
  return json_answer { id = stored.id, rev = stored.rev, uuid = uuid() }
end

local function search(self, request)
  local given = request.decoded
  local channels = is_object(given) and given.contact_channels
  if not is_array(channels) then
    return problem_answer(self, 400, "contact_channels is required", "contact_channels")
  end
  local found = array {}
  for _, channel in ipairs(channels) do
    if not is_object(channel) or channel.channel_type ~= "phone" or not is_array(channel.channel_ids) then
      return problem_answer(self, 400, "a channel needs the channel_type phone and channel_ids", "contact_channels")
    end
    for _, phone in ipairs(channel.channel_ids) do
      local stored = self.contacts[phone]
      if stored then
        found[#found + 1] = sandbox_contacts.shown(stored, self.options.phone_format)
      end
    end
  end
  return json_answer(found)
end

local ROUTES = {
  ["/v1/batch/contacts"] = { "POST", batch, true },
  ["/v1/inboxes"] = { "GET", inboxes },
  ["/v1/contact-fields"] = { "POST", list_fields },
  ["/v1/contacts/fields"] = { "POST", create_fields, true },
  ["/v1/tags"] = { "POST", list_tags, true },
  ["/v1/team"] = { "GET", team },
  ["/v1/contact"] = { "POST", create_one, true },
  ["/v2/contacts/search"] = { "POST", search, true },
}

-- Has this minute room for one more request? If not, seconds until it has.
local function take_turn(self)
  local limit = self.options.requests_per_minute
  if not limit then
    return true
  end
  local window, now = self.window, self.clock:monotonic()
  while window.first <= window.last and window[window.first] <= now - WINDOW do
    window[window.first] = nil
    window.first = window.first + 1
  end
  if window.last - window.first + 1 >= limit then
    return false, window[window.first] + WINDOW - now
  end
  window.last = window.last + 1
  window[window.last] = now
  return true
end

-- The answer as the API would give it.
local function regular(self, request)
  local settings = self.options
  local problem = sandbox_token.problem(request.headers.authorization, settings, self:time())
  if problem then
    return problem_answer(self, 401, problem)
  end
  local free, seconds = take_turn(self)
  if not free then
    local after = settings.retry_after
    if after then
      after = math.ceil(after == true and seconds or after)
    end
    return problem_answer(self, 429, "too many requests in this minute", nil, { ["Retry-After"] = after or nil })
  end
  local route = ROUTES[request.path]
  if not route then
    return problem_answer(self, 404, "there is nothing at this address")
  elseif route[1] ~= request.method then
    return problem_answer(self, 405, "this address takes " .. route[1], nil, { Allow = route[1] })
  elseif route[3] then
    local content_type = (request.headers["content-type"] or ""):lower()
    if settings.max_bytes and #request.body > settings.max_bytes then
      return problem_answer(self, settings.too_large, ("more than %d bytes"):format(settings.max_bytes))
    elseif not content_type:find "^application/json%f[%s;%z]" and content_type ~= "application/json" then
      return problem_answer(self, 400, "Content-Type must be application/json")
    elseif request.decoded == nil then
      return problem_answer(self, 400, "the body is not JSON: " .. request.not_json)
    end
  end
  return route[2](self, request)
end

-- The answers that a fault stands for where HTTP itself goes on as usual.
local function odd_answer(self, fault)
  if fault == "not_json" then
    return { status = 200, headers = { ["Content-Type"] = "application/json" }, body = "All contacts were processed." }
  elseif fault == "html" then
    local page = "<!DOCTYPE html>\n<html><head><title>Sign in</title></head><body>Sign in to go on.</body></html>\n"
    return { status = 200, headers = { ["Content-Type"] = "text/html" }, body = page }
  elseif fault == "redirect" then
    local headers = { Location = "https://elsewhere.invalid/", ["Content-Type"] = "text/html" }
    return { status = 302, headers = headers, body = "" }
  elseif fault == "oversized" then
    return { status = 200, headers = { ["Content-Type"] = "application/json" }, body = (" "):rep(OVERSIZED) }
  elseif fault == "truncated" then
    return ok_answer(self)
  end
  return {}
end

-- Names of headers have no case: one that is given replaces the one that is there.
local function set_headers(headers, more)
  local place = {}
  for name in pairs(headers) do
    place[name:lower()] = name
  end
  for name, value in pairs(more) do
    headers[place[name:lower()] or name] = tostring(value)
  end
end

local SEEN_AS_ANSWER = { not_json = true, html = true, redirect = true }

local function scripted(self, step, request)
  local answer
  if step.process or not step.status and not step.fault then
    answer = regular(self, request)
  end
  if step.status then
    local made = { status = step.status, headers = {}, body = "" }
    if step.status == 200 then
      made = ok_answer(self)
    elseif step.status >= 400 then
      made = problem_answer(self, step.status, "scripted")
    end
    if step.body then
      local is_table = type(step.body) == "table"
      made.body = is_table and sandbox_json.write(step.body) or step.body
      made.headers["Content-Type"] = is_table and "application/json" or made.headers["Content-Type"]
    end
    answer = made
  elseif step.fault and not (step.fault == "truncated" and answer) then
    answer = odd_answer(self, step.fault)
  end
  if step.fault and not SEEN_AS_ANSWER[step.fault] then
    answer.fault = step.fault
  end
  answer.delay = step.delay
  return answer
end

-- What the script's matchers and the routes want to know of a request; the body is read once, and only when asked for.
local function opened(given)
  local path, query_text = given.path:match "^([^?]*)%??(.*)$"
  local request = {
    method = given.method,
    path = path,
    query = {},
    headers = given.headers or {},
    body = given.body or "",
  }
  for name, value in query_text:gmatch "([^&=]+)=?([^&]*)" do
    request.query[name] = value
  end
  local ok, decoded = sandbox_json.read(request.body)
  if ok then
    request.decoded = decoded
  else
    request.not_json = decoded
  end
  local items = is_array(request.decoded) and request.decoded or { request.decoded }
  request.contacts = is_array(request.decoded) and #request.decoded or 0

  local found
  function request.phones()
    if found then
      return found
    end
    found = {}
    for _, item in ipairs(items) do
      local digits = is_object(item) and contact.phone(item.phone, false)
      if digits then
        found[digits] = true
      end
    end
    return found
  end

  function request.view()
    return {
      method = request.method,
      path = request.path,
      query = request.query,
      headers = request.headers,
      body = request.body,
      decoded = request.decoded,
      contacts = request.contacts,
    }
  end

  return request
end

--- Answers one request: the sandbox itself, whichever way requests come to it.
---@param given table method, path (with query), headers (by lower-case name), body
---@return table response status, headers (by name), body; and, where the script says so, delay (s) and fault, with
---which status, headers and body are only there when part of an answer comes
function Sandbox:handle(given)
  local request = opened(given)
  local step = sandbox_script.take(self.script_steps, request)
  local response = step and scripted(self, step, request) or regular(self, request)
  local request_id = uuid()
  if response.status then
    local headers = { ["X-Request-Id"] = request_id, Date = http_date(self:time()) }
    set_headers(headers, response.headers)
    if step then
      set_headers(headers, { ["Retry-After"] = step.retry_after })
      set_headers(headers, step.headers or {})
    end
    response.headers = headers
  end
  local log = self.requests
  log[#log + 1] = {
    method = request.method,
    path = given.path,
    status = response.status,
    fault = step and step.fault,
    contacts = request.contacts,
    request_id = request_id,
    body = request.decoded,
    time = self:time(),
  }
  if #log > self.options.keep_requests then
    table.remove(log, 1)
  end
  return response
end

--- Makes a client that talks to this sandbox, in-process and without a network. Its waiting takes no time: backoff,
--- pacing and delays only move the sandbox's clock.
---@param config table? as for heymarket.new, without base_url; of `runtime` all but the transport may be replaced
---@return heymarket.Client?
---@return heymarket.Failure?
function Sandbox:client(config)
  options.expect(config, "table?", "sandbox:client: config", 2)
  local settings = {}
  for name, value in pairs(config or {}) do
    settings[name] = value
  end
  options.expect(settings.runtime, "table?", "sandbox:client: runtime", 2)
  if settings.base_url ~= nil then
    error("sandbox:client: base_url cannot be set, the client talks to the sandbox", 2)
  elseif settings.runtime and settings.runtime.transport ~= nil then
    error("sandbox:client: runtime.transport cannot be set, it leads to the sandbox", 2)
  end
  local clock = self.clock
  local runtime = {
    monotonic = function()
      return clock:monotonic()
    end,
    time = function()
      return clock:time()
    end,
    sleep = function(seconds)
      clock:advance(seconds)
    end,
  }
  for name, value in pairs(settings.runtime or {}) do
    runtime[name] = value
  end
  runtime.transport = sandbox_transport.new(self)
  settings.runtime = runtime
  settings.base_url = BASE_URL
  settings.secret_id = settings.secret_id or self.options.secret_id
  settings.secret_key = settings.secret_key or self.options.secret_key
  return require("heymarket").new(settings)
end

return sandbox
