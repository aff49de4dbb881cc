--- The table of responses in spec/live/responses, made ready for spec/support/response_server.py; and that server as a
--- Lua object.
local answers = {}

local cjson = require("cjson").new()
local core = require "heymarket.core"
local process = require "spec.support.process"
local server = require "spec.support.server"

cjson.encode_sparse_array(true, 1)

--- The classes of the table, in files of spec/live/responses.
answers.CLASSES = { "status_line", "head", "length", "chunks", "trailers", "early", "json", "tls_end", "http2" }

--- The phones of a request's contacts; @A@ in an answer stands for the first.
answers.PHONES = { A = "12025550101", B = "12025550102", C = "12025550103", D = "12025550104" }

local LETTERS = { "A", "B", "C", "D" }
local OVER_HTTP1, OVER_HTTP2 = { "plain", "tls12", "tls13" }, { "h2_tls12", "h2_tls13" }
local WITH_BYTES = { send = true, drip = true, raw = true, half = true, flip = true }
local PART = 20000 -- bytes of a body, after which an early answer comes
-- How a connection ends, in the server's actions.
local FINISH = {
  close = { { "notify" }, { "end" }, { "stall" } },
  cut = { { "end" }, { "stall" } },
  reset = { { "reset" } },
  stall = { { "stall" } },
}

