--- The `import` command: a CSV file into client:import, and the outcomes to the terminal and the failures file.
local import = {}

local console = require "heymarket.cli.console"
local csv = require "heymarket.csv"
local failure = require "heymarket.failure"
local failures_file = require "heymarket.cli.failures"
local output_file = require "heymarket.cli.output_file"
local progress = require "heymarket.cli.progress"
local reasons = require "heymarket.cli.reasons"
local report = require "heymarket.report"
local summary = require "heymarket.cli.summary"
local system = require "heymarket.system"

local MAX_ITEMS = 1000 -- as many as the report of an import keeps
local CHECK_EVERY = 64 -- rows of a dry run between two checks of the clock and of interrupts
local NOTHING_SENT = { requests = 0, retries = 0, elapsed = 0 }

local Run = {}
Run.__index = Run

-- Writes a message to stderr, unless only errors are wanted; the bar is cleared first.
function Run:say(message)
  if self.progress then
    self.progress:clear()
  end
  if not self.arguments.quiet then
    console.complain(message)
  end
end

-- Why the import is to stop now, or nil.
function Run:stop_reason()
  local problem = self.output and self.output:problem()
  if problem then
    return problem
  elseif system.interrupts() > 0 then
    if not self.told_interrupt then
      self:say "stopping: waiting for the requests in flight; interrupt again to end at once"
    end
    self.told_interrupt = true
    return failure.make("stopped", "interrupted", nil, { retryable = true })
  end
end

function Run:tick()
  if self.progress then
    self.progress:update(self.counter)
  end
  if self.output then
    self.output:flush() -- so that the file can be followed while the import runs
  end
end

-- Counts a contact that was not accepted, and writes and keeps it.
function Run:take(item)
  self.counter:record { item }
  self.ambiguous = self.ambiguous + (item.outcome == "rejected" and item.ambiguous and 1 or 0)
  self.refused = self.refused + (item.reason == "refused" and 1 or 0)
  if item.failure and item.failure.reason == "superseded" then
    -- Not written: an earlier run sent a later row of this phone, and importing this one would restore older data.
    self.superseded = self.superseded + 1
  elseif self.failures then
    self.failures:write(item)
  end
end

-- Opens the failures file. Neither it nor the journal may be the input, nor may both be one file. Gives the failure.
function Run:open_files()
  local arguments, problem = self.arguments, nil
  local failures, journal = arguments.failures, not arguments.dry_run and arguments.options.journal
  for _, pair in ipairs { { "failures file", failures }, { "journal", journal } } do
    if pair[2] and output_file.is_same(pair[2], self.input) then
      return failure.make("stopped", "output_is_input", { file = pair[1], path = pair[2] })
    end
  end
  if not failures then
    return nil
  end
  local is_journal = journal and output_file.is_same(journal, failures)
  if not is_journal then
    self.failures, problem = failures_file.open(
      failures,
      self.source.columns,
      arguments.options.overwrite,
      function(copy)
        self:say(("the edited content of %s was kept as %s"):format(failures, copy))
      end
    )
    self.output = self.failures and self.failures:output()
    -- Where the failures file was made just now, a link may lead to it.
    is_journal = self.output and journal and self.output:is_at(journal)
  end
  return is_journal and failure.make("stopped", "failures_is_journal") or problem
end

-- Reads and checks all rows.
local function rehearse(self)
  local index, checked, country = 0, 0, self.arguments.options.default_country
  repeat
    if index - checked >= CHECK_EVERY then
      checked = index
      self:tick()
      local reason = self:stop_reason()
      if reason then
        error(reason, 0)
      end
    end
    local entries = self.source:take(CHECK_EVERY, country, index)
    index = index + #entries
    for _, entry in ipairs(entries) do
      if entry.problem then
        local item = { outcome = "invalid", failure = entry.problem }
        self.source:describe({ entry }, { item })
        self:take(item)
      else
        self.counter:add "unsent"
      end
    end
  until not entries[1]
end

