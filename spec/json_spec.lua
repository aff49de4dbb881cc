local json = require "heymarket.util.json"
local process = require "spec.support.process"
local rows = require "heymarket.rows"

local math_type = rawget(math, "type")

-- Texts that are JSON, and texts that are not, though lenient readers take many of them.
local GOOD = {
  "null",
  "true",
  " false ",
  "\t\r\n 0 \t\r\n",
  "-0",
  "1.5",
  "1e5",
  "1E+5",
  "1.0e-05",
  "[]",
  "[ ]",
  "{}",
  "{ }",
  '[1,"a",null,{"b":[{}]}]',
  '{"a":1,"A":2,"":3," ":4}',
  '{"a":{"a":{"a":1}},"b":{"a":2}}',
  '[{"a":1},{"a":2}]',
  '"\\u0000"',
  '"\\ud83d\\ude00 \\/ \\" \\\\ \\b\\f\\n\\r\\t"',
  '"\127"',
  '"\194\128\226\128\168\239\187\191"',
  '"\244\143\191\191"',
  '{"a":1,"a\\u0000":2}',
}

local BAD = {
  "",
  " ",
  "nul",
  "nulll",
  "True",
  "NaN",
  "-NaN",
  "nan",
  "Infinity",
  "-Infinity",
  "inf",
  "undefined",
  "0x10",
  "0X1F",
  "01",
  "-01",
  "00",
  "+1",
  ".5",
  "-.5",
  "5.",
  "5.e1",
  "1e",
  "1e+",
  "1.2.3",
  "1 2",
  "--1",
  "-",
  "1_000",
  "1,5",
  "1f",
  "'a'",
  "[1,]",
  "[,1]",
  "[1,,2]",
  "[1 2]",
  "[1",
  "[1}",
  "[",
  "]",
  "[]]",
  "[][]",
  "[] []",
  "[]1",
  '{"a"}',
  '{"a":}',
  '{"a":1,}',
  "{,}",
  '{"a":1 "b":2}',
  '{"a" 1}',
  "{a:1}",
  "{'a':1}",
  "{1:2}",
  "{null:1}",
  '{"a":1',
  '{"a":1]',
  '{"a":1}}',
  '"a',
  'a"',
  '"a"b"',
  '"\n"',
  '"\t"',
  '"\0"',
  '"\31"',
  "\0",
  "[]\0",
  "\0[]",
  "[\0]",
  "[1\0]",
  "[]\11",
  "[]\12",
  "[\11]",
  "\194\160[]",
  "[]\226\128\168",
  "\239\187\191[]",
  "\255\254[\0]\0",
  "/* x */ []",
  "[] // x",
  "[1] # x",
  '"\\x41"',
  '"\\u12"',
  '"\\u12g4"',
  '"\\U0041"',
  '"\\a"',
  '"\\"',
  '"\\u{41}"',
  '"\128"',
  '"\192\128"',
  '"\224\128\128"',
  '"\237\160\128"',
  '"\244\144\128\128"',
  '"\245\128\128\128"',
  '"\195"',
  '"\195("',
  '"\226\130"',
  '"\240\159\152"',
  '{"a":1,"a":1}',
  '{"a":1,"b":2,"a":3}',
  '{"phone":"1","\\u0070hone":"2"}',
  '{"\\u0070\\u0068one":"1","ph\\u006fne":"2"}',
  '{"":1,"":2}',
  '{"\\/":1,"/":2}',
  '{"\\ud83d\\ude00":1,"\240\159\152\128":2}',
  '[{"x":{"a":1,"c":[{"a":1}],"a":2}}]',
}

-- Python's reader lets half a surrogate pair pass.
local HALVES = {
  '"\\ud800"',
  '"\\udc00"',
  '"\\ud800x"',
  '"\\ud800\\n"',
  '"\\ud800\\ud800"',
  '"\\udc00\\ud800"',
  '"\\ud800\\u0041"',
  '{"\\udfff":1}',
}

local function many_names(count, last)
  local members = {}
  for i = 1, count do
    members[i] = ('"n%d":%d'):format(i, i)
  end
  members[count + 1] = '"' .. last .. '":0'
  return "{" .. table.concat(members, ",") .. "}"
end

