-- heymarket.runtime: what it says of a native module that cannot be loaded, and its clocks.

local runtime = require "heymarket.runtime"

-- This Lua as the Makefile calls it.
local LUAS = rawget(_G, "jit") and "jit" or _VERSION:match "%d%.%d"

-- What `runtime.native` raises for a module whose loading raises this.
local function raised_for(problem)
  package.preload["heymarket.broken"] = function()
    error(problem, 0)
  end
  local ok, message = pcall(runtime.native, "heymarket.broken")
  package.preload["heymarket.broken"], package.loaded["heymarket.broken"] = nil, nil -- Lua 5.1 leaves a mark
  assert.is_false(ok)
  return message
end

describe("a native module", function()
  it("is given as it is where it can be loaded", function()
    assert.are.equal(require "heymarket.system", runtime.native "heymarket.system")
  end)

  it("that was built for another Lua gives a plain message", function()
    for _, problem in ipairs {
      "error loading module: undefined symbol: lua_newuserdatauv",
      "heymarket.broken was built for Lua 5.4 but is loaded by Lua 5.1: build it again for this Lua",
    } do
      assert.are.equal(
        "heymarket: its C module heymarket.broken was built for another Lua than this one ("
          .. runtime.LUA
          .. "): run the program with that Lua, or build the module for this one (in the checkout: make install LUAS="
          .. LUAS
          .. ")",
        raised_for(problem)
      )
    end
  end)

  it("is said not to be installed", function()
    local ok, message = pcall(runtime.native, "heymarket.nowhere")
    assert.is_false(ok)
    assert.truthy(message:find("its C module heymarket.nowhere for " .. runtime.LUA .. " is not installed", 1, true))
    assert.truthy(message:find("make install LUAS=" .. LUAS .. ")", 1, true), message)
    assert.truthy(message:find("or set package.cpath", 1, true), message)
    assert.is_nil(message:find("\n", 1, true))
  end)

  it("that lacks a library is reported in the linker's words", function()
    local problem = "libsodium.so.23: cannot open shared object file: No such file or directory"
    assert.are.equal("heymarket: its C module heymarket.broken cannot be loaded: " .. problem, raised_for(problem))
  end)
end)

describe("the version", function()
  it("stands in the user agent", function()
    assert.truthy(runtime.USER_AGENT:find("^heymarket%-lua/" .. runtime.VERSION:gsub("%.", "%%.") .. " %("))
  end)
end)
