--- Answers: what one HTTP exchange says, and how far it can be trusted.
local answer = {}

local contact = require "heymarket.contact"
local failure = require "heymarket.failure"
local json = require "heymarket.json"
local retry = require "heymarket.retry"

local MAX_BODY_SHOWN = 2048 -- bytes of an answer that a failure carries
local MAX_TEXT = 200 -- characters of a server's own words in a message

-- In linear time, even for megabytes of spaces from a strange server.
local function trim(text)
  return text:match(".*%S", (text:match "^%s*()")) or ""
end

--- Looks headers up by name. Most answers are asked for one or two of them, so nothing is taken apart beforehand.
---@param block string? header block as received
---@return fun(name: string): string? header gives the first value by that lower-case name
function answer.headers(block)
  block = block or ""
  local lowered
  return function(name)
    lowered = lowered or block:lower()
    local _, last = lowered:find("\n" .. name .. ":", 1, true)
    return last and trim(block:match("^[^\r\n]*", last + 1))
  end
end

-- libcurl errors that mean "something answered, but not as this API does".
local STRANGE = {
  FILESIZE_EXCEEDED = "the answer is larger than this client takes",
  UNSUPPORTED_PROTOCOL = "the answer is not HTTP",
  WEIRD_SERVER_REPLY = "the answer is not HTTP",
  BAD_CONTENT_ENCODING = "the answer is encoded in a way that was not asked for",
  TOO_LARGE = "the answer's headers are larger than this client takes",
  HTTP2 = "the answer breaks the rules of HTTP/2",
  HTTP2_STREAM = "the answer breaks the rules of HTTP/2",
}

-- Errors that stay until somebody changes something on this machine or on the server.
local LASTING = {
  PEER_FAILED_VERIFICATION = "check the certificate of base_url, or give the right ca_file",
  SSL_CACERT_BADFILE = "check ca_file",
  SSL_CERTPROBLEM = "check the certificate",
  SSL_CIPHER = "the server offers no acceptable cipher",
  URL_MALFORMAT = "check base_url",
  UNSUPPORTED_PROTOCOL = "check base_url",
  BAD_FUNCTION_ARGUMENT = "check user_agent and base_url",
}

local SIGNATURE_LENGTH = 43 -- of HS256, in base64url

