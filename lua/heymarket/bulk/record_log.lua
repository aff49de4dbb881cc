--- A log of records: a text file that only grows, one line a record. It survives a power cut and the death of the
--- process, and serves one process at a time. Its user, the journal of an import, knows what the records mean.
---
---   <format> <id> <header> <checksum>         the first line
---   <place> <kind> <rest> <checksum>          a record
---   <place> = <checksum>                      everything before this line is on the disk
---
--- A place is the number of bytes before the line. By place and checksum a line shows that is damaged, missing or
--- doubled. After a power cut, whatever was written after the last "=" line may be torn, lost or zeroed. So everything
--- from the first damaged line on is cut off, unless a later "=" line says that the damaged line had reached the disk:
--- then somebody changed the file, and it is refused.
---
--- Every method returns nil, a code and values where it fails. After that, `append` and `sync` keep failing so.
local record_log = {}

local runtime = require "heymarket.runtime"

local rows = runtime.native "heymarket.rows"
local system = runtime.native "heymarket.system"

local CHECKSUM = 8 -- characters of a checksum
local CHUNK = 65536 -- bytes that are read at a time
local MAX_HEADER = 4096 -- bytes of the first line that decide whether a file is a log at all

local RecordLog = {}
RecordLog.__index = RecordLog

local function checksum(id, text)
  return rows.hash(id .. text):sub(1, CHECKSUM)
end

function RecordLog:fail(code, values)
  self.failed = self.failed or { code = code, values = values }
  return nil, self.failed.code, self.failed.values
end

function RecordLog:write_line(text)
  if self.failed then
    return self:fail()
  end
  local line = text .. " " .. checksum(self.id, text) .. "\n"
  local ok, problem = self.file:write(line)
  if not ok then
    return self:fail("write_failed", { problem = problem })
  end
  self.size = self.size + #line
  return true
end

--- Adds a record. It then survives the death of the process; a power cut it survives after `sync`.
---@param record string kind and rest, without line breaks
---@return boolean? ok
---@return string? code "write_failed"
---@return table? values
function RecordLog:append(record)
  return self:write_line(("%.0f %s"):format(self.size, record))
end

-- Has anybody else changed the file since it was opened?
function RecordLog:check_unchanged()
  local size, code, problem = system.size(self.file, self.path)
  if size == self.size then
    return true
  elseif size then
    return self:fail("resized", { size = size, expected = self.size })
  elseif code == "gone" or code == "replaced" then
    return self:fail(code, {})
  end
  return self:fail("not_found", { problem = problem })
end

--- Waits until everything that was written is on the disk, and writes that down.
---@return boolean? ok
---@return string? code "sync_failed", "write_failed", or that somebody changed the file: "gone", "replaced",
--- "resized", "not_found"
---@return table? values
function RecordLog:sync()
  if self.failed then
    return self:fail()
  end
  local ok, code, values = self:check_unchanged()
  if not ok then
    return nil, code, values
  elseif self.size == self.size_on_disk then
    return true
  end
  self.synced_at = self.clock()
  local synced, _, problem = system.sync(self.file)
  if not synced then
    return self:fail("sync_failed", { problem = problem })
  end
  ok, code, values = self:append "="
  self.size_on_disk = self.size
  return ok, code, values
end

--- Waits for the disk if the last wait is so long ago.
---@param seconds number
---@return boolean? ok
---@return string? code
---@return table? values
function RecordLog:sync_after(seconds)
  if self.clock() - self.synced_at < seconds then
    return true
  end
  return self:sync()
end

-- Takes a line apart: kind, rest, and whether it stands at its place. Nil where it is damaged.
local function parse(id, line, place)
  local text = line:sub(1, -CHECKSUM - 2)
  if line:sub(-CHECKSUM - 1) ~= " " .. checksum(id, text) then
    return nil
  end
  local claimed, kind, rest = text:match "^(%d+) (%S+) ?(.*)$"
  return kind, rest, tonumber(claimed) == place
end

