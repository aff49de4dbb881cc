-- The section "Phones" of the interface, number by number.

local heymarket = require "heymarket"
local phone = require "heymarket.contact.phone"
local process = require "spec.support.process"
local rounds = require "spec.support.rounds"
local sandbox = require "heymarket.sandbox"

local NBSP, NARROW, THIN, IDEOGRAPHIC = "\194\160", "\226\128\175", "\226\128\137", "\227\128\128"
local ZERO_WIDTH, MARK, SOFT = "\226\128\139", "\239\187\191", "\194\173"
local LEFT, RIGHT, EMBED, POP = "\226\128\142", "\226\128\143", "\226\128\170", "\226\128\172"
local HYPHEN, NO_BREAK_HYPHEN, EN_DASH, EM_DASH, MINUS =
  "\226\128\144", "\226\128\145", "\226\128\147", "\226\128\148", "\226\136\146"

-- By default country ("none": not set): what is written, and the digits that are sent, or a part of the message with
-- which it is refused (it begins with "!").
local TABLE = {
  none = {
    -- International with + or 00.
    { "+12025550001", "12025550001" },
    { "+1 (202) 555-0001", "12025550001" },
    { "+1.202.555.0001", "12025550001" },
    { "+1/202/555/0001", "12025550001" },
    { "+1-202-555-0001", "12025550001" },
    { "+ 1 202 555 0001", "12025550001" },
    { "(+1) 202 555 0001", "12025550001" },
    { "+(1)2025550001", "12025550001" },
    { "0012025550001", "12025550001" },
    { "00 1 202 555 0001", "12025550001" },
    { "(00) 1 202 555 0001", "12025550001" },
    { "0 0 1 202 555 0001", "12025550001" },
    { "+44 20 7946 0958", "442079460958" },
    { "+49 30 1234567", "49301234567" },
    { "+49-30/123 45-67", "49301234567" },
    { "0049 30 1234567", "49301234567" },
    { "+33 6 12 34 56 78", "33612345678" },
    { "+354 123 4567", "3541234567" },
    { "+298 30 12 34", "298301234" },
    { "+290 1234", "2901234" },
    { "002901234", "2901234" },
    { "+882 1234 5678 9012", "882123456789012" },
    { "+39 06 1234567", "39061234567" },
    { "+39 (06) 1234567", "39061234567" },
    { "+225 01 23 45 67 89", "2250123456789" },
    { "+229 (01) 97 12 34 56", "2290197123456" },
    { "+7 912 345-67-89", "79123456789" },
    { "+8613812345678", "8613812345678" },
    { "+2024-01-02", "20240102" },
    { "++12025550001", "!holds + twice" },
    { "+1+2025550001", "!holds + after 1 digit" },
    { "12025550001+", "!holds + after 11 digits" },
    { "0049+301234567", "!holds + after 4 digits" },
    { "+0049301234567", "!has a 0 where its country code begins" },
    { "+ 00 49 30 1234567", "!has a 0 where its country code begins" },
    { "+0 301 234 5678", "!has a 0 where its country code begins" },
    { "000 301 234 5678", "!has a 0 where its country code begins" },
    { "+290123", "!has 6 digits" },
    { "+1234567890123456", "!has 16 digits" },
    { "+9234567890123456", "!has 16 digits" },
    { "009234567890123456", "!has 16 digits" },
    { "+", "!holds no digits" },
    { "00", "!has 0 digits" },
    -- Country code 1.
    { "+1 999 555 0001", "19995550001" },
    { "+1 202 155 0001", "12021550001" },
    { "+1 102 555 0001", "!area code that begins with 1" },
    { "+1 002 555 0001", "!area code that begins with 0" },
    { "11025550001", "!area code that begins with 1" },
    { "10025550001", "!area code that begins with 0" },
    { "+1202555000", "!has 10 digits: a number of country code 1 has 11" },
    { "+120255500012", "!has 12 digits: a number of country code 1 has 11" },
    { "120255500012", "!has 12 digits: a number of country code 1 has 11" },
    { "123456789012345", "!has 15 digits: a number of country code 1 has 11" },
    { "+1 555 0001", "!has 8 digits: a number of country code 1 has 11" },
    { "+1234567", "!has 7 digits: a number of country code 1 has 11" },
    -- A bracketed 0.
    { "+44 (0)20 7946 0958", "442079460958" },
    { "+44(0)2079460958", "442079460958" },
    { "+44 (0) 20 7946 0958", "442079460958" },
    { "+44 ( 0 ) 20 7946 0958", "442079460958" },
    { "+44-(0)20-7946-0958", "442079460958" },
    { "(+44) (0)20 7946 0958", "442079460958" },
    { "0044 (0)20 7946 0958", "442079460958" },
    { "+49 (0)30 1234567", "49301234567" },
    { "+353 (0)1 234 5678", "35312345678" },
    { "+1 (0) 202 555 0001", "12025550001" },
    { "+7 (0) 912 345 67 89", "79123456789" },
    { "(0)20 7946 0958", "!holds (0)" },
    { "(0) 1 202 555 0001", "!holds (0)" },
    { "44 (0)20 7946 0958", "!holds (0)" },
    { "12025550001 (0)", "!holds (0)" },
    { "+(0)44 20 7946 0958", "!holds (0)" },
    { "+44 20 (0)7946 0958", "!holds (0)" },
    { "+4 (0)20 7946 0958", "!holds (0)" },
    { "+442 (0)7946 0958", "!holds (0)" },
    { "+44 (0)(0)20 7946 0958", "!holds (0) twice" },
    { "(020) 7946 (0) 958", "!holds (0)" },
    { "(0202) 555 0001 (0)", "!holds (0)" },
    { "+44 (020) (0) 7946 0958", "!area code (020)" },
    { "+39 (0)6 1234567", "!holds (0), but behind the country code 39" },
    { "+225 (0)1 23 45 67 89", "!holds (0), but behind the country code 225" },
    { "+44 (020) 7946 0958", "!area code (020)" },
    { "+49 (030) 1234567", "!area code (030)" },
    -- Without +.
    { "12025550001", "12025550001" },
    { "1 202 555 0001", "12025550001" },
    { "(1) 202-555-0001", "12025550001" },
    { "442079460958", "442079460958" },
    { "44 20 7946 0958", "442079460958" },
    { "49301234567", "49301234567" },
    { "882123456789012", "882123456789012" },
    { "8821234567890123", "!has 16 digits" },
    { "2025550001", "!has 10 digits and no country code" },
    { "(202) 555-0001", "!has 10 digits and no country code" },
    { "202.555.0001", "!has 10 digits and no country code" },
    { "3541234567", "!has 10 digits and no country code" },
    { "298301234", "!has 9 digits and no country code" },
    { "12345678", "!has 8 digits and no country code" },
    { "1234567", "!has 7 digits and no country code" },
    { "555-0001", "!has 7 digits and no country code" },
    { "123456", "!has 6 digits" },
    { "1", "!has 1 digit:" },
    { "02079460958", "!has a 0 where its country code begins" },
    { "020 7946 0958", "!has a 0 where its country code begins" },
    { "0123456", "!has a 0 where its country code begins" },
    -- What is dropped.
    { "  12025550001  ", "12025550001" },
    { "\t12025550001\r\n", "12025550001" },
    { "1\t202\n555\v00\f01", "12025550001" },
    { "+1" .. NBSP .. "202" .. NBSP .. "555" .. NBSP .. "0001", "12025550001" },
    { "+49" .. NARROW .. "30" .. THIN .. "1234567", "49301234567" },
    { "+81" .. IDEOGRAPHIC .. "3" .. IDEOGRAPHIC .. "1234" .. IDEOGRAPHIC .. "5678", "81312345678" },
    { NBSP .. "+12025550001" .. NBSP, "12025550001" },
    { MARK .. "12025550001", "12025550001" },
    { "12025" .. ZERO_WIDTH .. "550001" .. ZERO_WIDTH, "12025550001" },
    { "1202" .. SOFT .. "5550001", "12025550001" },
    { EMBED .. "+1 (202) 555-0001" .. POP, "12025550001" },
    { LEFT .. "+12025550001" .. RIGHT, "12025550001" },
    { "+1 202" .. HYPHEN .. "555" .. NO_BREAK_HYPHEN .. "0001", "12025550001" },
    { "+1 202" .. EN_DASH .. "555" .. MINUS .. "0001", "12025550001" },
    { "'+12025550001", "12025550001" },
    { "'12025550001", "12025550001" },
    { " ' +12025550001", "12025550001" },
    { ZERO_WIDTH .. "'+12025550001", "12025550001" },
    { "tel:+12025550001", "12025550001" },
    { "TEL:+1-202-555-0001", "12025550001" },
    { "Tel: +1 202 555 0001", "12025550001" },
    { "'tel:+12025550001", "12025550001" },
    { "tel:0049301234567", "49301234567" },
    { "-.()/", "!minus" },
    { "()./", "!holds no digits" },
    { "", "!is empty" },
    { "   ", "!is empty" },
    { NBSP .. ZERO_WIDTH, "!is empty" },
    { "'", "!is empty" },
    { "tel:", "!is empty" },
    -- What is no part of a number.
    { "''12025550001", '!holds "\'" at its beginning' },
    { "12025550001'", '!holds "\'" after 11 digits' },
    { "+12025550001tel:", '!holds "t" after 11 digits' },
    { "phone: 12025550001", '!holds "p" at its beginning' },
    { "12025550001a", '!holds "a" after 11 digits' },
    { "1202555O001", '!holds "O" after 7 digits' },
    { "1-800-FLOWERS", '!holds "F" after 4 digits' },
    { "12025550001 x12", "!holds an extension after 11 digits" },
    { "12025550001x1", "!holds an extension after 11 digits" },
    { "12025550001 ext. 5", "!holds an extension after 11 digits" },
    { "12025550001 Ext 5", "!holds an extension after 11 digits" },
    { "tel:+12025550001;ext=5", "!holds an extension after 11 digits" },
    { "12025550001 #5", "!holds an extension after 11 digits" },
    { "+1 202 555 0001, +1 202 555 0002", '!holds two numbers, with "," between them' },
    { "12025550001;12025550002", '!holds two numbers, with ";" between them' },
    { "+12025550001 +12025550002", '!holds two numbers, with "+" between them' },
    { "12025550001 ::: 12025550002", '!holds ":" after 11 digits' },
    { "1_202_555_0001", '!holds "_" after 1 digit:' },
    { "*12025550001", '!holds "*" at its beginning' },
    { '"12025550001"', '!holds """ at its beginning' },
    { "12025550001\0", "!holds U+0000 (a NUL) after 11 digits" },
    { "12025550001\127", "!holds U+007F" },
    { "12025550001\160", "!holds the byte 0xA0" },
    { "\128\1292025550001", "!holds the byte 0x80" },
    { "+1 202" .. EM_DASH .. "555 0001", "!holds U+2014" },
    { "\239\188\145\239\188\146025550001", "!holds U+FF11" },
    { "\217\161\217\1622025550001", "!holds U+0661" },
    { "\226\128\15312025550001", "!holds U+2019" },
    -- The shapes of other things.
    { "12345678901.5", "!is a fraction" },
    { "12345678901.50", "!is a fraction" },
    { "12025550001.0", "!is a fraction" },
    { "12025550001.00", "!is a fraction" },
    { "12025550001.000000", "!is a fraction" },
    { "+12025550001.0", "!is a fraction" },
    { "'12025550001.0", "!is a fraction" },
    { " 12025550001.0 ", "!is a fraction" },
    { "1202555.0000", "!is a fraction" },
    { "1202.5550001", "12025550001" },
    { "120255500.012", "!has 12 digits" },
    { "4420794609.581", "4420794609581" },
    { "12025550001.", "12025550001" },
    { "1.202.555.00.01", "12025550001" },
    { "-12345678901", "!begins with a minus sign" },
    { "- 12025550001", "!begins with a minus sign" },
    { " -12025550001", "!begins with a minus sign" },
    { "'-12025550001", "!begins with a minus sign" },
    { MINUS .. "12025550001", "!begins with a minus sign" },
    { EN_DASH .. "12025550001", "!begins with a minus sign" },
    { "1.20255E+10", "!exponent" },
    { "1,20255E+10", "!exponent" },
    { "1.20255e10", "!exponent" },
    { "1E10", "!exponent" },
    { "12025550001e0", "!exponent" },
    { "+4.42079E+11", "!exponent" },
    { "2024-01-02", "!shape of a date" },
    { "2024.01.02", "!shape of a date" },
    { "2024/01/02", "!shape of a date" },
    { "2024-1-2", "!shape of a date" },
    { "02.01.2024", "!shape of a date" },
    { "02.01.2024.", "!shape of a date" },
    { "2. 1. 2024", "!shape of a date" },
    { "31/12/1999", "!shape of a date" },
    { "12/31/1999", "!shape of a date" },
    { "12-31-1999", "!shape of a date" },
    { "1/2/24", "!shape of a date" },
    { "1899-12-30", "!shape of a date" },
    { "2024-01-02 10.30", "!shape of a date" },
    { "2024" .. EN_DASH .. "01" .. EN_DASH .. "02", "!shape of a date" },
    { "2024-13-02", "!has 8 digits and no country code" },
    { "2024-01-32", "!has 8 digits and no country code" },
    { "20-2024-0123", "!has 10 digits and no country code" },
    { "4420-79-46-0958", "442079460958" },
    { "4420-7946-0958", "442079460958" },
    { "+1234567/8901234", "!holds two numbers with /" },
    { "1202555000/1202555", "!holds two numbers with /" },
    { "12025550001/12025550002", "!holds two numbers with /" },
    { "12025550001 / 555-0002", "!holds two numbers with /" },
    { "+49 30/1234567", "49301234567" },
    { "+4930123/45678", "493012345678" },
    { "49/301/2345/67", "49301234567" },
    -- Integers.
    { 12025550001, "12025550001" },
    { 442079460958, "442079460958" },
    { 882123456789012, "882123456789012" },
    { 2025550001, "!has 10 digits and no country code" },
    { 1234567, "!has 7 digits and no country code" },
    { 11025550001, "!area code" },
    { 1e14, "!has 15 digits: a number of country code 1" },
    { 2e14, "200000000000000" },
    { 1e15, "!has 16 digits" },
    { 0, "!0" },
    { -12025550001, "!negative" },
    { 12025550001.5, "!must be a string or an integer" },
  },
  ["1"] = {
    { "(202) 555-0001", "12025550001" },
    { "2025550001", "12025550001" },
    { 2025550001, "12025550001" },
    { "12025550001", "12025550001" },
    { 12025550001, "12025550001" },
    { "1-202-555-0001", "12025550001" },
    { "02025550001", "12025550001" },
    { "+442079460958", "442079460958" },
    { "00442079460958", "442079460958" },
    { "442079460958", "!begins neither with the country code 1 nor with 0" },
    { "49301234567", "!begins neither with the country code 1 nor with 0" },
    { "1202555000", "!area code that begins with 1" },
    { "555-0001", "!has 8 digits: a number of country code 1 has 11" },
    { "120255500012", "!has 12 digits: a number of country code 1 has 11" },
    { "2025550001.5", "!is a fraction" },
    { "01/02/24", "!shape of a date" },
    { "(0)2025550001", "!holds (0)" },
  },
  ["49"] = {
    { "030 1234567", "49301234567" },
    { "(030) 1234567", "49301234567" },
    { "030/1234567", "49301234567" },
    { "030-1234567", "49301234567" },
    { "30 1234567", "49301234567" },
    { "0171 1234567", "491711234567" },
    { "01711234567", "491711234567" },
    { "015112345678", "4915112345678" },
    { "49301234567", "49301234567" },
    { "4930123456", "494930123456" },
    { "491711234567", "491711234567" },
    { "+49 (0)30 1234567", "49301234567" },
    { "+43 1 2345678", "4312345678" },
    { "0043 1 2345678", "4312345678" },
    { "12345", "4912345" },
    { "1234", "!has 6 digits" },
    { "17112345678", "!begins neither with the country code 49 nor with 0" },
    { "43123456789", "!begins neither with the country code 49 nor with 0" },
    { "12025550001", "!begins neither with the country code 49 nor with 0" },
    { 12025550001, "!begins neither with the country code 49 nor with 0" },
    { 1711234567, "491711234567" },
    { "02.01.2024", "!shape of a date" },
    { "02.01.2024 10.30", "!shape of a date" },
    { "(0)30 1234567", "!holds (0)" },
    { "0123456789012345", "!has 17 digits" },
    { "0000 30 1234567", "!has a 0 where" },
  },
  ["44"] = {
    { "020 7946 0958", "442079460958" },
    { "07700 900123", "447700900123" },
    { "7700 900123", "447700900123" },
    { "442079460958", "442079460958" },
  },
  ["39"] = {
    { "06 1234567", "39061234567" },
    { "06 12345678", "390612345678" },
    { "393 123 4567", "393931234567" },
    { "3931234567", "393931234567" },
    { "393331234567", "393331234567" },
    { "333 123 4567", "393331234567" },
    { "+39 06 1234567", "39061234567" },
    { "33312345678", "!begins neither" },
  },
  ["378"] = { { "0549 123456", "3780549123456" }, { "66 123456", "37866123456" } },
  ["225"] = { { "01 23 45 67 89", "2250123456789" } },
  ["241"] = { { "06 12 34 56", "24106123456" } },
  ["242"] = { { "06 123 4567", "242061234567" } },
  ["7"] = {
    { "8 (912) 345-67-89", "79123456789" },
    { "89123456789", "79123456789" },
    { "912 345-67-89", "79123456789" },
    { "79123456789", "79123456789" },
    { "8123456789", "78123456789" },
    { "09123456789", "!begins with 0" },
    { "39123456789", "!begins neither with the country code 7 nor with 8" },
    { "+1 202 555 0001", "12025550001" },
  },
  ["36"] = {
    { "06 30 123 4567", "36301234567" },
    { "06 1 234 5678", "3612345678" },
    { "30 123 4567", "36301234567" },
    { "36301234567", "36301234567" },
    { "3630123456", "363630123456" },
    { "030 123 4567", "!begins with 0" },
    { "40301234567", "!begins neither with the country code 36 nor with 06" },
  },
  ["354"] = { { "581 2345", "3545812345" }, { "35458123456", "35458123456" } },
  as_is = {
    { "1234567", "1234567" },
    { "2025550001", "2025550001" },
    { "(202) 555-0001", "2025550001" },
    { "12025550001", "12025550001" },
    { "11025550001", "11025550001" },
    { "123456789012345", "123456789012345" },
    { 1234567, "1234567" },
    { 123456789012345, "123456789012345" },
    { "0301234567", "0301234567" },
    { "+49 30 1234567", "49301234567" },
    { "0049 30 1234567", "49301234567" },
    { "+1234567", "!has 7 digits: a number of country code 1" },
    { "123456", "!has 6 digits" },
    { "1234567890123456", "!has 16 digits" },
    { "2024-01-02", "!shape of a date" },
    { "1234567.5", "!is a fraction" },
    { "-1234567", "!begins with a minus sign" },
    { "(0)301234567", "!holds (0)" },
    { "1234567a", '!holds "a"' },
  },
}

