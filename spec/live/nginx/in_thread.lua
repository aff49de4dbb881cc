--- What spec/live/nginx/app.lua runs in a VM of ngx.run_worker_thread.
local in_thread = {}

--- Creates a contact; may block.
---@param url string
---@param phone string
---@return integer accepted
function in_thread.create(url, phone)
  local heymarket = require "heymarket"
  local client = assert(heymarket.new { secret_id = "id", secret_key = "key", base_url = url })
  local report = assert(client:create_contacts { { phone = phone } })
  client:close()
  return report.accepted
end

return in_thread
