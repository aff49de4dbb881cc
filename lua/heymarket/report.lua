--- Reports: the books of a call. Every contact is booked exactly once, under exactly one outcome.
local report = {}

---@class heymarket.Item
---@field index integer number of the contact in the call, 1 is the first
---@field position any where the source says that it stands: the row, for CSV
---@field outcome "rejected"|"invalid"|"failed"|"unknown"|"unsent"
---@field contact any the contact as it was handed in
---@field failure heymarket.Failure? why, except where the server only listed it
---@field remote table? what the server returned for it
---@field remote_truncated boolean? that was too large to keep: its large fields are left out
---@field reason "exists"|"refused"|nil of a rejected contact: does the account hold it?
---@field ambiguous boolean? an earlier try may have created it
---@field row any what the source gave as third value: the original cells, for CSV
---@field resumed boolean? the outcome is that of an earlier run, from the journal

---@class heymarket.Report
---@field total integer accepted + rejected + invalid + failed + unknown + unsent
---@field accepted integer a 200 answer covers it and does not list it
---@field rejected integer the server listed it as not created or overwritten
---@field invalid integer refused here, never sent
---@field failed integer certainly not taken
---@field unknown integer it may or may not have been taken
---@field unsent integer the run stopped before it was sent
---@field items heymarket.Item[] every contact that was not accepted, in input order
---@field items_truncated boolean there were more of them than items holds
---@field requests integer HTTP requests made
---@field retries integer those of them that repeated an earlier one
---@field resumed integer contacts whose outcome came from the journal of an earlier run
---@field elapsed number seconds
---@field hook_error string? what on_event raised first; its errors do not disturb the call

local Books = {}
Books.__index = Books

local OUTCOMES = { "accepted", "rejected", "invalid", "failed", "unknown", "unsent" }

--- Names of the outcomes, in the order in which a person wants to read them.
report.outcomes = OUTCOMES

--- Opens the books of a call.
---@param max_items integer how many items to keep
function report.new(max_items)
  local books = setmetatable({ items = {}, max_items = max_items, items_truncated = false, resumed = 0 }, Books)
  -- Made in advance, with every key: where memory has run out, its values can still be set.
  books.spare = { total = 0, resumed = 0, items = books.items, items_truncated = false, requests = 0, retries = 0 }
  books.spare.elapsed = 0
  for _, outcome in ipairs(OUTCOMES) do
    books[outcome] = 0
    books.spare[outcome] = 0
  end
  return books
end

--- Books contacts.
---@param outcome string
---@param count integer? 1 unless told
function Books:add(outcome, count)
  self[outcome] = self[outcome] + (count or 1)
end

--- Keeps the particulars of a contact that was not accepted.
---@param item heymarket.Item
function Books:keep(item)
  if #self.items < self.max_items then
    self.items[#self.items + 1] = item
  else
    self.items_truncated = true
  end
end

--- Number of contacts that were booked.
---@return integer
function Books:total()
  return self.accepted + self:not_accepted()
end

--- Number of contacts that were booked and not accepted.
---@return integer
function Books:not_accepted()
  return self.rejected + self.invalid + self.failed + self.unknown + self.unsent
end

--- The report as it stands.
---@param facts table requests, retries, elapsed
---@param with_items boolean false leaves the items out: for reports in between
---@return heymarket.Report
function Books:report(facts, with_items)
  local made = { total = self:total(), resumed = self.resumed, items = {}, items_truncated = false }
  for _, outcome in ipairs(OUTCOMES) do
    made[outcome] = self[outcome]
  end
  for name, value in pairs(facts) do
    made[name] = value
  end
  if with_items then
    table.sort(self.items, function(a, b)
      return a.index < b.index
    end)
    made.items = self.items
    made.items_truncated = self.items_truncated
  end
  return made
end

--- The report as it stands, without asking for memory. It can be made once.
---@param requests integer
---@param retries integer
---@param elapsed number
---@return heymarket.Report
function Books:last_report(requests, retries, elapsed)
  local made = self.spare
  made.total = self:total()
  for i = 1, #OUTCOMES do
    made[OUTCOMES[i]] = self[OUTCOMES[i]]
  end
  made.requests, made.retries, made.elapsed, made.resumed = requests, retries, elapsed, self.resumed
  -- Particulars may be missing: there was no memory for them.
  made.items_truncated = true
  return made
end

return report