-- Checks all rows and sends none.
function Run:rehearse()
  local started = system.monotonic()
  local _, problem = failure.guarded(rehearse, self)
  local facts = { requests = 0, retries = 0, elapsed = system.monotonic() - started, dry_run = true }
  local made = self.counter:report(facts, false)
  if problem then
    return nil, failure.with(problem, { report = made })
  end
  return made
end

function Run:import()
  local given, accepted = self.arguments.options, 0
  function given.on_item(item)
    self:take(item)
  end
  function given.on_progress(made)
    self.counter:add("accepted", made.accepted - accepted)
    accepted = made.accepted
    if self.failures then
      self.failures:begin()
    end
    self:tick()
  end
  function given.should_stop()
    self:tick()
    return self:stop_reason() ~= nil
  end
  return self.client:import(self.source, given)
end

-- The failure that ended the import. The client knows "stopped on request" only; why it was requested is known here. A
-- read that a signal cut short looks like a fault of the source.
function Run:true_problem(problem)
  local cut_short = problem and (problem.kind == "stopped" and not problem.reason or problem.kind == "source")
  local unwritten = self.output and self.output:problem() ~= nil
  local reason = (cut_short or unwritten and not problem) and self:stop_reason()
  return reason and failure.with(reason, { delivered = problem and problem.delivered or "no" }) or problem
end

-- The summary: of the report, and of what only the command knows.
function Run:summary(whole, problem, not_accepted)
  local arguments = self.arguments
  local consumed, total = self.source:progress()
  local written = self.failures and self.failures:rows() > 0 and not self.output:problem()
  return summary.text {
    report = whole,
    failure = problem,
    not_accepted = not_accepted,
    superseded = self.superseded,
    ambiguous = self.ambiguous,
    refused = self.refused,
    overwrite = arguments.options.overwrite,
    batch_size = arguments.options.batch_size or 100,
    position = not (total and consumed >= total) and self.source:position() or nil,
    failures = written and arguments.failures or nil,
    journal = arguments.options.journal,
  }
end

-- Completes the failures file and the report, however the import ended, prints what there is to say of it, and gives
-- the exit code. Before a run has begun there is no report and no summary.
function Run:conclude(made, problem)
  made = made or problem.report
  if self.failures then
    self.failures:finish(not made or problem and problem.kind == "journal")
  end
  if self.progress then
    self.progress:clear()
  end
  problem = self:true_problem(problem)
  local kept = self.counter:report(NOTHING_SENT, true)
  local whole = made or kept
  whole.items, whole.items_truncated = kept.items, kept.items_truncated
  whole.opt_ins_left_out = self.source and self.source:opt_ins_left_out() or 0
  local not_accepted = whole.total - whole.accepted - self.superseded - (whole.dry_run and whole.unsent or 0)
  local code = not_accepted == 0 and console.ALL_ACCEPTED or console.NOT_ALL_ACCEPTED
  code = problem and reasons.complain(problem) or code
  if self.arguments.json then
    return console.print(summary.json(whole, problem), code)
  end
  return made and console.print(self:summary(whole, problem, not_accepted), code) or code
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
  return problem or self:open_files()
end

--- Runs the command, and gives its exit code.
---@param arguments table `file` (path, or "-"), `config` and `options` of the client, `csv` (options of csv.open),
--- `dry_run`, `failures` (path), `json`, `quiet`, `no_progress`
---@param client_of fun(config: table): heymarket.Client?, heymarket.Failure?
---@return integer
function import.run(arguments, client_of)
  local run = setmetatable({ arguments = arguments, counter = report.new(MAX_ITEMS) }, Run)
  run.input = arguments.file == "-" and io.stdin or arguments.file
  run.ambiguous, run.refused, run.superseded = 0, 0, 0
  system.interrupts()
  local problem, made = run:open(client_of), nil
  if not problem then
    run.progress = not (arguments.quiet or arguments.no_progress) and progress.new(run.source)
    made, problem = (run.client and run.import or run.rehearse)(run)
  end
  local code = run:conclude(made, problem)
  if run.client then
    run.client:close()
  end
  if run.source then
    run.source:close()
  end
  return code
end

return import
