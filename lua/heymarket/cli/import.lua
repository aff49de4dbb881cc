--- The `import` command: a CSV file into client:import, and the outcomes to the terminal and the failures file.
local import = {}

local columns = require "heymarket.cli.columns"
local console = require "heymarket.cli.console"
local csv = require "heymarket.csv"
local failure = require "heymarket.failure"
local progress = require "heymarket.cli.progress"
local reasons = require "heymarket.cli.reasons"
local report = require "heymarket.report"
local summary = require "heymarket.cli.summary"
local system = require "heymarket.system"

local MAX_SWALLOWING = 10 -- rows that may have swallowed others and are kept for the summary, however late they come
local MAX_ITEMS = 1000 -- as many as the report of an import keeps
local NOTHING_SENT = { requests = 0, retries = 0, elapsed = 0 }

local Run = {}
Run.__index = Run

-- Writes a message to stderr, unless only errors are wanted; the bar is cleared first.
function Run:say(message)
  self.progress:clear()
  if not self.arguments.quiet then
    console.complain(message)
  end
end

-- Why the import is to stop now, or nil.
function Run:stop_reason()
  if not self.interrupted and system.interrupts() > 0 then
    self:say "stopping: waiting for the requests in flight; interrupt again to end at once"
    self.interrupted = failure.make("stopped", "interrupted", nil, { reason = "interrupted", retryable = true })
  end
  return self.output and self.output.problem or self.interrupted
end

-- The client knows "stopped on request" only; why it was requested is known here. A read that a signal cut short looks
-- like a fault of the source.
function Run:true_problem(problem)
  local is_ours = problem and (problem.message_code == "stopped_on_request" or problem.kind == "source")
  local reason = is_ours and self:stop_reason()
  return reason and failure.with(reason, { delivered = problem.delivered }) or problem
end

-- Shows how far the import is. Gives why it is to stop now, or nil.
function Run:tick()
  self.progress:update(self.counter, self.source)
  if self.output then
    self.output:flush() -- so that the file can be followed while the import runs
  end
  return self:stop_reason()
end

-- Counts a contact that was not accepted, and writes and keeps it.
function Run:take(item)
  local facts = self.facts
  item.failure = self:true_problem(item.failure)
  self.counter:record { item }
  facts.ambiguous = facts.ambiguous + (item.outcome == "rejected" and item.ambiguous and 1 or 0)
  facts.refused = facts.refused + (item.reason == "refused" and 1 or 0)
  local opts_out = item.reason == "exists" and item.contact and item.contact.is_opted_out == true
  facts.opt_outs_left = facts.opt_outs_left + (opts_out and 1 or 0)
  if #facts.swallowing < MAX_SWALLOWING and reasons.may_have_swallowed(item) then
    table.insert(facts.swallowing, item)
  end
  if item.failure and item.failure.reason == "superseded" then
    -- Not written: an earlier run sent a later row of this phone, and importing this one would restore older data.
    facts.superseded = facts.superseded + 1
  elseif self.failures then
    self.failures:write(item)
  end
end

-- Opens the failures file. Neither it nor the journal may be the input, nor may both be one file. Gives the failure.
function Run:open_files()
  local arguments, problem = self.arguments, nil
  local path, journal = arguments.failures, not arguments.dry_run and arguments.options.journal
  if not (path or journal) then
    return nil
  end
  local failures_file = require "heymarket.cli.failures"
  local output_file = require "heymarket.cli.output_file"
  for _, output in ipairs { { file = "failures file", path = path }, { file = "journal", path = journal } } do
    if output.path and output_file.is_same(output.path, self.input) then
      return failure.make("stopped", "output_is_input", output)
    end
  end
  if path then
    self.output, problem = output_file.open(path, function(handle, start)
      local is_journal = journal and output_file.is_same(journal, handle)
      local is_other = start and not failures_file.is_start(start)
      return is_journal and "failures_is_journal" or is_other and "output_other_file"
    end, function(copy)
      self:say(("the edited content of %s was kept as %s"):format(path, copy))
    end)
    self.failures = self.output and failures_file.new(self.output, self.source, arguments.options.overwrite)
  end
  return problem
