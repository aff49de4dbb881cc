--- JSON Lines as a source of contacts. Python's json module is the witness.
local cjson = require("cjson").new()
local contact = require "heymarket.contact"
local csv = require "heymarket.csv"
local failure = require "heymarket.failure"
local failures_lines = require "heymarket.cli.failures_lines"
local input = require "spec.support.input"
local process = require "spec.support.process"
local rounds = require "spec.support.rounds"

local MARK = "\239\187\191"

local function open(content, options)
  local given = { format = "jsonl" }
  for name, value in pairs(options or {}) do
    given[name] = value
  end
  return csv.open(input.handle_of(content), given)
end

-- All lines as {contact or failure, position, line}.
local function all(content, options)
  local list = {}
  for found, position, line in assert(open(content, options)) do
    list[#list + 1] = { found, position, line }
  end
  return list
end

-- The only contact, or its only issue.
local function one(line, options)
  local found = all(line .. "\n", options)[1][1]
  return found
end

local function code_of(line, options)
  local found = one(line, options)
  assert.is_true(failure.is(found), line)
  return found.issues[1].code, found.issues[1]
end

describe("JSON Lines", function()
  it("give the contacts that Python reads", function()
    local count = rounds(5000)
    local lines, said = {}, {}
    for i, line in ipairs(process.python("jsonl_witness.py", "20261125 " .. count)) do
      local hex, answer = line:match "^(%x+) (%S+)$"
      lines[i], said[i] = input.bytes_of(hex), answer
    end
    assert.equal(count, #lines)
    local content, contacts = table.concat(lines, "\n"), 0
    for _, size in ipairs { 65536, 1000, 61 } do
      local records = all(content, { chunk_size = size })
      assert.equal(count, #records)
      for i, record in ipairs(records) do
        local found, is_contact = record[1], not failure.is(record[1])
        assert.equal(i, record[2])
        assert.equal(lines[i], record[3])
        if said[i] == "!" then
          assert.is_false(is_contact, lines[i])
        elseif said[i] ~= "?" then
          assert.is_true(is_contact, lines[i])
          assert.same(cjson.decode(input.bytes_of(said[i])), found, lines[i])
          contacts = contacts + 1
        end
      end
    end
    assert.is_true(contacts > count)
  end)

  it("give entries with the bodies of these contacts", function()
    local lines = {}
    for i, line in ipairs(process.python("jsonl_witness.py", "7 " .. rounds(2500))) do
      lines[i] = input.bytes_of(line:match "^%x+") .. (i % 9 == 0 and "\n \t" or "") .. (i % 5 == 0 and "\r" or "")
    end
    local content = table.concat(lines, "\n")
    local records = all(content)
    for _, size in ipairs { 65536, 700, 64 } do
      local source, index = assert(open(content, { chunk_size = size })), 0
      local entries = source:take(50, "1", index)
      while entries[1] do
        local items = {}
        for i in ipairs(entries) do
          items[i] = {}
        end
        source:describe(entries, items)
        for i, entry in ipairs(entries) do
          index = index + 1
          local found, position, line = records[index][1], records[index][2], records[index][3]
          assert.equal(index, entry.index)
          assert.equal(position, entry.position)
          assert.equal(line, items[i].row)
          if failure.is(found) then
            assert.equal(tostring(found), tostring(entry.problem))
            assert.is_nil(items[i].contact)
          else
            local issues = {}
            local body, phone = contact.encode(found, index, "1", issues)
            assert.equal(body, entry.body)
            assert.equal(phone, entry.phone)
            assert.equal(
              not body and tostring(failure.invalid(issues)),
              entry.problem and tostring(entry.problem) or false
            )
            assert.same(found, items[i].contact)
          end
        end
        entries = source:take(50, "1", index)
      end
      assert.equal(#records, index)
      assert.equal(#content, (source:progress()))
    end
  end)

  it("are the same wherever the chunks end", function()
    local content = MARK
      .. '{"phone":"12025550001","first":"Zoë"}\r\n\n \t\r\n{"phone":1}\n[1]\n'
      .. ("x"):rep(70)
      .. '\n{"phone":"'
      .. ("y"):rep(40)
      .. '"}\n{"custom":{"1":"é'
    local expected
    for size = 1, #content do
      local shown = {}
      for i, record in ipairs(all(content, { chunk_size = size, max_record = 60 })) do
        local found = record[1]
        shown[i] = table.concat({
          failure.is(found) and tostring(found) or tostring(found.phone) .. tostring(found.first),
          record[2],
          record[3],
        }, "\1")
      end
      expected = expected or shown
      assert.same(expected, shown)
    end
    assert.equal(6, #expected)
    assert.truthy(expected[4]:find("longer than 60 bytes\1" .. "6\1" .. ("x"):rep(60), 1, true))
    assert.equal("12025550001Zoë\1" .. '1\1{"phone":"12025550001","first":"Zoë"}', expected[1])
  end)

  it("are found by the ending of the name, or named", function()
    for name, is_lines in pairs { ["a.jsonl"] = true, ["b.NDJSON"] = true, ["c.json"] = false, ["jsonl"] = false } do
      local path = os.tmpname() .. name
      process.write_file(path, '{"phone":"1"}\n')
      local source, problem = csv.open(path)
      assert.equal(is_lines, source ~= nil)
      assert.equal(is_lines and "jsonl" or nil, source and source.format)
      assert.equal(not is_lines, problem ~= nil)
      assert.equal("jsonl", assert(csv.open(path, { format = "jsonl" })).format)
      process.write_file(path, "phone\n1\n")
      assert.equal("csv", assert(csv.open(path, { format = "csv" })).format)
      os.remove(path)
    end
    local _, problem = csv.open(input.handle_of "", { format = "json" })
    assert.equal("option_one_of", problem.issues[1].code)
  end)

  it("leave out null, blank text, and what begins with _", function()
    assert.same({ phone = "1" }, one '{"phone":" 1 ","first":null,"last":"  ","custom":{"5":"","6":null},"_a":[null]}')
    assert.same({ custom = {}, tags = {} }, one '{"custom":{},"tags":[]}')
    assert.same({}, one "{}")
    assert.same({ phone = "1" }, one('{"phone":"1","x":2,"y":3}', { ignore = { "x", "y" } }))
    assert.same({ phone = "1" }, one('{"phone":"1","x":2,"y":[null]}', { ignore = { "*" } }))
  end)

  it("take a string of digits for an id", function()
    assert.same(
      { assignee_id = -1, tags = { 5, 6, { tag_id = 7 } }, email_suppressions = { 8 }, custom = { ["9"] = "10" } },
      one '{"assignee_id":"-1","tags":["5",6,{"tag_id":"7"}],"email_suppressions":["8"],"custom":{"9":"10"}}'
    )
  end)

  it("leave out a false is_opted_out, and count it", function()
    local content = '{"phone":"1","is_opted_out":false}\n{"phone":"2","is_opted_out":true}\n'
    local source = assert(open(content))
    assert.same({ phone = "1" }, source())
    assert.same({ phone = "2", is_opted_out = true }, source())
    assert.equal(1, source:opt_ins_left_out())
    source = assert(open(content, { allow_opt_in = true }))
    assert.same({ phone = "1", is_opted_out = false }, source())
    assert.equal(0, source:opt_ins_left_out())
  end)

  it("never round a number", function()
    local issues = {}
    for _, digits in ipairs { "9007199254740993", "12345678901234567890", "1e400", "-18446744073709551617" } do
      local found = one(('{"phone":"12025550001","custom":{"5":%s}}'):format(digits))
      local body = contact.encode(found, 1, nil, issues)
      if body then -- a Lua with integers of 64 bits
        assert.equal(('{"phone":"12025550001","custom":{"5":%s}}'):format(digits), body)
      end
    end
    assert.equal(rawget(math, "type") and 3 or 4, #issues)
    assert.equal('{"phone":"12025550001"}', (contact.encode(one '{"phone":12025550001.0}', 1, nil, issues)))
  end)

  it("say what is wrong with a line", function()
    assert.equal("jsonl_not_object", (code_of "[1]"))
    assert.equal("jsonl_not_object", (code_of '"x"'))
    assert.equal("jsonl_not_object", (code_of "5"))
    assert.equal("jsonl_not_object", (code_of "null"))
    for _, line in ipairs {
      "{",
      "{'phone':1}",
      '{"phone":NaN}',
      '{"phone":1,}',
      '{"a":1}{"a":2}',
      '{"a":"\255"}',
      '{"a":"\237\160\128"}',
      '{"a":1,"a":2}',
      '{"a":1,"\\u0061":2}',
      '{"a":' .. ("["):rep(100) .. ("]"):rep(100) .. "}",
      "\v",
      "\0",
    } do
      local code, issue = code_of(line)
      assert.equal("jsonl_not_json", code, line)
      assert.truthy(issue.message:find "byte %d", line)
    end
    local code, issue = code_of '{"tags":[1,null],"custom":[null]}'
    assert.equal("jsonl_null_item", code)
    assert.equal("custom", issue.field)
    code, issue = code_of("x", { max_record = 1 })
    assert.equal("jsonl_line_too_long", code)
    assert.equal(1, issue.values.limit)
    assert.equal("jsonl_not_json", (code_of("x", { max_record = 2 })))
  end)

  it("have no columns: options for these are refused", function()
    for name, value in pairs { delimiter = ",", map = { a = "phone" }, allow_multiline_rows = true } do
      local source, problem = open("{}\n", { [name] = value })
      assert.is_nil(source)
      assert.equal("jsonl_without_option", problem.issues[1].code)
    end
    assert.same({}, assert(open("{}\n", { map = {} })).columns)
  end)

  it("need no more memory for a line without end", function()
    local asked = 0
    local source = assert(csv.open({
      read = function(_, size)
        asked = asked + 1
        return asked < 400 and ("y"):rep(size) or asked == 400 and "\n{}" or nil
      end,
    }, { format = "jsonl", max_record = 100000 }))
    local found, position, line = source()
    assert.equal("jsonl_line_too_long", found.issues[1].code)
    assert.equal(100000, #line)
    assert.equal(1, position)
    collectgarbage()
    collectgarbage()
    assert.is_true(collectgarbage "count" < 20000)
    assert.same({}, (source()))
    assert.is_nil((source()))
  end)
end)

describe("a line of the failures file of JSON Lines", function()
  local OWN = { "7", "invalid", "phone", 'has "3" digits' }
  local ENDING = '"_row":7,"_outcome":"invalid","_field":"phone","_message":"has \\"3\\" digits"}\n'

  it("has the members as they were written, and why behind them", function()
    for line, written in pairs {
      ['{"phone":12}'] = '{"phone":12,',
      ["{}"] = "{",
      [" { } "] = "{",
      ['{"a":1e400 , "b":[1,{"c":"},\\"]"}],"d\\\\":"\\\\"}'] = '{"a":1e400 , "b":[1,{"c":"},\\"]"}],"d\\\\":"\\\\",',
      ['{"_row":1,"_outcome":"x","a":null,"_field":"","\\u005fmessage":"","_z":0}'] = '{"a":null,"_z":0,',
      ['{"_line":"y"}'] = '{"_line":"y",',
      ['{"_row":{"_x":[1,2]},"a":{"_row":1}}'] = '{"a":{"_row":1},',
    } do
      local made = failures_lines.encode(line, OWN)
      assert.equal(written .. ENDING, made)
      assert.is_true(failures_lines.is_start(made))
      assert.is_true(failures_lines.is_start(MARK .. made .. made))
      assert.is_false(failure.is(one(made)))
    end
  end)

  it("has the raw text where it is no object", function()
    for line, shown in pairs {
      ["[1]"] = "[1]",
      ['{"a":1,"a":2}'] = '{"a":1,"a":2}',
      ["\0x\1"] = "\0x\1",
      ["é\255é\240\159\152\128\128"] = "é\239\191\189é\239\191\189",
    } do
      local made = failures_lines.encode(line, OWN)
      local value = cjson.decode(made)
      assert.equal(shown, value._line)
      assert.equal(7, value._row)
      assert.same({}, one(made))
    end
  end)

  it("is told from lines of others", function()
    for _, start in ipairs { "", "\n", '{"phone":1}\n', '{"_row":1,"_outcome":"x","_field":"y"}', "[]", "phone" } do
      assert.is_false(failures_lines.is_start(start))
    end
  end)
end)
