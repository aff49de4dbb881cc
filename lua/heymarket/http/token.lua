--- Bearer tokens: signed when needed, kept for a while, set right when this machine's clock is wrong.
local token = {}

local Tokens = {}
Tokens.__index = Tokens

-- Below this the clocks agree: a Date header has whole seconds and the answer takes time to come.
local TOLERANCE = 5
-- Unix time of 2020 and 2100: outside of these a server's clock is wrong, and a token by it would be good nowhere.
local EARLIEST, LATEST = 1577836800, 4102444800
local LARGEST = 2 ^ 53 - 1 -- the greatest time that can be signed

-- The tokens in use, by keeper, and those on their way, by request: here, and in no field of theirs, so that a client
-- or a request that is printed or logged shows none.
local current_of = setmetatable({}, { __mode = "k" })
local lent_to = setmetatable({}, { __mode = "k" })

--- Makes the keeper of a client's tokens.
---@param signer userdata core signer
---@param ttl number seconds for which a token is used again; the API takes it for 300 s after `iat`
---@param time fun():number wall clock, Unix seconds
function token.new(signer, ttl, time)
  return setmetatable({ signer = signer, ttl = ttl, time = time, offset = 0 }, Tokens)
end

--- A token that is good now.
---@return string
function Tokens:get()
  local now = self.time() + self.offset
  -- A clock that was set back would otherwise keep a token for ever.
  if not current_of[self] or now - self.signed_at >= self.ttl or now < self.signed_at then
    self.signed_at = now
    -- A machine without a clock may be before 1970, which a token cannot say.
    current_of[self] = self.signer:sign(math.floor(math.max(0, math.min(now, LARGEST))))
  end
  return current_of[self]
end

--- A token that is good now, for one try of a request.
---@param request table
---@return string
function Tokens:lend(request)
  local bearer = self:get()
  lent_to[request] = bearer
  return bearer
end

--- The token that the last try of a request was sent with.
---@param request table
---@return string? token nil where it was never sent
function Tokens.of(_, request)
  return lent_to[request]
end

--- Forgets the token: the next one is signed anew.
function Tokens:forget()
  current_of[self] = nil
end

--- The server did not take this token: the next one is signed anew, by the server's clock where that is known.
--- Several requests may be refused with one token; only the first changes anything.
---@param refused string
---@param server_time number? Unix seconds of the answer's Date header; a year that cannot be true is passed over
function Tokens:refuse(refused, server_time)
  if refused ~= current_of[self] then
    return
  end
  self:forget()
  if server_time and server_time >= EARLIEST and server_time < LATEST then
    local offset = server_time - self.time()
    self.offset = math.abs(offset) > TOLERANCE and offset or 0
  end
end

return token
