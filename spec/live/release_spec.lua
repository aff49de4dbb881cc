-- tools/release.lua, in a repository of its own that holds a copy of this tree.

local process = require "spec.support.process"

local quote = process.quote

describe("make release", function()
  local folder

  -- What a command prints in the copy, and its exit code.
  local function run(command)
    local said = process.output(("cd %s && { %s; } 2>&1 </dev/null; echo exit $?"):format(quote(folder), command))
    local text, code = said:match "^(.*)exit (%d+)\n$"
    return text, tonumber(code)
  end

  local function commit()
    local said, code = run "git add -A && git -c user.name=a -c user.email=a@b.invalid commit -q -m x"
    assert.equal(0, code, said)
  end

  local function release(arguments)
    return run("env -u MAKEFLAGS -u MAKELEVEL make release " .. arguments)
  end

  local function edit(path, pattern, replacement)
    local text, count = process.read_file(folder .. "/" .. path):gsub(pattern, replacement, 1)
    assert.equal(1, count)
    process.write_file(folder .. "/" .. path, text)
  end

  before_each(function()
    folder = process.output("mktemp -d"):match "%S+"
    local files = ".ci .gitignore *.md *.rockspec LICENSE Makefile csrc debian doc lua rockspecs tools "
    os.execute("cp -R " .. files .. quote(folder))
    assert.equal("", (run "git init -q ."))
    commit()
  end)

  after_each(function()
    os.execute("rm -rf " .. quote(folder))
  end)

  it("refuses what is no version", function()
    for _, given in ipairs { "", "VERSION=1.2", "VERSION=v1.2.3", "VERSION=1.2.3-1" } do
      local text, code = release(given)
      assert.equal(2, code)
      assert.is_truthy(text:find("give the version as three numbers", 1, true), text)
    end
  end)

  it("says of each file that it does not have this version, and changes nothing", function()
    local text, code = release "VERSION=7.8.9"
    assert.equal(2, code) -- make's own
    for _, place in ipairs { "the version in lua/heymarket/runtime.lua", "CHANGELOG.md", "debian/changelog" } do
      assert.is_truthy(text:find("not ok " .. place, 1, true), text)
    end
    assert.equal("", (run "git status --porcelain"))
  end)

  it("writes no version that CHANGELOG.md says nothing about", function()
    local text = release "VERSION=7.8.9 WRITE=1"
    assert.is_truthy(text:find("CHANGELOG.md has no section for 7.8.9", 1, true), text)
    assert.equal("", (run "git status --porcelain"))
  end)

  it("writes one version into all files, and then finds all that a release needs", function()
    edit("CHANGELOG.md", "\n## ", "\n## 7.8.9 (not released)\n\nNew.\n\n## ")
    edit("tools/source.lua", "url = nil", 'url = "git+https://one.invalid/heymarket.git"')
    edit("debian/control", "<[^>]*>", "<somebody@one.example.org>")
    local text, code = release "VERSION=7.8.9 WRITE=1"
    assert.equal(0, code, text)
    assert.is_truthy(release("VERSION=7.8.9"):find("not ok nothing is uncommitted", 1, true))
    commit()
    text, code = release "VERSION=7.8.9"
    assert.equal(0, code, text)
    assert.is_nil(text:find("not ok", 1, true))
    assert.equal("7.8.9\n", (run [[lua5.4 -e 'dofile "heymarket-7.8.9-1.rockspec" print(source.tag:sub(2))']]))
    local runtime = process.read_file(folder .. "/lua/heymarket/runtime.lua")
    assert.is_truthy(runtime:find('VERSION = "7.8.9"', 1, true))
    assert.equal("7.8.9-1\n", (run "dpkg-parsechangelog -S Version"))
    assert.equal("", (run "ls *.rockspec | grep -vF 7.8.9")) -- those of the old version are gone
    assert.equal("", (run "git tag; git status --porcelain"))
    -- Each rock holds its rockspec and the sources.
    for _, name in ipairs { "heymarket", "heymarket-cli", "heymarket-phonenumber" } do
      local listed = run(("unzip -l build/release/%s-7.8.9-1.src.rock"):format(name))
      assert.is_truthy(listed:find(" " .. name .. "-7.8.9-1.rockspec\n", 1, true), listed)
      assert.is_truthy(listed:find(" heymarket/lua/heymarket/init.lua\n", 1, true), listed)
    end
    run "git tag v7.8.9"
    assert.is_truthy(release("VERSION=7.8.9"):find("not ok there is no tag v7.8.9", 1, true))
  end)
end)
