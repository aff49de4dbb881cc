--- Rows of CSV on their way to entries: ordinary ones in C, all others in Lua. The reader of version 0.2 is the oracle:
--- the same bodies, phones, messages, positions, contacts and cells.
local csv = require "heymarket.csv"
local fake = require "spec.support.fake"
local oracle = require "spec.support.csv_oracle.init"
local rounds = require "spec.support.rounds"
local rows = require "heymarket.rows"

local HEADER = {
  "phone",
  "First Name",
  "custom.123456789",
  "email",
  "tags",
  "Opt Out",
  "_row",
  "custom.7",
  "avatar",
  "assignee_id",
  "last",
  "email_suppressions",
  "custom.12",
}

-- Cells that are ordinary, nearly ordinary, or wrong.
local PHONES = {
  "12025550001",
  "+1 (202) 555-0002",
  "0049 30 123456",
  "030 1234567",
  "5550003",
  "1202555",
  "+1 202 555 0004 ext 5",
  "12025550001.0",
  "1.2E+10",
  "",
  " ",
  "+",
  "12025550001 / 12025550002",
  "\194\16012025550005",
  "2024-11-05",
  "+4930123456",
  "00",
  "(0)30 1234",
  "１２０２５５５０００１",
  "12025550001\226\128\139",
  '"12025550001"',
  '+1 "202" 5550002',
}
local TEXTS = {
  "",
  " ",
  "Ann",
  " Ann ",
  "Zoë",
  "René",
  "\194\160Ann\194\160",
  "\226\128\139",
  "Ann\226\128\139",
  "日本",
  "a\255b",
  "\255",
  "a\tb",
  "\tx\t",
  'say "hi"',
  '"',
  '""',
  ' "Ann" ',
  '"Ann" "Bo"',
  '" "',
  "O'Brien",
  "Smith, John",
  "back\\slash",
  "a\127b",
  "\194\133x",
  "x\194\133",
  "line\nbreak",
  "x\n1,2,3,4,5,6,7,8,9,10,11,12,13",
  "line\r\nbreak",
  "cr\rcr",
  "\226\128\174rtl",
  "\240\159\152\128",
  "\237\160\128",
  "😀 ",
  "\0",
  "=1+1",
  "\227\128\128wide\227\128\128",
  "é\194",
  "\194\194\160",
}
local EMAILS = {
  "a@b.c",
  "",
  " a@b.c ",
  "a@b",
  "@b.c",
  "a@b.c.",
  "a@@b.c",
  "a b@c.d",
  "a@b.c;d@e.f",
  "ä@b.de",
  "a@.b.c",
  "a@b..c",
  "<a@b.c>",
  "a\194\160@b.c",
  "A.B+c@example.com",
  '"a"@b.c',
  'a"@b.c',
}
local URLS = {
  "https://example.com/a.png",
  "",
  "http://a",
  "http://",
  "https://",
  "HTTP://x.y",
  "ftp://x.y",
  "https:///x",
  "http://x y",
  " https://x.y ",
  "https://é.de/ü",
  "httpsx://a",
  "https://a?b#c",
  "http:/a",
  "https",
  "http",
  "https://?",
  "https://a",
  "http://#",
  'https://a/"b"',
  '"https://a"',
}
local INTEGERS = {
  "",
  "1",
  "-1",
  "0",
  "-0",
  "007",
  "1;2;3",
  "1; 2 ;3",
  "1;1",
  "1;;2",
  ";",
  "1;2;3;4;5",
  "1;2;3;4;5;6",
  "x",
  "1.0",
  "999999999999999",
  "1000000000000000",
  "9007199254740993",
  "9223372036854775808",
  "-5",
  "+5",
  "1e3",
  " 7 ",
  "0x10",
  "1;x",
  "\194\1608",
  "12;-3",
  "-",
  "- 1",
  '"1"',
  '1;"2"',
}
local BOOLEANS =
  { "", "yes", "no", "YES", "No", " y ", "n", "true", "False", "t", "F", "1", "0", "ja", "2", "tru", "o", '"yes"' }
