--- The `import` command: a CSV file into client:import, and what became of it to the terminal and the failures file.
local import = {}

local contact = require "heymarket.contact"
local csv = require "heymarket.csv"
local failure = require "heymarket.failure"
local failures_file = require "heymarket.cli.failures"
local progress = require "heymarket.cli.progress"
local report = require "heymarket.report"
local summary = require "heymarket.cli.summary"
local system = require "heymarket.system"
local text = require "heymarket.util.text"

local MAX_ITEMS = 1000 -- as many as the report of an import keeps
local LOOK_EVERY = 64 -- rows between two looks at the clock and at interrupts

-- Exit codes.
local ALL_ACCEPTED, COULD_NOT_RUN, NOT_ALL_ACCEPTED, REFUSED, MAX_FAILURES, INTERRUPTED = 0, 1, 3, 4, 5, 130

local Run = {}
Run.__index = Run

-- Writes a message to stderr, clear of the bar.
function Run:say(message)
  if self.progress then
    self.progress:clear()
  end
  io.stderr:write("heymarket: ", text.one_line(message), "\n")
end

-- Says what a failure says.
function Run:complain(problem, name_of)
  for _, line in ipairs(summary.complaints(problem, name_of or self.terms.name_of)) do
    self:say(line)
  end
end

-- Why the import is to stop now, or nil.
function Run:stop_reason()
  if self.failures and self.failures.problem then
    return failure.new(
      "stopped",
      ("the failures file %s could not be written, so the import stopped: %s"):format(
        self.failures.path,
        self.failures.problem
      )
    )
  elseif system.interrupts() > 0 then
    if not self.told_interrupt and not self.arguments.quiet then
      self:say "stopping: what is on its way is awaited; interrupt again to end at once"
    end
    self.told_interrupt = true
    return failure.new("stopped", "interrupted", { retryable = true })
  end
end

function Run:tick()
  if self.progress then
    self.progress:update(self.counts)
  end
  -- So that the file can be followed while the import runs.
  if self.failures then
    self.failures:flush()
  end
end

