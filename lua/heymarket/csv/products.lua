--- Exports of common products: by which columns each is known, and which of its columns give which field.
---
--- Names are compared in any case; runs of blanks, `_` and `-` count as one blank. A file is an export of a product if
--- it has all columns of `all`, one of `any`, none of `without`, and at least two of the columns that are named here.
--- In `fields` the order counts: of several columns the first filled one gives the value.
local products = {}

---@class heymarket.Product
---@field name string for the option `from`
---@field title string
---@field all string[]?
---@field any string[]?
---@field without string[]?
---@field beginning string? each column of the product begins with it
---@field fields table<string, string[]> by field: its columns
---@field labelled string? numbered pairs give the phone: "Phone N - Value", and its kind in "Phone N - <labelled>"
---@field separator string? what stands between several phones in one cell
---@field has_footer boolean? behind its rows and a blank line there are lines about the report

---@type heymarket.Product[]
products.list = {
  {
    name = "google",
    title = "Google Contacts",
    all = { "Phone 1 - Label", "Labels" },
    fields = { first = { "First Name" }, last = { "Last Name" }, email = { "E-mail 1 - Value" } },
    labelled = "Label",
    separator = ":::",
  },
  {
    name = "google-old",
    title = "Google Contacts (old)",
    all = { "Group Membership", "Given Name" },
    fields = {
      first = { "Given Name" },
      last = { "Family Name" },
      display_name = { "Name" },
      email = { "E-mail 1 - Value" },
    },
    labelled = "Type",
    separator = ":::",
  },
  {
    name = "outlook",
    title = "Outlook",
    all = { "E-mail Address", "Business Phone" },
    fields = {
      phone = {
        "Mobile Phone",
        "Primary Phone",
        "Home Phone",
        "Home Phone 2",
        "Business Phone",
        "Business Phone 2",
        "Other Phone",
      },
      first = { "First Name" },
      last = { "Last Name" },
      email = { "E-mail Address", "E-mail 2 Address" },
    },
  },
  {
    name = "hubspot",
    title = "HubSpot",
    all = { "Record ID" },
    any = { "Contact owner", "Lifecycle Stage" },
    without = { "Contact Owner.id" }, -- then it is Zoho
    fields = {
      phone = { "Mobile Phone Number", "Phone Number" },
      first = { "First Name" },
      last = { "Last Name" },
      email = { "Email" },
    },
  },
  {
    name = "salesforce",
    title = "a Salesforce report",
    any = { "Account Name", "Lead Status", "Lead Owner" },
    without = { "Contact Owner.id" },
    fields = {
      phone = { "Mobile", "Mobile Phone", "Phone", "Business Phone", "Home Phone", "Other Phone" },
      first = { "First Name" },
      last = { "Last Name" },
      display_name = { "Full Name", "Contact Name" },
      email = { "Email" },
    },
    has_footer = true,
  },
  {
    name = "salesforce-data-loader",
    title = "Salesforce Data Loader",
    all = { "FirstName", "LastName" },
    fields = {
      phone = { "MobilePhone", "Phone", "HomePhone", "OtherPhone" },
      first = { "FirstName" },
      last = { "LastName" },
      display_name = { "Name" },
      email = { "Email" },
    },
  },
  {
    name = "mailchimp",
    title = "Mailchimp",
    any = { "MEMBER_RATING", "OPTIN_TIME" },
    fields = {
      phone = { "SMS Phone Number", "Phone Number", "Phone" },
      first = { "First Name" },
      last = { "Last Name" },
      email = { "Email Address" },
    },
  },
  {
    name = "shopify",
    title = "Shopify",
    all = { "Accepts Email Marketing", "Total Spent" },
    fields = {
      phone = { "Phone", "Default Address Phone" },
      first = { "First Name" },
      last = { "Last Name" },
      email = { "Email" },
    },
  },
  {
    name = "square",
    title = "Square",
    all = { "Square Customer ID" },
    fields = {
      phone = { "Phone Number" },
      first = { "First Name" },
      last = { "Last Name", "Surname" },
      email = { "Email Address" },
    },
  },
  {
    name = "zoho",
    title = "Zoho CRM",
    all = { "Contact Owner.id" },
    any = { "Record Id", "Contact Id" },
    fields = {
      phone = { "Mobile", "Phone", "Home Phone", "Other Phone" },
      first = { "First Name" },
      last = { "Last Name" },
      display_name = { "Contact Name", "Lead Name" },
      email = { "Email" },
    },
  },
  {
    name = "pipedrive",
    title = "Pipedrive",
    beginning = "Person - ",
    fields = {
      phone = {
        "Person - Phone - Mobile",
        "Person - Phone - Work",
        "Person - Phone",
        "Person - Phone - Home",
        "Person - Phone - Other",
      },
      first = { "Person - First name" },
      last = { "Person - Last name" },
      display_name = { "Person - Name" },
      email = { "Person - Email - Work", "Person - Email - Home", "Person - Email" },
    },
    separator = ",",
  },
}

--- Names of columns in files of no known product, by field. Of several columns for phone the first filled one counts.
---@type table<string, string[]>
products.general = {
  phone = {
    "mobile",
    "mobile phone",
    "mobile number",
    "cell",
    "cell phone",
    "phone number",
    "phone",
    "telephone",
    "tel",
    "sms",
  },
  first = { "first", "first name", "firstname", "given name", "fname" },
  last = { "last", "last name", "lastname", "surname", "family name", "lname" },
  display_name = { "name", "full name", "display name" },
  email = { "email", "e mail", "email address" },
  tags = { "tags", "tag", "labels", "label" },
}

--- Names of columns that mean what is_opted_out means, in every file. None is ever guessed.
---@type string[]
products.opt_outs = { "is_opted_out", "Opt Out", "opted out", "sms opt out" }

--- Words in the names of columns about e-mail, faxes, calls or consent: such a column does not look like an opt-out.
---@type string[]
products.other_consent = { "mail", "fax", "call", "marketing" }

return products
