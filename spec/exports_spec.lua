--- Exports of common products, as the files of spec/exports hold them: what becomes of each row and of each column. The
--- table here is the witness; it was written by hand.
local csv = require "heymarket.csv"
local failure = require "heymarket.failure"

local FOLDER = "spec/exports/"

-- A row that becomes a contact.
local function contact(phone, first, last, email, display_name)
  return { phone = phone, first = first, last = last, email = email, display_name = display_name }
end

local ANN = "ann@example.com"

-- By file: product, the columns that are passed over, and the rows; a row that is refused is the name of the field at
-- fault.
local FILES = {
  ["google.csv"] = {
    product = "google",
    ignored = "Middle Name,Nickname,Notes,Labels,E-mail 1 - Label",
    rows = {
      contact("12025550102", "Ann", "Lee", ANN),
      contact("12025550103", "Tim", "Ray"),
      contact("442079460958", "Zoë", "May"),
      "phone",
      contact("12025550108", "Cy", nil, "cy@example.com"),
    },
  },
  ["google-old.csv"] = {
    product = "google-old",
    ignored = "Additional Name,Birthday,Group Membership,E-mail 1 - Type",
    rows = {
      contact("12025550102", "Ann", "Lee", ANN, "Ann Lee"),
      contact("442079460958", "Zoë", "May", nil, "Zoë May"),
    },
  },
  ["outlook.csv"] = {
    product = "outlook",
    ignored = "Title,Middle Name,Company,Business Fax,Assistant's Phone,Pager,Categories",
    rows = {
      contact("12025550103", "Ann", "Lee", ANN),
      contact("12025550104", "Tim", "Ray", "tim@example.com"),
      "phone",
      contact("12025550106", "Pia", "Prim"),
    },
  },
  ["outlook-semicolon.csv"] = {
    product = "outlook",
    ignored = "Title,Categories",
    rows = { contact("4930123456", "Zoë", "Müller", "zoe@example.com") },
  },
  ["hubspot.csv"] = {
    product = "hubspot",
    ignored = "Record ID,Contact owner,Lifecycle Stage,Marketing status,Unsubscribed from all email",
    rows = {
      contact("12025550102", "Ann", "Lee", ANN),
      contact("12025550103", "Tim", "Ray"),
      "phone",
      "phone",
    },
  },
  ["salesforce.csv"] = {
    product = "salesforce",
    ignored = "Account Name,Do Not Call,Email Opt Out",
    footers = 5,
    rows = {
      contact("12025550102", "Ann", "Lee", ANN, "Ann Lee"),
      contact("12025550103", "Tim", "Ray", nil, "Tim Ray"),
    },
  },
  ["salesforce-data-loader.csv"] = {
    product = "salesforce-data-loader",
    ignored = "Id,HasOptedOutOfEmail",
    rows = {
      contact("12025550102", "Ann", "Lee", ANN, "Ann Lee"),
      contact("12025550103", "Tim", "Ray", nil, "Tim Ray"),
    },
  },
  ["salesforce-leads.csv"] = {
    product = "salesforce",
    ignored = "Lead Status,Lead Owner,Fax Opt Out",
    rows = {
      contact("12025550102", nil, nil, ANN, "Ann Lee"),
      contact("12025550103", nil, nil, nil, "Tim Ray"),
    },
  },
  ["zoho-leads.csv"] = {
    product = "zoho",
    ignored = "Contact Id,Contact Owner.id",
    rows = { contact("12025550102", "Ann", "Lee", ANN, "Ann Lee") },
  },
  ["pipedrive-short.csv"] = {
    product = "pipedrive",
    ignored = "Person - Label",
    rows = { contact("12025550102", nil, nil, ANN, "Ann Lee") },
  },
  ["mailchimp.csv"] = {
    product = "mailchimp",
    ignored = "Address,MEMBER_RATING,OPTIN_TIME,TAGS",
    rows = {
      contact("12025550102", "Ann", "Lee", ANN),
      contact("12025550103", "Tim", "Ray", "tim@example.com"),
    },
  },
  ["shopify.csv"] = {
    product = "shopify",
    ignored = "Accepts Email Marketing,Default Address Company,Accepts SMS Marketing,Total Spent,Total Orders,Note,"
      .. "Tax Exempt,Tags",
    rows = { contact("12025550102", "Ann", "Lee", ANN), contact("12025550103", "Tim", "Ray") },
  },
  ["square.csv"] = {
    product = "square",
    ignored = "Reference ID,Company Name,Email Subscription Status,Square Customer ID",
    rows = { contact("12025550101", "Ann", "Lee", ANN), contact("12025550103", "Tim", "Ray") },
  },
  ["zoho.csv"] = {
    product = "zoho",
    ignored = "Record Id,Contact Owner.id,Contact Owner,Account Name.id,Account Name,Email Opt Out,Tag",
    rows = {
      contact("12025550102", "Ann", "Lee", ANN, "Ann Lee"),
      contact("12025550103", "Tim", "Ray", nil, "Tim Ray"),
    },
  },
  ["pipedrive.csv"] = {
    product = "pipedrive",
    ignored = "Person - ID,Person - Labels,Organization - Name",
    rows = {
      contact("12025550102", "Ann", "Lee", ANN, "Ann Lee"),
      contact("12025550103", "Tim", "Ray", "tim@example.com", "Tim Ray"),
      contact("442079460958", "Zoë", "May", nil, "Zoë May"),
    },
  },
  ["general.csv"] = {
    ignored = "",
    opt_outs = { [1] = true },
    rows = {
      contact("12025550102", "Ann", "Lee", ANN, "Ann Lee"),
      contact("12025550103", "Tim", "Ray"),
    },
  },
  ["heymarket.csv"] = {
    ignored = "",
    opt_outs = { [1] = true },
    rows = { contact("12025550101", "Ann", "Lee"), contact("12025550103", "Tim", "Ray") },
  },
}

