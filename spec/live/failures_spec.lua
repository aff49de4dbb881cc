local command = require "spec.support.command"
local failure = require "heymarket.failure"
local failures = require "heymarket.cli.failures"
local output_file = require "heymarket.cli.output_file"
local system = require "heymarket.system"

local quote, read_file, write_file, output_of = command.quote, command.read_file, command.write_file, command.output_of
local start, eventually = command.start, command.eventually
local run, parsed, cells_of, failures_of = command.run, command.parsed, command.cells_of, command.failures_of
local requests, good_file = command.requests, command.good_file

local OWN_HEADER = "phone,first,_row,_outcome,_field,_message\n"

local folder, faults

setup(function()
  folder, faults = command.setup()
end)

teardown(command.teardown)
before_each(command.before_each)
after_each(command.after_each)

describe("the failures file", function()
  local function failed_path()
    return folder .. "/failed.csv"
  end

  before_each(function()
    for _, ending in ipairs { "", ".1", ".2", ".3", ".4", ".5" } do
      os.remove(failed_path() .. ending)
    end
  end)

  it("holds the rows that were not accepted, with their columns unchanged", function()
    faults:script { { refuse_phones = { "12345678906" } } }
    faults:default { refuse_phones = { "12345678906" } }
    local header = "Phone Number,First Name,_keep,custom.5"
    local rows = {
      '" +1 234 567 8901 ","Ann ""A""",k1,=1+1',
      "12,Ben,k2,",
      '12345678903,"Cem, with a comma","two\r\nlines",',
      "12345678906,Refused,k4,x",
    }
    local file = write_file("in.csv", header .. "\n" .. table.concat(rows, "\n") .. "\n")
    run { "import", write_file("first.csv", "phone\n12345678903\n") }
    local made = run { "import", file, "--failures", failed_path() }
    assert.equal(3, made.code)
    assert.truthy(made.out:find(failed_path(), 1, true))
    local records, columns = failures_of(failed_path())
    assert.same({
      "Phone Number",
      "First Name",
      "_keep",
      "custom.5",
      "_row",
      "_outcome",
      "_field",
      "_message",
    }, columns)
    local originals, found = cells_of(file), {}
    for _, record in ipairs(records) do
      local original = originals[tonumber(record._row)]
      for i, name in ipairs(originals[1]) do
        assert.equal(original[i], record[name])
      end
      found[record._row] = record
    end
    assert.equal(3, #records)
    assert.equal("invalid", found["3"]._outcome)
    assert.equal("phone", found["3"]._field)
    assert.truthy(found["3"]._message:find("2 digits", 1, true))
    assert.equal("rejected", found["4"]._outcome)
    assert.truthy(found["4"]._message:find("--overwrite", 1, true))
    assert.equal("failed", found["5"]._outcome)
    assert.truthy(found["5"]._message:find("400", 1, true))
  end)

  it("says of each row that the server listed whether it exists", function()
    run { "import", write_file("first.csv", "phone\n12345678901\n") }
    faults:script { { body = { { phone = "12345678901", id = 7 }, { phone = "12345678902" } } } }
    local file = write_file("in.csv", "phone\n12345678901\n12345678902\n12345678903\n")
    local made = run { "import", file, "--failures", failed_path() }
    assert.equal(3, made.code)
    assert.truthy(made.out:find "\n +1  of them exists already")
    assert.truthy(made.out:find "\n +1  of them refused")
    assert.truthy(
      made.out:find "\n  row 3 rejected: the server listed it as not created, and nothing shows that it exists"
    )
    assert.is_nil(made.out:find("row 2 rejected", 1, true))
    local records = failures_of(failed_path())
    assert.truthy(records[1]._message:find("exists in the account already", 1, true))
    assert.truthy(records[2]._message:find("nothing shows that it exists", 1, true))
  end)

  it("can be corrected and imported again", function()
    local file = write_file("in.csv", "phone,first,_note\n12345678901,Ann,a\n123,Ben,b\n1234,Cem,c\n")
    assert.equal(3, run({ "import", file, "--failures", failed_path() }).code)
    local corrected = read_file(failed_path()):gsub("\n123,", "\n12345678902,")
    local second = folder .. "/second.csv"
    assert.equal(3, run({ "import", write_file("corrected.csv", corrected), "--failures", second }).code)
    assert.same({ ["12345678901"] = 1, ["12345678902"] = 1 }, faults:ledger().stored)
    local records, columns = failures_of(second)
    assert.same({ "phone", "first", "_note", "_row", "_outcome", "_field", "_message" }, columns)
    assert.equal(1, #records)
    assert.same({ "1234", "Cem", "c", "3" }, { records[1].phone, records[1].first, records[1]._note, records[1]._row })
    corrected = read_file(second):gsub("\n1234,", "\n12345678903,")
    assert.equal(0, run({ "import", write_file("corrected.csv", corrected), "--failures", failed_path() }).code)
    assert.equal(3, requests())
    assert.same({ columns }, cells_of(failed_path()))
  end)

  it("keeps all cells of a ragged row, and keeps it ragged", function()
    local file = write_file("in.csv", "phone,first,last\n12345678901,Ann\n12345678902,Ben,Lee,more,and more\n")
    assert.equal(3, run({ "import", file, "--failures", failed_path() }).code)
    local rows = cells_of(failed_path())
    local records = failures_of(failed_path())
    assert.same({ "12345678901", "Ann", "" }, { records[1].phone, records[1].first, records[1].last })
    assert.equal("2", records[1]._row)
    assert.same({ "12345678902", "Ben", "Lee" }, { records[2].phone, records[2].first, records[2].last })
    assert.equal("3", records[2]._row)
    assert.same({ "more", "and more" }, { rows[3][8], rows[3][9] })
    assert.equal(3, run({ "import", failed_path() }).code)
    assert.equal(0, requests())
  end)

  it("marks rows that this run may have created", function()
    faults:script { { fault = "reset_after_read", process = "all" } }
    local made = run { "import", good_file(2), "--failures", failed_path(), "--json" }
    assert.equal(3, made.code)
    assert.is_true(parsed(made.out).items[1].ambiguous)
    for _, record in ipairs(failures_of(failed_path())) do
      assert.equal("rejected", record._outcome)
      assert.truthy(record._message:find("perhaps created by an earlier try", 1, true))
    end
    faults:reset()
    faults:script { { fault = "reset_after_read", process = "all" } }
    made = run { "import", good_file(2) }
    assert.truthy(
      made.out:find "\n +rejected +2 [^\n]*\n +2  of them exist [^\n]*\n +2  of them perhaps created by an earlier try"
    )
    made = run { "import", good_file(2) }
    assert.truthy(made.out:find "\n +rejected +2 ")
    assert.is_nil(made.out:find("perhaps created", 1, true))
  end)

  it("is copied to a numbered file when it was edited, once for each edit", function()
    local file = write_file("in.csv", "phone\n123\n12345678901\n")
    local arguments = { "import", file, "--failures", failed_path(), "--journal", folder .. "/keep.journal" }
    local made = run(arguments)
    assert.equal("", made.err)
    local written = read_file(failed_path())
    local edits = {
      written:gsub("\n123,", "\n12345678902,"),
      written:gsub("\n123,", "\n12345678903,"),
      written .. ("corrected by hand,"):rep(10000) .. "\n",
    }
    for number, edited in ipairs(edits) do
      write_file("failed.csv", edited)
      local copy = failed_path() .. "." .. number
      made = run(arguments)
      assert.equal(3, made.code)
      assert.equal(("heymarket: the edited content of %s was kept as %s\n"):format(failed_path(), copy), made.err)
      assert.equal(edited, read_file(copy))
      assert.equal("-rw-------", output_of("ls -l " .. quote(copy)):sub(1, 10))
      assert.equal(written, read_file(failed_path()))
      assert.equal("", run(arguments).err)
    end
    for number, edited in ipairs(edits) do
      assert.equal(edited, read_file(failed_path() .. "." .. number))
    end
    assert.is_nil(read_file(failed_path() .. ".4"))
    -- With --quiet the copy is made as well.
    write_file("failed.csv", edits[1] .. "more")
    arguments[#arguments + 1] = "--quiet"
    assert.equal("", run(arguments).err)
    assert.equal(edits[1] .. "more", read_file(failed_path() .. ".4"))
  end)

  it("stays as it is when it cannot be copied, and nothing is sent", function()
    -- A name of 255 bytes leaves no room for a number.
    local long = folder .. "/" .. ("x"):rep(254)
    write_file(("x"):rep(254), OWN_HEADER .. "corrected\n")
    local made = run { "import", write_file("in.csv", "phone\n123\n12345678901\n"), "--failures", long }
    assert.equal(1, made.code)
    assert.equal(0, requests())
    assert.truthy(made.err:find("could not be kept", 1, true))
    assert.equal(OWN_HEADER .. "corrected\n", read_file(long))
  end)

  it("is never the input, by whatever name, nor the journal", function()
    local content = "phone,first\n123,Ann\n12345678901,Ben\n"
    local file = write_file("in.csv", content)
    local link = folder .. "/link.csv"
    os.remove(link)
    os.execute("ln " .. quote(file) .. " " .. quote(link))
    for _, arguments in ipairs {
      { "import", file, "--failures", file },
      { "import", file, "--failures", link },
      { "import", file, "--failures", folder .. "/./in.csv", "--dry-run" },
      { "import", file, "--journal", link },
      { "import", file, "--failures", failed_path(), "--journal", failed_path() },
    } do
      local made = run(arguments)
      assert.equal(1, made.code)
      assert.truthy(made.err:find "^heymarket: the %S+ ")
      assert.equal(content, read_file(file))
    end
    assert.equal(1, run({ "import", "-", "--failures", link }, { stdin = file }).code)
    assert.equal(content, read_file(file))
    assert.equal(0, requests())
  end)

  it("must be writable before anything is sent, and stops the import when it no longer is", function()
    local made = run { "import", good_file(1), "--failures", folder .. "/absent/failed.csv" }
    assert.equal(1, made.code)
    assert.equal(0, requests())
    local lines = { "phone" }
    for i = 1, 3000 do
      lines[#lines + 1] = i % 2 == 0 and "123" or ("1234567%04d"):format(i)
    end
    local file = write_file("in.csv", table.concat(lines, "\n") .. "\n")
    made = run { "import", file, "--failures", "/dev/full", "--json", "--batch-size", "10", "--concurrency", "1" }
    assert.equal(1, made.code)
    local report = parsed(made.out)
    assert.truthy(report.failure.message:find("could not be written", 1, true))
    assert.is_true(report.total < 3000)
    local stored = 0
    for _ in pairs(faults:ledger().stored) do
      stored = stored + 1
    end
    assert.equal(stored, report.accepted)
  end)

  it("holds the header alone when all were accepted", function()
    write_file("failed.csv", OWN_HEADER .. "123,Ann,2,invalid,phone,has 3 digits\n")
    assert.equal(0, run({ "import", good_file(2), "--failures", failed_path() }).code)
    assert.equal("phone,first,_row,_outcome,_field,_message\n", read_file(failed_path()))
  end)

  it("holds the header alone when all were accepted, and a later edit is still noticed", function()
    assert.equal(0, run({ "import", good_file(2), "--failures", failed_path() }).code)
    assert.equal(0, run({ "import", good_file(2), "--failures", failed_path(), "--overwrite" }).code)
    assert.is_nil(read_file(failed_path() .. ".1"))
    -- An edit of the same length, within the same second.
    write_file("failed.csv", (OWN_HEADER:gsub("first", "First")))
    assert.equal(0, run({ "import", good_file(2), "--failures", failed_path(), "--overwrite" }).code)
    assert.equal(OWN_HEADER:gsub("first", "First"), read_file(failed_path() .. ".1"))
  end)

  it("is not written over a file of another kind, which stays as it is", function()
    local long = "phone\n" .. ("12345678901\n"):rep(300000)
    for _, content in ipairs {
      "phone,first\n12345678901,Ann\n",
      "_row,_outcome,_field,_message,more\n1,invalid,,x,\n",
      "phone,_row,_outcome,_field,_note\n",
      "phone,no_row,_outcome,_field,_message\n",
      "phone,_outcome,_row,_field,_message\n",
      "phone\n_row,_outcome,_field,_message\n",
      '"phone,_row,_outcome,_field,_message"\n12345678901\n',
      '"phone\n,_row,_outcome,_field,_message\n',
      '"phone,_row,_outcome,_field,_message\n123,2,invalid,phone,x\n',
      '"phone,_row,_outcome,_field,_message\n123,2,invalid,phone,"x"\n',
      'phone,first",_row,_outcome,_field,_message\n',
      "\n" .. OWN_HEADER,
      "\0\1\2binary",
      " ",
      ("no line end "):rep(300000),
      long,
    } do
      local path = write_file("failed.csv", content)
      os.execute("chmod 644 " .. quote(path))
      for _, extra in ipairs { "--json", "--dry-run" } do
        local made = run { "import", write_file("in.csv", "phone\n123\n12345678901\n"), "--failures", path, extra }
        assert.equal(1, made.code)
        assert.truthy(made.err:find(path .. " holds something else", 1, true))
        assert.is_true(content == read_file(path))
        assert.equal("-rw-r--r--", output_of("ls -l " .. quote(path)):sub(1, 10))
        assert.is_nil(read_file(path .. ".1"))
      end
    end
    assert.equal(0, requests())
  end)

  it("is recognised after a spreadsheet has saved it", function()
    for number, content in ipairs {
      "\239\187\191" .. OWN_HEADER,
      '"phone","_row","_outcome","_field","_message"\r\n"12","2","invalid","phone","x"\r\n',
      "phone;_row;_outcome;_field;_message\n12;2;invalid;phone;x\n",
      "phone\t_row\t_outcome\t_field\t_message\r12\t2\tinvalid\tphone\tx\r",
      '"a ""b""\nc, d",_row,_outcome,_field,_message\n',
    } do
      write_file("failed.csv", content)
      assert.equal(3, run({ "import", write_file("in.csv", "phone\n123\n"), "--failures", failed_path() }).code)
      assert.equal(content, read_file(failed_path() .. "." .. number))
      assert.equal(1, #failures_of(failed_path()))
    end
  end)

  it("is never copied over another file, nor through a link", function()
    local file, precious = write_file("in.csv", "phone\n123\n"), write_file("precious", "precious\n")
    local copy, edited = failed_path() .. ".1", OWN_HEADER .. "corrected\n"
    local absent = folder .. "/absent"
    for _, make in ipairs {
      "ln -s " .. quote(precious) .. " " .. quote(copy),
      "ln -s " .. quote(absent) .. " " .. quote(copy),
      "ln -s " .. quote(failed_path()) .. " " .. quote(copy),
      "ln " .. quote(failed_path()) .. " " .. quote(copy),
      "mkfifo " .. quote(copy),
      "mkdir " .. quote(copy),
      "printf other > " .. quote(copy),
    } do
      write_file("failed.csv", edited)
      os.execute(make)
      local made = run({ "import", file, "--failures", failed_path() }, { before = { "timeout", "20" } })
      assert.equal(3, made.code, make)
      assert.equal(edited, read_file(failed_path() .. ".2"), make)
      assert.equal("precious\n", read_file(precious))
      assert.is_nil(read_file(absent))
      os.execute("rm -r " .. quote(copy))
      os.remove(failed_path() .. ".2")
      os.remove(failed_path())
    end
  end)

  it("is not copied again when an equal copy exists, as after a kill", function()
    local file, edited = write_file("in.csv", "phone\n123\n"), OWN_HEADER .. "corrected\n"
    write_file("failed.csv", edited)
    write_file("failed.csv.1", "half of it")
    write_file("failed.csv.2", edited)
    assert.equal("", run({ "import", file, "--failures", failed_path() }).err)
    assert.is_nil(read_file(failed_path() .. ".3"))
    assert.equal(edited, read_file(failed_path() .. ".2"))
  end)

  it("is copied when it is edited after the import began", function()
    faults:default { delay = 1 }
    write_file("failed.csv", OWN_HEADER .. "first edit\n")
    local running = start { "import", good_file(1), "--failures", failed_path() }
    eventually(function()
      return requests() == 1
    end)
    write_file("failed.csv", OWN_HEADER .. "second edit\n")
    assert.equal(0, running.wait().code)
    assert.equal(OWN_HEADER .. "first edit\n", read_file(failed_path() .. ".1"))
    assert.equal(OWN_HEADER .. "second edit\n", read_file(failed_path() .. ".2"))
    assert.equal(OWN_HEADER, read_file(failed_path()))
  end)

  it("loses no edit when the import is killed", function()
    local ROUNDS = 12
    local lines = { "phone" }
    for i = 1, 20000 do
      lines[#lines + 1] = tostring(i % 1000)
    end
    local file = write_file("in.csv", table.concat(lines, "\n") .. "\n")
    for round = 1, ROUNDS do
      -- As an editor does it: what is there, with one more line. A kill can cut the last line in its middle.
      local held = read_file(failed_path()) or ""
      held = held == "" and OWN_HEADER or held:gsub("[^\n]$", "%0\n")
      write_file("failed.csv", held .. "edit " .. round .. "\n")
      local running = start { "import", file, "--failures", failed_path() }
      system.sleep(system.random() * 0.3)
      running.signal "KILL"
      running.wait()
    end
    local contents = { [read_file(failed_path())] = true }
    local number = 1
    while read_file(failed_path() .. "." .. number) do
      contents[read_file(failed_path() .. "." .. number)] = true
      os.remove(failed_path() .. "." .. number)
      number = number + 1
    end
    for round = 1, ROUNDS do
      local found = false
      for content in pairs(contents) do
        found = found or content:find("\nedit " .. round .. "\n", 1, true) ~= nil
      end
      assert.is_true(found, "edit " .. round .. " is gone")
    end
  end)

  it("is appended to where it is a device or an open stream, whose mode and content stay", function()
    local log = write_file("log", "an earlier line\n")
    os.execute("chmod 644 " .. quote(log))
    local file = write_file("in.csv", "phone\n123\n")
    for _, path in ipairs { "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1" } do
      write_file("log", "an earlier line\n")
      local line = command.command_line({ "import", file, "--failures", path, "--quiet" }, {})
      os.execute(line .. " >> " .. quote(log))
      local text = read_file(log)
      local header = "an earlier line\nphone,_row,_outcome,_field,_message\n123,2,invalid,phone,"
      assert.equal(header, text:sub(1, #header), path)
      assert.truthy(text:find "\n *invalid +1", path)
      assert.equal("-rw-r--r--", output_of("ls -l " .. quote(log)):sub(1, 10))
      assert.is_nil(read_file(log .. ".1"))
    end
    local before = output_of "ls -lL /dev/null"
    assert.equal(3, run({ "import", file, "--failures", "/dev/null" }).code)
    assert.equal(before, output_of "ls -lL /dev/null")
    -- The input itself is no stream to append to.
    local made = run({ "import", "-", "--failures", "/dev/stdin" }, { stdin = file })
    assert.equal(1, made.code)
    assert.equal("phone\n123\n", read_file(file))
  end)

  it("is readable by its owner only, whoever made it", function()
    local file, target = write_file("in.csv", "phone\n123\n"), folder .. "/target.csv"
    local function mode(path)
      return output_of("ls -lL " .. quote(path)):sub(1, 10)
    end
    local path, own = quote(failed_path()), quote(OWN_HEADER)
    for _, make in ipairs {
      "true",
      "umask 0; : > " .. path,
      "umask 0; printf %s " .. own .. " > " .. path,
      "ln -s " .. quote(target) .. " " .. path,
      "umask 0; printf %s " .. own .. " > " .. quote(target) .. "; ln -s " .. quote(target) .. " " .. path,
      "umask 0; : > " .. quote(target) .. "; ln " .. quote(target) .. " " .. path,
    } do
      os.remove(failed_path())
      os.remove(target)
      os.execute(make)
      local made = run({ "import", file, "--failures", failed_path() }, { umask = "000" })
      assert.equal(3, made.code, make .. made.err)
      assert.equal(1, #failures_of(failed_path()), make)
      assert.equal("-rw-------", mode(failed_path()), make)
      os.remove(failed_path() .. ".1")
    end
  end)

  it("is an ordinary file when its path only begins like that of a device", function()
    local file = write_file("in.csv", "phone\n123\n")
    for _, path in ipairs { "/dev/../" .. failed_path(), "/dev/shm/heymarket-" .. system.pid() .. ".csv" } do
      for _ = 1, 2 do
        assert.equal(3, run({ "import", file, "--failures", path }).code)
        assert.equal(1, #failures_of(path))
      end
      assert.equal("-rw-------", output_of("ls -l " .. quote(path)):sub(1, 10))
      os.remove(path)
    end
  end)

  it("does not wait for a pipe's other end", function()
    local fifo, file = folder .. "/fifo", write_file("in.csv", "phone\n123\n")
    os.execute("rm -f " .. quote(fifo) .. "; mkfifo " .. quote(fifo))
    local limit = { before = { "timeout", "20" } }
    for _, arguments in ipairs {
      { "import", file, "--failures", fifo },
      { "import", file, "--failures", fifo, "--dry-run" },
      { "import", file, "--journal", fifo },
      { "import", file, "--journal", fifo, "--failures", failed_path() },
      { "import", file, "--journal", failed_path(), "--failures", fifo },
    } do
      local made = run(arguments, limit)
      assert.equal(1, made.code, table.concat(arguments, " "))
      assert.truthy(made.err:find(fifo, 1, true))
      assert.truthy(made.err:find("not a plain file", 1, true), made.err)
    end
    assert.equal(0, requests())
    -- As the input: one writer, which writes once.
    os.execute("cat " .. quote(file) .. " > " .. quote(fifo) .. " &")
    local made = run({ "import", fifo, "--failures", failed_path(), "--journal", folder .. "/fifo.journal" }, limit)
    assert.equal(3, made.code)
    assert.equal(1, #failures_of(failed_path()))
    os.remove(fifo)
  end)

  it("is locked: a second import is refused", function()
    faults:default { delay = 3 }
    local first = start { "import", good_file(1, "slow.csv"), "--failures", failed_path() }
    eventually(function()
      return requests() == 1
    end)
    local second = run { "import", write_file("in.csv", "phone\n123\n"), "--failures", failed_path() }
    assert.equal(1, second.code)
    assert.truthy(second.err:find("in use by another import", 1, true))
    local link = folder .. "/second-name.csv"
    os.execute("ln " .. quote(failed_path()) .. " " .. quote(link))
    second = run { "import", write_file("in.csv", "phone\n123\n"), "--failures", link }
    assert.equal(1, second.code)
    assert.truthy(second.err:find("in use by another import", 1, true))
    assert.equal(0, first.wait().code)
    assert.equal(OWN_HEADER, read_file(failed_path()))
    assert.equal(1, requests())
    os.remove(link)
  end)

  it("cannot be the journal, by whatever link", function()
    local journal, file = folder .. "/joined.journal", good_file(1)
    local target, own = folder .. "/target", quote(OWN_HEADER)
    for _, make in ipairs {
      ("printf %%s %s > %s; ln %s %s"):format(own, quote(failed_path()), quote(failed_path()), quote(journal)),
      ("printf %%s %s > %s; ln -s %s %s"):format(own, quote(failed_path()), quote(failed_path()), quote(journal)),
      -- Nothing is there yet, and both would become one.
      ("ln -s %s %s"):format(quote(failed_path()), quote(journal)),
      ("ln -s %s %s"):format(quote(journal), quote(failed_path())),
      ("ln -s %s %s; ln -s %s %s"):format(quote(target), quote(journal), quote(target), quote(failed_path())),
    } do
      for _, path in ipairs { journal, failed_path(), target } do
        os.remove(path)
      end
      os.execute(make)
      local content = read_file(failed_path()) or ""
      local made = run { "import", file, "--failures", failed_path(), "--journal", journal }
      assert.equal(1, made.code, make)
      assert.truthy(made.err:find("must be two files", 1, true), made.err)
      assert.equal(content, read_file(failed_path()) or "", make)
      assert.is_nil(read_file(failed_path() .. ".1"), make)
    end
    assert.equal(0, requests())
    os.remove(journal)
    os.remove(target)
  end)

  it("makes the import fail when its last flush fails", function()
    -- Room for the header and not for a row; the signal that would end the process at this limit is ignored.
    local program = "import os, resource as r, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
      .. "r.setrlimit(r.RLIMIT_FSIZE, (1000, 1000)); os.execvp(sys.argv[1], sys.argv[1:])"
    local message = ("a name that does not fit, "):rep(100)
    local file = write_file("in.csv", ('phone,first\n12345678901,Ann\n12345678902,"%s"\n'):format(message))
    faults:default { refuse_phones = { "12345678902" } }
    for _, extra in ipairs { "--json", "--quiet" } do
      faults:reset()
      faults:default { refuse_phones = { "12345678902" } }
      os.remove(failed_path())
      local stdout = folder .. "/limited.out"
      os.execute(("rm -f %s; mkfifo %s; cat %s > %s.read &"):format(stdout, stdout, stdout, stdout))
      local made = run(
        { "import", file, "--failures", failed_path(), extra },
        { before = { "python3", "-c", program }, stdout = stdout }
      )
      eventually(function()
        return (read_file(stdout .. ".read") or ""):find "\n$"
      end)
      local out = read_file(stdout .. ".read")
      assert.equal(1, made.code)
      assert.truthy(made.err:find(failed_path() .. " could not be written", 1, true), made.err)
      assert.truthy(made.err:find("File too large", 1, true))
      assert.same({ ["12345678901"] = 1 }, faults:ledger().stored)
      if extra == "--json" then
        local report = parsed(out)
        assert.equal(1, report.accepted)
        assert.equal(1, report.failed)
        assert.truthy(report.failure.message:find("could not be written", 1, true))
      else
        assert.is_nil(out:find("rows that were not accepted are in", 1, true))
      end
    end
    assert.equal(1, run({ "import", good_file(1), "--failures", "/dev/full", "--dry-run" }).code)
    assert.equal(1, run({ "import", good_file(1), "--failures", "/dev/full" }).code)
  end)

  it("makes the import fail when closing or syncing it fails", function()
    local file = write_file("in.csv", "phone\n12345678901\n123\n")
    for _, chunk in ipairs {
      -- A file system that finds out at the end that it is full, as those on a network do.
      [[local methods = getmetatable(io.stdout).__index
        local close = methods.close
        function methods.close(file)
          local writes = io.type(file) == "file" and file ~= io.stdin and file:seek "end" and file:write ""
          close(file)
          if writes then return nil, "No space left on device" end
          return true
        end]],
      [[require "heymarket.system".sync = function() return nil, "system", "No space left on device" end]],
    } do
      os.remove(failed_path())
      local made = run({ "import", file, "--failures", failed_path() }, { chunk = chunk })
      assert.equal(1, made.code)
      assert.truthy(made.err:find("could not be written", 1, true), made.err)
      assert.truthy(made.err:find("No space left on device", 1, true))
    end
  end)

  it("has every row that was read and not sent, when the import is stopped before its first response", function()
    -- All have one phone, so they are read and wait for the first of them.
    local file = write_file("in.csv", "phone,first\n" .. ("12345678901,Ann\n"):rep(30))
    faults:default { fault = "timeout_after_read" }
    local running = start {
      "import",
      file,
      "--failures",
      failed_path(),
      "--batch-size",
      "1",
      "--concurrency",
      "2",
      "--timeout",
      "2",
      "--max-attempts",
      "1",
      "--json",
    }
    eventually(function()
      return requests() == 1
    end)
    running.signal "INT"
    local made = running.wait()
    assert.equal(130, made.code)
    local report = parsed(made.out)
    assert.same({ 30, 1, 29 }, { report.total, report.unknown, report.unsent })
    local rows = {}
    for _, record in ipairs(failures_of(failed_path())) do
      rows[tonumber(record._row)] = record
    end
    assert.equal("unknown", rows[2]._outcome)
    for row = 3, 31 do
      assert.same({ "unsent", "interrupted" }, { rows[row]._outcome, rows[row]._message })
      assert.equal("interrupted", report.items[row - 1].failure.reason)
    end
  end)

  it("stops the import when it is removed, replaced or cut", function()
    local lines = { "phone" }
    for i = 1, 40 do
      lines[#lines + 1] = i % 2 == 0 and "123" or ("1234567%04d"):format(i)
    end
    local file = write_file("in.csv", table.concat(lines, "\n") .. "\n")
    for word, act in pairs {
      removed = "rm ",
      replaced = "cp -p --remove-destination " .. quote(file) .. " ",
      cut = "truncate -s 0 ",
    } do
      os.remove(failed_path())
      faults:reset()
      faults:default { delay = 0.5 }
      local running =
        start { "import", file, "--failures", failed_path(), "--batch-size", "1", "--concurrency", "1", "--json" }
      eventually(function()
        return #(read_file(failed_path()) or "") > 0
      end)
      os.execute(act .. quote(failed_path()))
      local made = running.wait()
      assert.equal(1, made.code)
      assert.truthy(made.err:find("it was " .. word, 1, true), made.err)
      assert.is_true(parsed(made.out).accepted < 20)
      if word == "replaced" then
        assert.equal(read_file(file), read_file(failed_path()))
      end
    end
  end)

  it("has no cell of its own that a spreadsheet would take for a formula", function()
    local item = { index = 1, position = 2, row = { "=1+1" } }
    for _, first in ipairs { "=", "+", "-", "@" } do
      os.remove(failed_path())
      local output = assert(output_file.open(failed_path(), function() end, error))
      local file = failures.new(output, { columns = { "phone" } }, false)
      item.outcome = "failed"
      item.failure = failure.make("stopped", first .. "HYPERLINK(1)") -- a code without words is shown itself
      file:write(item)
      item.outcome = "invalid"
      item.failure = failure.invalid { { field = first .. "A1", code = "is wrong" } }
      file:write(item)
      output:close()
      local records = failures_of(failed_path())
      assert.equal("=1+1", records[1].phone)
      assert.equal(" " .. first .. "HYPERLINK(1)", records[1]._message)
      assert.equal(" " .. first .. "A1", records[2]._field)
      assert.equal(" " .. first .. "A1 is wrong", records[2]._message)
    end
  end)
end)
