-- A short run of tools/soak.py; `make soak` is the long one.
local process = require "spec.support.process"

local RUN = os.getenv "HEYMARKET_TEST_RUN" or "5.4"
-- Many under one Lua, some under the others.
local KILLS, CUTS = 6, 3
if RUN == "5.4" then
  KILLS, CUTS = 30, 10
end

-- The sanitizers' library must be the first one of a process, and so must the one that watches the disk: there Debian's
-- own Lua and the core of Lua 5.4 run.
local LUA = RUN == "jit" and "luajit" or RUN:find "^5" and "lua" .. RUN or "lua5.4"

describe("imports that are killed, and lose their power, at random moments", function()
  it(("report nothing untrue after %d kills, %d of them power cuts"):format(KILLS, CUTS), function()
    local command = "/usr/bin/env python3 tools/soak.py --kills %d --cuts %d --lua %s 2>&1"
    local text = process.output(command:format(KILLS, CUTS, LUA))
    io.write(text)
    assert.is_truthy(text:find "untrue: 0\n$", text)
    local killed, cut = text:match "(%d+) kills, (%d+) of them power cuts"
    assert.is_true(tonumber(killed) >= KILLS and tonumber(cut) >= CUTS, text)
    -- Where nothing was ever in doubt, nothing would be shown.
    for _, label in ipairs { "accepted", "rejected %(ambiguous%)" } do
      assert.is_truthy(text:find(label .. " %d"), text)
    end
  end)
end)
