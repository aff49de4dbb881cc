-- The README's examples are the files in examples/, and they do what the text around them says.

local core = require "heymarket.core"
local process = require "spec.support.process"
local server = require "spec.support.server"

local function read(path)
  local file = assert(io.open(path, "rb"))
  local text = file:read "*a"
  file:close()
  return text
end

local readme = read "README.md"

-- The code block that follows a text.
local function block_after(text)
  local first, last = readme:find(text, 1, true)
  assert(first, "not in the README: " .. text)
  return assert(readme:match("```lua\n(.-)```", last), "no code after: " .. text)
end

describe("the README", function()
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

  for _, name in ipairs { "create", "import" } do
    it("shows examples/" .. name .. ".lua as it is", function()
      assert.equal(read("examples/" .. name .. ".lua"), block_after("[examples/" .. name .. ".lua]"))
    end)
  end

  it("begins with code that creates a contact", function()
    local out = process.lua(block_after "became of every single one.", credentials)
    assert.equal("1 accepted, 0 were there already\n", out)
    assert.same({ ["12345678900"] = 1 }, api:ledger().stored)
    local again = process.lua(block_after "became of every single one.", credentials)
    assert.equal("0 accepted, 1 were there already\n", again)
  end)

  it("has a first script that tells what became of each contact", function()
    local script = read "examples/create.lua"
    assert.equal("2 of 2 accepted\n", process.lua(script, credentials))
    assert.equal("0 of 2 accepted\n1\trejected\texists\n2\trejected\texists\n", process.lua(script, credentials))
  end)

  it("has a first script that explains a refusal", function()
    api:default { status = 401, body = { message = "who are you" } }
    local out = process.lua(read "examples/create.lua", credentials)
    assert.matches("^unauthorized: ", out)
    assert.matches("\n0 of 2 accepted\n1\tfailed\t", out)
    assert.same({}, api:ledger().stored)
  end)

  it("has an import that names the rows which were not accepted", function()
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

  it("has a spec for the sandbox that passes without a network", function()
    assert.equal("", process.lua(block_after "Waiting costs no time", {}))
  end)
end)