-- Books a contact that was not accepted. Unsent rows are held back while nothing else is in the failures file: where
-- the import is refused before it began, as with a journal of another input, what an earlier run wrote there stays.
function Run:take(item)
  self.counts[item.outcome] = self.counts[item.outcome] + 1
  if item.outcome == "rejected" and item.ambiguous then
    self.ambiguous = self.ambiguous + 1
  end
  if item.reason == "refused" then
    self.refused = self.refused + 1
  end
  local superseded = item.failure ~= nil and item.failure.reason == "superseded"
  if superseded then
    -- An earlier run gave the server a later row of this phone: imported again, this one would restore older data.
    self.superseded = self.superseded + 1
  elseif self.failures and not self.failures.begun and item.outcome == "unsent" then
    self.held[#self.held + 1] = { item = item, row = item.row }
  elseif self.failures then
    self.failures:write(item)
  end
  item.row = nil
  if #self.items < MAX_ITEMS then
    self.items[#self.items + 1] = item
  else
    self.items_truncated = true
  end
end

-- The source, with a look now and then at what else there is: a file of nothing but invalid rows sends no request, and
-- its import must be shown and stopped all the same.
function Run:reader()
  local source, count = self.source, 0
  return function()
    count = count + 1
    if count % LOOK_EVERY == 0 then
      self:tick()
      local reason = self:stop_reason()
      if reason then
        error(reason, 0)
      end
    end
    return source()
  end
end

function Run:make_progress()
  local arguments = self.arguments
  if arguments.quiet or arguments.no_progress then
    return
  end
  local terminal = system.isatty(io.stderr) and os.getenv "TERM" ~= "dumb"
  local no_colour = os.getenv "NO_COLOR"
  self.progress = progress.new {
    stream = io.stderr,
    terminal = terminal,
    colour = terminal and (no_colour == nil or no_colour == ""),
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

-- The files beside the input. None may be the input itself, nor may both be one file.
function Run:open_files()
  local arguments = self.arguments
  local failures, journal = arguments.failures, not arguments.dry_run and arguments.options.journal
  local input = arguments.file == "-" and io.stdin or arguments.file
  for _, pair in ipairs { { "failures file", failures }, { "journal", journal } } do
    if pair[2] and failures_file.is_same(pair[2], input) then
      return nil, ("the %s %s is the input itself"):format(pair[1], pair[2])
    end
  end
  if failures and journal and failures_file.is_same(journal, failures) then
    return nil, "the failures file and the journal must be two files"
  elseif not failures then
    return true
  end
  local message
  self.failures, message = failures_file.open(failures, self.source.columns, {
    overwrite = arguments.options.overwrite,
    sentence = function(problem)
      return summary.sentence(problem, self.terms.name_of)
    end,
    kept = function(path, copy)
      if not arguments.quiet then
        self:say(("what %s held was kept as %s"):format(path, copy))
      end
    end,
  })
  -- Where the failures file was made just now, a link may lead to it.
  if self.failures and journal and failures_file.is_same(journal, self.failures.handle) then
    message = "the failures file and the journal must be two files"
  end
  return not message, message
end

-- Validates all rows and sends none.
function Run:rehearse()
  local books, started = report.new(0), system.monotonic()
  local default_country = self.arguments.options.default_country
  local index = 0
  local ok, raised = pcall(function()
    for found, position, row in self:reader() do
      index = index + 1
      local issues = {}
      local problem = failure.is(found) and found or nil
      if not problem and not contact.encode(found, index, default_country, issues) then
        problem = failure.invalid(issues)
      end
      if problem then
        books:add "invalid"
        self:take {
          index = index,
          position = position,
          row = row,
          outcome = "invalid",
          contact = not failure.is(found) and found or nil,
          failure = problem,
        }
      else
        books:add "unsent"
        self.counts.unsent = self.counts.unsent + 1
      end
    end
  end)
  local elapsed = system.monotonic() - started
  local made = books:report({ requests = 0, retries = 0, elapsed = elapsed, dry_run = true }, false)
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
  given.on_item = function(item)
    self:take(item)
  end
  given.on_progress = function(made)
    self.counts.accepted = made.accepted
    if self.failures then
      self.failures:begin()
    end
    self:tick()
  end
  given.should_stop = function()
    self:tick()
    return self:stop_reason() ~= nil
  end
  return client:import(self:reader(), given)
end

function Run:write_held(whole)
  if whole then
    self.failures:begin()
  end
  for _, pair in ipairs(self.held) do
    pair.item.row = pair.row
    self.failures:write(pair.item)
    pair.item.row = nil
  end
  self.held = {}
end

-- Completes the report and the failures file; both are the same however the import ended.
function Run:finish(made, problem)
  local whole = made or problem and problem.report
  if self.failures then
    if made or problem.kind ~= "journal" or self.failures.begun then
      self:write_held(whole)
    end
    self.failures:close()
  end
  if self.progress then
    self.progress:clear()
  end
  -- "Stopped on request" is what the client knows; why it was requested is known here. A read that a signal cut short
  -- looks like a fault of the source.
  local cut_short = problem and (problem.kind == "stopped" and not problem.reason or problem.kind == "source")
  local unwritten = self.failures and self.failures.problem ~= nil
  if cut_short or unwritten and not problem then
    local reason = self:stop_reason()
    problem = reason and failure.with(reason, { delivered = problem and problem.delivered or "no" }) or problem
  end
  whole = whole or report.new(0):report({ requests = 0, retries = 0, elapsed = 0 }, false)
  table.sort(self.items, function(a, b)
    return a.index < b.index
  end)
  whole.items, whole.items_truncated = self.items, self.items_truncated or false
  whole.opt_ins_left_out = self.source and self.source:opt_ins_left_out() or 0
  return whole, problem
end

local function exit_code(whole, problem, superseded)
  if not problem then
    local fine = whole.accepted + superseded + (whole.dry_run and whole.unsent or 0)
    return fine == whole.total and ALL_ACCEPTED or NOT_ALL_ACCEPTED
  elseif problem.kind == "unauthorized" or problem.kind == "denied" then
    return REFUSED
  elseif problem.reason == "max_failures" then
    return MAX_FAILURES
  elseif problem.kind == "stopped" and problem.message == "interrupted" then
    return INTERRUPTED
  end
  return COULD_NOT_RUN
end

-- Was the input read to its end?
function Run:is_read()
  local consumed, total = self.source:progress()
  return total ~= nil and consumed >= total
end

function Run:print(whole, problem, started)
  local arguments = self.arguments
  local written
  if arguments.json then
    written = summary.json(whole, problem)
  elseif started then
    local make = arguments.dry_run and summary.dry_text or summary.text
    written = make {
      report = whole,
      failure = problem,
      not_accepted = whole.total - whole.accepted - self.superseded - (whole.dry_run and whole.unsent or 0),
      superseded = self.superseded,
      ambiguous = self.ambiguous,
      refused = self.refused,
      overwrite = arguments.options.overwrite,
      name_of = self.terms.name_of,
      batch_size = arguments.options.batch_size or 100,
      position = not self:is_read() and self.source:position() or nil,
      failures = self.failures and self.failures.count > 0 and not self.failures.problem and arguments.failures or nil,
      journal = arguments.options.journal,
    }
  end
  return not written or self.terms.print(written)
end

function Run:stopped_before_start(problem, name_of)
  if type(problem) == "string" then
    problem = failure.new("stopped", problem)
    self:say(problem.message)
  else
    self:complain(problem, name_of)
  end
  local whole
  whole, problem = self:finish(nil, problem)
  self:print(whole, problem, false)
  return exit_code(whole, problem, self.superseded)
end

--- Runs the command.
---@param arguments table `file` (path, or "-"), `config` and `options` of the client, `csv` (options of csv.open),
--- `dry_run`, `failures` (path), `json`, `quiet`, `no_progress`
---@param terms table of the command line: `print(text)` to stdout gives false where that is not possible,
--- `name_of(field)` names an option as the user knows it, `client(config)` makes the client
---@return integer code to exit with
function import.run(arguments, terms)
  local run = { arguments = arguments, terms = terms, counts = {}, items = {}, held = {} }
  run.ambiguous, run.refused, run.superseded = 0, 0, 0
  setmetatable(run, Run)
  for _, outcome in ipairs(report.outcomes) do
    run.counts[outcome] = 0
  end
  system.interrupts()
  local client, problem
  if not arguments.dry_run then
    client, problem = terms.client(arguments.config)
    if not client then
      return run:stopped_before_start(problem)
    end
  end
  local input = arguments.file == "-" and io.stdin or arguments.file
  run.source, problem = csv.open(input, arguments.csv)
  if not run.source then
    return run:stopped_before_start(problem, tostring) -- a column may have the name of an option
  end
  local opened, message = run:open_files()
  if not opened then
    return run:stopped_before_start(message)
  end
  run:make_progress()
  local made
  if client then
    made, problem = run:import(client)
  else
    made, problem = run:rehearse()
  end
  local started = made ~= nil or problem.report ~= nil
  local whole
  whole, problem = run:finish(made, problem)
  if problem then
    run:complain(problem)
  end
  local code = exit_code(whole, problem, run.superseded)
  local printed = run:print(whole, problem, started)
  if client then
    client:close()
  end
  run.source:close()
  return printed and code or math.max(code, COULD_NOT_RUN)
end

return import
