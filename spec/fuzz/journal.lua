--- Fuzzes the journal of an import: what a power cut leaves of it, and what anybody else may make of it.
---
---   lua5.4 spec/fuzz/journal.lua SECONDS [SEED]
---
--- An import into an API in memory dies at a random request. Then either a power cut damages what was not on the disk
--- yet, and the import goes on: each outcome that it then gives is compared with what the API holds. Or the journal is
--- damaged anywhere: then nothing may be sent that it calls accepted, and no error raised. The corpus are journals
--- of this input, which are damaged as well.
local fake = require "spec.support.fake"
local fuzz = require "spec.support.fuzz"
local heymarket = require "heymarket"
local process = require "spec.support.process"

local OUTCOMES = { "accepted", "rejected", "invalid", "failed", "unknown", "unsent" }
local WORDS =
  { "\n", " ", "0", "1-9", ",", "=", ">", "<", "!", "end 3", "input 1 1", "\0\0\0\0", "-", "[]", '"', "\r\n" }

local folder = process.folder_in_memory() -- since every run waits for the disk several times
local path = folder .. "/journal"

local function read()
  return process.read_file(path) or ""
end

local function write(text)
  process.write_file(path, text)
end

-- The input, the options, and the API, which outlives the runs.
local function new_world(random)
  local world = { rows = {}, overwrite = random(0, 1) == 1, sent = {}, written = {} }
  local phones = random(1, 3) == 1 and random(3, 10) or 1000000
  for i = 1, random(1, 40) do
    -- Every row is told from all others by its first name.
    world.rows[i] = { phone = ("1%d"):format(2000000000 + (i * 7919) % phones), first = tostring(i) }
  end
  world.config = {
    batch_size = random(1, 8),
    concurrency = random(1, 3),
    max_attempts = random(1, 3),
    secret_id = "id",
    secret_key = "key",
    base_url = "http://127.0.0.1:1",
    requests_per_minute = false,
  }
  world.faulty = random(1, 3)
  world.api = fake.new {
    random = random,
    handler = function(request)
      return world.meet(request)
    end,
    latency = function()
      return random(1, 9) / 10
    end,
  }
  if random(1, 4) == 1 then
    -- Somebody was there before.
    local row = world.rows[random(1, #world.rows)]
    world.api.contacts[row.phone] = { phone = row.phone, first = "0", id = 7 }
  end
  return world
end

-- What a request meets; the API notes what it writes.
local function meet(world, request, random)
  local step = {}
  if random() < world.faulty / 10 then
    local steps = {
      { code = "RECV_ERROR", process = "all" },
      { code = "RECV_ERROR", process = "none" },
      { code = "COULDNT_CONNECT", sent = false },
      { status = 500, process = "all" },
      { status = 429, headers = { ["Retry-After"] = "1" } },
    }
    step = steps[random(1, #steps)]
  end
  for _, contact in ipairs(request.sent) do
    local row = tonumber(contact.first)
    if step.sent ~= false then
      world.sent[row] = (world.sent[row] or 0) + 1
    end
    if step.process == "all" or not step.code and not step.status then
      if world.overwrite or not world.api.contacts[contact.phone] then
        world.written[row] = true
      end
    end
  end
  return step
end

-- One run of the import. With `cut`, the machine dies when so many requests have left: what is then in the journal is
-- given back, and nothing reaches the API any more.
local function run(world, random, cut)
  local requests, snapshot = 0, nil
  world.meet = function(request)
    requests = requests + 1
    if snapshot then
      return { code = "COULDNT_CONNECT", sent = false }
    elseif requests == cut then
      snapshot = read()
      if random(0, 1) == 0 then
        return { code = "COULDNT_CONNECT", sent = false }
      end
    end
    return meet(world, request, random)
  end
  local config = { runtime = world.api.runtime }
  for name, value in pairs(world.config) do
    config[name] = value
  end
  local client = assert(heymarket.new(config))
  local items, count = {}, 0
  local report, failure = client:import(world.rows, {
    journal = path,
    overwrite = world.overwrite,
    on_item = function(item)
      assert(not items[item.index], "a row has two outcomes")
      items[item.index], count = item, count + 1
    end,
  })
  client:close()
  return {
    report = report or failure.report,
    failure = failure,
    items = items,
    count = count,
    requests = requests,
    snapshot = snapshot,
  }
end

local function assert_sound(world, made)
  local report = assert(made.report, made.failure)
  local sum = 0
  for _, outcome in ipairs(OUTCOMES) do
    sum = sum + report[outcome]
  end
  assert(sum == report.total, "the sum is wrong")
  assert(report.total <= #world.rows, "there are more outcomes than rows")
  assert(report.total == report.accepted + made.count, "a row has no outcome")
end

-- Compares what a run says of each row with what the API holds.
local function assert_true(world, made)
  assert_sound(world, made)
  local contacts = world.api.contacts
  for i = 1, made.report.total do
    local row, item = world.rows[i], made.items[i] or { outcome = "accepted" }
    local stored = contacts[row.phone] and tonumber(contacts[row.phone].first)
    local where = ("row %d is %s, stored is %s"):format(i, item.outcome, tostring(stored))
    if item.outcome == "accepted" then
      assert(world.written[i], where .. ", and it was never written")
      assert(world.overwrite and stored >= i or stored == i, where)
    elseif item.outcome == "rejected" then
      assert(item.ambiguous or not world.written[i], where .. ", written by us, and not ambiguous")
    elseif item.outcome == "failed" or item.outcome == "unsent" then
      assert(not world.written[i], where .. ", although it was written")
    else
      assert(item.outcome == "unknown", where)
    end
  end
end

-- Where the last note begins that says that all before it is on the disk.
local function on_disk(text)
  local last = 0
  for at in text:gmatch "\n()%d+ = %x+\n" do
    last = at - 1
  end
  return last
end

-- The rows that these lines call answered.
local function answered(text)
  local rows = {}
  for ranges in text:gmatch "\n%d+ < (%S+)" do
    for first, last in ranges:gmatch "(%d+)%-?(%d*)" do
      for i = tonumber(first), tonumber(last) or tonumber(first) do
        rows[i] = true
      end
    end
  end
  return rows
end

local function copy(map)
  local made = {}
  for key, value in pairs(map) do
    made[key] = value
  end
  return made
end

-- What was not on the disk is torn, lost or zeroed.
local function after_power_cut(text, random)
  local safe = on_disk(text)
  local kept, tail = text:sub(1, safe), text:sub(safe + 1)
  for _ = 1, random(0, 3) do
    if tail ~= "" then
      local first = random(1, #tail)
      local last = math.min(#tail, first + random(0, #tail))
      local way = random(1, 3)
      tail = way == 1 and tail:sub(1, first - 1)
        or tail:sub(1, first - 1)
          .. (way == 2 and ("\0"):rep(last - first + 1) or ("?"):rep(last - first + 1))
          .. tail:sub(last + 1)
    end
  end
  return kept .. tail, kept
end

local function check_power_cuts(world, random)
  for _ = 1, random(1, 3) do
    local made = run(world, random, random(1, 8))
    if made.snapshot then
      local text, kept = after_power_cut(made.snapshot, random)
      write(text)
      world.faulty = random(0, 3)
      local before, known = copy(world.sent), answered(kept)
      made = run(world, random)
      for row in pairs(known) do
        assert(
          world.sent[row] == before[row],
          ("row %d was sent again, although its answer is on the disk"):format(row)
        )
      end
    end
    assert(
      not made.failure or made.failure.kind ~= "journal",
      "what a power cut leaves is refused: " .. tostring(made.failure)
    )
    assert_true(world, made)
  end
end

-- One line is missing, or stands somewhere else, or twice.
local function damage_lines(text, random)
  local lines = {}
  for line in text:gmatch "[^\n]*\n?" do
    lines[#lines + 1] = line
  end
  local line = lines[random(1, #lines)]
  if random(1, 3) > 1 then
    line = table.remove(lines, random(1, #lines))
  end
  if random(1, 3) > 1 then
    table.insert(lines, random(1, #lines + 1), line)
  end
  return table.concat(lines)
end

local function check_damage(world, random, text)
  local damaged = text
  for _ = 1, random(1, 3) do
    damaged = random(1, 4) == 1 and damage_lines(damaged, random) or fuzz.damage(damaged, random, WORDS)
  end
  write(damaged)
  local made = run(world, random)
  if made.failure and made.failure.kind == "journal" then
    assert(made.requests == 0, "something was sent with a journal that is refused")
  else
    assert_sound(world, made)
  end
  -- A note that all before it is on the disk is still there at the end, so damage before it must be noticed.
  local safe, first = on_disk(text), 1
  while first <= #text and text:byte(first) == damaged:byte(first) do
    first = first + 1
  end
  if first <= safe and damaged:sub(safe - #text) == text:sub(safe + 1) then
    assert(made.failure and made.failure.kind == "journal", "damage at byte " .. first .. " is not noticed")
  end
end

local CORPUS = fuzz.corpus "journal"

-- What a journal of the corpus was made with.
local function corpus_world(random, text)
  local world = new_world(random)
  world.overwrite, world.rows = true, {}
  world.config.batch_size = tonumber(text:match '"batch_size":(%d+)')
  for i = 1, 20 do
    world.rows[i] = { phone = ("1%d"):format(2000000000 + i % 15), first = tostring(i) }
  end
  return world
end

fuzz.run("journal", function(random)
  write ""
  local way = random(1, 4)
  if way == 1 then
    local text = CORPUS[random(1, #CORPUS)]
    check_damage(corpus_world(random, text), random, text)
  elseif way == 2 then
    local world = new_world(random)
    local made = run(world, random, random(1, 8))
    check_damage(world, random, made.snapshot or read())
  else
    check_power_cuts(new_world(random), random)
  end
end, function()
  os.remove(path)
  os.remove(folder)
end)
