-- The core in trouble: finalizers that run in the middle of its calls, forked children, programs that are started,
-- signals, variables of the environment, and memory that runs out.
local contact_fields = require "heymarket.contact.fields"
local loop = require "heymarket.loop"
local core = require "heymarket.core"
local process = require "spec.support.process"
local rows = require "heymarket.rows"
local server = require "spec.support.server"
local system = require "heymarket.system"
local transport = require "heymarket.http.transport"

local quote, output_of = process.quote, process.output

local RUN = os.getenv "HEYMARKET_TEST_RUN"
local here = debug.getinfo(1, "S").source:match "^@(.*)live/core_trouble_spec%.lua$" or "spec/"
local support = here .. "support/"

local folder, pipe, ports, forks

local function compile(name)
  local library = ("%s/%s.so"):format(folder, name)
  local made = os.execute(("cc -shared -fPIC -o %s %s%s.c"):format(quote(library), support, name))
  assert(made == true or made == 0, name .. " could not be compiled")
  return library
end

setup(function()
  folder = server.folder()
  server.certificate(folder)
  local certificate, key = quote(folder .. "/certificate.pem"), quote(folder .. "/key.pem")
  pipe = assert(io.popen(("exec python3 %score_server.py %s %s"):format(support, certificate, key), "r"))
  local line = assert(pipe:read "*l", "the server did not start")
  ports = {}
  local names = "plain reset full refused tls tls12 eager_tls eager_tls12 eager_plain pid"
  local numbers = line:gmatch "%d+"
  for name in names:gmatch "%S+" do
    ports[name] = assert(numbers(), line)
  end
  forks = assert(package.loadlib(compile "core_fork", "luaopen_core_fork"))()
end)

teardown(function()
  os.execute("kill " .. ports.pid)
  pipe:close()
  server.remove(folder)
end)

local function collect_all()
  collectgarbage()
  collectgarbage()
end

after_each(function()
  collect_all()
  assert.are.same({ signers = 0, pools = 0, transfers = 0 }, core.open_handles())
end)

local function url(path)
  return ("http://127.0.0.1:%s%s"):format(ports.plain, path)
end

local function start(pool, path, body)
  return assert(pool:start(body and "POST" or "GET", url(path), {}, body, 30, 30))
end

local function finish(pool)
  while pool:perform() > 0 do
    pool:wait(1)
  end
end

local function fetch(pool, path, body)
  start(pool, path, body)
  finish(pool)
  return assert(pool:take())
end

local unpack = rawget(_G, "unpack") or rawget(table, "unpack")
local WIDE = {}
for i = 1, 200 do
  WIDE[i] = i
end

local function pack(...)
  return select("#", ...), { ... }
end

-- Calls a function, and an action from a finalizer that runs at the first allocation in it. Gives whether the action
-- ran in the middle, and what the call gave.
local function with_finalizer(action, call, ...)
  local inside, ran = false, false
  local function finalizer()
    ran = inside
    action()
  end
  collect_all()
  collectgarbage "stop"
  local newproxy = rawget(_G, "newproxy") -- of Lua 5.1
  if newproxy then
    getmetatable(newproxy(true)).__gc = finalizer
  else
    setmetatable({}, { __gc = finalizer })
  end
  local former
  if _VERSION == "Lua 5.4" then
    former = collectgarbage("incremental", 0, 1000, 30)
  else
    collectgarbage("setpause", 0)
    collectgarbage("setstepmul", 1000000)
  end
  -- A stack that has to grow collects garbage, too, before the call has done anything.
  pack(unpack(WIDE, 1, 200))
  collectgarbage "restart"
  inside = true
  -- What is allocated after the call, as by `pack`, is not in the middle of it.
  local function after(...)
    inside = false
    return ...
  end
  local count, results = pack(after(pcall(call, ...)))
  if _VERSION == "Lua 5.4" then
    collectgarbage(former, 200, 100, 13)
  else
    collectgarbage("setpause", 200)
    collectgarbage("setstepmul", 200)
  end
  collect_all()
  return ran, unpack(results, 1, count)
end

