local command = require "spec.support.command"

local quote, read_file, write_file, output_of = command.quote, command.read_file, command.write_file, command.output_of
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

  it("says of a listed row whether it exists", function()
    run { "import", write_file("first.csv", "phone\n12345678901\n") }
    faults:script { { body = { { phone = "12345678901", id = 7 }, { phone = "12345678902" } } } }
    local file = write_file("in.csv", "phone\n12345678901\n12345678902\n12345678903\n")
    local made = run { "import", file, "--failures", failed_path() }
    assert.equal(3, made.code)
    assert.truthy(made.out:find "\n +1  of them exist already")
    assert.truthy(made.out:find "\n +1  of them refused")
    assert.truthy(
      made.out:find "\n  row 3 rejected: the server listed it as not created, and nothing shows that it exists"
    )
    assert.is_nil(made.out:find("row 2 rejected", 1, true))
    local records = failures_of(failed_path())
    assert.truthy(records[1]._message:find("exists in the account already", 1, true))
    assert.truthy(records[2]._message:find("nothing shows that it exists", 1, true))
  end)

  it("can be mended and imported again", function()
    local file = write_file("in.csv", "phone,first,_note\n12345678901,Ann,a\n123,Ben,b\n1234,Cem,c\n")
    assert.equal(3, run({ "import", file, "--failures", failed_path() }).code)
    local mended = read_file(failed_path()):gsub("\n123,", "\n12345678902,")
    local second = folder .. "/second.csv"
    assert.equal(3, run({ "import", write_file("mended.csv", mended), "--failures", second }).code)
    assert.same({ ["12345678901"] = 1, ["12345678902"] = 1 }, faults:ledger().stored)
    local records, columns = failures_of(second)
    assert.same({ "phone", "first", "_note", "_row", "_outcome", "_field", "_message" }, columns)
    assert.equal(1, #records)
    assert.same({ "1234", "Cem", "c", "3" }, { records[1].phone, records[1].first, records[1]._note, records[1]._row })
    mended = read_file(second):gsub("\n1234,", "\n12345678903,")
    assert.equal(0, run({ "import", write_file("mended.csv", mended), "--failures", failed_path() }).code)
    assert.equal(3, requests())
    assert.same({ columns }, cells_of(failed_path()))
  end)

  it("loses no cell of a ragged row, and does not make it look whole", function()
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

  it("marks what this very run may have created", function()
    faults:script { { fault = "reset_after_read", process = "all" } }
    local made = run { "import", good_file(2), "--failures", failed_path(), "--json" }
    assert.equal(3, made.code)
    assert.is_true(parsed(made.out).items[1].ambiguous)
    for _, record in ipairs(failures_of(failed_path())) do
      assert.equal("rejected", record._outcome)
      assert.truthy(record._message:find("possibly created by this run", 1, true))
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

  it("is kept as a numbered copy where it was edited, once for each edit", function()
    local file = write_file("in.csv", "phone\n123\n12345678901\n")
    local arguments = { "import", file, "--failures", failed_path(), "--journal", folder .. "/keep.journal" }
    local made = run(arguments)
    assert.equal("", made.err)
    local written = read_file(failed_path())
    local edits = {
      written:gsub("\n123,", "\n12345678902,"),
      written:gsub("\n123,", "\n12345678903,"),
      written .. ("mended by hand,"):rep(10000) .. "\n",
    }
    for number, edited in ipairs(edits) do
      write_file("failed.csv", edited)
      local copy = failed_path() .. "." .. number
      made = run(arguments)
      assert.equal(3, made.code)
      assert.equal(("heymarket: what %s held was kept as %s\n"):format(failed_path(), copy), made.err)
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

  it("stays as it is where it cannot be kept, and the import stops", function()
    -- A name of 255 bytes leaves no room for a number.
    local long = folder .. "/" .. ("x"):rep(254)
    write_file(("x"):rep(254), OWN_HEADER .. "mended\n")
    local made = run { "import", write_file("in.csv", "phone\n123\n"), "--failures", long }
    assert.equal(1, made.code)
    assert.truthy(made.err:find("could not be kept", 1, true))
    assert.equal(OWN_HEADER .. "mended\n", read_file(long))
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
end)
