local capture = require "spec.support.capture"
local core = require "heymarket.core"
local faultserver = require "spec.support.server"
local heymarket = require "heymarket"
local loop = require "heymarket.loop"
local sandbox = require "heymarket.sandbox"

local PHONE = "12345678900"

-- Every string that a program finds from a value without the debug library: in fields, keys and metatables.
local function strings_in(value, found, seen)
  found, seen = found or {}, seen or {}
  if type(value) == "string" then
    found[#found + 1] = value
  elseif type(value) == "table" and not seen[value] then
    seen[value] = true
    strings_in(getmetatable(value), found, seen)
    for key, item in pairs(value) do
      strings_in(key, found, seen)
      strings_in(item, found, seen)
    end
  end
  return found
end

local function token_of(headers)
  for _, header in ipairs(headers) do
    local token = header:match "^Authorization: Bearer (.+)$"
    if token then
      return token
    end
  end
end

local function check_absent(value, token)
  local signature = token:match "[^.]+$"
  assert.are.equal(43, #signature)
  local found = strings_in(value)
  assert.is_true(#found > 3)
  for _, text in ipairs(found) do
    local plain = text:gsub("[^A-Za-z0-9_-]", "")
    for first = 1, #signature - 15 do
      if plain:find(signature:sub(first, first + 15), 1, true) then
        error("a piece of the token is in: " .. text)
      end
    end
  end
end

describe("during a call the token", function()
  it("is in no table that can be reached", function()
    local server = faultserver.start()
    server:default { delay = 0.05 }
    local client, looks, events = nil, 0, {}
    local function look()
      looks = looks + 1
      local modules = {}
      for name, module in pairs(package.loaded) do
        modules[name] = name:find "^heymarket" and module or nil
      end
      check_absent({ client, events, modules }, client:token())
    end
    client = assert(heymarket.new {
      secret_id = "an-id",
      secret_key = "a-key",
      base_url = server.url,
      on_event = function(event)
        events[#events + 1] = event
      end,
    })
    local raised
    local report = assert(client:import({ { phone = PHONE }, { phone = "12345678901" } }, {
      batch_size = 1,
      concurrency = 1,
      should_stop = function()
        -- What is raised here would only stop the import.
        local ok, problem = pcall(look)
        raised = raised or not ok and problem or nil
      end,
    }))
    assert.is_nil(raised)
    assert.are.equal(2, report.accepted)
    assert.is_true(looks >= 2)
    client:close()
    server:stop()
  end)

  it("is in nothing that the transport is given but the headers", function()
    local starts = 0
    local client, _, transport = capture.client { max_attempts = 2 }
    local start = transport.start
    function transport.start(self, request, completions, headers)
      starts = starts + 1
      check_absent({ request, completions }, token_of(headers))
      return start(self, request, completions, headers)
    end
    assert(client:create_contacts { { phone = PHONE } })
    client:close()
    assert.are.equal(1, starts)
  end)

  it("is in no table of a client of the sandbox, nor is the key", function()
    local box = sandbox.new { secret_key = "a-key-that-nobody-may-see" }
    local client, raised, looks
    looks = 0
    client = assert(box:client {
      on_event = function()
        looks = looks + 1
        local ok, problem = pcall(function()
          check_absent(client, client:token())
          for _, text in ipairs(strings_in(client)) do
            assert.is_nil(text:find("a-key-that-nobody-may-see", 1, true))
          end
        end)
        raised = raised or not ok and problem or nil
      end,
    })
    assert(client:create_contacts { { phone = PHONE } })
    client:close()
    assert.is_nil(raised)
    assert.is_true(looks >= 3)
  end)

  it("is not in the transport's table of requests", function()
    local server = faultserver.start()
    server:default { delay = 0.3 }
    local client = assert(heymarket.new { secret_id = "an-id", secret_key = "a-key", base_url = server.url })
    local seen, raised = 0, nil
    local wait = client.transport.wait
    function client.transport.wait(self, completions, seconds)
      for _, flight in pairs(loop.here().mailbox(self, completions).flights) do
        seen = seen + 1
        local ok, problem = pcall(check_absent, flight, client:token())
        raised = raised or not ok and problem or nil
      end
      return wait(self, completions, seconds)
    end
    assert(client:create_contacts { { phone = PHONE } })
    client:close()
    server:stop()
    assert.is_nil(raised)
    assert.is_true(seen > 0)
  end)
end)

describe("what a server writes back of the token", function()
  -- Ends a call with the answer that `write` makes of the token, and looks into everything that comes out.
  local function check(write)
    local token
    local events = {}
    local client = capture.client({
      max_attempts = 1,
      on_event = function(event)
        events[#events + 1] = event
      end,
    }, function(_, _, headers)
      token = token_of(headers)
      return write(token, token:match "[^.]+$")
    end)
    local report, failure = client:create_contacts { { phone = PHONE } }
    client:close()
    check_absent({ failure or report, events, tostring(failure or "") }, token)
    return failure
  end

  local function escape_one(text, format, place)
    return text:sub(1, place - 1) .. format:format(text:byte(place)) .. text:sub(place + 1)
  end

  local function escape_all(text, format)
    return (text:gsub(".", function(character)
      return format:format(character:byte())
    end))
  end

  local FORMS = { "\\u%04x", "\\u%04X", "\\\\u%04x", "%%%02x", "%%25%02X", "&#%d;", "&#x%x;", "\\x%02x", "\\u{%x}" }

  -- The same, and the answer is not shown at all.
  local function check_left_out(write)
    local failure = check(write)
    assert.is_nil(failure.body)
    assert.is_nil(failure.details)
  end

  it("is not shown with escapes", function()
    for _, status in ipairs { 200, 400, 401, 500 } do
      for _, form in ipairs(FORMS) do
        for place = 1, 43, 7 do
          check_left_out(function(_, signature)
            return { status = status, body = "you sent " .. escape_one(signature, form, place) }
          end)
        end
        check_left_out(function(token)
          return { status = status, body = '{"message":"' .. escape_all(token, form) .. '"}' }
        end)
      end
      check(function(token)
        return { status = status, body = '{"message":"' .. token:gsub("%-", "\\u002d"):gsub("_", "\\u005F") .. '"}' }
      end)
    end
  end)

  it("is not shown in keys, nested or not", function()
    check(function(token)
      return { status = 400, body = '{"' .. token .. '":1,"x":[{"Bearer ' .. token .. '":{"a":2}}]}' }
    end)
    check(function(_, signature)
      return { status = 400, body = '{"' .. escape_one(signature, "\\u%04x", 20) .. '":1}' }
    end)
  end)

  it("is not shown in pieces", function()
    for _, between in ipairs { " ", "\n", "\0", '","', "\226\128\139", "<br>", "=\r\n", "\\/" } do
      check(function(_, signature)
        return { status = 500, body = "sig: " .. signature:sub(1, 20) .. between .. signature:sub(21) }
      end)
      check(function(_, signature)
        return { status = 500, body = (signature:gsub(".", "%0 ")) }
      end)
    end
    check(function(_, signature)
      return { status = 500, body = ("x"):rep(2048 - 20) .. escape_one(signature, "\\u%04x", 25) }
    end)
    check(function(_, signature)
      return { status = 400, body = '{"parts":["' .. signature:sub(1, 22) .. '","' .. signature:sub(23) .. '"]}' }
    end)
  end)

  it("is not shown in a contact that a 200 lists", function()
    for _, place in ipairs {
      '"first":"%s"',
      '"first":"you sent Bearer %s here"',
      '"%s":1',
      '"note":[{"text":"%s"}]',
      '"id":"%s"',
    } do
      for _, form in ipairs { false, "\\u%04x" } do
        local failure = check(function(token)
          local text = form and escape_all(token, form) or token
          return {
            body = ('[{"id":7,"phone":"%s",%s}]'):format(PHONE, place:format(text)):gsub('"id":7,(.*"id")', "%1"),
          }
        end)
        local remote = failure and failure.report.items[1] or nil
        if remote then
          assert.are.equal(PHONE, remote.remote.phone)
          assert.is_true(remote.remote_truncated)
        end
      end
    end
  end)

  it("is looked for in linear time", function()
    -- A search that takes quadratic time would not come to its end.
    for _, piece in ipairs { "\\", "\\u", "&#", "%", "\\u{0", "&#x0", "A" } do
      local much = piece:rep(250000 / #piece)
      check(function()
        return { status = 500, body = much }
      end)
      check(function()
        return { status = 500, headers = "HTTP/1.1 500 x\r\nX-Request-Id: " .. much .. "\r\n\r\n", body = "x" }
      end)
      check(function()
        local text = much:gsub("\\", "\\\\")
        return { body = ('[{"id":7,"phone":"%s","first":"%s"}]'):format(PHONE, text) }
      end)
    end
  end)

  it("is not shown as a request id, split or not", function()
    for _, between in ipairs { "", " ", "\t", "\195\182", "\226\128\139" } do
      for place = 5, 40, 7 do
        local failure = check(function(_, signature)
          local id = signature:sub(1, place) .. between .. signature:sub(place + 1)
          return { status = 400, headers = "HTTP/1.1 400 x\r\nX-Request-Id: " .. id .. "\r\n\r\n", body = "x" }
        end)
        assert.are.equal("[token]", failure.request_id)
      end
    end
    check(function(token)
      local id = "X-Request-Id: " .. token:sub(1, -3)
      return { status = 400, headers = "HTTP/1.1 400 x\r\n" .. id .. "\r\n\r\n", body = "x" }
    end)
  end)

  it("is not shown in a message of libcurl", function()
    local failure = check(function(token)
      return { code = "RECV_ERROR", message = "lost " .. token:sub(1, -2), sent = true }
    end)
    assert.are.equal("the connection broke before the response was complete", failure.message)
  end)

  it("leaves alone what is no token", function()
    local body = '{"message":"bad \\u00e9 100%25 &#233; phone","id":"0f8fad5b-d9cb-469f-a165-70867728950e"}'
    local failure = check(function()
      return { status = 400, body = body }
    end)
    assert.are.equal(body, failure.body)
    assert.are.equal("0f8fad5b-d9cb-469f-a165-70867728950e", failure.details.id)
  end)
end)

describe("what a server writes back of the request", function()
  -- Ends a call for one contact with a 400 that has this body, and looks for the contact's last name.
  local function check(fields, body)
    local client = capture.client({ max_attempts = 1 }, function()
      return { status = 400, body = body }
    end)
    fields.phone = PHONE
    local _, failure = client:create_contacts { fields }
    client:close()
    assert.are.equal("bad_data", failure.kind)
    failure.report = nil -- it holds the contact as the user gave it
    for _, text in ipairs(strings_in(failure)) do
      assert.is_nil(text:find("ller", 1, true), text)
    end
  end

  it("is not shown where its letters are escaped", function()
    local escaped = '{"phone":"12345678900","first":"J\\u00f6rg","last":"M\\u00FCller \\ud83d\\uDE00"}'
    local quoted = escaped:gsub('[\\"]', "\\%0")
    for _, body in ipairs {
      escaped,
      '{"request":[' .. escaped .. "]}",
      '{"message":"bad: [' .. escaped:gsub('"', '\\"') .. ']"}',
      '{"message":"bad: [' .. quoted .. ']"}',
      'bad: {"phone":"12345678900","first":"J&#246;rg","last":"M&#xfc;ller \240\159\152\128"}',
      'bad: {"phone":"12345678900","first":"J%C3%B6rg","last":"M%c3%bcller \240\159\152\128"}',
    } do
      check({ first = "J\195\182rg", last = "M\195\188ller \240\159\152\128" }, body)
    end
  end)

  it("is not shown where it holds what looks like an escape, as a value or as a key", function()
    local echo = '[{\\"phone\\":\\"12345678900\\",\\"first\\":\\"100%41\\",\\"last\\":\\"M\\u00fcller\\"}]'
    for _, body in ipairs { '{"message":"bad: ' .. echo .. '"}', '{"x":{"' .. echo .. '":1}}' } do
      check({ first = "100%41", last = "M\195\188ller" }, body)
    end
  end)

  it("is not shown where it is laid out or escaped in another way", function()
    local contact = '{"phone":"12345678900","first":"Ann","last":"O\'Miller"}'
    for _, body in ipairs {
      contact,
      "bad contact: " .. contact,
      '{"contact":' .. contact .. "}",
      '{"message":"bad: ' .. contact:gsub('"', '\\"') .. '"}',
      '{\n  "request": [\n    ' .. contact:gsub(",", ",\n      "):gsub(":", ": ") .. "\n  ]\n}",
      '{"message":"bad: ' .. contact:gsub('"', "\\u0022") .. '"}',
      "bad: " .. contact:gsub('"', "&#34;"),
    } do
      check({ first = "Ann", last = "O'Miller" }, body)
    end
  end)
end)

describe("this spec file", function()
  it("leaves no handle open", function()
    collectgarbage()
    collectgarbage()
    assert.are.same({ signers = 0, pools = 0, transfers = 0 }, core.open_handles())
  end)
end)
