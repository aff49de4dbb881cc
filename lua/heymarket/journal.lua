--- The journal of an import: what has its outcome, so that the same call can go on after a death.
---
--- A text file that only grows, one line a fact, each with its own checksum: a line torn by a crash is no line.
---
---   heymarket-journal 1 <options as JSON>    first line: what the import was told
---   input <count> <sum>                      fingerprint of the first contacts of the source
---   > <indices>                              these are about to be sent
---   < <indices> <sum> <rejected as JSON>     these were answered; all that are not listed were accepted
---   ! <indices>                              these certainly did not arrive
---
--- Indices are ranges such as 1-100,105. A sum adds up a hash of each contact's wire form, so that another input shows.
--- Lines are written at once; they reach the disk with the answers (see `flush`), never ahead of them.
local journal = {}

local core = require "heymarket.core"
local failure = require "heymarket.failure"
local json = require "heymarket.json"

local FORMAT = "heymarket-journal 1 "
local SUM_LIMIT = 2 ^ 52 -- sums stay exact in a double
local SYNC_EVERY = 1 -- seconds between two waits for the disk

local Journal = {}
Journal.__index = Journal

--- Number of contacts by which an input is known at the start.
journal.PREFIX = 100

local function fail(path, what, problem)
  return failure.new("journal", ("%s (journal %s): %s"):format(what, path, tostring(problem)))
end

-- 52 bits of the hash of a wire form.
local function fingerprint(body)
  return tonumber(core.hash(body):sub(1, 13), 16)
end

local function add(sum, body)
  return (sum + fingerprint(body)) % SUM_LIMIT
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
  return self:write("> " .. ranges(entries))
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
      sum = add(sum, entry.body)
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
---@param problem heymarket.Failure
---@param maybe boolean?
---@return boolean?
---@return heymarket.Failure?
function Journal:failed(entries, problem, maybe)
  local certain = {}
  for _, entry in ipairs(entries) do
    if problem.delivered == "no" and not maybe and not entry.maybe then
      certain[#certain + 1] = entry
    end
  end
  return #certain == 0 or self:write("! " .. ranges(certain))
end

--- What an earlier run noted of a contact. To be asked for each contact, in input order.
---@param entry heymarket.Entry its `maybe` is set where an earlier run may have sent it
---@return {outcome: string, remote: table?, ambiguous: boolean?}? known nil when it is still to be sent
---@return heymarket.Failure? problem when the contact is not the one that was noted
function Journal:known(entry)
  local record = self.done:find(entry.index)
  if record then
    record.seen = add(record.seen, entry.body)
    record.left = record.left - 1
    if record.left == 0 and record.seen ~= record.sum then
      return nil, self:other_input(entry.index)
    end
    local rejected = record.rejected[entry.index]
    if rejected then
      return { outcome = "rejected", remote = rejected.remote, ambiguous = rejected.ambiguous }
    end
    return { outcome = "accepted" }
  end
  if self.sent:find(entry.index) and not self.undelivered:find(entry.index) then
    entry.maybe = true
  end
end

function Journal:other_input(index)
  return failure.new(
    "journal",
    ("this journal was made from another input (contact %d or one before it differs): use that input, or another journal"):format(
      index
    ),
    { code = "OTHER_INPUT" }
  )
end

--- Compares or notes the fingerprint of the input, before anything is sent.
---@param bodies string[] wire forms of the first contacts; "" for an invalid one
---@return boolean?
---@return heymarket.Failure?
function Journal:begin(bodies)
  local sum = 0
  for i, body in ipairs(bodies) do
    -- The place counts too: the same contacts in another order are another input.
    sum = add(sum, i .. body)
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
  self.file:close()
  return ok, problem
end

-- Reads the answered contacts of one line into ranges that share a record.
local function read_answer(self, rest)
  local written, sum, rejected = rest:match "^(%S+) (%d+) (.*)$"
  local ok, list = json.decode(rejected or "")
  if not ok then
    return
  end
  local record = { sum = tonumber(sum), seen = 0, left = 0, rejected = {} }
  for _, item in ipairs(list) do
    record.rejected[item.index] = item
  end
  each_range(written, function(first, last)
    record.left = record.left + last - first + 1
    self.done:add(first, last, record)
  end)
end

local function compare_options(stored, options)
  local different = {}
  for name, value in pairs(options) do
    if stored[name] ~= value then
      different[#different + 1] = name
    end
  end
  table.sort(different)
  return different
end

-- Takes in what an earlier run has written. Returns false when there is nothing to take in.
local function replay(self, options)
  local header
  for line in self.file:lines() do
    local text, sum = line:match "^(.*) (%x+)$"
    if text and checksum(text) == sum then
      local kind, rest = text:match "^(%S+) (.*)$"
      if not header then
        if text:sub(1, #FORMAT) ~= FORMAT then
          return nil, "it is not a journal of this version of heymarket"
        end
        local ok, stored = json.decode(text:sub(#FORMAT + 1))
        header = ok and stored or {}
        local different = compare_options(header, options)
        if #different > 0 then
          return nil,
            "it was made with another " .. table.concat(different, ", ") .. ": use the same options, or another journal"
        end
      elseif kind == "input" then
        local count, total = rest:match "^(%d+) (%d+)$"
        self.prefix = { count = tonumber(count), sum = tonumber(total) }
      elseif kind == ">" or kind == "!" then
        local target = kind == ">" and self.sent or self.undelivered
        each_range(rest, function(first, last)
          target:add(first, last, true)
        end)
      elseif kind == "<" then
        read_answer(self, rest)
      end
    elseif not header and line ~= "" and #line > 200 then
      return nil, "it is not a journal of heymarket"
    end
  end
  return header ~= nil
end

--- Opens a journal, a new one or that of an earlier run.
---@param path string
---@param options table<string, any> what makes one import different from another
---@param monotonic fun():number clock, seconds
---@return table? journal
---@return heymarket.Failure?
function journal.open(path, options, monotonic)
  local file, problem = io.open(path, "a+b")
  if not file then
    return nil, fail(path, "the journal cannot be opened", problem)
  end
  file:setvbuf "no" -- a line is on its way to the disk when write returns
  local self = setmetatable({
    path = path,
    file = file,
    monotonic = monotonic,
    synced = -math.huge,
    done = new_ranges(),
    sent = new_ranges(),
    undelivered = new_ranges(),
  }, Journal)
  local locked, locked_by = core.lock(file)
  if not locked then
    file:close()
    return nil, fail(path, "another import is using the journal", locked_by)
  end
  local found, why = replay(self, options)
  if found == nil then
    file:close()
    return nil, fail(path, "the journal does not belong to this import", why)
  end
  -- A torn last line must not swallow what follows it.
  file:seek("end", 0)
  local size = file:seek "end"
  if size > 0 then
    file:seek("set", size - 1)
    if file:read(1) ~= "\n" then
      file:seek "end"
      file:write "\n"
    end
  end
  file:seek "end"
  if not found then
    local ok, failed = self:write(FORMAT .. json.encode(options))
    if not ok then
      file:close()
      return nil, failed
    end
  end
  return self
end

return journal
