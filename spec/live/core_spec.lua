local core = require "heymarket.core"
local process = require "spec.support.process"
local system = require "heymarket.system"

-- The folder of the support files, wherever the tests are started from.
local here = debug.getinfo(1, "S").source:match "^@(.*)live/core_spec%.lua$" or "spec/"
local support = here .. "support/"

local quote, output_of, write_file = process.quote, process.output, process.write_file

local function hex(text)
  return (text:gsub(".", function(byte)
    return ("%02x"):format(byte:byte())
  end))
end

local folder

setup(function()
  folder = output_of("mktemp -d"):match "%S+"
end)

teardown(function()
  os.execute("rm -rf " .. quote(folder))
end)

local function collect_all()
  collectgarbage()
  collectgarbage()
end

describe("every test of the core", function()
  it("starts with nothing open", function()
    collect_all()
    assert.are.same({ signers = 0, pools = 0, transfers = 0 }, core.open_handles())
  end)
end)

describe("a signer", function()
  after_each(function()
    collect_all()
    assert.are.equal(0, core.open_handles().signers)
  end)

  it("makes the tokens of the known answers", function()
    local first = core.signer("74f80a77-9b3f-44ac-b3ad-ab68cfb548fa", "cPQku7lnSLbnK88UFOBg1a6Q3t1w1RgK")
    assert.are.equal(
      "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJpc3MiOiI3NGY4MGE3Ny05YjNmLTQ0YWMtYjNhZC1hYjY4Y2ZiNTQ4ZmEiLCJpYXQiOjE3"
        .. "MTMyMjU2MDB9.sWLRg-YlFnPpP99prTT_IpgvMALyFmjYtlnfGEeahS0",
      first:sign(1713225600)
    )
    local second = core.signer("YOUR_API_SECRET_ID", "YOUR_API_SECRET_KEY")
    assert.are.equal(
      "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJZT1VSX0FQSV9TRUNSRVRfSUQiLCJpYXQiOjE3MTMyMjU2MDB9.VIR4xZTstXIp"
        .. "U3hHI_ls4wlEnNPrr1i6ZA1w0vp3uUM",
      second:sign(1713225600)
    )
  end)

  it("agrees with openssl for ids and keys of many lengths", function()
    local lines = {}
    local function random_text(length, low, high)
      local bytes = {}
      for i = 1, length do
        bytes[i] = string.char(math.random(low, high))
      end
      return table.concat(bytes)
    end
    local function case(id, key, iat)
      local signer = core.signer(id, key)
      local token = signer:sign(iat)
      lines[#lines + 1] = ("%s %s %.0f %s\n"):format(hex(id), hex(key), iat, token)
      signer:close()
    end
    for length = 1, 7 do
      case(random_text(length, 97, 122), random_text(length, 0, 255), 1713225600 + length)
    end
    for _, length in ipairs { 30, 31, 32, 33, 61, 62, 63, 64, 65, 127, 128, 129, 299, 300 } do
      case(random_text(length, 0, 127), random_text(length, 0, 255), math.random(0, 2000000000))
      case("id", random_text(length, 0, 255), math.random(0, 2000000000))
      case(random_text(length, 32, 126), "k", math.random(0, 2000000000))
    end
    for _ = 1, 40 do
      case(
        random_text(math.random(1, 300), 0, 127),
        random_text(math.random(1, 300), 0, 255),
        math.random(0, 2000000000)
      )
    end
    for digits = 0, 15 do
      case("abc", "key", 10 ^ digits)
    end
    case("abc", "key", 0)
    case("abc", "key", 2 ^ 53 - 1)
    case('quote " and \\ backslash', "key", 5)
    case("nul \0 and line\nbreak and umlaut \195\164", "nul \0 too", 5)
    case(("\1"):rep(3000), "key", 5)
    write_file(folder .. "/tokens", table.concat(lines))
    local verdict = output_of(("python3 %score_tokens.py < %s/tokens"):format(support, quote(folder)))
    assert.are.equal(("checked %d\n"):format(#lines), verdict)
  end)

  it("signs again and again with the same result", function()
    local signer = core.signer("id", "key")
    local token = signer:sign(1)
    for _ = 1, 1000 do
      assert.are.equal(token, signer:sign(1))
    end
    assert.are_not.equal(token, signer:sign(2))
  end)

  it("takes whole numbers only, and says which argument is wrong", function()
    local signer = core.signer("id", "key")
    for _, wrong in ipairs { -1, 1.5, 2 ^ 53, 1 / 0, -1 / 0, 0 / 0, "5", true, {} } do
      assert.has_error(function()
        signer:sign(wrong)
      end)
    end
    assert.has_error(function()
      signer:sign(nil)
    end)
    assert.are.equal(signer:sign(5), signer:sign(5.0))
    assert.has_error(function()
      core.signer("", "key")
    end)
    assert.has_error(function()
      core.signer("id", "")
    end)
    assert.has_error(function()
      core.signer({}, "key")
    end)
  end)

  it("can be closed twice and is of no use afterwards", function()
    local signer = core.signer("id", "key")
    assert.are.equal(1, core.open_handles().signers)
    signer:close()
    signer:close()
    assert.are.equal(0, core.open_handles().signers)
    local fine, message = pcall(signer.sign, signer, 1)
    assert.is_false(fine)
    assert.truthy(message:find("this client is closed", 1, true))
  end)

  if _VERSION == "Lua 5.4" then
    it("is closed at the end of its block with <close>", function()
      local run = assert(load [[
        local core = ...
        do
          local signer <close> = core.signer("id", "key")
          local pool <close> = core.pool {}
          assert(core.open_handles().signers == 1 and core.open_handles().pools == 1)
        end
        return core.open_handles()
      ]])
      assert.are.same({ signers = 0, pools = 0, transfers = 0 }, run(core))
    end)
  end

  it("does not give its metatable away", function()
    local signer = core.signer("id", "key")
    assert.is_false(getmetatable(signer))
    assert.has_error(function()
      core.signer("id", "key").sign(io.stdout, 1)
    end)
  end)
end)

describe("the reader of dates", function()
  it("takes the three forms of HTTP", function()
    for _, text in ipairs {
      "Sun, 06 Nov 1994 08:49:37 GMT",
      "Sunday, 06-Nov-94 08:49:37 GMT",
      "Sun Nov  6 08:49:37 1994",
    } do
      local utc = os.date("!*t", core.parse_date(text))
      assert.are.same({ 1994, 11, 6, 8, 49, 37 }, { utc.year, utc.month, utc.day, utc.hour, utc.min, utc.sec })
    end
    assert.are.equal(0, core.parse_date "Thu, 01 Jan 1970 00:00:00 GMT")
  end)

  it("gives nil for what is not a date", function()
    for _, text in ipairs { "", "120", "soon", "06 Nov", "Sun, 06 Nov 1994 08:49:37 GMT\0", ("9"):rep(100000) } do
      assert.is_nil(core.parse_date(text))
    end
    assert.has_error(function()
      core.parse_date(nil)
    end)
  end)
end)

describe("a pool", function()
  local server, ports, certificate
  local pool

  setup(function()
    certificate = folder .. "/certificate.pem"
    local made = os.execute(
      (
        "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext "
        .. "subjectAltName=DNS:localhost,IP:127.0.0.1 -keyout %s/key.pem -out %s 2>/dev/null"
      ):format(quote(folder), quote(certificate))
    )
    assert(made == true or made == 0, "openssl made no certificate")
    server = assert(
      io.popen(("exec python3 %score_server.py %s %s/key.pem"):format(support, quote(certificate), quote(folder)), "r")
    )
    local line = assert(server:read "*l", "the server did not start")
    local numbers = {}
    for number in line:gmatch "%d+" do
      numbers[#numbers + 1] = number
    end
    ports = {}
    local names = "plain reset full refused tls tls12 eager_tls eager_tls12 eager_plain pid"
    for name in names:gmatch "%S+" do
      ports[name] = assert(table.remove(numbers, 1), line)
    end
  end)

  teardown(function()
    os.execute("kill " .. ports.pid)
    server:close()
  end)

  before_each(function()
    pool = core.pool {}
  end)

  after_each(function()
    pool:close()
    collect_all()
    assert.are.same({ signers = 0, pools = 0, transfers = 0 }, core.open_handles())
  end)

  local function url(path, port, host)
    return ("http://%s:%s%s"):format(host or "127.0.0.1", port or ports.plain, path)
  end

  -- Waits until everything that was started has ended. The bound is for a broken pool, not for a slow machine.
  local function finish(which)
    local rounds = 0
    while which:perform() > 0 do
      rounds = rounds + 1
      assert(rounds < 2000000, "the transfer does not end")
      which:wait(1)
    end
  end

  local function fetch(which, method, target, options)
    options = options or {}
    local id, code, message = which:start(
      method,
      target,
      options.headers or {},
      options.body,
      options.timeout or 30,
      options.connect_timeout or 30
    )
    assert(id, tostring(code) .. ": " .. tostring(message))
    finish(which)
    local result = assert(which:take())
    assert.are.equal(id, result.id)
    assert.is_nil(which:take())
    return result
  end

  local function times_seen(what)
    local escaped = what:gsub("[^%w/]", function(character)
      return ("%%%02X"):format(character:byte())
    end)
    return tonumber(fetch(core.pool {}, "GET", url("/seen?" .. escaped)).body)
  end

  it("sends exactly the request it was given", function()
    local result = fetch(pool, "POST", url "/echo", {
      headers = { "Authorization: Bearer x", "Content-Type: application/json" },
      body = '["\0", "\195\164"]',
    })
    assert.is_nil(result.code)
    assert.is_nil(result.message)
    assert.are.equal(200, result.status)
    assert.is_true(result.sent)
    assert.is_true(result.new_connection)
    assert.are.equal(1.1, result.http_version)
    assert.is_true(result.elapsed > 0)
    assert.are.equal(#result.headers + #result.body, result.received)
    assert.truthy(result.headers:find "^HTTP/1.1 200 OK\r\n")
    local head, body = result.body:match "^(.-\r\n)\r\n(.*)$"
    assert.are.equal('["\0", "\195\164"]', body)
    assert.are.equal(
      "POST /echo HTTP/1.1\r\nHost: 127.0.0.1:"
        .. ports.plain
        .. "\r\nAccept: */*\r\nAuthorization: Bearer x\r\nContent-Type: application/json\r\nContent-Length: "
        .. #body
        .. "\r\n",
      head
    )
  end)

  it("never asks before it sends a large body, and adds no content type", function()
    local body = ("0123456789abcdef"):rep(70000)
    local result = fetch(pool, "POST", url "/echo", { body = body })
    assert.are.equal(body, result.body:match "\r\n\r\n(.*)$")
    assert.is_nil(result.body:lower():find("\r\nexpect:", 1, true))
    assert.is_nil(result.body:lower():find("\r\ncontent-type:", 1, true))
    assert.is_nil(result.body:lower():find("\r\naccept-encoding:", 1, true))
  end)

  it("knows other methods, with and without a body", function()
    assert.truthy(fetch(pool, "GET", url "/echo").body:find "^GET /echo ")
    assert.truthy(fetch(pool, "DELETE", url "/echo").body:find "^DELETE /echo ")
    assert.truthy(fetch(pool, "PUT", url "/echo", { body = "x" }).body:find "^PUT /echo .*\r\n\r\nx$")
    assert.truthy(fetch(pool, "POST", url "/echo").body:find "^POST /echo .*\r\nContent%-Length: 0\r\n")
    assert.truthy(fetch(pool, "POST", url "/echo", { body = "" }).body:find "\r\nContent%-Length: 0\r\n")
  end)

  it("names itself as told", function()
    local named = core.pool { user_agent = "heymarket/1 (test)" }
    assert.truthy(fetch(named, "GET", url "/echo").body:find("\r\nUser-Agent: heymarket/1 (test)\r\n", 1, true))
  end)

  it("reuses a connection, and opens a new one for another host", function()
    assert.is_true(fetch(pool, "GET", url "/echo").new_connection)
    assert.is_false(fetch(pool, "GET", url "/echo").new_connection)
    assert.is_false(fetch(pool, "POST", url "/echo", { body = "x" }).new_connection)
    assert.is_true(fetch(pool, "GET", url("/echo", nil, "localhost")).new_connection)
  end)

  it("runs several transfers at once and never blocks in start and perform", function()
    local ids = {}
    local before = system.monotonic()
    for _ = 1, 20 do
      local id = assert(pool:start("GET", url "/slow", {}, nil, 30, 30))
      assert.is_nil(ids[id])
      ids[id] = true
    end
    assert.are.equal(20, pool:running())
    assert.are.equal(20, core.open_handles().transfers)
    assert.are.equal(20, pool:perform())
    assert.is_nil(pool:take())
    finish(pool)
    assert.is_true(system.monotonic() - before < 20 * 0.3)
    for _ = 1, 20 do
      local result = pool:take()
      assert.are.equal("slow", result.body)
      assert.is_true(ids[result.id])
      ids[result.id] = nil
    end
    assert.is_nil(pool:take())
    assert.is_nil(next(ids))
    assert.are.equal(0, pool:running())
  end)

  it("cancels what is in flight, and only that", function()
    local first = pool:start("GET", url "/slow", {}, nil, 30, 30)
    local second = pool:start("GET", url "/slow", {}, nil, 30, 30)
    pool:perform()
    assert.is_true(pool:cancel(first))
    assert.is_false(pool:cancel(first))
    assert.is_false(pool:cancel(999))
    finish(pool)
    assert.is_false(pool:cancel(second))
    assert.are.equal(second, pool:take().id)
    assert.is_nil(pool:take())
  end)

  it("stops at the cap of the body", function()
    local small = core.pool { max_body = 10000 }
    assert.are.equal(10000, #fetch(small, "GET", url "/length/10000").body)
    for _, path in ipairs { "/length/10001", "/endless" } do
      local result = fetch(small, "GET", url(path))
      assert.are.equal("FILESIZE_EXCEEDED", result.code)
      assert.is_true(#result.body <= 2048)
      assert.are.equal(200, result.status)
      assert.is_true(result.received < 10000 + 1000000)
      assert.is_true(result.sent)
    end
    assert.are.equal(5000000, #fetch(pool, "GET", url "/length/5000000").body)
    assert.are.equal("FILESIZE_EXCEEDED", fetch(pool, "GET", url "/endless").code)
  end)

  it("stops at the cap of the headers", function()
    assert.are.equal("ok", fetch(pool, "GET", url "/headers/100000").body)
    local small = core.pool { max_header = 5000 }
    assert.are.equal("ok", fetch(small, "GET", url "/headers/4000").body)
    assert.are.equal("FILESIZE_EXCEEDED", fetch(small, "GET", url "/headers/6000").code)
    assert.are.equal("FILESIZE_EXCEEDED", fetch(small, "GET", url "/interims").code)
    assert.are.equal("FILESIZE_EXCEEDED", fetch(small, "GET", url "/long-header/6000").code)
  end)

  it("gives the headers of the final response only", function()
    local result = fetch(pool, "GET", url "/interim")
    assert.are.equal(201, result.status)
    assert.are.equal("HTTP/1.1 201 Created\r\nContent-Length: 2\r\nX-Right: 1\r\n\r\n", result.headers)
    result = fetch(pool, "GET", url "/interim-only")
    assert.truthy(result.code)
    assert.is_nil(result.status)
  end)

  it("reads HTTP/1.0, and nothing older", function()
    local result = fetch(pool, "GET", url "/old")
    assert.are.equal("old", result.body)
    assert.are.equal(1.0, result.http_version)
    result = fetch(pool, "GET", url "/garbage")
    assert.are.equal("WEIRD_SERVER_REPLY", result.code)
    assert.is_true(result.sent)
    assert.is_nil(result.status)
  end)

  -- What a server sends, byte for byte ("|": in a packet of its own, a moment later), and whether that is an answer.
  local HEAD = "HTTP/1.1 200 OK\r\n"
  local CHUNKED = HEAD .. "Transfer-Encoding: chunked\r\n\r\n"
  local whole = {
    { "a length", HEAD .. "Content-Length: 2\r\n\r\n[]" },
    { "a length and a body that comes later", HEAD .. "Content-Length: 2\r\n\r\n|[|]" },
    { "a head that comes in pieces", "HTTP/1.1 2|00 OK\r|\nContent-Le|ngth: 2\r\n\r|\n[]" },
    { "a length with zeros in front", HEAD .. "Content-Length: 000000000000002\r\n\r\n[]" },
    { "a length between blanks", HEAD .. "content-length:\t 2 \t\r\n\r\n[]" },
    { "no body", HEAD .. "Content-Length: 0\r\n\r\n", "" },
    { "chunks", CHUNKED .. "1\r\n[\r\n1\r\n]\r\n0\r\n\r\n" },
    { "chunks that come in pieces", CHUNKED .. "1|\r|\n[\r|\n001\r\n|]|\r\n0\r\n|\r|\n" },
    { "chunks and another name's case", HEAD .. "TRANSFER-ENCODING: Chunked\r\n\r\n2\r\n[]\r\n0\r\n\r\n" },
    { "no chunk but the last", CHUNKED .. "0\r\n\r\n", "" },
    { "HTTP/1.0 with a length", "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n[]" },
    { "no reason", "HTTP/1.1 200 \r\nContent-Length: 2\r\n\r\n[]" },
    { "bytes beyond ASCII in a value", HEAD .. "X-Name: \228\tx\r\nContent-Length: 2\r\n\r\n[]" },
    { "an encoding that is none", HEAD .. "Content-Encoding: identity\r\nContent-Length: 2\r\n\r\n[]" },
    { "an interim answer before", "HTTP/1.1 103 Early\r\nLink: x\r\n\r\n" .. HEAD .. "Content-Length: 2\r\n\r\n[]" },
    { "no content", "HTTP/1.1 204 No Content\r\n\r\n", "" },
    { "a close that is announced", HEAD .. "Connection: close\r\nContent-Length: 2\r\n\r\n[]" },
  }
  local broken = {
    -- Where the body ends.
    { "neither length nor chunks", HEAD .. "\r\n[]" },
    { "an announced close and no length", HEAD .. "Connection: close\r\n\r\n[]" },
    { "HTTP/1.0 and no length", "HTTP/1.0 200 OK\r\n\r\n[]" },
    { "a body that is too short", HEAD .. "Content-Length: 3\r\n\r\n[]" },
    { "a body that is too long", HEAD .. "Content-Length: 2\r\n\r\n[]x" },
    { "a body that is too long, in two packets", HEAD .. "Content-Length: 2\r\n\r\n|[]x" },
    { "a body where none is announced", HEAD .. "Content-Length: 0\r\n\r\n[]" },
    { "a second answer behind the first", (HEAD .. "Content-Length: 2\r\n\r\n[]"):rep(2) },
    { "an empty length", HEAD .. "Content-Length:\r\n\r\n[]" },
    { "a length with a sign", HEAD .. "Content-Length: +2\r\n\r\n[]" },
    { "a negative length", HEAD .. "Content-Length: -2\r\n\r\n[]" },
    { "a hexadecimal length", HEAD .. "Content-Length: 0x2\r\n\r\n[]" },
    { "a length with a fraction", HEAD .. "Content-Length: 2.0\r\n\r\n[]" },
    { "a list of lengths", HEAD .. "Content-Length: 2, 2\r\n\r\n[]" },
    { "a length with a blank inside", HEAD .. "Content-Length: 2 2\r\n\r\n[]" },
    { "a length of 16 digits", HEAD .. "Content-Length: 0000000000000002\r\n\r\n[]" },
    { "two lengths", HEAD .. "Content-Length: 2\r\nContent-Length: 3\r\n\r\n[]" },
    { "one length twice", HEAD .. "Content-Length: 2\r\nContent-Length: 2\r\n\r\n[]" },
    { "a length beside chunks", HEAD .. "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n[]\r\n0\r\n\r\n" },
    {
      "chunks beside a length",
      HEAD .. "Transfer-Encoding: chunked\r\nContent-Length: 12\r\n\r\n2\r\n[]\r\n0\r\n\r\n",
    },
    { "chunks on HTTP/1.0", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n[]\r\n0\r\n\r\n" },
    { "chunks twice", HEAD .. "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n[]\r\n0\r\n\r\n" },
    { "a list of encodings", HEAD .. "Transfer-Encoding: gzip, chunked\r\n\r\n2\r\n[]\r\n0\r\n\r\n" },
    { "an encoding beside a length", HEAD .. "Transfer-Encoding: identity\r\nContent-Length: 2\r\n\r\n[]" },
    { "an unknown encoding", HEAD .. "Transfer-Encoding: xchunked\r\n\r\n2\r\n[]\r\n0\r\n\r\n" },
    { "chunks with a quote", HEAD .. 'Transfer-Encoding: "chunked"\r\n\r\n2\r\n[]\r\n0\r\n\r\n' },
    { "an encoded body", HEAD .. "Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\n[]" },
    { "an announced body with 204", "HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\n[]" },
    -- Chunks.
    { "no last chunk", CHUNKED .. "2\r\n[]\r\n" },
    { "half a last chunk", CHUNKED .. "2\r\n[]\r\n0\r\n" },
    { "an unfinished last line", CHUNKED .. "2\r\n[]\r\n0\r\n\r" },
    { "a cut chunk", CHUNKED .. "3\r\n[]" },
    { "a chunk that is longer than it says", CHUNKED .. "1\r\n[]\r\n0\r\n\r\n" },
    { "a chunk without its line end", CHUNKED .. "2\r\n[]0\r\n\r\n" },
    { "a chunk that ends with LF", CHUNKED .. "2\r\n[]\n0\r\n\r\n" },
    { "a size that ends with LF", CHUNKED .. "2\n[]\r\n0\r\n\r\n" },
    { "a size with a blank", CHUNKED .. "2 \r\n[]\r\n0\r\n\r\n" },
    { "a size with a sign", CHUNKED .. "+2\r\n[]\r\n0\r\n\r\n" },
    { "a size with 0x", CHUNKED .. "0x2\r\n[]\r\n0\r\n\r\n" },
    { "a size with words behind it", CHUNKED .. "2 bytes\r\n[]\r\n0\r\n\r\n" },
    { "no size", CHUNKED .. "\r\n[]\r\n0\r\n\r\n" },
    { "a size of 16 digits", CHUNKED .. "0000000000000002\r\n[]\r\n0\r\n\r\n" },
    { "a last chunk with LF", CHUNKED .. "2\r\n[]\r\n0\r\n\n" },
    { "trailers", CHUNKED .. "2\r\n[]\r\n0\r\nX-Late: 1\r\n\r\n" },
    { "a status among the trailers", CHUNKED .. "2\r\n[]\r\n0\r\nHTTP/1.1 500 no: 1\r\n\r\n" },
    { "bytes behind the last chunk", CHUNKED .. "2\r\n[]\r\n0\r\n\r\nx" },
    -- The status line.
    { "a version as text", "HTTP/2 200 \r\nContent-Length: 2\r\n\r\n[]" },
    { "another version as text", "HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\n[]" },
    { "a third version as text", "HTTP/3 200\r\nContent-Length: 2\r\n\r\n[]" },
    { "an unknown minor version", "HTTP/1.2 200 OK\r\nContent-Length: 2\r\n\r\n[]" },
    { "a version without a dot", "HTTP/1 200 OK\r\nContent-Length: 2\r\n\r\n[]" },
    { "a blank in front", " HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]" },
    { "a line break in front", "\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]" },
    { "small letters", "http/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]" },
    { "two blanks", "HTTP/1.1  200 OK\r\nContent-Length: 2\r\n\r\n[]" },
    { "a tab", "HTTP/1.1\t200 OK\r\nContent-Length: 2\r\n\r\n[]" },
    { "no blank behind the status", "HTTP/1.1 200\r\nContent-Length: 2\r\n\r\n[]" },
    { "two digits", "HTTP/1.1 20 OK\r\nContent-Length: 2\r\n\r\n[]" },
    { "four digits", "HTTP/1.1 2000 OK\r\nContent-Length: 2\r\n\r\n[]" },
    { "a digit too few and a sign", "HTTP/1.1 +20 OK\r\nContent-Length: 2\r\n\r\n[]" },
    { "a status of 099", "HTTP/1.1 099 OK\r\nContent-Length: 2\r\n\r\n[]" },
    { "a status of 600", "HTTP/1.1 600 OK\r\nContent-Length: 2\r\n\r\n[]" },
    { "a switch of protocols", "HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\n[]" },
    { "a status line that ends with LF", "HTTP/1.1 200 OK\nContent-Length: 2\r\n\r\n[]" },
    { "a control character in the reason", "HTTP/1.1 200 O\1K\r\nContent-Length: 2\r\n\r\n[]" },
    { "no HTTP", "SSH-2.0-OpenSSH_9.2\r\n" },
    -- The lines of the head.
    { "a line that ends with LF", HEAD .. "Content-Length: 2\n\r\n[]" },
    { "an end of the head that is LF", HEAD .. "Content-Length: 2\r\n\n[]" },
    { "a CR inside a line", HEAD .. "X-Name: a\rb\r\nContent-Length: 2\r\n\r\n[]" },
    { "two CRs at the end of a line", HEAD .. "X-Name: a\r\r\nContent-Length: 2\r\n\r\n[]" },
    { "a NUL", HEAD .. "X-Name: a\0b\r\nContent-Length: 2\r\n\r\n[]" },
    { "a control character", HEAD .. "X-Name: a\127b\r\nContent-Length: 2\r\n\r\n[]" },
    { "a line without a colon", HEAD .. "no colon here\r\nContent-Length: 2\r\n\r\n[]" },
    { "a line without a name", HEAD .. ": x\r\nContent-Length: 2\r\n\r\n[]" },
    { "a blank before the colon", HEAD .. "Content-Length : 2\r\n\r\n[]" },
    { "a blank in the name", HEAD .. "X Name: 2\r\nContent-Length: 2\r\n\r\n[]" },
    { "a first line that is folded", HEAD .. " folded: 1\r\nContent-Length: 2\r\n\r\n[]" },
    { "a first line that is folded with a tab", HEAD .. "\tfolded: 1\r\nContent-Length: 2\r\n\r\n[]" },
    { "a folded line", HEAD .. "X-Name: a\r\n b\r\nContent-Length: 2\r\n\r\n[]" },
    { "a folded length", HEAD .. "Content-Length:\r\n 2\r\n\r\n[]" },
    { "a head that ends in a line", HEAD .. "Content-Len" },
    { "a head without its end", HEAD .. "Content-Length: 0\r\n" },
    { "half the end of a head", HEAD .. "Content-Length: 0\r\n\r" },
    -- Interim answers.
    { "an interim answer and no other", "HTTP/1.1 100 Continue\r\n\r\n" },
    { "half an interim answer", "HTTP/1.1 103 Early Hints\r\nLink: x\r\n" },
    { "the status line of an interim answer", "HTTP/1.1 100 Continue\r\n" },
    { "an interim answer with a length", "HTTP/1.1 100 Continue\r\nContent-Length: 2\r\n\r\n[]" },
    { "an interim answer and half a head", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n" },
    { "a malformed interim answer", "HTTP/1.1 103 Early\r\nno colon\r\n\r\n" .. HEAD .. "Content-Length: 2\r\n\r\n[]" },
  }

  local function bytes_path(bytes, goes_on)
    local parts = {}
    for part in (bytes .. "|"):gmatch "([^|]*)|" do
      parts[#parts + 1] = hex(part)
    end
    return "/bytes/" .. table.concat(parts, "-") .. (goes_on and "." or "")
  end

  for _, way in ipairs { "plain", "tls12", "tls" } do
    local function target(path, port)
      local host = way == "plain" and "http://127.0.0.1:%s%s" or "https://localhost:%s%s"
      return host:format(port or ports[way], path)
    end

    it("refuses a response that arrives before the request, over a new connection and " .. way, function()
      for number = 1, 40 do
        local trusting = core.pool { ca_file = certificate }
        local body = number % 4 > 0 and ("x"):rep(number * 10) or nil
        local result = fetch(trusting, body and "POST" or "GET", target("/", ports["eager_" .. way]), { body = body })
        assert.truthy(result.code, result.status)
        trusting:close()
      end
    end)

    it("takes no answer that nobody asked for, over a kept connection and " .. way, function()
      local trusting = core.pool { ca_file = certificate }
      for _, bytes in ipairs {
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]",
        "HTTP/1.1 408 Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 2",
        "H",
        "\r\n",
        ("x"):rep(100000),
      } do
        assert.are.equal("first", fetch(trusting, "POST", target("/then/" .. hex(bytes)), { body = "1" }).body)
        system.sleep(0.1)
        -- The caller notices nothing: another connection is taken.
        local result = fetch(trusting, "POST", target "/echo", { body = "the second" })
        assert.is_nil(result.code, result.problem or result.message)
        assert.truthy(result.body:find "\r\n\r\nthe second$")
        assert.is_true(result.new_connection)
        assert.is_false(fetch(trusting, "GET", target "/echo").new_connection)
      end
    end)

    it("takes whole and well-formed answers over " .. way, function()
      local kept = core.pool { ca_file = certificate }
      for _, case in ipairs(whole) do
        for _, goes_on in ipairs { true, false } do
          local trusting = goes_on and kept or core.pool { ca_file = certificate }
          local result = fetch(trusting, "POST", target(bytes_path(case[2], goes_on)), { body = "x" })
          assert.is_nil(result.code, case[1] .. ": " .. tostring(result.problem or result.message))
          assert.are.equal(case[3] or "[]", result.body, case[1])
          assert.is_false(result.early, case[1])
        end
      end
    end)

    it("takes no other answer over " .. way, function()
      local trusting = core.pool { ca_file = certificate }
      for _, case in ipairs(broken) do
        for _, status in ipairs { "200", "400" } do
          local bytes = case[2]:gsub(" 200 ", " " .. status .. " ", 1)
          local result = fetch(trusting, "POST", target(bytes_path(bytes, false)), { body = "x" })
          local got = ("%s: status %s, body %s"):format(case[1], tostring(result.status), tostring(result.body))
          assert.truthy(result.code, got)
          assert.is_true(#(result.problem or result.message) > 0, case[1])
          assert.is_true(result.sent, case[1])
          local ours = { BAD_FUNCTION_ARGUMENT = true, UNSUPPORTED_PROTOCOL = true, WRITE_ERROR = true }
          assert.is_nil(ours[result.code], case[1])
        end
      end
    end)
  end

  it("gives every result a code or the status of a final answer", function()
    for _, list in ipairs { whole, broken } do
      for _, case in ipairs(list) do
        local result = fetch(pool, "GET", url(bytes_path(case[2], false)))
        assert.is_true(result.code ~= nil or result.status >= 200 and result.status <= 599, case[1])
      end
    end
  end)

  it("does not follow a redirect", function()
    local result = fetch(pool, "POST", url "/redirect", { body = "x" })
    assert.are.equal(302, result.status)
    assert.truthy(result.headers:find("Location: /echo", 1, true))
  end)

  it("tells an answer cut short from a whole one", function()
    local result = fetch(pool, "GET", url "/partial")
    assert.are.equal("PARTIAL_FILE", result.code)
    assert.are.equal("only this", result.body)
    assert.are.equal(200, result.status)
    assert.are.same({ "transfer closed with 91 bytes remaining to read" }, { result.message, result.problem })
    assert.are.equal("PARTIAL_FILE", fetch(pool, "GET", url "/cut-chunk").code)
  end)

  it("keeps the first 2 KiB of a body beside an error", function()
    local bytes = HEAD .. "Content-Length: 9000\r\n\r\n" .. ("0123456789abcdef"):rep(500)
    local result = fetch(pool, "GET", url(bytes_path(bytes)))
    assert.are.equal("PARTIAL_FILE", result.code)
    assert.are.equal(("0123456789abcdef"):rep(128), result.body)
    -- Without an error it is whole.
    assert.are.equal(9000, #fetch(pool, "GET", url "/length/9000").body)
  end)

  it("gives up a connection after connect_timeout, and waits for an answer longer", function()
    local hanging = assert(pool:start("GET", url("/echo", ports.full), {}, nil, 30, 0.2))
    local answered = assert(pool:start("GET", url "/late", {}, nil, 30, 0.2))
    local order = {}
    while pool:perform() > 0 or #order < 2 do
      local result = pool:take()
      while result do
        order[#order + 1] = result
        result = pool:take()
      end
      pool:wait(1)
    end
    assert.are.equal(hanging, order[1].id)
    assert.are.equal("OPERATION_TIMEDOUT", order[1].code)
    assert.is_false(order[1].sent)
    assert.are.equal(answered, order[2].id)
    assert.are.equal(200, order[2].status)
  end)

  it("uses no connection that has been idle for longer than max_age", function()
    local short, long = core.pool { max_age = 1 }, core.pool { max_age = 60 }
    fetch(short, "GET", url "/echo")
    fetch(long, "GET", url "/echo")
    assert.is_false(fetch(short, "GET", url "/echo").new_connection)
    system.sleep(2.1)
    assert.is_true(fetch(short, "GET", url "/echo").new_connection)
    assert.is_false(fetch(long, "GET", url "/echo").new_connection)
  end)

  it("refuses plain http through a proxy on another machine", function()
    for _, proxy in ipairs { "http://proxy.example", "http://evil.example#@127.0.0.1", "http://evil\\@localhost" } do
      local id, code = core.pool({ proxy = proxy }):start("GET", url "/echo", {}, nil, 1, 1)
      assert.is_nil(id, proxy)
      assert.are.equal("UNSUPPORTED_PROTOCOL", code)
    end
  end)

  it("says whether the request can have reached the server", function()
    local result = fetch(pool, "POST", url("/echo", ports.refused), { body = "x" })
    assert.are.equal("COULDNT_CONNECT", result.code)
    assert.is_false(result.sent)
    assert.is_nil(result.status)
    result = fetch(pool, "POST", url("/echo", ports.full), { body = "x", connect_timeout = 0.3 })
    assert.are.equal("OPERATION_TIMEDOUT", result.code)
    assert.is_false(result.sent)
    result = fetch(pool, "POST", url("/echo", ports.full), { body = "x", timeout = 0.3 })
    assert.are.equal("OPERATION_TIMEDOUT", result.code)
    assert.is_false(result.sent)
    result = fetch(pool, "POST", "https://nowhere.invalid/", { body = "x" })
    assert.are.equal("COULDNT_RESOLVE_HOST", result.code)
    assert.is_false(result.sent)
    result = fetch(pool, "POST", url "/silent", { body = "x", timeout = 0.3 })
    assert.are.equal("OPERATION_TIMEDOUT", result.code)
    assert.is_true(result.sent)
    result = fetch(pool, "POST", url "/nothing", { body = "x" })
    assert.are.equal("GOT_NOTHING", result.code)
    assert.is_true(result.sent)
    result = fetch(pool, "POST", url "/reset", { body = "x" })
    assert.are.equal("RECV_ERROR", result.code)
    assert.is_true(result.sent)
    result = fetch(pool, "POST", url("/echo", ports.reset), { body = "x" })
    -- The reset can come before or after libcurl sees the connection as made.
    local sent_at = { RECV_ERROR = true, SEND_ERROR = true, GOT_NOTHING = true, COULDNT_CONNECT = false }
    assert.are.equal(sent_at[result.code], result.sent, result.code)
    assert.is_nil(result.status)
  end)

  it("takes a timeout below a millisecond for a millisecond, not for none", function()
    assert.are.equal("OPERATION_TIMEDOUT", fetch(pool, "GET", url "/silent", { timeout = 0.00001 }).code)
  end)

  for _, death in ipairs { "dies", "resets" } do
    it("never sends a request twice when a kept connection " .. death, function()
      local path = "/second-" .. death
      assert.are.equal("first", fetch(pool, "POST", url(path), { body = "1" }).body)
      assert.are.equal(1, times_seen("POST " .. path))
      local result = fetch(pool, "POST", url(path), { body = "2" })
      assert.truthy(({ SEND_ERROR = true, RECV_ERROR = true })[result.code])
      assert.is_true(result.sent)
      assert.is_nil(result.status)
      assert.are.equal(2, times_seen("POST " .. path))
      -- The pool is as good as before.
      assert.are.equal("first", fetch(pool, "POST", url(path), { body = "3" }).body)
    end)
  end

  it("refuses what would forge a request", function()
    local function refused(problem, detail, method, target, headers)
      local id, name, text, code = pool:start(method, target, headers or {}, nil, 1, 1)
      assert.is_nil(id)
      -- The detail is the name of the header, and never its value.
      assert.are.same({ "BAD_FUNCTION_ARGUMENT", problem, detail }, { name, code, text })
    end
    for _, poison in ipairs { "\r", "\n", "\0", "\r\nX-Forged: 1" } do
      refused("header_with_line_break", "X-Name", "GET", url "/echo", { "A: b", "X-Name: secret" .. poison })
      refused("header_with_line_break", "number 2", "GET", url "/echo", { "A: b", "X-secret" .. poison .. ": value" })
      refused("method_malformed", nil, "GET" .. poison, url "/echo")
      refused("url_with_odd_characters", nil, "GET", url "/echo" .. poison)
    end
    refused("header_without_name", "number 1", "GET", url "/echo", { "no colon" })
    refused("header_without_name", "number 1", "GET", url "/echo", { ": no name" })
    refused("header_without_name", "number 2", "GET", url "/echo", { "A: b", "Name with space: x" })
    refused("header_without_value", "X-Empty", "GET", url "/echo", { "X-Empty: " })
    refused("header_without_value", "number 1", "GET", url "/echo", { ("x"):rep(1000) .. ":" })
    refused("method_malformed", nil, "GET /x", url "/echo")
    refused("method_malformed", nil, "", url "/echo")
    assert.are.equal(0, pool:running())
  end)

  it("uses plain http for loopback hosts only", function()
    local function code_of(target)
      local id, code = pool:start("GET", target, {}, nil, 1, 1)
      if id then
        pool:cancel(id)
      end
      return code
    end
    for _, target in ipairs {
      "http://example.com/",
      "http://127.0.0.1.example.com/",
      "http://128.0.0.1/",
      "http://localhost.example.com/",
      "http://[::2]/",
      "http://0.0.0.0/",
      "ftp://127.0.0.1/",
      "file:///etc/passwd",
      "unknown://127.0.0.1/",
    } do
      assert.are.equal("UNSUPPORTED_PROTOCOL", code_of(target), target)
    end
    for _, target in ipairs {
      "http://localhost:1/",
      "HTTP://LOCALHOST:1/",
      "http://127.1.2.3:1/",
      "http://[::1]:1/",
      "https://127.0.0.1:1/",
    } do
      assert.is_nil(code_of(target), target)
    end
    for _, target in ipairs {
      "",
      "/path",
      "https://",
      "https://exa mple.com/",
      "https://host:port/",
      "https://user:secret@example.com/",
      "https://user@example.com/",
      "http://example.com@127.0.0.1/",
    } do
      assert.are.equal("URL_MALFORMAT", code_of(target), target)
    end
    local _, _, text, code = pool:start("GET", "https://user:secret@example.com/", {}, nil, 1, 1)
    assert.are.same({ "url_with_password", nil }, { code, text })
  end)

  it("trusts no server that it cannot verify", function()
    local target = ("https://localhost:%s/echo"):format(ports.tls)
    local result = fetch(pool, "POST", target, { body = "x" })
    assert.are.equal("PEER_FAILED_VERIFICATION", result.code)
    assert.is_false(result.sent)
    assert.is_nil(result.status)
    local trusting = core.pool { ca_file = certificate }
    for _ = 1, 2 do
      result = fetch(trusting, "POST", target, { body = "x" })
      assert.is_nil(result.code)
      assert.are.equal(200, result.status)
      assert.truthy(result.body:find "\r\n\r\nx$")
    end
    assert.is_false(result.new_connection)
    -- The certificate is not for this name.
    result = fetch(trusting, "POST", ("https://127.0.0.2:%s/echo"):format(ports.tls), { body = "x", timeout = 20 })
    assert.is_false(result.sent)
    assert.truthy(({ PEER_FAILED_VERIFICATION = true, COULDNT_CONNECT = true })[result.code])
    result = fetch(core.pool { ca_file = folder .. "/missing" }, "POST", target, { body = "x" })
    assert.are.equal("SSL_CACERT_BADFILE", result.code)
    assert.is_false(result.sent)
  end)

  it("goes through a proxy as a tunnel, and fails where it is down", function()
    local behind = core.pool { proxy = "http://127.0.0.1:" .. ports.refused }
    local result = fetch(behind, "POST", url "/echo", { body = "x" })
    assert.truthy(({ COULDNT_CONNECT = true, COULDNT_RESOLVE_PROXY = true })[result.code])
    assert.is_false(result.sent)
    -- This server answers CONNECT with 404: the request itself must not be sent to it.
    behind = core.pool { proxy = "http://127.0.0.1:" .. ports.plain }
    result = fetch(behind, "POST", url("/behind", ports.refused), { headers = { "Authorization: t" }, body = "x" })
    assert.truthy(result.code)
    assert.is_false(result.sent)
    assert.is_nil(result.status)
    assert.are.equal(0, times_seen "POST /behind")
    assert.are.equal(1, times_seen("CONNECT 127.0.0.1:" .. ports.refused))
  end)

  it("shows no password of a proxy that it cannot use", function()
    for _, proxy in ipairs {
      "http://user:hush hush@127.0.0.1:1",
      "http://user:hush@[::1",
      "gopher://user:hush@127.0.0.1:1",
    } do
      local result = fetch(core.pool { proxy = proxy }, "GET", "https://127.0.0.1:1/")
      assert.is_false(result.sent)
      assert.is_nil(result.message:find("hush", 1, true), result.message)
    end
  end)

  it("trusts no 200 that came before the request was sent, but takes a refusal", function()
    local body = ("x"):rep(32 * 1024 * 1024)
    local result = fetch(pool, "POST", url "/early/200", { body = body })
    assert.are.equal("SEND_ERROR", result.code)
    assert.is_true(result.sent)
    result = fetch(pool, "POST", url "/early/413", { body = body })
    assert.is_nil(result.code)
    assert.are.equal(413, result.status)
  end)

  it("waits as long as asked where there is nothing to wait for", function()
    local before = system.monotonic()
    pool:wait(0.05)
    assert.is_true(system.monotonic() - before >= 0.045)
    fetch(pool, "GET", url "/echo")
    before = system.monotonic()
    pool:wait(0.05)
    assert.is_true(system.monotonic() - before >= 0.045)
    pool:wait(0)
    pool:wait(-1)
  end)

  it("names the argument that is wrong", function()
    local function message_of(...)
      local fine, message = pcall(...)
      assert.is_false(fine)
      return message
    end
    assert.truthy(message_of(core.pool, { max_body = -1 }):find("max_body", 1, true))
    assert.truthy(message_of(core.pool, { max_header = "x" }):find("max_header", 1, true))
    assert.truthy(message_of(core.pool, { max_age = 1.5 }):find("max_age", 1, true))
    assert.truthy(message_of(core.pool, { ca_file = 5 }):find("ca_file", 1, true))
    assert.truthy(message_of(core.pool, { user_agent = "a\r\nb" }):find("user_agent", 1, true))
    assert.truthy(message_of(core.pool, { user_agent = "good", proxy = "a\0b" }):find("proxy", 1, true))
    message_of(core.pool, "text")
    message_of(pool.start, pool, "GET", url "/echo", "header", nil, 1, 1)
    message_of(pool.start, pool, "GET", url "/echo", { 5 }, nil, 1, 1)
    message_of(pool.start, pool, "GET", url "/echo", {}, nil, 0, 1)
    message_of(pool.start, pool, "GET", url "/echo", {}, nil, 1, 0 / 0)
    assert.are.equal(0, core.open_handles().transfers)
  end)

  it("can be closed twice, in the middle of transfers, and is of no use afterwards", function()
    pool:start("GET", url "/slow", {}, nil, 30, 30)
    pool:start("GET", "https://nowhere.invalid/", {}, nil, 30, 30)
    fetch(core.pool {}, "GET", url "/echo")
    pool:perform()
    pool:close()
    pool:close()
    assert.are.equal(0, core.open_handles().transfers)
    for _, method in ipairs { "start", "perform", "wait", "take", "cancel", "running" } do
      local fine, message = pcall(pool[method], pool, 1)
      assert.is_false(fine)
      assert.truthy(message:find("this client is closed", 1, true))
    end
    assert.is_false(getmetatable(pool))
  end)

  it("is cleaned up by the collector, in the middle of transfers too", function()
    do
      local dropped = core.pool {}
      dropped:start("GET", url "/slow", {}, nil, 30, 30)
      dropped:start("GET", url("/echo", ports.refused), {}, nil, 30, 30)
      dropped:perform()
    end
    collect_all()
    assert.are.equal(0, core.open_handles().transfers)
  end)

  it("drops in a forked child what belongs to the parent", function()
    local library = folder .. "/core_fork.so"
    local compile = ("cc -shared -fPIC -o %s %score_fork.c"):format(quote(library), support)
    local made = os.execute(compile)
    assert(made == true or made == 0, "the test's own module could not be compiled")
    local forking = assert(package.loadlib(library, "luaopen_core_fork"))()
    assert.is_true(fetch(pool, "GET", url "/echo").new_connection)
    local other = core.pool {}
    fetch(other, "GET", url "/echo")
    fetch(pool, "GET", url "/echo")
    local id = pool:start("GET", url "/slow", {}, nil, 30, 30)
    pool:perform()
    local child = forking.fork()
    if child == 0 then
      local fine = pcall(function()
        assert(pool:running() == 0)
        assert(pool:perform() == 0)
        assert(pool:take() == nil)
        assert(pool:cancel(id) == false)
        pool:wait(0.001)
        assert(core.open_handles().transfers == 0)
        local result = fetch(pool, "GET", url "/echo")
        assert(result.status == 200 and result.new_connection)
        assert(fetch(pool, "GET", url "/echo").new_connection == false)
        other:close()
        pool:close()
        collect_all()
        assert(core.open_handles().pools == 0)
      end)
      forking.exit(fine and 0 or 1)
    end
    assert.are.equal(0, forking.wait(child))
    finish(pool)
    local result = pool:take()
    assert.are.equal(id, result.id)
    assert.are.equal("slow", result.body)
    assert.is_false(fetch(other, "GET", url "/echo").new_connection)
  end)
end)