describe("a finalizer in the middle of a call", function()
  -- Not every Lua runs finalizers at every allocation; each of these must be met in some of the rounds.
  local function rounds(one)
    local met = 0
    for number = 1, 30 do
      met = met + (one(number) and 1 or 0)
    end
    assert.is_true(met > 0, "no finalizer ran in the middle")
  end

  it("may close the pool whose result is taken", function()
    rounds(function(number)
      local pool = core.pool {}
      start(pool, "/length/" .. number * 100)
      start(pool, "/length/10")
      finish(pool)
      local ran, ok, result = with_finalizer(function()
        pool:close()
      end, pool.take, pool)
      if ok and result then
        assert.are.equal(200, result.status)
        assert.are.equal(("x"):rep(#result.body), result.body)
      end
      pool:close()
      return ran
    end)
  end)

  it("may take results itself: none comes twice", function()
    rounds(function()
      local pool, seen = core.pool {}, {}
      for _ = 1, 3 do
        seen[start(pool, "/length/100")] = 0
      end
      finish(pool)
      local function count(result)
        if result then
          seen[result.id] = seen[result.id] + 1
        end
      end
      local ran, ok, result = with_finalizer(function()
        count(pool:take())
      end, pool.take, pool)
      assert.is_true(ok)
      count(result)
      count(pool:take())
      count(pool:take())
      for _, times in pairs(seen) do
        assert.are.equal(1, times)
      end
      pool:close()
      return ran
    end)
  end)

  it("may close the pool that starts a request", function()
    rounds(function()
      local pool = core.pool {}
      -- Numbers are turned into strings, which allocates.
      local ran, ok, id, code = with_finalizer(function()
        pool:close()
      end, pool.start, pool, "POST", url "/echo", { "A: b" }, 123456789.25, 30, 30)
      if ran and ok then
        assert.is_nil(id)
        assert.are.equal("ABORTED_BY_CALLBACK", code)
      end
      pool:close()
      return ran
    end)
  end)

  it("may close the signer that signs", function()
    rounds(function(number)
      local signer = core.signer(("i"):rep(1000 + number), "key")
      local token = signer:sign(5)
      local ran, ok, given = with_finalizer(function()
        signer:close()
      end, signer.sign, signer, 5)
      if ok then
        assert.are.equal(token, given)
      else
        assert.truthy(tostring(given):find("closed", 1, true))
      end
      signer:close()
      return ran
    end)
  end)

  it("may take the phone out of the contact that is written", function()
    rounds(function(number)
      local phone = ("1202555%04d"):format(number)
      local fields = { phone = "1202555" .. ("%04d"):format(number), first = ("f"):rep(200) }
      local ran, ok, body, given = with_finalizer(function()
        fields.phone = nil
        collect_all()
      end, rows.encoder(contact_fields), fields)
      assert.is_true(ok)
      if body then
        assert.are.equal(phone, given)
        assert.is_truthy(body:find(phone, 1, true))
      else
        assert.are.equal("required", given[1].code)
      end
      return ran
    end)
  end)
end)

describe("a transport", function()
  local runtime = { sleep = system.sleep, monotonic = system.monotonic }

  local function request(path, ended)
    return {
      method = "POST",
      url = url(path),
      body = "x",
      timeout = 30,
      connect_timeout = 30,
      ended = ended,
    }
  end

  -- Waits until so many results have come, and gives them. The bound is for a broken transport.
  local function receive(carrier, completions, count)
    local results = {}
    for _ = 1, 3000 do
      while completions:length() > 0 do
        results[#results + 1] = assert(completions:shift())
      end
      if #results == count then
        return results
      end
      carrier:wait(completions, 0.01)
    end
    error(("%d of %d results came"):format(#results, count))
  end

  it("hands over each result once, whoever closes it and when", function()
    for number = 1, 30 do
      local carrier = transport.new({}, runtime)
      local completions, ended, started = carrier:completions(), 0, 0
      local function on_end()
        ended = ended + 1
        if ended == number % 7 then
          carrier:close()
        end
      end
      for _ = 1, 6 do
        local one = request("/length/10", on_end)
        local _, ok, began, code = with_finalizer(function()
          if number % 3 == 0 and started == 3 then
            carrier:close()
          end
        end, carrier.start, carrier, one, completions, {})
        assert.is_true(ok, tostring(began))
        if began then
          started = started + 1
        else
          assert.are.equal("ABORTED_BY_CALLBACK", code)
        end
      end
      local results = receive(carrier, completions, started)
      assert.are.equal(started, ended)
      for _, result in ipairs(results) do
        assert.is_true(result.status == 200 or result.code == "ABORTED_BY_CALLBACK", result.code)
        assert.are.equal("POST", result.request.method)
      end
      carrier:close()
      assert.are.equal(ended, started)
    end
  end)

  it("is closed by a finalizer while it hands results over", function()
    for _ = 1, 30 do
      local carrier = transport.new({}, runtime)
      local completions, ended = carrier:completions(), 0
      for _ = 1, 6 do
        assert(carrier:start(
          request("/length/3000", function()
            ended = ended + 1
          end),
          completions,
          {}
        ))
      end
      system.sleep(0.05)
      local mailbox = loop.here().mailbox(carrier, completions)
      local _, ok, problem = with_finalizer(function()
        carrier:close()
      end, mailbox.pump, mailbox)
      assert.is_true(ok, tostring(problem))
      receive(carrier, completions, 6)
      assert.are.equal(6, ended)
    end
  end)

  it("frees the results that have come and that nobody has looked for when it is closed", function()
    local function wait(_, seconds)
      system.sleep(seconds)
    end
    local carrier = transport.new({ loop = { wait = wait } }, runtime)
    local completions = carrier:completions()
    for _ = 1, 3 do
      assert(carrier:start(request("/length/10", function() end), completions, {}))
    end
    system.sleep(0.2)
    carrier:close()
    assert.are.equal(0, core.open_handles().transfers)
    assert.are.equal(3, #receive(carrier, completions, 3))
  end)

  it("hands over every result when it is closed, also where a callback raises an error", function()
    local carrier = transport.new({}, runtime)
    local completions = carrier:completions()
    for number = 1, 4 do
      assert(carrier:start(
        request("/slow", function()
          if number % 2 == 0 then
            error "not today"
          end
        end),
        completions,
        {}
      ))
    end
    carrier:close()
    assert.are.equal(4, #receive(carrier, completions, 4))
  end)
end)

describe("a forked child", function()
  it("does not close inherited descriptors by number", function()
    local pool = core.pool {}
    fetch(pool, "/echo")
    start(pool, "/slow")
    pool:perform()
    local child = forks.fork()
    if child == 0 then
      local fine, problem = pcall(function()
        -- The child closes what it does not know, and other files take the numbers.
        local taken = {}
        for descriptor = 3, 200 do
          if forks.is_open(descriptor) == 1 then
            assert(forks.replace(descriptor) == descriptor)
            taken[#taken + 1] = descriptor
          end
        end
        assert(#taken >= 3)
        pool:close()
        pool = nil
        collect_all()
        for _, descriptor in ipairs(taken) do
          assert(forks.is_open(descriptor) == 1, "a file of the child was closed")
        end
      end)
      if not fine then
        io.stderr:write(tostring(problem), "\n")
      end
      forks.exit(fine and 0 or 1)
    end
    assert.are.equal(0, forks.wait(child))
    finish(pool)
    assert.are.equal("slow", pool:take().body)
    pool:close()
  end)

  it("leaves no descriptor of its own open", function()
    local pool = core.pool {}
    fetch(pool, "/echo")
    local child = forks.fork()
    if child == 0 then
      local fine = pcall(function()
        local function count()
          local open = 0
          for descriptor = 0, 500 do
            open = open + forks.is_open(descriptor)
          end
          return open
        end
        pool:running() -- what was inherited is dropped now
        local before = count()
        for _ = 1, 3 do
          assert(fetch(pool, "/echo").status == 200)
          local other = core.pool {}
          assert(fetch(other, "/echo").status == 200)
          other:close()
        end
        pool:close()
        assert(count() == before)
      end)
      forks.exit(fine and 0 or 1)
    end
    assert.are.equal(0, forks.wait(child))
    pool:close()
  end)
end)

describe("a program that is started", function()
  it("inherits no socket", function()
    local function inherited()
      local count = 0
      for name in output_of("ls -l /proc/self/fd"):gmatch "%-> ([^\n]*)" do
        count = count + ((name:find "^socket:" or name:find "eventpoll") and 1 or 0)
      end
      return count
    end
    local before = inherited()
    local pool = core.pool { ca_file = folder .. "/certificate.pem" }
    fetch(pool, "/echo")
    assert(pool:start("GET", ("https://127.0.0.1:%s/echo"):format(ports.tls), {}, nil, 30, 30))
    finish(pool)
    assert.are.equal(200, pool:take().status)
    start(pool, "/slow")
    pool:perform()
    assert.are.equal(before, inherited())
    pool:close()
  end)
end)

-- Runs a script in a process of its own, with variables set.
local function run(script, environment, arguments)
  local path = folder .. "/script.lua"
  local file = assert(io.open(path, "wb"))
  file:write(script)
  file:close()
  local first = 0
  while _G.arg[first - 1] do
    first = first - 1
  end
  local words = {}
  for _, argument in ipairs(arguments or {}) do
    words[#words + 1] = quote(argument)
  end
  return output_of(
    ("env %s LUA_PATH=%s LUA_CPATH=%s %s %s %s 2>&1; echo exit $?"):format(
      environment or "",
      quote(package.path),
      quote(package.cpath),
      _G.arg[first],
      quote(path),
      table.concat(words, " ")
    )
  )
end

local FETCH = [[
  local core = require "heymarket.core"
  local system = require "heymarket.system"
  function fetch(method, url, body, options)
    local pool = core.pool(options or {})
    assert(pool:start(method, url, {}, body, 30, 30))
    while pool:perform() > 0 do
      pool:wait(1)
    end
    local result = pool:take()
    pool:close()
    return result
  end
]]

describe("the environment", function()
  it("gives no proxy to plain http, and no password to any request", function()
    local netrc = assert(io.open(folder .. "/.netrc", "wb"))
    netrc:write "default login the-user password the-password\n"
    netrc:close()
    local text = run(
      FETCH
        .. [[
        local result = fetch("GET", ...)
        print(result.code, result.status, (result.body:lower():find("authorization", 1, true)))
      ]],
      ("HOME=%s http_proxy=http://127.0.0.1:%s ALL_PROXY=http://127.0.0.1:%s"):format(
        quote(folder),
        ports.refused,
        ports.refused
      ),
      { url "/echo" }
    )
    assert.are.equal("nil\t200\tnil\nexit 0\n", text)
  end)
end)

describe("SIGPIPE", function()
  it("does not end the process when a connection breaks, and is as before afterwards", function()
    local text = run(FETCH .. [[
        for _, target in ipairs { ... } do
          for _ = 1, 5 do
            local certificate = arg[0]:gsub("script.lua$", "certificate.pem")
            local result = fetch("POST", target, ("x"):rep(3000000), { ca_file = certificate })
            assert(result.code or result.status >= 400)
          end
        end
        print "alive"
        io.stdout:flush()
        io.popen("kill -PIPE $PPID"):close()
        system.sleep(5)
        print "not reached"
      ]], "--default-signal=PIPE", {
      ("http://127.0.0.1:%s/"):format(ports.reset),
      url "/early/413",
      ("https://127.0.0.1:%s/early/413"):format(ports.tls),
    })
    assert.are.equal("alive\nexit 141\n", text)
  end)
end)

describe("memory that runs out", function()
  -- LuaJIT has an allocator of its own, which cannot be made to fail, and the sanitizers and valgrind have theirs. The
  -- core is the same under each Lua.
  if rawget(_G, "jit") or RUN == "asan" or RUN == "valgrind" then
    return
  end

  -- Of several failures in a row one may hit Lua 5.2 where nothing is protected, and that ends its interpreter.
  local several = _VERSION ~= "Lua 5.2" and 5 or nil
  for way, runs in pairs { plain = { 1, several }, tls = { 1 }, thread = { 1 } } do
    for _, in_a_row in ipairs(runs) do
      it(("never crashes and reports no wrong outcome: over %s, %d failures in a row"):format(way, in_a_row), function()
        local library = compile "fail_malloc"
        local target = way ~= "tls" and url "/echo" or ("https://127.0.0.1:%s/echo"):format(ports.tls)
        local script = assert(io.open(support .. "core_memory.lua", "rb"))
        local text = run(
          script:read "*a",
          "LD_PRELOAD=" .. quote(library),
          { library, target, folder .. "/certificate.pem", tostring(in_a_row), way }
        )
        script:close()
        local rounds = text:match "^rounds (%d+)\nexit 0\n$"
        assert.truthy(rounds, text)
        assert.is_true(tonumber(rounds) > 100, text)
      end)
    end
  end
end)
