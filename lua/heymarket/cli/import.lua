--- The `import` command: a CSV file into client:import, and the outcomes to the terminal and the failures file.
local import = {}

local csv = require "heymarket.csv"
local exit_codes = require "heymarket.cli.exit_codes"
local failure = require "heymarket.failure"
local failures_file = require "heymarket.cli.failures"
local output_file = require "heymarket.cli.output_file"
local progress = require "heymarket.cli.progress"
local reasons = require "heymarket.cli.reasons"
local report = require "heymarket.report"
local streams = require "heymarket.cli.streams"
local summary = require "heymarket.cli.summary"
local system = require "heymarket.system"

local MAX_ITEMS = 1000 -- as many as the report of an import keeps
local CHECK_EVERY = 64 -- rows between two checks of the clock and of interrupts

local Run = {}
Run.__index = Run

-- Writes a message to stderr; the bar is cleared first.
function Run:say(message)
  if self.progress then
    self.progress:clear()
  end
  streams.complain(message)
end

-- Why the import is to stop now, or nil.
function Run:stop_reason()
  local problem = self.output and self.output:problem()
  if problem then
    return problem
  elseif system.interrupts() > 0 then
    if not self.told_interrupt and not self.arguments.quiet then
      self:say "stopping: waiting for the requests in flight; interrupt again to end at once"
    end
    self.told_interrupt = true
    return failure.make("stopped", "interrupted", nil, { retryable = true })
  end
end

function Run:tick()
  if self.progress then
    self.progress:update(self.counts)
  end
  if self.output then
    self.output:flush() -- so that the file can be followed while the import runs
  end
end

