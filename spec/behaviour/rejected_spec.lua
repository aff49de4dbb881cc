-- What a listed contact means: it exists in the account already, or the server refused it.

local core = require "heymarket.core"
local fake = require "spec.support.fake"
local heymarket = require "heymarket"
local sandbox = require "heymarket.sandbox"
local server = require "spec.support.server"

local cjson = require("cjson").new()

local function client_of(world, config)
  local given = {
    secret_id = "some-id",
    secret_key = "a-key",
    base_url = "https://api.heymarket.com",
    requests_per_minute = false,
    runtime = world.runtime,
  }
  for name, value in pairs(config or {}) do
    given[name] = value
  end
  return assert(heymarket.new(given))
end

local function phone_of(i)
  return ("1202555%04d"):format(i)
end

local function contacts_of(count)
  local made = {}
  for i = 1, count do
    made[i] = { phone = phone_of(i), first = tostring(i) }
  end
  return made
end

-- A world whose every answer lists these objects; their text is written here, so that nothing of ours shapes it.
local function listing(text)
  return fake.new {
    handler = function()
      return { body = text, process = "none" }
    end,
  }
end

local function item_of(text, options)
  local client = client_of(listing(text))
  local report, failure = client:create_contacts(contacts_of(1), options)
  client:close()
  local made = report or failure.report
  assert.are.equal(1, made.rejected)
  assert.are.equal("rejected", made.items[1].outcome)
  return made.items[1], report, failure
end

describe("a listed contact", function()
  it("exists where its object has an id and nothing was to be overwritten", function()
    for _, id in ipairs { "1", "12345", "9007199254740993", '"a1b2"', '"12345"', "1.0" } do
      local item, report, failure = item_of('[{"phone":"' .. phone_of(1) .. '","id":' .. id .. "}]")
      assert.are.equal("exists", item.reason, id)
      assert.is_table(report)
      assert.is_nil(failure)
      assert.is_nil(item.failure)
    end
  end)

  it("was refused where its object has no id", function()
    local phone = '"phone":"' .. phone_of(1) .. '"'
    -- A server that creates nothing may still write out the empty values of its own structure.
    for _, id in ipairs { "null", "0", '""', '"0"', "false", "{}", "-1" } do
      local item, report, failure = item_of("[{" .. phone .. ',"id":' .. id .. "}]")
      assert.are.equal("refused", item.reason, id)
      assert.is_nil(report)
      assert.are.equal("refused", failure.kind)
    end
    assert.are.equal("refused", item_of("[{" .. phone .. "}]").reason)
  end)

  it("was refused where it was to be overwritten, whatever its object has", function()
    local item, report, failure = item_of('[{"phone":"' .. phone_of(1) .. '","id":7}]', { overwrite = true })
    assert.are.equal("refused", item.reason)
    assert.is_nil(report)
    assert.are.equal("refused", failure.kind)
  end)
end)

describe("create_contacts", function()
  it("gives a report where all that is listed exists", function()
    local world = fake.new()
    local client = client_of(world)
    assert.are.equal(3, assert(client:create_contacts(contacts_of(3))).accepted)
    local report = assert(client:create_contacts(contacts_of(5)))
    assert.are.same({ 2, 3 }, { report.accepted, report.rejected })
    for _, item in ipairs(report.items) do
      assert.are.equal("exists", item.reason)
      assert.is_true(item.remote.id > 0)
    end
    client:close()
  end)

  it("gives a failure with the whole report where one of many was refused", function()
    local client = client_of(listing(cjson.encode {
      { phone = phone_of(2), id = 22 },
      { phone = phone_of(3) },
    }))
    local report, failure = client:create_contacts(contacts_of(4))
    client:close()
    assert.is_nil(report)
    assert.are.equal("refused", failure.kind)
    assert.is_false(failure.retryable)
    assert.is_truthy(failure.message:find("1 contact as not created", 1, true), failure.message)
    assert.is_truthy(failure.message:find("nothing shows that it exists", 1, true), failure.message)
    local made = failure.report
    assert.are.same({ 4, 2, 2 }, { made.total, made.accepted, made.rejected })
    assert.are.same({ 2, "exists" }, { made.items[1].index, made.items[1].reason })
    assert.are.same({ 3, "refused" }, { made.items[2].index, made.items[2].reason })
  end)

  it("counts all that were refused", function()
    local client = client_of(listing(cjson.encode { { phone = phone_of(1) }, { phone = phone_of(3) } }))
    local _, failure = client:create_contacts(contacts_of(3), { overwrite = true })
    client:close()
    assert.is_truthy(failure.message:find("2 contacts as not created or overwritten", 1, true), failure.message)
  end)

  it("names unknown and failed contacts before refused ones in its failure", function()
    local world = fake.new {
      handler = function(request)
        if request.has[phone_of(1)] then
          return { body = cjson.encode { { phone = phone_of(1) } }, process = "none" }
        elseif request.has[phone_of(2)] then
          return { status = 400 }
        elseif request.has[phone_of(3)] then
          return { code = "RECV_ERROR", sent = true, process = "none" }
        end
      end,
    }
    local client = client_of(world, { batch_size = 1, max_attempts = 1 })
    local _, failure = client:create_contacts(contacts_of(3))
    assert.are.equal("network", failure.kind)
    _, failure = client:create_contacts { contacts_of(3)[1], contacts_of(3)[2] }
    assert.are.equal("bad_data", failure.kind)
    client:close()
  end)
end)

