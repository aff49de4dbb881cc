-- Phones by region where the library is at work: in the command, and in nginx.

local command = require "spec.support.command"
local nginx = require "spec.support.nginx"
local process = require "spec.support.process"

if not pcall(require, "heymarket.phonenumber") then
  it("phones are read by region in the command and in nginx", function()
    pending "heymarket.phonenumber is not built"
  end)
  return
end

local PEOPLE = "phone,first\n202 456 1414,Ann\n645 555 0123,Bob\n(728) 555-0123,Eve\n456 1414,Joe\n"

describe("heymarket import --default-country US", function()
  local faults
  setup(function()
    faults = select(2, command.setup())
  end)
  teardown(command.teardown)
  before_each(command.before_each)
  after_each(command.after_each)

  it("sends numbers that libphonenumber does not know, and says so", function()
    local file = command.write_file("people.csv", PEOPLE)
    local made = command.run { "import", file, "--default-country", "US" }
    assert.equal(3, made.code)
    assert.truthy(made.out:find("In 2 rows the phone is in no range of numbers that libphonenumber knows.", 1, true))
    assert.truthy(made.out:find("row 5 invalid: phone lacks its area code", 1, true), made.out)
    assert.same({ ["12024561414"] = 1, ["16455550123"] = 1, ["17285550123"] = 1 }, faults:ledger().stored)
    made = command.run { "import", file, "--default-country", "US", "--json" }
    assert.equal(2, command.parsed(made.out).doubtful_phones)
  end)

  it("says the same with --dry-run", function()
    local file = command.write_file("people.csv", PEOPLE)
    local made = command.run { "import", file, "--default-country", "US", "--dry-run" }
    assert.truthy(made.out:find("In 2 rows the phone is in no range of numbers that libphonenumber knows.", 1, true))
    made = command.run { "import", file, "--default-country", "US", "--dry-run", "--json" }
    assert.equal(2, command.parsed(made.out).doubtful_phones)
    made = command.run { "import", file, "--default-country", "1", "--dry-run" }
    assert.is_nil(made.out:find("libphonenumber", 1, true))
  end)

  it("refuses a region that is none", function()
    local file = command.write_file("people.csv", PEOPLE)
    local made = command.run { "import", file, "--default-country", "UK" }
    assert.equal(2, made.code)
    local words = '--default-country "UK" is no region that libphonenumber knows; did you mean "GB"?'
    assert.truthy(made.err:find(words, 1, true), made.err)
  end)
end)

describe("in nginx", function()
  local CONFIG = nginx.load_modules
    .. [[
worker_processes 2;
pid @FOLDER@/nginx.pid;
error_log @FOLDER@/error.log warn;
events { }
http {
  access_log off;
]]
    .. nginx.paths
    .. [[
  init_by_lua_block {
    -- Loaded in the master, and used in the workers that it forks.
    assert(require("heymarket").contact({ phone = "0301234567" }, { default_country = "DE" }))
  }
  server {
    listen 127.0.0.1:@PORT@;
    location = /_there { return 204; }
    location = /read {
      content_by_lua_block {
        local contact, failure = require("heymarket").contact({ phone = ngx.var.arg_phone },
          { default_country = ngx.var.arg_region })
        ngx.print(contact and contact.phone or failure.issues[1].code)
      }
    }
  }
}
]]

  it("a worker reads phones by region", function()
    if nginx.missing or not process.read_file "build/jit/heymarket/phonenumber.so" then
      return pending(nginx.missing or "heymarket.phonenumber is not built for LuaJIT")
    end
    local app = nginx.start(CONFIG)
    local function read(region, phone)
      return process.output(("curl -s '%s/read?region=%s&phone=%s'"):format(app.url, region, phone))
    end
    for _ = 1, 10 do
      assert.equal("49301234567", read("DE", "0301234567"))
      assert.equal("16455550123", read("US", "6455550123"))
      assert.equal("phone_region_local", read("US", "2530000"))
      assert.equal("option_region", read("UK", "0301234567"))
    end
    app:stop()
  end)
end)
