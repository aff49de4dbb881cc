--- The journal of an import: what has its outcome, so that the same call can go on after a death or a power cut.
---
--- A text file that only grows, one line a fact. Each line begins with its own place in the file (the number of bytes
--- before it) and ends with a checksum, so that a line that is damaged, missing or doubled shows.
---
---   heymarket-journal 2 <id> <options>                   first line: what the import was told, as JSON
---   <place> input <count> <sum>                          fingerprint of the first contacts of the source
---   <place> > <indices> <marks>                          these are about to be sent
---   <place> < <indices> <marks> <superseded> <rejected>  these were answered; what is not rejected was accepted
---   <place> ! <indices> <marks>                          these certainly did not arrive
---   <place> end <count>                                  the source ended after so many contacts
---   <place> =                                            all that stands before this line is on the disk
---
--- Indices are ranges such as 1-100,105. A mark is the start of a hash of a contact's index and wire form: by it
--- another input shows. Where two lines speak of the same contact, the later one holds.
---
--- `superseded`, with `overwrite` only, names earlier contacts that were not taken and whose phone was just accepted
--- with newer data: to send them again would bring the older data back.
---
--- A request starts only when its ">" line is on the disk (see `commit`). After a power cut everything behind the last
--- wait for the disk may be torn, lost or zeroed. So what comes after the first damaged line is left out, unless a
--- later "=" line says that the damaged line had reached the disk: then somebody else changed it, and the journal is
--- refused.
local journal = {}

local failure = require "heymarket.failure"
local json = require "heymarket.util.json"
local rows = require "heymarket.rows"
local system = require "heymarket.system"

local FORMAT = "heymarket-journal 2 "
local OLD_FORMAT = "heymarket-journal 1 "
local SUM_LIMIT = 2 ^ 52 -- sums stay exact in a double
local AMBIGUOUS, TRUNCATED = 1, 2 -- of a rejected contact; the sum is written
local SYNC_EVERY = 1 -- seconds between two waits for the disk while answers come in
local MARK = 8 -- characters of a mark
local CHECK = 8 -- characters of a checksum
local CHUNK = 65536
local MAX_HEADER = 4096

local Journal = {}
Journal.__index = Journal

--- Number of contacts by which an input is known at the start.
journal.PREFIX = 100

local function fail(path, what, problem, reason)
  return failure.new("journal", ("%s (journal %s): %s"):format(what, path, tostring(problem)), { reason = reason })
end

-- The place counts too: the same contacts in another order are another input.
local function hash(index, body)
  return rows.hash(index .. ":" .. body)
end

-- 52 bits of the hash.
local function add(sum, hashed)
  return (sum + tonumber(hashed:sub(1, 13), 16)) % SUM_LIMIT
end

local function mark_of(entry)
  entry.mark = entry.mark or hash(entry.index, entry.body):sub(1, MARK)
  return entry.mark
end

local function by_index(a, b)
  return a.index < b.index
end

