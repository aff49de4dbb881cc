--- bulk/bisect: what follows when the server refuses a batch.
local bisect = require "heymarket.bulk.bisect"

local function batch_of(first, last, more)
  local batch = { entries = {} }
  for i = first, last do
    batch.entries[#batch.entries + 1] = { index = i }
  end
  for name, value in pairs(more or {}) do
    batch[name] = value
  end
  return batch
end

local function refusal(status, code)
  local kind = status == 413 and "too_large" or "bad_data"
  return { kind = kind, status = status, retryable = false, details = code and { error_code = code } or nil }
end

local function span(batch)
  local entries = batch.entries
  return entries[1].index .. "-" .. entries[#entries].index
end

describe("a batch that failed", function()
  for _, case in ipairs {
    { "never sent", nil, 4, false, "failed" },
    { "status 400, several contacts", refusal(400), 4, false, "halved" },
    { "status 409, several contacts", refusal(409), 4, false, "halved" },
    { "status 413, several contacts", refusal(413), 4, false, "halved" },
    { "status 422, several contacts", refusal(422), 4, false, "halved" },
    { "status 400, one contact", refusal(400), 1, false, "failed" },
    { "status 400 after the call has stopped", refusal(400), 4, true, "failed" },
    { "status 404 before anything was accepted", refusal(404), 4, false, "stop" },
    { "status 404 after the call has stopped", refusal(404), 4, true, "failed" },
    { "status 503", { kind = "server", status = 503, retryable = true }, 4, false, "failed" },
    { "no connection", { kind = "network", retryable = true }, 4, false, "failed" },
  } do
    it(("(%s) is %s"):format(case[1], case[5]), function()
      assert.are.equal(case[5], (bisect.new(100, 1000):failed(batch_of(1, case[3]), case[2], case[4])))
    end)
  end

  it("with status 404 does not stop the call once something was accepted", function()
    local halving = bisect.new(100, 1000)
    halving:accepted(batch_of(1, 4))
    assert.are.equal("failed", (halving:failed(batch_of(5, 8), refusal(404), false)))
  end)

  it("gives its halves, the first one first, with what is known of it", function()
    local halving, problem = bisect.new(100, 1000), refusal(400)
    halving:accepted(batch_of(10, 11)) -- so that there is no suspicion
    halving:failed(batch_of(1, 5, { possibly_sent = true }), problem, false)
    local first, second = halving:next(), halving:next()
    assert.are.same({ "1-3", "4-5" }, { span(first), span(second) })
    assert.are.same({ true, problem }, { first.possibly_sent, first.failure })
    assert.is_nil(halving:next())
  end)

  it("gives back all waiting halves when the call stops", function()
    local halving = bisect.new(100, 1000)
    halving:failed(batch_of(1, 4), refusal(400), false)
    assert.are.equal(2, #halving:drain())
    assert.are.same({}, halving:drain())
    assert.is_nil(halving:next())
  end)
end)

describe("the size of a batch", function()
  it("is learned where both halves of a refused one are accepted", function()
    local halving = bisect.new(100, 1000)
    halving:failed(batch_of(1, 9), refusal(400), false)
    halving:accepted(halving:next())
    assert.are.equal(100, (halving:limits()))
    halving:accepted(halving:next())
    assert.are.equal(5, (halving:limits()))
  end)

  it("is not learned where one half is refused as well", function()
    local halving = bisect.new(100, 1000)
    halving:failed(batch_of(1, 4), refusal(400), false)
    local first, second = halving:next(), halving:next()
    halving:accepted(first)
    halving:failed(second, refusal(400), false)
    assert.are.equal(100, (halving:limits()))
  end)

  it("holds for halves that wait as well", function()
    local halving = bisect.new(100, 1000)
    halving:accepted(batch_of(90, 91))
    halving:failed(batch_of(1, 40), refusal(400), false) -- halves of 20 wait
    halving:failed(batch_of(41, 44), refusal(400), false)
    halving:accepted(halving:next())
    halving:accepted(halving:next()) -- halves of two were accepted
    local sizes = {}
    local half = halving:next()
    while half do
      assert.is_true(#half.entries <= 2, #half.entries)
      sizes[#sizes + 1] = #half.entries
      half = halving:next()
    end
    local sum = 0
    for _, size in ipairs(sizes) do
      sum = sum + size
    end
    assert.are.equal(40, sum)
  end)

  it("in bytes is half of a body that was too large, and at least 1 KiB", function()
    local halving = bisect.new(100, 1000000)
    halving:failed(batch_of(1, 4, { body = ("x"):rep(5001) }), refusal(400), false)
    assert.are.equal(1000000, select(2, halving:limits()))
    halving:failed(batch_of(1, 4, { body = ("x"):rep(5001) }), refusal(413), false)
    assert.are.equal(2500, select(2, halving:limits()))
    halving:failed(batch_of(1, 4, { body = ("x"):rep(100) }), refusal(413), false)
    assert.are.equal(1024, select(2, halving:limits()))
  end)
end)

describe("while everything is refused, halving", function()
  it("is suspicious, from the first refusal until something is accepted", function()
    local halving = bisect.new(100, 1000)
    assert.is_false(halving:is_suspicious())
    halving:failed(batch_of(1, 4), refusal(400), false)
    assert.is_true(halving:is_suspicious())
    halving:accepted(halving:next())
    assert.is_false(halving:is_suspicious())
  end)

  it(
    "takes by turns the smallest half, to find a contact at fault, and the largest, to see if all are refused",
    function()
      local halving = bisect.new(100, 1000)
      halving:failed(batch_of(1, 16), refusal(400), false)
      local taken = {}
      for i = 1, 4 do
        local half = halving:next()
        taken[i] = #half.entries
        halving:failed(half, refusal(400), false)
      end
      -- 8+8: one 8; 4+4+8: the largest 8; 4+4+4+4: any; 2+2+4+4+4: the largest.
      assert.are.same({ 8, 8, 4, 4 }, taken)
    end
  )

  -- Returns how many single refusals it takes to stop the call, or nil.
  local function stops_after(count, make)
    local halving = bisect.new(1, 1000)
    for i = 1, count do
      local verdict, refusals = halving:failed(batch_of(i, i), make(i), false)
      if verdict == "stop" then
        return i, refusals
      end
    end
  end

  it("stops the call after 16 refusals with the same failure", function()
    local at, refusals = stops_after(50, function()
      return refusal(400, "bad")
    end)
    assert.are.same({ 16, 16 }, { at, refusals })
  end)

  it("counts anew where refusals differ", function()
    assert.is_nil((stops_after(50, function(i)
      return refusal(400, "bad_" .. i % 2)
    end)))
    assert.is_nil((stops_after(50, function(i)
      return refusal(i % 2 == 0 and 400 or 422)
    end)))
  end)

  it("does not stop the call before three contacts stood alone, nor once something was accepted", function()
    local halving = bisect.new(100, 1000)
    for i = 1, 40 do
      assert.are.equal("halved", (halving:failed(batch_of(2 * i, 2 * i + 1), refusal(400), false)))
    end
    for i, verdict in ipairs { "failed", "failed", "stop" } do
      assert.are.equal(verdict, (halving:failed(batch_of(i, i), refusal(400), false)))
    end
    halving = bisect.new(100, 1000)
    halving:accepted(batch_of(1, 1))
    for i = 1, 40 do
      assert.are.equal("failed", (halving:failed(batch_of(i, i), refusal(400), false)))
    end
  end)
end)
