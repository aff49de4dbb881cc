--- Transport: sends requests over libcurl and hands over their results.
---
--- What stands in for it (the sandbox, a test) has the same methods: completions, start, wait, yield, problem, close.
local transport = {}

local core = require "heymarket.core"
local fifo = require "heymarket.util.fifo"
local loop = require "heymarket.loop"
local mailbox = require "heymarket.loop.mailbox"

local ABORTED = "ABORTED_BY_CALLBACK" -- libcurl's name for it

local Transport = {}
Transport.__index = Transport

local function nobody_waits() end

--- Makes a transport. No socket is opened before the first request.
---@param config table `ca_file`, `proxy`, `user_agent`, `loop`
---@param runtime table clock and sleep
function transport.new(config, runtime)
  local pool = core.pool { ca_file = config.ca_file, proxy = config.proxy, user_agent = config.user_agent }
  return setmetatable({
    runtime = runtime,
    pool = pool,
    chosen = loop.chosen(config.loop),
    own = mailbox.of_pool(pool, nobody_waits),
    mailboxes = setmetatable({}, { __mode = "k" }), -- in which results of this transport may arrive
    nothing = fifo.new(), -- what `yield` waits for: it stays empty
  }, Transport)
end

local function loop_of(self)
  return self.chosen or loop.here()
end

--- A queue for the results of one call.
---@return table completions
function Transport.completions()
  return fifo.new()
end

--- Sends a request without waiting for anything.
---@param request table `method`, `url`, `body`, `timeout` and `connect_timeout` in seconds, and `ended(result)`, called
--- when it has ended, even where nobody waits for its result any more
---@param completions table
---@param headers string[] lines; they hold the token, so they are kept in no table
---@return boolean? started
---@return string? code libcurl's name of the error
---@return string? message a value for the words of `problem`; without one, libcurl's own words
---@return string? problem a code of heymarket.messages
function Transport:start(request, completions, headers)
  local box = loop_of(self).mailbox(self, completions)
  self.mailboxes[box] = true
  -- A finalizer that runs meanwhile may close this transport.
  local id = box:expect(request, completions, self)
  if self.closed then
    box:forget(id)
    return nil, ABORTED, nil, "client_closed"
  end
  local pool, timeout, connect_timeout = self.pool, request.timeout, request.connect_timeout
  local method, url, body, inbox = request.method, request.url, request.body, box:inbox()
  local ok, started, code, message, problem =
    pcall(pool.start, pool, method, url, headers, body, timeout, connect_timeout, id, inbox)
  if not box:expects(id) then
    return true -- closed meanwhile: its result is there already
  elseif not ok or not started then
    box:forget(id)
    if not ok then
      error(started, 0)
    end
    return nil, code, message, problem
  end
  return true
end

--- The mailbox of the transfers that `block` moves.
---@return table
function Transport:own_mailbox()
  return self.own
end

--- Blocks this thread until something can be moved, or for so long.
---@param seconds number
function Transport:block(seconds)
  if not self.closed and not self.own:is_empty() then
    self.pool:wait(seconds)
  else
    self.runtime.sleep(seconds)
  end
end

--- Waits until there is a result, or for so long. It may return early.
---@param completions table
---@param seconds number
function Transport:wait(completions, seconds)
  loop_of(self).wait(self, completions, seconds)
end

--- Moves what can be moved, and lets others have their turn, where there are others.
function Transport:yield()
  loop_of(self).wait(self, self.nothing, 0)
end

--- Why a call cannot wait here, or nil.
---@return heymarket.Failure?
function Transport:problem()
  local _, problem = loop_of(self).can_wait()
  return problem
end

--- Closes all connections. Each request in flight gets a result that says so.
function Transport:close()
  if self.closed then
    return
  end
  self.closed = true
  self.own:close()
  self.pool:close()
  local box = next(self.mailboxes)
  while box do
    self.mailboxes[box] = nil
    box:abandon(self, "client_closed")
    pcall(box.pump, box) -- frees what has come for them: there may be no later request whose result is looked for
    box = next(self.mailboxes)
  end
end

return transport
