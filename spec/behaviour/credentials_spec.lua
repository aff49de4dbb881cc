-- Credentials that a function gives: when it is asked, what it may do, and that nothing shows what it gave.

local core = require "heymarket.core"
local heymarket = require "heymarket"
local memory_api = require "spec.support.memory_api"
local process = require "spec.support.process"
local sandbox = require "heymarket.sandbox"
local system = require "heymarket.system"

local KEYS = { "first-key-77ab41", "second-key-c90d52", "third-key-15fe63" }
local PHONE = "12345678900"

-- Where pcall cannot be left by a yield, a function that yields raises an error instead.
local CAN_YIELD = rawget(_G, "jit") ~= nil or _VERSION ~= "Lua 5.1"

local clients = {}

after_each(function()
  for _, client in ipairs(clients) do
    client:close()
  end
  clients = {}
  collectgarbage()
  collectgarbage()
  assert.are.same({ signers = 0, pools = 0, transfers = 0 }, core.open_handles())
end)

local function open(box, config)
  local client = assert(box:client(config))
  clients[#clients + 1] = client
  return client
end

-- A sandbox whose key is the first of KEYS.
local function box_of(options)
  local given = { secret_id = "the-id", secret_key = KEYS[1] }
  for name, value in pairs(options or {}) do
    given[name] = value
  end
  return sandbox.new(given)
end

-- A vault: its `get` is the function, which counts.
local function vault_of(id, key)
  local vault = { id = id or "the-id", key = key or KEYS[1], asked = 0 }
  function vault.get()
    vault.asked = vault.asked + 1
    return vault.id, vault.key
  end
  return vault
end

local function contacts_of(count)
  local list = {}
  for i = 1, count do
    list[i] = { phone = ("120255%05d"):format(i) }
  end
  return list
end

-- Every string that a program finds from a value without the debug library: in fields, keys and metatables.
local function strings_in(value, found, seen)
  found, seen = found or {}, seen or {}
  if type(value) == "string" then
    found[#found + 1] = value
  elseif type(value) == "table" and not seen[value] then
    seen[value] = true
    strings_in(getmetatable(value), found, seen)
    for key, item in pairs(value) do
      strings_in(key, found, seen)
      strings_in(item, found, seen)
    end
  end
  return found
end

local function assert_shows_no_key(...)
  local found = strings_in { ... }
  for _, text in ipairs(found) do
    for _, key in ipairs(KEYS) do
      assert.is_nil(text:find(key, 1, true), text)
    end
  end
  return #found
end

-- Checks a failure for want of credentials, by its code.
local function assert_failure(problem, code)
  assert.is_true(heymarket.is_failure(problem))
  assert.are.equal("stopped", problem.kind, tostring(problem))
  assert.are.equal("credentials", problem.reason)
  assert.are.equal(code, problem.message_code)
  assert.are.equal("no", problem.delivered)
  assert_shows_no_key(problem, tostring(problem))
end

-- Makes each call with a client of this function, and checks that it ends with this failure and sends nothing.
local function assert_fails(ask, code)
  local box = box_of()
  local client = open(box, { credentials = ask })
  local last
  for _, call in ipairs { "create_contacts", "import", "check", "token" } do
    local argument = (call == "create_contacts" or call == "import") and contacts_of(3) or nil
    local made, problem = client[call](client, argument)
    assert.is_nil(made)
    assert_failure(problem, code)
    if argument then
      assert.are.equal(3, problem.report.unsent)
      assert.are.equal(3, problem.report.total)
      assert_shows_no_key(problem.report)
    end
    last = problem
  end
  assert.are.equal(0, #box.requests)
  return last
end

describe("the option credentials", function()
  local function refused(config)
    config.base_url = "https://api.example.com"
    local client, problem = heymarket.new(config)
    assert.is_nil(client)
    assert.are.equal("invalid", problem.kind)
    return problem
  end

  it("stands in the place of secret_id and secret_key, and so not beside one of them", function()
    for _, name in ipairs { "secret_id", "secret_key" } do
      local problem = refused { [name] = KEYS[1], credentials = vault_of().get }
      assert.are.equal(1, #problem.issues)
      assert.are.equal("credentials", problem.issues[1].field)
      assert.are.equal("option_credentials_twice", problem.issues[1].code)
      assert_shows_no_key(problem, tostring(problem))
    end
  end)

  it("must be a function, or what can be called like one", function()
    for _, value in ipairs { KEYS[1], 1, true, false, {} } do
      local problem = refused { credentials = value }
      assert.are.equal(1, #problem.issues, tostring(problem))
      assert.are.equal("credentials", problem.issues[1].field)
      assert.are.equal("option_type", problem.issues[1].code)
    end
    local vault = vault_of()
    local callable = setmetatable({ hidden = KEYS[1] }, { __call = vault.get })
    local client = open(box_of(), { credentials = callable })
    assert.is_true(client:check())
    assert_shows_no_key(client)
  end)

  it("comes before the credentials of the environment, which are then not used", function()
    local out = process.lua(
      [[
        local heymarket = require "heymarket"
        local client = assert(heymarket.new {
          base_url = "http://127.0.0.1:1",
          credentials = function()
            return "function-id", "function-key"
          end,
        })
        local token = client:token():match "^[^.]+%.([^.]+)"
        print(token == heymarket.new({ secret_id = "function-id", secret_key = "k", base_url = "http://127.0.0.1:1" })
          :token():match "^[^.]+%.([^.]+)")
      ]],
      { HEYMARKET_SECRET_ID = "env-id", HEYMARKET_SECRET_KEY = "env-key" }
    )
    assert.are.equal("true\n", out)
  end)
end)

describe("the function credentials", function()
  it("is not asked before a token is needed, and once for each token", function()
    local box, vault = box_of(), vault_of()
    local client = open(box, { credentials = vault.get, token_ttl = 100, batch_size = 1, concurrency = 4 })
    assert.are.equal(0, vault.asked)
    assert.are.equal(20, assert(client:create_contacts(contacts_of(20))).accepted)
    assert(client:check())
    assert(client:token())
    assert.are.equal(1, vault.asked)
    box:advance(101)
    assert(client:check())
    assert.are.equal(2, vault.asked)
    assert.are.equal(client:token(), client:token())
    assert.are.equal(2, vault.asked)
  end)

  it("signs as secret_id and secret_key do", function()
    local function time()
      return 1713225600
    end
    local config = { secret_id = "YOUR_API_SECRET_ID", secret_key = "YOUR_API_SECRET_KEY", runtime = { time = time } }
    local given = { runtime = { time = time } }
    function given.credentials()
      return config.secret_id, config.secret_key
    end
    local box = sandbox.new()
    assert.are.equal(open(box, config):token(), open(box, given):token())
  end)

  it("is asked for a new key before the old token has expired, where that was refused", function()
    local box, vault = box_of(), vault_of()
    local client = open(box, { credentials = vault.get })
    assert.is_true(client:check())
    box:rotate("the-id", KEYS[2])
    vault.key = KEYS[2]
    local report = assert(client:create_contacts(contacts_of(3)))
    assert.are.equal(3, report.accepted)
    assert.are.equal(1, report.retries)
    assert.are.equal(2, vault.asked)
    local statuses = {}
    for i, request in ipairs(box.requests) do
      statuses[i] = request.status
    end
    assert.are.same({ 200, 401, 200 }, statuses)
  end)

  it("brings a new key without a 401 where the token is renewed after the change", function()
    local box, vault = box_of(), vault_of()
    local client = open(box, { credentials = vault.get, token_ttl = 60 })
    assert.is_true(client:check())
    box:advance(61):rotate("the-id", KEYS[2])
    vault.key = KEYS[2]
    assert.is_true(client:check())
    assert.are.equal(2, #box.requests)
    assert.are.equal(200, box.requests[2].status)
  end)

  it("may give another id as well, again and again", function()
    local box, vault = box_of(), vault_of()
    local client = open(box, { credentials = vault.get })
    for i, key in ipairs(KEYS) do
      vault.id, vault.key = "id-" .. i, key
      box:rotate(vault.id, key)
      assert.are.equal(1, assert(client:create_contacts { { phone = "1202555000" .. i } }).accepted)
      assert.are.equal(1, core.open_handles().signers)
    end
    assert.are.equal(3, box:count())
  end)

  it("is asked once more after a 401; a second 401 in a row stops the call", function()
    local box, vault = box_of(), vault_of("the-id", KEYS[2])
    local client = open(box, { credentials = vault.get })
    local made, problem = client:create_contacts(contacts_of(3))
    assert.is_nil(made)
    assert.are.equal("unauthorized", problem.kind)
    -- The program has given no secret_id and secret_key that could be checked.
    assert.is_truthy(problem.message:find("check what the function credentials gives", 1, true), problem.message)
    assert.is_nil(problem.message:find "secret_")
    assert.are.equal(3, problem.report.failed)
    assert.are.equal(2, #box.requests)
    assert.are.equal(2, vault.asked)
  end)

  it("is asked once for all requests that were refused with one token", function()
    local box, vault = box_of(), vault_of()
    local client = open(box, { credentials = vault.get, batch_size = 1, concurrency = 8 })
    assert.is_true(client:check())
    box:rotate("the-id", KEYS[2]):script { status = 401, delay = 1, times = 8 }
    vault.key = KEYS[2]
    local report = assert(client:import(contacts_of(30)))
    assert.are.equal(30, report.accepted)
    assert.are.equal(8, report.retries)
    assert.are.equal(2, vault.asked)
  end)

  it("may change the key in the midst of an import", function()
    local box, vault = box_of(), vault_of()
    local client = open(box, { credentials = vault.get, batch_size = 1, concurrency = 3 })
    local given = 0
    local report = assert(client:import(function()
      given = given + 1
      if given % 10 == 0 then
        vault.key = KEYS[1 + given / 10 % 3]
        box:rotate("the-id", vault.key)
      end
      return given <= 60 and { phone = ("12%09d"):format(given) } or nil
    end))
    assert.are.equal(60, report.accepted)
    assert.are.equal(60, box:count())
  end)
end)

describe("the function credentials that fails", function()
  it("by an error ends the call; only the place of the error is told, for its words could hold the key", function()
    local problem = assert_fails(function()
      error("cannot use " .. KEYS[1])
    end, "credentials_raised")
    assert.is_true(problem.retryable)
    assert.is_truthy(problem.message:find "credentials_spec.lua:%d+")
  end)

  it("by an error that is no string, or comes from a chunk named by its source, shows nothing of it", function()
    assert_fails(function()
      error { key = KEYS[1] }
    end, "credentials_raised")
    assert_fails(function()
      error(setmetatable({}, {
        __tostring = function()
          return KEYS[1]
        end,
      }))
    end, "credentials_raised")
    local compile = rawget(_G, "loadstring") or load
    assert_fails(assert(compile("local key = '" .. KEYS[1] .. "'; error(key)")), "credentials_raised")
  end)

  it("by nil and a message ends the call with that message", function()
    local problem = assert_fails(function()
      return nil, "the vault is\nsealed"
    end, "credentials_not_given")
    assert.is_true(problem.retryable)
    assert.is_truthy(problem.message:find("the vault is", 1, true))
    assert.is_nil(problem.message:find "%c")
  end)

  it("by nothing, or by false, ends the call", function()
    assert_fails(function() end, "credentials_not_given")
    assert_fails(function()
      return false
    end, "credentials_not_given")
  end)

  local WRONG = {
    ["a table of both"] = { { secret_id = "the-id", secret_key = KEYS[1] } },
    ["a number as the id"] = { 5, KEYS[1] },
    ["no key"] = { "the-id" },
    ["a table as the key"] = { "the-id", { KEYS[1] } },
    ["an empty id"] = { "", KEYS[1] },
    ["an empty key"] = { "the-id", "" },
    ["a line break behind the key, as a file has it"] = { "the-id", KEYS[1] .. "\n" },
    ["a NUL byte in the id"] = { "the\0id", KEYS[1] },
  }
  for what, given in pairs(WRONG) do
    it("by " .. what .. " ends the call", function()
      local problem = assert_fails(function()
        return given[1], given[2]
      end, "credentials_wrong")
      assert.is_false(problem.retryable)
      local is_key = what:find "key" and not what:find "id"
      assert.is_truthy(problem.message:find(is_key and "its secret_key" or "its secret_id", 1, true))
    end)
  end

  it("can succeed in the next call", function()
    local box, vault = box_of(), vault_of()
    local client = open(box, {
      credentials = function()
        assert(vault.asked > 0 or vault.get() == nil, "not yet")
        return vault.get()
      end,
    })
    local _, problem = client:check()
    assert_failure(problem, "credentials_raised")
    assert.is_true(client:check())
  end)

  it("after a 401 leaves a whole report of what was done before", function()
    local box, vault = box_of(), vault_of()
    local items = {}
    local client = open(box, {
      credentials = function()
        if vault.asked == 1 then
          return nil, "sealed"
        end
        return vault.get()
      end,
      batch_size = 2,
      concurrency = 1,
    })
    box:script({}, { status = 401 })
    local made, problem = client:import(contacts_of(9), {
      on_item = function(item)
        items[#items + 1] = item.outcome
      end,
    })
    assert.is_nil(made)
    assert.are.equal("credentials", problem.reason)
    assert.are.equal("maybe", problem.delivered) -- two contacts were taken
    local report = problem.report
    assert.are.equal(2, report.accepted)
    assert.are.equal(2, report.failed)
    assert.are.equal(5, report.unsent)
    assert.are.equal(9, report.total)
    assert.are.equal(7, #items)
    assert.are.equal(2, box:count())
  end)
end)

describe("the function credentials", function()
  it("may close the client: the call ends, and its key is thrown away", function()
    for _, fails in ipairs { false, true } do
      local box, client = box_of(), nil
      client = open(box, {
        credentials = function()
          client:close()
          assert(not fails, "and raise")
          return "the-id", KEYS[1]
        end,
      })
      local made, problem = client:create_contacts(contacts_of(2))
      assert.is_nil(made)
      assert.are.equal("client_closed", problem.message_code)
      assert.are.equal("no", problem.delivered)
      assert.are.equal(2, problem.report.unsent)
      assert.are.equal(0, #box.requests)
      assert.are.equal(0, core.open_handles().signers)
    end
  end)

  it("may close the client when its token is asked for", function()
    local client
    client = open(box_of(), {
      credentials = function()
        client:close()
        return "the-id", KEYS[1]
      end,
    })
    local token, problem = client:token()
    assert.is_nil(token)
    assert.are.equal("client_is_closed", problem.message_code)
    assert.are.equal(0, core.open_handles().signers)
  end)

  it("may not use the client that waits for it", function()
    local client, inner
    client = open(box_of(), {
      credentials = function()
        inner = { client:check() }
        return "the-id", KEYS[1]
      end,
    })
    assert.is_true(client:check())
    assert.is_nil(inner[1])
    assert_failure(inner[2], "credentials_within")
  end)

  it("that takes longer than the deadline ends the call before anything is sent", function()
    local box, vault = box_of(), vault_of()
    local client = open(box, {
      credentials = function()
        box:advance(20)
        return vault.get()
      end,
    })
    local made, problem = client:create_contacts(contacts_of(2), { deadline = 10 })
    assert.is_nil(made)
    assert.are.equal("deadline_passed", problem.message_code)
    assert.are.equal(2, problem.report.unsent)
    assert.are.equal(0, #box.requests)
  end)

  it("gives a token the time at which it is signed, however long the function takes", function()
    local box, vault = box_of(), vault_of()
    local client = open(box, {
      credentials = function()
        box:advance(400)
        return vault.get()
      end,
    })
    assert.is_true(client:check())
    assert.are.equal(1, vault.asked)
    assert.are.equal(200, box.requests[1].status)
  end)

  it("may yield in a coroutine; where others cannot run meanwhile, another call asks for itself", function()
    local box, vault = box_of(), vault_of()
    local client = open(box, {
      credentials = function()
        if vault.asked == 0 then
          coroutine.yield(vault.get())
        end
        return vault.get()
      end,
    })
    local thread = coroutine.create(function()
      return client:check()
    end)
    local _, value, problem = coroutine.resume(thread)
    if not CAN_YIELD then
      assert.is_nil(value)
      return assert_failure(problem, "credentials_raised")
    end
    assert.are.equal("the-id", value)
    assert.is_true(client:check())
    assert.are.equal(2, vault.asked)
    assert.are.same({ true, true }, { coroutine.resume(thread) })
    assert.are.equal("dead", coroutine.status(thread))
    assert.are.equal(1, core.open_handles().signers)
  end)

  it("is asked again if its key was fetched before a 401", function()
    if not CAN_YIELD then
      return -- the yield is what makes the answer old
    end
    local box, vault = box_of(), vault_of()
    local slow = false
    local client = open(box, {
      token_ttl = 60,
      credentials = function()
        local id, key = vault.get()
        if slow then
          slow = false
          coroutine.yield()
        end
        return id, key
      end,
    })
    local first = client:token()
    box:script { status = 401, delay = 61 }
    slow = true
    local thread
    -- The first request is refused when its token is older than its ttl, and while another call asks.
    local report = assert(client:create_contacts({ { phone = PHONE } }, {
      timeout = 100,
      on_event = function(event)
        if event.type == "response" and event.status == 401 then
          thread = coroutine.create(function()
            return client:token()
          end)
          assert(coroutine.resume(thread))
          vault.key = KEYS[2]
          box:rotate("the-id", KEYS[2])
        end
      end,
    }))
    assert.are.equal(1, report.accepted)
    local ok, token = coroutine.resume(thread)
    assert.is_true(ok)
    assert.are_not.equal(first, token)
    local answer = box:handle {
      method = "GET",
      path = "/v1/inboxes",
      headers = { authorization = "Bearer " .. token },
    }
    assert.are.equal(200, answer.status)
  end)

  it("leaves neither its key nor its error in anything that can be printed", function()
    local box, vault, events = box_of(), vault_of(), {}
    local client, looks = nil, 0
    client = open(box, {
      credentials = vault.get,
      on_event = function(event)
        events[#events + 1] = event
        looks = looks + assert_shows_no_key(client, event)
      end,
    })
    assert.is_true(client:check())
    box:rotate("the-id", KEYS[2])
    vault.key = KEYS[2]
    local report = assert(client:create_contacts(contacts_of(2)))
    local modules = {}
    for name, module in pairs(package.loaded) do
      modules[name] = name:find "^heymarket" and module or nil
    end
    assert.is_true(assert_shows_no_key(client, report, events, modules) > 100)
    assert.is_true(looks > 100)
    assert.are.equal(2, report.accepted)
    assert.is_nil(report.hook_error)
  end)

  it("does not keep a client that nobody holds any more, not even where it names the client", function()
    local box = box_of()
    -- In a coroutine, whose stack goes with it: on LuaJIT a stack may keep values of a block that has ended.
    coroutine.wrap(function()
      local client
      client = assert(box:client {
        credentials = function()
          return "the-id", client and KEYS[1] or nil
        end,
      })
      assert.is_true(client:check())
      assert.are.equal(1, core.open_handles().signers)
    end)()
    -- A client that is kept stays however often is collected. One that only a slot of some stack still names goes when
    -- that slot is used again: so others run in between.
    for _ = 1, 50 do
      if core.open_handles().signers == 0 then
        break
      end
      coroutine.wrap(function()
        system.sleep(0.01)
      end)()
      collectgarbage()
    end
    assert.are.equal(0, core.open_handles().signers)
  end)
end)

describe("clients with credentials from a function and one shared_dict", function()
  after_each(function()
    rawset(_G, "ngx", nil)
  end)

  -- A lua_shared_dict whose entries never expire: a test takes less than a minute.
  local function new_dict()
    local entries = {}
    return {
      get = function(_, key)
        return entries[key]
      end,
      set = function(_, key, value)
        entries[key] = value
        return true
      end,
      incr = function(_, key, value, init)
        entries[key] = (entries[key] or init) + value
        return entries[key]
      end,
    }
  end

  -- Does the pace of a first client hold up the second one?
  local function is_held_up(first, second)
    rawset(_G, "ngx", { shared = { pace = new_dict() } })
    local box, results = box_of(), {}
    local now = math.floor(system.time() / 60) * 60 -- the store counts by the minute
    for i, config in ipairs { first, second } do
      local vault = vault_of(config.id)
      box:rotate(vault.id, vault.key)
      results[i] = {
        open(box, {
          credentials = vault.get,
          account = config.account,
          shared_dict = "pace",
          requests_per_minute = 1,
          runtime = {
            time = function()
              return now
            end,
          },
        }):check { deadline = 5 },
      }
    end
    assert.is_true(results[1][1])
    return results[2][1] == nil and results[2][2].message_code == "no_time_for_pace"
  end

  it("have one pace where they name one account, and where they name none", function()
    assert.is_true(is_held_up({ id = "id-1", account = "ours" }, { id = "id-2", account = "ours" }))
    assert.is_true(is_held_up({ id = "id-1" }, { id = "id-2" }))
    assert.is_false(is_held_up({ id = "the-id", account = "ours" }, { id = "the-id", account = "theirs" }))
  end)
end)

describe("a journal of a client with credentials from a function", function()
  local folder, path

  before_each(function()
    folder = process.folder_in_memory()
    path = folder .. "/journal"
  end)

  after_each(function()
    process.output("rm -rf " .. process.quote(folder))
  end)

  -- An import of 40 contacts that stops after some, and then the same call by another client.
  local function resume(first_config, second_config)
    local box = box_of()
    local first = open(box, first_config.config)
    local made, problem = first:import(contacts_of(40), {
      journal = path,
      batch_size = 10,
      concurrency = 1,
      should_stop = function()
        return #box.requests >= 2
      end,
    })
    assert.is_nil(made)
    assert.are.equal("stopped_on_request", problem.message_code)
    local seen = problem.report.accepted
    assert.is_true(seen >= 20 and seen < 40)
    first:close()
    box:rotate(second_config.id, second_config.key)
    local before = #box.requests
    local report, failure = open(box, second_config.config):import(contacts_of(40), { journal = path, batch_size = 10 })
    return report, failure, #box.requests - before, box
  end

  it("goes on after the key has changed", function()
    local vault = vault_of("the-id", KEYS[2])
    local report, failure, sent, box = resume(
      { config = { credentials = vault_of().get } },
      { config = { credentials = vault.get }, id = "the-id", key = KEYS[2] }
    )
    assert.is_nil(failure)
    assert.are.equal(40, report.accepted)
    assert.are.equal(40, box:count())
    assert.is_true(sent <= 2)
  end)

  it("goes on after the id has changed, where account names the account", function()
    local vault = vault_of("new-id", KEYS[2])
    local report, failure, _, box = resume(
      { config = { credentials = vault_of().get, account = "ours" } },
      { config = { credentials = vault.get, account = "ours" }, id = "new-id", key = KEYS[2] }
    )
    assert.is_nil(failure)
    assert.are.equal(40, report.accepted)
    assert.are.equal(40, box:count())
  end)

  it("of a client with secret_id goes on where account is that id", function()
    local vault = vault_of("new-id", KEYS[2])
    local report, failure = resume(
      { config = {} },
      { config = { credentials = vault.get, account = "the-id" }, id = "new-id", key = KEYS[2] }
    )
    assert.is_nil(failure)
    assert.are.equal(40, report.accepted)
  end)

  it("is refused for another id without account, and for another account, before anything is sent", function()
    local vault = vault_of("new-id", KEYS[2])
    for _, accounts in ipairs { {}, { "ours", "theirs" }, { "ours" }, { nil, "theirs" } } do
      os.remove(path)
      local report, failure, sent = resume(
        { config = { credentials = vault_of().get, account = accounts[1] } },
        { config = { credentials = vault.get, account = accounts[2] }, id = "new-id", key = KEYS[2] }
      )
      assert.is_nil(report)
      assert.are.equal("journal", failure.kind)
      assert.are.equal("journal_other_options", failure.message_code)
      assert.is_truthy(failure.message:find("account", 1, true))
      assert.are.equal(0, sent)
    end
  end)

  it("is neither made nor changed where the function fails, and holds no key", function()
    local client = open(box_of(), {
      credentials = function()
        return nil, "sealed"
      end,
    })
    local report, problem = client:import(contacts_of(3), { journal = path })
    assert.is_nil(report)
    assert_failure(problem, "credentials_not_given")
    assert.is_nil(process.read_file(path))
    local vault = vault_of()
    assert(open(box_of(), { credentials = vault.get }):import(contacts_of(3), { journal = path }))
    assert.are.equal(1, vault.asked)
    assert.is_nil(process.read_file(path):find(KEYS[1], 1, true))
  end)

  it("is the same for account and secret_id, whose values are not in it", function()
    local api = memory_api.new()
    assert(memory_api.import(api, memory_api.contacts(3), { journal = path }, { secret_id = "other", account = "id" }))
    local text = process.read_file(path)
    os.remove(path)
    assert(memory_api.import(memory_api.new(), memory_api.contacts(3), { journal = path }))
    local function account_in(written)
      return written:match '"account":"(%x+)"'
    end
    assert.are.equal(32, #account_in(text))
    assert.are.equal(account_in(text), account_in(process.read_file(path)))
  end)
end)

describe("credentials that are given once", function()
  it("are named where the server refuses them", function()
    local _, problem = open(box_of(), { secret_key = KEYS[2] }):check()
    assert.are.equal("unauthorized", problem.kind)
    assert.is_truthy(problem.message:find("check secret_id, secret_key and this machine's clock", 1, true))
  end)
end)

describe("the examples of credentials", function()
  it("read a file that is replaced when the key changes", function()
    local folder = process.folder_in_memory()
    local path = folder .. "/credentials"
    local box = box_of()
    local client = open(box, { credentials = dofile("examples/credentials.lua").from_file(path) })
    local _, problem = client:check()
    assert_failure(problem, "credentials_not_given")
    process.write_file(path, "the-id\n" .. KEYS[1] .. "\n")
    assert.is_true(client:check())
    box:rotate("new-id", KEYS[2])
    process.write_file(path, "new-id\n" .. KEYS[2])
    assert.is_true(client:check())
    box:rotate("new-id", KEYS[3])
    process.write_file(path, "new-id")
    _, problem = client:check()
    assert.are.equal("unauthorized", problem.kind)
    _, problem = client:check()
    assert_failure(problem, "credentials_wrong")
    process.output("rm -rf " .. process.quote(folder))
  end)
end)
