--- The records of a journal that are about contacts: how they are written, and what earlier runs noted, found by the
--- index of a contact.
---
--- While a journal is read, only where its records stand is kept: three numbers for each request. A record is read
--- again when its contacts come up.
local notes = {}

local json = require "heymarket.util.json"
local runtime = require "heymarket.runtime"

local hash = runtime.native("heymarket.rows").hash

local FINGERPRINT = 8 -- characters of a fingerprint
local AMBIGUOUS, TRUNCATED = 1, 2 -- flags of a rejected contact; their sum is written

local Notes = {}
Notes.__index = Notes

--- A hash of a contact. Its index counts too: the same contacts in another order are another input.
---@param entry heymarket.Entry
---@return string
function notes.hash_of(entry)
  return hash(entry.index .. ":" .. (entry.body or ""))
end

--- The start of that hash, by which a contact is known again.
---@param entry heymarket.Entry
---@return string
function notes.fingerprint_of(entry)
  local fingerprint = entry.fingerprint
  if not fingerprint then
    fingerprint = notes.hash_of(entry):sub(1, FINGERPRINT)
    entry.fingerprint = fingerprint
  end
  return fingerprint
end

local function by_index(a, b)
  return a.index < b.index
end

--- The ranges and the fingerprints of entries, as they stand in a record.
---@param entries heymarket.Entry[]
---@return string
function notes.ranges_and_fingerprints(entries)
  local sorted, fingerprints = {}, {}
  for i, entry in ipairs(entries) do
    sorted[i] = entry
  end
  table.sort(sorted, by_index)
  for i, entry in ipairs(sorted) do
    fingerprints[i] = notes.fingerprint_of(entry)
  end
  local ranges, i = {}, 1
  while i <= #sorted do
    local first, last = sorted[i].index, sorted[i].index
    while sorted[i + 1] and sorted[i + 1].index == last + 1 do
      i, last = i + 1, last + 1
    end
    ranges[#ranges + 1] = last > first and ("%d-%d"):format(first, last) or ("%d"):format(first)
    i = i + 1
  end
  return table.concat(ranges, ",") .. " " .. table.concat(fingerprints)
end

--- The same for a lot.
---@param lot heymarket.Lot
---@return string
function notes.ranges_of_lot(lot)
  return lot:ranges() .. " " .. lot:fingerprints()
end

--- A rejected contact, as it stands in a record.
---@param index integer
---@param remote table what the server listed
---@param is_ambiguous boolean? an earlier try may have created it
---@param is_truncated boolean? parts of remote are left out
---@return table
function notes.rejected_item(index, remote, is_ambiguous, is_truncated)
  -- The contact is JSON in JSON, so that it is read again by itself, however deep it is.
  return { index, (is_ambiguous and AMBIGUOUS or 0) + (is_truncated and TRUNCATED or 0), json.encode(remote) }
end

---------------------------------------------------------------------------------------------------------------------
-- Where records stand

-- A segment stands for a record or, because it may lie far away, for a superseded contact: the smallest and the
-- greatest index, and the place of the record.
function Notes:add_segment(first, last, place)
  local id = #self.places + 1
  self.firsts[id], self.lasts[id], self.places[id] = first, last, place
  self.last = math.max(self.last, last)
  return id
end

--- Adds a record, in the order of the journal.
---@param kind ">"|"<"|"!"
---@param rest string
---@param place integer where it stands
function Notes:add(kind, rest, place)
  local ranges, more = rest:match "^(%S+) %x+(.*)$"
  local first, last = tonumber(ranges:match "^%d+"), tonumber(ranges:match "%d+$")
  local id = self.unanswered[ranges]
  if id then
    -- The same contacts once more: no other record is about them, so the later one takes the place of the earlier.
    self.places[id] = place
  else
    id = self:add_segment(first, last, place)
  end
  self.unanswered[ranges] = kind ~= "<" and id or nil
  local superseded = more:match "^ (%S+)"
  for index in (superseded or ""):gmatch "(%d+):%x+" do
    self:add_segment(tonumber(index), tonumber(index), place)
  end
end

--- Ends the adding: from now on `find` may be called.
---@param log table the record log that holds the records
function Notes:complete(log)
  self.log = log
  self.unanswered = nil
  for id = 1, #self.places do
    self.order[id] = id
  end
  table.sort(self.order, function(a, b)
    local first, other = self.firsts[a], self.firsts[b]
    return first < other or first == other and a < b
  end)
end

--- The greatest index of which something is noted.
---@return integer
function Notes:last_index()
  return self.last
end

---------------------------------------------------------------------------------------------------------------------
-- Records

-- A record in a form in which contacts can be looked up.
local function parse(kind, rest)
  local ranges, fingerprints, superseded, rejected = rest:match "^(%S+) (%x+) ?(%S*) ?(.*)$"
  local record = { kind = kind, fingerprints = fingerprints, superseded = {}, at = 1 }
  record.written = rejected == "-" and "[]" or rejected
  local count = 0
  for first, last in ranges:gmatch "(%d+)%-?(%d*)" do
    first = tonumber(first)
    last = tonumber(last) or first
    record[#record + 1] = { first = first, last = last, before = count }
    count = count + last - first + 1
  end
  for index, fingerprint, doubt in superseded:gmatch "(%d+):(%x+)(%??)" do
    record.superseded[tonumber(index)] =
      { kind = "superseded", fingerprint = fingerprint, possibly_sent = doubt == "?" }
  end
  return record
end

-- What a record says of a contact. Contacts are looked up in ascending order.
local function look_up(record, index)
  if record.superseded[index] then
    return record.superseded[index]
  end
  while record[record.at] and record[record.at].last < index do
    record.at = record.at + 1
  end
  local range = record[record.at]
  if range and range.first <= index then
    local from = (range.before + index - range.first) * FINGERPRINT
    return { kind = record.kind, fingerprint = record.fingerprints:sub(from + 1, from + FINGERPRINT), record = record }
  end
end

-- Reads the records whose first contact comes up now.
function Notes:activate(index)
  local order = self.order
  while order[self.upcoming] and self.firsts[order[self.upcoming]] <= index do
    local id = order[self.upcoming]
    local kind, rest = self.log:read(self.places[id])
    if not kind then
      return nil, rest
    end
    self.active[#self.active + 1] = { place = self.places[id], last = self.lasts[id], record = parse(kind, rest) }
    self.upcoming = self.upcoming + 1
  end
  return true
end

--- The latest note of a contact. To be asked for indices in ascending order, and for each that `last_index` covers.
---@param index integer
---@return table? note kind (">", "<", "!", "superseded"), fingerprint, possibly_sent; nil where nothing is noted
---@return heymarket.Failure? problem why the journal cannot be read
function Notes:find(index)
  local ok, problem = self:activate(index)
  if not ok then
    return nil, problem
  end
  local active, latest, place = self.active, nil, -1
  for i = #active, 1, -1 do
    local segment = active[i]
    if segment.last < index then
      table.remove(active, i)
    elseif segment.place > place then
      local note = look_up(segment.record, index)
      if note then
        latest, place = note, segment.place
      end
    end
  end
  return latest
end

local function decode_rejected(written)
  local found = {}
  local ok, list = json.decode(written)
  for _, item in ipairs(ok and list or {}) do
    local is_read, remote = json.decode(item[3])
    ok = ok and is_read
    found[item[1]] = {
      outcome = "rejected",
      remote = remote,
      ambiguous = item[2] % TRUNCATED == AMBIGUOUS or nil,
      remote_truncated = item[2] >= TRUNCATED or nil,
    }
  end
  return ok and found
end

--- The outcomes of the rejected contacts of an answer, by index.
---@param note table a note of kind "<"
---@return table<integer, table>|false rejected false where the record cannot be read
function notes.rejected(note)
  local record = note.record
  if record.rejected == nil then
    record.rejected = decode_rejected(record.written)
  end
  return record.rejected
end

--- Makes an empty collection.
function notes.new()
  return setmetatable({
    firsts = {}, -- segments, in the order in which they were written
    lasts = {},
    places = {},
    unanswered = {}, -- by ranges: the segment of a record that is not answered; only while records are added
    order = {}, -- the segments by their first index
    upcoming = 1, -- the next one in `order` that `find` comes to
    active = {}, -- segments that `find` is in
    last = 0,
    log = nil,
  }, Notes)
end

return notes
