-- The descriptions of the native modules for editors (doc/luacats) against the modules themselves.

local core = require "heymarket.core"

-- The functions of a module or methods of an object, by name, as doc/luacats describes them.
local function described(module, prefix)
  local names = {}
  for line in io.lines("doc/luacats/heymarket_" .. module .. ".lua") do
    local name = line:match("^function " .. prefix .. "([%w_]+)%(")
    if name then
      names[#names + 1] = name
    end
  end
  table.sort(names)
  return names
end

describe("the description of", function()
  for _, module in ipairs { "core", "rows", "system" } do
    it("heymarket." .. module .. " lists its functions, and no others", function()
      local names = {}
      for name, value in pairs(require("heymarket." .. module)) do
        assert.are.equal("function", type(value))
        names[#names + 1] = name
      end
      table.sort(names)
      assert.is_true(#names > 3)
      assert.are.same(names, described(module, module .. "%."))
    end)
  end

  it("a signer, a pool and an inbox lists methods that they have", function()
    local signer, pool, inbox = core.signer("id", "key"), core.pool(), core.inbox()
    for _, name in ipairs(described("core", "Inbox:")) do
      assert.are.equal("function", type(inbox[name]), name)
    end
    assert.are.equal(7, #described("core", "Inbox:"))
    inbox:close()
    for _, name in ipairs(described("core", "Signer:")) do
      assert.are.equal("function", type(signer[name]), name)
    end
    for _, name in ipairs(described("core", "Pool:")) do
      assert.are.equal("function", type(pool[name]), name)
    end
    assert.are.same({ "close", "sign" }, described("core", "Signer:"))
    assert.are.equal(7, #described("core", "Pool:"))
    signer:close()
    pool:close()
  end)
end)
