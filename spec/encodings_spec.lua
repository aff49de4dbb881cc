--- Files that are not UTF-8. Python's codecs are the witness.
local csv = require "heymarket.csv"
local encoding = require "heymarket.csv.encoding"
local failure = require "heymarket.failure"
local input = require "spec.support.input"
local process = require "spec.support.process"
local rounds = require "spec.support.rounds"
local rows = require "heymarket.rows"

local function open(content, options)
  return csv.open(input.handle_of(content), options)
end

local function rows_of(line)
  local list = {}
  for row in line:gmatch "([^|]*)|" do
    local cells = {}
    for hex in row:gmatch "(%x*)," do
      cells[#cells + 1] = input.bytes_of(hex)
    end
    list[#list + 1] = cells
  end
  return list
end

-- Text in UTF-16 or another encoding, by iconv(1).
local function encoded(text, name)
  return process.with_file(text, function(path)
    return process.output(("iconv -f UTF-8 -t %s < %s"):format(name, process.quote(path)))
  end)
end

describe("a file in another encoding", function()
  it("has the cells that Python wrote, in chunks of any size", function()
    local count = rounds(1500)
    local lines = process.python("dialect_witness.py encodings", "20261125 " .. count)
    assert.equal(count, #lines)
    for i, line in ipairs(lines) do
      local name, hex, said = line:match "^(%S+) (%x+) (.*)$"
      local content, wanted = input.bytes_of(hex), rows_of(said)
      for _, size in ipairs { 1 + i % 9, 65536 } do
        local source = assert(open(content, { chunk_size = size, encoding = name ~= "mark" and name or nil }))
        assert.same(wanted[1], source.columns)
        local last = 0
        for row = 2, #wanted do
          local _, position, cells = source()
          assert.equal(row, position)
          assert.same(wanted[row], cells, name)
          local consumed = source:progress()
          assert.is_true(consumed >= last and consumed <= #content)
          last = consumed
        end
        assert.is_nil((source()))
        assert.equal(#content, (source:progress()))
      end
    end
  end)

  it("is cut into chunks at any byte", function()
    local text = "phone;first\r\n12025550001;Zoë 😀 日本\r\n12025550002;é\n"
    for _, name in ipairs { "UTF-16LE", "UTF-16BE", "UTF-32LE", "GB18030", "UTF-7" } do
      local content = encoded(text, name)
      for size = 1, #content do
        local source = assert(open(content, { chunk_size = size, encoding = name }))
        local entries = source:take(10, nil, 0)
        if #entries == 1 then
          entries[2] = source:take(10, nil, 1)[1]
        end
        assert.equal('{"phone":"12025550001","first":"Zoë 😀 日本"}', entries[1].body)
        assert.equal('{"phone":"12025550002","first":"é"}', entries[2].body)
        assert.same({}, source:take(10, nil, 2))
        assert.equal(#content, (source:progress()))
      end
    end
  end)

  it("is known by its mark, whatever the option says", function()
    for name, mark in pairs { ["UTF-16LE"] = "\255\254", ["UTF-16BE"] = "\254\255", ["UTF-8"] = "\239\187\191" } do
      for _, option in ipairs { "windows-1252", "UTF-8", "none" } do
        local source = assert(open(mark .. encoded("phone\tfirst\n1\tZoë\n", name), {
          encoding = option ~= "none" and option or nil,
        }))
        assert.equal("Zoë", source().first)
        assert.is_true(source.has_mark)
        assert.equal(name ~= "UTF-8" and name or nil, source.encoding)
      end
    end
    assert.is_nil(assert(open("phone\n", { encoding = "utf8" })).encoding)
    assert.is_false(assert(open("phone\n", { encoding = "windows-1252" })).has_mark)
  end)

  it("may be JSON Lines", function()
    local content = encoded('{"phone":"1","first":"Zoë"}\n{"phone":2}\n', "UTF-16LE")
    for _, start in ipairs { "", "\255\254" } do
      for size = 1, 9 do
        local source = assert(open(start .. content, { format = "jsonl", encoding = "UTF-16LE", chunk_size = size }))
        assert.equal("Zoë", source().first)
        assert.equal(2, source().phone)
        assert.is_nil((source()))
      end
    end
  end)

  it("has rows with bytes that mean nothing in it: only they are refused", function()
    local content =
      "phone,first,custom.5\n12025550001,Zo\235,\n12025550002,a\129b,\n12025550003,,\157\n12025550004,\228,\n"
    local source, found = assert(open(content, { encoding = "windows-1252" })), {}
    local entries = source:take(10, nil, 0)
    while entries[1] do
      for _, entry in ipairs(entries) do
        found[#found + 1] = entry
      end
      entries = source:take(10, nil, #found)
    end
    assert.equal('{"phone":"12025550001","first":"Zoë"}', found[1].body)
    assert.equal('{"phone":"12025550004","first":"ä"}', found[4].body)
    for i = 2, 3 do
      assert.equal(i + 1, found[i].position)
      assert.equal("csv_not_encoded", found[i].problem.issues[1].code)
      assert.truthy(found[i].problem.issues[1].message:find("windows-1252", 1, true))
    end
    -- Half a surrogate pair, and half a unit at the end.
    local utf16 = encoded("phone,first\n1,a", "UTF-16LE") .. "\0\216" .. encoded("b\n2,c\n", "UTF-16LE") .. "x"
    source = assert(open(utf16, { encoding = "UTF-16LE" }))
    assert.equal("a\255b", source().first)
    assert.equal("c", source().first)
    assert.is_true(failure.is(source()))
    local lines = assert(open('{"phone":"\129"}\n', { format = "jsonl", encoding = "windows-1252" }))
    assert.equal("csv_not_encoded", lines().issues[1].code)
  end)

  it("must have a name that iconv knows", function()
    for _, name in ipairs { "", "x", "latin-99", "UTF-8//IGNORE", "ISO-8859-1//TRANSLIT", "/", "../x" } do
      local source, problem = open("phone\n", { encoding = name })
      assert.is_nil(source)
      assert.equal("option_encoding", problem.issues[1].code)
    end
  end)
end)

describe("bytes that are not UTF-8", function()
  it("are an error of their row, with the likely encoding", function()
    local CASES = {
      { "Zo\235", "windows-1252" },
      { "caf\233", "windows-1252" },
      { "\128 5", "windows-1252" },
      { "\207\240\232\226\229\242", "windows-1251" },
      { "Wa\179sa", "windows-1250" },
      { "M\129ller", "CP850" },
    }
    for _, case in ipairs(CASES) do
      assert.equal(case[2], encoding.guess(case[1]))
      local source = assert(open("phone,first\n12025550001," .. case[1] .. "\n"))
      local problem = source:take(1, nil, 0)[1].problem
      assert.equal("not_utf8", problem.issues[1].code)
      assert.truthy(problem.issues[1].message:find(case[2], 1, true))
      -- What is guessed can be read.
      assert.truthy(open("phone,first\n1," .. case[1] .. "\n", { encoding = case[2] })().first:find "[\195-\239]")
    end
    local source = assert(open "phone,first,custom.5\n1\255,a\001\255,\255\n")
    for _, issue in ipairs(source:take(1, nil, 0)[1].problem.issues) do
      assert.truthy(issue.message ~= "")
    end
    local line = assert(open('{"phone":"\228"}\n', { format = "jsonl" }))()
    assert.truthy(line.issues[1].message:find("windows-1252", 1, true))
  end)

  it("are told of in a header", function()
    local _, problem = open "phone,Gr\246\223e\n"
    assert.equal("csv_header_not_utf8", problem.issues[1].code)
    assert.truthy(problem.issues[1].message:find("windows-1252", 1, true))
  end)
end)

describe("rows.decoder", function()
  it("gives what iconv(1) gives, at every cut", function()
    local text = encoded("aé日本😀ｱ\nz", "GB18030")
    for cut = 0, #text do
      local decoder = rows.decoder "GB18030"
      local made = decoder:decode(text:sub(1, cut), false) .. decoder:decode(text:sub(cut + 1), false)
      assert.equal("aé日本😀ｱ\nz", made .. decoder:decode("", true))
    end
  end)

  it("gives back a character that iconv holds until the next one is known", function()
    local decoder = rows.decoder "TCVN" -- Vietnamese: an accent may follow a letter
    assert.equal("", decoder:decode("a", false))
    assert.equal("à", decoder:decode("\176", false) .. decoder:decode("", true))
    decoder = rows.decoder "TCVN"
    assert.equal("a", decoder:decode("a", false) .. decoder:decode("", true))
  end)

  it("reads long chunks", function()
    local decoder = rows.decoder "ISO-8859-1"
    assert.equal(("ä"):rep(100000), decoder:decode(("\228"):rep(100000), true))
  end)

  it("marks an unfinished character at the end", function()
    local decoder = rows.decoder "UTF-16LE"
    assert.equal("a", decoder:decode("a\0b", false))
    assert.equal("\255", decoder:decode("", true))
    assert.equal("", decoder:decode("", true))
  end)

  it("raises on arguments that cannot be", function()
    assert.is_false(pcall(rows.decoder))
    assert.same({ n = 2, "unknown_encoding" }, { n = select("#", rows.decoder "x"), select(2, rows.decoder "x") })
    local decoder = rows.decoder "UTF-16LE"
    assert.is_false(pcall(decoder.decode, decoder))
    assert.is_false(pcall(decoder.decode, {}, ""))
  end)
end)
