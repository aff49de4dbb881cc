--- Sources: what users hand in becomes entries, a batch at a time, each contact checked, in input order.
local source = {}

local contact = require "heymarket.contact"
local failure = require "heymarket.failure"
local options = require "heymarket.options"
local text = require "heymarket.util.text"

---@class heymarket.Entry a contact on its way
---@field index integer its number in the call, 1 is the first
---@field position any where it stands in the source
---@field origin any what the source needs to give the contact back
---@field row any what the source gave as third value
---@field phone string? digits
---@field body string? its JSON
---@field is_doubtful boolean? the phone, read by region, is in no range of numbers that libphonenumber knows
---@field problem heymarket.Failure? why it cannot be sent
---@field known table? outcome that an earlier run has noted, see bulk/journal.lua
---@field possibly_sent boolean? an earlier run may have sent it
---@field batch heymarket.Batch? the last one in which it was sent

local unpack = rawget(_G, "unpack") or rawget(table, "unpack")

local Source = {}
Source.__index = Source

-- A list with a few holes is read, and each hole is an invalid contact. With more holes than this it is not meant as a
-- list, and may have no end.
local MAX_HOLES = 1000
-- A batch is not filled any further when its bodies have so many bytes, so that memory stays flat with large contacts.
local MAX_BYTES = 1024 * 1024

-- The number of the last contact of an array, or nil and a key that shows that it is none.
local function array_size(contacts)
  local size, count = 0, 0
  for key in pairs(contacts) do
    if type(key) ~= "number" or key % 1 ~= 0 or key < 1 then
      return nil, key
    end
    size, count = math.max(size, key), count + 1
  end
  if size - count > MAX_HOLES + count then
    return nil, size
  end
  return size
end

local function array_reader(contacts, size)
  local i = 0
  return function()
    i = i + 1
    if i > size then
      return nil
    elseif contacts[i] == nil then
      return failure.invalid { { index = i, code = "hole_in_array" } }, i
    end
    return contacts[i], i
  end
end

--- Are all contacts at hand? Then each has an outcome, also where the call stops before it comes to them.
---@return boolean
function Source:is_finite()
  return self.size ~= nil
end

--- Did the source end before its input, so that more may follow there?
---@return boolean
function Source.is_cut_short()
  return false
end

--- Number of contacts that were handed in, as far as that is known.
---@return integer
function Source:taken()
  return self.size or self.index
end

--- Says in items which contacts they are of.
---@param entries heymarket.Entry[]
---@param items heymarket.Item[] of these entries, in the same order
function Source.describe(_, entries, items)
  for i, item in ipairs(items) do
    local entry = entries[i]
    item.index, item.position = entry.index, entry.position
    item.contact, item.row = entry.origin, entry.row
  end
end

-- The failure of a source that raised, or that gave nil and a message.
local function unreadable(why)
  if failure.is(why) then
    return why
  end
  return failure.make("source", "source_failed", { raised = text.raised(why) })
end

-- The source has given nil. At its end it may give the position that it has reached beside it. Anything else beside it
-- means that it could not go on.
local function check_end(position)
  if position and type(position) ~= "number" then
    error(unreadable(position), 0)
  end
end

