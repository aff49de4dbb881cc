--- http/date: dates of HTTP and Retry-After, compared with os.date.
local date = require "heymarket.http.date"
local fake = require "spec.support.fake"

local DAY = 86400

local function written(form, time)
  return os.date("!" .. form, time)
end

describe("a date of HTTP", function()
  local FORMS = { "%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT", "%a %b %d %H:%M:%S %Y" }

  it("is read in its three forms, whatever the day", function()
    local random = fake.random(3)
    for _ = 1, 300 do
      -- 1971 to 2068: two digits of a year mean no other year.
      local time = random(DAY * 365, DAY * 36000 - DAY * 365)
      for _, form in ipairs(FORMS) do
        assert.are.equal(time, date.parse(written(form, time)), written(form, time))
      end
    end
  end)

  it("may have a blank before the day in the form of asctime", function()
    assert.are.equal(784111777, date.parse "Sun Nov  6 08:49:37 1994")
  end)

  it("is read around leap days", function()
    for _, noon in ipairs { 951782400, 1709164800, 4107499200 } do
      for day = -2, 2 do
        local time = noon + DAY * day
        assert.are.equal(time, date.parse(written(FORMS[1], time)))
      end
    end
  end)

  it("may be a leap second", function()
    assert.are.equal(1483228800, date.parse "Sat, 31 Dec 2016 23:59:60 GMT")
  end)

  for _, text in ipairs {
    "",
    "  ",
    "yesterday",
    "784111777",
    "06 Nov 1994 08:49:37 GMT",
    "Sun, 06 Nov 1994",
    "Sun, 06 Nov 1994 08:49 GMT",
    "Sun, 06 Nov 1994 08:49:37",
    "Sun, 06 Nov 1994 08:49:37 PST",
    "Sun, 06 Nov 1994 08:49:37 +0000",
    "Sun, 06 Nov 1994 08:49:37 GMT and more",
    "Sun, 06 Foo 1994 08:49:37 GMT",
    "Sun, 00 Nov 1994 08:49:37 GMT",
    "Sun, 32 Nov 1994 08:49:37 GMT",
    "Thu, 31 Nov 1994 08:49:37 GMT",
    "Wed, 29 Feb 1995 08:49:37 GMT",
    "Sun, 06 Nov 1994 24:49:37 GMT",
    "Sun, 06 Nov 1994 08:60:37 GMT",
    "Sun, 06 Nov 1994 08:49:61 GMT",
    "Sun, 06 Nov 199 08:49:37 GMT",
    "Sun, 06 Nov 19940 08:49:37 GMT",
    "1994-11-06T08:49:37Z",
    "20041106 08:49:37 GMT",
  } do
    it(("is not %q"):format(text), function()
      assert.is_nil(date.parse(text))
    end)
  end

  it("is not nil", function()
    assert.is_nil(date.parse(nil))
  end)
end)

describe("Retry-After", function()
  for text, seconds in pairs { ["0"] = 0, ["5"] = 5, ["007"] = 7, ["1.5"] = 1.5, ["99999999999999999999"] = 2 ^ 31 } do
    it("in seconds: " .. text, function()
      assert.are.equal(seconds, date.retry_after(text, 0))
    end)
  end

  it("as a date counts from now, and is 0 where it has passed", function()
    local text = "Sun, 06 Nov 1994 08:49:37 GMT"
    assert.are.equal(30, date.retry_after(text, 784111777 - 30))
    assert.are.equal(0, date.retry_after(text, 784111777 + 30))
    assert.are.equal(2 ^ 31, date.retry_after("Fri, 31 Dec 9999 23:59:59 GMT", 0))
  end)

  for _, text in ipairs { "", "-5", "+5", "1e3", "0x10", "NaN", "inf", "5, 6", "5s", "soon" } do
    it(("is not %q"):format(text), function()
      assert.is_nil(date.retry_after(text, 0))
    end)
  end
end)
