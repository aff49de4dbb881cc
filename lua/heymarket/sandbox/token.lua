--- Checks bearer tokens.
---
--- A token is good if it is the one that the sandbox's own id and key give for the time in it. So it must be laid out
--- as the vendor documents it: the header {"alg":"HS256","typ":"JWT"}, the claims {"iss":…,"iat":…}.
local sandbox_token = {}

local core = require "heymarket.core"
local rows = require "heymarket.rows"
local sandbox_json = require "heymarket.sandbox.json"

local LIFETIME = 300 -- seconds after `iat`, documented by the vendor

local VALUES = {}
for value, letter in ("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"):gmatch "()(.)" do
  VALUES[letter] = value - 1
end

-- Reads base64url (RFC 4648, section 5). Other characters count as "A": the whole token is compared later.
local function decode(encoded)
  return (
    encoded:gsub("..?.?.?", function(group)
      local bits = 0
      for i = 1, 4 do
        bits = bits * 64 + (VALUES[group:sub(i, i)] or 0)
      end
      return string.char(math.floor(bits / 65536), math.floor(bits / 256) % 256, bits % 256):sub(1, #group - 1)
    end)
  )
end

-- One of the token's two JSON objects.
local function object(encoded)
  local ok, value = sandbox_json.read(decode(encoded or ""))
  return ok and sandbox_json.is_object(value) and value or nil
end

-- A signer holds the key in guarded memory, so it lives for this one look only.
local function signed(options, seconds)
  local signer = core.signer(options.secret_id, options.secret_key)
  local token = signer:sign(seconds)
  signer:close()
  return token
end

--- Checks the value of an Authorization header.
---@param given string?
---@param options heymarket.SandboxOptions
---@param now number Unix time by the server's clock
---@return string? problem what is wrong; nil when the token is good
function sandbox_token.problem(given, options, now)
  if not given then
    return "the Authorization header is missing"
  end
  local token = given:match "^[Bb]earer +([^ ]+) *$"
  local header, payload = (token or ""):match "^([^.]+)%.([^.]+)%.[^.]*$"
  local head, claims = object(header), object(payload)
  if not head or not claims then
    return "the Authorization header holds no token"
  elseif head.alg ~= "HS256" or head.typ ~= "JWT" then
    return "the token's header is not that of an HS256 JWT"
  elseif claims.iss ~= options.secret_id then
    return "the token's issuer is unknown"
  elseif type(claims.iat) ~= "number" or claims.iat % 1 ~= 0 or claims.iat < 0 then
    return "the token's iat is not a whole number of seconds"
  elseif now - claims.iat > LIFETIME + options.clock_skew then
    return "the token is older than 5 minutes"
  elseif claims.iat - now > options.clock_skew then
    return "the token is from the future"
  elseif rows.hash(token) ~= rows.hash(signed(options, claims.iat)) then
    -- Hashes are compared, so that the time this takes tells nothing of the signature.
    return "the token's signature is wrong"
  end
  return nil
end

return sandbox_token
