--- The engine: pulls contacts, cuts batches, and books what became of every contact.
---
--- create_contacts and import differ in where the entries come from and in what becomes of the books; the rest is here.
local engine = {}

local batch_contacts = require "heymarket.api.batch_contacts"
local endpoints = require "heymarket.api.endpoints"
local failure = require "heymarket.failure"
local text = require "heymarket.util.text"

local concat, sub = table.concat, string.sub

---@class heymarket.Entry a contact on its way
---@field index integer
---@field position any
---@field contact table as it was handed in
---@field row any
---@field phone string digits
---@field body string its JSON
---@field possibly_sent boolean? an earlier run may have sent it
---@field request heymarket.Request? the last one that it stood in
---@field problem heymarket.Failure? why it cannot be sent

-- The greatest size of a request is not documented. This keeps clear of the usual limits of proxies.
local MAX_BYTES = 1024 * 1024
-- Contacts that wait because their phone is on its way; beyond this the source waits too, and memory stays flat.
local MAX_DEFERRED = 1000
-- So many refusals in a row of the same sort, single contacts among them, with nothing ever accepted: the fault is not
-- the contacts'. One bad contact alone in a batch of a hundred never comes near this.
local MAX_REFUSALS, MIN_SINGLES = 16, 3
-- Digits of the shortest phone, and of the longest country code.
local MIN_PHONE, MAX_PREFIX = 7, 4

local Engine = {}
Engine.__index = Engine

local function by_index(a, b)
  return a.index < b.index
end

-- Queues keep their ends as fields, so that taking the oldest moves nothing.
local function push(queue, value)
  queue.last = queue.last + 1
  queue[queue.last] = value
end

local function shift(queue)
  local value = queue[queue.first]
  queue[queue.first] = nil
  queue.first = queue.first + 1
  return value
end

--- Makes the engine of one call.
---@param context table see client.lua
---@param options table of the call
---@param books table see report.lua
---@param journal table? see journal.lua
---@param spare heymarket.Failure see failure.spare
---@return table engine its `source`, a function that gives the next entry (and raises to stop the call), is to be set
function engine.new(context, options, books, journal, spare)
  -- What is about to be sent is noted on the disk before it is on the wire.
  local before_send = journal and function()
    return journal:commit()
  end
  local calls = context.new_sender(options, before_send)
  return setmetatable({
    monotonic = context.monotonic,
    options = options,
    books = books,
    journal = journal,
    sender = calls,
    query = "overwrite=" .. tostring(options.overwrite),
    started = context.monotonic(),
    batch_size = options.batch_size,
    max_bytes = MAX_BYTES,
    spare = spare,
    open = {}, -- by index: entries that have no outcome yet
    taken = 0, -- contacts that were handed in, as far as that is known
    busy = {}, -- phones that stand in a request which has no outcome yet
    deferred = {}, -- by phone: entries that wait for it, in input order
    deferred_count = 0,
    ready = { first = 1, last = 0 }, -- queue of entries whose phone has become free
    parts = {}, -- parts of refused batches, waiting to be sent
    answered = false, -- has the server ever accepted a request of this call?
    refusals = 0,
    singles = 0,
    failures = 0, -- contacts that were not accepted, those of earlier runs included, for max_failures
  }, Engine)
end

--- The report as it stands.
---@param with_items boolean
---@return heymarket.Report
function Engine:report(with_items)
  local requests, retries, hook_error = self.sender:statistics()
  return self.books:report({
    requests = requests,
    retries = retries,
    hook_error = hook_error,
    elapsed = self.monotonic() - self.started,
  }, with_items)
end

-- Calls what the user gave; when it raises, the call stops, and nothing that was booked is lost.
function Engine:guard(name, hook, ...)
  local ok, raised = pcall(hook, ...)
  if not ok then
    self.sender:stop(failure.new("stopped", name .. " raised an error: " .. text.raised(raised)))
    return false
  end
  return true
end

-- Counts the outcome of a contact, once.
function Engine:count(entry, outcome)
  self.open[entry.index] = nil
  self.books:add(outcome)
end

