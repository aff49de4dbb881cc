--- Outage: does the server answer at all, and if not, since when and when is it asked again?
---
--- Failed tries in a row, with no answer to anything between them, make it probable that the server is down. From then
--- on one request at a time goes out as a probe, with growing pauses. The first answer ends that. The tries before it
--- count against `max_attempts` then, unless the outage was real: a probe had failed that asks for nothing of its own.
--- So an outage uses up nobody's tries, and a request that the server never answers while it answers others is found
--- out.
local outage = {}

local failure = require "heymarket.failure"

local SUSPECTED_AFTER, SUSPECTED_SECONDS = 5, 10 -- failed tries in a row; seconds since the first of them began
local PAUSE, PAUSE_MAX = 1, 60 -- seconds between two probes: at first, and at most
local JITTER = 0.5 -- the part of a pause that is left to chance
local GRACE = 10 -- seconds for the answer of the last probe

local Outage = {}
Outage.__index = Outage

--- Makes the record of one call.
---@param given heymarket.Sender.Dependencies
---@param emit fun(event: table) is told while the call waits, and when the server answers again
function outage.new(given, emit)
  return setmetatable({
    max_outage = given.max_outage or 0, -- seconds; 0: failed tries are not waited out
    endpoint = given.probe,
    random = given.random,
    emit = emit,
    answered = false, -- has anything been answered in this call?
    epoch = 1, -- grows with each answer
    excused = {}, -- epochs that ended with a real outage
    -- By request: the failed tries that count for certain, those of its latest epoch, and that epoch.
    tries = setmetatable({}, { __mode = "k" }),
    latest = -math.huge, -- monotonic time at which the latest try began that was answered
    failures = 0, -- tries of this epoch that failed
    not_before = 0, -- monotonic time until which the server has asked to wait
  }, Outage)
end

--- Would an outage be waited for now? Not before the first answer: then the address may be wrong.
---@return boolean
function Outage:is_waited_for()
  return self.answered and self.max_outage > 0
end

--- Is it probable that the server is down, so that only probes may go out?
---@return boolean
function Outage:is_suspected()
  return self.next_probe ~= nil
end

-- The tries of a request, those of an earlier epoch moved to where they belong.
local function settled(self, request)
  local tries = self.tries[request]
  if not tries then
    tries = { counted = 0, open = 0, epoch = self.epoch }
    self.tries[request] = tries
  elseif tries.epoch ~= self.epoch then
    local open = self.excused[tries.epoch] and 0 or tries.open
    tries.counted, tries.open, tries.epoch = tries.counted + open, 0, self.epoch
  end
  return tries
end

--- The failed tries of a request, those of real outages left out.
---@param request heymarket.Request
---@return integer
function Outage:tries_of(request)
  local tries = settled(self, request)
  return tries.counted + tries.open
end

--- Has no try of this request failed since the last answer?
---@param request heymarket.Request
---@return boolean
function Outage:is_untried(request)
  return settled(self, request).open == 0
end

--- A try starts.
---@param try heymarket.Try
function Outage:started(try)
  if self:is_suspected() then
    self.probing = try
  end
end

--- Was another request answered that began no earlier than this try? Earlier ones may have had their answer on its way
--- when the server went down.
---@param try heymarket.Try
---@return boolean
function Outage:is_answered_since(try)
  return self.latest >= try.started
end

-- Puts off the next probe: the pause doubles with each probe that has failed, and the server may ask for a longer one.
local function schedule(self, now)
  local span = math.min(PAUSE_MAX, PAUSE * 2 ^ self.probes)
  local pause = span * (1 - JITTER * self.random())
  -- The last probe goes out when the time is up, not a pause before that.
  local last = math.max(now, self.since + self.max_outage)
  self.next_probe = math.max(self.not_before, math.min(now + pause, last))
end

