--- Prepares a release from one version number. It never tags and never pushes.
---
---   lua5.4 tools/release.lua VERSION          says what is not ready, and makes the rocks of HEAD in build/release
---   lua5.4 tools/release.lua VERSION write    writes the version into the files that have it, to be committed
---
--- The version stands in runtime.lua, the rockspecs, CHANGELOG.md and debian/changelog. The address of the
--- sources stands in tools/source.lua. It prints `ok` or `not ok` for each check, and ends with 1 where one is not ok.
local version, mode = arg[1], arg[2]

local RUNTIME, CHANGES, DEBIAN = "lua/heymarket/runtime.lua", "CHANGELOG.md", "debian/changelog"
local OUTPUT = "build/release"

local function read(path)
  local file = assert(io.open(path))
  local text = file:read "a"
  file:close()
  return text
end

local function write(path, text)
  local file = assert(io.open(path, "w"))
  file:write(text)
  file:close()
end

-- What a command prints, without the last line break, and whether it succeeded.
local function output_of(command)
  local pipe = assert(io.popen(command .. " 2>&1"))
  local text = pipe:read("a"):gsub("\n$", "")
  return text, pipe:close() or false
end

local function run(command)
  local text, done = output_of(command)
  if not done then
    error(command .. ": " .. text, 0)
  end
  return text
end

if not (version and version:find "^%d+%.%d+%.%d+$") then
  io.stderr:write "give the version as three numbers: make release VERSION=1.2.3\n"
  os.exit(2)
end

-- The heading of this version in CHANGELOG.md, and what stands behind the number.
local function heading()
  local text = "\n" .. read(CHANGES)
  return text:match("\n## " .. version:gsub("%.", "%%.") .. " ?([^\n]*)\n")
end

local function write_version()
  if not heading() then
    error("CHANGELOG.md has no section for " .. version .. ": write it first", 0)
  end
  write(RUNTIME, (read(RUNTIME):gsub('VERSION = "[^"]+"', ('VERSION = "%s"'):format(version), 1)))
  local plain = version:gsub("%.", "%%.")
  write(CHANGES, (read(CHANGES):gsub("(\n## " .. plain .. ")[^\n]*", "%1 (" .. os.date "%Y-%m-%d" .. ")", 1)))
  local entries = read(DEBIAN)
  local maintainer = read("debian/control"):match "\nMaintainer: ([^\n]+)"
  local entry = ("heymarket (%s-1) unstable; urgency=medium\n\n  * See CHANGELOG.md.\n\n -- %s  %s\n"):format(
    version,
    maintainer,
    run "LC_ALL=C date -R"
  )
  if entries:find("heymarket (" .. version .. "-1)", 1, true) == 1 then
    entries = entries:match "\n %-%- [^\n]*\n\n?(.*)$" -- the entry of this version is written anew
  end
  write(DEBIAN, entry .. (entries ~= "" and "\n" .. entries or ""))
  run "lua5.4 tools/rockspecs.lua"
  print("wrote " .. version .. " into " .. RUNTIME .. ", " .. CHANGES .. ", " .. DEBIAN .. " and the rockspecs")
  print("look at them with git diff, commit them, and run: make release VERSION=" .. version)
end

-- Rocks with the sources of HEAD in them, as `luarocks pack` makes them from the published address.
local function make_rocks()
  run(("rm -rf %s && mkdir -p %s"):format(OUTPUT, OUTPUT))
  for _, name in ipairs { "heymarket", "heymarket-cli", "heymarket-phonenumber" } do
    local rockspec = ("%s-%s-1.rockspec"):format(name, version)
    run(("mkdir %s/pack && git archive --prefix=heymarket/ HEAD | tar -x -C %s/pack"):format(OUTPUT, OUTPUT))
    run(("cp %s/pack/heymarket/%s %s/pack && cp %s %s"):format(OUTPUT, rockspec, OUTPUT, rockspec, OUTPUT))
    run(("cd %s/pack && zip -q -r -X ../%s-%s-1.src.rock %s heymarket"):format(OUTPUT, name, version, rockspec))
    run(("rm -r %s/pack"):format(OUTPUT))
  end
end

local function check_all()
  local source = dofile "tools/source.lua"
  local tag, failed = source.tag:format(version), false
  local function check(name, ok, what)
    print((ok and "ok " or "not ok ") .. name .. (ok and "" or ": " .. what))
    failed = failed or not ok
  end
  local found = read(RUNTIME):match 'VERSION = "([^"]+)"'
  check("the version in " .. RUNTIME, found == version, "it is " .. tostring(found))
  local behind = heading()
  check("CHANGELOG.md has a section with a date", behind and behind:find "^%(%d+%-%d+%-%d+%)$", behind or "none")
  local entry = read(DEBIAN):match "^[^\n]*"
  local wanted = "heymarket (" .. version .. "-1) unstable;"
  check("debian/changelog begins with this version", entry:find(wanted, 1, true) == 1, entry)
  local said, current = output_of "lua5.4 tools/rockspecs.lua check"
  check("the rockspecs are those of the files", current, said)
  local changed = output_of "git status --porcelain"
  check("nothing is uncommitted", changed == "", changed)
  local _, tagged = output_of("git rev-parse -q --verify refs/tags/" .. tag)
  check("there is no tag " .. tag, not tagged, "it was released before")
  check("the address of the sources is set", source.url, "set it in tools/source.lua")
  local maintainer = read("debian/control"):match "\nMaintainer: ([^\n]+)"
  check("the address of the maintainer is set", not maintainer:find "%.invalid>$", "set it in debian/control")
  if found == version and current then
    local made, problem = pcall(make_rocks)
    check("the rocks are in " .. OUTPUT, made, tostring(problem))
  end
  if not failed then
    print("to release it: git tag -a " .. tag .. ", push the tag, make deb, and upload what is in " .. OUTPUT)
  end
  return not failed
end

if mode == "write" then
  local done, problem = pcall(write_version)
  if not done then
    io.stderr:write(problem, "\n")
  end
  os.exit(done)
end
os.exit(check_all())
