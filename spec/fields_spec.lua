-- The list of contact fields, and every other place that names them.

local capture = require "spec.support.capture"
local command = require "spec.support.command"
local csv = require "heymarket.csv"
local fields = require "heymarket.contact.fields"
local heymarket = require "heymarket"
local process = require "spec.support.process"
local sandbox = require "heymarket.sandbox"

-- A good value of each kind, the same in a CSV cell, and how the two look in a body.
local SAMPLES = {
  phone = { "+1 202 555 0001", "+1 202 555 0001", '"12025550001"' },
  text = { "Ann Lee", "Ann Lee", '"Ann Lee"' },
  email = { "ann@example.com", "ann@example.com", '"ann@example.com"' },
  url = { "https://example.com/a.png", "https://example.com/a.png", '"https://example.com/a.png"' },
  user_id = { 7, "7", "7" },
  tag_ids = { { 3, { tag_id = 4 } }, "3; 4", '[{"tag_id":3},{"tag_id":4}]' },
  custom = { { [5] = "x" }, "x", '{"5":"x"}', column = "custom.5" },
  boolean = { true, "yes", "true" },
  integers = { { 1, 2 }, "1;2", "[1,2]" },
}

local function column_of(field)
  return SAMPLES[field.kind].column or field.name
end

-- A contact that has every field, and its request body in the order of the list.
local function everything()
  local contact, written = {}, {}
  for i, field in ipairs(fields) do
    local sample = assert(SAMPLES[field.kind], "no sample of the kind " .. field.kind)
    contact[field.name] = sample[1]
    written[i] = ('"%s":%s'):format(field.name, sample[3])
  end
  return contact, "[{" .. table.concat(written, ",") .. "}]"
end

-- A source over a CSV file of one row with these columns and the samples as cells.
local function open_csv(columns)
  local cells = {}
  for i, column in ipairs(columns) do
    cells[i] = SAMPLES[column.field.kind][2]
  end
  local names = {}
  for i, column in ipairs(columns) do
    names[i] = column.name
  end
  local content = table.concat(names, ",") .. "\n" .. table.concat(cells, ",") .. "\n"
  local handle = {
    read = function()
      local chunk = content
      content = nil
      return chunk
    end,
  }
  return assert(csv.open(handle))
end

describe("the list of contact fields", function()
  setup(command.setup)
  teardown(command.teardown)
  before_each(command.before_each)
  after_each(command.after_each)

  it("names each field once, with a kind and a help sentence", function()
    local seen = {}
    for _, field in ipairs(fields) do
      assert.is_nil(seen[field.name])
      seen[field.name] = true
      assert.is_truthy(field.name:find "^%l[%l_]*$")
      assert.is_truthy(SAMPLES[field.kind], field.kind)
      assert.is_truthy(field.help:find "^%w[^\n]+%.$", field.help)
    end
  end)

  it("is what the encoder takes, in this order", function()
    local contact, written = everything()
    local client, sent = capture.client()
    assert(client:create_contacts { contact })
    client:close()
    assert.equal(written, sent[1].body)
  end)

  it("is what the sandbox accepts, also where it refuses unknown fields", function()
    local contact = everything()
    local box = sandbox.new { unknown_field = "refuse" }
    local client = box:client { requests_per_minute = false }
    assert(client:create_contacts { contact })
    client:close()
    local stored = assert(box:get "12025550001")
    for _, field in ipairs(fields) do
      assert.is_not_nil(stored[field.name], field.name)
    end
  end)

  it("is what the encoder requires", function()
    for _, field in ipairs(fields) do
      local contact = everything()
      contact[field.name] = nil
      local wire, failure = heymarket.contact(contact)
      if field.required then
        assert.is_nil(wire)
        assert.same({ field.name, 1 }, { failure.issues[1].field, #failure.issues })
      else
        assert.is_nil(failure)
      end
    end
  end)

  it("has the columns of a CSV file, by name and by label", function()
    for _, by_label in ipairs { false, true } do
      local columns, expected = {}, {}
      for i, field in ipairs(fields) do
        columns[i] = { name = by_label and field.labels and field.labels[1] or column_of(field), field = field }
        expected[field.name] = SAMPLES[field.kind][1]
      end
      expected.tags = { 3, 4 }
      expected.custom = { ["5"] = "x" }
      local contact = open_csv(columns)()
      assert.same(expected, contact)
    end
  end)

  it("is in the table of doc/contacts.md, line by line", function()
    local lines = {}
    for i, field in ipairs(fields) do
      lines[i] = ("| `%s` | %s |"):format(field.name, field.help)
    end
    local page = process.read_file "doc/contacts.md"
    assert.equal(table.concat(lines, "\n"), page:match "| field | takes |\n|%-+|%-+|\n(.-)\n\n")
  end)

  it("is in the help of the import command", function()
    local result = command.run { "import", "--help" }
    assert.equal(0, result.code)
    local help = result.out:gsub("%s+", " ")
    for _, field in ipairs(fields) do
      local name = field.kind == "custom" and "custom.<id>" or field.name
      assert.is_truthy(help:find("%f[%w_]" .. name:gsub("%p", "%%%0") .. "%f[^%w_>]"), name)
      for _, label in ipairs(field.labels or {}) do
        assert.is_truthy(help:find(label, 1, true), label)
      end
    end
  end)
end)
