--- Reports: the outcome of each contact of a call, counted. Nothing else counts outcomes.
local report = {}

local failure = require "heymarket.failure"
local format = require "heymarket.util.format"
local messages = require "heymarket.messages"
local text = require "heymarket.util.text"

local grouped = format.grouped

---@class (exact) heymarket.Item
---@field index integer number of the contact in the call, 1 is the first
---@field position? any where the source says that it stands: the row, for CSV
---@field outcome "rejected"|"invalid"|"failed"|"unknown"|"unsent"
---@field contact? any the contact as it was handed in
---@field failure? heymarket.Failure why, except where the server only listed it
---@field remote? table what the server returned for it
---@field remote_truncated? boolean that was too large to keep: its large fields are left out
---@field reason? "exists"|"refused" of a rejected contact: does the account hold it?
---@field ambiguous? boolean an earlier try may have created it
---@field row? any what the source gave as third value: the original cells, for CSV
---@field resumed? boolean the outcome is that of an earlier run, from the journal

---@class (exact) heymarket.Report
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
---@field doubtful_phones integer contacts whose phone is in no range of numbers that libphonenumber knows (with a
--- region as default_country); they were not held back
---@field resumed integer contacts whose outcome came from the journal of an earlier run
---@field elapsed number seconds
---@field hook_error? string what on_event raised first; its errors do not disturb the call

local OUTCOMES = { "accepted", "rejected", "invalid", "failed", "unknown", "unsent" }

-- Reports and items are plain tables: their metatables have no more than what `tostring` asks for.
local Item = { __name = "heymarket.Item" }
local Report = { __name = "heymarket.Report" }

local Counter = {}
Counter.__index = Counter

--- Names of the outcomes, in the order in which a person wants to read them.
report.outcomes = OUTCOMES

--- Makes the counter of a call.
---@param max_items integer how many items to keep
---@param max_failures integer? see Counter:has_failed_too_often
function report.new(max_items, max_failures)
  local items = {}
  return setmetatable({
    items = items,
    max_items = max_items,
    max_failures = max_failures,
    items_truncated = false,
    failures = 0, -- contacts that were not accepted, those of earlier runs included
    open = {}, -- by index: entries that have no outcome yet
    accepted = 0,
    rejected = 0,
    invalid = 0,
    failed = 0,
    unknown = 0,
    unsent = 0,
    resumed = 0,
    doubtful_phones = 0,
    -- Made in advance, with every key: where memory has run out, its values can still be set.
    spare = {
      total = 0,
      accepted = 0,
      rejected = 0,
      invalid = 0,
      failed = 0,
      unknown = 0,
      unsent = 0,
      items = items,
      items_truncated = false,
      requests = 0,
      retries = 0,
      resumed = 0,
      doubtful_phones = 0,
      elapsed = 0,
    },
  }, Counter)
end

--- Takes in entries that will have an outcome.
---@param entries {index: integer}[]
function Counter:begin(entries)
  local open = self.open
  for i = 1, #entries do
    local entry = entries[i]
    open[entry.index] = entry
    if entry.is_doubtful then
      self:add_doubtful(1)
    end
  end
end

--- Counts contacts whose phone is doubtful. They have an outcome beside.
---@param count integer
function Counter:add_doubtful(count)
  self.doubtful_phones = self.doubtful_phones + count
end

--- Takes in a lot, and again when it has grown.
---@param batch heymarket.Batch it has the lot
---@param entry heymarket.Entry? the last contact of the lot, where it was taken in as an entry
function Counter:begin_lot(batch, entry)
  local first, last = batch.lot:range()
  self.open[first] = batch
  batch.in_lot = batch.lot:count() -- so many of its contacts have no entry of their own
  if entry and last ~= first then
    self.open[last] = nil
  end
  local doubtful = batch.lot:doubtful()
  self:add_doubtful(doubtful - (batch.doubtful or 0) - (entry and entry.is_doubtful and 1 or 0))
  batch.doubtful = doubtful
end

