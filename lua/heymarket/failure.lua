--- Failures: what went wrong, as a plain table whose every fact is a plain field.
local failure = {}

local messages = require "heymarket.messages"
local text = require "heymarket.util.text"

local one_line = text.one_line

-- Messages of tries that certainly did not reach the server.
local NOT_REACHED = { unreachable = true, connection_timeout = true }

---@class (exact) heymarket.Issue
---@field index? integer which contact of the call (1 is the first); nil where the mistake is not a contact's
---@field field? string name of the field or option
---@field message string what is wrong and how to fix it; it goes on after the name of the field
---@field code? string of the message, see heymarket.messages
---@field values? table<string, any> what stands in the message
---@field is_option? boolean `field` is the name of an option

---@class (exact) heymarket.Failure
---@field kind string invalid, network, timeout, unauthorized, denied, bad_data, too_large, rate_limited, server,
---unexpected, refused, context, source, journal or stopped
---@field message string one line for a person
---@field delivered "no"|"maybe" "no": the server certainly did not act on it
---@field retryable boolean would the same call have a chance later
---@field status? integer HTTP status
---@field request_id? string X-Request-Id of the answer: the vendor's support asks for it
---@field body? string start of the answer's body, at most 2 KiB
---@field details? any decoded JSON of the answer's body, where that has at most 64 KiB
---@field details_truncated? boolean its large parts are left out
---@field code? string libcurl's name for a transport error, such as "COULDNT_CONNECT"
---@field reason? string a code where `kind` does not say enough: "max_failures", "superseded", "internal_error",
---"no_memory", "interrupted", "credentials", "outage", "page" (the answer is a web page); of a journal "other_input",
---"other_options", "version", "not_journal", "not_regular", "in_use", "damaged", "changed"
---@field retry_after? number seconds to wait: as the server asked, or until the pace allows a request
---@field attempts? integer tries made
---@field issues? heymarket.Issue[] for kind "invalid"
---@field message_code? string of the message, see heymarket.messages
---@field values? table<string, any> what stands in the message
---@field report? heymarket.Report what had been done before the failure
local Failure = { __name = "heymarket.Failure" }

