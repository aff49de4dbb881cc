-- The Lua examples of all documents run as they stand, and print what the documents say.

local documents = require "spec.support.documents"
local process = require "spec.support.process"
local sandbox_server = require "heymarket.sandbox.server"

local root = process.output("pwd"):match "[^\n]+"

-- Paths for a program that runs in another folder.
local function absolute(path)
  return (";" .. path):gsub(";%./", ";" .. root .. "/"):gsub(";([^/;%.])", ";" .. root .. "/%1"):sub(2)
end

describe("the Lua examples of", function()
  local api, folder, environment

  setup(function()
    api = assert(sandbox_server.start { port = 0 })
    environment = {
      HEYMARKET_SECRET_ID = api.secret_id,
      HEYMARKET_SECRET_KEY = api.secret_key,
      HEYMARKET_BASE_URL = api.base_url,
      NO_PROXY = "*",
      LUA_PATH = absolute(package.path),
      LUA_CPATH = absolute(package.cpath),
    }
  end)

  teardown(function()
    api:stop()
  end)

  before_each(function()
    api:admin("POST", "reset")
    folder = process.folder_in_memory()
  end)

  after_each(function()
    process.output("rm -rf " .. process.quote(folder))
  end)

  -- Gives what the block prints, both streams. "people.csv" is its argument.
  local function run(block)
    local path = folder .. "/example.lua"
    process.write_file(path, block.code .. '\nio.write "(the end)"\n')
    local command = ("cd %s && %s example.lua people.csv 2>&1"):format(
      process.quote(folder),
      process.this_lua(environment)
    )
    return process.output(command)
  end

  local count = 0
  for _, page in ipairs(documents.pages()) do
    local examples = 0
    for _, block in ipairs(documents.blocks(page)) do
      examples = examples + (documents.runs(block, { lua = true }) and 1 or 0)
    end
    count = count + examples
    if examples > 0 then
      it(page .. " run", function()
        for _, block in ipairs(documents.blocks(page)) do
          if block.file then
            process.write_file(folder .. "/" .. block.file, block.code)
          end
          if documents.runs(block, { lua = true }) then
            local where, out = page .. ":" .. block.line, run(block)
            local printed = out:match "^(.*)%(the end%)$"
            assert.is_truthy(printed, where .. " did not come to its end:\n" .. out)
            assert.is_true(documents.says(block, printed), where .. " printed:\n" .. printed)
          end
        end
      end)
    end
  end

  it("all documents are more than ten", function()
    assert.is_true(count > 10)
  end)
end)
