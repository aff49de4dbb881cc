--- JSON Lines through the command: imported, continued by a journal, corrected and imported again.
local command = require "spec.support.command"

local read_file, write_file, run, requests = command.read_file, command.write_file, command.run, command.requests

local folder, faults

setup(function()
  folder, faults = command.setup()
end)

teardown(command.teardown)
before_each(command.before_each)
after_each(command.after_each)

-- Each line of a file as Python's json module reads it.
local function objects_of(path)
  local list = {}
  for line in read_file(path):gmatch "[^\n]+" do
    list[#list + 1] = command.parsed(line)
  end
  return list
end

describe("an import of JSON Lines", function()
  it("sends the contacts, and writes what was not accepted so that it can be corrected", function()
    local failed = folder .. "/failed.jsonl"
    local file = write_file(
      "people.jsonl",
      '{"phone":"+1 234 567 8901","first":" Zoë ","last":null,"tags":["5",6],"custom":{"7":1.5},"is_opted_out":false}\n'
        .. "\n"
        .. '{ "phone": "12", "note": {"a": [1, "}"]} }\r\n'
        .. "\255[nothing\n"
        .. '{"phone":12345678902}'
    )
    local made = run { "import", file, "--failures", failed }
    assert.equal(3, made.code)
    assert.truthy(made.out:find("row 3 invalid", 1, true))
    assert.truthy(made.out:find("In 1 row is_opted_out is false", 1, true))
    local stored = faults:ledger().contacts
    assert.equal("Zoë", stored["12345678901"].first)
    assert.is_nil(stored["12345678901"].is_opted_out)
    assert.equal(1.5, stored["12345678901"].custom["7"])
    assert.truthy(stored["12345678902"])
    local objects = objects_of(failed)
    assert.equal(2, #objects)
    assert.equal("12", objects[1].phone)
    assert.same({ a = { 1, "}" } }, objects[1].note)
    assert.equal(3, objects[1]._row)
    assert.equal("invalid", objects[1]._outcome)
    assert.equal("phone; note", objects[1]._field)
    assert.equal(4, objects[2]._row)
    assert.equal("\239\191\189[nothing", objects[2]._line)

    -- Corrected, the file can be imported, and written anew.
    local corrected = read_file(failed):gsub('"12"', '"12345678903"'):gsub('"note"', '"_note"')
    corrected = corrected:gsub('{"_row":4', '{"phone":"12345678904","_row":4')
    local path = write_file("corrected.jsonl", corrected)
    made = run { "import", path, "--failures", failed }
    assert.equal(0, made.code)
    assert.equal("", read_file(failed))
    assert.truthy(faults:ledger().contacts["12345678904"])
    -- It is known as ours, and that of CSV as well; other files are not replaced.
    assert.equal(3, run({ "import", file, "--failures", failed }).code)
    assert.equal(3, run({ "import", file, "--failures", failed }).code)
    local other = write_file("other.jsonl", '{"phone":1}\n')
    assert.equal(1, run({ "import", file, "--failures", other }).code)
    assert.equal('{"phone":1}\n', read_file(other))
  end)

  it("reads a pipe with --format jsonl", function()
    local file = write_file("piped", '{"phone":"12345678901"}\n')
    local made = run({ "import", "-", "--format", "jsonl" }, { stdin = file })
    assert.equal(0, made.code)
    assert.truthy(faults:ledger().contacts["12345678901"])
  end)

  it("goes on with a journal, which knows its lines", function()
    local lines = {}
    for i = 1, 30 do
      lines[i] = i % 10 == 0 and "{}" or ('{"phone":%d}'):format(12345678900 + i)
    end
    local file, journal = write_file("long.jsonl", table.concat(lines, "\n") .. "\n"), folder .. "/long.journal"
    local arguments = { "import", file, "--journal", journal, "--batch-size", "3", "--concurrency", "1" }
    local first = { "--max-failures", "2" }
    for i = #first, 1, -1 do
      table.insert(arguments, 3, first[i])
    end
    assert.equal(5, run(arguments).code)
    table.remove(arguments, 3)
    table.remove(arguments, 3)
    local before = requests()
    assert.equal(3, run(arguments).code)
    assert.is_true(requests() > before and requests() < before + 9)
    local stored, count = faults:ledger().stored, 0
    for _, times in pairs(stored) do
      assert.equal(1, times)
      count = count + 1
    end
    assert.equal(27, count)
    assert.equal(1, run({ "import", write_file("longer.jsonl", '{"phone":5}\n'), "--journal", journal }).code)
    os.remove(journal)
  end)

  it("says which flags are for CSV only", function()
    local made = run { "import", write_file("x.ndjson", "{}\n"), "--delimiter", ";", "--dry-run" }
    assert.equal(1, made.code)
    assert.truthy(made.err:find("--delimiter is for CSV files only", 1, true))
  end)
end)
