--- signing.lua ours|luaossl ID KEY IAT COUNT: prints nanoseconds per token and the first token.
local way, id, key, iat, count = arg[1], arg[2], arg[3], tonumber(arg[4]), tonumber(arg[5])

local ways = {}

function ways.ours()
  local signer = assert(require("heymarket.core").signer(id, key))
  return function(time)
    return signer:sign(time)
  end
end

-- The usual companions: cjson for the claims, LuaSocket's C function for base64.
function ways.luaossl()
  local hmac, cjson, mime = require "openssl.hmac", require "cjson", require "mime"
  local function encode(data)
    return (mime.b64(data):gsub("[+/=]", { ["+"] = "-", ["/"] = "_", ["="] = "" }))
  end
  local header = encode '{"alg":"HS256","typ":"JWT"}'
  return function(time)
    local input = header .. "." .. encode(cjson.encode { iss = id, iat = time })
    return input .. "." .. encode(hmac.new(id .. "||" .. key, "sha256"):final(input))
  end
end

local sign = ways[way]()
local first = sign(iat)
for time = iat, iat + count / 10 do
  sign(time)
end
local started = os.clock()
for time = iat, iat + count - 1 do
  sign(time)
end
print(string.format("%.1f %s", (os.clock() - started) / count * 1e9, first))
