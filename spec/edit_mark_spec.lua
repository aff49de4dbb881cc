local edit_mark = require "heymarket.util.edit_mark"

describe("a marked file", function()
  local path

  before_each(function()
    path = os.tmpname()
  end)

  after_each(function()
    os.remove(path)
  end)

  -- Writes the pieces, marks the file, and then does what `edit` does with it. Gives: does it count as unedited?
  local function unedited_after(pieces, edit)
    local file, mark = assert(io.open(path, "w+b")), edit_mark.new()
    for _, piece in ipairs(pieces) do
      file:write(piece)
      mark:add(piece)
    end
    file:flush()
    mark:set(file)
    edit(file)
    file:flush()
    local unedited = edit_mark.is_unedited(file)
    file:close()
    return unedited
  end

  it("is unedited, in whatever pieces it was written and read", function()
    for _, pieces in ipairs { {}, { "a" }, { "a", "b" }, { ("x"):rep(65535), "yz" }, { ("x"):rep(200000) } } do
      assert.is_true(unedited_after(pieces, function() end))
    end
  end)

  it("is edited after every change of its content, also one of the same length", function()
    for _, edit in ipairs {
      function(file)
        file:seek "set"
        file:write "b"
      end,
      function(file)
        file:seek "end"
        file:write "\n"
      end,
      function()
        local other = assert(io.open(path, "wb"))
        other:close()
      end,
    } do
      assert.is_false(unedited_after({ "aaaa" }, edit))
    end
  end)

  it("is edited when its mark was never set", function()
    local file = assert(io.open(path, "w+b"))
    file:write "aaaa"
    file:flush()
    assert.is_false(edit_mark.is_unedited(file))
    file:close()
  end)
end)
