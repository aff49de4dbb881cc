-- The transport of the core against a real nginx: plain, with TLS 1.2 and 1.3, and with HTTP/2.
local core = require "heymarket.core"
local nginx = require "spec.support.nginx"
local process = require "spec.support.process"

if nginx.missing then
  it("works with nginx", function()
    pending(nginx.missing)
  end)
  return
end

-- One port on several loopback addresses, one for each way.
local CONFIGURATION = nginx.load_modules
  .. [[
worker_processes 2;
pid @FOLDER@/nginx.pid;
error_log @FOLDER@/error.log info;
events { worker_connections 4096; }
http {
  access_log off;
  keepalive_requests 100000;
  client_body_buffer_size 2m;
  ssl_certificate @FOLDER@/certificate.pem;
  ssl_certificate_key @FOLDER@/key.pem;
  server {
    listen 127.0.0.1:@PORT@;
    listen 127.0.0.2:@PORT@ ssl;
    listen 127.0.0.4:@PORT@ ssl http2;
    ssl_protocols TLSv1.3;
    include @FOLDER@/locations;
  }
  server {
    listen 127.0.0.3:@PORT@ ssl;
    listen 127.0.0.5:@PORT@ ssl http2;
    ssl_protocols TLSv1.2;
    include @FOLDER@/locations;
  }
}
]]

local LOCATIONS = [[
client_max_body_size 4m;
location = /_there { return 204; }
location = /chunks {
  content_by_lua_block { ngx.req.read_body() ngx.print("[", #(ngx.req.get_body_data() or ""), "]") }
}
location = /length {
  content_by_lua_block {
    ngx.req.read_body()
    local text = "[" .. #(ngx.req.get_body_data() or "") .. "]"
    ngx.header.content_length = #text
    ngx.print(text)
  }
}
# It reads the body first: an answer that comes before the body makes nginx reset the stream, which is no whole answer.
location = /slow { content_by_lua_block { ngx.req.read_body() ngx.sleep(0.2) ngx.print "slow" } }
location = /limited { client_max_body_size 10k; content_by_lua_block { ngx.print "[]" } }
location = /closed { return 401 "closed"; }
location = /unread { content_by_lua_block { ngx.print "[]" } }
]]

local WAYS = {
  { "plain", "http://127.0.0.1" },
  { "TLS 1.3", "https://127.0.0.2" },
  { "TLS 1.2", "https://127.0.0.3" },
  { "HTTP/2 and TLS 1.3", "https://127.0.0.4", 2 },
  { "HTTP/2 and TLS 1.2", "https://127.0.0.5", 2 },
}

local web, pool

setup(function()
  local folder = process.output("mktemp -d"):match "%S+"
  local made = os.execute(
    (
      "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext "
      .. "subjectAltName=IP:127.0.0.1,IP:127.0.0.2,IP:127.0.0.3,IP:127.0.0.4,IP:127.0.0.5 "
      .. "-keyout %s/key.pem -out %s/certificate.pem 2>/dev/null"
    ):format(folder, folder)
  )
  assert(made == true or made == 0, "openssl made no certificate")
  local files = { locations = LOCATIONS }
  for _, name in ipairs { "key.pem", "certificate.pem" } do
    local file = assert(io.open(folder .. "/" .. name, "rb"))
    files[name] = file:read "*a"
    file:close()
  end
  os.execute("rm -rf " .. process.quote(folder))
  web = nginx.start(CONFIGURATION, { files = files })
end)

teardown(function()
  web:stop()
end)

before_each(function()
  pool = core.pool { ca_file = web.folder .. "/certificate.pem" }
end)

after_each(function()
  pool:close()
  collectgarbage()
  collectgarbage()
  assert.are.same({ signers = 0, pools = 0, transfers = 0 }, core.open_handles())
end)

local function start(way, path, body, timeout)
  local url = ("%s:%d%s"):format(way[2], web.port, path)
  return assert(pool:start(body and "POST" or "GET", url, {}, body, timeout or 30, 30))
end

local function await()
  local result = pool:take()
  while not result do
    assert(pool:perform() > 0 or pool:running() == 0)
    result = pool:take()
    if not result then
      pool:wait(1)
    end
  end
  return result
end

local function fetch(way, path, body)
  local id = start(way, path, body)
  local result = await()
  assert.are.equal(id, result.id)
  return result
end

for _, way in ipairs(WAYS) do
  describe("nginx over " .. way[1], function()
    it("gives trusted responses only, however often it is reloaded", function()
      local new, retried, former = 0, 0, {}
      for number = 1, 500 do
        if number % 100 == 0 then
          former = {}
          for _, pid in ipairs(web:workers()) do
            former[pid] = true
          end
          web:signal "reload"
        end
        local body = number % 3 > 0 and ("x"):rep(number % 7 == 0 and 300000 or number * 40) or nil
        local result = fetch(way, number % 2 == 0 and "/chunks" or "/length", body)
        if result.code then
          -- A worker that ends closes its idle connections: a request that was under way just then is lost, with
          -- any client. It has no answer, so it says nothing about answers.
          local lost = { SEND_ERROR = true, RECV_ERROR = true, GOT_NOTHING = true, HTTP2 = way[3] ~= nil }
          assert.is_true(lost[result.code], result.message)
          assert.is_nil(result.status, result.message)
          retried = retried + 1
        else
          assert.are.equal(200, result.status)
          assert.are.equal(("[%d]"):format(body and #body or 0), result.body)
          assert.is_false(result.early)
          assert.are.equal(way[3] or 1.1, result.http_version)
        end
        new = new + (result.new_connection and 1 or 0)
      end
      -- Connections are kept and used again, but for those that a reload ended.
      assert.is_true(new <= 20, new .. " new connections")
      assert.is_true(retried <= 5, retried .. " lost requests")
      pool:close() -- or they would wait for its connections
      nginx.eventually("the former workers have ended", function()
        for _, pid in ipairs(web:workers()) do
          if former[pid] then
            return false
          end
        end
        return #web:workers() == 2
      end)
    end)

    it("runs many requests at once", function()
      local wanted = {}
      for _ = 1, 100 do
        wanted[start(way, "/slow", "x")] = true
      end
      assert.are.equal(100, pool:running())
      for _ = 1, 100 do
        local result = await()
        assert.is_nil(result.code, result.message)
        assert.are.equal("slow", result.body)
        assert.is_true(wanted[result.id])
        wanted[result.id] = nil
      end
      assert.is_nil(next(wanted))
    end)

    for _, size in ipairs { 20000, 100000, 1000000, 4000000 } do
      it(("refuses a body of %d bytes before it has read it"):format(size), function()
        for _ = 1, 5 do
          local result = fetch(way, "/limited", ("x"):rep(size))
          assert.is_nil(result.code, result.message)
          assert.are.equal(413, result.status)
          result = fetch(way, "/closed", ("x"):rep(size))
          assert.is_nil(result.code, result.message)
          assert.are.equal(401, result.status)
          assert.are.equal("closed", result.body)
        end
        -- The pool is as good as before.
        assert.are.equal("[3]", fetch(way, "/length", "xxx").body)
      end)
    end
  end)
end
