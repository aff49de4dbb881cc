--- Was a file edited since this program wrote it?
---
--- The nanoseconds of the time when the file was last changed are set to a checksum of its content. This needs no
--- second file, and every program that changes the file sets another time. Where a file system rounds the time, or a
--- program that copies the file loses it, the file counts as edited.
local edit_mark = {}

local rows = require "heymarket.rows"
local system = require "heymarket.system"

local BLOCK = 65536 -- bytes that are read or hashed at a time

local Mark = {}
Mark.__index = Mark

--- The mark of an empty content.
function edit_mark.new()
  return setmetatable({ chain = "", tail = "" }, Mark)
end

--- Continues the mark with what was appended to the content.
---@param bytes string
function Mark:add(bytes)
  self.tail = self.tail .. bytes
  while #self.tail >= BLOCK do
    self.chain = rows.hash(self.chain .. self.tail:sub(1, BLOCK))
    self.tail = self.tail:sub(BLOCK + 1)
  end
end

-- A checksum of the content.
local function digest(mark)
  return rows.hash(mark.chain .. mark.tail)
end

-- A whole number below 1e9.
local function nanoseconds(mark)
  return tonumber(digest(mark):sub(1, 12), 16) % 1000000000
end

--- Marks the file. Where that is not possible, the file counts as edited later.
---@param handle userdata
function Mark:set(handle)
  system.nanoseconds(handle, nanoseconds(self))
end

-- The mark of what a file holds.
local function mark_of(handle)
  local mark = edit_mark.new()
  handle:seek "set"
  local piece = handle:read(BLOCK)
  while piece do
    mark:add(piece)
    piece = handle:read(BLOCK)
  end
  return mark
end

--- Does the file have the mark of its content?
---@param handle userdata
---@return boolean
function edit_mark.is_unedited(handle)
  return system.nanoseconds(handle) == nanoseconds(mark_of(handle))
end

--- Do two files have the same content?
---@param handle userdata
---@param other userdata
---@return boolean
function edit_mark.is_same_content(handle, other)
  return handle:seek "end" == other:seek "end" and digest(mark_of(handle)) == digest(mark_of(other))
end

return edit_mark
