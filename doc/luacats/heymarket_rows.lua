---@meta heymarket.rows
--- Contacts and texts to bytes. Arguments of a wrong type raise an error.

local rows = {}

---@class heymarket.Mistake
---@field place integer index of the field in the list of fields
---@field code string a code of heymarket.messages
---@field values table<string, any>? for its words

--- Makes the function that checks contacts and writes them as JSON. See heymarket.contact.fields for the list.
---@param fields table[] `name`, `kind`, `required`, `max_items`
---@return fun(contact: table, default_country: string|false|nil): string?, string|heymarket.Mistake[] encode gives the
--- body and the digits of the phone; or nil and the mistakes
function rows.encoder(fields) end

--- Reads a record of CSV, whatever it holds.
---@param buffer string
---@param from integer where the record begins
---@param at_end boolean is the end of the buffer that of the file?
---@param delimiter string one byte
---@param ending "lf"|"cr"|"any" what ends a record: LF or CR LF, CR, or any of them
---@return string[]? cells nil where the buffer ends before the record
---@return integer? after where the next record begins
---@return table<integer, "stray"|"unclosed"|"bare">? verdicts what is wrong with the quotes of a cell
---@return boolean? is_blank
function rows.csv_record(buffer, from, at_end, delimiter, ending) end

---@class heymarket.CsvRows
local CsvRows = {}

--- Adds ordinary rows to a lot, up to the first row that is odd or not whole.
---@param buffer string
---@param from integer where the first of them begins
---@param count integer at most so many
---@param bytes integer the bodies of the lot have no more bytes
---@param default_country string|false|nil
---@param lot heymarket.Lot
---@return integer taken
---@return integer after where the next row begins
---@return integer left_out in how many rows a false was left out
---@return boolean is_cut does the buffer end before the next row?
---@return boolean is_full is the body of the next row too large?
function CsvRows:take(buffer, from, count, bytes, default_country, lot) end

--- Makes what reads ordinary rows.
---@param columns table[] `column`, `kind`, `prefix` (the name as JSON, with its comma and colon), `max_items`,
--- `without_false`: the columns that have a field, in the order in which they are written
---@param width integer number of all columns
---@param max_record integer bytes of a record at most
---@param delimiter string one byte
---@param ending "lf"|"cr"
---@return heymarket.CsvRows
function rows.csv_rows(columns, width, max_record, delimiter, ending) end

---@class heymarket.Lot contacts that were checked, and travel as one, in input order
local Lot = {}

---@return integer count number of its contacts
function Lot:count() end

---@return integer doubtful number of its contacts whose phone is doubtful, see rows.encoder
function Lot:doubtful() end

--- The contact that is added next has these numbers, the one behind it those that follow.
---@param index integer
---@param position integer
function Lot:at(index, position) end

--- Adds a contact that was checked.
---@param phone string digits
---@param body string its JSON
---@param origin string the bytes of its record
---@param is_doubtful boolean? is its phone?
function Lot:add(phone, body, origin, is_doubtful) end

---@param more integer bytes
---@return integer bytes of its body, with one more contact of so many bytes
function Lot:bytes(more) end

---@return string ranges indices of its contacts, as 1-3,5
function Lot:ranges() end

---@return integer first indices of its first and its last contact
---@return integer last
function Lot:range() end

---@return string body the JSON array of its contacts
function Lot:body() end

---@return heymarket.Entry[] entries its contacts
function Lot:entries() end

---@return string fingerprints of its contacts, as bulk/notes.lua makes them
function Lot:fingerprints() end

--- Gives its memory back at once. It is empty then.
function Lot:free() end

--- Makes an empty lot.
---@param index integer of its first contact
---@param position integer of its first contact
---@return heymarket.Lot
function rows.lot(index, position) end

---@class heymarket.Phones a set of phones
local Phones = {}

---@param phone string digits
---@return boolean added false where it was there
function Phones:add(phone) end

---@param phone string digits
function Phones:remove(phone) end

--- Adds all phones of a lot, where none of them was there and all may stand in one request.
---@param lot heymarket.Lot
---@return boolean added false: then none was
function Phones:add_lot(lot) end

---@param lot heymarket.Lot
function Phones:remove_lot(lot) end

---@return heymarket.Phones phones an empty set
function rows.phones() end

---@class heymarket.FirstRows the first row of each phone of a file
local FirstRows = {}

---@param phone string digits
---@param row integer above 0
---@return integer? earlier the first row with this phone; nil where that is this one
function FirstRows:add(phone, row) end

---@param lot heymarket.Lot
---@return integer[]? repeated a row with the phone of an earlier one, that earlier row, and so on
function FirstRows:add_lot(lot) end

---@return boolean is_partial were there more phones than it remembers?
function FirstRows:is_partial() end

---@param most integer so many phones are remembered
---@return heymarket.FirstRows
function rows.first_rows(most) end

--- Reads a phone.
---@param value any
---@param default_country string|false|nil digits of a calling code, or a region; false: numbers are international
---@return string? digits
---@return string? code a code of heymarket.messages
---@return table<string, any>? values
function rows.phone(value, default_country) end

--- Writes a string as JSON.
---@param text string
---@return string? json
---@return integer? invalid position of the first byte that is not UTF-8
function rows.quote(text) end

---@class heymarket.Decoder
local Decoder = {}

--- Text as UTF-8. Bytes that mean nothing in the encoding become the byte 0xFF; the start of a character is kept for
--- the next chunk.
---@param chunk string
---@param at_end boolean is it the last one?
---@return string
function Decoder:decode(chunk, at_end) end

--- Makes what turns text in another encoding into UTF-8.
---@param encoding string as iconv knows it
---@return heymarket.Decoder?
---@return string? code "unknown_encoding"
function rows.decoder(encoding) end

--- Checks a JSON text (RFC 8259), and marks what lua-cjson would lose. See csrc/rows/json_check.c for the marks.
---@param text string
---@param max_values integer
---@return string? marked
---@return integer|string depth or what is wrong
---@return integer values how many there are, or the position of the byte at which it shows
function rows.json_check(text, max_values) end

--- Text that shows all its characters, and cannot drive a terminal.
---@param text string
---@param form "line"|"value"|"json" one line of text; a value in it, where blanks matter; JSON
---@return string
function rows.visible(text, form) end

--- A fingerprint: BLAKE2b with 16 bytes.
---@param text string
---@return string digits 32 hexadecimal digits
function rows.hash(text) end

--- HMAC-SHA256 (RFC 2104).
---@param key string of any length
---@param text string
---@return string code 32 bytes
function rows.hmac_sha256(key, text) end

--- Characters that look like a blank or like nothing: " " by each blank beyond ASCII, "" by each that takes no room.
---@return table<string, string>
function rows.unseen() end

return rows
