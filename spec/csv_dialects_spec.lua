--- Delimiters of CSV files: found in the header, named by the user or by a first line `sep=;`. Python's csv module is
--- the witness.
local csv = require "heymarket.csv"
local failure = require "heymarket.failure"
local fake = require "spec.support.fake"
local input = require "spec.support.input"
local process = require "spec.support.process"
local rounds = require "spec.support.rounds"

local MARK = "\239\187\191"

local function open(content, options)
  return csv.open(input.handle_of(content), options)
end

-- The rows of a line of the witness.
local function rows_of(line)
  local rows = {}
  for row in line:gmatch "([^|]*)|" do
    local cells = {}
    for hex in row:gmatch "(%x*)," do
      cells[#cells + 1] = input.bytes_of(hex)
    end
    rows[#rows + 1] = cells
  end
  return rows
end

local function trimmed(names)
  local list = {}
  for i, name in ipairs(names) do
    list[i] = name:match "^%s*(.-)%s*$"
  end
  return list
end

describe("the delimiter of a CSV file", function()
  it("is found in the header, and the cells are those that Python wrote", function()
    local count = rounds(1500)
    local lines = process.python("dialect_witness.py delimiters", "20261125 " .. count)
    assert.equal(count, #lines)
    for i, line in ipairs(lines) do
      local delimiter, content, said = line:match "^(%x+) (%x+) (.*)$"
      delimiter, content = input.bytes_of(delimiter), input.bytes_of(content)
      local wanted = rows_of(said)
      for _, size in ipairs { 1 + i % 7, 65536 } do
        local source = assert(open(content, { chunk_size = size, allow_multiline_rows = true }))
        assert.same(trimmed(wanted[1]), source.columns)
        assert.equal(delimiter, source.delimiter)
        for row = 2, #wanted do
          local _, position, cells = source()
          assert.equal(row, position)
          assert.same(wanted[row], cells)
        end
        assert.is_nil((source()))
      end
    end
  end)

  -- Headers, what is found, and options.
  local CASES = {
    { "phone,first\n", "," },
    { "phone;first\n", ";" },
    { "phone\tfirst\n", "\t" },
    { "phone|first\n", "|" },
    { "phone\n", "," },
    { "phone", "," },
    { '"phone";"first"\r\n', ";" },
    { "phone;first\r", ";" },
    -- Delimiters in quotes are none.
    { 'phone;"_a,b,c,d,e"\n', ";" },
    { '"_a;b;c;d",phone\n', "," },
    { '"_a\n,,,,";phone\n', ";" },
    { '"phone";"_a,_b,_c,_d"\n', ";" }, -- with commas there would be a quote within a cell
    -- Where several fit, the names of columns decide, then the number of cells, then the order.
    { "phone;_Name (Last, First, Middle, Title)\n", ";" },
    { "_a;b;c;d,phone\n", "," },
    { "_a|b|c;_d;phone\n", ";" },
    { "Handy;Vor|name|x|y\n", ";", { map = { Handy = "phone", ["Vor|name|x|y"] = "first" } } },
    { "Handy;Ort, Land, Planet\n", ";", { map = { Handy = "phone" }, ignore = { "Ort, Land, Planet" } } },
    -- The user decides.
    { "phone;a,first\n", ",", { delimiter = ",", map = { ["phone;a"] = "phone" } } },
    { "phone;first\n", ";", { delimiter = "semicolon" } },
    { "phone\tfirst\n", "\t", { delimiter = "tab" } },
    { "phone\tfirst\n", "\t", { delimiter = "\\t" } },
    { "phone\tfirst\n", "\t", { delimiter = "\t" } },
    { "phone|first\n", "|", { delimiter = "pipe" } },
    { "phone|first\n", "|", { delimiter = "|" } },
    { "phone,first\n", ",", { delimiter = "comma" } },
    { "phone\n", ";", { delimiter = ";" } },
  }

  it("is the right one for known headers, in chunks of any size", function()
    for _, case in ipairs(CASES) do
      for size = 1, #case[1] + 1 do
        local options = { chunk_size = size }
        for name, value in pairs(case[3] or {}) do
          options[name] = value
        end
        local source, problem = open(case[1], options)
        assert.equal("", tostring(problem or ""), case[1])
        assert.equal(case[2], source.delimiter, case[1])
      end
    end
  end)

  it("can be named only as one of four", function()
    for _, name in ipairs { "", ",,", ":", "x", " ", "tabs", "TAB", "\n", '"', "comma semicolon", ", ;" } do
      local source, problem = open("phone\n", { delimiter = name })
      assert.is_nil(source, name)
      assert.equal("option_delimiter", problem.issues[1].code, name)
    end
    assert.error_matches(function()
      open("phone\n", { delimiter = 5 })
    end, "options.delimiter")
  end)

  it("that the user names wrongly leaves one column, and the message says so", function()
    local _, problem = open("phone;first\n", { delimiter = "," })
    assert.equal(1, #problem.issues)
    assert.truthy(problem.issues[1].message:find("delimiter", 1, true))
  end)

  it("separates the cells of ordinary rows as well, and ; separates tags within a cell", function()
    for _, delimiter in ipairs { ",", ";", "\t", "|" } do
      local content = ("phone,first,tags\n12025550001,Ann,1\n12025550002, Ben ,'1;2'\nx,Cem,\n")
        :gsub(",", delimiter)
        :gsub("'", '"')
      local source = assert(open(content))
      local entries = source:take(10, nil, 0)
      assert.equal(3, #entries)
      assert.equal('{"phone":"12025550001","first":"Ann","tags":[{"tag_id":1}]}', entries[1].body)
      assert.equal('{"phone":"12025550002","first":"Ben","tags":[{"tag_id":1},{"tag_id":2}]}', entries[2].body)
      assert.equal(4, entries[3].position)
      local item = {}
      source:describe({ entries[3] }, { item })
      assert.same({ "x", "Cem", "" }, item.row)
    end
  end)

  it("counts in cells that may have swallowed rows", function()
    local source = assert(open 'phone;first;last\n1;"a\n2;b;c";\n')
    local found = source()
    assert.is_true(failure.is(found))
    assert.equal("csv_swallowed_rows", found.issues[1].code)
    source = assert(open 'phone;first;last\n1;"a\n2,b,c";\n')
    assert.equal("a\n2,b,c", source().first)
  end)
end)

describe("a first line that names the delimiter", function()
  it("is read in chunks of any size, and is no row", function()
    for _, delimiter in ipairs { ",", ";", "\t", "|" } do
      for _, opening in ipairs { "sep=", "SEP=", "Sep=", MARK .. "sep=", '"sep=' } do
        for _, line_end in ipairs { "\n", "\r\n", "\r" } do
          local quote = opening:sub(1, 1) == '"' and '"' or ""
          local rest = ('phone,first%s12025550001,Ann%s"x"y,1%s'):gsub(",", delimiter):gsub("%%s", line_end)
          local content = opening .. delimiter .. quote .. line_end .. rest
          for size = 1, #content do
            local source = assert(open(content, { chunk_size = size }))
            assert.same({ "phone", "first" }, source.columns)
            assert.is_true(source.has_separator)
            assert.equal(delimiter, source.delimiter)
            assert.equal(opening:sub(1, 3) == MARK, source.has_mark)
            local contact, position = source()
            assert.same({ phone = "12025550001", first = "Ann" }, contact)
            assert.equal(2, position)
            assert.is_true(failure.is(source()))
            assert.is_nil((source()))
            assert.equal(#content, (source:progress()))
          end
        end
      end
    end
  end)

  it("counts as a line of the file", function()
    local source = assert(open 'sep=;\nphone;first\n1;"a\n2;b\n')
    assert.equal(4, source().issues[1].values.last)
  end)

  it("stands behind the option", function()
    local source = assert(open("sep=;\nphone,first\n", { delimiter = "," }))
    assert.same({ "phone", "first" }, source.columns)
    assert.equal(",", source.delimiter)
  end)

  it("must name one of the four", function()
    local _, problem = open "sep=^\nphone^first\n"
    assert.equal("csv_separator", problem.issues[1].code)
    assert.truthy(problem.issues[1].message:find("^", 1, true))
  end)

  it("is none where it goes on, or does not end with the delimiter", function()
    for _, content in ipairs { "sep=;x\n", "sep=\nphone\n", '"sep=;\nphone\n', "sep,phone\n", "se", "sep=" } do
      for size = 1, #content do
        local source = open(content, { chunk_size = size, ignore = { "*" } })
        assert.is_false(source and source.has_separator or false)
      end
    end
    assert.same({ "sep=a", "phone" }, assert(open("sep=a,phone\n", { ignore = { "sep=a" } })).columns)
    local _, problem = open "sep=;"
    assert.equal("csv_empty", problem.issues[1].code)
  end)
end)

describe("encode_row with a delimiter", function()
  it("quotes the delimiter only, and what looks like a line that names it", function()
    local cells = { "a,b", "c;d", "e\tf", "g|h" }
    assert.equal('"a,b",c;d,e\tf,g|h\n', csv.encode_row(cells))
    assert.equal('"a,b",c;d,e\tf,g|h\n', csv.encode_row(cells, ","))
    assert.equal('a,b;"c;d";e\tf;g|h\n', csv.encode_row(cells, ";"))
    assert.equal('a,b\tc;d\t"e\tf"\tg|h\n', csv.encode_row(cells, "\t"))
    assert.equal('a,b|c;d|e\tf|"g|h"\n', csv.encode_row(cells, "|"))
    assert.equal('"sep=x"\n', csv.encode_row({ "sep=x" }, ";"))
    for _, wrong in ipairs { "", ":", "tab", ",,", 5 } do
      assert.error_matches(function()
        csv.encode_row({}, wrong)
      end, "delimiter must be")
    end
  end)

  it("writes what Python and we read back", function()
    local random = fake.random(42)
    local alphabet = { "a", ",", '"', "\n", "\r", " ", ";", "\t", "|", "é", "'", "_", "sep=" }
    for _, delimiter in ipairs { ",", ";", "\t", "|" } do
      local rows, lines = { { "phone", "first", "last" } }, {}
      for row = 2, rounds(1000) do
        local cells = {}
        for i = 1, 3 do
          local parts = {}
          for k = 1, math.floor(random() * 7) do
            parts[k] = alphabet[math.floor(random() * #alphabet) + 1]
          end
          cells[i] = table.concat(parts)
        end
        rows[row] = cells
      end
      for row, cells in ipairs(rows) do
        lines[row] = csv.encode_row(cells, delimiter)
      end
      local content = table.concat(lines)
      local said =
        process.python("dialect_witness.py read", input.hex_of(delimiter) .. " " .. input.hex_of(content) .. "\n")
      assert.same(rows, rows_of(said[1]))
      local source = assert(open(content, { allow_multiline_rows = true }))
      for row = 2, #rows do
        local _, position, cells = source()
        assert.equal(row, position)
        assert.same(rows[row], cells)
      end
    end
  end)
end)
