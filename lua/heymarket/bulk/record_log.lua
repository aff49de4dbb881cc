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
--- Every method returns nil and a failure where it fails. After that, `append` and `sync` keep failing so.
local record_log = {}

local failure = require "heymarket.failure"
local runtime = require "heymarket.runtime"

local rows = runtime.native "heymarket.rows"
local system = runtime.native "heymarket.system"

local CHECKSUM = 8 -- characters of a checksum
local CHUNK = 65536 -- bytes that are read at a time
local RECORD = 1024 -- bytes that are read at first where a single record is wanted
local MAX_HEADER = 4096 -- bytes of the first line that decide whether a file is a log at all

-- The reason of a failure, by the code of its message.
local REASONS = {
  journal_damaged = "damaged",
  journal_gone = "changed",
  journal_in_use = "in_use",
  journal_moved = "changed",
  journal_not_found = "changed",
  journal_not_regular = "not_regular",
  journal_old_version = "version",
  journal_other_format = "not_journal",
  journal_other_options = "other_options",
  journal_replaced = "changed",
  journal_resized = "changed",
}

-- The code of the message, by what heymarket.system says of a path.
local CODES = {
  gone = "journal_gone",
  in_use = "journal_in_use",
  not_regular = "journal_not_regular",
  replaced = "journal_replaced",
}

local RecordLog = {}
RecordLog.__index = RecordLog

local function checksum(id, text)
  return rows.hash(id .. text):sub(1, CHECKSUM)
end

-- The first failure of a log stays its failure.
function RecordLog:fail(code, values)
  values.path = self.path
  self.failed = self.failed or failure.make("journal", code, values, { reason = REASONS[code] })
  return nil, self.failed
end

-- Passes on what a function of heymarket.system returned.
function RecordLog:result(code, ok, system_code, problem)
  if not ok then
    return self:fail(CODES[system_code] or code, { problem = problem })
  end
  return ok
end

function RecordLog:write_line(text)
  if self.failed then
    return nil, self.failed
  end
  local line = text .. " " .. checksum(self.id, text) .. "\n"
  local ok, problem = self.file:write(line)
  if not ok then
    return self:fail("journal_write_failed", { problem = problem })
  end
  self.size = self.size + #line
  return true
end

--- Adds a record. It then survives the death of the process; a power cut it survives after `sync`.
---@param record string kind and rest, without line breaks
---@return boolean? ok
---@return heymarket.Failure?
function RecordLog:append(record)
  return self:write_line(("%.0f %s"):format(self.size, record))
end

-- Has anybody else changed the file since it was opened?
function RecordLog:check_unchanged()
  local size, problem = self:result("journal_not_found", system.size(self.file, self.path))
  if size and size ~= self.size then
    return self:fail("journal_resized", { size = size, expected = self.size })
  end
  return size, problem
end

function RecordLog:sync_file()
  return self:result("journal_sync_failed", system.sync(self.file))
end

--- Waits until everything that was written is on the disk, and writes that down.
---@return boolean? ok
---@return heymarket.Failure? problem also where somebody else has changed the file
function RecordLog:sync()
  if self.failed then
    return nil, self.failed
  end
  local ok, problem = self:check_unchanged()
  if not ok or self.size == self.size_on_disk then
    return ok, problem
  end
  self.synced_at = self.clock()
  ok, problem = self:sync_file()
  if ok then
    ok, problem = self:append "="
    self.size_on_disk = self.size
  end
  return ok, problem
end

--- Waits for the disk if the last wait is so long ago.
---@param seconds number
---@return boolean? ok
---@return heymarket.Failure?
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

-- Lines of a file from a place on, where they begin, and whether they are whole; file:lines() of Lua 5.1 and 5.2 cannot
-- take zero bytes. The read size grows with the line, so that the work stays linear.
local function lines_of(file, place, chunk_size)
  local buffer, at = "", 1
  file:seek("set", place)
  return function()
    local last = buffer:find("\n", at, true)
    while not last do
      local left = #buffer - at + 1
      local chunk = file:read(math.max(chunk_size, left))
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

--- Reads a record again, at the place that `on_record` was told.
---@param place integer
---@return string? kind
---@return string|heymarket.Failure rest or why there is none: the line is no longer there
function RecordLog:read(place)
  local line = lines_of(self.reader, place, RECORD)()
  local kind, rest, is_in_place = parse(self.id, line or "", place)
  if not is_in_place then
    return self:fail("journal_moved", {})
  end
  return kind, rest
end

-- Closes the files, and with them gives up the lock. Needs no memory, since it may have run out.
function RecordLog:release()
  for i = 1, 2 do
    local handle = i == 1 and self.reader or self.file
    if handle then
      pcall(handle.close, handle)
    end
  end
end

--- Waits for the disk and closes the file, which lets others use it.
---@return boolean? ok
---@return heymarket.Failure?
function RecordLog:close()
  local returned, ok, problem = pcall(self.sync, self)
  self:release()
  if not returned then
    error(ok, 0)
  end
  return ok, problem
