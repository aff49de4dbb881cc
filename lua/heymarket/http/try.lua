--- Tries: what goes to the transport when a request is sent once.
local try = {}

---@class heymarket.Request
---@field endpoint heymarket.Endpoint
---@field query string? after the path
---@field body string?
---@field items integer contacts in it
---@field url string? of the last try
---@field attempts integer tries made
---@field possibly_sent boolean? an earlier try may have been acted upon
---@field failure heymarket.Failure? of the last try; nil while one is in flight
---@field due number monotonic time from which the next try may start

---@class heymarket.Try what a transport is given, and gives back in its result
---@field request heymarket.Request
---@field method string
---@field url string
---@field body string?
---@field timeout number seconds
---@field connect_timeout number seconds
---@field started number monotonic time
---@field ended fun() to be called when the try has ended, however it ended

--- The URL of a request.
---@param given heymarket.Sender.Dependencies
---@param request heymarket.Request
---@return string
function try.url_of(given, request)
  local path = given.base_url .. request.endpoint.path
  return request.query and path .. "?" .. request.query or path
end

--- Prepares the next try of a request.
---@param given heymarket.Sender.Dependencies
---@param ends_at number? monotonic time at which the call ends
---@param request heymarket.Request
---@param permit any of the pacer, which is told when the try has ended
---@param bearer string token
---@return heymarket.Try
---@return string[] headers lines with the token: kept in no table, since a try can be printed or logged while in flight
function try.prepare(given, ends_at, request, permit, bearer)
  local now, timeout, pacer = given.monotonic(), given.timeout, given.pacer
  if ends_at then
    timeout = math.max(0.001, math.min(timeout, ends_at - now))
  end
  local made = {
    request = request,
    method = request.endpoint.method,
    url = try.url_of(given, request),
    body = request.body,
    timeout = timeout,
    connect_timeout = math.min(given.connect_timeout, timeout),
    started = now,
  }
  function made.ended() -- it holds the pacer only: a transport may keep it longer than the call lasts
    if permit then
      pacer:finish(permit)
      permit = nil
    end
  end
  given.tokens:lend(made, bearer)
  return made,
    {
      "Authorization: Bearer " .. bearer,
      "Accept: application/json",
      request.body and "Content-Type: application/json",
    }
end

return try
