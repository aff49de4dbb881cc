--- Bulk: many contacts, sent in batches until each has its outcome.
---
--- Entries come from a source (bulk/source.lua), in an order (bulk/order.lua), and go to the sender as batches. A
--- file gives a whole batch as a lot (bulk/lots.lua). It becomes entries where its contacts cannot go together, or
--- where they get different outcomes.
---
--- A refused batch is halved (bulk/bisect.lua). What is true of each contact is decided in bulk/outcome.lua and counted
--- in report.lua. A contact that has no outcome yet stands in one of these places:
--- - with a journal, in bulk/resume.lua until the journal is compared;
--- - in the order: blocked, because its phone is in flight, or runnable;
--- - in a half of a refused batch, in the bisection;
--- - in a request that the sender has.
local bulk = {}

local bisect = require "heymarket.bulk.bisect"
local endpoints = require "heymarket.api.endpoints"
local failure = require "heymarket.failure"
local lots = require "heymarket.bulk.lots"
local order = require "heymarket.bulk.order"
local outcome = require "heymarket.bulk.outcome"
local text = require "heymarket.util.text"

-- The greatest size of a request is not documented. This keeps clear of the usual limits of proxies.
local MAX_BYTES = 1024 * 1024
local YIELD_EVERY = 256 -- contacts that are read before transfers and others have their turn

---@class heymarket.Batch: heymarket.Request contacts on their way as a request: entries, or a lot
---@field entries heymarket.Entry[]?
---@field lot heymarket.Lot? contacts that have the same fate so far
---@field family heymarket.Family? of a half

local Bulk = {}
Bulk.__index = Bulk

--- Makes the loop of one call out of the table that it is given.
---@param dependencies table `sender`; `source` (has `take`) and `input`, the source below it that knows the contacts;
--- `counter` of report.lua; `settings` of the call; `monotonic`, a clock; `journal` or nil; `spare`, see failure.spare
function bulk.new(dependencies)
  local self, settings = dependencies, dependencies.settings
  self.started = self.monotonic()
  self.bisect = bisect.new(settings.batch_size, MAX_BYTES)
  self.order = order.new()
  self.query = "overwrite=" .. tostring(settings.overwrite)
  self.unyielded = 0 -- contacts that were read since the last turn for others
  self.reader = function(count)
    return self:read(count)
  end
  self.lots = self.source.take_lot
    and lots.new {
      source = self.source,
      counter = self.counter,
      order = self.order,
      sort = function(entries)
        return self:sort(entries)
      end,
      is_stopped = function()
        return self.sender:stop_reason() ~= nil
      end,
      take_turns = function(count)
        self:take_turns(count)
      end,
    }
  return setmetatable(self, Bulk)
end

--- Sends until nothing is left to do. Whatever is raised meanwhile stops the call like any other reason to stop: what
--- is in flight is awaited, and every contact that was handed in has an outcome.
---@return heymarket.Report
---@return heymarket.Failure? stopped why it ended before its source did
function Bulk:run()
  self:protect(self.send_all, self.send_all)
  self:protect(self.settle_rest, self.settle_unsettled)
  local made = self:last_snapshot()
  return made, self.sender:stop_reason()
end

function Bulk:send_all()
  while true do
    self:fill()
    local completion = self.sender:next()
    if not completion then
      return
    end
    if completion.value then
      self:accept(completion.request, completion.value)
    else
      self:fail(completion.request, completion.failure)
    end
    self:tell_progress()
  end
end

-- Gives the sender what may be sent now.
function Bulk:fill()
  local sender = self.sender
  while not sender:stop_reason() do
    local concurrency = self.bisect:is_suspicious() and 1 or self.settings.concurrency
    local batch = sender:pending() < concurrency and (self.bisect:next() or self:next_batch())
    if not batch then
      return
    elseif sender:stop_reason() then
      self:fail(batch, batch.failure) -- the call has stopped while the batch was chosen
    else
      self:send(batch)
    end
  end
end

function Bulk:next_batch()
  if self.is_read and not self.order:has_runnable() then
    return nil
  end
  local size, max_bytes = self.bisect:limits()
  local batch
  if self.lots then
    batch, self.opened = self.lots:next(size, max_bytes)
  end
  if not batch then
    local entries = self.order:next_batch(size, max_bytes, self.reader)
    batch = entries[1] and { entries = entries } or nil
  end
  if batch and self.journal and not self.sender:stop_reason() then
    self:check(self.journal:sending(batch))
  end
  return batch
