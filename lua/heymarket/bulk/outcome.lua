--- Outcomes: what is true of each contact of a batch, decided from what is known of its request.
--- These functions only decide: they send nothing, count nothing and call no hook.
local outcome = {}

local batch_contacts = require "heymarket.api.batch_contacts"
local endpoints = require "heymarket.api.endpoints"
local failure = require "heymarket.failure"

-- An item of a contact that the server listed.
local function rejected(remote, is_truncated, is_ambiguous, overwrite)
  return {
    outcome = "rejected",
    remote = remote,
    remote_truncated = is_truncated or nil,
    ambiguous = is_ambiguous or nil,
    reason = not overwrite and batch_contacts.has_id(remote) and "exists" or "refused",
  }
end

---@class heymarket.Match what an answer lists, by phone
---@field remotes table<string, table> what the server returned for the contact
---@field truncated table<string, boolean> is that not whole?
---@field problem heymarket.Failure? set where one is none of the batch: the server may have meant any contact of it

--- Finds the contacts that an answer lists among those of its batch.
---@param batch heymarket.Batch
---@param listed heymarket.Listed[]
---@return heymarket.Match
function outcome.match(batch, listed)
  local remotes, truncated, unmatched = batch_contacts.match(listed, batch.entries)
  local problem
  if unmatched > 0 then
    local facts = { status = 200, delivered = "maybe", attempts = batch.attempts }
    problem = failure.make("unexpected", "unmatched_contacts", { count = unmatched }, facts)
  end
  return { remotes = remotes, truncated = truncated, problem = problem }
end

-- Splits entries into those that were accepted, for which `item_of` gives nil, and the others with their items.
local function split_accepted(entries, item_of)
  local accepted, others, items = {}, {}, {}
  for _, entry in ipairs(entries) do
    local item = item_of(entry)
    if item then
      items[#items + 1] = item
      others[#items] = entry
    else
      accepted[#accepted + 1] = entry
    end
  end
  return accepted, others, items
end

--- The outcomes of a batch that has an answer.
---@param batch heymarket.Batch
---@param match heymarket.Match
---@param overwrite boolean
---@return heymarket.Entry[] accepted
---@return heymarket.Entry[] others
---@return heymarket.Item[] items of the others
function outcome.of_response(batch, match, overwrite)
  local remotes, problem = match.remotes, match.problem
  if next(remotes) == nil and not problem then
    return batch.entries, {}, {}
  end
  return split_accepted(batch.entries, function(entry)
    local remote = remotes[entry.phone]
    if remote then
      local is_ambiguous = batch.possibly_sent or entry.possibly_sent
      return rejected(remote, match.truncated[entry.phone], is_ambiguous, overwrite)
    end
    return problem and { outcome = "unknown", failure = problem }
  end)
end

-- The same failure, with delivered = "maybe".
local function in_doubt(problem)
  return problem.delivered == "maybe" and problem or failure.with(problem, { delivered = "maybe" })
end

--- The outcomes of a batch that failed, or was never sent.
---@param batch heymarket.Batch
---@param problem heymarket.Failure? nil where it was never sent
---@param stopped heymarket.Failure? why the call has stopped
---@return heymarket.Item[]
function outcome.of_failure(batch, problem, stopped)
  local why = problem or stopped
  local certain = problem and "failed" or "unsent"
  local may_have_arrived = problem and (problem.delivered == "maybe" or batch.possibly_sent)
  local doubt
  local items = {}
  for i, entry in ipairs(batch.entries) do
    -- A contact that this run never sent may have been sent by an earlier one.
    if may_have_arrived or entry.possibly_sent then
      doubt = doubt or in_doubt(why)
      items[i] = { outcome = "unknown", failure = doubt }
    else
      items[i] = { outcome = certain, failure = why }
    end
  end
  return items
end

local function was_tried(batch)
  return batch ~= nil and (batch.attempts or 0) > 0
end

-- The item of an entry that has no outcome although the call has ended. Most were never sent. After an error in this
-- library it can be one whose request has an answer that nobody read.
local function of_unsettled(entry, stopped)
  local batch = entry.batch
  if entry.problem then
    return { outcome = "invalid", failure = entry.problem }
  elseif was_tried(batch) then
    local problem = batch.failure
    if problem and problem.delivered == "no" and not batch.possibly_sent and not entry.possibly_sent then
      return { outcome = "failed", failure = problem }
    end
  elseif not entry.possibly_sent then
    return { outcome = "unsent", failure = stopped }
  end
  return { outcome = "unknown", failure = in_doubt(stopped) }
end

--- The outcomes of entries that have none although the call has ended.
---@param entries heymarket.Entry[]
---@param stopped heymarket.Failure why the call has stopped
---@return heymarket.Item[]
function outcome.of_unsettled(entries, stopped)
  local items = {}
  for i, entry in ipairs(entries) do
    items[i] = of_unsettled(entry, stopped)
  end
  return items
end

--- The outcome of one of them where there is no memory to make an item.
---@param entry heymarket.Entry|heymarket.Batch a batch stands for the contacts of its lot
---@return string
function outcome.without_memory(entry)
  if entry.problem then
    return "invalid"
  end
  return (entry.possibly_sent or was_tried(entry.lot and entry or entry.batch)) and "unknown" or "unsent"
end

--- The outcomes of entries that were finished when they were read: invalid ones, and those of an earlier run.
---@param entries heymarket.Entry[] each with `problem` or `known`
---@param overwrite boolean
---@return heymarket.Entry[] accepted
---@return heymarket.Entry[] others
---@return heymarket.Item[] items of the others
function outcome.of_finished(entries, overwrite)
  return split_accepted(entries, function(entry)
    local known = entry.known
    if not known then
      return { outcome = "invalid", failure = entry.problem }
    elseif known.outcome == "accepted" then
      return nil
    end
    local item = { outcome = known.outcome, failure = known.failure }
    if known.outcome == "rejected" then
      item = rejected(known.remote, known.remote_truncated, known.ambiguous, overwrite)
    end
    item.resumed = true
    return item
  end)
end

--- The events that tell the outcomes of a batch: one for each outcome.
---@param batch heymarket.Batch? nil for contacts that no request was made for
---@param accepted integer contacts of it that were accepted
---@param items heymarket.Item[] of the others
---@param problem heymarket.Failure?
---@return heymarket.Event[]
function outcome.events(batch, accepted, items, problem)
  local counts, events = { accepted = accepted, rejected = 0, invalid = 0, failed = 0, unknown = 0, unsent = 0 }, {}
  for _, item in ipairs(items) do
    counts[item.outcome] = counts[item.outcome] + 1
  end
  for name, count in pairs(counts) do
    events[#events + 1] = count > 0
        and {
          type = "outcome",
          outcome = name,
          contacts = count,
          method = batch and endpoints.batch_contacts.method,
          url = batch and batch.url,
          attempt = batch and batch.attempts,
          failure = problem,
          status = problem and problem.status or not problem and batch and 200 or nil,
          request_id = problem and problem.request_id,
        }
      or nil
  end
  return events
end

return outcome
