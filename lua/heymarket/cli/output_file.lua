--- A file that the command writes as it goes: readable by its owner only, locked, and never in place of an edit.
local output_file = {}

local edit_mark = require "heymarket.util.edit_mark"
local failure = require "heymarket.failure"
local system = require "heymarket.system"

local BUFFERED = 65536 -- bytes that are held back before they are written
local MAX_START = 2 * 1024 * 1024 -- bytes

-- Reasons that are said in words of our own, by code.
local REASONS = {
  cut = "output_cut",
  gone = "output_removed",
  not_regular = "output_not_plain",
  replaced = "output_replaced",
}

-- Raises the failure with this message where something was not done. Why it was not done, io says in words and a
-- number, heymarket.system in a code and words.
local function must(path, message_code, done, code, words)
  if not done then
    local own = REASONS[code] and { message_code = REASONS[code] }
    local reason = own or type(words) == "string" and words or code
    error(failure.make("stopped", message_code, { path = path, reason = reason }), 0)
  end
  return done
end

---------------------------------------------------------------------------------------------------------------------
-- Opening

-- Devices, and open files of this process by number, are written to as they are, like /dev/stdout. A file in /dev/shm
-- is an ordinary file.
local function is_stream(path)
  local is_named = path:find "^/dev/" or path:find "^/proc/[^/]+/fd/"
  return is_named ~= nil and not path:find "^/dev/shm/" and not path:find("/../", 1, true)
end

--- Do a path and another path or open file lead to one ordinary file?
function output_file.is_same(path, other)
  local identity, kind = system.identity(path)
  return path == other or kind == "file" and identity == system.identity(other)
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

local File = {}
File.__index = File

-- Copies the content to the first free number, unless a run that ended before it could go on has done that.
function File:copy(number)
  local copy = self.path .. "." .. number
  if is_copy(copy, self.handle) then
    return
  end
  local done, code, words = system.copy(self.handle, copy)
  if code == "exists" then
    return self:copy(number + 1)
  end
  must(copy, "edit_not_kept", done, code, words)
  must(copy, "edit_not_kept", system.sync_directory(copy))
  self.on_kept(copy)
end

-- Copies the content if it was edited, for an edit is nowhere else.
function File:keep()
  if self.handle:seek "end" > 0 and not edit_mark.is_unedited(self.handle) then
    self:copy(1)
  end
end

-- Opens a device or an open stream, or an ordinary file: made where there is none, locked, readable by its owner only.
function File:open(refusal_of)
  local path, stream, start = self.path, self.stream, nil
  if not stream then
    must(path, "output_unprepared", system.prepare(path))
  end
  -- An ordinary file for reading, too: opening a pipe for both does not wait for its other end.
  self.handle = must(path, "output_unopened", io.open(path, stream and "ab" or "a+b"))
  if not stream then
    self.handle:seek "set"
    start = self.handle:read(MAX_START)
  end
  local refusal = refusal_of(self.handle, start)
  must(path, refusal, not refusal)
  if not stream then
    local _, code = system.lock(self.handle)
    must(path, "output_in_use", code ~= "in_use")
    must(path, "output_not_private", system.protect(self.handle))
    self:keep()
  end
end

--- Opens a file, so that it is known to be writable. An edited content is copied now, so that nothing is sent where
--- that fails; what the file holds stays until `begin`. `refusal_of(handle, start)` gives the code of a message where
--- the file must not be used; `start` is what it holds, nil where that is nothing or is not replaced. `on_kept(copy)`
--- is called with the path of the copy of an edited content. Gives the file, or nil and a failure.
function output_file.open(path, refusal_of, on_kept)
  local file = setmetatable({
    path = path,
    handle = nil, -- holds the lock
    stream = is_stream(path),
    on_kept = on_kept,
    begun = false,
    buffer = {},
    buffered = 0, -- bytes
    written = 0, -- bytes, since the file was emptied
    mark = edit_mark.new(),
    problem = nil, -- failure: why it could not be written; callers read it
  }, File)
  local _, problem = failure.protected_call(file.open, file, refusal_of)
  if problem and file.handle then
    file.handle:close()
  end
  return not problem and file or nil, problem
end

---------------------------------------------------------------------------------------------------------------------
-- Writing

function File:must_write(...)
  return must(self.path, "output_unwritten", ...)
end

-- Runs a step. What it raises is why the file could not be written.
function File:try(step)
  local _, problem = failure.protected_call(step, self)
  self.problem = self.problem or problem
end

function File:empty()
  if not self.stream then
    self:keep() -- it may have been edited since it was opened
    self.handle:seek "end" -- between reading and writing
    self:must_write(system.truncate(self.handle, 0))
  end
  self.begun = true
end

--- Empties the file, whose edits are copied first. What is written goes to the file from now on. May be called twice.
function File:begin()
  if not self.begun and not self.problem then
    self:try(self.empty)
  end
end

--- Does the file hold what was written?
function File:is_complete()
  return self.begun and not self.problem
end

--- Writes text. It may stay in memory until `flush`.
function File:write(text)
  self.buffer[#self.buffer + 1] = text
  self.buffered = self.buffered + #text
  if self.buffered >= BUFFERED then
    self:flush()
  end
end

function File:write_buffer()
  local content = table.concat(self.buffer)
  self.buffer, self.buffered = {}, 0
  self:must_write(self.handle:write(content))
  self:must_write(self.handle:flush())
  if not self.stream then
    self.mark:add(content)
    self.mark:set(self.handle)
    self.written = self.written + #content
    local size = self:must_write(system.size(self.handle, self.path))
    self:must_write(size >= self.written, "cut")
  end
end

--- Hands what was written to the system, once the file was emptied.
function File:flush()
  if self.buffer[1] and self:is_complete() then
    self:try(self.write_buffer)
  end
end

function File:finish()
  if self:is_complete() and not self.stream then
    self:must_write(system.sync(self.handle))
    self.mark:set(self.handle)
  end
  self:must_write(self.handle:close())
end

--- Writes what is left and closes the file.
function File:close()
  self:flush()
  self:try(self.finish)
end

return output_file
