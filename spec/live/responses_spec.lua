-- The table of responses (spec/live/responses) over plain HTTP. responses_tls_spec.lua plays it over TLS and
-- responses_http2_spec.lua over HTTP/2.
local answers = require "spec.support.responses"
local json = require "heymarket.util.json"

local LEAST = 30 -- entries of a class

require "spec.support.response_cases"({ describe = describe, it = it, setup = setup, teardown = teardown }, { "plain" })

describe("the table of responses", function()
  for _, name in ipairs(answers.CLASSES) do
    local class = answers.class(name)

    it("has enough different entries: " .. class.name, function()
      local names, plays, count, good, doubtful, short = {}, {}, 0, 0, 0, 0
      for _, entry in ipairs(class.entries) do
        local play = json.encode { entry.actions, entry.before or {}, entry.idle or {}, #entry.contacts, entry.upload }
        assert.is_nil(names[entry.name], entry.name .. " comes twice")
        assert.is_nil(plays[play], entry.name .. " does what another one does")
        names[entry.name], plays[play] = true, true
        count = count + 1
        good = good + (entry.doubt and 0 or 1)
        doubtful = doubtful + (entry.doubt and 1 or 0)
        short = short + (entry.short and 1 or 0)
        assert.is_true(#entry.why > 0)
      end
      assert.is_true(count >= LEAST, class.name .. " has " .. count)
      assert.is_true(good >= 4 and doubtful >= LEAST / 2 and short >= 4)
    end)
  end
end)
