--- Responses: what came of one try of a request, and whether it can be trusted.
local response = {}

local date = require "heymarket.http.date"
local failure = require "heymarket.failure"
local json = require "heymarket.util.json"
local redact = require "heymarket.http.redact"
local text = require "heymarket.util.text"

local MAX_BODY_SHOWN = 2048 -- bytes of a body that a failure carries
local MAX_BODY_DECODED = 64 * 1024 -- bytes of a body that are decoded for a failure
local MAX_ID = 128 -- characters of a request id
local MAX_WORDS = 200 -- bytes of a server's own words in a message
-- What a failure keeps of the JSON of a response: each contact of a large import may end with a failure of its own.
local DETAILS = { bytes = 8 * 1024, values = 256, depth = 32 }

---@class heymarket.Response
---@field status integer?
---@field body string
---@field request_id string? fit for a log
---@field date number? the server's clock, Unix seconds
local Response = {}
Response.__index = Response

-- Takes off what JSON and HTTP call white space, in linear time even for megabytes of it.
local function trim(value)
  return value:match(".*[^ \t\r\n]", (value:match "^[ \t\r\n]*()")) or ""
end

-- The values of all lines of a header, by its lower-case name. Most responses are asked for a few headers, so nothing
-- is taken apart beforehand.
local function values_of(headers, name)
  local lowered, values = headers.lowered, {}
  local start, last = lowered:find("\n" .. name .. ":", 1, true)
  while start do
    values[#values + 1] = trim(headers.block:match("^[^\r\n]*", last + 1))
    start, last = lowered:find("\n" .. name .. ":", last + 1, true)
  end
  return values
end

-- The server's clock. Two lines that differ tell no time.
local function date_of(headers)
  local dates = values_of(headers, "date")
  for i = 2, #dates do
    if dates[i] ~= dates[1] then
      return nil
    end
  end
  return date.parse(dates[1])
end

-- Of several lines the longest wait counts.
local function retry_after(headers, now)
  local longest
  for _, value in ipairs(values_of(headers, "retry-after")) do
    local seconds = date.retry_after(value, now)
    longest = seconds and math.max(longest or 0, seconds) or longest
  end
  return longest
end

-- A page for people comes from something in front of the API: a login, a proxy, a maintenance notice.
local function is_page(headers, body)
  for _, value in ipairs(values_of(headers, "content-type")) do
    local media = value:lower():gsub("[ \t]", "")
    if media:find("text/html", 1, true) or media:find("xhtml", 1, true) then
      return true
    end
  end
  local start = body:sub(1, 1024):lower():match "^%s*<(.*)" or ""
  return start:find "^!doctype html" ~= nil or start:find "^html%f[^%w]" ~= nil
end

-- libcurl's errors that mean "something responded, but not as this API does".
local ODD_RESPONSES = {
  FILESIZE_EXCEEDED = "response_too_large",
  UNSUPPORTED_PROTOCOL = "response_not_http",
  WEIRD_SERVER_REPLY = "response_malformed",
  BAD_CONTENT_ENCODING = "response_encoded",
  TOO_LARGE = "response_headers_too_large",
  HTTP2 = "response_breaks_http2",
  HTTP2_STREAM = "response_breaks_http2",
}

-- Errors that stay until somebody changes something on this machine or on the server, and what to do about them.
local LASTING = {
  PEER_FAILED_VERIFICATION = "advise_certificate",
  SSL_CACERT_BADFILE = "advise_ca_file",
  SSL_CERTPROBLEM = "advise_client_certificate",
  SSL_CIPHER = "advise_cipher",
  URL_MALFORMAT = "advise_address",
  UNSUPPORTED_PROTOCOL = "advise_address",
  BAD_FUNCTION_ARGUMENT = "advise_user_agent",
}

-- The failure of a try that got no response.
local function transport_failure(self, result)
  local code, sent = result.code, result.sent
  local words = self.redactor:hide(result.message or "")
  if words == "" or self.redactor:shows_token(words) then
    words = nil
  end
  if result.problem then
    words = { code = result.problem, values = { detail = words } }
  end
  local facts = { code = code, delivered = sent and "maybe" or "no", retryable = true, request_id = self.request_id }
  if code == "OPERATION_TIMEDOUT" then
    return failure.make("timeout", sent and "response_timeout" or "connection_timeout", nil, facts)
  elseif sent and ODD_RESPONSES[code] then
    return failure.make("unexpected", ODD_RESPONSES[code], { words = words }, facts)
  end
  facts.retryable = not LASTING[code]
  local advice = LASTING[code] and { code = LASTING[code] }
  local message = sent and "connection_broke" or "unreachable"
  return failure.make("network", message, { words = words, advice = advice }, facts)
end

-- A server's own words. The shape of an error body is not documented: the likely names are tried in turn.
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
  return words[1] and text.beginning(table.concat(words, ": "), MAX_WORDS)
end

local KINDS = { [401] = "unauthorized", [403] = "denied", [413] = "too_large", [429] = "rate_limited" }

-- Kind, code of the message, delivered and retryable of a status other than 200.
local function judge_status(status)
  if status == 408 or status == 425 then
    -- A proxy says that it gave up waiting: what it had passed on by then is not known.
    return "bad_data", "request_timeout", "maybe", true
  elseif status >= 400 and status < 500 then
    -- Nobody acts on these before they know who asks, or on data that they refuse to read.
    local kind = KINDS[status] or "bad_data"
    return kind, (status == 404 or status == 405) and "no_such_call" or kind, "no", kind == "rate_limited"
  elseif status >= 500 and status < 600 then
    return "server", "server", "maybe", true
  end
  return "unexpected", status >= 300 and status < 400 and "redirected" or "unexpected_status", "maybe", false
end

-- What a failure may show of the body: its start, and its JSON. Where a piece of the token is in it, nothing.
local function shown_of(body, redactor)
  local hidden = redactor:hide(body)
  -- A token that begins in what is shown is seen whole, even where each of its characters is escaped.
  if redactor:shows_token(hidden:sub(1, MAX_BODY_DECODED)) then
    return nil, nil
  end
  local details, echoed
  if #hidden <= MAX_BODY_DECODED then
    local ok, value = json.decode(hidden)
    details, echoed = redactor:value(ok and value or nil)
  end
  -- Where only the decoded text shows an echo, it still stands in the body, in one of many ways to escape it.
  if redactor:shows_request(hidden:sub(1, MAX_BODY_DECODED)) then
    return nil, echoed and details or nil
  end
  return not echoed and hidden ~= "" and text.beginning(hidden, MAX_BODY_SHOWN) or nil, details
end

-- Makes the failure of this response; `judge(words)` gives it without the facts that every response has.
local function failure_of(self, judge)
  local shown, details = shown_of(self.body, self.redactor)
  local problem = judge(words_of(details))
  problem.status, problem.request_id, problem.body = self.status, self.request_id, shown
  local cut
  problem.details, cut = json.bounded(details, DETAILS)
  problem.details_truncated = cut or nil
  return problem
end

-- The failure of a status other than 200.
local function status_failure(self, now)
  return failure_of(self, function(words)
    local kind, code, delivered, retryable = judge_status(self.status)
    if self.page or self.early then
      -- Something in front of the API said this, or the API before it had the whole request: what was done with the
      -- request is not known, even where the response tells how to go on.
      delivered = "maybe"
    end
    local values = { words = words, status = self.status }
    values.advice = kind == "unauthorized" and { code = self.advice } or nil
    return failure.make(kind, code, values, {
      delivered = delivered,
      retryable = retryable,
      retry_after = retry_after(self.headers, self.date or now),
      reason = self.page and "page" or nil,
    })
  end)
end

--- The failure of a 200 response that is not what its endpoint gives.
---@param code string of the message
---@param values table<string, any>?
---@return heymarket.Failure
function Response:unexpected(code, values)
  return failure_of(self, function()
    return failure.make("unexpected", code, values, { delivered = "maybe", retryable = true })
  end)
end

--- The body without white space around it.
---@return string
function Response:trimmed()
  return trim(self.body)
end

--- Does a text show a piece of the token that was sent?
---@param value string? the body, unless given
---@return boolean
function Response:shows_token(value)
  return self.redactor:shows_token(value or self.body)
end

-- The request id of a response, fit for a log.
local function request_id(headers, redactor)
  local id = values_of(headers, "x-request-id")[1]
  id = id and redactor:hide((id:gsub("[^\33-\126]", "")))
  return id and not redactor:shows_token(id) and id:sub(1, MAX_ID) or nil
end

-- Reads what came of one try. Returns a response, and a failure unless it is a 200 that its endpoint may read.
local function read(result, sent)
  local block = result.headers or ""
  local headers, redactor = { block = block, lowered = block:lower() }, redact.new(sent.token, sent.body)
  local self = setmetatable({
    status = result.status,
    body = result.body or "",
    headers = headers,
    redactor = redactor,
    early = result.early,
    advice = sent.advice,
    request_id = request_id(headers, redactor),
    date = date_of(headers),
  }, Response)
  if result.code then
    return self, transport_failure(self, result)
  end
  self.page = is_page(headers, self.body)
  if self.status ~= 200 then
    return self, status_failure(self, sent.now)
  elseif self.page then
    return self, self:unexpected "response_is_page"
  end
  return self
end

--- Reads what came of one try of a request, and has its endpoint read the response.
---@param result table what the transport gave
---@param endpoint heymarket.Endpoint
---@param sent table `token` and `body` that were sent, `now` Unix time; `advice`, a code: what to check after a 401
---@return any value what the endpoint has read; nil where there is a failure
---@return heymarket.Failure? problem
---@return heymarket.Response
function response.value_of(result, endpoint, sent)
  local self, problem = read(result, sent)
  if problem then
    return nil, problem, self
  end
  local value, code, values = endpoint.read(self)
  if value == nil then
    problem = self:unexpected(code, values)
  end
  return value, problem, self
end

return response
