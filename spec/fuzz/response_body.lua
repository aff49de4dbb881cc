--- Fuzzer: bodies of answers, damaged at random, against what Python reads in them.
---
---   lua spec/fuzz/response_body.lua SECONDS [SEED]
---
--- No contact is accepted where the body is no answer or lists it, and none is in doubt without a cause.
local capture = require "spec.support.capture"
local fake = require "spec.support.fake"
local process = require "spec.support.process"
local system = require "heymarket.system"

local PHONES = { "12345678900", "12345678901", "12345678902" }
local ROUND = 1000 -- bodies that Python is asked about at once
local MAX_POOL = 400
local MAX_BODY = 4096

local seconds = tonumber(arg[1]) or 10
local seed = tonumber(arg[2]) or math.floor(system.time() * 1000) % 2147483646
local random = fake.random(seed)

-- Pieces that matter to readers of JSON, or of answers.
local PIECES = {
  '"',
  "\\",
  ",",
  ":",
  "[",
  "]",
  "{",
  "}",
  "\0",
  "\1",
  "\2",
  "\3",
  "\11",
  "\127",
  "\128",
  "\195\182",
  "\239\187\191",
  "\\u0000",
  "\\u0001",
  "\\u0002",
  "\\u0003",
  "\\ud800",
  "\\ud83d\\ude00",
  "\\ud83d\\u0041",
  "\\udc00",
  "\\u0070hone",
  "\\/",
  "\\x",
  "null",
  "true",
  "NaN",
  "Infinity",
  "0x1",
  "-",
  "+",
  ".",
  "e5",
  "E+400",
  "0",
  "1.5",
  "9007199254740993",
  "[]",
  "{}",
  "ok",
  '"ok"',
  " ",
  "\n",
  "//",
  "'",
  '"phone":',
  '"phone":"12345678900"',
  '{"phone":"12345678901"}',
  '{"phone":12345678902}',
  '{"phone":"19999999999"}',
  '"id":7',
  '"inboxes":[]',
}

local function read_corpus()
  local pool = {}
  for name in process.output("ls spec/fuzz/corpus/response_body"):gmatch "[^\n]+" do
    local file = assert(io.open("spec/fuzz/corpus/response_body/" .. name, "rb"))
    pool[#pool + 1] = file:read "*a"
    file:close()
  end
  return pool
end

local function mutate(body, pool)
  local place = random(1, #body + 1)
  local length = math.min(random(1, 12), #body + 1 - place)
  local before, piece, after = body:sub(1, place - 1), body:sub(place, place + length - 1), body:sub(place + length)
  local kind = random(1, 7)
  if kind == 1 then
    return before .. after
  elseif kind == 2 then
    return before .. piece .. piece .. after
  elseif kind == 3 then
    return before .. string.char(random(0, 255)) .. piece:sub(2) .. after
  elseif kind == 4 then
    local other = pool[random(1, #pool)]
    return before .. other:sub(random(1, #other + 1))
  elseif kind == 5 then
    return before
  end
  return before .. PIECES[random(1, #PIECES)] .. (kind == 6 and piece or "") .. after
end

local function hex_of(text)
  return (text:gsub(".", function(byte)
    return ("%02x"):format(byte:byte())
  end))
end

local body, status
local client = capture.client({ max_attempts = 1 }, function()
  return { status = status, body = body }
end)

local function outcomes_of(report)
  local outcomes = {}
  for index = 1, #PHONES do
    outcomes[index] = "accepted"
  end
  for _, item in ipairs(report.items) do
    outcomes[item.index] = item.outcome
  end
  return outcomes
end

-- What Python's word allows to be said of each contact: a set of outcomes.
local function allowed(verdict)
  local ACCEPTED, REJECTED, UNKNOWN = { accepted = true }, { rejected = true }, { unknown = true }
  local sets = {}
  for index, phone in ipairs(PHONES) do
    sets[index] = UNKNOWN
    if verdict == "none" then
      sets[index] = ACCEPTED
    elseif verdict ~= "bad" then
      local words = verdict .. " "
      local odd = words:find(" ~", 1, true)
      -- A number in an odd form may be the contact's or nobody's. Either way the contact is not accepted.
      if words:find(" " .. phone .. " ", 1, true) then
        sets[index] = REJECTED
      elseif odd and words:find("~%d*" .. phone) then
        sets[index] = { rejected = true, unknown = true }
      elseif odd and not words:find(" ?", 1, true) then
        sets[index] = { accepted = true, unknown = true }
      elseif not odd then
        local strange = words:gsub("^listed ", "")
        for _, known in ipairs(PHONES) do
          strange = strange:gsub(known .. " ", "")
        end
        sets[index] = strange == "" and ACCEPTED or UNKNOWN
      end
    end
  end
  return sets
end

local function check(verdict)
  local inboxes = verdict:find "^inboxes " ~= nil
  local sets = allowed((verdict:gsub("^inboxes ", "")))
  status = 200
  local report, failure = client:create_contacts {
    { phone = PHONES[1] },
    { phone = PHONES[2] },
    { phone = PHONES[3] },
  }
  for index, outcome in ipairs(outcomes_of(report or failure.report)) do
    if not sets[index][outcome] then
      return ("contact %d is %s"):format(index, outcome)
    end
  end
  if (client:check() == true) ~= inboxes then
    return "check() does not tell whether it is a list of inboxes"
  end
  status = 400
  failure = select(2, client:create_contacts { { phone = PHONES[1] } })
  -- What begins as a web page proves nothing.
  local page = body:lower():find "^%s*<!doctype html" or body:lower():find "^%s*<html%f[^%w]"
  if failure.kind ~= "bad_data" or failure.delivered ~= (page and "maybe" or "no") then
    return "a 400 is " .. tostring(failure)
  end
end

local pool = read_corpus()
local executions, started, found = 0, system.monotonic(), nil
while not found and system.monotonic() - started < seconds do
  local bodies, lines = {}, {}
  for i = 1, ROUND do
    local made = pool[random(1, #pool)]
    for _ = 1, random(1, 3) do
      made = mutate(made, pool):sub(1, MAX_BODY)
    end
    bodies[i], lines[i] = made, hex_of(made)
  end
  local verdicts = process.python("response_witness.py", table.concat(lines, "\n") .. "\n")
  assert(#verdicts == ROUND, "Python did not answer")
  for i, verdict in ipairs(verdicts) do
    body = bodies[i]
    executions = executions + 1
    local wrong = check(verdict)
    if wrong then
      found = ("%s; Python says: %s; the body: %q (%s)"):format(wrong, verdict, body, lines[i])
      break
    elseif verdict ~= "bad" and #pool < MAX_POOL then
      pool[#pool + 1] = body
    elseif verdict ~= "bad" then
      pool[random(30, MAX_POOL)] = body
    end
  end
end
client:close()
if found then
  print(found)
end
print(("fuzz response_body: seed %d, %.0f s, %d executions"):format(seed, system.monotonic() - started, executions))
os.exit(found and 1 or 0)
