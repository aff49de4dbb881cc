--- What the command says of an import when it has ended: for people, and as JSON for programs.
local summary = {}

local format = require "heymarket.cli.format"
local json = require "heymarket.util.json"
local messages = require "heymarket.messages"
local reasons = require "heymarket.cli.reasons"
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

local grouped, plural = format.grouped, format.plural

-- What the rejected rows are: those that the account holds, those that it does not, and those that an earlier try may
-- have created.
local function rejected_lines(run)
  return {
    {
      run.report.rejected - run.refused,
      "of them exist already and were left as they were (--overwrite replaces them)",
    },
    { run.refused, "of them refused: nothing shows that they exist" },
    { run.ambiguous, "of them perhaps created by an earlier try of this import" },
  }
end

local function counts_of(run)
  local made, lines = run.report, {}
  local pattern = "  %-9s %" .. #grouped(made.total) .. "s"
  local function add(name, count, meaning)
    lines[#lines + 1] = pattern:format(name, grouped(count)) .. (meaning and "  " .. meaning or "")
  end
  for _, outcome in ipairs(report.outcomes) do
    if made[outcome] > 0 or outcome == "accepted" then
      local overwriting = outcome == "rejected" and run.overwrite and " or overwritten" or ""
      add(outcome, made[outcome], MEANING[outcome] and MEANING[outcome] .. overwriting)
    end
    for _, sort in ipairs(outcome == "rejected" and rejected_lines(run) or {}) do
      if sort[1] > 0 then
        add("", sort[1], sort[2])
      end
    end
  end
  add("total", made.total)
  return lines
end

-- Why a contact was not accepted, without what differs from one request to the next.
local function reason_of(item, overwrite)
  if item.outcome == "invalid" or item.outcome == "rejected" then
    local _, message = reasons.explain(item, overwrite)
    return message
  end
  return item.failure and messages.render(item.failure, "command") or ""
end

-- The rows that are worth a look, those with the same reason on one line. Rows that exist and unsent rows are all
-- alike: the line with their number says it.
local function reasons_of(run)
  local groups, by_text = {}, {}
  for _, item in ipairs(run.report.items) do
    if item.reason ~= "exists" and item.outcome ~= "unsent" then
      local what = item.outcome .. ": " .. reason_of(item, run.overwrite)
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

local function reason_lines(run)
  local made, groups, lines = run.report, reasons_of(run), {}
  local left = made.invalid + made.failed + made.unknown + run.refused
  for i = 1, math.min(SHOWN, #groups) do
    local group = groups[i]
    left = left - group.count
    local rows = (group.count == 1 and "row " or "rows ") .. table.concat(group.rows, ", ")
    if group.count > #group.rows then
      rows = rows .. (" and %s more"):format(grouped(group.count - #group.rows))
    end
    lines[i] = ("  %s %s"):format(rows, text.shortened(text.one_line(group.what), WIDTH))
  end
  if left > 0 then
    local hint = run.failures and "" or "; --failures FILE writes them all to a file"
    lines[#lines + 1] = ("  and %s%s"):format(plural(left, "more row"), hint)
  end
  return lines
end

-- Where things are, and how to go on.
local function advice_lines(run)
  local made, lines = run.report, {}
  local function add(line, ...)
    lines[#lines + 1] = text.one_line(line:format(...))
  end
  local stopped = run.failure ~= nil
  if stopped and run.position then
    add("The import stopped: what comes after row %s of the input was not read.", run.position)
  end
  if run.failures and run.not_accepted > 0 then
    add("The rows that were not accepted are in %s:", run.failures)
    add "correct them there and import that file."
  end
  local unsettled = made.failed + made.unknown + made.unsent > run.superseded
  if run.journal and not stopped and not unsettled then
    add("This import is complete; the journal %s is no longer needed.", run.journal)
  elseif run.journal and not (stopped and run.failure.kind == "journal") then
    -- The same command would fail at the same journal: then the failure says what there is to do.
    add("To go on, give the same command again: the journal %s knows what is done.", run.journal)
  elseif not run.journal and stopped and made.accepted > 0 then
    add "This run kept no journal, so the same command begins again at the first row."
    add "With --journal FILE it would go on where it stopped."
  end
  return lines
end

local function opt_in_lines(run)
  local count = run.report.opt_ins_left_out or 0
  local line = "In %s is_opted_out is false. That was left out, because it may undo an opt-out that the person sent by "
    .. "text; --allow-opt-in sends it."
  return count > 0 and { line:format(plural(count, "row")) } or {}
end

local function fact_lines(run)
  local made = run.report
  local facts = plural(made.requests, "request")
  if made.retries > 0 then
    facts = facts .. (" (%s of them %s)"):format(grouped(made.retries), made.retries == 1 and "a retry" or "retries")
  end
  if (made.resumed or 0) > 0 then
    facts = facts .. (", %s done by an earlier run"):format(plural(made.resumed, "row"))
  end
  local elapsed = made.elapsed < 60 and ("%.1f s"):format(made.elapsed) or format.duration(made.elapsed)
  return { ("%s in %s"):format(facts, elapsed) }
end

-- Sections with a blank line between them; empty ones are left out.
local function joined(...)
  local sections = {}
  for _, lines in ipairs { ... } do
    if #lines > 0 then
      sections[#sections + 1] = table.concat(lines, "\n") .. "\n"
    end
  end
  return table.concat(sections, "\n")
end

--- The summary for people.
---@param run table `report`, `failure`, `not_accepted`, `superseded`, `refused` and `ambiguous` (counts), `overwrite`,
--- `position` (of the last row that was read, where more follow), `failures` and `journal` (paths)
function summary.text(run)
  return joined(counts_of(run), fact_lines(run), opt_in_lines(run), reason_lines(run), advice_lines(run))
end

--- The summary of a dry run; `run` is as for `text`, with `batch_size`.
function summary.dry_text(run)
  local made, advice = run.report, {}
  local line = "Nothing was sent. Of %s, %s would be sent, up to %s in a request; invalid: %s."
  local counts = { plural(made.total, "row"), grouped(made.unsent), grouped(run.batch_size), grouped(made.invalid) }
  if run.failures and run.not_accepted > 0 then
    advice[1] = text.one_line(("The invalid rows are in %s: correct them there."):format(run.failures))
  end
  local first = line:format(counts[1], counts[2], counts[3], counts[4])
  return joined({ first }, opt_in_lines(run), reason_lines(run), advice)
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
  local fields = problem and copy_without(problem, "report", "message_code", "values")
  for i, issue in ipairs(problem and problem.issues or {}) do
    fields.issues = i == 1 and json.array {} or fields.issues
    fields.issues[i] = copy_without(issue, "code", "values", "is_option")
  end
  return fields
end

--- The report as one JSON object on one line, with `failure` where the import stopped.
function summary.json(made, problem)
  local fields, items = copy_without(made), json.array {}
  for i, item in ipairs(made.items) do
    items[i] = copy_without(item, "row")
    items[i].failure = plain_failure(item.failure)
  end
  fields.items, fields.failure = items, plain_failure(problem)
  return text.safe_json(json.encode(fields)) .. "\n"
end

return summary
