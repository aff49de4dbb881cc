--- A sign-up form for text messages, in nginx: takes JSON, creates the contact, answers JSON.
---
--- `answer` is all of it and knows nothing of nginx, so that it can be tested with the sandbox (signup_spec.lua).
--- `open` and `serve` join it to nginx (signup.nginx.conf).
local signup = {}

local cjson = require "cjson.safe"
local heymarket = require "heymarket"

local json = cjson.new()

-- The fields that a visitor may set. Other fields of the body are ignored: a browser must not set tags, an owner or an
-- opt-out.
local FIELDS = { "phone", "email", "first", "last" }

-- A visitor sees these messages. Those of a failure may name our configuration or quote the server.
local ADVICE = {
  phone = "must be a phone number, such as +1 234 567 8900",
  email = "must be an email address, such as ann@example.com",
  first = "must be a name on one line",
  last = "must be a name on one line",
}

local LATER = "This cannot be done at the moment. Please try again later."
local FAULT = "Something is wrong on our side."
local NOT_ACCEPTED = "These details were not accepted."
local UNCONFIRMED = "Your details were sent, but we have no confirmation yet that they were stored. "
  .. "You may send them again: nobody is signed up twice."

-- A person is waiting for the answer, so these are far below the defaults, which suit an import.
local CALL = { timeout = 5, max_attempts = 3, deadline = 8 } -- seconds, but for the second
local RETRY_AFTER = 30 -- seconds, where the server named none

-- Statuses of the API that can be the fault of one contact. The others concern the call itself.
local REFUSED = { [400] = true, [409] = true, [413] = true, [422] = true }

local function response(status, value, headers)
  headers = headers or {}
  headers["Content-Type"] = "application/json"
  headers["Cache-Control"] = "no-store"
  return { status = status, headers = headers, body = json.encode(value) }
end

local function refusal(status, code, message, headers)
  return response(status, { error = code, message = message }, headers)
end

local function invalid(issues)
  local fields = {}
  for _, issue in ipairs(issues) do
    if ADVICE[issue.field] then
      fields[issue.field] = ADVICE[issue.field]
    end
  end
  return response(422, { error = "invalid", fields = fields })
end

-- One line for the operators. It holds nothing about the visitor, and no text of the server's, which may.
local function line_of(failure)
  local facts = { "signup: " .. failure.kind }
  for _, name in ipairs { "status", "code", "attempts", "delivered", "request_id" } do
    if failure[name] ~= nil then
      facts[#facts + 1] = name .. "=" .. tostring(failure[name])
    end
  end
  return table.concat(facts, " ")
end

local function of_failure(failure)
  if failure.kind == "invalid" then
    return invalid(failure.issues)
  end
  local line = line_of(failure)
  if failure.kind == "refused" and not failure.report.items[1].ambiguous then
    -- The API listed the contact, and the account does not hold it.
    return refusal(422, "refused", NOT_ACCEPTED), line
  elseif failure.delivered == "maybe" then
    return response(202, { status = "unconfirmed", message = UNCONFIRMED }), line
  elseif failure.kind == "rate_limited" or failure.kind == "timeout" or failure.kind == "network" then
    local seconds = math.ceil(failure.retry_after or RETRY_AFTER)
    return refusal(503, "unavailable", LATER, { ["Retry-After"] = ("%.0f"):format(seconds) }), line
  elseif REFUSED[failure.status] then
    return refusal(422, "refused", NOT_ACCEPTED), line
  end
  return refusal(500, "internal", FAULT), line
end

-- The contact in a request; or nil and the answer to a request that has none.
local function contact_of(request)
  if request.method ~= "POST" then
    return nil, refusal(405, "method_not_allowed", "Use POST.", { Allow = "POST" })
  end
  local media_type = (request.content_type or ""):lower():match "^%s*([^;%s]*)"
  if media_type ~= "application/json" then
    return nil, refusal(415, "unsupported_media_type", "Send application/json.")
  end
  local sent = json.decode(request.body or "")
  if type(sent) ~= "table" or sent[1] ~= nil then
    return nil, refusal(400, "bad_request", "Send a JSON object.")
  end
  local contact = {}
  for _, name in ipairs(FIELDS) do
    if sent[name] ~= cjson.null then
      contact[name] = sent[name]
    end
  end
  return contact
end

--- Answers one request.
---@param client heymarket.Client
---@param request {method: string, content_type: string?, body: string?}
---@return {status: integer, headers: table<string, string>, body: string} response
---@return string? line for the error log, where the operators should know
function signup.answer(client, request)
  local contact, problem = contact_of(request)
  if not contact then
    return problem
  end
  local report, failure = client:create_contacts({ contact }, CALL)
  if not report then
    return of_failure(failure)
  end
  -- The contact is in the account now. A number that was there before gets the same answer, so that nobody can find out
  -- whose numbers we have.
  return response(200, { status = "ok" })
end

--- Makes the client, once and for all workers: for init_by_lua. Credentials come from the environment.
function signup.open()
  local client, failure = heymarket.new {
    default_country = "1",
    max_retry_after = 5, -- seconds; a visitor is rather told when to come back
    shared_dict = "heymarket",
    user_agent = "signup-example/1",
  }
  if not client then
    -- As text: of an error that is a table nginx logs "unknown error" here, and "unknown reason" in a handler.
    error(tostring(failure), 0)
  end
  signup.client = client
end

--- Answers the request that nginx is handling: for content_by_lua.
function signup.serve()
  local ngx = require "ngx"
  ngx.req.read_body()
  local answer, line = signup.answer(signup.client, {
    method = ngx.req.get_method(),
    content_type = ngx.var.content_type,
    body = ngx.req.get_body_data(),
  })
  if line then
    ngx.log(ngx.ERR, line)
  end
  ngx.status = answer.status
  for name, value in pairs(answer.headers) do
    ngx.header[name] = value
  end
  ngx.print(answer.body)
end

return signup