--- Reads a record again, at the place that `on_record` was told.
---@param place integer
---@return string? kind
---@return string rest or a code, "moved", where the line is no longer there
---@return table? values
function RecordLog:read(place)
  local reader, text = self.reader, ""
  reader:seek("set", place)
  local last
  repeat
    local chunk = reader:read(math.max(1024, #text))
    last = chunk and chunk:find("\n", 1, true)
    text = text .. (last and chunk:sub(1, last - 1) or chunk or "")
  until last or not chunk
  local kind, rest, is_in_place = parse(self.id, text, place)
  if not kind or not is_in_place then
    return self:fail("moved", {})
  end
  return kind, rest
end

--- Waits for the disk and closes the file, which lets others use it.
---@return boolean? ok
---@return string? code
---@return table? values
function RecordLog:close()
  local returned, ok, code, values = pcall(self.sync, self)
  self:release()
  if not returned then
    error(ok, 0)
  end
  return ok, code, values
end

local function close(handle)
  if handle then
    pcall(handle.close, handle)
  end
end

-- Closes the files, and with them gives up the lock. Needs no memory, since it may have run out.
function RecordLog:release()
  close(self.reader)
  close(self.file)
end

-- Lines of a file from a place on, where they begin, and whether they are whole; file:lines() of Lua 5.1 and 5.2 cannot
-- take zero bytes. The read size grows with the line, so that the work stays linear.
local function lines_of(file, place)
  local buffer, at = "", 1
  file:seek("set", place)
  return function()
    local last = buffer:find("\n", at, true)
    while not last do
      local left = #buffer - at + 1
      local chunk = file:read(math.max(CHUNK, left))
      if not chunk then
        break
      end
      buffer = buffer:sub(at) .. chunk
      at = 1
      last = buffer:find("\n", left + 1, true)
    end
    if at > #buffer then
      return nil
    end
    local line, begins = buffer:sub(at, (last or #buffer + 1) - 1), place
    place = begins + #line + 1
    at = (last or #buffer) + 1
    return line, begins, last ~= nil
  end
end

-- Can a power cut have left this of a first line? Zero bytes may stand for any other.
local function is_torn_header(text, format)
  if #text > MAX_HEADER or text:find "\n[^%z]" or text:find "\n" and not text:find "%z" then
    return false
  end
  for i = 1, math.min(#text, #format) do
    local byte = text:byte(i)
    if byte ~= 0 and byte ~= format:byte(i) then
      return false
    end
  end
  return true
end

-- Does a damaged line end with an intact "=" line? Damage to its line break joins a line with the next one. That need
-- not stand at its place: other damage may have moved it.
local function ends_with_sync(id, line)
  local digits, tail = line:match "(%d+)( = %x+)$"
  digits = (digits or ""):sub(-16)
  for skipped = 0, #digits - 1 do
    if parse(id, digits:sub(skipped + 1) .. tail, 0) then
      return true
    end
  end
  return false
end

local function damaged(number)
  return nil, "damaged", { line = number }
end

local function split_header(line, format)
  local text, check = line:match "^(.*) (%x+)$"
  local id, header = (text or ""):match("^(%x+) (.*)$", #format + 1)
  if id and checksum(id, text) == check then
    return id, header
  end
end

-- Reads the first line. True, or false where the log is new.
function RecordLog:read_header(settings)
  local size = self.reader:seek "end"
  self.reader:seek "set"
  local start = self.reader:read(MAX_HEADER) or ""
  local format = self.format
  if settings.old_format and start:sub(1, #settings.old_format) == settings.old_format then
    return nil, "old_version", {}
  elseif #start == size and is_torn_header(start, format) then
    return false
  elseif start:sub(1, #format) ~= format then
    return nil, "other_format", {}
  end
  local line, _, is_whole = lines_of(self.reader, 0)()
  local id, header = split_header(line, format)
  if not is_whole or not id then
    return damaged(1)
  end
  local ok, code, values = settings.check_header(header)
  if not ok then
    return nil, code, values
  end
  self.id = id
  self.size = #line + 1
  return true
end

-- Reads the records. `self.size` is then the number of bytes that count.
function RecordLog:read_records(on_record)
  local number, broken = 1, nil
  for line, place, is_whole in lines_of(self.reader, self.size) do
    number = number + 1
    local kind, rest, is_in_place = parse(self.id, line, place)
    if kind and not is_in_place then
      return damaged(broken or number)
    elseif broken then
      if kind == "=" or ends_with_sync(self.id, line) then
        return damaged(broken)
      end
    elseif not kind or not is_whole or kind ~= "=" and not on_record(kind, rest, place) then
      broken = number
      if not kind and ends_with_sync(self.id, line) then
        return damaged(broken)
      end
    else
      self.size = place + #line + 1
      self.size_on_disk = kind == "=" and self.size or 0
    end
  end
  return true
end

function RecordLog:open_files()
  local ok, code, problem = system.prepare(self.path)
  if not ok then
    return nil, code == "not_regular" and code or "not_opened", { problem = problem }
  end
  self.file, problem = io.open(self.path, "a+b")
  if self.file then
    self.reader, problem = io.open(self.path, "rb")
  end
  if not self.reader then
    return nil, "not_opened", { problem = problem }
  end
  self.file:setvbuf "no" -- a line has left this process when write returns
  return true
end

-- Only the owner may read what the log holds.
function RecordLog:protect()
  for _, handle in ipairs { self.file, self.reader } do
    local ok, _, problem = system.protect(handle)
    if not ok then
      return nil, "not_private", { problem = problem }
    end
  end
  return true
end

-- Cuts off what a power cut has left of a line.
function RecordLog:repair_tail()
  if self.reader:seek "end" <= self.size then
    return true
  end
  local cut, _, problem = system.truncate(self.file, self.size)
  if not cut then
    return self:fail("write_failed", { problem = problem })
  end
  cut, _, problem = system.sync(self.file)
  if not cut then
    return self:fail("sync_failed", { problem = problem })
  end
  return true
end

-- Writes the first line of a new log. It and the file's name are on the disk before anything follows.
function RecordLog:write_header(header)
  local ok, code, values = self:write_line(self.format .. self.id .. " " .. header)
  if not ok then
    return nil, code, values
  end
  local synced, _, problem = system.sync(self.file)
  if synced then
    synced, _, problem = system.sync_directory(self.path)
  end
  if not synced then
    return self:fail("sync_failed", { problem = problem })
  end
  self.size_on_disk = self.size
  return true
end

-- Takes the log into use: one call after the other until one fails.
function RecordLog:start(settings)
  local ok, code, values = self:open_files()
  if not ok then
    return nil, code, values
  end
  local locked, lock_code, problem = system.lock(self.file)
  if not locked then
    return nil, lock_code == "in_use" and lock_code or "not_opened", { problem = problem }
  end
  local found
  found, code, values = self:read_header(settings)
  ok = found
  if found then
    ok, code, values = self:read_records(settings.on_record)
  end
  if ok ~= nil then
    ok, code, values = self:protect()
  end
  if ok then
    ok, code, values = self:repair_tail()
  end
  if ok and not found then
    ok, code, values = self:write_header(settings.header)
  end
  return ok, code, values
end

--- Opens a log, a new one or one with records.
---@param settings table `path`; `format` (how the first line begins), `old_format` (an older version, refused with
--- "old_version"); `header` (written into a new log), `check_header(header)` (true; or nil, a code and values to refuse
--- the log); `on_record(kind, rest, place)` (called for each record that is there; false where the kind is not known);
--- `clock` (seconds)
---@return table? log
---@return string? code "not_opened", "not_regular", "in_use", "old_version", "other_format", "damaged" (with `line`),
--- "not_private", "write_failed", "sync_failed", or that of check_header
---@return table? values
function record_log.open(settings)
  local self = setmetatable({
    path = settings.path,
    format = settings.format,
    clock = settings.clock,
    id = rows.hash(("%s %.17g %.17g"):format(settings.path, runtime.time(), runtime.random())):sub(1, 16),
    size = 0, -- bytes that the file has, or should have
    size_on_disk = 0, -- so many of them certainly reached the disk
    synced_at = -math.huge,
  }, RecordLog)
  local ok, code, values = self:start(settings)
  if not ok then
    self:release()
    return nil, code, values
  end
  return self
end

return record_log
