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

-- One of the token's two JSON objects; an empty one where it is none.
local function object(encoded)
  local value = sandbox_json.read(decode(encoded or ""))
  return sandbox_json.is_object(value) and value or {}
end

-- A signer holds the key in guarded memory, so it lives only this long.
local function signed(options, seconds)
  local signer = core.signer(options.secret_id, options.secret_key)
  local token = signer:sign(seconds)
  signer:close()
  return token
end

--- What is wrong with the value of an Authorization header; nil where it holds a good token.
---@param now number Unix time by the server's clock
function sandbox_token.problem(given, options, now)
  local token = (given or ""):match "^[Bb]earer +([^ ]+) *$"
  local header, payload = (token or ""):match "^([^.]+)%.([^.]+)%.[^.]*$"
  local head, claims = object(header), object(payload)
  local seconds = claims.iat
  if not header then
    return "the Authorization header is missing, or holds no token"
  elseif head.alg ~= "HS256" or head.typ ~= "JWT" then
    return "the token's header is not that of an HS256 JWT"
  elseif claims.iss ~= options.secret_id then
    return "the token's issuer is unknown"
  elseif type(seconds) ~= "number" or seconds % 1 ~= 0 or seconds < 0 then
    return "the token's iat is not a whole number of seconds"
  elseif now - seconds > LIFETIME + options.clock_skew then
    return "the token is older than 5 minutes"
  elseif seconds - now > options.clock_skew then
    return "the token is from the future"
  elseif rows.hash(token) ~= rows.hash(signed(options, seconds)) then
    -- Hashes are compared, so that the time this takes tells nothing of the signature.
    return "the token's signature is wrong"
  end
end

return sandbox_token
