-- luacheck: std min+ngx_lua
--- What the nginx of spec/live/credentials_nginx_spec.lua runs: an application whose keys come from a vault, and the
--- vault.
local app = {}

local cjson = require("cjson").new()
local examples = dofile(ngx.config.prefix() .. "credentials.lua")
local heymarket = require "heymarket"

local state = ngx.shared.state

-- What a call gave, as plain data.
local function plain(value, problem)
  if value == nil then
    local made = { kind = problem.kind, reason = problem.reason, code = problem.message_code, line = tostring(problem) }
    made.delivered, made.unsent = problem.delivered, problem.report and problem.report.unsent
    return made
  end
  return type(value) == "table" and { accepted = value.accepted } or { value = true }
end

local function say(value)
  ngx.say(cjson.encode(value))
end

--- For init_by_lua: the clients are made before the workers.
function app.open(base_url, port)
  local ask = examples.from_server("127.0.0.1", port, "/vault")
  app.client = assert(heymarket.new { credentials = ask, base_url = base_url, requests_per_minute = false })
  app.silent = assert(heymarket.new {
    base_url = base_url,
    credentials = function()
      return state:get "id", state:get "key"
    end,
  })
  app.asked = state:get "asked" -- nil: nobody was asked yet
end

--- The vault: the key that `set` has put into it, after a while.
function app.vault()
  state:incr("asked", 1, 0)
  ngx.sleep(state:get "delay" or 0)
  if state:get "sealed" then
    return ngx.exit(503)
  elseif state:get "page" then
    return ngx.say "<html>log in first</html>"
  end
  say { secret_id = state:get "id", secret_key = state:get "key" }
end

--- Sets what the vault does, and counts anew.
function app.set()
  for name, value in pairs(ngx.req.get_uri_args()) do
    state:set(name, name == "delay" and tonumber(value) or value ~= "no" and value or nil)
  end
  state:set("asked", 0)
  say { set = true }
end

--- How often the vault was asked since `set`.
function app.count()
  say { asked = state:get "asked", at_start = app.asked }
end

--- Creates a contact.
function app.create()
  say(plain(app.client:create_contacts { { phone = ngx.var.arg_phone } }))
end

--- So many calls in light threads at once, with a client whose token was not signed yet.
function app.threads()
  local ask = examples.from_server("127.0.0.1", ngx.var.server_port, "/vault")
  local client = assert(heymarket.new { credentials = ask, base_url = app.client.config.base_url })
  local threads, made = {}, {}
  for i = 1, tonumber(ngx.var.arg_count) do
    threads[i] = ngx.thread.spawn(function()
      if i % 2 == 0 then
        return plain(client:token())
      end
      return plain(client:create_contacts { { phone = ngx.var.arg_phone .. ("%04d"):format(i) } })
    end)
  end
  for i, thread in ipairs(threads) do
    made[i] = select(2, ngx.thread.wait(thread))
  end
  client:close()
  say(made)
end

--- Kills a light thread while it asks the vault, and goes on.
function app.killed()
  local ask = examples.from_server("127.0.0.1", ngx.var.server_port, "/vault")
  local client = assert(heymarket.new { credentials = ask, base_url = app.client.config.base_url })
  local thread = ngx.thread.spawn(function()
    return client:check()
  end)
  ngx.sleep(0.05)
  local killed = ngx.thread.kill(thread)
  state:set("delay", 0)
  local made = plain(client:create_contacts { { phone = ngx.var.arg_phone } })
  made.killed = killed
  client:close()
  say(made)
end

--- In a phase that cannot wait: the token of a function that does not wait, and of one that does.
function app.log()
  local fresh = assert(heymarket.new {
    base_url = app.client.config.base_url,
    credentials = examples.from_server("127.0.0.1", ngx.var.server_port, "/vault"),
  })
  state:set("log", cjson.encode { silent = plain(app.silent:token()), waiting = plain(fresh:token()) })
  fresh:close()
end

--- Answers what came of `log`.
function app.logged()
  ngx.say(state:get "log" or "{}")
end

return app
