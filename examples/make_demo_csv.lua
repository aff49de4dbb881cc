--- Makes the files of `make demo`: lua5.4 examples/make_demo_csv.lua FOLDER [ROWS]
---   contacts.csv   ROWS contacts (5,200), most of them good, the same in every run
---   existing.csv   those that the sandbox is to know beforehand, with another first name
---   refused.txt    the phone that the sandbox is to refuse
local folder, rows = arg[1], tonumber(arg[2] or 5200)
if not folder or not rows or rows < 1000 then
  io.stderr:write "usage: make_demo_csv.lua FOLDER [ROWS, at least 1000]\n"
  os.exit(2)
end

local FIRST = { "Ada", "José", "Mei", "Олена", "Amara", "Søren", "Priya", "Jean-Luc", 'Bob "the Boat"', "Zoë" }
local LAST =
  { "Smith", "García", "Li", "Шевченко", "Okafor", "O'Neill", "Iyer", "Müller", "Hansen, Jr.", "Nowak" }

-- Mistakes that real files have. Each makes its row invalid, so that it is not sent.
local MISTAKES = {
  function(row)
    row.phone = "" -- no phone
  end,
  function(row)
    row.phone = "555-01" -- too short
  end,
  function(row)
    row.phone = row.phone:sub(-10) -- no country code
  end,
  function(row)
    row.email = "not an address"
  end,
  function(row)
    row.tags = "1;2;3;4;5;6" -- one too many
  end,
  function(row)
    row.tags = "vip" -- a name where an id belongs
  end,
}

local COLUMNS = { "phone", "first", "last", "email", "tags", "custom.101" }

local function cell(text)
  return text:find '[",\r\n]' and '"' .. text:gsub('"', '""') .. '"' or text
end

local function write_row(file, row)
  local cells = {}
  for i, column in ipairs(COLUMNS) do
    cells[i] = cell(row[column])
  end
  file:write(table.concat(cells, ","), "\r\n")
end

local function create(name)
  local file = assert(io.open(folder .. "/" .. name, "wb"))
  if name:find "%.csv$" then
    file:write(table.concat(COLUMNS, ","), "\r\n")
  end
  return file
end

local function row_of(i)
  local line = ("%04d"):format(i % 10000)
  local area, exchange = 201 + math.floor(i / 10000), 555
  return {
    -- Some phones have a plus sign, blanks and brackets, as people write them.
    phone = i % 3 == 0 and ("+1 (%d) %d-%s"):format(area, exchange, line) or ("1%d%d%s"):format(area, exchange, line),
    first = FIRST[i % #FIRST + 1],
    last = LAST[math.floor(i / 7) % #LAST + 1],
    email = i % 5 == 0 and "" or ("person%d@example.com"):format(i),
    tags = i % 4 == 0 and "1;2" or "",
    ["custom.101"] = i % 50 == 0 and "met at the fair,\nwants a call back" or "",
  }
end

local contacts, existing, refused = create "contacts.csv", create "existing.csv", create "refused.txt"
local mistakes = 0
for i = 1, rows do
  local row = row_of(i)
  if i % 97 == 0 then
    mistakes = mistakes + 1
    row.phone = row.phone:gsub("%D", "")
    MISTAKES[mistakes % #MISTAKES + 1](row)
  elseif i % 41 == 0 then
    local before = row_of(i)
    before.first = "Before"
    write_row(existing, before)
  elseif i == 777 then
    refused:write((row.phone:gsub("%D", "")), "\n")
  end
  write_row(contacts, row)
end
contacts:close()
existing:close()
refused:close()