-- The ranges and the marks of entries, as they stand in a line.
local function ranges_and_marks(entries)
  local sorted, marks = {}, {}
  for i, entry in ipairs(entries) do
    sorted[i] = entry
  end
  table.sort(sorted, by_index)
  for i, entry in ipairs(sorted) do
    marks[i] = mark_of(entry)
  end
  local parts, i = {}, 1
  while i <= #sorted do
    local first, last = sorted[i].index, sorted[i].index
    while sorted[i + 1] and sorted[i + 1].index == last + 1 do
      i, last = i + 1, last + 1
    end
    parts[#parts + 1] = last > first and ("%d-%d"):format(first, last) or ("%d"):format(first)
    i = i + 1
  end
  return table.concat(parts, ",") .. " " .. table.concat(marks)
end

local function checksum(id, text)
  return rows.hash(id .. text):sub(1, CHECK)
end

function Journal:stop(what, problem, reason)
  self.problem = self.problem or fail(self.path, what, problem, reason)
  return nil, self.problem
end

function Journal:write_line(text)
  if self.problem then
    return nil, self.problem
  end
  local line = text .. " " .. checksum(self.id, text) .. "\n"
  local ok, problem = self.file:write(line)
  if not ok then
    return self:stop("the journal could not be written, so the import stopped; make room and call again", problem)
  end
  self.size = self.size + #line
  return true
end

function Journal:write(line)
  return self:write_line(("%.0f %s"):format(self.size, line))
end

local CHANGED = {
  gone = "it was deleted",
  replaced = "another file stands in its place",
}

-- Waits for the disk, and notes that what was written so far is there. What was written survives the death of the
-- process; this is for the machine's.
function Journal:sync()
  if self.problem then
    return nil, self.problem
  end
  local size, code, words = system.size(self.file, self.path)
  if size ~= self.size then
    local what = CHANGED[code] or words or ("it has %.0f bytes instead of %.0f"):format(size, self.size)
    return self:stop("the journal was changed while it was in use, so the import stopped", what, "changed")
  elseif self.size == self.on_disk then
    return true
  end
  self.synced = self.monotonic()
  local ok, problem = system.sync(self.file)
  if not ok then
    return self:stop("the journal did not reach the disk, so the import stopped", problem)
  end
  ok, problem = self:write "="
  self.uncommitted = false
  self.on_disk = self.size
  return ok, problem
end

--- Notes contacts that are about to be sent. Nothing of them may leave before `commit`.
---@param entries heymarket.Entry[]
---@return boolean?
---@return heymarket.Failure?
function Journal:sending(entries)
  self.uncommitted = true
  return self:write("> " .. ranges_and_marks(entries))
end

--- Brings to the disk what `sending` has noted: one wait for all that was noted since the last one.
---@return boolean?
---@return heymarket.Failure?
function Journal:commit()
  if self.problem then
    return nil, self.problem
  end
  return not self.uncommitted or self:sync()
end

-- Remembers, for the length of this run, contacts that were not taken: when their phone is accepted with a later
-- contact, they must not be sent again.
function Journal:remember(entry, maybe)
  if self.overwrite then
    local noted = ("%d:%s%s"):format(entry.index, mark_of(entry), maybe and "?" or "")
    local before = self.undone[entry.phone]
    self.undone[entry.phone] = before and before .. "," .. noted or noted
  end
end

--- Notes contacts that a 200 answer covers.
---@param entries heymarket.Entry[]
---@param remotes table<string, table> by phone: what the server listed
---@param problem heymarket.Failure? set where the contacts that were not listed are unknown
---@param maybe boolean? an earlier try may have been acted upon
---@param truncated table<string, boolean> by phone: remotes that are not whole
---@return boolean?
---@return heymarket.Failure?
function Journal:answered(entries, remotes, problem, maybe, truncated)
  local known, superseded, rejected = {}, {}, json.array {}
  for _, entry in ipairs(entries) do
    local remote = remotes[entry.phone]
    if remote then
      known[#known + 1] = entry
      -- The contact is JSON in JSON, so that it is read again by itself, however deep it is.
      local flags = ((maybe or entry.possibly_sent) and AMBIGUOUS or 0) + (truncated[entry.phone] and TRUNCATED or 0)
      rejected[#rejected + 1] = { entry.index, flags, json.encode(remote) }
    elseif problem then
      self:remember(entry, true)
    else
      known[#known + 1] = entry
      superseded[#superseded + 1] = self.undone[entry.phone]
      self.undone[entry.phone] = nil
    end
  end
  if #known == 0 then
    return true
  end
  local ok, why = self:write(
    ("< %s %s %s"):format(
      ranges_and_marks(known),
      #superseded > 0 and table.concat(superseded, ",") or "-",
      #rejected > 0 and json.encode(rejected) or "-"
    )
  )
  if not ok then
    return nil, why
  end
  return self.monotonic() - self.synced < SYNC_EVERY or self:sync()
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
    local arrived = problem and problem.delivered == "maybe" or maybe or entry.possibly_sent
    if not arrived then
      certain[#certain + 1] = entry
    end
    self:remember(entry, arrived)
  end
  return #certain == 0 or self:write("! " .. ranges_and_marks(certain))
end

-- What an earlier run noted. There is one segment for each line and, because it may lie far away, for each superseded
-- contact: the greatest and the smallest index, and the place of the line, which is read again when its contacts come
-- up. Three numbers are all that a request costs in memory.
local function add_segment(self, first, last, place)
  local id = #self.places + 1
  self.firsts[id], self.lasts[id], self.places[id] = first, last, place
  self.noted = math.max(self.noted, last)
  return id
end

local function note_line(self, kind, rest, place)
  local ranges, more = rest:match "^(%S+) %x+(.*)$"
  local first, last = tonumber(ranges:match "^%d+"), tonumber(ranges:match "%d+$")
  local id = self.open[ranges]
  if id then
    -- The same contacts once more: nobody else had them meanwhile, so the later line takes the place of the earlier.
    self.places[id] = place
  else
    id = add_segment(self, first, last, place)
  end
  self.open[ranges] = kind ~= "<" and id or nil
  local superseded = more:match "^ (%S+)"
  for index in (superseded or ""):gmatch "(%d+):%x+" do
    add_segment(self, tonumber(index), tonumber(index), place)
  end
end

local READ = {
  input = function(self, rest)
    local count, total = rest:match "^(%d+) (%d+)$"
    self.prefix = { count = tonumber(count), sum = tonumber(total) }
  end,
  ["end"] = function(self, rest)
    self.total = tonumber(rest)
  end,
  ["="] = function() end,
}
for _, kind in ipairs { ">", "<", "!" } do
  READ[kind] = function(self, rest, place)
    note_line(self, kind, rest, place)
  end
end

-- Takes a line apart: nil where it is damaged.
local function parse(id, line, place)
  local text = line:sub(1, -CHECK - 2)
  if line:sub(-CHECK - 1) ~= " " .. checksum(id, text) then
    return nil
  end
  local claimed, kind, rest = text:match "^(%d+) (%S+) ?(.*)$"
  return kind, rest, tonumber(claimed) == place
end

-- The line at a place, in a form in which contacts can be looked up.
local function load(self, place)
  local reader, text = self.reader, ""
  reader:seek("set", place)
  local last
  repeat
    local chunk = reader:read(math.max(1024, #text))
    last = chunk and chunk:find("\n", 1, true)
    text = text .. (last and chunk:sub(1, last - 1) or chunk or "")
  until last or not chunk
  local kind, rest, placed = parse(self.id, text, place)
  if not kind or not placed or not READ[kind] then
    return self:stop("the journal was changed by somebody else", "a line is not where it was", "changed")
  end
  local ranges, marks, superseded, rejected = rest:match "^(%S+) (%x+) ?(%S*) ?(.*)$"
  local line = { kind = kind, marks = marks, written = rejected ~= "-" and rejected or nil, superseded = {} }
  local count = 0
  for first, to in ranges:gmatch "(%d+)%-?(%d*)" do
    first = tonumber(first)
    to = tonumber(to) or first
    line[#line + 1] = { first = first, last = to, before = count }
    count = count + to - first + 1
  end
  for index, mark, doubt in superseded:gmatch "(%d+):(%x+)(%??)" do
    line.superseded[tonumber(index)] = { kind = "superseded", mark = mark, possibly_sent = doubt == "?" }
  end
  return line
end

-- What a line says of a contact. Contacts are asked for in ascending order.
local function look_up(line, index)
  if line.superseded[index] then
    return line.superseded[index]
  end
  line.at = line.at or 1
  while line[line.at] and line[line.at].last < index do
    line.at = line.at + 1
  end
  local range = line[line.at]
  if range and range.first <= index then
    local from = (range.before + index - range.first) * MARK
    return { kind = line.kind, mark = line.marks:sub(from + 1, from + MARK), line = line }
  end
end

-- The latest note of a contact, nil where there is none. To be asked for each index, in ascending order.
function Journal:note_of(index)
  local order, active = self.order, self.active
  while order[self.upcoming] and self.firsts[order[self.upcoming]] <= index do
    local id = order[self.upcoming]
    self.upcoming = self.upcoming + 1
    local line, problem = load(self, self.places[id])
    if not line then
      return nil, problem
    end
    active[#active + 1] = { place = self.places[id], last = self.lasts[id], line = line }
  end
  local latest, place = nil, -1
  for i = #active, 1, -1 do
    local segment = active[i]
    if segment.last < index then
      table.remove(active, i)
    elseif segment.place > place then
      local note = look_up(segment.line, index)
      if note then
        latest, place = note, segment.place
      end
    end
  end
  return latest
end

local function rejected_of(self, line)
  if not line.rejected then
    line.rejected = {}
    local ok, list = true, {}
    if line.written then
      ok, list = json.decode(line.written)
    end
    for _, item in ipairs(ok and list or {}) do
      local read, remote = json.decode(item[3])
      ok = ok and read
      line.rejected[item[1]] = {
        outcome = "rejected",
        remote = remote,
        ambiguous = item[2] % TRUNCATED == AMBIGUOUS or nil,
        remote_truncated = item[2] >= TRUNCATED or nil,
      }
    end
    if not ok then
      return self:stop("the journal cannot be read", "an answer in it is not JSON")
    end
  end
  return line.rejected
end

local function superseded_failure(maybe)
  return failure.new(
    "stopped",
    "not sent again, because an earlier run had a later contact of the same phone accepted, which this older one would "
      .. "overwrite",
    { reason = "superseded", delivered = maybe and "maybe" or "no" }
  )
end

-- The outcome of all that was accepted.
local ACCEPTED = { outcome = "accepted" }

-- Compares an entry with what an earlier run noted of it. Returns why that cannot be.
function Journal:verify(entry)
  local index = entry.index
  if self.total and index > self.total then
    return self:other_input(index)
  end
  local note, problem = self:note_of(index)
  if not note then
    return problem
  elseif entry.problem or note.mark ~= mark_of(entry) then
    -- An invalid contact was sent by no run.
    return self:other_input(index)
  elseif note.kind == "superseded" then
    local outcome = note.possibly_sent and "unknown" or "failed"
    entry.known = { outcome = outcome, failure = superseded_failure(note.possibly_sent) }
  elseif note.kind == "<" then
    local rejected, unreadable = rejected_of(self, note.line)
    if not rejected then
      return unreadable
    end
    entry.known = rejected[index] or ACCEPTED
  else
    entry.possibly_sent = note.kind == ">" or nil
  end
end

--- Compares entries with what an earlier run noted of them. All entries of the input are to be given, in its order;
--- those that were given before are passed over.
---@param entries heymarket.Entry[] an entry that an earlier run has finished gets `known` (outcome, and what else its
--- item has), one that it may have sent gets `possibly_sent`
---@return boolean? ok
---@return heymarket.Failure? problem where an entry is not the one that was noted; later ones were not compared
function Journal:compare(entries)
  for _, entry in ipairs(entries) do
    if entry.index > self.compared then
      local problem = self:verify(entry)
      if problem then
        return nil, problem
      end
      self.compared = entry.index
    end
  end
  return true
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
---@param entries heymarket.Entry[] the first PREFIX entries, or all where there are less; invalid ones included
---@return boolean?
---@return heymarket.Failure?
function Journal:begin(entries)
  local sum = 0
  for _, entry in ipairs(entries) do
    sum = add(sum, hash(entry.index, entry.body or ""))
  end
  if not self.prefix then
    return self:write(("input %d %.0f"):format(#entries, sum))
  elseif self.prefix.count ~= #entries or self.prefix.sum ~= sum then
    return nil, self:other_input(#entries)
  end
  return true
end

--- Ends the use of the journal. The file stays: the same call finds in it that nothing is left to do.
---@return boolean?
---@return heymarket.Failure?
function Journal:close()
  local done, ok, problem = pcall(self.sync, self)
  -- Closed in any case, since others wait for the lock.
  pcall(self.reader.close, self.reader)
  pcall(self.file.close, self.file)
  if not done then
    error(ok, 0)
  end
  return ok, problem
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

-- Lines, where they begin, and whether they are whole. file:lines() of Lua 5.1 and 5.2 loses count at zero bytes, which
-- a crash of the machine can leave behind. What is read at a time grows with the line, so that the work stays linear.
local function lines_of(file)
  local buffer, at, place = "", 1, 0
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

-- Is all of this what a power cut can leave of a first line? Zero bytes may stand for any other.
local function is_torn_header(text)
  if #text > MAX_HEADER or text:find "\n[^%z]" or text:find "\n" and not text:find "%z" then
    return false
  end
  for i = 1, math.min(#text, #FORMAT) do
    local byte = text:byte(i)
    if byte ~= 0 and byte ~= FORMAT:byte(i) then
      return false
    end
  end
  return true
end

-- Does a damaged line end with an intact "=" line? What destroyed the end of a line has joined it with the next one. It
-- need not stand where it says: other damage may have moved it.
local function ends_with_sync(id, line)
  local digits, tail = line:match "(%d+)( = %x+)$"
  digits = (digits or ""):sub(-16)
  for skipped = 0, #digits - 1 do
    local text = digits:sub(skipped + 1) .. tail
    if parse(id, text, 0) then
      return true
    end
  end
  return false
end

local function damaged(number)
  return nil,
    ("line %d is damaged, although it had reached the disk: somebody else changed it, or the disk fails; "):format(
      number
    ) .. "restore the journal, or import what is left with another one",
    "damaged"
end

-- Reads the first line and compares it with what this import was told. True, or false where there is no journal yet.
local function read_header(self, options)
  local size = self.reader:seek "end"
  self.reader:seek "set"
  local start = self.reader:read(MAX_HEADER) or ""
  self.reader:seek "set"
  if start:sub(1, #OLD_FORMAT) == OLD_FORMAT then
    return nil,
      "it was made by heymarket 0.1, whose journals (version 1) tell too little to go on from; import what is left "
        .. "with a new one",
      "version"
  elseif #start == size and is_torn_header(start) then
    return false
  elseif start:sub(1, #FORMAT) ~= FORMAT then
    -- Whatever else is there is the user's.
    return nil, "it is not a journal of this version of heymarket, and was left as it is", "not_journal"
  end
  local line, _, whole = lines_of(self.reader)()
  local text, check = line:match "^(.*) (%x+)$"
  local id, written = (text or ""):match("^(%x+) (.*)$", #FORMAT + 1)
  if not whole or not id or checksum(id, text) ~= check then
    return damaged(1)
  end
  local ok, stored = json.decode(written)
  if not ok or type(stored) ~= "table" then
    return damaged(1)
  end
  local different = compare_options(stored, options)
  if #different > 0 then
    return nil,
      "it was made with another " .. table.concat(different, ", ") .. ": use the same options, or another journal",
      "other_options"
  end
  self.id = id
  return true
end

-- Takes in what an earlier run has written. Returns false where there is nothing, nil and why where it is not ours.
-- `self.size` is then the number of bytes that count.
local function replay(self, options)
  local found, why, reason = read_header(self, options)
  if not found then
    self.size = 0
    return found, why, reason
  end
  self.reader:seek "set"
  local number, broken = 0, nil
  for line, place, whole in lines_of(self.reader) do
    number = number + 1
    local kind, rest, placed = nil, nil, number == 1
    if number > 1 then
      kind, rest, placed = parse(self.id, line, place)
    end
    if kind and not placed then
      return damaged(broken or number)
    elseif broken then
      if kind == "=" or ends_with_sync(self.id, line) then
        return damaged(broken)
      end
    elseif number > 1 and not (kind and whole and READ[kind]) then
      broken = number
      self.size = place
      if not kind and ends_with_sync(self.id, line) then
        return damaged(broken)
      end
    else
      self.size = place + #line + 1
      self.on_disk = kind == "=" and self.size or 0
      if kind then
        READ[kind](self, rest, place)
      end
    end
  end
  self.open = {}
  for id = 1, #self.places do
    self.order[id] = id
  end
  table.sort(self.order, function(a, b)
    local first, other = self.firsts[a], self.firsts[b]
    return first < other or first == other and a < b
  end)
  self.last = self.total and math.huge or self.noted
  return true
end

-- Makes the file ready to be written on: a new one gets its first line, a torn end is cut off. Both reach the disk
-- before anything follows.
local function make_ready(self, found, options)
  if self.reader:seek "end" > self.size then
    local cut, problem = system.truncate(self.file, self.size)
    if not cut then
      return self:stop("the journal could not be written", problem)
    end
    cut, problem = system.sync(self.file)
    if not cut then
      return self:stop("the journal did not reach the disk", problem)
    end
  end
  if found then
    return true
  end
  local ok, problem = self:write_line(FORMAT .. self.id .. " " .. json.encode(options))
  if ok then
    ok, problem = system.sync(self.file)
    if ok then
      ok, problem = system.sync_directory(self.path)
    end
    if not ok then
      return self:stop("the journal did not reach the disk", problem)
    end
    self.on_disk = self.size
  end
  return ok, problem
end

--- Opens a journal, a new one or that of an earlier run.
---@param path string
---@param options table<string, any> what makes one import different from another
---@param monotonic fun():number clock, seconds
---@return table? journal
---@return heymarket.Failure?
function journal.open(path, options, monotonic)
  local file, reader
  local function refuse(what, why, reason)
    if file then
      file:close()
    end
    if reader then
      reader:close()
    end
    return nil, failure.is(why) and why or fail(path, what, why, reason)
  end
  local plain, code, problem = system.prepare(path)
  if not plain then
    return refuse("the journal cannot be opened", problem, code == "not_regular" and code or nil)
  end
  file, problem = io.open(path, "a+b")
  if file then
    reader, problem = io.open(path, "rb")
  end
  if not reader then
    return refuse("the journal cannot be opened", problem)
  end
  file:setvbuf "no" -- a line has left this process when write returns
  local self = setmetatable({
    path = path,
    file = file,
    reader = reader,
    monotonic = monotonic,
    overwrite = options.overwrite,
    id = rows.hash(("%s %.17g %.17g"):format(path, system.time(), system.random())):sub(1, 16),
    size = 0, -- bytes that the file has, or should have
    on_disk = 0, -- so many of them certainly reached the disk
    uncommitted = false, -- is there a note of contacts about to be sent that may not be on the disk yet?
    synced = -math.huge,
    undone = {}, -- by phone: contacts of this run that were not taken, as in the journal
    firsts = {}, -- segments, in the order in which they were written
    lasts = {},
    places = {},
    open = {}, -- by ranges: the segment of a line that is not answered; only while the file is read
    order = {}, -- the segments by their first index
    compared = 0, -- index of the last entry that was compared
    upcoming = 1, -- the next one in `order` that `note_of` comes to
    active = {}, -- segments that `note_of` is in
    noted = 0, -- the greatest index
    last = 0, -- how far the input is to be compared before anything is sent
    total = nil, -- number of contacts of the input, where its end was seen
  }, Journal)
  local locked, locked_by = system.lock(file)
  if not locked then
    return refuse("another import is using the journal", locked_by, "in_use")
  end
  local found, why, reason = replay(self, options)
  if found == nil then
    return refuse("the journal does not belong to this import", why, reason)
  end
  for _, handle in ipairs { file, reader } do
    -- What the server lists is written there: for its owner only.
    local ours, _, words = system.protect(handle)
    if not ours then
      return refuse("the journal could not be made private", words)
    end
  end
  local ready, unready = make_ready(self, found, options)
  if not ready then
    return refuse(nil, unready)
  end
  return self
end

return journal
