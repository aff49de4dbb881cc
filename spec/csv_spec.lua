local encode = require("heymarket.contact").encode
local csv = require "heymarket.csv"
local failure = require "heymarket.failure"
local messages = require "heymarket.messages"
local input = require "spec.support.input"
local rounds = require "spec.support.rounds"
local process = require "spec.support.process"

local function open(content, options)
  return csv.open(input.handle_of(content), options)
end

-- All records as {contact, position, cells}.
local function all(content, options)
  local list = {}
  for contact, position, cells in assert(open(content, options)) do
    list[#list + 1] = { contact, position, cells }
  end
  return list
end

local unpack = rawget(_G, "unpack") or rawget(table, "unpack")
local temporaries = {}

local function temporary(content)
  local path = os.tmpname()
  temporaries[#temporaries + 1] = path
  local file = assert(io.open(path, "wb"))
  file:write(content)
  file:close()
  return path
end

local function messages_of(failed)
  local list = {}
  for i, issue in ipairs(failed.issues) do
    list[i] = (issue.field or "-") .. ": " .. issue.message
  end
  return table.concat(list, "\n")
end

-- The row error of a file's only record.
local function row_error(content, options)
  local records = all(content, options)
  assert.equal(1, #records)
  assert.is_true(failure.is(records[1][1]))
  return records[1][1], records[1][3]
end

local function thrown_by(source)
  local ok, thrown
  repeat
    ok, thrown = pcall(source)
  until not ok or thrown == nil
  assert.is_false(ok)
  assert.is_true(failure.is(thrown))
  return thrown
end

describe("csv", function()
  after_each(function()
    for i, path in ipairs(temporaries) do
      os.remove(path)
      temporaries[i] = nil
    end
  end)

  describe("cells", function()
    it("fills every field", function()
      local records = all(
        "phone,first,last,display_name,email,avatar,assignee_id,tags,is_opted_out,email_suppressions,custom.123\n"
          .. "+1 (234),John,Smith,JS,j@x.org,http://x/y,-1,1;2,yes,7 ; 8,0042\n"
      )
      assert.same({
        {
          {
            phone = "+1 (234)",
            first = "John",
            last = "Smith",
            display_name = "JS",
            email = "j@x.org",
            avatar = "http://x/y",
            assignee_id = -1,
            tags = { 1, 2 },
            is_opted_out = true,
            email_suppressions = { 7, 8 },
            custom = { ["123"] = "0042" },
          },
          2,
          { "+1 (234)", "John", "Smith", "JS", "j@x.org", "http://x/y", "-1", "1;2", "yes", "7 ; 8", "0042" },
        },
      }, records)
    end)

    it("knows the product's names, in any case and mixed with ours", function()
      local records = all "First Name, LAST NAME ,phone number,Opt Out,TAGS,Custom.5\nA,B,1,Y,3,x\n"
      assert.same(
        { first = "A", last = "B", phone = "1", is_opted_out = true, tags = { 3 }, custom = { ["5"] = "x" } },
        records[1][1]
      )
    end)

    it("leaves out blank cells, and trims the others", function()
      local records =
        all 'phone,first,assignee_id,tags,is_opted_out,custom.1\n1,,,,,\n1, a  b , 5 , 1 ; 2 , Yes ," "\n1,, ,\t, ,\n'
      assert.same({ phone = "1" }, records[1][1])
      assert.same({
        phone = "1",
        first = "a  b",
        assignee_id = 5,
        tags = { 1, 2 },
        is_opted_out = true,
      }, records[2][1])
      -- What goes into the failures file is as it was.
      assert.same({ "1", " a  b ", " 5 ", " 1 ; 2 ", " Yes ", " " }, records[2][3])
      assert.same({ phone = "1" }, records[3][1])
    end)

    it("trims every blank and invisible mark that Unicode has, at both ends and nowhere else", function()
      local count = 0
      local listed = process.output "/usr/bin/env python3 spec/support/phone_witness.py characters"
      for hex in listed:gmatch "%l+ (%x+)\n" do
        local character = hex:gsub("%x%x", function(pair)
          return string.char(tonumber(pair, 16))
        end)
        local blank = '"' .. character .. character .. '"'
        local name = '"' .. character .. "é" .. character .. "a" .. character .. " " .. '"'
        local content = ("phone,first,custom.7,Opt Out,tags\n1,%s,%s,%s,%s\n2,%s,%s,%s,%s\n"):format(
          name,
          name,
          '"' .. character .. 'yes"',
          '"' .. character .. "1;" .. character .. '2"',
          blank,
          blank,
          blank,
          blank
        )
        local records = all(content, { allow_multiline_rows = true })
        local kept = "é" .. character .. "a"
        assert.same(
          { phone = "1", first = kept, custom = { ["7"] = kept }, is_opted_out = true, tags = { 1, 2 } },
          records[1][1]
        )
        assert.same({ phone = "2" }, records[2][1])
        assert.equal(name:sub(2, -2), records[1][3][2])
        count = count + 1
      end
      assert.equal(54, count)
    end)

    it("trims a megabyte of blanks in no time", function()
      local blanks = ("\194\160 \226\128\139\t"):rep(140000)
      assert.equal(
        "é",
        all("phone,first\n1," .. blanks .. "é" .. blanks .. "\n", { max_record = 2 ^ 24 })[1][1].first
      )
      assert.is_nil(all("phone,first\n1," .. blanks .. "\n", { max_record = 2 ^ 24 })[1][1].first)
    end)

    it("leaves out a false is_opted_out unless it is asked for, and counts the rows", function()
      local content = "phone,Opt Out\n1,no\n2,yes\n3,\n4,F\n5,perhaps\n"
      local source = assert(open(content))
      local given = {}
      for contact in source do
        given[#given + 1] = failure.is(contact) and "error" or tostring(contact.is_opted_out)
      end
      assert.same({ "nil", "true", "nil", "nil", "error" }, given)
      assert.equal(2, source:opt_ins_left_out())
      source = assert(open(content, { allow_opt_in = true }))
      given = {}
      for contact in source do
        given[#given + 1] = failure.is(contact) and "error" or tostring(contact.is_opted_out)
      end
      assert.same({ "false", "true", "nil", "false", "error" }, given)
      assert.equal(0, source:opt_ins_left_out())
    end)

    it("reads the documented words for true and false and no other", function()
      for word in ("yes y true t 1 YES Y True T"):gmatch "%S+" do
        assert.is_true(all("phone,is_opted_out\n1," .. word .. "\n")[1][1].is_opted_out)
      end
      for word in ("no n false f 0 NO N False F"):gmatch "%S+" do
        local records = all("phone,is_opted_out\n1," .. word .. "\n", { allow_opt_in = true })
        assert.is_false(records[1][1].is_opted_out)
      end
      for word in ("maybe 2 00 ye on off nil"):gmatch "%S+" do
        assert.equal("Opt Out", row_error("phone,Opt Out\n1," .. word .. "\n").issues[1].field)
      end
    end)

    it("takes integers exactly or not at all", function()
      local exact = all "phone,assignee_id\n1,9007199254740991\n1,-9007199254740991\n1,-0\n1,007\n"
      assert.equal("9007199254740991", ("%.0f"):format(exact[1][1].assignee_id))
      assert.equal("-9007199254740991", ("%.0f"):format(exact[2][1].assignee_id))
      assert.equal("0", tostring(exact[3][1].assignee_id))
      assert.equal(7, exact[4][1].assignee_id)
      for _, bad in ipairs {
        "1.0",
        "1e3",
        "0x10",
        "+5",
        "5 6",
        "five",
        "inf",
        "nan",
        "--1",
        "9223372036854775808",
        "-9223372036854775809",
        "99999999999999999999",
      } do
        assert.equal("assignee_id", row_error("phone,assignee_id\n1," .. bad .. "\n").issues[1].field)
        assert.equal("tags", row_error("phone,tags\n1,4;" .. bad .. "\n").issues[1].field)
      end
      for _, bad in ipairs { ";", "1;", ";1", "1;;2", '"1,2"', "1 2" } do
        assert.equal("tags", row_error("phone,tags\n1," .. bad .. "\n").issues[1].field)
      end
      local beyond = all("phone,assignee_id\n1,9007199254740993\n")[1][1]
      if not failure.is(beyond) then
        -- Only a Lua with 64-bit integers may take it, and then to the last digit.
        assert.equal("9007199254740993", ("%d"):format(beyond.assignee_id))
      end
    end)

    it("passes bytes through", function()
      local cell = "\0\1\127\128\255\195\169"
      assert.equal(cell, all("phone,first\n1," .. cell .. "\n")[1][1].first)
    end)
  end)

  describe("records", function()
    it("reads quoted cells", function()
      local records = all 'phone,first\n"1","a ""b"", c"\n2,""\n3,""""\n"4","x\r\ny\nz\rw"\n'
      assert.same({ "1", 'a "b", c' }, records[1][3])
      assert.same({ "2", "" }, records[2][3])
      assert.same({ "3", '"' }, records[3][3])
      assert.same({ "4", "x\r\ny\nz\rw" }, records[4][3])
      assert.equal(5, records[4][2])
    end)

    it("takes LF, CR LF and CR, with and without a last one, and a byte-order mark", function()
      for _, mark in ipairs { "", "\239\187\191" } do
        for _, eol in ipairs { "\n", "\r\n", "\r" } do
          for _, last in ipairs { "", eol } do
            local records = all(mark .. "phone,first" .. eol .. "1,a" .. eol .. "2,b" .. last)
            assert.same({
              { { phone = "1", first = "a" }, 2, { "1", "a" } },
              { { phone = "2", first = "b" }, 3, { "2", "b" } },
            }, records)
          end
        end
      end
      assert.same({}, all "phone")
      assert.same({}, all "phone\r")
    end)

    it("keeps line feeds in the quoted cells of an old Mac's file", function()
      assert.same({ "1", "a\nb" }, all('phone,first\r1,"a\nb"\r2,c')[1][3])
    end)

    it("passes over blank lines but counts them", function()
      for _, eol in ipairs { "\n", "\r\n", "\r" } do
        for _, header in ipairs { "phone", "phone,first" } do
          local row = header == "phone" and "5" or "5,x"
          local records = all(table.concat({ header, "", row, "", "", row, "", "" }, eol))
          assert.equal(2, #records)
          assert.equal(3, records[1][2])
          assert.equal(6, records[2][2])
        end
      end
      -- An empty cell in quotes is a record.
      assert.same({ { {}, 3, { "" } } }, all 'phone\n\n""\n')
    end)

    it("gives ragged rows as row errors and goes on", function()
      local records = all "phone,first\n1\n1,2,3\n1,a\n,,,\n"
      assert.equal(4, #records)
      for _, i in ipairs { 1, 2, 4 } do
        assert.is_true(failure.is(records[i][1]))
      end
      assert.truthy(records[1][1].issues[1].message:find("1 cells where the header has 2", 1, true))
      assert.same({ "1", "2", "3" }, records[2][3])
      assert.same({ { phone = "1", first = "a" }, 4, { "1", "a" } }, records[3])
    end)

    it("gives misplaced quotes as row errors, with the cell as written", function()
      local stray, cells = row_error 'phone,first\n1,"a"b\n'
      assert.equal("first", stray.issues[1].field)
      assert.truthy(stray.issues[1].message:find("closing quote", 1, true))
      assert.same({ "1", '"a"b' }, cells)
      row_error 'phone,first\n1,"a" \n'
      local bare
      bare, cells = row_error 'phone,first\n1,5" pipe\n'
      assert.truthy(bare.issues[1].message:find("unquoted cell", 1, true))
      assert.same({ "1", '5" pipe' }, cells)
      row_error 'phone,first\n1, "a"\n'
    end)

    it("gives stray line breaks as row errors", function()
      row_error "phone,first\n1,a\rb\n"
      row_error "phone,first\r1,a\nb\r"
    end)

    it("tells all mistakes of a row at once", function()
      local found = row_error 'phone,first,tags,Opt Out\n1,a"b,x,perhaps\n'
      assert.same(
        { "first", "tags", "Opt Out" },
        { found.issues[1].field, found.issues[2].field, found.issues[3].field }
      )
      found = row_error 'phone,first,tags\n"1"2,a"b\n'
      assert.equal(3, #found.issues)
    end)

    it("names the row whose quote is never closed", function()
      local records = all 'phone,first\n1,a\n\n2,"b\n3,c\n'
      assert.equal(2, #records)
      local found = records[2][1]
      assert.is_true(failure.is(found))
      assert.equal("first", found.issues[1].field)
      assert.truthy(found.issues[1].message:find("row 4", 1, true))
      assert.same({ "2", '"b\n3,c\n' }, records[2][3])
    end)

    it("says how far a cell goes whose quote is never closed", function()
      local found = all('phone,first\n1,"x\ny"\n2,"b\n3,c\n4,d\n')[2][1]
      -- Row 3 is line 4, for the cell before it has two lines.
      assert.equal(1, #found.issues)
      assert.truthy(found.issues[1].message:find("row 3", 1, true))
      assert.truthy(found.issues[1].message:find("up to line 6 of the file", 1, true))
      assert.truthy(found.issues[1].message:find("all later rows", 1, true))
      found = all('phone,first\n2,"b\n3,c\n4,"d"\n')[1][1]
      assert.truthy(found.issues[1].message:find("closing quote", 1, true))
      assert.truthy(found.issues[1].message:find("from line 2 to line 4 of the file", 1, true))
    end)

    -- Rows of which the first has a stray quote before its last cell, and the last one behind it.
    local function swallowing(rows, eol, columns)
      local lines = {}
      for i = 1, rows do
        local cells = { "1202555" .. ("%04d"):format(i) }
        for column = 2, columns do
          cells[column] = column == columns and "note" or "name"
        end
        lines[i] = table.concat(cells, ",")
      end
      lines[1] = lines[1]:gsub("note$", '"5 pipe')
      lines[rows] = lines[rows] .. '"'
      return table.concat(lines, eol) .. eol
    end

    local HEADERS = {
      [3] = "phone,first,custom.1",
      [4] = "phone,first,last,custom.1",
      [6] = "phone,first,last,display_name,email,custom.1",
    }

    it("gives a quoted cell that contains lines like rows as a row error, and goes on behind it", function()
      for columns, header in pairs(HEADERS) do
        for _, eol in ipairs { "\n", "\r\n", "\r" } do
          for _, rows in ipairs { 2, 3, 190 } do
            local after = "12025559999" .. (","):rep(columns - 1) .. eol
            local content = header .. eol .. after .. swallowing(rows, eol, columns) .. after
            for _, size in ipairs { 7, 65536 } do
              local records = all(content, { chunk_size = size })
              assert.equal(3, #records)
              assert.same({ "12025559999", 4 }, { records[3][1].phone, records[3][2] })
              assert.is_true(failure.is(records[2][1]))
              assert.equal(3, records[2][2])
              assert.same({ "custom.1" }, { records[2][1].issues[1].field, #records[2][1].issues > 1 or nil })
              local message = records[2][1].issues[1].message
              assert.truthy(message:find(("goes on to line %d of the file"):format(rows + 2), 1, true), message)
              assert.truthy(message:find("allow_multiline_rows", 1, true))
            end
            -- Where it is meant so.
            local records = all(content, { allow_multiline_rows = true })
            assert.equal(3, #records)
            assert.equal("12025550001", records[2][1].phone)
            local _, breaks = records[2][1].custom["1"]:gsub(eol, "")
            assert.equal(rows - 1, breaks)
          end
        end
      end
    end)

    it("finds rows in a cell of a failures file that the file has swallowed from which it came", function()
      local content = "phone,Notes,Owner,_row,_outcome,_field,_message\n"
        .. '12025550002,"called,bob\n12025550003,""called"",bob",,2,invalid,Notes,is wrong\n'
      local record = all(content, { ignore = { "*" } })[1]
      assert.is_true(failure.is(record[1]))
      assert.truthy(messages_of(record[1]):find("goes on to line 3 of the file", 1, true))
    end)

    it("finds swallowed rows in any cell: ignored, ragged, first, at the end of the file", function()
      local function error_of(content, options)
        local records = all(content, options)
        for _, record in ipairs(records) do
          if failure.is(record[1]) and messages_of(record[1]):find("swallowed", 1, true) then
            return record[1], record[2]
          end
        end
        error("no swallowed rows were found in " .. content)
      end
      local header = "phone,first,note\n"
      local found = error_of(header .. '1,a,"x\n2,b,y\n3,c,z"\n', { ignore = { "note" } })
      assert.equal("note", found.issues[1].field)
      found = error_of("phone,first,custom.1\n" .. '1,a,"x\n2,b,y\n3,c 24",z\n')
      assert.equal(2, #found.issues)
      assert.truthy(messages_of(found):find("has 4 cells where the header has 3", 1, true))
      error_of("phone,first,custom.1\n" .. '"1,a,x\n2,b,y\n3",b,c\n')
      error_of("phone,first,custom.1\n" .. '1,"a,x\n2,b,y\n3",c\n')
      error_of("phone,first,custom.1\n" .. '1,a,"x\n2,b,y"')
      -- The line that the closing quote ends counts as well.
      error_of("phone,first,custom.1\n" .. '1,a,"x\n2,b,y"\n3,c,z\n')
      -- Lines are counted through cells of several lines in the header and before.
      local _, row =
        error_of('phone,first,"custom.1\n"\n9,"p\nq",r\n\n1,a,"x\n2,b,y"\n', { map = { ["custom.1"] = "last" } })
      assert.equal(4, row)
      found = error_of 'phone,first,"custom.1\n"\n9,"p\nq",r\n\n1,a,"x\n2,b,y"\n'
      assert.truthy(messages_of(found):find("goes on to line 7 of the file", 1, true), messages_of(found))
    end)

    it("takes two lines that look like rows where the header has one or two columns", function()
      local two = all 'phone,first\n1,"Ann, Lee\nof Boston"\n2,"a\nb"\n3,c\n'
      assert.same({ "1", "2", "3" }, { two[1][1].phone, two[2][1].phone, two[3][1].phone })
      assert.is_true(failure.is(all('phone,first\n1,"Ann\n2,Bob\n3,Cy"\n')[1][1]))
      assert.is_true(failure.is(all('phone,first\n1,"Ann, x\n2,Bob"\n')[1][1]))
      assert.is_true(failure.is(all('phone\n"1\n2"\n')[1][1]))
      assert.is_true(failure.is(all('phone\n"1\n2\n3"\n')[1][1]))
      assert.equal("1\n2", all('phone\n"1\n2"\n', { allow_multiline_rows = true })[1][1].phone)
    end)

    it("leaves cells of several lines alone that hold no rows", function()
      local header = "phone,first,last,email,custom.1\n"
      for _, note in ipairs {
        "met at the fair,\nwants a call back",
        "one, two, three\nfour, five",
        "a,b,c,d,e,f\nx",
        "\n\n\n",
        "x\n,,,\n,,",
      } do
        local records = all(header .. '1,a,b,c@d.e,"' .. note .. '"\n2,a,b,c@d.e,f\n')
        assert.same({ phone = "2", first = "a", last = "b", email = "c@d.e", custom = { ["1"] = "f" } }, records[2][1])
        assert.equal(3, records[2][2])
        assert.equal("1", records[1][1].phone)
      end
      -- One line with as many commas as the header is no row.
      assert.equal("1", all(header .. '1,a,b,c@d.e,"1,2,3,4,5,6"\n')[1][1].phone)
      assert.equal("1", all(header .. '1,a,b,c@d.e,"1,2,3,4,5"\n')[1][1].phone)
    end)

    it("refuses a record beyond max_record, wherever the chunks end", function()
      for size = 1, 40 do
        local fits = all("phone\n123456789\n1\n", { max_record = 10, chunk_size = size })
        assert.equal(2, #fits)
        for _, long in ipairs { "1234567890\n1\n", '"2345678901', "1234567890x", '1"3456789x\n' } do
          local source = assert(open("phone\n1\n" .. long, { max_record = 10, chunk_size = size }))
          local thrown = thrown_by(source)
          assert.equal("source", thrown.kind)
          assert.truthy(thrown.message:find("row 3", 1, true))
          -- It must not look like the end when it is asked again.
          assert.equal(thrown, thrown_by(source))
        end
      end
      local failed = select(2, open("phone,first,last\n", { max_record = 10 }))
      assert.equal("source", failed.kind)
    end)

    it("reads a record of a megabyte, and not an endless one", function()
      local long = ("x"):rep(1024 * 1024 - 6)
      assert.equal(long, all('phone,first\n1,"' .. long .. '"\n')[1][1].first)
      local chunks, asked = { 'phone\n"' }, 0
      local endless = {
        read = function(_, size)
          asked = asked + 1
          return table.remove(chunks) or ("y"):rep(size)
        end,
      }
      assert.equal("source", thrown_by(assert(csv.open(endless))).kind)
      assert.is_true(asked < 100)
    end)

    it("reads more columns than a Lua stack holds", function()
      local header, row = { "phone" }, { "1" }
      for i = 1, 9000 do
        header[#header + 1] = "custom." .. i
        row[#row + 1] = '"' .. i .. '"'
      end
      local records = all(table.concat(header, ",") .. "\n" .. table.concat(row, ",") .. "\n")
      assert.equal("9000", records[1][1].custom["9000"])
      assert.is_true(failure.is(all("phone\n" .. (","):rep(100000) .. "\n")[1][1]))
    end)

    it("gives the same whatever the size of its chunks", function()
      local content = '\239\187\191phone,"first",tags\r\n1,"a ""q"" \r\n b",1;2\r\n\r\n"2",,x\r\n3,\r\n4,"x"y,\r\n'
        .. '5,a"b,\n\n"6"," "" ",7\r\n7,é,8'
      local expected = all(content)
      assert.equal(7, #expected)
      for size = 1, #content do
        assert.same(expected, all(content, { chunk_size = size }))
      end
      local old = 'phone,first\r1,"a\r""\n"\r\r2,b\r'
      expected = all(old)
      assert.same({ 2, 4 }, { expected[1][2], expected[2][2] })
      for size = 1, #old do
        assert.same(expected, all(old, { chunk_size = size }))
      end
    end)
  end)

  describe("header", function()
    local function refused(content, options)
      local source, failed = open(content, options)
      assert.is_nil(source)
      assert.is_true(failure.is(failed))
      assert.equal("invalid", failed.kind)
      return messages_of(failed), failed
    end

    it("names all mistakes of the header, with the nearest known names", function()
      local text, failed = refused "frist,List,,email,E-Mail,EMAIL\n"
      assert.truthy(text:find 'frist: [^\n]*"first"')
      assert.truthy(text:find "List: [^\n]*map[^\n]*ignore")
      assert.truthy(messages.render(failed.issues[2], "command"):find "%-%-map[^\n]*%-%-ignore")
      assert.truthy(text:find("column 3: has no name", 1, true))
      assert.truthy(text:find("EMAIL: is a second column for email, after email", 1, true))
      assert.truthy(text:find("phone: is missing", 1, true))
      assert.equal(6, #failed.issues)
    end)

    it("refuses two columns for one field in both styles", function()
      assert.truthy(refused("phone,first,First Name\n"):find("second column for first", 1, true))
      assert.truthy(refused("phone,PHONE\n"):find("second column for phone", 1, true))
      assert.truthy(refused("phone,x,custom.1\n", { map = { x = "custom.1" } }):find("second column", 1, true))
    end)

    it("refuses numbers of custom fields that are none", function()
      for _, name in ipairs { "custom.", "custom.x", "custom.0", "custom.01", "custom 7", "custom.-1" } do
        assert.truthy(refused("phone," .. name .. "\n"):find("custom.<id>", 1, true))
      end
    end)

    it("refuses an empty file, a blank first row and bad quotes", function()
      assert.truthy(refused(""):find("empty", 1, true))
      assert.truthy(refused("\239\187\191"):find("empty", 1, true))
      assert.truthy(refused("\nphone\n"):find("row 1 is blank", 1, true))
      assert.truthy(refused('phone,"first\n1,2\n'):find("cell 2: opens a quote", 1, true))
      assert.truthy(refused('phone,"first"x\n'):find("cell 2: has text after", 1, true))
    end)

    it("says what to do about other delimiters and encodings", function()
      assert.truthy(refused("phone;first\n", { delimiter = "," }):find("delimiter", 1, true))
      -- What the options name cannot be found either; that is not said as well.
      for _, options in ipairs { { ignore = { "*" } }, { map = { Mobile = "phone" }, ignore = { "first" } } } do
        options.delimiter = ","
        local _, failed = open("Mobile;first\n", options)
        assert.equal(1, #failed.issues)
        assert.truthy(failed.issues[1].message:find("delimiter", 1, true))
      end
      assert.truthy(open("Mobile;first\n", { delimiter = ",", map = { ["Mobile;first"] = "phone" } }))
      for _, content in ipairs { "p\0h\0\n\0", "phone\0\n", 'a\0"' } do
        local source, failed = open(content)
        assert.is_nil(source)
        assert.equal("source", failed.kind)
        assert.truthy(failed.message:find("UTF-8", 1, true))
      end
    end)

    it("maps and ignores columns, and passes over those that begin with _", function()
      local content = "Mobile,List,_row,Level,NOTES\n1,x,2,gold,y\n"
      local source = assert(open(content, {
        map = { mobile = "Phone Number", Level = "custom.9" },
        ignore = { "List", "notes" },
      }))
      assert.same({ "Mobile", "List", "_row", "Level", "NOTES" }, source.columns)
      local contact, position, cells = source()
      assert.same({ phone = "1", custom = { ["9"] = "gold" } }, contact)
      assert.equal(2, position)
      assert.same({ "1", "x", "2", "gold", "y" }, cells)
    end)

    it("refuses maps that cannot be followed", function()
      local text = refused("phone,a,b,_c\n", {
        map = { a = "frist", b = "first", _c = "last", d = "email" },
        ignore = { "b" },
      })
      assert.truthy(text:find 'a: is mapped to "frist", which is not a field[^\n]*"first"')
      assert.truthy(text:find("b: is both mapped and ignored", 1, true))
      assert.truthy(text:find("_c: cannot be mapped", 1, true))
      assert.truthy(text:find("d: is mapped, but the file has no such column", 1, true))
    end)
  end)

  describe("options that name columns", function()
    local function refused(content, options)
      local source, failed = open(content, options)
      assert.is_nil(source)
      assert.equal("invalid", failed.kind)
      return messages_of(failed), failed
    end

    it("are refused where two of them are the same column in another case", function()
      for _ = 1, 20 do
        local text, failed =
          refused("phone,first\n", { map = { first = "last", FIRST = "email", [" First "] = "first" } })
        assert.equal(2, #failed.issues)
        assert.truthy(text:find("is mapped twice", 1, true))
      end
      assert.truthy(
        refused("phone,a\n", { map = { a = "first", ["a\194\160"] = "first" } }):find("is mapped twice", 1, true)
      )
    end)

    it("are refused where the file has no such column", function()
      local text, failed =
        refused("phone,Nots,first\n", { ignore = { "Notes", "nots", "_row" }, map = { frist = "last" } })
      assert.equal(3, #failed.issues)
      assert.truthy(text:find('Notes: is ignored, but the file has no such column; did you mean "Nots"', 1, true))
      assert.truthy(text:find("_row: is ignored, but the file has no such column", 1, true))
      assert.truthy(text:find('frist: is mapped, but the file has no such column; did you mean "first"', 1, true))
    end)

    it("may ignore a column twice, and all that are not known", function()
      assert.same({ phone = "1" }, (assert(open("phone,x\n1,2\n", { ignore = { "x", "X" } }))()))
      local content = "Mobile,x,first,,Y\n1,2,A,3,4\n"
      local source = assert(open(content, { ignore = { "*" }, map = { mobile = "phone" } }))
      assert.same({ phone = "1", first = "A" }, (source()))
      assert.truthy(refused("x,y\n", { ignore = { "*" } }):find("phone: is missing", 1, true))
    end)
  end)

  describe("several columns for phone", function()
    local HEAD = "Home,Mobile,first,Work\n"
    local MAP = { { "Mobile", "phone" }, { "work", "phone" }, { "Home", "Phone Number" } }

    -- The phones that the contacts of a file have, as an iterator gives them and as the bodies of entries.
    local function phones_of(content, options)
      local phones, bodies = {}, {}
      for i, record in ipairs(all(content, options)) do
        phones[i] = record[1].phone or false
      end
      local source = assert(open(content, options))
      local entries = source:take(100, false, 0)
      while entries[1] do
        for _, entry in ipairs(entries) do
          bodies[#bodies + 1] = entry.body and entry.body:match '"phone":"(%d+)"' or false
        end
        entries = source:take(100, false, #bodies)
      end
      return phones, bodies
    end

    it("the first filled one counts, in the order of an array", function()
      local content = HEAD
        .. "12025550001,12025550002,A,12025550003\n"
        .. "12025550001, ,A,12025550003\n"
        .. '12025550001,"\194\160",A,\n'
        .. ",,A,12025550003\n"
        .. ",,A,\n"
      local phones, bodies = phones_of(content, { map = MAP })
      assert.same({ "12025550002", "12025550003", "12025550001", "12025550003", false }, phones)
      assert.same(phones, bodies)
    end)

    it("the order is that of the file where the map has none", function()
      local map = { Work = "phone", Mobile = "phone", home = "phone" }
      local content = HEAD .. "12025550001,12025550002,A,12025550003\n,12025550002,A,12025550003\n"
      local phones, bodies = phones_of(content, { map = map })
      assert.same({ "12025550001", "12025550002" }, phones)
      assert.same(phones, bodies)
    end)

    it("a column that is mapped comes before one that is known by its name", function()
      local content = "phone,Mobile\n12025550001,12025550002\n12025550001,\n"
      local phones, bodies = phones_of(content, { map = { Mobile = "phone" } })
      assert.same({ "12025550002", "12025550001" }, phones)
      assert.same(phones, bodies)
    end)

    it("a filled one that is no phone makes its row invalid, whatever the next one holds", function()
      local source = assert(open("a,b\nnone,12025550002\n", { map = { { "a", "phone" }, { "b", "phone" } } }))
      assert.truthy(source:take(1, nil, 0)[1].problem.issues[1].message:find("phone", 1, true))
    end)

    it("are not allowed for any other field", function()
      local source, failed = open("phone,a,b\n", { map = { { "a", "first" }, { "b", "first" } } })
      assert.is_nil(source)
      assert.truthy(messages_of(failed):find("b: is a second column for first, after a", 1, true))
    end)

    it("a column that stands twice in the array is an error", function()
      local _, failed = open("a,first\n", { map = { { "a", "phone" }, { "A", "phone" } } })
      assert.truthy(messages_of(failed):find("is mapped twice", 1, true))
    end)

    it("an array of anything else is wrong use", function()
      for _, map in ipairs { { "a" }, { { "a" } }, { { "a", 1 } }, { a = { "a", "phone" } } } do
        assert.error_matches(function()
          open("a\n", { map = map })
        end, "options.map")
      end
    end)
  end)

  describe("limit", function()
    local CONTENT = "phone,first\n12025550001,A\n\n12025550002,B\nx,\n12025550004,D\n12025550005,E\n"

    it("ends the source after so many rows, invalid ones included and blank ones not", function()
      local wanted = { 2, 4, 5, 6, 7 }
      for limit = 1, 6 do
        local source, rows_seen = assert(open(CONTENT, { limit = limit, chunk_size = 7 })), {}
        for _, position in source do
          rows_seen[#rows_seen + 1] = position
        end
        assert.same({ unpack(wanted, 1, math.min(limit, 5)) }, rows_seen)
        assert.equal(limit < 6, source:is_cut_short())
        assert.is_nil((source()))
      end
    end)

    it("ends entries and lots in the same place", function()
      for limit = 1, 6 do
        for n = 1, 7 do
          local source, index = assert(open(CONTENT, { limit = limit })), 0
          local lot, entries, state
          repeat
            lot, state = source:take_lot(n, 1000, nil, index)
            assert.is_true(not lot or lot:count() <= n)
            index = index + (lot and lot:count() or 0)
            entries = state and source:take(n, nil, index) or { true }
            index = index + (state and #entries or 0)
          until not entries[1]
          assert.equal(math.min(limit, 5), index)
        end
      end
    end)

    it("of JSON Lines counts lines", function()
      local source = assert(open('{"phone":"1"}\n\n{"phone":"2"}\n{"phone":"3"}\n', { format = "jsonl", limit = 2 }))
      assert.same({ { phone = "1" }, { phone = "2" } }, { (source()), (source()) })
      assert.is_nil((source()))
    end)

    it("closes the file, and has read all that it will read", function()
      local path = temporary(CONTENT)
      local source = assert(csv.open(path, { limit = 1 }))
      source()
      local _, estimate = source:progress()
      assert.is_true(estimate <= #CONTENT)
      assert.is_nil((source()))
      local consumed, total = source:progress()
      assert.equal(consumed, total)
      source:close()
      assert.is_nil((source()))
    end)

    it("is a whole number of rows", function()
      for _, wrong in ipairs { 0, -1, 1.5 } do
        local _, failed = open(CONTENT, { limit = wrong })
        assert.truthy(messages_of(failed):find("limit", 1, true))
      end
    end)
  end)

  describe("open", function()
    it("refuses unknown options and impossible values", function()
      local _, failed = open("phone\n", { ignroe = {}, max_record = 0, chunk_size = 1.5 })
      assert.equal("invalid", failed.kind)
      assert.equal(3, #failed.issues)
      assert.truthy(messages_of(failed):find 'ignroe: [^\n]*"ignore"')
    end)

    it("raises on wrong use of Lua, naming the argument", function()
      local closed = assert(io.tmpfile())
      closed:close()
      for _, wrong in ipairs { 5, true, {}, closed } do
        assert.error_matches(function()
          csv.open(wrong)
        end, "file must be")
      end
      assert.error_matches(csv.open, "file must be")
      -- It is the caller's line that is at fault.
      local _, thrown = pcall(function()
        csv.open(5)
      end)
      assert.truthy(thrown:find("csv_spec.lua", 1, true))
      _, thrown = pcall(function()
        csv.open("x", 5)
      end)
      assert.truthy(thrown:find("csv_spec.lua", 1, true))
      for name, wrong in pairs {
        map = "x",
        ignore = "x",
        chunk_size = "5",
        allow_opt_in = 1,
        allow_multiline_rows = "yes",
      } do
        assert.error_matches(function()
          open("phone\n", { [name] = wrong })
        end, "options." .. name)
      end
      assert.error_matches(function()
        csv.open("x", 5)
      end, "options must be")
      assert.error_matches(function()
        open("phone\n", { map = { 5 } })
      end, "options.map")
      assert.error_matches(function()
        open("phone\n", { ignore = { 5 } })
      end, "options.ignore")
    end)

    it("gives a failure for what cannot be opened or read", function()
      local _, failed = csv.open "no/such/file.csv"
      assert.equal("source", failed.kind)
      assert.truthy(failed.message:find("no/such/file.csv", 1, true))
      _, failed = csv.open "."
      assert.equal("source", failed.kind)
    end)
  end)

  describe("source", function()
    it("raises a read error in the middle, and again", function()
      local chunks = { "phone\n1\n2" }
      local source = assert(csv.open {
        read = function()
          local chunk = table.remove(chunks)
          if chunk then
            return chunk
          end
          return nil, "Input/output error", 5
        end,
      })
      assert.same({ phone = "1" }, (source()))
      local thrown = thrown_by(source)
      assert.equal("source", thrown.kind)
      assert.truthy(thrown.message:find("Input/output error", 1, true))
      assert.equal(thrown, thrown_by(source))
    end)

    it("tells position and progress", function()
      local content = 'phone,first\n1,a\n\n2,"b\nc"\n'
      local source = assert(csv.open(temporary(content)))
      assert.equal(1, source:position())
      assert.same({ 12, #content }, { source:progress() })
      local _, _, first = source()
      assert.same({ 16, #content }, { source:progress() })
      source()
      assert.equal(4, source:position())
      assert.same({ "1", "a" }, first)
      assert.same({ #content, #content }, { source:progress() })
      assert.is_nil((source()))
      assert.is_nil((source()))
      assert.equal(4, source:position())
    end)

    it("counts bytes across chunks", function()
      local content = "\239\187\191phone\n1\n\n22\n"
      for size = 1, #content do
        local source = assert(csv.open(temporary(content), { chunk_size = size }))
        assert.same({ 9, #content }, { source:progress() })
        source()
        assert.same({ 11, #content }, { source:progress() })
        source()
        assert.same({ #content, #content }, { source:progress() })
      end
    end)

    -- Files with rows of every sort, and what the iterator gives of them is the witness.
    it("gives the same as entries of an import, in batches of any size", function()
      local content = "phone,first,tags,Opt Out,custom.7,_row\n"
        .. "12025550001,A,1;2,yes,x,\n"
        .. '12025550002, B ,"3",no,,\n\n'
        .. "12025550003,C,x,,,\n" -- a row error
        .. "5,D,,,y,\n" -- an invalid contact
        .. '12025550005,"E\nF",7,,,1\n'
        .. "12025550006,G\n" -- ragged
        .. ("12025550007,H,,,z,\n"):rep(50)
      for _, size in ipairs { 1, 3, 65536 } do
        for _, n in ipairs { 1, 2, 7, 1000 } do
          local witness = assert(open(content, { chunk_size = size }))
          local source = assert(open(content, { chunk_size = size }))
          local index = 0
          repeat
            local entries = source:take(n, nil, index)
            assert.is_true(#entries <= n)
            for i, entry in ipairs(entries) do
              local found, position, cells = witness()
              index = index + 1
              assert.equal(index, entry.index)
              assert.equal(position, entry.position)
              local item = {}
              source:describe({ entry }, { item })
              assert.same({ index, position }, { item.index, item.position })
              assert.same(cells, item.row)
              local given = item.contact
              if failure.is(found) then
                assert.same(messages_of(found), messages_of(entry.problem))
                assert.is_nil(given)
              else
                assert.same(found, given)
                local issues = {}
                local body, phone = encode(found, index, nil, issues)
                assert.equal(body, entry.body)
                assert.equal(body and phone, entry.body and entry.phone)
                assert.equal(body == nil, entry.problem ~= nil)
                assert.equal(issues[1] and issues[1].index, entry.problem and entry.problem.issues[1].index)
              end
              -- Nothing is given after an entry that cannot be sent.
              assert.is_true(not entry.problem or i == #entries)
            end
            assert.equal(witness:position(), source:position())
            assert.same({ witness:progress() }, { source:progress() })
          until #entries == 0
          assert.is_nil(witness())
          assert.equal(56, index)
          assert.equal(witness:opt_ins_left_out(), source:opt_ins_left_out())
        end
      end
    end)

    it("waits for no more input than one record needs, where entries are asked for", function()
      local chunks = { "phone\n", "12025550001\n12025550002\n", "12025550003\n" }
      local source = assert(csv.open {
        read = function()
          return table.remove(chunks, 1)
        end,
      })
      assert.equal(2, #source:take(100, nil, 0))
      assert.equal(1, #chunks)
      assert.equal(1, #source:take(100, nil, 2))
      assert.equal(0, #source:take(100, nil, 3))
    end)

    it("raises a read error behind the entries that came before it", function()
      local chunks = { "phone\n12025550001\n2" }
      local source = assert(csv.open {
        read = function()
          local chunk = table.remove(chunks)
          if chunk then
            return chunk
          end
          return nil, "the disk is gone"
        end,
      })
      assert.equal(1, #source:take(100, nil, 0))
      for _ = 1, 2 do
        local ok, raised = pcall(source.take, source, 100, nil, 1)
        assert.is_false(ok)
        assert.equal("source", raised.kind)
        assert.truthy(raised.message:find("the disk is gone", 1, true))
      end
    end)

    it("that is closed before its end gives no more entries", function()
      local source = assert(open "phone\n12025550001\n5\n12025550003\n")
      assert.equal(2, #source:take(100, nil, 0))
      source:close()
      local ok, raised = pcall(source.take, source, 100, nil, 2)
      assert.is_false(ok)
      assert.equal("source", raised.kind)
    end)

    it("has read the whole input at its end, blank lines included", function()
      for _, content in ipairs { "phone\n1\n\n\r\n", "phone\n1", "phone\n", "phone\n\n" } do
        local source = assert(open(content))
        while source() do
        end
        assert.equal(#content, (source:progress()))
        source = assert(open(content))
        while source:take(10, false, 0)[1] do
        end
        assert.equal(#content, (source:progress()))
      end
    end)

    it("reads a handle from where it stands, and does not close it", function()
      local file = assert(io.open(temporary "junk\nphone\n1\n", "rb"))
      file:read()
      local source = assert(csv.open(file))
      assert.same({ 6, 8 }, { source:progress() })
      assert.same({ phone = "1" }, (source()))
      assert.is_nil((source()))
      source:close()
      assert.equal("file", io.type(file))
      file:close()
    end)

    it("reads a pipe, whose size is not known", function()
      local pipe = assert(io.popen "printf 'phone\\n1\\n'")
      local source = assert(csv.open(pipe))
      assert.same({ phone = "1" }, (source()))
      assert.same({ 8 }, { source:progress() })
      assert.is_nil((source()))
      pipe:close()
    end)

    it("closes the file that it opened, at its end and on a bad header", function()
      local opened = {}
      local genuine = io.open
      finally(function()
        io.open = genuine -- luacheck: ignore 122
      end)
      local good, bad = temporary "phone\n1\n", temporary "fone\n"
      io.open = function(...) -- luacheck: ignore 122
        local file, message = genuine(...)
        opened[#opened + 1] = file
        return file, message
      end
      for _ in assert(csv.open(good)) do
        assert.equal("file", io.type(opened[1]))
      end
      assert.is_nil((csv.open(bad)))
      local source = assert(csv.open(good))
      source:close()
      source:close()
      for i = 1, 3 do
        assert.equal("closed file", io.type(opened[i]))
      end
      -- Closed early is not the end of the contacts.
      assert.equal("source", thrown_by(source).kind)
    end)

    it("needs no more memory for a long file than for a short one", function()
      local blocks = rounds(20000)
      local left = blocks
      local source = assert(csv.open {
        read = function()
          left = left - 1
          return left == blocks - 1 and "phone,first,tags\n" or left > 0 and ('123,"a",1;2\n'):rep(20) or nil
        end,
      })
      local count, total, early = 0, (blocks - 2) * 20, nil
      for _ in source do
        count = count + 1
        if count == 1000 or count == total - 1000 then
          collectgarbage()
          collectgarbage()
          local used = collectgarbage "count"
          early = early or used
          assert.is_true(used < early + 256)
        end
      end
      assert.equal(total, count)
    end)
  end)

  describe("encode_row", function()
    it("quotes only what needs it", function()
      assert.equal(
        'a, b ,"c,d","e""f","g\nh","i\rj",\n',
        csv.encode_row { "a", " b ", "c,d", 'e"f', "g\nh", "i\rj", "" }
      )
      assert.equal('""\n', csv.encode_row { "" })
    end)

    it("quotes a byte-order mark that is part of the first name", function()
      local mark = "\239\187\191"
      local source = assert(open(csv.encode_row { mark .. "x", "phone" }, { ignore = { mark .. "x" } }))
      assert.same({ "x", "phone" }, source.columns)
      -- A mark before the header is dropped once; the one of the name is trimmed.
      local quoted = csv.encode_row { mark .. "x" }
      assert.equal('"' .. mark .. 'x"\n', quoted)
    end)

    it("raises on what is no string", function()
      assert.error_matches(function()
        csv.encode_row "x"
      end, "cells must be")
      assert.error_matches(function()
        csv.encode_row { "x", 5 }
      end, "cells%[2%] must be")
    end)
  end)

  describe("beside Python's csv", function()
    local witness = debug.getinfo(1, "S").source:match "^@(.*)csv_spec%.lua$" .. "support/csv_witness.py"

    local function run(...)
      local command = "python3 '" .. witness .. "' " .. table.concat({ ... }, " ") .. " && echo done"
      local pipe = assert(io.popen(command))
      local output = pipe:read "*a"
      pipe:close()
      local result, finished = output:match "^(.*)done\n$"
      assert.is_truthy(result, finished)
      return result
    end

    -- The rows, and their cells without the blanks at their ends.
    local function rows_of(text)
      local rows, trims = {}, {}
      for line in text:gmatch "([^\n]*)\n" do
        if line == "!" then
          rows[#rows + 1] = "!"
        else
          local cells = {}
          local trimmed = {}
          for hex, short in line:gmatch "(%x*)/(%x*)," do
            cells[#cells + 1] = input.bytes_of(hex)
            trimmed[#trimmed + 1] = input.bytes_of(short)
          end
          rows[#rows + 1], trims[#rows + 1] = cells, trimmed
        end
      end
      return rows, trims
    end

    local function slurp(path)
      local file = assert(io.open(path, "rb"))
      local content = file:read "*a"
      file:close()
      return content
    end

    it("reads the same cells in the same rows", function()
      local folder = os.tmpname()
      os.remove(folder)
      assert(os.execute("mkdir '" .. folder .. "'"))
      finally(function()
        os.execute("rm -r '" .. folder .. "'")
      end)
      local count = rounds(600)
      run("generate 20240416", count, "'" .. folder .. "'")
      local compared, refused = 0, 0
      for number = 1, count do
        local content = slurp(folder .. "/" .. number .. ".csv")
        local expected, trims = rows_of(slurp(folder .. "/" .. number .. ".rows"))
        local width = #expected[1]
        for _, size in ipairs { 1, 2, 3, 5, 7, 65536 } do
          -- Whether lines in a cell look like rows is no question of grammar.
          local source = assert(open(content, { chunk_size = size, allow_multiline_rows = true }))
          for row = 2, #expected do
            local wanted = expected[row]
            if wanted == "!" then
              -- What Python refuses is no contact here either; after it there is nothing to compare with.
              local got, position = source()
              assert.is_true(failure.is(got))
              assert.equal(row, position)
              refused = refused + 1
            elseif #wanted > 0 then
              local got, position, cells = source()
              assert.equal(row, position)
              assert.same(wanted, cells)
              if not failure.is(got) then
                assert.equal(width, #cells)
                local trimmed = trims[row]
                assert.equal(trimmed[1] ~= "" and trimmed[1] or nil, got.phone)
                for i = 2, width do
                  local cell = got.custom and got.custom[tostring(i - 1)]
                  assert.equal(trimmed[i] ~= "" and trimmed[i] or nil, cell)
                end
              else
                -- More than Python, we refuse ragged rows and quotes in unquoted cells.
                assert.is_true(#cells ~= width or table.concat(cells):find('"', 1, true) ~= nil)
              end
              compared = compared + 1
            end
          end
          if expected[#expected] ~= "!" then
            assert.is_nil((source()))
          end
        end
      end
      assert.is_true(compared > count * 8 and refused > count / 6)
    end)

    it("writes what Python and we read back", function()
      local alphabet = { "a", ",", '"', "\n", "\r", " ", ";", "\239\187\191", "é", "\255", "'", "_" }
      local state = 7
      local function random(limit)
        state = (state * 16807) % 2147483647
        return state % limit + 1
      end
      local written, lines = {}, {}
      for row = 1, 500 do
        local cells = {}
        for i = 1, row == 1 and 3 or random(5) do
          local parts = {}
          for k = 1, random(7) - 1 do
            parts[k] = alphabet[random(#alphabet)]
          end
          cells[i] = table.concat(parts)
        end
        written[row], lines[row] = cells, csv.encode_row(cells)
      end
      local path = temporary(table.concat(lines))
      assert.same(written, (rows_of(run("read", "'" .. path .. "'"))))
      local source = assert(open("phone,first,last\n" .. table.concat(lines)))
      for row = 1, #written do
        local _, position, cells = source()
        assert.equal(row + 1, position)
        assert.same(written[row], cells)
      end
      assert.is_nil((source()))
    end)
  end)
end)
