--- The failures file of an import: the rows that were not accepted, as CSV that can be mended and imported again.
local failures = {}

local core = require "heymarket.core"
local csv = require "heymarket.csv"
local text = require "heymarket.text"

local OWN = { "_row", "_outcome", "_field", "_message" }

local is_own = {}
for _, name in ipairs(OWN) do
  is_own[name] = true
end

local File = {}
File.__index = File

--- Are a path and an open file the same file, or is the path in use by another import? Names do not tell, because of
--- links; a lock does.
---@param path string
---@param handle userdata open file; it is locked from here until it is closed
---@return boolean
function failures.is_taken(path, handle)
  -- A device such as /dev/null may be used by anyone, as often as they like.
  local other = not path:find "^/dev/" and io.open(path, "rb")
  if not other then
    return false
  end
  local taken = false
  if core.lock(handle) then
    local free, why = core.lock(other)
    taken = not free and why:find("in use", 1, true) ~= nil
  end
  other:close()
  return taken
end

--- Opens a failures file, so that it is known to be writable. What it holds stays until `begin`.
---@param path string
---@param columns string[] header of the input
---@param terms table `overwrite`: does the import overwrite what exists? `sentence(failure)`: what it says to the user;
--- `kept(path, copy)` is called when an earlier content was kept
---@return table? file
---@return string? message
function failures.open(path, columns, terms)
  core.create(path) -- it holds people's data: for its owner only
  local guard, message = io.open(path, "ab")
  if not guard then
    return nil, "the failures file cannot be opened: " .. message
  end
  local locked, why = core.lock(guard)
  if not locked and why:find("in use", 1, true) and not path:find "^/dev/" then
    guard:close()
    return nil, ("the failures file %s is in use by another import"):format(path)
  end
  local kept = {} -- columns of an earlier failures file give way to the new ones
  for i, name in ipairs(columns) do
    if not is_own[name] then
      kept[#kept + 1] = i
    end
  end
  return setmetatable({
    path = path,
    guard = guard, -- holds the lock
    columns = columns,
    kept = kept,
    terms = terms,
    count = 0,
    problem = nil, -- why it could not be written
  }, File)
end

function File:put(cells)
  local ok, message = self.handle:write(csv.encode_row(cells))
  if not ok then
    self.problem = self.problem or tostring(message)
  end
end

--- Where the earlier content of a failures file is kept.
---@param path string of the failures file
---@return string
function failures.old_path(path)
  return path .. ".old"
end

local function copy(from, to)
  local input, output, message
  input, message = io.open(from, "rb")
  if not input then
    return nil, message
  end
  output, message = io.open(to, "wb")
  local ok = output ~= nil
  while ok do
    local piece, problem = input:read(65536)
    if not piece then
      ok, message = not problem, problem
      break
    end
    ok, message = output:write(piece)
  end
  input:close()
  if output then
    local closed, problem = output:close()
    if ok then
      ok, message = closed, problem
    end
  end
  return ok, message
end

-- Keeps what the file holds: its rows may have been mended since, and are nowhere else.
function File:keep()
  local size = not self.path:find "^/dev/" and self.guard:seek "end"
  if not size or size == 0 then
    return true -- a pipe holds nothing
  end
  local old = failures.old_path(self.path)
  core.create(old) -- for its owner only, too
  local guard, message = io.open(old, "ab")
  local ok = guard ~= nil
  if guard then
    -- The journal is locked, so it cannot be taken for an old copy.
    local locked, why = core.lock(guard)
    if not locked and why:find("in use", 1, true) then
      ok, message = false, why
    else
      ok, message = copy(self.path, old)
    end
    guard:close()
  end
  if not ok then
    return nil, ("what it held could not be kept as %s: %s"):format(old, tostring(message))
  end
  self.terms.kept(self.path, old)
  return true
end

--- Empties the file, whose content is kept, and writes its header. Can be called twice.
function File:begin()
  if self.handle or self.problem then
    return
  end
  local kept, message = self:keep()
  if not kept then
    self.problem = message
    return
  end
  self.handle, message = io.open(self.path, "wb")
  if not self.handle then
    self.problem = message
    return
  end
  self.handle:setvbuf("full", 65536)
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
  -- What we write ourselves must not be taken for a formula by a spreadsheet.
  if message:find "^[=+%-@]" then
    message = " " .. message
  end
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
  self.unflushed = true
  self:put(cells)
end

--- Hands what was written to the system.
function File:flush()
  if self.unflushed and self.handle and not self.problem then
    self.unflushed = false
    local ok, message = self.handle:flush()
    if not ok then
      self.problem = tostring(message)
    end
  end
end

--- Closes the file. Can be called twice.
function File:close()
  if self.handle then
    local ok, message = self.handle:close()
    self.handle = nil
    if not ok and not self.problem then
      self.problem = tostring(message)
    end
  end
  if self.guard then
    self.guard:close()
    self.guard = nil
  end
end

return failures
