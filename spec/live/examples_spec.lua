-- The scripts in examples/, which the documents show, do what is said of them, also where something goes wrong.

local core = require "heymarket.core"
local documents = require "spec.support.documents"
local process = require "spec.support.process"
local server = require "spec.support.server"

local function read(path)
  local file = assert(io.open(path, "rb"))
  local text = file:read "*a"
  file:close()
  return text
end

-- The assert of Lua 5.1 and 5.2, but not that of LuaJIT, takes no message that is not a string.
local ASSERT_TAKES_FAILURES = rawget(_G, "jit") ~= nil or _VERSION ~= "Lua 5.1" and _VERSION ~= "Lua 5.2"

-- The code block of a page that begins with these lines, or is this file.
local function block(page, wanted)
  for _, each in ipairs(documents.blocks(page)) do
    if each.language == "lua" and each.code:sub(1, #wanted) == wanted then
      return each.code
    end
  end
  error("not in " .. page .. ": " .. wanted)
end

local FIRST = 'local heymarket = require "heymarket"\n\nlocal client = assert(heymarket.new())'

describe("the documents", function()
  local api
  local credentials

  setup(function()
    api = server.start()
    credentials =
      { HEYMARKET_SECRET_ID = "an-id", HEYMARKET_SECRET_KEY = "a-key", HEYMARKET_BASE_URL = api.url, NO_PROXY = "*" }
  end)

  teardown(function()
    api:stop()
    collectgarbage()
    collectgarbage()
    assert.same({ signers = 0, pools = 0, transfers = 0 }, core.open_handles())
  end)

  before_each(function()
    api:reset()
  end)

  it("show examples/create.lua and examples/import.lua as they are", function()
    for page, path in pairs { ["README.md"] = "examples/create.lua", ["doc/import.md"] = "examples/import.lua" } do
      assert.equal(read(path), block(page, read(path)))
    end
  end)

  it("begin with code that creates a contact", function()
    local out = process.lua(block("README.md", FIRST), credentials)
    assert.equal("1 accepted, 0 were there already\n", out)
    assert.same({ ["12345678901"] = 1 }, api:ledger().stored)
    local again = process.lua(block("README.md", FIRST), credentials)
    assert.equal("0 accepted, 1 were there already\n", again)
  end)

  it("have a first script that prints the outcome of each contact", function()
    local script = read "examples/create.lua"
    assert.equal("2 of 2 accepted\n", process.lua(script, credentials))
    assert.equal("0 of 2 accepted\n1\trejected\texists\n2\trejected\texists\n", process.lua(script, credentials))
  end)

  it("have a first script that explains a refusal", function()
    api:default { status = 401, body = { message = "who are you" } }
    local out = process.lua(read "examples/create.lua", credentials)
    assert.matches("^unauthorized: ", out)
    assert.matches("\n0 of 2 accepted\n1\tfailed\t", out)
    assert.same({}, api:ledger().stored)
  end)

  -- The example with one line of it replaced.
  local function with(script, line, by)
    local first, last = script:find(line, 1, true)
    assert(first, "not in the example: " .. line)
    return script:sub(1, first - 1) .. by .. script:sub(last + 1)
  end

  it("have a first script that explains every mistake in what it is given", function()
    local script = read "examples/create.lua"
    local line = '{ phone = "+1 (234) 567-8900", first = "John", last = "Smith" },'
    for by, wanted in pairs {
      ['{ phone = "12" },'] = "contact 1: phone [^\n]+",
      ['{ first = "John" },'] = "contact 1: phone is required[^\n]*",
      ['{ phone = "+12345678900", frist = "John" },'] = "contact 1: frist [^\n]*first[^\n]*",
      ['"+12345678900",'] = "contact 1: [^\n]*table[^\n]*",
      ["nil,"] = "contact 1: is missing[^\n]*",
      ["[7] = { phone = '+12345678900' },"] = "contact 2: is missing[^\n]*",
    } do
      local out = process.lua(with(script, line, by), credentials)
      assert.matches("^invalid: [^\n]*\n" .. wanted .. "\n", out)
      assert.matches("\n0 of [27] accepted\n", out)
    end
    local out = process.lua(with(script, "overwrite = false", "overwrit = false"), credentials)
    assert.matches("^invalid: overwrit [^\n]*\noverwrit is not an option here[^\n]*\n", out)
    assert.same({}, api:ledger().stored)
  end)

  it("have scripts that end with a plain message when they cannot begin", function()
    local wanted = "invalid: secret_id is missing"
    local first = process.lua(block("README.md", FIRST), {})
    assert.truthy(first:find(ASSERT_TAKES_FAILURES and wanted or "string expected, got table", 1, true))
    assert.truthy(process.lua(read "examples/create.lua", {}):find(wanted, 1, true))
    local import = read "examples/import.lua"
    assert.truthy(process.lua(import, credentials):find("usage: lua5.4 import.lua FILE.csv", 1, true))
    assert.truthy(process.lua("arg = { 'x.csv' }\n" .. import, {}):find(wanted, 1, true))
    assert.matches("usage: make_demo_csv.lua FOLDER", process.lua(read "examples/make_demo_csv.lua", {}))
  end)

  it("have a demo that imports a file only with credentials, with a journal and a failures file beside it", function()
    local folder = server.folder()
    local path = folder .. "/people.csv"
    process.write_file(path, "phone\n12345678901\n1\n")
    local demo = "CSV=" .. process.quote(path) .. " sh examples/demo.sh 2>&1; echo $?"
    local out = process.output("env -u HEYMARKET_SECRET_ID " .. demo)
    assert.equal("CSV is given, but HEYMARKET_SECRET_ID is not set: your file would not be used.\n2\n", out)
    assert.same({}, api:ledger().stored)
    local words = { "LUA_PATH='lua/?.lua;lua/?/init.lua;;' LUA_CPATH='build/5.4/?.so;;'" }
    for name, value in pairs(credentials) do
      words[#words + 1] = name .. "=" .. process.quote(value)
    end
    out = process.output("env " .. table.concat(words, " ") .. " " .. demo)
    assert.matches("\n3\n$", out)
    assert.same({ ["12345678901"] = 1 }, api:ledger().stored)
    assert.matches("^heymarket%-journal", process.read_file(path .. ".journal") or "")
    assert.matches("_message\n1,3,invalid", process.read_file(path .. ".failures.csv") or "")
    server.remove(folder)
  end)

  it("have an import that says why a file cannot be imported", function()
    local folder = server.folder()
    local function run(text)
      local path = folder .. "/people.csv"
      local file = assert(io.open(path, "wb"))
      file:write(text)
      file:close()
      os.remove(path .. ".journal")
      return process.lua("arg = { [[" .. path .. "]] }\n" .. read "examples/import.lua", credentials)
    end
    local missing = process.lua("arg = { [[" .. folder .. "]] }\n" .. read "examples/import.lua", credentials)
    assert.matches("source: ", missing)
    for text, wanted in pairs {
      ["phone,colour\n12345678901,red\n"] = "colour",
      ["\n"] = "invalid: ",
      [""] = "invalid: ",
    } do
      assert.truthy(run(text):find(wanted, 1, true))
    end
    assert.equal("0 of 0 accepted\n", run "phone,first\n")
    -- Ragged rows, bytes that are not UTF-8, a quote that is never closed.
    local out = run 'phone,first\n12345678901,A,B\n12345678902,\233\n12345678903,"C\n'
    assert.matches("^row 2: invalid: [^\n]+\nrow 3: invalid: [^\n]+\nrow 4: invalid: [^\n]+\n0 of 3 accepted\n", out)
    api:default { status = 403 }
    out = run "phone,first\n12345678901,A\n"
    assert.matches("row 2: failed: [^\n]+\n0 of 1 accepted\n", out)
    assert.matches("denied: [^\n]+\n", out)
    api:default { body = { { phone = "12345678901" } } }
    out = run "phone,first\n12345678901,A\n"
    assert.equal("row 2: rejected: refused\n0 of 1 accepted\n", out)
    server.remove(folder)
  end)

  it("have an import that names the rows which were not accepted", function()
    local folder = server.folder()
    local path = folder .. "/people.csv"
    local file = assert(io.open(path, "wb"))
    file:write "phone,first\n2345678900,Ann\n+44 20 7946 0958,Zoë\n12,Tim\n"
    file:close()
    local out = process.lua("arg = { [[" .. path .. "]] }\n" .. read "examples/import.lua", credentials)
    assert.matches("^row 4: invalid: [^\n]*phone[^\n]*\n2 of 3 accepted\n$", out)
    assert.same({ ["12345678900"] = 1, ["442079460958"] = 1 }, api:ledger().stored)
    server.remove(folder)
  end)
end)
