--- A file that the command writes as it goes: readable by its owner only, locked, and never in place of an edit.
local output_file = {}

local edit_mark = require "heymarket.util.edit_mark"
local failure = require "heymarket.failure"
local system = require "heymarket.system"

local BUFFERED = 65536 -- bytes that are held back before they are written
local MAX_START = 2 * 1024 * 1024 -- bytes
local MAX_COPIES = 100000

-- A failure whose message is this one.
local function refusal(code, path, reason)
  return failure.make("stopped", code, { path = path, reason = reason })
end

---------------------------------------------------------------------------------------------------------------------
-- Opening

-- Devices, and open files of this process by number, are written to as they are, like /dev/stdout. A file in /dev/shm
-- is an ordinary file.
local function is_stream(path)
  if path:find("/../", 1, true) or path:find "^/dev/shm/" then
    return false
  end
  return path:find "^/dev/" ~= nil or path:find "^/proc/[^/]+/fd/" ~= nil
end

--- Do two names lead to one ordinary file?
function output_file.is_same(path, other)
  local identity, kind = system.identity(path)
  return path == other or kind == "file" and identity == system.identity(other)
end

-- Opens a device or an open stream, or an ordinary file, which is made where there is none.
local function open_handle(path, stream)
  local prepared, code, reason = true, nil, nil
  if not stream then
    prepared, code, reason = system.prepare(path)
  end
  if not prepared then
    return nil, refusal(code == "not_regular" and "output_not_plain" or "output_unprepared", path, reason)
  end
  -- An ordinary file for reading, too: opening a pipe for both does not wait for its other end.
  local handle, message = io.open(path, stream and "ab" or "a+b")
  return handle, not handle and refusal("output_unopened", path, message) or nil
end

local File = {}
File.__index = File

-- Locks an ordinary file and makes it readable by its owner only, if its start may be replaced. Gives the failure.
function File:claim(is_own)
  self.handle:seek "set"
  local start = self.handle:read(MAX_START)
  if start and not is_own(start) then
    return refusal("output_other_file", self.path)
  end
  local locked, code = system.lock(self.handle)
  if not locked and code == "in_use" then
    return refusal("output_in_use", self.path)
  end
  local protected, _, reason = system.protect(self.handle)
  return not protected and refusal("output_not_private", self.path, reason) or nil
end

-- Is this path a copy of the file, and a file of its own?
local function is_copy(path, handle)
  local identity, kind, link = system.identity(path)
  if kind ~= "file" or link or identity == system.identity(handle) then
    return false
  end
  local other = io.open(path, "rb")
  local same = other ~= nil and edit_mark.is_same_content(handle, other)
  if other then
    other:close()
  end
  return same
end

-- Copies the content if it was edited, for an edit is nowhere else. Gives the failure where that is not possible.
function File:keep()
  if self.handle:seek "end" == 0 or edit_mark.is_unedited(self.handle) then
    return nil
  end
  for number = 1, MAX_COPIES do
    local copy = self.path .. "." .. number
    if is_copy(copy, self.handle) then
      return nil -- made by a run that ended before it could go on
    end
    local done, code, reason = system.copy(self.handle, copy)
    if done then
      done, code, reason = system.sync_directory(copy)
    end
    if done then
      self.on_kept(copy)
      return nil
    elseif code ~= "exists" or number == MAX_COPIES then
      return refusal("edit_not_kept", copy, reason)
    end
  end
end

-- Makes an ordinary file ready to be emptied later. Gives the failure.
function File:prepare(is_own)
  local problem = self:claim(is_own)
  if problem then
    return problem
  end
  problem = self:keep()
  return problem and failure.make("stopped", "output_stays", { path = self.path, problem = problem })
end

--- Opens a file, so that it is known to be writable. An edited content is copied now, so that nothing is sent where
--- that fails; what the file holds stays until `begin`. `is_own(start)`: may a content that starts so be replaced?
--- `on_kept(copy)` is called with the path of the copy of an edited content. Gives the file, or nil and a failure.
function output_file.open(path, is_own, on_kept)
  local stream = is_stream(path)
  local handle, problem = open_handle(path, stream)
  if not handle then
    return nil, problem
  end
  local file = setmetatable({
    path = path,
    handle = handle, -- holds the lock
    stream = stream,
    on_kept = on_kept,
    begun = false,
    buffer = {},
    buffered = 0, -- bytes
    written = 0, -- bytes, since the file was emptied
    mark = edit_mark.new(),
    unwritten = nil, -- failure: why it could not be written
  }, File)
  problem = not stream and file:prepare(is_own)
  if problem then
    handle:close()
    return nil, problem
  end
  return file
end

---------------------------------------------------------------------------------------------------------------------
-- Writing

function File:fail(reason)
  self.unwritten = self.unwritten or failure.make("stopped", "output_unwritten", { path = self.path, reason = reason })
end

--- Empties the file, whose edits are copied first. May be called twice.
function File:begin()
  if self.begun or self.unwritten then
    return false
  end
  local problem = not self.stream and self:keep() -- it may have been edited since it was opened
  if not self.stream and not problem then
    self.handle:seek "end" -- between reading and writing
    local emptied, _, reason = system.truncate(self.handle, 0)
    problem = not emptied and reason
  end
  if problem then
    self:fail(problem)
  end
  self.begun = not problem
  return self.begun
end

--- Was the file emptied, so that it holds this program's text only?
function File:has_begun()
  return self.begun
end

--- The failure that says why the file could not be written, or nil.
function File:problem()
  return self.unwritten
end

--- Does this path lead to the file?
function File:is_at(path)
  return output_file.is_same(path, self.handle)
end

--- Writes text. It may stay in memory until `flush`.
function File:write(text)
  self.buffer[#self.buffer + 1] = text
  self.buffered = self.buffered + #text
  if self.buffered >= BUFFERED then
    self:flush()
  end
end

local CHANGED = { replaced = "output_replaced", gone = "output_removed" }

-- Is the file in its place, with all that was written? Gives what is wrong.
function File:check_place()
  local size, code, reason = system.size(self.handle, self.path)
  if size and size >= self.written then
    return nil
  end
  code = size and "output_cut" or CHANGED[code]
  return code and { message_code = code } or reason
end

--- Hands what was written to the system.
function File:flush()
  if #self.buffer == 0 or self.unwritten then
    return
  end
  local content = table.concat(self.buffer)
  self.buffer, self.buffered = {}, 0
  local ok, reason = self.handle:write(content)
  if ok then
    ok, reason = self.handle:flush()
  end
  if ok and not self.stream then
    self.mark:add(content)
    self.mark:set(self.handle)
    self.written = self.written + #content
    reason = self:check_place()
    ok = not reason
  end
  if not ok then
    self:fail(reason)
  end
end

--- Writes what is left and closes the file.
function File:close()
  self:flush()
  local ok, _, reason = true, nil, nil
  if self.begun and not self.stream and not self.unwritten then
    ok, _, reason = system.sync(self.handle)
    self.mark:set(self.handle)
  end
  local closed, problem = self.handle:close()
  if not (ok and closed) then
    self:fail(tostring(reason or problem))
  end
end

return output_file
