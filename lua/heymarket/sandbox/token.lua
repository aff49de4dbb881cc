--- What the sandbox makes of a bearer token: who signed it, when, and is that still good.
local sandbox_token = {}

local core = require "heymarket.core"
local sandbox_json = require "heymarket.sandbox.json"

local LIFETIME = 300 -- seconds after `iat`, documented by the vendor

local ALPHABET = {}
for value, letter in ("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"):gmatch "()(.)" do
  ALPHABET[letter] = value - 1
end

-- The bytes of base64url without padding (RFC 4648, section 5), nil when it is none.
local function decode(encoded)
  if encoded:find "[^%w_%-]" or #encoded % 4 == 1 then
    return nil
  end
  local bytes, value, bits = {}, 0, 0
  for letter in encoded:gmatch "." do
    value, bits = value * 64 + ALPHABET[letter], bits + 6
    if bits >= 8 then
      bits = bits - 8
      local whole = math.floor(value / 2 ^ bits)
      bytes[#bytes + 1] = string.char(whole)
      value = value - whole * 2 ^ bits
    end
  end
  return value == 0 and table.concat(bytes) or nil
end

local function part(encoded)
  local bytes = decode(encoded)
  local ok, value = sandbox_json.read(bytes or "")
  return ok and sandbox_json.is_object(value) and value or nil
end

-- The key is opened for one look and wiped again: a sandbox that is forgotten leaves nothing open.
local function is_signed(options, signed, signature)
  local signer = core.signer(options.secret_id, options.secret_key)
  local good = signer:verify(signed, signature)
  signer:close()
  return good
end

--- Checks the value of an Authorization header.
---@param given string?
---@param options table secret_id, secret_key, clock_skew (s)
---@param now number Unix time by the server's clock
---@param cache table remembers a signature that was found good
---@return string? problem what is wrong, nil when the token is good
function sandbox_token.problem(given, options, now, cache)
  if not given then
    return "the Authorization header is missing"
  end
  local token = given:match "^[Bb]earer +([^ ]+) *$"
  local header, payload, signature = (token or ""):match "^([^.]+)%.([^.]+)%.([^.]*)$"
  local head, claims = part(header or ""), part(payload or "")
  if not head or not claims then
    return "the Authorization header holds no token"
  elseif head.alg ~= "HS256" or head.typ ~= "JWT" then
    return "the token's header is not that of an HS256 JWT"
  elseif claims.iss ~= options.secret_id then
    return "the token's issuer is unknown"
  elseif not sandbox_json.is_integer(claims.iat) or type(claims.iat) ~= "number" then
    return "the token's iat is not a whole number of seconds"
  end
  if cache.token ~= token then
    if not is_signed(options, header .. "." .. payload, signature) then
      return "the token's signature is wrong"
    end
    cache.token = token
  end
  if now - claims.iat > LIFETIME + options.clock_skew then
    return "the token is older than 5 minutes"
  elseif claims.iat - now > options.clock_skew then
    return "the token is from the future"
  end
  return nil
end

return sandbox_token
