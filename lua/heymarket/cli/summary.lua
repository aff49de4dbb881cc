--- What the command says of an import when it has ended: for people, and as JSON for programs.
local summary = {}

local failures = require "heymarket.cli.failures"
local json = require "heymarket.util.json"
local progress = require "heymarket.cli.progress"
local report = require "heymarket.report"
local text = require "heymarket.util.text"

local SHOWN = 10 -- reasons that are named in the summary
local SHOWN_ROWS = 5 -- rows named with each
local WIDTH = 200 -- bytes of a reason

local MEANING = {
  rejected = "listed by the server as not created",
  invalid = "refused here, never sent",
  failed = "certainly not taken by the server",
  unknown = "they may or may not have been taken",
  unsent = "read, but not sent before the import stopped",
}

local grouped = progress.grouped

-- Failures that concern the network or the server have facts that support asks for; the others need no more than a
-- sentence.
local PLAIN = { invalid = true, source = true, journal = true, stopped = true, context = true }

--- A message of the module in the terms of the command: where it names options, flags and variables take their place.
---@param message string
---@param name_of fun(field: string): string names an option as the user knows it
---@return string
function summary.reworded(message, name_of)
  -- Whole phrases, since these words may stand in what the input or the server says.
  local function named(before, words, after)
    return before .. words:gsub("[%w_]+", name_of) .. after
  end
  message = message:gsub("(credentials were not accepted: check )(secret_id, secret_key)( and)", named)
  message = message:gsub("(was made with another )([%w_, ]+)(: use the same options)", named)
  message = message:gsub("(contacts that were not accepted %()(max_failures)(%))", named)
  message = message:gsub("(Name its field with %-%-map) %(option map%)", "%1")
  message = message:gsub("(pass it over with %-%-ignore) %(option ignore%)", "%1")
  return message
end

--- What a failure says, on one line.
---@param problem heymarket.Failure
---@param name_of fun(field: string): string names an option as the user knows it
---@return string
function summary.sentence(problem, name_of)
  local message = PLAIN[problem.kind] and problem.message or tostring(problem)
  return text.one_line(summary.reworded(message, name_of))
end

--- What to tell of a failure, each mistake on a line of its own.
---@param problem heymarket.Failure
---@param name_of fun(field: string): string names an option as the user knows it
---@return string[] lines
function summary.complaints(problem, name_of)
  local lines = {}
  for i, issue in ipairs(problem.kind == "invalid" and problem.issues or {}) do
    local message = summary.reworded(issue.message, name_of)
    lines[i] = text.one_line((issue.field and name_of(issue.field) .. " " or "") .. message)
  end
  if #lines == 0 then
    lines[1] = summary.sentence(problem, name_of)
  end
  return lines
end

local function plural(n, noun)
  return grouped(n) .. " " .. noun .. (n == 1 and "" or "s")
end

local function shortened(line)
  local start, cut = text.beginning(line, WIDTH)
  return start .. (cut and "…" or "")
end

