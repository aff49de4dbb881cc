--- http/retry: the decision after a failed try. One row a case: a failure, a state, what follows.
local failure = require "heymarket.failure"
local retry = require "heymarket.http.retry"

local NOW = 5000 -- monotonic time

local function half()
  return 0.5
end

local function none()
  return 0
end

-- A failure of a kind, as http/response makes them.
local FACTS = {
  network = { delivered = "maybe", retryable = true },
  unreachable = { kind = "network", delivered = "no", retryable = true },
  certificate = { kind = "network", delivered = "no", retryable = false },
  timeout = { delivered = "maybe", retryable = true },
  server = { delivered = "maybe", retryable = true, status = 500 },
  rate_limited = { delivered = "no", retryable = true, status = 429 },
  unauthorized = { delivered = "no", retryable = false, status = 401 },
  denied = { delivered = "no", retryable = false, status = 403 },
  bad_data = { delivered = "no", retryable = false, status = 400 },
  unexpected = { delivered = "maybe", retryable = true, status = 200 },
  redirect = { kind = "unexpected", delivered = "maybe", retryable = false, status = 302 },
}

local function problem_of(name, more)
  local made = failure.make(FACTS[name].kind or name, "it failed", nil, FACTS[name])
  for field, value in pairs(more or {}) do
    made[field] = value
  end
  return made
end

local function state_of(changes)
  local state = {
    attempts = 1,
    max_attempts = 5,
    max_retry_after = 120,
    repeatable = true,
    was_unauthorized = false,
    stopped = false,
    consecutive_failures = 1,
    random = half,
  }
  for name, value in pairs(changes or {}) do
    state[name] = value
  end
  return state
end

local TOO_LONG = "the server asks to wait 121 s, longer than the 120 s that are waited for: call again after that"

