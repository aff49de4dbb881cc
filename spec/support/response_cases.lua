--- What each answer of the table (spec/live/responses) proves. One spec file for each sort of transport runs it: the
--- table is long, and on each new connection the client waits a moment for an answer that comes before its request.
---
--- Each answer meets create_contacts while the server stores nothing, so that "accepted" would be a lie where the
--- answer proves nothing, and import while the server stores everything, so that "failed" would be one. The retry that
--- follows and client:check() depend on the answer alone: they are tried over some transports only (ROLES). The whole
--- table runs under Lua 5.4 and LuaJIT; under 5.1 to 5.3, the sanitizers and inside nginx only the answers that are
--- marked `short`.
local answers = require "spec.support.responses"
local assert = require "luassert"
local heymarket = require "heymarket"
local server = require "spec.support.server"
local witness = require "spec.support.witness"

local RUN = os.getenv "HEYMARKET_TEST_RUN" or "5.4"
local WHOLE_TABLE = RUN == "5.4" or RUN == "jit"
-- Seconds: for whatever ends by itself, and for what never does.
local PATIENCE, STALL = 30, 0.3

-- What is tried over which transport.
local ROLES = {
  plain = { create = true, import = true, check = true },
  tls12 = { import = true },
  tls13 = { create = true, retry = true },
  h2_tls12 = { create = true, retry = true },
  h2_tls13 = { import = true, check = true },
}

local at, folder

local function no_wait()
  return 0
end

local function client_of(listener, entry)
  return assert(heymarket.new {
    secret_id = "id",
    secret_key = "key",
    base_url = at:url(listener, entry),
    timeout = (entry.stalls or entry.kind == "timeout") and STALL or PATIENCE,
    requests_per_minute = false,
    ca_file = folder .. "/certificate.pem",
    runtime = { random = no_wait },
  })
end

-- Makes a call and gives its report, whole or partial, and its failure; and what the server saw.
local function call(listener, entry, stores, act)
  local client = client_of(listener, entry)
  at:play(entry, stores)
  local ok, report, failure = pcall(act, client)
  client:close()
  local ledger = at:ledger()
  assert(ok, report)
  if failure then
    assert.is_true(heymarket.is_failure(failure))
    assert.is_nil(tostring(failure):find "%c")
    report = failure.report
  end
  return report, failure, ledger
end

-- The server reads the rest of a request that it answered early when the answer has been judged.
local function on_event_of(entry)
  return entry.early and function(event)
    if event.type == "response" then
      at:decided()
    end
  end or nil
end

local function create(entry, attempts)
  return function(client)
    return client:create_contacts(entry.contacts, {
      max_attempts = attempts or entry.attempts or 1,
      on_event = on_event_of(entry),
    })
  end
end

local function import(entry)
  return function(client)
    return client:import(entry.contacts, { max_attempts = entry.attempts or 1, on_event = on_event_of(entry) })
  end
end

-- Why an outcome is wrong, for the message.
local function explained(entry, report, failure)
  local item = report and report.items and report.items[1]
  local why = failure or item and item.failure
  return ("%s\n%s"):format(entry.why, why and tostring(why) or "no failure")
end

-- The report never says of a contact what the server's ledger contradicts.
local function check_truth(entry, outcomes, ledger)
  for i, contact in ipairs(entry.contacts) do
    local stored = ledger.stored[contact.phone] or 0
    assert.is_true(stored <= 1)
    if outcomes[i] == "failed" then
      assert.are.equal(0, stored, "called failed, but the server has it")
    elseif outcomes[i] == "accepted" then
      assert.are.equal(1, stored, "called accepted, but the server does not have it")
    end
  end
end

-- Where the answer is there before anything is sent, a client may leave it at that.
local function is_never_sent(outcomes)
  for _, outcome in ipairs(outcomes) do
    if outcome ~= "failed" then
      return false
    end
  end
  return true
end

