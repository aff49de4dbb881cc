--- The journal of an import: what has its outcome, so that the same call can go on after a death.
---
--- A text file that only grows, one line a fact, each with its own checksum: a line torn by a crash is no line.
---
---   heymarket-journal 1 <options as JSON>    first line: what the import was told
---   input <count> <sum>                      fingerprint of the first contacts of the source
---   > <indices> <marks>                      these are about to be sent
---   < <indices> <sum> <rejected as JSON>     these were answered; all that are not listed were accepted
---   ! <indices>                              these certainly did not arrive
---   end <count>                              the source ended after so many contacts
---
--- Indices are ranges such as 1-100,105. A sum adds up a hash of each contact's place and wire form, a mark is the
--- start of one such hash: by them another input shows.
--- Lines are written at once; they reach the disk with the answers (see `flush`), never ahead of them.
local journal = {}

local core = require "heymarket.core"
local failure = require "heymarket.failure"
local json = require "heymarket.json"

local FORMAT = "heymarket-journal 1 "
local SUM_LIMIT = 2 ^ 52 -- sums stay exact in a double
local SYNC_EVERY = 1 -- seconds between two waits for the disk
local MARK = 6 -- characters of a mark

local Journal = {}
Journal.__index = Journal

--- Number of contacts by which an input is known at the start.
journal.PREFIX = 100

local function fail(path, what, problem)
  return failure.new("journal", ("%s (journal %s): %s"):format(what, path, tostring(problem)))
end

-- The place counts too: the same contacts in another order are another input.
local function hash(index, body)
  return core.hash(index .. ":" .. body)
end

-- 52 bits of the hash.
local function add(sum, hashed)
  return (sum + tonumber(hashed:sub(1, 13), 16)) % SUM_LIMIT
end

local function hash_of(entry)
  entry.hash = entry.hash or hash(entry.index, entry.body)
  return entry.hash
end

local function by_index(a, b)
  return a.index < b.index
end