-- What a row may say beside the decision: `delay`; `kind` and `words` of the failure with which the request ends, where
-- that is not the failure of the try; `reason`, words in the failure that stops the call.
local ROWS = {
  -- Backoff: a random share, here half, of a span that doubles.
  { "a broken connection", "network", {}, "retry", delay = 0.25 },
  { "a broken connection, second try", "network", { attempts = 2 }, "retry", delay = 0.5 },
  { "a broken connection, fourth try", "network", { attempts = 4 }, "retry", delay = 2 },
  { "a late try", "network", { attempts = 50, max_attempts = 100 }, "retry", delay = 15 },
  { "no pause drawn", "network", { random = none }, "retry", delay = 0 },
  { "a server that was not reached", "unreachable", {}, "retry", delay = 0.25 },
  { "a timeout", "timeout", {}, "retry", delay = 0.25 },
  { "a 500", "server", {}, "retry", delay = 0.25 },
  { "a 200 that is no response of the API", "unexpected", {}, "retry", delay = 0.25 },
  { "a 429", "rate_limited", {}, "retry", delay = 0.5 },
  { "a 429, third try", "rate_limited", { attempts = 3 }, "retry", delay = 2 },
  -- What is certain is not repeated.
  { "a 400", "bad_data", {}, "fail" },
  { "a redirect", "redirect", {}, "fail" },
  { "a wrong certificate", "certificate", {}, "fail" },
  -- max_attempts.
  { "the last try", "server", { attempts = 5 }, "fail" },
  { "the only try", "network", { max_attempts = 1 }, "fail" },
  { "the last try of a 429", "rate_limited", { attempts = 5 }, "fail", delay = 8 },
  -- Retry-After.
  { "a 500 that asks to wait", "server", {}, "retry", more = { retry_after = 7 }, delay = 7 },
  { "a wait that is shorter than the backoff", "server", {}, "retry", more = { retry_after = 0.1 }, delay = 0.25 },
  { "a wait of exactly max_retry_after", "server", {}, "retry", more = { retry_after = 120 }, delay = 120 },
  { "a 500 that asks for too long a wait", "server", {}, "fail", more = { retry_after = 121 } },
  { "a 429 that asks to wait", "rate_limited", {}, "retry", more = { retry_after = 60 }, delay = 60 },
  {
    "a 429 that asks for too long a wait",
    "rate_limited",
    {},
    "stop",
    more = { retry_after = 121 },
    delay = 120,
    kind = "rate_limited",
    words = TOO_LONG,
    reason = TOO_LONG,
  },
  {
    "its last try",
    "rate_limited",
    { attempts = 5 },
    "stop",
    more = { retry_after = 121 },
    delay = 120,
    kind = "rate_limited",
    words = TOO_LONG,
    reason = TOO_LONG,
  },
  { "no wait allowed", "server", { max_retry_after = 0 }, "fail", more = { retry_after = 1 } },
  -- Credentials.
  { "a 401", "unauthorized", {}, "retry", delay = 0 },
  { "a second 401", "unauthorized", { attempts = 2, was_unauthorized = true }, "stop", reason = "it failed" },
  { "a 401 at the only try", "unauthorized", { max_attempts = 1 }, "stop", reason = "it failed" },
  { "a 403", "denied", {}, "stop", reason = "it failed" },
  -- The end of the call.
  { "after the call has stopped", "network", { stopped = true }, "fail" },
  { "a 401 after that", "unauthorized", { stopped = true }, "fail" },
  { "time for another try", "network", { deadline = NOW + 0.26, deadline_seconds = 9 }, "retry", delay = 0.25 },
  {
    "no time for another try",
    "network",
    { deadline = NOW + 0.25, deadline_seconds = 9 },
    "fail",
    kind = "timeout",
    words = "the deadline of 9 s leaves no time for another try; the last: it failed",
  },
  -- Requests that must not be repeated.
  { "a lost response, not repeatable", "network", { repeatable = false }, "fail" },
  { "a timeout, not repeatable", "timeout", { repeatable = false }, "fail" },
  { "a 500, not repeatable", "server", { repeatable = false }, "fail" },
  { "an odd 200, not repeatable", "unexpected", { repeatable = false }, "fail" },
  {
    "a web page with 429, not repeatable",
    "rate_limited",
    { repeatable = false },
    "fail",
    more = { delivered = "maybe" },
  },
  { "no connection, not repeatable", "unreachable", { repeatable = false }, "retry", delay = 0.25 },
  { "a 429, not repeatable", "rate_limited", { repeatable = false }, "retry", delay = 0.5 },
  { "a 401, not repeatable", "unauthorized", { repeatable = false }, "retry", delay = 0 },
  -- A server that is down.
  { "ten failures in a row with tries left", "network", { consecutive_failures = 10 }, "retry", delay = 0.25 },
  { "nine failures in a row", "network", { attempts = 5, consecutive_failures = 9 }, "fail" },
  {
    "ten failures in a row",
    "network",
    { attempts = 5, consecutive_failures = 10 },
    "stop",
    reason = "stopped after 10 tries in a row without a usable response; the last: it failed",
  },
  {
    "ten redirects in a row",
    "redirect",
    { consecutive_failures = 10 },
    "stop",
    reason = "stopped after 10 tries in a row without a usable response; the last: it failed",
  },
}

describe("retry.decide", function()
  for _, row in ipairs(ROWS) do
    it(("%s: %s"):format(row[1], row[4]), function()
      local problem = problem_of(row[2], row.more)
      local before = problem_of(row[2], row.more)
      local decision, delay, final, reason = retry.decide(problem, state_of(row[3]), NOW)
      assert.are.equal(row[4], decision)
      if row.delay or decision == "retry" then
        assert.are.equal(row.delay, delay)
      end
      if decision == "retry" then
        assert.is_nil(final)
      elseif row.words then
        assert.are.equal(row.words, final.message)
        assert.are.equal(row.kind, final.kind)
        assert.are.equal(problem.delivered, final.delivered)
      else
        assert.are.equal(problem, final)
      end
      assert.are.equal(row.reason, reason and reason.message)
      assert.are.same(before, problem)
    end)
  end
end)

describe("retry.count_failure", function()
  for name, expected in pairs {
    network = 4,
    unreachable = 4,
    timeout = 4,
    server = 4,
    rate_limited = 4,
    unexpected = 4,
    redirect = 4,
    bad_data = 0,
    unauthorized = 0,
    denied = 0,
    certificate = 0,
  } do
    it(("gives %d after 3 for %s"):format(expected, name), function()
      assert.are.equal(expected, retry.count_failure(3, problem_of(name)))
    end)
  end
end)
