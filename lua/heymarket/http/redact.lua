--- Redact: takes the token and the body of a request out of what is shown of its response.
---
--- A server may echo what it was sent. Then both would be in a failure, and from there in a log.
local redact = {}

local utf8_of = require("heymarket.util.text").utf8_of

local SIGNATURE_LENGTH = 43 -- of HS256, in base64url
-- Any 15 characters of the signature contain at least one of its blocks of 8.
local BLOCK = 8
local MAX_LAYERS = 4 -- of escapes within escapes

local Redactor = {}
Redactor.__index = Redactor

-- The secrets of each redactor. They are in no field, so that no table of a call shows them.
local secrets_of = setmetatable({}, { __mode = "k" })

local function replace(text, found, by)
  -- The plain search comes first because it nearly always finds nothing, and makes no pattern.
  return text:find(found, 1, true) and text:gsub((found:gsub("%p", "%%%0")), by) or text
end

local function from_hex(digits)
  return utf8_of(tonumber(digits, 16))
end

local function from_pair(high, low)
  return utf8_of(0x10000 + (tonumber(high, 16) - 0xD800) * 0x400 + tonumber(low, 16) - 0xDC00)
end

local function from_byte(digits)
  return string.char(tonumber(digits, 16))
end

local function from_decimal(digits)
  return utf8_of(tonumber(digits))
end

-- Takes one layer of escapes off: those of JSON and JavaScript, of URLs and of HTML.
local function unescaped(text)
  -- Several backslashes become one: they are not compared, and without this the patterns below take quadratic time.
  text = text:gsub("\\+", "\\")
  text = text:gsub("\\u([dD][89abAB]%x%x)\\u([dD][c-fC-F]%x%x)", from_pair)
  text = text:gsub("\\u(%x%x%x%x)", from_hex):gsub("\\u{0*(%x%x?%x?%x?)}", from_hex):gsub("\\x(%x%x)", from_hex)
  return (
    text:gsub("%%(%x%x)", from_byte):gsub("&#[xX]0*(%x%x?%x?%x?);", from_hex):gsub("&#0*(%d%d?%d?%d?);", from_decimal)
  )
end

-- Is `found(plain)` true for the text, or for what its escapes stand for?
local function any_layer(text, found)
  for _ = 1, MAX_LAYERS do
    if found(text) then
      return true
    end
    local plain = text:find "[\\%%&]" and unescaped(text) or text
    if plain == text then
      return false
    end
    text = plain
  end
  return found(text)
end

--- Makes the redactor of one request.
---@param token string? that was sent
---@param sent string? body that was sent
---@return table redactor
function redact.new(token, sent)
  local made = setmetatable({}, Redactor)
  secrets_of[made] = { token = token, signature = token and token:sub(-SIGNATURE_LENGTH), sent = sent }
  return made
end

--- The text with marks in place of the token and the body.
---@param text string
---@return string
function Redactor:hide(text)
  local secrets = secrets_of[self]
  if secrets.token then
    text = replace(replace(text, secrets.token, "[token]"), secrets.signature, "[token]")
  end
  return secrets.sent and replace(text, secrets.sent, '"[request]"') or text
end

--- Does the text show a part of the token, perhaps escaped or with other characters in between?
---@param text string
---@return boolean
function Redactor:shows_token(text)
  local signature = secrets_of[self].signature
  if not signature then
    return false
  end
  return any_layer(text, function(plain)
    local squeezed = plain:gsub("[^A-Za-z0-9_-]+", "")
    for first = 1, #signature - BLOCK + 1, BLOCK do
      if squeezed:find(signature:sub(first, first + BLOCK - 1), 1, true) then
        return true
      end
    end
    return false
  end)
end

-- Two ways to write the same JSON differ in white space and escapes only.
local function squeezed_json(text)
  return (text:gsub("[%s\\]+", ""))
end

--- Does the text show the whole body, perhaps with other white space or escapes?
---@param text string
---@return boolean
function Redactor:shows_request(text)
  local secrets = secrets_of[self]
  -- Without the brackets of the array, since a server may echo a single contact without them.
  local inner = secrets.sent and squeezed_json(secrets.sent:sub(2, -2)) or ""
  if inner == "" or #text < #inner then
    return false
  end
  return any_layer(text, function(plain)
    return squeezed_json(plain):find(inner, 1, true) ~= nil
  end)
end

--- Decoded JSON without the token and the body, in keys and in values.
---@param value any
---@return any clean a copy
---@return boolean found was there anything to take out?
function Redactor:value(value)
  local found = false
  if type(value) == "string" then
    local clean = self:hide(value)
    return clean, clean ~= value
  elseif type(value) ~= "table" then
    return value, false
  end
  local copy = setmetatable({}, getmetatable(value))
  for key, item in pairs(value) do
    local clean_key, key_found = self:value(key)
    local clean, item_found = self:value(item)
    copy[clean_key] = clean
    found = found or key_found or item_found
  end
  return copy, found
end

return redact