end

---------------------------------------------------------------------------------------------------------------------
-- Opening. These functions raise the failure that refuses the log.

local function must(ok, problem)
  if not ok then
    error(problem, 0)
  end
  return ok
end

function RecordLog:refuse(code, values)
  must(self:fail(code, values))
end

function RecordLog:refuse_damaged(number)
  self:refuse("journal_damaged", { line = number })
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

-- The id and the header in a first line; nothing where it is damaged.
local function split_header(line, format)
  local text, check = line:match "^(.*) (%x+)$"
  local id, header = (text or ""):match("^(%x+) (.*)$", #format + 1)
  if id and checksum(id, text) == check then
    return id, header
  end
end

-- Reads the first line. False where the log is new.
function RecordLog:read_header(settings)
  local reader, format, old_format = self.reader, settings.format, settings.old_format
  local size = reader:seek "end"
  reader:seek "set"
  local start = reader:read(MAX_HEADER) or ""
  if old_format and start:sub(1, #old_format) == old_format then
    self:refuse("journal_old_version", {})
  elseif #start == size and is_torn_header(start, format) then
    return false
  elseif start:sub(1, #format) ~= format then
    self:refuse("journal_other_format", {})
  end
  local line, _, is_whole = lines_of(reader, 0, CHUNK)()
  local id, header = split_header(line, format)
  if not is_whole or not id then
    self:refuse_damaged(1)
  end
  local code, values = settings.check_header(header)
  if code then
    self:refuse(code, values)
  end
  self.id, self.size = id, #line + 1
  return true
end

-- Reads the records. `self.size` is then the number of bytes that count.
function RecordLog:read_records(on_record)
  local number, broken = 1, nil
  for line, place, is_whole in lines_of(self.reader, self.size, CHUNK) do
    number = number + 1
    local kind, rest, is_in_place = parse(self.id, line, place)
    if kind and not is_in_place then
      self:refuse_damaged(broken or number)
    elseif not broken and kind and is_whole and (kind == "=" or on_record(kind, rest, place)) then
      self.size = place + #line + 1
      self.size_on_disk = kind == "=" and self.size or 0
    else
      if (broken or not kind) and ends_with_sync(self.id, line) then
        self:refuse_damaged(broken or number)
      end
      broken = broken or number
    end
  end
end

function RecordLog:open_file(mode)
  local file, problem = io.open(self.path, mode)
  return file or self:refuse("journal_not_opened", { problem = problem })
end

-- Opens the files, and locks them for this process.
function RecordLog:open_files()
  must(self:result("journal_not_opened", system.prepare(self.path)))
  self.file = self:open_file "a+b"
  self.reader = self:open_file "rb"
  self.file:setvbuf "no" -- a line has left this process when write returns
  must(self:result("journal_not_opened", system.lock(self.file)))
end

-- Cuts off what a power cut has left of a line.
function RecordLog:repair_tail()
  if self.reader:seek "end" > self.size then
    must(self:result("journal_write_failed", system.truncate(self.file, self.size)))
    must(self:sync_file())
  end
end

-- Writes the first line of a new log. It and the file's name are on the disk before anything follows.
function RecordLog:write_header(settings)
  must(self:write_line(settings.format .. self.id .. " " .. settings.header))
  must(self:sync_file())
  must(self:result("journal_sync_failed", system.sync_directory(self.path)))
  self.size_on_disk = self.size
end

function RecordLog:start(settings)
  self:open_files()
  local is_new = not self:read_header(settings)
  if not is_new then
    self:read_records(settings.on_record)
  end
  -- Only the owner may read what the log holds.
  must(self:result("journal_not_private", system.protect(self.file)))
  must(self:result("journal_not_private", system.protect(self.reader)))
  self:repair_tail()
  if is_new then
    self:write_header(settings)
  end
end

--- Opens a log, a new one or one with records.
---@param settings table `path`; `format` (how the first line begins), `old_format` (that of an older version, refused);
--- `header` (written into a new log), `check_header(header)` (gives nothing, or the code and the values of a message to
--- refuse the log with); `on_record(kind, rest, place)` (called for each record that is there; false where the kind is
--- not known); `clock` (seconds)
---@return table? log
---@return heymarket.Failure?
function record_log.open(settings)
  local self = setmetatable({
    path = settings.path,
    clock = settings.clock,
    id = rows.hash(("%s %.17g %.17g"):format(settings.path, runtime.time(), runtime.random())):sub(1, 16),
    file = false, -- where lines are added
    reader = false, -- where they are read
    size = 0, -- bytes that the file has, or should have
    size_on_disk = 0, -- so many of them certainly reached the disk
    synced_at = -math.huge,
    failed = nil, -- why it cannot be used any more
  }, RecordLog)
  local ok, problem = pcall(self.start, self, settings)
  if ok then
    return self
  end
  self:release()
  if failure.is(problem) then
    return nil, problem
  end
  error(problem, 0)
end

return record_log
