-- luacheck: std min+ngx_lua
--- Runs a spec file with busted inside a handler of nginx. What it calls waits as it would for any handler.
local inside = {}

local cjson = require("cjson").new()

-- Words for a person, of whatever was raised.
local function words(value)
  return type(value) == "string" and value or require("pl.pretty").write(value)
end

-- busted's own runner reads flags and ends the process; this is what it does in between.
local function run(file, left_out)
  local busted = require "busted.core"()
  require "busted"(busted)
  local totals = { passed = 0, failed = 0, pending = {}, problems = {} }

  local function failed(element, _, message)
    totals.failed = totals.failed + 1
    if #totals.problems < 10 then
      table.insert(totals.problems, tostring(element.name) .. ": " .. words(message))
    end
    return nil, true
  end

  busted.subscribe({ "error" }, failed)
  busted.subscribe({ "failure" }, failed)
  busted.subscribe({ "test", "end" }, function(element, _, status)
    if status == "success" then
      totals.passed = totals.passed + 1
    elseif status == "pending" then
      table.insert(totals.pending, tostring(element.name))
    end
    return nil, true
  end)
  busted.subscribe({ "register", "it" }, function(name)
    return nil, not left_out[name]
  end, { priority = 1 })
  require "busted.modules.test_file_loader"(busted, { "lua" })({ file }, {}, { excludes = {} })
  require "busted.execute"(busted)(1, {})
  return totals
end

--- Answers with the totals of the spec file that the query names. `left_out` is an array of names of tests.
function inside.run()
  -- Some specs start this Lua once more, and look here for its name.
  rawset(_G, "arg", { [-1] = os.getenv "HEYMARKET_TEST_LUAJIT", [0] = "busted" })
  local left_out = {}
  for _, name in ipairs(cjson.decode(ngx.unescape_uri(ngx.var.arg_left_out))) do
    left_out[name] = true
  end
  local totals = run(ngx.var.arg_file, left_out)
  totals.waits_as_nginx = require("heymarket.loop").here() == require "heymarket.loop.nginx"
  totals.transfers = require("heymarket.core").open_handles().transfers
  ngx.header["Content-Type"] = "application/json"
  ngx.print(cjson.encode(totals))
end

return inside
