local capture = require "spec.support.capture"
local core = require "heymarket.core"
local faultserver = require "spec.support.server"
local heymarket = require "heymarket"
local positions = require "spec.support.positions"
local process = require "spec.support.process"
local rounds = require "spec.support.rounds"

local NAN, INF = 0 / 0, 1 / 0
-- This Lua has integers beside floats, where it has these.
local MAX_INTEGER, MIN_INTEGER = rawget(math, "maxinteger"), rawget(math, "mininteger")
local to_integer = rawget(math, "tointeger")
local INTEGERS = MAX_INTEGER ~= nil
local PHONE = "12345678900"

-- The request that one contact becomes.
local function body_of(contact, options, config)
  local client, sent = capture.client(config)
  local report = assert(client:create_contacts({ contact }, options))
  client:close()
  assert.are.equal(1, report.accepted)
  assert.are.equal(1, #sent)
  return sent[1].body
end

local function with_phone(field, value)
  local contact = { phone = PHONE }
  contact[field] = value
  return contact
end

-- The wire form of one more field beside the phone.
local function fragment_of(field, value, options)
  return body_of(with_phone(field, value), options):match '^%[{"phone":"12345678900",(.*)}%]$'
end

local function check_text(text)
  assert.are.equal("string", type(text))
  assert.is_truthy(text:find "%S")
  assert.is_nil(text:find "%c")
end

-- Checks that a contact is refused for this one field, before anything is sent, by both ways in.
local function refused(contact, field, options, config)
  local client, sent = capture.client(config)
  local report, failure = client:create_contacts({ contact }, options)
  client:close()
  assert.is_nil(report)
  assert.is_true(heymarket.is_failure(failure))
  assert.are.equal("invalid", failure.kind)
  assert.are.equal("no", failure.delivered)
  assert.is_false(failure.retryable)
  assert.are.equal(0, #sent)
  assert.are.equal(1, #failure.issues)
  assert.are.equal(1, failure.issues[1].index)
  assert.are.equal(field, failure.issues[1].field)
  check_text(failure.issues[1].message)
  check_text(failure.message)
  check_text(tostring(failure))
  assert.are.same({ 1, 1, 0, 0 }, {
    failure.report.total,
    failure.report.invalid,
    failure.report.unsent,
    failure.report.accepted,
  })
  if type(contact) == "table" and not (config and config.default_country) then
    local wire, alone = heymarket.contact(contact, options)
    assert.is_nil(wire)
    assert.are.equal("invalid", alone.kind)
    assert.are.equal(1, #alone.issues)
    assert.are.equal(field, alone.issues[1].field)
  end
  return failure.issues[1].message
end

local function refused_value(field, value)
  return refused(with_phone(field, value), field)
end

local function deep_copy(value)
  if type(value) ~= "table" then
    return value
  end
  local copy = {}
  for key, item in pairs(value) do
    copy[key] = deep_copy(item)
  end
  return copy
end

-- All values of types that no field but those of that type can take.
local ODD = {
  function() end,
  coroutine.create(function() end),
  io.stdout,
}

describe("a phone", function()
  -- What is read as a phone, and what is refused, is in spec/phone_spec.lua. Here is how it reaches the wire.
  it("is written as digits by both ways in", function()
    for given, digits in pairs {
      ["+1 (234) 567-8900"] = "12345678900",
      ["001 234 567 8900"] = "12345678900",
      ["+44 (0)20 7946 0958"] = "442079460958",
      ["+2345678901"] = "2345678901",
      ["442079460958"] = "442079460958",
      [12345678900] = "12345678900",
    } do
      assert.are.equal('[{"phone":"' .. digits .. '"}]', body_of { phone = given })
      assert.are.same({ phone = digits }, (assert(heymarket.contact { phone = given })))
    end
    assert.are.equal('[{"phone":"12345678900"}]', body_of { phone = 12345678900.0 })
  end)

  it("is refused where it cannot be one", function()
    for _, given in ipairs {
      "",
      "   ",
      "+",
      "00",
      "()-./",
      "abc",
      "1234567",
      "2345678901",
      "1234567890123456",
      "+1234567890123456",
      "01234567",
      "+01234567890",
      "0001234567890",
      "++12345678900",
      "12345678900.0",
      "12345678900x1",
      "12345678900,12345678901",
      "12345678900\0",
      "12345678900\160",
      "0x2dfdc1c34",
      "1e10",
      "2024-01-02",
      "12345678900" .. ("0"):rep(1000000),
      0,
      1,
      123456,
      -12345678900,
      -1,
      1.5,
      12345678900.5,
      1e15,
      2 ^ 53,
      2 ^ 63,
      1e300,
      NAN,
      INF,
      -INF,
      true,
      false,
      {},
      { PHONE },
      ODD[1],
      ODD[2],
      ODD[3],
    } do
      refused({ phone = given }, "phone")
    end
    if INTEGERS then
      refused({ phone = MAX_INTEGER }, "phone")
      refused({ phone = MIN_INTEGER }, "phone")
    end
  end)

  it("is required", function()
    refused({}, "phone")
    refused({ first = "Ann" }, "phone")
    -- A name that is near does not make up for it.
    local client = capture.client()
    local _, failure = client:create_contacts { { Phone = PHONE } }
    client:close()
    assert.are.equal(2, #failure.issues)
  end)

  it("of ten digits needs its country, or to be told that it does not", function()
    for _, given in ipairs { "2345678901", "(234) 567-8901", "234.567.8901", 2345678901 } do
      local message = refused({ phone = given }, "phone")
      assert.is_truthy(message:find("default_country", 1, true))
      assert.are.equal('[{"phone":"12345678901"}]', body_of({ phone = given }, { default_country = "1" }))
      assert.are.equal('[{"phone":"3542345678901"}]', body_of({ phone = given }, { default_country = "354" }))
      assert.are.equal('[{"phone":"2345678901"}]', body_of({ phone = given }, { default_country = false }))
      -- From the client, and the call's word stands above it.
      assert.are.equal('[{"phone":"12345678901"}]', body_of({ phone = given }, nil, { default_country = "1" }))
      assert.are.equal('[{"phone":"2345678901"}]', body_of({ phone = given }, nil, { default_country = false }))
      assert.are.equal(
        '[{"phone":"2345678901"}]',
        body_of({ phone = given }, { default_country = false }, { default_country = "1" })
      )
      assert.are.equal(
        '[{"phone":"442345678901"}]',
        body_of({ phone = given }, { default_country = "44" }, { default_country = "1" })
      )
    end
  end)

  it("of eleven digits without + is another country's where it does not begin with the default one", function()
    -- The same digits, by the rules in Lua (with a blank) and by the shortcut in C (without).
    for _, given in ipairs { "12345678900", "1 2345678900" } do
      assert.are.equal('[{"phone":"12345678900"}]', body_of { phone = given })
      assert.are.equal('[{"phone":"12345678900"}]', body_of({ phone = given }, { default_country = "1" }))
      assert.are.equal('[{"phone":"12345678900"}]', body_of({ phone = given }, { default_country = false }))
      refused({ phone = given }, "phone", { default_country = "49" })
      refused({ phone = given }, "phone", { default_country = "1235" })
    end
    for _, given in ipairs { "89161234567", "8 9161234567" } do
      assert.are.equal('[{"phone":"79161234567"}]', body_of({ phone = given }, { default_country = "7" }))
    end
    for _, given in ipairs { "11345678900", "1 1345678900" } do
      refused({ phone = given }, "phone")
      refused({ phone = given }, "phone", { default_country = "1" })
      assert.are.equal('[{"phone":"11345678900"}]', body_of({ phone = given }, { default_country = false }))
    end
  end)
end)

describe("names and addresses", function()
  it("go as they are", function()
    for _, value in ipairs {
      "John",
      " John ",
      "O'Brien",
      "J\195\182rg",
      "\230\157\142",
      "\240\159\152\128",
      "\194\160",
      "\226\128\168",
      "null",
      "0",
      "{}",
      "a/b",
      "50% off",
    } do
      for _, field in ipairs { "first", "last", "display_name" } do
        assert.are.equal(('"%s":"%s"'):format(field, value), fragment_of(field, value))
      end
    end
    assert.are.equal([["first":"a\"b\\c"]], fragment_of("first", [[a"b\c]]))
  end)

  it("are omitted where they are empty", function()
    for _, field in ipairs { "first", "last", "display_name", "email" } do
      assert.are.equal('[{"phone":"12345678900"}]', body_of(with_phone(field, "")))
      assert.are.same({ phone = PHONE }, (assert(heymarket.contact(with_phone(field, "")))))
    end
  end)

  it("are refused with control characters", function()
    for _, field in ipairs { "first", "last", "display_name", "email", "avatar" } do
      local before = field == "email" and "ann@example.com" or field == "avatar" and "https://example.com/" or "Ann"
      for code = 0, 31 do
        refused_value(field, before .. string.char(code))
      end
      refused_value(field, before .. "\127")
      for code = 0x80, 0x9F do
        refused_value(field, before .. "\194" .. string.char(code))
      end
      refused_value(field, "\n" .. before)
      refused_value(field, before .. "\0" .. before)
    end
    refused_value("first", "\0")
    refused_value("first", "\r\n")
    refused_value("first", ("a"):rep(100000) .. "\7")
  end)

  it("are refused with the code point of the first control character", function()
    for value, point in pairs {
      ["a\7b\27"] = "U+0007",
      ["a\0"] = "U+0000",
      ["a\127\194\155"] = "U+007F",
      ["é\194\155\n"] = "U+009B",
      ["\194\128"] = "U+0080",
      ["\n\194\128"] = "U+000A",
    } do
      local _, failure = heymarket.contact(with_phone("first", value))
      assert.truthy(failure.issues[1].message:find(point, 1, true), failure.issues[1].message)
    end
  end)

  it("are refused with the code point of a blank or mark in an address", function()
    for character, named in pairs {
      ["\194\160"] = "U+00A0 (a no-break space)",
      ["\226\128\139"] = "U+200B (a zero width space)",
      ["\226\128\175"] = "U+202F",
      ["\227\128\128"] = "U+3000",
      ["\239\187\191"] = "U+FEFF (a byte-order mark)",
    } do
      for _, value in ipairs {
        character .. "ann@example.com",
        "ann@ex" .. character .. "ample.com",
        "ann@example.com" .. character,
      } do
        local message = refused_value("email", value)
        assert.is_truthy(message:find(named, 1, true), message)
      end
    end
  end)

  it("are refused with other types", function()
    for _, field in ipairs { "first", "last", "display_name", "email", "avatar" } do
      for _, value in ipairs { 42, 0, 1.5, NAN, INF, true, false, {}, { "Ann" }, ODD[1], ODD[2], ODD[3] } do
        refused_value(field, value)
      end
    end
  end)

  it("may be long", function()
    local name = ("\195\182"):rep(200000)
    assert.are.equal('"first":"' .. name .. '"', fragment_of("first", name))
  end)

  it("agree with Python on what is UTF-8 and what is a control character", function()
    local samples = {}
    local function sample(...)
      samples[#samples + 1] = string.char(...)
    end
    for a = 0, 255 do
      sample(a)
    end
    -- Every pair of bytes that begins beyond ASCII, and longer sequences at each border.
    for a = 0x80, 0xFF do
      for b = 0, 255 do
        sample(a, b)
      end
    end
    local seconds = { 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0 }
    local edges = { 0x00, 0x41, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0, 0xFF }
    for a = 0xE0, 0xF8 do
      for _, b in ipairs(seconds) do
        for _, c in ipairs(edges) do
          sample(a, b, c)
          for _, d in ipairs(edges) do
            sample(a, b, c, d)
          end
        end
      end
    end
    -- Five and six bytes, as UTF-8 once had them.
    sample(0xF8, 0x88, 0x80, 0x80, 0x80)
    sample(0xFC, 0x84, 0x80, 0x80, 0x80, 0x80)
    local chosen, hex = {}, {}
    for i in positions(1, #samples) do
      chosen[#chosen + 1] = samples[i]
      hex[#chosen] = samples[i]:gsub(".", function(byte)
        return ("%02x"):format(byte:byte())
      end)
    end
    local said = process.python("json_witness.py utf8", table.concat(hex, "\n") .. "\n")
    assert.are.equal(#chosen, #said)
    local wrong, counts = {}, { good = 0, bad = 0, control = 0 }
    for i, text in ipairs(chosen) do
      local name = heymarket.contact { phone = PHONE, first = "a" .. text .. "b" } ~= nil
      local free = heymarket.contact { phone = PHONE, custom = { [1] = "a" .. text } } ~= nil
      counts[said[i]] = counts[said[i]] + 1
      if name ~= (said[i] == "good") or free ~= (said[i] ~= "bad") then
        wrong[#wrong + 1] = hex[i] .. " " .. said[i]
      end
    end
    assert.are.same({}, wrong)
    assert.is_true(counts.good > rounds(1000) and counts.bad > rounds(1000))
    assert.is_true(counts.control > (#chosen == #samples and 65 or 5))
  end)

  it("reach Python as the code points that they are", function()
    local random = 12345
    local function below(n)
      random = (random * 16807) % 2147483647
      return random % n
    end
    local function utf8_of(point)
      local function tail(shift)
        return 0x80 + math.floor(point / 2 ^ shift) % 64
      end
      if point < 0x80 then
        return string.char(point)
      elseif point < 0x800 then
        return string.char(0xC0 + math.floor(point / 64), tail(0))
      elseif point < 0x10000 then
        return string.char(0xE0 + math.floor(point / 4096), tail(6), tail(0))
      end
      return string.char(0xF0 + math.floor(point / 262144), tail(12), tail(6), tail(0))
    end
    local bodies, wanted = {}, {}
    for i = 1, 400 do
      local points, text = {}, {}
      for _ = 1, below(40) + 1 do
        local point = below(({ 0x80, 0x800, 0x10000, 0x110000 })[below(4) + 1])
        if point < 0xD800 or point > 0xDFFF then
          points[#points + 1] = ("%x"):format(point)
          text[#text + 1] = utf8_of(point)
        else
          points[#points + 1] = "22"
          text[#text + 1] = '"'
        end
      end
      local body = body_of { phone = PHONE, custom = { [7] = table.concat(text) } }
      bodies[i] = body:match '"custom":{"7":(.*)}}%]$'
      wanted[i] = table.concat(points, " ")
    end
    assert.are.same(wanted, process.python("json_witness.py points", table.concat(bodies, "\n") .. "\n"))
  end)

  it("take what looks like an email address", function()
    for _, value in ipairs {
      "ann@example.com",
      "a@b.co",
      "ann.lee+tag@sub.example.co.uk",
      "o'brien@example.com",
      "j\195\182rg@example.com",
      "ann@m\195\188nchen.de",
      "1@2.de",
    } do
      assert.are.equal('"email":"' .. value .. '"', fragment_of("email", value))
    end
    for _, value in ipairs {
      "ann",
      "@",
      "ann@",
      "@example.com",
      "ann@example",
      "ann@.com",
      "ann@example.",
      "ann lee@example.com",
      " ann@example.com",
      "ann@example.com ",
      "ann@exam ple.com",
      "ann@@example.com",
      "ann@lee@example.com",
      "Ann <ann@example.com>",
      "ann@example.com,lee@example.com",
      "ann@example.com;lee@example.com",
      "ann@example.com\255",
    } do
      refused_value("email", value)
    end
  end)

  it("take http and https addresses of images", function()
    for _, value in ipairs {
      "http://example.com/a.png",
      "https://example.com/a.png?size=1&x=%20#top",
      "HTTPS://EXAMPLE.COM",
      "https://[::1]/a.png",
    } do
      assert.are.equal('"avatar":"' .. value .. '"', fragment_of("avatar", value))
    end
    for _, value in ipairs {
      "example.com/a.png",
      "ftp://example.com/a.png",
      "httpx://example.com",
      "javascript:alert(1)",
      "data:image/png;base64,AAAA",
      "//example.com/a.png",
      "http:/example.com",
      "http://",
      "https:///a.png",
      "https://?a",
      "https://#a",
      " https://example.com",
      "https://example.com/a b.png",
      "https://example.com/\255",
    } do
      refused_value("avatar", value)
    end
  end)
end)

describe("numbers", function()
  it("of an assignee are exact, greater than 0 or -1", function()
    for digits, value in pairs {
      ["1"] = 1,
      ["-1"] = -1,
      ["42"] = 42.0,
      ["1000000"] = 1e6,
      ["100000000000000"] = 1e14,
      ["1000000000000000"] = 1e15,
      ["9007199254740991"] = 2 ^ 53 - 1,
    } do
      assert.are.equal('"assignee_id":' .. digits, fragment_of("assignee_id", value))
    end
    for _, value in ipairs { 0, -0.0, -2, -1.5, 1.5, 0.1, 2 ^ 54, 2 ^ 63, -2 ^ 63, 1e300, NAN, INF, -INF } do
      refused_value("assignee_id", value)
    end
    for _, value in ipairs { "1", "", true, false, {}, { 1 }, ODD[1], ODD[2], ODD[3] } do
      refused_value("assignee_id", value)
    end
    if INTEGERS then
      assert.are.equal('"assignee_id":9223372036854775807', fragment_of("assignee_id", MAX_INTEGER))
      assert.are.equal('"assignee_id":9007199254740993', fragment_of("assignee_id", to_integer(2 ^ 53) + 1))
      -- The float of the same size is not exact, whatever has gone before.
      assert.are.equal('"assignee_id":9007199254740992', fragment_of("assignee_id", to_integer(2 ^ 53)))
      refused_value("assignee_id", 2 ^ 53)
      refused_value("assignee_id", MIN_INTEGER)
    else
      -- Here 2^53 and 2^53 + 1 are one number: nobody can say which one is meant.
      refused_value("assignee_id", 2 ^ 53)
    end
  end)

  it("that cannot be exact are refused with advice that can be followed", function()
    for field, value in pairs { assignee_id = 2 ^ 60, tags = { 2 ^ 60 }, email_suppressions = { 2 ^ 60 } } do
      -- A string is no way out here: it is refused as well.
      assert.is_nil(refused_value(field, value):find("string", 1, true))
    end
  end)

  it("in custom fields are exact, or refused", function()
    for digits, value in pairs {
      ["0"] = 0,
      ["1"] = 1,
      ["-1"] = -1,
      ["42"] = 42.0,
      ["1000000000000000"] = 1e15,
      ["-1000000000000000"] = -1e15,
      ["9007199254740991"] = 2 ^ 53 - 1,
      ["-9007199254740991"] = -(2 ^ 53) + 1,
      ["0.5"] = 0.5,
      ["-0.5"] = -0.5,
      ["0.1"] = 0.1,
      ["1234.5678"] = 1234.5678,
    } do
      assert.are.equal('"custom":{"1":' .. digits .. "}", fragment_of("custom", { value }))
    end
    assert.are.equal('"custom":{"1":0}', fragment_of("custom", { -0.0 }))
    for _, value in ipairs { NAN, INF, -INF, 2 ^ 54, -2 ^ 54, 2 ^ 63, 2 ^ 64, 1e300 } do
      refused_value("custom", { value })
    end
    if INTEGERS then
      assert.are.equal('"custom":{"1":9223372036854775807}', fragment_of("custom", { MAX_INTEGER }))
      assert.are.equal('"custom":{"1":-9223372036854775808}', fragment_of("custom", { MIN_INTEGER }))
      assert.are.equal('"custom":{"1":9007199254740993}', fragment_of("custom", { to_integer(2 ^ 53) + 1 }))
    else
      refused_value("custom", { 2 ^ 53 })
      refused_value("custom", { -2 ^ 53 })
    end
  end)

  it("with a fraction reach Python as the same number", function()
    local random, lines, bodies = 99991, {}, {}
    local function part()
      random = (random * 16807) % 2147483647
      return random / 2147483647
    end
    local values = { 5e-324, 2.2250738585072014e-308, 4503599627370495.5, 1 / 3, 1e-7, 123456789.123456789, 0.1 + 0.2 }
    for _ = 1, 500 do
      values[#values + 1] = (part() - 0.5) * 10 ^ math.floor(part() * 20 - 10)
    end
    for _, value in ipairs(values) do
      if value % 1 ~= 0 then
        local body = body_of { phone = PHONE, custom = { [1] = value } }
        bodies[#bodies + 1] = body
        lines[#lines + 1] = ("%.17g %s"):format(value, body:match '"1":([^}]*)}')
      end
    end
    local said = process.python("json_witness.py floats", table.concat(lines, "\n") .. "\n")
    assert.are.equal(#lines, #said)
    for i, word in ipairs(said) do
      assert.are.equal("same", word, bodies[i])
    end
  end)

  it("are written with a point in every locale", function()
    local folder = process.output("mktemp -d"):match "%S+"
    process.output(("localedef -i de_DE -f UTF-8 %s/de_DE.UTF-8 2>&1"):format(folder))
    local out = process.lua(
      [[
        local set = os.setlocale("de_DE.UTF-8")
        if not set then print("no such locale") return end
        local capture = require "spec.support.capture"
        local client, sent = capture.client(nil, function()
          return { body = '[{"id":1,"phone":"12345678900","x":0.25}]' }
        end)
        local report = client:create_contacts {
          { phone = "12345678900", custom = { 0.1, 1234.5678, 1e-7 }, assignee_id = 42 },
        }
        print(sent[1].body)
        print(report.items[1].remote.x == 1 / 4)
      ]],
      -- The C library keeps the path of a locale for good, which the sanitizers' build would call a leak.
      { LOCPATH = folder, ASAN_OPTIONS = "detect_leaks=0" }
    )
    process.output("rm -rf " .. process.quote(folder))
    if out == "no such locale\n" then
      pending "this machine cannot make a locale with a decimal comma"
      return
    end
    assert.are.equal(
      '[{"phone":"12345678900","custom":{"1":0.1,"2":1234.5678,"3":1e-07},"assignee_id":42}]\ntrue\n',
      out
    )
  end)
end)

describe("tags", function()
  it("are ids, or tables with an id", function()
    assert.are.equal('"tags":[{"tag_id":1},{"tag_id":2}]', fragment_of("tags", { 1, 2 }))
    assert.are.equal('"tags":[{"tag_id":1},{"tag_id":2}]', fragment_of("tags", { { tag_id = 1 }, { tag_id = 2 } }))
    assert.are.equal('"tags":[{"tag_id":2},{"tag_id":1}]', fragment_of("tags", { 2.0, { tag_id = 1.0 } }))
    assert.are.equal(
      '"tags":[{"tag_id":5},{"tag_id":4},{"tag_id":3},{"tag_id":2},{"tag_id":1}]',
      fragment_of("tags", { 5, 4, 3, 2, 1 })
    )
    assert.are.equal('"tags":[]', fragment_of("tags", {}))
    assert.are.equal('"tags":[{"tag_id":1000000000000000}]', fragment_of("tags", { 1e15 }))
  end)

  it("are refused where they are something else", function()
    for _, value in ipairs {
      1,
      "1",
      true,
      false,
      ODD[1],
      { 1, 2, 3, 4, 5, 6 },
      { 1, 1 },
      { 1, { tag_id = 1 } },
      { 1, 2, 3, 4, 1.0 },
      { 0 },
      { -1 },
      { 1.5 },
      { NAN },
      { INF },
      { 2 ^ 63 },
      { "1" },
      { true },
      { false },
      { {} },
      { { id = 1 } },
      { { tag_id = "1" } },
      { { tag_id = 1, name = "x" } },
      { { tag_id = 0 } },
      { { { tag_id = 1 } } },
      { ODD[1] },
      { tag_id = 1 },
      { [2] = 1 },
      { 1, [3] = 3 },
      { 1, nil, 3, nil },
      { 1, n = 1 },
      { [0] = 1 },
      { [1.5] = 1 },
      { [-1] = 1 },
      { 1, nil, 3, [-1] = 2 },
      { 1, nil, 3, [0] = 2 },
      { 1, nil, 3, [1.5] = 2 },
      { 1, nil, 3, [4] = 2 },
    } do
      refused_value("tags", value)
    end
  end)
end)

describe("custom fields", function()
  it("are named by digits and sorted", function()
    assert.are.equal('"custom":{}', fragment_of("custom", {}))
    assert.are.equal(
      '"custom":{"1":"a","9":true,"10":false,"123":"","1234567890123456789012":"z"}',
      fragment_of("custom", { [10] = false, ["123"] = "", ["1"] = "a", [9] = true, ["1234567890123456789012"] = "z" })
    )
    assert.are.equal('"custom":{"1":"a","2":"b"}', fragment_of("custom", { "a", "b" }))
    assert.are.equal('"custom":{"1000000000000000":1}', fragment_of("custom", { [1e15] = 1 }))
    if INTEGERS then
      assert.are.equal('"custom":{"9223372036854775807":1}', fragment_of("custom", { [MAX_INTEGER] = 1 }))
    end
  end)

  it("with ids that are not exact are refused", function()
    if INTEGERS then
      -- As a key, this Lua turns the float into the integer.
      assert.are.equal('"custom":{"1152921504606846976":1}', fragment_of("custom", { [2 ^ 60] = 1 }))
    else
      refused_value("custom", { [2 ^ 60] = 1 })
    end
    refused_value("custom", { [2 ^ 63] = 1 })
  end)

  it("hold text with line breaks as it is", function()
    assert.are.same(
      { '[{"phone":"12345678900","custom":{"1":"a\\nb\\tc\\u0000d\\u007fe\\u0085"}}]' },
      process.python(
        "json_witness.py values",
        body_of { phone = PHONE, custom = { "a\nb\tc\0d\127e\194\133" } } .. "\n"
      )
    )
  end)

  it("are refused where they are something else", function()
    for _, value in ipairs {
      1,
      "1",
      true,
      ODD[1],
      { name = "x" },
      { [""] = "x" },
      { ["1 "] = "x" },
      { ["1a"] = "x" },
      { ["-1"] = "x" },
      { ["1.0"] = "x" },
      { ["1e3"] = "x" },
      { ["0x1"] = "x" },
      { ["1\0"] = "x" },
      { [0] = "x" },
      { [-1] = "x" },
      { [1.5] = "x" },
      { [INF] = "x" },
      { [true] = "x" },
      { [{}] = "x" },
      { [1] = "a", ["1"] = "b" },
      { {} },
      { { "x" } },
      { ODD[1] },
      { ODD[2] },
      { ODD[3] },
      { "\255" },
      { "\237\160\128" },
      { "\192\128" },
      { "a\226\130" },
    } do
      refused_value("custom", value)
    end
  end)
end)

describe("the other fields", function()
  it("take what the table says", function()
    assert.are.equal('"is_opted_out":true', fragment_of("is_opted_out", true))
    assert.are.equal('"is_opted_out":false', fragment_of("is_opted_out", false))
    assert.are.equal('"email_suppressions":[]', fragment_of("email_suppressions", {}))
    assert.are.equal('"email_suppressions":[3,1,2]', fragment_of("email_suppressions", { 3, 1.0, 2 }))
    assert.are.equal('"email_suppressions":[1000000000000000]', fragment_of("email_suppressions", { 1e15 }))
  end)

  it("refuse everything else", function()
    for _, value in ipairs { 0, 1, "true", "false", "", {}, ODD[1], ODD[2], ODD[3] } do
      refused_value("is_opted_out", value)
    end
    for _, value in ipairs {
      1,
      "1",
      "",
      true,
      ODD[1],
      { "1" },
      { 1.5 },
      { NAN },
      { INF },
      { 2 ^ 63 },
      { true },
      { {} },
      { [2] = 1 },
      { 1, [3] = 1 },
      { a = 1 },
      { [0] = 1 },
      { 1, nil, 3, [-1] = 2 },
      { 1, nil, 3, [1.5] = 2 },
    } do
      refused_value("email_suppressions", value)
    end
  end)

  it("are left out where they were not given", function()
    assert.are.equal('[{"phone":"12345678900"}]', body_of { phone = PHONE })
  end)
end)

describe("a field that does not exist", function()
  it("is refused with the nearest known name", function()
    for given, meant in pairs {
      frist = "first",
      First = "first",
      first_name = "first",
      lastname = "last",
      ["Last Name"] = "last",
      Phone = "phone",
      phone_number = "phone",
      mail = "email",
      eMail = "email",
      tag = "tags",
      custm = "custom",
      displayName = "display_name",
      avatr = "avatar",
      assignee = "assignee_id",
      opted_out = "is_opted_out",
      email_suppression = "email_suppressions",
    } do
      local message = refused(with_phone(given, "x"), given)
      assert.is_truthy(message:find('"' .. meant .. '"', 1, true), given .. ": " .. message)
    end
    assert.is_nil(refused(with_phone("xyzzyqqq", "x"), "xyzzyqqq"):find '"')
  end)

  it("is refused whatever it is named", function()
    local raising = setmetatable({}, {
      __tostring = function()
        error "this must not be called"
      end,
    })
    local client, sent = capture.client()
    local texts, names = {}, {}
    for _, name in ipairs {
      1,
      1.5,
      true,
      {},
      ODD[1],
      raising,
      "",
      "a\nb",
      "a\0b",
      "a\194\155b",
      "\255",
      ("x"):rep(10000),
      ("\195\182"):rep(100),
      "a" .. ("\195\182"):rep(100),
    } do
      local _, failure = client:create_contacts { { phone = PHONE, [name] = "x" } }
      assert.are.equal("invalid", failure.kind)
      assert.are.equal(1, #failure.issues)
      check_text(failure.message)
      check_text(tostring(failure))
      check_text(failure.issues[1].message)
      assert.are.equal("string", type(failure.issues[1].field))
      assert.is_true(#failure.issues[1].field <= 200)
      for _, text in ipairs { failure.message, failure.issues[1].message, failure.issues[1].field } do
        names[#names + 1] = name
        texts[#texts + 1] = text:gsub(".", function(byte)
          return ("%02x"):format(byte:byte())
        end)
      end
    end
    local said = process.python("json_witness.py utf8", table.concat(texts, "\n") .. "\n")
    assert.are.equal(#texts, #said)
    for i, name in ipairs(names) do
      assert.are.equal(name == "" and said[i] or "good", said[i])
    end
    client:close()
    assert.are.equal(0, #sent)
  end)
end)

describe("several mistakes", function()
  it("can be thousands in one field, and cost the neighbours nothing", function()
    local client, sent = capture.client()
    local tags, custom = {}, {}
    for i = 1, 5000 do
      tags[i], custom["name " .. i] = "x", "y"
    end
    local odd = { phone = "12345678901", tags = tags, custom = custom }
    local report = assert(client:import({ { phone = PHONE }, odd, { phone = "12345678902" } }, {}))
    client:close()
    assert.are.equal(1, #sent)
    assert.are.same({ 2, 1 }, { report.accepted, report.invalid })
    local issues = report.items[1].failure.issues
    local custom_issue, tags_issue = issues[1], issues[2]
    local _, keys = tostring(custom_issue):gsub("name %d+", "")
    local _, items = tostring(tags_issue):gsub("item %d+ must be", "")
    assert.are.same({ "custom", "tags", 5000, 5000 }, { custom_issue.field, tags_issue.field, keys, items })
  end)

  it("are told all at once, each with its place", function()
    local client, sent = capture.client()
    local report, failure = client:create_contacts({
      { phone = PHONE },
      { phone = "12", frist = "x", email = "no", tags = { 1, 1 } },
      { phone = "12345678901" },
      "not a contact",
      { first = 5 },
      { phone = "12345678902", custom = { a = 1, b = 2 } },
      nil,
      { phone = "12345678903", is_opted_out = "no", assignee_id = 0, avatar = "x" },
    }, { overwirte = true, batch_size = 0 })
    client:close()
    assert.is_nil(report)
    assert.are.equal(0, #sent)
    local found = {}
    for _, issue in ipairs(failure.issues) do
      check_text(issue.message)
      found[#found + 1] = ("%s %s"):format(tostring(issue.index), tostring(issue.field))
    end
    table.sort(found)
    assert.are.same({
      "2 email",
      "2 frist",
      "2 phone",
      "2 tags",
      "4 nil",
      "5 first",
      "5 phone",
      "6 custom",
      "7 nil",
      "8 assignee_id",
      "8 avatar",
      "8 is_opted_out",
      "nil batch_size",
      "nil overwirte",
    }, found)
    local made = failure.report
    assert.are.same({ 8, 6, 2, 0 }, { made.total, made.invalid, made.unsent, made.requests })
    for i, item in ipairs(made.items) do
      assert.are.equal(i, item.index)
      assert.are.equal((i == 1 or i == 3) and "unsent" or "invalid", item.outcome)
      assert.is_true(heymarket.is_failure(item.failure))
      for _, issue in ipairs(item.failure.issues or {}) do
        assert.are.equal(i, issue.index)
      end
    end
    assert.are.equal(8, #made.items)
  end)

  it("of one contact come in the same order however it was built", function()
    local names = { "phone", "first", "email", "tags", "nickname", "colour" }
    local first
    for turn = 1, 30 do
      local contact = {}
      for i = 1, #names do
        contact[names[(i * 7 + turn) % #names + 1]] = {}
        contact["filler" .. i] = turn
      end
      for i = 1, #names do
        contact["filler" .. i] = nil
      end
      for _, name in ipairs(names) do
        contact[name] = name == "tags" and { "x" } or {}
      end
      local _, failure = heymarket.contact(contact)
      local fields = {}
      for i, issue in ipairs(failure.issues) do
        fields[i] = issue.field .. " " .. issue.message
      end
      first = first or fields
      assert.are.equal(#names, #fields)
      assert.are.same(first, fields)
    end
  end)

  it("leave nothing behind for the next contact", function()
    local client, sent = capture.client()
    client:create_contacts {
      { phone = "1", first = "A", last = "B", email = "a@b.co", tags = { 1 }, custom = { 1 }, avatar = "http://a.b" },
    }
    assert(client:create_contacts { { phone = PHONE } })
    assert.are.equal('[{"phone":"12345678900"}]', sent[1].body)
    client:close()
  end)

  it("by a contact's own metamethods leave nothing behind for the next one", function()
    local function raise()
      error "raised"
    end
    local meta = { __index = raise, __tostring = raise, __pairs = raise, __len = raise, __lt = raise, __eq = raise }
    for _ = 1, 20 do
      for _, contact in ipairs {
        { first = "A", tags = { setmetatable({}, meta) } },
        { first = "A", tags = setmetatable({}, meta) },
        { first = "A", [setmetatable({}, meta)] = 1 },
        { first = "A", custom = setmetatable({ 5 }, meta) },
        { first = "A", email_suppressions = setmetatable({ 5 }, meta) },
        setmetatable({ first = "A", phone = PHONE, last = "B" }, meta),
        setmetatable({ first = "A", last = "B" }, meta),
      } do
        pcall(heymarket.contact, contact)
      end
    end
    assert.are.equal('[{"phone":"12345678900"}]', body_of { phone = PHONE })
  end)
end)

-- One contact with everything, and what it is on the wire: written by hand, the same for every Lua and every build of
-- lua-cjson.
local function everything()
  return {
    phone = "+1 (234) 567-8900",
    first = "J\195\182rg",
    last = 'O"Neil\\',
    display_name = 'J\195\182rg / O"N',
    email = "joerg@example.com",
    avatar = "https://example.com/a.png?b=c&d",
    assignee_id = 1e15,
    tags = { 3, { tag_id = 1 }, 2.0 },
    custom = { [123] = "Premium", ["7"] = 42.0, [8] = 0.1, [9] = false, ["10"] = "" },
    is_opted_out = false,
    email_suppressions = {},
  }
end

local EVERYTHING = '[{"phone":"12345678900","avatar":"https://example.com/a.png?b=c&d",'
  .. '"custom":{"7":42,"8":0.1,"9":false,"10":"","123":"Premium"},"display_name":"J\195\182rg / O\\"N",'
  .. '"email":"joerg@example.com","first":"J\195\182rg","last":"O\\"Neil\\\\","assignee_id":1000000000000000,'
  .. '"tags":[{"tag_id":3},{"tag_id":1},{"tag_id":2}],"is_opted_out":false,"email_suppressions":[]}]'

describe("the wire form", function()
  it("is the same bytes always", function()
    assert.are.equal(EVERYTHING, body_of(everything()))
    local names, random = {}, 4711
    for name in pairs(everything()) do
      names[#names + 1] = name
    end
    table.sort(names)
    for _ = 1, 100 do
      for i = #names, 2, -1 do
        random = (random * 16807) % 2147483647
        local j = random % i + 1
        names[i], names[j] = names[j], names[i]
      end
      local contact, whole = {}, everything()
      for i, name in ipairs(names) do
        contact["x" .. i] = true
        contact[name] = whole[name]
      end
      for i = 1, #names do
        contact["x" .. i] = nil
      end
      local custom = {}
      for _, id in ipairs { 10, 9, 123, 8, 7 } do
        custom[random % 2 == 0 and id or tostring(id)] = whole.custom[id] == nil and whole.custom[tostring(id)]
          or whole.custom[id]
      end
      contact.custom = custom
      assert.are.equal(EVERYTHING, body_of(contact))
    end
  end)

  it("is what a server reads", function()
    local server = faultserver.start()
    server:default { keep_body = true }
    local client = assert(heymarket.new { secret_id = "an-id", secret_key = "a-key", base_url = server.url })
    local report = client:create_contacts { everything() }
    client:close()
    local request = server:ledger().requests[1]
    server:stop()
    assert.are.equal(1, report.accepted)
    assert.are.equal(EVERYTHING, request.body)
    assert.are.same({ #EVERYTHING, "application/json" }, { request.bytes, request.headers["content-type"] })
  end)

  it("decodes to what was meant, in Python's eyes", function()
    assert.are.same({
      '[{"phone":"12345678900","avatar":"https://example.com/a.png?b=c&d",'
        .. '"custom":{"7":42,"8":~0.1,"9":false,"10":"","123":"Premium"},"display_name":"J\\u00f6rg / O\\"N",'
        .. '"email":"joerg@example.com","first":"J\\u00f6rg","last":"O\\"Neil\\\\","assignee_id":1000000000000000,'
        .. '"tags":[{"tag_id":3},{"tag_id":1},{"tag_id":2}],"is_opted_out":false,"email_suppressions":[]}]',
    }, process.python("json_witness.py values", body_of(everything()) .. "\n"))
  end)

  it("joins contacts in input order, batch by batch", function()
    local client, sent = capture.client { batch_size = 2 }
    assert(client:create_contacts {
      { phone = "12025550001" },
      { phone = "12025550003" },
      { phone = "12025550002", first = "" },
    })
    client:close()
    assert.are.same(
      { '[{"phone":"12025550001"},{"phone":"12025550003"}]', '[{"phone":"12025550002"}]' },
      { sent[1].body, sent[2].body }
    )
    for _, request in ipairs(sent) do
      assert.are.equal("POST", request.method)
      assert.are.equal("https://api.example.com/v1/batch/contacts?overwrite=false", request.url)
      local headers = table.concat(request.headers, "\n")
      assert.is_truthy(headers:find("Authorization: Bearer ", 1, true))
      assert.is_truthy(headers:find("Content-Type: application/json", 1, true))
    end
  end)

  it("neither depends on the settings of the application's lua-cjson nor changes them", function()
    local cjson = require "cjson"
    local precision = cjson.encode_number_precision()
    local depth, invalid = cjson.decode_max_depth(), cjson.decode_invalid_numbers()
    cjson.encode_number_precision(3)
    cjson.decode_max_depth(7)
    cjson.decode_invalid_numbers(true)
    local body = body_of(everything())
    local after = { cjson.encode_number_precision(), cjson.decode_max_depth(), cjson.decode_invalid_numbers() }
    cjson.encode_number_precision(precision)
    cjson.decode_max_depth(depth)
    cjson.decode_invalid_numbers(invalid)
    assert.are.equal(EVERYTHING, body)
    assert.are.same({ 3, 7, true }, after)
  end)

  it("as a table is new, and leaves the input as it was", function()
    local given = everything()
    given.email_suppressions = { 5, 6.0 }
    given.last = ""
    local tags, custom, suppressions, tag = given.tags, given.custom, given.email_suppressions, given.tags[2]
    local before = deep_copy(given)
    local wire = assert(heymarket.contact(given))
    assert.are.same({
      phone = "12345678900",
      first = "J\195\182rg",
      display_name = 'J\195\182rg / O"N',
      email = "joerg@example.com",
      avatar = "https://example.com/a.png?b=c&d",
      assignee_id = 1e15,
      tags = { { tag_id = 3 }, { tag_id = 1 }, { tag_id = 2 } },
      custom = { ["123"] = "Premium", ["7"] = 42, ["8"] = 0.1, ["9"] = false, ["10"] = "" },
      is_opted_out = false,
      email_suppressions = { 5, 6 },
    }, wire)
    assert.are.same(before, given)
    assert.is_true(tags == given.tags and custom == given.custom and suppressions == given.email_suppressions)
    assert.is_true(given.tags[2] == tag)
    assert.is_false(wire == given or wire.tags == tags or wire.custom == custom)
    assert.is_false(wire.tags[2] == tag or wire.email_suppressions == suppressions)
    wire.tags[2].tag_id, wire.custom["7"], wire.email_suppressions[1] = 99, 99, 99
    assert.are.same(before, given)
  end)

  it("as a table holds whole numbers as integers", function()
    local wire = assert(heymarket.contact {
      phone = 12345678900,
      assignee_id = 42.0,
      tags = { 1.0, { tag_id = 2.0 } },
      custom = { 7.0, 0.5 },
      email_suppressions = { 3.0 },
    })
    local texts = {}
    for i, value in ipairs {
      wire.phone,
      wire.assignee_id,
      wire.tags[1].tag_id,
      wire.tags[2].tag_id,
      wire.custom["1"],
      wire.custom["2"],
      wire.email_suppressions[1],
    } do
      texts[i] = tostring(value)
    end
    assert.are.same({ "12345678900", "42", "1", "2", "7", "0.5", "3" }, texts)
  end)

  it("has empty lists where they were given", function()
    assert.are.equal(
      '[{"phone":"12345678900","custom":{},"tags":[],"email_suppressions":[]}]',
      body_of { phone = PHONE, tags = {}, custom = {}, email_suppressions = {} }
    )
    assert.are.same(
      { phone = PHONE, tags = {}, custom = {}, email_suppressions = {} },
      (assert(heymarket.contact { phone = PHONE, tags = {}, custom = {}, email_suppressions = {} }))
    )
  end)

  it("does not change contacts that are sent", function()
    local contacts = { everything(), { phone = "12025550001", tags = { { tag_id = 4 } } } }
    local before = deep_copy(contacts)
    local client = capture.client()
    assert(client:create_contacts(contacts))
    client:close()
    assert.are.same(before, contacts)
  end)
end)

describe("wrong use of heymarket.contact", function()
  it("raises an error that names the argument and the caller's line", function()
    for _, given in ipairs { 5, "x", true, function() end } do
      local ok, message = pcall(function()
        return (heymarket.contact(given))
      end)
      assert.is_false(ok)
      assert.is_truthy(message:find("contact_spec", 1, true))
      assert.is_truthy(message:find("fields", 1, true))
      ok, message = pcall(function()
        return (heymarket.contact({ phone = PHONE }, given))
      end)
      assert.is_false(ok)
      assert.is_truthy(message:find("contact_spec", 1, true))
      assert.is_truthy(message:find("options", 1, true))
    end
    assert.is_false((pcall(heymarket.contact)))
  end)
end)

describe("with the other build of lua-cjson, simulated,", function()
  it("the wire form and the answers are the same", function()
    local fork = require "spec.support.fork_cjson"
    fork.run(function()
      local usual = capture.heymarket
      capture.heymarket = require "heymarket"
      assert.is_false(usual == capture.heymarket)
      local client, sent = capture.client(nil, function()
        return {
          body = '[{"id":42,"rev":9007199254740991,"phone":12345678900,"n":1.5,"x":null,"tags":[],"big":1e3}]',
        }
      end)
      local report = assert(client:create_contacts { everything(), { phone = "12025550001" } })
      client:close()
      capture.heymarket = usual
      assert.are.equal(EVERYTHING:sub(1, -2) .. ',{"phone":"12025550001"}]', sent[1].body)
      assert.are.equal(1, report.rejected)
      assert.are.equal(1, report.accepted)
      local remote = report.items[1].remote
      assert.are.equal("42 9007199254740991", ("%s %.0f"):format(tostring(remote.id), remote.rev))
      assert.are.same({ 42, 1.5, 1000 }, { remote.id, remote.n, remote.big })
      assert.is_nil(remote.x)
      assert.are.same({}, remote.tags)
    end)
  end)
end)

describe("this spec file", function()
  it("leaves no handle open", function()
    collectgarbage()
    collectgarbage()
    assert.are.same({ signers = 0, pools = 0, transfers = 0 }, core.open_handles())
  end)
end)
