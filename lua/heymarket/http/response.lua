--- Answers: what one HTTP exchange says, and how far it can be trusted.
local answer = {}

local failure = require "heymarket.failure"
local json = require "heymarket.util.json"
local phones = require "heymarket.contact.phone"
local redact = require "heymarket.http.redact"
local retry = require "heymarket.http.retry"

local MAX_BODY_SHOWN = 2048 -- bytes of an answer that a failure carries
local MAX_BODY_DECODED = 64 * 1024 -- bytes of an answer that are decoded for a failure
local MAX_ID = 128 -- characters of a request id
local MAX_TEXT = 200 -- characters of a server's own words in a message

-- Takes off what JSON and HTTP call white space, in linear time even for megabytes of it.
local function trim(text)
  return text:match(".*[^ \t\r\n]", (text:match "^[ \t\r\n]*()")) or ""
end

--- Looks headers up by name. Most answers are asked for one or two of them, so nothing is taken apart beforehand.
---@param block string? header block as received
---@return fun(name: string): string[] header gives the values of all lines with that lower-case name
function answer.headers(block)
  block = block or ""
  local lowered
  return function(name)
    lowered = lowered or block:lower()
    local values = {}
    local start, last = lowered:find("\n" .. name .. ":", 1, true)
    while start do
      values[#values + 1] = trim(block:match("^[^\r\n]*", last + 1))
      start, last = lowered:find("\n" .. name .. ":", last + 1, true)
    end
    return values
  end
end

-- The server's clock. Two lines that differ tell no time.
local function date_of(headers)
  local dates = headers "date"
  for i = 2, #dates do
    if dates[i] ~= dates[1] then
      return nil
    end
  end
  return retry.http_date(dates[1])
end

-- Of several lines the longest wait holds.
local function retry_after(headers, now)
  local longest
  for _, value in ipairs(headers "retry-after") do
    local seconds = retry.after(value, date_of(headers) or now)
    longest = seconds and math.max(longest or 0, seconds) or longest
  end
  return longest
end

-- A page for people comes from something in front of the API: a login, a proxy, a maintenance notice.
local function is_page(headers, body)
  for _, value in ipairs(headers "content-type") do
    local media = value:lower():gsub("[ \t]", "")
    if media:find("text/html", 1, true) or media:find("xhtml", 1, true) then
      return true
    end
  end
  local start = body:sub(1, 1024):lower():match "^%s*<(.*)" or ""
  return start:find "^!doctype html" ~= nil or start:find "^html%f[^%w]" ~= nil
end

-- libcurl errors that mean "something answered, but not as this API does".
local STRANGE = {
  FILESIZE_EXCEEDED = "the answer is larger than this client takes",
  UNSUPPORTED_PROTOCOL = "the answer is not HTTP",
  WEIRD_SERVER_REPLY = "the answer is not one whole and well-formed HTTP answer to this request",
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

local function transport_failure(result, redactor)
  local code = result.code
  local delivered = result.sent and "maybe" or "no"
  local message
  local words = redactor:hide(result.message or "")
  if words == "" or redactor:shows_token(words) then
    words = nil
  end
  if code == "OPERATION_TIMEDOUT" then
    return failure.new(
      "timeout",
      result.sent and "no answer came in time" or "no connection came about in time",
      { code = code, delivered = delivered, retryable = true }
    )
  elseif result.sent and STRANGE[code] then
    message = STRANGE[code]
    if code == "WEIRD_SERVER_REPLY" and words then
      message = message .. ": " .. words
    end
    return failure.new("unexpected", message, { code = code, delivered = delivered, retryable = true })
  end
  message = result.sent and "the connection broke before the answer was complete" or "the server was not reached"
  if words then
    message = message .. ": " .. words
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
local function status_failure(result, headers, words, now)
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
  if words then
    message = message .. ": " .. shorten(words, MAX_TEXT)
  end
  return failure.new(kind, message, {
    status = status,
    delivered = delivered,
    retryable = retryable,
    retry_after = retry_after(headers, now),
  })
end

-- What is kept of a listed contact. A whole contact of the API is far smaller; a journal can read it again.
local LISTED = { bytes = 16 * 1024, values = 512, depth = 32 }
-- What is kept of the JSON of an error: each contact of a large import may end with one of its own.
local DETAILS = { bytes = 8 * 1024, values = 256, depth = 32 }

-- The digits of the phone in a listed contact, whichever way the server wrote them. A number with a point or an
-- exponent is no phone, even where its value is whole.
local function phone_of(item, fractions)
  if type(item) ~= "table" or fractions[item] and fractions[item].phone then
    return nil
  end
  return phones.of_answer(item.phone)
end

local function is_array(value)
  return type(value) == "table" and (#value > 0 or getmetatable(value) == json.array_mark)
end

---@class heymarket.Listed a contact that an answer lists as not created or overwritten
---@field phone string? its digits; nil where it has none that can be read
---@field remote table? what the server returned, where there is a phone
---@field truncated boolean? true where that was too large to keep whole

-- Reads the answer to a batch of contacts.
local function read_listed(body)
  local trimmed = trim(body)
  -- An empty body means "nothing was refused". That it is whole is known: it would have a code otherwise.
  if trimmed == "" or trimmed == "ok" or trimmed == '"ok"' or trimmed == "null" then
    return {}
  end
  local ok, value, facts = json.decode(body)
  if not ok then
    return nil, "the answer is not JSON: " .. value
  elseif not is_array(value) then
    return nil, 'the answer is neither an array of contacts nor "ok"'
  end
  -- Where the whole answer is that small, no contact needs to be measured.
  local small = #body <= LISTED.bytes and facts.values <= LISTED.values and facts.depth <= LISTED.depth
  local listed = {}
  for i, item in ipairs(value) do
    local phone = phone_of(item, facts.fractions)
    listed[i] = { phone = phone }
    if phone then
      local remote, cut = item, false
      if not small then
        remote, cut = json.bounded(item, LISTED)
      end
      listed[i].remote, listed[i].truncated = remote, cut or nil
    end
  end
  return listed
end

-- A server that writes our token into the contacts that it lists could bring it into reports and journals. Of such an
-- answer only ids and phones are kept.
local function hide_echoes(listed, body, redactor)
  if #listed == 0 or not redactor:shows_token(body) then
    return
  end
  for _, item in ipairs(listed) do
    local id = item.remote and item.remote.id
    if type(id) == "string" and redactor:shows_token(id) or type(id) == "table" then
      id = nil
    end
    item.remote = item.remote and { id = id, phone = item.phone }
    item.truncated = item.remote and true
  end
end

-- Reads the answer of `GET /v1/inboxes`: an array, or an object that holds one, as an older guide shows it.
local function read_inboxes(body)
  local ok, value = json.decode(body)
  if not ok then
    return nil, "the answer is not JSON: " .. value
  elseif not is_array(value) and not (type(value) == "table" and is_array(value.inboxes)) then
    return nil, "the answer is no list of inboxes: check base_url"
  end
  return {}
end

-- What a failure may show of a body: its start, and its JSON. Where a piece of the token is in it, nothing.
local function shown_of(body, redactor)
  local text = redactor:hide(body)
  -- A token that begins in what is shown is seen whole, even where each of its characters is escaped.
  if redactor:shows_token(text:sub(1, MAX_BODY_DECODED)) then
    return nil, nil
  end
  local details, echoed
  if #text <= MAX_BODY_DECODED then
    local ok, value = json.decode(text)
    details, echoed = redactor:value(ok and value or nil)
  end
  -- Where only the decoded text shows an echo, it still stands in the body, in one of many ways to escape it.
  if redactor:shows_request(text:sub(1, MAX_BODY_DECODED)) then
    return nil, echoed and details or nil
  end
  local start = not echoed and text ~= "" and shorten(text, MAX_BODY_SHOWN) or nil
  return start, details
end

-- The request id of an answer, fit for a log.
local function request_id(headers, redactor)
  local id = headers("x-request-id")[1]
  id = id and redactor:hide((id:gsub("[^\33-\126]", "")))
  return id and not redactor:shows_token(id) and id:sub(1, MAX_ID) or nil
end

--- Reads what came of one request.
---@param result table what the transport gave
---@param options table `token` and body `sent`, `now` Unix time, `inboxes` true where a list of inboxes was asked
--- for
---@return heymarket.Listed[]? listed the contacts that the answer lists; nil when there is a failure
---@return heymarket.Failure?
---@return {request_id: string?, date: number?} about the id of the answer, and the server's clock (Unix seconds)
function answer.read(result, options)
  local headers = answer.headers(result.headers)
  local redactor = redact.new(options.token, options.sent)
  local about = { request_id = request_id(headers, redactor), date = date_of(headers) }
  local problem
  if result.code then
    problem = transport_failure(result, redactor)
    problem.request_id = about.request_id
    return nil, problem, about
  end
  local body = result.body or ""
  local page = is_page(headers, body)
  local message = page and "the answer is a web page, not an answer of this API: check base_url and proxy"
  if result.status == 200 and not page then
    local read = options.inboxes and read_inboxes or read_listed
    local listed
    listed, message = read(body)
    if listed then
      hide_echoes(listed, body, redactor)
      return listed, nil, about
    end
  end
  local shown, details = shown_of(body, redactor)
  if result.status == 200 then
    problem = failure.new("unexpected", message, {
      status = 200,
      delivered = "maybe",
      retryable = true,
    })
  else
    problem = status_failure(result, headers, words_of(details), options.now)
    if page or result.early then
      -- Something in front of the API said this, or the API before it had the whole request: what became of the
      -- request is not known, even where the answer tells how to go on.
      problem.delivered = "maybe"
    end
  end
  problem.request_id, problem.body = about.request_id, shown
  local cut
  problem.details, cut = json.bounded(details, DETAILS)
  problem.details_truncated = cut or nil
  return nil, problem, about
end

return answer
