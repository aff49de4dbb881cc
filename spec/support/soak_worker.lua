-- One import of tools/soak.py in a process of its own, which may be killed at any moment.
--
--   lua soak_worker.lua OPTIONS
--
-- OPTIONS is JSON: url, journal, rows (path of a JSON array of [phone, name]), overwrite, life, max_attempts, and
-- stop_after (contacts after which the import is to stop). It prints one line of JSON: the report's counts, what
-- became of each contact that was not accepted, and the failure where there is one.
local cjson = require("cjson").new()
local heymarket = require "heymarket"

local options = cjson.decode(arg[1])

local file = assert(io.open(options.rows, "r"))
local rows = cjson.decode(file:read "*a")
file:close()

local client = assert(heymarket.new {
  secret_id = "id",
  secret_key = "key",
  base_url = options.url,
  batch_size = 5,
  concurrency = 4,
  timeout = 5,
  max_attempts = options.max_attempts,
  user_agent = "life-" .. options.life,
  requests_per_minute = false,
})

local read = 0
local function source()
  local row = rows[read + 1]
  if row then
    read = read + 1
    return { phone = row[1], first = row[2] }, read
  end
end

local items = {}
local report, failure = client:import(source, {
  journal = options.journal,
  overwrite = options.overwrite,
  should_stop = function()
    return options.stop_after ~= nil and read >= options.stop_after
  end,
  on_item = function(item)
    items[#items + 1] = {
      index = item.index,
      outcome = item.outcome,
      ambiguous = item.ambiguous or false,
      reason = item.failure and item.failure.reason,
    }
  end,
})
client:close()

local made = report or failure.report
print(cjson.encode {
  finished = report ~= nil,
  failure = failure and { kind = failure.kind, message = failure.message, reason = failure.reason },
  total = made and made.total,
  accepted = made and made.accepted,
  resumed = made and made.resumed,
  items = items,
})
