local heymarket = require "heymarket"
local nginx = require "spec.support.nginx"

if nginx.missing then
  it("nginx refuses requests", function()
    pending(nginx.missing)
  end)
  return
end

-- nginx's own refusals are web pages, and come before it has read the body. What it lets through, it notes by phone.
local CONFIG = nginx.load_modules
  .. [[
worker_processes 1;
pid @FOLDER@/nginx.pid;
error_log @FOLDER@/error.log warn;
events { }
http {
  access_log off;
  client_body_temp_path @FOLDER@;
  lua_shared_dict seen 1m;
  client_body_buffer_size 2m;
  server {
    listen 127.0.0.1:@PORT@;
    location = /_there { return 204; }
    location = /v1/batch/contacts {
      client_max_body_size @LIMIT@;
      access_by_lua_block {
        if ngx.shared.seen:incr("requests", 1, 0) <= @UNAUTHORIZED@ then
          return ngx.exit(401)
        end
      }
      content_by_lua_block {
        ngx.req.read_body()
        local file = io.open("@FOLDER@/taken", "a")
        for phone in ngx.req.get_body_data():gmatch '"phone":"(%d+)"' do
          file:write(phone, "\n")
        end
        file:close()
        ngx.header["Content-Type"] = "application/json"
        ngx.print '"ok"'
      }
    }
  }
}
]]

local app

local function start(limit, unauthorized)
  local text = CONFIG:gsub("@LIMIT@", limit):gsub("@UNAUTHORIZED@", tostring(unauthorized))
  app = nginx.start(text)
  return assert(heymarket.new {
    secret_id = "an-id",
    secret_key = "a-key",
    base_url = app.url,
    requests_per_minute = false,
    max_attempts = 2,
  })
end

local function taken()
  local counts, file = {}, io.open(app.folder .. "/taken", "r")
  for phone in (file and file:read "*a" or ""):gmatch "%d+" do
    counts[phone] = (counts[phone] or 0) + 1
  end
  if file then
    file:close()
  end
  return counts
end

-- So many contacts whose request has about so many bytes.
local function contacts(count, bytes)
  local list = {}
  for i = 1, count do
    list[i] = { phone = ("1202555%04d"):format(i), custom = { [1] = ("x"):rep(math.floor(bytes / count) - 45) } }
  end
  return list
end

after_each(function()
  if app then
    app:stop()
    app = nil
  end
end)

describe("nginx in front of the API", function()
  for _, size in ipairs { 20000, 100000, 1000000 } do
    it(("that takes a fifth of a request of %d bytes gets it in parts"):format(size), function()
      local client = start(tostring(math.floor(size / 5)), 0)
      local list = contacts(100, size)
      local report = assert(client:create_contacts(list))
      client:close()
      assert.are.equal(100, report.accepted)
      assert.is_true(report.requests > 5)
      local counts = taken()
      for _, contact in ipairs(list) do
        assert.are.equal(1, counts[contact.phone])
      end
    end)

    it(("that does not take one contact of %d bytes leaves it unknown"):format(size), function()
      local client = start(tostring(math.floor(size / 2)), 0)
      local list = contacts(10, 1000)
      list[4].custom[1] = ("x"):rep(size)
      local _, failure = client:create_contacts(list)
      client:close()
      assert.are.equal("too_large", failure.kind)
      assert.are.equal(413, failure.status)
      assert.are.equal("maybe", failure.delivered)
      local report = failure.report
      assert.are.same({ 9, 1, 4 }, { report.accepted, report.unknown, report.items[1].index })
      assert.is_nil(taken()[list[4].phone])
    end)

    it(("that refuses a token before a body of %d bytes gets a new one"):format(size), function()
      local client = start("2m", 1)
      local report = assert(client:create_contacts(contacts(100, size)))
      assert.are.same({ 100, 2 }, { report.accepted, report.requests })
      client:close()
      app:stop()
      client = start("2m", 1000)
      local _, failure = client:create_contacts(contacts(100, size))
      client:close()
      assert.are.same({ "unauthorized", 401, "maybe", 2 }, {
        failure.kind,
        failure.status,
        failure.delivered,
        failure.report.requests,
      })
      assert.are.equal(100, failure.report.unknown)
    end)
  end
end)
