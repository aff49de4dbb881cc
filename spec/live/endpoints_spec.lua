--- Endpoints at the socket: what each sends and reads, what is sent once, and lists that come page by page. The server
--- counts what arrives.
local cjson = require("cjson").new()
local core = require "heymarket.core"
local credentials = require "heymarket.http.credentials"
local endpoints = require "heymarket.api.endpoints"
local pace_memory = require "heymarket.http.pace_memory"
local pacer = require "heymarket.http.pacer"
local pages = require "heymarket.api.pages"
local runtime = require "heymarket.runtime"
local sender = require "heymarket.http.sender"
local server = require "spec.support.server"
local token = require "heymarket.http.token"
local transport = require "heymarket.http.transport"

local COMMAND = "/usr/bin/env python3 spec/support/endpoint_server.py"

describe("an endpoint", function()
  local pipe, port, carrier, keys

  setup(function()
    pipe, port = server.spawn(COMMAND)
  end)

  teardown(function()
    pipe:close()
  end)

  before_each(function()
    carrier = transport.new({}, runtime)
    keys = credentials.fixed("id", "key")
  end)

  after_each(function()
    carrier:close()
    keys:close()
  end)

  -- A sender whose tries go to http://127.0.0.1:port/mode. Pauses before another try take no time.
  local function sender_to(mode, changes)
    local made = {
      tokens = token.new(keys, 240, runtime.time),
      pacer = pacer.new(pace_memory.new(runtime.monotonic), runtime.monotonic),
      transport = carrier,
      monotonic = runtime.monotonic,
      time = runtime.time,
      random = function()
        return 0
      end,
      base_url = ("http://127.0.0.1:%d/%s"):format(port, mode),
      timeout = 20,
      connect_timeout = 20,
      max_attempts = 3,
      max_retry_after = 120,
      concurrency = 1,
      requests_per_minute = false,
      is_closed = function()
        return false
      end,
    }
    for name, value in pairs(changes or {}) do
      made[name] = value
    end
    return sender.new(made)
  end

  local function counted()
    local pool, result = core.pool {}, nil
    assert(pool:start("GET", ("http://127.0.0.1:%d/_count"):format(port), {}, nil, 20, 20))
    while not result do
      pool:perform()
      result = pool:take()
      if not result then
        pool:wait(1)
      end
    end
    pool:close()
    return cjson.decode(result.body)
  end

  -- Sends one request. Returns its outcome and the number of requests that arrived.
  local function send(requests, mode, endpoint, body)
    local before = counted()[mode] or 0
    requests:add { endpoint = endpoint, body = body, items = 0 }
    local outcome = requests:next()
    return outcome, (counted()[mode] or 0) - before
  end

  local NEW_TAG = '{"tag":"gold","color":"red"}'

  describe("that must not be repeated", function()
    it("is sent once when its response is lost", function()
      local outcome, arrived = send(sender_to "lost", "lost", endpoints.create_tag, NEW_TAG)
      assert.are.equal(1, arrived)
      assert.is_nil(outcome.value)
      assert.are.same({ "network", "maybe", 1 }, {
        outcome.failure.kind,
        outcome.failure.delivered,
        outcome.failure.attempts,
      })
    end)

    it("is sent once when its response is lost on a kept connection", function()
      local requests = sender_to "second"
      assert.is_truthy(send(requests, "second", endpoints.create_tag, NEW_TAG).value)
      local outcome, arrived = send(requests, "second", endpoints.create_tag, NEW_TAG)
      assert.are.equal(1, arrived)
      assert.are.equal("maybe", outcome.failure.delivered)
    end)

    it("is sent once when no response comes in time", function()
      local outcome, arrived = send(sender_to("late", { timeout = 0.3 }), "late", endpoints.create_tag, NEW_TAG)
      assert.are.equal(1, arrived)
      assert.are.same({ "timeout", "maybe" }, { outcome.failure.kind, outcome.failure.delivered })
    end)

    it("is sent once when the server fails", function()
      local outcome, arrived = send(sender_to "failing", "failing", endpoints.create_tag, NEW_TAG)
      assert.are.equal(1, arrived)
      assert.are.same({ "server", "maybe" }, { outcome.failure.kind, outcome.failure.delivered })
    end)

    it("is tried again after a 429, which says that nothing was done", function()
      local outcome, arrived = send(sender_to "busy", "busy", endpoints.create_tag, NEW_TAG)
      assert.are.equal(2, arrived)
      assert.are.equal(2, outcome.value.id)
    end)

    it("takes a new connection when the kept one was closed before", function()
      local requests = sender_to "stale"
      assert.is_truthy(send(requests, "stale", endpoints.create_tag, NEW_TAG).value)
      local outcome, arrived = send(requests, "stale", endpoints.create_tag, NEW_TAG)
      assert.are.equal(1, arrived)
      assert.is_truthy(outcome.value)
    end)

    it("is tried again when the connection was refused, and arrives once", function()
      local other, free = server.spawn(COMMAND)
      other:close()
      local usual, retries, late = port, {}, nil
      port = free
      local requests = sender_to("ok", {
        emit = function(event)
          if event.type == "retry" then
            retries[#retries + 1] = event.failure.code .. " " .. event.failure.delivered
            late = late or server.spawn(COMMAND .. " " .. free)
          end
        end,
      })
      requests:add { endpoint = endpoints.create_tag, body = NEW_TAG, items = 0 }
      local outcome = requests:next()
      local arrived = counted().ok
      port = usual
      late:close()
      assert.are.same({ "COULDNT_CONNECT no" }, retries)
      assert.are.equal(1, outcome.value.id)
      assert.are.equal(1, arrived)
    end)
  end)

  it("that may be repeated is sent again when its response is lost", function()
    for _, endpoint in ipairs { endpoints.inboxes, endpoints.tags } do
      local outcome, arrived = send(sender_to "lost", "lost", endpoint, endpoint.first_page)
      assert.are.equal(3, arrived)
      assert.are.same({ "maybe", 3 }, { outcome.failure.delivered, outcome.failure.attempts })
    end
  end)

  it("reads its own response", function()
    local requests = sender_to "ok"
    local function value_of(endpoint, body)
      local outcome = send(requests, "ok", endpoint, body)
      return assert(outcome.value, tostring(outcome.failure))
    end
    assert.are.same({}, value_of(endpoints.inboxes))
    assert.are.equal("Ann", value_of(endpoints.team).members[1].name)
    assert.are.equal("Plan", value_of(endpoints.contact_fields)[1].title)
    assert.are.equal("Size", value_of(endpoints.create_contact_fields, '[{"title":"Size"}]')[1].title)
    local channels = '{"contact_channels":[{"channel_type":"phone","channel_ids":["12025550101"]}]}'
    assert.are.equal("12025550101", value_of(endpoints.search_contacts, channels)[1].phone)
  end)

  it("refuses the response of another", function()
    -- The server gives `[]` for what it does not know.
    local odd = setmetatable({ path = "/odd", repeatable = false }, { __index = endpoints.create_tag })
    local outcome = send(sender_to "ok", "ok", odd, "{}")
    assert.are.same({ "unexpected", "not_an_object" }, { outcome.failure.kind, outcome.failure.message_code })
  end)

  describe("with pages", function()
    for _, count in ipairs { 0, 1, 29, 30, 31, 60, 95 } do
      it(("gives all of %d items, each once"):format(count), function()
        local before = counted()[tostring(count)] or 0
        local items = assert(pages.read_all(sender_to(tostring(count)), endpoints.tags))
        local ids = {}
        for i, item in ipairs(items) do
          ids[i] = item.id
        end
        local expected = {}
        for i = 1, count do
          expected[i] = i - 1
        end
        assert.are.same(expected, ids)
        -- A page that is not full is the last one.
        assert.are.equal(math.floor(count / 30) + 1, counted()[tostring(count)] - before)
      end)
    end

    it("is not read for ever when the server repeats a page", function()
      local items, failure = pages.read_all(sender_to "stuck", endpoints.tags)
      assert.is_nil(items)
      assert.are.same({ "unexpected", "pages_repeat" }, { failure.kind, failure.message_code })
      assert.are.equal(2, counted().stuck)
    end)

    it("is not read for ever when the server never comes to an end", function()
      local items, failure = pages.read_all(sender_to "endless", endpoints.tags)
      assert.is_nil(items)
      assert.are.same({ "unexpected", "too_many_pages" }, { failure.kind, failure.message_code })
      assert.are.equal(1000, counted().endless)
    end)

    it("gives no part of a list when a page is lost", function()
      local items, failure = pages.read_all(sender_to "broken", endpoints.tags)
      assert.is_nil(items)
      assert.are.equal("network", failure.kind)
      assert.are.equal(4, counted().broken)
    end)
  end)

  it("gives an outcome without waiting where there is one", function()
    local requests = sender_to "ok"
    assert.is_nil(requests:poll())
    assert.are.equal(0, requests:pending())
    requests:add { endpoint = endpoints.team, items = 0 }
    local outcome, polls = nil, 0
    while not outcome do
      assert.are.equal(1, requests:pending())
      outcome = requests:poll()
      polls = polls + 1
      runtime.sleep(0.001)
      assert.is_true(polls < 20000)
    end
    assert.are.equal("Ann", outcome.value.members[1].name)
    assert.are.equal(0, requests:pending())
    assert.is_nil(requests:next())
  end)
end)
