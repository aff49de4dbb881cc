-- The other side of the table of answers: what a real nginx answers is believed, every time, over connections that are
-- shared; and what it answers before it has read the request steers as it should.
local heymarket = require "heymarket"
local nginx = require "spec.support.nginx"
local server = require "spec.support.server"

local CALLS, RELOADS = 500, 4

local LOCATIONS = [[
location = /_there { access_log off; return 204; }
location = /_stored {
  access_log off;
  content_by_lua_block {
    local stored, times = ngx.shared.stored, 0
    local phones = stored:get_keys(0)
    for _, phone in ipairs(phones) do
      times = math.max(times, stored:get(phone))
    end
    ngx.say(#phones, " ", times)
  }
}
location = /_forget { access_log off; content_by_lua_block { ngx.shared.stored:flush_all() ngx.say "forgotten" } }
location / { content_by_lua_block { require "answer"() } }
location /20480 { client_max_body_size 8k; content_by_lua_block { require "answer"() } }
location /102400 { client_max_body_size 40k; content_by_lua_block { require "answer"() } }
location /1000000 { client_max_body_size 300k; content_by_lua_block { require "answer"() } }
location /token {
  access_by_lua_block {
    if ngx.shared.stored:incr("asked", 1, 0) == 1 then
      ngx.exit(401)
    end
    ngx.shared.stored:delete "asked"
  }
  content_by_lua_block { require "answer"() }
}
]]

local CONFIGURATION = nginx.load_modules
  .. [[
worker_processes 1;
pid @FOLDER@/nginx.pid;
error_log @FOLDER@/error.log info;
events { }
http {
  log_format seen '$connection $server_protocol $status $uri';
  access_log @FOLDER@/access.log seen;
  lua_shared_dict stored 16m;
  client_body_buffer_size 2m;
  client_max_body_size 2m;
  ssl_certificate @FOLDER@/certificate.pem;
  ssl_certificate_key @FOLDER@/key.pem;
  init_by_lua_block {
    -- Stores the contacts, and answers half of the requests with a length and half in chunks.
    package.loaded.answer = function()
      ngx.req.read_body()
      local last
      for phone in ngx.req.get_body_data():gmatch '"phone":"(%d+)"' do
        ngx.shared.stored:incr(phone, 1, 0)
        last = phone
      end
      ngx.header["Content-Type"] = "application/json"
      if last:find "[02468]$" then
        ngx.header["Content-Length"] = 4
      end
      ngx.print '"ok"'
    end
  }
  server {
    listen 127.0.0.1:@PORT@;
    listen 127.0.0.1:@TLS_PORT@ ssl;
    include @FOLDER@/locations.conf;
  }
  server {
    listen 127.0.0.1:@H2_PORT@ ssl http2;
    # After so many requests it sends GOAWAY.
    keepalive_requests 50;
    # So long an ending worker waits for a client that keeps its connection.
    lingering_timeout 200ms;
    include @FOLDER@/locations.conf;
  }
}
]]

describe("nginx", function()
  if nginx.missing then
    it("gives trusted responses", function()
      pending(nginx.missing)
    end)
    return
  end

  local folder, target

  setup(function()
    folder = server.folder()
    server.certificate(folder)
    local files = { ["locations.conf"] = LOCATIONS }
    for _, name in ipairs { "certificate.pem", "key.pem" } do
      local file = assert(io.open(folder .. "/" .. name, "rb"))
      files[name] = file:read "*a"
      file:close()
    end
    target = nginx.start(CONFIGURATION, { files = files })
  end)

  teardown(function()
    if target then
      target:stop()
    end
    server.remove(folder)
  end)

  -- `connections` that CALLS / (RELOADS + 1) requests in a row take.
  local FACES = {
    { name = "HTTP/1.1", protocol = "HTTP/1.1", scheme = "http", port = "PORT", connections = 1 },
    { name = "HTTP/1.1 over TLS", protocol = "HTTP/1.1", scheme = "https", port = "TLS_PORT", connections = 1 },
    { name = "HTTP/2", protocol = "HTTP/2.0", scheme = "https", port = "H2_PORT", connections = 2 },
  }

  local function client_of(face, path)
    return assert(heymarket.new {
      secret_id = "id",
      secret_key = "key",
      base_url = ("%s://127.0.0.1:%d%s"):format(face.scheme, target.ports[face.port], path or ""),
      requests_per_minute = false,
      ca_file = folder .. "/certificate.pem",
    })
  end

  local function contacts_of(count, bytes)
    local made = {}
    for i = 1, count do
      made[i] = { phone = ("1202555%04d"):format(i), custom = bytes and { [7] = ("x"):rep(bytes) } }
    end
    return made
  end

  -- How many contacts are stored, and how often at most.
  local function stored()
    local _, body = target:get "/_stored"
    local count, times = body:match "^(%d+) (%d+)"
    return tonumber(count), tonumber(times)
  end

  -- The requests since the last look: the connections they came on, their protocols, and each status.
  local seen = 0
  local function logged()
    local file = assert(io.open(target.folder .. "/access.log", "rb"))
    file:seek("set", seen)
    local text = file:read "*a"
    seen = file:seek()
    file:close()
    local made = { requests = 0, connections = 0, protocols = {}, statuses = {} }
    local connections = {}
    for connection, protocol, status in text:gmatch "(%d+) (%S+) (%d+) [^\n]*\n" do
      made.requests = made.requests + 1
      made.connections = made.connections + (connections[connection] and 0 or 1)
      connections[connection] = true
      made.protocols[protocol] = true
      made.statuses[tonumber(status)] = (made.statuses[tonumber(status)] or 0) + 1
    end
    return made
  end

  before_each(function()
    target:get "/_forget"
    logged()
  end)

  -- Starts new workers, and waits until the old ones have gone.
  local function reload()
    local old = target:workers()[1]
    target:signal "reload"
    nginx.eventually("the worker has been replaced", function()
      local now = target:workers()
      return #now == 1 and now[1] ~= old
    end)
  end

  for _, face in ipairs(FACES) do
    it(("gives %d trusted responses over %s, through reloads"):format(CALLS, face.name), function()
      local client = client_of(face)
      local retries, accepted = 0, 0
      for i, contact in ipairs(contacts_of(CALLS)) do
        local report = assert(client:create_contacts { contact })
        accepted, retries = accepted + report.accepted, retries + report.retries
        if i % (CALLS / (RELOADS + 1)) == 0 and i < CALLS then
          reload()
        end
      end
      client:close()
      assert.are.equal(CALLS, accepted)
      assert.are.equal(0, retries)
      local count, times = stored()
      assert.are.equal(CALLS, count)
      assert.are.equal(1, times)
      local log = logged()
      assert.are.same({ [face.protocol] = true }, log.protocols)
      assert.are.equal(CALLS, log.requests)
      assert.are.equal(face.connections * (RELOADS + 1), log.connections)
    end)

    it(
      ("is believed in an import of %d requests over %s, four at a time, through reloads"):format(CALLS, face.name),
      function()
        local client = client_of(face)
        local answered = 0
        local report = assert(client:import(contacts_of(CALLS), {
          batch_size = 1,
          on_progress = function()
            answered = answered + 1
            if answered % 100 == 50 then
              target:signal "reload"
            end
          end,
        }))
        client:close()
        -- A worker that ends may drop a connection on which a request has just left: that one is sent again.
        assert.are.equal(CALLS, report.accepted)
        local count, times = stored()
        assert.are.equal(CALLS, count)
        assert.are.equal(1, times)
        local log = logged()
        assert.are.same({ [face.protocol] = true }, log.protocols)
        assert.is_true(log.connections <= 4 * 6 * face.connections + report.retries, log.connections .. " connections")
        reload()
      end
    )

    -- libcurl 7.88 drops an answer on HTTP/2 whose stream is reset in the same packet; the request is tried again then.
    local again = face.protocol == "HTTP/2.0" and 4 or 0

    for _, size in ipairs { 20480, 102400, 1000000 } do
      it(("splits %d bytes that nginx refuses after the head, over %s"):format(size, face.name), function()
        local client = client_of(face, "/" .. size)
        local report =
          assert(client:create_contacts(contacts_of(16, math.floor(size / 16)), { max_attempts = 1 + again }))
        client:close()
        assert.are.equal(16, report.accepted)
        local count, times = stored()
        assert.are.equal(16, count)
        assert.are.equal(1, times)
        local log = logged()
        assert.is_true(log.statuses[413] >= 1)
        assert.are.equal(log.requests, log.statuses[413] + log.statuses[200])
      end)

      it(
        ("leaves one contact of %d bytes in doubt that nginx refuses after the head, over %s"):format(size, face.name),
        function()
          local client = client_of(face, "/" .. size)
          local report, failure = client:create_contacts(contacts_of(1, size - 100))
          client:close()
          assert.is_nil(report)
          assert.are.equal("too_large", failure.kind)
          assert.are.equal(413, failure.status)
          assert.are.equal("maybe", failure.delivered)
          assert.are.equal(1, failure.report.unknown)
          assert.is_true(failure.report.requests <= 1 + again)
          assert.are.equal(0, (stored()))
        end
      )

      it(
        ("signs a new token for %d bytes that nginx refuses after the head, over %s"):format(size, face.name),
        function()
          local client = client_of(face, "/token")
          local report =
            assert(client:create_contacts(contacts_of(16, math.floor(size / 16) - 40), { max_attempts = 2 + again }))
          client:close()
          assert.are.equal(16, report.accepted)
          assert.are.equal(16, (stored()))
          local statuses = logged().statuses
          assert.are.equal(1, statuses[200])
          assert.is_true(statuses[401] >= 1 and statuses[401] <= 1 + again)
          assert.are.equal(report.requests, statuses[200] + statuses[401])
        end
      )
    end
  end
end)
