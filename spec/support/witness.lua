--- Compares a report with what the fault server's ledger says.
local witness = {}

local OUTCOMES = { "accepted", "rejected", "invalid", "failed", "unknown", "unsent" }

-- Answers by which a server says that it did not act.
local REFUSED = { [400] = true, [401] = true, [403] = true, [413] = true, [422] = true, [429] = true }

--- The outcome of each contact, and its item.
---@param count integer number of contacts
---@param report table
---@return string[] outcomes
---@return table<integer, table> items by index
function witness.outcomes(count, report)
  local outcomes, items = {}, {}
  for i = 1, count do
    outcomes[i] = "accepted"
  end
  local last = 0
  for _, item in ipairs(report.items) do
    assert(item.index > last, "items are not in input order, or one comes twice")
    last = item.index
    assert(outcomes[item.index], "an item for a contact that was never handed in: " .. item.index)
    outcomes[item.index], items[item.index] = item.outcome, item
  end
  return outcomes, items
end

--- Checks the arithmetic of a report; raises where it is wrong.
---@param count integer number of contacts that were handed in
---@param report table
function witness.sums(count, report)
  local outcomes = witness.outcomes(count, report)
  local counted, sum = {}, 0
  for _, outcome in ipairs(outcomes) do
    counted[outcome] = (counted[outcome] or 0) + 1
  end
  for _, name in ipairs(OUTCOMES) do
    sum = sum + report[name]
    if report[name] ~= (counted[name] or 0) then
      error(("report.%s is %d, its items say %d"):format(name, report[name], counted[name] or 0))
    end
  end
  if report.total ~= count or sum ~= count then
    error(("%d contacts, but total is %d and the sum %d"):format(count, report.total, sum))
  end
end

--- Compares; raises where report and ledger disagree. The phones of the contacts must differ.
---@param contacts table[] what was handed in
---@param report table
---@param ledger table of the fault server
---@param before table<string, integer>? by phone: how often it was stored before the call
function witness.compare(contacts, report, ledger, before)
  before = before or {}
  witness.sums(#contacts, report)
  local outcomes, items = witness.outcomes(#contacts, report)
  local seen = {}
  for _, request in ipairs(ledger.requests) do
    for _, phone in ipairs(request.phones) do
      seen[phone] = seen[phone] or {}
      table.insert(seen[phone], request)
    end
  end
  for i, contact in ipairs(contacts) do
    local phone, outcome = contact.phone, outcomes[i]
    local requests = seen[phone] or {}
    local written = (ledger.stored[phone] or 0) - (before[phone] or 0)
    local where = ("contact %d (%s), which the report calls %s, "):format(i, phone, outcome)
    if outcome == "accepted" and written < 1 then
      error(where .. "is not at the server")
    elseif outcome == "failed" then
      for _, request in ipairs(requests) do
        if request.stored then
          error(where .. "was in a request that the server acted on")
        end
      end
      if written > 0 then
        error(where .. "is at the server")
      end
    elseif (outcome == "unsent" or outcome == "invalid") and #requests > 0 then
      error(where .. "was seen by the server")
    elseif outcome == "rejected" then
      local doubt = false
      for n = 1, #requests - 1 do
        doubt = doubt or requests[n].stored or not REFUSED[requests[n].status or 0]
      end
      if doubt and not items[i].ambiguous then
        error(where .. "is ambiguous, but is not marked")
      elseif items[i].ambiguous and #requests < 2 and report.retries == 0 then
        error(where .. "is marked as ambiguous, but was sent once only")
      elseif type(items[i].remote) ~= "table" or items[i].remote.phone ~= phone then
        error(where .. "has no remote, or that of another")
      end
    end
  end
  if #ledger.requests > report.requests then
    error(("%d requests were made, the report counts %d"):format(#ledger.requests, report.requests))
  elseif ledger.overlap[1] or ledger.doubles[1] then
    error "a phone stood twice in a request, or in two at a time"
  elseif ledger.trap_hits ~= 0 then
    error "a redirect was followed"
  end
end

--- Exactly the contacts with these numbers are failed, all others accepted.
function witness.only_failed(count, report, wanted, status)
  witness.sums(count, report)
  local outcomes, items = witness.outcomes(count, report)
  for i = 1, count do
    local outcome = wanted[i] and "failed" or "accepted"
    if outcomes[i] ~= outcome then
      error(("contact %d is %s, not %s"):format(i, outcomes[i], outcome))
    elseif wanted[i] then
      assert(items[i].failure.status == (status or 400), "the status of the failure")
      assert(items[i].failure.delivered == "no", "delivered")
    end
  end
end

return witness
