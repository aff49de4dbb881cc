--- Encodings of files: which one bytes look like that are not UTF-8.
local encoding = {}

local find, lower = string.find, string.lower

--- The encoding that a mark at the start of a file stands for.
---@param start string its first three bytes, or fewer
---@return string? name nil where there is no mark
---@return integer? length of the mark
function encoding.of_mark(start)
  if find(start, "^\239\187\191") then
    return "UTF-8", 3
  elseif find(start, "^\255\254") then
    return "UTF-16LE", 2
  elseif find(start, "^\254\255") then
    return "UTF-16BE", 2
  end
end

--- Is this a name of UTF-8, which needs no decoder?
---@param name string
---@return boolean
function encoding.is_utf8(name)
  return find(lower(name), "^utf%-?8$") ~= nil
end

-- What is seldom found in any other encoding, in the order in which it is looked for. Words in Cyrillic are letters
-- beyond ASCII throughout. In windows-1252 the letters of Polish are signs, which do not stand within words.
local SIGNS = {
  { "[\192-\255][\192-\255][\192-\255]", "windows-1251" },
  { "%a[\179\185\191]%a", "windows-1250" },
  { "[\129\141\143\144\157]", "CP850" }, -- windows-1252 has nothing there
}

--- Which encoding bytes most likely have that are not UTF-8: a hint.
---@param bytes string
---@return string name
function encoding.guess(bytes)
  for _, sign in ipairs(SIGNS) do
    if find(bytes, sign[1]) then
      return sign[2]
    end
  end
  return "windows-1252"
end

return encoding