--- A failure on one line, with its kind and the facts that support asks for.
---@param problem heymarket.Failure
---@param names "library"|"command"|nil how its message calls options
---@return string
function failure.line(problem, names)
  local facts = {}
  local function add(fact)
    facts[#facts + 1] = fact
  end
  add(problem.status and "status " .. problem.status)
  add(problem.code)
  if problem.status and problem.retry_after then
    add(("retry after %.0f s"):format(math.ceil(problem.retry_after)))
  end
  add(problem.request_id and "request id " .. problem.request_id)
  add(problem.attempts and problem.attempts > 1 and problem.attempts .. " attempts" or nil)
  local acted_on = NOT_REACHED[problem.message_code] and "an earlier try" or "it"
  add(problem.delivered == "maybe" and "the server may have acted on " .. acted_on or nil)
  local line = problem.kind .. ": " .. messages.render(problem, names)
  if #facts > 0 then
    line = line .. " (" .. table.concat(facts, ", ") .. ")"
  end
  return one_line(line)
end

Failure.__tostring = failure.line

-- Values can be what somebody gave: they are made safe for one line, as the message is.
local function safe_values(values)
  for name, value in pairs(values or {}) do
    values[name] = type(value) == "string" and one_line(value) or value
  end
  return values
end

--- Makes a failure whose message comes from the catalogue.
---@param kind string one of the kinds above
---@param code string of the message, see heymarket.messages
---@param values table<string, any>? what stands in the message: strings, numbers, failures
---@param facts table? further fields of the failure
---@return heymarket.Failure
function failure.make(kind, code, values, facts)
  values = safe_values(values)
  local made = { kind = kind, message_code = code, values = values, delivered = "no", retryable = false }
  made.message = one_line(messages.text(code, values))
  for name, value in pairs(facts or {}) do
    made[name] = value
  end
  return setmetatable(made, Failure)
end

local Issue = { __name = "heymarket.Issue" }

-- One readable line, such as "contact 3: phone is required".
function Issue:__tostring()
  return one_line(messages.line(self))
end

--- Makes the failure that names mistakes in the input.
---@param issues heymarket.Issue[] at least one, each with `code` and `values`; their messages are filled in
---@return heymarket.Failure
function failure.invalid(issues)
  for _, issue in ipairs(issues) do
    safe_values(issue.values)
    issue.message = one_line(messages.render(issue))
    issue.field = issue.field and one_line(issue.field)
    setmetatable(issue, Issue)
  end
  local more = #issues > 1 and #issues - 1 or nil
  return failure.make("invalid", "invalid", { first = issues[1], more = more }, { issues = issues })
end

--- Makes the failure for contacts that the server listed and that nothing shows to exist.
---@param count integer 1 or more
---@param overwrite boolean were contacts that exist to be overwritten?
---@return heymarket.Failure
function failure.refused(count, overwrite)
  return failure.make("refused", overwrite and "refused_overwriting" or "refused", { count = count }, { status = 200 })
end

--- The failure of a call whose memory has run out, made in advance: its fields can still be set.
---@return heymarket.Failure
function failure.spare()
  return failure.make("stopped", "no_memory", nil, { reason = "no_memory", retryable = true, report = false })
end

--- Does what was raised say that memory has run out?
---@param raised any
---@return boolean
function failure.is_of_memory(raised)
  return type(raised) == "string" and raised:find("not enough memory", 1, true) ~= nil
end

--- Is this the error that the interpreter raises on Ctrl-C?
---@param raised any
---@return boolean
function failure.is_interrupt(raised)
  return type(raised) == "string" and raised:find "interrupted!$" ~= nil
end

--- The failure of a call that an error ended. It may raise one itself, where there is no memory for it.
---@param raised any what was raised
---@return heymarket.Failure
function failure.of_error(raised)
  if failure.is(raised) then
    return raised
  elseif failure.is_of_memory(raised) then
    return failure.make("stopped", "no_memory", nil, { reason = "no_memory", retryable = true })
  end
  if failure.is_interrupt(raised) then
    return failure.make("stopped", "interrupted", nil, { reason = "interrupted", retryable = true })
  end
  return failure.make("stopped", "internal_error", { raised = text.raised(raised) }, { reason = "internal_error" })
end

local spare = failure.spare() -- for functions that find no memory at all

--- Runs a function that belongs to no client. No error leaves it: whatever is raised in it comes back as a failure.
---@param body function
---@return any value
---@return heymarket.Failure?
function failure.protected_call(body, ...)
  local ok, value, problem = pcall(body, ...)
  if ok then
    return value, problem
  end
  local made, of_error = pcall(failure.of_error, value)
  return nil, made and of_error or spare
end

--- A copy with some facts changed; the original stays as it is, for it may already be in a report.
---@param original heymarket.Failure
---@param facts table fields to set
---@return heymarket.Failure
function failure.with(original, facts)
  local made = {}
  for name, value in pairs(original) do
    made[name] = value
  end
  for name, value in pairs(facts) do
    made[name] = value
  end
  return setmetatable(made, Failure)
end

--- A copy with another message, such as one that has the original as one of its values.
---@param original heymarket.Failure
---@param code string of the message, see heymarket.messages
---@param values table<string, any>?
---@param facts table? further fields to set
---@return heymarket.Failure
function failure.reworded(original, code, values, facts)
  local made = failure.with(original, facts or {})
  made.message_code, made.values = code, safe_values(values)
  made.message = one_line(messages.text(code, made.values))
  return made
end

--- Is this value a failure of this module?
---@param value any
---@return boolean
function failure.is(value)
  return getmetatable(value) == Failure
end

return failure
