--- The sandbox's script: what the next requests meet instead of a regular answer.
local sandbox_script = {}

local contact = require "heymarket.contact"
local options = require "heymarket.options"
local sandbox_json = require "heymarket.sandbox.json"
local text = require "heymarket.util.text"

---@class heymarket.SandboxStep one step; each API request takes the first one that fits it
---@field status integer? answer with this status; nothing is stored unless `process` is true
---@field headers table<string, string>? further headers, also of a regular answer
---@field body string|table? body of that answer, a table is written as JSON; by default what goes with the status
---@field retry_after number|string? value of Retry-After: seconds, or an HTTP date
---@field delay number? seconds until the answer; the request is acted on before, as by a slow server
---@field fault string? what breaks, see sandbox_script.faults; nothing is stored unless `process` is true
---@field process boolean? act on the request all the same, whatever is answered
---@field times number? for so many requests, 1 unless told; math.huge is allowed
---@field contains string? only for a request that holds this phone
---@field when (fun(request: table): boolean)? only for a request for which this gives true; it gets method, path,
---query, headers, body, contacts (number) and, where the body is JSON, `decoded`

--- What can break, and what it looks like from the client.
sandbox_script.faults = {
  refused = "no connection: nobody listens",
  unresolved = "no connection: the name has no address",
  tls = "no connection: the certificate is not trusted",
  reset_before = "the connection is reset before the request was read",
  reset = "the connection is reset after the request was read",
  timeout = "no answer ever comes",
  truncated = "the answer ends before its announced length",
  oversized = "the answer is larger than a client takes",
  not_json = "status 200 with a text that is not JSON",
  html = "status 200 with a web page, as from a captive portal",
  redirect = "a redirect to another address",
}

local function fault_names()
  local names = {}
  for name in pairs(sandbox_script.faults) do
    names[#names + 1] = name
  end
  table.sort(names)
  return names
end

local function is_seconds(value)
  return type(value) == "number" and value >= 0 and value < math.huge
end

local function one_line(value)
  return type(value) == "string" and not value:find "[%c]"
end

local CHECKS = {
  {
    "status",
    "a whole number from 200 to 599",
    function(v)
      return type(v) == "number" and v % 1 == 0 and v >= 200 and v <= 599
    end,
  },
  {
    "headers",
    "a table of header names and values, without Content-Length",
    function(v)
      if type(v) ~= "table" then
        return false
      end
      for name, value in pairs(v) do
        if type(name) ~= "string" or name:lower() == "content-length" then
          return false
        elseif not (name:find "^[%w%-]+$" and (type(value) == "number" or one_line(value))) then
          return false
        end
      end
      return true
    end,
  },
  {
    "body",
    "a string or a table",
    function(v)
      return type(v) == "string" or type(v) == "table"
    end,
  },
  {
    "retry_after",
    "seconds or a date",
    function(v)
      return is_seconds(v) or one_line(v)
    end,
  },
  { "delay", "seconds, 0 or more", is_seconds },
  {
    "fault",
    "a fault",
    function(v)
      return type(v) == "string"
    end,
  },
  {
    "process",
    "true or false",
    function(v)
      return type(v) == "boolean"
    end,
  },
  {
    "times",
    "a whole number of requests, 1 or more",
    function(v)
      return type(v) == "number" and v >= 1 and (v == math.huge or v % 1 == 0)
    end,
  },
  {
    "contains",
    "a phone",
    function(v)
      return contact.phone(v, false) ~= nil
    end,
  },
  { "when", "a function", options.is_function },
}

local NAMES, CHECK_OF = {}, {}
for i, check in ipairs(CHECKS) do
  NAMES[i], CHECK_OF[check[1]] = check[1], check
end

-- A checked copy, so that the author's table can be used again.
local function checked(step, number, level)
  local where = ("sandbox:script: step %d"):format(number)
  if type(step) ~= "table" then
    error(("%s must be a table, not a %s"):format(where, type(step)), level)
  end
  local copy = {}
  for name, value in pairs(step) do
    local check = CHECK_OF[name]
    if not check then
      error(("%s: %s is no part of a step%s"):format(where, tostring(name), text.did_you_mean(name, NAMES)), level)
    elseif not check[3](value) then
      error(("%s: %s must be %s"):format(where, name, check[2]), level)
    end
    copy[name] = value
  end
  if copy.fault and not sandbox_script.faults[copy.fault] then
    error(
      ("%s: there is no fault %q; there are %s"):format(where, copy.fault, table.concat(fault_names(), ", ")),
      level
    )
  elseif copy.fault and (copy.status or copy.body) and copy.fault ~= "truncated" then
    error(("%s: a step with the fault %s has no answer: leave status and body out"):format(where, copy.fault), level)
  elseif copy.body and not copy.status then
    error(("%s: a body needs a status"):format(where), level)
  end
  copy.contains = copy.contains and contact.phone(copy.contains, false)
  copy.times = copy.times or 1
  return copy
end

--- Adds steps to a script; none is added when one of them is wrong, which raises.
---@param script heymarket.SandboxStep[]
---@param level integer of the caller, for the error
---@param ... heymarket.SandboxStep|heymarket.SandboxStep[]
function sandbox_script.add(script, level, ...)
  local steps = { ... }
  local count = select("#", ...)
  if count == 1 and type(steps[1]) == "table" and (steps[1][1] ~= nil or sandbox_json.is_array(steps[1])) then
    steps = steps[1]
    count = #steps
  end
  local copies = {}
  for i = 1, count do
    copies[i] = checked(steps[i], i, level + 1)
  end
  for _, step in ipairs(copies) do
    script[#script + 1] = step
  end
end

local function fits(step, request)
  if step.contains and not request.phones()[step.contains] then
    return false
  end
  return not step.when or step.when(request.view()) and true or false
end

--- Takes the step for a request out of the script.
---@param script heymarket.SandboxStep[]
---@param request table
---@return heymarket.SandboxStep? step nil when none fits
function sandbox_script.take(script, request)
  for i, step in ipairs(script) do
    if fits(step, request) then
      step.times = step.times - 1
      if step.times < 1 then
        table.remove(script, i)
      end
      return step
    end
  end
  return nil
end

--- Number of requests that the script is still good for.
---@param script heymarket.SandboxStep[]
---@return number
function sandbox_script.pending(script)
  local count = 0
  for _, step in ipairs(script) do
    count = count + step.times
  end
  return count
end

return sandbox_script
