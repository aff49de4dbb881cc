-- Credentials from a function in nginx: the key changes without a reload, and the function asks a vault by cosocket.

local cjson = require("cjson").new()
local nginx = require "spec.support.nginx"
local process = require "spec.support.process"
local sandbox_server = require "heymarket.sandbox.server"

if nginx.missing then
  it("works in nginx", function()
    pending(nginx.missing)
  end)
  return
end

local KEYS = { "first-key-77ab41", "second-key-c90d52", "third-key-15fe63" }

local CONFIGURATION = nginx.load_modules
  .. [[
worker_processes 2;
pid @FOLDER@/nginx.pid;
error_log @FOLDER@/error.log info;
events { worker_connections 1024; }
http {
  access_log off;
  lua_socket_log_errors off;
]]
  .. nginx.paths
  .. [[
  lua_shared_dict state 1m;
  init_by_lua_block { require("spec.live.nginx.credentials").open("@UPSTREAM@", @PORT@) }
  server {
    listen 127.0.0.1:@PORT@ backlog=1024;
    location = /_there { return 204; }
    location = /vault { content_by_lua_block { require("spec.live.nginx.credentials").vault() } }
    location = /set { content_by_lua_block { require("spec.live.nginx.credentials").set() } }
    location = /count { content_by_lua_block { require("spec.live.nginx.credentials").count() } }
    location = /create { content_by_lua_block { require("spec.live.nginx.credentials").create() } }
    location = /threads { content_by_lua_block { require("spec.live.nginx.credentials").threads() } }
    location = /killed { content_by_lua_block { require("spec.live.nginx.credentials").killed() } }
    location = /logged { content_by_lua_block { require("spec.live.nginx.credentials").logged() } }
    location = /log {
      content_by_lua_block { ngx.say "ok" }
      log_by_lua_block { require("spec.live.nginx.credentials").log() }
    }
  }
}
]]

describe("credentials from a function in nginx", function()
  local upstream, app

  setup(function()
    upstream = assert(sandbox_server.start {
      options = { secret_id = "id-1", secret_key = KEYS[1], requests_per_minute = false },
    })
    app = nginx.start(CONFIGURATION:gsub("@UPSTREAM@", upstream.base_url), {
      files = { ["credentials.lua"] = process.read_file "examples/credentials.lua" },
    })
  end)

  teardown(function()
    if app then
      app:stop()
    end
    if upstream then
      upstream:stop()
    end
  end)

  local function json_of(path)
    local status, body = app:get(path)
    assert.are.equal(200, status, body)
    return cjson.decode(body)
  end

  local function set(given)
    local words = {}
    for name, value in pairs(given) do
      words[#words + 1] = name .. "=" .. value
    end
    json_of("/set?" .. table.concat(words, "&"))
  end

  -- The key of the server and of the vault.
  local function rotate(number)
    upstream:rotate("id-" .. number, KEYS[number])
    set { id = "id-" .. number, key = KEYS[number], delay = 0, sealed = "no" }
  end

  before_each(function()
    rotate(1)
  end)

  local function create_many(area)
    local statuses, bodies = app:crowd("/create?phone=1" .. area .. "555%d", 40):finish()
    assert.are.same({ [200] = 40 }, statuses)
    for _, body in ipairs(bodies) do
      assert.are.same({ accepted = 1 }, cjson.decode(body))
    end
  end

  it("are not asked for before the first call, though the client is made before the workers", function()
    assert.is_nil(json_of("/count").at_start)
  end)

  it("change without a reload, in all workers", function()
    local workers = app:workers()
    assert.are.equal(2, #workers)
    create_many "202"
    for i = 2, 3 do
      rotate(i)
      create_many("20" .. i + 1)
      local asked = json_of("/count").asked
      -- Each worker asks once, when its token is refused; one may have had no request.
      assert.is_true(asked == 1 or asked == 2, asked .. " times")
    end
    assert.are.same(workers, app:workers())
    assert.are.equal(120, upstream:admin("GET", "count").count)
  end)

  it("are asked for once by calls that start at once", function()
    set { delay = 0.3 }
    local made = json_of "/threads?count=20&phone=1206555"
    assert.are.equal(20, #made)
    for i, one in ipairs(made) do
      assert.are.same(i % 2 == 0 and { value = true } or { accepted = 1 }, one)
    end
    assert.are.equal(1, json_of("/count").asked)
  end)

  it("that the vault does not give end every call that waits for them, after one question", function()
    set { delay = 0.3, sealed = "yes" }
    local made = json_of "/threads?count=20&phone=1207555"
    assert.are.equal(20, #made)
    for i, one in ipairs(made) do
      assert.are.equal("stopped", one.kind)
      assert.are.equal("credentials", one.reason)
      assert.are.equal("credentials_not_given", one.code)
      assert.are.equal("no", one.delivered)
      assert.are.equal(i % 2 == 1 and 1 or nil, one.unsent)
      assert.is_truthy(one.line:find("status 503", 1, true))
    end
    assert.are.equal(1, json_of("/count").asked)
  end)

  it("are not read from an answer that is not JSON", function()
    set { page = "yes" }
    local made = json_of "/threads?count=1&phone=1209555"
    set { page = "no" }
    assert.are.equal("credentials_not_given", made[1].code)
    assert.is_truthy(made[1].line:find("the server's answer is not JSON", 1, true), made[1].line)
  end)

  it("are asked for again where the light thread that asked was killed", function()
    set { delay = 5 }
    assert.are.same({ accepted = 1, killed = 1 }, json_of "/killed?phone=12085551234")
    assert.are.equal(2, json_of("/count").asked)
  end)

  it("can be given where nginx cannot wait, by a function that does not wait", function()
    app:get "/log"
    local made = nginx.eventually("the log phase has ended", function()
      local found = json_of "/logged"
      return next(found) and found
    end)
    assert.are.same({ value = true }, made.silent)
    assert.are.equal("credentials_raised", made.waiting.code)
  end)

  it("are not in the log, and nothing else went wrong", function()
    local log = app:log()
    for _, key in ipairs(KEYS) do
      assert.is_nil(log:find(key, 1, true))
    end
    for line in log:gmatch "[^\n]+" do
      assert.is_nil(line:match "%[emerg%]" or line:match "%[crit%]" or line:match "%[error%]", line)
    end
  end)
end)
