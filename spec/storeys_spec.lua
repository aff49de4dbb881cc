-- tools/storeys.lua, which says which file of lua/ uses another that stands above it.

local process = require "spec.support.process"

local quote = process.quote

describe("the check of the storeys", function()
  local folder

  before_each(function()
    folder = process.output("mktemp -d"):match "%S+"
  end)

  after_each(function()
    os.execute("rm -r " .. quote(folder))
  end)

  -- What the tool prints of a tree that holds these files, by their path below lua/; and its exit code.
  local function check(files)
    for path, text in pairs(files) do
      local file = folder .. "/lua/" .. path
      os.execute("mkdir -p " .. quote(file:match "^(.*)/"))
      process.write_file(file, text)
    end
    local lua = process.this_lua()
    local said = process.output(("%s tools/storeys.lua %s; echo exit $?"):format(lua, quote(folder)))
    local text, code = said:match "^(.*)exit (%d+)\n$"
    return text, tonumber(code)
  end

  it("passes uses of what stands below, and of other projects", function()
    local text, code = check {
      ["heymarket/init.lua"] = 'local a = require "heymarket.client"\nlocal rows = require "heymarket.rows"\n',
      ["heymarket/client.lua"] = 'require "heymarket.http.sender" require "cjson" require("ngx.semaphore").new()',
      ["heymarket/http/sender.lua"] = 'require "heymarket.http.retry"',
      ["heymarket/http/retry.lua"] = "",
    }
    assert.are.equal("", text)
    assert.are.equal(0, code)
  end)

  -- How a file may name a module, in a file of two lines.
  local WAYS = {
    ["at the top"] = '\nlocal client = require "heymarket.client"',
    ["in a function"] = 'local function f()\nreturn require("heymarket.client").new end return f',
    ["through pcall"] = "\nlocal ok = pcall(require, 'heymarket.client')",
    ["in a table of modules to load on demand"] = '\nreturn { client = "heymarket.client" }',
    ["in code that stands in a string"] = 'return [[\nlua { require("heymarket.client").new() }]]',
    ["after a comment in brackets"] = '--[==[ "\n]==] require "heymarket.client"',
    ["after a string that holds a quote"] = 'local s = "\\""\nrequire "heymarket.client"',
    ["after two dashes in a string"] = '\nlocal s = "--" .. require "heymarket.client"',
  }
  for way, source in pairs(WAYS) do
    it("finds an upward use " .. way, function()
      local text, code = check { ["heymarket/util/text.lua"] = source, ["heymarket/client.lua"] = "" }
      assert.are.equal(
        "lua/heymarket/util/text.lua:2: util uses client, which stands above it: heymarket.client\n",
        text
      )
      assert.are.equal(1, code)
    end)
  end

  it("does not take a comment for a use", function()
    local text = check {
      ["heymarket/util/text.lua"] = '-- require "heymarket.client"\n--[[ require "heymarket.client"\n]]',
      ["heymarket/client.lua"] = "",
    }
    assert.are.equal("", text)
  end)

  it("finds a circle within a storey, with run-time uses in it", function()
    local text, code = check {
      ["heymarket/http/sender.lua"] = 'require "heymarket.http.retry"',
      ["heymarket/http/retry.lua"] = 'require "heymarket.http.date"',
      ["heymarket/http/date.lua"] = '\nreturn function() return require "heymarket.http.sender" end',
    }
    assert.are.equal(1, code)
    local circle =
      "a circle: heymarket.http.date -> heymarket.http.sender -> heymarket.http.retry -> heymarket.http.date"
    assert.are.equal("lua/heymarket/http/retry.lua:1: " .. circle .. "\n", text)
  end)

  it("finds a module that uses itself", function()
    local text = check { ["heymarket/util/text.lua"] = 'require "heymarket.util.text"' }
    assert.are.equal("lua/heymarket/util/text.lua:1: a circle: heymarket.util.text -> heymarket.util.text\n", text)
  end)

  it("refuses a name that is computed, and one that no file has", function()
    local text, code = check {
      ["heymarket/http/sender.lua"] = 'local n = ...\nrequire("heymarket." .. n)\npcall(require, n)',
      ["heymarket/http/retry.lua"] = 'require "heymarket.http.gone"',
    }
    assert.are.equal(1, code)
    assert.is_truthy(text:find("sender.lua:2: requires a module whose name is computed", 1, true))
    assert.is_truthy(text:find("sender.lua:3: requires a module whose name is computed", 1, true))
    assert.is_truthy(text:find("retry.lua:1: requires heymarket.http.gone, which is no file of lua/", 1, true))
  end)

  it("reports a new file that stands in no storey", function()
    local text, code = check { ["heymarket/novelty.lua"] = "" }
    assert.are.equal("lua/heymarket/novelty.lua:1: stands in no storey: name it in tools/storeys.lua\n", text)
    assert.are.equal(1, code)
  end)
end)