local function replace(text, found, by)
  local parts, from = {}, 1
  local first, last = text:find(found, 1, true)
  while first do
    parts[#parts + 1] = text:sub(from, first - 1)
    parts[#parts + 1] = by
    from = last + 1
    first, last = text:find(found, from, true)
  end
  return from == 1 and text or table.concat(parts) .. text:sub(from)
end

-- A server that echoes what it got could put our token into a failure, and from there into a log.
local function without_token(text, token)
  if not token or #text < SIGNATURE_LENGTH then
    return text
  end
  return replace(replace(text, token, "[token]"), token:sub(-SIGNATURE_LENGTH), "[token]")
end

-- The same for the contacts: what a person reads in a log must not be somebody's address book.
local function without_request(text, sent)
  return sent and replace(text, sent, '"[request]"') or text
end

-- Decoded JSON without what `hide` takes out of its strings; and whether there was anything to take out.
local function scrub(value, hide)
  local found = false
  if type(value) == "string" then
    local clean = hide(value)
    return clean, clean ~= value
  elseif type(value) == "table" then
    for key, item in pairs(value) do
      local clean, changed = scrub(item, hide)
      value[key] = clean
      found = found or changed
    end
  end
  return value, found
end

local function transport_failure(result, hide)
  local code = result.code
  local delivered = result.sent and "maybe" or "no"
  if code == "OPERATION_TIMEDOUT" then
    return failure.new(
      "timeout",
      result.sent and "no answer came in time" or "no connection came about in time",
      { code = code, delivered = delivered, retryable = true }
    )
  elseif result.sent and STRANGE[code] then
    return failure.new("unexpected", STRANGE[code], { code = code, delivered = delivered, retryable = true })
  end
  local message = result.sent and "the connection broke before the answer was complete" or "the server was not reached"
  if result.message and result.message ~= "" then
    message = message .. ": " .. hide(result.message)
  end
  if LASTING[code] then
    message = message .. "; " .. LASTING[code]
  end
  return failure.new("network", message, { code = code, delivered = delivered, retryable = not LASTING[code] })
end

-- The shape of an error body is not documented: the likely names are tried in turn.
local function words_of(details)
  if type(details) ~= "table" then
    return type(details) == "string" and details or nil
  end
  local words = {}
  for _, name in ipairs { "error_code", "code", "error", "message" } do
    local value = details[name]
    if type(value) == "table" then
      value = words_of(value)
    end
    if type(value) == "string" or type(value) == "number" then
      words[#words + 1] = tostring(value)
    end
  end
  return words[1] and table.concat(words, ": ")
end

-- A cut in the middle of a UTF-8 sequence would make a failure that cannot be written as JSON.
local function shorten(s, size)
  if #s <= size then
    return s
  end
  local last = size
  while last > 0 and last > size - 4 and s:byte(last + 1) >= 0x80 and s:byte(last + 1) < 0xC0 do
    last = last - 1
  end
  return s:sub(1, last)
end

local KINDS = { [401] = "unauthorized", [403] = "denied", [413] = "too_large", [429] = "rate_limited" }

local ADVICE = {
  unauthorized = "the credentials were not accepted: check secret_id, secret_key and this machine's clock",
  denied = "the credentials are valid but give no access to this: check the rights of the API key's team",
  bad_data = "the server refused the data",
  too_large = "the request is too large for the server",
  rate_limited = "too many requests",
  server = "the server failed",
}

-- Nobody acts on these before they know who asks, or on data that they refuse to read.
local function status_failure(result, headers, details, now)
  local status = result.status
  local kind = KINDS[status]
    or (status >= 400 and status < 500 and "bad_data")
    or (status >= 500 and status < 600 and "server")
    or "unexpected"
  local message = ADVICE[kind]
  local delivered, retryable = "no", kind == "rate_limited"
  if kind == "server" then
    delivered, retryable = "maybe", true
  elseif status == 408 or status == 425 then
    -- A proxy's word that it gave up waiting: what it had passed on by then is not known.
    delivered, retryable = "maybe", true
    message = "the server gave up waiting for the request"
  elseif kind == "unexpected" then
    delivered = "maybe"
    message = status >= 300 and status < 400 and "the server redirects, which this API does not do: check base_url"
      or ("the server answered with status %d, which this API does not give"):format(status)
  end
  local words = words_of(details)
  if words then
    message = message .. ": " .. shorten(words, MAX_TEXT)
  end
  return failure.new(kind, message, {
    status = status,
    delivered = delivered,
    retryable = retryable,
    details = details,
    retry_after = retry.after(headers "retry-after", retry.http_date(headers "date") or now),
  })
end

-- An empty body means "nothing was refused", so it must be certain that it is empty: without a length, an answer that
-- was cut off after its headers looks the same. HTTP/1.0 and an announced close are the cases where that is regular.
local function is_framed(result, headers)
  return headers "content-length"
    or (headers "transfer-encoding" or ""):lower():find("chunked", 1, true)
    or result.http_version ~= 1.1
    or (headers "connection" or ""):lower():find("close", 1, true)
end

local function read_body(result, headers, body)
  local trimmed = trim(body)
  if trimmed == "" then
    if is_framed(result, headers) then
      return {}
    end
    return nil, "the answer ends after its headers and does not say whether that is all"
  elseif trimmed == "ok" or trimmed == '"ok"' or trimmed == "null" or trimmed == "[]" then
    return {}
  end
  local ok, value = json.decode(trimmed)
  if not ok then
    return nil, "the answer is not JSON", true
  elseif trimmed:sub(1, 1) ~= "[" then
    return nil, 'the answer is neither an array of contacts nor "ok"'
  end
  return value
end

--- Reads what came of one request.
---@param result table what the transport gave
---@param options table `token` and body `sent`, `now` Unix time, `status_only` true where the body does not matter
---@return table[]? refused the contacts that the answer lists; nil when there is a failure
---@return heymarket.Failure?
---@return fun(name: string): string? headers
function answer.read(result, options)
  local headers = answer.headers(result.headers)
  local function hide(text)
    return without_request(without_token(text, options.token), options.sent)
  end
  if result.code then
    local problem = transport_failure(result, hide)
    problem.request_id = answer.request_id(headers, options.token)
    return nil, problem, headers
  end
  local body = without_token(result.body or "", options.token)
  local message
  if result.status == 200 then
    if options.status_only then
      return {}, nil, headers
    end
    local refused
    refused, message = read_body(result, headers, body)
    if refused then
      return refused, nil, headers
    end
  end
  body = without_request(body, options.sent)
  local ok, details = json.decode(body)
  local echoed
  details, echoed = scrub(ok and details or nil, hide)
  local problem
  if message then
    problem = failure.new("unexpected", message, {
      status = 200,
      delivered = "maybe",
      retryable = true,
      details = details,
    })
  else
    problem = status_failure(result, headers, details, options.now)
  end
  problem.request_id = answer.request_id(headers, options.token)
  -- Where only the decoded text shows an echo, it still stands in the body, in one of many ways to escape it.
  if body ~= "" and not echoed then
    problem.body = shorten(body, MAX_BODY_SHOWN)
  end
  return nil, problem, headers
end

--- The request id of an answer, fit for a log.
---@param headers fun(name: string): string?
---@param token string? that was sent
---@return string?
function answer.request_id(headers, token)
  local id = headers "x-request-id"
  return id and without_token(id, token):gsub("[^\33-\126]", ""):sub(1, 128)
end

--- The digits of the phone in a contact that the server returned, whichever way it wrote them.
---@param remote any
---@return string? digits
function answer.phone(remote)
  return type(remote) == "table" and contact.phone(remote.phone, false) or nil
end

return answer
