local cjson = require("cjson").new()
local command = require "spec.support.command"
local system = require "heymarket.system"

local ID, KEY, PYTHON = command.ID, command.KEY, command.PYTHON
local quote, read_file, write_file, output_of = command.quote, command.read_file, command.write_file, command.output_of
local command_line, start, run, eventually = command.command_line, command.start, command.run, command.eventually
local parsed, cells_of, failures_of = command.parsed, command.cells_of, command.failures_of
local requests, good_file = command.requests, command.good_file

local folder, faults

setup(function()
  folder, faults = command.setup()
end)

teardown(command.teardown)
before_each(command.before_each)
after_each(command.after_each)

describe("heymarket", function()
  it("prints its version and its help", function()
    local made = run { "--version" }
    assert.equal(0, made.code)
    assert.truthy(made.out:find "^heymarket %d+%.%d+%.%d+ %(Lua")
    for _, arguments in ipairs { { "--help" }, { "import", "--help" }, { "check", "-h" }, { "token", "-h" } } do
      made = run(arguments)
      assert.equal(0, made.code)
      assert.truthy(made.out:find "^Usage: heymarket")
      assert.equal("", made.err)
    end
    made = run { "import", "--help" }
    for flag in
      ([[--map --ignore --overwrite --default-country --batch-size --concurrency --dry-run --failures --journal
      --max-failures --json --quiet --no-progress --allow-opt-in --allow-multiline-rows]]):gmatch "%S+"
    do
      assert.truthy(made.out:find("\n   " .. flag, 1, true), flag)
    end
    assert.truthy(made.out:find("FILE.1", 1, true))
  end)

  it("wraps its help at 100 columns", function()
    for _, name in ipairs { "import", "columns", "sandbox" } do
      local help = run({ name, "--help" }).out
      for line in help:gmatch "[^\n]+" do
        assert.is_true(#line <= 100, line)
      end
      local lines = {}
      for line in help:match("\n\n(.-)\n\n"):gmatch "[^\n]+" do
        lines[#lines + 1] = line
      end
      -- No line ends before the first word of the next one would not fit.
      for i = 1, #lines - 1 do
        assert.is_true(#lines[i] + 1 + #lines[i + 1]:match "^%S+" > 100, lines[i])
      end
    end
  end)

  it("refuses wrong usage with code 2, on stderr, and sends nothing", function()
    local file = good_file(1)
    for _, arguments in ipairs {
      {},
      { "bogus" },
      { "import" },
      { "import", file, "more" },
      { "import", file, "--bogus" },
      { "import", file, "--batch-size", "0" },
      { "import", file, "--batch-size", "many" },
      { "import", file, "--batch-size", "1.5" },
      { "import", file, "--batch-size", "-1" },
      { "import", file, "--batch-size=-1" },
      { "import", file, "--concurrency", "1000" },
      { "import", file, "--requests-per-minute", "none" },
      { "import", file, "--max-failures", "0" },
      { "import", file, "--default-country", "+1" },
      { "import", file, "--timeout", "0" },
      { "import", file, "--map", "phone" },
      { "import", file, "--map", "a=phone", "--map", "a=first" },
      { "import", file, "--failures" },
      { "import", file, "--proxy", "http://name:password@127.0.0.1:1" },
      { "check", "more" },
      { "sandbox", "--port", "99999" },
      { "sandbox", "--bad-contact", "shrug" },
      { "sandbox", "--max-contacts", "0" },
    } do
      local made = run(arguments)
      local shown = table.concat(arguments, " ")
      assert.equal(2, made.code, shown)
      assert.equal("", made.out, shown)
      assert.truthy(made.err:find "^heymarket: %S", shown)
      assert.truthy(made.err:find("\nUsage: heymarket", 1, true), shown)
      assert.is_nil(made.err:find("password", 40, true) and made.err:find("name:password", 1, true))
    end
    assert.equal(0, requests())
  end)

  it("names the flag of a value that it cannot read", function()
    local file = good_file(1)
    local flags = "--batch-size --concurrency --requests-per-minute --max-attempts --timeout --deadline "
      .. "--max-failures --map"
    for flag in flags:gmatch "%S+" do
      local made = run { "import", file, flag, "x\226\128\139y" }
      assert.equal(2, made.code)
      local first = made.err:match "^[^\n]*\n"
      assert.truthy(first:find("heymarket: " .. flag .. ": ", 1, true), first)
      assert.truthy(first:find("x<U+200B>y", 1, true), first)
    end
    local made = run { "sandbox", "--port", "eighty" }
    assert.truthy(made.err:find "^heymarket: %-%-port: 'eighty'")
  end)

  it("says how to install argparse when it is missing", function()
    local made = run({ "--help" }, { chunk = "package.preload.argparse = function() error(1) end" })
    assert.equal(1, made.code)
    assert.truthy(made.err:find "^heymarket: argparse is not installed: [^\n]*lua%-argparse[^\n]*\n$")
  end)

  it("loads what a command needs, and no more", function()
    -- At its end the process tells which of its modules and libraries it has loaded.
    local chunk = [[
      local exit = os.exit
      os.exit = function(...)
        local maps = io.open "/proc/self/maps":read "*a"
        for _, library in ipairs { "libcurl", "heymarket/core.so", "heymarket/rows.so" } do
          if maps:find(library, 1, true) then io.stderr:write(library, "\n") end
        end
        for _, module in ipairs { "heymarket.client", "heymarket.contact", "argparse", "heymarket.csv" } do
          if package.loaded[module] then io.stderr:write(module, "\n") end
        end
        exit(...)
      end
    ]]
    local made = run({ "--version" }, { chunk = chunk })
    assert.equal(0, made.code)
    assert.equal("", made.err)
    made = run({ "import", good_file(2), "--dry-run" }, { chunk = chunk })
    assert.equal(0, made.code)
    assert.equal("heymarket/rows.so\nheymarket.contact\nargparse\nheymarket.csv\n", made.err)
    made = run({ "token" }, { chunk = chunk })
    assert.equal("libcurl\nheymarket/core.so\nheymarket/rows.so\n", made.err:sub(1, #made.err:match "^.*so\n"))
  end)

  it("loads what a failures file needs only where there is one, or a journal, which must be another file", function()
    local chunk = [[
      local exit = os.exit
      os.exit = function(...)
        if package.loaded["heymarket.cli.output_file"] then io.stderr:write "heymarket.cli.output_file\n" end
        exit(...)
      end
    ]]
    local file = good_file(2)
    local function loaded_by(...)
      local made = run({ "import", "--quiet", "--overwrite", file, ... }, { chunk = chunk })
      assert.equal(0, made.code)
      return made.err
    end
    assert.equal("", loaded_by())
    assert.equal("heymarket.cli.output_file\n", loaded_by("--failures", folder .. "/loads-failures.csv"))
    assert.equal("heymarket.cli.output_file\n", loaded_by("--journal", folder .. "/loads-journal"))
  end)

  it("checks the credentials", function()
    local made = run { "check" }
    assert.equal(0, made.code)
    assert.equal("The credentials are good.\n", made.out)
    for _, status in ipairs { 401, 403 } do
      faults:default { status = status }
      made = run { "check" }
      assert.equal(4, made.code)
      assert.equal("", made.out)
    end
    for _, sent in ipairs(faults:ledger().requests) do
      assert.equal("GET", sent.method)
    end
  end)

  it("names the variables of credentials that are missing", function()
    local file = good_file(1)
    for _, arguments in ipairs { { "check" }, { "token" }, { "import", file } } do
      local made = run(arguments, { environment = { HEYMARKET_SECRET_KEY = "" } })
      assert.equal(1, made.code)
      assert.equal("", made.out)
      assert.truthy(made.err:find("HEYMARKET_SECRET_KEY", 1, true))
      assert.is_nil(made.err:find("HEYMARKET_SECRET_ID", 1, true))
    end
    local made = run({ "check" }, { environment = { HEYMARKET_BASE_URL = "http://example.com" } })
    assert.equal(1, made.code)
    assert.truthy(made.err:find("HEYMARKET_BASE_URL", 1, true))
    assert.equal(0, requests())
  end)

  it("prints a token that is signed with the key", function()
    local made = run { "token" }
    assert.equal(0, made.code)
    local program = [[
import base64, hashlib, hmac, json, sys
head, payload, signature = sys.argv[1].split(".")
read = lambda part: base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
key = (sys.argv[2] + "||" + sys.argv[3]).encode()
assert hmac.new(key, (head + "." + payload).encode(), hashlib.sha256).digest() == read(signature)
print(json.loads(read(payload))["iss"])]]
    local token = made.out:match "^(%S+)\n$"
    local words = { PYTHON .. "-c", quote(program), quote(token), quote(ID), quote(KEY) }
    assert.equal(ID .. "\n", output_of(table.concat(words, " ")))
  end)
end)

describe("heymarket import", function()
  it("reads both styles of column names", function()
    local ours = write_file(
      "ours.csv",
      "phone,first,last,email,tags,custom.7,is_opted_out,assignee_id\r\n"
        .. '+1 (234) 567-8901,Zoë,"O""Neil, Jr",zoe@example.com,1;2,Gold,yes,-1\r\n'
    )
    local made = run { "import", ours }
    assert.equal("", made.err)
    assert.equal(0, made.code)
    local theirs =
      write_file("theirs.csv", "\239\187\191First Name,LAST NAME,Phone Number,Opt Out\nAnn,Lee,12345678902,y\n")
    assert.equal(0, run({ "import", theirs }).code)
    local contacts = faults:ledger().contacts
    assert.same({
      phone = "12345678901",
      first = "Zoë",
      last = 'O"Neil, Jr',
      email = "zoe@example.com",
      tags = { { tag_id = 1 }, { tag_id = 2 } },
      custom = { ["7"] = "Gold" },
      is_opted_out = true,
      assignee_id = -1,
    }, contacts["12345678901"])
    assert.same({ phone = "12345678902", first = "Ann", last = "Lee", is_opted_out = true }, contacts["12345678902"])
  end)

  it("prints a summary that adds up", function()
    local file = write_file("mixed.csv", "phone,first\n12345678901,A\n123,B\n12345678902,C\n12345678901,D\n")
    local made = run { "import", file, "--batch-size", "1" }
    assert.equal(3, made.code)
    local counts = {}
    for name, count in made.out:gmatch "\n? *(%a+) +(%d+)" do
      counts[name] = counts[name] or tonumber(count)
    end
    assert.equal(2, counts.accepted)
    assert.equal(1, counts.rejected)
    assert.equal(1, counts.invalid)
    assert.equal(4, counts.total)
    assert.truthy(made.out:find("row 3 invalid: phone has 3 digits", 1, true))
    assert.is_nil(made.out:find("failed", 1, true))
  end)

  it("reads from a pipe", function()
    local pipe =
      assert(io.popen(command_line({ "import", "-", "--json" }, {}) .. " > " .. quote(folder .. "/piped"), "w"))
    pipe:write "phone,first\n12345678901,"
    pipe:flush()
    system.sleep(0.1)
    pipe:write "Ann\n12345678902,Ben\n"
    pipe:close()
    local made = parsed(read_file(folder .. "/piped"))
    assert.equal(2, made.accepted)
    assert.same({ ["12345678901"] = 1, ["12345678902"] = 1 }, faults:ledger().stored)
  end)

  it("maps and ignores columns", function()
    local file = write_file("odd.csv", "Mobile,Given=Name,Shoe size,_internal\n12345678901,Ann,44,x\n")
    local given = { "import", file, "--map", "Mobile=phone", "--map", "Given=Name=first", "--ignore", "Shoe size" }
    assert.equal(0, run(given).code)
    assert.same({ phone = "12345678901", first = "Ann" }, faults:ledger().contacts["12345678901"])
  end)

  it("refuses a column that is mapped twice, and one that is to be ignored but is not there", function()
    local file = write_file("twice.csv", "phone,nick\n12345678901,Ann\n")
    for _, given in ipairs {
      { "nick=first", "NICK=last" },
      { "nick=first", "nick=first" },
      { "nick=first", " nick =last" },
    } do
      local made = run { "import", file, "--map", given[1], "--map", given[2] }
      assert.equal(2, made.code)
      assert.truthy(made.err:find("--map is given twice for the column", 1, true), made.err)
    end
    local made = run { "import", file, "--map", "nick=first", "--ignore", "nikc" }
    assert.equal(1, made.code)
    assert.truthy(
      made.err:find('nikc is ignored, but the file has no such column; did you mean "nick"?', 1, true),
      made.err
    )
    assert.equal(0, requests())
    assert.equal(0, run({ "import", file, "--ignore", "*" }).code)
    assert.same({ phone = "12345678901" }, faults:ledger().contacts["12345678901"])
  end)

  it("leaves out is_opted_out = false and counts the rows, unless --allow-opt-in is given", function()
    local file =
      write_file("optout.csv", "phone,Opt Out\n12345678901,no\n12345678902,yes\n12345678903,f\n12345678904,\n")
    local made = run { "import", file }
    assert.equal(0, made.code)
    assert.truthy(made.out:find("In 2 rows is_opted_out is false", 1, true), made.out)
    assert.truthy(made.out:find("--allow-opt-in", 1, true))
    local contacts = faults:ledger().contacts
    assert.is_nil(contacts["12345678901"].is_opted_out)
    assert.is_true(contacts["12345678902"].is_opted_out)
    assert.is_nil(contacts["12345678903"].is_opted_out)
    assert.equal(2, parsed(run({ "import", file, "--dry-run", "--json" }).out).opt_ins_left_out)
    made = run { "import", file, "--overwrite", "--allow-opt-in" }
    assert.equal(0, made.code)
    assert.is_nil(made.out:find("opt", 1, true))
    contacts = faults:ledger().contacts
    assert.is_false(contacts["12345678901"].is_opted_out)
    assert.is_false(contacts["12345678903"].is_opted_out)
    assert.is_nil(contacts["12345678904"].is_opted_out)
  end)

  it("refuses a cell that swallowed rows, unless --allow-multiline-rows is given", function()
    local lines = { "phone,first,custom.7" }
    for i = 1, 200 do
      lines[i + 1] = ("1234567%04d,Ann,note"):format(i)
    end
    lines[4] = '12345670003,Ann,"5 pipe'
    lines[193] = lines[193] .. '"'
    local file = write_file("swallow.csv", table.concat(lines, "\n") .. "\n")
    local made = run { "import", file }
    assert.equal(3, made.code)
    assert.truthy(made.out:find("row 4 invalid: custom.7 goes on to line 193 of the file", 1, true), made.out)
    assert.truthy(made.out:find("--allow-multiline-rows", 1, true))
    local contacts = faults:ledger().contacts
    assert.is_nil(contacts["12345670003"])
    assert.truthy(contacts["12345670002"] and contacts["12345670200"])
    made = run { "import", file, "--allow-multiline-rows", "--overwrite" }
    assert.equal(0, made.code)
    assert.truthy(faults:ledger().contacts["12345670003"].custom["7"]:find("5 pipe\n12345670004,Ann,note", 1, true))
  end)

  it("refuses a header it does not know before anything is sent, and keeps an old failures file", function()
    local old = write_file("old.csv", "precious\n")
    for _, case in ipairs {
      { "phone,frist\n12345678901,Ann\n", { "frist", "first" } },
      { "Mobile,first\n12345678901,Ann\n", { "Mobile", "phone" } },
      { "", { "empty" } },
    } do
      local file = write_file("unknown.csv", case[1])
      local made = run { "import", file, "--failures", old, "--journal", folder .. "/never" }
      assert.equal(1, made.code)
      assert.equal("", made.out)
      for _, word in ipairs(case[2]) do
        assert.truthy(made.err:find(word, 1, true), word)
      end
    end
    local file = good_file(1)
    assert.equal(1, run({ "import", file, "--map", "first=nickname" }).code)
    assert.equal(1, run({ "import", file, "--map", "Absent=last" }).code)
    assert.equal(0, requests())
    assert.equal("precious\n", read_file(old))
    assert.is_nil(read_file(folder .. "/never"))
  end)

  it("names flags and variables in messages, not options of the library", function()
    local function said(...)
      local made = run { "import", ... }
      assert.is_true(made.code ~= 0)
      return made.err .. made.out
    end
    local file = write_file("unknown.csv", "phone,timeout\n12345678901,Ann\n")
    local text = said(file)
    assert.truthy(text:find("timeout is not a known column", 1, true))
    assert.truthy(text:find("--map", 1, true))
    assert.is_nil(text:find("option ", 1, true))
    assert.is_nil(text:find("--timeout", 1, true))

    local journal = folder .. "/flags.journal"
    assert.equal(0, run({ "import", good_file(1), "--journal", journal }).code)
    text = said(good_file(1), "--journal", journal, "--overwrite", "--batch-size", "7")
    assert.truthy(text:find("another --batch-size, --overwrite:", 1, true))
    local other = { environment = { HEYMARKET_SECRET_ID = "another" } }
    local made = run({ "import", good_file(1), "--journal", journal }, other)
    assert.truthy(made.err:find("another HEYMARKET_SECRET_ID:", 1, true))

    faults:default { status = 401 }
    local failed = folder .. "/flags.csv"
    text = said(good_file(1), "--failures", failed) .. read_file(failed) .. run({ "check" }).err
    assert.truthy(text:find("HEYMARKET_SECRET_ID, HEYMARKET_SECRET_KEY", 1, true))
    assert.is_nil(text:find("secret_", 1, true))
  end)

  it("ends with code 1 when the file cannot be read", function()
    for _, path in ipairs { folder .. "/absent.csv", folder } do
      local made = run { "import", path }
      assert.equal(1, made.code)
      assert.truthy(made.err:find(path, 1, true))
    end
    local made = run { "import", folder .. "/absent.csv", "--json" }
    assert.equal(1, made.code)
    local report = parsed(made.out)
    assert.equal("source", report.failure.kind)
    assert.equal(0, report.total)
  end)

  it("hands the options to the client", function()
    local file = good_file(6)
    assert.equal(0, run({ "import", file, "--overwrite", "--batch-size", "2", "--concurrency", "1" }).code)
    local ledger = faults:ledger()
    assert.equal(3, #ledger.requests)
    assert.equal(1, ledger.max_in_flight)
    for _, sent in ipairs(ledger.requests) do
      assert.equal("overwrite=true", sent.query)
      assert.equal(2, #sent.phones)
    end

    faults:reset()
    faults:default { delay = 0.3 }
    assert.equal(0, run({ "import", file, "--batch-size", "2", "--concurrency", "3" }).code)
    ledger = faults:ledger()
    assert.equal(3, ledger.max_in_flight)
    assert.equal("overwrite=false", ledger.requests[1].query)

    faults:reset()
    local national = write_file("national.csv", "phone\n2345678901\n")
    assert.equal(3, run({ "import", national }).code)
    assert.equal(0, requests())
    assert.equal(0, run({ "import", national, "--default-country", "1" }).code)
    assert.equal(0, run({ "import", national, "--default-country", "none" }).code)
    assert.same({ ["12345678901"] = 1, ["2345678901"] = 1 }, faults:ledger().stored)

    faults:reset()
    faults:default { status = 500 }
    assert.equal(3, run({ "import", file, "--max-attempts", "2" }).code)
    assert.equal(2, requests())

    faults:reset()
    faults:default { delay = 20 }
    local made = run { "import", file, "--json", "--timeout", "0.2", "--max-attempts", "1" }
    assert.equal(3, made.code)
    assert.equal(6, parsed(made.out).unknown)
    made = run { "import", file, "--json", "--deadline", "0.3" }
    assert.equal(1, made.code)
    assert.equal("timeout", parsed(made.out).failure.kind)

    faults:reset()
    made = run { "import", file, "--batch-size", "1", "--requests-per-minute", "2", "--deadline", "1" }
    assert.equal(1, made.code)
    assert.is_true(requests() <= 2)
    faults:reset()
    assert.equal(0, run({ "import", good_file(600), "--batch-size", "1", "--requests-per-minute", "off" }).code)
    assert.equal(600, requests())
  end)

  it("sends nothing in a dry run, which needs no credentials", function()
    local bare = { environment = { HEYMARKET_SECRET_ID = "", HEYMARKET_SECRET_KEY = "" } }
    local journal = folder .. "/dry.journal"
    local made = run({ "import", good_file(250), "--dry-run", "--journal", journal }, bare)
    assert.equal(0, made.code)
    assert.truthy(made.out:find("Nothing was sent", 1, true))
    assert.truthy(made.out:find("250 would be sent", 1, true))
    local file, failed =
      write_file("dry.csv", "phone,tags\n12345678901,1\n12,2\n12345678902,x\n"), folder .. "/dry.failed"
    made = run({ "import", file, "--dry-run", "--json", "--failures", failed }, bare)
    assert.equal(3, made.code)
    local report = parsed(made.out)
    assert.equal(3, report.total)
    assert.equal(2, report.invalid)
    assert.equal(1, report.unsent)
    assert.equal(0, report.requests)
    assert.equal(2, #report.items)
    assert.equal(3, #cells_of(failed))
    assert.equal(0, requests())
    assert.is_nil(read_file(journal))
  end)

  it("stops at refused credentials with code 4", function()
    for _, case in ipairs { { 401, "unauthorized" }, { 403, "denied" } } do
      faults:default { status = case[1] }
      local made = run { "import", good_file(3), "--json" }
      assert.equal(4, made.code)
      local report = parsed(made.out)
      assert.equal(case[2], report.failure.kind)
      assert.is_nil(report.failure.report)
      assert.equal(3, report.total)
      assert.equal(0, report.accepted)
      assert.truthy(made.err:find(case[2], 1, true))
    end
  end)

  it("stops after --max-failures with code 5", function()
    local file = write_file("bad.csv", "phone\n1\n2\n3\n4\n12345678901\n")
    local made = run { "import", file, "--max-failures", "3", "--json" }
    assert.equal(5, made.code)
    local report = parsed(made.out)
    assert.equal("max_failures", report.failure.reason)
    assert.equal(3, report.invalid)
    assert.equal(0, report.accepted)
    assert.equal(0, requests())
  end)

  it("says of each row that was not sent why the import stopped", function()
    local failed = folder .. "/stopped.csv"
    -- The second row waits for the first, which has the same phone.
    local file = write_file("waiting.csv", "phone\n12345678901\n12345678901\n")
    for status, words in pairs { [401] = "credentials were not accepted", [403] = "give no access" } do
      faults:default { status = status }
      assert.equal(4, run({ "import", file, "--failures", failed }).code)
      local records = failures_of(failed)
      assert.same({ "failed", "unsent" }, { records[1]._outcome, records[2]._outcome })
      assert.truthy(records[2]._message:find(words, 1, true), records[2]._message)
    end
    -- Nobody listens at this address, and more requests go there than the client tries in a row.
    local lines = { "phone", "12345678900", "12345678900" }
    for i = 1, 11 do
      lines[#lines + 1] = ("123456789%02d"):format(i)
    end
    file = write_file("nowhere.csv", table.concat(lines, "\n") .. "\n")
    local arguments = { "import", file, "--failures", failed, "--batch-size", "1", "--concurrency", "11" }
    local made = run(arguments, { environment = { HEYMARKET_BASE_URL = "http://127.0.0.1:1" } })
    assert.equal(1, made.code)
    local messages = {}
    for _, record in ipairs(failures_of(failed)) do
      messages[record._row] = record._outcome .. ": " .. record._message
    end
    assert.truthy(messages["3"]:find "^unsent: [^;]*tries in a row without a usable response", messages["3"])
  end)

  it("says the reason why it stopped once", function()
    local failed = folder .. "/once.csv"
    local file = write_file("bad.csv", "phone\n12345678901\n1\n")
    local made = run { "import", file, "--max-failures", "1", "--failures", failed }
    assert.equal(5, made.code)
    local unsent
    for _, record in ipairs(failures_of(failed)) do
      unsent = record._outcome == "unsent" and record._message or unsent
    end
    local typed = made.out:gsub("\n  heymarket import [^\n]*", "") -- the command to type next has the flag as well
    for _, text in ipairs { unsent, made.err .. typed } do
      local _, stops = text:gsub("stopped after", "")
      local _, flags = text:gsub("max.failures", "")
      assert.same({ 1, 1 }, { stops, flags })
      assert.is_nil(text:find("stopped: ", 1, true))
      assert.truthy(text:find("--max-failures", 1, true))
    end
  end)

  it("prints the report as one JSON object, whatever the input contains", function()
    local file =
      write_file("broken.csv", 'phone,first\n12345678901,"a\255b"\n12345678902,"c\27[31m\226\128\168"\n12345678903,d\n')
    local made = run { "import", file, "--json" }
    assert.equal(3, made.code)
    assert.equal("", made.err)
    local report = parsed(made.out)
    assert.equal(1, report.accepted)
    assert.equal(2, report.invalid)
    local sum = report.accepted + report.rejected + report.invalid + report.failed + report.unknown + report.unsent
    assert.equal(report.total, sum)
    assert.equal(1, report.requests)
    assert.equal(0, report.retries)
    assert.is_number(report.elapsed)
    assert.equal(cjson.null, report.failure or cjson.null)
    assert.is_false(report.items_truncated)
    assert.equal(2, #report.items)
    assert.equal(2, report.items[1].position)
    assert.equal("invalid", report.items[1].outcome)
    assert.equal("12345678901", report.items[1].contact.phone)
    assert.equal("first", report.items[1].failure.issues[1].field)
    assert.is_nil(report.items[1].row)
  end)

  -- Characters that drive a terminal or hide in a line: escape, C1, bidi marks, separators, zero-width, DEL.
  local HOSTILE = "\27[31m\194\155\226\128\174\226\128\168\239\187\191\226\128\139\226\129\166\216\156\127"
  local NAMED = "<U+001B>[31m<U+009B><U+202E><U+2028><U+FEFF><U+200B><U+2066><U+061C><U+007F>"

  local function assert_harmless(shown)
    assert.is_nil(shown:find "[%z\1-\9\11-\31\127]")
    for _, character in ipairs { "\194\155", "\226\128\174", "\226\128\168", "\239\187\191", "\226\128\139" } do
      assert.is_nil(shown:find(character, 1, true))
    end
    assert.is_nil(shown:find("\226\129\166", 1, true))
    assert.is_nil(shown:find("\216\156", 1, true))
  end

  it("shows no control or invisible characters of the input", function()
    local made = run { "import", write_file("escape.csv", "phone," .. HOSTILE .. "red\n1,2\n") }
    assert.equal(1, made.code)
    assert_harmless(made.err)
    assert.truthy(made.err:find(NAMED .. "red", 1, true))
    local failed = folder .. "/escape.failed"
    local file = write_file("escape.csv", "phone,tags\n12345678901,x" .. HOSTILE .. "\n")
    made = run { "import", file, "--failures", failed }
    assert.equal(3, made.code)
    assert_harmless(made.out)
    assert.truthy(made.out:find("<U+001B>[31m<U+009B>", 1, true))
    local record = failures_of(failed)[1]
    assert.equal("x" .. HOSTILE, record.tags)
    assert_harmless(record._message)
    assert.truthy(record._message:find("<U+001B>[31m<U+009B>", 1, true))
  end)

  it("shows no control or invisible characters of its arguments", function()
    local file = good_file(1)
    for _, arguments in ipairs {
      { HOSTILE },
      { "import", file, "--" .. HOSTILE },
      { "import", file, HOSTILE },
      { "import", file, "--batch-size", HOSTILE },
      { "import", file, "--map", HOSTILE },
      { "import", file, "--map", HOSTILE .. "=phone" },
      { "import", folder .. "/" .. HOSTILE },
      { "import", file, "--failures", folder .. "/absent" .. HOSTILE .. "/x" },
      { "import", file, "--ca-file", HOSTILE },
      { "sandbox", "--bad-contact", HOSTILE },
    } do
      local made = run(arguments)
      assert.is_true(made.code == 1 or made.code == 2)
      assert_harmless(made.err)
      assert_harmless(made.out)
    end
    assert.equal(0, requests())
  end)

  it("escapes control and invisible characters in JSON", function()
    local last = "x\226\128\174\239\187\191y"
    local file = write_file("escape.csv", "phone,last,tags\n123," .. last .. ",\n12345678901,,x" .. HOSTILE .. "\n")
    local made = run { "import", file, "--json" }
    assert.equal(3, made.code)
    assert_harmless(made.out)
    local items = parsed(made.out).items
    assert.equal(last, items[1].contact.last)
    assert.truthy(items[2].failure.issues[1].message:find("<U+001B>[31m", 1, true))
  end)

  it("lists at most 1,000 items, in input order", function()
    local lines = { "phone" }
    for i = 1, 1200 do
      lines[#lines + 1] = tostring(i)
    end
    local report = parsed(run({ "import", write_file("many.csv", table.concat(lines, "\n")), "--json" }).out)
    assert.equal(1200, report.invalid)
    assert.equal(1000, #report.items)
    assert.is_true(report.items_truncated)
    for i = 1, 1000 do
      assert.equal(i, report.items[i].index)
    end
  end)
end)

describe("an interrupted import", function()
  it("waits for the requests in flight, reports, and goes on from its journal", function()
    faults:default { delay = 0.5 }
    local failed, journal = folder .. "/interrupted.csv", folder .. "/interrupted.journal"
    local file = good_file(100)
    local arguments = { "import", file, "--batch-size", "10", "--concurrency", "2", "--json" }
    for _, word in ipairs { "--journal", journal, "--failures", failed } do
      arguments[#arguments + 1] = word
    end
    local running = start(arguments)
    eventually(function()
      return requests() == 2
    end)
    running.signal "INT"
    local made = running.wait()
    assert.equal(130, made.code)
    assert.truthy(made.err:find("interrupt again to end at once", 1, true))
    local report = parsed(made.out)
    assert.equal("stopped", report.failure.kind)
    local ledger = faults:ledger()
    assert.equal(report.requests, #ledger.requests)
    assert.is_true(#ledger.requests < 10)
    assert.equal(10 * #ledger.requests, report.accepted)
    assert.equal(report.total, report.accepted + report.unsent)
    faults:default {}
    made = run(arguments)
    assert.equal(0, made.code)
    assert.equal(100, parsed(made.out).accepted)
    ledger = faults:ledger()
    assert.equal(10, #ledger.requests)
    for _, times in pairs(ledger.stored) do
      assert.equal(1, times)
    end
    assert.equal(1, #cells_of(failed))
  end)

  it("reports after SIGHUP and SIGTERM", function()
    for _, signal in ipairs { "HUP", "TERM" } do
      faults:reset()
      faults:default { delay = 0.5 }
      local failed = folder .. "/" .. signal .. ".csv"
      local arguments = { "import", good_file(40), "--batch-size", "10", "--concurrency", "1", "--json" }
      arguments[#arguments + 1] = "--failures=" .. failed
      local running = start(arguments)
      eventually(function()
        return requests() == 1
      end)
      running.signal(signal)
      local made = running.wait()
      assert.equal(130, made.code)
      local report = parsed(made.out)
      assert.equal("stopped", report.failure.kind)
      assert.equal(10 * requests(), report.accepted)
      assert.equal(report.total, report.accepted + report.unsent)
      assert.equal(report.unsent, #failures_of(failed))
    end
  end)

  it("ignores SIGHUP when it was started with nohup", function()
    faults:default { delay = 0.5 }
    local running = start(
      { "import", good_file(30), "--batch-size", "10", "--concurrency", "1", "--json" },
      { before = { "nohup" } }
    )
    eventually(function()
      return requests() == 1
    end)
    running.signal "HUP"
    local made = running.wait()
    assert.equal(0, made.code)
    assert.equal(30, parsed(made.out).accepted)
    assert.equal(3, requests())
  end)

  it("says how to go on", function()
    faults:default { delay = 0.5 }
    for _, extra in ipairs { "--no-progress", "--journal=" .. folder .. "/advice.journal" } do
      faults:reset()
      faults:default { delay = 0.5 }
      local running = start { "import", good_file(100), "--batch-size", "10", "--concurrency", "1", extra }
      eventually(function()
        return requests() == 1
      end)
      running.signal "INT"
      local made = running.wait()
      assert.equal(130, made.code)
      assert.truthy(made.out:find("journal", 1, true))
      assert.truthy(made.out:find(extra:match "=(.*)" or "--journal FILE", 1, true))
    end
  end)

  it("ends at once when it is interrupted again", function()
    faults:default { delay = 40 }
    local running = start { "import", good_file(10) }
    eventually(function()
      return requests() == 1
    end)
    running.signal "INT"
    eventually(function()
      return running.err():find("interrupt again", 1, true)
    end)
    running.signal "INT"
    local made = running.wait()
    assert.equal(130, made.code)
    assert.equal("", made.out)
  end)

  it("ends while it waits for a pipe", function()
    local fifo = folder .. "/fifo"
    os.execute("mkfifo " .. quote(fifo))
    -- Held open for reading and writing, so that neither side waits for the other; nothing is ever written.
    local holder = assert(io.open(fifo, "r+"))
    for _, arguments in ipairs { { "import", "-", "--json" }, { "import", "-", "--json", "--dry-run" } } do
      local running = start(arguments, { stdin = fifo })
      system.sleep(0.5)
      running.signal "INT"
      local made = running.wait()
      assert.equal(130, made.code)
      assert.equal(0, parsed(made.out).total)
    end
    holder:close()
    assert.equal(0, requests())
  end)

  it("ends a check, with a plain message", function()
    faults:default { delay = 40 }
    local running = start { "check" }
    eventually(function()
      return requests() == 1
    end)
    running.signal "INT"
    local made = running.wait()
    assert.equal(130, made.code)
    assert.equal("", made.out)
    assert.equal("heymarket: interrupted\n", made.err)
  end)

  it("stops in a file that holds only invalid rows", function()
    local path = folder .. "/long.csv"
    local program = "print('phone'); [print('12') for _ in range(2000000)]"
    os.execute(PYTHON .. "-c " .. quote(program) .. " > " .. quote(path))
    local failed = folder .. "/long.failed"
    local running = start { "import", path, "--json", "--failures", failed }
    eventually(function()
      return #(read_file(failed) or "") > 0
    end)
    running.signal "INT"
    local made = running.wait()
    os.remove(path)
    os.remove(failed)
    assert.equal(130, made.code)
    assert.is_true(parsed(made.out).invalid < 2000000)
  end)
end)

describe("a dry run", function()
  local bare = { HEYMARKET_SECRET_ID = "", HEYMARKET_SECRET_KEY = "" }

  it("finds each mistake among ordinary rows, wherever it stands", function()
    -- Every 89th row has a mistake; some rows are right but are not ordinary: their quotes are doubled.
    local lines, wanted = { "phone,first,is_opted_out" }, {}
    for i = 1, 3000 do
      local is_bad = i % 89 == 0 or i == 1 or i == 3000
      local name = i % 50 == 0 and '"Al ""Ace"" B"' or "Al"
      lines[#lines + 1] = ("%s,%s,%s"):format(is_bad and "12" or 12345600000 + i, name, i % 10 == 0 and "false" or "")
      wanted[#wanted + 1] = is_bad and i + 1 or nil -- the header is row 1
    end
    local file = write_file("dry-many.csv", table.concat(lines, "\n") .. "\n")
    local made = run({ "import", file, "--dry-run", "--json" }, { environment = bare })
    local found = parsed(made.out)
    local rows = {}
    for i, item in ipairs(found.items) do
      assert.equal("invalid", item.outcome)
      assert.equal(item.position - 1, item.index)
      rows[i] = item.position
    end
    assert.same(wanted, rows)
    assert.equal(3000 - #wanted, found.unsent)
    assert.equal(3000, found.total)
    -- Row 3000 is one of those with false, and is invalid for its phone.
    assert.equal(300, found.opt_ins_left_out)
    assert.equal(3, made.code)
  end)

  it("tells which rows have the phone of an earlier row", function()
    local file = write_file(
      "dry-repeated.csv",
      'phone,first\n12345678901,A\n12345678902,B\n+1 (234) 567-8901,C\n1,D\n12345678902,"E ""e"""\n12345678901,F\n'
    )
    local made = run({ "import", file, "--dry-run" }, { environment = bare })
    assert.equal(3, made.code)
    assert.truthy(made.out:find("\n3 rows have the phone of an earlier row. ", 1, true), made.out)
    assert.truthy(made.out:find("\n  row 2: rows 4, 7\n  row 3: row 6\n", 1, true), made.out)
    local told = parsed(run({ "import", file, "--dry-run", "--json" }, { environment = bare }).out).repeated_phones
    local rows = { { position = 4, earlier = 2 }, { position = 6, earlier = 3 }, { position = 7, earlier = 2 } }
    assert.same({ count = 3, is_partial = false, rows = rows }, told)
    -- An import sends them.
    local sent = parsed(run({ "import", file, "--json" }).out)
    assert.is_nil(sent.repeated_phones)
    made = run({ "import", good_file(3), "--dry-run" }, { environment = bare })
    assert.is_nil(made.out:find("earlier row", 1, true))
  end)

  it("that is interrupted reports the rows that it has read", function()
    local fifo, failed = folder .. "/dry-fifo", folder .. "/dry-interrupted.csv"
    os.execute("mkfifo " .. quote(fifo))
    local holder = assert(io.open(fifo, "r+"))
    local given = { "import", "-", "--dry-run", "--json", "--failures", failed }
    local running = start(given, { stdin = fifo, environment = bare })
    holder:write("phone\n", ("123\n12345678901\n"):rep(6000))
    holder:flush()
    eventually(function()
      return #(read_file(failed) or "") > 0
    end)
    running.signal "INT"
    local made = running.wait()
    holder:close()
    assert.equal(130, made.code)
    local report = parsed(made.out)
    assert.equal("stopped", report.failure.kind)
    assert.equal(report.total, report.invalid + report.unsent)
    assert.is_true(report.invalid > 0)
    assert.equal(report.invalid, #failures_of(failed))
    for _, record in ipairs(failures_of(failed)) do
      assert.equal("invalid", record._outcome)
    end
  end)

  it("of a source that cannot be read to its end fails, and reports the rows before", function()
    local failed = folder .. "/dry-broken.csv"
    local file = write_file("broken.csv", "phone,first\n123,Ann\n12345678901,Ben\n" .. ("x"):rep(1100000) .. "\n12,C\n")
    local made = run({ "import", file, "--dry-run", "--json", "--failures", failed }, { environment = bare })
    assert.equal(1, made.code)
    local report = parsed(made.out)
    assert.equal("source", report.failure.kind)
    assert.same({ 2, 1, 1 }, { report.total, report.invalid, report.unsent })
    assert.truthy(made.err:find("row 4", 1, true))
    assert.equal(1, #failures_of(failed))
    made = run({ "import", file, "--dry-run" }, { environment = bare })
    assert.equal(1, made.code)
    assert.truthy(made.out:find("Of 2 rows, 1 would be sent", 1, true))
    assert.equal(0, requests())
  end)
end)

describe("a journal", function()
  it("and a failures file are readable by their owner only, also when they existed before", function()
    local journal, failed = folder .. "/own.journal", folder .. "/own.csv"
    local path = write_file("mixed.csv", "phone\n12345678901\n1\n")
    assert.equal(3, run({ "import", path, "--journal", journal, "--failures", failed }).code)
    local function mode(of)
      return output_of("ls -l " .. quote(of)):sub(1, 10)
    end
    assert.equal("-rw-------", mode(journal))
    assert.equal("-rw-------", mode(failed))
    os.execute("chmod 640 " .. quote(journal) .. " " .. quote(failed))
    assert.equal(3, run({ "import", path, "--journal", journal, "--failures", failed }).code)
    assert.equal("-rw-------", mode(journal))
    assert.equal("-rw-------", mode(failed))
  end)

  it("keeps an older row from overwriting a newer one, which is no failure", function()
    local path =
      write_file("doubles.csv", "phone,first\n12345678901,Other\n12345678902,Old\n12345678902,New\n12345678903,Last\n")
    local journal, failed = folder .. "/doubles.journal", folder .. "/doubles.failed"
    local arguments = { "import", path, "--overwrite", "--batch-size", "1", "--concurrency", "1", "--json" }
    for _, word in ipairs { "--max-failures", "2", "--journal", journal, "--failures", failed } do
      arguments[#arguments + 1] = word
    end
    faults:script { {}, { status = 422 } }
    local made = run(arguments)
    assert.equal(3, made.code)
    assert.equal(1, parsed(made.out).failed)
    assert.truthy(read_file(failed):find("Old", 1, true))
    made = run(arguments)
    assert.equal(0, made.code, made.out .. made.err)
    local report = parsed(made.out)
    assert.equal(4, report.total)
    assert.equal(3, report.accepted)
    assert.equal(1, report.failed)
    assert.equal(1, #report.items)
    assert.equal(3, report.items[1].position)
    assert.equal("superseded", report.items[1].failure.reason)
    assert.equal("New", faults:ledger().contacts["12345678902"].first)
    -- Only the summary and the failures file of the first run speak of it.
    local last = read_file(failed) or ""
    assert.is_nil(last:find("superseded", 1, true))
    table.remove(arguments, 8)
    made = run(arguments)
    assert.equal(0, made.code)
    assert.truthy(made.out:find("This import is complete", 1, true))
    assert.truthy(made.out:find("not sent again", 1, true))
    assert.is_nil(made.out:find("The rows that were not accepted are in", 1, true))
  end)

  it("of another input is refused, and an old failures file stays", function()
    local precious = "phone,_row,_outcome,_field,_message\nprecious\n"
    local journal, failed = folder .. "/other.journal", write_file("kept.csv", precious)
    assert.equal(0, run({ "import", good_file(3), "--journal", journal }).code)
    local other = write_file("other.csv", "phone\n12345678999\n")
    local made = run { "import", other, "--journal", journal, "--failures", failed, "--json" }
    assert.equal(1, made.code)
    assert.equal("journal", parsed(made.out).failure.kind)
    assert.equal(1, requests())
    assert.equal(precious, read_file(failed))
    made = run { "import", other, "--journal", journal }
    assert.equal(1, made.code)
    assert.truthy(made.err:find("another input", 1, true))
    assert.is_nil((made.err .. made.out):find("To go on", 1, true))
  end)

  it("is no longer needed when the import is complete, and the summary says so", function()
    local journal = folder .. "/complete.journal"
    local file = write_file("mixed.csv", "phone\n12345678901\n1\n")
    local made = run { "import", file, "--journal", journal, "--failures", folder .. "/complete.csv" }
    assert.equal(3, made.code)
    local advice = ("This import is complete; the journal %s is no longer needed.\n"):format(journal)
    assert.equal(advice, made.out:sub(-#advice))
    assert.is_nil(made.out:find("Nothing is left", 1, true))
  end)
end)

describe("progress", function()
  -- What the terminal received.
  local function on_terminal(columns, arguments, environment)
    local before = { "python3", "spec/support/cli_terminal.py", tostring(columns) }
    return output_of(command_line(arguments, { before = before, environment = environment }))
  end

  local function lines_of(received)
    local lines = {}
    for line in received:gmatch "\r\27%[K([^\r\n]*)" do
      lines[#lines + 1] = line
    end
    return lines
  end

  it("is silent in a short run without a terminal", function()
    local made = run { "import", good_file(5) }
    assert.equal(0, made.code)
    assert.equal("", made.err)
  end)

  it("is a bar on a terminal, as wide as it, and cleared at the end", function()
    faults:default { delay = 0.2 }
    local file = good_file(100)
    local arguments = { "import", file, "--batch-size", "10", "--concurrency", "1", "--json" }
    local received = on_terminal(100, arguments, { NO_COLOR = "1" })
    local lines = lines_of(received)
    assert.is_true(#lines >= 3)
    assert.equal("", lines[#lines])
    assert.equal("\r\27[K", received:sub(-4))
    local with_bar = 0
    for _, line in ipairs(lines) do
      assert.is_true(#line < 100)
      assert.is_nil(line:find "\27")
      if line:find "^%[#*%.*%] +%d+%%  %d+ rows?" then
        with_bar = with_bar + 1
      end
    end
    assert.equal(#lines - 1, with_bar)
    assert.truthy(received:find "accepted %d+")
    for _, line in ipairs(lines_of(on_terminal(30, arguments, { NO_COLOR = "1" }))) do
      assert.is_true(#line < 30)
    end
  end)

  it("has colours unless NO_COLOR is set, and can be turned off", function()
    faults:default { delay = 0.2 }
    local arguments = { "import", good_file(40), "--batch-size", "10", "--concurrency", "1", "--json" }
    assert.truthy(on_terminal(100, arguments):find("\27[32maccepted", 1, true))
    faults:reset()
    faults:default { delay = 0.2 }
    arguments[#arguments + 1] = "--no-progress"
    assert.equal("", on_terminal(100, arguments))
    arguments[#arguments] = "--quiet"
    faults:reset()
    faults:default { delay = 0.2 }
    assert.equal("", on_terminal(100, arguments))
  end)

  it("is a line every few seconds without a terminal", function()
    faults:default { delay = 6 }
    local made = run { "import", good_file(20) }
    assert.equal(0, made.code)
    assert.equal("waiting for an answer since 0:05, 0%, 0 rows\n", made.err)
  end)
end)

describe("the standard streams", function()
  it("may be closed: nothing is written into other files instead", function()
    local failed = folder .. "/closed.csv"
    local file = write_file("in.csv", "phone\n123\n12345678901\n")
    local line = command_line({ "import", file, "--failures", failed }, {})
    os.execute(line .. " <&- >&- 2>" .. quote(folder .. "/closed.err"))
    assert.truthy(read_file(folder .. "/closed.err"):find("standard output", 1, true))
    assert.equal(2, #cells_of(failed))
    assert.equal(1, requests())
  end)

  it("make the command fail when the results cannot be written", function()
    local made = run({ "import", good_file(1) }, { stdout = "/dev/full" })
    assert.equal(1, made.code)
    assert.truthy(made.err:find("standard output", 1, true))
    assert.equal(1, requests())
  end)
end)

describe("heymarket sandbox", function()
  it("serves the API until it is interrupted", function()
    local arguments = { "sandbox", "--list-existing", "false", "--refused-phones", "12345678902" }
    arguments[#arguments + 1] = "--requests-per-minute=off"
    local running = start(arguments)
    eventually(function()
      return running.out():find "SECRET_KEY=[^\n]+\n"
    end)
    local environment = {}
    for name, value in running.out():gmatch "([%u_]+)=([^\n]+)\n" do
      environment[name] = value
    end
    assert.equal(0, run({ "check" }, { environment = environment }).code)
    local wrong = { HEYMARKET_BASE_URL = environment.HEYMARKET_BASE_URL }
    assert.equal(4, run({ "check" }, { environment = wrong }).code)
    local file = good_file(3)
    for _ = 1, 2 do
      assert.equal(0, run({ "import", file }, { environment = environment }).code)
    end
    file = write_file("two.csv", "phone\n12345678901\n12345678902\n")
    local made = run({ "import", file, "--json" }, { environment = environment })
    assert.equal(3, made.code)
    local report = parsed(made.out)
    assert.equal(1, report.accepted)
    assert.equal("12345678902", report.items[1].contact.phone)
    running.signal "INT"
    made = running.wait()
    assert.equal("", made.err)
    assert.equal(0, made.code)
    assert.equal(1, run({ "check", "--ca-file", "/dev/null" }, { environment = environment }).code)
    assert.equal(0, requests())
  end)
end)