local function country_of(name)
  if name == "none" then
    return nil
  elseif name == "as_is" then
    return false
  end
  return name
end

local function hex(text)
  return (text:gsub(".", function(character)
    return ("%02x"):format(character:byte())
  end))
end

local function bytes_of(digits)
  return (digits:gsub("%x%x", function(pair)
    return string.char(tonumber(pair, 16))
  end))
end

-- What a contact with this phone becomes: the digits, or nil and the message.
local function sent(given, country)
  local contact, failure = heymarket.contact({ phone = given }, { default_country = country })
  if contact then
    return contact.phone
  end
  assert.equal("invalid", failure.kind)
  assert.equal(1, #failure.issues)
  assert.equal("phone", failure.issues[1].field)
  return nil, failure.issues[1].message
end

describe("a phone", function()
  it("is sent as the digits that it means, or refused with what to do", function()
    local rows = 0
    for name, list in pairs(TABLE) do
      for _, row in ipairs(list) do
        local given, wanted = row[1], row[2]
        local digits, message = sent(given, country_of(name))
        local what = ("%s with %s"):format(tostring(given), name)
        if wanted:sub(1, 1) == "!" then
          assert.is_nil(digits, what .. " was sent as " .. tostring(digits))
          assert.is_truthy(message:find(wanted:sub(2), 1, true), what .. ": " .. message)
          assert.is_nil(message:find "%c", what)
        else
          assert.equal(wanted, digits, what .. ": " .. tostring(message))
        end
        rows = rows + 1
      end
    end
    assert.is_true(rows > 250, rows .. " rows")
  end)

  it("that is sent is one by the sandbox's own rule", function()
    local box = sandbox.new()
    local client = box:client { requests_per_minute = false }
    for name, list in pairs(TABLE) do
      local contacts, known = {}, {}
      for _, row in ipairs(list) do
        -- With false, a number that begins with 0 is sent as it is; it is for the server to refuse it.
        if row[2]:find "^[1-9]" and not known[row[2]] then
          known[row[2]] = true
          contacts[#contacts + 1] = { phone = row[1] }
        end
      end
      local report = assert(client:create_contacts(contacts, { overwrite = true, default_country = country_of(name) }))
      assert.equal(#contacts, report.accepted)
      for digits in pairs(known) do
        assert.is_truthy(box:get(digits), digits)
      end
    end
    client:close()
  end)

  it("may hold every blank and invisible mark that Unicode has", function()
    local blanks, marks = 0, 0
    for sort, character in
      process.output("/usr/bin/env python3 spec/support/phone_witness.py characters"):gmatch "(%l+) (%x+)\n"
    do
      character = bytes_of(character)
      local given = character .. "+1" .. character .. "202" .. character .. "5550001" .. character
      assert.equal("12025550001", (sent(given)), sort .. " " .. hex(character))
      blanks = blanks + (sort == "blank" and 1 or 0)
      marks = marks + (sort == "mark" and 1 or 0)
    end
    assert.equal(25, blanks)
    assert.equal(29, marks)
  end)

  it("is read as an independent program reads it", function()
    local seed = 20240416
    local function random(n)
      seed = (seed * 16807) % 2147483647
      return seed % n + 1
    end
    local function one_of(list)
      return list[random(#list)]
    end
    local COUNTRIES = { "", "", "false", "1", "49", "39", "7", "36", "44", "225", "354" }
    local CODES = { "1", "7", "20", "36", "39", "44", "49", "225", "229", "290", "354", "378", "4", "442", "999" }
    local SEPARATORS = { "", "", "", " ", "-", ".", "/", ") ", " (", NBSP, EN_DASH, ZERO_WIDTH, "--" }
    local ODD = { "+", "x", ",", "'", "E", "\0", EM_DASH, "(0)", "-", "/", "tel:", "\255", "e+1", "00", "0" }
    local function digits_of(length)
      local made = {}
      for i = 1, length do
        made[i] = random(10) - 1
      end
      return table.concat(made)
    end
    local function number()
      local kind = random(12)
      if kind == 1 then
        return one_of { digits_of(4), digits_of(2), tostring(1990 + random(40)) }
          .. one_of { "-", ".", "/", " . " }
          .. random(14)
          .. one_of { "-", ".", "/" }
          .. one_of { tostring(random(33)), tostring(1990 + random(40)), digits_of(random(5)) }
          .. one_of { "", "", ".", " 10.30" }
      elseif kind == 2 then
        return one_of { "", "+" } .. digits_of(6 + random(8)) .. one_of { ".", ",", "e" } .. digits_of(random(4))
      elseif kind == 3 then
        return digits_of(random(14)) .. "/" .. digits_of(random(9))
      end
      local parts =
        { one_of { "", "", "+", "+", "00", "'", "tel:", " ", "(+", "0", "-" }, one_of(CODES), one_of(SEPARATORS) }
      if random(4) == 1 then
        parts[#parts + 1] = one_of { "(0)", "(0) ", " ( 0 )", "(0" .. digits_of(2) .. ")", "(" .. digits_of(3) .. ")" }
      end
      for _ = 1, random(4) do
        parts[#parts + 1] = digits_of(random(5))
        parts[#parts + 1] = one_of(SEPARATORS)
      end
      if random(6) == 1 then
        table.insert(parts, random(#parts), one_of(ODD))
      end
      return table.concat(parts)
    end
    local cases, lines = {}, {}
    for i = 1, rounds(20000) do
      local country = one_of(COUNTRIES)
      cases[i] = { country, number() }
      lines[i] = hex(country) .. "\t" .. hex(cases[i][2]) .. "\n"
    end
    local said = process.python("phone_witness.py", table.concat(lines))
    assert.equal(#cases, #said)
    local taken, refused = 0, 0
    for i, case in ipairs(cases) do
      local country = case[1] ~= "" and case[1] or nil
      if country == "false" then
        country = false
      end
      local digits, message = phone.read(case[2], country)
      assert.equal(said[i], digits or "refused", ("%q with %q: %s"):format(case[2], case[1], tostring(message)))
      taken, refused = taken + (digits and 1 or 0), refused + (digits and 0 or 1)
    end
    assert.is_true(taken > #cases / 4 and refused > #cases / 4, taken .. " taken, " .. refused .. " refused")
  end)

  it("takes no longer for a megabyte of anything than in proportion", function()
    -- With work that grows with the square, each of these would take minutes.
    for _, piece in ipairs { " ", NBSP, "1", "1 ", "(", "(0)", "+", "/", "1/", "-", "0", "'", "a", "\128" } do
      local given = piece:rep(math.floor(1000000 / #piece))
      assert.is_nil((phone.read(given)))
      assert.is_nil((phone.read("1" .. given .. "x", "49")))
    end
  end)
end)

describe("a phone in an answer", function()
  it("is the digits that the server wrote", function()
    for given, digits in pairs {
      ["12025550001"] = "12025550001",
      ["+1 (202) 555-0001"] = "12025550001",
      ["0012025550001"] = "12025550001",
      ["2025550001"] = "2025550001",
      ["0301234567"] = "0301234567",
      ["+1234567"] = "1234567",
      ["1"] = "1",
      [12025550001] = "12025550001",
    } do
      assert.equal(digits, phone.of_answer(given))
    end
    local none =
      { "", "+", "x12025550001", "12025550001x", "-12025550001", "12025550001.0", "+1202555000/12025550001", 1.5 }
    for _, given in ipairs(none) do
      assert.is_nil(phone.of_answer(given))
    end
    for _, given in ipairs { -12025550001, 0, true, {}, 0 / 0, 1 / 0 } do
      assert.is_nil(phone.of_answer(given))
    end
  end)
end)