local function replace(text, found, by)
  local parts, from = {}, 1
  local first, last = text:find(found, 1, true)
  while first do
    parts[#parts + 1] = text:sub(from, first - 1)
    parts[#parts + 1] = by
    from = last + 1
    first, last = text:find(found, from, true)
  end
  return table.concat(parts) .. text:sub(from)
end

-- Fills the placeholders of an answer.
local function filled(text, class, entry)
  for name in text:gmatch "@([A-Z]+)@" do
    local value = entry[name:lower()] or class[name:lower()]
    if value and name ~= "LENGTH" then
      text = replace(text, "@" .. name .. "@", value)
    end
  end
  for letter, phone in pairs(answers.PHONES) do
    text = replace(text, "@" .. letter .. "@", phone)
    text = replace(text, "@" .. letter .. "-1@", phone:sub(2))
  end
  local _, head = text:find("\r\n\r\n", 1, true)
  return replace(text, "@LENGTH@", tostring(head and #text - head or 0))
end

-- Actions as the server takes them.
local function ready(actions, class, entry)
  local made = {}
  for _, action in ipairs(actions) do
    local word, value, times = action[1], action[2], action[3]
    if WITH_BYTES[word] then
      value = filled(value, class, entry):gsub(".", function(byte)
        return ("%02x"):format(byte:byte())
      end)
    end
    for _, part in ipairs(FINISH[word] or { { word, value, times } }) do
      made[#made + 1] = part
    end
  end
  return made
end

local EARLY = { accept = {}, head = { { "head" } }, part = { { "part", PART } } }

-- What the server does, where the entry only says which bytes it sends.
local function usual(class, entry)
  local made = {}
  for _, action in ipairs(entry.early and EARLY[entry.early] or { { "read" } }) do
    made[#made + 1] = action
  end
  made[#made + 1] = { entry.drip and "drip" or "send", entry.bytes or class.template }
  if entry.clean then
    made[#made + 1] = { "read" }
    made[#made + 1] = { "clean" }
  elseif entry.early and entry.finish ~= "reset" then
    -- The client is to see the answer before the rest of its request is read.
    if entry.finish then
      made[#made + 1] = { "notify" }
      made[#made + 1] = { "end" }
    end
    made[#made + 1] = entry.waits and { "pause", entry.waits } or { "hold" }
    made[#made + 1] = { entry.finish and "stall" or "read" }
  elseif entry.finish then
    made[#made + 1] = { entry.finish }
  end
  return made
end

local function prepared(class, entry)
  entry.name, entry.expect, entry.why = entry[1], entry[2], entry[3]
  local size = entry.contacts or 3
  entry.contacts = {}
  for i = 1, size do
    entry.contacts[i] = { phone = answers.PHONES[LETTERS[i]], first = LETTERS[i] }
    if entry.upload then
      entry.contacts[i].custom = { [7] = ("x"):rep(math.floor(entry.upload / size)) }
    end
  end
  if type(entry.expect) == "string" then
    local all = {}
    for i = 1, size do
      all[i] = entry.expect
    end
    entry.expect = all
  end
  entry.doubt = entry.expect[1] == "unknown"
  entry.refused = entry.expect[1] == "failed"
  if entry.idle then
    entry.actions = { { "read" }, { "clean" } }
    entry.idle = ready(entry.idle, class, entry)
    if entry.idle[#entry.idle] and entry.idle[#entry.idle][1] == "stall" then
      table.remove(entry.idle)
    end
  elseif entry.before then
    entry.actions, entry.before = {}, ready(entry.before, class, entry)
  else
    entry.actions = ready(entry.play or usual(class, entry), class, entry)
  end
  if entry.early or entry.idle then
    entry.check = nil -- a check has no body
  elseif entry.check == nil and not class.http2 then
    entry.check = not entry.doubt and not entry.refused
  end
  return entry
end

--- Reads a class of the table.
---@param name string
---@return table class `name`, `listeners` and `entries`
function answers.class(name)
  local class = dofile("spec/live/responses/" .. name .. ".lua")
  class.listeners = class.listeners or OVER_HTTP1
  for _, entry in ipairs(class.entries) do
    prepared(class, entry)
  end
  return class
end

--- The same bodies as answers over HTTP/2.
---@param class table of bodies
---@return table class
function answers.over_http2(class)
  local frames = require "spec.support.frames"
  local made = { name = class.name, listeners = OVER_HTTP2, entries = {} }
  for i, entry in ipairs(class.entries) do
    local copy = {}
    for key, value in pairs(entry) do
      copy[key] = value
    end
    local body = filled(entry.body, class, entry)
    local bytes, head = frames.data(body:sub(-16000)), frames.headers(frames.fields "200")
    if #body > 16000 then
      bytes = frames.data(body:sub(1, -16001), { open = true }) .. bytes
    end
    copy.actions = ready({ { "read" }, { "send", head .. bytes } }, class, {})
    made.entries[i] = copy
  end
  return made
end

local Server = {}
Server.__index = Server

--- Starts the server.
---@param certificate {certificate: string, key: string} paths
---@return table server
function answers.start(certificate)
  local made = setmetatable({}, Server)
  made.pipe, made.port = server.spawn(
    ("/usr/bin/env python3 spec/support/response_server.py %s %s"):format(
      process.quote(certificate.certificate),
      process.quote(certificate.key)
    )
  )
  made.ports = made:control "ports"
  return made
end

--- A control call.
---@param name string
---@param value table?
---@return table answer
function Server:control(name, value)
  -- One connection for all of them: a new one costs time, and each entry makes several calls.
  self.pool = self.pool or core.pool {}
  local pool = self.pool
  local url = ("http://127.0.0.1:%d/%s"):format(self.port, name)
  assert(pool:start(value and "POST" or "GET", url, {}, value and cjson.encode(value), 60, 10))
  local result
  repeat
    pool:perform()
    result = pool:take()
    if not result then
      pool:wait(1)
    end
  until result
  if result.code or result.status ~= 200 then
    error(("control call %s: %s %s"):format(name, tostring(result.code or result.status), tostring(result.body)))
  end
  return cjson.decode(result.body)
end

--- Forgets what happened; the next connection plays the entry.
---@param entry table
---@param stores boolean whether the server stores what it has read before it answers
function Server:play(entry, stores)
  local have
  if entry.have then
    have = {}
    for i, contact in ipairs(entry.contacts) do
      have[i] = contact.phone
    end
  end
  self:control("play", {
    actions = entry.actions,
    before = entry.before,
    stores = stores,
    have = have,
  })
end

--- Performs actions on the newest connection, which waits for its next request.
---@param actions table[]
function Server:idle(actions)
  self:control("idle", { actions = actions })
end

--- Tells the server that the client has judged an early answer, so that the rest of its request may be read.
function Server:decided()
  self:control "decided"
end

--- What happened since `play`. All clients must have closed their connections.
---@return table
function Server:ledger()
  return self:control "ledger"
end

--- The address of a listener.
---@param listener string
---@param entry table
---@return string
function Server:url(listener, entry)
  local port = self.ports[(entry.upload and "narrow_" or "") .. listener]
  return ("%s://127.0.0.1:%d"):format(listener == "plain" and "http" or "https", port)
end

--- Ends the server.
function Server:stop()
  if self.pool then
    self.pool:close()
    self.pool = nil
  end
  if self.pipe then
    self.pipe:close()
    self.pipe = nil
  end
end

return answers
