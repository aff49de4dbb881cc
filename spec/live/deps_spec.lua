-- Which targets of the Makefile install Debian packages, and what the others say where one is missing.

local process = require "spec.support.process"

local quote = process.quote

describe("a Debian package that is missing", function()
  local folder

  -- In this world no package is installed, and apt-get only notes how it was called.
  local function stub(name, text)
    process.write_file(folder .. "/" .. name, "#!/bin/sh\n" .. text .. "\n")
    os.execute("chmod +x " .. quote(folder .. "/" .. name))
  end

  before_each(function()
    folder = process.output("mktemp -d"):match "%S+"
    stub("dpkg-query", "exit 1")
    stub("apt-get", 'echo "$*" >>' .. quote(folder .. "/calls") .. "\nexit 1")
    stub("id", "echo 0")
  end)

  after_each(function()
    os.execute("rm -r " .. quote(folder))
  end)

  -- What make prints, its exit code, and the calls of apt-get. It runs in a copy, so that no build is touched.
  local function make(target)
    os.execute(("mkdir -p %s/tree && cp -R Makefile .ci csrc %s/tree"):format(quote(folder), quote(folder)))
    local command = 'cd %s/tree && env -u MAKEFLAGS -u MAKELEVEL PATH=%s:"$PATH" make %s 2>&1 </dev/null; echo exit $?'
    local said = process.output(command:format(quote(folder), quote(folder), target))
    local text, code = said:match "^(.*)exit (%d+)\n$"
    return text, tonumber(code), process.read_file(folder .. "/calls")
  end

  -- Each target, and the first package that it needs and that is no command which this machine may have.
  local only_named = {
    build = "libc6-dev",
    install = "libc6-dev",
    bench = "libc6-dev",
    fuzz = "libc6-dev",
    soak = "libc6-dev",
    coverage = "libc6-dev",
    lint = "lua5.4",
    doc = "lua5.4",
    format = "lua5.4",
    check = "lua5.4",
  }
  for target, package in pairs(only_named) do
    it("is named by make " .. target .. ", with the command that installs it, and not installed", function()
      local text, code, calls = make(target)
      assert.equal(2, code)
      assert.is_truthy((text:match "Missing Debian packages: ([^\n]*)" .. " "):find(package .. " ", 1, true))
      assert.is_truthy(text:find("`make deps` installs", 1, true))
      assert.is_nil(calls)
    end)
  end

  it("is not asked for where LUAS names no Lua: that is said first", function()
    for _, luas in ipairs { "luajit", '"5.1 luajit"' } do
      local text, code, calls = make("install LUAS=" .. luas)
      assert.equal(2, code)
      assert.is_truthy(text:find("LUAS=luajit: not one of 5.1 5.2 5.3 5.4 jit (jit is LuaJIT)", 1, true), text)
      assert.is_nil(text:find("Missing", 1, true))
      assert.is_nil(calls)
    end
  end)

  for _, target in ipairs { "demo", "test", "deps", "deps-build" } do
    it("is installed by make " .. target, function()
      local text, code, calls = make(target)
      assert.matches("install [^\n]*libc6%-dev", calls)
      assert.equal(2, code) -- since this apt-get has installed nothing
      assert.matches("apt%-get could not install packages", text)
    end)
  end

  it("is left alone where a command of its name came some other way", function()
    stub("something", "exit 0")
    local command = 'PATH=%s:"$PATH" .ci/deps %s something=some-package; echo $?'
    for _, mode in ipairs { "check", "install" } do
      assert.equal("0\n", process.output(command:format(quote(folder), mode)))
    end
  end)
end)

describe("the workflow for GitHub, which runs elsewhere", function()
  it("calls only targets that the Makefile has", function()
    local makefile, count = "\n" .. process.read_file "Makefile", 0
    for target in process.read_file(".github/workflows/checks.yml"):gmatch "run: make ([%w-]+)" do
      count = count + 1
      assert.is_truthy(makefile:find("\n" .. target .. ":", 1, true), target)
    end
    assert.is_true(count >= 5)
  end)
end)

describe("make test", function()
  it("names the spec that is meant where SPECS has a file that is not there, before it builds", function()
    local said = process.output "env -u MAKEFLAGS -u MAKELEVEL make test SPECS=spec/fifo.lua 2>&1 </dev/null"
    assert.is_truthy(said:find("spec/fifo.lua is not there; did you mean spec/fifo_spec.lua?", 1, true), said)
    assert.is_nil(said:find("build:", 1, true))
  end)
end)

describe("busted", function()
  it("says how to build the C modules where they are missing", function()
    local folder = process.output("mktemp -d"):match "%S+"
    os.execute("cp .busted " .. quote(folder))
    local said = process.output(
      ("cd %s && env -u HEYMARKET_TEST_RUN lua5.4 -e 'print(pcall(dofile, \".busted\"))' 2>&1"):format(quote(folder))
    )
    os.execute("rm -r " .. quote(folder))
    assert.are.equal("The C modules for Lua 5.4 are not built: `make build LUAS=5.4`\n", said)
  end)
end)
