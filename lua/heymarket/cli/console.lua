--- The console: the standard streams of the command, and its exit codes.
---
--- It needs no C module, because it is what says that one cannot be loaded.
local console = {
  ALL_ACCEPTED = 0,
  COULD_NOT_RUN = 1,
  USAGE = 2,
  NOT_ALL_ACCEPTED = 3,
  REFUSED = 4,
  MAX_FAILURES = 5,
  INTERRUPTED = 130,
}

local BAD_DESCRIPTOR = 9 -- EBADF, the same on all systems

local Exit = {}
local placeholders = {}

--- Ends the command with a code, from anywhere.
function console.exit(code)
  error(setmetatable({ code = code }, Exit), 0)
end

--- The code given to `exit`, where that raised this value; nil for any other error.
function console.code_of_exit(raised)
  return getmetatable(raised) == Exit and raised.code or nil
end

--- Opens /dev/null in place of each standard stream that is closed. Its number would go to the next file that is
--- opened, and what is written to the stream would go into that file.
function console.occupy()
  for _, stream in ipairs { io.stdin, io.stdout, io.stderr } do
    local _, _, code = stream:seek()
    if code == BAD_DESCRIPTOR then
      placeholders[stream] = io.open("/dev/null", "r+b")
    end
  end
end

--- Writes one line to stderr.
function console.complain(message, prefix)
  -- The module that makes it safe may be what cannot be loaded.
  local loaded, text = pcall(require, "heymarket.util.text")
  local line = loaded and text.one_line(message) or tostring(message):gsub("[^\32-\126]+", " ")
  io.stderr:write(prefix or "heymarket: ", line, "\n")
end

--- Prints a result to stdout. Gives the exit code: 0 unless another one is given, and never 0 where the result cannot
--- be written.
function console.print(written, code)
  local ok, message = not placeholders[io.stdout], "it is closed"
  if ok then
    ok, message = io.stdout:write(written)
  end
  if ok then
    ok, message = io.stdout:flush()
  end
  if not ok then
    console.complain("the standard output cannot be written: " .. tostring(message))
  end
  return math.max(code or console.ALL_ACCEPTED, ok and console.ALL_ACCEPTED or console.COULD_NOT_RUN)
end

return console
