--- Checks bearer tokens: JSON Web Tokens that are signed with HS256 by the key ID||KEY. The order of the claims,
--- further claims and the blanks of the JSON do not matter.
local sandbox_token = {}

local rows = require "heymarket.rows"
local sandbox_json = require "heymarket.sandbox.json"

local LIFETIME = 300 -- seconds after `iat`, documented by the vendor

local VALUES = { [""] = 0 } -- nothing, where the last group is a short one
for value, letter in ("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"):gmatch "()(.)" do
  VALUES[letter] = value - 1
end

-- Reads base64url without padding (RFC 4648, section 5). What is none gives "".
local function decode(encoded)
  local is_good = #encoded % 4 ~= 1
  local bytes = encoded:gsub("..?.?.?", function(group)
    local bits = 0
    for i = 1, 4 do
      local value = VALUES[group:sub(i, i)]
      is_good, bits = is_good and value ~= nil, bits * 64 + (value or 0)
    end
    is_good = is_good and bits % 256 ^ (4 - #group) == 0 -- no bits are left over
    return string.char(math.floor(bits / 65536), math.floor(bits / 256) % 256, bits % 256):sub(1, #group - 1)
  end)
  return is_good and bytes or ""
end

-- One of the token's two JSON objects; nil where it is none.
local function object(encoded)
  local value = sandbox_json.read(decode(encoded or ""))
  return sandbox_json.is_object(value) and value or nil
end

-- Hashes are compared, because the time that it takes to compare the signatures would tell how much of one is right.
local function is_signed(options, text, signature)
  local wanted = rows.hmac_sha256(options.secret_id .. "||" .. options.secret_key, text)
  return rows.hash(decode(signature)) == rows.hash(wanted)
end

--- What is wrong with the value of an Authorization header; nil where it holds a good token.
---@param now number Unix time by the server's clock
function sandbox_token.problem(given, options, now)
  local token = (given or ""):match "^[Bb]earer +([^ ]+) *$"
  local signed, signature = (token or ""):match "^([^.]+%.[^.]+)%.([^.]*)$"
  local header, payload = (signed or ""):match "^(.*)%.(.*)$"
  local head, claims = object(header), object(payload)
  if not given then
    return "the Authorization header is missing"
  elseif not head or not claims then
    return "the Authorization header holds no token"
  elseif head.alg ~= "HS256" or head.typ ~= "JWT" then
    return "the token's header is not that of an HS256 JWT"
  elseif claims.iss ~= options.secret_id then
    return "the token's issuer is unknown"
  elseif type(claims.iat) ~= "number" or claims.iat % 1 ~= 0 then
    return "the token's iat is not a whole number of seconds"
  elseif not is_signed(options, signed, signature) then
    return "the token's signature is wrong"
  elseif now - claims.iat > LIFETIME + options.clock_skew then
    return "the token is older than 5 minutes"
  elseif claims.iat - now > options.clock_skew then
    return "the token is from the future"
  end
end

return sandbox_token