--- From now on only probes go out.
---@param now number monotonic time
function Outage:suspect(now)
  if not self:is_suspected() then
    self.probes = 0
    schedule(self, now)
  end
end

--- Suspects the server where it has not answered for some time, however few tries there were.
---@param now number monotonic time
function Outage:check(now)
  if self.failures > 0 and now - self.since >= SUSPECTED_SECONDS then
    self:suspect(now)
  end
end

-- Tells that the call waits, since when and until when.
local function tell(self, now)
  local last = self.last
  self.told = true
  self.emit {
    type = "outage",
    elapsed = now - self.since,
    delay = self.next_probe - now,
    failure = last,
    status = last.status,
    request_id = last.request_id,
  }
end

--- A try failed.
---@param try heymarket.Try
---@param problem heymarket.Failure
---@param now number monotonic time
---@param is_down boolean might it be that the server is down?
function Outage:failed(try, problem, now, is_down)
  local request = try.request
  local tries = settled(self, request)
  if not (is_down and self:is_waited_for()) or self:is_answered_since(try) then
    tries.counted = tries.counted + 1
    return
  end
  tries.open = tries.open + 1
  self.since, self.last = math.min(self.since or now, try.started), problem
  self.failures = self.failures + 1
  self.not_before = math.max(self.not_before, now + (problem.retry_after or 0))
  if self.probing == try then
    self.probing = nil
    self.probes = self.probes + 1
    self.confirmed = self.confirmed or request.is_probe or not self.endpoint
    schedule(self, now)
    tell(self, now)
  elseif self.failures >= SUSPECTED_AFTER then
    self:suspect(now)
  elseif self:is_suspected() then
    self.next_probe = math.max(self.next_probe, self.not_before)
  else
    self:check(now)
  end
end

-- Was this answer on its way when the first try failed?
local function is_belated(self, try, now)
  return self.failures > 0 and try.started < self.since and now - self.since < SUSPECTED_SECONDS
end

--- The server has answered a try.
---@param try heymarket.Try
---@param now number monotonic time
---@return boolean was_suspected may requests have been held back that are not any longer?
---@return boolean was_real was it an outage?
function Outage:ended(try, now)
  self.answered, self.latest = true, math.max(self.latest, try.started)
  if is_belated(self, try, now) then
    return false, false
  end
  local was_suspected, was_real = self:is_suspected(), self.confirmed or false
  local elapsed = self.told and now - self.since
  self.excused[self.epoch] = was_real or nil
  self.epoch, self.failures, self.not_before = self.epoch + 1, 0, 0
  self.since, self.last, self.next_probe, self.confirmed, self.told, self.probing = nil, nil, nil, nil, nil, nil
  if elapsed then
    self.emit { type = "outage", elapsed = elapsed }
  end
  return was_suspected, was_real
end

--- Seconds until the next probe.
---@param now number monotonic time
---@return number? seconds nil where a probe is in flight
function Outage:delay(now)
  return not self.probing and self.next_probe - now or nil
end

--- A request that asks for nothing of its own, and shows whether the server answers.
---@return heymarket.Request? request nil where the call has none
function Outage:probe()
  return self.endpoint and { endpoint = self.endpoint, items = 0, attempts = 0, due = 0, is_probe = true } or nil
end

--- The call ends: a probe that asks for nothing of its own is not waited for.
---@return heymarket.Try? try to be given up
function Outage:needless()
  local try = self.probing
  self.probing = nil
  return try and try.request.is_probe and try or nil
end

--- Has the outage lasted longer than it is waited for?
---@param now number monotonic time
---@return heymarket.Failure? reason
function Outage:reason(now)
  local limit = self.max_outage + (self.probing and GRACE or 0)
  if self:is_suspected() and self.probes > 0 and now - self.since >= limit then
    local values = { seconds = math.floor(now - self.since), last = self.last }
    return failure.reworded(self.last, "outage", values, { reason = "outage", retryable = true })
  end
end

return outage
