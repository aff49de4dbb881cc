--- The calls that send many contacts: what comes before the loop of bulk/init.lua, and what its report leads to.
local calls = {}

local bulk = require "heymarket.bulk"
local failure = require "heymarket.failure"
local journal = require "heymarket.bulk.journal"
local report = require "heymarket.report"
local resume = require "heymarket.bulk.resume"
local source = require "heymarket.bulk.source"

local MAX_ITEMS = 1000 -- in the report of an import
local MAX_HELD = 1000 -- entries that wait at least until the journal is compared, see bulk/resume.lua
local YIELD_EVERY = 256 -- contacts that are checked before others have their turn

---@class heymarket.Services what calls need of their client
---@field base_url string
---@field account fun(): string?, heymarket.Failure? by what the journal knows the account
---@field monotonic fun(): number
---@field new_sender fun(settings: table, before_send: function?): table makes the sender of a call
---@field yield fun() lets others have their turn

---@class heymarket.Call what a call is given by the client, and what must outlive an error in it
---@field settings table? options of the call; nil where there are issues
---@field issues heymarket.Issue[] mistakes in the options
---@field default_country string|boolean|nil see contact.phone
---@field services heymarket.Services
---@field spare heymarket.Failure see failure.spare
---@field running table|false the loop, once it exists
---@field journal table|false the journal while it is open

--- A copy of the failure that ended a call, with the report of what was done.
---@param problem heymarket.Failure
---@param made heymarket.Report
---@return heymarket.Failure
function calls.with_report(problem, made)
  local is_touched = made.accepted + made.rejected + made.unknown > 0
  return failure.with(problem, { report = made, delivered = is_touched and "maybe" or problem.delivered })
end

--- The failure of a call in which an error was raised where the loop could not catch it, with the report as far as
--- there is one. Where memory has run out it asks for none.
---@param raised any
---@param call heymarket.Call
---@return heymarket.Failure
function calls.failure_of_error(raised, call)
  local ok, problem = pcall(failure.of_error, raised)
  problem = ok and problem or call.spare
  local has_report, made = false, nil
  if call.running then
    has_report, made = pcall(call.running.last_report, call.running)
  end
  if has_report then
    local is_copied, complete = pcall(calls.with_report, problem, made)
    if is_copied then
      return complete
    end
    problem = call.spare
    problem.report = made
    problem.delivered = made.accepted + made.rejected + made.unknown > 0 and "maybe" or "no"
  elseif problem.report == false then
    problem.report = nil
  end
  return problem
end

-- Closes the journal. Returns why it is not complete.
local function close_journal(notes)
  local ok, closed, problem = pcall(notes.close, notes)
  if not ok then
    return failure.of_error(closed)
  end
  return problem
end

-- Makes the loop and runs it.
local function run(call, sender, input, counter, entries)
  local running = bulk.new {
    sender = sender,
    source = entries or input,
    input = input,
    counter = counter,
    settings = call.settings,
    monotonic = call.services.monotonic,
    journal = call.journal or nil,
    spare = call.spare,
  }
  call.running = running
  return running:run()
end

