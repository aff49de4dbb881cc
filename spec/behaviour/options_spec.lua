local capture = require "spec.support.capture"
local core = require "heymarket.core"
local heymarket = require "heymarket"
local process = require "spec.support.process"

local NAN, INF = 0 / 0, 1 / 0
local ID, KEY = "the-id-5e1f", "the-key-9c3d"

local function config_with(name, value)
  local config = { secret_id = ID, secret_key = KEY, base_url = "https://api.example.com" }
  if name ~= nil then
    config[name] = value
  end
  return config
end

local function check_text(text)
  assert.are.equal("string", type(text))
  assert.is_truthy(text:find "%S")
  assert.is_nil(text:find "%c")
  assert.is_nil(text:find(KEY, 1, true))
end

local function check_invalid(failure)
  assert.is_true(heymarket.is_failure(failure))
  assert.are.equal("invalid", failure.kind)
  assert.are.equal("no", failure.delivered)
  assert.is_false(failure.retryable)
  check_text(failure.message)
  check_text(tostring(failure))
  for _, issue in ipairs(failure.issues) do
    check_text(issue.message)
  end
end

-- Checks that one option is refused, alone, and gives what is said of it.
local function check_refused(made, failure, name)
  assert.is_nil(made)
  check_invalid(failure)
  assert.are.equal(1, #failure.issues)
  assert.are.equal(name, failure.issues[1].field)
  assert.is_nil(failure.issues[1].index)
  assert.is_truthy(failure.message:find(name, 1, true))
  return failure.issues[1].message
end

local function refused_config(name, value)
  local made, failure = heymarket.new(config_with(name, value))
  return check_refused(made, failure, name)
end

local function accepted_config(name, value)
  local client, failure = heymarket.new(config_with(name, value))
  assert.is_nil(failure and tostring(failure))
  client:close()
end

local function hook() end
local callable = setmetatable({}, { __call = hook })

-- What no option of any sort takes.
local NEVER = { {}, io.stdout, coroutine.create(hook) }

-- For every option: values that are fine, and values that are not. From the interface page; where it gives no limit,
-- the values are those on which nobody could differ.
local FINE = {
  timeout = { 1, 0.5, 60, 3600 },
  connect_timeout = { 1, 0.5, 10 },
  max_attempts = { 1, 5, 10 },
  max_retry_after = { 0, 120, 0.5, 3600 },
  requests_per_minute = { 1, 500, 10000, false },
  batch_size = { 1, 100, 1000 },
  concurrency = { 1, 4, 64 },
  token_ttl = { 0, 1, 240, 290 },
  default_country = { "1", "44", "354", false },
  user_agent = { "my-app/1.0", "x" },
  account = { "ours", "x" },
  on_event = { hook, callable },
  overwrite = { true, false },
  deadline = { 0.5, 1, 86400 },
  on_item = { hook, callable },
  on_progress = { hook, callable },
  max_failures = { 1, 1000000 },
}
local WRONG = {
  timeout = { 0, -1, NAN, INF, -INF, "60", true, false, hook },
  connect_timeout = { 0, -1, NAN, INF, "10", true, false, hook },
  max_attempts = { 0, -1, 1.5, NAN, INF, "5", true, false, hook },
  max_retry_after = { -1, NAN, INF, "120", true, false, hook },
  requests_per_minute = { 0, -1, 0.5, NAN, INF, -INF, "500", true, hook },
  batch_size = { 0, -1, 1.5, NAN, INF, "100", true, false, hook },
  concurrency = { 0, -1, 1.5, NAN, INF, "4", true, false, hook },
  token_ttl = { -1, 291, 300, NAN, INF, "240", true, false, hook },
  default_country = { 1, 44, "", "+1", "0", "01", "a", "1 ", "12345", "XX", "us", "DEU", true, NAN, hook },
  user_agent = { "", "a\r\nX-Injected: 1", "a\nb", "a\0b", 1, true, false, hook },
  account = { "", "a\nb", 1, true, false, hook },
  on_event = { "print", 1, true, false },
  overwrite = { "true", 1, 0, "", hook },
  deadline = { 0, -1, NAN, INF, "1", true, false, hook },
  on_item = { "print", 1, true, false },
  on_progress = { "print", 1, true, false },
  max_failures = { 0, -1, 1.5, NAN, INF, "1", true, false, hook },
  journal = { "", 1, true, false, hook },
  ca_file = { "", "a\0b", 1, true, false, hook },
  proxy = { "", "http://a\r\nb", 1, true, false, hook },
  shared_dict = { "", 1, true, false, hook },
  loop = { "", "uv", 1, true, false, hook, { wait = 1 } },
  secret_id = { "", "a\nb", 1, true, false, hook },
  secret_key = { "", "a\nb", 1, true, false, hook },
  base_url = { "", 1, true, false, hook },
}
local OF_CONFIG = {
  "secret_id",
  "secret_key",
  "account",
  "base_url",
  "timeout",
  "connect_timeout",
  "max_attempts",
  "max_retry_after",
  "requests_per_minute",
  "batch_size",
  "concurrency",
  "token_ttl",
  "default_country",
  "ca_file",
  "proxy",
  "user_agent",
  "on_event",
  "shared_dict",
  "loop",
}
local OF_CALLS = {
  "timeout",
  "max_attempts",
  "batch_size",
  "concurrency",
  "requests_per_minute",
  "default_country",
  "on_event",
  "overwrite",
  "deadline",
}
local OF_IMPORT = { "on_item", "on_progress", "max_failures", "journal" }

describe("the options of heymarket.new", function()
  it("are taken in their range", function()
    accepted_config()
    for _, name in ipairs(OF_CONFIG) do
      for _, value in ipairs(FINE[name] or {}) do
        accepted_config(name, value)
      end
      -- ipairs ends at a false only where it is the last value: it is.
      if FINE[name] and FINE[name][#FINE[name]] == false then
        accepted_config(name, false)
      end
    end
  end)

  it("are refused outside it, by name", function()
    for _, name in ipairs(OF_CONFIG) do
      for i = 1, #WRONG[name] do
        refused_config(name, WRONG[name][i])
      end
      for _, value in ipairs(NEVER) do
        refused_config(name, value)
      end
    end
  end)

  it("do not include those of calls", function()
    for _, name in ipairs { "overwrite", "deadline", "on_item", "on_progress", "max_failures", "journal" } do
      refused_config(name, FINE[name] and FINE[name][1] or "x")
    end
  end)

  it("are checked for misspelt names, with a suggestion", function()
    for given, meant in pairs {
      secretid = "secret_id",
      secretKey = "secret_key",
      baseUrl = "base_url",
      time_out = "timeout",
      max_attempt = "max_attempts",
      batchsize = "batch_size",
      concurency = "concurrency",
      ["requests per minute"] = "requests_per_minute",
      country = "default_country",
      useragent = "user_agent",
      onEvent = "on_event",
      cafile = "ca_file",
    } do
      local message = refused_config(given, "x")
      assert.is_truthy(message:find('"' .. meant .. '"', 1, true), given .. ": " .. message)
    end
    assert.is_nil(refused_config("qqqqqqqqqq", 1):find '"')
  end)

  it("of any name are refused without an error", function()
    local raising = setmetatable({}, {
      __tostring = function()
        error "this must not be called"
      end,
    })
    for _, name in ipairs { 1, 1.5, true, {}, hook, raising, "", "a\nb", "\255", ("\195\182"):rep(50) } do
      local config = config_with()
      config[name] = "x"
      local made, failure = heymarket.new(config)
      assert.is_nil(made)
      check_invalid(failure)
      assert.are.equal(1, #failure.issues)
      assert.are.equal("string", type(failure.issues[1].field))
    end
  end)

  it("are all reported at once", function()
    local made, failure = heymarket.new {
      base_url = "http://example.com",
      timeout = -1,
      batch_size = "many",
      colour = "red",
      on_event = 5,
    }
    assert.is_nil(made)
    check_invalid(failure)
    local fields = {}
    for i, issue in ipairs(failure.issues) do
      fields[i] = issue.field
    end
    table.sort(fields)
    assert.are.same({ "base_url", "batch_size", "colour", "on_event", "secret_id", "secret_key", "timeout" }, fields)
  end)

  it("are not changed", function()
    local config = config_with("base_url", "https://api.example.com/")
    config.batch_size = 7
    local client = assert(heymarket.new(config))
    client:close()
    assert.are.same({ secret_id = ID, secret_key = KEY, base_url = "https://api.example.com/", batch_size = 7 }, config)
  end)
end)

describe("the list of options", function()
  local list = require("heymarket.options").list

  it("gives the command its flags, with arguments and defaults", function()
    local main, commands = require("heymarket.cli.parser").make(require "argparse", function() end)
    local scopes = {
      import = { "import", "csv", "command", "connection" },
      check = { "connection" },
      sandbox = { "sandbox", "server" },
    }
    local count = 0
    for command, wanted in pairs(scopes) do
      local help = commands[command]:get_help()
      for _, scope in ipairs(wanted) do
        for _, row in ipairs(list(scope)) do
          local flag = "\n   %-%-" .. row.name:gsub("_", "%%-")
          if row.argument and row.argument ~= "" then
            flag = flag .. " " .. row.argument:gsub("%p", "%%%0")
          end
          assert.are.equal(row.argument ~= nil, help:find(flag .. "[ \n]") ~= nil, command .. " " .. row.name)
          count = count + (row.argument and 1 or 0)
        end
      end
    end
    assert.is_true(count > 40)
    assert.is_truthy(commands.import:get_help():find("contacts in a request (100)", 1, true))
    assert.is_truthy(main:get_help():find("HEYMARKET_SECRET_ID", 1, true))
  end)
end)

describe("base_url", function()
  it("is https, or http for a loopback host", function()
    for _, url in ipairs {
      "https://api.heymarket.com",
      "https://api.heymarket.com/",
      "https://api.heymarket.com:8443",
      "https://API.heymarket.com",
      "HTTPS://api.heymarket.com",
      "https://gateway.example.com/heymarket/v0",
      "https://10.0.0.1",
      "https://[2001:db8::1]",
      "https://[2001:db8::1]:8443/x",
      "https://localhost",
      "http://localhost",
      "http://LOCALHOST:8080",
      "http://127.0.0.1",
      "http://127.0.0.1:1",
      "http://127.0.0.1:65535/",
      "http://127.255.255.254:8080",
      "http://[::1]",
      "http://[::1]:8080",
    } do
      accepted_config("base_url", url)
    end
  end)

  it("is refused where the token would cross a network unencrypted, or go to another host", function()
    for _, url in ipairs {
      "http://api.heymarket.com",
      "HTTP://api.heymarket.com",
      "http://10.0.0.1",
      "http://0.0.0.0",
      "http://128.0.0.1",
      "http://1.127.0.0.1",
      "http://127.0.0.1.example.com",
      "http://127.0.0.1example.com",
      "http://127.0.0.256",
      "http://127.0.0.1.2",
      "http://localhost.example.com",
      "http://localhost@example.com",
      "http://xlocalhost",
      "http://[::2]",
      "http://[::ffff:10.0.0.1]",
      "http://[fe80::1]",
      "http://::1",
    } do
      refused_config("base_url", url)
    end
  end)

  it("on this machine is reached through no proxy on another", function()
    local function with_proxy(url, proxy)
      local client, failure = heymarket.new { secret_id = ID, secret_key = KEY, base_url = url, proxy = proxy }
      if client then
        client:close()
      end
      return failure
    end
    for _, proxy in ipairs { "http://10.0.0.1:3128", "10.0.0.1", "http://localhost@10.0.0.1", "a.example/127.0.0.1" } do
      local failure = with_proxy("http://127.0.0.1:1", proxy)
      assert.are.equal("invalid", failure.kind)
      assert.are.equal("proxy", failure.issues[1].field)
      assert.is_nil(with_proxy("https://api.heymarket.com", proxy))
    end
    for _, proxy in ipairs { "http://127.0.0.1:3128", "localhost:1", "http://name:word@[::1]:1", "socks5h://[::1]" } do
      assert.is_nil(with_proxy("http://127.0.0.1:1", proxy))
    end
    -- Programs disagree about which host these name. They are refused, also where nothing plain would go to them.
    for _, proxy in ipairs {
      "http://evil.example#@127.0.0.1",
      "http://evil.example?@127.0.0.1",
      "http://evil.example/?@127.0.0.1",
      "http://evil.example\\@localhost",
      "http://evil.example\\.localhost",
      "evil.example#localhost",
      "http://evil.example @127.0.0.1",
      "http://127.0.0.1 evil.example",
      "http://evil.example\t@127.0.0.1",
      "http://evil.example\127@127.0.0.1",
      "http://evil.ex\195\164mple@127.0.0.1",
      "http://a@evil.example@127.0.0.1",
      "http://[::1",
      "http://localhost:0",
      "http://localhost:99999",
      "http://",
      "gopher://127.0.0.1",
      "ftp://127.0.0.1",
      "http:127.0.0.1",
    } do
      for _, url in ipairs { "http://127.0.0.1:1", "https://api.heymarket.com" } do
        local failure = with_proxy(url, proxy)
        assert.are.equal("invalid", failure and failure.kind, proxy)
        assert.are.equal("proxy", failure.issues[1].field)
        assert.is_nil(failure.issues[1].message:find("evil", 1, true))
      end
    end
  end)

  it("has no user name, query, fragment, strange port or strange form", function()
    for _, url in ipairs {
      "https://user@example.com",
      "https://user:the-password@example.com",
      "https://:the-password@example.com",
      "https://example.com?x=1",
      "https://example.com/?x=1",
      "https://example.com/a?",
      "https://example.com#x",
      "https://example.com/#",
      "https://example.com:0",
      "https://example.com:65536",
      "https://example.com:99999999999999999999",
      "https://example.com:-1",
      "https://example.com:http",
      "https://example.com:80:80",
      "https://",
      "https:///path",
      "https://:443",
      "https:example.com",
      "https:/example.com",
      "//example.com",
      "example.com",
      "api.heymarket.com/v1",
      "ftp://example.com",
      "file:///etc/passwd",
      "unix:/run/socket",
      "https://exa mple.com",
      "https://example.com/a b",
      " https://example.com",
      "https://example.com ",
      "https://example.com\r\nX: y",
      "https://example.com/\0",
      "https://example.com\\@evil.example",
      "https://example.com/\\",
      "https://[::1",
      "https://::1]",
      "https://[zz]",
      "https://[::1]x",
      "https://[]",
      "https://exa%6dple.com",
      "https://example.com%2f@evil.example",
      "https://evil.example\\@api.heymarket.com",
      "https://evil.example\\.api.heymarket.com",
      "https://evil.example#@api.heymarket.com",
      "https://evil.example?@api.heymarket.com",
      "https://@api.heymarket.com",
      "http://evil.example\\@localhost",
      "http://evil.example#@127.0.0.1",
      "http://localhost\tevil.example",
      "http://localhost\127",
      "https://ex\195\164mple.com",
    } do
      assert.is_nil(refused_config("base_url", url):find("the-password", 1, true))
    end
  end)

  it("is put before every path, whatever it ends in", function()
    for given, wanted in pairs {
      ["https://api.example.com"] = "https://api.example.com/v1/batch/contacts?overwrite=false",
      ["https://api.example.com/"] = "https://api.example.com/v1/batch/contacts?overwrite=false",
      ["https://api.example.com/x/"] = "https://api.example.com/x/v1/batch/contacts?overwrite=false",
      ["http://[::1]:8080"] = "http://[::1]:8080/v1/batch/contacts?overwrite=false",
    } do
      local client, sent = capture.client { base_url = given }
      assert(client:create_contacts { { phone = "12345678900" } })
      client:close()
      assert.are.equal(wanted, sent[1].url)
    end
  end)
end)

describe("the environment", function()
  local CODE = [[
    local heymarket = require "heymarket"
    local client, failure = heymarket.new(%s)
    if not client then
      local fields = {}
      for i, issue in ipairs(failure.issues) do fields[i] = issue.field end
      table.sort(fields)
      print(failure.kind, table.concat(fields, " "))
      return
    end
    local url
    client:check {
      timeout = 0.5, max_attempts = 1,
      on_event = function(event) url = url or event.url end,
    }
    print(url)
    print((client:token():match "%%.(.*)%%."))
    client:close()
  ]]

  -- Gives the address that was asked, and the payload of the token as Python decodes it.
  local function run(config, environment)
    local out = process.lua(CODE:format(config), environment)
    local url, payload = out:match "^(%S+)\n(%S+)\n$"
    if not url then
      return out
    end
    local decoded = process.output(
      'python3 -c \'import base64,json,sys; print(json.loads(base64.urlsafe_b64decode(sys.argv[1] + "=="))["iss"])\' '
        .. process.quote(payload)
    )
    return url .. " " .. decoded
  end

  it("gives the credentials and the address", function()
    local environment = {
      HEYMARKET_SECRET_ID = "env-id",
      HEYMARKET_SECRET_KEY = "env-key",
      HEYMARKET_BASE_URL = "http://127.0.0.1:1",
    }
    for _, config in ipairs { "", "nil", "{}" } do
      assert.are.equal("http://127.0.0.1:1/v1/inboxes env-id\n", run(config, environment))
    end
  end)

  it("is used only for what the config does not give", function()
    assert.are.equal(
      "http://127.0.0.1:2/v1/inboxes config-id\n",
      run('{ secret_id = "config-id", secret_key = "config-key", base_url = "http://127.0.0.1:2" }', {
        HEYMARKET_SECRET_ID = "env-id",
        HEYMARKET_SECRET_KEY = "env-key",
        HEYMARKET_BASE_URL = "http://127.0.0.1:1",
      })
    )
  end)

  it("counts as absent where a variable is empty", function()
    assert.are.equal("invalid\tsecret_id secret_key\n", run "")
    assert.are.equal(
      "invalid\tsecret_id secret_key\n",
      run("", { HEYMARKET_SECRET_ID = "", HEYMARKET_SECRET_KEY = "", HEYMARKET_BASE_URL = "" })
    )
    assert.are.equal("invalid\tsecret_key\n", run("", { HEYMARKET_SECRET_ID = "x" }))
  end)

  it("is checked as the config is", function()
    assert.are.equal(
      "invalid\tbase_url\n",
      run("", {
        HEYMARKET_SECRET_ID = "x",
        HEYMARKET_SECRET_KEY = "y",
        HEYMARKET_BASE_URL = "http://api.heymarket.com",
      })
    )
  end)

  it("is named by its variables where credentials are missing", function()
    local out = process.lua [[
      local _, failure = require("heymarket").new()
      print(failure.issues[1].message .. " " .. failure.issues[2].message)
    ]]
    assert.is_truthy(out:find("HEYMARKET_SECRET_ID", 1, true))
    assert.is_truthy(out:find("HEYMARKET_SECRET_KEY", 1, true))
  end)
end)

describe("the options of calls", function()
  local client, sent
  before_each(function()
    client, sent = capture.client()
  end)
  after_each(function()
    client:close()
  end)

  local contacts = { { phone = "+12345678900" } }
  local calls = {
    create_contacts = function(given)
      return client:create_contacts(contacts, given)
    end,
    import = function(given)
      return client:import(contacts, given)
    end,
    check = function(given)
      return client:check(given)
    end,
  }

  it("are taken in their range", function()
    for _, call in ipairs { "create_contacts", "import" } do
      for _, name in ipairs(OF_CALLS) do
        for i = 1, #FINE[name] do
          local before = #sent
          assert(calls[call] { [name] = FINE[name][i] })
          assert.are.equal(before + 1, #sent)
        end
      end
    end
    for _, name in ipairs { "on_item", "on_progress", "max_failures" } do
      for i = 1, #FINE[name] do
        assert(calls.import { [name] = FINE[name][i] })
      end
    end
  end)

  it("are refused outside it, before anything is sent", function()
    for _, call in ipairs { "create_contacts", "import" } do
      for _, names in ipairs { OF_CALLS, call == "import" and OF_IMPORT or {} } do
        for _, name in ipairs(names) do
          for i = 1, #WRONG[name] do
            local made, failure = calls[call] { [name] = WRONG[name][i] }
            check_refused(made, failure, name)
          end
          for _, value in ipairs(NEVER) do
            local made, failure = calls[call] { [name] = value }
            check_refused(made, failure, name)
          end
        end
      end
    end
    assert.are.equal(0, #sent)
  end)

  it("do not include those of others", function()
    for call, names in pairs {
      create_contacts = { "secret_id", "base_url", "connect_timeout", "ca_file", "on_item", "max_failures", "journal" },
      import = { "secret_id", "base_url", "connect_timeout", "token_ttl", "proxy", "user_agent", "max_retry_after" },
      check = { "secret_id", "overwrite", "batch_size", "on_item", "journal" },
    } do
      for _, name in ipairs(names) do
        local made, failure = calls[call] { [name] = FINE[name] and FINE[name][1] or "x" }
        check_refused(made, failure, name)
      end
    end
    assert.are.equal(0, #sent)
  end)

  it("are checked for misspelt names", function()
    for given, meant in pairs {
      overwite = "overwrite",
      Overwrite = "overwrite",
      batchSize = "batch_size",
      dead_line = "deadline",
    } do
      for _, call in ipairs { "create_contacts", "import" } do
        local made, failure = calls[call] { [given] = true }
        local message = check_refused(made, failure, given)
        assert.is_truthy(message:find('"' .. meant .. '"', 1, true))
      end
    end
  end)

  it("are reported together with the mistakes of the contacts", function()
    local _, failure = client:create_contacts({ { phone = "1" } }, { overwrite = 1, colour = 2 })
    local fields = {}
    for i, issue in ipairs(failure.issues) do
      fields[i] = issue.field
    end
    table.sort(fields)
    assert.are.same({ "colour", "overwrite", "phone" }, fields)
  end)

  it("are reported alone where the contacts are valid", function()
    -- A country that cannot be used must not bring the blame on a phone, and must never raise.
    for _, value in ipairs { true, 1, 5, "", "+1", {}, hook, NAN } do
      local made, failure = client:create_contacts({ { phone = "2345678901" } }, { default_country = value })
      check_refused(made, failure, "default_country")
      made, failure = heymarket.contact({ phone = "2345678901" }, { default_country = value })
      check_refused(made, failure, "default_country")
    end
    -- The client's country still counts where the call has other mistakes.
    local other = capture.client { default_country = "1" }
    local made, failure = other:create_contacts({ { phone = "2345678901" } }, { overwrite = 1 })
    check_refused(made, failure, "overwrite")
    other:close()
    made, failure = client:create_contacts({ { phone = "2345678901" } }, { overwrite = 1, default_country = "1" })
    check_refused(made, failure, "overwrite")
    made, failure = client:create_contacts({ { phone = "2345678901" } }, { overwrite = 1, default_country = false })
    check_refused(made, failure, "overwrite")
  end)

  it("take precedence over those of the client", function()
    local many = {}
    for i = 1, 10 do
      many[i] = { phone = ("1202555%04d"):format(i) }
    end
    local other, requests = capture.client { batch_size = 5, timeout = 7, connect_timeout = 3 }
    assert(other:create_contacts(many))
    assert.are.equal(2, #requests)
    assert.are.same({ 7, 3 }, { requests[1].timeout, requests[1].connect_timeout })
    assert(other:create_contacts(many, { batch_size = 10, timeout = 2, overwrite = true }))
    assert.are.equal(3, #requests)
    assert.are.same({ 2, 2 }, { requests[3].timeout, requests[3].connect_timeout })
    assert.is_truthy(requests[3].url:find("?overwrite=true", 1, true))
    assert(other:create_contacts(many))
    assert.are.equal(5, #requests)
    assert.is_truthy(requests[5].url:find("?overwrite=false", 1, true))
    other:close()
  end)

  it("are not changed, nor is the client by them", function()
    local given = { overwrite = true, batch_size = 3, timeout = 5 }
    assert(client:create_contacts(contacts, given))
    assert(client:import(contacts, given))
    assert.are.same({ overwrite = true, batch_size = 3, timeout = 5 }, given)
  end)
end)

describe("the list of contacts", function()
  local client, sent
  before_each(function()
    client, sent = capture.client()
  end)
  after_each(function()
    client:close()
  end)

  it("may be empty", function()
    local report = assert(client:create_contacts {})
    assert.are.same({ 0, 0, 0, 0, 0, 0, 0, 0, 0 }, {
      report.total,
      report.accepted,
      report.rejected,
      report.invalid,
      report.failed,
      report.unknown,
      report.unsent,
      report.requests,
      report.retries,
    })
    assert.are.same({}, report.items)
    assert.are.equal(0, #sent)
    assert.are.equal(0, assert(client:import {}).total)
  end)

  it("must be a list, also for a single contact", function()
    local report, failure = client:create_contacts { phone = "12345678900", first = "Ann" }
    assert.is_nil(report)
    check_invalid(failure)
    assert.is_true(#failure.issues >= 1)
    assert.are.equal(0, #sent)
    report, failure = client:create_contacts { { phone = "12345678900" }, phone = "12345678901" }
    assert.is_nil(report)
    check_invalid(failure)
    assert.are.equal(0, #sent)
  end)

  it("has no holes", function()
    local one = { phone = "12345678900" }
    local report, failure = client:create_contacts { one, nil, { phone = "12345678901" } }
    check_invalid(failure)
    assert.is_nil(report)
    assert.are.equal(1, #failure.issues)
    assert.are.equal(2, failure.issues[1].index)
    assert.are.same({ 3, 1, 2 }, { failure.report.total, failure.report.invalid, failure.report.unsent })
    report, failure = client:create_contacts { one, false, { phone = "12345678901" } }
    assert.is_nil(report)
    check_invalid(failure)
    assert.are.equal(2, failure.issues[1].index)
    for _, list in ipairs {
      { [0] = one },
      { [-1] = one },
      { [1.5] = one },
      { [2] = one },
      { [true] = one },
      { [INF] = one },
      { [one] = one },
      { one, n = 1 },
    } do
      report, failure = client:create_contacts(list)
      assert.is_nil(report)
      check_invalid(failure)
    end
    assert.are.equal(0, #sent)
  end)

  it("with a contact far behind the others is refused quickly", function()
    for _, index in ipairs { 1e9, 2 ^ 52, 2 ^ 60, 1e300 } do
      local _, failure = client:create_contacts { { phone = "12345678900" }, [index] = { phone = "12345678901" } }
      check_invalid(failure)
    end
    assert.are.equal(0, #sent)
  end)
end)

describe("wrong use of Lua", function()
  local client
  before_each(function()
    client = capture.client()
  end)
  after_each(function()
    client:close()
  end)

  it("raises an error that names the argument and the caller's line", function()
    local function here()
      return debug.getinfo(2, "l").currentline
    end
    for _, value in ipairs { 5, "x", true, io.stdout } do
      for argument, wrong in pairs {
        config = function()
          local line = here()
          local made = heymarket.new(value) -- two lines below
          return made, line
        end,
        contacts = function()
          local line = here()
          local made = client:create_contacts(value)
          return made, line
        end,
        source = function()
          local line = here()
          local made = client:import(value)
          return made, line
        end,
      } do
        local ok, message = pcall(wrong)
        assert.is_false(ok)
        assert.is_truthy(message:find "options_spec.lua:%d+: ", message)
        assert.is_truthy(message:find(argument, 1, true), message)
      end
      for name, wrong in pairs {
        create_contacts = function()
          local made = client:create_contacts({}, value)
          return made
        end,
        import = function()
          local made = client:import({}, value)
          return made
        end,
        check = function()
          local made = client:check(value)
          return made
        end,
      } do
        local first = debug.getinfo(wrong, "S").linedefined
        local ok, message = pcall(wrong)
        assert.is_false(ok)
        assert.are.equal(first + 1, tonumber(message:match "options_spec.lua:(%d+): "), message)
        assert.is_truthy(message:find(name, 1, true) and message:find("options", 1, true), message)
      end
    end
    for _, wrong in ipairs {
      function()
        local made = client:create_contacts()
        return made
      end,
      function()
        local made = client:import()
        return made
      end,
    } do
      local ok, message = pcall(wrong)
      assert.is_false(ok)
      assert.are.equal(
        debug.getinfo(wrong, "S").linedefined + 1,
        tonumber(message:match "options_spec.lua:(%d+): "),
        message
      )
    end
  end)

  it("does not include values of the right type that are wrong", function()
    for _, value in ipairs { { 5 }, { "x" }, { {} }, { { phone = {} } } } do
      local made, failure = client:create_contacts(value)
      assert.is_nil(made)
      check_invalid(failure)
    end
  end)
end)

-- Every string that can be reached from a value, through fields, keys and metatables, and with `debug` through the
-- upvalues of functions and what belongs to a userdata as well.
local function strings_in(root, with_debug)
  local seen, found, queue = {}, {}, { root }
  local function add(value)
    if type(value) == "string" then
      found[#found + 1] = value
    elseif
      (type(value) == "table" or with_debug and (type(value) == "function" or type(value) == "userdata"))
      and not seen[value]
    then
      seen[value] = true
      queue[#queue + 1] = value
    end
  end
  -- The tests themselves know the secrets.
  seen[_G], seen[package.loaded] = true, true
  while #queue > 0 do
    local value = table.remove(queue)
    if type(value) == "table" then
      for key, item in next, value do
        add(key)
        add(item)
      end
    end
    if with_debug then
      add(debug.getmetatable(value))
      if type(value) == "function" then
        local i = 1
        while true do
          local name, upvalue = debug.getupvalue(value, i)
          if not name then
            break
          end
          add(upvalue)
          i = i + 1
        end
      elseif type(value) == "userdata" then
        for i = 1, 2 do
          local ok, kept = pcall(rawget(debug, "getuservalue") or rawget(debug, "getfenv"), value, i)
          if ok then
            add(kept)
          end
        end
      end
    else
      add(getmetatable(value))
    end
  end
  return found
end

describe("secrets", function()
  local function check_none(found, secrets)
    for _, text in ipairs(found) do
      for _, secret in ipairs(secrets) do
        assert.is_nil(text:find(secret, 1, true))
      end
    end
  end

  it("cannot be found in a client", function()
    local client = assert(heymarket.new {
      secret_id = ID,
      secret_key = KEY,
      base_url = "http://127.0.0.1:1",
      proxy = "http://user:proxy-password@127.0.0.1:1",
    })
    local function check()
      local token = client:token()
      local signature = token:match "[^.]+$"
      -- A client that is printed or stored shows neither key nor token.
      check_none(strings_in(client, false), { KEY, token, signature, "proxy-password" })
      assert.is_nil(tostring(client):find(KEY, 1, true))
      -- The key is out of reach of Lua altogether.
      local all = strings_in(client, true)
      assert.is_true(#all > 100)
      check_none(all, { KEY, "proxy-password" })
    end
    check()
    client:check { max_attempts = 1, timeout = 1 }
    client:create_contacts({ { phone = "12345678900" } }, { max_attempts = 1, timeout = 1 })
    check()
    client:close()
    check_none(strings_in(client, false), { KEY })
  end)

  it("are in no failure and in no error", function()
    local texts = {}
    local function keep(_, problem)
      texts[#texts + 1] = tostring(problem)
      for _, text in ipairs(type(problem) == "table" and strings_in(problem, false) or {}) do
        texts[#texts + 1] = text
      end
    end
    keep(heymarket.new { secret_id = KEY, secret_key = KEY .. "\n" })
    keep(heymarket.new { secret_id = KEY .. "\n", secret_key = KEY, base_url = "http://x" })
    keep(heymarket.new { secret_key = KEY })
    keep(heymarket.new { secret_id = ID, secret_key = KEY, timeout = KEY, batch_size = KEY, on_event = KEY })
    keep(heymarket.new { secret_id = ID, secret_key = KEY, base_url = "https://user:" .. KEY .. "@example.com" })
    keep(heymarket.new { secret_id = ID, secret_key = KEY, base_url = KEY })
    keep(heymarket.new { secret_id = ID, secret_key = KEY, default_country = KEY, proxy = KEY .. "\n" })
    keep(heymarket.new { secret_id = ID, secret_key = { KEY } })
    keep(pcall(heymarket.new, KEY))
    local client = assert(heymarket.new { secret_id = ID, secret_key = KEY, base_url = "http://127.0.0.1:1" })
    keep(client:check { max_attempts = 1 })
    keep(client:create_contacts({ { phone = "12345678900" } }, { max_attempts = 1 }))
    keep(pcall(client.create_contacts, client, 5))
    client:close()
    keep(client:check())
    keep(client:token())
    assert.is_true(#texts > 20)
    for _, text in ipairs(texts) do
      assert.is_nil(text:find(KEY, 1, true), text)
    end
  end)
end)

describe("a client", function()
  it("gives the documented token", function()
    local client = capture.client {
      secret_id = "YOUR_API_SECRET_ID",
      secret_key = "YOUR_API_SECRET_KEY",
      runtime = {
        time = function()
          return 1713225600
        end,
      },
    }
    assert.are.equal(
      "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJZT1VSX0FQSV9TRUNSRVRfSUQiLCJpYXQiOjE3MTMyMjU2MDB9.VIR4xZTstXIp"
        .. "U3hHI_ls4wlEnNPrr1i6ZA1w0vp3uUM",
      client:token()
    )
    client:close()
  end)

  it("keeps a token for token_ttl and no longer", function()
    local client, _, transport = capture.client { token_ttl = 100 }
    local first = client:token()
    transport.now = transport.now + 99
    assert.are.equal(first, client:token())
    transport.now = transport.now + 1
    local second = client:token()
    assert.are_not.equal(first, second)
    -- A clock that is set back does not keep a token for ever.
    transport.now = transport.now - 50
    assert.are_not.equal(second, client:token())
    client:close()
    local fresh, _, other = capture.client { token_ttl = 0 }
    first = fresh:token()
    other.now = other.now + 1
    assert.are_not.equal(first, fresh:token())
    fresh:close()
  end)

  it("that is closed says so, and can be closed again", function()
    local client, sent = capture.client()
    client:close()
    client:close()
    for _, call in ipairs {
      function()
        return client:create_contacts { { phone = "12345678900" } }
      end,
      function()
        return client:import { { phone = "12345678900" } }
      end,
      function()
        return client:check()
      end,
      function()
        return client:token()
      end,
    } do
      local made, failure = call()
      assert.is_nil(made)
      check_invalid(failure)
      assert.is_truthy(failure.message:find("closed", 1, true))
    end
    assert.are.equal(0, #sent)
  end)

  it("is freed when nobody has it any more, and with <close> on Lua 5.4", function()
    collectgarbage()
    collectgarbage()
    local before = core.open_handles()
    assert(heymarket.new(config_with()))
    if _VERSION == "Lua 5.4" then
      local run = assert(load [[
        local heymarket, config = ...
        local kept
        do
          local client <close> = assert(heymarket.new(config))
          kept = client
        end
        return kept:token()
      ]])
      local made, failure = run(heymarket, config_with())
      assert.is_nil(made)
      check_invalid(failure)
    end
    collectgarbage()
    collectgarbage()
    assert.are.same(before, core.open_handles())
  end)

  it("brings libcurl, which checking a contact does not need", function()
    local out = process.lua [[
      local heymarket = require "heymarket"
      local function has_libcurl()
        local maps = io.open "/proc/self/maps":read "*a"
        return maps:find("libcurl", 1, true) ~= nil
      end
      assert(heymarket.contact { phone = "12345678900" })
      assert(not heymarket.contact { phone = "1" })
      print(heymarket.csv ~= nil, has_libcurl())
      print(heymarket.new ~= nil, has_libcurl())
    ]]
    assert.are.equal("true\tfalse\ntrue\ttrue\n", out)
  end)

  it("opens nothing before its first call", function()
    local out = process.lua [[
      local heymarket = require "heymarket"
      local client = assert(heymarket.new { secret_id = "a", secret_key = "b" })
      client:token()
      local pipe = io.popen("ls -l /proc/" .. require("heymarket.system").pid() .. "/fd | grep -c socket")
      print(pipe:read "*l")
    ]]
    assert.are.equal("0\n", out)
  end)
end)

describe("failures", function()
  local cjson = require("cjson").new()

  -- The failures of one sort each, with what the interface page says of them.
  local function failures()
    local made = {}
    local function keep(kind, delivered, answer, contacts)
      local client = capture.client({ max_attempts = 2 }, answer)
      local report, failure = client:create_contacts(contacts or { { phone = "12345678900" } })
      assert.is_nil(report)
      client:close()
      made[#made + 1] = { kind = kind, delivered = delivered, failure = failure }
    end
    local function status(number, body)
      return function()
        return { status = number, body = body or '{"error_code":"x","message":"a\\nb"}' }
      end
    end
    keep("invalid", "no", nil, { { phone = "1", x = 1 }, 5 })
    keep("bad_data", "no", status(404))
    keep("unauthorized", "no", status(401))
    keep("denied", "no", status(403))
    keep("too_large", "no", status(413))
    keep("rate_limited", "no", status(429))
    keep("server", "maybe", status(500))
    keep("unexpected", "maybe", status(302))
    keep("unexpected", "maybe", status(200, "<html>\27[2J\194\155\r\n</html>"))
    keep("network", "no", function()
      return { code = "COULDNT_CONNECT", message = "refused\nhere", sent = false }
    end)
    keep("network", "maybe", function()
      return { code = "RECV_ERROR", message = "reset", sent = true }
    end)
    keep("timeout", "maybe", function()
      return { code = "OPERATION_TIMEDOUT", message = "late", sent = true }
    end)
    keep("timeout", "no", function()
      return { code = "OPERATION_TIMEDOUT", message = "late", sent = false }
    end)
    return made
  end

  it("have the documented fields, and one readable line", function()
    local texts = {}
    for _, case in ipairs(failures()) do
      local failure = case.failure
      assert.is_true(heymarket.is_failure(failure))
      assert.are.equal(case.kind, failure.kind)
      assert.are.equal(case.delivered, failure.delivered)
      assert.are.equal("boolean", type(failure.retryable))
      check_text(failure.message)
      check_text(tostring(failure))
      assert.is_truthy(tostring(failure):find(failure.message, 1, true))
      texts[#texts + 1] = tostring(failure):gsub(".", function(byte)
        return ("%02x"):format(byte:byte())
      end)
      local report = failure.report
      assert.are.equal(
        report.total,
        report.accepted + report.rejected + report.invalid + report.failed + report.unknown + report.unsent
      )
      if case.kind == "invalid" then
        assert.is_true(#failure.issues > 1)
      else
        assert.is_nil(failure.issues)
        assert.are.equal(1, report.total)
        assert.are.equal(case.delivered == "no" and 1 or 0, report.failed)
        assert.are.equal(case.delivered == "maybe" and 1 or 0, report.unknown)
        assert.is_true(failure.attempts >= 1)
      end
    end
    -- Nothing in them drives a terminal, C1 controls included.
    for _, said in ipairs(process.python("json_witness.py utf8", table.concat(texts, "\n") .. "\n")) do
      assert.are.equal("good", said)
    end
  end)

  it("can be written as JSON", function()
    local lines = {}
    for i, case in ipairs(failures()) do
      lines[i] = cjson.encode(case.failure)
    end
    for i, line in ipairs(process.python("json_witness.py values", table.concat(lines, "\n") .. "\n")) do
      assert.is_nil(line:find "^INVALID", lines[i])
    end
  end)

  it("are recognised by is_failure", function()
    local _, failure = heymarket.contact {}
    assert.is_true(heymarket.is_failure(failure))
    for _, value in ipairs { 1, "x", true, false, {}, { kind = "invalid", message = "x" }, hook, io.stdout } do
      assert.is_false(heymarket.is_failure(value))
    end
    assert.is_false(heymarket.is_failure(nil))
    assert.is_false(heymarket.is_failure())
  end)

  it("make assert raise something readable", function()
    local ok, raised = pcall(function()
      return assert(heymarket.contact {})
    end)
    assert.is_false(ok)
    assert.is_truthy(tostring(raised):find("phone", 1, true))
  end)
end)

describe("this spec file", function()
  it("leaves no handle open", function()
    collectgarbage()
    collectgarbage()
    assert.are.same({ signers = 0, pools = 0, transfers = 0 }, core.open_handles())
  end)
end)
