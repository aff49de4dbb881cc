--- Order: which entries may stand in the next request.
---
--- The contacts of one phone go out one after another, in input order: while a phone is in flight, its later entries
--- are blocked. Two phones are confusable where one is the other with one to four digits in front, as with and without
--- a country code: an answer that lists the shorter one could mean either, so they never stand in one request.
local order = {}

local fifo = require "heymarket.util.fifo"
local rows = require "heymarket.rows"

local sub = string.sub
local unpack = rawget(_G, "unpack") or rawget(table, "unpack")

-- Entries that are blocked at most. Beyond this nothing more is read, so that memory stays flat.
local MAX_BLOCKED = 1000
-- Digits of the shortest phone, and of the longest country code.
local MIN_PHONE, MAX_PREFIX = 7, 4

local Order = {}
Order.__index = Order

--- Makes the order of one call.
function order.new()
  return setmetatable({
    in_flight_phones = rows.phones(), -- of entries and lots that may go or have gone, until they are released
    blocked = {}, -- by phone: queue of the entries that wait until it is released
    blocked_count = 0,
    runnable = fifo.new(), -- entries that may go, but found no place in the last request
  }, Order)
end

local function is_confusable(a, b)
  local more = #a - #b
  if more < 0 then
    a, b, more = b, a, -more
  end
  return more >= 1 and more <= MAX_PREFIX and sub(a, more + 1) == b
end

-- Adds a phone to others, which stand by their last digits. False where it must not stand beside one of them.
local function add_phone(phones, phone)
  local tail = sub(phone, -MIN_PHONE)
  local others = phones[tail] or {}
  for _, other in ipairs(others) do
    if is_confusable(phone, other) then
      return false
    end
  end
  others[#others + 1] = phone
  phones[tail] = others
  return true
end

-- May this phone stand in the batch? Phones of one length are never confusable: they are compared from the first one on
-- that has another length.
local function fits(batch, phone)
  batch.length = batch.length or #phone
  if not batch.phones then
    if #phone == batch.length then
      return true
    end
    batch.phones = {}
    for _, entry in ipairs(batch.entries) do
      add_phone(batch.phones, entry.phone)
    end
  end
  return add_phone(batch.phones, phone)
end

-- Puts entries into a batch. Those that find no place are left over.
local function fill(batch, entries)
  local chosen, left_over, bytes = batch.entries, batch.left_over, batch.bytes
  for i = 1, #entries do
    local entry = entries[i]
    local size = bytes + #entry.body + 1
    if batch.is_full or not fits(batch, entry.phone) then
      left_over[#left_over + 1] = entry
    elseif size > batch.max_bytes and chosen[1] then
      batch.is_full = true
      left_over[#left_over + 1] = entry
    else
      chosen[#chosen + 1] = entry
      bytes = size
    end
  end
  batch.bytes = bytes
end

-- How many entries more does a batch take? None where as many are left over as go into it.
local function missing(batch)
  if batch.is_full or #batch.left_over >= batch.size then
    return 0
  end
  return batch.size - #batch.entries
end

--- Takes entries in. Entries whose phone is in flight already are blocked.
---@param entries heymarket.Entry[] in input order
---@return heymarket.Entry[] admitted the others: their phones are in flight from here on
function Order:admit(entries)
  local in_flight, admitted = self.in_flight_phones, nil
  for i = 1, #entries do
    local entry = entries[i]
    local phone = entry.phone
    if not in_flight:add(phone) then
      admitted = admitted or { unpack(entries, 1, i - 1) }
      self:block(phone, entry)
    elseif admitted then
      admitted[#admitted + 1] = entry
    end
  end
  return admitted or entries
end

function Order:block(phone, entry)
  self.blocked[phone] = self.blocked[phone] or fifo.new()
  self.blocked[phone]:push(entry)
  self.blocked_count = self.blocked_count + 1
end

--- Do entries wait that may go?
---@return boolean
function Order:has_runnable()
  return self.runnable:length() > 0
end

--- May a lot be the next request? Not where entries wait that come first, or where nothing more is to be read.
---@return boolean
function Order:takes_lots()
  return not self:has_runnable() and self.blocked_count < MAX_BLOCKED
end

--- Takes a lot in, where all its contacts may stand in one request now.
---@param lot heymarket.Lot
---@return boolean admitted its phones are in flight from here on; otherwise nothing has changed
function Order:admit_lot(lot)
  return self.in_flight_phones:add_lot(lot)
end

--- Frees the phones of a lot that has left the call.
---@param lot heymarket.Lot
---@return boolean released false where entries wait for one of its phones: then its entries are to be released
function Order:release_lot(lot)
  if self.blocked_count > 0 then
    return false
  end
  self.in_flight_phones:remove_lot(lot)
  return true
end

--- Chooses the entries of the next request: first those that are runnable, then those that are read.
---@param size integer entries at most
---@param max_bytes integer bytes of its body at most; a single entry may be larger
---@param read fun(count: integer): heymarket.Entry[] gives at most so many more entries; none where none can be had now
---@return heymarket.Entry[] entries empty where nothing may go now
function Order:next_batch(size, max_bytes, read)
  local waiting = self.runnable:length()
  local entries = waiting == 0 and self.blocked_count < MAX_BLOCKED and read(size)
  if waiting == 0 and not (entries and entries[1]) then
    return entries or {} -- as at the end of each call
  end
  -- Two brackets, and a comma before each entry but the first.
  local batch = { entries = {}, left_over = {}, bytes = 1, size = size, max_bytes = max_bytes }
  while waiting > 0 and missing(batch) > 0 do
    fill(batch, { self.runnable:shift() })
    waiting = waiting - 1
  end
  while missing(batch) > 0 and self.blocked_count < MAX_BLOCKED do
    entries = entries or read(missing(batch))
    if not entries[1] then
      break
    end
    fill(batch, self:admit(entries))
    entries = nil
  end
  for _, entry in ipairs(batch.left_over) do
    self.runnable:push(entry)
  end
  return batch.entries
end

--- Frees the phones of entries that have left the call. The next entry of each phone is runnable.
---@param entries heymarket.Entry[]
function Order:release(entries)
  for _, entry in ipairs(entries) do
    local phone = entry.phone
    local waiting = self.blocked[phone]
    if not waiting then
      self.in_flight_phones:remove(phone)
    else
      -- The phone stays in flight, so that an entry that is read later cannot overtake this one.
      self.runnable:push(waiting:shift())
      self.blocked_count = self.blocked_count - 1
      if waiting:length() == 0 then
        self.blocked[phone] = nil
      end
    end
  end
end

return order