describe("a JSON text", function()
  it("is read where it is one", function()
    for _, text in ipairs(GOOD) do
      local ok, why = json.decode(text)
      assert.is_true(ok, text .. ": " .. tostring(why))
    end
  end)

  it("is refused where it is none, or has two members of one name", function()
    for _, list in ipairs { BAD, HALVES } do
      for _, text in ipairs(list) do
        local ok, why = json.decode(text)
        assert.is_false(ok, text)
        assert.is_truthy(why:find "at byte %d+$", why)
      end
    end
  end)

  it("is judged as Python judges it", function()
    local lines, good = {}, {}
    for _, list in ipairs { GOOD, BAD } do
      for _, text in ipairs(list) do
        if not text:find "[\r\n]" then
          lines[#lines + 1] = text
          good[#good + 1] = list == GOOD
        end
      end
    end
    local said = process.python("json_witness.py values", table.concat(lines, "\n") .. "\n")
    assert.are.equal(#lines, #said)
    for i, line in ipairs(said) do
      assert.are.equal(good[i], not line:find "^INVALID", lines[i] .. ": " .. line)
    end
  end)

  it("is refused wherever it is cut", function()
    local text = '[{"phone":"12345678900","n":-1.5e3,"t":[true,null,{}],"s":"\\ud83d\\ude00\195\182"}]'
    assert.is_true((json.decode(text)))
    for length = 0, #text - 1 do
      assert.is_false((json.decode(text:sub(1, length))), length)
    end
  end)

  it("may have many members, but not two of one name", function()
    for _, count in ipairs { 1, 7, 8, 9, 100, 5000 } do
      assert.is_true((json.decode(many_names(count, "other"))))
      assert.is_false((json.decode(many_names(count, "n1"))))
      assert.is_false((json.decode(many_names(count, "n" .. count))))
      assert.is_false((json.decode(many_names(count, "\\u006e" .. math.ceil(count / 2)))))
    end
  end)

  it("is read to a depth of 100 levels, without recursion beyond", function()
    for _, pair in ipairs { { "[", "]" }, { '{"a":', "}" } } do
      local function nested(depth)
        return pair[1]:rep(depth - 1) .. "{}" .. pair[2]:rep(depth - 1)
      end
      local ok, _, facts = json.decode(nested(100))
      assert.is_true(ok)
      assert.are.equal(100, facts.depth)
      for _, depth in ipairs { 101, 1000, 1000000 } do
        assert.is_false((json.decode(nested(depth))))
        assert.is_false((json.decode(pair[1]:rep(depth))))
      end
    end
  end)

  it("has a bounded number of values", function()
    assert.is_true((json.decode("[" .. ("1,"):rep(499998) .. "1]")))
    local ok, why = json.decode("[" .. ("1,"):rep(499999) .. "1]")
    assert.is_false(ok)
    assert.is_truthy(why:find("too many values", 1, true))
    assert.is_false((json.decode("[" .. ("[],"):rep(2000000) .. "[]]")))
  end)

  it("costs time in line with its length", function()
    -- With a hash that an attacker knows, or names compared each with each, this would take minutes.
    local names = {}
    for i = 1, 200000 do
      names[i] = ('"%d":0'):format(i)
    end
    assert.is_true((json.decode("{" .. table.concat(names, ",") .. "}")))
  end)
end)

describe("a number", function()
  local function read(text)
    local ok, value = json.decode(text)
    assert.is_true(ok)
    return value
  end

  it("that is whole keeps its digits", function()
    for _, text in ipairs {
      "0",
      "1",
      "-1",
      "12345678900",
      "9007199254740991",
      "-9007199254740991",
      "9007199254740992",
      "9007199254740993",
      "-9007199254740993",
      "9223372036854775807",
      "-9223372036854775808",
      "9223372036854775808",
      "-9223372036854775809",
      "18446744073709551616",
      ("123456789"):rep(20),
    } do
      local value = read(text)
      local shown = type(value) == "number" and json.encode(value) or value
      assert.are.equal(text, shown)
      if math_type then
        local fits = #text < 19 or text == "9223372036854775807" or text == "-9223372036854775808"
        assert.are.equal(fits and "integer" or nil, math_type(value), text)
      else
        assert.are.equal(#text < 16 and "number" or type(value), type(value), text)
      end
    end
    assert.are.equal("string", type(read "9223372036854775808"))
    assert.are.equal(math_type and "number" or "string", type(read "9007199254740993"))
  end)

  it("that is beyond a double keeps its text", function()
    for _, text in ipairs {
      "1e400",
      "-1e400",
      "1E+309",
      "1e-400",
      "-1.5e-999",
      "1e99999999999999999999",
      "12345678901234567.5",
      "9007199254740993.0",
    } do
      assert.are.equal(text, read(text))
    end
  end)

  it("with a point or an exponent is a number where a double holds it", function()
    for text, value in pairs {
      ["0.1"] = 0.1,
      ["-0.1"] = -0.1,
      ["1.5"] = 1.5,
      ["0.0"] = 0,
      ["0e400"] = 0,
      ["1e2"] = 100,
      ["1e22"] = 1e22,
      ["5e-324"] = 5e-324,
      ["1.7976931348623157e308"] = 1.7976931348623157e308,
      ["0.30000000000000004"] = 0.1 + 0.2,
      ["123456789012345.5"] = 123456789012345.5,
    } do
      assert.are.equal(value, read(text), text)
      assert.are.equal(value, read(json.encode(read(text))), text)
    end
  end)
end)

describe("what is read", function()
  it("is written so that it gives the same again", function()
    for _, text in ipairs {
      "[]",
      "{}",
      "[[],{},[[]],[{}]]",
      '{"a":[],"b":{},"c":[null],"d":[null,1,null]}',
      '["\\u0001","\\u0002x","\\u0003",["\\u0003"],"\\u00011.5","\\u0004"]',
      '{"\\u0001":"\\u0001","\\u0002":1,"\\u0003":[]}',
      '[false,true,0,-1,1.5,"9007199254740993x"]',
      '["\\u0000","\\u001b","\195\182","\240\159\152\128"]',
      '{"1":"a","2":"b"}',
    } do
      local ok, value = json.decode(text)
      assert.is_true(ok)
      assert.are.equal(text, json.encode(value))
    end
  end)

  it("keeps nulls in arrays, and leaves them out of objects", function()
    local cjson = require "cjson"
    local _, value = json.decode '{"list":[null,false,null],"gone":null}'
    assert.are.equal(3, #value.list)
    assert.are.equal(cjson.null, value.list[1])
    assert.are.equal(json.null, value.list[3])
    assert.is_false(value.list[2])
    assert.is_nil(value.gone)
    assert.are.equal('{"list":[null,false,null]}', json.encode(value))
    local ok, nothing = json.decode "null"
    assert.is_true(ok)
    assert.is_nil(nothing)
  end)

  it("tells which numbers had a point or an exponent", function()
    local _, value, facts = json.decode '[{"a":1.0,"b":1,"c":"1.0"},{"a":2}]'
    assert.are.same({ a = "1.0" }, facts.fractions[value[1]])
    assert.is_nil(facts.fractions[value[2]])
  end)
end)

describe("what is kept of a value", function()
  local LIMITS = { bytes = 100, values = 10, depth = 3 }

  it("is all of it where it is small", function()
    for _, text in ipairs { "1", '"x"', "[1,2,3]", '{"a":{"b":{}}}', "[]" } do
      local _, value = json.decode(text)
      local kept, cut = json.bounded(value, LIMITS)
      assert.is_true(rawequal(value, kept))
      assert.is_false(cut)
    end
  end)

  it("is the small fields of an object, and the first items of an array", function()
    local big = ("x"):rep(200)
    for text, expected in pairs {
      ['{"phone":"1","id":7,"note":"' .. big .. '"}'] = '{"id":7,"phone":"1"}',
      ['{"a":{"b":{"c":{}}},"id":7}'] = '{"id":7}',
      ['{"list":[1,2,3,4,5,6,7,8,9,10,11],"id":7}'] = '{"id":7}',
      ["[1,2,3,4,5,6,7,8,9,10,11,12]"] = "[1,2,3,4,5,6,7,8,9]",
      ['["' .. big .. '",1]'] = "[]",
      ['{"a":"' .. big .. '"}'] = "{}",
      ['"' .. big .. '"'] = "null",
    } do
      local _, value = json.decode(text)
      local kept, cut = json.bounded(value, LIMITS)
      assert.are.equal(expected, json.encode(kept))
      assert.is_true(cut)
    end
  end)
end)

describe("the check in C", function()
  it("refuses arguments that it cannot take", function()
    for _, arguments in ipairs { {}, { "x" }, { {}, 1 }, { "x", -1 }, { "x", 1.5 }, { "x", "y" } } do
      assert.is_false((pcall(rows.json_check, arguments[1], arguments[2])))
    end
  end)

  it("returns a text unchanged that needs no marks", function()
    local text = ' [ {"a" : 1 , "b":[true,"\\u0041"]} ] '
    assert.are.same({ text, 3, 6 }, { rows.json_check(text, 100) })
  end)
end)