--- Takes in the entries of a lot in place of it.
---@param batch heymarket.Batch it has the lot
---@return heymarket.Entry[]
function Counter:open_lot(batch)
  local entries, open = batch.lot:entries(), self.open
  for i = batch.in_lot, 1, -1 do -- the first one takes the place of the batch
    entries[i].batch = batch
    open[entries[i].index] = entries[i]
    batch.in_lot = i - 1
  end
  return entries
end

--- Counts the contacts of a lot, all of which were accepted.
---@param batch heymarket.Batch
function Counter:accept_lot(batch)
  self.open[batch.lot:range()] = nil
  self.accepted = self.accepted + batch.in_lot
end

--- Counts contacts whose entries nobody has.
---@param outcome string
---@param count integer? 1 unless told
function Counter:add(outcome, count)
  self[outcome] = self[outcome] + (count or 1)
end

--- Counts contacts that were accepted.
---@param entries {index: integer}[]
function Counter:accept(entries)
  local open = self.open
  for i = 1, #entries do
    open[entries[i].index] = nil
  end
  self.accepted = self.accepted + #entries
end

-- Why a contact was not accepted: nil where nobody knows.
local function why(item)
  local problem = item.failure
  local issues = problem and problem.issues
  if issues and issues[1] then
    local first = issues[1]
    local words = (first.field and first.field .. " " or "") .. messages.render(first)
    return #issues == 1 and words or ("%s (and %d more)"):format(words, #issues - 1)
  elseif problem then
    return failure.line(problem)
  end
  return item.reason and item.reason .. (item.ambiguous and ", perhaps created by an earlier try" or "")
end

-- One line for people and logs, such as "contact 3 (position 4): invalid: phone is required". The contact itself is not
-- shown: logs are read by more people than contacts are.
function Item:__tostring()
  local place = self.position ~= nil and self.position ~= self.index
  local parts =
    { ("contact %.0f"):format(self.index) .. (place and (" (position %s)"):format(text.shown(self.position)) or "") }
  parts[2] = self.outcome
  parts[3] = why(self)
  return text.one_line(table.concat(parts, ": "))
end

-- The reasons of the contacts that were rejected; "" where the items do not say them all.
local function reasons_of(made)
  local counts = { exists = 0, refused = 0 }
  for _, item in ipairs(made.items) do
    if item.outcome == "rejected" then
      counts[item.reason] = counts[item.reason] + 1
    end
  end
  if counts.exists + counts.refused ~= made.rejected then
    return ""
  elseif counts.exists == 0 or counts.refused == 0 then
    return counts.exists == 0 and " (refused)" or " (exists)"
  end
  return (" (%s exists, %s refused)"):format(grouped(counts.exists), grouped(counts.refused))
end

