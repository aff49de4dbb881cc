--- Fuzzer: CSV files, made and damaged at random, against what Python's csv module reads in them.
---
---   lua spec/fuzz/csv.lua SECONDS [SEED]
---
--- Every row is a contact or an error, at its place; the cells are Python's; the size of the chunks changes nothing.
local csv = require "heymarket.csv"
local failure = require "heymarket.failure"
local fake = require "spec.support.fake"
local process = require "spec.support.process"
local system = require "heymarket.system"

local ROUND = 300 -- files that Python is asked about at once
local MAX_POOL = 300
local MAX_FILE = 1000 -- bytes

local seconds = tonumber(arg[1]) or 10
local seed = tonumber(arg[2]) or math.floor(system.time() * 1000) % 2147483646
local random = fake.random(seed)

-- Pieces that matter to readers of CSV.
local PIECES = {
  ",",
  ",,",
  '"',
  '""',
  '","',
  "\n",
  "\r\n",
  "\r",
  "\n\n",
  " ",
  "\t",
  "a",
  "12025550001",
  '"a\nb"',
  '"x\n1,2\n3,4\n5"',
  '"\n,,\n,,\n"',
  '"a,b\nc,d"',
  "\194\160",
  "\226\128\139",
  "\239\187\191",
  "é",
  "\255",
  "\0",
  ";",
  "'",
  "\\",
  "yes",
  "no",
}

local function hex_of(text)
  return (text:gsub(".", function(byte)
    return ("%02x"):format(byte:byte())
  end))
end

local function bytes_of(hex)
  return (hex:gsub("%x%x", function(pair)
    return string.char(tonumber(pair, 16))
  end))
end