-- What the rejected rows are, each sort on a line: those that the account holds, those that it does not, and those that
-- an earlier try may have created.
local function rejected_lines(run)
  local lines = {}
  local exists = run.report.rejected - run.refused
  if exists > 0 then
    lines[1] = { exists, "of them exist already and were left as they were (--overwrite replaces them)" }
  end
  if run.refused > 0 then
    lines[#lines + 1] = { run.refused, "of them refused: nothing shows that they exist" }
  end
  if run.ambiguous > 0 then
    lines[#lines + 1] = { run.ambiguous, "of them perhaps created by an earlier try of this import" }
  end
  return lines
end

local function counts_of(run)
  local made = run.report
  local lines, width = {}, #grouped(made.total)
  for _, outcome in ipairs(report.outcomes) do
    local count = made[outcome]
    if count > 0 or outcome == "accepted" then
      local meaning = MEANING[outcome]
      if outcome == "rejected" and run.overwrite then
        meaning = "listed by the server as not created or overwritten"
      end
      local line = ("  %-9s %" .. width .. "s"):format(outcome, grouped(count))
      lines[#lines + 1] = line .. (meaning and "  " .. meaning or "")
    end
    for _, sort in ipairs(outcome == "rejected" and rejected_lines(run) or {}) do
      lines[#lines + 1] = ("  %-9s %" .. width .. "s  %s"):format("", grouped(sort[1]), sort[2])
    end
  end
  lines[#lines + 1] = ("  %-9s %" .. width .. "s"):format("total", grouped(made.total))
  return lines
end

-- Why a contact was not accepted, without what differs from one request to the next.
local function reason_of(item, name_of, overwrite)
  if item.outcome == "invalid" or item.outcome == "rejected" then
    local _, message = failures.explain(item, {
      overwrite = overwrite,
      sentence = function(problem)
        return summary.sentence(problem, name_of)
      end,
    })
    return message
  end
  return item.failure and summary.reworded(item.failure.message, name_of) or ""
end

-- The rows that are worth a look, those with the same reason on one line. Rows that exist and unsent rows are all
-- alike: the line with their number says it.
local function reasons_of(run)
  local groups, by_text = {}, {}
  for _, item in ipairs(run.report.items) do
    if item.reason ~= "exists" and item.outcome ~= "unsent" then
      local what = item.outcome .. ": " .. reason_of(item, run.name_of, run.overwrite)
      local group = by_text[what]
      if not group then
        group = { what = what, rows = {}, count = 0 }
        by_text[what] = group
        groups[#groups + 1] = group
      end
      group.count = group.count + 1
      if #group.rows < SHOWN_ROWS then
        group.rows[#group.rows + 1] = tostring(item.position)
      end
    end
  end
  return groups
end

local function add_reasons(lines, run)
  local made = run.report
  local groups = reasons_of(run)
  local left = made.invalid + made.failed + made.unknown + run.refused
  for i = 1, math.min(SHOWN, #groups) do
    local group = groups[i]
    if i == 1 then
      lines[#lines + 1] = ""
    end
    left = left - group.count
    local rows = (group.count == 1 and "row " or "rows ") .. table.concat(group.rows, ", ")
    if group.count > #group.rows then
      rows = rows .. (" and %s more"):format(grouped(group.count - #group.rows))
    end
    lines[#lines + 1] = ("  %s %s"):format(rows, shortened(text.one_line(group.what)))
  end
  if left > 0 then
    local hint = run.failures and "" or "; --failures FILE writes them all to a file"
    lines[#lines + 1] = ("  and %s%s"):format(plural(left, "more row"), hint)
  end
end

-- Where things are, and how to go on.
local function add_advice(lines, run)
  local made, advice = run.report, {}
  local stopped = run.failure ~= nil
  -- The same command would meet the same journal: what the failure says is what there is to do.
  local spoilt = stopped and run.failure.kind == "journal"
  if stopped and run.position then
    advice[#advice + 1] = "The import stopped: what comes after row " .. run.position .. " of the input was not read."
  end
  if run.failures and run.not_accepted > 0 then
    advice[#advice + 1] = "The rows that were not accepted are in " .. run.failures .. ":"
    advice[#advice + 1] = "mend them there and import that file."
  end
  local open = made.failed + made.unknown + made.unsent > run.superseded
  if run.journal and (stopped or open) then
    if not spoilt then
      local line = "To go on, give the same command again: the journal %s knows what is done."
      advice[#advice + 1] = line:format(run.journal)
    end
  elseif run.journal then
    advice[#advice + 1] = "This import is complete; the journal " .. run.journal .. " is no longer needed."
  elseif stopped and made.accepted > 0 then
    advice[#advice + 1] = "This run kept no journal, so the same command begins again at the first row."
    advice[#advice + 1] = "With --journal FILE it would go on where it stopped."
  end
  if #advice > 0 then
    lines[#lines + 1] = ""
    for _, line in ipairs(advice) do
      lines[#lines + 1] = text.one_line(line)
    end
  end
end

local function add_opt_ins(lines, made)
  if (made.opt_ins_left_out or 0) > 0 then
    lines[#lines + 1] = ""
    lines[#lines + 1] = (
      "In %s is_opted_out is false. That was left out, because it may undo an opt-out that the person sent "
      .. "by text; --allow-opt-in sends it."
    ):format(plural(made.opt_ins_left_out, "row"))
  end
end

--- The summary for people.
---@param run table `report`, `failure`, `not_accepted`, `superseded`, `refused` and `ambiguous` (counts), `overwrite`,
--- `position` (last row read, where the input goes on after it), `failures` and `journal` (paths), `name_of(field)`
---@return string
function summary.text(run)
  local made = run.report
  local lines = counts_of(run)
  local facts = plural(made.requests, "request")
  if made.retries > 0 then
    facts = facts .. (" (%s of them %s)"):format(grouped(made.retries), made.retries == 1 and "a retry" or "retries")
  end
  if (made.resumed or 0) > 0 then
    facts = facts .. (", %s done by an earlier run"):format(plural(made.resumed, "row"))
  end
  local elapsed = made.elapsed < 60 and ("%.1f s"):format(made.elapsed) or progress.duration(made.elapsed)
  lines[#lines + 1] = ""
  lines[#lines + 1] = ("%s in %s"):format(facts, elapsed)
  add_opt_ins(lines, made)
  add_reasons(lines, run)
  add_advice(lines, run)
  return table.concat(lines, "\n") .. "\n"
end

--- The summary of a dry run.
---@param run table as for `text`, and `batch_size`
---@return string
function summary.dry_text(run)
  local made = run.report
  local lines = {
    ("Nothing was sent. Of %s, %s would be sent, up to %s in a request; invalid: %s."):format(
      plural(made.total, "row"),
      grouped(made.unsent),
      grouped(run.batch_size),
      grouped(made.invalid)
    ),
  }
  add_opt_ins(lines, made)
  add_reasons(lines, run)
  if run.failures and run.not_accepted > 0 then
    lines[#lines + 1] = ""
    lines[#lines + 1] = text.one_line(("The invalid rows are in %s: mend them there."):format(run.failures))
  end
  return table.concat(lines, "\n") .. "\n"
end

local function copy_without(original, ...)
  local fields = {}
  for name, value in pairs(original) do
    fields[name] = value
  end
  for i = 1, select("#", ...) do
    fields[select(i, ...)] = nil
  end
  return fields
end

-- A failure as programs read it: the words and the facts, not what the words were made of.
local function plain_failure(problem)
  local fields = copy_without(problem, "report", "message_code", "values")
  for i, issue in ipairs(problem.issues or {}) do
    fields.issues = i == 1 and json.array {} or fields.issues
    fields.issues[i] = copy_without(issue, "code", "values", "is_option")
  end
  return fields
end

--- The report as one JSON object on one line, with `failure` where the import stopped.
---@param made heymarket.Report
---@param problem heymarket.Failure?
---@return string
function summary.json(made, problem)
  local fields = {}
  for name, value in pairs(made) do
    fields[name] = value
  end
  local items = json.array {}
  for i, item in ipairs(made.items) do
    local copy = copy_without(item, "row")
    copy.failure = item.failure and plain_failure(item.failure)
    items[i] = copy
  end
  fields.items = items
  fields.failure = problem and plain_failure(problem)
  return text.safe_json(json.encode(fields)) .. "\n"
end

return summary
