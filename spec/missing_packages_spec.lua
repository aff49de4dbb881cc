-- What is said where a Lua package is missing: its names in Debian and in LuaRocks.

local process = require "spec.support.process"

local quote = process.quote

-- What this chunk prints in a Lua that does not find the module.
local function without(module, chunk)
  local start = ("package.preload[%q] = function() error(%q, 0) end "):format(
    module,
    "module '" .. module .. "' not found"
  )
  return process.output(("%s -e %s 2>&1"):format(process.this_lua(), quote(start .. chunk)))
end

describe("where a package is missing", function()
  it("require names lua-cjson", function()
    local said = without("cjson", "print(pcall(require, 'heymarket'))")
    assert.is_truthy(said:find("false\theymarket needs lua-cjson", 1, true), said)
    assert.is_truthy(said:find("Debian: lua-cjson, LuaRocks: lua-cjson", 1, true), said)
  end)

  it("the command names argparse", function()
    local said = without("argparse", "os.exit(require('heymarket.cli').main({ 'check' }))")
    assert.is_truthy(said:find("lua-argparse", 1, true) and said:find("luarocks install argparse", 1, true), said)
  end)
end)
