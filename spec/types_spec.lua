-- The classes for editors beside what calls really return.

local capture = require "spec.support.capture"
local heymarket = require "heymarket"
local process = require "spec.support.process"

local classes = dofile "tools/classes.lua"

-- What a value may be by the name of its type; types that are not here are not compared.
local TYPES = {
  string = "string",
  integer = "number",
  number = "number",
  boolean = "boolean",
  ["heymarket.Failure"] = "table",
  ["heymarket.Report"] = "table",
  ["heymarket.Item[]"] = "table",
  ["heymarket.Issue[]"] = "table",
}

-- By class: the fields that values have had.
local seen = {}

-- Every field of the value is in the class, every field that is not optional is in the value, and the types fit.
local function assert_is(class, value)
  local known = classes[class].fields
  seen[class] = seen[class] or {}
  for name, held in pairs(value) do
    local field = assert(known[name], ("heymarket.%s has no field %s"):format(class, name))
    local wanted = TYPES[(field.type:gsub("%?$", ""))]
    assert(not wanted or type(held) == wanted, ("heymarket.%s: %s is a %s"):format(class, name, type(held)))
    seen[class][name] = true
  end
  for name, field in pairs(known) do
    assert(field.is_optional or value[name] ~= nil, ("a heymarket.%s has no %s"):format(class, name))
  end
end

local function assert_failure(problem)
  assert_is("Failure", problem)
  for _, issue in ipairs(problem.issues or {}) do
    assert_is("Issue", issue)
  end
end

local function assert_report(made)
  assert_is("Report", made)
  for _, item in ipairs(made.items) do
    assert_is("Item", item)
    if item.failure then
      assert_failure(item.failure)
    end
  end
end

-- Runs an import against these answers, and compares all that it gives, hooks included.
local function import(contacts, answer, options, max_failures)
  local given = {
    batch_size = 2,
    max_attempts = 2,
    on_event = function(event)
      assert_is("Event", event)
    end,
  }
  local has_own_hook = options and options.on_event
  for name, value in pairs(options or {}) do
    given[name] = value
  end
  local client = capture.client(given, answer)
  local made, problem = client:import(contacts, { on_progress = assert_report, max_failures = max_failures })
  client:close()
  if problem then
    assert_failure(problem)
    made = problem.report
  end
  assert_report(made)
  -- An error of a hook does not leave the call.
  assert(has_own_hook or not made.hook_error, made.hook_error)
  return made
end

local function people(count)
  local list = {}
  for i = 1, count do
    list[i] = { phone = ("1202555%04d"):format(i) }
  end
  return list
end

describe("the classes for editors", function()
  it("have the fields of reports, items, failures, issues and events", function()
    local with_invalid = people(3)
    with_invalid[2] = { phone = "1", first = 7 }
    assert.are.equal(1, import(with_invalid, nil).invalid)

    local listed = import(people(2), function()
      return { body = '[{"id":5,"phone":"12025550001"}]' }
    end)
    assert.are.equal(1, listed.rejected)

    local large = import(people(1), function()
      return { body = ('[{"id":5,"phone":"12025550001","notes":"%s"}]'):format(("x"):rep(20000)) }
    end)
    assert.are.equal(1, large.rejected)

    local id = "X-Request-Id: abc\r\n"
    local function with_headers(status, body, headers)
      local block = "HTTP/1.1 %d Scripted\r\nContent-Length: %d\r\n%s\r\n"
      return { status = status, body = body, headers = block:format(status, #body, id .. (headers or "")) }
    end
    local refused = import(people(3), function(_, number)
      return with_headers(number == 1 and 429 or 400, '{"error":"no"}', "Retry-After: 1\r\n")
    end)
    assert.are.equal(3, refused.failed + refused.unsent)

    local lost = import(people(1), function()
      return { code = "RECV_ERROR", message = "reset", sent = true }
    end)
    assert.are.equal(1, lost.unknown)

    local ambiguous = import(people(1), function(_, number)
      return number == 1 and { code = "RECV_ERROR", message = "reset" } or { body = '[{"id":1,"phone":"12025550001"}]' }
    end)
    assert.is_true(ambiguous.items[1].ambiguous)

    local details = import(people(1), function()
      return with_headers(400, '{"error":"' .. ("y"):rep(5000) .. '"}')
    end)
    assert.are.equal(1, details.failed)

    assert.are.equal(1, import(with_invalid, nil, nil, 1).invalid)

    local _, wrong = heymarket.new { secret_id = "i", secret_key = "k", timeout = -1 }
    assert_failure(wrong)

    local hook = import(people(1), nil, {
      on_event = function()
        error "raised"
      end,
    })
    assert.is_string(hook.hook_error)

    local rows = import(function()
      if not with_invalid.given then
        with_invalid.given = true
        return { phone = "1" }, 2, { "1" }
      end
    end)
    assert.are.same({ "1" }, rows.items[1].row)

    -- These are made by other calls, which their own specs show: a resumed import, and bodies that are cut.
    local ELSEWHERE = { Item = { resumed = true }, Failure = { details_truncated = true }, Issue = {}, Event = {} }
    local missing = {}
    for class, absent in pairs(ELSEWHERE) do
      for name in pairs(classes[class].fields) do
        missing[#missing + 1] = not seen[class][name] and not absent[name] and class .. "." .. name or nil
      end
    end
    assert.are.same({}, missing)
  end)

  it("name what a sandbox holds", function()
    local sandbox = heymarket.sandbox.new()
    local client = assert(sandbox:client())
    assert(client:create_contacts(people(1)))
    for name in pairs(classes.Sandbox.fields) do
      assert.is_not_nil(sandbox[name], name)
    end
    assert_is("SandboxEntry", sandbox.requests[1])
  end)

  it("agree with the lists of options and fields", function()
    local said = process.output(process.this_lua() .. " tools/compare_types.lua 2>&1; echo exit $?")
    assert.are.equal("exit 0\n", said)
  end)
end)
