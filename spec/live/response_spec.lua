local capture = require "spec.support.capture"
local cjson = require("cjson").new()
local core = require "heymarket.core"
local faultserver = require "spec.support.server"
local heymarket = require "heymarket"
local process = require "spec.support.process"

local A, B, C = "12345678900", "12345678901", "12345678902"

local server

setup(function()
  server = faultserver.start()
end)

teardown(function()
  server:stop()
end)

local function three()
  return { { phone = A }, { phone = "+1 (234) 567-8901", first = "B" }, { phone = C } }
end

-- What comes of one request that the server answers so, over HTTP.
local function exchange(step, contacts, options)
  server:reset()
  server:default(step)
  local client = assert(heymarket.new { secret_id = "an-id", secret_key = "a-key", base_url = server.url })
  local given = { max_attempts = 1, timeout = 30 }
  for name, value in pairs(options or {}) do
    given[name] = value
  end
  local report, failure = client:create_contacts(contacts or three(), given)
  client:close()
  return report, failure
end

-- The same without a server, for what a server could not say.
local function answered(answer, contacts, config)
  local given = { max_attempts = 1 }
  for name, value in pairs(config or {}) do
    given[name] = value
  end
  local client, sent = capture.client(given, type(answer) == "table" and function()
    return answer
  end or answer)
  local report, failure = client:create_contacts(contacts or three())
  client:close()
  return report, failure, sent
end

local function counts(report)
  assert.are.equal(
    report.total,
    report.accepted + report.rejected + report.invalid + report.failed + report.unknown + report.unsent
  )
  return ("accepted %d, rejected %d, failed %d, unknown %d"):format(
    report.accepted,
    report.rejected,
    report.failed,
    report.unknown
  )
end

