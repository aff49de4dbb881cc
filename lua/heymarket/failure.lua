--- Failures: what went wrong, as a plain table whose every fact is a plain field.
local failure = {}

local text = require "heymarket.util.text"

local one_line = text.one_line

---@class heymarket.Issue
---@field index integer? which contact of the call (1 is the first); nil where the mistake is not a contact's
---@field field string? name of the field or option
---@field message string what is wrong and how to mend it; reads on after the name of the field

---@class heymarket.Failure
---@field kind string invalid, network, timeout, unauthorized, denied, bad_data, too_large, rate_limited, server,
---unexpected, refused, context, source, journal or stopped
---@field message string one line for a person
---@field delivered "no"|"maybe" "no": the server certainly did not act on it
---@field retryable boolean would the same call have a chance later
---@field status integer? HTTP status
---@field request_id string? X-Request-Id of the answer: the vendor's support asks for it
---@field body string? start of the answer's body, at most 2 KiB
---@field details any decoded JSON of the answer's body, where that has at most 64 KiB
---@field details_truncated boolean? its large parts are left out
---@field code string? libcurl's name for a transport error, such as "COULDNT_CONNECT"
---@field reason string? a code where `kind` does not say enough: "max_failures", "superseded", "internal_error",
---"no_memory", "interrupted"; of a journal "other_input", "other_options", "version", "not_journal", "not_regular",
---"in_use", "damaged", "changed"
---@field retry_after number? seconds that the server asked to wait
---@field attempts integer? tries made
---@field issues heymarket.Issue[]? for kind "invalid"
---@field report heymarket.Report? what had been done before the failure
local Failure = { __name = "heymarket.Failure" }

function Failure:__tostring()
  local facts = {}
  if self.status then
    facts[#facts + 1] = "status " .. self.status
  end
  if self.code then
    facts[#facts + 1] = self.code
  end
  if self.request_id then
    facts[#facts + 1] = "request id " .. self.request_id
  end
  if self.attempts and self.attempts > 1 then
    facts[#facts + 1] = self.attempts .. " attempts"
  end
  if self.delivered == "maybe" then
    facts[#facts + 1] = "the server may have acted on it"
  end
  local line = self.kind .. ": " .. self.message
  if #facts > 0 then
    line = line .. " (" .. table.concat(facts, ", ") .. ")"
  end
  return one_line(line)
end

--- Makes a failure.
---@param kind string one of the kinds above
---@param message string what is wrong, in one line
---@param facts table? further fields of the failure
---@return heymarket.Failure
function failure.new(kind, message, facts)
  local made = { kind = kind, message = one_line(message), delivered = "no", retryable = false }
  for name, value in pairs(facts or {}) do
    made[name] = value
  end
  return setmetatable(made, Failure)
end

local Issue = { __name = "heymarket.Issue" }

-- One readable line, such as "contact 3: phone is missing".
function Issue:__tostring()
  local where = self.index and ("contact " .. self.index .. ": ") or ""
  local field = self.field and (self.field .. " ") or ""
  return one_line(where .. field .. self.message)
end

--- Makes the failure that tells of mistakes in the input.
---@param issues heymarket.Issue[] at least one
---@return heymarket.Failure
function failure.invalid(issues)
  for _, issue in ipairs(issues) do
    issue.message = one_line(issue.message)
    issue.field = issue.field and one_line(issue.field)
    setmetatable(issue, Issue)
  end
  local more = #issues > 1 and (" (and %d more, see issues)"):format(#issues - 1) or ""
  return failure.new("invalid", tostring(issues[1]) .. more, { issues = issues })
end

--- Makes the failure that tells of listed contacts of which nothing shows that the account holds them.
---@param count integer 1 or more
---@param overwrite boolean were contacts that exist to be overwritten?
---@return heymarket.Failure
function failure.refused(count, overwrite)
  return failure.new(
    "refused",
    ("the server listed %d contact%s as not created%s, and nothing shows that %s"):format(
      count,
      count == 1 and "" or "s",
      overwrite and " or overwritten" or "",
      count == 1 and "it exists" or "they exist"
    ),
    { status = 200 }
  )
end

local NO_MEMORY = "memory ran out, so the call stopped"

--- The failure of a call whose memory has run out, made in advance: its fields can still be set.
---@return heymarket.Failure
function failure.spare()
  return failure.new("stopped", NO_MEMORY, { reason = "no_memory", retryable = true, report = false })
end

--- Does what was raised say that memory has run out?
---@param raised any
---@return boolean
function failure.is_of_memory(raised)
  return type(raised) == "string" and raised:find("not enough memory", 1, true) ~= nil
end

--- The failure of a call that an error ended. It may raise one itself, where there is no memory for it.
---@param raised any what was raised
---@return heymarket.Failure
function failure.of_error(raised)
  if failure.is(raised) then
    return raised
  elseif failure.is_of_memory(raised) then
    return failure.new("stopped", NO_MEMORY, { reason = "no_memory", retryable = true })
  end
  if type(raised) == "string" and raised:find "interrupted!$" then
    -- The interpreter makes an error of Ctrl-C.
    return failure.new("stopped", "interrupted", { reason = "interrupted", retryable = true })
  end
  return failure.new("stopped", "an error inside heymarket stopped the call: " .. text.raised(raised), {
    reason = "internal_error",
  })
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

--- Is this value a failure of this module?
---@param value any
---@return boolean
function failure.is(value)
  return getmetatable(value) == Failure
end

return failure
