local cjson = require("cjson").new()
local core = require "heymarket.core"
local faces = require "spec.support.sandbox_faces"
local heymarket = require "heymarket"
local process = require "spec.support.process"
local http_date = require "heymarket.http.date"
local sandbox_server = require "heymarket.sandbox.server"
local system = require "heymarket.system"

local sandbox = heymarket.sandbox

local function collect_all()
  collectgarbage()
  collectgarbage()
end

local function nothing_open()
  collect_all()
  assert.are.same({ signers = 0, pools = 0, transfers = 0 }, core.open_handles())
end

-- Waits until a condition holds, at most so many seconds.
local function eventually(seconds, holds)
  local last = system.monotonic() + seconds
  while not holds() do
    if system.monotonic() > last then
      return false
    end
    system.sleep(0.02)
  end
  return true
end

local BATCH = "/v1/batch/contacts"
local good_token

setup(function()
  good_token = faces.token(('{"iss":"sandbox-id","iat":%d}'):format(math.floor(system.time())))
end)

local function headers(token)
  return { Authorization = "Bearer " .. (token or good_token), ["Content-Type"] = "application/json" }
end

local function post(face, body, path)
  return face.raw("POST", path or BATCH, headers(), body)
end

local function listed_phones(answer)
  local phones = {}
  for i, contact in ipairs(cjson.decode(answer.body)) do
    phones[i] = contact.phone
  end
  return phones
end

local function phones(first, count)
  local list = {}
  for i = 1, count do
    list[i] = { phone = tostring(first + i - 1) }
  end
  return list
end

