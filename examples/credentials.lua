-- luacheck: std min+ngx_lua
-- Functions for the option `credentials`: the library asks them for each token, so a key can change without a restart.
local credentials = {}

--- From a file with two lines, the id and the key, such as the agent of a vault writes.
function credentials.from_file(path)
  return function()
    local file, problem = io.open(path, "r")
    if not file then
      return nil, problem
    end
    local id, key = file:read("*l", "*l")
    file:close()
    return id, key
  end
end

--- In nginx: from a server that answers with JSON, {"secret_id": …, "secret_key": …}. Only the handler that asks waits.
function credentials.from_server(host, port, path)
  return function()
    local socket = ngx.socket.tcp()
    socket:settimeout(2000) -- milliseconds
    local ok, problem = socket:connect(host, port)
    if ok then
      ok, problem = socket:send(("GET %s HTTP/1.0\r\nHost: %s\r\n\r\n"):format(path, host))
    end
    local answer = nil
    if ok then
      answer, problem = socket:receive "*a"
    end
    socket:close()
    local status, body = (answer or ""):match "^HTTP/1%.[01] (%d+).-\r\n\r\n(.*)$"
    if status ~= "200" then
      return nil, "no credentials from the server: " .. tostring(problem or "status " .. tostring(status))
    end
    local found = require("cjson.safe").decode(body)
    if type(found) ~= "table" then
      return nil, "the server's answer is not JSON"
    end
    return found.secret_id, found.secret_key
  end
end

return credentials
