local cjson = require("cjson").new()
local nginx = require "spec.support.nginx"
local process = require "spec.support.process"
local sandbox_server = require "heymarket.sandbox.server"

local function read(path)
  local file = assert(io.open(path, "rb"))
  local text = file:read "*a"
  file:close()
  return text
end

-- The example's nginx.conf as it is, but for the port; and without its load_module lines where nginx has Lua built in.
local function configuration()
  local text, ports = read("examples/signup.nginx.conf"):gsub("listen 8080;", "listen 127.0.0.1:@PORT@;")
  assert.are.equal(1, ports)
  local loaded = {}
  text = text:gsub("load_module [^\n]+\n", function(line)
    loaded[#loaded + 1] = line
    return ""
  end)
  local lines = table.concat(loaded)
  assert.are.equal(nginx.load_modules ~= "" and nginx.load_modules or lines, lines)
  return text
end

-- The Lua that runs these tests, and its busted.
local function this_busted()
  return process.quote(process.interpreter()) .. " " .. process.quote(_G.arg[0])
end

describe("the spec of the sign-up form", function()
  it("passes as it stands, without a network", function()
    local totals = process.output("mktemp"):match "%S+"
    local path = nginx.root .. "/examples/?.lua;" .. package.path
    local out = process.output(
      ("env LUA_PATH=%s HEYMARKET_TEST_TOTALS=%s %s -o spec/support/totals.lua examples/signup_spec.lua 2>&1"):format(
        process.quote(path),
        totals,
        this_busted()
      )
    )
    local counted = read(totals)
    os.remove(totals)
    assert.are.equal("0", counted:match "failed (%d+)", out)
    assert.is_true(tonumber(counted:match "passed (%d+)") > 5, out)
  end)
end)

describe("the sign-up form in nginx", function()
  if nginx.missing then
    it("answers", function()
      pending(nginx.missing)
    end)
    return
  end

  local sandbox, app

  setup(function()
    sandbox = assert(sandbox_server.start { port = 0 })
    local text = configuration()
    app = nginx.start(nginx.load_modules .. text, {
      files = { ["signup.lua"] = read "examples/signup.lua" },
      environment = {
        LUA_PATH = ("%s/lua/?.lua;%s/lua/?/init.lua;;"):format(nginx.root, nginx.root),
        LUA_CPATH = nginx.root .. "/build/jit/?.so;;",
        HEYMARKET_SECRET_ID = sandbox.secret_id,
        HEYMARKET_SECRET_KEY = sandbox.secret_key,
        HEYMARKET_BASE_URL = sandbox.base_url,
      },
    })
  end)

  teardown(function()
    if app then
      app:stop()
    end
    if sandbox then
      sandbox:stop()
    end
  end)

  before_each(function()
    sandbox:admin("POST", "reset")
  end)

  local function send(body, more)
    return process.with_file(body, function(path)
      local status, text, head = app:get(
        "/signup",
        ("%s -X POST --data-binary @%s"):format(more or "-H 'Content-Type: application/json'", process.quote(path))
      )
      assert.is_truthy(head:lower():find("content-type: application/json", 1, true), head)
      local decoded = cjson.decode(text)
      assert.is_nil(text:find("2345678900", 1, true))
      assert.is_nil(text:find(sandbox.secret_key, 1, true))
      return { status = status, body = decoded, head = head:lower() }
    end)
  end

  local FORM = '{"phone":"(234) 567-8900","first":"Ann","email":"ann@example.com"}'

  it("creates the contact", function()
    local made = send(FORM)
    assert.are.equal(200, made.status)
    assert.are.same({ status = "ok" }, made.body)
    local contacts = sandbox:admin("GET", "contacts")
    assert.are.equal("Ann", contacts["12345678900"].first)
  end)

  it("names the fields that are wrong", function()
    local made = send '{"phone":"12"}'
    assert.are.equal(422, made.status)
    assert.is_string(made.body.fields.phone)
    assert.are.equal(0, #sandbox:admin("GET", "requests"))
  end)

  it("refuses other methods, other media types, and bodies that are too large", function()
    assert.are.equal(405, (app:get "/signup"))
    assert.are.equal(415, send(FORM, "-H 'Content-Type: text/plain'").status)
    local large = send('{"first":"' .. ("a"):rep(9000) .. '"}')
    assert.are.equal(413, large.status)
    assert.are.equal("too_large", large.body.error)
  end)

  it("takes a body that only just fits", function()
    local made = send('{"phone":"+12345678901","first":"Ann","more":"' .. ("a"):rep(8000) .. '"}')
    assert.are.equal(200, made.status)
  end)

  it("answers 503 with Retry-After, 500 or 202, and logs one line each with the request's id", function()
    local cases = {
      { { status = 401, times = 3 }, 500, "unauthorized" },
      { { status = 403, times = 3 }, 500, "denied" },
      { { status = 500, times = 3 }, 202, "server" },
      { { status = 429, times = 1, retry_after = 100 }, 503, "rate_limited" },
    }
    for _, case in ipairs(cases) do
      sandbox:admin("POST", "reset")
      sandbox:admin("POST", "script", case[1])
      local before = #read(app.folder .. "/signup.log")
      local made = send(FORM)
      assert.are.equal(case[2], made.status, case[3])
      assert.are.equal(case[2] == 503, made.head:find("retry-after: 100", 1, true) ~= nil)
      local requests = sandbox:admin("GET", "requests")
      local lines = {}
      for line in read(app.folder .. "/signup.log"):sub(before + 1):gmatch "[^\n]+" do
        if line:find("signup:", 1, true) then
          lines[#lines + 1] = line
        end
      end
      assert.are.equal(1, #lines)
      assert.is_truthy(lines[1]:find("signup: " .. case[3], 1, true), lines[1])
      assert.is_truthy(lines[1]:find("request_id=" .. requests[#requests].request_id, 1, true), lines[1])
      assert.is_nil(lines[1]:find("2345678900", 1, true))
    end
  end)

  it("keeps one visitor from flooding it, in JSON", function()
    local statuses = app:crowd("/signup", 40):finish()
    assert.is_true((statuses[405] or 0) <= 20)
    assert.are.equal(40, (statuses[405] or 0) + (statuses[429] or 0))
    local made = send(FORM)
    assert.are.equal(429, made.status)
    assert.are.equal("too_many", made.body.error)
    assert.is_truthy(made.head:find("retry-after: 60", 1, true))
  end)
end)

describe("the sign-up form without credentials", function()
  if nginx.missing then
    return
  end

  it("does not start, and says what is missing", function()
    local text = configuration()
    local app = nginx.start(nginx.load_modules .. text, {
      files = { ["signup.lua"] = read "examples/signup.lua" },
      environment = {
        LUA_PATH = ("%s/lua/?.lua;%s/lua/?/init.lua;;"):format(nginx.root, nginx.root),
        LUA_CPATH = nginx.root .. "/build/jit/?.so;;",
      },
      may_fail = true,
    })
    local log = read(app.folder .. "/signup.log") .. app:log()
    local alive = process.is_alive(app.pid)
    app:stop()
    assert.is_false(alive)
    assert.is_truthy(log:find("HEYMARKET_SECRET_ID", 1, true), log)
  end)
end)
