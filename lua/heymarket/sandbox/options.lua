--- The options of sandbox.new, whose list is in heymarket.options. For each question that the vendor's documentation
--- leaves open there is one.
local sandbox_options = {}

local messages = require "heymarket.messages"
local options = require "heymarket.options"

---@class (exact) heymarket.SandboxOptions
---@field secret_id? string credentials that are good here ("sandbox-id")
---@field secret_key? string ("sandbox-key")
---@field list_existing? boolean answers list contacts that were left as they are because they exist (true)
---@field bad_contact? "refuse"|"list" one bad contact turns the request into a 400, or is only listed ("refuse")
---@field refused_phones? string[] phones that are refused although they are well formed
---@field ok? "quoted"|"raw"|"array"|"null"|"empty" the body that accepts all: "ok", ok, [], null, none
---@field phone_format? "digits"|"plus" phones in answers are as they were sent, or with a plus sign ("digits")
---@field duplicates? "last_wins"|"list"|"refuse" of contacts with one phone in a request the last one counts, the
---later ones are listed, or they make it a 400 ("last_wins")
---@field unknown_field? "refuse"|"ignore" a field that the API does not document: a 400, or dropped ("refuse")
---@field clear_on_null? boolean null clears a stored value; else it is as good as absent (false)
---@field clear_on_blank? boolean "" or [] clears a stored value; else it is as good as absent (true)
---@field resubscribe? boolean `is_opted_out: false` subscribes somebody again who had opted out (true)
---@field max_contacts? integer greatest number of contacts in one request (no limit)
---@field max_bytes? integer greatest number of bytes in one request (no limit)
---@field too_large? 413|400 status of a request beyond these limits (413)
---@field max_length? integer greatest length of a text field in bytes (no limit)
---@field error_shape? "error_code"|"code"|"nested"|"error"|"text"|"empty" body of an error ("error_code")
---@field requests_per_minute? integer|false requests beyond this in any minute are answered with 429 (500)
---@field retry_after? boolean|number a 429 carries Retry-After: the seconds until there is room, or these (false)
---@field clock_skew? number seconds by which a token's time may be off (0)
---@field clock_offset? number seconds by which the server's clock is ahead of this machine's (0)
---@field inboxes? "array"|"object" inboxes come as an array, or in an object as an older guide shows ("array")
---@field tags? string[] names of tags that exist
---@field custom_fields? {id: integer, title: string?}[] custom fields that exist; values of others are dropped, as the
---API does (every id exists)
---@field keep_requests? integer how many of the newest requests are kept (1000)

--- Reads options, and raises where one is wrong, for that is a mistake in the author's program.
---@param where string what they were given to, for the message
---@param level integer of the caller, for the error
function sandbox_options.expect(scope, given, where, level)
  options.expect(given, "table", where, level + 1)
  local values, issues = options.read(scope, given)
  if not values then
    error(where .. ": " .. messages.line(issues[1]), level + 1)
  end
  return values
end

return sandbox_options
