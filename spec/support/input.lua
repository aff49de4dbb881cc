--- Inputs of tests: a handle over a string, and bytes as hexadecimal text, as the witnesses write them.
local input = {}

--- A handle over a string: what is read does not depend on the file system.
function input.handle_of(content)
  local at = 1
  return {
    read = function(_, size)
      local chunk = content:sub(at, at + size - 1)
      at = at + size
      return chunk ~= "" and chunk or nil
    end,
  }
end

function input.bytes_of(hex)
  return (hex:gsub("%x%x", function(pair)
    return string.char(tonumber(pair, 16))
  end))
end

function input.hex_of(text)
  return (text:gsub(".", function(byte)
    return ("%02x"):format(byte:byte())
  end))
end

return input
