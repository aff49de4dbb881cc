-- The log of records by itself: what a file holds after it was written, damaged, locked, and where the disk is full.
local failure = require "heymarket.failure"
local process = require "spec.support.process"
local record_log = require "heymarket.bulk.record_log"
local server = require "spec.support.server"
local system = require "heymarket.system"

local quote, read_file, write_file = process.quote, process.read_file, process.write_file
local folder

setup(function()
  folder = server.folder()
end)

teardown(function()
  server.remove(folder)
end)

local names = 0
local function new_path()
  names = names + 1
  return folder .. "/log" .. names
end

local FORMAT = "test-log 3 "

-- Opens a log. The records that it had are in `records`, as {kind, rest, place}.
local function open(path, changes)
  local records = {}
  local settings = {
    path = path,
    format = FORMAT,
    old_format = "test-log 2 ",
    header = "made for a spec",
    check_header = function(header)
      records.header = header
    end,
    on_record = function(kind, rest, place)
      records[#records + 1] = { kind, rest, place }
      return kind ~= "unknown"
    end,
    clock = system.monotonic,
  }
  for name, value in pairs(changes or {}) do
    settings[name] = value
  end
  local log, problem = record_log.open(settings)
  return log, log and records or problem
end

local function assert_failure(problem, code, reason, values)
  assert.is_true(failure.is(problem))
  assert.are.same({ "journal", code, reason }, { problem.kind, problem.message_code, problem.reason })
  assert.are.same(values, problem.values)
end

-- A log with these records, closed. Returns its path and its bytes.
local function write_log(list, changes)
  local path = new_path()
  local log = assert(open(path, changes))
  for _, record in ipairs(list) do
    assert(log:append(record))
  end
  assert(log:close())
  return path, read_file(path)
end

local function rests(records)
  local list = {}
  for i, record in ipairs(records) do
    list[i] = record[1] .. " " .. record[2]
  end
  return list
end

describe("a log of records", function()
  it("gives back what was appended, in order, with the header", function()
    local path = write_log { "a 1", "b two words", "a" }
    local log, records = open(path)
    assert.are.equal("made for a spec", records.header)
    assert.are.same({ "a 1", "b two words", "a " }, rests(records))
    assert(log:append "c more")
    assert(log:close())
    log, records = open(path)
    assert.are.same({ "a 1", "b two words", "a ", "c more" }, rests(records))
    for _, record in ipairs(records) do
      assert.are.same({ record[1], record[2] }, { log:read(record[3]) })
    end
    assert(log:close())
  end)

  -- Python calculates the places and the checksums anew: BLAKE2b of the log's id and the line.
  it("has the documented form, line by line", function()
    local path, text = write_log { "a 1", "b two words" }
    local checked = process.output(([[python3 - %s <<'END'
import hashlib, re, sys
text = open(sys.argv[1], "rb").read()
name, rest = b"test-log 3 ", text
assert text.startswith(name) and text.endswith(b"\n")
ident = re.match(rb"test-log 3 ([0-9a-f]{16}) made for a spec ", text).group(1)
place = 0
for line in text.splitlines(keepends=True):
    body, check = line[:-1].rsplit(b" ", 1)
    assert check.decode() == hashlib.blake2b(ident + body, digest_size=16).hexdigest()[:8], line
    assert place == 0 or int(body.split()[0]) == place, line
    place += len(line)
print(b"|".join(line.rsplit(b" ", 1)[0].partition(b" ")[2] for line in text.splitlines()[1:]).decode())
END]]):format(quote(path)))
    assert.are.equal("a 1|b two words|=\n", checked)
    assert.are.equal(4, select(2, text:gsub("\n", "")))
  end)

  it("can be read and written by its owner only", function()
    local path = write_log { "a 1" }
    assert.are.equal("600\n", process.output("stat -c %a " .. quote(path)))
  end)

  it("reads records that are longer than what is read at a time", function()
    local long = "a " .. ("x"):rep(200000)
    local path = write_log { long, "b 1" }
    local log, records = open(path)
    assert.are.same({ long, "b 1" }, rests(records))
    assert.are.same({ "a", long:sub(3) }, { log:read(records[1][3]) })
    log:close()
  end)

  it("writes down that everything is on the disk once, and only where something was appended", function()
    local path = new_path()
    local log = assert(open(path))
    assert(log:sync())
    local empty = read_file(path)
    assert(log:append "a 1")
    assert(log:sync())
    local once = read_file(path)
    assert(log:sync())
    assert.are.equal(once, read_file(path))
    log:close()
    assert.are.equal(once, read_file(path))
    assert.is_truthy(once:sub(#empty + 1):find "^%d+ a 1 %x+\n%d+ = %x+\n$")
  end)

  it("waits for the disk after some seconds only, where it is asked for that", function()
    local now = 100
    local log = assert(open(new_path(), {
      clock = function()
        return now
      end,
    }))
    local waits, sync = 0, system.sync
    system.sync = function(file)
      waits = waits + 1
      return sync(file)
    end
    local function append_at(time)
      now = time
      assert(log:append "a 1")
      assert(log:sync_after(2))
      return waits
    end
    local counted = { append_at(100), append_at(101.9), append_at(102), append_at(103), append_at(104) }
    system.sync = sync
    log:close()
    assert.are.same({ 1, 1, 2, 2, 3 }, counted)
  end)

  it("asks its user whether the header will do", function()
    local path, text = write_log { "a 1" }
    local asked
    local log, problem = open(path, {
      check_header = function(header)
        asked = header
        return "journal_other_options", { names = "overwrite" }
      end,
    })
    assert.is_nil(log)
    assert.are.equal("made for a spec", asked)
    assert_failure(problem, "journal_other_options", "other_options", { names = "overwrite", path = path })
    assert.are.equal(text, read_file(path))
  end)
end)

describe("a file that is no log", function()
  local function assert_left(text, code, reason)
    local path = new_path()
    write_file(path, text)
    local log, problem = open(path)
    assert.is_nil(log)
    assert_failure(problem, code, reason, { path = path })
    assert.are.equal(text, read_file(path))
  end

  it("is refused and left as it is", function()
    assert_left("somebody's letter\n", "journal_other_format", "not_journal")
    assert_left("test-log 4 0123456789abcdef x 00000000\n", "journal_other_format", "not_journal")
    assert_left("\n", "journal_other_format", "not_journal")
    assert_left("test-log 2 anything", "journal_old_version", "version")
  end)

  it("is refused where it is no plain file, or cannot be opened", function()
    local _, problem = open(folder)
    assert_failure(problem, "journal_not_regular", "not_regular", { path = folder })
    local pipe = new_path()
    os.execute("mkfifo " .. quote(pipe))
    _, problem = open(pipe)
    assert_failure(problem, "journal_not_regular", "not_regular", { path = pipe })
    local nowhere = folder .. "/nowhere/log"
    _, problem = open(nowhere)
    assert_failure(problem, "journal_not_opened", nil, { path = nowhere, problem = "No such file or directory" })
  end)
end)

describe("a damaged log", function()
  local path, text, lines
  local RECORDS = { "a 1", "b 2", "c 3" }

  setup(function()
    path, text = write_log(RECORDS)
    lines = {}
    for line in text:gmatch "[^\n]*\n" do
      lines[#lines + 1] = line
    end
  end)

  local function open_damaged(damaged)
    path = new_path()
    write_file(path, damaged)
    return open(path)
  end

  it("goes on before the damage where that had not reached the disk", function()
    -- Without its last line, nothing says that the records reached the disk.
    local unsynced = text:sub(1, -#lines[5] - 1)
    for size = 0, #unsynced do
      local log, records = open_damaged(text:sub(1, size))
      assert(log, size)
      local whole, bytes = 0, #lines[1]
      for i = 1, 3 do
        bytes = bytes + #lines[i + 1]
        whole = bytes <= size and i or whole
      end
      assert.are.equal(whole, #records, size)
      -- It can be written on, and the torn end does not come back.
      assert(log:append "d 4")
      assert(log:close())
      log, records = open(path)
      assert(log, size)
      assert.are.equal(whole + 1, #records)
      assert.are.same({ "d", "4" }, { records[whole + 1][1], records[whole + 1][2] })
      log:close()
    end
  end)

  it("is cut off where a record's kind is not known", function()
    local its_path, its_text = write_log { "a 1" }
    local log = assert(open(its_path))
    log:append "unknown 2"
    log:append "a 3"
    -- The process died here.
    log:release()
    local records
    log, records = open(its_path)
    assert.are.same({ "a 1", "unknown 2" }, rests(records))
    log:close()
    assert.are.equal(its_text, read_file(its_path):sub(1, #its_text))
    assert.is_nil(read_file(its_path):find("a 3", 1, true))
  end)

  it("is refused with the number of the line where that had reached the disk", function()
    local first = #lines[1]
    for place = #FORMAT + 1, #text - #lines[5] do
      local damaged = text:sub(1, place - 1) .. string.char((text:byte(place) + 1) % 256) .. text:sub(place + 1)
      local log, problem = open_damaged(damaged)
      assert.is_nil(log, place)
      local number = select(2, text:sub(1, place - 1):gsub("\n", "")) + 1
      assert_failure(problem, "journal_damaged", "damaged", { line = number, path = path })
      assert.are.equal(damaged, read_file(path))
    end
    assert.is_true(first > #FORMAT)
  end)

  it("is refused where a line is missing, stands twice, or was moved", function()
    local function assert_line(order, number)
      local parts = {}
      for i, line in ipairs(order) do
        parts[i] = lines[line]
      end
      local log, problem = open_damaged(table.concat(parts))
      assert.is_nil(log)
      assert_failure(problem, "journal_damaged", "damaged", { line = number, path = path })
    end
    assert_line({ 1, 3, 4, 5 }, 2)
    assert_line({ 1, 2, 2, 3, 4, 5 }, 3)
    assert_line({ 1, 2, 4, 3, 5 }, 3)
  end)

  it("is noticed when a record is read again", function()
    -- So long that the first record is no longer in the buffer of the file.
    local its_path = write_log { "a 1", "b " .. ("x"):rep(200000) }
    local log, records = open(its_path)
    local place = records[1][3]
    local changed = read_file(its_path)
    write_file(its_path, changed:sub(1, place) .. "X" .. changed:sub(place + 2))
    local kind, problem = log:read(place)
    assert.is_nil(kind)
    assert_failure(problem, "journal_moved", "changed", { path = its_path })
    log:close()
  end)
end)

describe("a log in use", function()
  it("is locked for all others until it is closed", function()
    local path = new_path()
    local log = assert(open(path))
    local other, problem = open(path)
    assert.is_nil(other)
    assert.are.same({ "journal_in_use", "in_use" }, { problem.message_code, problem.reason })
    -- Another process cannot lock it either.
    local locked = "flock -n %s true && echo free || echo locked"
    assert.are.equal("locked\n", process.output(locked:format(quote(path))))
    log:close()
    assert.are.equal("free\n", process.output(locked:format(quote(path))))
    other = assert(open(path))
    other:close()
  end)

  it("is not locked by an open that was refused", function()
    local path = new_path()
    write_file(path, "somebody's letter\n")
    assert.is_nil((open(path)))
    assert.are.equal("free\n", process.output("flock -n " .. quote(path) .. " true && echo free"))
  end)

  -- Opens a log, changes its file, and returns the code with which the log stops.
  local function code_after(change)
    local path = new_path()
    local log = assert(open(path))
    assert(log:append "a 1")
    change(path)
    local ok, problem = log:sync()
    assert.is_nil(ok)
    assert.are.equal("changed", problem.reason)
    -- From then on it fails in the same way.
    for _, method in ipairs { "append", "sync", "close" } do
      local again, its_problem = log[method](log, "a 2")
      assert.is_nil(again)
      assert.are.equal(problem, its_problem)
    end
    return problem.message_code
  end

  it("notices that somebody else changed the file", function()
    assert.are.equal(
      "journal_resized",
      code_after(function(path)
        write_file(path, read_file(path) .. "more")
      end)
    )
    assert.are.equal(
      "journal_resized",
      code_after(function(path)
        write_file(path, "")
      end)
    )
    assert.are.equal("journal_gone", code_after(os.remove))
    assert.are.equal(
      "journal_replaced",
      code_after(function(path)
        write_file(path .. ".copy", read_file(path))
        os.rename(path .. ".copy", path)
      end)
    )
  end)
end)

describe("a disk", function()
  it("that does not take what was written stops the log", function()
    local path = new_path()
    local log = assert(open(path))
    local sync = system.sync
    system.sync = function()
      return nil, "system", "Input/output error"
    end
    assert(log:append "a 1")
    local ok, problem = log:sync()
    system.sync = sync
    assert.is_nil(ok)
    assert_failure(problem, "journal_sync_failed", nil, { path = path, problem = "Input/output error" })
    assert.are.equal(problem, select(2, log:append "a 2"))
    log:close()
    -- Nothing says that the record reached the disk.
    assert.is_nil(read_file(path):find(" = ", 1, true))
  end)

  it("whose directory does not take the new file refuses the log", function()
    local sync_directory = system.sync_directory
    system.sync_directory = function()
      return nil, "system", "Input/output error"
    end
    local path = new_path()
    local log, problem = open(path)
    system.sync_directory = sync_directory
    assert.is_nil(log)
    assert_failure(problem, "journal_sync_failed", nil, { path = path, problem = "Input/output error" })
  end)

  -- A process of its own, for the limit, or the full disk, is the process's.
  local WRITER = [[
local log = assert(require "heymarket.bulk.record_log".open {
  path = %q,
  format = "test-log 3 ",
  header = "x",
  check_header = function() end,
  on_record = function() return true end,
  clock = os.clock,
})
local count = 0
while count < 1000 do
  local ok, problem = log:append("a " .. ("x"):rep(100))
  if not ok then
    print(count, problem.message_code, problem.values.problem, (log:append "b"), (log:close()))
    return
  end
  count = count + 1
end
print "never full"
]]

  -- Runs the writer under a shell command; returns the number of records that it could write.
  local function assert_full(path, run)
    local script = new_path()
    write_file(script, WRITER:format(path))
    local said = run(process.this_lua() .. " " .. quote(script))
    local count, problem = said:match "^(%d+)\tjournal_write_failed\t([^\t]+)\tnil\tnil\n"
    assert.is_truthy(count, said)
    return tonumber(count), problem
  end

  it("that is full, or a limit of the file's size, stops the log; what was written counts", function()
    local path = new_path()
    local count, problem = assert_full(path, function(command)
      return process.output("trap '' XFSZ; ulimit -f 8; " .. command .. " 2>&1")
    end)
    assert.is_truthy(problem:find "File too large", problem)
    local log, records = open(path)
    assert(log, records)
    assert.are.equal(count, #records)
    assert.is_true(count > 10)
    log:close()
  end)

  it("that is full stops the log: a small file system", function()
    local mount = ("unshare -m sh -c %s 2>&1"):format(
      quote(("mount -t tmpfs -o size=12k none %s && echo mounted"):format(quote(folder)))
    )
    if not process.output(mount):find "mounted" then
      pending "a file system may not be mounted here"
    end
    local small = new_path()
    os.execute("mkdir " .. quote(small))
    local count, problem = assert_full(small .. "/log", function(command)
      local inner = ("mount -t tmpfs -o size=12k none %s && %s"):format(quote(small), command)
      return process.output("unshare -m sh -c " .. quote(inner) .. " 2>&1")
    end)
    assert.is_true(count > 10)
    assert.is_truthy(problem:find "No space left", problem)
  end)
end)
