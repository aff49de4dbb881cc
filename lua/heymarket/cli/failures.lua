--- The failures file of an import: the rows that were not accepted, as CSV that can be mended and imported again.
local failures = {}

local csv = require "heymarket.csv"
local rows = require "heymarket.rows"
local system = require "heymarket.system"
local text = require "heymarket.util.text"

local OWN = { "_row", "_outcome", "_field", "_message" }

local is_own = {}
for _, name in ipairs(OWN) do
  is_own[name] = true
end

local BUFFERED = 65536 -- bytes that are held back before they are written
local BLOCK = 65536 -- bytes that are read or hashed at a time
local MAX_HEADER = 2 * 1024 * 1024 -- bytes
local MAX_COPIES = 100000
local UTF8_MARK = "\239\187\191"

---------------------------------------------------------------------------------------------------------------------
-- Was the file edited since this program wrote it?
--
-- The nanoseconds of the time when the file was last changed are set to a checksum of its content. This needs no second
-- file, and every program that changes the file sets another time. Where a file system rounds the time, or a program
-- that copies the file loses it, the file counts as edited: then it is copied once more than needed.

local Checksum = {}
Checksum.__index = Checksum

local function new_checksum()
  return setmetatable({ chain = "", rest = "" }, Checksum)
end

function Checksum:add(bytes)
  self.rest = self.rest .. bytes
  while #self.rest >= BLOCK do
    self.chain = rows.hash(self.chain .. self.rest:sub(1, BLOCK))
    self.rest = self.rest:sub(BLOCK + 1)
  end
end

-- A whole number below 1e9.
function Checksum:nanoseconds()
  return tonumber(rows.hash(self.chain .. self.rest):sub(1, 12), 16) % 1000000000
end

local function is_as_written(handle)
  local checksum = new_checksum()
  handle:seek "set"
  local piece = handle:read(BLOCK)
  while piece do
    checksum:add(piece)
    piece = handle:read(BLOCK)
  end
  return system.nanoseconds(handle) == checksum:nanoseconds()
end

---------------------------------------------------------------------------------------------------------------------
-- What a file holds

-- The first record: up to a line end that is not within quotes.
local function first_record(start)
  local quotes, from, stop = 0, 1
  repeat
    stop = start:find("[\r\n]", from) or #start + 1
    local _, count = start:sub(from, stop - 1):gsub('"', "")
    quotes = quotes + count
    from = stop + 1
  until quotes % 2 == 0 or stop > #start
  return start:sub(1, stop - 1)
end

