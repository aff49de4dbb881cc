-- heymarket.system: clocks, files, terminals and signals, each against what another program sees.

local process = require "spec.support.process"
local system = require "heymarket.system"

-- The folder of the support files, wherever the tests are started from.
local here = debug.getinfo(1, "S").source:match "^@(.*)live/system_spec%.lua$" or "spec/"
local support = here .. "support/"

local quote, output_of, write_file = process.quote, process.output, process.write_file

local folder

setup(function()
  folder = output_of("mktemp -d"):match "%S+"
end)

teardown(function()
  os.execute("rm -rf " .. quote(folder))
end)

describe("the functions of heymarket.system", function()
  it("tell the time", function()
    local first = system.monotonic()
    system.sleep(0.02)
    assert.is_true(system.monotonic() - first >= 0.02)
    system.sleep(0)
    system.sleep(-1)
    assert.is_true(math.abs(system.time() - os.time()) < 2)
  end)

  it("give random numbers from 0 to below 1", function()
    local sum, seen = 0, {}
    for _ = 1, 1000 do
      local number = system.random()
      assert.is_true(number >= 0 and number < 1)
      assert.is_nil(seen[number])
      seen[number] = true
      sum = sum + number
    end
    assert.is_true(sum > 400 and sum < 600)
  end)

  it("know the process", function()
    assert.are.equal(tostring(system.pid()), output_of("echo $PPID"):match "%d+")
  end)

  it("sync and lock files", function()
    local path = folder .. "/locked"
    local first, second = assert(io.open(path, "w")), assert(io.open(path, "r"))
    assert.is_true(system.lock(first))
    local done, code = system.lock(second)
    assert.is_nil(done)
    assert.are.equal("in_use", code)
    first:write "text"
    assert.is_true(system.sync(first))
    assert.are.equal("text", second:read "*a")
    first:close()
    assert.is_true(system.lock(second))
    second:close()
    for _, name in ipairs { "sync", "lock", "isatty", "columns" } do
      assert.has_error(function()
        system[name](second)
      end)
      assert.has_error(function()
        system[name] {}
      end)
    end
    local unwritable = assert(io.open("/dev/full", "w"))
    unwritable:write "text"
    local synced, why, message = system.sync(unwritable)
    assert.is_nil(synced)
    assert.are.same({ "system", "No space left on device" }, { why, message })
    unwritable:close()
  end)

  local function mode(path)
    return output_of("stat -c %a " .. quote(path)):match "%d+"
  end

  it("make a file its owner's, and keep it from programs that are started", function()
    local path = folder .. "/guarded"
    write_file(path, "")
    os.execute("chmod 666 " .. quote(path))
    local file = assert(io.open(path, "a"))
    local inherited = "ls -l /proc/self/fd | grep -c " .. quote(path)
    assert.are.equal("1", output_of(inherited):match "%d+")
    assert.is_true(system.protect(file))
    assert.are.equal("600", mode(path))
    assert.are.equal("0", output_of(inherited):match "%d+")
    assert.is_true(system.protect(file))
    file:close()
    for _, odd in ipairs { "/dev/null", "/dev/full" } do
      file = assert(io.open(odd, "a"))
      local done, code, message = system.protect(file)
      assert.is_nil(done)
      assert.are.equal("not_regular", code)
      assert.is_nil(message)
      file:close()
    end
    assert.has_error(function()
      system.protect(file)
    end)
  end)

  it("keep a pipe from programs that are started, and leave it open here", function()
    local received = folder .. "/received"
    local pipe = assert(io.popen("cat >" .. quote(received), "w"))
    -- The pipes that a program has which os.execute starts. What io.popen starts never gets those of other calls.
    local function inherited()
      local listed = folder .. "/listed"
      os.execute("ls -l /proc/self/fd >" .. quote(listed))
      local file = assert(io.open(listed))
      local _, count = file:read("*a"):gsub("pipe:", "")
      file:close()
      return count
    end
    local before = inherited()
    assert.is_true(system.close_on_exec(pipe))
    assert.are.equal(before - 1, inherited())
    assert.is_true(pipe:write "text" and true)
    pipe:close()
    assert.are.equal("text", io.open(received):read "*a")
    assert.has_error(function()
      system.close_on_exec(pipe)
    end)
  end)

  it("prepare a file for its owner only, and wait for no pipe", function()
    local made, link = folder .. "/prepared", folder .. "/dangling"
    os.execute(("umask 0; ln -s %s %s; mkfifo %s"):format(quote(made), quote(link), quote(folder .. "/fifo")))
    assert.is_true(system.prepare(link))
    assert.are.equal("600", mode(made))
    write_file(made, "text")
    assert.is_true(system.prepare(made))
    assert.are.equal("4", output_of("stat -c %s " .. quote(made)):match "%d+")
    for _, odd in ipairs { folder .. "/fifo", folder, "/dev/null" } do
      local done, code = system.prepare(odd)
      assert.is_nil(done)
      assert.are.equal("not_regular", code, odd)
    end
    local done, code, message = system.prepare(folder .. "/none/file")
    assert.is_nil(done)
    assert.are.equal("system", code)
    assert.are.equal("No such file or directory", message)
  end)

  it("sync the directory of a file", function()
    assert.is_true(system.sync_directory(folder .. "/prepared"))
    assert.is_true(system.sync_directory(folder .. "/dangling"))
    local done, code, message = system.sync_directory(folder .. "/none/file")
    assert.is_nil(done)
    assert.are.same({ "system", "No such file or directory" }, { code, message })
  end)

  it("know the size of a file, and that its path is another one by now", function()
    local path = folder .. "/sized"
    local file = assert(io.open(path, "w"))
    file:setvbuf "no"
    file:write "12345"
    assert.are.equal(5, system.size(file, path))
    assert.is_true(system.truncate(file, 3))
    assert.are.equal(3, system.size(file, path))
    os.remove(path)
    local size, code = system.size(file, path)
    assert.is_nil(size)
    assert.are.equal("gone", code)
    write_file(path, "123")
    size, code = system.size(file, path)
    assert.is_nil(size)
    assert.are.equal("replaced", code)
    file:close()
    file = assert(io.open(path, "r"))
    local done, also, message = system.truncate(file, 1)
    assert.is_nil(done)
    assert.are.same({ "system", "Invalid argument" }, { also, message })
    file:close()
  end)

  it("recognise a file by its other names and links, and directories, pipes and devices", function()
    local path, hard, soft, loop = folder .. "/one", folder .. "/hard", folder .. "/soft", folder .. "/loop"
    write_file(path, "text")
    os.execute(("ln %s %s; ln -s %s %s; ln -s %s %s"):format(path, hard, path, soft, loop, loop))
    local identity, kind, link = system.identity(path)
    assert.are.same({ "file", false }, { kind, link })
    assert.are.same({ identity, "file", false }, { system.identity(hard) })
    assert.are.same({ identity, "file", true }, { system.identity(soft) })
    local file = assert(io.open(soft))
    assert.are.same({ identity, "file", false }, { system.identity(file) })
    file:close()
    assert.are.equal("directory", select(2, system.identity(folder)))
    assert.are.equal("pipe", select(2, system.identity(folder .. "/fifo")))
    assert.are.equal("device", select(2, system.identity "/dev/null"))
    assert.is_false(identity == system.identity(folder))
    local reasons =
      { [folder .. "/nothing"] = "No such file or directory", [loop] = "Too many levels of symbolic links" }
    for absent, reason in pairs(reasons) do
      assert.are.same({ nil, "system", reason }, { system.identity(absent) })
    end
  end)

  it("copy a file to where nothing is, for its owner only", function()
    local path, copy = folder .. "/original", folder .. "/the-copy"
    local content = ("0123456789abcdef"):rep(20000) .. "end"
    write_file(path, content)
    local file = assert(io.open(path, "a+"))
    file:write "\nmore"
    assert.is_true(system.copy(file, copy))
    local copied = assert(io.open(copy))
    assert.are.equal(content .. "\nmore", copied:read "*a")
    copied:close()
    assert.are.equal("600", mode(copy))
    os.execute(("ln -s %s/none-yet %s/bad-link"):format(folder, folder))
    for _, there in ipairs { copy, folder, folder .. "/fifo", folder .. "/bad-link" } do
      local done, code = system.copy(file, there)
      assert.is_nil(done)
      assert.are.equal("exists", code, there)
    end
    assert.is_nil(io.open(folder .. "/none-yet"))
    local done, code, message = system.copy(file, folder .. "/none/copy")
    assert.is_nil(done)
    assert.are.same({ "system", "No such file or directory" }, { code, message })
    file:close()
    -- Half a copy is not left behind.
    file = assert(io.open(folder))
    done, code = system.copy(file, folder .. "/half")
    assert.is_nil(done)
    assert.are.equal("system", code)
    assert.is_nil(io.open(folder .. "/half"))
    file:close()
  end)

  -- Linux refuses sendfile for files such as this one, as some file systems do for all of theirs.
  it("copy a file from which the system cannot send", function()
    local path, copy = "/proc/self/auxv", folder .. "/unsendable"
    local file = assert(io.open(path, "rb"))
    local content = file:read "*a"
    assert.are.same({ true }, { system.copy(file, copy) })
    file:close()
    local copied = assert(io.open(copy, "rb"))
    assert.is_true(#content > 0)
    assert.are.equal(content, copied:read "*a")
    copied:close()
  end)

  it("tell and set the nanoseconds of a file's time of change", function()
    local path = folder .. "/stamped"
    local file = assert(io.open(path, "w"))
    for _, wanted in ipairs { 0, 1, 123456789, 999999999 } do
      file:write "x"
      assert.is_true(system.nanoseconds(file, wanted))
      assert.are.equal(wanted, system.nanoseconds(file))
      local program = "import os,sys,time; s = os.stat(sys.argv[1]).st_mtime_ns; "
        .. "print(s % 10**9, abs(s // 10**9 - time.time()) < 60)"
      assert.are.equal(
        ("%d True\n"):format(wanted),
        output_of(("/usr/bin/env python3 -c %s %s"):format(quote(program), quote(path)))
      )
    end
    assert.has_error(function()
      system.nanoseconds(file, 1000000000)
    end)
    assert.has_error(function()
      system.nanoseconds(file, -1)
    end)
    file:close()
    assert.has_error(function()
      system.nanoseconds(file)
    end)
  end)

  it("see that a file is no terminal", function()
    local file = assert(io.open(folder .. "/plain", "w"))
    assert.is_false(system.isatty(file))
    assert.is_nil(system.columns(file))
    file:close()
  end)

  local function run(script, before)
    write_file(folder .. "/script.lua", script)
    return output_of(
      ("LUA_PATH=%s LUA_CPATH=%s %s %s %s/script.lua 2>&1; echo exit $?"):format(
        quote(package.path),
        quote(package.cpath),
        before or "",
        process.interpreter(),
        quote(folder)
      )
    )
  end

  it("see a terminal", function()
    write_file(
      folder .. "/terminal.lua",
      'local system = require "heymarket.system"\nprint(system.isatty(io.stdout), system.columns(io.stdout))\n'
    )
    local text = output_of(
      ("LUA_PATH=%s LUA_CPATH=%s python3 %score_terminal.py %s %s/terminal.lua"):format(
        quote(package.path),
        quote(package.cpath),
        support,
        process.interpreter(),
        quote(folder)
      )
    )
    assert.truthy(text:find "true%s+77")
  end)

  it("count interrupts, restore the former handlers, and let the second Ctrl-C end the process", function()
    local text = run [[
      local system = require "heymarket.system"
      local function kill(signal)
        io.popen(("kill -%s %d"):format(signal, system.pid())):close()
        system.sleep(0.01)
      end
      print(system.interrupts())
      kill "TERM"
      kill "TERM"
      print(system.interrupts())
      kill "INT"
      print(system.interrupts())
      print(system.interrupts "restore", system.interrupts "restore")
      print(system.interrupts())
      kill "INT"
      print(system.interrupts())
      io.stdout:flush()
      kill "INT"
      print "not reached"
    ]]
    assert.are.equal("0\n2\n3\n3\t3\n0\n1\nexit 130\n", text)
    text = run [[
      local system = require "heymarket.system"
      system.interrupts()
      system.interrupts "restore"
      io.popen(("kill -TERM %d"):format(system.pid())):close()
      print "not reached"
    ]]
    assert.truthy(text:find "exit 143\n$")
    assert.is_nil(text:find("not reached", 1, true))
  end)

  it("watch for the end of the terminal, unless that is ignored already", function()
    local script = [[
      local system = require "heymarket.system"
      system.interrupts()
      io.popen(("kill -HUP %d"):format(system.pid())):close()
      system.sleep(0.01)
      print(system.interrupts())
      system.interrupts "restore"
      io.stdout:flush()
      io.popen(("kill -HUP %d"):format(system.pid())):close()
      print "still there"
    ]]
    local text = run(script, "env --default-signal=HUP")
    assert.truthy(text:find "^1\n")
    assert.truthy(text:find "exit 129\n$")
    assert.is_nil(text:find("still", 1, true))
    assert.are.equal("0\nstill there\nexit 0\n", run(script, "env --ignore-signal=HUP"))
  end)

  it("wake a sleep and a wait when a signal comes", function()
    local text = run [[
      local core = require "heymarket.core"
      local system = require "heymarket.system"
      system.interrupts()
      local function killed_soon()
        return io.popen(("sleep 0.2; kill -TERM %d"):format(system.pid()))
      end
      local before = system.monotonic()
      local killer = killed_soon()
      system.sleep(100)
      killer:close()
      local pool = core.pool {}
      killer = killed_soon()
      pool:wait(100)
      killer:close()
      assert(pool:start("GET", "http://127.0.0.1:1/", {}, nil, 1, 1))
      repeat until pool:perform() == 0
      killer = killed_soon()
      pool:wait(100)
      killer:close()
      print(system.monotonic() - before < 90, system.interrupts())
    ]]
    assert.are.equal("true\t3\nexit 0\n", text)
  end)
end)
