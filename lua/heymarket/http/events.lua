--- Events: what a call tells the user's `on_event` hook.
local events = {}

local failure = require "heymarket.failure"
local text = require "heymarket.util.text"

local Events = {}
Events.__index = Events

--- Makes the events of one call.
---@param hook (fun(event: table)|table)? the user's
function events.new(hook)
  return setmetatable({ hook = hook }, Events)
end

local function call_hook(hook, event)
  local problem = event.failure
  if problem and (problem.body or problem.details) then
    -- Events are for logs, and a server may write back what it was sent.
    event.failure = failure.with(problem, {})
    event.failure.body, event.failure.details = nil, nil
  end
  hook(event)
end

local function words_of(raised)
  return "on_event raised an error: " .. text.raised(raised)
end

--- Reports an event. The hook's errors do not disturb the call; the first is kept.
---@param event table
function Events:emit(event)
  if not self.hook then
    return
  end
  local ok, raised = pcall(call_hook, self.hook, event)
  if not ok and not self.raised then
    local made, words = pcall(words_of, raised)
    self.raised = made and words or "on_event raised an error"
  end
end

--- Is anybody told of events?
---@return boolean
function Events:have_hook()
  return self.hook ~= nil
end

--- What the hook raised first.
---@return string?
function Events:hook_error()
  return self.raised
end

--- Makes the event of a request.
---@param request heymarket.Request
---@param kind string type of the event
---@return table event
function events.of(request, kind)
  return {
    type = kind,
    method = request.endpoint.method,
    url = request.url,
    attempt = request.attempts,
    contacts = request.items,
    bytes = request.body and #request.body or 0,
  }
end

return events
