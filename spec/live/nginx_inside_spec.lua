local cjson = require("cjson").new()
local nginx = require "spec.support.nginx"
local process = require "spec.support.process"

-- Inside nginx run the specs of the public interface, and those that send requests over sockets: what they call waits
-- there in another way. The other specs do not wait for anything, or are about processes and signals. Over TLS and
-- HTTP/2 a response is read by the same C code, so the table of responses runs over plain HTTP only.
local INSIDE = {
  "spec/behaviour/[!l]*_spec.lua", -- without lots_spec.lua, which compares two ways of the same calls
  "spec/live/core_trouble_spec.lua",
  "spec/live/fault_spec.lua",
  "spec/live/import_spec.lua",
  "spec/live/response_spec.lua",
  "spec/live/responses_spec.lua",
  "spec/live/sandbox_spec.lua",
}

-- Single tests of the others that are about a process.
local LEFT_OUT = {
  ["spec/behaviour/options_spec.lua"] = { "opens nothing before its first call" }, -- a worker has sockets of its own
  -- A worker looks at its sockets once a millisecond. By then this reset has come, so that libcurl never saw a
  -- connection: "no" is as true as the "maybe" that these two expect.
  ["spec/live/fault_spec.lua"] = {
    "leaves contacts failed over https, where the handshake comes first: reset_on_accept",
    "is tried again: reset_on_accept",
    -- The core's thread keeps connections for all clients: the second one here finds that of the first, and no fault.
    "is tried again: close_on_accept",
    "is tried again: stall_on_accept",
  },
}

local SECONDS = 500

local function escaped(text)
  return (text:gsub("[^%w]", function(char)
    return ("%%%02X"):format(char:byte())
  end))
end

-- An nginx in whose worker a spec file can run: LuaJIT, with the modules of Lua 5.1 for busted.
local function start()
  local root = nginx.root
  local environment = {
    LUA_PATH = ("%s/lua/?.lua;%s/lua/?/init.lua;;"):format(root, root),
    LUA_CPATH = root .. "/build/jit/?.so;;",
    HEYMARKET_TEST_LUAJIT = process.output("command -v luajit || command -v luajit2"):match "[^\n]+",
    HEYMARKET_TEST_RUN = "nginx",
  }
  return nginx.start(nginx.load_modules .. [[
worker_processes 1;
pid @FOLDER@/nginx.pid;
error_log @FOLDER@/error.log warn;
env PATH; env HOME; env TMPDIR; env LUA_PATH; env LUA_CPATH; env HEYMARKET_TEST_LUAJIT; env HEYMARKET_TEST_RUN;
events { }
http {
  access_log off;
]] .. nginx.paths .. [[
  server {
    listen 127.0.0.1:@PORT@;
    location = /_there { return 204; }
    location = /run { content_by_lua_block { require("spec.live.nginx.inside").run() } }
  }
}
]], { environment = environment })
end

describe("inside nginx", function()
  if nginx.missing then
    it("specs pass", function()
      pending(nginx.missing)
    end)
    return
  end
  for file in process.output("ls " .. table.concat(INSIDE, " ")):gmatch "[^\n]+" do
    it(file .. " passes", function()
      local target = start()
      local left_out = LEFT_OUT[file] and cjson.encode(LEFT_OUT[file]) or "[]"
      local status, body = target:get("/run?file=" .. file .. "&left_out=" .. escaped(left_out), "-m " .. SECONDS)
      local log = target:log()
      target:stop()
      assert.are.equal(200, status, log)
      local totals = cjson.decode(body)
      assert.are.equal(0, totals.failed, table.concat(totals.problems, "\n"))
      assert.is_true(totals.passed > 0)
      assert.is_true(totals.waits_as_nginx)
      assert.are.equal(0, totals.transfers)
    end)
  end
end)