-- Books a contact that was not accepted, and tells the user of it. `facts` are what the item has beyond its contact.
function Engine:book(entry, outcome, facts)
  local item = facts or {}
  item.index, item.position, item.contact, item.row = entry.index, entry.position, entry.contact, entry.row
  item.outcome = outcome
  if outcome == "rejected" then
    item.reason = not self.options.overwrite and batch_contacts.has_id(item.remote) and "exists" or "refused"
  end
  local on_item = self.options.on_item
  if not on_item or self.on_item_raised then
    -- Kept before it is counted: where there is no memory to keep it, it has no outcome yet.
    self.books:keep(item)
    self:count(entry, outcome)
  else
    -- Counted before it is told, so that it is told once.
    self:count(entry, outcome)
    if not self:guard("on_item", on_item, item) then
      self.on_item_raised = true
      self.books:keep(item)
    end
  end
  local max = self.options.max_failures
  local superseded = item.failure and item.failure.reason == "superseded"
  if max and not superseded and outcome ~= "unsent" then
    self.failures = self.failures + 1
    if self.failures >= max then
      self.sender:stop(failure.make("stopped", "max_failures", { count = max }, { reason = "max_failures" }))
    end
  end
end

function Engine:tell_outcomes(request, counts, problem)
  if not self.options.on_event then
    return
  end
  for outcome, count in pairs(counts) do
    if count > 0 then
      self.sender:emit {
        type = "outcome",
        outcome = outcome,
        contacts = count,
        method = request and endpoints.batch_contacts.method,
        url = request and request.url,
        attempt = request and request.attempts,
        failure = problem,
        status = problem and problem.status or not problem and request and 200 or nil,
        request_id = problem and problem.request_id,
      }
    end
  end
end

--- Books a contact that cannot be sent.
---@param entry heymarket.Entry its `problem` says why
function Engine:refuse(entry)
  self.open[entry.index] = entry
  self:book(entry, "invalid", { failure = entry.problem })
  self:tell_outcomes(nil, { invalid = 1 }, entry.problem)
end

--- Books a contact whose outcome an earlier run has noted.
---@param entry heymarket.Entry
---@param known table `outcome`, and what else the item has; see Journal:meet
function Engine:resume(entry, known)
  self.books.resumed = self.books.resumed + 1
  if known.outcome == "accepted" then
    self:count(entry, "accepted")
  else
    self:book(entry, known.outcome, {
      remote = known.remote,
      remote_truncated = known.remote_truncated,
      ambiguous = known.ambiguous,
      failure = known.failure,
      resumed = true,
    })
  end
end

-- The next entry that may be sent now: first those that waited for their phone, then from the source.
function Engine:pull()
  if self.ready.first <= self.ready.last then
    return shift(self.ready)
  end
  while not self.exhausted and self.deferred_count < MAX_DEFERRED and not self.sender:stop_reason() do
    local next_entry = self.source()
    if not next_entry then
      self.exhausted = not self.sender:stop_reason()
      return nil
    end
    self.open[next_entry.index] = next_entry
    local phone = next_entry.phone
    if not self.busy[phone] then
      return next_entry
    end
    self.deferred[phone] = self.deferred[phone] or { first = 1, last = 0 }
    push(self.deferred[phone], next_entry)
    self.deferred_count = self.deferred_count + 1
  end
  return nil
end

-- A phone is free again: the next entry that waits for it may go.
function Engine:release(phone)
  local waiting = self.deferred[phone]
  if not waiting then
    self.busy[phone] = nil
    return
  end
  -- The phone stays busy, so that an entry read later cannot overtake the one that is ready.
  push(self.ready, shift(waiting))
  self.deferred_count = self.deferred_count - 1
  if waiting.first > waiting.last then
    self.deferred[phone] = nil
  end
end

-- Is one of two phones the other with one to four digits in front? An answer that lists such a phone without its
-- country code could mean either.
local function are_confusable(a, b)
  local more = #a - #b
  if more < 0 then
    a, b, more = b, a, -more
  end
  return more >= 1 and more <= MAX_PREFIX and sub(a, more + 1) == b
end