-- Is this the header of a failures file? A spreadsheet may have saved it with quotes, or with another delimiter.
local function is_own_header(header)
  header = header:gsub("^" .. UTF8_MARK, ""):gsub('"([^"]*)"', function(cell)
    return (cell:gsub("[,;\t|]", " "))
  end)
  for _, delimiter in ipairs { ",", ";", "\t", "|" } do
    local own = delimiter .. table.concat(OWN, delimiter)
    if (delimiter .. header):sub(-#own) == own then
      return true
    end
  end
  return false
end

local function same_content(one, other)
  one:seek "set"
  other:seek "set"
  while true do
    local left, right = one:read(BLOCK), other:read(BLOCK)
    if left ~= right then
      return false
    elseif not left then
      return true
    end
  end
end

-- Is this path a copy of the file, and a file of its own?
local function is_copy(path, handle)
  local identity, kind, link = system.identity(path)
  if kind ~= "file" or link or identity == system.identity(handle) then
    return false
  end
  local other = io.open(path, "rb")
  if not other then
    return false
  end
  local same = handle:seek "end" == other:seek "end" and same_content(handle, other)
  other:close()
  return same
end

---------------------------------------------------------------------------------------------------------------------
-- The file

local File = {}
File.__index = File

-- Devices, and open files of this process by number: they are written to as they are, like /dev/stdout. What lies in
-- /dev/shm is an ordinary file.
local function is_stream(path)
  if path:find("/../", 1, true) or path:find "^/dev/shm/" then
    return false
  end
  return path:find "^/dev/" ~= nil or path:find "^/proc/[^/]+/fd/" ~= nil
end

--- Do two names lead to one ordinary file?
---@param path string
---@param other string|userdata path or open file
---@return boolean
function failures.is_same(path, other)
  local identity, kind = system.identity(path)
  return path == other or kind == "file" and identity == system.identity(other)
end

-- Opens an ordinary file and locks it. Only its owner can read it from here on.
local function open_ordinary(path)
  local prepared, code, reason = system.prepare(path)
  if not prepared then
    reason = code == "not_regular" and "it is not a plain file" or reason
    return nil, ("the failures file %s cannot be opened: %s"):format(path, reason)
  end
  -- For reading and writing, since opening a pipe for both does not wait for its other end.
  local handle, message = io.open(path, "a+b")
  if not handle then
    return nil, "the failures file cannot be opened: " .. message
  end
  local function refuse(sentence, ...)
    handle:close()
    return nil, sentence:format(path, ...)
  end
  handle:seek "set"
  local start = handle:read(MAX_HEADER)
  if start and not is_own_header(first_record(start)) then
    return refuse(
      "the failures file %s holds something else: its last columns are not _row, _outcome, _field and _message. "
        .. "It stays as it is; choose another name"
    )
  end
  local locked
  locked, code = system.lock(handle)
  if not locked and code == "in_use" then
    return refuse "the failures file %s is in use by another import"
  end
  local protected, _, problem = system.protect(handle)
  if not protected then
    return refuse("the failures file %s cannot be made readable by its owner only: %s", problem)
  end
  return handle
end

-- Keeps what the file holds, if it was edited: what was mended there is nowhere else.
function File:keep()
  if self.stream or self.handle:seek "end" == 0 or is_as_written(self.handle) then
    return true
  end
  local number = 0
  local done, code, reason
  repeat
    number = number + 1
    local copy = self.path .. "." .. number
    if is_copy(copy, self.handle) then
      return true -- kept by a run that ended before it could go on
    end
    done, code, reason = system.copy(self.handle, copy)
  until done or code ~= "exists" or number == MAX_COPIES
  local copy = self.path .. "." .. number
  if done then
    local _
    done, _, reason = system.sync_directory(copy)
  end
  if not done then
    return nil, ("it was edited, and could not be kept as %s: %s"):format(copy, reason)
  end
  self.terms.kept(self.path, copy)
  return true
end

--- Opens a failures file, so that it is known to be writable. Edits are copied now, so that nothing is sent where that
--- fails; what the file holds stays until `begin`.
---@param path string
---@param columns string[] header of the input
---@param terms table `overwrite`: does the import overwrite what exists? `sentence(failure)`: what it says to the user;
--- `kept(path, copy)` is called when an edited content was kept
---@return table? file
---@return string? message
function failures.open(path, columns, terms)
  local stream = is_stream(path)
  local handle, message
  if stream then
    handle, message = io.open(path, "ab")
    message = message and "the failures file cannot be opened: " .. message
  else
    handle, message = open_ordinary(path)
  end
  if not handle then
    return nil, message
  end
  local kept = {} -- columns of an earlier failures file give way to the new ones
  for i, name in ipairs(columns) do
    if not is_own[name] then
      kept[#kept + 1] = i
    end
  end
  local file = setmetatable({
    path = path,
    handle = handle, -- holds the lock
    stream = stream,
    columns = columns,
    kept = kept,
    terms = terms,
    count = 0,
    begun = false,
    lines = {}, -- not written yet
    size = 0, -- of these
    written = 0, -- bytes, since the file was emptied
    checksum = new_checksum(),
    problem = nil, -- why it could not be written
  }, File)
  local safe, problem = file:keep()
  if not safe then
    handle:close()
    return nil, ("the failures file %s stays as it is: %s"):format(path, problem)
  end
  return file
end

function File:put(cells)
  local line = csv.encode_row(cells)
  self.lines[#self.lines + 1] = line
  self.size = self.size + #line
  if self.size >= BUFFERED then
    self:flush()
  end
end

--- Empties the file, whose edits are kept, and writes its header. Can be called twice.
function File:begin()
  if self.begun or self.problem then
    return
  end
  if not self.stream then
    local ready, message = self:keep() -- it may have been edited since it was opened
    self.handle:seek "end" -- between reading and writing
    if ready then
      local _
      ready, _, message = system.truncate(self.handle, 0)
    end
    if not ready then
      self.problem = message
      return
    end
  end
  self.begun = true
  local cells = {}
  for i, at in ipairs(self.kept) do
    cells[i] = self.columns[at]
  end
  for _, name in ipairs(OWN) do
    cells[#cells + 1] = name
  end
  self:put(cells)
end

--- What is to be said of an item that was not accepted.
---@param item heymarket.Item
---@param terms table `overwrite` and `sentence` as for `open`
---@return string field name of the field, or names; empty where it is no matter of a field
---@return string message one line
function failures.explain(item, terms)
  if item.outcome == "rejected" then
    local message = "the server listed it as not created, and nothing shows that it exists; it gives no reason"
    if item.reason == "exists" then
      message = "it exists in the account already and was left as it was; --overwrite replaces it"
    elseif terms.overwrite then
      message = "the server listed it as not created or overwritten; it gives no reason"
    end
    if item.ambiguous then
      message = message .. " (possibly created by this run: an earlier try of the same request may have arrived)"
    end
    return "", message
  end
  local problem = item.failure
  if not problem then
    return "", ""
  elseif item.outcome ~= "invalid" or not problem.issues then
    return "", terms.sentence(problem)
  end
  local fields, messages = {}, {}
  for _, issue in ipairs(problem.issues) do
    if issue.field and fields[#fields] ~= issue.field then
      fields[#fields + 1] = issue.field
    end
    messages[#messages + 1] = (issue.field and issue.field .. " " or "") .. issue.message
  end
  return text.one_line(table.concat(fields, "; ")), text.one_line(table.concat(messages, "; "))
end

-- What we write ourselves must not be taken for a formula by a spreadsheet.
local function no_formula(cell)
  return cell:find "^[=+%-@]" and " " .. cell or cell
end

--- Writes the row of an item.
---@param item heymarket.Item
function File:write(item)
  self:begin()
  if self.problem then
    return
  end
  local row, cells = item.row or {}, {}
  for i, at in ipairs(self.kept) do
    cells[i] = row[at] or ""
  end
  local field, message = failures.explain(item, self.terms)
  local ragged = #row ~= #self.columns
  if ragged then
    message = message .. "; when it is mended, delete the cells after this one"
  end
  field, message = no_formula(field), no_formula(message)
  cells[#cells + 1] = tostring(item.position or item.index)
  cells[#cells + 1] = item.outcome
  cells[#cells + 1] = field
  cells[#cells + 1] = message
  if ragged then
    -- The row keeps its wrong number of cells, so that it cannot be taken for a good one, and every column its name.
    cells[#cells + 1] = row[#self.columns + 1] or ""
    for i = #self.columns + 2, #row do
      cells[#cells + 1] = row[i]
    end
  end
  self.count = self.count + 1
  self:put(cells)
end

local GONE = {
  replaced = "it was replaced by another file while the import ran",
  gone = "it was removed while the import ran",
}

--- Hands what was written to the system.
function File:flush()
  if #self.lines == 0 or self.problem then
    return
  end
  local content = table.concat(self.lines)
  self.lines, self.size = {}, 0
  local ok, message = self.handle:write(content)
  if ok then
    ok, message = self.handle:flush()
  end
  if ok and not self.stream then
    self.checksum:add(content)
    -- Where the time cannot be set, the file counts as edited next time.
    system.nanoseconds(self.handle, self.checksum:nanoseconds())
    local size, code, reason = system.size(self.handle, self.path)
    ok, message = size ~= nil, GONE[code] or reason
    self.written = self.written + #content
    if ok and size < self.written then
      ok, message = false, "it was cut while the import ran"
    end
  end
  if not ok then
    self.problem = tostring(message)
  end
end

--- Writes what is left and closes the file. Can be called twice.
function File:close()
  if not self.handle then
    return
  end
  self:flush()
  local ok, _, message = true, nil, nil
  if self.begun and not self.stream and not self.problem then
    ok, _, message = system.sync(self.handle)
    system.nanoseconds(self.handle, self.checksum:nanoseconds())
  end
  local closed, problem = self.handle:close()
  self.handle = nil
  if not (ok and closed) and not self.problem then
    self.problem = tostring(message or problem)
  end
end

return failures
