---@meta
--- Types of what users give: annotations for editors. The lists themselves are heymarket.options and
--- contact/fields.lua; tools/compare_types.lua compares them. Report and Item are in report.lua, Failure and Issue in
--- failure.lua.

---@class (exact) heymarket.Config of heymarket.new
---@field secret_id? string HEYMARKET_SECRET_ID of the environment unless given
---@field secret_key? string HEYMARKET_SECRET_KEY of the environment unless given
---@field credentials? (fun(): string?, string?) gives secret_id and secret_key, or nil and a message, for each token
---@field account? string a name that stays when the id changes: journals and the pace go by it, else by the id
---@field base_url? string HEYMARKET_BASE_URL of the environment, or the vendor's; plain http only for a loopback host
---@field timeout? number seconds for one try (60)
---@field connect_timeout? number seconds (10)
---@field max_attempts? integer tries of each request (5)
---@field max_retry_after? number longest Retry-After, in seconds, that is waited for (120)
---@field requests_per_minute? integer|false pace, retries counted; false for none (500)
---@field batch_size? integer contacts in a request (100)
---@field concurrency? integer requests in flight at a time (4)
---@field token_ttl? number seconds for which a token is used again, at most 290 (240)
---@field default_country? string|false region or calling code of phones without one; false takes the digits as they are
---@field ca_file? string certificates to trust, in place of the system's
---@field proxy? string URL of an HTTP or SOCKS proxy
---@field user_agent? string added to that of the library
---@field on_event? fun(event: heymarket.Event) told what the call does
---@field shared_dict? string nginx: name of the lua_shared_dict through which all workers pace together
---@field loop? "luv"|"cqueues"|heymarket.Loop outside nginx: the event loop whose coroutines make the calls
---@field runtime? table for tests: any of monotonic, time, sleep, random (functions) and transport

---@class heymarket.Loop any other event loop
---@field wait fun(fd: integer, seconds: number) yields until fd is readable or the time has passed

---@class (exact) heymarket.CheckOptions of client:check
---@field timeout? number seconds for one try
---@field max_attempts? integer tries of each request
---@field requests_per_minute? integer|false pace, retries counted; false for none
---@field on_event? fun(event: heymarket.Event) told what the call does
---@field deadline? number seconds for the whole call

---@class (exact) heymarket.CreateOptions of client:create_contacts; in place of the client's where both have them
---@field timeout? number seconds for one try
---@field max_attempts? integer tries of each request
---@field batch_size? integer contacts in a request
---@field concurrency? integer requests in flight at a time
---@field requests_per_minute? integer|false pace, retries counted; false for none
---@field default_country? string|false region or calling code of phones without one; false takes the digits as they are
---@field on_event? fun(event: heymarket.Event) told what the call does
---@field deadline? number seconds for the whole call
---@field overwrite? boolean overwrite contacts that exist (false)

---@class (exact) heymarket.ImportOptions of client:import
---@field timeout? number seconds for one try
---@field max_attempts? integer tries of each request
---@field batch_size? integer contacts in a request
---@field concurrency? integer requests in flight at a time
---@field requests_per_minute? integer|false pace, retries counted; false for none
---@field default_country? string|false region or calling code of phones without one; false takes the digits as they are
---@field on_event? fun(event: heymarket.Event) told what the call does
---@field deadline? number seconds for the whole call
---@field overwrite? boolean overwrite contacts that exist (false)
---@field on_item? fun(item: heymarket.Item) called for every contact that was not accepted
---@field on_progress? fun(report: heymarket.Report) the report so far
---@field should_stop? (fun(): boolean) asked at least once a second; true ends the import after the requests in flight
---@field max_outage? number seconds for which a server that has stopped answering is waited for (600)
---@field max_failures? integer stop after so many contacts that were not accepted
---@field journal? string path: the same call goes on after any interruption

---@class (exact) heymarket.ContactOptions of heymarket.contact
---@field default_country? string|false region or calling code of phones without one; false takes the digits as they are

---@class (exact) heymarket.CsvOptions of heymarket.csv.open
---@field format? "csv"|"jsonl" else by the ending of the name
---@field delimiter? string what separates the cells: "," ";" tab "|", or a name: "comma" "semicolon" "tab" "pipe"
---@field encoding? string of input without a mark, as iconv knows it, such as "windows-1252" (UTF-8)
---@field from? string the product whose export the file is, such as "hubspot"; most are recognised
---@field map? table<string, string>|string[][] name of a column to name of a field; or an array of {column, field}
---@field ignore? string[] names of columns to ignore; "*" is all whose names are not known
---@field limit? integer the first rows of the file are taken, so many at most
---@field allow_opt_in? boolean send is_opted_out = false; else it is left out (false)
---@field allow_multiline_rows? boolean a quoted cell may hold lines that look like rows (false)
---@field max_record? integer greatest length in bytes of a record (1 MiB)
---@field chunk_size? integer bytes that are read at a time (64 KiB)

---@class (exact) heymarket.Contact
---@field phone string|integer with its country code
---@field first? string first name
---@field last? string last name
---@field display_name? string the name that is shown; the server takes first and last name where it is absent
---@field email? string e-mail address
---@field avatar? string URL of an image, http:// or https://
---@field assignee_id? integer a user, or -1 for nobody
---@field tags? (integer|{tag_id: integer})[] at most 5
---@field custom? table<integer|string, string|number|boolean> by id of the custom field
---@field is_opted_out? boolean true where the person wants no messages; sent only when it is given
---@field email_suppressions? integer[] ids of suppressions, as the API has them

---@class (exact) heymarket.Event of on_event; doc/events.md says which type has which fields
---@field type "request"|"response"|"retry"|"pace"|"outage"|"outcome"
---@field method? string of HTTP
---@field url? string of the request, with its query
---@field status? integer of the answer
---@field request_id? string X-Request-Id of the answer
---@field attempt? integer number of the try, 1 is the first
---@field contacts? integer in the request; of "outcome": that have this outcome
---@field bytes? integer length of the request's body
---@field elapsed? number seconds that the try took; of "outage": since the first try without an answer
---@field delay? number seconds until the try that this is about
---@field outcome? string of "outcome": accepted, rejected, invalid, failed, unknown or unsent
---@field failure? heymarket.Failure what went wrong, without `body` and `details`

return {}
