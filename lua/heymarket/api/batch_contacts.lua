--- The response of the batch call: the contacts that it lists as not created or overwritten, matched by their phones.
local batch_contacts = {}

local json = require "heymarket.util.json"
local phones = require "heymarket.contact.phone"

-- What is kept of a listed contact. A whole contact of the API is far smaller; a journal can read it again.
local LISTED = { bytes = 16 * 1024, values = 512, depth = 32 }

---@class heymarket.Listed a contact that a response lists as not created or overwritten
---@field phone string? its digits; nil where it has none that can be read
---@field remote table? what the server returned, where there is a phone
---@field truncated boolean? true where that was too large to keep whole

-- The digits of the phone in a listed contact, whichever way the server wrote them. A number with a point or an
-- exponent is no phone, even where its value is whole.
local function phone_of(item, fractions)
  if type(item) ~= "table" or fractions[item] and fractions[item].phone then
    return nil
  end
  return phones.of_answer(item.phone)
end

-- A server that writes our token into the contacts that it lists could bring it into reports and journals. Of such a
-- response only ids and phones are kept.
local function hide_token(listed, response)
  if #listed == 0 or not response:shows_token() then
    return
  end
  for _, item in ipairs(listed) do
    local id = item.remote and item.remote.id
    if type(id) == "string" and response:shows_token(id) or type(id) == "table" then
      id = nil
    end
    item.remote = item.remote and { id = id, phone = item.phone }
    item.truncated = item.remote and true
  end
end

-- These mean that nothing was refused. That an empty body is whole is known: else there would be a failure.
local NOTHING = { [""] = true, ok = true, ['"ok"'] = true, null = true, ["[]"] = true }

--- Reads the response.
---@param response heymarket.Response
---@return heymarket.Listed[]? listed
---@return string? code of the message where it is no such response
---@return table<string, any>? values
function batch_contacts.read(response)
  local listed = {}
  if NOTHING[response:trimmed()] then
    return listed
  end
  local body = response.body
  local ok, value, facts = json.decode(body)
  if not ok then
    return nil, "not_json", { why = value }
  elseif not json.is_array(value) then
    return nil, "not_a_batch_response"
  end
  -- Where the whole response is that small, no contact needs to be measured.
  local small = #body <= LISTED.bytes and facts.values <= LISTED.values and facts.depth <= LISTED.depth
  for i, item in ipairs(value) do
    local phone = phone_of(item, facts.fractions)
    listed[i] = { phone = phone }
    if phone then
      local remote, cut = item, false
      if not small then
        remote, cut = json.bounded(item, LISTED)
      end
      listed[i].remote, listed[i].truncated = remote, cut or nil
    end
  end
  hide_token(listed, response)
  return listed
end

--- Has a listed contact the id of one that the account holds? A server may write an empty id for a contact that it did
-- not create.
---@param remote table? what the server returned
---@return boolean
function batch_contacts.has_id(remote)
  local id = type(remote) == "table" and remote.id
  return type(id) == "number" and id > 0 or type(id) == "string" and id:find "[^0]" ~= nil
end

--- Finds the entries of a request that a response lists, by their phones.
---@param listed heymarket.Listed[]
---@param entries heymarket.Entry[]
---@return table<string, table> remotes by phone: what the server returned
---@return table<string, boolean> truncated by phone
---@return integer unmatched listed contacts that are not in the request: nobody knows which were meant
function batch_contacts.match(listed, entries)
  local remotes, truncated, unmatched = {}, {}, 0
  if listed[1] == nil then
    return remotes, truncated, unmatched
  end
  local known = {}
  for _, entry in ipairs(entries) do
    known[entry.phone] = true
  end
  for _, item in ipairs(listed) do
    local phone = item.phone
    if not phone or not known[phone] then
      unmatched = unmatched + 1
    elseif not batch_contacts.has_id(remotes[phone]) then
      -- An account may hold two contacts of one phone. One that has an id shows that it exists.
      remotes[phone], truncated[phone] = item.remote, item.truncated
    end
  end
  return remotes, truncated, unmatched
end

return batch_contacts
