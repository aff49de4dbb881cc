-- Phones that libphonenumber reads by region. Its own examples are the witness (spec/support/phone_examples.cpp).

local heymarket = require "heymarket"

local is_built, missing = pcall(require, "heymarket.phonenumber")

-- The digits that are sent for a phone, or the code and the words of its mistake.
local function read(phone, region)
  local contact, failure = heymarket.contact({ phone = phone }, { default_country = region })
  if contact then
    return contact.phone
  end
  assert.are.equal("invalid", failure.kind)
  assert.are.equal("phone", failure.issues[1].field)
  return nil, failure.issues[1].code, failure.issues[1].message
end

local function config(region)
  return { secret_id = "i", secret_key = "k", default_country = region }
end

describe("where libphonenumber is missing", function()
  local loaded, preload
  before_each(function()
    loaded, preload = package.loaded["heymarket.phonenumber"], package.preload["heymarket.phonenumber"]
    package.loaded["heymarket.phonenumber"] = nil
    package.preload["heymarket.phonenumber"] = function()
      error "libphonenumber.so.8: cannot open shared object file"
    end
  end)
  after_each(function()
    package.loaded["heymarket.phonenumber"], package.preload["heymarket.phonenumber"] = loaded, preload
  end)

  it("a region is refused, and the failure says what to install", function()
    for _, given in ipairs { "DE", "XX" } do
      local client, failure = heymarket.new(config(given))
      assert.is_nil(client)
      assert.are.equal("invalid", failure.kind)
      assert.are.equal(1, #failure.issues)
      assert.are.equal("default_country", failure.issues[1].field)
      local wanted = { "lua-heymarket-phonenumber", "rock heymarket-phonenumber", '"49"', '"' .. given .. '"' }
      for _, words in ipairs(wanted) do
        assert.is_truthy(tostring(failure):find(words, 1, true), words)
      end
    end
  end)

  it("a calling code works", function()
    assert.are.equal("49301234567", read("030 1234567", "49"))
    assert(heymarket.new(config "49")):close()
  end)
end)

if not is_built then
  it("phones are read by region", function()
    pending("heymarket.phonenumber is not built: " .. tostring(missing):match "[^\n]*")
  end)
  return
end

local function examples()
  local pipe = assert(io.popen "build/phone_examples")
  local found = {}
  for line in pipe:lines() do
    local region, national, international, e164 = line:match "^(%u%u)\t([^\t]+)\t([^\t]+)\t%+(%d+)$"
    assert(region, line)
    found[#found + 1] = { region = region, national = national, international = international, digits = e164 }
  end
  pipe:close()
  assert.is_true(#found > 200)
  return found
end

describe("with a region as default_country", function()
  it("the example number of every region is read, however it is written", function()
    for _, example in ipairs(examples()) do
      local forms = { example.national, example.international, "+" .. example.digits, "00" .. example.digits }
      forms[#forms + 1] = example.international:gsub(" ", "\194\160")
      for _, form in ipairs(forms) do
        local digits, _, message = read(form, example.region)
        assert.are.equal(example.digits, digits, ("%s %s: %s"):format(example.region, form, tostring(message)))
      end
    end
  end)

  it("the numbers of other regions are read where they begin with + or 00", function()
    for _, example in ipairs(examples()) do
      for _, region in ipairs { "DE", "US", "IT", "AU" } do
        for _, form in ipairs { "+" .. example.digits, "00" .. example.digits, example.international } do
          local digits, _, message = read(form, region)
          assert.are.equal(example.digits, digits, ("%s in %s: %s"):format(form, region, tostring(message)))
        end
      end
    end
  end)

  it("integers are read", function()
    assert.are.equal("12345678901", read(2345678901, "US"))
    assert.are.equal("4915123456789", read(15123456789, "DE"))
    assert.are.equal("4915123456789", read(4915123456789, "DE"))
  end)

  it("the form of the API is read as such", function()
    for _, example in ipairs(examples()) do
      local digits, _, message = read(example.digits, example.region)
      if #example.digits >= 11 then
        assert.are.equal(example.digits, digits, ("%s %s"):format(example.digits, tostring(message)))
      end
    end
  end)

  it("what is dialled before an international number is known", function()
    assert.are.equal("49301234567", read("011 49 30 1234567", "US"))
    assert.are.equal("49301234567", read("0011 49 30 1234567", "AU"))
    assert.are.equal("16455550123", read("0011 1 645 555 0123", "AU"))
    -- 005 is dialled before a country code in Colombia, whose own code is 57.
    assert.are.equal("573211234567", read("00573211234567", "CO"))
  end)

  it("numbers that are not possible are refused with the reason", function()
    for _, case in ipairs {
      { "645555012", "US", "phone_region_short", "country code 1" },
      { "+44 20", "DE", "phone_region_short", "country code 44" },
      { "23456789012", "US", "phone_region_long", "country code 1" },
      { "+44 20 7946 0000 12", "DE", "phone_region_long", "country code 44" },
      { "+681 2345678", "DE", "phone_region_length", "country code 681" },
      { "253-0000", "US", "phone_region_local", "area code" },
      { "+999 1234567", "DE", "phone_region_country", "country code" },
      { "0", "DE", "phone_region_none", "region DE" },
      { "12345678901", "DE", "phone_region_ambiguous", "11 digits" },
    } do
      local digits, code, message = read(case[1], case[2])
      assert.is_nil(digits, case[1])
      assert.are.equal(case[3], code, case[1])
      assert.is_truthy(message:find(case[4], 1, true), message)
    end
  end)

  it("what holds for every country comes before it", function()
    for phone, code in pairs {
      ["+49 30 1234567 ext. 5"] = "phone_extension",
      ["030 1234567x5"] = "phone_extension",
      ["030 1234567 #12"] = "phone_extension",
      ["12345678901.5"] = "phone_fraction",
      ["30123456.0"] = "phone_fraction",
      ["1.51E+10"] = "phone_exponent",
      ["2024-05-17"] = "phone_date",
      ["17.05.2024"] = "phone_date",
      ["0301234567/0307654321"] = "phone_two_numbers",
      ["-0301234567"] = "phone_minus",
      ["0800 FLOWERS"] = "phone_character",
      ["(0)30 1234567"] = "phone_optional_zero",
      ["+0 30 1234567"] = "phone_leading_zero",
      [""] = "phone_empty",
      ["+"] = "phone_no_digits",
    } do
      assert.are.same({ nil, code }, { nil, (select(2, read(phone, "DE"))) }, phone)
    end
    assert.are.equal("phone_negative", (select(2, read(-301234567, "DE"))))
  end)

  it("7 to 15 digits are sent, and behind country code 1 there are 11", function()
    assert.are.equal("phone_length", (select(2, read("+49 89 123456789012", "DE")))) -- possible for libphonenumber
    assert.is_nil((read("+1 123 456 7890", "DE")))
  end)

  it("hostile bytes are refused", function()
    local long = { ("1"):rep(10240), ("0"):rep(10240), ("+49"):rep(4000), (" "):rep(10240), ("1 "):rep(499) }
    local others =
      { "\0", "030\0001234567", "+49\255301234567", "\237\160\128030123456", "\1\2\3", "٠٣٠١٢٣٤٥٦٧" }
    for _, list in ipairs { long, others } do
      for _, text in ipairs(list) do
        assert.is_nil((read(text, "DE")))
        assert.is_nil((read(text, "EG")))
      end
    end
    for length = 1, 40 do
      for digit = 0, 9 do
        local digits = read(tostring(digit):rep(length), "DE")
        assert.is_true(digits == nil or digits:find "^%d+$" and #digits >= 7 and #digits <= 15)
      end
    end
  end)
end)

describe("a region", function()
  it("that is unknown is refused with the nearest one", function()
    for given, nearest in pairs { UK = "GB", us = "US", de = "DE", XX = "%u%u", DR = "%u%u" } do
      local client, failure = heymarket.new(config(given))
      assert.is_nil(client)
      assert.are.equal("default_country", failure.issues[1].field)
      assert.are.equal("option_region", failure.issues[1].code)
      assert.is_truthy(tostring(failure):find('did you mean "' .. nearest .. '"'), tostring(failure))
    end
  end)

  it("of other letters is refused with both forms", function()
    for _, given in ipairs { "DEU", "Germany", "D", "D\0", "DE\0", "D1" } do
      local client, failure = heymarket.new(config(given))
      assert.is_nil(client)
      assert.is_truthy(tostring(failure):find('"DE"', 1, true))
      assert.is_truthy(tostring(failure):find('"49"', 1, true))
    end
  end)

  it("can be that of the client or of the call", function()
    local api = heymarket.sandbox.new()
    local client = assert(api:client { default_country = "GB" })
    assert.are.equal(1, assert(client:create_contacts { { phone = "07911 123456" } }).accepted)
    assert.are.equal(
      1,
      assert(client:create_contacts({ { phone = "030 1234567" } }, { default_country = "DE" })).accepted
    )
    assert.is_truthy(api:get "447911123456")
    assert.is_truthy(api:get "49301234567")
  end)
end)

describe("numbers that are possible, but in no range that libphonenumber knows", function()
  -- Area codes of the United States that are in use; release 8.12.57 knows none of them.
  local PHONES = { "645 555 0123", "728 555 0123", "686 555 0123", "483 555 0123", "557 555 0123" }
  local DIGITS = { "16455550123", "17285550123", "16865550123", "14835550123", "15575550123" }
  local api, client
  before_each(function()
    api = heymarket.sandbox.new()
    client = assert(api:client { default_country = "US" })
  end)
  after_each(function()
    client:close()
  end)

  local function contacts()
    local made = { { phone = "202 456 1414" } }
    for _, phone in ipairs(PHONES) do
      made[#made + 1] = { phone = phone }
    end
    return made
  end

  local function csv(rows)
    local handle = assert(io.tmpfile())
    handle:write("phone,first\n", table.concat(rows, "\n"), "\n")
    handle:seek "set"
    return assert(heymarket.csv.open(handle))
  end

  local function all_stored()
    for _, digits in ipairs(DIGITS) do
      assert.is_truthy(api:get(digits), digits)
    end
  end

  it("are sent and counted by create_contacts", function()
    local report = assert(client:create_contacts(contacts()))
    assert.are.equal(6, report.accepted)
    assert.are.equal(5, report.doubtful_phones)
    all_stored()
  end)

  it("are sent and counted by import, from an array and from a function", function()
    local report = assert(client:import(contacts(), { batch_size = 2 }))
    assert.are.equal(6, report.accepted)
    assert.are.equal(5, report.doubtful_phones)
    all_stored()
    local list, i = contacts(), 0
    report = assert(client:import(function()
      i = i + 1
      return list[i]
    end))
    assert.are.equal(5, report.doubtful_phones)
  end)

  it("are sent and counted from CSV, whole batches, parts of them, and odd rows", function()
    local rows = { "202 456 1414,A", '"645 555\n0123",B', "202 456,short", "" }
    for i = 2, 5 do
      rows[#rows + 1] = PHONES[i] .. ",C"
    end
    rows[#rows + 1] = "030 1234567,too long or short"
    for size = 1, 9 do
      api = heymarket.sandbox.new { refused_phones = { "17285550123" } }
      client = assert(api:client { default_country = "US" })
      local report = assert(client:import(csv(rows), { batch_size = size, overwrite = true }))
      assert.are.equal(5, report.doubtful_phones, size)
      assert.are.equal(5, report.accepted, size)
      assert.are.equal(2, report.invalid, size)
      assert.is_truthy(api:get "16455550123")
    end
  end)

  it("of invalid contacts do not count", function()
    local report = assert(client:import { { phone = PHONES[1], email = "none" }, { phone = PHONES[2] } })
    assert.are.equal(1, report.doubtful_phones)
  end)

  it("are not looked for without a region", function()
    local report = assert(client:import(contacts(), { default_country = "1" }))
    assert.are.equal(6, report.accepted)
    assert.are.equal(0, report.doubtful_phones)
  end)
end)

describe("a CSV file and a region", function()
  it("give what contacts in Lua give", function()
    local phones = {
      "030 1",
      "4915123456789",
      "+44 7911 123456",
      "0151 23456789",
      "12345678901",
      "0043 664 123456",
      "x",
      "2024-05-17",
    }
    for _, example in ipairs(examples()) do
      phones[#phones + 1] = example.national
      phones[#phones + 1] = example.international
    end
    for _, region in ipairs { "DE", "US" } do
      local handle = assert(io.tmpfile())
      handle:write("phone\n", table.concat(phones, "\n"), "\n")
      handle:seek "set"
      local source, at = assert(heymarket.csv.open(handle)), 0
      local entries = source:take(100, region, 0)
      while entries[1] do
        for _, entry in ipairs(entries) do
          at = at + 1
          local digits, code = read(phones[at], region)
          assert.are.equal(digits, entry.phone, phones[at])
          assert.are.equal(code, entry.problem and entry.problem.issues[1].code, phones[at])
        end
        entries = source:take(100, region, at)
      end
      assert.are.equal(#phones, at)
    end
  end)
end)