-- Writes an item to the failures file. An unsent one waits while nothing else is in the file: where the import is
-- refused before it began, as with a journal of another input, what an earlier run wrote there stays.
function Run:write(item)
  if item.outcome == "unsent" and not self.output:has_begun() then
    self.waiting[#self.waiting + 1] = { item = item, row = item.row }
  else
    self.failures:write(item)
  end
end

-- Counts a contact that was not accepted, and writes and keeps it.
function Run:take(item)
  self.counts[item.outcome] = self.counts[item.outcome] + 1
  self.ambiguous = self.ambiguous + (item.outcome == "rejected" and item.ambiguous and 1 or 0)
  self.refused = self.refused + (item.reason == "refused" and 1 or 0)
  if item.failure and item.failure.reason == "superseded" then
    -- Not written: an earlier run sent a later row of this phone, and importing this one would restore older data.
    self.superseded = self.superseded + 1
  elseif self.failures then
    self:write(item)
  end
  item.row = nil
  if #self.items < MAX_ITEMS then
    self.items[#self.items + 1] = item
  else
    self.items_truncated = true
  end
end

-- The source of rows, with a check now and then: a file that holds only invalid rows sends no request, and its import
-- must be shown and stopped all the same.
local Rows = {}
Rows.__index = Rows

function Rows:check(count)
  self.unchecked = self.unchecked + count
  if self.unchecked >= CHECK_EVERY then
    self.unchecked = 0
    self.run:tick()
    local reason = self.run:stop_reason()
    if reason then
      error(reason, 0)
    end
  end
end

--- See Source:take of heymarket.csv.
function Rows:take(n, default_country, index)
  self:check(0)
  local entries = self.source:take(math.min(n, CHECK_EVERY), default_country, index)
  self.unchecked = self.unchecked + #entries
  return entries
end

--- See Source:describe of heymarket.csv.
function Rows:describe(entries, items)
  self.source:describe(entries, items)
end

function Rows:__call()
  self:check(1)
  return self.source()
end

function Run:rows()
  return setmetatable({ run = self, source = self.source, unchecked = 0 }, Rows)
end

function Run:make_progress()
  if self.arguments.quiet or self.arguments.no_progress then
    return
  end
  local terminal = system.isatty(io.stderr) and os.getenv "TERM" ~= "dumb"
  self.progress = progress.new {
    stream = io.stderr,
    terminal = terminal,
    colour = terminal and (os.getenv "NO_COLOR" or "") == "",
    columns = function()
      return system.columns(io.stderr)
    end,
    monotonic = system.monotonic,
    read = function()
      local bytes, total = self.source:progress()
      return bytes, total, self.source:position() - 1 -- the header is row 1
    end,
  }
end

local function two_files()
  return failure.make("stopped", "failures_is_journal")
end

-- Opens the failures file. Neither it nor the journal may be the input, nor may both be one file. Gives the failure.
function Run:open_files()
  local arguments = self.arguments
  local failures, journal = arguments.failures, not arguments.dry_run and arguments.options.journal
  for _, pair in ipairs { { "failures file", failures }, { "journal", journal } } do
    if pair[2] and output_file.is_same(pair[2], self.input) then
      return failure.make("stopped", "output_is_input", { file = pair[1], path = pair[2] })
    end
  end
  if failures and journal and output_file.is_same(journal, failures) then
    return two_files()
  elseif not failures then
    return nil
  end
  local problem
  local function on_kept(path, copy)
    if not arguments.quiet then
      self:say(("the edited content of %s was kept as %s"):format(path, copy))
    end
  end
  self.failures, problem = failures_file.open(failures, self.source.columns, arguments.options.overwrite, on_kept)
  self.output = self.failures and self.failures:output()
  -- Where the failures file was made just now, a link may lead to it.
  return problem or journal and self.output:is_at(journal) and two_files() or nil
end

-- Counts the entries of a batch, and writes the invalid ones.
function Run:rehearse_batch(counter, entries)
  for _, entry in ipairs(entries) do
    local outcome = entry.problem and "invalid" or "unsent"
    counter:add(outcome)
    if entry.problem then
      local item = { outcome = outcome, failure = entry.problem }
      self.source:describe({ entry }, { item })
      self:take(item)
    else
      self.counts[outcome] = self.counts[outcome] + 1
    end
  end
end

-- Checks all rows and sends none.
function Run:rehearse()
  local counter, started, index = report.new(0), system.monotonic(), 0
  local ok, raised = pcall(function()
    local rows, country = self:rows(), self.arguments.options.default_country
    repeat
      local entries = rows:take(CHECK_EVERY, country, index)
      index = index + #entries
      self:rehearse_batch(counter, entries)
    until not entries[1]
  end)
  local facts = { requests = 0, retries = 0, elapsed = system.monotonic() - started, dry_run = true }
  local made = counter:report(facts, false)
  if ok then
    return made
  elseif not failure.is(raised) then
    error(raised, 0)
  end
  return nil, failure.with(raised, { report = made })
end

function Run:import(client)
  local given = {}
  for name, value in pairs(self.arguments.options) do
    given[name] = value
  end
  function given.on_item(item)
    self:take(item)
  end
  function given.on_progress(made)
    self.counts.accepted = made.accepted
    if self.failures then
      self.failures:begin()
    end
    self:tick()
  end
  function given.should_stop()
    self:tick()
    return self:stop_reason() ~= nil
  end
  return client:import(self:rows(), given)
end

function Run:close_failures(has_report)
  if has_report then
    self.failures:begin()
  end
  for _, pair in ipairs(self.waiting) do
    pair.item.row = pair.row
    self.failures:write(pair.item)
    pair.item.row = nil
  end
  self.output:close()
end

-- The failure that ended the import. The client knows "stopped on request" only; why it was requested is known here. A
-- read that a signal cut short looks like a fault of the source.
function Run:true_problem(problem)
  local cut_short = problem and (problem.kind == "stopped" and not problem.reason or problem.kind == "source")
  local unwritten = self.output and self.output:problem() ~= nil
  local reason = (cut_short or unwritten and not problem) and self:stop_reason()
  return reason and failure.with(reason, { delivered = problem and problem.delivered or "no" }) or problem
end

-- Completes the report and the failures file, however the import ended.
function Run:finish(made, problem)
  local whole = made or problem and problem.report
  if self.failures then
    if made or problem.kind ~= "journal" or self.output:has_begun() then
      self:close_failures(whole)
    else
      self.output:close()
    end
  end
  if self.progress then
    self.progress:clear()
  end
  problem = self:true_problem(problem)
  whole = whole or report.new(0):report({ requests = 0, retries = 0, elapsed = 0 }, false)
  table.sort(self.items, function(a, b)
    return a.index < b.index
  end)
  whole.items, whole.items_truncated = self.items, self.items_truncated or false
  whole.opt_ins_left_out = self.source and self.source:opt_ins_left_out() or 0
  return whole, problem
end

-- What the summary is made from.
function Run:facts(whole, problem)
  local arguments = self.arguments
  local consumed, total = self.source:progress()
  local written = self.failures and self.failures:rows() > 0 and not self.output:problem()
  return {
    report = whole,
    failure = problem,
    not_accepted = whole.total - whole.accepted - self.superseded - (whole.dry_run and whole.unsent or 0),
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

local function exit_code(whole, problem, superseded)
  if problem then
    return exit_codes.of_failure(problem)
  end
  local accepted = whole.accepted + superseded + (whole.dry_run and whole.unsent or 0)
  return accepted == whole.total and exit_codes.ALL_ACCEPTED or exit_codes.NOT_ALL_ACCEPTED
end

-- Prints what there is to say of the end, and gives the exit code. Before a run has begun there is no summary.
function Run:conclude(made, problem, begun)
  local printed = true
  made, problem = self:finish(made, problem)
  for _, message in ipairs(problem and reasons.complaints(problem) or {}) do
    self:say(message)
  end
  if self.arguments.json then
    printed = streams.print(summary.json(made, problem))
  elseif begun then
    local make = self.arguments.dry_run and summary.dry_text or summary.text
    printed = streams.print(make(self:facts(made, problem)))
  end
  local code = exit_code(made, problem, self.superseded)
  return printed and code or math.max(code, exit_codes.COULD_NOT_RUN)
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
  local run = setmetatable({ arguments = arguments, counts = {}, items = {}, waiting = {} }, Run)
  run.input = arguments.file == "-" and io.stdin or arguments.file
  run.ambiguous, run.refused, run.superseded = 0, 0, 0
  for _, outcome in ipairs(report.outcomes) do
    run.counts[outcome] = 0
  end
  system.interrupts()
  local unopened = run:open(client_of)
  if unopened then
    return run:conclude(nil, unopened, false)
  end
  run:make_progress()
  local made, problem = (run.client and run.import or run.rehearse)(run, run.client)
  local code = run:conclude(made, problem, made ~= nil or problem.report ~= nil)
  if run.client then
    run.client:close()
  end
  run.source:close()
  return code
end

return import