-- Reads and checks the next contact. Returns the size of its body; nil after the last one of a batch: at the end, and
-- after a contact that cannot be sent, so that nothing is read before the user knows of it.
local function add_next(self, entries)
  local ok, found, position, row = pcall(self.read)
  if not ok or found == nil then
    self.has_ended = true -- a source that failed is not asked again
    if not ok then
      error(unreadable(found), 0)
    end
    check_end(position)
    return nil
  end
  local index = self.index + 1
  self.index = index
  if type(found) == "table" and getmetatable(found) ~= nil and failure.is(found) then
    entries[#entries + 1] = { index = index, position = position, row = row, problem = found }
    return nil
  end
  local body, phone, is_doubtful = contact.encode(found, index, self.default_country, self.issues)
  local entry = { index = index, position = position, origin = found, row = row, phone = phone, body = body }
  entry.is_doubtful = is_doubtful or nil
  if not body then
    entry.problem, self.issues = failure.invalid(self.issues), {}
  end
  entries[#entries + 1] = entry
  return body and #body
end

local function fill(self, entries, n)
  local bytes = 0
  repeat
    local size = add_next(self, entries)
    bytes = bytes + (size or 0)
    n = n - 1
  until not size or n == 0 or bytes >= MAX_BYTES
end

--- Gives the next entries. An entry with a `problem` is the last of its batch.
---@param n integer
---@return heymarket.Entry[] entries at most n; empty at the end; raises a failure where the source cannot go on
function Source:take(n)
  local entries, raised = {}, self.raised
  if raised == nil and not self.has_ended and (self.size or not self.is_stopped()) then
    local ok, problem = pcall(fill, self, entries, n)
    if not ok then
      raised, self.issues = problem, {}
    end
  end
  self.raised = raised
  if raised ~= nil and not entries[1] then
    self.raised = nil
    error(raised, 0)
  end
  return entries
end

-- A source that makes entries itself, a batch at a time, and knows what they stand for, as heymarket.csv.open gives.
local Batches = setmetatable({}, { __index = Source })
Batches.__index = Batches

-- Has an object this method? Asked without running code of the user.
local function has_method(given, name)
  local meta = getmetatable(given)
  local methods = type(meta) == "table" and rawget(meta, "__index")
  return type(methods) == "table" and rawget(methods, name) ~= nil
end

-- A source that raised is not asked again.
local function fail(self, raised)
  self.has_ended = true
  error(failure.is_of_memory(raised) and raised or unreadable(raised), 0)
end

--- See Source:is_cut_short.
function Batches:is_cut_short()
  return self.tells_cut and self.read:is_cut_short() == true
end

--- See Source:take.
function Batches:take(n)
  if self.has_ended or self.is_stopped() then
    return {}
  end
  local ok, entries = pcall(self.read.take, self.read, n, self.default_country, self.index)
  if not ok then
    fail(self, entries)
  end
  self.has_ended = entries[1] == nil
  self.index = self.index + #entries
  return entries
end

--- Gives the next contacts as a lot, where the user's source offers that and the next ones are ordinary.
---@param n integer
---@param max_bytes integer
---@param lot heymarket.Lot? see Source:take_lot of heymarket.csv
---@return heymarket.Lot? lot raises a failure where the source cannot go on
---@return "odd"|"full"|nil state nil where `take` must give the next contacts
function Batches:take_lot(n, max_bytes, lot)
  if not self.gives_lots or self.has_ended or self.is_stopped() then
    return nil
  end
  local before = lot and lot:count() or 0
  local ok, taken, state = pcall(self.read.take_lot, self.read, n, max_bytes, self.default_country, self.index, lot)
  if not ok then
    fail(self, taken)
  end
  self.index = self.index + (taken and taken:count() - before or 0)
  return taken, state
end

--- See Source:describe.
function Batches:describe(entries, items)
  self.read:describe(entries, items)
end

-- Entries that were checked already, as a source.
local Checked = setmetatable({}, { __index = Source })
Checked.__index = Checked

--- Makes a source of entries that can all be sent.
---@param entries heymarket.Entry[]
---@return table source
function source.of_entries(entries)
  return setmetatable({ entries = entries, size = #entries, index = 0 }, Checked)
end

--- See Source:take.
function Checked:take(n)
  local before = self.index
  self.index = math.min(before + n, self.size)
  return { unpack(self.entries, before + 1, self.index) }
end

-- Makes a source. `size` is the number of contacts, where all are at hand.
local function make(methods, read, size, default_country, is_stopped)
  return setmetatable({
    read = read,
    size = size,
    default_country = default_country,
    is_stopped = is_stopped,
    index = 0, -- of the last contact that was read
    issues = {}, -- of the contact that is being checked
    has_ended = false,
    raised = nil, -- what the next `take` raises, because entries came before it
  }, methods)
end

--- Makes a source of an array of contacts.
---@param contacts table
---@param default_country string|boolean|nil see contact.phone
---@return table? source
---@return heymarket.Failure? problem where it is no array
function source.of_array(contacts, default_country)
  local size, odd = array_size(contacts)
  if not size then
    return nil, failure.invalid { { field = text.shown(odd), code = "not_an_array" } }
  end
  return make(Source, array_reader(contacts, size), size, default_country)
end

--- Makes a source of what `import` was given.
---@param given table|function an array of contacts, a function (or callable object) that gives contact, position, row,
--- or an object with the methods `take` and `describe`
---@param default_country string|boolean|nil see contact.phone
---@param is_stopped fun(): boolean has the call stopped? Then nothing more is read, except from an array
---@return table? source
---@return heymarket.Failure? problem where it is none of these
function source.new(given, default_country, is_stopped)
  if has_method(given, "take") and has_method(given, "describe") then
    local made = make(Batches, given, nil, default_country, is_stopped)
    made.gives_lots = has_method(given, "take_lot")
    made.tells_cut = has_method(given, "is_cut_short")
    return made
  elseif options.is_function(given) then
    return make(Source, given, nil, default_country, is_stopped)
  end
  return source.of_array(given, default_country)
end

return source
