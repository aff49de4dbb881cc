--- A journal over a source: gives the entries of the source, compared with what an earlier run has noted of them.
---
--- An entry that an earlier run has finished comes with `known`, its outcome. An entry that is to be sent is held until
--- everything that the journal notes was seen again, so that a journal of another input is noticed before anything is
--- sent. Only `max_held` entries are held; beyond that the oldest ones are given.
local resume = {}

local journal = require "heymarket.bulk.journal"

local Resume = {}
Resume.__index = Resume

--- Puts a journal over a source.
---@param dependencies table `source` (has take(n), is_cut_short()), `journal`, `is_finite` (are all contacts at hand,
--- so that they are read even after the call has stopped?), `is_stopped` (a function: has the call stopped?),
--- `max_held`
function resume.new(dependencies)
  return setmetatable({
    source = dependencies.source,
    journal = dependencies.journal,
    is_finite = dependencies.is_finite,
    is_stopped = dependencies.is_stopped,
    max_held = dependencies.max_held,
    comparing = false, -- is the journal still compared with the source?
    started = false,
    ended = false, -- has the source come to its end?
    seen = 0, -- index of the last entry that was compared
    batch = {}, -- entries that were read; those from `at` on are not yet sorted
    compared = false, -- was the batch compared?
    at = 1,
    finished = {}, -- entries of the batch that are known or invalid
    held = {}, -- entries to be sent, from `first` to `last`
    first = 1,
    last = 0,
    problem = nil, -- why the journal cannot be used any more; raised when the finished entries were given
  }, Resume)
end

-- Reads the first entries: by them the journal knows its input. Nothing was sent yet.
function Resume:start()
  self.started = true
  local batch = self.batch
  while #batch < journal.PREFIX do
    local read, entries = pcall(self.source.take, self.source, journal.PREFIX - #batch)
    if not read then
      -- Nothing will be sent, but what the journal knows of the entries that were read is still told.
      self.comparing = true
      error(entries, 0)
    elseif #entries == 0 then
      break
    end
    for _, entry in ipairs(entries) do
      batch[#batch + 1] = entry
    end
  end
  local ok, problem = self.journal:begin(batch, self.source:is_cut_short())
  if not ok then
    error(problem, 0)
  end
  self.comparing = true
end

-- From here on nothing is compared any more.
function Resume:leave(problem)
  self.comparing = false
  self.problem = problem
end

-- Reads the next batch. False where there is none: the source has ended, or the call has stopped.
function Resume:read(n)
  if self.ended or not self.is_finite and self.is_stopped() then
    self.comparing = false
    return false
  end
  self.batch, self.at, self.compared = self.source:take(n), 1, false
  self.ended = #self.batch == 0
  -- Where the source has come to its end, so should the journal.
  if self.ended and self.comparing then
    local is_cut_short = self.source:is_cut_short()
    self:leave(not self.is_stopped() and select(2, self.journal:ended(self.seen, is_cut_short)) or nil)
  end
  return not self.ended
end

-- Compares the batch. If an error ends this, it goes on where it was.
function Resume:compare()
  if self.comparing and not self.compared then
    local ok, problem = self.journal:compare(self.batch)
    self.compared = true
    if not ok then
      self:leave(problem)
    end
  end
end

-- Sorts the batch: what is known or invalid is finished, the others are held. A finished entry waits until the held
-- ones before it were given: its outcome could stop the call, and what comes before it is to be sent.
function Resume:sort()
  local entry = self.batch[self.at]
  while entry do
    if not entry.known and not entry.problem then
      self.held[self.last + 1] = entry
      self.last = self.last + 1
    elseif self:count_free() > 0 then
      return
    else
      self.finished[#self.finished + 1] = entry
    end
    self.seen = entry.index
    self.at = self.at + 1
    entry = self.batch[self.at]
  end
end

-- Number of held entries that may be given now.
function Resume:count_free()
  local held = self.last - self.first + 1
  if self.comparing and not self.journal:is_verified(self.seen) then
    return math.max(0, held - self.max_held)
  end
  return held
end

-- Takes at most n held entries that may be sent.
function Resume:take_held(n)
  local entries = {}
  for i = 1, math.min(n, self:count_free()) do
    entries[i] = self.held[self.first]
    self.held[self.first] = nil
    self.first = self.first + 1
  end
  return entries
end

-- Raises why the journal cannot be used, once. A call that has stopped anyway does not need to know.
function Resume:raise()
  local problem = self.problem
  self.problem = nil
  if problem and not self.is_stopped() then
    error(problem, 0)
  end
end

--- Gives the next entries: finished ones in their order, with `known` or `problem`, and entries to be sent.
---@param n integer
---@return heymarket.Entry[] entries empty at the end; raises a failure to stop the call
function Resume:take(n)
  if not self.started then
    self:start()
  end
  while true do
    self:compare()
    self:sort()
    local entries = self.finished
    if entries[1] then
      self.finished = {}
      return entries
    end
    self:raise()
    entries = self:take_held(n)
    if entries[1] then
      return entries
    elseif not self:read(n) and self.first > self.last and not self.problem then
      return entries
    end
  end
end

--- Gives the next contacts as a lot, where the source does and nothing is left to compare or to give.
---@param n integer
---@param max_bytes integer
---@param lot heymarket.Lot? see Source:take_lot of heymarket.csv
---@return heymarket.Lot? lot raises a failure where the source cannot go on
---@return "odd"|"full"|nil state nil where `take` must give the next contacts
function Resume:take_lot(n, max_bytes, lot)
  local is_idle = self.started and not self.ended and self.at > #self.batch and self.first > self.last
  if not is_idle or self.finished[1] or self.problem or not self.source.take_lot then
    return nil
  elseif self.comparing and not self.journal:is_verified(self.seen) then
    return nil
  end
  local taken, state = self.source:take_lot(n, max_bytes, lot)
  if taken then
    self.seen = select(2, taken:range())
  end
  return taken, state
end

return resume
