--- The journal of an import: what has its outcome, so that the same call can go on after a death or a power cut.
---
--- A record log (see record_log.lua) with these records:
---
---   input <count> <sum>[ limit]                           fingerprint of the first contacts of the source; where it
---                                                         says `limit`, the source was cut short behind them
---   > <indices> <fingerprints>                            these are about to be sent
---   < <indices> <fingerprints> <superseded> <rejected>    these were answered; what is not rejected was accepted
---   ! <indices> <fingerprints>                            these certainly did not arrive
---   end <count>                                           the source ended after so many contacts
---
--- Indices are ranges such as 1-100,105. A fingerprint is the start of a hash of a contact's index and wire form: it
--- shows another input. Where two records speak of the same contact, the later one holds.
---
--- `superseded`, with `overwrite` only, names earlier contacts that were not taken and whose phone was just accepted
--- with newer data: sending them again would bring the older data back.
---
--- The header of the log is what the import was told, as JSON.
local journal = {}

local failure = require "heymarket.failure"
local json = require "heymarket.util.json"
local notes = require "heymarket.bulk.notes"
local record_log = require "heymarket.bulk.record_log"

local FORMAT = "heymarket-journal 2 "
local OLD_FORMAT = "heymarket-journal 1 "
local SUM_LIMIT = 2 ^ 52 -- sums stay exact in a double
local SYNC_AFTER = 1 -- seconds between two waits for the disk while answers come in

local Journal = {}
Journal.__index = Journal

--- Number of contacts by which an input is known at the start.
journal.PREFIX = 100

---------------------------------------------------------------------------------------------------------------------
-- Writing

-- Ranges and fingerprints of the contacts of a batch.
local function record_of(batch)
  return batch.lot and notes.ranges_of_lot(batch.lot) or notes.ranges_and_fingerprints(batch.entries)
end

--- Notes contacts that are about to be sent. None of them may leave before `commit`.
---@param batch heymarket.Batch
---@return boolean?
---@return heymarket.Failure?
function Journal:sending(batch)
  self.is_uncommitted = true
  return self.log:append("> " .. record_of(batch))
end

--- Brings to the disk what `sending` has noted: one wait for everything since the last one.
---@return boolean?
---@return heymarket.Failure?
function Journal:commit()
  if not self.is_uncommitted then
    return true
  end
  local ok, problem = self.log:sync()
  self.is_uncommitted = not ok
  return ok, problem
end

-- Remembers, for the length of this run, contacts that were not taken: when their phone is accepted with a later
-- contact, they must not be sent again.
function Journal:remember(entry, possibly_sent)
  if self.overwrite then
    local noted = ("%d:%s%s"):format(entry.index, notes.fingerprint_of(entry), possibly_sent and "?" or "")
    local before = self.not_taken[entry.phone]
    self.not_taken[entry.phone] = before and before .. "," .. noted or noted
  end
end

-- The record of answered contacts.
local function answer_record(known, superseded, rejected)
  return ("< %s %s %s"):format(
    known,
    #superseded > 0 and table.concat(superseded, ",") or "-",
    #rejected > 0 and json.encode(rejected) or "-"
  )
end

local function append_answer(self, record)
  local ok, why = self.log:append(record)
  if not ok then
    return nil, why
  end
  return self.log:sync_after(SYNC_AFTER)
end

