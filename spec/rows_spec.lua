-- heymarket.rows: what other specs do not show through the modules that use it.

local fields = require "heymarket.contact.fields"
local rows = require "heymarket.rows"

local encode = rows.encoder(fields)

local function output_of(command)
  local pipe = assert(io.popen(command, "r"))
  local text = pipe:read "*a"
  pipe:close()
  return text
end

describe("a string that grows when it is written", function()
  -- A mistake in the room for them overruns a buffer, which the sanitizers' run of this spec shows.
  it("has room for control characters of any number", function()
    for _, character in ipairs { "\0", "\1", "\31", '"', "\\" } do
      local written = #character == 1 and character:find '["\\]' and "\\" .. character
        or ("\\u00%02x"):format(character:byte())
      for _, length in ipairs { 1, 84, 85, 86, 169, 170, 171, 500, 512, 600, 682, 683, 700, 1024, 5000 } do
        local text = character:rep(length)
        assert.are.equal('"' .. written:rep(length) .. '"', rows.quote(text))
        local body = encode { phone = "12025550123", custom = { [1] = text, [2] = text } }
        local wanted = '{"phone":"12025550123","custom":{"1":"%s","2":"%s"}}'
        assert.are.equal(wanted:format(written:rep(length), written:rep(length)), body)
      end
    end
  end)
end)

describe("a string", function()
  -- Bytes are looked at in groups: what is not plain is found at each place of a group, and behind the last one.
  it("is written the same wherever its odd characters stand", function()
    local odd = {
      { '"', '\\"' },
      { "\\", "\\\\" },
      { "\31", "\\u001f" },
      { "\127", "\\u007f" },
      { "\195\169", "\195\169" },
      { "\240\159\142\137", "\240\159\142\137" },
      { " ", " " },
    }
    for length = 0, 35 do
      for place = 0, length do
        local before, after = ("a"):rep(place), ("b"):rep(length - place)
        for _, pair in ipairs(odd) do
          assert.equal('"' .. before .. pair[2] .. after .. '"', rows.quote(before .. pair[1] .. after))
        end
        local written, invalid = rows.quote(before .. "\233" .. after)
        assert.is_nil(written)
        assert.equal(place + 1, invalid)
      end
    end
  end)

  it("is found to hold a blank or a delimiter wherever that stands", function()
    local function accepts(email)
      return encode { phone = "12025550123", email = email } ~= nil
    end
    for length = 1, 20 do
      local name = ("n"):rep(length)
      assert.is_true(accepts(name .. "@example.com"))
      for place = 1, length do
        for _, byte in ipairs { " ", ",", ";", "<", ">" } do
          assert.is_false(accepts(name:sub(1, place - 1) .. byte .. name:sub(place + 1) .. "n@example.com"))
        end
      end
    end
  end)
end)

describe("a hash", function()
  it("is BLAKE2b with 16 bytes", function()
    local witness =
      output_of [[python3 -c "import hashlib; h = lambda b: print(hashlib.blake2b(b, digest_size=16).hexdigest());
h(b''); h(b'abc'); h(bytes(range(256)) * 100)"]]
    local all = {}
    for byte = 0, 255 do
      all[byte + 1] = string.char(byte)
    end
    local ours = { rows.hash "", rows.hash "abc", rows.hash(table.concat(all):rep(100)), "" }
    assert.are.equal(witness, table.concat(ours, "\n"))
  end)
end)

describe("an HMAC", function()
  it("is HMAC-SHA256 with a key of any length", function()
    local witness = output_of [[python3 -c "import hmac; all = bytes(range(256))
for key in 0, 1, 31, 32, 33, 63, 64, 65, 256:
  for text in 0, 1, 55, 56, 63, 64, 65, 256:
    print(hmac.new(all[:key], all[:text], 'sha256').hexdigest())"]]
    local all, ours = {}, {}
    for byte = 0, 255 do
      all[byte + 1] = string.char(byte)
    end
    all = table.concat(all)
    for _, key in ipairs { 0, 1, 31, 32, 33, 63, 64, 65, 256 } do
      for _, text in ipairs { 0, 1, 55, 56, 63, 64, 65, 256 } do
        local code = rows.hmac_sha256(all:sub(1, key), all:sub(1, text))
        ours[#ours + 1] = code:gsub(".", function(byte)
          return ("%02x"):format(byte:byte())
        end) .. "\n"
      end
    end
    assert.are.equal(72, #ours)
    assert.are.equal(witness, table.concat(ours))
  end)

  it("takes texts only", function()
    assert.is_false(pcall(rows.hmac_sha256, nil, "text"))
    assert.is_false(pcall(rows.hmac_sha256, "key"))
    assert.is_false(pcall(rows.hmac_sha256, "key", {}))
  end)
end)
