--- Bearer tokens: signed when needed, used again for a while, and corrected where this machine's clock is wrong.
local token = {}

local Tokens = {}
Tokens.__index = Tokens

-- Seconds. A smaller difference does not show that a clock is wrong: a Date header has whole seconds, and a response
-- takes time to come.
local TOLERANCE = 5
-- Unix time of 2020 and 2100. A server whose clock shows another time is wrong, and a token by it would be refused.
local EARLIEST, LATEST = 1577836800, 4102444800
local LARGEST = 2 ^ 53 - 1 -- the greatest time that can be signed

-- The current token of each client, and the token of each try. They are kept here and not in a field, so that a client
-- or a try that is printed or logged shows no token.
local current_of = setmetatable({}, { __mode = "k" })
local lent_to = setmetatable({}, { __mode = "k" })

--- Makes the tokens of a client.
---@param credentials table see http/credentials.lua
---@param ttl number seconds for which a token is used again; the API takes it for 300 s after `iat`
---@param time fun():number wall clock, Unix seconds
function token.new(credentials, ttl, time)
  return setmetatable({ credentials = credentials, ttl = ttl, time = time, offset = 0, forgotten = 0 }, Tokens)
end

-- Can the current token be used now?
local function is_current(self)
  local now = self.time() + self.offset
  -- Where the clock was set back, the age of the token is not known.
  return current_of[self] and now - self.signed_at < self.ttl and now >= self.signed_at
end

--- A token that can be used now. It may ask the user's function for the credentials, and so may yield.
---@return string? bearer
---@return heymarket.Failure? problem why there is none
function Tokens:get()
  while not is_current(self) do
    local forgotten = self.forgotten
    local signer, problem = self.credentials:signer()
    if problem then
      return nil, problem
    elseif signer and forgotten == self.forgotten then
      local now = self.time() + self.offset
      self.signed_at = now
      -- A machine with a wrong clock may be before 1970; a token cannot have such a time.
      current_of[self] = signer:sign(math.floor(math.max(0, math.min(now, LARGEST))))
      return current_of[self]
    end
    -- Another call has asked meanwhile, so there may be a token now. Or the server has refused the last token while the
    -- function was asked: what it gave may be older than that.
  end
  return current_of[self]
end

--- Notes the token that a try is sent with.
---@param try heymarket.Try
---@param bearer string
function Tokens.lend(_, try, bearer)
  lent_to[try] = bearer
end

--- The token that a try was sent with.
---@param try heymarket.Try
---@return string? token nil where it has none yet
function Tokens.of(_, try)
  return lent_to[try]
end

--- What to check where the server refuses a token.
---@return string code of a message
function Tokens:advice()
  return self.credentials:are_asked() and "advise_function" or "advise_keys"
end

--- Forgets the token: the next one is signed anew.
function Tokens:forget()
  current_of[self] = nil
  self.forgotten = self.forgotten + 1
end

--- The server refused this token: the next one is signed anew, by the server's clock where that is known. Several
--- requests may be refused with one token; only the first changes anything.
---@param refused string
---@param server_time number? Unix seconds of the response's Date header; a year that cannot be true is ignored
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
