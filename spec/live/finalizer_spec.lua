-- A finalizer that closes a client, in LuaJIT. There Debian's build (2.1-20230119) never leaves a loop of `pairs` or
-- `in next` once it is compiled and its first step goes another way than the one that was compiled.
local process = require "spec.support.process"

local PROGRAM = [=[
local jit = require "jit"
local fifo = require "heymarket.util.fifo"
local mailbox = require "heymarket.loop.mailbox"

local function new_box()
  return mailbox.of_pool({}, function() end)
end

local owner, count, closed = {}, 0, 0
getmetatable(newproxy(true)).__gc = function()
  local box = new_box()
  local request = { ended = function() end }
  box:expect(request, fifo.new(), {})
  box:expect(request, fifo.new(), owner)
  box:abandon(owner)
  box:abandon()
  box:abandon(owner)
  closed = box:is_empty() and closed + 1
end

-- The loop over what is in flight is compiled at once, but only its way where something is.
jit.opt.start "hotloop=1"
local busy = new_box()
local request = {
  ended = function()
    count = count + 1
    if count == 20 then
      collectgarbage()
      collectgarbage()
    end
  end,
}
for _ = 1, 30 do
  busy:expect(request, fifo.new(), owner)
end
busy:abandon(owner)
print("closed " .. tostring(closed))
]=]

describe("a finalizer that closes a client", function()
  it("comes to its end where LuaJIT has compiled the loops that it meets", function()
    if not rawget(_G, "jit") then
      return pending "this is not LuaJIT"
    end
    local printed = process.with_file(PROGRAM, function(path)
      return process.output("timeout 20 " .. process.this_lua() .. " " .. path .. " 2>&1")
    end)
    assert.are.equal("closed 1\n", printed)
  end)
end)
