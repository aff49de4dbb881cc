--- The parts of the sandbox's answers: bodies, dates and ids.
local answers = {}

local runtime = require "heymarket.runtime"
local sandbox_json = require "heymarket.sandbox.json"

local OVERSIZED = 9 * 1024 * 1024 -- bytes, more than a client takes
local JSON, TEXT, HTML = "application/json", "text/plain", "text/html"
local PAGE = "<!DOCTYPE html>\n<html><head><title>Sign in</title></head><body>Sign in to go on.</body></html>\n"

local function answer(status, content_type, body, headers)
  headers = headers or {}
  headers["Content-Type"] = content_type
  return { status = status, headers = headers, body = body }
end

--- Status 200 with a value as JSON.
function answers.json(value)
  return answer(200, JSON, sandbox_json.write(value))
end

local OK_BODIES = {
  quoted = { JSON, '"ok"' },
  raw = { TEXT, "ok" },
  array = { JSON, "[]" },
  null = { JSON, "null" },
  empty = { nil, "" },
}

--- The answer of the batch call that lists no contact.
function answers.ok(options)
  local body = OK_BODIES[options.ok]
  return answer(200, body[1], body[2])
end

local ERROR_CODES = {
  [400] = "bad_data",
  [401] = "unauthorized",
  [403] = "denied",
  [404] = "not_found",
  [405] = "method_not_allowed",
  [413] = "too_large",
  [429] = "rate_limited",
}

--- The answer to a request that is refused, in the shape of the option `error_shape`.
---@param field string? which part of the request is wrong
function answers.problem(options, status, message, field, headers)
  local shape = options.error_shape
  local code = ERROR_CODES[status] or status >= 500 and "server_error" or "error"
  local value = { message = message, field = field }
  if shape == "empty" then
    return answer(status, nil, "", headers)
  elseif shape == "text" then
    return answer(status, TEXT, code .. ": " .. message, headers)
  elseif shape == "error" then
    value = { error = code .. ": " .. message, field = field }
  elseif shape == "nested" then
    value.code = code
    value = { error = value }
  else
    value[shape] = code
  end
  return answer(status, JSON, sandbox_json.write(value), headers)
end

--- What is sent where a fault breaks the exchange: nothing, where the connection breaks.
function answers.of_fault(options, fault)
  if fault == "not_json" then
    return answer(200, JSON, "All contacts were processed.")
  elseif fault == "html" then
    return answer(200, HTML, PAGE)
  elseif fault == "redirect" then
    return answer(302, HTML, "", { Location = "https://elsewhere.invalid/" })
  elseif fault == "oversized" then
    return answer(200, JSON, (" "):rep(OVERSIZED))
  end
  return fault == "truncated" and answers.ok(options) or {}
end

--- A date as the API writes it in JSON, of Unix seconds.
function answers.date(time)
  local seconds = math.floor(time)
  return os.date("!%Y-%m-%dT%H:%M:%S", seconds) .. (".%03dZ"):format(math.floor((time - seconds) * 1000))
end

--- A date as headers have it, of Unix seconds. Its names are English whatever the locale is.
function answers.http_date(time)
  local t = os.date("!*t", math.floor(time))
  local day = ("SunMonTueWedThuFriSat"):sub(t.wday * 3 - 2, t.wday * 3)
  local month = ("JanFebMarAprMayJunJulAugSepOctNovDec"):sub(t.month * 3 - 2, t.month * 3)
  return os.date(("!%s, %%d %s %%Y %%H:%%M:%%S GMT"):format(day, month), math.floor(time))
end

--- A random UUID (RFC 9562, version 4).
function answers.uuid()
  return (
    ("xxxxxxxx-xxxx-4xxx-yxxx-xxxxxxxxxxxx"):gsub("[xy]", function(letter)
      local digit = math.floor(runtime.random() * 16)
      return ("%x"):format(letter == "x" and digit or 8 + digit % 4)
    end)
  )
end

return answers