-- Adds the mistakes of an invalid entry. A failure that was given in place of a contact may speak of another contact.
local function add_issues(issues, entry)
  local found = entry.problem.issues
  if not (found and found[1] and found[1].index == entry.index) then
    found = { { index = entry.index, message = entry.problem.message } }
  end
  for _, issue in ipairs(found) do
    issues[#issues + 1] = issue
  end
end

-- Reads and checks all contacts. Returns their entries, valid or not, and all mistakes.
local function check_all(call, contacts)
  local input, problem = source.of_array(contacts, call.default_country)
  if not input then
    return {}, problem.issues
  end
  local all, issues, yielded = {}, {}, 0
  local entries = input:take(YIELD_EVERY)
  while entries[1] do
    for _, entry in ipairs(entries) do
      all[#all + 1] = entry
      if entry.problem then
        add_issues(issues, entry)
      end
    end
    -- Not after each batch: an invalid contact ends one, and in nginx others have their turn for a millisecond.
    if #all - yielded >= YIELD_EVERY then
      yielded = #all
      call.services.yield()
    end
    entries = input:take(YIELD_EVERY)
  end
  return all, issues
end

-- The report of a call that was refused before anything was sent.
local function refused_report(entries)
  local counter, items = report.new(math.huge), {}
  local unsent = failure.make("stopped", "not_sent_with_invalid")
  for i, entry in ipairs(entries) do
    items[i] = { outcome = entry.problem and "invalid" or "unsent", failure = entry.problem or unsent }
  end
  source.of_entries(entries):describe(entries, items)
  counter:record(items)
  return counter:report({ requests = 0, retries = 0, elapsed = 0 }, true)
end

-- Which failure tells most of a call that ran to its end: doubt first, then a certain failure, then what the server
-- listed. Nil where every contact is in the account.
local function primary_failure(items, overwrite)
  local doubt, failed, refused = nil, nil, 0
  for _, item in ipairs(items) do
    if item.outcome == "unknown" then
      doubt = doubt or item.failure
    elseif item.outcome == "failed" then
      failed = failed or item.failure
    elseif item.reason == "refused" then
      refused = refused + 1
    end
  end
  return doubt or failed or refused > 0 and failure.refused(refused, overwrite) or nil
end

--- Runs create_contacts: all contacts are checked first, and one mistake refuses them all.
---@param call heymarket.Call
---@param contacts table[]
---@return heymarket.Report?
---@return heymarket.Failure?
function calls.create_contacts(call, contacts)
  local entries, issues = check_all(call, contacts)
  for i, issue in ipairs(call.issues) do
    table.insert(issues, i, issue)
  end
  if issues[1] then
    local problem = failure.invalid(issues)
    problem.report = refused_report(entries)
    return nil, problem
  end
  local made, stopped =
    run(call, call.services.new_sender(call.settings), source.of_entries(entries), report.new(math.huge))
  -- A call that was stopped after its last contact had been taken is complete.
  local is_incomplete = made.failed + made.unknown + made.unsent > 0
  local problem = is_incomplete and stopped or primary_failure(made.items, call.settings.overwrite)
  if problem then
    return nil, calls.with_report(problem, made)
  end
  return made
end

-- Opens the journal of an import. Returns why it cannot be used.
local function open_journal(call)
  local settings = call.settings
  local account, problem = call.services.account()
  if problem then
    return problem
  end
  local notes
  notes, problem = journal.open(settings.journal, {
    overwrite = settings.overwrite,
    default_country = settings.default_country,
    batch_size = settings.batch_size,
    base_url = call.services.base_url,
    account = account,
  }, call.services.monotonic)
  call.journal = notes or false
  return problem
end

-- Closes the journal of an import that has ended. Returns why the import is not complete.
local function complete_journal(call, stopped)
  local unwritten = close_journal(call.journal)
  if not unwritten or unwritten.reason ~= "no_memory" then
    call.journal = false
  end
  if not unwritten or stopped and stopped.kind == "journal" then
    return stopped
  end
  -- Whoever went on with this journal would send contacts again, so this is said first.
  return stopped and failure.reworded(unwritten, "before_that", { first = unwritten, before = stopped }) or unwritten
end

--- Runs import.
---@param call heymarket.Call
---@param given table|function see Client:import
---@return heymarket.Report?
---@return heymarket.Failure?
function calls.import(call, given)
  local settings, sender = call.settings, nil
  local function is_stopped()
    return sender:stop_reason() ~= nil
  end
  local input, problem = source.new(given, settings.default_country, is_stopped)
  if not input then
    return nil, problem
  end
  if settings.journal then
    problem = open_journal(call)
    if problem then
      return nil, problem
    end
  end
  -- What is about to be sent is on the disk before it is sent.
  sender = call.services.new_sender(settings, call.journal and function()
    return call.journal:commit()
  end or nil)
  local entries = call.journal
    and resume.new {
      source = input,
      journal = call.journal,
      is_finite = input:is_finite(),
      is_stopped = is_stopped,
      max_held = math.max(MAX_HELD, settings.concurrency * settings.batch_size),
    }
  local made, stopped = run(call, sender, input, report.new(MAX_ITEMS, settings.max_failures), entries or nil)
  if call.journal then
    stopped = complete_journal(call, stopped)
  end
  if stopped then
    return nil, calls.with_report(stopped, made)
  end
  return made
end

return calls