for _, name in ipairs(faces.names) do
  describe("the sandbox " .. name, function()
    local face

    local function open(options)
      face = faces.open[name](options)
      return face
    end

    after_each(function()
      if face then
        face.close()
        if face.server then
          assert.is_false(face.server:is_running())
        end
        face = nil
      end
      nothing_open()
    end)

    it("stores the contacts of a client in wire form", function()
      local client = open().client()
      assert.is_true(client:check())
      local report = assert(client:create_contacts {
        {
          phone = "+1 (234) 567-8900",
          first = "Zoë",
          last = 'the "Boat"\\',
          tags = { 1, 22 },
          custom = { [123] = "Premium", [5] = 1.5, [6] = true },
          assignee_id = 9007199254740991,
          email_suppressions = { 4 },
          is_opted_out = true,
        },
        { phone = "12345678901", tags = {}, custom = {} },
      })
      assert.equal(2, report.accepted)
      assert.equal(2, face.count())
      local held = face.get "12345678900"
      assert.equal("12345678900", held.phone)
      assert.equal("Zoë", held.first)
      assert.equal('the "Boat"\\', held.last)
      assert.equal(1, held.tags[1].tag_id)
      assert.equal(22, held.tags[2].tag_id)
      assert.is_nil(held.tags[3])
      assert.equal("Premium", held.custom["123"])
      assert.equal(1.5, held.custom["5"])
      assert.is_true(held.custom["6"])
      assert.equal("9007199254740991", ("%.0f"):format(held.assignee_id))
      assert.equal(4, held.email_suppressions[1])
      assert.is_true(held.is_opted_out)
      assert.equal(1, held.rev)
      assert.equal(0, held.id % 1)
      assert.truthy(held.created:find "^%d%d%d%d%-%d%d%-%d%dT%d%d:%d%d:%d%d%.%d%d%dZ$")
      assert.is_nil(next(face.get("12345678901").tags))
    end)

    it("leaves an existing contact as it is without overwrite, and changes the given fields with it", function()
      local client = open().client()
      face.put { phone = "12345678900", first = "Old", last = "Kept", custom = { [1] = "a", [2] = "b" } }
      local contact = { phone = "12345678900", first = "New", custom = { [2] = "c" } }
      local report = assert(client:create_contacts { contact })
      assert.equal(1, report.rejected)
      assert.equal("Old", report.items[1].remote.first)
      assert.equal("Old", face.get("12345678900").first)
      report = assert(client:create_contacts({ contact }, { overwrite = true }))
      assert.equal(1, report.accepted)
      local held = face.get "12345678900"
      assert.equal("New", held.first)
      assert.equal("Kept", held.last)
      assert.equal("a", held.custom["1"])
      assert.equal("c", held.custom["2"])
      assert.equal(2, held.rev)
    end)

    it("lists a contact with the documented keys only", function()
      open()
      face.put { phone = "12345678900", first = "A", assignee_id = 7, tags = { 3 }, is_opted_out = true }
      local answer = post(face, '[{"phone":"12345678900"}]')
      assert.equal(200, answer.status)
      local shown = cjson.decode(answer.body)[1]
      local documented = {}
      for key in
        (
          "avatar created creator_id custom display_name email external_id external_ref first id inbox_id last note op "
          .. "parent_id phone rev shared team_id type updated assigned_user_id tags"
        ):gmatch "%S+"
      do
        documented[key] = true
      end
      for key in pairs(shown) do
        assert.truthy(documented[key], key)
      end
      assert.equal(7, shown.assigned_user_id)
      for _, key in ipairs { "id", "rev", "creator_id", "team_id" } do
        assert.equal(0, shown[key] % 1)
      end
      assert.truthy(answer.body:find('"note":[]', 1, true))
    end)

    it("puts X-Request-Id and Date on every answer", function()
      open()
      face.script({}, { status = 500 }, { status = 204 })
      local seen = {}
      for i = 1, 5 do
        local answer = i == 5 and face.raw("GET", "/nowhere", {}) or post(face, "[]")
        local id = answer.headers["x-request-id"]
        assert.truthy(id:find "^%x%x%x%x%x%x%x%x%-%x%x%x%x%-4%x%x%x%-[89ab]%x%x%x%-%x%x%x%x%x%x%x%x%x%x%x%x$")
        assert.is_nil(seen[id])
        seen[id] = true
        assert.truthy(math.abs(http_date.parse(answer.headers.date) - system.time()) < 30)
      end
    end)

    it("answers 401 to every token that is not valid", function()
      open()
      local now = math.floor(system.time())
      local function claims(iat)
        return ('{"iss":"sandbox-id","iat":%s}'):format(iat)
      end
      local function authorized(token)
        return token and "Bearer " .. token
      end
      local header, payload, signature = good_token:match "^([^.]+)%.([^.]+)%.([^.]+)$"
      local other = faces.token(claims(now - 100))
      local cases = {
        { "no header" },
        { "no token", "Bearer " },
        { "another scheme", "Basic " .. good_token },
        { "two parts", authorized(header .. "." .. payload) },
        { "no signature", authorized(header .. "." .. payload .. ".") },
        { "another payload", authorized(header .. "." .. other:match "%.([^.]+)%." .. "." .. signature) },
        { "a cut signature", authorized(good_token:sub(1, -2)) },
        { "a longer signature", authorized(good_token .. "A") },
        { "a changed signature", authorized(header .. "." .. payload .. "." .. other:match "([^.]+)$") },
        { "another key", authorized(faces.token(claims(now), { key = "sandbox-keY" })) },
        { "another id in the key", authorized(faces.token(claims(now), { id = "sandbox-iD" })) },
        { "another issuer", authorized(faces.token(('{"iss":"other","iat":%d}'):format(now))) },
        { "no issuer", authorized(faces.token(('{"iat":%d}'):format(now))) },
        { "no iat", authorized(faces.token '{"iss":"sandbox-id"}') },
        { "iat as text", authorized(faces.token(claims(('"%d"'):format(now)))) },
        { "iat with a fraction", authorized(faces.token(claims(now .. ".5"))) },
        { "alg none", authorized(faces.token(claims(now), { header = '{"alg":"none","typ":"JWT"}' })) },
        { "alg HS512", authorized(faces.token(claims(now), { header = '{"alg":"HS512","typ":"JWT"}' })) },
        { "no typ", authorized(faces.token(claims(now), { header = '{"alg":"HS256"}' })) },
        { "older than 5 minutes", authorized(faces.token(claims(now - 302))) },
        { "from the future", authorized(faces.token(claims(now + 60))) },
        { "claims that are no JSON", authorized(faces.token "iss=sandbox-id") },
      }
      for _, case in ipairs(cases) do
        local sent = { ["Content-Type"] = "application/json", Authorization = case[2] }
        local answer = face.raw("POST", BATCH, sent, '[{"phone":"12345678900"}]')
        assert.equal(401, answer.status, case[1])
        assert.equal("unauthorized", cjson.decode(answer.body).error_code, case[1])
        assert.is_nil(answer.body:find(signature, 1, true))
      end
      assert.equal(0, face.count())
      -- A valid token that is made in the same way is accepted.
      assert.equal(200, post(face, '[{"phone":"12345678900"}]').status)
      local old = faces.token(claims(now - 240))
      assert.equal(200, face.raw("POST", BATCH, headers(old), '[{"phone":"12345678901"}]').status)
      assert.equal(2, face.count())
    end)

    it("accepts a token that is signed with its key, in whatever way the JSON of the token is written", function()
      open()
      local now = math.floor(system.time())
      local function claims(text)
        return (text:gsub("NOW", ("%d"):format(now)))
      end
      local header = ' {\n "typ" : "JWT", "kid":"1", "alg" : "HS256" }'
      local cases = {
        { '{"iss":"sandbox-id","iat":NOW}' },
        { '{"iat":NOW,"iss":"sandbox-id"}' },
        { '{"iat":NOW,"iss":"sandbox-id"}', header },
        { '{"iss":"sandbox-id","iat":NOW}', '{"typ":"JWT","alg":"HS256"}' },
        { '{ "iss": "sandbox-id",\n  "iat": NOW }\n' },
        { '{"sub":"é","iat":NOW,"roles":["a",{"b":null}],"iss":"sandbox-id","exp":1}' },
        { '{"iss":"sandbox\\u002did","iat":NOW}' },
      }
      for _, case in ipairs(cases) do
        local token = faces.token(claims(case[1]), { header = case[2] })
        local function status(sent)
          return face.raw("GET", "/v1/team", headers(sent)).status
        end
        assert.equal(200, status(token), case[1])
        assert.equal(401, status(faces.token(claims(case[1]), { header = case[2], key = "sandbox-keY" })), case[1])
        -- Each change of one letter of the signature makes it another one. The last letter ends in two unused bits.
        for _, place in ipairs { 1, 22, 42 } do
          local at = #token - 43 + place
          local letter = token:sub(at, at) == "A" and "B" or "A"
          assert.equal(401, status(token:sub(1, at - 1) .. letter .. token:sub(at + 1)), case[1])
        end
        local last = ("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"):match(token:sub(-1) .. "(.)")
        assert.equal(401, status(token:sub(1, -2) .. last), case[1])
        assert.equal(401, status(token .. "="), case[1])
      end
    end)

    it("accepts the tokens whose signatures are known, by a clock of their time", function()
      local start = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9."
      local first = start
        .. "eyJpc3MiOiI3NGY4MGE3Ny05YjNmLTQ0YWMtYjNhZC1hYjY4Y2ZiNTQ4ZmEiLCJpYXQiOjE3MTMyMjU2MDB9."
        .. "sWLRg-YlFnPpP99prTT_IpgvMALyFmjYtlnfGEeahS0"
      local second = start
        .. "eyJpc3MiOiJZT1VSX0FQSV9TRUNSRVRfSUQiLCJpYXQiOjE3MTMyMjU2MDB9."
        .. "VIR4xZTstXIpU3hHI_ls4wlEnNPrr1i6ZA1w0vp3uUM"
      local cases = {
        { "74f80a77-9b3f-44ac-b3ad-ab68cfb548fa", "cPQku7lnSLbnK88UFOBg1a6Q3t1w1RgK", first },
        { "YOUR_API_SECRET_ID", "YOUR_API_SECRET_KEY", second },
      }
      for _, case in ipairs(cases) do
        local offset = 1713225660 - math.floor(system.time())
        open { secret_id = case[1], secret_key = case[2], clock_offset = offset }
        assert.equal(200, face.raw("GET", "/v1/team", headers(case[3])).status)
        face.close()
        open { secret_id = case[1], secret_key = case[2], clock_offset = offset + 300 }
        local answer = face.raw("GET", "/v1/team", headers(case[3]))
        assert.equal(401, answer.status)
        assert.equal("the token is older than 5 minutes", cjson.decode(answer.body).message)
        face.close()
      end
    end)

    it("accepts its own credentials, and answers 401 to a client with others", function()
      local client = open({ secret_id = 'a "b" ü', secret_key = "k" }).client()
      assert.is_true(client:check())
      local wrong_client = face.client { secret_id = "sandbox-id", secret_key = "sandbox-key" }
      local _, failure = wrong_client:check()
      assert.equal("unauthorized", failure.kind)
    end)

    it("accepts only the new credentials after a rotation, and keeps its contacts", function()
      open { secret_id = "old-id", secret_key = "old-key" }
      local old = face.client()
      assert(old:create_contacts { { phone = "12345678900" } })
      face.rotate("new-id", "new-key")
      local _, failure = old:check()
      assert.equal("unauthorized", failure.kind)
      local new = face.client()
      assert.is_true(new:check())
      assert.equal(1, face.count())
      local now = math.floor(system.time())
      local cases = { { "old-id", "old-key", 401 }, { "new-id", "new-key", 200 }, { "new-id", "old-key", 401 } }
      for _, case in ipairs(cases) do
        local token = faces.token(('{"iss":"%s","iat":%d}'):format(case[1], now), { id = case[1], key = case[2] })
        assert.equal(case[3], face.raw("GET", "/v1/inboxes", { Authorization = "Bearer " .. token }).status)
      end
      for _, wrong in ipairs { "", "a\nb", 5, {} } do
        assert.has_error(function()
          face.rotate("new-id", wrong)
        end)
        assert.has_error(function()
          face.rotate(wrong, "new-key")
        end)
      end
      assert.is_true(new:check())
    end)

    it("accepts tokens whose time is off by clock_skew at most", function()
      open { clock_skew = 20 }
      local now = math.floor(system.time())
      local function status(iat)
        local token = faces.token(('{"iss":"sandbox-id","iat":%d}'):format(iat))
        return face.raw("GET", "/v1/team", headers(token)).status
      end
      assert.equal(200, status(now + 15))
      assert.equal(200, status(now - 310))
      assert.equal(401, status(now + 90))
      assert.equal(401, status(now - 325))
    end)

    it("has a clock that is ahead by clock_offset, by which a client corrects its tokens", function()
      local client = open({ clock_offset = 3600 }).client()
      local report = assert(client:create_contacts { { phone = "12345678900" } })
      assert.equal(1, report.accepted)
      assert.equal(401, face.requests()[1].status)
      assert.equal(200, face.requests()[2].status)
    end)

    it("accepts a batch with each body that the option `ok` knows", function()
      for ok, body in pairs { quoted = '"ok"', raw = "ok", array = "[]", null = "null", empty = "" } do
        local client = open({ ok = ok }).client()
        assert.equal(body, post(face, '[{"phone":"12345678900"}]').body)
        assert.equal(1, assert(client:create_contacts { { phone = "12345678901" } }).accepted)
        assert.equal(2, face.count())
        face.close()
      end
    end)

    it("lists existing contacts only with list_existing", function()
      for _, list in ipairs { true, false } do
        local client = open({ list_existing = list }).client()
        face.put { phone = "12345678900" }
        local report = assert(client:create_contacts(phones(12345678900, 3)))
        assert.equal(list and 1 or 0, report.rejected)
        assert.equal(3, face.count())
        face.close()
      end
    end)

    it("answers 400 for one bad contact, or lists it, as bad_contact says", function()
      local bad = { "12345678902" }
      local client = open({ refused_phones = bad }).client()
      local answer = post(face, '[{"phone":"12345678902"},{"phone":"12345678903"}]')
      assert.equal(400, answer.status)
      assert.equal("[0].phone", cjson.decode(answer.body).field)
      assert.equal(0, face.count())
      local _, failure = client:create_contacts(phones(12345678900, 9))
      assert.equal(1, failure.report.failed)
      assert.equal(8, failure.report.accepted)
      assert.equal(8, face.count())
      face.close()

      client = open({ refused_phones = bad, bad_contact = "list" }).client()
      local report
      report, failure = client:create_contacts(phones(12345678900, 9))
      assert.is_nil(report)
      assert.equal("refused", failure.kind)
      assert.equal(1, failure.report.rejected)
      assert.equal("refused", failure.report.items[1].reason)
      assert.equal("12345678902", failure.report.items[1].contact.phone)
      assert.equal(8, face.count())
      local listed = listed_phones(post(face, '[{"phone":"0"},{"phone":"12345678999"},{"first":"A"},7]'))
      assert.are.same({ "0", nil, nil }, listed)
      assert.equal(9, face.count())
    end)

    it("writes a returned phone as phone_format says", function()
      for format, shown in pairs { digits = "12345678900", plus = "+12345678900" } do
        local client = open({ phone_format = format }).client()
        face.put { phone = "12345678900" }
        assert.are.same({ shown }, listed_phones(post(face, '[{"phone":"12345678900"}]')))
        assert.equal(1, assert(client:create_contacts { { phone = "12345678900" } }).rejected)
        face.close()
      end
    end)

    it("clears stored values by null and by blanks, as clear_on_null and clear_on_blank say", function()
      local body = '[{"phone":"12345678900","first":null,"last":"","tags":[],"custom":{}}]'
      for _, null in ipairs { true, false } do
        for _, blank in ipairs { true, false } do
          open { clear_on_null = null, clear_on_blank = blank }
          face.put { phone = "12345678900", first = "A", last = "B", tags = { 1 }, custom = { [1] = "x" } }
          assert.equal(200, post(face, body, BATCH .. "?overwrite=true").status)
          local held = face.get "12345678900"
          assert.equal(not null and "A" or nil, held.first)
          assert.equal(blank and "" or "B", held.last)
          assert.equal(blank and 0 or 1, #held.tags)
          assert.equal(not blank and "x" or nil, held.custom["1"])
          face.close()
        end
      end
    end)

    it("refuses requests beyond max_contacts and max_bytes", function()
      for _, status in ipairs { 413, 400 } do
        local client = open({ max_contacts = 3, too_large = status }).client()
        assert.equal(status, post(face, '[{"phone":"12345678900"},{},{},{}]').status)
        local report = assert(client:create_contacts(phones(12345678900, 10)))
        assert.equal(10, report.accepted)
        for _, request in ipairs(face.requests()) do
          assert.truthy(request.status ~= 200 or request.contacts <= 3)
        end
        face.close()
        client = open({ max_bytes = 200, too_large = status }).client()
        assert.equal(10, assert(client:create_contacts(phones(12345678900, 10))).accepted)
        assert.equal(status, post(face, "[" .. (" "):rep(200) .. "]").status)
        face.close()
      end
    end)

    it("treats a phone that is twice in a request as duplicates says", function()
      local body = '[{"phone":"12345678900","first":"A"},{"phone":"12345678900","first":"B"}]'
      open { duplicates = "last_wins" }
      assert.equal('"ok"', post(face, body).body)
      assert.equal("B", face.get("12345678900").first)
      face.close()
      open { duplicates = "list" }
      assert.are.same({ "12345678900" }, listed_phones(post(face, body)))
      assert.equal("A", face.get("12345678900").first)
      face.close()
      open { duplicates = "refuse" }
      assert.equal(400, post(face, body).status)
      assert.equal(0, face.count())
    end)

    it("writes the body of an error as error_shape says, and a client reads each of the six", function()
      local shapes = {
        error_code = '^{"error_code":"bad_data"',
        code = '^{"code":"bad_data"',
        nested = '^{"error":{"code":"bad_data"',
        error = '^{"error":"bad_data: ',
        text = "^bad_data: ",
        empty = "^$",
      }
      for shape, pattern in pairs(shapes) do
        local client = open({ error_shape = shape, refused_phones = { "12345678900" } }).client()
        assert.truthy(post(face, '[{"phone":"12345678900"}]').body:find(pattern))
        local _, failure = client:create_contacts { { phone = "12345678900" } }
        assert.equal("bad_data", failure.kind)
        assert.equal(400, failure.status)
        face.close()
      end
    end)

    it("subscribes somebody again only with resubscribe", function()
      for _, again in ipairs { true, false } do
        local client = open({ resubscribe = again }).client()
        face.put { phone = "12345678900", is_opted_out = true }
        assert(client:create_contacts({ { phone = "12345678900" } }, { overwrite = true }))
        assert.is_true(face.get("12345678900").is_opted_out)
        assert(client:create_contacts({ { phone = "12345678900", is_opted_out = false } }, { overwrite = true }))
        assert.equal(not again, face.get("12345678900").is_opted_out)
        face.close()
      end
    end)

    it("answers 429 beyond requests_per_minute, with Retry-After or without", function()
      for _, case in ipairs { { false, nil }, { 7, "^7$" }, { true, "^[56]%d$" } } do
        open { requests_per_minute = 2, retry_after = case[1] }
        for i = 1, 4 do
          local answer = post(face, "[]")
          assert.equal(i > 2 and 429 or 200, answer.status)
          local after = answer.headers["retry-after"]
          if i > 2 and case[2] then
            assert.truthy(after:find(case[2]))
          else
            assert.is_nil(after)
          end
        end
        face.close()
      end
      open { requests_per_minute = false }
      for _ = 1, 3 do
        assert.equal(200, post(face, "[]").status)
      end
    end)

    it("drops values of custom fields that do not exist", function()
      local client = open({ custom_fields = { { id = 5, title = "Plan" } } }).client()
      assert(client:create_contacts { { phone = "12345678900", custom = { [5] = "x", [6] = "y" } } })
      local held = face.get "12345678900"
      assert.equal("x", held.custom["5"])
      assert.is_nil(held.custom["6"])
    end)

    it("refuses texts beyond max_length, and treats unknown fields as unknown_field says", function()
      open { max_length = 3, unknown_field = "ignore" }
      assert.equal(200, post(face, '[{"phone":"12345678900","first":"abc","nick":1}]').status)
      assert.is_nil(face.get("12345678900").nick)
      assert.equal(400, post(face, '[{"phone":"12345678901","first":"abcd"}]').status)
      face.close()
      open { unknown_field = "refuse" }
      assert.equal(400, post(face, '[{"phone":"12345678900","nick":1}]').status)
    end)

    it("keeps the newest keep_requests requests", function()
      open { keep_requests = 2 }
      for i = 1, 3 do
        post(face, ('[{"phone":"1234567890%d"}]'):format(i))
      end
      local requests = face.requests()
      assert.equal(2, #requests)
      assert.equal("12345678902", requests[1].body[1].phone)
      assert.equal("12345678903", requests[2].body[1].phone)
    end)

    it("lists requests without their tokens", function()
      local client = open().client()
      assert(client:create_contacts(phones(12345678900, 2)))
      local request = face.requests()[1]
      assert.equal("POST", request.method)
      assert.equal(BATCH .. "?overwrite=false", request.path)
      assert.equal(200, request.status)
      assert.equal(2, request.contacts)
      assert.truthy(request.request_id:find "^%x+%-")
      local function search(value)
        if type(value) == "table" then
          for _, item in pairs(value) do
            search(item)
          end
        elseif type(value) == "string" then
          assert.is_nil(value:find("eyJ", 1, true))
        end
      end
      search(face.requests())
    end)

    it("answers 400 to bodies that the API does not document", function()
      open()
      local bad = {
        "",
        "{}",
        '{"contacts":[]}',
        '"ok"',
        "null",
        "[",
        "[]]",
        '[{"phone":"12345678900"},]',
        "[7]",
        "[[]]",
        "[{}]",
        '[{"phone":null}]',
        '[{"phone":12345678900}]',
        '[{"phone":"+12345678900"}]',
        '[{"phone":"1 2345678900"}]',
        '[{"phone":""}]',
        '[{"phone":"1234567890123456"}]',
        '[{"phone":"12345678900","first":7}]',
        '[{"phone":"12345678900","first":"a\nb"}]',
        '[{"phone":"12345678900","first":"\255"}]',
        '[{"phone":"12345678900","first":"\\ud800"}]',
        '[{"phone":"12345678900","assignee_id":"7"}]',
        '[{"phone":"12345678900","assignee_id":0}]',
        '[{"phone":"12345678900","assignee_id":42.0}]',
        '[{"phone":"12345678900","assignee_id":1e+15}]',
        '[{"phone":"12345678900","tags":{}}]',
        '[{"phone":"12345678900","tags":[1]}]',
        '[{"phone":"12345678900","tags":[{"tag_id":"1"}]}]',
        '[{"phone":"12345678900","tags":[{"tag_id":1,"x":1}]}]',
        '[{"phone":"12345678900","tags":[{"tag_id":1.0}]}]',
        '[{"phone":"12345678900","tags":' .. "[" .. ('{"tag_id":1},'):rep(5) .. '{"tag_id":2}]}]',
        '[{"phone":"12345678900","custom":[]}]',
        '[{"phone":"12345678900","custom":{"plan":"x"}}]',
        '[{"phone":"12345678900","custom":{"1":[]}}]',
        '[{"phone":"12345678900","custom":{"1":NaN}}]',
        '[{"phone":"12345678900","is_opted_out":"true"}]',
        '[{"phone":"12345678900","is_opted_out":1}]',
        '[{"phone":"12345678900","email_suppressions":{}}]',
        '[{"phone":"12345678900","email_suppressions":[1.5]}]',
        '[{"phone":"12345678900","assignee_id":07}]',
      }
      for _, body in ipairs(bad) do
        local answer = post(face, body)
        assert.equal(400, answer.status, body)
        assert.equal("bad_data", cjson.decode(answer.body).error_code)
      end
      assert.equal(400, post(face, "[]", BATCH .. "?overwrite=yes").status)
      assert.equal(400, face.raw("POST", BATCH, { Authorization = "Bearer " .. good_token }, "[]").status)
      assert.equal(0, face.count())
      local good = '[ {"phone" : "12345678900", "first":"\\u00e9\\ud83d\\ude00\\/\\n", "assignee_id":-1,'
        .. '"tags":[{"tag_id":1}],"custom":{"1":"x","2":1e3},"email_suppressions":[]} ]'
      assert.equal('"ok"', post(face, good).body)
      assert.equal("é😀/\n", face.get("12345678900").first)
    end)

    it("answers the calls for single contacts, searches, custom fields, tags, team and inboxes", function()
      local tags = {}
      for i = 1, 65 do
        tags[i] = "Tag " .. i
      end
      open { tags = tags }
      local function ask(method, path, body)
        local answer = face.raw(method, path, headers(), body)
        assert.equal(200, answer.status, path)
        return cjson.decode(answer.body)
      end

      local made = ask("POST", "/v1/contact", '{"phone":"12345678900","first":"Ann","last":"Lee"}')
      assert.equal(1, made.rev)
      assert.truthy(made.uuid:find "^%x+%-%x+%-4")
      assert.equal("Ann Lee", face.get("12345678900").display_name)
      assert.equal(400, post(face, '{"first":"Ann"}', "/v1/contact").status)

      local found = ask(
        "POST",
        "/v2/contacts/search",
        '{"contact_channels":[{"channel_type":"phone","channel_ids":["12345678900","12345678901"]}]}'
      )
      assert.equal(1, #found)
      assert.equal(made.id, found[1].id)
      assert.equal(400, post(face, "{}", "/v2/contacts/search").status)

      local fields = ask("POST", "/v1/contacts/fields", '[{"title":"Plan"},{"title":"Plan"}]')
      assert.is_false(fields[1].duplicate)
      assert.is_true(fields[2].duplicate)
      assert.equal(fields[1].id, fields[2].id)
      assert.equal("Plan", ask("POST", "/v1/contact-fields")[1].title)
      assert.equal(400, post(face, "[{}]", "/v1/contacts/fields").status)

      local seen, date, pages = {}, nil, 0
      while true do
        local page = ask("POST", "/v1/tags", date and ('{"date":"%s"}'):format(date) or "{}")
        if #page == 0 then
          break
        end
        assert.truthy(#page <= 30)
        for _, tag in ipairs(page) do
          assert.is_nil(seen[tag.tag])
          seen[tag.tag] = true
          date = tag.updated
        end
        pages = pages + 1
      end
      assert.equal(3, pages)
      assert.truthy(seen["Tag 1"] and seen["Tag 65"])

      assert.equal(1, ask("GET", "/v1/team").list_size)
      assert.equal(1, #ask("GET", "/v1/inboxes"))
      assert.equal(405, face.raw("GET", BATCH, headers()).status)
      assert.equal("POST", face.raw("GET", BATCH, headers()).headers.allow)
      assert.equal(404, face.raw("GET", "/v1/inbox", headers()).status)
      face.close()
      open { inboxes = "object" }
      assert.equal(1, #ask("GET", "/v1/inboxes").inboxes)
      assert.is_true(face.client():check())
    end)

    describe("with a script", function()
      -- What a client that tries once reports for each fault. Over HTTP there is always a server that listens, so the
      -- faults without a connection are resets there.
      local expected = {
        refused = { kind = "network", code = "COULDNT_CONNECT", delivered = "no" },
        unresolved = { kind = "network", code = "COULDNT_RESOLVE_HOST", delivered = "no" },
        tls = { kind = "network", code = "PEER_FAILED_VERIFICATION", delivered = "no" },
        reset_before = { kind = "network", code = "RECV_ERROR", delivered = "maybe" },
        reset = { kind = "network", code = "RECV_ERROR", delivered = "maybe" },
        timeout = { kind = "timeout", code = "OPERATION_TIMEDOUT", delivered = "maybe" },
        truncated = { kind = "network", code = "PARTIAL_FILE", delivered = "maybe" },
        oversized = { kind = "unexpected", code = "FILESIZE_EXCEEDED", delivered = "maybe" },
        not_json = { kind = "unexpected", delivered = "maybe", status = 200 },
        html = { kind = "unexpected", delivered = "maybe", status = 200 },
        redirect = { kind = "unexpected", delivered = "maybe", status = 302 },
      }

      it("knows exactly these faults, and a client reports each with its kind, code and delivery", function()
        open()
        local _, message = pcall(face.script, { fault = "rest" })
        local known, count = tostring(message):match "fault must be one of ([^\n]*)", 0
        for fault in known:gmatch '"([^"]*)"' do
          count = count + 1
          assert.truthy(expected[fault], fault)
        end
        assert.equal(11, count)
        local client = face.client { max_attempts = 1, timeout = 0.5 }
        for fault, wanted in pairs(expected) do
          for _, processed in ipairs { false, true } do
            face.reset()
            face.script { fault = fault, process = processed }
            assert.equal(1, face.pending())
            local report, failure = client:create_contacts { { phone = "12345678900" } }
            local where = fault .. (processed and ", processed" or "")
            assert.is_nil(report, where)
            if face.server and (wanted.delivered == "no" or fault == "reset_before") then
              wanted = expected.reset
            end
            assert.equal(wanted.kind, failure.kind, where)
            local code = failure.code
            if face.server and wanted == expected.reset and code == "SEND_ERROR" then
              code = "RECV_ERROR" -- a reset can meet the client while it still looks for something to send
            end
            assert.equal(wanted.code, code, where)
            assert.equal(wanted.delivered, failure.delivered, where)
            if wanted.status then
              assert.equal(wanted.status, failure.status, where)
            end
            assert.equal(processed and 1 or 0, face.count(), where)
            assert.equal(0, face.pending(), where)
            assert.equal(fault, face.requests()[1].fault)
          end
        end
      end)

      it("answers as the steps say, and as usual after them", function()
        local client = open().client { max_attempts = 1 }
        face.script(
          { status = 503, body = "<busy>", headers = { ["X-Request-Id"] = "mine", ["content-type"] = "text/x" } },
          { status = 429, retry_after = 9 },
          { status = 400, body = { error_code = "bad_data", message = "phone" } },
          { status = 500, process = true },
          { status = 200 }
        )
        assert.equal(5, face.pending())
        local function try(phone)
          local report, failure = client:create_contacts { { phone = phone } }
          return failure or report
        end
        local first = try "12345678900"
        assert.equal("server", first.kind)
        assert.equal(503, first.status)
        assert.equal("<busy>", first.body)
        assert.equal("mine", first.request_id)
        local second = try "12345678900"
        assert.equal("rate_limited", second.kind)
        assert.equal(9, second.retry_after)
        face.close()

        client = open().client { max_attempts = 1 }
        face.script(
          { status = 400, body = { error_code = "bad_data", message = "phone" } },
          { status = 500, process = true },
          { status = 200 }
        )
        assert.equal("phone", try("12345678900").details.message)
        assert.equal(0, face.count())
        assert.equal("server", try("12345678900").kind)
        assert.equal(1, face.count())
        assert.equal(1, try("12345678901").accepted)
        assert.is_nil(face.get "12345678901")
        assert.equal(0, face.pending())
        assert.equal(1, try("12345678901").accepted)
        assert.equal(2, face.count())
      end)

      it("uses a step as often as times says, and one with contains only for that phone", function()
        local client = open().client { max_attempts = 1, batch_size = 1, concurrency = 1 }
        face.script({ contains = "+1 234 567 8902", status = 400, times = 2 }, { delay = 0.01 })
        assert.equal(3, face.pending())
        local _, failure = client:create_contacts(phones(12345678900, 4))
        assert.equal(3, failure.report.accepted)
        assert.equal("12345678902", failure.report.items[1].contact.phone)
        assert.equal(1, face.pending())
        client:create_contacts(phones(12345678902, 1))
        assert.equal(0, face.pending())
        assert.equal(1, assert(client:create_contacts(phones(12345678902, 1))).accepted)
      end)

      it("stores the contacts of a delayed request at once, also where the client gives up", function()
        local client = open().client { max_attempts = 1, timeout = 0.2 }
        face.script { delay = 3 }
        local _, failure = client:create_contacts { { phone = "12345678900" } }
        assert.equal("timeout", failure.kind)
        assert.equal("maybe", failure.delivered)
        assert.equal(1, failure.report.unknown)
        assert.equal(1, face.count())
      end)

      it("forgets contacts, script and requests on reset", function()
        open()
        face.script { status = 500, times = 3 }
        face.put { phone = "12345678900" }
        post(face, "[]")
        face.reset()
        assert.equal(0, face.count())
        assert.equal(0, face.pending())
        assert.equal(0, #face.requests())
      end)

      it("refuses wrong steps, and then adds none of the call", function()
        open()
        for _, case in ipairs {
          { { fault = "rest" }, 'fault must be one of "html", "not_json", ' },
          { { stauts = 500 }, 'did you mean "status"' },
          { { status = "500" }, "status must be" },
          { { status = 99 }, "status must be" },
          { { delay = -1 }, "delay must be" },
          { { times = 0 }, "times must be" },
          { { contains = "abc" }, "contains must be" },
          { { headers = { ["Content-Length"] = "3" } }, "headers must be" },
          { { headers = { A = "b\r\nC: d" } }, "headers must be" },
          { { body = "x" }, "a body needs a status" },
          { { fault = "reset", status = 500 }, "has no answer" },
        } do
          local ok, message = pcall(face.script, { status = 500 }, case[1])
          assert.is_false(ok)
          assert.truthy(tostring(message):find(case[2], 1, true), tostring(message))
          assert.equal(0, face.pending())
        end
      end)
    end)
  end)
end

describe("the sandbox in-process", function()
  after_each(nothing_open)

  it("raises on wrong options and names the nearest option", function()
    local function complaint(...)
      local ok, message = pcall(sandbox.new, ...)
      assert.is_false(ok)
      return message
    end
    assert.truthy(complaint({ list_exsting = true }):find('did you mean "list_existing"', 1, true))
    assert.truthy(complaint(7):find("must be a table", 1, true))
    for name, value in pairs {
      secret_id = "",
      secret_key = 7,
      list_existing = 1,
      ok = "maybe",
      bad_contact = true,
      phone_format = "e164",
      clear_on_null = "no",
      clear_on_blank = 0,
      max_contacts = 0,
      max_bytes = 1.5,
      too_large = 500,
      duplicates = "first",
      unknown_field = false,
      max_length = -1,
      error_shape = "xml",
      resubscribe = "yes",
      clock_skew = -1,
      clock_offset = "1",
      requests_per_minute = 0,
      retry_after = "soon",
      inboxes = "list",
      refused_phones = "12345678900",
      custom_fields = { { title = "x" } },
      tags = { 1 },
      keep_requests = 0,
    } do
      assert.truthy(complaint({ [name] = value }):find(name, 1, true), name)
    end
  end)

  it("raises errors that name the line of the caller", function()
    local box = sandbox.new()
    for _, call in ipairs {
      function()
        sandbox.new { ok = "maybe" }
      end,
      function()
        box:script({}, { status = 99 })
      end,
      function()
        box:script { 7 }
      end,
      function()
        box:script { contains = "abc" }
      end,
      function()
        box:put { phone = "abc" }
      end,
      function()
        box:refuse "abc"
      end,
    } do
      local raised, message = pcall(call)
      assert.is_false(raised)
      assert.truthy(message:find "sandbox_spec%.lua:%d+: sandbox[.:]", message)
    end
  end)

  it("lets a client wait without taking time", function()
    local box = sandbox.new()
    local client = box:client { random = nil }
    box:script({ status = 429, retry_after = 100 }, { status = 500 }, { fault = "timeout" }, { delay = 50 })
    local before = box:elapsed()
    local began = system.monotonic()
    local report = assert(client:create_contacts { { phone = "12345678900" } })
    assert.equal(1, report.accepted)
    assert.equal(3, report.retries)
    -- 100 s of Retry-After, 60 s of timeout and 50 s of delay pass on the sandbox's clock only.
    assert.truthy(box:elapsed() - before >= 210)
    assert.truthy(report.elapsed >= 210)
    assert.truthy(system.monotonic() - began < 60)
    client:close()
  end)

  it("moves both its clocks together, and with the real ones", function()
    local box = sandbox.new()
    local wall, seconds, real = box:time(), box:elapsed(), system.time()
    box:advance(86400)
    assert.truthy(box:time() - wall >= 86400)
    assert.truthy(box:elapsed() - seconds >= 86400)
    assert.truthy(box:elapsed() - seconds < 86400 + (system.time() - real) + 1)
    local before = box:elapsed()
    system.sleep(0.02)
    assert.truthy(box:elapsed() - before >= 0.019)
  end)

  it("limits requests a minute by its own clock", function()
    local box = sandbox.new()
    local client = box:client { batch_size = 1 }
    local report = assert(client:create_contacts(phones(12345670000, 1300)))
    assert.equal(1300, report.accepted)
    assert.equal(0, report.retries)
    assert.truthy(report.elapsed >= 120)
    client:close()
    -- Without pacing the client is answered with 429, and every contact is accepted after retries.
    box:reset()
    client = box:client { batch_size = 1, requests_per_minute = false, max_attempts = 100 }
    report = assert(client:create_contacts(phones(12345670000, 700)))
    assert.equal(700, report.accepted)
    assert.truthy(report.retries > 0)
    client:close()
  end)

  it("makes a client sign a new token when its own clock has moved on", function()
    local box = sandbox.new()
    local client = box:client()
    local first = client:token()
    assert.is_true(client:check())
    box:advance(301)
    assert.is_true(client:check())
    assert.are_not.equal(first, client:token())
    assert.equal(200, box.requests[2].status)
    client:close()
  end)

  it("delivers the answers of requests in flight in the order of their times", function()
    local box = sandbox.new()
    local order, flying, most = {}, 0, 0
    local client = box:client {
      batch_size = 1,
      concurrency = 3,
      on_event = function(event)
        if event.type == "request" then
          flying = flying + 1
          most = math.max(most, flying)
        elseif event.type == "response" then
          flying = flying - 1
          order[#order + 1] = event.request_id
        end
      end,
    }
    box:script({ delay = 30 }, { delay = 10 }, { delay = 20 })
    local report = assert(client:create_contacts(phones(12345678900, 3)))
    assert.equal(3, most)
    -- The requests run at the same time, so the call takes as long as the longest delay.
    assert.truthy(report.elapsed >= 30 and report.elapsed < 45)
    local ids = {}
    for i, request in ipairs(box.requests) do
      ids[i] = request.request_id
    end
    assert.are.same({ ids[2], ids[3], ids[1] }, order)
    client:close()
  end)

  it("ends a call at its deadline by its own clock", function()
    local box = sandbox.new()
    local client = box:client()
    box:script { delay = 10, times = math.huge }
    assert.equal(math.huge, box:pending())
    local _, failure =
      client:create_contacts(phones(12345678900, 20), { batch_size = 1, concurrency = 1, deadline = 45 })
    assert.equal("timeout", failure.kind)
    assert.equal(4, failure.report.accepted)
    assert.equal(1, failure.report.unknown)
    assert.equal(15, failure.report.unsent)
    client:close()
  end)

  it("calls `when` with the request, and reports an error that it raises", function()
    local box = sandbox.new()
    local client = box:client { max_attempts = 1 }
    local seen
    box:script({
      when = function(request)
        seen = request
        return request.query.overwrite == "true"
      end,
      status = 503,
    }, {
      when = function()
        error "my own mistake"
      end,
    })
    local _, failure = client:create_contacts({ { phone = "12345678900" } }, { overwrite = true })
    assert.equal(503, failure.status)
    assert.equal("12345678900", seen.decoded[1].phone)
    assert.equal(BATCH, seen.path)
    assert.equal(1, seen.contacts)
    local report
    report, failure = client:create_contacts { { phone = "12345678900" } }
    assert.is_nil(report)
    assert.equal("stopped", failure.kind)
    assert.truthy(failure.message:find("my own mistake", 1, true))
    client:close()
  end)

  it("takes steps one by one or as an array, and leaves them as they are", function()
    local box = sandbox.new()
    local step = { status = 500, times = 2 }
    assert.equal(box, box:script(step):script { step, step })
    assert.equal(6, box:pending())
    box:script({}):script {}
    assert.equal(8, box:pending())
    local client = box:client { max_attempts = 1 }
    client:check()
    assert.equal(7, box:pending())
    assert.are.same({ status = 500, times = 2 }, step)
    client:close()
  end)

  it("works inside coroutines, with several clients on one sandbox", function()
    local box = sandbox.new()
    local accepted = 0
    local threads = {}
    for i = 1, 3 do
      threads[i] = coroutine.create(function()
        local client = box:client()
        local source = coroutine.wrap(function()
          for n = 1, 10 do
            coroutine.yield { phone = tostring(12345670000 + i * 100 + n) }
          end
        end)
        accepted = accepted + assert(client:import(source, { batch_size = 3 })).accepted
        client:close()
      end)
    end
    for _, thread in ipairs(threads) do
      assert(coroutine.resume(thread))
      assert.equal("dead", coroutine.status(thread))
    end
    assert.equal(30, accepted)
    assert.equal(30, box:count())
  end)

  it("has put, get and refuse for specs", function()
    local box = sandbox.new()
    local held = box:put { phone = "+1 (234) 567-8900", first = "A", tags = { 1 }, id = 77, rev = 5 }
    assert.equal(77, held.id)
    assert.equal(held, box:get(12345678900))
    assert.equal(held, box.contacts["12345678900"])
    assert.is_nil(box:get "12345678901")
    assert.is_nil(box:get "abc")
    local replaced = box:put { phone = "12345678900", last = "B" }
    assert.is_nil(replaced.first)
    assert.equal(1, box:count())
    assert.is_false((pcall(box.put, box, { phone = "12345678900", frist = "A" })))
    assert.is_false((pcall(box.put, box, 7)))
    assert.is_false((pcall(box.refuse, box, "abc")))
    box:refuse("12345678901", "+1 234 567 8902")
    local client = box:client()
    local _, failure = client:create_contacts(phones(12345678901, 3))
    assert.equal(2, failure.report.failed)
    assert.equal(1, failure.report.accepted)
    client:close()
  end)

  it("shares no table between stored contacts and listed requests", function()
    local box = sandbox.new()
    local client = box:client()
    local custom = { [1] = "x" }
    assert(client:create_contacts { { phone = "12345678900", tags = { 1 }, custom = custom } })
    box.requests[1].body[1].tags[1].tag_id = 99
    assert.equal(1, box:get("12345678900").tags[1].tag_id)
    client:close()
  end)

  it("lets a client's runtime be replaced, but not its way to the sandbox", function()
    local box = sandbox.new()
    local asked = 0
    local client = box:client {
      runtime = {
        random = function()
          asked = asked + 1
          return 0.5
        end,
      },
    }
    box:script { status = 500 }
    assert.equal(1, assert(client:create_contacts { { phone = "12345678900" } }).accepted)
    assert.equal(1, asked)
    assert.is_false((pcall(box.client, box, { base_url = "https://api.heymarket.com" })))
    assert.is_false((pcall(box.client, box, { runtime = { transport = {} } })))
    assert.is_false((pcall(box.client, box, 7)))
    local none, failure = box:client { timout = 3 }
    assert.is_nil(none)
    assert.equal("invalid", failure.kind)
    client:close()
  end)

  it("writes names of headers as the step does, and once each", function()
    local box = sandbox.new()
    local given = { method = "GET", path = "/v1/team", headers = { authorization = "Bearer " .. good_token } }
    box:script { headers = { ["X-RateLimit-ID"] = 7, ["x-request-id"] = "mine", ["content-type"] = "text/odd" } }
    local found = box:handle(given).headers
    assert.equal("7", found["X-RateLimit-ID"])
    assert.equal("mine", found["X-Request-Id"])
    assert.equal("text/odd", found["Content-Type"])
    local count = 0
    for _ in pairs(found) do
      count = count + 1
    end
    assert.equal(4, count) -- these three and Date
  end)

  it("gives a fault beside an answer only where it breaks the answer", function()
    local box = sandbox.new()
    local function handle(fault)
      box:script { fault = fault }
      return box:handle { method = "GET", path = "/v1/team" }
    end
    for fault, status in pairs { not_json = 200, html = 200, redirect = 302 } do
      local response = handle(fault)
      assert.is_nil(response.fault)
      assert.equal(status, response.status)
      assert.equal(fault, box.requests[#box.requests].fault)
    end
    local redirect = handle "redirect"
    assert.equal("text/html", redirect.headers["Content-Type"])
    assert.equal("https://elsewhere.invalid/", redirect.headers.Location)
    assert.equal("truncated", handle("truncated").fault)
    assert.equal("reset", handle("reset").fault)
    assert.is_nil(handle("reset").status)
  end)

  it("knows a custom field by the first of those with its title", function()
    local box = sandbox.new { custom_fields = { { id = 5, title = "Plan" }, { id = 6, title = "Plan" } } }
    local answer = box:handle {
      method = "POST",
      path = "/v1/contacts/fields",
      headers = { authorization = "Bearer " .. good_token, ["content-type"] = "application/json" },
      body = '[{"title":"Plan"}]',
    }
    assert.are.same({ { id = 5, title = "Plan", duplicate = true } }, cjson.decode(answer.body))
  end)

  it("stores and returns numbers of any size as they were written", function()
    local box = sandbox.new()
    local body = '[{"phone":"12345678900","tags":[{"tag_id":9007199254740993}],"custom":{"1":1e3,'
      .. '"2":123456789012345678,"3":1e99999999999999999999,"4":-1e400}}]'
    local answer = box:handle {
      method = "POST",
      path = BATCH,
      headers = { authorization = "Bearer " .. good_token, ["content-type"] = "application/json; charset=utf-8" },
      body = body,
    }
    assert.equal(200, answer.status)
    local held = box:get "12345678900"
    assert.equal("9007199254740993", tostring(held.tags[1].tag_id))
    assert.equal("123456789012345678", tostring(held.custom["2"]))
    assert.equal("1e99999999999999999999", tostring(held.custom["3"]))
    assert.equal("-1e400", tostring(held.custom["4"]))
    answer = box:handle {
      method = "POST",
      path = BATCH,
      headers = { authorization = "Bearer " .. good_token, ["content-type"] = "application/json" },
      body = body,
    }
    assert.truthy(answer.body:find('"tag_id":9007199254740993}', 1, true))
    assert.truthy(answer.body:find('"2":123456789012345678', 1, true))
  end)
end)

describe("the sandbox's server", function()
  after_each(nothing_open)

  it("serves this machine only", function()
    for _, host in ipairs { "0.0.0.0", "::", "example.com" } do
      local server, failure = sandbox_server.start { host = host }
      assert.is_nil(server)
      assert.equal("invalid", failure.kind)
      assert.equal("host", failure.issues[1].field)
    end
    local server = assert(sandbox_server.start { host = "localhost" })
    assert.truthy(server.base_url:find "^http://127%.0%.0%.1:%d+$")
    local port = tonumber(server.base_url:match "%d+$")
    local sockets = assert(io.open "/proc/net/tcp"):read "*a"
    assert.truthy(sockets:find(("0100007F:%04X 00000000:0000 0A"):format(port), 1, true))
    assert.is_nil(sockets:find(("00000000:%04X 00000000:0000 0A"):format(port), 1, true))
    -- The message names a port that is taken.
    local second, failure = sandbox_server.start { port = port }
    assert.is_nil(second)
    assert.truthy(failure.message:find(("port %d is taken"):format(port), 1, true))
    server.stop()
    server:stop()
  end)

  it("refuses wrong options", function()
    assert.is_false((pcall(sandbox_server.start, 7)))
    for _, case in ipairs {
      { "prot", { prot = 8080 } },
      { "port", { port = "8080" } },
      { "port", { port = -1 } },
      { "port", { port = 65536 } },
      { "port", { port = 1.5 } },
      { "nginx", { nginx = 7 } },
      { "ok", { options = { ok = "maybe" } } },
    } do
      local server, failure = sandbox_server.start(case[2])
      assert.is_nil(server)
      assert.equal("invalid", failure.kind)
      assert.equal(case[1], failure.issues[1].field)
    end
  end)

  it("says what to install where nginx or its Lua module is missing", function()
    local _, failure = sandbox_server.start { nginx = "/nowhere/nginx" }
    assert.equal("context", failure.kind)
    assert.truthy(failure.message:find("libnginx-mod-http-lua", 1, true))
    local folder = faces.output_of("mktemp -d"):match "%S+"
    local path = folder .. "/nginx"
    local file = assert(io.open(path, "w"))
    file:write "#!/bin/sh\necho 'configure arguments: --prefix=/nowhere --modules-path=/nowhere/modules'\n"
    file:close()
    os.execute("chmod +x " .. faces.quote(path))
    _, failure = sandbox_server.start { nginx = path }
    os.execute("rm -r " .. faces.quote(folder))
    assert.equal("context", failure.kind)
    assert.truthy(failure.message:find("without its Lua module", 1, true))
  end)

  it("leaves neither a process nor a folder behind when it is stopped", function()
    local server = assert(sandbox_server.start())
    local pid, folder = server.pid, server.folder
    assert.is_true(server:is_running())
    assert.is_true(process.is_alive(pid))
    local listing = faces.output_of("ls -ld " .. faces.quote(folder))
    assert.truthy(listing:find "^drwx%-%-%-%-%-%-")
    server.stop()
    assert.is_false(process.is_alive(pid))
    assert.is_nil(io.open(folder .. "/nginx.conf"))
    assert.is_false(server:is_running())
  end)

  it("serves several clients at once, and large requests", function()
    local server = assert(sandbox_server.start())
    local client = assert(heymarket.new {
      base_url = server.base_url,
      secret_id = server.secret_id,
      secret_key = server.secret_key,
      concurrency = 16,
      batch_size = 2000,
    })
    local count = 0
    local report = assert(client:import(function()
      count = count + 1
      return count <= 20000 and { phone = tostring(12000000000 + count), first = "Ann", tags = { 1, 2 } } or nil
    end))
    assert.equal(20000, report.accepted)
    assert.equal(20000, server:admin("GET", "count").count)
    client:close()
    server.stop()
  end)

  it("answers a wrong request to the control interface with what is wrong", function()
    local server = assert(sandbox_server.start())
    for _, case in ipairs {
      { "GET", "nowhere" },
      { "POST", "script", { fault = "x" } },
      { "POST", "contacts", { { phone = "abc" } } },
      { "POST", "contacts", 7 },
      { "POST", "refuse", { "abc" } },
    } do
      local answer, problem = server:admin(case[1], case[2], case[3])
      assert.is_nil(answer)
      assert.equal("string", type(problem))
    end
    for _, given in ipairs { { phones = { "12345678900" } }, { { "12345678900" } } } do
      local answer, problem = server:admin("POST", "refuse", given)
      assert.is_nil(answer)
      assert.is_truthy(tostring(problem):find("send an array of phones", 1, true), tostring(problem))
    end
    assert(server:admin("POST", "refuse", { "12345678900" }))
    local result = faces.exchange("POST", server.base_url .. BATCH, headers(), '[{"phone":"12345678900"}]')
    assert.equal(400, result.status)
    local control = { Authorization = "Bearer " .. server.sandbox_key, ["Content-Type"] = "application/json" }
    result = faces.exchange("POST", server.base_url .. "/_sandbox/script", control, "[{")
    assert.equal(400, result.status)
    server.stop()
  end)

  it("refuses control without its key, from web pages, and by foreign host names", function()
    local server = assert(sandbox_server.start())
    local port = server.base_url:match "%d+$"
    local names = {}
    local function ask(method, name, changes)
      local sent = { Authorization = "Bearer " .. server.sandbox_key }
      local body = method == "POST" and '["12345678900"]' or nil
      if body then
        sent["Content-Type"] = "application/json"
      end
      for header, value in pairs(changes or {}) do
        sent[header] = value or nil
      end
      return faces.exchange(method, server.base_url .. "/_sandbox/" .. name, sent, body)
    end
    assert.truthy(server.sandbox_key:find "^%x+$" and #server.sandbox_key >= 32)
    for _, host in ipairs { "127.0.0.1", "localhost", "LocalHost", "[::1]" } do
      names[#names + 1] = host .. ":" .. port
    end
    for _, host in ipairs(names) do
      assert.equal(200, ask("GET", "count", { Host = host }).status, host)
    end
    for _, case in ipairs {
      { 401, { Authorization = false } },
      { 401, { Authorization = "Bearer" } },
      { 401, { Authorization = "Basic " .. server.sandbox_key } },
      { 401, { Authorization = "Bearer sandbox-key" } },
      { 401, { Authorization = "Bearer " .. server.secret_key } },
      { 401, { Authorization = "Bearer " .. server.sandbox_key:sub(1, -2) } },
      { 401, { Authorization = "Bearer " .. server.sandbox_key .. "0" } },
      { 401, { Authorization = "Bearer " .. server.sandbox_key:upper():reverse() } },
      { 401, { Authorization = server.sandbox_key } },
      { 403, { Origin = "http://evil.example" } },
      { 403, { Origin = "null" } },
      { 403, { Origin = "http://127.0.0.1:" .. port } },
      { 403, { Host = "evil.example" } },
      { 403, { Host = "evil.example:" .. port } },
      { 403, { Host = "127.0.0.1" } },
      { 403, { Host = "127.0.0.1:1" } },
      { 403, { Host = "127.0.0.1.evil.example:" .. port } },
      { 403, { Host = "localhost.evil.example:" .. port } },
      { 403, { Host = "0.0.0.0:" .. port } },
    } do
      for name, method in pairs { contacts = "GET", ready = "GET", refuse = "POST", nowhere = "GET" } do
        local answer = ask(method, name, case[2])
        assert.equal(case[1], answer.status, name)
        assert.is_nil(answer.body:find(server.sandbox_key, 1, true))
      end
    end
    for _, sort in ipairs { false, "text/plain", "application/x-www-form-urlencoded", "application/jsonp", "x/json" } do
      assert.equal(415, ask("POST", "refuse", { ["Content-Type"] = sort }).status, tostring(sort))
      assert.equal(415, ask("POST", "reset", { ["Content-Type"] = sort }).status, tostring(sort))
    end
    -- None of these requests was acted on.
    local function import_one(host)
      local sent = headers()
      sent.Host = host
      return faces.exchange("POST", server.base_url .. BATCH, sent, '[{"phone":"12345678900"}]').status
    end
    -- The API itself refuses a foreign host name, too: a web page can let its own name lead to this machine.
    assert.equal(403, import_one("evil.example:" .. port))
    assert.equal(0, server:admin("GET", "count").count)
    assert.equal(200, import_one("127.0.0.1:" .. port))
    assert.equal(200, ask("POST", "refuse", { ["Content-Type"] = "Application/JSON; charset=utf-8" }).status)
    assert.equal(400, import_one("127.0.0.1:" .. port))
    server.stop()
    -- Another server has another key.
    local second = assert(sandbox_server.start())
    assert.is_false(second.sandbox_key == server.sandbox_key)
    second.stop()
  end)

  -- A shell command that runs some code with the interpreter and the paths of these tests.
  local function command(code, cpath)
    local lua = os.getenv "HEYMARKET_TEST_LUA"
    if not lua then
      local first = 0
      while _G.arg[first - 1] do
        first = first - 1
      end
      lua = _G.arg[first]
    end
    return ("env --default-signal=HUP LUA_PATH=%s LUA_CPATH=%s %s -e %s"):format(
      faces.quote(package.path),
      faces.quote(cpath or package.cpath),
      faces.quote(lua),
      faces.quote(code)
    )
  end

  local RUN = 'os.exit((require("heymarket.sandbox.server").run()))'

  -- Starts the command in the background. Gives its pid, the values that it prints, and the pid of nginx.
  local function run()
    local folder = faces.output_of("mktemp -d"):match "%S+"
    local out = folder .. "/out"
    local pid =
      tonumber(faces.output_of(("exec %s </dev/null >%s 2>&1 & echo $!"):format(command(RUN), faces.quote(out))))
    local values = {}
    assert(
      eventually(30, function()
        local file = assert(io.open(out))
        local text = file:read "*a"
        file:close()
        for name, value in text:gmatch "HEYMARKET_([%w_]+)=([^\n]+)\n" do
          values[name] = value
        end
        return values.SECRET_KEY
      end),
      "the command printed no credentials"
    )
    os.execute("rm -r " .. faces.quote(folder))
    local control = { Authorization = "Bearer " .. values.SANDBOX_KEY }
    local ready = cjson.decode(faces.exchange("GET", values.BASE_URL .. "/_sandbox/ready", control).body)
    return pid, values, ready.pid
  end

  for _, signal in ipairs { "INT", "TERM", "HUP", "KILL" } do
    it("prints what a client needs as a command, and leaves no process and no folder after SIG" .. signal, function()
      local pid, values, nginx = run()
      local client = assert(heymarket.new {
        base_url = values.BASE_URL,
        secret_id = values.SECRET_ID,
        secret_key = values.SECRET_KEY,
      })
      assert.is_true(client:check())
      client:close()
      local folder = faces.output_of(("tr '\\0' '\\n' </proc/%d/cmdline"):format(nginx)):match "%-p\n?%s*(/%S+)"
      assert.truthy(io.open(folder .. "/nginx.conf")):close()
      os.execute(("kill -%s %d"):format(signal, pid))
      assert.is_true(eventually(20, function()
        return not process.is_alive(pid) and not process.is_alive(nginx)
      end))
      assert.is_true(eventually(20, function()
        return io.open(folder .. "/nginx.conf") == nil
      end))
    end)
  end

  it("ends with its program, also while another program that this one has started goes on", function()
    local code = [[
      local server = assert(require("heymarket.sandbox.server").start())
      print(server.pid, server.folder)
      io.stdout:flush()
      os.execute "sleep 100 >/dev/null 2>&1 & echo $!"]]
    local nginx, folder, other = process.output(command(code)):match "(%d+)%s+(/%S+)%s+(%d+)"
    assert.is_false(process.is_alive(nginx))
    assert.is_nil(io.open(folder .. "/nginx.conf"))
    assert.is_true(process.is_alive(other)) -- so the program has not waited for it
    os.execute("kill " .. other)
  end)

  it("ends also when nginx hangs", function()
    local server = assert(sandbox_server.start())
    os.execute(("kill -STOP %d"):format(server.pid))
    server:stop()
    assert.is_false(process.is_alive(server.pid))
    assert.is_nil(io.open(server.folder .. "/nginx.conf"))
  end)

  it("needs the C modules for nginx's LuaJIT, and finds them by HEYMARKET_SANDBOX_CPATH", function()
    local here
    for template in package.cpath:gmatch "[^;]+" do
      local file = io.open((template:gsub("%?", "heymarket/core")))
      if file then
        file:close()
        here = here or template:gsub("%?%.so$", "")
      end
    end
    local folder = faces.output_of("mktemp -d"):match "%S+"
    os.execute(("mkdir -p %s/heymarket && cp %sheymarket/*.so %s/heymarket"):format(folder, faces.quote(here), folder))
    local cpath = folder .. "/?.so;" .. package.cpath:gsub("[^;]*/build/[^;]*", "")
    local code = 'local s, f = require("heymarket.sandbox.server").start() print(s and "started" or f) '
      .. "if s then s.stop() end"
    local printed = faces.output_of("env -u HEYMARKET_SANDBOX_CPATH " .. command(code, cpath) .. " 2>&1")
    if rawget(_G, "jit") or _VERSION == "Lua 5.1" then
      assert.truthy(printed:find "^started")
    else
      assert.truthy(printed:find("HEYMARKET_SANDBOX_CPATH", 1, true), printed)
      local built = here:gsub("/build/[^/]+/$", "/build/jit/") .. "?.so"
      printed = faces.output_of(("env HEYMARKET_SANDBOX_CPATH=%s "):format(faces.quote(built)) .. command(code, cpath))
      assert.truthy(printed:find "^started", printed)
    end
    os.execute("rm -r " .. faces.quote(folder))
  end)
end)
