--- What the command says of an import when it has ended: for people, and as JSON for programs.
local summary = {}

local command_line = require "heymarket.cli.command_line"
local format = require "heymarket.util.format"
local json = require "heymarket.util.json"
local messages = require "heymarket.messages"
local reasons = require "heymarket.cli.reasons"
local text = require "heymarket.util.text"

local SHOWN = 10 -- reasons that are named in the summary
local SHOWN_ROWS = 5 -- rows named with each
local WIDTH = 200 -- bytes of a reason
local LISTS = { items = true, issues = true, rows = true } -- fields that are arrays of tables
-- Fields that are not for programs: what messages are made of, and what the report says anyway.
local INTERNAL = { row = true, report = true, values = true, is_option = true }

local grouped, plural = format.grouped, format.plural

local function words_of(code, count)
  return messages.text(code, { count = count, rows = plural(count, "row") }, "command")
end

-- The table of counts. Rows without a meaning are always there, the others where there is something to count.
local function counts_of(run)
  local made, lines = run.report, {}
  local pattern = "  %-9s %" .. #grouped(made.total) .. "s"
  for _, row in ipairs {
    { "accepted", made.accepted },
    { "rejected", made.rejected, "listed by the server as not created" .. (run.overwrite and " or overwritten" or "") },
    { "", made.rejected - run.refused, words_of("summary_existing", made.rejected - run.refused) },
    { "", run.refused, words_of("summary_refused", run.refused) },
    { "", run.ambiguous, "of them perhaps created by an earlier try of this import" },
    { "invalid", made.invalid, "refused here, never sent" },
    { "failed", made.failed, "certainly not taken by the server" },
    { "unknown", made.unknown, "they may or may not have been taken" },
    { "unsent", made.unsent, "read, but not sent before the import stopped" },
    { "total", made.total },
  } do
    local name, count, meaning = row[1], row[2], row[3]
    if count > 0 or not meaning then
      lines[#lines + 1] = pattern:format(name, grouped(count)) .. (meaning and "  " .. meaning or "")
    end
  end
  return lines
end

-- The rows that are worth a look, those with the same reason together: arrays of rows, in order and by reason. Rows
-- that exist and unsent rows are all alike: the line with their number says it. Those that may have swallowed others
-- come first.
local function reasons_of(run)
  local groups = {}
  local function add(item)
    local _, reason = reasons.explain(item, run.overwrite, true)
    local what = item.outcome .. ": " .. reason
    if not groups[what] then
      groups[what] = { what = what }
      groups[#groups + 1] = groups[what]
    end
    table.insert(groups[what], item.position)
  end
  for _, item in ipairs(run.swallowing) do
    add(item)
  end
  for _, item in ipairs(run.report.items) do
    if item.reason ~= "exists" and item.outcome ~= "unsent" and not reasons.may_have_swallowed(item) then
      add(item)
    end
  end
  return groups
end

-- Rows, the first of them by number.
local function listed(positions)
  local shown = math.min(#positions, SHOWN_ROWS)
  local rows = (#positions == 1 and "row " or "rows ") .. table.concat(positions, ", ", 1, shown)
  return #positions > shown and rows .. (" and %s more"):format(grouped(#positions - shown)) or rows
end

local function reason_lines(run)
  local made, lines, groups = run.report, {}, reasons_of(run)
  local left = made.invalid + made.failed + made.unknown + run.refused
  for i = 1, math.min(#groups, SHOWN + #run.swallowing) do
    local group = groups[i]
    lines[i] = ("  %s %s"):format(listed(group), text.shortened(group.what, WIDTH))
    left = left - #group
  end
  if left > 0 then
    local hint = run.failures and "" or "; --failures FILE writes them all to a file"
    lines[#lines + 1] = ("  and %s%s"):format(plural(left, "more row"), hint)
  end
  return lines
end

-- The lines that apply, each filled with its value.
local function applying(rows)
  local lines = {}
  for _, row in ipairs(rows) do
    local applies, line, value = row[1], row[2], row[3]
    lines[#lines + 1] = applies and text.one_line(line:format(value)) or nil
  end
  return lines
end

-- The commands to type next: to go on, to begin again with a journal, to import the failures file.
local function commands_of(run)
  local is_limited = (run.report.failure or {}).reason == "max_failures"
  local journal = (run.file == "-" and "import" or run.file) .. ".journal"
  local function changed(changes)
    return "  " .. command_line.changed(run.typed, changes)
  end
  return {
    go_on = changed { without = is_limited and { ["--max-failures"] = true } or nil },
    begin_again = changed { with = { "--journal", journal } },
    corrected = run.failures and changed {
      file = run.failures,
      without = { ["--journal"] = true, ["--failures"] = true },
      with = { "--failures", command_line.next_name(run.failures) },
    },
  },
    is_limited
end

-- Where things are, and how to go on.
local function advice_lines(run)
  local made, journal, in_file, stopped = run.report, run.journal, run.failures, run.report.failure ~= nil
  local unsettled = made.failed + made.unknown + made.unsent > run.superseded
  local complete = not stopped and not unsettled
  -- The same command would fail at the same journal: then the failure says what there is to do.
  local goes_on = not complete and not (stopped and made.failure.kind == "journal")
  local resumes = journal and goes_on and stopped -- it sends some rows of the failures file, too
  local begins_again = not journal and stopped and made.accepted > 0
  local sends_again = journal and goes_on and not stopped
  local commands, is_limited = commands_of(run)
  return applying {
    {
      stopped and run.position,
      "The import stopped: what comes after row %s of the input was not read.",
      run.position,
    },
    { in_file and not resumes, "The rows that were not accepted are in %s:", run.failures },
    { in_file and not resumes, "correct them there and import that file." },
    { in_file and not resumes, "%s", commands.corrected },
    { journal and complete, "This import is complete; the journal %s is no longer needed.", journal },
    { resumes, "%s", messages.text("summary_resumes", run) },
    { resumes and is_limited, messages.text "summary_without_limit" },
    { resumes, "%s", commands.go_on },
    { resumes and run.file == "-", messages.text "summary_same_input" },
    { resumes and in_file, "%s", messages.text("summary_resumes_file", run) },
    { sends_again, "%s", messages.text("summary_sends_again", run) },
    { sends_again, "%s", commands.go_on },
    { begins_again, "This run kept no journal, so the same command begins again at the first row." },
    { begins_again, "With --journal FILE it would go on where it stopped." },
    { begins_again, "%s", commands.begin_again },
  }
end

local function warning_lines(run)
  local opt_ins, opt_outs = run.report.opt_ins_left_out, run.report.opt_outs_not_written
  local doubtful = run.report.doubtful_phones
  return applying {
    { doubtful > 0, words_of("summary_doubtful", doubtful) },
    { run.report.footer_rows > 0, words_of("summary_footer", run.report.footer_rows) },
    { opt_ins > 0, words_of("summary_opt_ins", opt_ins) },
    { opt_outs > 0, words_of("summary_opt_outs", opt_outs) },
  }
end

local function fact_lines(run)
  local made = run.report
  local facts = plural(made.requests, "request")
  if made.retries > 0 then
    facts = facts .. (" (%s of them %s)"):format(grouped(made.retries), made.retries == 1 and "a retry" or "retries")
  end
  if made.resumed > 0 then
    facts = facts .. (", %s done by an earlier run"):format(plural(made.resumed, "row"))
  end
  local elapsed = made.elapsed < 60 and ("%.1f s"):format(made.elapsed) or format.duration(made.elapsed)
  return { ("%s in %s"):format(facts, elapsed) }
end

local function dry_lines(run)
  local made = run.report
  local line = "Nothing was sent. Of %s, %s would be sent, up to %s in a request; invalid: %s."
  return {
    line:format(plural(made.total, "row"), grouped(made.unsent), grouped(run.batch_size), grouped(made.invalid)),
  }
end

-- The rows with the phone of an earlier one, those of one phone together.
local function repeated_lines(run)
  local repeated, groups, of_row = run.report.repeated_phones, {}, {}
  if repeated.count == 0 then
    return {}
  end
  local left = repeated.count
  for _, row in ipairs(repeated.rows) do
    local group = of_row[row.earlier]
    if not group and #groups < SHOWN then
      group = { earlier = row.earlier }
      groups[#groups + 1], of_row[row.earlier] = group, group
    end
    table.insert(group or {}, row.position)
  end
  local lines = { words_of("summary_repeated", repeated.count) }
  for _, group in ipairs(groups) do
    lines[#lines + 1] = ("  row %s: %s"):format(grouped(group.earlier), listed(group))
    left = left - #group
  end
  lines[#lines + 1] = left > 0 and ("  and %s"):format(plural(left, "more row")) or nil
  lines[#lines + 1] = repeated.is_partial and messages.text("summary_repeated_partial", nil, "command") or nil
  return lines
end

local function dry_advice(run)
  return applying { { run.failures, "The invalid rows are in %s: correct them there.", run.failures } }
end

--- The summary for people: sections with a blank line between them, the empty ones left out.
---@param run table `report` (with `failure`, where the import stopped), `file` and `typed` (what the command was
--- given), `superseded`, `refused` and `ambiguous`
--- (counts), `swallowing` (items), `overwrite`, `batch_size`, `position` (of the last row that was read, where more
--- follow), `journal` and `failures` (paths; the latter only where rows stand in that file)
function summary.text(run)
  local sections, texts = { counts_of, fact_lines, warning_lines, reason_lines, advice_lines }, {}
  if run.report.dry_run then
    sections = { dry_lines, warning_lines, repeated_lines, reason_lines, dry_advice }
  end
  for _, lines_of in ipairs(sections) do
    local lines = lines_of(run)
    texts[#texts + 1] = lines[1] and table.concat(lines, "\n") .. "\n" or nil
  end
  return table.concat(texts, "\n")
end

-- A copy of a report, an item, a failure or an issue as programs read it: the facts, and the words as the command says
-- them, not what the words were made of.
local function plain(original)
  local fields = {}
  for name, value in pairs(original) do
    if LISTS[name] then
      fields[name] = json.array {}
      for i, one in ipairs(value) do
        fields[name][i] = plain(one)
      end
    elseif not INTERNAL[name] then
      fields[name] = (name == "failure" or name == "repeated_phones") and plain(value) or value
    end
  end
  fields.message = fields.message and text.one_line(messages.render(original, "command"))
  return fields
end

--- The report as one JSON object on one line, with `failure` where the import stopped.
function summary.json(made)
  return text.safe_json(json.encode(plain(made))) .. "\n"
end

return summary