-- Puts a phone among others, by its last digits. Returns false where it must not stand beside one of them.
local function admit(phones, phone)
  local tail = sub(phone, -MIN_PHONE)
  local first = phones[tail]
  if not first then
    phones[tail] = phone
    return true
  end
  local list = type(first) == "table" and first or { first }
  for _, other in ipairs(list) do
    if are_confusable(phone, other) then
      return false
    end
  end
  list[#list + 1] = phone
  phones[tail] = list
  return true
end

-- The phones of a batch, for `admit`.
local function phones_of(entries)
  local phones = {}
  for _, entry in ipairs(entries) do
    admit(phones, entry.phone)
  end
  return phones
end

-- Cuts the next batch: an array of entries, nil when none can be had now.
function Engine:cut()
  local entries, count, bytes = {}, 0, 2
  local length, phones, aside = nil, nil, {}
  while count < self.batch_size do
    local entry = self.held or self:pull()
    self.held = nil
    if not entry then
      break
    end
    -- Whether it goes with this batch or the next one, no later entry of its phone may overtake it.
    self.busy[entry.phone] = true
    length = length or #entry.phone
    if not phones and #entry.phone ~= length then
      phones = phones_of(entries)
    end
    if phones and not admit(phones, entry.phone) then
      aside[#aside + 1] = entry
      if #aside >= self.batch_size then
        break
      end
    else
      bytes = bytes + #entry.body + 1
      if count > 0 and bytes > self.max_bytes then
        self.held = entry
        break
      end
      count = count + 1
      entries[count] = entry
    end
  end
  for _, entry in ipairs(aside) do
    push(self.ready, entry)
  end
  if count == 0 then
    return nil
  end
  if self.journal and not self.sender:stop_reason() then
    local ok, problem = self.journal:sending(entries)
    if not ok then
      self.sender:stop(problem)
    end
  end
  return { entries = entries }
end

-- Nothing was accepted so far and something was refused: careful steps until it is clear whose fault it is.
function Engine:is_suspicious()
  return not self.answered and self.refusals > 0
end

-- The next part of a refused batch. Under suspicion the smallest and the largest part take turns: the small ones lead
-- to a single contact, the large ones show whether all the others are refused as well.
function Engine:next_part()
  local parts = self.parts
  local best = #parts
  if best > 1 and self:is_suspicious() then
    self.turn = not self.turn
    for i = #parts - 1, 1, -1 do
      local size, best_size = #parts[i].entries, #parts[best].entries
      if self.turn and size < best_size or not self.turn and size > best_size then
        best = i
      end
    end
  end
  local part = table.remove(parts, best)
  if part and #part.entries > self.batch_size then
    -- A smaller size was learned since it was put here.
    self:split(part, part.failure)
    return self:next_part()
  end
  return part
end

function Engine:send(batch)
  local bodies = {}
  for i, entry in ipairs(batch.entries) do
    bodies[i] = entry.body
    entry.request = batch
  end
  batch.endpoint = endpoints.batch_contacts
  batch.query = self.query
  batch.body = "[" .. concat(bodies, ",") .. "]"
  batch.items = #bodies
  self.sender:add(batch)
end

function Engine:fill()
  local sending = self.sender
  while not sending:stop_reason() do
    if sending:pending() >= (self:is_suspicious() and 1 or self.options.concurrency) then
      return
    end
    local batch = self:next_part() or self:cut()
    if not batch then
      return
    elseif sending:stop_reason() then
      self:settle_failure(batch, batch.failure)
      return
    end
    self:send(batch)
  end
end

function Engine:release_all(entries)
  for _, entry in ipairs(entries) do
    self:release(entry.phone)
  end
end

-- Books a whole batch under one outcome.
function Engine:book_batch(batch, problem)
  local counts = { failed = 0, unknown = 0, unsent = 0 }
  for _, entry in ipairs(batch.entries) do
    local outcome, why = "unsent", self.sender:stop_reason()
    if not problem and entry.possibly_sent then
      -- Not sent by this run, but perhaps by an earlier one.
      outcome, why = "unknown", failure.with(why, { delivered = "maybe" })
    elseif problem then
      outcome, why = "failed", problem
      if problem.delivered == "maybe" or batch.possibly_sent or entry.possibly_sent then
        outcome = "unknown"
        why = problem.delivered == "maybe" and problem or failure.with(problem, { delivered = "maybe" })
      end
    end
    counts[outcome] = counts[outcome] + 1
    self:book(entry, outcome, { failure = why })
  end
  self:tell_outcomes(batch, counts, problem or self.sender:stop_reason())
end

-- Statuses by which a server refuses what is in the request, rather than the request as such.
local ABOUT_CONTENT = { [400] = true, [409] = true, [413] = true, [422] = true }

-- Counts refusals of one sort: with another sort the count begins anew.
function Engine:count_refusal(batch, problem)
  local details = type(problem.details) == "table" and problem.details or {}
  local sort = problem.status .. tostring(details.error_code or details.code)
  if sort ~= self.refusal_sort then
    self.refusal_sort, self.refusals, self.singles = sort, 0, 0
  end
  self.refusals = self.refusals + 1
  self.singles = self.singles + (#batch.entries == 1 and 1 or 0)
end

-- Halves a refused batch, so that a contact at fault comes to stand alone.
function Engine:split(batch, problem)
  local entries = batch.entries
  local middle = math.ceil(#entries / 2)
  local left, right = {}, {}
  for i, entry in ipairs(entries) do
    if i <= middle then
      left[i] = entry
    else
      right[i - middle] = entry
    end
  end
  local family = { whole = true, left = 2, size = middle }
  for _, part in ipairs { right, left } do
    self.parts[#self.parts + 1] =
      { entries = part, possibly_sent = batch.possibly_sent, failure = problem, family = family }
  end
  if batch.family then
    batch.family.whole = false
  end
  if problem.status == 413 and batch.body then
    self.max_bytes = math.min(self.max_bytes, math.max(1024, math.floor(#batch.body / 2)))
  end
end

function Engine:settle_failure(batch, problem)
  if batch.family then
    batch.family.whole = false
  end
  local status = problem and problem.status
  if ABOUT_CONTENT[status] and not self.sender:stop_reason() then
    self:count_refusal(batch, problem)
    if not self.answered and self.refusals >= MAX_REFUSALS and self.singles >= MIN_SINGLES then
      self.sender:stop(failure.with(problem, {
        message = (
          "stopped: %d requests in a row were refused alike and none was accepted, so the fault is most likely "
          .. "not the contacts'; the last: %s"
        ):format(self.refusals, problem.message),
      }))
    elseif #batch.entries > 1 then
      self:split(batch, problem)
      return
    end
  elseif problem and problem.kind == "bad_data" and not problem.retryable and not self.answered then
    -- Not found, wrong method and the like concern the address of the call, whatever stands in it.
    self.sender:stop(problem)
  end
  if self.journal then
    self:note(self.journal:failed(batch.entries, problem, batch.possibly_sent))
  end
  self:book_batch(batch, problem)
  self:release_all(batch.entries)
end

function Engine:note(ok, problem)
  if not ok then
    self.sender:stop(problem)
  end
end

function Engine:settle_answer(batch, refused)
  self.answered = true
  local family = batch.family
  if family and family.whole then
    family.left = family.left - 1
    if family.left == 0 then
      -- Both halves of a refused batch were taken: its size was the fault. The next ones are cut to what was taken.
      self.batch_size = math.min(self.batch_size, family.size)
    end
  end
  local remotes, truncated, unmatched = batch_contacts.match(refused, batch.entries)
  local problem = unmatched > 0
      and failure.make(
        "unexpected",
        "unmatched_contacts",
        { count = unmatched },
        { status = 200, delivered = "maybe", attempts = batch.attempts }
      )
    or nil
  if self.journal then
    self:note(self.journal:answered(batch.entries, remotes, problem, batch.possibly_sent, truncated))
  end
  -- The keys are there from the start: LuaJIT as Debian 12 has it miscounts, once in many thousand batches, in a new
  -- table whose keys come up on the way.
  local counts = { accepted = 0, rejected = 0, unknown = 0 }
  for _, entry in ipairs(batch.entries) do
    local remote = remotes[entry.phone]
    local outcome = remote and "rejected" or problem and "unknown" or "accepted"
    counts[outcome] = counts[outcome] + 1
    if outcome == "accepted" then
      self:count(entry, outcome)
    else
      self:book(entry, outcome, {
        remote = remote,
        remote_truncated = remote and truncated[entry.phone],
        ambiguous = remote and (batch.possibly_sent or entry.possibly_sent) or nil,
        failure = not remote and problem or nil,
      })
    end
  end
  self:tell_outcomes(batch, counts, problem)
  self:release_all(batch.entries)
end

local function was_tried(request)
  return request ~= nil and (request.attempts or 0) > 0
end

-- What became of a contact that has no outcome when the call has stopped. Most were never sent. After an error of ours,
-- that of a request whose answer was lost is open.
function Engine:fate(entry)
  local request, stopped = entry.request, self.sender:stop_reason()
  if entry.problem then
    return "invalid", entry.problem
  elseif was_tried(request) then
    local certain = request.failure
    if certain and certain.delivered == "no" and not request.possibly_sent and not entry.possibly_sent then
      return "failed", certain
    end
  elseif not entry.possibly_sent then
    return "unsent", stopped
  end
  return "unknown", failure.with(stopped, { delivered = "maybe" })
end

-- Books all that have no outcome, in input order.
function Engine:book_open()
  local entries = {}
  for _, entry in pairs(self.open) do
    entries[#entries + 1] = entry
  end
  table.sort(entries, by_index)
  local counts = { invalid = 0, failed = 0, unknown = 0, unsent = 0 }
  for _, entry in ipairs(entries) do
    local outcome, why = self:fate(entry)
    counts[outcome] = counts[outcome] + 1
    self:book(entry, outcome, { failure = why })
  end
  self:tell_outcomes({}, counts, self.sender:stop_reason())
end

-- What was read but never sent when the call stopped.
function Engine:book_unsent()
  for _, part in ipairs(self.parts) do
    self:settle_failure(part, part.failure)
  end
  self.parts = {}
  self:book_open()
  -- What was handed in has an outcome, read or not: the source of a stopped call gives the rest of an array.
  local ended = not self.sender:stop_reason()
  while not ended do
    local rest = {}
    while #rest < self.options.batch_size and not ended do
      local entry = self.source()
      ended = not entry
      if entry then
        self.open[entry.index] = entry
        rest[#rest + 1] = entry
      end
    end
    self:book_batch { entries = rest }
  end
end

-- Counts all that have no outcome, without asking for memory. Their particulars are lost.
function Engine:count_open()
  local index, entry = next(self.open)
  while entry do
    local sent = entry.possibly_sent or was_tried(entry.request)
    self.open[index] = nil
    self.books:add(entry.problem and "invalid" or sent and "unknown" or "unsent")
    index, entry = next(self.open)
  end
  local missing = self.taken - self.books:total()
  if missing > 0 then
    self.books:add("unsent", missing)
  end
end

-- Sends, and books what comes of it, until nothing is left to do.
function Engine:go()
  local sending, on_progress = self.sender, self.options.on_progress
  while true do
    self:fill()
    local outcome = sending:next()
    if not outcome then
      break
    elseif outcome.value then
      self:settle_answer(outcome.request, outcome.value)
    else
      self:settle_failure(outcome.request, outcome.failure)
    end
    if on_progress and not self:guard("on_progress", on_progress, self:report(false)) then
      on_progress = nil
    end
  end
end

-- Ends the call because of what was raised in it.
function Engine:stop_for(raised)
  local ok, problem = pcall(failure.of_error, raised)
  self.sender:stop(ok and problem or self.spare)
end

--- Runs the call to its end. Whatever is raised in it stops it like any other reason to stop: what is on its way is
--- awaited, and every contact that was handed in has an outcome.
---@return heymarket.Report
---@return heymarket.Failure? stopped why it ended before its source did
function Engine:run()
  local ok, raised = pcall(self.go, self)
  if not ok then
    self:stop_for(raised)
    pcall(self.go, self)
  end
  ok, raised = pcall(self.book_unsent, self)
  if not ok then
    self:stop_for(raised)
    pcall(self.book_open, self)
  end
  local lost = next(self.open) ~= nil or self.taken > self.books:total()
  if lost then
    self:stop_for "some contacts were left without an outcome"
    self:count_open()
  end
  local made
  ok, made = pcall(self.report, self, true)
  if not ok then
    self:stop_for(made)
    made = self:last_report()
  elseif lost then
    made.items_truncated = true
  end
  return made, self.sender:stop_reason()
end

--- The report, without asking for memory.
---@return heymarket.Report
function Engine:last_report()
  self:count_open()
  local ok, now = pcall(self.monotonic)
  local requests, retries = self.sender:statistics()
  return self.books:last_report(requests, retries, ok and now - self.started or 0)
end

return engine
