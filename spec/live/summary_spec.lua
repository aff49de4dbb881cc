local command = require "spec.support.command"
local failure = require "heymarket.failure"
local failures = require "heymarket.cli.failures"

local read_file, write_file, run = command.read_file, command.write_file, command.run
local parsed, failures_of, requests, good_file =
  command.parsed, command.failures_of, command.requests, command.good_file

local MARK = "\239\187\191"

local folder, faults

local function has(text, wanted)
  assert.truthy(text:find(wanted, 1, true), text)
end

local function has_not(text, unwanted)
  assert.is_nil(text:find(unwanted, 1, true), text)
end

setup(function()
  folder, faults = command.setup()
end)

teardown(command.teardown)
before_each(command.before_each)
after_each(command.after_each)

describe("the summary of an import", function()
  it("counts opt-outs of contacts that exist, which were not written", function()
    local file = write_file("out.csv", "phone,Opt Out\n12345678901,yes\n12345678902,no\n12345678903,\n12345678904,1\n")
    run { "import", write_file("first.csv", "phone\n12345678901\n12345678902\n12345678903\n") }
    local made = run { "import", file }
    assert.equal(3, made.code)
    has(
      made.out,
      "In 1 row is_opted_out is true and the contact existed or may have existed: they may still get messages"
    )
    has(made.out, "Opt them out with --overwrite")
    made = run { "import", file, "--json" }
    assert.equal(2, parsed(made.out).opt_outs_not_written) -- the fourth exists by now, too
    made = run { "import", file, "--overwrite" }
    assert.equal(0, made.code)
    has_not(made.out, "is_opted_out is true")
    assert.equal(0, parsed(run({ "import", file, "--json", "--overwrite" }).out).opt_outs_not_written)
  end)

  it("says one contact that exists in the singular", function()
    run { "import", write_file("first.csv", "phone\n12345678901\n") }
    local made = run { "import", write_file("one.csv", "phone\n12345678901\n12345678902\n") }
    has(made.out, " 1  of them exists already and was left as it was (--overwrite replaces it)\n")
    faults:script { { body = { { phone = "12345678903" } } } }
    made = run { "import", write_file("one.csv", "phone\n12345678903\n") }
    has(made.out, " 1  of them refused: nothing shows that it exists\n")
  end)

  it("says of a stopped import that the same command comes before the failures file", function()
    local journal, failed = folder .. "/stop.journal", folder .. "/stop.csv"
    local file = write_file("stop.csv.in", "phone\n12345678901\n1\n2\n12345678902\n")
    local made = run { "import", file, "--max-failures", "1", "--journal", journal, "--failures", failed }
    assert.equal(5, made.code)
    has(made.out, ("\nTo go on, give the same command again: the journal %s knows what is done, and "):format(journal))
    has(
      made.out,
      "failed, unknown and unsent rows are sent again.\n"
        .. "The command is without --max-failures, which counts the rows of earlier runs as well:\n"
        .. ("  heymarket import %s --journal %s --failures %s\n"):format(file, journal, failed)
        .. failed
        .. " has the rows that were not accepted"
    )
    has(made.out, " so far: correct it when the import is complete.\n")
    has_not(made.out, "import that file")
  end)

  it("shows rows that may have swallowed others before all other reasons, however late they come", function()
    local lines = { "phone,first,tags" }
    for i = 1, 1100 do
      lines[#lines + 1] = ("12345678901,Ann,word %d"):format(i)
    end
    lines[#lines + 1] = '12345678902,"Ben,1'
    for i = 3, 6 do
      lines[#lines + 1] = ("1234567890%d,Ann,1"):format(i)
    end
    lines[#lines] = lines[#lines] .. '"'
    local file = write_file("late.csv", table.concat(lines, "\n") .. "\n")
    for _, extra in ipairs { "--no-progress", "--dry-run" } do
      local made = run { "import", file, extra }
      assert.equal(3, made.code)
      assert.matches("\n\n  row 1102 invalid: [^\n]*most likely swallowed rows[^\n]*\n  row 2 invalid: ", made.out)
      has(made.out, "\n  and 1,090 more rows")
    end
  end)
end)

describe("columns that are ignored", function()
  it("are named before anything is sent, those that begin with _ aside", function()
    local file = write_file("columns.csv", "phone,City,_note,,Zip\n12345678901,a,b,c,d\n")
    local made = run { "import", file, "--ignore", "*" }
    assert.equal(0, made.code)
    assert.equal("heymarket: Ignored columns: City, column 4, Zip\n", made.err)
    assert.equal("", run({ "import", file, "--ignore", "*", "--quiet" }).err)
    assert.equal("", run({ "import", good_file(1) }).err)
  end)

  it("are told where they look like opt-outs, unless --ignore names them", function()
    local names = { ["Opted Outs"] = true, is_opted_uot = true, ["Email Opt Out"] = false, Option = false }
    for name, is_like in pairs(names) do
      local file = write_file("columns.csv", "phone," .. name .. "\n12345678901,yes\n")
      local made = run { "import", file, "--ignore", "*", "--dry-run" }
      assert.equal(0, made.code)
      local warning = name .. " looks like is_opted_out: give it with --map, or name it with --ignore\n"
      assert.equal(is_like, made.err:find(warning, 1, true) ~= nil, made.err)
      made = run { "import", file, "--ignore", name, "--dry-run" }
      assert.equal("heymarket: Ignored columns: " .. name .. "\n", made.err)
    end
    local both = write_file("columns.csv", "phone,Opt Out,Opted Outs\n12345678901,,\n")
    has_not(run({ "import", both, "--ignore", "*", "--dry-run" }).err, "looks like")
  end)
end)

describe("messages", function()
  it("name the address where there is no such call", function()
    for _, status in ipairs { 404, 405 } do
      faults:default { status = status, body = '{"error_code":"not_found"}' }
      local wanted = ("there is no such call at this address (status %d): check HEYMARKET_BASE_URL"):format(status)
      for _, arguments in ipairs { { "check" }, { "import", good_file(1) } } do
        local made = run(arguments)
        has(made.err .. made.out, wanted)
        has_not(made.err .. made.out, "refused the data")
      end
    end
    local made = run { "import", good_file(1), "--json" }
    assert.equal("bad_data", parsed(made.out).items[1].failure.kind)
  end)

  it("say how long the server asks to wait where that is too long", function()
    faults:default { status = 429, headers = { ["Retry-After"] = "600" } }
    local made = run { "import", good_file(1) }
    assert.equal(1, made.code)
    has(
      made.err,
      "the server asks to wait 600 s, longer than the 120 s that are waited for: give the same command again"
    )
  end)

  it("name the file that is empty", function()
    local made = run { "import", write_file("empty.csv", "") }
    assert.equal(1, made.code)
    assert.equal(("heymarket: %s/empty.csv is empty: its first row must name the columns\n"):format(folder), made.err)
  end)

  it("say which countries can be given", function()
    local made = run { "import", good_file(1), "--default-country", "Germany" }
    assert.equal(2, made.code)
    has(made.err, "--default-country must be a region of two letters, such as DE, the digits of a calling code")
  end)

  it("tell an earlier try, which may have arrived, from the last, which did not", function()
    for code, wanted in pairs { unreachable = "an earlier try", connection_broke = "it" } do
      local made = failure.make("network", code, nil, { delivered = "maybe" })
      has(tostring(made), "(the server may have acted on " .. wanted .. ")")
    end
  end)

  it("have codes in JSON, and the words that stderr has", function()
    local file = write_file("codes.csv", "phone\n5550101\n12345678901\n")
    local made = run { "import", file, "--json" }
    local issue = parsed(made.out).items[1].failure.issues[1]
    assert.equal("phone_no_country", issue.code)
    has(issue.message, "--default-country 1")
    assert.is_nil(issue.values)
    made = run { "import", file, "--json", "--max-failures", "1" }
    local problem = parsed(made.out).failure
    assert.equal("max_failures", problem.message_code)
    has(made.err, problem.message)
    has(problem.message, "--max-failures")
    assert.is_nil(problem.values)
  end)
end)

describe("a failures file of an input with another delimiter", function()
  it("has it too, and the line that names it, is known as ours, and can be imported again", function()
    for name, opening in pairs { plain = "", separator = "sep=;\r\n", both = MARK .. "sep=;\n" } do
      local failed = ("%s/%s.failed.csv"):format(folder, name)
      local file = write_file(name .. ".in.csv", opening .. 'phone;first;tags\r\n123;"Zoë; A";"1;2"\r\n')
      assert.equal(3, run({ "import", file, "--failures", failed }).code)
      local written = read_file(failed)
      local start = opening:gsub("\r", "")
        .. "phone;first;tags;_row;_outcome;_field;_message\n"
        .. '123;"Zoë; A";"1;2";2;'
      assert.equal(start, written:sub(1, #start))
      assert.is_true(failures.is_start(written))
      assert.equal(3, run({ "import", file, "--failures", failed }).code)
      assert.equal(written, read_file(failed))
      local corrected = write_file(name .. ".corrected.csv", (written:gsub("\n123;", "\n12345678901;")))
      assert.equal(0, run({ "import", corrected, "--failures", failed, "--overwrite" }).code)
      assert.equal("Zoë; A", faults:ledger().contacts["12345678901"].first)
    end
  end)

  it("is UTF-8 with a mark where the input is not UTF-8, and is imported by the same command", function()
    local cases = {
      excel = { "phone;first\r\n123;Zo\235\r\n12345678901;J\252rgen\r\n", "--encoding", "windows-1252" },
      utf16 = { "\255\254" .. ("phone;first\n123;Zo\235\n12345678901;J\252rgen\n"):gsub(".", "%0\0") },
    }
    for name, case in pairs(cases) do
      local failed, file = ("%s/%s.failed.csv"):format(folder, name), write_file(name .. ".in.csv", case[1])
      local journal = folder .. "/" .. name .. ".journal"
      local arguments = { "import", file, "--failures", failed, "--overwrite", case[2], case[3] }
      assert.equal(3, run(arguments).code)
      assert.equal("Jürgen", faults:ledger().contacts["12345678901"].first)
      local written = read_file(failed)
      local start = MARK .. "phone;first;_row;_outcome;_field;_message\n123;Zoë;2;invalid;"
      assert.equal(start, written:sub(1, #start))
      arguments[2] = write_file(name .. ".corrected.csv", (written:gsub("\n123;", "\n12345678902;")))
      assert.equal(0, run(arguments).code)
      assert.equal("Zoë", faults:ledger().contacts["12345678902"].first)
      -- A journal is of the contacts: it goes on with the same rows in UTF-8.
      arguments = { "import", file, "--journal", journal, "--overwrite", case[2], case[3] }
      assert.equal(3, run(arguments).code)
      local before = requests()
      local utf8 = write_file(name .. ".utf8.csv", "phone;first\n123;Zoë\n12345678901;Jürgen\n")
      assert.equal(3, run({ "import", utf8, "--journal", journal, "--overwrite" }).code)
      assert.equal(before, requests())
      os.remove(journal)
    end
  end)

  it("is told of where bytes are not UTF-8", function()
    local made = run { "import", write_file("bytes.csv", "phone,first\n12345678901,Zo\235\n"), "--dry-run" }
    assert.equal(3, made.code)
    has(made.out, "row 2 invalid: first is not valid UTF-8")
    has(made.out, "--encoding: it looks like windows-1252")
    has(run({ "import", "x", "--encoding", "latin-99" }).err, "--encoding must be the name of an encoding")
  end)

  it("is named by --delimiter", function()
    local file = write_file("tab.in.csv", "phone;a\tfirst\n12345678902\tAnn\n")
    for _, name in ipairs { "tab", "\t", "\\t" } do
      local made = run { "import", file, "--delimiter", name, "--map", "phone;a=phone", "--dry-run" }
      assert.equal(0, made.code)
    end
    has(run({ "import", file, "--delimiter", ":" }).err, "--delimiter must be a comma, a semicolon, a tab or |")
  end)
end)

describe("a failures file of an input with a byte-order mark", function()
  it("has one too, is known as ours, and can be imported again", function()
    local failed = folder .. "/mark.csv"
    local file = write_file("mark.in.csv", MARK .. "phone,first\n123,Zoë\n")
    assert.equal(3, run({ "import", file, "--failures", failed }).code)
    local written = read_file(failed)
    assert.equal(MARK .. "phone,first,_row,", written:sub(1, 20))
    assert.is_true(failures.is_start(written))
    assert.equal(3, run({ "import", file, "--failures", failed }).code)
    assert.equal(written, read_file(failed))
    local corrected = write_file("mark.corrected.csv", (written:gsub("\n123,", "\n12345678901,")))
    assert.equal(0, run({ "import", corrected, "--failures", failed }).code)
    assert.equal("Zoë", faults:ledger().contacts["12345678901"].first)
    assert.equal(1, requests())
    assert.equal("phone,first", written:sub(4, 14))
    write_file("no_mark.csv", "phone\n1\n")
    assert.equal(3, run({ "import", folder .. "/no_mark.csv", "--failures", folder .. "/no_mark.failed" }).code)
    assert.equal("1", failures_of(folder .. "/no_mark.failed")[1].phone)
  end)
end)
