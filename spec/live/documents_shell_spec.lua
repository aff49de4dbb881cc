-- The shell examples and nginx configurations of all documents run as they stand. The blocks of a page run in order,
-- in one folder. An nginx runs for the shell example after it.

local documents = require "spec.support.documents"
local nginx = require "spec.support.nginx"
local process = require "spec.support.process"
local sandbox_server = require "heymarket.sandbox.server"

local quote = process.quote

describe("the shell examples of", function()
  local api, folder

  setup(function()
    api = assert(sandbox_server.start { port = 0 })
  end)

  teardown(function()
    api:stop()
  end)

  before_each(function()
    api:admin("POST", "reset")
    folder = process.folder_in_memory()
    process.output(("ln -s %s/examples %s/examples"):format(quote(nginx.root), quote(folder)))
  end)

  after_each(function()
    process.output("rm -rf " .. quote(folder))
  end)

  local function environment()
    return {
      HEYMARKET_SECRET_ID = api.secret_id,
      HEYMARKET_SECRET_KEY = api.secret_key,
      HEYMARKET_BASE_URL = api.base_url,
      LUA_PATH = ("%s/lua/?.lua;%s/lua/?/init.lua;;"):format(nginx.root, nginx.root),
    }
  end

  local cpath = { ["lua5.4"] = nginx.root .. "/build/5.4/?.so;;", luajit = nginx.root .. "/build/jit/?.so;;" }

  -- What stands before each script: what it has started ends with it, and busted is the one that runs this spec.
  local HEAD = ([[
trap '[ -z "$!" ] || kill $!; wait' EXIT
busted() { lua5.4 %s "$@"; }
]]):format(quote(_G.arg[0]))

  -- Gives what the script prints, both streams, and its exit code.
  local function run(code)
    code = code:gsub("HEYMARKET_SECRET_ID=…", "HEYMARKET_SECRET_ID=" .. api.secret_id)
    code = code:gsub("HEYMARKET_SECRET_KEY=…", "HEYMARKET_SECRET_KEY=" .. api.secret_key)
    process.write_file(folder .. "/example.sh", HEAD .. code)
    local words = {
      "env -u HEYMARKET_TEST_TOTALS NO_PROXY='*' no_proxy='*' PATH=" .. quote(nginx.root .. "/build/bin") .. ':"$PATH"',
    }
    for name, value in pairs(environment()) do
      words[#words + 1] = name .. "=" .. quote(value)
    end
    -- For lua5.4, with which the documents start their scripts.
    words[#words + 1] = "LUA_CPATH=" .. quote(cpath["lua5.4"])
    words[#words + 1] = 'sh example.sh 2>&1 < /dev/null; echo "$?"'
    local out = process.output("cd " .. quote(folder) .. " && " .. table.concat(words, " "))
    local printed, exit = out:match "^(.-)(%d+)\n$"
    return printed, tonumber(exit)
  end

  -- Starts a configuration as it stands, but for the port, and for load_module lines where nginx has Lua built in.
  local function serve(block)
    local text, ports = block.code:gsub("listen 8080;", "listen 127.0.0.1:@PORT@;")
    assert.are.equal(1, ports, block.page)
    text = text:gsub("load_module [^\n]+\n", "")
    local variables = environment()
    variables.LUA_CPATH = cpath.luajit
    local files = {}
    for name in process.output("ls " .. quote(folder)):gmatch "[^\n]+" do
      files[name] = process.read_file(folder .. "/" .. name)
    end
    return nginx.start(nginx.load_modules .. text, { environment = variables, files = files })
  end

  local function run_page(page)
    local app
    for _, block in ipairs(documents.blocks(page)) do
      local where = page .. ":" .. block.line
      if block.file then
        process.write_file(folder .. "/" .. block.file, block.code)
      end
      if documents.runs(block, { nginx = true }) then
        app = serve(block)
      elseif documents.runs(block, { sh = true }) then
        local code = app and block.code:gsub("localhost:8080", "127.0.0.1:" .. app.port) or block.code
        local printed, exit = run(code)
        if app then
          app:stop()
          app = nil
        end
        assert.is_true(documents.says(block, printed), where .. " printed:\n" .. printed)
        -- That of the last command.
        assert.are.equal(
          tonumber(block.code:match "# exit code (%d+)\n$" or 0),
          exit,
          where .. " printed:\n" .. printed
        )
      end
    end
    assert.is_nil(app, page .. ": no shell example after an nginx configuration")
  end

  for _, page in ipairs(documents.pages()) do
    local examples = 0
    for _, block in ipairs(documents.blocks(page)) do
      examples = examples + (documents.runs(block, { sh = true, nginx = true }) and 1 or 0)
    end
    if examples > 0 then
      it(page .. " run", function()
        run_page(page)
      end)
    end
  end
end)