end

function Run:import()
  local given = self.arguments.options
  given.on_event = self.progress:is_wanted() and function(event)
    self.progress:note(event)
  end or nil
  function given.on_item(item)
    self:take(item)
  end
  function given.on_progress(made)
    self.progress:settled()
    self.counter:add("accepted", made.accepted - self.counter.accepted)
    if self.output then
      self.output:begin()
    end
    self:tick()
  end
  function given.should_stop()
    return self:tick() ~= nil
  end
  return self.client:import(self.source, given)
end

-- Completes the failures file and the report, however the import ended, prints what there is to say of it, and gives
-- the exit code. Before a run has begun there is no report and no summary.
function Run:conclude(made, problem)
  made = made or problem.report
  if self.output then
    if made and not (problem and problem.kind == "journal") then
      self.output:begin()
    end
    self.output:close()
  end
  self.progress:clear()
  problem = self:true_problem(problem) or self.output and self.output.problem
  local kept = self.counter:report(NOTHING_SENT, true)
  local whole = made or kept
  whole.items, whole.items_truncated, whole.failure = kept.items, kept.items_truncated, problem
  whole.opt_ins_left_out = self.source and self.source:opt_ins_left_out() or 0
  whole.footer_rows = self.source and self.source:footer_rows() or 0
  whole.opt_outs_not_written = self.facts.opt_outs_left
  whole.repeated_phones = self.facts.repeated
  local not_accepted = whole.total - whole.accepted - self.facts.superseded - (whole.dry_run and whole.unsent or 0)
  local code = not_accepted == 0 and console.ALL_ACCEPTED or console.NOT_ALL_ACCEPTED
  code = problem and reasons.complain(problem) or code
  if self.arguments.json then
    return console.print(summary.json(whole), code)
  elseif not made then
    return code
  end
  -- The summary is of the report, and of what only the command knows.
  local facts, consumed, total = self.facts, self.source:progress()
  facts.report = whole
  facts.position = not (total and consumed >= total) and self.source:position() or nil
  facts.failures = self.failures and self.failures:holds_rows() and self.arguments.failures or nil
  return console.print(summary.text(facts), code)
end

-- Opens what the import needs: the client, the source, the failures file. Gives the failure.
function Run:open(client_of)
  local problem
  if not self.arguments.dry_run then
    self.client, problem = client_of(self.arguments.config)
  end
  if not problem then
    self.source, problem = csv.open(self.input, self.arguments.csv)
  end
  if not problem then
    for _, line in ipairs(columns.told(self.source, self.arguments.csv.ignore)) do
      self:say(line)
    end
  end
  return problem or self:open_files()
end

--- Runs the command, and gives its exit code.
---@param arguments table `file` (path, or "-"), `typed` (the words of the command), `config` and `options` of the
--- client, `csv` (options of csv.open), `dry_run`, `failures` (path), `json`, `quiet`, `no_progress`
---@param client_of fun(config: table): heymarket.Client?, heymarket.Failure?
---@return integer
function import.run(arguments, client_of)
  local given = arguments.options
  local run = setmetatable({ arguments = arguments, counter = report.new(MAX_ITEMS) }, Run)
  run.input = arguments.file == "-" and io.stdin or arguments.file
  run.progress = progress.new(not (arguments.quiet or arguments.no_progress), given.requests_per_minute)
  run.facts = { overwrite = given.overwrite, batch_size = given.batch_size, journal = given.journal, swallowing = {} }
  run.facts.file, run.facts.typed = arguments.file, arguments.typed
  run.facts.ambiguous, run.facts.refused, run.facts.superseded, run.facts.opt_outs_left = 0, 0, 0, 0
  system.interrupts()
  local problem, made = run:open(client_of), nil
  if not problem then
    made, problem = (run.client and run.import or require("heymarket.cli.dry_run").run)(run)
  end
  local code = run:conclude(made, problem)
  for _, opened in pairs { run.client, run.source } do -- either may be nil
    opened:close()
  end
  return code
end

return import