-- One line for people, such as "5,200 contacts: 5,198 accepted, 2 rejected (exists), in 12.3 s".
function Report:__tostring()
  local counts = {}
  for _, outcome in ipairs(OUTCOMES) do
    if self[outcome] > 0 then
      local reasons = outcome == "rejected" and reasons_of(self) or ""
      counts[#counts + 1] = ("%s %s%s"):format(grouped(self[outcome]), outcome, reasons)
    end
  end
  local tenths = math.floor(self.elapsed * 10 + 0.5) -- the decimal point does not depend on the locale
  local seconds = ("%s.%d s"):format(grouped(math.floor(tenths / 10)), tenths % 10)
  local line = format.plural(self.total, "contact") .. (counts[1] and ": " or "") .. table.concat(counts, ", ")
  local resumed = self.resumed > 0 and (" (%s from the journal)"):format(grouped(self.resumed)) or ""
  return line .. ", in " .. seconds .. resumed
end

-- Counts a contact that was not accepted.
local function count(self, item)
  setmetatable(item, Item)
  self.open[item.index] = nil
  self[item.outcome] = self[item.outcome] + 1
  local superseded = item.failure and item.failure.reason == "superseded"
  if item.outcome ~= "unsent" and not superseded then
    self.failures = self.failures + 1
  end
end

--- Counts contacts that were not accepted, and leaves their items to the caller.
---@param items heymarket.Item[]
function Counter:count(items)
  for i = 1, #items do
    count(self, items[i])
  end
end

-- Keeps an item for the report, as long as there is room.
local function keep(self, item)
  local kept = self.items
  if #kept < self.max_items then
    kept[#kept + 1] = item
  else
    self.items_truncated = true
  end
end

--- Counts contacts that were not accepted, and keeps their items for the report.
---@param items heymarket.Item[]
function Counter:record(items)
  for i = 1, #items do
    -- Kept before it is counted: where there is no memory to keep it, it has no outcome yet.
    keep(self, items[i])
    count(self, items[i])
  end
end

--- Keeps items that were counted already.
---@param items heymarket.Item[]
---@param first integer the first of them
function Counter:keep(items, first)
  local was_truncated = self.items_truncated
  self.items_truncated = true -- until all are there: memory may run out
  for i = first, #items do
    if #self.items >= self.max_items then
      return
    end
    self.items[#self.items + 1] = items[i]
  end
  self.items_truncated = was_truncated
end

--- Notes that the outcomes of so many contacts came from the journal of an earlier run.
---@param number integer
function Counter:add_resumed(number)
  self.resumed = self.resumed + number
end

--- Were so many contacts not accepted that the call is to stop (`max_failures`)? Contacts that were not sent, and those
--- that a later contact has superseded, do not count.
---@return boolean
function Counter:has_failed_too_often()
  return self.max_failures ~= nil and self.failures >= self.max_failures
end

--- Number of contacts that have an outcome.
---@return integer
function Counter:total()
  return self.accepted + self.rejected + self.invalid + self.failed + self.unknown + self.unsent
end

local function by_index(a, b)
  return a.index < b.index
end

--- The entries that have no outcome yet, in input order.
---@return table[]
function Counter:unsettled()
  local lots, entries = {}, {}
  for _, entry in pairs(self.open) do
    lots[#lots + 1] = entry.lot and entry
  end
  for _, batch in ipairs(lots) do
    self:open_lot(batch)
  end
  for _, entry in pairs(self.open) do
    entries[#entries + 1] = entry
  end
  table.sort(entries, by_index)
  return entries
end

--- Have all contacts an outcome?
---@param taken integer number of contacts that were handed in
---@return boolean
function Counter:is_complete(taken)
  return next(self.open) == nil and self:total() >= taken
end

--- Counts all contacts that have no outcome, without asking for memory. Their items are lost.
---@param taken integer number of contacts that were handed in
---@param outcome_of fun(entry: table): string outcome of an entry; it must not ask for memory either
function Counter:count_unsettled(taken, outcome_of)
  local index, entry = next(self.open)
  while entry do
    self.open[index] = nil
    self:add(outcome_of(entry), entry.lot and entry.in_lot)
    index, entry = next(self.open)
  end
  local missing = taken - self:total()
  if missing > 0 then
    self:add("unsent", missing)
  end
end

-- Writes the counts into a report, without asking for memory where it has their keys.
local function write_counts(self, made)
  made.total, made.resumed, made.doubtful_phones = self:total(), self.resumed, self.doubtful_phones
  for i = 1, #OUTCOMES do
    made[OUTCOMES[i]] = self[OUTCOMES[i]]
  end
end

--- The report as it stands.
---@param facts table requests, retries, elapsed
---@param with_items boolean false leaves the items out: for reports in between
---@return heymarket.Report
function Counter:report(facts, with_items)
  local made = with_items and self.spare or { items = {}, items_truncated = false }
  write_counts(self, made)
  for name, value in pairs(facts) do
    made[name] = value
  end
  if with_items then
    table.sort(self.items, by_index)
    made.items = self.items
    made.items_truncated = self.items_truncated
  end
  return setmetatable(made, Report)
end

--- The report as it stands, without asking for memory. It can be made once.
---@param requests integer
---@param retries integer
---@param elapsed number
---@return heymarket.Report
function Counter:last_report(requests, retries, elapsed)
  local made = self.spare
  write_counts(self, made)
  made.requests, made.retries, made.elapsed = requests, retries, elapsed
  made.items_truncated = true -- items may be missing: there was no memory for them
  return setmetatable(made, Report)
end

return report
