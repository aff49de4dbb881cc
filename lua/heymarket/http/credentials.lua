--- Credentials: the signer of a client, made once from an id and a key, or anew from what a function of the user gives.
local credentials = {}

local core = require "heymarket.core"
local failure = require "heymarket.failure"
local kinds = require "heymarket.option_kinds"
local loop = require "heymarket.loop"
local rows = require "heymarket.rows"
local runtime = require "heymarket.runtime"
local text = require "heymarket.util.text"

local Credentials = {}
Credentials.__index = Credentials

local LOOK_EVERY = 0.01 -- seconds, while another call asks the function
-- Seconds after which a call no longer waits for another one that asks: its coroutine may have been killed meanwhile.
local PATIENCE = 10
local MAX_PLACE = 200 -- bytes of the place of an error

--- Makes credentials that stay the same.
---@param secret_id string
---@param secret_key string
function credentials.fixed(secret_id, secret_key)
  return setmetatable(
    { current = core.signer(secret_id, secret_key), account_hash = rows.hash(secret_id) },
    Credentials
  )
end

--- Makes credentials that a function gives, each time a token is to be signed.
---@param ask fun(): string?, string? gives id and key; or nil, and a message that may be shown
---@param chosen string|table|nil the option `loop`
function credentials.from_function(ask, chosen)
  -- Wrapped, because a callable table may hold the key, and a client can be printed.
  return setmetatable({
    ask = function()
      return ask()
    end,
    chosen = loop.chosen(chosen),
  }, Credentials)
end

local function make(code, values, retryable)
  return failure.make("stopped", code, values, { reason = "credentials", retryable = retryable })
end

-- Where an error was raised, as far as its text says so. The rest of the text may hold a key, and so may the text of a
-- chunk that is named by its source: only a path is taken.
local function place_of(raised)
  local place = type(raised) == "string" and raised:match "^([%w%._/%-]+%.lua:%d+):"
  return place and #place <= MAX_PLACE and place or nil
end

-- What the function has given becomes a signer.
local function signer_of(ok, id, key)
  if not ok then
    if failure.is_of_memory(id) or failure.is_interrupt(id) then
      error(id, 0) -- which has a failure of its own
    end
    return nil, make("credentials_raised", { place = place_of(id) }, true)
  elseif id == nil or id == false then
    return nil, make("credentials_not_given", { words = key ~= nil and text.raised(key) or nil }, true)
  end
  local wrong_id, wrong_key = kinds.line.check(id), kinds.line.check(key)
  if wrong_id or wrong_key then
    local name, code = wrong_id and "secret_id" or "secret_key", wrong_id or wrong_key
    return nil, make("credentials_wrong", { name = name, problem = { code = code } }, false)
  end
  return core.signer(id, key), nil, rows.hash(id)
end

-- Calls the function. Returns the new signer, or nil and a failure.
local function ask(self)
  local signer, problem, hash = signer_of(pcall(self.ask))
  if self.closed then
    -- The function has closed the client, or somebody else has while it waited.
    if signer then
      signer:close()
    end
    return nil, failure.make("stopped", "client_closed")
  elseif not signer then
    return nil, problem
  end
  local before = self.current
  self.current, self.account_hash = signer, hash
  if before then
    before:close() -- wipes the old key
  end
  return signer
end

local function pause(self, seconds)
  return (self.chosen or loop.here()).pause(seconds)
end

-- Waits while another coroutine asks. Returns why it got none, where that is so.
local function wait(self, asking)
  local last = runtime.monotonic() + PATIENCE
  while not asking.ended and runtime.monotonic() < last and pause(self, LOOK_EVERY) do
  end
  if not asking.ended and self.asking == asking then
    self.asking = nil -- the next one asks
  end
  return asking.problem and failure.with(asking.problem, {})
end

-- Asks for all who wait, whatever comes of it.
local function ask_for_all(self)
  local asking = { thread = coroutine.running() or "main" }
  self.asking = asking
  local ok, signer, problem = pcall(ask, self)
  asking.ended, asking.problem = true, ok and problem or nil
  if self.asking == asking then
    self.asking = nil
  end
  if not ok then
    error(signer, 0)
  end
  return signer, problem
end

--- A signer for one token. It asks the function, where there is one; no two calls of a program that runs on while it
--- waits ask at once.
---@return userdata? signer nil without a failure: another call has asked meanwhile
---@return heymarket.Failure? problem
function Credentials:signer()
  local asking = self.asking
  if self.closed then
    return nil, failure.make("stopped", "client_closed")
  elseif not self.ask then
    return self.current
  elseif asking and asking.thread == (coroutine.running() or "main") then
    return nil, make("credentials_within", nil, false)
  elseif asking and pause(self, 0) then
    return nil, wait(self, asking)
  end
  return ask_for_all(self)
end

--- Are they asked for, or were they given once?
---@return boolean
function Credentials:are_asked()
  return self.ask ~= nil
end

--- The hash of the id that was given last, nil where none was yet: it tells one account from another.
---@return string?
function Credentials:account()
  return self.account_hash
end

--- Wipes the key. What the function still gives is thrown away.
function Credentials:close()
  self.closed = true
  if self.current then
    self.current:close()
  end
end

return credentials