-- Every string in a table, at any depth.
local function strings_in(value, found, seen)
  found, seen = found or {}, seen or {}
  if type(value) == "string" then
    found[#found + 1] = value
  elseif type(value) == "table" and not seen[value] then
    seen[value] = true
    for key, item in pairs(value) do
      strings_in(key, found, seen)
      strings_in(item, found, seen)
    end
  end
  return found
end

local function utf8_of(texts)
  local hex = {}
  for i, text in ipairs(texts) do
    hex[i] = text:gsub(".", function(byte)
      return ("%02x"):format(byte:byte())
    end)
  end
  return process.python("json_witness.py utf8", table.concat(hex, "\n") .. "\n")
end

local function check_untrusted(failure, name)
  assert.are.equal("unexpected", failure.kind, name)
  assert.are.equal("maybe", failure.delivered, name)
  assert.is_nil(tostring(failure):find "%c")
end

describe("a response that lists nothing", function()
  it("has five forms, with or without white space around", function()
    for _, body in ipairs {
      '"ok"',
      "ok",
      "[]",
      "null",
      "",
      ' "ok" ',
      '"ok"\n',
      '\r\n\t"ok"\r\n',
      "ok\n",
      "\nok",
      " [] ",
      "[\n]",
      "[ ]\r\n",
      " null\n",
      " ",
      "\r\n",
    } do
      local report = assert(exchange { body = body })
      assert.are.equal("accepted 3, rejected 0, failed 0, unknown 0", counts(report), body)
      assert.are.same({}, report.items)
      report = assert(exchange { body = body, chunked = true })
      assert.are.equal(3, report.accepted, body)
    end
  end)

  it("may have megabytes of white space", function()
    local space = (" "):rep(2 * 1024 * 1024)
    for _, body in ipairs { space .. '"ok"', '"ok"' .. space, "[" .. space .. "]", space .. "ok" .. space, space } do
      assert.are.equal(3, assert(answered { body = body }).accepted)
    end
    local report, failure = answered { body = "o" .. space .. "k" }
    assert.is_nil(report)
    check_untrusted(failure)
  end)
end)

describe("a listed contact", function()
  it("is found by its phone, however that is written", function()
    for _, phone in ipairs {
      '"12345678901"',
      "12345678901",
      '"+12345678901"',
      '"+1 (234) 567-8901"',
      '"1-234-567-8901"',
      '"0012345678901"',
    } do
      local contacts = three()
      local report = assert(exchange({ body = '[{"id":1,"phone":' .. phone .. "}]" }, contacts))
      assert.are.equal("accepted 2, rejected 1, failed 0, unknown 0", counts(report), phone)
      assert.are.equal(1, #report.items)
      local item = report.items[1]
      assert.are.equal(2, item.index)
      assert.are.equal("rejected", item.outcome)
      assert.is_true(item.contact == contacts[2])
      assert.is_nil(item.failure)
      assert.is_falsy(item.ambiguous)
      assert.is_truthy(item.remote.phone)
    end
  end)

  it("may be any of them, or all, in any order", function()
    local report = assert(exchange {
      body = { { phone = C, id = 3 }, { phone = A, id = 1 }, { phone = B, id = 2 } },
    })
    assert.are.equal("accepted 0, rejected 3, failed 0, unknown 0", counts(report))
    for i, item in ipairs(report.items) do
      assert.are.equal(i, item.index)
      assert.are.equal(({ A, B, C })[i], item.remote.phone)
    end
  end)

  it("that is listed twice counts once", function()
    local report = assert(exchange { body = { { phone = B, id = 1 }, { phone = "+" .. B, id = 1 } } })
    assert.are.equal("accepted 2, rejected 1, failed 0, unknown 0", counts(report))
    assert.are.equal(1, #report.items)
  end)

  it("of ten digits is found where it was sent so", function()
    local contacts = { { phone = "2345678901" }, { phone = A } }
    local report = assert(exchange({ body = '[{"id":1,"phone":"2345678901"}]' }, contacts, { default_country = false }))
    assert.are.equal("accepted 1, rejected 1, failed 0, unknown 0", counts(report))
    assert.are.equal(1, report.items[1].index)
  end)

  it("gives what the server returned, with exact integers and without nulls", function()
    local report = assert(exchange {
      body = '[{"phone":"12345678901","id":12345,"rev":9007199254740991,"inbox_id":0,"creator_id":-7,"ratio":0.5,'
        .. '"email":null,"shared":false,"note":[{"id":99,"user_id":null,"text":"a\\u00f6\\n"}],"tags":[3,{"id":4}],'
        .. '"custom":{"123":"x","124":null,"125":2000000000},"list":[]}]',
    })
    local remote = report.items[1].remote
    assert.are.same({
      phone = B,
      id = 12345,
      rev = 9007199254740991,
      inbox_id = 0,
      creator_id = -7,
      ratio = 0.5,
      shared = false,
      note = { { id = 99, text = "a\195\182\n" } },
      tags = { 3, { id = 4 } },
      custom = { ["123"] = "x", ["125"] = 2000000000 },
      list = {},
    }, remote)
    assert.are.same({ "12345", "0", "-7", "99", "3", "4", "2000000000" }, {
      tostring(remote.id),
      tostring(remote.inbox_id),
      tostring(remote.creator_id),
      tostring(remote.note[1].id),
      tostring(remote.tags[1]),
      tostring(remote.tags[2].id),
      tostring(remote.custom["125"]),
    })
    assert.are.equal("9007199254740991", ("%.0f"):format(remote.rev))
    local math_type = rawget(math, "type")
    if math_type then
      assert.are.equal("integer", math_type(remote.rev))
      assert.are.equal("float", math_type(remote.ratio))
    end
  end)

  it("is found in a response of nearly 8 MiB, and a larger one is not trusted", function()
    local filler = ("x"):rep(8 * 1024 * 1024 - 1000)
    local report = assert(exchange { body = '[{"id":1,"phone":"12345678901","avatar":"' .. filler .. '"}]' })
    assert.are.equal("accepted 2, rejected 1, failed 0, unknown 0", counts(report))
    local many = {}
    for i = 1, 100000 do
      many[i] = '{"phone":"12345678901","id":' .. i .. "}"
    end
    report = assert(answered { body = "[" .. table.concat(many, ",") .. "]" })
    assert.are.equal("accepted 2, rejected 1, failed 0, unknown 0", counts(report))
    local made, failure = exchange { body = '[{"phone":"12345678901","avatar":"' .. filler .. filler .. '"}]' }
    assert.is_nil(made)
    check_untrusted(failure)
    assert.are.equal("accepted 0, rejected 0, failed 0, unknown 3", counts(failure.report))
  end)
end)

describe("a listed item that is no contact of the request", function()
  it("makes the others unknown", function()
    local unmatched = '{"phone":"19999999999"}'
    local known = '{"phone":"12345678901"}'
    for _, thing in ipairs {
      unmatched,
      '{"phone":"2345678901"}',
      '{"phone":"1234567890"}',
      '{"phone":"123456789010"}',
      '{"phone":"x12345678900"}',
      '{"phone":-12345678900}',
      '{"phone":12345678900.5}',
      '{"phone":12345678900.0}',
      '{"phone":1.23456789e10}',
      '{"phone":123456789e2}',
      '{"phone":12345678900e0}',
      '{"phone":1234567890012345678901}',
      '{"phone":1e400}',
      '{"phone":null}',
      '{"phone":""}',
      '{"phone":true}',
      '{"phone":{}}',
      '{"phone":["12345678900"]}',
      '{"Phone":"12345678900"}',
      '{"id":1}',
      "{}",
      "null",
      "[]",
      "[" .. known .. "]",
      '"12345678900"',
      "12345678900",
      '"ok"',
      '""',
      "true",
      "false",
      "0",
    } do
      local report, failure = exchange { body = "[" .. thing .. "]" }
      assert.is_nil(report, thing)
      check_untrusted(failure, thing)
      assert.are.equal("accepted 0, rejected 0, failed 0, unknown 3", counts(failure.report), thing)
      for _, body in ipairs { thing .. "," .. known, known .. "," .. thing, thing .. "," .. thing .. "," .. known } do
        report, failure = exchange { body = "[" .. body .. "]" }
        assert.is_nil(report, body)
        check_untrusted(failure, body)
        assert.are.equal("accepted 0, rejected 1, failed 0, unknown 2", counts(failure.report), body)
        assert.are.equal("rejected", failure.report.items[2].outcome)
        assert.are.equal(B, failure.report.items[2].remote.phone)
        assert.is_true(heymarket.is_failure(failure.report.items[1].failure))
      end
    end
  end)

  it("makes only those of its own request unknown", function()
    local client = capture.client({ batch_size = 1, concurrency = 1 }, function(_, number)
      return { body = number == 2 and '[{"phone":"19999999999"}]' or '"ok"' }
    end)
    local _, failure = client:create_contacts(three())
    client:close()
    assert.are.equal("accepted 2, rejected 0, failed 0, unknown 1", counts(failure.report))
    assert.are.equal(2, failure.report.items[1].index)
  end)
end)

describe("a response that this API does not give", function()
  it("leaves all contacts unknown", function()
    for _, body in ipairs {
      "{}",
      "true",
      "false",
      "42",
      "0",
      "-1",
      '"error"',
      '""',
      '"not ok"',
      "error",
      "okay",
      "ok ok",
      '"ok" "ok"',
      "'ok'",
      '"ok',
      'ok"',
      "nul",
      "null null",
      "[",
      "]",
      "[]]",
      "[][]",
      "[] x",
      "[,]",
      '[{"phone":"12345678901"}',
      '[{"phone":"12345678901"},]',
      '[{"phone":"12345678901"} {"phone":"12345678900"}]',
      "[{'phone':'12345678901'}]",
      '[{phone:"12345678901"}]',
      '{"phone":"12345678901"}',
      '{"contacts":[]}',
      '{"error":"x"}',
      "NaN",
      "[NaN]",
      "[Infinity]",
      "[0x10]",
      "[\0]",
      "undefined",
      "<!DOCTYPE html><html><body>ok</body></html>",
      "\0",
      "\255\254o\0k\0",
    } do
      local report, failure = answered { body = body }
      assert.is_nil(report, body)
      check_untrusted(failure, body)
      assert.are.equal(200, failure.status)
      assert.are.equal(body, failure.body)
      assert.are.equal("accepted 0, rejected 0, failed 0, unknown 3", counts(failure.report), body)
    end
  end)

  it("leaves all contacts unknown over HTTP", function()
    for _, fault in ipairs { "html", "not_json", "deep_json", "truncated", "chunked_truncated", "garbage" } do
      local report, failure = exchange { fault = fault }
      assert.is_nil(report, fault)
      assert.are.equal("maybe", failure.delivered, fault)
      assert.are.equal("accepted 0, rejected 0, failed 0, unknown 3", counts(failure.report), fault)
    end
    for _, body in ipairs { "{}", "true", "42", '"error"', "[{" } do
      local _, failure = exchange { body = body }
      check_untrusted(failure, body)
      assert.are.equal(200, failure.status)
      local request = server:ledger().requests[1]
      assert.are.equal(request.request_id, failure.request_id)
      assert.is_true(request.stored)
    end
  end)

  it("is in the details of the failure", function()
    local _, failure = answered { body = '{"contacts":[{"id":7,"x":null}],"n":1.5}' }
    assert.are.same({ contacts = { { id = 7 } }, n = 1.5 }, failure.details)
    assert.are.equal("7", tostring(failure.details.contacts[1].id))
    _, failure = answered { body = "<html>" }
    assert.is_nil(failure.details)
  end)

  it("may be nested deeply without harm", function()
    local depth = 100000
    for _, body in ipairs {
      ("["):rep(depth) .. ("]"):rep(depth),
      ("["):rep(depth),
      ('{"a":'):rep(depth) .. "1" .. ("}"):rep(depth),
      ('[{"phone":'):rep(depth) .. "1" .. ("}]"):rep(depth),
      ('{"error":'):rep(90) .. '"x"' .. ("}"):rep(90),
    } do
      local _, failure = answered { body = body }
      check_untrusted(failure)
      _, failure = answered { status = 400, body = body }
      assert.are.equal("bad_data", failure.kind)
    end
    -- A depth that a contact may well have is no obstacle.
    local report = assert(answered {
      body = '[{"id":1,"phone":"12345678901","x":' .. ("["):rep(20) .. ("]"):rep(20) .. "}]",
    })
    assert.are.equal(1, report.rejected)
  end)
end)

describe("a body that only a lenient reader takes", function()
  local LISTED = '[{"phone":"12345678900"},{"phone":"12345678901"},{"phone":"12345678902"}]'

  it("is not trusted, wherever in it the mistake is", function()
    local bodies = {}
    local STRANGE = { "\0", "\0" .. LISTED, "\1", "\11", "\12", "\127", "\194\160", "\226\128\168", "\239\187\191" }
    for _, start in ipairs { '"ok"', "ok", "[]", "null", "", LISTED } do
      for _, rest in ipairs(STRANGE) do
        bodies[#bodies + 1] = start .. rest
        bodies[#bodies + 1] = rest .. start
      end
      bodies[#bodies + 1] = start .. ","
      bodies[#bodies + 1] = start .. LISTED .. LISTED
    end
    for _, value in ipairs {
      "NaN",
      "-Infinity",
      "Infinity",
      "0x10",
      "01",
      "-01",
      "+1",
      ".5",
      "1.",
      "1e",
      "'x'",
      "undefined",
      "1,",
      '"\0"',
      '"\7"',
      '"\n"',
      '"\255"',
      '"\192\175"',
      '"\237\160\128"',
      '"\\ud800"',
      '"\\udc00x"',
      '"\\x41"',
      "[1,]",
      '{"a":1,}',
      "{a:1}",
      "/**/1",
      "1//",
      '{"id":1,"id":2}',
    } do
      bodies[#bodies + 1] = '[{"phone":"12345678901","x":' .. value .. "}]"
      bodies[#bodies + 1] = "[" .. value .. "]"
    end
    for _, members in ipairs {
      '"phone":"12345678901","phone":"12345678900"',
      '"phone":"12345678901","id":7,"phone":"12345678901"',
      '"\\u0070hone":"12345678901","phone":"12345678900"',
      '"phone":"12345678900","\\u0070\\u0068\\u006f\\u006E\\u0065":"12345678901"',
      '"phone":null,"phone":"12345678901"',
    } do
      bodies[#bodies + 1] = "[{" .. members .. "}]"
      bodies[#bodies + 1] = '[{"phone":"12345678902"},{' .. members .. "}]"
    end
    for _, body in ipairs(bodies) do
      local report, failure = answered { body = body }
      assert.is_nil(report, body)
      check_untrusted(failure, body)
      assert.are.equal("accepted 0, rejected 0, failed 0, unknown 3", counts(failure.report), body)
    end
  end)

  it("is not trusted over HTTP", function()
    for _, body in ipairs {
      '"ok"\0',
      "[]\0" .. LISTED,
      '[{"phone":"12345678901","\\u0070hone":"12345678900"}]',
      '[{"phone":1.2345678901e10}]',
      '[{"phone":12345678901.0}]',
      "\239\187\191[]",
    } do
      for _, chunked in ipairs { false, true } do
        local _, failure = exchange { body = body, chunked = chunked }
        check_untrusted(failure, body)
        assert.are.equal("accepted 0, rejected 0, failed 0, unknown 3", counts(failure.report), body)
      end
    end
  end)
end)

describe("the item of a listed contact", function()
  -- What the server lists for B, read back from the item, as it is and as JSON.
  local function remote_of(fields)
    local report = assert(answered { body = '[{"phone":"12345678901","id":7,' .. fields .. "}]" })
    assert.are.equal("accepted 2, rejected 1, failed 0, unknown 0", counts(report))
    return report.items[1].remote, report.items[1]
  end

  it("holds what the server sent", function()
    local remote = remote_of(
      '"big":9223372036854775807,"bigger":18446744073709551616,"rev":9007199254740993,"far":1e400,"near":-1e-400,'
        .. '"zero":-0,"tenth":0.1,"list":[null,false,null],"none":[],"nothing":{},"gone":null'
    )
    local big_integers = rawget(math, "type") ~= nil
    assert.are.equal(big_integers and "number" or "string", type(remote.big))
    assert.are.equal("9223372036854775807", tostring(remote.big))
    assert.are.equal("9007199254740993", tostring(remote.rev))
    assert.are.equal("18446744073709551616", remote.bigger)
    assert.are.equal("1e400", remote.far)
    assert.are.equal("-1e-400", remote.near)
    assert.is_true(remote.zero == 0)
    assert.are.equal(0.1, remote.tenth)
    assert.are.equal(3, #remote.list)
    assert.are.equal(cjson.null, remote.list[1])
    assert.is_false(remote.list[2])
    assert.are.equal(cjson.null, remote.list[3])
    assert.are.same({}, remote.none)
    assert.is_nil(remote.gone)
  end)

  it("holds the one with an id, where two of its phone are listed", function()
    for _, body in ipairs {
      '[{"phone":"12345678901"},{"phone":"+12345678901","id":7}]',
      '[{"phone":"12345678901","id":7},{"phone":"12345678901"}]',
      '[{"phone":"12345678901","id":7},{"phone":"12345678901","id":8}]',
    } do
      local report = assert(answered { body = body })
      assert.are.equal("accepted 2, rejected 1, failed 0, unknown 0", counts(report))
      assert.are.equal(7, report.items[1].remote.id)
      assert.are.equal("exists", report.items[1].reason)
    end
  end)

  it("is cut where it is large, with the same outcome", function()
    for _, fields in ipairs {
      '"avatar":"' .. ("x"):rep(17000) .. '"',
      '"note":[' .. ("{},"):rep(600) .. "{}]",
      '"deep":' .. ("["):rep(40) .. ("]"):rep(40),
      '"deep":' .. ('{"a":'):rep(40) .. "1" .. ("}"):rep(40),
      '"' .. ("k"):rep(17000) .. '":1',
    } do
      local remote, item = remote_of(fields .. ',"first":"Ann"')
      assert.are.same({ phone = B, id = 7, first = "Ann" }, remote)
      assert.is_true(item.remote_truncated)
      assert.are.equal("exists", item.reason)
    end
    local remote, item = remote_of('"note":"' .. ("x"):rep(16000) .. '","deep":' .. ("["):rep(31) .. ("]"):rep(31))
    assert.are.equal(16000, #remote.note)
    assert.is_table(remote.deep)
    assert.is_nil(item.remote_truncated)
    -- A phone that is itself too long to keep is still the contact's.
    local report = assert(answered { body = '[{"phone":"' .. (" "):rep(17000) .. '12345678901","id":7}]' })
    assert.are.equal("accepted 2, rejected 1, failed 0, unknown 0", counts(report))
    assert.are.same({ id = 7 }, report.items[1].remote)
  end)

  it("is the same after a resume", function()
    local folder = faultserver.folder()
    local path = folder .. "/journal"
    local body = '[{"phone":"12345678901","id":9223372036854775808,"rev":9007199254740993,"far":1e400,"tenth":0.1,'
      .. '"list":[null,[],{},false],"none":[],"text":"\\u0001\\u0000\195\182","deep":'
      .. ("["):rep(31)
      .. ("]"):rep(31)
      .. '},{"phone":"12345678902","id":8,"avatar":"'
      .. ("x"):rep(17000)
      .. '"}]'
    local json = require "heymarket.util.json"
    local shown = {}
    for run = 1, 2 do
      local client, sent = capture.client({ max_attempts = 1 }, function()
        return { body = body }
      end)
      local report = assert(client:import(three(), { journal = path }))
      client:close()
      assert.are.equal(run == 1 and 1 or 0, #sent)
      assert.are.equal("accepted 1, rejected 2, failed 0, unknown 0", counts(report))
      local first, second = report.items[1], report.items[2]
      assert.are.equal("9223372036854775808", first.remote.id)
      assert.are.equal(cjson.null, first.remote.list[1])
      assert.is_nil(first.remote_truncated)
      assert.is_true(second.remote_truncated)
      shown[run] = json.encode { first.remote, second.remote, first.reason, second.reason }
    end
    faultserver.remove(folder)
    assert.are.equal(shown[1], shown[2])
  end)
end)

describe("the body in a failure", function()
  local function failure_of(body)
    local _, failure = answered({ status = 400, body = body }, { { phone = A } })
    assert.are.equal("bad_data", failure.kind)
    return failure
  end

  it("is decoded up to 64 KiB", function()
    local start, finish = '{"error_code":"E-17","pad":"', '"}'
    local pad = 64 * 1024 - #start - #finish
    local failure = failure_of(start .. ("x"):rep(pad) .. finish)
    assert.are.same({ error_code = "E-17" }, failure.details)
    assert.is_true(failure.details_truncated)
    assert.is_truthy(failure.message:find("E-17", 1, true))
    failure = failure_of(start .. ("x"):rep(pad + 1) .. finish)
    assert.is_nil(failure.details)
    assert.is_nil(failure.details_truncated)
    assert.are.equal(2048, #failure.body)
  end)

  it("is whole where it is small", function()
    local failure = failure_of('{"error_code":"E-17","list":[' .. ("1,"):rep(200) .. '1],"deep":[[[[[[1]]]]]]}')
    assert.are.equal(201, #failure.details.list)
    assert.is_table(failure.details.deep)
    assert.is_nil(failure.details_truncated)
  end)

  it("is bounded in values and levels", function()
    for _, part in ipairs {
      ("["):rep(60) .. ("]"):rep(60),
      "[" .. ("[],"):rep(3000) .. "[]]",
      "[" .. ("{},"):rep(10000) .. "{}]",
      '"' .. ("x"):rep(9000) .. '"',
    } do
      local failure = failure_of('{"message":"E-17","part":' .. part .. "}")
      assert.are.same({ message = "E-17" }, failure.details)
      assert.is_true(failure.details_truncated)
    end
    assert.is_true(#failure_of("[" .. ("[],"):rep(20000) .. "[]]").details < 256)
    assert.is_nil(failure_of('"' .. ("x"):rep(9000) .. '"').details)
  end)

  it("is small for each of many contacts", function()
    -- Each contact comes to stand alone, with a failure of its own.
    local list = {}
    for i = 1, 60 do
      list[i] = { phone = ("1234567%04d"):format(i) }
    end
    local body = '{"message":"no","rows":[' .. ("[],"):rep(20000) .. "[]]}"
    collectgarbage()
    collectgarbage()
    local before = collectgarbage "count"
    local client, _, transport = capture.client({ max_attempts = 1, requests_per_minute = false }, function(request)
      return request.body == '[{"phone":"12345670000"}]' and {} or { status = 400, body = body }
    end)
    list[61] = { phone = "12345670000" }
    local _, failure = client:create_contacts(list, { batch_size = 1 })
    client:close()
    transport.sent = nil
    collectgarbage()
    collectgarbage()
    assert.is_true(#failure.report.items >= 10)
    assert.is_true(collectgarbage "count" - before < 61 * 40)
  end)
end)

describe("a status", function()
  local function check(status, kind, delivered, retryable)
    local report, failure = exchange({ status = status }, { { phone = A } })
    assert.is_nil(report)
    assert.is_true(heymarket.is_failure(failure))
    assert.are.same({ kind, delivered, retryable, status }, {
      failure.kind,
      failure.delivered,
      failure.retryable,
      failure.status,
    })
    assert.are.equal(
      delivered == "no" and "accepted 0, rejected 0, failed 1, unknown 0"
        or "accepted 0, rejected 0, failed 0, unknown 1",
      counts(failure.report)
    )
    assert.is_nil(tostring(failure):find "%c")
    assert.is_truthy(tostring(failure):find(tostring(status), 1, true))
    assert.is_truthy(tostring(failure):find(failure.request_id, 1, true))
    local requests = server:ledger().requests
    assert.are.equal(requests[#requests].request_id, failure.request_id)
  end

  it("of 4xx means that nothing was done", function()
    for _, status in ipairs { 400, 402, 404, 405, 406, 409, 410, 415, 418, 422, 451, 499 } do
      check(status, "bad_data", "no", false)
    end
    check(401, "unauthorized", "no", false)
    check(403, "denied", "no", false)
    check(413, "too_large", "no", false)
    check(429, "rate_limited", "no", true)
  end)

  it("of 5xx means that something may have been done", function()
    for _, status in ipairs { 500, 501, 502, 503, 504, 507, 520, 599 } do
      check(status, "server", "maybe", true)
    end
  end)

  it("that this API does not give is not trusted", function()
    for _, status in ipairs { 201, 202, 203, 204, 206, 226, 300, 301, 302, 303, 304, 307, 308 } do
      local report, failure = exchange({ status = status }, { { phone = A } })
      assert.is_nil(report, status)
      check_untrusted(failure, status)
      assert.are.equal(status, failure.status)
      assert.are.equal(1, failure.report.unknown)
    end
    assert.are.equal(0, server:ledger().trap_hits)
  end)

  it("200 is good for check with a list of inboxes", function()
    for _, step in ipairs {
      { status = 200 },
      { status = 200, body = "[]" },
      { status = 200, body = ' [ { "id" : 1 } ]\n' },
      { status = 200, body = '{"inboxes":[]}' },
      { status = 200, body = '{"inboxes":[{"id":1,"name":"Sales"}],"next":null}' },
    } do
      server:reset()
      server:default(step)
      local client = assert(heymarket.new { secret_id = "i", secret_key = "k", base_url = server.url })
      assert.is_true((assert(client:check())))
      client:close()
      local requests = server:ledger().requests
      assert.are.same({ 1, "GET", "/v1/inboxes" }, { #requests, requests[1].method, requests[1].path })
    end
  end)

  it("200 is not good for check with anything else", function()
    for _, body in ipairs {
      "",
      " ",
      "ok",
      '"ok"',
      "null",
      "true",
      "42",
      "{}",
      '{"inboxes":null}',
      '{"inboxes":{}}',
      '{"inboxes":"none"}',
      '{"inboxes":[]',
      '{"inboxes":[],"inboxes":[]}',
      '{"error":"sign in"}',
      "[",
      "[]]",
      "[],",
      "[]\0",
      "[NaN]",
      "\239\187\191[]",
      "<html>",
      "<!DOCTYPE html><html><body>Sign in</body></html>",
      "Sign in",
    } do
      local client = capture.client({ max_attempts = 1 }, function()
        return { body = body }
      end)
      local ok, failure = client:check()
      client:close()
      assert.is_nil(ok, body)
      check_untrusted(failure, body)
      assert.are.equal(200, failure.status)
    end
  end)

  it("other than 200 is not good for check", function()
    for status, kind in pairs {
      [400] = "bad_data",
      [401] = "unauthorized",
      [403] = "denied",
      [404] = "bad_data",
      [429] = "rate_limited",
      [500] = "server",
      [302] = "unexpected",
      [204] = "unexpected",
    } do
      server:reset()
      server:default { status = status }
      local client = assert(heymarket.new { secret_id = "i", secret_key = "k", base_url = server.url })
      local ok, failure = client:check { max_attempts = 1 }
      client:close()
      assert.is_nil(ok)
      assert.are.same({ kind, status }, { failure.kind, failure.status })
    end
  end)
end)

local PAGES = {
  "Content-Type: text/html\r\n",
  "content-type:TEXT/HTML\r\n",
  "Content-Type: text/html; charset=utf-8\r\n",
  'Content-Type:   text/html;charset="utf-8"  \r\n',
  "Content-Type: application/json\r\nContent-Type: text/html\r\n",
  "Content-Type: text/html\r\nContent-Type: application/json\r\n",
  "Content-Type: application/json, text/html\r\n",
  "Content-Type: application/xhtml+xml\r\n",
  "CONTENT-TYPE: Application/XHTML+xml; charset=iso-8859-1\r\n",
}

local function block(status, lines, body)
  return ("HTTP/1.1 %d x\r\n%sContent-Length: %d\r\n\r\n"):format(status, lines, #body)
end

describe("a web page", function()
  it("is never trusted, whatever its body", function()
    for _, lines in ipairs(PAGES) do
      for _, body in ipairs { '"ok"', "ok", "[]", "null", "", '[{"phone":"12345678901"}]' } do
        local report, failure = answered { headers = block(200, lines, body), body = body }
        assert.is_nil(report, lines)
        check_untrusted(failure, lines)
        assert.are.equal(200, failure.status)
        assert.are.equal("accepted 0, rejected 0, failed 0, unknown 3", counts(failure.report), lines)
      end
      local client = capture.client({ max_attempts = 1 }, function()
        return { headers = block(200, lines, "[]"), body = "[]" }
      end)
      local ok, failure = client:check()
      client:close()
      assert.is_nil(ok)
      check_untrusted(failure, lines)
    end
  end)

  it("is known by its first words where its type is not told", function()
    for _, body in ipairs {
      "<!DOCTYPE html><html></html>",
      "\r\n <!doctype HTML PUBLIC>",
      "<html>",
      "<HTML lang=en>",
    } do
      local _, failure = answered { status = 400, body = body }
      assert.are.equal("accepted 0, rejected 0, failed 0, unknown 3", counts(failure.report), body)
    end
    for _, body in ipairs { "<htmlx>", "html", "a <html>", "<b>" } do
      local _, failure = answered { status = 400, body = body }
      assert.are.equal("accepted 0, rejected 0, failed 3, unknown 0", counts(failure.report), body)
    end
  end)

  it("is not assumed where the content type is not HTML", function()
    for _, lines in ipairs {
      "",
      "Content-Type: application/json\r\n",
      "Content-Type: application/json; charset=utf-8\r\n",
      "Content-Type: text/plain\r\n",
      "X-Content-Type: text/html\r\n",
      "Accept: text/html\r\n",
    } do
      local report = assert(answered { headers = block(200, lines, '"ok"'), body = '"ok"' })
      assert.are.equal(3, report.accepted)
      local _, failure = answered { status = 403, headers = block(403, lines, "{}"), body = "{}" }
      assert.are.equal("no", failure.report.items[1].failure.delivered)
    end
  end)
end)

describe("a refusal that is a web page, or came before the whole request was sent,", function()
  local function refusals(status)
    local answers = { { status = status, body = "{}", early = true } }
    for i, lines in ipairs(PAGES) do
      answers[i + 1] = { status = status, headers = block(status, lines, "x"), body = "x" }
    end
    return answers
  end

  it("has its kind of failure, and leaves its contacts unknown", function()
    for status, kind in pairs {
      [400] = "bad_data",
      [401] = "unauthorized",
      [403] = "denied",
      [404] = "bad_data",
      [413] = "too_large",
      [429] = "rate_limited",
    } do
      for _, refusal in ipairs(refusals(status)) do
        local _, failure = answered(refusal, { { phone = A } })
        assert.are.same({ kind, status, status == 429, "maybe" }, {
          failure.kind,
          failure.status,
          failure.retryable,
          failure.delivered,
        })
        assert.are.equal("accepted 0, rejected 0, failed 0, unknown 1", counts(failure.report), kind)
      end
    end
  end)

  it("is halved, and the halves stay possibly sent", function()
    for _, refusal in ipairs(refusals(413)) do
      local client, sent = capture.client({ max_attempts = 1 }, function(_, number)
        -- The whole is refused so; of its two parts one is taken, the other refused for certain.
        return number == 1 and refusal or number == 2 and { body = '"ok"' } or { status = 400, body = "{}" }
      end)
      local _, failure = client:create_contacts { { phone = A }, { phone = B } }
      client:close()
      assert.are.equal(3, #sent)
      assert.are.equal("accepted 1, rejected 0, failed 0, unknown 1", counts(failure.report))
    end
  end)

  it("leads to a new token, and what is listed then is ambiguous", function()
    for _, refusal in ipairs(refusals(401)) do
      local bearers = {}
      local client = capture.client({}, function(_, number, headers)
        bearers[number] = headers[1]
        return number == 1 and refusal or { body = '[{"phone":"12345678901","id":7}]' }
      end)
      local report = assert(client:create_contacts(three()))
      client:close()
      assert.are.equal(2, #bearers)
      assert.are.equal("accepted 2, rejected 1, failed 0, unknown 0", counts(report))
      assert.is_true(report.items[1].ambiguous)
    end
  end)
end)

describe("the body of an error", function()
  local one = { { phone = A } }

  it("is read in its likely shapes", function()
    for _, body in ipairs {
      '{"error_code":"E-17"}',
      '{"error_code":"E-17","message":"phone is bad"}',
      '{"code":"E-17"}',
      '{"error":"E-17"}',
      '{"message":"E-17"}',
      '{"error":{"code":"E-17","message":"m"}}',
      '{"error":{"message":"E-17"}}',
      '{"error":null,"message":"E-17"}',
      '{"code":{},"message":"E-17"}',
      '{"error_code":"E-17","code":1,"error":"e","message":"m"}',
      '"E-17"',
      ' {"error_code":"E-17"} \n',
    } do
      local _, failure = exchange({ status = 400, body = body }, one)
      assert.are.equal("bad_data", failure.kind)
      assert.is_truthy(failure.message:find("E-17", 1, true), body .. ": " .. failure.message)
      assert.are.equal(body, failure.body)
      assert.is_not_nil(failure.details)
      assert.is_nil(failure.message:find "%c")
    end
    local _, failure = exchange({ status = 400, body = '{"error_code":17,"x":null}' }, one)
    assert.is_truthy(failure.message:find("17", 1, true))
    assert.is_nil(failure.message:find("17.0", 1, true))
    assert.are.same({ error_code = 17 }, failure.details)
  end)

  it("is kept where it has an unknown shape", function()
    for _, body in ipairs {
      "E-17 happened",
      "<html>E-17</html>",
      '{"other":"E-17"}',
      '[{"message":"E-17"}]',
      '{"error_code":',
      "{}",
      "[]",
      "null",
      "true",
      "false",
      "42",
      "ok",
      '"ok"',
      "\0\1\2\255",
    } do
      local _, failure = answered({ status = 400, body = body }, one)
      assert.are.equal("bad_data", failure.kind, body)
      assert.are.equal(body, failure.body)
      assert.is_nil(tostring(failure):find "%c")
    end
    local _, failure = answered({ status = 400, body = "" }, one)
    assert.are.equal("bad_data", failure.kind)
    assert.is_truthy(failure.body == nil or failure.body == "")
  end)

  it("does not make a message of many lines, or a long one", function()
    for _, words in ipairs {
      "a\\nb\\r\\nc\\u0000d\\u001b[2J",
      "\\u0085\\u009b2J",
      ("\\u00f6"):rep(5000),
      ("x"):rep(5000),
      ("\240\159\152\128"):rep(1000),
      "a" .. ("\240\159\152\128"):rep(1000),
      "ab" .. ("\240\159\152\128"):rep(1000),
      "abc" .. ("\240\159\152\128"):rep(1000),
    } do
      local _, failure = answered({ status = 400, body = '{"message":"' .. words .. '"}' }, one)
      assert.is_true(#failure.message < 600)
      assert.are.same({ "good", "good" }, utf8_of { failure.message, tostring(failure) })
      assert.is_nil(tostring(failure):find "%c")
    end
  end)

  it("is cut at 2 KiB, between two characters", function()
    for _, character in ipairs { "a", "\195\182", "\230\157\142", "\240\159\152\128" } do
      for before = 0, 3 do
        for _, status in ipairs { 400, 200, 500 } do
          local body = ("x"):rep(before) .. character:rep(2000)
          local _, failure = answered({ status = status, body = body }, one)
          local shown = failure.body
          local whole = math.min(2000, math.floor((2048 - before) / #character))
          assert.are.equal(before + whole * #character, #shown)
          assert.are.equal(body:sub(1, #shown), shown)
        end
      end
    end
    local exact = ("x"):rep(2048)
    local _, failure = answered({ status = 400, body = exact }, one)
    assert.are.equal(exact, failure.body)
    _, failure = answered({ status = 400, body = exact .. "y" }, one)
    assert.are.equal(exact, failure.body)
    -- What is no UTF-8 at all is cut as well.
    _, failure = answered({ status = 400, body = ("\128"):rep(5000) }, one)
    assert.is_true(#failure.body <= 2048 and #failure.body > 2000)
  end)

  it("may have megabytes", function()
    local _, failure = exchange({ status = 500, body = ("x"):rep(7 * 1024 * 1024) }, one)
    assert.are.equal("server", failure.kind)
    assert.are.equal(2048, #failure.body)
    _, failure = exchange({ status = 400, body = '{"message":"' .. ("x"):rep(7 * 1024 * 1024) .. '"}' }, one)
    assert.are.equal("bad_data", failure.kind)
    assert.is_true(#tostring(failure) < 1000)
  end)
end)

describe("the request id", function()
  local function id_of(value)
    local _, failure = answered({
      status = 400,
      headers = "HTTP/1.1 400 Bad Request\r\nContent-Length: 4\r\n" .. value .. "\r\n\r\n",
      body = "x",
    }, { { phone = A } })
    return failure.request_id
  end

  it("is found whatever its case and white space", function()
    for _, line in ipairs {
      "X-Request-Id: 2f1c-ab",
      "x-request-id: 2f1c-ab",
      "X-REQUEST-ID:2f1c-ab",
      "X-Request-Id:    2f1c-ab   ",
      "X-Request-Id:\t2f1c-ab\t",
      "Server: x\r\nX-Request-Id: 2f1c-ab\r\nX-Other: y",
      "X-Not: X-Request-Id: no\r\nX-Request-Id: 2f1c-ab",
      "X-X-Request-Id: no\r\nX-Request-Id: 2f1c-ab",
    } do
      assert.are.equal("2f1c-ab", id_of(line), line)
    end
    assert.is_nil(id_of "X-Other: 1")
    assert.is_nil(id_of "X-Request-Ids: 1")
  end)

  it("is short and printable", function()
    for _, value in ipairs {
      ("x"):rep(10000),
      "\27[2J",
      "a\0b",
      "a\127b",
      "\195\182\194\155",
      "\255\254",
      (" "):rep(200000) .. "x",
      "x" .. (" "):rep(200000) .. "y",
      "x" .. ("\t"):rep(200000),
    } do
      local id = id_of("X-Request-Id: " .. value)
      assert.is_true(id == nil or #id <= 200 and not id:find "[^\33-\126]")
    end
    -- Lines without end, and blocks of many lines, cost no more than their length.
    id_of(("y"):rep(250000))
    id_of(("y: z\r\n"):rep(40000) .. "X-Request-Id: 1")
    id_of((":"):rep(250000))
  end)
end)

describe("an echo", function()
  local function token_of(headers)
    for _, header in ipairs(headers) do
      local token = header:match "^Authorization: Bearer (.+)$"
      if token then
        return token
      end
    end
  end

  -- Runs a call against a server that echoes what `write` makes of token and request, and looks into everything that
  -- comes out of it.
  local function check(write, whole_request)
    local token, sent_body
    local events = {}
    local function echo(request, _, headers)
      token, sent_body = token_of(headers), request.body
      return write(token, request)
    end
    local _, failure = answered(echo, three(), {
      on_event = function(event)
        events[#events + 1] = event
      end,
    })
    assert.is_true(heymarket.is_failure(failure))
    for _, item in ipairs(failure.report.items) do
      item.contact = nil -- what the user gave is the user's own
    end
    local found = strings_in { failure, events, tostring(failure) }
    assert.is_true(#found > 10)
    local signature = token:match "[^.]+$"
    for _, text in ipairs(found) do
      assert.is_nil(text:find(token, 1, true))
      assert.is_nil(text:find(signature, 1, true))
      if whole_request then
        assert.is_nil(text:find(sent_body, 1, true))
      end
    end
  end

  it("of the token reaches no failure and no event", function()
    for _, status in ipairs { 200, 400, 401, 403, 413, 429, 500, 302 } do
      check(function(token)
        return { status = status, body = "you sent Authorization: Bearer " .. token }
      end)
      check(function(token)
        return { status = status, body = '{"message":"bad token ' .. token .. '","headers":{"a":["' .. token .. '"]}}' }
      end)
      check(function(token)
        return { status = status, body = token:match "[^.]+$" .. token .. token }
      end)
      for before = 1900, 2060, 20 do
        check(function(token)
          return { status = status, body = ("x"):rep(before) .. token .. "x" }
        end)
      end
      check(function(token)
        return {
          status = status,
          body = "x",
          headers = "HTTP/1.1 "
            .. status
            .. " x\r\nX-Request-Id: "
            .. token
            .. "\r\nRetry-After: "
            .. token
            .. "\r\n\r\n",
        }
      end)
      check(function(token)
        return {
          status = status,
          body = "x",
          headers = "HTTP/1.1 " .. status .. " x\r\nX-Request-Id: Bearer " .. token:gsub("^.*%.", "") .. "\r\n\r\n",
        }
      end)
    end
    check(function(token)
      return { code = "RECV_ERROR", message = "lost " .. token, sent = true, body = token }
    end)
  end)

  it("of the request reaches no failure and no event", function()
    for _, status in ipairs { 200, 400, 500, 302 } do
      check(function(_, request)
        return { status = status, body = "you sent " .. request.body }
      end, true)
      check(function(_, request)
        return { status = status, body = '{"message":"bad","request":' .. request.body .. "}" }
      end, true)
      check(function(_, request)
        return { status = status, body = cjson.encode { message = "bad: " .. request.body, request = request.body } }
      end, true)
    end
  end)
end)

describe("Retry-After", function()
  local START = 1713225600 + 1000 -- the capture's clock

  local function retry_after(value, date)
    local client = capture.client({ max_attempts = 1, max_retry_after = 10 }, function()
      return {
        status = 429,
        body = "{}",
        headers = "HTTP/1.1 429 Too Many Requests\r\n"
          .. (date and "Date: " .. date .. "\r\n" or "")
          .. (value and "Retry-After: " .. value .. "\r\n" or "")
          .. "\r\n",
      }
    end)
    local _, failure = client:create_contacts { { phone = A } }
    client:close()
    assert.are.equal("rate_limited", failure.kind)
    -- A number that cannot be written as JSON would spoil a log.
    assert.is_truthy(cjson.encode { failure.retry_after })
    return failure.retry_after
  end

  it("is read in seconds", function()
    assert.are.equal(5, retry_after "5")
    -- A reader that takes quadratic time would not come to its end.
    assert.is_nil(retry_after(("7"):rep(250000) .. "x"))
    assert.are.equal(0, retry_after "0")
    assert.are.equal(7, retry_after "  007 ")
    assert.are.equal(3600, retry_after "3600")
    assert.is_nil(retry_after(nil))
  end)

  it("is read as a date, by the server's clock where it is told", function()
    local date = "Sun, 06 Nov 1994 08:49:37 GMT"
    assert.are.equal(0, retry_after(date, date))
    assert.are.equal(30, retry_after("Sun, 06 Nov 1994 08:50:07 GMT", date))
    assert.are.equal(86400, retry_after("Mon, 07 Nov 1994 08:49:37 GMT", date))
    assert.are.equal(0, retry_after("Sun, 06 Nov 1994 08:49:36 GMT", date))
    -- Without the server's clock, by this one's.
    local later = os.date("!%a, %d %b %Y %H:%M:%S GMT", START + 90)
    assert.are.equal(90, retry_after(later))
    assert.are.equal(90, retry_after(later, "yesterday"))
    assert.are.equal(0, retry_after(date))
  end)

  it("agrees with the C library on dates", function()
    local random = 777
    for _ = 1, 300 do
      random = (random * 16807) % 2147483647
      local before = random
      local after = math.min(before + random % 100000, 2147483647)
      local form = "!%a, %d %b %Y %H:%M:%S GMT"
      assert.are.equal(after - before, retry_after(os.date(form, after), os.date(form, before)))
    end
    -- Around leap days, and the years that have none.
    for _, noon in ipairs { 951782400, 1709164800, 4107499200 } do
      for day = -2, 2 do
        local form = "!%a, %d %b %Y %H:%M:%S GMT"
        assert.are.equal(
          86400 * (day + 2),
          retry_after(os.date(form, noon + 86400 * day), os.date(form, noon - 86400 * 2))
        )
      end
    end
  end)

  it("takes the two old forms of dates, which RFC 9110 still asks of a recipient", function()
    local now = "Sun, 06 Nov 1994 08:49:37 GMT"
    assert.are.equal(30, retry_after("Sunday, 06-Nov-94 08:50:07 GMT", now))
    assert.are.equal(30, retry_after("Sun Nov  6 08:50:07 1994", now))
    assert.are.equal(864030, retry_after("Wed Nov 16 08:50:07 1994", now))
  end)

  it("that is garbage counts as none", function()
    for _, value in ipairs {
      "-5",
      "+5",
      "soon",
      "5 minutes",
      "1e3",
      "0x10",
      "NaN",
      "inf",
      "5, 6",
      "",
      "  ",
      "5s",
      "1994-11-06T08:49:37Z",
      "Sun, 99 Nov 1994 08:49:37 GMT",
      "Sun, 06 Nov 1994 99:99:99 GMT",
      "Thu, 31 Nov 1994 08:49:37 GMT",
      "Wed, 29 Feb 1995 08:49:37 GMT",
      "Sun, 00 Nov 1994 08:49:37 GMT",
      "Sun, 06 Foo 1994 08:49:37 GMT",
      "Sun, 06 Nov 1994 08:49:37 PST",
      "Sun, 06 Nov 1994",
      "\27[2J",
    } do
      assert.is_nil(retry_after(value), value)
    end
  end)

  it("on several lines is the longest one", function()
    assert.are.equal(9, retry_after "5\r\nRetry-After: 9\r\nRetry-After: 7")
    assert.are.equal(9, retry_after "soon\r\nretry-after: 9")
    local date = "Sun, 06 Nov 1994 08:49:37 GMT"
    assert.are.equal(60, retry_after("Sun, 06 Nov 1994 08:50:07 GMT\r\nRetry-After: 60", date))
  end)

  it("does not use a Date that comes twice and differs", function()
    local date = "Sun, 06 Nov 1994 08:49:37 GMT"
    local later = os.date("!%a, %d %b %Y %H:%M:%S GMT", START + 90)
    assert.are.equal(90, retry_after(later, date .. "\r\nDate: Sun, 06 Nov 1994 08:49:38 GMT"))
    assert.are.equal(30, retry_after("Sun, 06 Nov 1994 08:50:07 GMT", date .. "\r\nDate: " .. date))
  end)

  it("that is huge is a finite number", function()
    for _, value in ipairs { "99999999999999999999", ("9"):rep(400), ("9"):rep(5000) } do
      local seconds = retry_after(value)
      assert.is_true(type(seconds) == "number" and seconds >= 86400 and seconds < math.huge)
    end
    assert.is_true(retry_after "Fri, 31 Dec 9999 23:59:59 GMT" > 86400)
    local longest = retry_after("Fri, 31 Dec 9999 23:59:59 GMT", "Sat, 01 Jan 0000 00:00:00 GMT")
    assert.are.equal(retry_after(("9"):rep(20)), longest)
  end)
end)

describe("this spec file", function()
  it("leaves no handle open", function()
    server:disconnect()
    collectgarbage()
    collectgarbage()
    assert.are.same({ signers = 0, pools = 0, transfers = 0 }, core.open_handles())
  end)
end)
