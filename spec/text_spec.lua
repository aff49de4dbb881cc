local failure = require "heymarket.failure"
local input = require "spec.support.input"
local positions = require "spec.support.positions"
local process = require "spec.support.process"
local text = require "heymarket.util.text"

-- What Unicode says of each code point, as Python knows it: "N" for those of the categories Cc, Cf, Zl and Zp, which no
-- terminal shows as themselves; "L" for letters, digits, punctuation, symbols and the common blank.
local CATEGORIES = [[
import sys, unicodedata
for point in range(0x110000):
    category = unicodedata.category(chr(point))
    if category in ("Cc", "Cf", "Zl", "Zp"):
        print("N", "%04X" % point, chr(point).encode("utf-8").hex())
    elif category in ("Lu", "Ll", "Nd", "Po", "Sm", "So") and point % 7 == 0:
        print("L", "%04X" % point, chr(point).encode("utf-8").hex())
]]

describe("text.one_line", function()
  it("names every control and format character by its code point, and leaves letters and signs alone", function()
    local listed = process.with_file(CATEGORIES, function(path)
      return process.output("/usr/bin/env python3 " .. path)
    end)
    local named, left = 0, 0
    for sort, point, hex in listed:gmatch "(%u) (%x+) (%x+)\n" do
      local character = input.bytes_of(hex)
      local made = text.one_line("a" .. character .. "b")
      if sort == "L" then
        left = left + 1
        assert.equal("a" .. character .. "b", made)
      elseif character:find "^[\t-\r]$" then
        named = named + 1
        assert.equal("a b", made)
      else
        named = named + 1
        assert.equal("a<U+" .. point .. ">b", made)
      end
    end
    assert.is_true(named > 200 and left > 1000)
  end)

  it("names joiners, fillers and variation selectors, which hide in a name", function()
    for point, character in pairs {
      ["034F"] = "\205\143",
      ["115F"] = "\225\133\159",
      ["3164"] = "\227\133\164",
      ["FE0F"] = "\239\184\143",
      ["E0100"] = "\243\160\132\128",
      ["E0FFF"] = "\243\160\191\191",
    } do
      assert.equal("<U+" .. point .. ">", text.one_line(character))
    end
  end)

  it("names bytes that are not UTF-8, and no others", function()
    assert.equal("é<0xE9>é", text.one_line "é\233é")
    assert.equal("<0xC3>", text.one_line "\195")
    assert.equal("<0xE2><0x80>x", text.one_line "\226\128x")
    assert.equal("<0xED><0xA0><0x80>", text.one_line "\237\160\128")
    assert.equal("<0xF5><0x80><0x80><0x80>", text.one_line "\245\128\128\128")
    assert.equal("<0xC0><0xAF>", text.one_line "\192\175")
  end)

  it("makes one blank of each run of line breaks and tabs", function()
    assert.equal("a b c", text.one_line "a\r\n\t\nb\11c")
    assert.equal("a  b", text.one_line "a \nb")
  end)

  it("takes any value, even one that cannot be shown", function()
    assert.equal("12", text.one_line(12))
    assert.equal("nil", text.one_line(nil))
    local raises = setmetatable({}, {
      __tostring = function()
        error "no"
      end,
    })
    local wrong = setmetatable({}, {
      __tostring = function()
        return {}
      end,
    })
    assert.equal("a table that cannot be shown", text.one_line(raises))
    assert.equal("a table that cannot be shown", text.one_line(wrong))
    assert.equal("<U+0000>x", text.one_line "\0x")
  end)

  it("is what failures and their issues go through", function()
    local words, id = "a\27[31m\226\128\174b\nc", "r\194\155\226\129\166"
    local made = failure.make("unexpected", "server", { words = words }, { request_id = id })
    assert.equal("the server failed: a<U+001B>[31m<U+202E>b c", made.message)
    local line = "unexpected: the server failed: a<U+001B>[31m<U+202E>b c (request id r<U+009B><U+2066>)"
    assert.equal(line, tostring(made))
    local values = { words = "\239\187\191" }
    made = failure.invalid { { index = 1, field = "x\226\128\139", code = "option_one_of", values = values } }
    assert.same({ "x<U+200B>", "must be one of <U+FEFF>" }, { made.issues[1].field, made.issues[1].message })
    assert.equal("contact 1: x<U+200B> must be one of <U+FEFF>", made.message)
  end)

  it("takes long texts", function()
    local long = ("\27\255é\226\128\174"):rep(20000)
    assert.equal(("<U+001B><0xFF>é<U+202E>"):rep(20000), text.one_line(long))
  end)
end)

