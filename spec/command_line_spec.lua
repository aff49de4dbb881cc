-- cli/command_line: the command to type next, which a shell must read back as it was meant.
local command_line = require "heymarket.cli.command_line"
local process = require "spec.support.process"

-- The words that a shell makes of a line, as it gives them to a program.
local function words_in_shell(line)
  local path = os.tmpname()
  process.write_file(path, line:gsub("^heymarket", "printf '%%s\\0' heymarket") .. "\n")
  local words = {}
  for word in process.output("bash " .. process.quote(path)):gmatch "([^%z]*)%z" do
    words[#words + 1] = word
  end
  os.remove(path)
  return words
end

local ODD = {
  "people.csv",
  "my people.csv",
  "it's.csv",
  "$HOME `id` $(id).csv",
  'say "yes".csv',
  "a*b?[c].csv",
  "back\\slash.csv",
  "one\nline.csv",
  "tab\tand 'quote'\\.csv",
  "Zoë.csv",
  "~root;ls&",
  "!!",
  "{a,b}",
  "#no",
}

describe("a command line", function()
  it("is what was typed, quoted so that a shell reads the same words", function()
    for _, odd in ipairs(ODD) do
      local typed = { "import", odd, "--map", odd .. "=phone", "--overwrite", "--ignore=" .. odd, "--journal", odd }
      local wanted =
        { "heymarket", "import", odd, "--map", odd .. "=phone", "--overwrite", "--ignore", odd, "--journal", odd }
      assert.are.same(wanted, words_in_shell(command_line.changed(typed)))
    end
  end)

  it("leaves plain words as they are", function()
    local typed = { "import", "/tmp/people-1.csv", "--default-country", "49", "--batch-size", "50" }
    assert.are.equal(
      "heymarket import /tmp/people-1.csv --default-country 49 --batch-size 50",
      command_line.changed(typed)
    )
  end)

  it("has another file, without some flags and with others", function()
    local typed = { "import", "--journal", "a.journal", "--failures=b.csv", "in.csv", "--ignore", "*", "--json" }
    assert.are.equal(
      "heymarket import b.csv --ignore '*' --json --failures b2.csv",
      command_line.changed(typed, {
        file = "b.csv",
        without = { ["--journal"] = true, ["--failures"] = true },
        with = { "--failures", "b2.csv" },
      })
    )
  end)

  it("does not take the value of a flag for the file, nor a file for a flag", function()
    assert.are.equal(
      "heymarket import --map import=phone other.csv",
      command_line.changed({ "import", "--map", "import=phone", "in.csv" }, { file = "other.csv" })
    )
    assert.are.equal("heymarket import ./--in.csv", command_line.changed { "import", "--", "--in.csv" })
    assert.are.equal("heymarket import -", command_line.changed { "import", "-" })
  end)
end)

describe("the name of a further file", function()
  for path, wanted in pairs {
    ["failures.csv"] = "failures2.csv",
    ["failures2.csv"] = "failures3.csv",
    ["failures9.csv"] = "failures10.csv",
    ["/a.b/failures"] = "/a.b/failures2",
    ["x/y.tar.csv"] = "x/y.tar2.csv",
    ["list20261125.csv"] = "list202611252.csv",
    [".csv"] = ".csv2",
  } do
    it(("is %s after %s"):format(wanted, path), function()
      assert.are.equal(wanted, command_line.next_name(path))
    end)
  end
end)
