--- CSV files as a source of contacts: `client:import(csv.open("contacts.csv"))`.
---
--- Nothing is read leniently where that could change a customer's data: what is not clearly one thing is a mistake of
--- its row, and the rows around it are still imported.
local failure = require "heymarket.failure"
local spelling = require "heymarket.util.spelling"
local text = require "heymarket.util.text"

local byte, find, gsub, lower, match, sub =
  string.byte, string.find, string.gsub, string.lower, string.match, string.sub
local integer_type = rawget(math, "type") -- Lua 5.3 and later

local csv = {}

local CHUNK_SIZE = 64 * 1024
local MAX_RECORD = 1024 * 1024
-- A pattern for exactly this many cells leaves them all on the Lua stack, which holds 8,000 values on Lua 5.1.
local MAX_FAST_COLUMNS = 200
-- Doubles hold every integer up to here, and only on Lua 5.3 and later is there another number type.
local MAX_EXACT = 2 ^ 53 - 1
local COMMA = byte ","
local UTF8_MARK = "\239\187\191"
local MAX_SHOWN = 40 -- bytes of a cell that a message repeats

---------------------------------------------------------------------------------------------------------------------
-- Values of cells

local trim = text.trim

-- As trim of a cell that is not empty, faster for the many cells whose ends are plain letters and digits.
local function trimmed(cell)
  local head, tail = byte(cell, 1), byte(cell, -1)
  if head > 32 and head < 127 and tail > 32 and tail < 127 then
    return cell
  end
  return trim(cell)
end

-- A cell may be a megabyte long and hold anything; a message is one short line.
local function shown(cell)
  local start, cut = text.value(cell, MAX_SHOWN)
  return '"' .. start .. (cut and "…" or "") .. '"'
end

-- An integer, or nothing: a number that this Lua would round is refused.
local function exact_integer(digits)
  if not find(digits, "^%-?%d+$") then
    return nil
  end
  local number = tonumber(digits)
  if integer_type then
    return integer_type(number) == "integer" and number or nil
  end
  if number > MAX_EXACT or number < -MAX_EXACT then
    return nil
  end
  return number + 0 -- turns "-0" into 0
end

local truth = {}
for word in ("yes y true t 1"):gmatch "%S+" do
  truth[word] = true
end
for word in ("no n false f 0"):gmatch "%S+" do
  truth[word] = false
end

-- Each reader gives a value (nil: the cell is blank), or nil and what is wrong.

local function read_boolean(cell)
  local value = truth[cell]
  if value == nil then
    local word = lower(trim(cell))
    value = truth[word]
    if value == nil and word ~= "" then
      return nil, "must be yes, y, true, t or 1, or no, n, false, f or 0, not " .. shown(cell)
    end
  end
  return value
end

local function read_integer(cell)
  local value = exact_integer(cell)
  if not value then
    local digits = trim(cell)
    value = exact_integer(digits)
    if not value and digits ~= "" then
      return nil, "must be a whole number that is not too large, not " .. shown(cell)
    end
  end
  return value
end

local function read_integers(cell)
  local value = exact_integer(cell)
  if value then
    return { value }
  end
  if trim(cell) == "" then
    return nil
  end
  local list, count, from = {}, 0, 1
  repeat
    local semicolon = find(cell, ";", from, true)
    local item = sub(cell, from, semicolon and semicolon - 1)
    value = exact_integer(item) or exact_integer(trim(item))
    if not value then
      return nil, "must be whole numbers separated by ;, not " .. shown(cell)
    end
    count = count + 1
    list[count] = value
    from = semicolon and semicolon + 1
  until not from
  return list
end

---------------------------------------------------------------------------------------------------------------------
-- Names of columns

-- false: text, handed on as it stands.
local readers = {
  phone = false,
  first = false,
  last = false,
  display_name = false,
  email = false,
  avatar = false,
  assignee_id = read_integer,
  tags = read_integers,
  is_opted_out = read_boolean,
  email_suppressions = read_integers,
}

