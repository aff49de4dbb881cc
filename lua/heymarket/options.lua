--- The one list of options: of a client, its calls, CSV files, the sandbox and the command; and their one reader.
---
--- A new option is one row here. The flags and the help of the command are made from the rows.
local options = {}

local kinds = require "heymarket.option_kinds"
local spelling = require "heymarket.util.spelling"
local text = require "heymarket.util.text"

local boolean, either, hook, line, names = kinds.boolean, kinds.either, kinds.hook, kinds.line, kinds.names
local of_type, one_of, rate, seconds = kinds.of_type, kinds.one_of, kinds.rate, kinds.seconds
local whole, words = kinds.whole, kinds.words

---------------------------------------------------------------------------------------------------------------------
-- The list. Scopes: `config` is heymarket.new, `call` create_contacts, `contact` heymarket.contact, `csv` csv.open,
-- `sandbox` sandbox.new, `step` its script, `server` the served sandbox; `command` and `connection` are for flags of
-- the command.

local YES_OR_NO = "true|false"
local AFTER = either("option_retry_after", boolean, seconds(0, 1e9))
local FROM =
  words "google google-old outlook hubspot salesforce salesforce-data-loader mailchimp shopify square zoho pipedrive"
local FAULTS = words "html not_json oversized redirect refused reset reset_before timeout tls truncated unresolved"
local OPT_IN = "send is_opted_out where it is false; without this it is left out, because it may undo an opt-out that "
  .. "the person sent by text"
local FORMAT = "of the file; without this it is jsonl (JSON Lines: one contact in JSON a line) where its name ends "
  .. "with .jsonl or .ndjson, else csv"
local DELIMITER = "what separates the cells: comma, semicolon, tab or pipe, or the character itself; without this it "
  .. "is found in the header"
local ENCODING = "of the file, as iconv knows it, such as windows-1252; without this it is UTF-8, or UTF-16 where a "
  .. "mark says so"
local MAP = "take this column for this field; can be repeated; of several columns for phone the first filled one counts"
local FAILURES = "write the rows that were not accepted to this CSV file, as they come and so not in the order of the "
  .. "input, with _row, _outcome, _field and _message beside their own columns; when corrected, it can be imported as "
  .. "it is; a file that is no failures file is refused, and one that was edited is kept as FILE.1, FILE.2 and so on"

