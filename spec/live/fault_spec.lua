local core = require "heymarket.core"
local fake = require "spec.support.fake"
local heymarket = require "heymarket"
local server = require "spec.support.server"
local witness = require "spec.support.witness"

-- Long enough for any answer of the server here, and what a test waits where the fault is that nothing comes.
local PATIENCE, STALL = 30, 0.4

-- Under Lua 5.1 to 5.3 the faults are tried over plain HTTP only: each takes its time.
local RUN = os.getenv "HEYMARKET_TEST_RUN"
local SHORT = RUN == "5.1" or RUN == "5.2" or RUN == "5.3"

local MAYBE = { delivered = "maybe", retryable = true }
local NO = { delivered = "no", retryable = true }

-- What one fault must look like: kind, the codes that libcurl may give it, delivered, retryable.
local function network(codes, facts)
  return { kind = "network", codes = codes, delivered = facts.delivered, retryable = facts.retryable }
end

local function set(...)
  local made = {}
  for _, name in ipairs { ... } do
    made[name] = true
  end
  return made
end

local BROKEN = set("RECV_ERROR", "SEND_ERROR", "GOT_NOTHING")
local TIMEOUT = { kind = "timeout", codes = set "OPERATION_TIMEDOUT", delivered = "maybe", retryable = true }
local STRANGE = { kind = "unexpected", delivered = "maybe", retryable = true }

local function strange(...)
  return { kind = "unexpected", codes = set(...), delivered = "maybe", retryable = true }
end

local function answered(status, kind, delivered, retryable)
  return { kind = kind, status = status, delivered = delivered, retryable = retryable }
end

-- Requests that die before, during and after the upload, in the answer, and answers that are none. `unread` marks those
-- that the server cannot have acted upon; the client cannot know, which is why the outcome is the same.
local FAULTS = {
  { "reset_before_read", network(BROKEN, MAYBE), unread = true },
  { "reset_mid_upload", network(BROKEN, MAYBE), unread = true },
  { "timeout_mid_upload", TIMEOUT, unread = true, stalls = true },
  { "reset_after_read", network(BROKEN, MAYBE) },
  { "close_after_read", network(set "GOT_NOTHING", MAYBE) },
  { "timeout_after_read", TIMEOUT, stalls = true },
  { "reset_in_headers", network(BROKEN, MAYBE) },
  { "reset_in_body", network(set("RECV_ERROR", "PARTIAL_FILE"), MAYBE) },
  { "stall_in_body", TIMEOUT, stalls = true },
  { "truncated", network(set "PARTIAL_FILE", MAYBE) },
  { "wrong_length_short", strange "WEIRD_SERVER_REPLY" },
  { "close_delimited", strange "WEIRD_SERVER_REPLY" },
  { "http10", strange "WEIRD_SERVER_REPLY" },
  { "oversized", strange "FILESIZE_EXCEEDED" },
  { "oversized_headers", strange("TOO_LARGE", "FILESIZE_EXCEEDED", "RECV_ERROR") },
  { "chunked_broken", strange "WEIRD_SERVER_REPLY" },
  { "chunked_truncated", network(set("RECV_ERROR", "PARTIAL_FILE"), MAYBE) },
  { "not_json", STRANGE, status = 200 },
  { "html", STRANGE, status = 200 },
  { "garbage", strange("UNSUPPORTED_PROTOCOL", "WEIRD_SERVER_REPLY") },
  { "informational_only", network(set("GOT_NOTHING", "RECV_ERROR", "PARTIAL_FILE"), MAYBE) },
  { "deep_json", STRANGE, status = 200 },
}

-- What happens to a connection before any request on it. Over TLS the handshake cannot be done, so that no byte of the
-- request was written.
local CONNECTION_FAULTS = {
  { "reset_on_accept", network(BROKEN, MAYBE) },
  { "close_on_accept", network(BROKEN, MAYBE) },
  { "stall_on_accept", TIMEOUT, stalls = true },
}

