--- Imports whose contacts travel in lots, beside the same imports without lots: the same requests, reports, items and
--- journals, whatever the server does.
local clients = require "spec.support.clients"
local csv = require "heymarket.csv"
local fake = require "spec.support.fake"
local instant = require "spec.support.instant"
local rounds = require "spec.support.rounds"

local function pick(random, list)
  return list[math.floor(random() * #list) + 1]
end

-- A file of so many rows, some with a phone of an earlier row, some that are odd or wrong.
local function file_of(random, count, spread, oddness)
  local lines = { "phone,first,tags" }
  for i = 1, count do
    local phone = ("1202%07d"):format(5550000 + math.floor(random() * spread))
    local chance = random()
    if chance < oddness / 3 then
      phone = "x" .. phone
    elseif chance < oddness * 2 / 3 then
      phone = phone:sub(2)
    elseif chance < oddness then
      phone = '"+' .. phone:sub(1, 4) .. ' ""' .. phone:sub(5) .. '"'
    end
    local tags = random() < oddness and "1;1" or pick(random, { "", "1", "1;2" })
    local name = pick(random, { "Name %d", '"The ""Name"" %d"', '"%d"' }):format(i)
    local gap = random() < oddness and "\n" or "" -- a blank line
    lines[i + 1] = ("%s%s,%s,%s"):format(gap, phone, name, tags)
  end
  return table.concat(lines, "\n") .. "\n"
end

local lots = 0 -- that were taken

-- A source of the file, with or without the method that gives lots.
local function source_of(content, has_lots)
  local source = assert(csv.open {
    read = function(_, size)
      local chunk = content:sub(1, size)
      content = content:sub(size + 1)
      return chunk ~= "" and chunk or nil
    end,
  })
  local methods = {
    take = function(_, ...)
      return source:take(...)
    end,
    describe = function(_, ...)
      return source:describe(...)
    end,
  }
  if has_lots then
    methods.take_lot = function(_, ...)
      local lot, state = source:take_lot(...)
      lots = lots + (lot and 1 or 0)
      return lot, state
    end
  end
  return setmetatable({}, {
    __call = function()
      return source()
    end,
    __index = methods,
  })
end

-- What the server says to the numbered request; nothing where it accepts all.
local function answer_of(random, trouble)
  return function(request)
    local chance = random() / trouble
    local phones = instant.phones(request.body or "")
    if chance < 0.1 then
      return { status = 500, body = "oh" }
    elseif chance < 0.2 then
      return { code = "RECV_ERROR", sent = true }
    elseif chance < 0.3 then
      return { code = "COULDNT_CONNECT", sent = false }
    elseif chance < 0.4 then
      return { status = 400, body = '{"error":"no"}' }
    elseif chance < 0.5 then
      return { status = 429, headers = { "Retry-After: 1" } }
    elseif chance < 0.8 then
      local listed = {}
      for _, phone in ipairs(phones) do
        if random() < 0.2 then
          listed[#listed + 1] = ('{"id":7,"phone":"%s"}'):format(phone)
        end
      end
      return { body = "[" .. table.concat(listed, ",") .. "]" }
    elseif chance < 0.85 then
      return { body = '[{"id":1,"phone":"99999999999"}]' }
    end
  end
end

-- One import. Gives all that can be seen of it.
local function run(case, has_lots, journal)
  local random = fake.random(case.seed)
  local delays = fake.random(case.seed + 1)
  local net = instant.new {
    answer = answer_of(random, case.trouble),
    back = function()
      return delays()
    end,
  }
  net.runtime.random = fake.random(case.seed + 2)
  local events, progress = {}, {}
  local client = clients.of(net, { batch_size = case.batch_size, concurrency = case.concurrency, max_attempts = 2 })
  local stop_at = case.stop_at
  local report, failure = client:import(source_of(case.content, has_lots), {
    journal = journal,
    overwrite = case.overwrite,
    max_failures = case.max_failures,
    on_event = function(event)
      events[#events + 1] = ("%s %s %s"):format(event.type, tostring(event.contacts), tostring(event.outcome))
    end,
    on_progress = function(now)
      progress[#progress + 1] = now.total
    end,
    should_stop = stop_at and function()
      return #progress >= stop_at
    end,
  })
  local bodies = {}
  for i, request in ipairs(net.requests) do
    bodies[i] = request.body
  end
  local items = {}
  report = report or failure.report
  for i, item in ipairs(report.items) do
    items[i] = { item.index, item.position, item.outcome, item.reason, item.ambiguous, item.row, item.contact }
  end
  local counts = {}
  for name, value in pairs(report) do
    counts[name] = type(value) == "number" and value or nil
  end
  -- Events of one request tell the outcomes in no order.
  table.sort(events)
  return {
    bodies = bodies,
    items = items,
    counts = counts,
    events = events,
    progress = progress,
    why = failure and failure.message,
  }
end

local function read_file(path)
  local file = assert(io.open(path, "rb"))
  local content = file:read "*a"
  file:close()
  return content
end

-- A journal that holds its first line only: the rest then depends on nothing but the import.
local function new_journal(first_line)
  local path = os.tmpname()
  if first_line then
    local file = assert(io.open(path, "wb"))
    file:write(first_line)
    file:close()
  else
    os.remove(path)
  end
  return path
end

describe("an import in lots", function()
  after_each(clients.close)

  it("does and tells what the same import without lots does", function()
    local random = fake.random(20261125)
    lots = 0
    for round = 1, rounds(40) do
      local case = {
        seed = round,
        content = file_of(random, 600, pick(random, { 300, 100000, 1000000 }), pick(random, { 0, 0.005, 0.05 })),
        trouble = pick(random, { 0.000001, 0.1, 0.5, 1 }),
        batch_size = pick(random, { 1, 7, 40 }),
        concurrency = pick(random, { 1, 4 }),
        overwrite = random() < 0.5,
        max_failures = random() < 0.2 and 20 or nil,
        stop_at = random() < 0.2 and 5 or nil,
      }
      assert.same(run(case, false), run(case, true))
    end
    assert.is_true(lots > rounds(40) * 5, lots)
  end)

  it("makes a lot of each request whose phones may stand in it, odd and invalid rows among them", function()
    local lines, expected = { "phone,first,custom.7" }, {}
    for i = 1, 1000 do
      local phone, note = ("1202555%04d"):format(i), '"said ""hi"""'
      if i % 10 == 0 then
        phone = "x" .. phone
      elseif i % 7 == 0 then
        note = '"two\nlines"' -- only Lua reads cells of several lines
      end
      lines[#lines + 1] = i % 50 == 0 and "" or nil
      lines[#lines + 1] = ("%s,Name,%s"):format(phone, note)
      expected[#expected + 1] = i % 10 > 0 and phone or nil
    end
    local net = instant.new {}
    local client = clients.of(net, { batch_size = 100 })
    local report = client:import(source_of(table.concat(lines, "\n") .. "\n", true))
    assert.same({ 900, 100 }, { report.accepted, report.invalid })
    assert.equal(9, #net.requests)
    local sent = {}
    for _, try in ipairs(net.requests) do
      assert.is_not_nil(try.request.lot)
      for _, phone in ipairs(instant.phones(try.body)) do
        sent[#sent + 1] = phone
      end
    end
    assert.same(expected, sent)
  end)

  it("writes the same journal, and goes on from it in the same way", function()
    local random = fake.random(5)
    for round = 1, rounds(20) do
      local case = {
        seed = 1000 + round,
        content = file_of(random, 500, pick(random, { 300, 1000000 }), pick(random, { 0, 0.01 })),
        trouble = pick(random, { 0.000001, 0.2, 1 }),
        batch_size = 20,
        concurrency = 3,
        overwrite = random() < 0.5,
        stop_at = random() < 0.5 and 6 or nil,
      }
      local first = new_journal()
      run(case, true, first)
      local line = read_file(first):match "^[^\n]*\n"
      local with, without = new_journal(line), new_journal(line)
      for _ = 1, 2 do -- the second run goes on from the journal of the first one
        assert.same(run(case, false, without), run(case, true, with))
        assert.equal(read_file(without), read_file(with))
        case.stop_at, case.seed = nil, case.seed + 500
      end
      os.remove(first)
      os.remove(with)
      os.remove(without)
    end
  end)
end)
