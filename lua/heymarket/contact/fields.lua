--- The fields of a contact, in the order in which they are written for the server.
---
--- The encoder, the CSV header, the help text, the checks of the sandbox and the table in doc/contacts.md come from
--- this list or are compared with it (spec/fields_spec.lua). A new field of a known kind needs a line here and a rule
--- in sandbox/contacts.lua.

---@alias heymarket.FieldKind
---| "phone" a phone number, which becomes digits
---| "text" UTF-8 without control characters; an empty string is left out
---| "email" a text that looks like an email address
---| "url" a text that is the address of a web page or an image; not empty
---| "user_id" an integer greater than 0, or -1 for nobody
---| "tag_ids" an array of ids, each an integer greater than 0 or `{tag_id = integer}`, none of them twice
---| "custom" a table of values by the id of a custom field
---| "boolean"
---| "integers" an array of integers

---@class heymarket.Field
---@field name string
---@field kind heymarket.FieldKind
---@field required boolean?
---@field max_items integer? of an array
---@field labels string[]? names of its column in the product's own import format
---@field help string what it takes, in one sentence

---@type heymarket.Field[]
return {
  {
    name = "phone",
    kind = "phone",
    required = true,
    labels = { "Phone Number" },
    help = "The phone number, as a string or an integer.",
  },
  { name = "avatar", kind = "url", help = "The URL of an image; it starts with http:// or https://." },
  { name = "custom", kind = "custom", help = "Values by the id of a custom field: strings, numbers or booleans." },
  { name = "display_name", kind = "text", help = "The name that is shown." },
  { name = "email", kind = "email", help = "The email address." },
  { name = "first", kind = "text", labels = { "First Name" }, help = "The first name." },
  { name = "last", kind = "text", labels = { "Last Name" }, help = "The last name." },
  {
    name = "assignee_id",
    kind = "user_id",
    help = "The id of the user to whom the contact is assigned, or -1 for nobody.",
  },
  {
    name = "tags",
    kind = "tag_ids",
    max_items = 5, -- documented by the vendor
    help = "At most 5 tags: ids, or tables of the form {tag_id = id}.",
  },
  {
    name = "is_opted_out",
    kind = "boolean",
    labels = { "Opt Out" },
    help = "true where the person wants no messages; it is sent only when it is given.",
  },
  { name = "email_suppressions", kind = "integers", help = "Integers, as the vendor's API has them." },
}
