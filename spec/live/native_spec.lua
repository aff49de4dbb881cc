-- The three modules in C: what each links, and what loads libcurl.

local process = require "spec.support.process"

local quote = process.quote

-- The libraries that a module of ours links, their own ones included.
local function libraries_of(module)
  local path
  for template in package.cpath:gmatch "[^;]+" do
    local candidate = template:gsub("%?", "heymarket/" .. module)
    path = path or process.read_file(candidate) and candidate
  end
  assert(path, "no module " .. module)
  local listed = process.output("ldd " .. quote(path))
  assert.truthy(listed:find("libc.so", 1, true), listed)
  return listed
end

local function links(module, library)
  return libraries_of(module):find(library, 1, true) ~= nil
end

-- Runs Lua code in a process of its own, and says whether libcurl is mapped there at its end.
local function loads_libcurl(code)
  local script = code
    .. [[

local maps = assert(io.open "/proc/self/maps"):read "*a"
assert(maps:find("heymarket/system.so", 1, true), "system.so is not loaded")
io.stdout:write("\nlibcurl ", tostring(maps:find("libcurl", 1, true) ~= nil), "\n")]]
  return process.with_file(script, function(path)
    local printed = process.output(
      ("LUA_PATH=%s LUA_CPATH=%s %s %s 2>&1"):format(
        quote(package.path),
        quote(package.cpath),
        quote(os.getenv "HEYMARKET_TEST_LUA"),
        quote(path)
      )
    )
    local loaded = printed:match "\nlibcurl (%l+)\n$"
    assert(loaded, printed)
    return loaded == "true"
  end)
end

local function command(...)
  local arguments = {}
  for i, argument in ipairs { ... } do
    arguments[i] = ("%q"):format(argument)
  end
  return ('assert(require "heymarket.cli".main { %s } == 0)'):format(table.concat(arguments, ", "))
end

describe("of the modules in C", function()
  it("only heymarket.core links libcurl", function()
    assert.is_true(links("core", "libcurl"))
    assert.is_false(links("rows", "libcurl"))
    assert.is_false(links("system", "libcurl"))
  end)

  it("heymarket.system links nothing but the C library", function()
    assert.is_false(links("system", "libsodium"))
    assert.is_true(links("core", "libsodium"))
  end)
end)

describe("libcurl", function()
  it("is loaded by a client", function()
    assert.is_true(loads_libcurl [[
      local heymarket = require "heymarket"
      assert(heymarket.new { secret_id = "id", secret_key = "key" }):close()
    ]])
  end)

  it("is not loaded where a contact is checked", function()
    assert.is_false(loads_libcurl [[
      assert(require("heymarket").contact { phone = "12025550123" })
    ]])
  end)

  it("is not loaded by --version and --help", function()
    assert.is_false(loads_libcurl('require "heymarket.system"\n' .. command "--version"))
    assert.is_false(loads_libcurl('require "heymarket.system"\n' .. command "--help"))
  end)

  it("is not loaded by import --dry-run", function()
    process.with_file("phone\n12025550123\n", function(path)
      assert.is_false(loads_libcurl(command("import", "--dry-run", path)))
    end)
  end)
end)

describe("the command of the tree", function()
  -- The only folder of PATH has Lua and nothing else, so each other program that the command starts is missing.
  local function run_alone(how)
    local folder, root = process.folder_in_memory(), process.output("pwd"):match "[^\n]+"
    process.output(('ln -s "$(command -v lua5.4)" %s/lua5.4'):format(quote(folder)))
    local printed = process.output(("PATH=%s; %s 2>&1"):format(quote(folder), how:gsub("ROOT", quote(root))))
    process.output("rm -rf " .. quote(folder))
    return printed
  end

  it("starts no program but Lua", function()
    assert.truthy(run_alone("ROOT/build/bin/heymarket --version"):find "^heymarket %d[^\n]*\n$")
  end)

  it("finds its tree from each folder", function()
    assert.truthy(run_alone("cd ROOT/build/bin && ./heymarket --version"):find "^heymarket %d[^\n]*\n$")
    assert.truthy(run_alone("cd ROOT/build && bin/heymarket --version"):find "^heymarket %d[^\n]*\n$")
  end)

  it("finds its tree through a link", function()
    local folder = process.folder_in_memory()
    local link = quote(folder .. "/linked")
    process.output(('ln -s "$PWD/build/bin/heymarket" %s'):format(link))
    assert.truthy(process.output(link .. " --version"):find "^heymarket %d[^\n]*\n$")
    process.output("rm -rf " .. quote(folder))
  end)
end)