local function check_outcomes(entry, report, failure)
  assert.is_table(report, explained(entry, report, failure))
  witness.sums(#entry.contacts, report)
  local outcomes, items = witness.outcomes(#entry.contacts, report)
  if not (entry.early == "accept" and is_never_sent(outcomes)) then
    assert.are.same(entry.expect, outcomes, explained(entry, report, failure))
  end
  for i, item in pairs(items) do
    if outcomes[i] == "unknown" or outcomes[i] == "failed" then
      assert.are.equal(outcomes[i] == "unknown" and "maybe" or "no", item.failure.delivered)
      if entry.kind then
        assert.are.equal(entry.kind, item.failure.kind)
      elseif not entry.stalls then
        -- Whoever waits for more instead of judging what is there has not judged it.
        assert.are_not.equal("timeout", item.failure.kind)
      end
    end
  end
  return outcomes
end

-- A server that stores nothing makes a lie of "accepted", one that stores everything makes a lie of "failed". Where the
-- answer is good the server does what it says; an early one is a refusal, and what follows it is stored.
local function does_store(entry, in_doubt)
  if entry.doubt then
    return in_doubt
  end
  return not entry.refused and not entry.early
end

-- The retry that follows a doubtful answer gets the API's own answer.
local function check_retry(entry, listener, stores)
  local report, failure, ledger = call(listener, entry, stores, create(entry, 2))
  assert.is_nil(failure)
  local outcomes, items = witness.outcomes(#entry.contacts, report)
  check_truth(entry, outcomes, ledger)
  for i, contact in ipairs(entry.contacts) do
    local earlier = ledger.requests[1].connection == 1 and ledger.requests[1].stored
    assert.are.equal(earlier and "rejected" or "accepted", outcomes[i], entry.why)
    assert.are.equal(earlier and true or nil, items[i] and items[i].ambiguous)
    assert.are.equal(1, ledger.stored[contact.phone])
  end
  assert.are.equal(1, report.retries)
end

-- The answer to the first call is good. Then the connection is idle, and the server does what it should not.
local function check_idle(entry, listener)
  local client = client_of(listener, entry)
  at:play(entry, false)
  local ok, report, failure = pcall(function()
    local first = assert(client:create_contacts({ { phone = "12025550999" } }, { max_attempts = 1 }))
    assert.are.equal(1, first.accepted)
    at:idle(entry.idle)
    return client:create_contacts(entry.contacts, { max_attempts = 1 })
  end)
  client:close()
  local ledger = at:ledger()
  assert(ok, report)
  report = failure and failure.report or report
  check_outcomes(entry, report, failure)
  assert.are.equal(2, #ledger.requests)
  if entry.reused then
    assert.are.equal(1, ledger.connections)
  end
end

-- Every other entry is stored before its doubtful answer is sent. One that was answered early may be stored so late
-- that the retry comes first.
local function stores_before_retry(entry, number)
  return not entry.early and number % 2 == 0
end

local function check_answer(entry, listener, number, is_checked)
  local role = ROLES[listener]
  local does_retry = role.retry and entry.doubt and not (entry.once or entry.stalls or entry.kind == "timeout")
  if role.create and not (does_retry and listener == "tls13") then
    local report, failure, ledger = call(listener, entry, does_store(entry, false), create(entry))
    check_truth(entry, check_outcomes(entry, report, failure), ledger)
  end
  if role.import and (entry.doubt or not role.create) then
    local report, failure, ledger = call(listener, entry, does_store(entry, true), import(entry))
    check_truth(entry, check_outcomes(entry, report, failure), ledger)
  end
  if does_retry then
    check_retry(entry, listener, stores_before_retry(entry, number))
  end
  if role.check and entry.check ~= nil and is_checked then
    local report, failure = call(listener, entry, false, function(client)
      return client:check { max_attempts = 1 }
    end)
    assert.are.equal(entry.check or nil, report, explained(entry, nil, failure))
  end
end

local function chosen(class)
  local entries = {}
  for _, entry in ipairs(class.entries) do
    if WHOLE_TABLE or entry.short then
      entries[#entries + 1] = entry
    end
  end
  return entries
end

local function has(list, value)
  for _, item in ipairs(list) do
    if item == value then
      return true
    end
  end
  return false
end

--- Defines the tests of all classes over some transports.
---@param busted {describe: function, it: function, setup: function, teardown: function} of the spec file
---@param listeners string[]
return function(busted, listeners)
  busted.setup(function()
    folder = server.folder()
    at = answers.start(server.certificate(folder))
  end)

  busted.teardown(function()
    at:stop()
    server.remove(folder)
  end)

  local function define(class)
    for _, listener in ipairs(class.listeners) do
      if has(listeners, listener) then
        busted.describe(("an answer over %s (%s):"):format(listener, class.name), function()
          for number, entry in ipairs(chosen(class)) do
            busted.it(("%s: %s"):format(entry.name, entry.doubt and "proves nothing" or "is what it says"), function()
              if entry.idle then
                check_idle(entry, listener)
              else
                check_answer(entry, listener, number, entry.short or class.http2)
              end
            end)
          end
        end)
      end
    end
  end

  for _, name in ipairs(answers.CLASSES) do
    local class = answers.class(name)
    define(class)
    if class.http2 then
      define(answers.over_http2(class))
    end
  end
end