describe("an import", function()
  it("gives a report, whatever was refused, and each listed item its reason", function()
    local client = client_of(listing(cjson.encode {
      { phone = phone_of(2), id = 22 },
      { phone = phone_of(3) },
    }))
    local report = assert(client:import(contacts_of(4)))
    client:close()
    assert.are.same({ 2, 2 }, { report.accepted, report.rejected })
    assert.are.same({ "exists", "refused" }, { report.items[1].reason, report.items[2].reason })
  end)

  it("gives items of an earlier run their reason, too", function()
    local folder = server.folder()
    local client = client_of(listing(cjson.encode {
      { phone = phone_of(2), id = 22 },
      { phone = phone_of(3) },
    }))
    local given = { journal = folder .. "/journal" }
    assert(client:import(contacts_of(4), given))
    local report = assert(client:import(contacts_of(4), given))
    client:close()
    server.remove(folder)
    assert.are.equal(4, report.resumed)
    assert.are.equal(0, report.requests)
    assert.are.same({ "exists", "refused" }, { report.items[1].reason, report.items[2].reason })
    assert.are.equal(22, report.items[1].remote.id)
  end)
end)

describe("the sandbox", function()
  it("answers with an id for what exists, and with none for what it refuses", function()
    local api = sandbox.new { bad_contact = "list", unknown_field = "ignore" }
    api:put { phone = phone_of(1) }
    api:refuse(phone_of(2))
    local client = assert(api:client())
    local report, failure = client:create_contacts(contacts_of(3))
    assert.is_nil(report)
    assert.are.equal("refused", failure.kind)
    local items = failure.report.items
    assert.are.same({ "exists", "refused" }, { items[1].reason, items[2].reason })
    assert.is_number(items[1].remote.id)
    assert.is_nil(items[2].remote.id)
    assert.are.equal(1, failure.report.accepted)
    client:close()
  end)

  it("gives no id to what it refuses even where the request had one", function()
    local api = sandbox.new { bad_contact = "list", unknown_field = "ignore" }
    api:refuse(phone_of(2))
    local token
    do
      local client = assert(api:client())
      token = client:token()
      client:close()
    end
    local response = api:handle {
      method = "POST",
      path = "/v1/batch/contacts?overwrite=false",
      headers = { authorization = "Bearer " .. token, ["content-type"] = "application/json" },
      body = '[{"phone":"' .. phone_of(2) .. '","id":5,"rev":1,"created":"2024-01-01T00:00:00Z"}]',
    }
    assert.are.equal(200, response.status)
    local listed = cjson.decode(response.body)
    assert.are.equal(phone_of(2), listed[1].phone)
    assert.are.same({}, { listed[1].id, listed[1].rev, listed[1].created })
  end)
end)

describe("this spec file", function()
  it("leaves no handle open", function()
    collectgarbage()
    collectgarbage()
    assert.are.same({ signers = 0, pools = 0, transfers = 0 }, core.open_handles())
  end)
end)