local FIELDS = { "phone", "first", "last", "email", "display_name" }

-- The texts of a body, by field.
local function texts_of(body)
  local texts = {}
  for _, field in ipairs(FIELDS) do
    texts[field] = body:match('"' .. field .. '":"([^"]*)"')
  end
  return texts
end

-- The rows of a file as an import gets them.
local function entries_of(source)
  local all = {}
  local entries = source:take(3, "1", 0)
  while entries[1] do
    for _, entry in ipairs(entries) do
      all[#all + 1] = entry
    end
    entries = source:take(3, "1", #all)
  end
  return all
end

local function passed_over(source)
  local names = {}
  for _, entry in ipairs(source:mapping()) do
    names[#names + 1] = not entry.field and entry.name or nil
  end
  return table.concat(names, ",")
end

local function check(source, wanted, file)
  local entries = entries_of(source)
  for i, row in ipairs(wanted.rows) do
    local entry, what = entries[i], file .. ", contact " .. i
    assert.is_truthy(entry, what)
    if type(row) == "string" then
      assert.is_truthy(entry.problem, what)
      assert.equal(row, entry.problem.issues[1].field, what)
    else
      assert.is_nil(entry.problem, what .. ": " .. tostring(entry.problem))
      assert.same(row, texts_of(entry.body), what)
      local opts_out = wanted.opt_outs and wanted.opt_outs[i] or false
      assert.equal(opts_out, entry.body:find("is_opted_out", 1, true) ~= nil, what)
      assert.is_nil(entry.body:find("tags", 1, true), what)
    end
  end
  assert.equal(#wanted.rows, #entries, file)
  assert.equal(wanted.footers or 0, source:footer_rows(), file)
end

describe("the export of a product", function()
  for file, wanted in pairs(FILES) do
    it("is recognised, and its rows are read: " .. file, function()
      local source = assert(csv.open(FOLDER .. file))
      assert.equal(wanted.product, (source:product()))
      assert.equal(wanted.ignored, passed_over(source))
      check(source, wanted, file)
    end)

    it("is read alike a few bytes at a time, and as an iterator: " .. file, function()
      check(assert(csv.open(FOLDER .. file, { chunk_size = 3 })), wanted, file)
      local count = 0
      for record in assert(csv.open(FOLDER .. file)) do
        count = count + 1
        local row = wanted.rows[count]
        for _, field in ipairs(type(row) == "table" and { "first", "last", "email", "display_name" } or {}) do
          assert.equal(row[field], record[field], file)
        end
      end
      assert.equal(#wanted.rows, count)
    end)

    it("is read alike where the user names the product: " .. file, function()
      if wanted.product then
        check(assert(csv.open(FOLDER .. file, { from = wanted.product })), wanted, file)
      end
    end)
  end

  it("is another one where the user says so", function()
    local source = assert(csv.open(FOLDER .. "hubspot.csv", { from = "square" }))
    assert.equal("square", (source:product()))
    -- Square has no mobile column.
    assert.equal('"phone":"12025550101"', source:take(1, "1", 0)[1].body:match '"phone":"%d+"')
    local none, problem = csv.open(FOLDER .. "hubspot.csv", { from = "pipedrive" })
    assert.is_nil(none)
    assert.is_true(failure.is(problem))
    assert.equal("csv_from_other", problem.issues[1].code)
  end)
end)

-- A handle over a text.
local function open(content, options)
  local is_read = false
  return csv.open({
    read = function()
      local chunk = not is_read and content or nil
      is_read = true
      return chunk
    end,
  }, options)
end

describe("the columns of a file", function()
  it("of which two products have enough wait for the user's word", function()
    local content = "Record ID,Contact owner,Square Customer ID,First Name,Phone Number\n1,K,S,Ann,+12025550101\n"
    local source, problem = open(content)
    assert.is_nil(source)
    assert.equal("csv_from_several", problem.issues[1].code)
    assert.truthy(problem.issues[1].message:find("hubspot, square", 1, true))
    assert.equal("square", (assert(open(content, { from = "square" })):product()))
  end)

  it("of which a product has one only are no export of it", function()
    for _, header in ipairs { "Account Name,telephone", "MEMBER_RATING,phone number x", "Person - Foo,phone" } do
      local source, problem = open(header .. "\n")
      assert.is_nil(source, header)
      assert.equal("csv_unknown_column", problem.issues[1].code)
    end
  end)

  it("are compared as whole names: none is taken for one that it resembles", function()
    for _, name in ipairs {
      "Email consent",
      "Email Opt Out",
      "Do Not Call",
      "Fax Opt Out",
      "Accepts SMS Marketing",
      "Unsubscribed",
      "Opt Outs",
      "Opted",
      "Phone type",
      "Home Fax",
      "Pager",
    } do
      local source, problem = open("phone," .. name .. "\n")
      assert.is_nil(source, name)
      assert.equal("csv_unknown_column", problem.issues[1].code, name)
    end
  end)

  it("mean opt-outs by four names only, also in an export", function()
    for _, name in ipairs { "Opt Out", "opted_out", "SMS Opt-Out", "is_opted_out" } do
      local content = "Record ID,Lifecycle Stage,Phone Number," .. name .. "\n1,Lead,+12025550101,yes\n"
      assert.is_true((assert(open(content))()).is_opted_out, name)
    end
  end)

  it("of an export can be mapped and ignored by hand", function()
    local content = "Record ID,Lifecycle Stage,Phone Number,Mobile Phone Number,Pager,Opted\n"
      .. "1,Lead,+12025550101,+12025550102,+12025550103,yes\n1,Lead,+12025550104,+12025550105,,no\n"
    local options = { map = { Pager = "phone", Opted = "is_opted_out" }, ignore = { "Mobile Phone Number" } }
    local source = assert(open(content, options))
    assert.same({ phone = "+12025550103", is_opted_out = true }, (source()))
    assert.same({ phone = "+12025550104" }, (source()))
    assert.equal("Record ID,Lifecycle Stage,Mobile Phone Number", passed_over(source))
  end)

  it("of pairs for phones come after those that are mapped", function()
    local content = "Labels,Phone 1 - Label,Phone 1 - Value,SMS\n,Home,+12025550101,+12025550102\n,Home,+12025550103,\n"
    local source = assert(open(content, { map = { SMS = "phone" } }))
    assert.equal("+12025550102", (source()).phone)
    assert.equal("+12025550103", (source()).phone)
  end)
end)

describe("lines about the report", function()
  local HEADER = "Account Name,First Name,Phone\n"

  it("are passed over behind a blank line only", function()
    local source = assert(open(HEADER .. "Acme,Ann,+12025550101\nCopyright\n\nCopyright\n\nAcme,Tim,+12025550103\n"))
    local entries = entries_of(source)
    assert.equal(3, #entries)
    assert.is_truthy(entries[2].problem)
    assert.equal(1, source:footer_rows())
    assert.equal(7, entries[3].position)
  end)

  it("are none where there is data", function()
    local source = assert(open(HEADER .. "\nAcme,Ann\n+12025550101\n,,+12025550103\n"))
    local entries = entries_of(source)
    assert.equal(3, #entries)
    assert.equal(0, source:footer_rows())
  end)

  it("are rows like all others in the file of another product", function()
    local source = assert(open "Record ID,Lifecycle Stage,Phone Number\n1,Lead,+12025550101\n\nCopyright\n")
    assert.equal(2, #entries_of(source))
  end)
end)