local CHOICES = {
  phone = PHONES,
  ["First Name"] = TEXTS,
  last = TEXTS,
  _row = TEXTS,
  email = EMAILS,
  avatar = URLS,
  tags = INTEGERS,
  assignee_id = INTEGERS,
  email_suppressions = INTEGERS,
  ["Opt Out"] = BOOLEANS,
}
local GOOD = {
  phone = { "12025550001", "+44 20 7946 0958", "4930123456789" },
  email = { "", "a@b.c" },
  avatar = { "", "https://example.com/a.png" },
  tags = { "", "1;2" },
  assignee_id = { "", "-1", "12" },
  email_suppressions = { "", "3" },
  ["Opt Out"] = { "", "yes", "no" },
}
local GOOD_TEXTS = { "", "Ann", "René", "Smith & Co", " x ", 'Ann "Red" Lee' }

local function pick(random, list)
  return list[math.floor(random() * #list) + 1]
end

-- A cell as a file may hold it: in quotes where it must be, and sometimes where it need not.
local function written(random, cell)
  local chance = random()
  if cell:find '[",\r\n]' and chance < 0.95 or chance < 0.2 then
    return '"' .. cell:gsub('"', '""') .. '"'
  end
  return cell
end

local function row_of(random, oddness)
  local cells = {}
  for i, name in ipairs(HEADER) do
    local is_odd = random() < oddness
    local list = is_odd and (CHOICES[name] or TEXTS) or GOOD[name] or GOOD_TEXTS
    cells[i] = written(random, pick(random, list))
  end
  if random() < 0.01 then
    cells[#cells] = nil
  elseif random() < 0.01 then
    cells[#cells + 1] = "more"
  end
  return table.concat(cells, ",")
end

local function file_of(random, count, line_end, oddness)
  local lines = { table.concat(HEADER, ",") }
  for i = 1, count do
    lines[i + 1] = random() < 0.01 and "" or row_of(random, oddness)
  end
  return table.concat(lines, line_end) .. (random() < 0.5 and line_end or "")
end

-- A handle that gives so many bytes at a time.
local function handle_of(content, size)
  local at = 1
  return {
    read = function()
      local chunk = content:sub(at, at + size - 1)
      at = at + size
      return chunk ~= "" and chunk or nil
    end,
  }
end

local function words_of(problem)
  local words = {}
  for i, issue in ipairs(problem and problem.issues or {}) do
    -- Version 0.2 did not say what the bytes look like; spec/encodings_spec.lua is about that.
    local message = issue.message:gsub(", or name its encoding with encoding: it looks like [%w-]+", "")
    words[i] = ("%s %s %s"):format(tostring(issue.index), tostring(issue.field), message)
  end
  return table.concat(words, "\n")
end

-- What is true of an entry and of its item, as text.
local function shown(entry, item)
  local parts = { entry.index, entry.position, entry.phone or "-", entry.body or "-", words_of(entry.problem) }
  parts[#parts + 1] = table.concat(item.row, "\1")
  parts[#parts + 1] = item.contact and tostring(item.contact.phone) .. tostring(item.contact.first) or "-"
  return table.concat(parts, "\n")
end

local function read_ours(content, size, n, country, allow_opt_in)
  local source = assert(csv.open(handle_of(content, size), { allow_opt_in = allow_opt_in }))
  local all, items = {}, {}
  local entries = source:take(n, country, 0)
  while entries[1] do
    local described = {}
    for i, entry in ipairs(entries) do
      all[#all + 1] = entry
      described[i] = {}
      items[#items + 1] = described[i]
    end
    source:describe(entries, described)
    entries = source:take(n, country, #all)
  end
  return all, items, source:opt_ins_left_out()
end

local function compare(content, size, n, country, allow_opt_in)
  local ours, our_items, our_count = read_ours(content, size, n, country, allow_opt_in)
  local theirs, their_items, their_count = oracle.read(handle_of(content, 65536), country, allow_opt_in)
  assert.equal(#theirs, #ours)
  for i, entry in ipairs(theirs) do
    local expected = shown(entry, their_items[i])
    if shown(ours[i], our_items[i]) ~= expected then -- assert.equal would build both texts once more for each row
      assert.equal(expected, shown(ours[i], our_items[i]))
    end
  end
  assert.equal(their_count, our_count)
  return #ours
end

describe("rows of CSV", function()
  local random

  before_each(function()
    random = fake.random(20261125)
  end)

  it("give the same entries as the reader of version 0.2, for 20,000 random rows", function()
    local count = 0
    while count < rounds(20000) do
      local country = pick(random, { "1", "49", false, "nil" })
      local content = file_of(random, 400, pick(random, { "\n", "\r\n", "\r" }), pick(random, { 0, 0.02, 0.1, 0.5 }))
      count = count
        + compare(
          content,
          pick(random, { 100, 4096, 65536 }),
          pick(random, { 1, 7, 100 }),
          country ~= "nil" and country or nil,
          random() < 0.5
        )
    end
  end)

  it("are the same wherever the chunks end", function()
    for _, line_end in ipairs { "\n", "\r\n", "\r" } do
      local content = file_of(random, 12, line_end, 0.1)
      for size = 1, rounds(#content), 3 do
        compare(content, size, 5, "1", false)
      end
    end
  end)
end)

describe("rows.csv_rows", function()
  local function reader_of(columns, width)
    return rows.csv_rows(columns, width or 1, 100, ",", "lf")
  end
  local PHONE = { column = 1, kind = "phone", prefix = ',"phone":' }

  it("takes ordinary rows up to one that is odd or cut", function()
    local lot = rows.lot(5, 7)
    local buffer = "12025550001\n12025550002\nx\n1202"
    local reader = reader_of { PHONE }
    assert.same({ 2, 25, 0, false, false }, { reader:take(buffer, 1, 9, 1000, nil, lot) })
    assert.same({
      { index = 5, position = 7, origin = "12025550001\n", phone = "12025550001", body = '{"phone":"12025550001"}' },
      { index = 6, position = 8, origin = "12025550002\n", phone = "12025550002", body = '{"phone":"12025550002"}' },
    }, lot:entries())
    assert.same({ 0, 27, 0, true, false }, { reader:take(buffer, 27, 9, 1000, nil, lot) })
    assert.same({ 1, 13, 0, false, false }, { reader:take(buffer, 1, 1, 1000, nil, rows.lot(1, 1)) })
  end)

  it("takes the first column of a field that is not blank", function()
    local function op(column, kind, is_alternative)
      return { column = column, kind = kind, prefix = (',"%s":'):format(kind), is_alternative = is_alternative }
    end
    local reader = reader_of({ op(1, "phone"), op(3, "phone", true), op(2, "phone", true), op(4, "text") }, 4)
    for row, body in pairs {
      ["12025550001,12025550002,12025550003,A"] = '{"phone":"12025550001","text":"A"}',
      ['" ",12025550002,+1 202 5550003,'] = '{"phone":"12025550003"}',
      [',12025550002,"",""""'] = '{"phone":"12025550002","text":"\\""}',
      ["12025550001,x,y,A"] = '{"phone":"12025550001","text":"A"}',
      [",x,12025550003,A"] = '{"phone":"12025550003","text":"A"}',
      ["x,12025550002,12025550003,A"] = false,
      [",,,A"] = false,
    } do
      local lot = rows.lot(1, 1)
      local taken = reader:take(row .. "\n", 1, 1, 1000, nil, lot)
      assert.equal(body and 1 or 0, taken, row)
      assert.equal(body or nil, taken == 1 and lot:entries()[1].body or nil)
    end
  end)

  it("takes a row with doubled quotes, and keeps its bytes", function()
    local columns = {}
    for i, kind in ipairs { "phone", "text", "email", "url" } do
      columns[i] = { column = i, kind = kind, prefix = (',"%s":'):format(kind) }
    end
    local reader = reader_of(columns, #columns)
    local row = '"+1 (202) 5550001"," ""A"" ""b"" ",a@b.c,"https://a/""b"""\n'
    local lot = rows.lot(1, 2)
    assert.same({ 1, #row + 1, 0, false, false }, { reader:take(row, 1, 1, 1000, nil, lot) })
    local entry = lot:entries()[1]
    assert.equal(row, entry.origin)
    assert.equal([[{"phone":"12025550001","text":"\"A\" \"b\"","email":"a@b.c","url":"https://a/\"b\""}]], entry.body)
  end)

  it("writes a row with doubled quotes that is longer than most", function()
    local row = '12025550001,"' .. ('é""'):rep(9000) .. '"\n'
    local lot = rows.lot(1, 1)
    local reader = rows.csv_rows({ PHONE, { column = 2, kind = "text", prefix = ',"first":' } }, 2, 100000, ",", "lf")
    assert.equal(1, (reader:take(row, 1, 9, 1000000, nil, lot)))
    assert.equal('[{"phone":"12025550001","first":"' .. ('é\\"'):rep(9000) .. '"}]', lot:body())
  end)

  it("writes rows that are longer and longer, in a file of more columns than most", function()
    local columns, width = { PHONE, { column = 2, kind = "text", prefix = ',"first":' } }, 100
    local reader = rows.csv_rows(columns, width, 100000, ",", "lf")
    local content, bodies = {}, {}
    for i = 1, 6 do
      content[i] = ('1202555000%d,"%s"%s\n'):format(i, ('aé""'):rep(1000 * i), (","):rep(width - 2))
      bodies[i] = ('{"phone":"1202555000%d","first":"%s"}'):format(i, ('aé\\"'):rep(1000 * i))
    end
    reader:take("12025550000" .. (","):rep(width - 1) .. "\n", 1, 9, 1e6, nil, rows.lot(1, 1))
    content = table.concat(content)
    local lot, next_row = rows.lot(1, 1), 1
    repeat
      local taken
      taken, next_row = reader:take(content, next_row, 9, 1e6, nil, lot)
      collectgarbage()
    until taken == 0
    assert.equal("[" .. table.concat(bodies, ",") .. "]", lot:body())
  end)

  it("writes a row that needs more room than most", function()
    local long = ("é"):rep(20000)
    local lot = rows.lot(1, 1)
    local reader = rows.csv_rows({ PHONE, { column = 2, kind = "text", prefix = ',"first":' } }, 2, 100000, ",", "lf")
    assert.equal(1, (reader:take("12025550001," .. long .. "\n", 1, 9, 100000, nil, lot)))
    assert.equal('[{"phone":"12025550001","first":"' .. long .. '"}]', lot:body())
  end)

  it("raises on arguments that cannot be", function()
    for _, wrong in ipairs {
      {},
      { { column = 2, kind = "phone", prefix = "x" } },
      { { column = 0, kind = "phone", prefix = "x" } },
      { { column = 1, kind = "nothing", prefix = "x" } },
      { { column = 1, kind = "phone" } },
      { { column = 1, kind = "phone", prefix = "" } },
      { PHONE, PHONE },
    } do
      assert.is_false(pcall(reader_of, wrong))
    end
    assert.is_false(pcall(rows.csv_rows, { PHONE }, 1, 100, ";;", "lf"))
    assert.is_false(pcall(rows.csv_rows, { PHONE }, 1, 100, ",", "crlf"))
    local reader = reader_of { PHONE }
    assert.is_false(pcall(reader.take, reader, "x", 3, 1, 1000, nil, rows.lot(1, 1)))
    assert.is_false(pcall(reader.take, reader, "x", 1, 1, 1000, nil, {}))
  end)
end)