local SAME = { 400, 404, 405, 409, 410, 415, 422, 451 }
local STATUSES = {
  [401] = answered(401, "unauthorized", "no", false),
  [403] = answered(403, "denied", "no", false),
  [408] = answered(408, "bad_data", "maybe", true),
  [413] = answered(413, "too_large", "no", false),
  [429] = answered(429, "rate_limited", "no", true),
}
for _, status in ipairs(SAME) do
  STATUSES[status] = answered(status, "bad_data", "no", false)
end
for _, status in ipairs { 500, 501, 502, 503, 504, 507, 520, 599 } do
  STATUSES[status] = answered(status, "server", "maybe", true)
end
for _, status in ipairs { 201, 202, 204, 206, 300, 301, 302, 303, 304, 307, 308 } do
  STATUSES[status] = answered(status, "unexpected", "maybe", false)
end

local plain, secure, folder

setup(function()
  folder = server.folder()
  plain = server.start()
  secure = server.start(server.certificate(folder))
end)

teardown(function()
  plain:stop()
  secure:stop()
  server.remove(folder)
end)

local function no_wait()
  return 0
end

local opened = {}

-- A client that does not pause: backoff is a random share of a span, and the share is nothing.
local function client_of(url, config)
  local given = {
    secret_id = "id",
    secret_key = "key",
    base_url = url,
    timeout = PATIENCE,
    requests_per_minute = false,
    ca_file = url:find "^https" and folder .. "/certificate.pem" or nil,
    runtime = { random = no_wait },
  }
  for name, value in pairs(config or {}) do
    given[name] = value
  end
  local client = assert(heymarket.new(given))
  opened[#opened + 1] = client
  return client
end

before_each(function()
  plain:reset()
  secure:reset()
end)

after_each(function()
  for _, client in ipairs(opened) do
    client:close()
  end
  opened = {}
end)

local function contacts_of(count, from)
  local made = {}
  for i = 1, count do
    made[i] = { phone = ("1202555%04d"):format((from or 0) + i), first = "Contact", last = tostring(i) }
  end
  return made
end

local function is_one_of(wanted, value, what)
  if not (wanted and wanted[value] or not wanted and value == nil) then
    error(what .. " is " .. tostring(value), 2)
  end
end

local function check_failure(wanted, failure, attempts)
  assert.is_true(heymarket.is_failure(failure))
  assert.are.equal(wanted.kind, failure.kind)
  is_one_of(wanted.codes, failure.code, "code")
  assert.are.equal(wanted.delivered, failure.delivered)
  assert.are.equal(wanted.retryable, failure.retryable)
  if wanted.status then
    assert.are.equal(wanted.status, failure.status)
  end
  if attempts then
    assert.are.equal(attempts, failure.attempts)
  end
  assert.is_string(failure.message)
  assert.is_nil(failure.message:find "[\r\n]")
end

-- Runs one contact against a fault that never ends, and compares the report with the ledger.
local function check_lasting(at, wanted, config)
  local client = client_of(at.url, config)
  local contacts = contacts_of(1)
  local report, failure = client:create_contacts(contacts, { max_attempts = 2 })
  assert.is_nil(report)
  local attempts = wanted.retryable and 2 or wanted.kind == "unauthorized" and 2 or 1
  check_failure(wanted, failure, attempts)
  local made = failure.report
  witness.compare(contacts, made, at:ledger())
  local outcome = wanted.delivered == "maybe" and "unknown" or "failed"
  assert.are.equal(outcome, made.items[1].outcome)
  check_failure(wanted, made.items[1].failure, attempts)
  assert.are.equal(attempts, made.requests)
  assert.are.equal(attempts - 1, made.retries)
  return made
end

local function timeouts(row)
  return { timeout = row.stalls and STALL or PATIENCE }
end

local function each_transport(body)
  body("http", function()
    return plain
  end)
  -- TLS is the matter of the C core, which is the same for every Lua.
  if not SHORT then
    body("https", function()
      return secure
    end)
  end
end

each_transport(function(scheme, at)
  describe("over " .. scheme .. ", a request whose response is lost", function()
    for _, row in ipairs(FAULTS) do
      local name, wanted = row[1], row[2]

      it("makes its contacts unknown: " .. name, function()
        at():default { fault = name, process = "all" }
        local made = check_lasting(at(), wanted, timeouts(row))
        assert.are.equal(row.status, made.items[1].failure.status)
      end)

      if not row.unread then
        it("makes its contacts unknown where the server did nothing: " .. name, function()
          at():default { fault = name, process = "none" }
          local made = check_lasting(at(), wanted, timeouts(row))
          assert.are.equal(row.status, made.items[1].failure.status)
        end)
      end
    end
  end)

  describe("over " .. scheme .. ", a second try after", function()
    for _, row in ipairs(FAULTS) do
      local name = row[1]

      it(name .. " shows if the first one was processed", function()
        local client = client_of(at().url, timeouts(row))
        local contacts = contacts_of(3)
        at():script { { fault = name, process = "all" } }
        local report = assert(client:create_contacts(contacts))
        local ledger = at():ledger()
        witness.compare(contacts, report, ledger)
        assert.are.equal(1, report.retries)
        assert.are.equal(row.unread and 3 or 0, report.accepted)
        for _, item in ipairs(report.items) do
          assert.are.equal("rejected", item.outcome)
          assert.is_true(item.ambiguous)
        end
        for _, contact in ipairs(contacts) do
          assert.are.equal(1, ledger.stored[contact.phone])
        end
      end)

      it(name .. " without any effect gets the contacts accepted", function()
        local client = client_of(at().url, timeouts(row))
        local contacts = contacts_of(3)
        at():script { { fault = name, process = "none" } }
        local report = assert(client:create_contacts(contacts))
        witness.compare(contacts, report, at():ledger())
        assert.are.equal(3, report.accepted)
      end)

      it(name .. " does not report contacts as created that existed before", function()
        local client = client_of(at().url, timeouts(row))
        assert(client:create_contacts(contacts_of(1)))
        local before = at():ledger().stored
        -- The server lists it; whether the first try made it is more than this run can know.
        at():script { { fault = name, process = "none" } }
        local contacts = contacts_of(2)
        local report = assert(client:create_contacts(contacts))
        assert.are.equal(1, report.rejected)
        assert.is_true(report.items[1].ambiguous)
        assert.are.equal(1, report.accepted)
        local ledger = at():ledger()
        table.remove(ledger.requests, 1)
        witness.compare(contacts, report, ledger, before)
      end)

      it(name .. " overwrites where overwrite is set", function()
        local client = client_of(at().url, timeouts(row))
        local contacts = contacts_of(2)
        at():script { { fault = name, process = "all" } }
        local report = assert(client:create_contacts(contacts, { overwrite = true }))
        assert.are.equal(2, report.accepted)
        witness.compare(contacts, report, at():ledger())
      end)
    end
  end)

  describe("over " .. scheme .. ", an unusual response that is whole", function()
    for _, step in ipairs {
      { fault = "continue_first" },
      { chunked = true },
      { ok = "ok" },
      { ok = "[]" },
      { ok = "null" },
      { ok = "" },
    } do
      local name = step.fault or step.chunked and "chunked" or "'" .. step.ok .. "'"
      it("is believed: " .. name, function()
        local client = client_of(at().url)
        at():default(step)
        local contacts = contacts_of(4)
        local report = assert(client:create_contacts(contacts, { batch_size = 2, concurrency = 1 }))
        assert.are.equal(4, report.accepted)
        assert.are.equal(0, report.retries)
        witness.compare(contacts, report, at():ledger())
        -- And so is the list of those that were there.
        report = assert(client:create_contacts(contacts, { batch_size = 2, concurrency = 1 }))
        assert.are.equal(4, report.rejected)
        for _, item in ipairs(report.items) do
          assert.is_falsy(item.ambiguous)
        end
      end)
    end
  end)

  describe("over " .. scheme .. ", a kept connection that ends without a response", function()
    it("is tried again by the sender, never by libcurl alone", function()
      local client = client_of(at().url)
      at():script { { fault = "keepalive_close" } }
      local contacts = contacts_of(4)
      local report = assert(client:create_contacts(contacts, { batch_size = 2, concurrency = 1 }))
      local ledger = at():ledger()
      witness.compare(contacts, report, ledger)
      assert.are.equal(4, report.accepted)
      assert.are.equal(1, report.retries)
      assert.are.equal(3, report.requests)
      assert.are.equal(3, #ledger.requests)
      assert.are.equal("close_after_read", ledger.requests[2].step.fault)
    end)

    it("leaves contacts unknown where it was the last try", function()
      local client = client_of(at().url)
      at():script { { fault = "keepalive_close" } }
      local contacts = contacts_of(2)
      local _, failure = client:create_contacts(contacts, { batch_size = 1, concurrency = 1, max_attempts = 1 })
      check_failure(network(BROKEN, MAYBE), failure, 1)
      assert.are.equal(1, failure.report.accepted)
      assert.are.equal(1, failure.report.unknown)
      local ledger = at():ledger()
      assert.are.equal(2, #ledger.requests)
      witness.compare(contacts, failure.report, ledger)
    end)
  end)
end)

describe("a connection that dies before its request", function()
  for _, row in ipairs(CONNECTION_FAULTS) do
    local name = row[1]

    local function steps(count)
      local made = {}
      for i = 1, count do
        made[i] = { fault = name }
      end
      return made
    end

    it("leaves contacts unknown over http, where the request was written: " .. name, function()
      plain:connection_script(steps(2))
      -- A reset may also come in the middle of connecting. Then nothing was written, and that is known.
      local client = client_of(plain.url, timeouts(row))
      local contacts = contacts_of(1)
      local report, failure = client:create_contacts(contacts, { max_attempts = 2 })
      assert.is_nil(report)
      local code = failure.report.items[1].failure.code
      assert.are.equal(failure.code, code)
      local outcome = failure.report.items[1].outcome
      if name == "reset_on_accept" and outcome == "failed" then
        check_failure(network(set "COULDNT_CONNECT", NO), failure, 2)
      else
        assert.are.equal("unknown", outcome)
        assert.are.equal("maybe", failure.delivered)
        assert.is_true(failure.retryable)
        assert.is_true(row[2].codes[code] or name == "reset_on_accept" and code == "COULDNT_CONNECT")
      end
      witness.compare(contacts, failure.report, plain:ledger())
      assert.are.equal(0, #plain:ledger().requests)
    end)

    it("leaves contacts failed over https, where the handshake comes first: " .. name, function()
      secure:connection_script(steps(2))
      local wanted = network(set("SSL_CONNECT_ERROR", "RECV_ERROR", "SEND_ERROR", "COULDNT_CONNECT"), NO)
      if row.stalls then
        wanted = { kind = "timeout", codes = TIMEOUT.codes, delivered = "no", retryable = true }
      end
      check_lasting(secure, wanted, { timeout = PATIENCE, connect_timeout = row.stalls and STALL or PATIENCE })
      assert.are.equal(0, #secure:ledger().requests)
    end)

    it("is tried again: " .. name, function()
      for _, at in ipairs { plain, secure } do
        at:connection_script(steps(2))
        local contacts = contacts_of(2)
        local client = client_of(at.url, { timeout = row.stalls and STALL or PATIENCE, connect_timeout = 5 })
        local report = assert(client:create_contacts(contacts))
        assert.are.equal(2, report.accepted)
        assert.are.equal(2, report.retries)
        witness.compare(contacts, report, at:ledger())
        -- Nothing arrived before, so a contact that was there is no child of this run. Over http nobody knows.
        at:connection_script(steps(1))
        local doubt = at == plain
        client = client_of(at.url, {
          timeout = row.stalls and STALL or PATIENCE,
          connect_timeout = 5,
          on_event = function(event)
            if event.type == "retry" and event.failure.code == "COULDNT_CONNECT" then
              doubt = false -- the reset came in the middle of connecting
            end
          end,
        })
        report = assert(client:create_contacts(contacts))
        assert.are.equal(2, report.rejected)
        for _, item in ipairs(report.items) do
          assert.are.equal(doubt, item.ambiguous or false)
        end
      end
    end)
  end
end)

describe("a server that cannot be reached", function()
  local function check(url, wanted, config)
    config = config or {}
    config.connect_timeout = config.connect_timeout or 5
    local client = client_of(url, config)
    local contacts = contacts_of(5)
    local report, failure = client:create_contacts(contacts, { max_attempts = 3, batch_size = 2 })
    assert.is_nil(report)
    check_failure(wanted, failure, wanted.retryable and 3 or 1)
    local made = failure.report
    witness.sums(5, made)
    assert.are.equal(5, made.failed)
    for _, item in ipairs(made.items) do
      check_failure(wanted, item.failure, wanted.retryable and 3 or 1)
    end
    assert.are.equal("no", failure.delivered)
    local ok, problem = client:check { max_attempts = 1 }
    assert.is_nil(ok)
    check_failure(wanted, problem, 1)
    return failure
  end

  it("has no such name", function()
    check("https://nowhere.invalid", network(set("COULDNT_RESOLVE_HOST", "OPERATION_TIMEDOUT"), NO))
  end)

  it("refuses the connection", function()
    local gone = server.start()
    gone:stop()
    check(gone.url, network(set "COULDNT_CONNECT", NO))
  end)

  it("has a full queue of connections", function()
    local pipe, port = server.spawn "/usr/bin/env python3 spec/support/backlog.py"
    local wanted = { kind = "timeout", codes = TIMEOUT.codes, delivered = "no", retryable = true }
    local ok, problem = pcall(check, ("http://127.0.0.1:%d"):format(port), wanted, { connect_timeout = 0.2 })
    pipe:close()
    assert(ok, problem)
  end)

  it("has a certificate of an unknown authority", function()
    local wanted = network(set "PEER_FAILED_VERIFICATION", { delivered = "no", retryable = false })
    check(secure.url, wanted, { ca_file = "/etc/ssl/certs/ca-certificates.crt" })
    assert.are.equal(0, #secure:ledger().requests)
  end)

  it("has a certificate for another name", function()
    local wanted = network(set "PEER_FAILED_VERIFICATION", { delivered = "no", retryable = false })
    check((secure.url:gsub("127%.0%.0%.1", "localhost")), wanted)
    assert.are.equal(0, #secure:ledger().requests)
  end)

  it("does not speak TLS", function()
    plain:default { fault = "reset_before_read" }
    local failure = check((plain.url:gsub("^http:", "https:")), network(set("SSL_CONNECT_ERROR", "RECV_ERROR"), NO))
    assert.are.equal("no", failure.delivered)
    for _, request in ipairs(plain:ledger().requests) do
      assert.is_falsy(request.stored)
    end
  end)

  it("is behind a proxy that is not running", function()
    local gone = server.start()
    gone:stop()
    check("https://api.heymarket.com", network(set "COULDNT_CONNECT", NO), { proxy = gone.url })
  end)

  it("is behind a proxy that refuses to connect", function()
    local contacts = contacts_of(2)
    local client = client_of("https://api.heymarket.com", { proxy = plain.url })
    local report, failure = client:create_contacts(contacts, { max_attempts = 1 })
    assert.is_nil(report)
    assert.are.equal("network", failure.kind)
    assert.are.equal("no", failure.delivered)
    assert.are.equal(2, failure.report.failed)
    local ledger = plain:ledger()
    assert.are.equal(1, #ledger.requests)
    assert.are.equal("CONNECT", ledger.requests[1].method)
    assert.is_nil(ledger.requests[1].headers.authorization)
  end)
end)

describe("a response that breaks off", function()
  -- Large enough that the upload and the answer do not fit into any buffer on the way.
  local function large(count)
    local made = contacts_of(count)
    for _, contact in ipairs(made) do
      contact.display_name = ("x"):rep(100000)
    end
    return made
  end

  for _, row in ipairs {
    { "reset_mid_upload", network(BROKEN, MAYBE) },
    { "timeout_mid_upload", TIMEOUT, stalls = true },
    { "reset_before_read", network(BROKEN, MAYBE) },
    { "reset_in_body", network(set("RECV_ERROR", "PARTIAL_FILE"), MAYBE), listed = true },
    { "stall_in_body", TIMEOUT, stalls = true, listed = true },
    { "truncated", network(set "PARTIAL_FILE", MAYBE), listed = true },
    { "chunked_truncated", network(set("RECV_ERROR", "PARTIAL_FILE"), MAYBE), listed = true },
    { "wrong_length_short", strange "WEIRD_SERVER_REPLY", listed = true },
  } do
    it("leaves contacts unknown with large bodies: " .. row[1], function()
      for _, at in ipairs { plain, secure } do
        local contacts = large(8)
        local client = client_of(at.url, { timeout = PATIENCE })
        local before = {}
        if row.listed then
          assert(client:create_contacts(contacts))
          before = at:ledger().stored
        end
        at:default { fault = row[1] }
        local _, failure = client:create_contacts(contacts, {
          max_attempts = 1,
          timeout = row.stalls and 4 * STALL or PATIENCE,
        })
        check_failure(row[2], failure, 1)
        assert.are.equal(8, failure.report.unknown)
        witness.sums(8, failure.report)
        at:default {}
        local report = assert(client:create_contacts(contacts))
        assert.are.equal(row.listed and 8 or 0, report.rejected)
        assert.are.equal(row.listed and 0 or 8, report.accepted)
        for _, contact in ipairs(contacts) do
          assert.are.equal(1, at:ledger().stored[contact.phone], tostring(before[contact.phone]))
        end
      end
    end)
  end

  it("is not taken for an empty one: the headers alone, then the end", function()
    -- Neither length nor chunks nor an announced end: an answer that lists everybody and one that lists nobody would
    -- look the same if they broke off here.
    local client = client_of(plain.url)
    plain:default {
      fault = "close_delimited",
      process = "none",
      ok = "",
      headers = { Connection = require("cjson").null },
    }
    local contacts = contacts_of(2)
    local _, failure = client:create_contacts(contacts, { max_attempts = 2 })
    check_failure(strange "WEIRD_SERVER_REPLY", failure, 2)
  end)

  it("is not taken for an empty one over https", function()
    local client = client_of(secure.url)
    secure:default {
      fault = "close_delimited",
      process = "none",
      ok = "",
      headers = { Connection = require("cjson").null },
    }
    local _, failure = client:create_contacts(contacts_of(2), { max_attempts = 2 })
    check_failure(strange "WEIRD_SERVER_REPLY", failure, 2)
  end)
end)

describe("a status", function()
  local order = {}
  for status in pairs(STATUSES) do
    order[#order + 1] = status
  end
  table.sort(order)

  for _, status in ipairs(order) do
    local wanted = STATUSES[status]
    it("gives its kind of failure: " .. status, function()
      plain:default { status = status }
      local made = check_lasting(plain, wanted)
      local ledger = plain:ledger()
      assert.are.equal(ledger.requests[#ledger.requests].request_id, made.items[1].failure.request_id)
    end)

    if wanted.delivered == "maybe" then
      it("leaves contacts unknown that the server has processed: " .. status, function()
        plain:default { status = status, process = "all" }
        check_lasting(plain, wanted)
      end)
    end

    if wanted.retryable and status ~= 429 then
      it("is followed by another try: " .. status, function()
        for _, process in ipairs { "all", "none" } do
          plain:reset()
          plain:script { { status = status, process = process } }
          local contacts = contacts_of(2)
          local report = assert(client_of(plain.url):create_contacts(contacts))
          witness.compare(contacts, report, plain:ledger())
          assert.are.equal(process == "all" and 2 or 0, report.rejected)
        end
      end)
    end
  end

  it("that is a refusal makes no listed contact ambiguous: 429, then 200", function()
    local contacts = contacts_of(2)
    local client = client_of(plain.url)
    assert(client:create_contacts(contacts))
    plain:script { { status = 429, headers = { ["Retry-After"] = "0" } } }
    local report = assert(client:create_contacts(contacts))
    assert.are.equal(2, report.rejected)
    assert.are.equal(1, report.retries)
    for _, item in ipairs(report.items) do
      assert.is_falsy(item.ambiguous)
    end
  end)

  it("that is a refusal leaves a contact unknown where only a later try was refused", function()
    for _, last in ipairs { 400, 401, 403, 413, 422, 429 } do
      plain:reset()
      plain:script { { status = 500, process = "all" } }
      plain:default { status = last, headers = { ["Retry-After"] = "0" } }
      local contacts = contacts_of(1)
      local _, failure = client_of(plain.url):create_contacts(contacts, { max_attempts = 3 })
      assert.are.equal(last, failure.status)
      assert.are.equal("maybe", failure.delivered)
      assert.are.equal("unknown", failure.report.items[1].outcome)
      assert.are.equal("maybe", failure.report.items[1].failure.delivered)
      witness.compare(contacts, failure.report, plain:ledger())
    end
  end)

  it("of the last try does not decide about earlier ones: unreachable after a lost response", function()
    local dying = server.start()
    dying:script { { fault = "timeout_after_read", process = "all" } }
    local client = client_of(dying.url, {
      timeout = STALL,
      on_event = function(event)
        if event.type == "retry" then
          dying:stop()
        end
      end,
    })
    local _, failure = client:create_contacts(contacts_of(1), { max_attempts = 2 })
    assert.are.equal("COULDNT_CONNECT", failure.code)
    assert.are.equal("maybe", failure.delivered)
    assert.are.equal(1, failure.report.unknown)
  end)

  it("3xx is never followed, whichever it is", function()
    for _, status in ipairs { 301, 302, 303, 307, 308 } do
      for _, at in ipairs { plain, secure } do
        at:reset()
        at:default { fault = "redirect", status = status }
        local contacts = contacts_of(3)
        local _, failure = client_of(at.url):create_contacts(contacts, { batch_size = 1 })
        assert.are.equal("unexpected", failure.kind)
        assert.are.equal(status, failure.status)
        assert.are.equal("maybe", failure.delivered)
        local ledger = at:ledger()
        assert.are.equal(0, ledger.trap_hits)
        witness.compare(contacts, failure.report, ledger)
        local ok, problem = client_of(at.url):check { max_attempts = 1 }
        assert.is_nil(ok)
        assert.are.equal(status, problem.status)
        assert.are.equal(0, at:ledger().trap_hits)
      end
    end
  end)
end)

describe("a response that lists", function()
  it("a contact that was not sent makes the others of its request unknown, and no more", function()
    local contacts = contacts_of(9)
    plain:script { {}, { list = { contacts[4].phone, "19995550000" } }, {} }
    local _, failure = client_of(plain.url):create_contacts(contacts, { batch_size = 3, concurrency = 1 })
    assert.are.equal("unexpected", failure.kind)
    assert.are.equal("maybe", failure.delivered)
    local made = failure.report
    witness.sums(9, made)
    assert.are.equal(6, made.accepted)
    local outcomes = witness.outcomes(9, made)
    assert.are.same({ "rejected", "unknown", "unknown" }, { outcomes[4], outcomes[5], outcomes[6] })
  end)

  it("contacts that it did not store is believed", function()
    local contacts = contacts_of(6)
    plain:default { list = { contacts[2].phone, contacts[6].phone } }
    local report = assert(client_of(plain.url):import(contacts))
    assert.are.equal(4, report.accepted)
    assert.are.same({ 2, 6 }, { report.items[1].index, report.items[2].index })
    assert.are.same({ "refused", "refused" }, { report.items[1].reason, report.items[2].reason })
  end)
end)

describe("many requests in flight", function()
  -- Every fault may hit any of them; the sequence is drawn from a seed.
  local function draw_steps(random, count)
    local steps = {}
    for i = 1, count do
      local step = {}
      local kind = random(1, 10)
      if kind <= 5 then
        local row = FAULTS[random(1, #FAULTS)]
        step = { fault = row[1], process = random(1, 2) == 1 and "all" or "none", size = 9000000 }
      elseif kind == 6 then
        local statuses = { 500, 502, 503, 408, 429 }
        step = { status = statuses[random(1, #statuses)], headers = { ["Retry-After"] = "0" } }
        step.process = step.status ~= 429 and random(1, 2) == 1 and "all" or "none"
      elseif kind == 7 then
        step = { delay = random(0, 20) / 1000 }
      end
      steps[i] = step
    end
    return steps
  end

  local function run(at, seed, config, options)
    local random = fake.random(seed)
    local contacts = contacts_of(60, 100 * seed % 9000)
    local client = client_of(at.url, { timeout = 0.3 })
    -- Some of them are at the server already.
    local old = {}
    for i = 1, random(0, 10) do
      old[i] = contacts[random((i - 1) * 6 + 1, i * 6)]
    end
    if old[1] then
      assert(client_of(at.url):create_contacts(old))
    end
    local before = at:ledger()
    local first = #before.requests
    at:script(draw_steps(random, random(5, 60)))
    if random(1, 4) == 1 then
      at:connection_script { { fault = "reset_on_accept" }, {}, { fault = "close_on_accept" } }
    end
    local given = { batch_size = random(1, 8), concurrency = 4, max_attempts = random(1, 5) }
    given.max_outage = config.call == "import" and 0 or nil -- else it waits in real time
    for name, value in pairs(options or {}) do
      given[name] = value
    end
    local report, failure = client[config.call](client, contacts, given)
    report = report or failure.report
    local ledger = at:ledger()
    for _ = 1, first do
      table.remove(ledger.requests, 1)
    end
    witness.compare(contacts, report, ledger, before.stored)
    assert(ledger.max_in_flight <= 4, "more in flight than asked for")
    return report
  end

  for seed = 1, 12 do
    it("all get their outcome, seed " .. seed, function()
      run(seed % 3 == 0 and secure or plain, seed, { call = seed % 2 == 0 and "import" or "create_contacts" })
    end)
  end

  it("all get their outcome when overwriting", function()
    for seed = 101, 104 do
      plain:reset()
      run(plain, seed, { call = "import" }, { overwrite = true })
    end
  end)

  it("do not wait for the one that hangs", function()
    plain:script { { fault = "timeout_after_read", process = "all" } }
    local contacts = contacts_of(40)
    local client = client_of(plain.url, { timeout = 1 })
    local _, failure = client:create_contacts(contacts, { batch_size = 1, concurrency = 4, max_attempts = 1 })
    local made, ledger = failure.report, plain:ledger()
    assert.are.equal(39, made.accepted)
    assert.are.equal(1, made.unknown)
    witness.compare(contacts, made, ledger)
    -- The others had ended before the hanging one did.
    local hanging = ledger.requests[1].t_end
    for _, request in ipairs(ledger.requests) do
      if request.step.fault then
        hanging = request.t_end
      end
    end
    local late = 0
    for _, request in ipairs(ledger.requests) do
      late = late + (request.t_start > hanging and 1 or 0)
    end
    assert.are.equal(0, late)
  end)

  it("never hold one phone twice while requests are lost", function()
    for seed = 1, 5 do
      plain:reset()
      local random = fake.random(seed)
      local contacts = {}
      for i = 1, 80 do
        contacts[i] = { phone = ("1202555%04d"):format(random(1, 12)), first = tostring(i) }
      end
      plain:script(draw_steps(random, 60))
      local client = client_of(plain.url, { timeout = 1 })
      local given = { batch_size = random(1, 6), overwrite = random(1, 2) == 1, max_outage = 0 }
      local report, failure = client:import(contacts, given)
      report = report or failure.report
      witness.sums(80, report)
      local ledger = plain:ledger()
      assert.are.same({}, ledger.overlap)
      assert.are.same({}, ledger.doubles)
    end
  end)
end)

describe("this spec file", function()
  it("leaves no handle open", function()
    for _, client in ipairs(opened) do
      client:close()
    end
    opened = {}
    plain:disconnect()
    secure:disconnect()
    collectgarbage()
    collectgarbage()
    assert.are.same({ signers = 0, pools = 0, transfers = 0 }, core.open_handles())
  end)
end)