local function ranges(entries)
  local indices = {}
  for i, entry in ipairs(entries) do
    indices[i] = entry.index
  end
  table.sort(indices)
  local parts, i = {}, 1
  while i <= #indices do
    local last = i
    while indices[last + 1] == indices[last] + 1 do
      last = last + 1
    end
    parts[#parts + 1] = last > i and indices[i] .. "-" .. indices[last] or tostring(indices[i])
    i = last + 1
  end
  return table.concat(parts, ",")
end

local function each_range(written, visit)
  for first, last in written:gmatch "(%d+)%-?(%d*)" do
    visit(tonumber(first), tonumber(last ~= "" and last or first))
  end
end

-- Sorted, disjoint ranges with a value each. A journal of a million contacts is read into few of them.
local Ranges = {}
Ranges.__index = Ranges

local function new_ranges()
  return setmetatable({ sorted = true }, Ranges)
end

function Ranges:add(first, last, value)
  self[#self + 1] = { first, last, value }
  self.sorted = false
end

function Ranges:find(index)
  if not self.sorted then
    table.sort(self, function(a, b)
      return a[1] < b[1]
    end)
    self.sorted = true
  end
  local low, high = 1, #self
  while low <= high do
    local middle = math.floor((low + high) / 2)
    local range = self[middle]
    if index < range[1] then
      high = middle - 1
    elseif index > range[2] then
      low = middle + 1
    else
      return range[3]
    end
  end
end

local function checksum(line)
  return core.hash(line):sub(1, 8)
end

function Journal:write(line)
  if self.problem then
    return nil, self.problem
  end
  local ok, problem = self.file:write(line .. " " .. checksum(line) .. "\n")
  if not ok then
    self.problem =
      fail(self.path, "the journal could not be written, so the import stopped; make room and call again", problem)
    return nil, self.problem
  end
  return true
end

-- Waits for the disk, now and then. What was written survives the death of the process; this is for the machine's.
function Journal:flush()
  local now = self.monotonic()
  if now - self.synced < SYNC_EVERY then
    return true
  end
  self.synced = now
  local ok, problem = core.sync(self.file)
  if not ok then
    self.problem = fail(self.path, "the journal did not reach the disk, so the import stopped", problem)
    return nil, self.problem
  end
  return true
end

--- Notes contacts that are about to be sent.
---@param entries heymarket.Entry[]
---@return boolean?
---@return heymarket.Failure?
function Journal:sending(entries)
  local marks, sorted = {}, {}
  for i, entry in ipairs(entries) do
    sorted[i] = entry
  end
  table.sort(sorted, by_index)
  for i, entry in ipairs(sorted) do
    marks[i] = hash_of(entry):sub(1, MARK)
  end
  return self:write(("> %s %s"):format(ranges(entries), table.concat(marks)))
end

--- Notes contacts that a 200 answer covers.
---@param entries heymarket.Entry[]
---@param remotes table<string, table> by phone: what the server listed
---@param problem heymarket.Failure? set where the contacts that were not listed are unknown
---@param maybe boolean? an earlier try may have been acted upon
---@return boolean?
---@return heymarket.Failure?
function Journal:answered(entries, remotes, problem, maybe)
  local sum, known, rejected = 0, {}, json.array {}
  for _, entry in ipairs(entries) do
    local remote = remotes[entry.phone]
    if remote or not problem then
      known[#known + 1] = entry
      sum = add(sum, hash_of(entry))
    end
    if remote then
      rejected[#rejected + 1] = { index = entry.index, remote = remote, ambiguous = maybe or entry.maybe or nil }
    end
  end
  if #known == 0 then
    return true
  end
  local ok, why = self:write(("< %s %.0f %s"):format(ranges(known), sum, json.encode(rejected)))
  if not ok then
    return nil, why
  end
  return self:flush()
end

--- Notes contacts that were refused or never arrived: where that is certain, a later run sends them as if for the first
--- time.
---@param entries heymarket.Entry[]
---@param problem heymarket.Failure? nil where they never left
---@param maybe boolean?
---@return boolean?
---@return heymarket.Failure?
function Journal:failed(entries, problem, maybe)
  local certain = {}
  for _, entry in ipairs(entries) do
    if not (problem and problem.delivered == "maybe" or maybe or entry.maybe) then
      certain[#certain + 1] = entry
    end
  end
  return #certain == 0 or self:write("! " .. ranges(certain))
end

--- Compares a contact with what an earlier run noted of it. To be asked for each valid contact, in input order.
---
--- What was answered is given back only when all that stood in the same answer was seen again and is what it was.
---@param entry heymarket.Entry its `maybe` is set where an earlier run may have sent it
---@return heymarket.Entry[]? answered contacts whose outcome is certain now, each with `known`; nil: send this one
---@return heymarket.Failure? problem when the contact is not the one that was noted
function Journal:meet(entry)
  if self.total and entry.index > self.total then
    return nil, self:other_input(entry.index)
  end
  local record = self.done:find(entry.index)
  if record then
    record.seen = add(record.seen, hash_of(entry))
    record.left = record.left - 1
    self.incomplete[record] = self.incomplete[record] or {}
    local waiting = self.incomplete[record]
    if record.left == 0 and record.seen ~= record.sum then
      return nil, self:other_input(entry.index)
    end
    local rejected, problem
    if record.left == 0 then
      rejected, problem = self:rejected_of(record)
      if not rejected then
        return nil, problem
      end
    end
    waiting[#waiting + 1] = entry
    if record.left > 0 then
      return {}
    end
    self.incomplete[record] = nil
    for _, other in ipairs(waiting) do
      local item = rejected[other.index]
      other.known = item and { outcome = "rejected", remote = item.remote, ambiguous = item.ambiguous }
        or { outcome = "accepted" }
    end
    return waiting
  end
  local mark = self.maybe[entry.index]
  if mark and mark ~= hash_of(entry):sub(1, MARK) then
    return nil, self:other_input(entry.index)
  elseif mark then
    self.maybe[entry.index] = nil
    entry.maybe = true
  end
end

--- The same for a contact that is invalid: then an earlier run has not sent it.
---@param index integer
---@return heymarket.Failure? problem
function Journal:meet_invalid(index)
  if self.total and index > self.total or self.done:find(index) or self.maybe[index] then
    return self:other_input(index)
  end
end

--- The contacts that `meet` has kept, because what stood with them in an answer was not seen yet.
---@return heymarket.Entry[]
function Journal:waiting()
  local entries = {}
  for _, waiting in pairs(self.incomplete) do
    for _, entry in ipairs(waiting) do
      entries[#entries + 1] = entry
    end
  end
  self.incomplete = {}
  table.sort(entries, by_index)
  return entries
end

--- Was all seen again that an earlier run noted, after so many contacts?
---@param count integer
---@return boolean
function Journal:is_verified(count)
  return count >= self.last
end

--- Compares or notes where the input ends.
---@param count integer
---@return boolean?
---@return heymarket.Failure?
function Journal:ended(count)
  if self.total and self.total ~= count or count < self.noted then
    return nil, self:other_input(count)
  end
  return self.total and true or self:write(("end %d"):format(count))
end

function Journal:other_input(index)
  return failure.new(
    "journal",
    (
      "this journal was made from another input (it differs at contact %d or before): use the same input, or another "
      .. "journal"
    ):format(index),
    { reason = "other_input" }
  )
end

--- Compares or notes the fingerprint of the input, before anything is sent.
---@param bodies string[] wire forms of the first contacts; "" for an invalid one
---@return boolean?
---@return heymarket.Failure?
function Journal:begin(bodies)
  local sum = 0
  for i, body in ipairs(bodies) do
    sum = add(sum, hash(i, body))
  end
  if not self.prefix then
    return self:write(("input %d %.0f"):format(#bodies, sum))
  elseif self.prefix.count ~= #bodies or self.prefix.sum ~= sum then
    return nil, self:other_input(#bodies)
  end
  return true
end

--- Ends the use of the journal. The file stays: the same call finds in it that nothing is left to do.
---@return boolean?
---@return heymarket.Failure?
function Journal:close()
  local ok, problem = true, self.problem
  if not problem then
    self.synced = -math.huge
    ok, problem = self:flush()
  end
  self.reader:close()
  self.file:close()
  return ok, problem
end

-- Notes the answered contacts of one line as ranges that share a record. What was rejected stays in the file until it
-- is asked for: an import of which everything was rejected must not fill the memory when it is run again.
local function read_answer(self, rest, offset)
  local written, sum, rejected = rest:match "^(%S+) (%d+) (.*)$"
  if not written then
    return
  end
  local record = { sum = tonumber(sum), seen = 0, left = 0, offset = rejected ~= "[]" and offset or nil }
  each_range(written, function(first, last)
    record.left = record.left + last - first + 1
    self.done:add(first, last, record)
    self.noted = math.max(self.noted, last)
    for index = first, last do
      self.maybe[index] = nil
    end
  end)
end

function Journal:rejected_of(record)
  local rejected = {}
  if record.offset then
    self.reader:seek("set", record.offset)
    local line = self.reader:read "*l"
    local ok, list = json.decode((line or ""):match "^< %S+ %d+ (.*) %x+$" or "")
    if not ok then
      return nil, fail(self.path, "the journal was changed by somebody else", "a line is not where it was")
    end
    for _, item in ipairs(list) do
      rejected[item.index] = item
    end
  end
  return rejected
end

local function compare_options(stored, options)
  local different, seen = {}, {}
  for _, side in ipairs { stored, options } do
    for name in pairs(side) do
      if stored[name] ~= options[name] and not seen[name] then
        seen[name] = true
        different[#different + 1] = name
      end
    end
  end
  table.sort(different)
  return different
end

local READ = {
  input = function(self, rest)
    local count, total = rest:match "^(%d+) (%d+)$"
    self.prefix = { count = tonumber(count), sum = tonumber(total) }
  end,
  [">"] = function(self, rest)
    local written, marks = rest:match "^(%S+) (%x+)$"
    local at = 1
    each_range(written or "", function(first, last)
      for index = first, last do
        self.maybe[index] = marks:sub(at, at + MARK - 1)
        at = at + MARK
      end
      self.noted = math.max(self.noted, last)
    end)
  end,
  ["!"] = function(self, rest)
    each_range(rest, function(first, last)
      for index = first, last do
        self.maybe[index] = nil
      end
    end)
  end,
  ["<"] = read_answer,
  ["end"] = function(self, rest)
    self.total = tonumber(rest)
  end,
}

-- Lines and where they begin. file:lines() of Lua 5.1 and 5.2 loses count at zero bytes, which a crash of the machine
-- can leave behind.
local function lines_of(file)
  local rest, offset = "", 0
  return function()
    local last = rest:find("\n", 1, true)
    while not last do
      local chunk = file:read(65536)
      if not chunk then
        break
      end
      local searched = #rest
      rest = rest .. chunk
      last = rest:find("\n", searched + 1, true)
    end
    if rest == "" then
      return nil
    end
    local line, at = rest:sub(1, (last or #rest + 1) - 1), offset
    rest = rest:sub((last or #rest) + 1)
    offset = at + #line + 1
    return line, at
  end
end

-- Takes in what an earlier run has written. Returns false where there is nothing, nil where it is not ours.
local function replay(self, options)
  local size = self.reader:seek "end"
  if not size then
    return nil, "it is not a plain file"
  elseif size == 0 then
    return false
  end
  self.reader:seek "set"
  -- Whatever else is there is the user's, and may be of any size.
  if self.reader:read(math.min(size, #FORMAT)) ~= FORMAT:sub(1, size) then
    return nil, "it is not a journal of this version of heymarket, and was left as it is"
  end
  self.reader:seek "set"
  local header
  for line, offset in lines_of(self.reader) do
    local text, sum = line:match "^(.*) (%x+)$"
    local good = text and checksum(text) == sum
    if not header then
      if not good and #line == size then
        return false -- torn while it was begun
      end
      local ok, stored = json.decode(good and text:sub(#FORMAT + 1) or "")
      if not ok or type(stored) ~= "table" then
        return nil, "its first line is damaged"
      end
      header = stored
      local different = compare_options(header, options)
      if #different > 0 then
        return nil,
          "it was made with another " .. table.concat(different, ", ") .. ": use the same options, or another journal"
      end
    elseif good then
      local kind, rest = text:match "^(%S+) (.*)$"
      if READ[kind] then
        READ[kind](self, rest, offset)
      end
    end
  end
  self.last = self.total and math.huge or self.noted
  return true
end

-- A torn last line must not swallow what follows it.
local function mend(self, found)
  if not found then
    local emptied = io.open(self.path, "wb")
    return emptied and emptied:close()
  end
  self.reader:seek("end", -1)
  return self.reader:read(1) == "\n" or self.file:write "\n"
end

--- Opens a journal, a new one or that of an earlier run.
---@param path string
---@param options table<string, any> what makes one import different from another
---@param monotonic fun():number clock, seconds
---@return table? journal
---@return heymarket.Failure?
function journal.open(path, options, monotonic)
  core.create(path) -- what the server lists is written there: for its owner only
  local file, problem = io.open(path, "a+b")
  local reader
  if file then
    reader, problem = io.open(path, "rb")
  end
  local function refuse(what, why)
    if file then
      file:close()
    end
    if reader then
      reader:close()
    end
    return nil, fail(path, what, why)
  end
  if not reader then
    return refuse("the journal cannot be opened", problem)
  end
  file:setvbuf "no" -- a line is on its way to the disk when write returns
  local self = setmetatable({
    path = path,
    file = file,
    reader = reader,
    monotonic = monotonic,
    synced = -math.huge,
    done = new_ranges(), -- answered
    maybe = {}, -- marks, by index, of what was sent and is not known to have an outcome
    incomplete = {}, -- by record: contacts that `meet` has seen of it, while some are missing
    noted = 0, -- the greatest index
    last = 0, -- how far the input is to be compared before anything is sent
    total = nil, -- number of contacts of the input, where its end was seen
  }, Journal)
  local locked, locked_by = core.lock(file)
  if not locked then
    return refuse("another import is using the journal", locked_by)
  end
  local found, why = replay(self, options)
  if found == nil then
    return refuse("the journal does not belong to this import", why)
  end
  local mended, torn = mend(self, found)
  if not mended then
    return refuse("the journal could not be written", torn)
  end
  if not found then
    local ok, failed = self:write(FORMAT .. json.encode(options))
    if not ok then
      reader:close()
      file:close()
      return nil, failed
    end
  end
  return self
end

return journal