local function read_corpus()
  local pool = {}
  for name in process.output("ls spec/fuzz/corpus/csv"):gmatch "[^\n]+" do
    local file = assert(io.open("spec/fuzz/corpus/csv/" .. name, "rb"))
    pool[#pool + 1] = file:read "*a"
    file:close()
  end
  return pool
end

local function header_of(width, eol)
  local names = { "phone" }
  for i = 1, width - 1 do
    names[i + 1] = "custom." .. i
  end
  return table.concat(names, ",") .. eol
end

-- A file of good rows and rows of pieces.
local function make()
  local width, eol = random(1, 5), ({ "\n", "\r\n", "\r" })[random(1, 3)]
  local parts = { header_of(width, eol) }
  for _ = 1, random(0, 12) do
    if random(1, 3) == 1 then
      for _ = 1, random(1, 8) do
        parts[#parts + 1] = PIECES[random(1, #PIECES)]
      end
    else
      local cells = {}
      for i = 1, width do
        cells[i] = PIECES[random(1, #PIECES)]
        if random(1, 3) == 1 then
          cells[i] = cells[i] .. PIECES[random(1, #PIECES)]
        end
      end
      local row = csv.encode_row(cells):sub(1, -2)
      -- Now and then a quote too many.
      parts[#parts + 1] = random(1, 6) == 1 and row .. '"' or row
    end
    parts[#parts + 1] = random(1, 12) == 1 and "" or eol
  end
  return table.concat(parts)
end

-- Damage anywhere, but mostly behind the header.
local function mutate(content, pool)
  local first = random(1, 10) == 1 and 1 or (content:find "[\r\n]" or 0) + 1
  local place = random(first, math.max(first, #content + 1))
  local length = math.min(random(1, 12), math.max(0, #content + 1 - place))
  local before, piece, after =
    content:sub(1, place - 1), content:sub(place, place + length - 1), content:sub(place + length)
  local kind = random(1, 6)
  if kind == 1 then
    return before .. after
  elseif kind == 2 then
    return before .. piece .. piece .. after
  elseif kind == 3 then
    local other = pool[random(1, #pool)]
    return before .. other:sub(random(1, #other + 1))
  elseif kind == 4 then
    return before
  end
  return before .. PIECES[random(1, #PIECES)] .. (kind == 5 and piece or "") .. after
end

-- What the module reads, as {contact or failure, position, cells}; or nil and why the file is refused.
local function read(content, size)
  local at = 1
  local source, refused = csv.open({
    read = function(_, wanted)
      if at > #content then
        return nil
      end
      local chunk = content:sub(at, at + wanted - 1)
      at = at + #chunk
      return chunk
    end,
  }, { chunk_size = size, delimiter = "," }) -- which is what Python is told
  if not source then
    return nil, refused
  end
  local records = {}
  for found, position, cells in source do
    records[#records + 1] = { found, position, cells }
  end
  local consumed = source:progress()
  assert(consumed == #content, ("only %d bytes of %d were read"):format(consumed, #content))
  return records
end

-- A record as one text, to compare records with.
local function text_of(record)
  local found = record[1]
  local parts = { tostring(record[2]) }
  for _, cell in ipairs(record[3]) do
    parts[#parts + 1] = hex_of(cell)
  end
  if failure.is(found) then
    for _, issue in ipairs(found.issues) do
      parts[#parts + 1] = tostring(issue.field) .. " " .. issue.message
    end
  else
    parts[#parts + 1] = "phone " .. tostring(found.phone)
    for id = 1, 5 do
      parts[#parts + 1] = "custom " .. tostring(found.custom and found.custom[tostring(id)])
    end
  end
  return table.concat(parts, "\1")
end

-- The first issue of a row that has one of these codes.
local function issue_of(found, ...)
  for _, issue in ipairs(failure.is(found) and found.issues or {}) do
    for _, code in ipairs { ... } do
      if issue.code == code then
        return issue
      end
    end
  end
end

-- A row of the witness: its trimmed and raw cells, and where a swallowing cell ends.
local function row_of(line)
  local row = { swallows = line:find "^S" ~= nil, last_line = tonumber(line:match "^S(%d+) "), raw = {}, trimmed = {} }
  for raw, trimmed in line:gsub("^S%d* ", ""):gmatch "(%x*)/(%x*)," do
    row.raw[#row.raw + 1], row.trimmed[#row.trimmed + 1] = bytes_of(raw), bytes_of(trimmed)
  end
  return row
end

local function value_of(contact, name)
  name = name:lower()
  if name == "phone" or name == "phone number" then
    return contact.phone
  end
  return contact.custom and contact.custom[name:match "^custom%.(%d+)$"]
end

local function compare_row(record, wanted, header)
  local found, cells, width = record[1], record[3], #header
  if hex_of(table.concat(cells, "\1")) ~= hex_of(table.concat(wanted.raw, "\1")) then
    return "has other cells"
  elseif not failure.is(found) then
    if #cells ~= width or wanted.swallows then
      return "should be an error"
    end
    for i = 1, width do
      if header[i]:sub(1, 1) ~= "_" and (value_of(found, header[i]) or "") ~= wanted.trimmed[i] then
        return ("has another value in cell %d"):format(i)
      end
    end
    return nil
  end
  local swallowed = issue_of(found, "csv_swallowed_rows")
  local is_bare = issue_of(found, "csv_bare_quote") ~= nil
  if not is_bare and (swallowed ~= nil) ~= wanted.swallows then
    return "does not tell whether it swallowed rows"
  elseif swallowed and wanted.last_line and swallowed.values.last ~= wanted.last_line then
    return ("ends in line %d, not in %d"):format(wanted.last_line, swallowed.values.last)
  elseif not swallowed and not is_bare and #cells == width then
    return "is an error without a reason: " .. found.message
  end
end

local function compare(records, said, content)
  local rows = {}
  for line in said:gmatch "([^|]*)|" do
    rows[#rows + 1] = line
  end
  local header, position = row_of(rows[1]).trimmed, 1
  for _, record in ipairs(records) do
    local at = record[2]
    if at <= position then
      return "positions do not grow"
    end
    -- Only blank rows are passed over.
    for passed = position + 1, at - 1 do
      if rows[passed] and rows[passed] ~= "" then
        return ("row %d was passed over"):format(passed)
      end
    end
    position = at
    local found = record[1]
    if rows[at] == "!" then
      return not failure.is(found) and ("row %d, which Python refuses, is a contact"):format(at) or nil
    elseif
      issue_of(found, "csv_stray_quote", "csv_bare_quote") and table.concat(record[3]):find "[\r\n]"
      or issue_of(found, "csv_stray_break")
    then
      return nil -- in Python a line break of another kind than the header's ends a row
    elseif not rows[at] then
      return ("row %d is not there"):format(at)
    end
    local wrong = compare_row(record, row_of(rows[at]), header)
    if wrong then
      return ("row %d %s"):format(at, wrong)
    end
  end
  for passed = position + 1, #rows do
    if rows[passed] ~= "" then
      return ("row %d of %d bytes is missing"):format(passed, #content)
    end
  end
end

-- What is wrong with how this file is read, or nil.
local function check(content, said)
  local ok, records, refused = pcall(read, content, 65536)
  if not ok then
    -- The only way to stop in the middle is a failure of kind "source".
    return not (failure.is(records) and records.kind == "source") and tostring(records) or nil
  elseif not records then
    return not failure.is(refused) and "is refused without a failure" or nil
  end
  for _, size in ipairs { random(1, 3), random(4, 40) } do
    local others = read(content, size)
    if #others ~= #records then
      return ("has %d records in chunks of %d, else %d"):format(#others, size, #records)
    end
    for i, record in ipairs(records) do
      if text_of(record) ~= text_of(others[i]) then
        return ("record %d differs in chunks of %d"):format(i, size)
      end
    end
  end
  for i, record in ipairs(records) do
    local cells = record[3]
    local again = read(header_of(#cells, "\n") .. csv.encode_row(cells), 65536)
    if #again ~= 1 or table.concat(again[1][3], "\1") ~= table.concat(cells, "\1") then
      return ("record %d is not read back as it was written"):format(i)
    end
  end
  return compare(records, said, content)
end

local pool = read_corpus()
local executions, started, found = 0, system.monotonic(), nil
while not found and system.monotonic() - started < seconds do
  local files, lines = {}, {}
  for i = 1, ROUND do
    local made = random(1, 2) == 1 and make() or pool[random(1, #pool)]
    for _ = 1, random(0, 3) do
      made = mutate(made, pool)
    end
    made = made:sub(1, MAX_FILE)
    files[i], lines[i] = made, hex_of(made)
  end
  local said = process.python("csv_witness.py judge", table.concat(lines, "\n") .. "\n")
  assert(#said == ROUND, "Python did not answer")
  for i, content in ipairs(files) do
    executions = executions + 1
    local wrong = check(content, said[i])
    if wrong then
      found = ("%s; Python says: %s; the file: %q (%s)"):format(wrong, said[i], content, lines[i])
      break
    end
    pool[#pool < MAX_POOL and #pool + 1 or random(20, MAX_POOL)] = content
  end
end
if found then
  print(found)
end
print(("fuzz csv: seed %d, %.0f s, %d executions"):format(seed, system.monotonic() - started, executions))
os.exit(found and 1 or 0)
