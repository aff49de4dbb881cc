--- The API in memory, without sockets, and imports that talk to it: for specs about what a call does.
local memory_api = {}

local heymarket = require "heymarket"
local instant = require "spec.support.instant"

--- The phone of the nth contact.
---@param i integer
---@return string
function memory_api.phone(i)
  return ("1%010d"):format(2000000000 + i)
end

--- So many contacts, each with a phone of its own.
---@param count integer
---@return table[]
function memory_api.contacts(count)
  local list = {}
  for i = 1, count do
    list[i] = { phone = memory_api.phone(i), first = "Name " .. i }
  end
  return list
end

--- A server in memory, which keeps contacts by phone and lists those that it had already.
---
--- `meet(request, number, phones)` may answer in its place; `back(number)` gives the seconds until the answer. In what
--- is made, `sent` counts how often each phone came, `requests` the requests, and `store` holds an id for each phone.
---@param meet (fun(request: table, number: integer, phones: string[]): table?)?
---@param back (fun(number: integer): number)?
---@return table api
function memory_api.new(meet, back)
  local api = { store = {}, sent = {}, requests = 0 }
  api.network = instant.new {
    back = back and function()
      return back(api.network.count)
    end,
    answer = function(request, number)
      api.requests = api.requests + 1
      local phones = instant.phones(request.body)
      for _, phone in ipairs(phones) do
        api.sent[phone] = (api.sent[phone] or 0) + 1
      end
      local given = meet and meet(request, number, phones)
      if given then
        return given
      end
      local listed = {}
      for _, phone in ipairs(phones) do
        if api.store[phone] and request.url:find("overwrite=false", 1, true) then
          listed[#listed + 1] = ('{"phone":"%s","id":%d}'):format(phone, api.store[phone])
        end
        api.store[phone] = api.store[phone] or tonumber(phone:sub(-6))
      end
      return { body = "[" .. table.concat(listed, ",") .. "]" }
    end,
  }
  -- Forgets what was sent, not what is stored.
  function api:forget()
    self.sent, self.requests = {}, 0
  end
  return api
end

--- Imports into such a server: batches of ten, one at a time, one try each, unless the config says otherwise.
---@param api table
---@param source table|function
---@param options table
---@param config table?
---@return heymarket.Report?
---@return heymarket.Failure?
function memory_api.import(api, source, options, config)
  local full = {
    secret_id = "id",
    secret_key = "key",
    base_url = "http://127.0.0.1:1",
    requests_per_minute = false,
    batch_size = 10,
    concurrency = 1,
    max_attempts = 1,
    runtime = api.network.runtime,
  }
  for name, value in pairs(config or {}) do
    full[name] = value
  end
  local client = assert(heymarket.new(full))
  local report, problem = client:import(source, options)
  client:close()
  return report, problem
end

--- Names of all outcomes, by hand: the module must not be its own witness.
memory_api.outcomes = { "accepted", "rejected", "invalid", "failed", "unknown", "unsent" }

--- Asserts that the outcomes of a report add up.
---@param report table
---@param total integer? contacts that were handed in
function memory_api.assert_sound(report, total)
  local sum = 0
  for _, outcome in ipairs(memory_api.outcomes) do
    sum = sum + report[outcome]
  end
  assert(sum == report.total, ("the outcomes add up to %d, total is %d"):format(sum, report.total))
  assert(not total or total == report.total, ("total is %d, not %s"):format(report.total, tostring(total)))
end

return memory_api
