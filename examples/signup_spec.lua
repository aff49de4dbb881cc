-- luacheck: std min+busted
-- Tests the sign-up form without nginx and without a network: the sandbox stands in for the API.
--
--   LUA_PATH="examples/?.lua;;" busted --lua=lua5.4 examples/signup_spec.lua

local cjson = require("cjson").new()
local sandbox = require "heymarket.sandbox"
local signup = require "signup"

local ANN = { phone = "(234) 567-8900", email = "ann@example.com", first = "Ann", last = "Lee" }

describe("the sign-up form", function()
  local api, client

  before_each(function()
    api = sandbox.new()
    client = assert(api:client { default_country = "1", max_retry_after = 5 })
  end)

  after_each(function()
    client:close()
  end)

  -- Sends the form. Gives the answer, its decoded body, and the line for the log.
  local function send(body, request)
    request = request or {}
    local answer, line = signup.answer(client, {
      method = request.method or "POST",
      content_type = request.content_type or "application/json",
      body = type(body) == "table" and cjson.encode(body) or body,
    })
    assert.are.equal("application/json", answer.headers["Content-Type"])
    -- In every case the answer holds nothing of what was sent, of the server's messages, or of our configuration.
    for _, secret in ipairs { "234", "ann@", "Ann", "sandbox", "request_id", "scripted", "default_country" } do
      assert.is_nil(answer.body:gsub("%+1 234 567 8900", ""):gsub("ann@example.com", ""):find(secret, 1, true))
    end
    if line then
      assert.is_nil(line:find("\n", 1, true))
      assert.is_nil(line:find("2345678900", 1, true))
    end
    return answer, cjson.decode(answer.body), line
  end

  it("creates the contact", function()
    local answer, body, line = send(ANN)
    assert.are.equal(200, answer.status)
    assert.are.same({ status = "ok" }, body)
    assert.is_nil(line)
    local stored = api:get "12345678900"
    assert.are.same({ "ann@example.com", "Ann", "Lee" }, { stored.email, stored.first, stored.last })
  end)

  it("does not tell whether somebody was there before, and changes nothing of him", function()
    api:put { phone = "12345678900", first = "Anna" }
    local answer, body, line = send(ANN)
    assert.are.equal(200, answer.status)
    assert.are.same({ status = "ok" }, body)
    assert.is_nil(line)
    assert.are.equal("Anna", api:get("12345678900").first)
  end)

  it("lets a browser set nothing but the fields of the form", function()
    local answer = send { phone = ANN.phone, tags = { 1 }, assignee_id = 7, is_opted_out = true }
    assert.are.equal(200, answer.status)
    local stored = api:get "12345678900"
    assert.is_nil(stored.tags)
    assert.is_nil(stored.assigned_user_id)
    assert.is_nil(stored.is_opted_out)
  end)

  it("names the fields that are wrong, and sends nothing", function()
    local answer, body, line = send { phone = "12", email = "nobody", first = "A\nB" }
    assert.are.equal(422, answer.status)
    assert.are.equal("invalid", body.error)
    local names = {}
    for name in pairs(body.fields) do
      names[#names + 1] = name
    end
    table.sort(names)
    assert.are.same({ "email", "first", "phone" }, names)
    assert.is_nil(line)
    assert.are.equal(0, #api.requests)
  end)

  it("asks for the phone where there is none, or null", function()
    for _, body in ipairs { '{"first":"Ann"}', '{"phone":null}', "{}" } do
      local answer, decoded = send(body)
      assert.are.equal(422, answer.status)
      assert.is_string(decoded.fields.phone)
    end
  end)

  it("refuses what is no form", function()
    for _, body in ipairs { "", "{", "[]x", '"text"', "1", "null", '[{"phone":"1"}]' } do
      assert.are.equal(400, (send(body)).status)
    end
    assert.are.equal(415, (send(ANN, { content_type = "text/plain" })).status)
    assert.are.equal(200, (send(ANN, { content_type = "Application/JSON; charset=utf-8" })).status)
    local answer = send(nil, { method = "GET" })
    assert.are.same({ 405, "POST" }, { answer.status, answer.headers.Allow })
  end)

  it("asks for patience when there are too many requests", function()
    api:script { status = 429, times = 10, retry_after = 7 }
    local answer, body, line = send(ANN)
    assert.are.equal(503, answer.status)
    assert.are.equal("unavailable", body.error)
    assert.are.equal("7", answer.headers["Retry-After"])
    assert.is_truthy(line:find("rate_limited", 1, true))
  end)

  it("says later when the API cannot be reached", function()
    for _, fault in ipairs { "refused", "unresolved" } do
      api:script { fault = fault, times = 3 }
      local answer, body, line = send(ANN)
      assert.are.equal(503, answer.status)
      assert.are.equal("unavailable", body.error)
      assert.is_truthy(line:find("delivered=no", 1, true))
    end
  end)

  it("is honest where nobody knows whether the contact was stored", function()
    for _, step in ipairs { { fault = "reset" }, { fault = "timeout" }, { status = 500 }, { fault = "not_json" } } do
      step.times = 3
      api:script(step)
      local answer, body, line = send(ANN)
      assert.are.equal(202, answer.status)
      assert.are.equal("unconfirmed", body.status)
      assert.is_truthy(line:find("delivered=maybe", 1, true))
      api:reset()
    end
  end)

  it("hides what is the operators' business, and tells them", function()
    for _, status in ipairs { 401, 403, 404 } do
      api:script { status = status, times = 3 }
      local answer, body, line = send(ANN)
      assert.are.equal(500, answer.status)
      assert.are.equal("internal", body.error)
      local request = api.requests[#api.requests]
      assert.is_truthy(line:find("status=" .. status, 1, true))
      assert.is_truthy(line:find("request_id=" .. request.request_id, 1, true))
      api:reset()
    end
  end)

  it("does not say that somebody is signed up whom the API only lists as refused", function()
    local strict = sandbox.new { bad_contact = "list" }
    strict:refuse "12345678900"
    client:close()
    client = assert(strict:client { default_country = "1" })
    local answer, body, line = send(ANN)
    assert.are.equal(422, answer.status)
    assert.are.equal("refused", body.error)
    assert.is_truthy(line:find("signup: refused", 1, true))
    assert.is_nil(strict:get "12345678900")
  end)

  it("is honest where a refused contact may have been stored by an earlier try", function()
    api:script({ fault = "reset" }, { status = 200, body = { { phone = "12345678900" } } })
    local answer, body, line = send(ANN)
    assert.are.equal(202, answer.status)
    assert.are.equal("unconfirmed", body.status)
    assert.is_truthy(line:find("signup: refused", 1, true))
  end)

  it("tells the visitor when the API does not accept the details", function()
    api:refuse "12345678900"
    local answer, body, line = send(ANN)
    assert.are.equal(422, answer.status)
    assert.are.equal("refused", body.error)
    assert.is_truthy(line:find("bad_data", 1, true))
  end)
end)
