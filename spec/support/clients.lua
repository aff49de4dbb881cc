--- Clients that talk to a fake transport. `after_each(clients.close)` closes those of a test.
local clients = {}

local heymarket = require "heymarket"

--- The secret key of these clients, which nothing may show.
clients.KEY = "a-key-that-must-not-be-seen"

local opened = {}

--- Makes a client without pacing.
---@param world table see spec/support/fake.lua
---@param config table? what the test adds
---@return table client
function clients.of(world, config)
  local given = {
    secret_id = "some-id",
    secret_key = clients.KEY,
    base_url = "https://api.heymarket.com",
    requests_per_minute = false,
    runtime = world.runtime,
  }
  for name, value in pairs(config or {}) do
    given[name] = value
  end
  local client = assert(heymarket.new(given))
  opened[#opened + 1] = client
  return client
end

--- Closes all clients that `of` has made.
function clients.close()
  for _, client in ipairs(opened) do
    client:close()
  end
  opened = {}
end

--- So many contacts, each with a phone of its own.
---@param count integer
---@return heymarket.Contact[]
function clients.contacts(count)
  local made = {}
  for i = 1, count do
    made[i] = { phone = ("120255%05d"):format(i), first = tostring(i) }
  end
  return made
end

return clients
