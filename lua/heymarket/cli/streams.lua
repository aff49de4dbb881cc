--- The standard streams of the command.
local streams = {}

local BAD_DESCRIPTOR = 9 -- EBADF, the same on all systems

local placeholders = {}

--- Opens /dev/null in place of each standard stream that is closed. Its number would go to the next file that is
--- opened, and what is written to the stream would go into that file.
function streams.occupy()
  for _, stream in ipairs { io.stdin, io.stdout, io.stderr } do
    local _, _, code = stream:seek()
    if code == BAD_DESCRIPTOR then
      placeholders[stream] = io.open("/dev/null", "r+b")
    end
  end
end

--- Writes one line to stderr.
function streams.complain(message, prefix)
  -- The module that makes it safe may be what cannot be loaded.
  local loaded, text = pcall(require, "heymarket.util.text")
  local line = loaded and text.one_line(message) or tostring(message):gsub("[^\32-\126]+", " ")
  io.stderr:write(prefix or "heymarket: ", line, "\n")
end

--- Writes to stdout. A result that cannot be written makes the command fail.
function streams.print(written)
  local ok, message = not placeholders[io.stdout], "it is closed"
  if ok then
    ok, message = io.stdout:write(written)
  end
  if ok then
    ok, message = io.stdout:flush()
  end
  if not ok then
    streams.complain("the standard output cannot be written: " .. tostring(message))
  end
  return ok and true or false
end

return streams
