-- The output of `make test`: failures in full, pending tests by name, and the totals in a file of
-- its own, so that neither what a spec prints nor an exit code can be mistaken for them.
return function()
  local busted = require "busted"
  local handler = require "busted.outputHandlers.base"()

  local function line_of(message)
    if type(message) ~= "string" then
      message = message == nil and "no message" or require("pl.pretty").write(message)
    end
    return message
  end

  local function show(kind, item)
    local trace = item.trace or {}
    io.write(kind, ": ", tostring(item.name), "\n")
    io.write("  ", tostring(trace.short_src), ":", tostring(trace.currentline), "\n")
    io.write("  ", (line_of(item.message):gsub("\n", "\n  ")), "\n")
    if item.isError and trace.traceback then
      io.write("  ", (trace.traceback:gsub("\n", "\n  ")), "\n")
    end
  end

  local function suite_end()
    for _, item in ipairs(handler.failures) do
      show("failed", item)
    end
    for _, item in ipairs(handler.errors) do
      show("error", item)
    end
    io.flush()

    local path = os.getenv "HEYMARKET_TEST_TOTALS"
    if path then
      local file = assert(io.open(path, "w"))
      file:write(("passed %d\nfailed %d\n"):format(#handler.successes, #handler.failures + #handler.errors))
      for _, item in ipairs(handler.pendings) do
        local reason = item.message and item.message ~= item.name and ": " .. line_of(item.message) or ""
        file:write("skipped ", ((tostring(item.name) .. reason):gsub("%s+", " ")), "\n")
      end
      file:close()
    end
    return nil, true
  end

  -- So that it can be told which test hung or crashed.
  local function test_start(element)
    local path = os.getenv "HEYMARKET_TEST_TOTALS"
    if path then
      local file = assert(io.open(path .. ".running", "w"))
      file:write(handler.getFullName(element))
      file:close()
    end
    return nil, true
  end

  busted.subscribe({ "test", "start" }, test_start)
  busted.subscribe({ "suite", "end" }, suite_end)
  return handler
end
