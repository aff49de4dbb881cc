--- bulk/outcome: what is true of each contact of a batch.
local outcome = require "heymarket.bulk.outcome"

local MAYBE = { kind = "network", delivered = "maybe" }
local NO = { kind = "network", delivered = "no" }
local STOPPED = { kind = "stopped", delivered = "no" }

local function entry_of(more)
  local entry = { index = 1, phone = "12025550001", body = "{}" }
  for name, value in pairs(more or {}) do
    entry[name] = value
  end
  return entry
end

describe("a contact of a batch that failed", function()
  -- failure, was the request possibly sent, the contact possibly sent by an earlier run; outcome, delivered
  for _, case in ipairs {
    { "certainly not delivered", NO, false, false, "failed", "no" },
    { "possibly delivered", MAYBE, false, false, "unknown", "maybe" },
    { "not delivered in the last try, possibly in one before", NO, true, false, "unknown", "maybe" },
    { "not delivered, possibly by an earlier run", NO, false, true, "unknown", "maybe" },
    { "never sent", nil, false, false, "unsent", "no" },
    { "never sent, possibly by an earlier run", nil, false, true, "unknown", "maybe" },
  } do
    it(("(%s) is %s"):format(case[1], case[5]), function()
      local batch = { entries = { entry_of { possibly_sent = case[4] } }, possibly_sent = case[3] }
      local items = outcome.of_failure(batch, case[2], STOPPED)
      assert.are.same({ case[5], case[6] }, { items[1].outcome, items[1].failure.delivered })
      assert.are.equal((case[2] or STOPPED).kind, items[1].failure.kind)
    end)
  end

  it("gets a copy of its failure; the shared one is unchanged", function()
    outcome.of_failure({ entries = { entry_of { possibly_sent = true } } }, NO, nil)
    assert.are.equal("no", NO.delivered)
  end)
end)

describe("a contact without an outcome at the end of a call", function()
  for _, case in ipairs {
    { "invalid", { problem = { kind = "invalid" } }, "invalid", "invalid" },
    { "never sent", {}, "unsent", "unsent" },
    { "in a request that was never tried", { batch = { attempts = 0 } }, "unsent", "unsent" },
    { "never sent, possibly by an earlier run", { possibly_sent = true }, "unknown", "unknown" },
    { "in a request without an answer", { batch = { attempts = 1 } }, "unknown", "unknown" },
    { "in a request that certainly failed", { batch = { attempts = 1, failure = NO } }, "failed", "unknown" },
    { "in a request that may have arrived", { batch = { attempts = 2, failure = MAYBE } }, "unknown", "unknown" },
    {
      "in a request whose earlier try may have arrived",
      { batch = { attempts = 2, failure = NO, possibly_sent = true } },
      "unknown",
      "unknown",
    },
  } do
    it(("(%s) is %s"):format(case[1], case[3]), function()
      local entry = entry_of(case[2])
      assert.are.equal(case[3], outcome.of_unsettled({ entry }, STOPPED)[1].outcome)
      -- Without memory it is never said that a contact was certainly not taken once it was sent.
      assert.are.equal(case[4], outcome.without_memory(entry))
    end)
  end
end)

describe("a contact of a batch that was answered", function()
  local function outcomes_of(listed, overwrite, more)
    local batch = { entries = {}, attempts = 1 }
    for i = 1, 3 do
      batch.entries[i] = { index = i, phone = "1202555000" .. i }
    end
    for name, value in pairs(more or {}) do
      batch[name] = value
    end
    local match = outcome.match(batch, listed)
    local accepted, others, items = outcome.of_response(batch, match, overwrite)
    local found = {}
    for _, entry in ipairs(accepted) do
      found[entry.index] = "accepted"
    end
    for i, entry in ipairs(others) do
      local item = items[i]
      found[entry.index] = table.concat({ item.outcome, item.reason, item.ambiguous and "ambiguous" or nil }, " ")
    end
    return found
  end

  local function listed(i, id)
    local phone = "1202555000" .. i
    return { phone = phone, remote = { phone = phone, id = id } }
  end

  for _, case in ipairs {
    { "none is listed", {}, false, { "accepted", "accepted", "accepted" } },
    { "one is listed with an id", { listed(2, 7) }, false, { "accepted", "rejected exists", "accepted" } },
    { "one is listed without an id", { listed(2) }, false, { "accepted", "rejected refused", "accepted" } },
    { "it was to be overwritten", { listed(2, 7) }, true, { "accepted", "rejected refused", "accepted" } },
    {
      "it is listed twice, once with an id",
      { listed(2), listed(2, 7) },
      false,
      {
        "accepted",
        "rejected exists",
        "accepted",
      },
    },
    {
      "a contact is listed that is not in it",
      { listed(1), listed(9) },
      false,
      {
        "rejected refused",
        "unknown",
        "unknown",
      },
    },
    { "a listed contact has no phone", { { remote = nil } }, false, { "unknown", "unknown", "unknown" } },
  } do
    it(("has its outcome where %s"):format(case[1]), function()
      assert.are.same(case[4], outcomes_of(case[2], case[3]))
    end)
  end

  it("is ambiguous where an earlier try may have been taken", function()
    local found = outcomes_of({ listed(1, 7) }, false, { possibly_sent = true })
    assert.are.same({ "rejected exists ambiguous", "accepted", "accepted" }, found)
  end)
end)

describe("a contact that was finished when it was read", function()
  it("keeps the outcome of an earlier run", function()
    local entries = {
      entry_of { index = 1, known = { outcome = "accepted" } },
      entry_of { index = 2, known = { outcome = "rejected", remote = { id = 5 }, ambiguous = true } },
      entry_of { index = 3, known = { outcome = "failed", failure = NO } },
      entry_of { index = 4, problem = { kind = "invalid" } },
    }
    local accepted, others, items = outcome.of_finished(entries, false)
    assert.are.same({ entries[1] }, accepted)
    assert.are.same({ entries[2], entries[3], entries[4] }, others)
    assert.are.same({
      { outcome = "rejected", remote = { id = 5 }, ambiguous = true, reason = "exists", resumed = true },
      { outcome = "failed", failure = NO, resumed = true },
      { outcome = "invalid", failure = { kind = "invalid" } },
    }, items)
  end)
end)
