--- The sandbox's script: steps that say how the next requests are answered.
local sandbox_script = {}

local answers = require "heymarket.sandbox.answers"
local contact = require "heymarket.contact"
local sandbox_json = require "heymarket.sandbox.json"
local sandbox_options = require "heymarket.sandbox.options"

---@class (exact) heymarket.SandboxStep one step; each API request takes the first one that fits it
---@field status? integer answer with this status; nothing is stored unless `process` is true
---@field headers? table<string, string> further headers, also of a regular answer
---@field body? string|table body of that answer, a table is written as JSON; by default what goes with the status
---@field retry_after? number|string value of Retry-After: seconds, or an HTTP date
---@field delay? number seconds until the answer; the request is acted on before, as by a slow server
---@field fault? heymarket.SandboxFault what breaks; nothing is stored unless `process` is true
---@field process? boolean act on the request in any case, whatever is answered
---@field times? number for so many requests, 1 unless told; math.huge is allowed
---@field contains? string only for a request that holds this phone
---@field when? (fun(request: heymarket.SandboxRequest): boolean) only for a request for which this gives true

---@alias heymarket.SandboxFault
---| "refused"|"unresolved"|"tls" no connection: nobody listens, no address, or a certificate that is not trusted
---| "reset_before"|"reset" the connection is reset before or after the request was read
---| "timeout"|"truncated"|"oversized" no answer, one that is cut, or one that is larger than a client takes
---| "not_json"|"html"|"redirect" status 200 with a text or a web page, as from a captive portal, or status 302

--- The steps among the arguments of a call, which are steps or one array of steps.
---@return heymarket.SandboxStep[]
function sandbox_script.list(first, ...)
  local is_table = select("#", ...) == 0 and type(first) == "table"
  if is_table and (first[1] ~= nil or sandbox_json.is_array(first)) then
    return first
  end
  return first == nil and select("#", ...) == 0 and {} or { first or false, ... }
end

-- A checked copy, so that the author's table can be used again.
local function read_step(given, where, level)
  local step = sandbox_options.expect("step", given, where, level)
  if step.fault and (step.status or step.body) and step.fault ~= "truncated" then
    error(("%s: the fault %s has no answer: leave status and body out"):format(where, step.fault), level)
  elseif step.body and not step.status then
    error(where .. ": a body needs a status", level)
  elseif step.contains then
    step.contains = contact.phone(step.contains, false) or error(where .. ": contains must be a phone", level)
  end
  return step
end

--- Adds steps to a script; none is added when one of them is wrong, which raises.
---@param level integer where the error is, as the caller would give it to `error`
function sandbox_script.add(script, steps, level)
  local checked = {}
  for i, step in ipairs(steps) do
    checked[i] = read_step(step, "sandbox:script: step " .. i, level + 2)
  end
  for _, step in ipairs(checked) do
    script[#script + 1] = step
  end
end

local function holds_phone(request, phone)
  local decoded = request.decoded
  for _, item in ipairs(sandbox_json.is_array(decoded) and decoded or { decoded }) do
    if sandbox_json.is_object(item) and contact.phone(item.phone, false) == phone then
      return true
    end
  end
end

--- Takes the first step that fits a request out of the script; nil when none fits.
function sandbox_script.take(script, request)
  for i, step in ipairs(script) do
    if (not step.contains or holds_phone(request, step.contains)) and (not step.when or step.when(request)) then
      step.times = step.times - 1
      if step.times < 1 then
        table.remove(script, i)
      end
      return step
    end
  end
end

--- For how many requests are there steps?
function sandbox_script.pending(script)
  local count = 0
  for _, step in ipairs(script) do
    count = count + step.times
  end
  return count
end

local function answer_with_status(step, options)
  local body, made = step.body, { status = step.status, headers = {}, body = "" }
  if step.status == 200 then
    made = answers.ok(options)
  elseif step.status >= 400 then
    made = answers.problem(options, step.status, "scripted")
  end
  if type(body) == "table" then
    made.headers["Content-Type"], body = "application/json", sandbox_json.write(body)
  end
  made.body = body or made.body
  return made
end

local WHOLE = { not_json = true, html = true, redirect = true } -- faults whose answers are whole to HTTP

--- The answer that a step asks for. `regular` acts on the request and gives the regular answer.
function sandbox_script.answer(step, options, regular)
  local is_regular = not step.status and not step.fault
  local answer = (step.process or is_regular) and regular() or nil
  if step.status then
    answer = answer_with_status(step, options)
  elseif step.fault and not (step.fault == "truncated" and answer) then
    answer = answers.of_fault(options, step.fault)
  end
  answer.fault, answer.delay = not WHOLE[step.fault] and step.fault or nil, step.delay
  return answer
end

return sandbox_script
