--- Pages: reads a list that the API gives page by page.
---
--- No method of the client uses this yet; spec/live/endpoints_spec.lua tests it.
local pages = {}

local failure = require "heymarket.failure"

local MAX_PAGES = 1000 -- of one list: no account has so many tags, and a server must not keep a call busy for ever

-- Adds the items of a page whose ids did not come before. Returns how many those were.
local function add_new(items, seen, page)
  local count = #items
  for _, item in ipairs(page) do
    local id = type(item) == "table" and item.id
    if id and not seen[id] then
      seen[id] = true
      items[#items + 1] = item
    end
  end
  return #items - count
end

--- Reads all pages of a list.
---@param sender table with nothing pending
---@param endpoint heymarket.Endpoint one with `next_page`
---@return table[]? items each id once
---@return heymarket.Failure? problem nil where every page was read
function pages.read_all(sender, endpoint)
  local items, seen, body = {}, {}, endpoint.first_page
  for _ = 1, MAX_PAGES do
    sender:add { endpoint = endpoint, body = body, items = 0 }
    local outcome = sender:next()
    if not outcome.value then
      return nil, outcome.failure or sender:stop_reason()
    end
    local added = add_new(items, seen, outcome.value)
    body = endpoint.next_page(outcome.value)
    if not body then
      return items
    elseif added == 0 then
      return nil, failure.make("unexpected", "pages_repeat", { what = endpoint.name })
    end
  end
  return nil, failure.make("unexpected", "too_many_pages", { what = endpoint.name, pages = MAX_PAGES })
end

return pages
