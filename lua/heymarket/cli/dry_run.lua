--- The dry run of an import: all rows are read and checked, and none is sent.
local dry_run = {}

local failure = require "heymarket.failure"
local rows = require "heymarket.rows"
local system = require "heymarket.system"

local ROWS_IN_LOT = 256 -- ordinary rows that are checked at once
local NO_LIMIT = 2 ^ 52 -- bytes
local CHECK_EVERY = 64 -- rows between two checks of the clock and of interrupts
local MAX_PHONES = 1000 * 1000 -- that are remembered; they take at most 48 MiB
local MAX_REPEATED = 1000 -- rows with the phone of an earlier row that are named

-- Counts a row with the phone of an earlier one, and keeps both.
local function add_repeated(repeated, row, earlier)
  repeated.count = repeated.count + 1
  if #repeated.rows < MAX_REPEATED then
    table.insert(repeated.rows, { position = row, earlier = earlier })
  end
end

local function take_lot(run, lot)
  local found = run.first_rows:add_lot(lot) or {}
  for i = 1, #found, 2 do
    add_repeated(run.facts.repeated, found[i], found[i + 1])
  end
  run.counter:add("unsent", lot:count())
  run.counter:add_doubtful(lot:doubtful())
end

local function take_entry(run, entry)
  if entry.problem then
    local item = { outcome = "invalid", failure = entry.problem }
    run.source:describe({ entry }, { item })
    run:take(item)
    return
  end
  local earlier = run.first_rows:add(entry.phone, entry.position)
  if earlier then
    add_repeated(run.facts.repeated, entry.position, earlier)
  end
  run.counter:add "unsent"
  run.counter:add_doubtful(entry.is_doubtful and 1 or 0)
end

-- Checks the next rows: as many ordinary ones as can be, or one that is not ordinary. Gives their number, 0 at the end
-- of the input.
local function check_rows(run, index, country)
  local lot = run.source:take_lot(ROWS_IN_LOT, NO_LIMIT, country, index)
  if lot then
    local count = lot:count()
    take_lot(run, lot)
    lot:free()
    return count
  end
  local entries = run.source:take(1, country, index)
  for _, entry in ipairs(entries) do
    take_entry(run, entry)
  end
  return #entries
end

-- Checks all rows. Gives nil, and why it stopped before the last one.
local function check_all(run)
  local index, checked, country, reason = 0, 0, run.arguments.options.default_country, nil
  repeat
    local count = check_rows(run, index, country)
    index = index + count
    if index - checked >= CHECK_EVERY then
      checked, reason = index, run:tick()
    end
  until reason or count == 0
  return nil, reason
end

--- Checks all rows and sends none. The facts of the run get `repeated`: how many rows have the phone of an earlier row,
--- and the first of them.
---@param run table of cli/import.lua
---@return heymarket.Report
---@return heymarket.Failure? problem why it stopped before the last row
function dry_run.run(run)
  local started = system.monotonic()
  run.first_rows = rows.first_rows(MAX_PHONES)
  run.facts.repeated = { count = 0, rows = {} }
  local _, problem = failure.protected_call(check_all, run)
  run.facts.repeated.is_partial = run.first_rows:is_partial()
  local facts = { requests = 0, retries = 0, elapsed = system.monotonic() - started, dry_run = true }
  return run.counter:report(facts, false), problem
end

return dry_run
