--- What the command says of failures and of contacts that were not accepted: in its own words, with flags for options.
local reasons = {}

local console = require "heymarket.cli.console"
local failure = require "heymarket.failure"
local messages = require "heymarket.messages"
local text = require "heymarket.util.text"

-- Failures that concern the network or the server have facts that support asks for; the others need only their message.
local MESSAGE_ONLY = { invalid = true, source = true, journal = true, stopped = true, context = true }
-- Exit codes, by the kind or the reason of a failure.
local EXIT_CODES = {
  unauthorized = console.REFUSED,
  denied = console.REFUSED,
  max_failures = console.MAX_FAILURES,
  interrupted = console.INTERRUPTED,
}

-- What a failure says, on one line; where that is to be brief, without the facts.
local function sentence(problem, is_brief)
  local words = (is_brief or MESSAGE_ONLY[problem.kind]) and messages.render or failure.line
  return text.one_line(words(problem, "command"))
end

--- Writes to stderr what a failure says, each mistake on a line of its own. Gives the exit code.
function reasons.complain(problem)
  local issues = problem.issues or {}
  for _, issue in ipairs(issues) do
    console.complain(messages.line(issue, "command"))
  end
  if not issues[1] then
    console.complain(sentence(problem))
  end
  return EXIT_CODES[problem.kind] or EXIT_CODES[problem.reason] or console.COULD_NOT_RUN
end

local function of_rejected(item, overwrite)
  if item.reason == "exists" then
    return messages.text(item.ambiguous and "row_exists_ambiguous" or "row_exists", nil, "command")
  end
  local ambiguous = item.ambiguous and { message_code = "row_ambiguous" } or nil
  return messages.text(overwrite and "row_rejected_overwriting" or "row_rejected", { ambiguous = ambiguous }, "command")
end

--- May a cell of this row have swallowed other rows? Then its message names the last line that belongs to it.
---@param item heymarket.Item
---@return boolean
function reasons.may_have_swallowed(item)
  for _, issue in ipairs(item.failure and item.failure.issues or {}) do
    if issue.code and issue.code:find "^csv_" and issue.values and issue.values.last then
      return true
    end
  end
  return false
end

--- Why a contact was not accepted. Gives the name of the field, or names, which is empty where it is not about a field,
--- and one line.
---@param item heymarket.Item
---@param overwrite boolean does the import overwrite what exists?
---@param is_brief boolean? without the facts, which differ from one request to the next
---@return string field
---@return string message
function reasons.explain(item, overwrite, is_brief)
  local problem = item.failure
  if item.outcome == "rejected" then
    return "", of_rejected(item, overwrite)
  elseif item.outcome ~= "invalid" or not (problem and problem.issues) then
    return "", problem and sentence(problem, is_brief) or ""
  end
  local fields, lines = {}, {}
  for i, issue in ipairs(problem.issues) do
    if issue.field and fields[#fields] ~= issue.field then
      fields[#fields + 1] = issue.field
    end
    lines[i] = (issue.field and issue.field .. " " or "") .. messages.render(issue, "command")
  end
  return text.one_line(table.concat(fields, "; ")), text.one_line(table.concat(lines, "; "))
end

return reasons