describe("text.utf8_of", function()
  it("writes every code point as Python does", function()
    local points, made = {}, {}
    for point in positions(0, 0x10FFFF) do
      points[#points + 1] = point
      made[#made + 1] = (point < 0xD800 or point >= 0xE000) and text.utf8_of(point) or nil
    end
    local program = (
      "import sys; sys.stdout.buffer.write(''.join("
      .. "chr(p) for p in range(%d, 0x110000, %d) if not 0xD800 <= p < 0xE000).encode())"
    ):format(points[1], points[2] - points[1])
    local wanted = process.with_file(program, function(path)
      return process.output("/usr/bin/env python3 " .. path)
    end)
    assert.is_true(table.concat(made) == wanted)
  end)
end)

describe("text.shortened", function()
  it("ends a longer text with an ellipsis, at a character", function()
    assert.equal("abc", text.shortened("abc", 3))
    assert.equal("a…", text.shortened("aéb", 2))
    assert.equal("", text.shortened("", 0))
  end)
end)

describe("text.beginning", function()
  it("is cut at a character, and only when the text is longer", function()
    for length = 1, 12 do
      local start, cut = text.beginning("aé€😀z", length)
      local whole = {
        "a",
        "a",
        "aé",
        "aé",
        "aé",
        "aé€",
        "aé€",
        "aé€",
        "aé€",
        "aé€😀",
        "aé€😀z",
        "aé€😀z",
      }
      assert.equal(whole[length], start)
      assert.equal(length < 11, cut)
    end
  end)
end)

describe("text.value", function()
  it("names line breaks, tabs, and every blank but the common one", function()
    local program = "import unicodedata\nfor point in range(0x110000):\n"
      .. " if unicodedata.category(chr(point)) == 'Zs' and point != 32:\n"
      .. "  print('%04X' % point, chr(point).encode('utf-8').hex())\n"
    local listed = process.with_file(program, function(path)
      return process.output("/usr/bin/env python3 " .. path)
    end)
    local count = 0
    for point, hex in listed:gmatch "(%x+) (%x+)\n" do
      count = count + 1
      assert.equal("a<U+" .. point .. ">", (text.value("a" .. input.bytes_of(hex), 60)))
      -- In a line of text these are blanks like others.
      assert.equal("a" .. input.bytes_of(hex), text.one_line("a" .. input.bytes_of(hex)))
    end
    assert.is_true(count > 10)
    assert.equal("a b<U+0009><U+000A><U+000D>", (text.value("a b\t\n\r", 60)))
    assert.equal("1<U+00A0>", text.shown "1\194\160")
    assert.same({ "ab", true }, { text.value("abc", 2) })
    assert.same({ "abc", false }, { text.value("abc", 3) })
  end)
end)

describe("text.safe_json", function()
  it("escapes what one_line names, and decodes to the same", function()
    local source = '{"a":"\226\128\174\226\128\168é\127\194\133\239\187\191\243\160\129\129"}'
    local made = text.safe_json(source)
    assert.equal([[{"a":"\u202e\u2028é\u007f\u0085\ufeff\udb40\udc41"}]], made)
    local same = process.with_file(source, function(first)
      return process.with_file(made, function(second)
        local program = "import json,sys; print(json.load(open(sys.argv[1])) == json.load(open(sys.argv[2])))"
        return process.output("/usr/bin/env python3 -c '" .. program .. "' " .. first .. " " .. second)
      end)
    end)
    assert.equal("True\n", same)
  end)
end)
