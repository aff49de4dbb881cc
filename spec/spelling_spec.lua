local spelling = require "heymarket.util.spelling"

local NAMES = { "phone", "first", "last", "display_name", "email", "is_opted_out", "email_suppressions" }

describe("the nearest known name", function()
  it("is found where one letter was mistyped", function()
    for given, wanted in pairs {
      frist = "first", -- two letters exchanged
      phne = "phone", -- one left out
      phonee = "phone", -- one too many
      emajl = "email", -- another one
    } do
      assert.equal(wanted, spelling.nearest(given, NAMES))
    end
  end)

  it("is found whatever the case, the blanks, the hyphens and the underscores are", function()
    for _, given in ipairs { "displayName", "DISPLAY NAME", "display-name", "isOptedOut", "Is Opted Out" } do
      assert.truthy(spelling.nearest(given, NAMES), given)
    end
    assert.equal("display_name", spelling.nearest("displayName", NAMES))
    assert.equal("is_opted_out", spelling.nearest("isOptedOut", NAMES))
  end)

  it("is the one that a longer name begins or ends with", function()
    assert.equal("first", spelling.nearest("first_name", NAMES))
    assert.equal("phone", spelling.nearest("mobile_phone", NAMES))
  end)

  it("is none where no name is near", function()
    for _, given in ipairs { "colour", "x", "", "zzzzz", ("first"):rep(20), 5, false, {} } do
      assert.is_nil(spelling.nearest(given, NAMES))
    end
    assert.is_nil(spelling.nearest(nil, NAMES))
    assert.is_nil(spelling.nearest("first", {}))
  end)
end)
