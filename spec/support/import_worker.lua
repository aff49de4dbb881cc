-- One import in a process of its own, which may be killed at any moment.
--
--   lua import_worker.lua OPTIONS
--
-- OPTIONS is JSON: url, journal, count, life, and as they are wanted batch_size, concurrency, overwrite, log.
-- In `log` it notes the id of every request whose outcome the import has taken in. At its end it prints what import
-- returned, as JSON on one line.
local cjson = require("cjson").new()
local heymarket = require "heymarket"

local options = cjson.decode(arg[1])

local log = options.log and assert(io.open(options.log, "a"))
if log then
  log:setvbuf "no"
end

local client = assert(heymarket.new {
  secret_id = "id",
  secret_key = "key",
  base_url = options.url,
  batch_size = options.batch_size,
  concurrency = options.concurrency,
  user_agent = "life-" .. tostring(options.life or 1),
  requests_per_minute = false,
})

local index = 0
local function source()
  index = index + 1
  if index <= options.count then
    -- The 30th of each hundred has no phone, the 60th has that of its left neighbour.
    local place = index % 100
    return {
      phone = place == 30 and "none" or ("1%010d"):format(2000000000 + (place == 60 and index - 1 or index)),
      first = "Name " .. index,
    },
      index + 1
  end
end

-- Answers are taken in in the order in which they come: the nth report so far belongs to the nth response.
local answered, taken = {}, 0
local report, failure = client:import(source, {
  journal = options.journal,
  overwrite = options.overwrite,
  on_event = function(event)
    if event.type == "response" then
      answered[#answered + 1] = event.request_id
    end
  end,
  on_progress = function()
    taken = taken + 1
    if log then
      log:write(answered[taken] .. "\n") -- in one piece, for death may come between two
    end
  end,
})
client:close()

local made = report or failure.report
local result = { failure = failure and { kind = failure.kind, message = failure.message } }
if made then
  result.report = {}
  for name, value in pairs(made) do
    if type(value) == "number" then
      result.report[name] = value
    end
  end
  result.items = {}
  for i, item in ipairs(made.items) do
    result.items[i] = {
      index = item.index,
      position = item.position,
      outcome = item.outcome,
      ambiguous = item.ambiguous,
      phone = item.contact.phone,
      remote = item.remote and item.remote.phone,
    }
  end
end
print(cjson.encode(result))