-- A group begins with its scopes. Then, by row: name, kind, default, argument of its flag ("" for a flag without one,
-- nil for an option without a flag, "WORD" where the help lists the words), help. The first mistake in this order is
-- the first that is reported.
local GROUPS = {
  {
    "config",
    { "secret_id", line, variable = "HEYMARKET_SECRET_ID", required = true, unless = "credentials" },
    { "secret_key", line, variable = "HEYMARKET_SECRET_KEY", required = true, unless = "credentials" },
    { "credentials", kinds.credentials },
    { "account", line },
    { "base_url", kinds.base_url, "https://api.heymarket.com", variable = "HEYMARKET_BASE_URL" },
    { "connect_timeout", seconds(0.001, 3600), 10 },
    { "max_retry_after", seconds(0, 86400), 120 },
    -- The vendor takes a token for 5 minutes; its last seconds are left for the request's way to the server.
    { "token_ttl", seconds(0, 290), 240 },
    { "user_agent", line },
    { "shared_dict", kinds.shared_dict },
    { "loop", kinds.loop },
    { "runtime", of_type "table" },
  },
  {
    "csv",
    { "format", words "csv jsonl", nil, "csv|jsonl", FORMAT },
    { "delimiter", kinds.delimiter, nil, "NAME", DELIMITER },
    { "encoding", kinds.encoding, nil, "NAME", ENCODING },
    { "from", FROM, nil, "NAME", "the file is an export of this product: " .. FROM.choices .. "; most are recognised" },
    { "map", kinds.map, nil, "COLUMN=FIELD", MAP },
    { "ignore", names, nil, "COLUMN", "ignore this column; can be repeated; '*' is all whose names are not known" },
    { "limit", whole(1), nil, "N", "take the first N rows; a journal takes them for a part of the whole file" },
    { "allow_opt_in", boolean, false, "", OPT_IN },
    { "allow_multiline_rows", boolean, false, "", "let a quoted cell hold lines that look like rows of the file" },
    { "max_record", kinds.bytes, 1024 * 1024 },
    { "chunk_size", kinds.bytes, 64 * 1024 },
  },
  {
    "call import",
    { "overwrite", boolean, false, "", "overwrite contacts that exist; without it they stay as they are" },
  },
  {
    "config call import contact",
    {
      "default_country",
      kinds.country,
      nil,
      "COUNTRY",
      "for phones without a country code: a region, such as DE, or a calling code, such as 49; none takes them as they "
        .. "are",
    },
  },
  {
    "config call import",
    { "batch_size", whole(1, 10000), 100, "N", "contacts in a request" },
    { "concurrency", whole(1, 256), 4, "N", "requests in flight at a time" },
  },
  {
    "config call import check",
    { "requests_per_minute", rate(1e6), 500, "N", "pace; off for none" },
    { "max_attempts", whole(1, 100), 5, "N", "tries of each request" },
    { "timeout", seconds(0.001, 3600), 60, "SECONDS", "for one try" },
    { "on_event", hook },
  },
  {
    "call import check",
    { "deadline", seconds(0.001, 31536000), nil, "SECONDS", "for the whole import" },
  },
  {
    "import",
    { "max_failures", whole(1), nil, "N", "stop after so many contacts that were not accepted" },
    { "max_outage", seconds(0, 31536000), 600, "SECONDS", "wait so long for a server that has stopped answering" },
    { "journal", line, nil, "FILE", "note what is done, so that the same command goes on after any interruption" },
    { "on_item", hook },
    { "on_progress", hook },
    { "should_stop", hook },
  },
  {
    "command",
    { "failures", line, nil, "FILE", FAILURES },
    { "dry_run", boolean, nil, "", "check everything and send nothing; neither credentials nor journal are used" },
    { "json", boolean, nil, "", "print the report as one JSON object" },
    { "quiet", boolean, nil, "", "no progress, and nothing on stderr but errors" },
    { "no_progress", boolean, nil, "", "no progress" },
  },
  {
    "config connection",
    { "ca_file", line, nil, "FILE", "certificates to trust, in place of the system's" },
    { "proxy", kinds.proxy, nil, "URL", "go through this HTTP proxy" },
  },
  {
    "server",
    { "port", whole(0, 65535), 0, "N", "port to listen on (any free one)" },
    { "host", one_of { "127.0.0.1", "localhost" }, "127.0.0.1" },
    { "options", of_type "table" },
    { "nginx", of_type "string" },
  },
  {
    "step",
    { "status", whole(200, 599) },
    { "headers", kinds.headers },
    { "body", either("option_body", of_type "string", of_type "table") },
    { "retry_after", either("option_retry_after_header", seconds(0, 1e9), line) },
    { "delay", seconds(0, 1e9) },
    { "fault", FAULTS },
    { "process", boolean },
    { "times", either("option_times", whole(1), one_of { math.huge }), 1 },
    { "contains", either("option_phone", of_type "string", of_type "number") },
    { "when", hook },
  },
  {
    "sandbox",
    { "secret_id", line, "sandbox-id" },
    { "secret_key", line, "sandbox-key" },
    { "list_existing", boolean, true, YES_OR_NO, "answers list contacts that exist and were left as they are" },
    { "bad_contact", words "refuse list", "refuse", "refuse|list", "one bad contact: 400, or only listed" },
    { "refused_phones", names, {}, "PHONE", "refuse this phone although it is well formed; can be repeated" },
    { "ok", words "quoted raw array null empty", "quoted", "WORD", 'how "all were taken" looks' },
    { "phone_format", words "digits plus", "digits", "digits|plus", "phones in answers" },
    { "duplicates", words "last_wins list refuse", "last_wins", "WORD", "a phone twice in a request" },
    { "unknown_field", words "refuse ignore", "refuse", "refuse|ignore", "a field that is not documented" },
    { "clear_on_null", boolean, false, YES_OR_NO, "null clears what is stored" },
    { "clear_on_blank", boolean, true, YES_OR_NO, "an empty string or array clears what is stored" },
    { "resubscribe", boolean, true, YES_OR_NO, "is_opted_out = false subscribes again who had opted out" },
    { "max_contacts", whole(1), nil, "N", "greatest number of contacts in a request (no limit)" },
    { "max_bytes", whole(1), nil, "N", "greatest number of bytes in a request (no limit)" },
    { "too_large", one_of { 413, 400 }, 413, "413|400", "status of a request beyond these limits" },
    { "max_length", whole(1), nil, "N", "greatest number of bytes in a text field (no limit)" },
    { "error_shape", words "error_code code nested error text empty", "error_code", "WORD", "body of an error" },
    { "requests_per_minute", rate(), 500, "N|off", "requests beyond this in a minute are answered with 429" },
    { "retry_after", AFTER, false, "true|false|N", "a 429 carries Retry-After, or one of so many seconds" },
    { "clock_skew", seconds(0, 1e10), 0, "SECONDS", "by which the time of a token may be off" },
    { "clock_offset", seconds(-1e10, 1e10), 0, "SECONDS", "by which the server's clock is ahead" },
    { "inboxes", words "array object", "array", "array|object", "how the list of inboxes looks" },
    { "tags", names, {}, "NAME", "a tag that exists; can be repeated" },
    { "custom_fields", kinds.custom_fields },
    { "keep_requests", whole(1), 1000 },
  },
}

---@class heymarket.Option a row of the list
---@field name string
---@field kind table `type` and `check`
---@field default any
---@field argument string? of its flag: "" where the flag has none, nil where there is no flag
---@field help string? of its flag
---@field variable string? of the environment
---@field required boolean?
---@field unless string? the option that stands in its place: where that is given, this one is not needed

