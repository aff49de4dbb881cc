--- Permits: what a try needs before it starts, a token and a place in the pace.
local permits = {}

local events = require "heymarket.http.events"
local stop = require "heymarket.http.stop"
local try = require "heymarket.http.try"

local Permits = {}
Permits.__index = Permits

--- Makes the permits of one call.
---@param given heymarket.Sender.Dependencies
---@param ends_at number? monotonic time at which the call ends
---@param emit fun(event: table) is told when the pace makes the call wait
function permits.new(given, ends_at, emit)
  return setmetatable({ given = given, ends_at = ends_at, emit = emit, paced_until = -math.huge }, Permits)
end

--- A token for the next try. To get one the user may be asked for the credentials, which takes time and may close the
--- client; and where memory is asked for, a finalizer may do that as well.
---@return string? bearer nil where no try can start
---@return heymarket.Failure? problem why the call is to stop
function Permits:token()
  local given, ends_at = self.given, self.ends_at
  local ok, bearer, problem = pcall(given.tokens.get, given.tokens)
  if not problem and (not ok or given.is_closed() or ends_at and given.monotonic() >= ends_at) then
    problem = stop.reason(given, ends_at)
  end
  if not ok and not problem then
    error(bearer, 0)
  end
  return not problem and bearer or nil, problem
end

--- Asks whether a try may start.
---@param request heymarket.Request
---@param now number monotonic time
---@return any permit nil where none may start now
---@return number? delay seconds after which to ask again; nil where that depends on results only
---@return heymarket.Failure? problem why the call is to stop
function Permits:take(request, now)
  local given = self.given
  if given.before_send then
    local allowed, problem = given.before_send()
    if not allowed then
      return nil, nil, problem
    end
  end
  local permit, delay, cause = given.pacer:reserve(given.requests_per_minute)
  local too_late = stop.too_late(given, self.ends_at, delay, cause)
  if not too_late and not permit and delay and now >= self.paced_until then
    self.paced_until = now + delay
    local event = events.of(request, "pace")
    event.url, event.delay = try.url_of(given, request), delay
    self.emit(event)
  end
  return permit, delay, too_late
end

return permits