end

-- Lets transfers and others have their turn when so many contacts more were read.
function Bulk:take_turns(count)
  self.unyielded = self.unyielded + count
  if self.unyielded >= YIELD_EVERY then
    self.unyielded = 0
    self.sender:yield()
  end
end

-- Reads entries that can be sent, at most so many. What has its outcome already is settled.
function Bulk:read(count)
  local sendable = self.opened or {}
  self.opened = nil
  while not sendable[1] and not self.sender:stop_reason() do
    local entries = self.source:take(math.min(count, YIELD_EVERY))
    if not entries[1] then
      self.is_read = true -- the source has come to its end
      return entries
    end
    sendable = self:sort(entries)
    self:take_turns(#entries)
  end
  return sendable
end

-- Parts those that can be sent from those that are invalid or that an earlier run has finished.
function Bulk:sort(entries)
  self.counter:begin(entries)
  local sendable, finished = {}, {}
  for i = 1, #entries do
    local entry = entries[i]
    local list = (entry.problem or entry.known) and finished or sendable
    list[#list + 1] = entry
  end
  if finished[1] then
    self:settle_finished(finished)
  end
  return sendable
end

function Bulk:send(batch)
  batch.endpoint = endpoints.batch_contacts
  batch.query = self.query
  if batch.lot then
    batch.body, batch.items = batch.lot:body(), batch.lot:count()
  else
    local entries, bodies = batch.entries, {}
    for i = 1, #entries do
      bodies[i] = entries[i].body
      entries[i].batch = batch
    end
    batch.body, batch.items = "[" .. table.concat(bodies, ",") .. "]", #bodies
  end
  self.sender:add(batch)
end

-- A batch has an answer, which lists the contacts that were not accepted.
function Bulk:accept(batch, listed)
  self.bisect:accepted(batch)
  if batch.lot and not listed[1] and self:accept_lot(batch) then
    return
  end
  lots.open(self.counter, batch)
  local match = outcome.match(batch, listed)
  if self.journal then
    local possibly_sent, remotes = batch.possibly_sent, match.remotes
    self:check(self.journal:answered(batch.entries, remotes, match.problem, possibly_sent, match.truncated))
  end
  local accepted, others, items = outcome.of_response(batch, match, self.settings.overwrite)
  self.counter:accept(accepted)
  self:record(others, items)
  self:emit_outcomes(batch, #accepted, items, match.problem)
  self.order:release(batch.entries)
end

-- All contacts of a lot were accepted. False where they have to be looked at one by one.
function Bulk:accept_lot(batch)
  local lot = batch.lot
  if self.journal and self.journal:remembers_phones() or not self.order:release_lot(lot) then
    return false
  end
  local count = lot:count()
  if self.journal then
    self:check(self.journal:answered_lot(lot))
  end
  self.counter:accept_lot(batch)
  self:emit_outcomes(batch, count, {})
  lot:free()
  return true
end

-- A batch failed, or was never sent: then there is no problem.
function Bulk:fail(batch, problem)
  lots.open(self.counter, batch)
  local verdict, refusals = self.bisect:failed(batch, problem, self.sender:stop_reason() ~= nil)
  if verdict == "halved" then
    return
  elseif verdict == "stop" then
    -- The server refuses whatever is sent. `refusals` is set where it took so many requests to know that.
    local values = { count = refusals, last = problem }
    self.sender:stop(refusals and failure.reworded(problem, "refused_alike", values) or problem)
  end
  if self.journal then
    self:check(self.journal:failed(batch.entries, problem, batch.possibly_sent))
  end
  self:record_failure(batch, problem)
  self.order:release(batch.entries)
end

function Bulk:record_failure(batch, problem)
  local stopped = self.sender:stop_reason()
  local items = outcome.of_failure(batch, problem, stopped)
  self:record(batch.entries, items)
  self:emit_outcomes(batch, 0, items, problem or stopped)
end

-- Entries that were invalid when they were read, or that an earlier run has finished.
function Bulk:settle_finished(entries)
  local accepted, others, items = outcome.of_finished(entries, self.settings.overwrite)
  self.counter:accept(accepted)
  self:record(others, items)
  local resumed = #entries
  for _, entry in ipairs(entries) do
    if entry.problem then
      resumed = resumed - 1
      self:emit_outcomes(nil, 0, { { outcome = "invalid" } }, entry.problem)
    end
  end
  self.counter:add_resumed(resumed)
end

-- Gives an outcome to all that has none when the call has ended.
function Bulk:settle_rest()
  for _, half in ipairs(self.bisect:drain()) do
    self:fail(half, half.failure)
  end
  self:settle_unsettled()
  -- What was handed in has an outcome, read or not: a stopped source still gives the rest of an array.
  local entries = self.sender:stop_reason() and self.source:take(self.settings.batch_size) or {}
  while entries[1] do
    self:record_failure { entries = self:sort(entries) }
    entries = self.source:take(self.settings.batch_size)
  end
end

function Bulk:settle_unsettled()
  local entries, stopped = self.counter:unsettled(), self.sender:stop_reason()
  local items = outcome.of_unsettled(entries, stopped)
  self:record(entries, items)
  self:emit_outcomes({}, 0, items, stopped)
end

-- Counts contacts that were not accepted, and tells the user of them.
function Bulk:record(entries, items)
  if not items[1] then
    return
  end
  self.input:describe(entries, items)
  if self.settings.on_item then
    self.counter:count(items) -- before they are told, so that each is told once
    self:tell_items(items)
  else
    self.counter:record(items)
  end
  if self.counter:has_failed_too_often() and not self.sender:stop_reason() then
    local count = self.settings.max_failures
    self.sender:stop(failure.make("stopped", "max_failures", { count = count }, { reason = "max_failures" }))
  end
end

-- Tells items one by one. From the first one on with which on_item raised, they are kept for the report.
function Bulk:tell_items(items)
  for i = 1, #items do
    local ok, raised = pcall(self.settings.on_item, items[i])
    if not ok then
      self.settings.on_item = nil
      self.counter:keep(items, i)
      return self:stop_for_hook("on_item", raised)
    end
  end
end

function Bulk:tell_progress()
  if self.settings.on_progress then
    local ok, raised = pcall(self.settings.on_progress, self:snapshot(false))
    if not ok then
      self:stop_for_hook("on_progress", raised)
    end
  end
end

-- Emits one event for each outcome of a batch. `batch` is nil for contacts that no request was made for.
function Bulk:emit_outcomes(batch, accepted, items, problem)
  if self.settings.on_event then
    for _, event in ipairs(outcome.events(batch, accepted, items, problem)) do
      self.sender:emit(event)
    end
  end
end

-- Stops the call where something else failed that it cannot go on without.
function Bulk:check(ok, problem)
  if not ok then
    self.sender:stop(problem)
  end
end

-- A hook that has raised is not called again.
function Bulk:stop_for_hook(name, raised)
  self.settings[name] = nil
  self.sender:stop(failure.make("stopped", "hook_raised", { hook = name, raised = text.raised(raised) }))
end

function Bulk:stop_for_error(raised)
  local ok, problem = pcall(failure.of_error, raised)
  self.sender:stop(ok and problem or self.spare)
end

-- Runs a step of the call. Where it raises, the call stops, and `again` completes what it left.
function Bulk:protect(step, again)
  local ok, raised = pcall(step, self)
  if not ok then
    self:stop_for_error(raised)
    pcall(again, self)
  end
end

--- The report as it stands.
---@param with_items boolean
---@return heymarket.Report
function Bulk:snapshot(with_items)
  local requests, retries, hook_error = self.sender:statistics()
  return self.counter:report({
    requests = requests,
    retries = retries,
    hook_error = hook_error,
    elapsed = self.monotonic() - self.started,
  }, with_items)
end

-- The report at the end. Contacts that are still without an outcome, because memory has run out or because of an error
-- in this library, are at least counted.
function Bulk:last_snapshot()
  local taken = self.input:taken()
  local is_complete = self.counter:is_complete(taken)
  if not is_complete then
    self:stop_for_error "some contacts were left without an outcome"
    self.counter:count_unsettled(taken, outcome.without_memory)
  end
  local ok, made = pcall(self.snapshot, self, true)
  if not ok then
    self:stop_for_error(made)
    return self:last_report()
  end
  made.items_truncated = made.items_truncated or not is_complete
  return made
end

--- The report, without asking for memory.
---@return heymarket.Report
function Bulk:last_report()
  self.counter:count_unsettled(self.input:taken(), outcome.without_memory)
  local ok, now = pcall(self.monotonic)
  local requests, retries = self.sender:statistics()
  return self.counter:last_report(requests, retries, ok and now - self.started or 0)
end

return bulk
