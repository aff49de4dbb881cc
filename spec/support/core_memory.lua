-- spec/live/core_trouble_spec.lua runs it with fail_malloc preloaded. It makes each allocation of two requests fail in
-- turn.
-- Arguments: the library, the URL, the certificate, the number of allocations that fail in a row, and "thread" where
-- the thread is to run the requests.
local library, url, certificate, in_a_row, by_thread = arg[1], arg[2], arg[3], tonumber(arg[4]), arg[5] == "thread"
local core = require "heymarket.core"
local system = require "heymarket.system"
local memory = assert(package.loadlib(library, "luaopen_fail_malloc"))()

local kept = { right = true }

-- The same through an inbox. The result comes even where the thread finds no memory.
local function exchange_by_thread(pool)
  kept.inbox = kept.inbox or core.inbox()
  assert(pool:start("POST", url, { "X-Name: value" }, ("x"):rep(3000), 5, 5, nil, kept.inbox))
  local result
  local give_up = system.monotonic() + 20
  repeat
    assert(system.monotonic() < give_up, "no result came")
    system.sleep(0.0005)
    result = kept.inbox:take()
  until result
  return result
end

local function exchange(pool)
  assert(pool:start("POST", url, { "X-Name: value" }, ("x"):rep(3000), 5, 5))
  local result
  repeat
    pool:perform()
    result = pool:take()
    if not result then
      pool:wait(1)
    end
  until result
  return result
end

local function scenario()
  local signer = core.signer(("i"):rep(600), "key")
  assert(#signer:sign(1) > 800)
  signer:close()
  for _ = 1, 2 do
    kept[1] = kept[1] or core.pool { ca_file = certificate, user_agent = "test" }
    local result = (by_thread and exchange_by_thread or exchange)(kept[1])
    if not result.code then
      kept.right = kept.right and result.status == 200 and result.body:sub(-3000) == ("x"):rep(3000)
    end
  end
end

local function armed(number)
  memory.arm(number, in_a_row)
  scenario()
end

-- The failures that are left may hit whatever comes after the scenario: until they are used up, all is protected.
local function disarmed()
  for _ = 1, 100 do
    local ok, failed = pcall(memory.disarm)
    if ok then
      return failed
    end
  end
end

local function round(number)
  kept[1], kept.right = nil, true
  local ok, problem = pcall(armed, number)
  local _, failed = pcall(disarmed)
  if type(failed) ~= "number" then
    failed = disarmed()
  end
  if kept[1] then
    kept[1]:close()
  end
  if kept.inbox then
    kept.inbox:close()
  end
  kept[1], kept.inbox = nil, nil
  collectgarbage()
  collectgarbage()
  local open = core.open_handles()
  assert(kept.right, "a wrong answer was taken for a right one at " .. number)
  assert(open.signers == 0 and open.pools == 0 and open.transfers == 0, "something is left open at " .. number)
  assert(ok or failed > 0, problem)
  return failed
end

-- Once without failure: what is set up once is set up.
assert(round(1e9) == 0)
local rounds, number = 0, 1
while round(number) > 0 do
  rounds = rounds + 1
  -- The first ones one by one, then with growing gaps.
  number = number + (number < 250 and 1 or math.floor(number / 60))
end
print("rounds " .. rounds)
