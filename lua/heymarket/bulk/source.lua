--- Intake: what users hand in becomes entries for the engine, each validated, in input order.
---
--- An import with a journal goes through it a second time: what an earlier run has done is booked as it was noted, and
--- what it left undone is sent.
local intake = {}

local contact = require "heymarket.contact"
local failure = require "heymarket.failure"
local options = require "heymarket.options"
local resume = require "heymarket.bulk.resume"
local text = require "heymarket.util.text"

local REST_EVERY = 256 -- contacts between two turns for others, in loops that do not wait
local MAX_HELD = 1000 -- contacts that wait until the journal is compared

-- The number of the last contact of an array that may have holes, or nil when it is no array.
local function array_size(contacts)
  local size, count = 0, 0
  for key in pairs(contacts) do
    if type(key) ~= "number" or key % 1 ~= 0 or key < 1 then
      return nil, key
    end
    size, count = math.max(size, key), count + 1
  end
  -- A few holes are told one by one; with more holes than this it is not meant as a list, and may have no end.
  if size - count > 1000 + count then
    return nil, size
  end
  return size
end

local A_HOLE = "is missing: the list has a hole"

-- Encodes a contact. One whose own metamethods raise is a mistake of the input like any other.
local function encoded(found, index, country, issues)
  local ok, body, phone = pcall(contact.encode, found, index, country, issues)
  if ok then
    return body, phone
  elseif failure.is_of_memory(body) then
    error(body, 0)
  end
  issues[#issues + 1] = { index = index, message = "cannot be read: " .. text.raised(body) }
end

local function not_a_list(odd)
  return {
    field = text.shown(odd),
    message = "stands where a list of contacts belongs: put the contact into braces, { { phone = … } }",
  }
end

--- Entries of a list, all validated at once.
---@param contacts table[]
---@param country string|boolean|nil see contact.phone
---@param issues heymarket.Issue[] every mistake is added here
---@param rest fun() called now and then
---@return (heymarket.Entry|false)[] entries false stands for an invalid contact
---@return integer size
function intake.list(contacts, country, issues, rest)
  local size, odd = array_size(contacts)
  if not size then
    issues[#issues + 1] = not_a_list(odd)
    return {}, 0
  end
  local entries = {}
  for index = 1, size do
    local body, phone
    if contacts[index] == nil then
      issues[#issues + 1] = { index = index, message = A_HOLE }
    else
      body, phone = encoded(contacts[index], index, country, issues)
    end
    entries[index] = body and { index = index, position = index, contact = contacts[index], phone = phone, body = body }
      or false
    if index % REST_EVERY == 0 then
      rest()
    end
  end
  return entries, size
end

--- Turns what `import` was given into a function that returns contact, position, row.
---@param source table|function
---@return function? read
---@return integer|heymarket.Failure|nil size number of contacts where all are at hand; a failure where it is no source
function intake.reader(source)
  if options.is_function(source) then
    return source
  end
  local size, odd = array_size(source)
  if not size then
    return nil, failure.invalid { not_a_list(odd) }
  end
  local i = 0
  return function()
    i = i + 1
    if i > size then
      return nil
    elseif source[i] == nil then
      return failure.invalid { { index = i, message = A_HOLE } }, i
    end
    return source[i], i
  end,
    size
end

-- The failure of a source that raised, or that gave nil and a message.
local function unreadable(why)
  if failure.is(why) then
    return why
  end
  return failure.new("source", "reading the contacts failed: " .. text.raised(why))
end

-- At its end a source gives nil, and perhaps the position that it has reached; nil and anything else mean that it
-- could not go on.
local function is_end(position)
  return not position or type(position) == "number"
end

-- Reads and validates: gives the next entry, which has a `problem` where the contact is invalid.
local function validated(read, default_country, running)
  local index, issues = 0, {}
  local ended = false
  return function()
    if ended then
      return nil -- a source that came to its end, or that failed, is not asked again
    elseif index % REST_EVERY == REST_EVERY - 1 then
      running.sender:yield()
    end
    local ok, found, position, row = pcall(read)
    if not ok or found == nil then
      ended = true
      if ok and is_end(position) then
        return nil
      end
      if ok then
        found = position
      end
      error(unreadable(found), 0)
    end
    index = index + 1
    running.taken = math.max(running.taken, index)
    if type(found) == "table" and getmetatable(found) ~= nil and failure.is(found) then
      return { index = index, position = position, row = row, problem = found }
    end
    local body, phone = encoded(found, index, default_country, issues)
    if body then
      return { index = index, position = position, row = row, contact = found, phone = phone, body = body }
    end
    local problem = failure.invalid(issues)
    issues = {}
    return { index = index, position = position, row = row, contact = found, problem = problem }
  end
end

-- The next entry that is to be sent, of a source that may give invalid ones and ones that an earlier run has finished.
local function sendable(entries, running)
  local batch, at = {}, 0
  return function()
    while true do
      at = at + 1
      local entry = batch[at]
      if not entry then
        batch, at = entries:take(running.options.batch_size), 0
        if not batch[1] then
          return nil
        end
      elseif entry.known then
        running:resume(entry, entry.known)
      elseif entry.problem then
        running:refuse(entry)
      else
        return entry
      end
    end
  end
end

-- A source that reads one entry at a time.
local function one_by_one(next_entry)
  return {
    take = function()
      return { next_entry() }
    end,
  }
end

--- The source of an import's engine.
---@param read function see intake.reader
---@param whole integer? number of contacts, where all are at hand
---@param settings table options of the call
---@param running table the engine
---@param notes table? the journal
---@return fun(): heymarket.Entry? source raises a failure to stop the call
function intake.source(read, whole, settings, running, notes)
  local next_entry = validated(read, settings.default_country, running)
  if notes then
    local over = resume.new {
      source = one_by_one(next_entry),
      journal = notes,
      is_finite = whole ~= nil,
      is_stopped = function()
        return running.sender:stop_reason() ~= nil
      end,
      max_held = math.max(MAX_HELD, settings.concurrency * settings.batch_size),
    }
    return sendable(over, running)
  end
  return function()
    while whole or not running.sender:stop_reason() do
      local entry = next_entry()
      if not entry or not entry.problem then
        return entry
      end
      running:refuse(entry)
    end
  end
end

return intake