local product_names = {
  ["first name"] = "first",
  ["last name"] = "last",
  ["phone number"] = "phone",
  ["opt out"] = "is_opted_out",
}

local column_names = {}
for name in pairs(readers) do
  column_names[#column_names + 1] = name
end
for name in pairs(product_names) do
  column_names[#column_names + 1] = name
end
table.sort(column_names)

local function field_of(name)
  local folded = lower(trim(name))
  if readers[folded] ~= nil or find(folded, "^custom%.[1-9]%d*$") then
    return folded
  end
  return product_names[folded]
end

local function is_custom(name)
  return find(lower(name), "^%s*custom") ~= nil
end

-- A question after the nearest known name, or nothing.
local function suggestion(name, names)
  if is_custom(name) then
    return "; did you mean custom.<id>, where <id> is the number of the field?"
  end
  return text.did_you_mean(name, names)
end

---------------------------------------------------------------------------------------------------------------------
-- Grammar

local grammar -- built when the first file is opened: LPeg is not needed by those who import no CSV

-- The scanner reads one cell at a time and says what is wrong with it. It must agree with `fast_row` on every good
-- row; a row that `fast_row` does not match is read again with it.
local function make_scanner(lpeg, eol)
  local P, S, C, Cc, Cp, Cs = lpeg.P, lpeg.S, lpeg.C, lpeg.Cc, lpeg.Cp, lpeg.Cs
  local quote = P '"'
  local stop = P "," + eol + -P(1)
  local unstopped = (1 - stop)
  local inside = (1 - quote) + P '""'
  local cell = Cc "good" * quote * Cs(((1 - quote) ^ 1 + P '""' / '"') ^ 0) * quote * #stop
    + Cc "stray" * C(quote * inside ^ 0 * quote * unstopped ^ 1)
    + Cc "unclosed" * C(quote * P(1) ^ 0)
    + Cc "good" * C((1 - S ',"\r\n') ^ 0) * #stop
    + Cc "bare" * C(unstopped ^ 0)
  return { cell = cell * Cp(), eol = eol * Cp() }
end

local function make_grammar(lpeg)
  local B, P, R, S, C, Cp, Cs = lpeg.B, lpeg.P, lpeg.R, lpeg.S, lpeg.C, lpeg.Cp, lpeg.Cs
  local ends = { lf = P "\r" ^ -1 * P "\n", cr = P "\r", any = P "\r" ^ -1 * P "\n" + P "\r" }
  local quote = P '"'
  -- Most quoted cells hold no doubled quote: they are one slice of the input.
  local quoted = quote * C((1 - quote) ^ 0) * quote * -quote + quote * Cs(((1 - quote) ^ 1 + P '""' / '"') ^ 0) * quote
  local cell = quoted + C((1 - S ',"\r\n') ^ 0)
  -- The same, but only for cells that `trim` would leave as they are. Most ends are told by their bytes alone.
  local lasts, unseen, leads = {}, P(false), ""
  for character in pairs(text.unseen) do
    local before = sub(character, 1, -2)
    lasts[before] = (lasts[before] or "") .. sub(character, -1)
  end
  for before, last in pairs(lasts) do
    unseen, leads = unseen + before * S(last), leads .. sub(before, 1, 1)
  end
  local lead, high = S(leads), R "\128\255"
  local function head_but(stops)
    return R "!\255" - lead - stops + #lead * (1 - unseen)
  end
  local tail = B(R "!\127") + B((1 - lead) * (1 - lead) * high) + B((1 - unseen) * (1 - unseen) * high)
  -- Most cells hold neither a blank nor a byte with which an unseen character could begin.
  local plain = C((R "!\255" - lead - S ',"') ^ 0) * #S ",\r\n"
    + quote * C(head_but(quote) * (1 - quote) ^ 0 * tail + P(true)) * quote * -quote
    + quote * #(head_but(quote) + P '""') * Cs(((1 - quote) ^ 1 + P '""' / '"') ^ 0) * tail * quote
    + C(head_but(S ',"') * (1 - S ',"\r\n') ^ 0 * tail + P(true))
  local made = { match = lpeg.match, scanners = {} }
  for name, eol in pairs(ends) do
    made.scanners[name] = make_scanner(lpeg, eol)
  end
  --- The pattern of one good row of exactly `width` cells: gives the cells and the position after the row. With
  --- `is_plain` it matches only where no cell has anything to trim.
  function made.fast_row(width, ending, is_plain)
    if width > MAX_FAST_COLUMNS then
      return P(false)
    end
    local one = is_plain and plain or cell
    local row = one
    for _ = 2, width do
      row = row * P "," * one
    end
    if width == 1 then
      row = -S "\r\n" * row -- a blank line is no row of one empty cell
    end
    return row * ends[ending] * Cp()
  end
  return made
end

local complaints = {
  stray = "has text after its closing quote: double each quote that is within a quoted cell",
  unclosed = "opens a quote that is never closed (it opens in row %d): all later rows, up to line %d of the file, were "
    .. "read as part of this cell",
  bare = "has a quote in an unquoted cell: put the whole cell in quotes and double the quote",
}

---------------------------------------------------------------------------------------------------------------------
-- The source

---@class heymarket.csv.Source
---@field columns string[] names of the columns as written in the header, trimmed
---@overload fun(): (table|heymarket.Failure|nil), integer?, string[]?
local Source = { __name = "heymarket.csv.Source" }
Source.__index = Source

-- A source that failed stays failed: asked again, it must not look as if it had come to its end.
local function fail(source, message)
  source:close()
  source.failed = failure.new("source", message)
  error(source.failed, 0)
end

-- Appends the next chunk to the unread rest.
local function fill(source)
  local rest = sub(source.buffer, source.next)
  source.dropped = source.dropped + source.next - 1
  source.next = 1
  -- A long record is read in growing steps, for it is scanned anew after each.
  local size = #rest > CHUNK_SIZE and #rest or source.chunk_size
  local chunk, message = source.handle:read(size)
  if chunk == nil and message ~= nil then
    fail(source, "cannot read " .. source.name .. ": " .. tostring(message))
  elseif chunk ~= nil and type(chunk) ~= "string" then
    fail(source, "cannot read " .. source.name .. ": its read gives a " .. type(chunk))
  end
  source.at_end = chunk == nil
  source.buffer = rest .. (chunk or "")
end

local function too_long(source, row)
  fail(
    source,
    ("row %d of %s is longer than %d bytes: most likely a quote in it is never closed"):format(
      row,
      source.name,
      source.max_record
    )
  )
end

local function count_breaks(cell, line_end)
  local count, at = 0, find(cell, line_end, 1, true)
  while at do
    count = count + 1
    at = find(cell, line_end, at + 1, true)
  end
  return count
end

-- What is wrong with a cell of bad grammar in this row, in words. It goes from the first of these lines of the file to
-- the last.
local function complaint(verdict, content, row, first, last)
  if verdict == "bare" and not find(content, '"', 1, true) then
    return "has a stray line break: put the whole cell in quotes"
  elseif verdict == "unclosed" then
    -- The line break at the end of the file begins no line.
    last = find(content, "[\r\n]$") and last - 1 or last
    return complaints.unclosed:format(row, last)
  elseif first < last then
    local more = " (the cell goes from line %d to line %d of the file, and may have swallowed the rows between)"
    return complaints[verdict] .. more:format(first, last)
  end
  return complaints[verdict]
end

-- Reads any record cell by cell. Gives the cells, the position of its line end, the position after it and the
-- mistakes; nothing where the buffer holds only the start of the record.
local function scan(source)
  local scanner, lpeg_match = grammar.scanners[source.ending], grammar.match
  local buffer, from = source.buffer, source.next
  local cells, count, issues = {}, 0, nil
  local line = source.row + 1 + source.inner_breaks
  while true do
    local verdict, content, past = lpeg_match(scanner.cell, buffer, from)
    count = count + 1
    cells[count] = content
    local first = line
    line = line + count_breaks(content, source.line_end)
    if verdict ~= "good" then
      issues = issues or {}
      issues[#issues + 1] = {
        field = source.columns[count] or "cell " .. count,
        message = complaint(verdict, content, source.row + 1, first, line),
      }
    end
    if byte(buffer, past) == COMMA then
      from = past + 1
    else
      local after = lpeg_match(scanner.eol, buffer, past)
      if not after and source.at_end then
        after = past
      end
      return after and cells, past, after, issues
    end
  end
end

-- Takes the next record by the scanner, reading on as needed. Gives its cells and mistakes, or nil at the end of the
-- input. `patient` waits for one byte after the record, to tell CR from CR LF.
local function take_scanned(source, patient)
  while true do
    local cells, past, after, issues
    if source.next > #source.buffer then
      if source.at_end then
        return nil
      end
    else
      cells, past, after, issues = scan(source)
    end
    local size = (cells and after or #source.buffer + 1) - source.next
    if size > source.max_record then
      too_long(source, source.row + 1)
    end
    if cells and not (patient and after > #source.buffer and not source.at_end) then
      local blank = past == source.next
      source.next = after
      source.row = source.row + 1
      return cells, issues, blank
    end
    fill(source)
    if not patient then
      return false -- the fast way first
    end
  end
end

local function add_issue(issues, field, message)
  issues = issues or {}
  issues[#issues + 1] = { field = field, message = message }
  return issues
end

-- Has a quoted cell swallowed rows? Then one of its lines holds as many delimiters as the header. Where the header has
-- none or one, as any line of text may have, it takes two such lines.
local function has_swallowed(cell, line_end, width)
  local found, from = 0, 1
  repeat
    local at = find(cell, line_end, from, true)
    local _, delimiters = gsub(sub(cell, from, at and at - 1), ",", "")
    if delimiters == width - 1 then
      found = found + 1
    end
    from = at and at + 1
  until not from
  return found >= (width <= 2 and 2 or 1)
end

-- Looks at the cells of a record of several lines, and counts these. Gives the issues.
local function check_lines(source, cells, issues)
  -- Of a cell with misplaced quotes it is said already how far it goes.
  local allowed = source.allow_multiline_rows or issues ~= nil
  local line = source.row + source.inner_breaks
  for i = 1, #cells do
    local cell = cells[i]
    local breaks = count_breaks(cell, source.line_end)
    line = line + breaks
    if breaks > 0 and not allowed and has_swallowed(cell, source.line_end, source.width) then
      local message = "goes on to line %d of the file, and most likely swallowed rows: mend its quotes, or allow it "
        .. "(--allow-multiline-rows; in Lua, the option allow_multiline_rows)"
      issues = add_issue(issues, source.columns[i] or "cell " .. i, message:format(line))
    end
  end
  source.inner_breaks = line - source.row
  return issues
end

-- Makes the contact of the cells, or the row error. In a plain row there is nothing to trim.
local function build(source, cells, issues, plain)
  -- All names at once: the table is made in its final size.
  local contact = {
    phone = nil,
    first = nil,
    last = nil,
    display_name = nil,
    email = nil,
    avatar = nil,
    assignee_id = nil,
    tags = nil,
    is_opted_out = nil,
    email_suppressions = nil,
    custom = nil,
  }
  local at, names = source.text_at, source.text_names
  for i = 1, #at do
    local cell = cells[at[i]]
    if not plain and cell ~= "" then
      cell = trimmed(cell)
    end
    if cell ~= "" then
      contact[names[i]] = cell
    end
  end
  at, names = source.typed_at, source.typed_names
  for i = 1, #at do
    local column = at[i]
    local cell = cells[column]
    if cell ~= "" then
      local name = names[i]
      local value, message = readers[name](cell)
      if message then
        issues = add_issue(issues, source.columns[column], message)
      elseif value == false and name == "is_opted_out" and not source.allow_opt_in then
        source.left_out = source.left_out + 1
        value = nil
      end
      contact[name] = value
    end
  end
  at, names = source.custom_at, source.custom_names
  local custom
  for i = 1, #at do
    local cell = cells[at[i]]
    if not plain and cell ~= "" then
      cell = trimmed(cell)
    end
    if cell ~= "" then
      custom = custom or {}
      custom[names[i]] = cell
    end
  end
  contact.custom = custom
  return issues and failure.invalid(issues) or contact
end

--- Gives the next record; the source is an iterator. Raises a failure of kind "source" where it cannot go on.
---@return table|heymarket.Failure|nil contact nil at the end of the input
---@return integer? position row in a spreadsheet: the header is row 1
---@return string[]? cells the record as it was written; the caller may keep it
function Source:__call()
  if self.failed then
    error(self.failed, 0)
  end
  local width, line_end, lpeg_match = self.width, self.line_end, grammar.match
  while true do
    local from = self.next
    local cells = { lpeg_match(self.plain, self.buffer, from) }
    local plain = cells[1] ~= nil
    if not plain then
      cells = { lpeg_match(self.fast, self.buffer, from) }
    end
    local after = cells[width + 1]
    local issues, blank
    if after then
      if after - from > self.max_record then
        too_long(self, self.row + 1)
      end
      cells[width + 1] = nil
      self.next = after
      self.row = self.row + 1
      if find(self.buffer, line_end, from, true) ~= after - 1 then
        issues = check_lines(self, cells)
      end
    else
      cells, issues, blank = take_scanned(self)
      if cells == nil then
        self:close()
        return nil
      elseif cells then
        issues = check_lines(self, cells, issues)
      end
    end
    if cells and not blank then
      local row = self.row
      self.last_row, self.last_cells = row, cells
      if not after and #cells ~= width then
        -- Which cell belongs to which column is not known, so that no cell is judged.
        local message = ("the row has %d cells where the header has %d"):format(#cells, width)
        return failure.invalid(add_issue(issues, nil, message)), row, cells
      end
      return build(self, cells, issues, plain), row, cells
    end
  end
end

--- Row of the last record given, as a spreadsheet counts: the header is row 1.
---@return integer
function Source:position()
  return self.last_row
end

--- How far the input has been read.
---@return integer consumed bytes up to the end of the last record given
---@return integer? total bytes; nil where that cannot be known, as with a pipe
function Source:progress()
  return self.dropped + self.next - 1, self.total
end

--- In how many rows so far `is_opted_out` was left out because it was false; see the option `allow_opt_in`.
---@return integer
function Source:opt_ins_left_out()
  return self.left_out
end

--- The cells of the last record given, exactly as written; nil before the first.
---@return string[]?
function Source:raw()
  return self.last_cells
end

--- Closes the file if `csv.open` opened it. Can be called twice.
function Source:close()
  local handle = self.owned
  self.owned = nil
  if handle then
    handle:close()
  end
  -- Closed in the middle is not the end of the input.
  local finished = self.at_end and self.next > #self.buffer
  if not finished and not self.failed then
    self.failed = failure.new("source", self.name .. " was closed before its end was read")
  end
end

Source.__gc = Source.close
Source.__close = Source.close

---------------------------------------------------------------------------------------------------------------------
-- Opening

local option_types = {
  allow_multiline_rows = "boolean",
  allow_opt_in = "boolean",
  chunk_size = "number",
  ignore = "table",
  map = "table",
  max_record = "number",
}
local option_names = {}
for name in pairs(option_types) do
  option_names[#option_names + 1] = name
end
table.sort(option_names)

-- Raises on wrong use of Lua; gives the issues of values that cannot be.
local function check_options(options)
  if options ~= nil and type(options) ~= "table" then
    error("options must be a table, not a " .. type(options), 3)
  end
  local issues = {}
  for name, value in pairs(options or {}) do
    local wanted = option_types[name]
    if not wanted then
      local hint = suggestion(tostring(name), option_names)
      issues[#issues + 1] = { field = tostring(name), message = "is not an option of csv.open" .. hint }
    elseif type(value) ~= wanted then
      error(("options.%s must be a %s, not a %s"):format(name, wanted, type(value)), 3)
    elseif wanted == "number" and not (value >= 1 and value < 2 ^ 31 and value % 1 == 0) then
      issues[#issues + 1] = { field = name, message = "must be a whole number of bytes from 1 to 2147483647" }
    end
  end
  for column, field in pairs(options and options.map or {}) do
    if type(column) ~= "string" or type(field) ~= "string" then
      error("options.map must have names of columns as keys and names of fields as values", 3)
    end
  end
  for _, column in pairs(options and options.ignore or {}) do
    if type(column) ~= "string" then
      error("options.ignore must be an array of names of columns", 3)
    end
  end
  -- pairs has no order; a report should.
  table.sort(issues, function(a, b)
    return a.field < b.field
  end)
  return issues
end

local function folded(name)
  return lower(trim(name))
end

-- The names of a list without what only differs by case, in order; and those that so come twice, each after the first.
local function fold_names(names)
  table.sort(names)
  local first, doubles = {}, {}
  for _, name in ipairs(names) do
    local key = folded(name)
    if first[key] then
      doubles[#doubles + 1] = { first[key], name }
    end
    first[key] = first[key] or name
  end
  return first, doubles
end

local function keys_of(map)
  local names = {}
  for name in pairs(map) do
    names[#names + 1] = name
  end
  return names
end

local function values_of(list)
  local names = {}
  for _, name in pairs(list) do
    names[#names + 1] = name
  end
  return names
end

-- A header that another delimiter holds together looks like one long unknown name.
local function delimiter_hint(columns)
  if #columns == 1 and find(columns[1], "[;\t]") then
    return ": the cells of the file must be separated by commas"
  end
end

-- Options that speak of columns: each must be there, and be spoken of once.
local function check_columns(source, given, said, complain)
  local present = {}
  for _, column in ipairs(source.columns) do
    present[folded(column)] = true
  end
  local first, doubles = fold_names(given)
  for _, pair in ipairs(said == "mapped" and doubles or {}) do
    complain(pair[2], ('is mapped twice: "%s" is the same column'):format(text.shown(pair[1])))
  end
  local absent = {}
  for key, column in pairs(first) do
    if not present[key] and not (said == "ignored" and column == "*") then
      absent[#absent + 1] = column
    end
  end
  table.sort(absent)
  for _, column in ipairs(absent) do
    local message = ("is %s, but the file has no such column"):format(said)
    complain(column, message .. text.did_you_mean(column, source.columns))
  end
end

-- Finds the field of each column and notes it in the source. Gives the issues, all at once.
local function read_header(source, options)
  local issues = {}
  local function complain(field, message)
    issues[#issues + 1] = { field = field, message = message }
  end
  local map, ignored = {}, {}
  for name, field in pairs(options.map or {}) do
    map[folded(name)] = field
  end
  for _, name in pairs(options.ignore or {}) do
    ignored[folded(name)] = true
  end
  local taken = {}
  for i, column in ipairs(source.columns) do
    local mapped = map[lower(column)]
    local field
    if ignored[lower(column)] then
      if mapped then
        complain(column, "is both mapped and ignored")
      end
    elseif sub(column, 1, 1) == "_" then
      if mapped then
        complain(column, "cannot be mapped: a column that begins with _ is always passed over")
      end
    elseif mapped then
      field = field_of(mapped)
      if not field then
        local hint = suggestion(mapped, column_names)
        complain(column, ("is mapped to %s, which is not a field%s"):format(shown(mapped), hint))
        taken[folded(mapped)] = column
      end
    elseif column == "" then
      if not ignored["*"] then
        complain("column " .. i, "has no name in the header")
      end
    else
      field = field_of(column)
      if not field and not ignored["*"] then
        local hint = delimiter_hint(source.columns)
        if hint then
          complain(column, "is not a known column" .. hint)
        else
          local nearest = is_custom(column) and "custom.<id>" or spelling.nearest(column, column_names)
          issues[#issues + 1] = { field = column, code = "csv_unknown_column", values = { nearest = nearest } }
        end
      end
    end
    if field and taken[field] then
      complain(column, ("is a second column for %s, after %s"):format(field, taken[field]))
    elseif field then
      taken[field] = column
      local kind = readers[field] and "typed" or "text"
      local id = match(field, "^custom%.(%d+)$")
      if id then
        kind = "custom"
      end
      local at, names = source[kind .. "_at"], source[kind .. "_names"]
      at[#at + 1], names[#names + 1] = i, id or field
    end
  end
  check_columns(source, keys_of(options.map or {}), "mapped", complain)
  check_columns(source, values_of(options.ignore or {}), "ignored", complain)
  if not taken.phone then
    complain("phone", "is missing: one column must be phone or Phone Number, or be mapped to phone")
  end
  return issues
end

-- Bytes from here to the end of the file, or nil where it cannot be known.
local function size_of(handle)
  local seekable, here = pcall(function()
    return handle:seek()
  end)
  if not seekable or not here then
    return nil
  end
  local last = handle:seek "end"
  handle:seek("set", here)
  return last and last > here and last - here or nil
end

local function is_readable(value)
  if type(value) ~= "userdata" and type(value) ~= "table" then
    return false
  end
  if io.type(value) then
    return io.type(value) == "file"
  end
  local indexed, read = pcall(function()
    return value.read
  end)
  return indexed and read ~= nil
end

-- Reads up to the end of the header. Gives its issues, where there are any.
local function start(source, options)
  repeat
    fill(source)
  until #source.buffer >= #UTF8_MARK or source.at_end
  local mark = sub(source.buffer, 1, 2)
  if mark == "\255\254" or mark == "\254\255" then
    fail(source, source.name .. ' is UTF-16: save it as UTF-8 (in a spreadsheet, as "CSV UTF-8")')
  end
  if sub(source.buffer, 1, 3) == UTF8_MARK then
    source.next = 4
  end
  source.ending = "any"
  local read, cells, issues, blank = pcall(take_scanned, source, true)
  -- First of all, for in such a file the quotes and line ends mean nothing.
  if find(sub(source.buffer, 1, source.next - 1), "\0", 1, true) or not read and find(source.buffer, "\0", 1, true) then
    source.failed = nil
    fail(source, source.name .. " has NUL bytes in its header: save it as CSV in UTF-8")
  elseif not read then
    error(cells, 0)
  elseif not cells then
    return { { message = "the file is empty: its first row must name the columns" } }
  elseif blank then
    return { { message = "row 1 is blank: it must name the columns" } }
  elseif issues then
    return issues
  end
  -- A lone CR ends records only in a file whose header ends with one.
  if byte(source.buffer, source.next - 1) == byte "\r" then
    source.ending, source.line_end = "cr", "\r"
  else
    source.ending = "lf"
  end
  for _, name in ipairs(cells) do
    source.inner_breaks = source.inner_breaks + count_breaks(name, source.line_end)
  end
  for i, name in ipairs(cells) do
    source.columns[i] = trim(name)
  end
  issues = read_header(source, options)
  if #issues > 0 then
    return issues
  end
  source.width = #cells
  source.fast = grammar.fast_row(#cells, source.ending)
  source.plain = grammar.fast_row(#cells, source.ending, true)
end

--- Opens a CSV file as a source of contacts, and reads and checks its header.
---
--- Options:
--- - `map` (table): name of a column to name of a field;
--- - `ignore` (array): names of columns to pass over; "*" stands for all whose names are not known;
--- - `allow_opt_in` (false): send `is_opted_out = false`. Without it that is left out, because it may undo an opt-out
---   that the person sent by text;
--- - `allow_multiline_rows` (false): a quoted cell may hold lines that look like rows;
--- - `max_record` (1 MiB): greatest length in bytes of a record with its line end;
--- - `chunk_size` (64 KiB): bytes that are read at a time.
---@param file string|table|userdata path, or a handle with a `read` method as files have; a handle is not closed
---@param options table?
---@return heymarket.csv.Source? source
---@return heymarket.Failure? failure kind "source" or "invalid"
function csv.open(file, options)
  local by_path = type(file) == "string"
  if not by_path and not is_readable(file) then
    local what = io.type(file) or file == nil and "nil" or "a " .. type(file)
    error("file must be a path or an open file handle, not " .. what, 2)
  end
  local issues = check_options(options)
  if #issues > 0 then
    return nil, failure.invalid(issues)
  end
  options = options or {}
  if not grammar then
    local loaded, lpeg = pcall(require, "lpeg")
    if not loaded then
      return nil, failure.new("source", "CSV needs LPeg: install it (Debian package lua-lpeg; luarocks install lpeg)")
    end
    grammar = make_grammar(lpeg)
  end
  local handle = file
  if by_path then
    local message
    handle, message = io.open(file, "rb")
    if not handle then
      return nil, failure.new("source", "cannot open " .. message)
    end
  end
  local source = setmetatable({
    name = by_path and file or "the CSV input",
    columns = {},
    handle = handle,
    owned = by_path and handle or nil,
    total = size_of(handle),
    max_record = options.max_record or MAX_RECORD,
    chunk_size = options.chunk_size or CHUNK_SIZE,
    buffer = "",
    next = 1, -- where in the buffer the next record begins
    dropped = 0, -- bytes that were in the buffer and no longer are
    at_end = false,
    row = 0,
    last_row = 1,
    line_end = "\n",
    inner_breaks = 0, -- line breaks within cells so far: rows and these give the lines of the file
    allow_multiline_rows = options.allow_multiline_rows or false,
    allow_opt_in = options.allow_opt_in or false,
    left_out = 0, -- see Source:opt_ins_left_out
    text_at = {},
    text_names = {},
    typed_at = {},
    typed_names = {},
    custom_at = {},
    custom_names = {},
  }, Source)
  local started, result = pcall(start, source, options)
  if started and not result then
    return source
  end
  source:close()
  if started then
    return nil, failure.invalid(result)
  elseif failure.is(result) then
    return nil, result
  end
  error(result, 0)
end

---------------------------------------------------------------------------------------------------------------------
-- Writing

--- Writes a record as one line of CSV that `csv.open` reads back as the same cells.
---@param cells string[]
---@return string line with its line feed
function csv.encode_row(cells)
  if type(cells) ~= "table" then
    error("cells must be an array of strings, not a " .. type(cells), 2)
  end
  local written = {}
  for i = 1, #cells do
    local cell = cells[i]
    if type(cell) ~= "string" then
      error(("cells[%d] must be a string, not a %s"):format(i, type(cell)), 2)
    end
    if find(cell, '[",\r\n]') or sub(cell, 1, 3) == UTF8_MARK then
      cell = '"' .. cell:gsub('"', '""') .. '"'
    end
    written[i] = cell
  end
  -- A single empty cell would be a blank line, which is no record.
  if #written == 1 and written[1] == "" then
    written[1] = '""'
  end
  return table.concat(written, ",") .. "\n"
end

return csv
