--- `heymarket columns`: the mapping of a file, its first rows, and the flags that say the same.
local command = require "spec.support.command"
local csv = require "heymarket.csv"
local process = require "spec.support.process"

local run, write_file = command.run, command.write_file

local _, faults

setup(function()
  _, faults = command.setup()
end)

teardown(command.teardown)
before_each(command.before_each)
after_each(command.after_each)

-- The options of csv.open that the flags of the printed command stand for.
local function options_of(printed)
  local line = printed:match "The same in flags:\n  heymarket import (.-)\n$"
  local words, options, i = {}, { map = {}, ignore = {} }, 1
  for word in process.output("printf '%s\\0' " .. line):gmatch "([^%z]*)%z" do
    words[#words + 1] = word
  end
  while i <= #words do
    local flag, value = words[i], words[i + 1]
    if flag == "--map" then
      local column, field = value:match "^(.+)=([^=]+)$"
      table.insert(options.map, { column, field })
    elseif flag == "--ignore" then
      table.insert(options.ignore, value)
    elseif flag:find "^%-%-" then
      options[flag:sub(3)] = value
    else
      value = nil
    end
    i = i + (value and 2 or 1)
  end
  return options
end

local function contacts_of(path, options)
  local list = {}
  for contact in assert(csv.open(path, options)) do
    list[#list + 1] = contact
  end
  return list
end

describe("heymarket import of an export", function()
  local function import(name, ...)
    return run { "import", "spec/exports/" .. name .. ".csv", "--default-country", "1", "--no-progress", ... }
  end

  it("says which columns it takes, and counts the lines about the report", function()
    local made = import "salesforce"
    assert.equal(0, made.code)
    assert.equal(
      "heymarket: The file is an export of a Salesforce report.\n"
        .. "heymarket: Columns: First Name=first, Last Name=last, Contact Name=display_name, Phone=phone (2), "
        .. "Mobile=phone (1), Email=email\n"
        .. "heymarket: Ignored columns: Account Name, Do Not Call, Email Opt Out\n",
      made.err
    )
    assert.truthy(made.out:find("5 rows behind the contacts are about the report, and were passed over.", 1, true))
    assert.equal(5, command.parsed(import("salesforce", "--json").out).footer_rows)
    assert.equal("", import("salesforce", "--quiet").err)
  end)

  it("sends what the columns give, also where pairs of columns give the phone", function()
    assert.equal(3, import("google").code)
    local contacts = faults:ledger().contacts
    assert.equal("Ann", contacts["12025550102"].first)
    assert.equal("Tim", contacts["12025550103"].first)
    assert.equal("Zoë", contacts["442079460958"].first)
    assert.is_nil(contacts["12025550101"] or contacts["12025550105"] or contacts["12025550107"])
    assert.equal(3, import("google", "--dry-run").code)
  end)

  it("of the first rows is continued by the whole one", function()
    local journal = write_file("limit.journal", "")
    os.remove(journal)
    local first = command.parsed(import("hubspot", "--limit", "1", "--journal", journal, "--json").out)
    assert.same({ 1, 1 }, { first.total, first.accepted })
    local whole = command.parsed(import("hubspot", "--journal", journal, "--json").out)
    assert.same({ 4, 2, 2, 1 }, { whole.total, whole.accepted, whole.invalid, whole.resumed })
  end)
end)

describe("heymarket columns", function()
  it("prints the column, the field and the first rows, and sends nothing", function()
    local file = write_file("some.csv", "Given Name,Mobile,Tel,_x\nZoë,+12025550101,,a\nB,,1,b\nC,,,c\nD,,,d\n")
    local made = run { "columns", file }
    assert.equal(0, made.code)
    assert.equal("", made.err)
    assert.equal(
      "  column      field      first rows\n"
        .. "  Given Name  first      Zoë | B | C\n"
        .. "  Mobile      phone (1)  +12025550101 |  |\n"
        .. "  Tel         phone (2)   | 1 |\n"
        .. "\nThe same in flags:\n"
        .. ("  heymarket import %s --map 'Given Name=first' --map Mobile=phone --map Tel=phone\n"):format(file),
      made.out
    )
  end)

  it("prints flags with which the file is read alike", function()
    for name in ("hubspot outlook salesforce zoho mailchimp shopify square general google pipedrive"):gmatch "%S+" do
      local path = "spec/exports/" .. name .. ".csv"
      local made = run { "columns", path }
      assert.equal(0, made.code)
      local options = options_of(made.out)
      assert.is_true(options.from ~= nil or #options.map > 2, name)
      assert.same(contacts_of(path), contacts_of(path, options))
    end
  end)

  it("says which columns are not known, and shows them with the others", function()
    local made = run { "columns", write_file("odd.csv", "phone,Shoe size\n12345678901,42\n") }
    assert.equal(1, made.code)
    assert.truthy(made.err:find("Shoe size is not a known column", 1, true))
    assert.truthy(made.out:find("\n  Shoe size  -      42\n", 1, true), made.out)
  end)

  it("keeps the flags about the file in the command that it prints", function()
    local file = write_file("semi.csv", "Handy;first\n12345678901;A\n")
    local made = run { "columns", file, "--delimiter", "semicolon", "--map", "Handy=phone" }
    assert.equal(0, made.code)
    assert.truthy(made.out:find("--delimiter semicolon --map Handy=phone\n", 1, true), made.out)
  end)

  it("says that JSON Lines have no columns", function()
    local made = run { "columns", write_file("a.jsonl", '{"phone":"12345678901"}\n') }
    assert.equal(0, made.code)
    assert.truthy(made.out:find("no columns", 1, true))
  end)

  it("shows nothing of a terminal's language that stands in cells and names", function()
    local made = run { "columns", write_file("esc.csv", "phone,a\27[2Jb\n12345678901,\27[31mred\n"), "--ignore", "*" }
    assert.equal(0, made.code)
    assert.is_nil(made.out:find("\27", 1, true))
  end)
end)