-- By scope: the rows in order, and by name.
local IN_ORDER, BY_NAME = {}, {}
-- By name: the flag or the variable that stands for the option on the command line. A journal notes the account.
local ON_COMMAND_LINE = { account = "HEYMARKET_SECRET_ID" }
for _, group in ipairs(GROUPS) do
  for i = 2, #group do
    local cells = group[i]
    local row = { name = cells[1], kind = cells[2], default = cells[3], argument = cells[4], help = cells[5] }
    row.variable, row.required, row.unless = cells.variable, cells.required, cells.unless
    local shown = row.variable or row.argument and "--" .. row.name:gsub("_", "-")
    ON_COMMAND_LINE[row.name] = ON_COMMAND_LINE[row.name] or shown
    for scope in group[1]:gmatch "%a+" do
      IN_ORDER[scope] = IN_ORDER[scope] or {}
      BY_NAME[scope] = BY_NAME[scope] or {}
      table.insert(IN_ORDER[scope], row)
      BY_NAME[scope][row.name] = row
    end
  end
end

--- The options of a scope, in order.
---@param scope string
---@return heymarket.Option[]
function options.list(scope)
  return IN_ORDER[scope]
end

--- The name of an option as its user knows it.
---@param name string
---@param names_of "library"|"command"|nil
---@return string
function options.shown_name(name, names_of)
  return names_of == "command" and ON_COMMAND_LINE[name] or name
end

---------------------------------------------------------------------------------------------------------------------
-- The reader

local function nearest(scope, name)
  local known = {}
  for i, row in ipairs(IN_ORDER[scope]) do
    known[i] = row.name
  end
  return spelling.nearest(name, known)
end

local function unknown_names(scope, given, issues)
  local unknown = {}
  for name in pairs(given) do
    if not BY_NAME[scope][name] then
      unknown[#unknown + 1] = { field = text.shown(name), nearest = nearest(scope, name) }
    end
  end
  -- pairs has no order; a report needs one.
  table.sort(unknown, function(a, b)
    return a.field < b.field
  end)
  for _, found in ipairs(unknown) do
    issues[#issues + 1] = { field = found.field, code = "option_unknown", values = { nearest = found.nearest } }
  end
end

local NOTHING = {}

--- Checks options and reports all mistakes at once.
---@param scope "config"|"call"|"import"|"check"|"contact"|"csv"|"sandbox"|"server"|"connection" where they were given
---@param given table? what the user gave
---@param fallback table? where values come from that were not given: the client's config
---@return table? values every known name with its value
---@return heymarket.Issue[]? issues
function options.read(scope, given, fallback)
  local issues, values = {}, {}
  given = given or NOTHING
  for _, row in ipairs(IN_ORDER[scope]) do
    local name, value, code, found = row.name, given[row.name], nil, nil
    if value ~= nil then
      code, found = row.kind.check(value, values)
    elseif row.required and (not row.unless or given[row.unless] == nil) then
      code, found = "option_missing", { variable = row.variable }
    else
      value = fallback and fallback[name]
      if value == nil then
        value = row.default
      end
    end
    if code then
      issues[#issues + 1] = { field = name, code = code, values = found, is_option = true }
    else
      values[name] = value
    end
  end
  if next(given) ~= nil then
    unknown_names(scope, given, issues)
  end
  if #issues > 0 then
    return nil, issues
  end
  return values
end

--- A copy of the config, with values from the environment where it has none.
---@param config table
---@return table
function options.with_environment(config)
  local given = {}
  for name, value in pairs(config) do
    given[name] = value
  end
  for _, row in ipairs(IN_ORDER.config) do
    local value = row.variable and (not row.unless or config[row.unless] == nil) and os.getenv(row.variable)
    if given[row.name] == nil and value and value ~= "" then
      given[row.name] = value
    end
  end
  return given
end

--- The country to check phones with, also where some of the options were refused. One that was refused itself must
--- neither be used nor cause issues of the phones.
---@param given table? what the user gave
---@param fallback string|boolean|nil the client's
---@return string|boolean|nil
function options.country(given, fallback)
  local value = given and given.default_country
  if value == nil then
    return fallback
  end
  return not kinds.country.check(value) and value
end

-- Looked up rather than taken apart, since this runs where an error for want of memory would leave the call.
local OPTIONAL = { ["table?"] = "table" }

--- Raises when an argument has the wrong Lua type: a mistake in the program, not in its data.
---@param value any
---@param wanted string "table", or "table?" where nil will do
---@param where string function and argument, such as 'heymarket.new: argument "config"'
---@param level integer stack level for `error`
function options.expect(value, wanted, where, level)
  local kind = OPTIONAL[wanted] or wanted
  if type(value) ~= kind and not (kind ~= wanted and value == nil) then
    error(("%s must be a %s, not %s"):format(where, kind, value == nil and "nil" or "a " .. type(value)), level + 1)
  end
end

--- Is this value a function, or an object that can be called like one?
options.is_function = kinds.is_function

return options
