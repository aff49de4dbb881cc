--- Calls in a Lua whose memory runs out after so many allocations, for each number of them: no error leaves a call, no
--- report is untrue, and the journal is unlocked. Prints what was seen, or raises.
---
---   lua memory_limit.lua LIBRARY_FOLDER FOLDER STRIDE    limit.so, made of memory_limit.c, lies in the first folder

local libraries, folder, stride = arg[1], arg[2], tonumber(arg[3])
package.cpath = libraries .. "/?.so;" .. package.cpath

local fake = require "spec.support.fake"
local heymarket = require "heymarket"
local limit = require "limit"
local system = require "heymarket.system"

-- Lua 5.4 prepares something when it makes its first long string in a buffer. If memory runs out right then, long
-- strings are broken for good ("non-closable value"): that is Lua's own fault, so it happens before the limit is set.
assert(#("x"):rep(10000) == 10000)

local COUNT = 24
-- Lua 5.2 asks for memory at every call that is deeper than those before it: the first of them lead to ours.
local FIRST = _VERSION == "Lua 5.2" and 5 or 0
local OUTCOMES = { "accepted", "rejected", "invalid", "failed", "unknown", "unsent" }

local function phone_of(i)
  return ("1202555%04d"):format(i)
end

local function contacts_of(method)
  local list = {}
  for i = 1, COUNT do
    list[i] = { phone = phone_of(i), first = tostring(i) }
  end
  if method == "import" then
    list[9] = { phone = "x" }
  end
  return list
end

-- A server that loses an answer, refuses a contact, and holds another already.
local function new_world()
  local world = fake.new {
    handler = function(request)
      if request.number == 2 then
        return { code = "RECV_ERROR", sent = true, process = "all" }
      elseif request.has[phone_of(17)] then
        return { status = 400 }
      end
    end,
  }
  world.contacts[phone_of(5)] = { phone = phone_of(5) }
  return world
end

local function check(world, made)
  local sum = 0
  for _, outcome in ipairs(OUTCOMES) do
    sum = sum + made[outcome]
  end
  assert(sum == made.total, "the sum is wrong")
  assert(made.total == COUNT, "the total is " .. made.total)
  local outcome_of, items = {}, 0
  for _, item in ipairs(made.items) do
    assert(not outcome_of[item.index], "two items for one contact")
    outcome_of[item.index] = item.outcome
    items = items + 1
  end
  if made.items_truncated then
    return
  end
  assert(items == COUNT - made.accepted, "an item is missing, and items_truncated does not say so")
  for i = 1, COUNT do
    local outcome, stored = outcome_of[i] or "accepted", world.stored[phone_of(i)]
    if outcome == "accepted" then
      assert(stored, i .. " is accepted, and not stored")
    elseif outcome == "failed" or outcome == "unsent" then
      assert(not stored, i .. " is " .. outcome .. ", and stored")
    end
  end
end

-- Ways in which memory runs out: `limit` sets the limit for the n-th run. `all` is true where nothing at all is given
-- any more, not even what was in use before: then there may be no report.
local WAYS = {
  {
    name = "two allocations fail",
    limit = function(n)
      limit(n, 2)
    end,
  },
  {
    name = "no more bytes than that",
    step = 64,
    limit = function(n)
      limit(-1, -1, n)
    end,
  },
  {
    name = "every allocation fails",
    all = true,
    limit = function(n)
      limit(n, -1)
    end,
  },
}

local function run(method, way, n)
  local world, list = new_world(), contacts_of(method)
  local client, problem = heymarket.new {
    secret_id = "id",
    secret_key = "key",
    base_url = "https://api.heymarket.com",
    requests_per_minute = false,
    runtime = world.runtime,
  }
  assert(client, tostring(problem))
  local given = { batch_size = 4, concurrency = 2, on_event = function() end }
  if method == "import" then
    given.journal = folder .. "/journal"
    os.remove(given.journal)
  end
  local call = client[method]
  collectgarbage()
  way.limit(n)
  local ok, report, failure = pcall(call, client, list, given)
  local reached = limit()
  if not ok then
    error("an error left the call: " .. tostring(report))
  end
  local made = report or failure.report
  if not report then
    assert(heymarket.is_failure(failure) and failure.message ~= "", "no failure")
  end
  if made then
    check(world, made)
  else
    assert(way.all or #world.requests == 0, "requests were made, and there is no report")
  end
  client:close()
  if given.journal then
    if way.all then
      collectgarbage() -- even closing a file asks for memory
    end
    local file = io.open(given.journal, "r+b")
    if file then
      assert(system.lock(file), "the journal is locked")
      file:close()
    end
  end
  return reached, report, failure
end

-- The calls without a report: no error leaves them either.
local function run_small(way)
  local n, reached = FIRST, true
  while reached do
    local world = new_world()
    local config = {
      secret_id = "id",
      secret_key = "key",
      base_url = "https://api.heymarket.com",
      requests_per_minute = false,
      runtime = world.runtime,
    }
    local client, problem = heymarket.new(config)
    assert(client, tostring(problem))
    local contact = { phone = "+12025550001", tags = { 1, 2 } }
    reached = false
    for _, call in ipairs {
      function()
        return client:check()
      end,
      function()
        return client:token()
      end,
      function()
        return heymarket.contact(contact)
      end,
      function()
        return heymarket.new(config)
      end,
    } do
      way.limit(n)
      local ok, value, failure = pcall(call)
      reached = limit() or reached
      if not ok then
        error(("%s, %d: an error left the call: %s"):format(way.name, n, tostring(value)), 0)
      end
      assert(value ~= nil or heymarket.is_failure(failure), "neither a value nor a failure")
    end
    client:close()
    n = n + (way.step or 1)
  end
end

for _, way in ipairs(WAYS) do
  run_small(way)
end

for _, method in ipairs { "create_contacts", "import" } do
  for _, way in ipairs(WAYS) do
    local n, runs, reports, of_memory = FIRST * (way.step or 1), 0, 0, 0
    local reached = true
    while reached do
      local ok, was_reached, report, failure = pcall(run, method, way, n)
      if not ok then
        limit()
        error(("%s, %s, %d: %s"):format(method, way.name, n, tostring(was_reached)), 0)
      end
      reached = was_reached
      runs = runs + 1
      reports = reports + ((report or failure.report) and 1 or 0)
      of_memory = of_memory + (failure and failure.reason == "no_memory" and 1 or 0)
      n = n + stride * (way.step or 1)
    end
    print(("%s, %s: %d runs, %d reports, %d of memory"):format(method, way.name, runs, reports, of_memory))
  end
end
