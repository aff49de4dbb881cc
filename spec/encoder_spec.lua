-- The encoder in C against the rules in Lua that it replaced: the same bodies, the same phones, the same messages.

local contact = require "heymarket.contact"
local failure = require "heymarket.failure"
local fields = require "heymarket.contact.fields"
local oracle = require "spec.support.contact_oracle"
local messages = require "heymarket.messages"
local rounds = require "spec.support.rounds"
local rows = require "heymarket.rows"

local encode = rows.encoder(fields)

-- A generator of our own: math.random is not the same in every Lua, and a failure must come again.
local seed = 20240416
local function random(n)
  seed = (seed * 16807) % 2147483647
  return seed % n + 1
end

local function one_of(list)
  return list[random(#list)]
end

local PIECES = {
  "a",
  "Z",
  "0",
  " ",
  "é",
  "李",
  "😀",
  '"',
  "\\",
  "/",
  "<",
  ",",
  ";",
  "@",
  ".",
  "-",
  "\t",
  "\n",
  "\0",
  "\127",
  "\194\133",
  "\255",
  "\192\128",
  "\237\160\128",
  "\240\159",
  "http://",
  "https://",
} -- stylua: ignore

local function text()
  local parts = {}
  for i = 1, random(6) - 1 do
    -- Mostly harmless, so that whole contacts come through.
    parts[i] = random(8) == 1 and one_of(PIECES) or one_of { "a", "Bc", "é", " ", "李", "x-y" }
  end
  return table.concat(parts)
end

local NUMBERS = {
  0,
  1,
  2,
  7,
  42,
  42.0,
  -1,
  -2,
  0.5,
  1e15,
  2 ^ 31,
  2 ^ 52,
  2 ^ 53 - 1,
  2 ^ 53,
  -2 ^ 53,
  2 ^ 63,
  1e300,
  0 / 0,
  1 / 0,
  -1 / 0,
  rawget(math, "maxinteger") or 3,
  rawget(math, "mininteger") or 4,
  -0.0,
} -- stylua: ignore

local function number()
  return random(3) == 1 and one_of(NUMBERS) or random(1000)
end

local function anything()
  local kind = random(7)
  if kind == 1 then
    return text()
  elseif kind == 2 then
    return number()
  elseif kind == 3 then
    return random(2) == 1
  elseif kind == 4 then
    return {}
  elseif kind == 5 then
    return print
  elseif kind == 6 then
    return ""
  end
  return { number(), number() }
end

local function numbers()
  local list = {}
  for i = 1, random(7) - 1 do
    list[i] = number()
  end
  if random(10) == 1 then
    list[one_of { 0, -1, 9, 1.5, "x", 2, true }] = one_of { 1, 2, "1", false }
  end
  return list
end

local function tags()
  local list = numbers()
  for i = 1, #list do
    if random(6) == 1 then
      list[i] = { tag_id = list[i] }
    end
  end
  if random(10) == 1 then
    list[random(6)] = one_of { { tag_id = "3" }, {}, { tag = 1 }, { tag_id = 1, [true] = 2 }, { tag_id = {} }, "1" }
  end
  return list
end

local function custom()
  local values = {}
  for _ = 1, random(4) - 1 do
    local key = one_of { 1, 12, "12", "3", "101", "9007199254740993", 2 ^ 53, random(500), tostring(random(500)) }
    if random(12) == 1 then
      key = one_of { "007", "a", "", -1, 0, 1.5, true, ("1"):rep(30) }
    end
    values[key] = one_of { text(), text(), number(), true, false }
    if random(20) == 1 then
      values[key] = anything()
    end
  end
  if random(40) == 1 then
    for i = 1, 20 do
      values[i] = "v" .. i
    end
  end
  return values
end

local PHONE_PARTS = {
  "+",
  "00",
  "0",
  "(0)",
  " ",
  "-",
  ".",
  "/",
  "(",
  ")",
  "'",
  "tel:",
  "TEL:",
  "ext",
  "x",
  "#",
  ";",
  ",",
  "e",
  "E+",
  "\0",
  "\t",
  "\255",
  "\194\160",
  "\226\128\139",
  "\194\173",
  "\226\128\147",
  "\226\128\148",
  "(030)",
  "(01)",
  "44",
  "49",
  "39",
  "1",
  "7",
  "8",
  "36",
  "06",
  "225",
  "2024",
  "12",
  "31",
  "é",
  "李",
  "|",
  "&",
  "{",
  "]",
} -- stylua: ignore

local function digits(length)
  local made = {}
  for i = 1, length do
    made[i] = random(10) - 1
  end
  return table.concat(made)
end

local function odd_phone()
  local parts = {}
  for i = 1, random(7) do
    parts[i] = random(2) == 1 and one_of(PHONE_PARTS) or digits(random(7))
  end
  return table.concat(parts)
end

-- Shapes of other things: dates, fractions, exponents, two numbers, lengths at the limits.
local function shaped_phone()
  local kind = random(8)
  if kind == 1 then
    local separator = one_of { "-", ".", "/", " . ", " -" }
    local parts = { digits(random(4)), digits(random(3)), one_of { digits(random(4)), "2024", "1999" } }
    return table.concat(parts, separator) .. one_of { "", ".", " 10:30", ". 1", "x" }
  elseif kind == 2 then
    return one_of { "", "+", "-" } .. digits(random(14)) .. one_of { ".", ",", "e", ".0", "E+" } .. digits(random(4))
  elseif kind == 3 then
    return digits(random(10)) .. one_of { "/", "+", ";", "," } .. digits(random(10))
  elseif kind == 4 then
    return one_of { "+", "00", "" }
      .. one_of { "44", "49", "39", "1", "999", "229", "7" }
      .. " (0) "
      .. digits(random(9))
  elseif kind == 5 then
    return digits(random(19))
  elseif kind == 6 then
    return one_of { number(), 10 ^ random(16) + random(1000000), -random(100), 12025550000 + random(9999) }
  elseif kind == 7 then
    return one_of { "+1 (202) 555-", "1.202.555.", "0044 20 7946 ", "'12025550", "tel: +49 30 12" } .. digits(4)
  end
  return one_of { "+1", "1", "001", "+49", "+44 20" }
    .. digits(6 + random(5))
    .. one_of { "", " ext 5", "x12", "#3", "a" }
end

local function phone()
  local kind = random(12)
  if kind == 1 then
    return odd_phone()
  elseif kind == 2 then
    return shaped_phone()
  elseif kind == 3 then
    return one_of { "", true, false, {}, print, "123456789\0001", " ", "+" }
  end
  return one_of { "12345678900", "442079460958", "+12345678900", "1 234 567 8900", 12345678900, "393331234567" }
end

local COUNTRIES = { "1", "44", "49", "7", "36", "39", "225", "378", "354", "1234" }

-- nil as often as all others.
local function country()
  local kind = random(4)
  if kind == 1 then
    return false
  elseif kind == 2 then
    return one_of(COUNTRIES)
  end
  return nil
end

local function email()
  return one_of {
    "ann@example.com",
    "a@b.c",
    "ann@sub.example.com",
    "@example.com",
    "ann@",
    "ann@example",
    "ann@.com",
    "ann@example.",
    "a@@b.c",
    "a@b@c.d",
    "a b@c.d",
    "a@b..c",
    "é@example.com",
    "ann@example.com\194\160",
    "an\226\128\139n@example.com",
    "a,b@c.d",
    "<a@b.c>",
    "@a@b.c",
    "a@b.c.",
    "",
    text(),
  } -- stylua: ignore
end

local function avatar()
  return one_of {
    "https://example.com/a.png",
    "http://example.com",
    "https://x",
    "HTTPS://example.com",
    "https://",
    "https:///x",
    "http://?x",
    "https://example.com/a b",
    'https://example.com/a"b',
    "ftp://example.com",
    "",
    text(),
  } -- stylua: ignore
end

local function random_contact()
  local made = { phone = phone() }
  -- In this order: pairs has none, and the same seed must give the same contacts.
  local makers = {
    { "first", text },
    { "last", text },
    { "display_name", text },
    { "email", email },
    { "avatar", avatar },
    { "assignee_id", number },
    { "tags", tags },
    { "custom", custom },
    {
      "is_opted_out",
      function()
        return random(2) == 1
      end,
    },
    { "email_suppressions", numbers },
  }
  for _, maker in ipairs(makers) do
    if random(3) == 1 then
      made[maker[1]] = random(15) == 1 and anything() or maker[2]()
    end
  end
  if random(40) == 1 then
    made[one_of { "frist", 1, true, "Phone" }] = anything()
  end
  return made
end

-- The parts of a field's message, each once: several mistakes of a field have no order.
local function parts_of(issues)
  local parts = {}
  for _, issue in ipairs(issues) do
    local message = issue.message:gsub("; did you mean", ", did you mean") .. "; "
    for part in message:gmatch "(.-); " do
      parts[("%s %s: %s"):format(tostring(issue.index), issue.field, part)] = true
    end
  end
  return parts
end

local function fields_of(issues)
  local list = {}
  for i, issue in ipairs(issues) do
    list[i] = issue.field
  end
  return list
end

-- Which of two values of one custom field the oracle looks at is by chance.
local function has_double_id(given)
  for id in pairs(type(given.custom) == "table" and given.custom or {}) do
    if type(id) == "number" and given.custom[("%.0f"):format(id)] ~= nil then
      return true
    end
  end
end

describe("the encoder", function()
  it("gives the same bodies and messages as the reference in Lua", function()
    local written, refused, doubles = 0, 0, 0
    local count = rounds(30000)
    for _ = 1, count do
      local given, default_country = random_contact(), country()
      local wanted_issues, issues = {}, {}
      local wanted, wanted_phone = oracle.encode(given, 1, default_country, wanted_issues)
      local body, digits_sent = contact.encode(given, 1, default_country, issues)
      assert.equal(wanted, body)
      if body then
        written = written + 1
        assert.equal(wanted_phone, digits_sent)
        assert.same(oracle.wire(given, wanted_phone), contact.wire(body))
      else
        refused = refused + 1
        failure.invalid(issues)
        failure.invalid(wanted_issues)
        assert.same(fields_of(wanted_issues), fields_of(issues))
        if has_double_id(given) then
          doubles = doubles + 1
        else
          assert.same(parts_of(wanted_issues), parts_of(issues))
        end
      end
    end
    -- Neither side of the comparison is empty.
    assert.is_true(written > count / 15, written .. " were written")
    assert.is_true(refused > count / 15)
    assert.is_true(doubles < refused / 10, doubles .. " doubles")
  end)

  it("gives the same phones and messages as the reference in Lua", function()
    local taken, refused = 0, 0
    local count = rounds(50000)
    for _ = 1, count do
      local given, default_country = random(2) == 1 and odd_phone() or shaped_phone(), country()
      local wanted, problem = oracle.phone(given, default_country)
      local digits_sent, message = contact.phone(given, default_country)
      local what = ("%q with %s: %s"):format(tostring(given), tostring(default_country), tostring(problem))
      assert.equal(wanted, digits_sent, what)
      -- Of text that is not UTF-8 the oracle may name another byte.
      if type(given) ~= "string" or rows.quote(given) then
        assert.equal(problem, message, what)
      end
      taken, refused = taken + (wanted and 1 or 0), refused + (wanted and 0 or 1)
    end
    assert.is_true(taken > count / 10 and refused > count / 10, taken .. " taken")
  end)

  it("takes the contacts that imports are made of", function()
    local given = {
      phone = "12345678900",
      avatar = "https://example.com/a.png",
      custom = { ["101"] = 'say "hi"', [7] = 42, ["8"] = true },
      display_name = "Zoë 李",
      email = "zoe@example.com",
      first = "Zoë",
      last = "",
      assignee_id = -1,
      tags = { 3, 1 },
      is_opted_out = false,
      email_suppressions = {},
    }
    local body, digits_sent = encode(given)
    assert.equal("12345678900", digits_sent)
    assert.equal(
      '{"phone":"12345678900","avatar":"https://example.com/a.png",'
        .. '"custom":{"7":42,"8":true,"101":"say \\"hi\\""},"display_name":"Zoë 李","email":"zoe@example.com",'
        .. '"first":"Zoë","assignee_id":-1,"tags":[{"tag_id":3},{"tag_id":1}],"is_opted_out":false,'
        .. '"email_suppressions":[]}',
      body
    )
  end)

  it("writes contacts of any size", function()
    for _, size in ipairs { 600, 680, 683, 700, 4000, 4094, 4095, 4096, 4097, 5000, 100000 } do
      local given = { phone = "12345678900", first = ("x"):rep(size), custom = { [1] = ("é\n"):rep(size) } }
      assert.equal(oracle.encode(given, 1, nil, {}), (encode(given)))
      for _, name in ipairs { "first", "last", "display_name" } do
        local small = { phone = "12345678900", [name] = ('"'):rep(size) }
        assert.equal(oracle.encode(small, 1, nil, {}), (encode(small)))
      end
    end
    for _, count in ipairs { 15, 16, 17, 1000 } do
      local given = { phone = "12345678900", custom = {}, email_suppressions = {} }
      for i = 1, count do
        given.custom[i * 7] = i / 4
        given.email_suppressions[i] = i
      end
      assert.equal(oracle.encode(given, 1, nil, {}), (encode(given)))
    end
  end)

  it("names every mistake, however many there are", function()
    for _, count in ipairs { 7, 8, 9, 500 } do
      local given = { tags = {}, custom = {} }
      for i = 1, count do
        given["field" .. i], given.tags[i], given.custom["key" .. i] = 1, "x", 1
      end
      local body, mistakes = encode(given)
      assert.is_nil(body)
      assert.equal(3 * count + 1, #mistakes)
      local seen = {}
      for _, mistake in ipairs(mistakes) do
        seen[mistake.code .. tostring(mistake.values.item or mistake.values.name)] = true
      end
      for i = 1, count do
        assert.is_true(seen["unknown_fieldfield" .. i])
        assert.is_true(seen["item_not_id" .. i])
        assert.is_true(seen["custom_bad_keykey" .. i])
      end
    end
  end)

  it("has words for each of its codes", function()
    local source = {}
    for _, name in ipairs { "encoder", "kinds", "phone" } do
      local file = assert(io.open("csrc/rows/" .. name .. ".c"))
      source[#source + 1] = file:read "*a"
      file:close()
    end
    local count = 0
    for code in table.concat(source):gmatch '"(%l+_[%l%d_]+)"' do
      if code ~= "tag_id" and code ~= "tag_ids" and code ~= "user_id" and code ~= "max_items" then
        assert.is_truthy(messages.catalogue[code], code)
        count = count + 1
      end
    end
    assert.is_true(count > 40, count .. " codes")
  end)

  it("reads past metatables", function()
    local function raise()
      error "a metamethod ran"
    end
    local meta = { __index = raise, __newindex = raise, __len = raise, __pairs = raise, __ipairs = raise, __eq = raise }
    local given = setmetatable({
      phone = "12345678900",
      tags = setmetatable({ 1, setmetatable({ tag_id = 2 }, meta) }, meta),
      custom = setmetatable({ "a" }, meta),
      email_suppressions = setmetatable({ 3 }, meta),
    }, meta)
    assert.equal(
      '{"phone":"12345678900","custom":{"1":"a"},"tags":[{"tag_id":1},{"tag_id":2}],"email_suppressions":[3]}',
      (encode(given))
    )
    local body, mistakes = encode(setmetatable({ first = "Ann" }, { __index = { phone = "12345678900" } }))
    assert.is_nil(body)
    assert.equal("required", mistakes[1].code)
  end)

  it("is not hurt by finalizers that change the contact", function()
    -- Each round leaves garbage whose finalizers put new values into the contact, or take some out.
    local given
    local gc = rawget(_G, "newproxy")
        and function(run)
          getmetatable(rawget(_G, "newproxy")(true)).__gc = run
        end
      or function(run)
        setmetatable({}, { __gc = run })
      end
    local ran = 0
    for round = 1, 300 do
      given = { phone = "12345678900", first = ("x"):rep(2000), custom = {}, tags = {} }
      for i = 1, round % 40 do
        given.custom[i] = ("v"):rep(round)
        given["f" .. i] = i
      end
      for _ = 1, 5 do
        gc(function()
          ran = ran + 1
          given.custom = { [ran] = ("y"):rep(ran % 3000) }
          given.first, given.phone = nil, "4420794609" .. ran % 90 + 10
          given["f" .. ran % 40] = ran % 2 == 0 and ran or nil
        end)
      end
      for _ = 1, 20 do
        collectgarbage "step"
        local body, digits_sent = encode(given)
        assert.is_true(body == nil and type(digits_sent) == "table" or body:find('^{"phone":"' .. digits_sent) == 1)
      end
    end
    collectgarbage()
    assert.is_true(ran > 0)
  end)

  it("takes a table and a country, and nothing else", function()
    for _, value in ipairs { 1, "x", true, print } do
      assert.has_error(function()
        encode(value)
      end)
    end
    for _, value in ipairs { 1, true, {} } do
      assert.has_error(function()
        encode({ phone = "12345678900" }, value)
      end)
    end
  end)

  it("is made from a list of fields", function()
    local small =
      rows.encoder { { name = "number", kind = "phone", required = true }, { name = "nick", kind = "text" } }
    assert.equal('{"number":"12025550001","nick":"A"}', (small { nick = "A", number = "+12025550001" }))
    local _, mistakes = small { phone = 1 }
    assert.same({ "required", "unknown_field" }, { mistakes[1].code, mistakes[2].code })
    for _, list in ipairs {
      {},
      { { name = "x" } },
      { { name = "x", kind = "colour" } },
      { { kind = "text" } },
      { { name = ("x"):rep(41), kind = "text" } },
      { { name = "x", kind = "tag_ids", max_items = 17 } },
    } do
      assert.has_error(function()
        rows.encoder(list)
      end)
    end
  end)
end)
