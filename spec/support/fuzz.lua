--- What the fuzzers in spec/fuzz share: the loop, the corpus, and damage done to a text.
---
---   lua5.4 spec/fuzz/NAME.lua SECONDS [SEED]
---
--- Each execution has a seed of its own, the first one SEED, the next one SEED + 1. So one that found something is
--- run alone with SECONDS 0 and the seed that was printed.
local fuzz = {}

local fake = require "spec.support.fake"
local system = require "heymarket.system"

local LIMIT = 2 ^ 31

local function fresh_seed()
  local file = assert(io.open("/dev/urandom", "rb"))
  local a, b, c, d = file:read(4):byte(1, 4)
  file:close()
  return (((d % 64) * 256 + c) * 256 + b) * 256 + a
end

--- Calls a function until the seconds of the command line are over, prints one line, and ends the process: with 1
--- where the function raised.
---@param name string
---@param once fun(random: fun(low: integer?, high: integer?): number) one execution, the same for the same numbers
---@param cleanup fun()?
function fuzz.run(name, once, cleanup)
  local seconds = assert(tonumber(arg[1]), "SECONDS is missing")
  local first = arg[2] and assert(tonumber(arg[2]), "SEED is no number") or fresh_seed()
  local started, executions = system.monotonic(), 0
  repeat
    local seed = (first + executions) % LIMIT
    local ok, problem = xpcall(once, debug.traceback, fake.random(seed))
    if not ok then
      io.stderr:write(("%s\nagain: spec/fuzz/%s.lua 0 %.0f\n"):format(tostring(problem), name, seed))
    end
    executions = executions + 1
    if not ok or system.monotonic() - started >= seconds then
      local spent = system.monotonic() - started
      print(
        ("fuzz %s: seed %.0f, %.1f s, %d executions%s"):format(
          name,
          first,
          spent,
          executions,
          ok and "" or ", a finding"
        )
      )
      if cleanup then
        cleanup()
      end
      os.exit(ok and 0 or 1)
    end
  until false
end

--- The texts in spec/fuzz/corpus/NAME, in the order of their names.
---@param name string
---@return string[]
function fuzz.corpus(name)
  local texts = {}
  local pipe = assert(io.popen("LC_ALL=C ls spec/fuzz/corpus/" .. name .. "/*"))
  for path in pipe:lines() do
    local file = assert(io.open(path, "rb"))
    texts[#texts + 1] = file:read "*a"
    file:close()
  end
  pipe:close()
  assert(#texts > 0, "the corpus is empty")
  return texts
end

local function cut(text, first, last)
  return text:sub(1, first - 1), text:sub(first, last), text:sub(last + 1)
end

local DAMAGE = {
  -- Another byte.
  function(text, random)
    local at = random(1, #text)
    return text:sub(1, at - 1) .. string.char(random(0, 255)) .. text:sub(at + 1)
  end,
  -- One bit.
  function(text, random)
    local at, bit = random(1, #text), 2 ^ random(0, 7)
    local byte = text:byte(at)
    byte = math.floor(byte / bit) % 2 == 0 and byte + bit or byte - bit
    return text:sub(1, at - 1) .. string.char(byte) .. text:sub(at + 1)
  end,
  -- A part that is missing, doubled, moved, or zeroed.
  function(text, random)
    local first = random(1, #text)
    local before, part, after = cut(text, first, math.min(#text, first + random(0, 40)))
    local way = random(1, 4)
    if way == 1 then
      return before .. after
    elseif way == 2 then
      return before .. part .. part .. after
    elseif way == 3 then
      local rest = before .. after
      local at = random(0, #rest)
      return rest:sub(1, at) .. part .. rest:sub(at + 1)
    end
    return before .. ("\0"):rep(#part) .. after
  end,
  -- The end is missing.
  function(text, random)
    return text:sub(1, random(0, #text - 1))
  end,
}

--- Damages a text in one place.
---@param text string
---@param random fun(low: integer?, high: integer?): number
---@param words string[]? pieces that mean something in such a text: some are put in, or written over what is there
---@return string
function fuzz.damage(text, random, words)
  if text == "" or words and random(1, 3) == 1 then
    local word = words and words[random(1, #words)] or string.char(random(0, 255))
    local at, over = random(0, #text), random(0, 1) * #word
    return text:sub(1, at) .. word .. text:sub(at + over + 1)
  end
  return DAMAGE[random(1, #DAMAGE)](text, random)
end

return fuzz
