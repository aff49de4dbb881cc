-- The C core writes ordinary contacts, the rules in Lua write all of them. They are two, and must never differ: where C
-- writes a contact, the rules write the same bytes; what the rules refuse, C leaves alone.

local rows = require "heymarket.rows"

-- The rules without the shortcut.
local rules
do
  local real = package.loaded["heymarket.rows"]
  local kept = package.loaded["heymarket.contact"]
  package.loaded["heymarket.rows"] = setmetatable({ contact = function() end }, { __index = real })
  package.loaded["heymarket.contact"] = nil
  rules = require "heymarket.contact"
  package.loaded["heymarket.rows"], package.loaded["heymarket.contact"] = real, kept
end

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
  if random(10) == 1 then
    list[1] = one_of { { tag_id = 3 }, { tag_id = "3" }, {}, { tag = 1 } }
  end
  return list
end

local function custom()
  local fields = {}
  for _ = 1, random(4) - 1 do
    local key = one_of { 1, 12, "12", "3", "101", "9007199254740993", 2 ^ 53, random(500), tostring(random(500)) }
    if random(12) == 1 then
      key = one_of { "007", "a", "", -1, 0, 1.5, true, ("1"):rep(30) }
    end
    fields[key] = one_of { text(), text(), number(), true, false }
    if random(20) == 1 then
      fields[key] = anything()
    end
  end
  if random(40) == 1 then
    for i = 1, 20 do
      fields[i] = "v" .. i
    end
  end
  return fields
end

local function phone()
  return one_of {
    "12345678900",
    "12345678900",
    "12345678900",
    "442079460958",
    "89123456789",
    "393331234567",
    "11345678900",
    "123456789012345",
    "223456789012345",
    "1234567890123456",
    "1234567890",
    "02345678900",
    "+12345678900",
    "1 234 567 8900",
    12345678900,
    "",
    "1234567890x",
    "123456789\0001",
  } -- stylua: ignore
end

local COUNTRIES = { "1", "44", "7", "39", "442079460958", "8", "12345678901" }

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

local function contact()
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

describe("the shortcut for ordinary contacts", function()
  it("writes what the rules write, or nothing", function()
    local written, left = 0, 0
    for _ = 1, 30000 do
      local given, default_country = contact(), country()
      local issues = {}
      local body, digits = rows.contact(given, default_country)
      local wanted, wanted_digits = rules.encode(given, 1, default_country, issues)
      if body then
        written = written + 1
        assert.equal(wanted, body)
        assert.equal(wanted_digits, digits)
      else
        left = left + 1
      end
    end
    -- Neither side of the comparison is empty.
    assert.is_true(written > 2000, written .. " of 30000 were ordinary")
    assert.is_true(left > 2000)
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
    local body, digits = rows.contact(given)
    assert.equal("12345678900", digits)
    assert.equal(
      '{"phone":"12345678900","avatar":"https://example.com/a.png",'
        .. '"custom":{"7":42,"8":true,"101":"say \\"hi\\""},"display_name":"Zoë 李","email":"zoe@example.com",'
        .. '"first":"Zoë","assignee_id":-1,"tags":[{"tag_id":3},{"tag_id":1}],"is_opted_out":false,'
        .. '"email_suppressions":[]}',
      body
    )
  end)

  it("leaves alone what does not fit its buffer", function()
    for _, size in ipairs { 600, 680, 683, 700, 4000, 4094, 5000, 100000 } do
      local given = { phone = "12345678900", first = ("x"):rep(size), custom = { [1] = ("é"):rep(size) } }
      local body = rows.contact(given)
      assert.is_true(body == nil or body == rules.encode(given, 1, nil, {}))
    end
    local small = { phone = "12345678900" }
    for _, name in ipairs { "first", "last", "display_name" } do
      small[name] = ('"'):rep(600)
      local body = rows.contact(small)
      assert.is_true(body == nil or body == rules.encode(small, 1, nil, {}))
    end
    assert.is_nil((rows.contact { phone = "12345678900", first = ("x"):rep(100000) }))
  end)

  it("reads past metatables", function()
    local given = setmetatable({ first = "Ann" }, {
      __index = { phone = "12345678900" },
    })
    assert.is_nil((rows.contact(given)))
  end)

  it("leaves a contact to the rules where the country is of another type", function()
    for _, odd in ipairs { true, 1, {} } do
      assert.is_nil((rows.contact({ phone = "12345678900" }, odd)))
    end
  end)

  it("takes a table and nothing else", function()
    for _, value in ipairs { 1, "x", true } do
      assert.has_error(function()
        rows.contact(value)
      end)
    end
  end)
end)