--- Notes contacts that a 200 answer covers.
---@param entries heymarket.Entry[]
---@param remotes table<string, table> by phone: what the server listed
---@param problem heymarket.Failure? set where the contacts that were not listed are unknown
---@param possibly_sent boolean? an earlier try may have been acted upon
---@param truncated table<string, boolean> by phone: remotes of which parts are left out
---@return boolean?
---@return heymarket.Failure?
function Journal:answered(entries, remotes, problem, possibly_sent, truncated)
  local known, superseded, rejected = {}, {}, json.array {}
  for _, entry in ipairs(entries) do
    local remote = remotes[entry.phone]
    if remote then
      known[#known + 1] = entry
      local is_ambiguous = possibly_sent or entry.possibly_sent
      rejected[#rejected + 1] = notes.rejected_item(entry.index, remote, is_ambiguous, truncated[entry.phone])
    elseif problem then
      self:remember(entry, true)
    else
      known[#known + 1] = entry
      superseded[#superseded + 1] = self.not_taken[entry.phone]
      self.not_taken[entry.phone] = nil
    end
  end
  if #known == 0 then
    return true
  end
  return append_answer(self, answer_record(notes.ranges_and_fingerprints(known), superseded, rejected))
end

--- Notes a lot of which a 200 answer lists no contact.
---@param lot heymarket.Lot
---@return boolean?
---@return heymarket.Failure?
function Journal:answered_lot(lot)
  return append_answer(self, answer_record(notes.ranges_of_lot(lot), {}, {}))
end

--- Must the phones of accepted contacts be looked at, because earlier contacts of some phones were not taken?
---@return boolean
function Journal:remembers_phones()
  return next(self.not_taken) ~= nil
end

--- Notes contacts that were refused or never arrived: where that is certain, a later run sends them as if for the first
--- time.
---@param entries heymarket.Entry[]
---@param problem heymarket.Failure? nil where they never left
---@param possibly_sent boolean?
---@return boolean?
---@return heymarket.Failure?
function Journal:failed(entries, problem, possibly_sent)
  local certain = {}
  for _, entry in ipairs(entries) do
    local arrived = problem and problem.delivered == "maybe" or possibly_sent or entry.possibly_sent
    if not arrived then
      certain[#certain + 1] = entry
    end
    self:remember(entry, arrived)
  end
  return #certain == 0 or self.log:append("! " .. notes.ranges_and_fingerprints(certain))
end

---------------------------------------------------------------------------------------------------------------------
-- Comparing with what earlier runs noted

local function other_input(index)
  return failure.make("journal", "journal_other_input", { index = index }, { reason = "other_input" })
end

local function superseded_failure(possibly_sent)
  local delivered = possibly_sent and "maybe" or "no"
  return failure.make("stopped", "superseded", nil, { reason = "superseded", delivered = delivered })
end

-- The outcome of all that was accepted.
local ACCEPTED = { outcome = "accepted" }

-- Sets in an entry what a note says of it. Returns a failure where the note cannot be read.
function Journal:apply(note, entry)
  if note.kind == "superseded" then
    local outcome = note.possibly_sent and "unknown" or "failed"
    entry.known = { outcome = outcome, failure = superseded_failure(note.possibly_sent) }
  elseif note.kind == "<" then
    local rejected = notes.rejected(note)
    if not rejected then
      return failure.make("journal", "journal_unreadable", { path = self.path })
    end
    entry.known = rejected[entry.index] or ACCEPTED
  else
    entry.possibly_sent = note.kind == ">" or nil
  end
end

-- Compares an entry with what is noted of it. Returns a failure where it is not the contact that was noted.
function Journal:verify(entry)
  local index = entry.index
  if self.total and index > self.total then
    return other_input(index)
  end
  local note, problem = self.notes:find(index)
  if not note then
    return problem
  elseif entry.problem or note.fingerprint ~= notes.fingerprint_of(entry) then
    return other_input(index) -- an invalid contact was never sent
  end
  return self:apply(note, entry)
end

--- Compares entries with what earlier runs noted of them. All entries of the input are to be given, in its order; those
--- that were given before are passed over.
---@param entries heymarket.Entry[] an entry that an earlier run has finished gets `known` (outcome, and what else its
--- item has), one that it may have sent gets `possibly_sent`
---@return boolean? ok
---@return heymarket.Failure? problem where an entry is not the one that was noted; later ones were not compared
function Journal:compare(entries)
  for _, entry in ipairs(entries) do
    if entry.index > self.compared then
      local problem = (entry.index <= self.last_noted or self.total) and self:verify(entry)
      if problem then
        return nil, problem
      end
      self.compared = entry.index
    end
  end
  return true
end

--- Was everything that earlier runs noted compared, after so many contacts?
---@param count integer
---@return boolean
function Journal:is_verified(count)
  return count >= (self.total and math.huge or self.last_noted)
end

--- Compares or notes where the input ends.
---@param count integer
---@param is_cut_short boolean did the source end before its input? Then nothing is known of the input's end
---@return boolean?
---@return heymarket.Failure?
function Journal:ended(count, is_cut_short)
  if is_cut_short then
    return true
  end
  if self.total and self.total ~= count or count < self.last_noted then
    return nil, other_input(count)
  end
  return self.total and true or self.log:append(("end %d"):format(count))
end

-- A number that stands for the first `count` entries.
local function sum_of(entries, count)
  local sum = 0
  for i = 1, count do
    sum = (sum + tonumber(notes.hash_of(entries[i]):sub(1, 13), 16)) % SUM_LIMIT -- 52 bits of the hash
  end
  return sum
end

--- Compares or notes the fingerprint of the input, before anything is sent.
---@param entries heymarket.Entry[] the first PREFIX entries, or all where there are less; invalid ones included
---@param is_cut_short boolean did the source end before its input?
---@return boolean?
---@return heymarket.Failure?
function Journal:begin(entries, is_cut_short)
  local count, noted = #entries, self.prefix
  is_cut_short = is_cut_short and count < journal.PREFIX
  if noted and is_cut_short and count < noted.count then
    return true -- too few for the fingerprint: what is noted of each of them is compared
  elseif noted and count ~= noted.count and not (noted.is_cut_short and count > noted.count) then
    return nil, other_input(count)
  elseif noted and noted.sum ~= sum_of(entries, noted.count) then
    return nil, other_input(count)
  elseif noted and count == noted.count and (is_cut_short or not noted.is_cut_short) then
    return true
  end
  local record = ("input %d %.0f"):format(count, sum_of(entries, count))
  return self.log:append(is_cut_short and record .. " limit" or record)
end

---------------------------------------------------------------------------------------------------------------------
-- Opening and closing

--- Ends the use of the journal. The file stays: the same call finds in it that nothing is left to do.
---@return boolean?
---@return heymarket.Failure?
function Journal:close()
  return self.log:close()
end

-- Takes in a record that an earlier run has written. False where its kind is not known.
function Journal:read(kind, rest, place)
  if kind == ">" or kind == "<" or kind == "!" then
    self.notes:add(kind, rest, place)
  elseif kind == "input" then
    local count, sum, limit = rest:match "^(%d+) (%d+)( ?l?i?m?i?t?)$"
    self.prefix = { count = tonumber(count), sum = tonumber(sum), is_cut_short = limit == " limit" }
  elseif kind == "end" then
    self.total = tonumber(rest)
  else
    return false
  end
  return true
end

-- The names of what differs between two tables of options.
local function differences(stored, options)
  local different = {}
  for name, value in pairs(options) do
    different[#different + 1] = stored[name] ~= value and name or nil
  end
  for name in pairs(stored) do
    different[#different + 1] = options[name] == nil and name or nil
  end
  table.sort(different)
  return different
end

-- Was an existing journal made with the same options? Gives a code and values where it was not.
local function check_header(header, options)
  local ok, stored = json.decode(header)
  if not ok or type(stored) ~= "table" then
    return "journal_damaged", { line = 1 }
  end
  local different = differences(stored, options)
  if #different > 0 then
    return "journal_other_options", { names = table.concat(different, ", ") }
  end
end

--- Opens a journal, a new one or that of an earlier run.
---@param path string
---@param options table<string, any> what makes one import different from another
---@param clock fun():number seconds, never going back
---@return table? journal
---@return heymarket.Failure?
function journal.open(path, options, clock)
  local self = setmetatable({
    path = path,
    log = nil,
    notes = notes.new(),
    overwrite = options.overwrite,
    is_uncommitted = false, -- is there a note of contacts about to be sent that may not be on the disk yet?
    not_taken = {}, -- by phone: contacts of this run that were not taken, as `superseded` lists them
    prefix = nil, -- count and sum of the first contacts, and is_cut_short
    total = nil, -- number of contacts of the input, where its end was seen
    last_noted = 0, -- greatest index of which something is noted
    compared = 0, -- index of the last entry that was compared
  }, Journal)
  local log, problem = record_log.open {
    path = path,
    format = FORMAT,
    old_format = OLD_FORMAT,
    header = json.encode(options),
    check_header = function(header)
      return check_header(header, options)
    end,
    on_record = function(kind, rest, place)
      return self:read(kind, rest, place)
    end,
    clock = clock,
  }
  if not log then
    return nil, problem
  end
  self.log = log
  self.notes:complete(log)
  self.last_noted = self.notes:last_index()
  return self
end

return journal
