--- util/fifo: the queue, compared with table.insert and table.remove.
local fake = require "spec.support.fake"
local fifo = require "heymarket.util.fifo"

describe("a queue", function()
  it("gives values in the order in which they came", function()
    local queue, list = fifo.new(), {}
    local random = fake.random(7)
    for value = 1, 2000 do
      if random() < 0.55 then
        queue:push(value)
        table.insert(list, value)
      else
        assert.are.equal(table.remove(list, 1), queue:shift())
      end
      assert.are.equal(#list, queue:length())
      local place = random(1, math.max(1, #list))
      assert.are.equal(list[place], queue:at(place))
    end
    assert.is_true(#list > 0)
  end)

  it("gives nil when it is empty, and goes on afterwards", function()
    local queue = fifo.new()
    assert.is_nil(queue:shift())
    queue:push(false)
    assert.are.equal(1, queue:length())
    assert.is_false(queue:shift())
    assert.is_nil(queue:shift())
    assert.are.equal(0, queue:length())
  end)

  it("does not count reserved places, and takes them in any order of pushes and reservations", function()
    local queue = fifo.new()
    queue:reserve()
    queue:reserve()
    assert.are.equal(0, queue:length())
    assert.is_nil(queue:shift())
    queue:push "a"
    queue:reserve()
    queue:unreserve()
    queue:push "b"
    assert.are.equal("a", queue:shift())
    queue:push "c"
    assert.are.equal("b", queue:shift())
    assert.are.equal("c", queue:shift())
    assert.is_nil(queue:shift())
  end)

  -- KiB that 1000 values ask for, with so many places reserved before.
  local function growth(reserved)
    -- LuaJIT's compiler asks for memory of its own, whenever it finds a loop worth compiling.
    local compiler = rawget(_G, "jit")
    if compiler then
      compiler.off()
      compiler.flush()
    end
    local queue = fifo.new()
    for _ = 1, reserved do
      queue:reserve()
    end
    collectgarbage()
    collectgarbage "stop"
    local before = collectgarbage "count"
    for value = 1, 1000 do
      queue:push(value)
    end
    local grown = collectgarbage "count" - before
    collectgarbage "restart"
    if compiler then
      compiler.on()
    end
    assert.are.equal(1000, queue:length())
    return grown
  end

  it("asks for no memory when it takes a reserved place", function()
    if os.getenv "HEYMARKET_COVERAGE" then
      pending "the hook that counts lines asks for memory itself"
    end
    assert.are.equal(0, growth(1000))
    assert.is_true(growth(0) > 4)
  end)
end)
