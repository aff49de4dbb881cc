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
  page = { kind = "bad_data", delivered = "maybe", retryable = false, status = 404, reason = "page" },
  refused_page = { kind = "bad_data", delivered = "maybe", retryable = false, status = 400, reason = "page" },
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
  -- After the first answer, where an outage is waited for (`waits`). `is_answered`: another request had an answer since
  -- the try began. `is_down`: only probes go out.
  { "a try while the server may be down", "server", { waits = true }, "retry", delay = 0.25 },
  { "a try while it is down", "server", { waits = true, is_down = true }, "wait", delay = 0.25 },
  { "the last try, nothing known", "server", { waits = true, attempts = 5 }, "wait", delay = 4 },
  { "the last try, the server answers", "server", { waits = true, is_answered = true, attempts = 5 }, "fail" },
  { "the last try of a 429, nothing known", "rate_limited", { waits = true, attempts = 5 }, "wait", delay = 8 },
  { "the only try, nothing known", "network", { waits = true, max_attempts = 1 }, "wait", delay = 0.25 },
  { "a redirect, nothing known", "redirect", { waits = true }, "retry", delay = 0.25 },
  { "a web page with 404, nothing known", "page", { waits = true }, "retry", delay = 0.25 },
  { "a web page with 404, not waited for", "page", {}, "fail" },
  { "a web page with 400", "refused_page", { waits = true }, "fail" },
  { "a 400 while the server is down", "bad_data", { waits = true, is_down = true }, "fail" },
  { "a wrong certificate after an answer", "certificate", { waits = true }, "retry", delay = 0.25 },
  { "a 401 while the server is down", "unauthorized", { waits = true, is_down = true }, "retry", delay = 0 },
  { "a lost response that must not be repeated", "network", { waits = true, repeatable = false }, "fail" },
  { "a try after the call has stopped", "network", { waits = true, stopped = true }, "fail" },
  {
    "no time for another try",
    "network",
    { waits = true, is_down = true, deadline = NOW + 0.25, deadline_seconds = 9 },
    "fail",
    kind = "timeout",
    words = "the deadline of 9 s leaves no time for another try; the last: it failed",
  },
  {
    "a 503 that asks for too long a wait",
    "server",
    { waits = true },
    "stop",
    more = { retry_after = 121 },
    delay = 120,
    kind = "server",
    words = TOO_LONG,
    reason = TOO_LONG,
  },
  {
    "a 503 that asks for too long a wait while others are answered",
    "server",
    { waits = true, is_answered = true },
    "fail",
    more = { retry_after = 121 },
  },
  {
    "the last of many tries of one request in a row",
    "server",
    { waits = true, is_answered = true, attempts = 15, max_attempts = 15, consecutive_failures = 24 },
    "fail",
  },
  {
    "ten tries of others in a row",
    "server",
    { waits = true, is_answered = true, attempts = 15, max_attempts = 15, consecutive_failures = 25 },
    "stop",
    reason = "stopped after 25 tries in a row without a usable response; the last: it failed",
  },
}

describe("retry.decide", function()
  for _, row in ipairs(ROWS) do
    it(("%s: %s"):format(row[1], row[4]), function()
      local problem = problem_of(row[2], row.more)
      local before = problem_of(row[2], row.more)
      local decision, delay, final, reason = retry.decide(problem, state_of(row[3]), NOW)
      assert.are.equal(row[4], decision)
      if row.delay or decision == "retry" or decision == "wait" then
        assert.are.equal(row.delay, delay)
      end
      if decision == "retry" or decision == "wait" then
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

describe("retry.shown", function()
  for name, expected in pairs {
    network = "down",
    unreachable = "down",
    timeout = "down",
    server = "down",
    rate_limited = "down",
    unexpected = "down",
    redirect = "down",
    certificate = "down",
    page = "down",
    refused_page = "nothing",
    bad_data = "up",
    unauthorized = "up",
    denied = "up",
  } do
    it(("is %s for %s"):format(expected, name), function()
      assert.are.equal(expected, retry.shown(problem_of(name)) or "nothing")
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
    page = 0,
  } do
    it(("gives %d after 3 for %s"):format(expected, name), function()
      assert.are.equal(expected, retry.count_failure(3, problem_of(name)))
    end)
  end
end)
