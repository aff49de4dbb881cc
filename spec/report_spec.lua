-- Reports, items and issues as people see them, and that they stay plain tables for programs.

local capture = require "spec.support.capture"
local cjson = require "cjson"
local report = require "heymarket.report"

-- Items of an import against these answers; the report or what there is of it.
local function import(contacts, answer, options)
  local client = capture.client({ max_attempts = 1 }, answer)
  local made, problem = client:import(contacts, options)
  client:close()
  return made or problem.report
end

-- A report with these counts and items.
local function counted(counts, items, facts)
  local counter = report.new(1000)
  for outcome, count in pairs(counts) do
    counter:add(outcome, count)
  end
  for i, item in ipairs(items or {}) do
    item.index = i
  end
  counter:record(items or {})
  return counter:report(facts or { requests = 1, retries = 0, elapsed = 0 }, true)
end

local function rejected(reason)
  return { outcome = "rejected", reason = reason }
end

describe("tostring of a report", function()
  it("is one line with every count that is not 0", function()
    local many = counted({ accepted = 5198 }, { rejected "exists", rejected "exists" }, { elapsed = 12.34 })
    assert.are.equal("5,200 contacts: 5,198 accepted, 2 rejected (exists), in 12.3 s", tostring(many))
    local all = counted { accepted = 1, invalid = 2, failed = 3, unknown = 4, unsent = 1000 }
    local line = "1,010 contacts: 1 accepted, 2 invalid, 3 failed, 4 unknown, 1,000 unsent, in 0.0 s"
    assert.are.equal(line, tostring(all))
  end)

  it("says one contact, and none", function()
    assert.are.equal("1 contact: 1 accepted, in 0.0 s", tostring(counted { accepted = 1 }))
    assert.are.equal("0 contacts, in 0.0 s", tostring(counted {}))
  end)

  it("rounds the seconds to tenths", function()
    assert.are.equal("0 contacts, in 1,234.0 s", tostring(counted({}, nil, { elapsed = 1233.96 })))
    assert.are.equal("0 contacts, in 0.1 s", tostring(counted({}, nil, { elapsed = 0.06 })))
  end)

  it("names the reasons of rejected contacts only where the items have them all", function()
    local both = counted({}, { rejected "exists", rejected "refused", rejected "exists" })
    assert.are.equal("3 contacts: 3 rejected (2 exists, 1 refused), in 0.0 s", tostring(both))
    assert.are.equal("1 contact: 1 rejected (refused), in 0.0 s", tostring(counted({}, { rejected "refused" })))
    assert.are.equal("2 contacts: 2 rejected, in 0.0 s", tostring(counted({ rejected = 1 }, { rejected "exists" })))
  end)

  it("says how many outcomes an earlier run had", function()
    local counter = report.new(10)
    counter:add("accepted", 2000)
    counter:add_resumed(1999)
    local made = counter:report({ requests = 1, retries = 0, elapsed = 0 }, true)
    assert.are.equal("2,000 contacts: 2,000 accepted, in 0.0 s (1,999 from the journal)", tostring(made))
  end)

  it("works for the report of a failure, and for one that was made without memory", function()
    local client = capture.client {}
    local _, problem = client:create_contacts { { phone = "1" }, { phone = "12025550001" } }
    client:close()
    assert.are.equal("2 contacts: 1 invalid, 1 unsent, in 0.0 s", tostring(problem.report))
    local last = report.new(10)
    last:add("unknown", 1)
    assert.are.equal("1 contact: 1 unknown, in 2.5 s", tostring(last:last_report(1, 0, 2.5)))
  end)
end)

describe("tostring of an item", function()
  it("names index, outcome and the first mistake", function()
    local made = import { { phone = "12025550001", first = "Ann" }, { phone = "1", first = true } }
    local line = "contact 2: invalid: phone has 1 digit: a phone number has 7 to 15, country code included (and 1 more)"
    assert.are.equal(line, tostring(made.items[1]))
  end)

  it("names the position where it is another number, on one line whatever it is", function()
    local positions = { 2, "page\n7", {} }
    local given = 0
    local made = import(function()
      given = given + 1
      if positions[given] then
        return { phone = "" }, positions[given]
      end
    end)
    assert.are.equal("contact 1 (position 2): invalid: phone is empty", tostring(made.items[1]))
    assert.are.equal("contact 2 (position page<U+000A>7): invalid: phone is empty", tostring(made.items[2]))
    assert.are.equal("contact 3 (position a table): invalid: phone is empty", tostring(made.items[3]))
  end)

  it("gives the reason of a rejected contact, and what is known of a failed one", function()
    local listed = import({ { phone = "12025550001" } }, function()
      return { body = '[{"id":5,"phone":"12025550001"}]' }
    end)
    assert.are.equal("contact 1: rejected: exists", tostring(listed.items[1]))
    listed.items[1].ambiguous = true
    assert.are.equal("contact 1: rejected: exists, perhaps created by an earlier try", tostring(listed.items[1]))
    local failed = import({ { phone = "12025550001" } }, function()
      return { status = 403, body = '{"error":"no"}', headers = "HTTP/1.1 403 No\r\nContent-Length: 14\r\n\r\n" }
    end)
    assert.matches("^contact 1: failed: denied: the credentials .*status 403", tostring(failed.items[1]))
  end)

  it("shows neither phone nor name nor what the server returned", function()
    local person = { phone = "12025550001", first = "Annabel", email = "annabel@example.com" }
    local item = import({ person }, function()
      return { body = '[{"id":5,"phone":"12025550001","first":"Annabel"}]' }
    end).items[1]
    assert.are.equal("Annabel", item.remote.first)
    for _, secret in ipairs { "2025550001", "nnabel", "example" } do
      assert.is_nil(tostring(item):find(secret, 1, true))
    end
  end)
end)

describe("reports and items", function()
  local function answer()
    return { body = '[{"id":5,"phone":"12025550001"}]' }
  end

  it("hold only plain values, so pairs, comparisons and cjson see what they always saw", function()
    local made = import({ { phone = "12025550001" } }, answer)
    made.elapsed = 0
    local plain = {
      total = 1,
      accepted = 0,
      rejected = 1,
      invalid = 0,
      failed = 0,
      unknown = 0,
      unsent = 0,
      requests = 1,
      retries = 0,
      resumed = 0,
      doubtful_phones = 0,
      elapsed = 0,
      items_truncated = false,
      items = {
        {
          index = 1,
          outcome = "rejected",
          reason = "exists",
          contact = { phone = "12025550001" },
          remote = { id = 5, phone = "12025550001" },
        },
      },
    }
    plain.items[1].position = made.items[1].position
    assert.are.same(plain, made)
    local names = {}
    for name in pairs(made) do
      names[name] = true
      assert.is_not_nil(plain[name], name)
    end
    for name in pairs(plain) do
      assert.is_true(names[name], name)
    end
    assert.are.same(plain, cjson.decode(cjson.encode(made)))
  end)

  it("print alike where a hook is told of them", function()
    local items, reports = {}, {}
    import({ { phone = "12025550001" } }, answer, {
      on_item = function(item)
        items[#items + 1] = tostring(item)
      end,
      on_progress = function(made)
        reports[#reports + 1] = tostring(made):gsub(", in .*", "")
      end,
    })
    assert.are.same({ "contact 1: rejected: exists" }, items)
    assert.are.equal("1 contact: 1 rejected", reports[#reports])
  end)
end)
