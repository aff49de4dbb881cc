-- Outages over real sockets: a server that is killed in the middle of an import and comes back, what the command shows
-- meanwhile, and a worker of nginx that goes on serving.
local command = require "spec.support.command"
local cjson = require("cjson").new()
local nginx = require "spec.support.nginx"
local process = require "spec.support.process"
local sandbox_server = require "heymarket.sandbox.server"
local system = require "heymarket.system"

local folder, faults, target

setup(function()
  folder, faults = command.setup()
end)

teardown(command.teardown)
before_each(command.before_each)
after_each(function()
  command.after_each()
  if target then
    target:stop()
    target = nil
  end
end)

local DOWN = { status = 503, body = "" }

-- A CSV file of so many contacts, and their phones.
local function file_of(count, name)
  local lines, phones = { "phone,first" }, {}
  for i = 1, count do
    phones[i] = ("1202555%04d"):format(i)
    lines[i + 1] = phones[i] .. ",Name " .. i
  end
  return command.write_file(name, table.concat(lines, "\n") .. "\n"), phones
end

describe("an import by the command", function()
  if nginx.missing then
    pending(nginx.missing)
    return
  end

  local function start(port)
    local served = assert(sandbox_server.start { port = port, options = { requests_per_minute = false } })
    served:script { { delay = 0.02, times = 1000000 } }
    return served
  end

  it("goes on by itself when a server that was killed is there again, and ends with 0", function()
    local file, phones = file_of(3000, "killed.csv")
    local first = start()
    local environment = {
      HEYMARKET_BASE_URL = first.base_url,
      HEYMARKET_SECRET_ID = first.secret_id,
      HEYMARKET_SECRET_KEY = first.secret_key,
    }
    local journal = folder .. "/killed.journal"
    local arguments = { "import", file, "--batch-size", "10", "--requests-per-minute", "off", "--journal", journal }
    arguments[#arguments + 1] = "--json"
    local running = command.start(arguments, { environment = environment })
    command.eventually(function()
      return first:admin("GET", "count").count >= 500
    end)
    local before = {}
    for _, contact in ipairs(first:admin("GET", "contacts")) do
      before[contact.phone] = true
    end
    first:stop()
    system.sleep(7)
    local second = start(first.port)
    local made = running.wait()
    local after, twice = {}, 0
    for _, contact in ipairs(second:admin("GET", "contacts")) do
      after[contact.phone] = true
    end
    second:stop()
    assert.equal(0, made.code, made.err)
    local report = command.parsed(made.out)
    assert.equal(3000, report.accepted)
    for _, phone in ipairs(phones) do
      -- What the first server took after it was asked is in neither list.
      twice = twice + (before[phone] and after[phone] and 1 or 0)
    end
    -- Of what was counted at the first server, only requests in flight can have been sent again: four at most.
    assert.is_true(twice <= 40, twice .. " contacts were sent to both")
    assert.truthy(made.err:find "the server does not answer since 0:0%d, next try in 0:", made.err)
  end)
end)

describe("the progress", function()
  -- What a terminal of so many columns received, as the lines that were drawn.
  local function drawn(columns, arguments)
    local before = { "python3", "spec/support/cli_terminal.py", tostring(columns) }
    local received =
      command.output_of(command.command_line(arguments, { before = before, environment = { NO_COLOR = "1" } }))
    local lines = {}
    for line in received:gmatch "\r\27%[K([^\r\n]*)" do
      lines[#lines + 1] = line
    end
    return lines
  end

  for columns, words in pairs {
    [40] = "^no answer since 0:(%d%d), next in 0:%d%d",
    [80] = "the server does not answer since 0:(%d%d), next try in 0:%d%d",
    [200] = "the server does not answer since 0:(%d%d), next try in 0:%d%d.* accepted 20$",
  } do
    it(("tells of an outage again and again while it lasts, on %d columns"):format(columns), function()
      faults:reset()
      faults:script { {}, {} }
      faults:default(DOWN)
      local lines = drawn(columns, {
        "import",
        (file_of(100, "down.csv")),
        "--batch-size=10",
        "--concurrency=1",
        "--max-outage=15",
        "--json",
      })
      local seconds = {}
      for _, line in ipairs(lines) do
        assert.is_true(#line < columns or line:find "^heymarket: " ~= nil, line)
        local second = line:match(words)
        if second then
          seconds[second] = (seconds[second] or 0) + 1
        end
      end
      local count = 0
      for _, times in pairs(seconds) do
        count = count + times
      end
      assert.is_true(count >= 6, "it was drawn " .. count .. " times")
    end)
  end

  it("is a line now and then without a terminal, and the end says what happened and what to type", function()
    faults:script { {}, {} }
    faults:default(DOWN)
    local file = file_of(100, "it's down.csv")
    local journal = folder .. "/down journal"
    local made = command.run {
      "import",
      file,
      "--batch-size=10",
      "--concurrency=1",
      "--max-outage=12",
      "--journal",
      journal,
    }
    assert.equal(1, made.code)
    assert.truthy(made.err:find "the server does not answer since 0:%d%d", made.err)
    assert.truthy(made.err:find("it is not waited for any longer (--max-outage)", 1, true), made.err)
    assert.truthy(made.out:find("To go on, give the same command again", 1, true), made.out)
    local line = made.out:match "\n  (heymarket import [^\n]*)\n"
    faults:default {}
    -- The shell runs what was printed, with the program that is under test in place of the installed one.
    local program = command.command_line({}, {})
    local code = process.output(
      ("bash -c %s > %s; echo $?"):format(
        command.quote(program .. line:gsub("^heymarket", "")),
        command.quote(folder .. "/again.txt")
      )
    )
    assert.equal("0\n", code)
    assert.truthy(command.read_file(folder .. "/again.txt"):find("accepted  100", 1, true))
  end)
end)

describe("an outage in nginx", function()
  it("does not block the worker", function()
    if nginx.missing then
      pending(nginx.missing)
      return
    end
    faults:script { {} }
    faults:default(DOWN)
    target = nginx.start(nginx.load_modules .. [[
worker_processes 1;
pid @FOLDER@/nginx.pid;
error_log @FOLDER@/error.log warn;
events { }
http {
  access_log off;
  lua_shared_dict seen 1m;
]] .. nginx.paths .. ([[
  init_by_lua_block {
    client = assert(require("heymarket").new {
      secret_id = "some-id", secret_key = "some-key", base_url = "%s", requests_per_minute = false,
    })
  }
  server {
    listen 127.0.0.1:@PORT@;
    location = /_there { return 204; }
    location = /seen {
      content_by_lua_block {
        local seen = ngx.shared.seen
        ngx.say(("%%d %%s"):format(seen:get "outages" or 0, tostring(seen:get "ended")))
      }
    }
    location = /import {
      content_by_lua_block {
        ngx.timer.at(0, function()
          local contacts = {}
          for i = 1, 50 do
            contacts[i] = { phone = ("1202555%%04d"):format(i) }
          end
          local report, failure = client:import(contacts, {
            batch_size = 10, concurrency = 1,
            on_event = function(event)
              ngx.shared.seen:incr("outages", event.type == "outage" and 1 or 0, 0)
            end,
          })
          ngx.shared.seen:set("ended", report and report.accepted or tostring(failure))
        end)
      }
    }
  }
}
]]):format(faults.url), {})
    target:get "/import"
    local answers = 0
    -- The only worker answers while it waits for the server, again and again.
    command.eventually(function()
      local _, body = target:get "/seen"
      local outages, ended = body:match "^(%d+) (%S+)"
      if tonumber(outages) > 0 then
        assert.equal("nil", ended)
        answers = answers + 1
      end
      return answers >= 20
    end)
    faults:default {}
    local ended
    command.eventually(function()
      ended = select(2, target:get "/seen"):match "^%d+ (.*)\n"
      return ended ~= "nil"
    end)
    assert.equal("50", ended)
    local phones = {}
    for _, request in ipairs(faults:ledger().requests) do
      for _, phone in ipairs(request.stored and request.phones or {}) do
        assert.is_nil(phones[phone])
        phones[phone] = true
        phones[#phones + 1] = phone
      end
    end
    assert.equal(50, #phones, cjson.encode(phones))
  end)
end)
