--- Exit codes of the command, and how to end with one from anywhere.
local exit_codes = {
  ALL_ACCEPTED = 0,
  COULD_NOT_RUN = 1,
  USAGE = 2,
  NOT_ALL_ACCEPTED = 3,
  REFUSED = 4,
  MAX_FAILURES = 5,
  INTERRUPTED = 130,
}

local Exit = {}

--- Ends the command with a code.
function exit_codes.exit(code)
  error(setmetatable({ code = code }, Exit), 0)
end

--- The code given to `exit`, where that raised this value; nil for any other error.
function exit_codes.of_error(raised)
  return getmetatable(raised) == Exit and raised.code or nil
end

--- The code after a result was printed, or could not be.
function exit_codes.of_print(printed)
  return printed and exit_codes.ALL_ACCEPTED or exit_codes.COULD_NOT_RUN
end

--- The code for a failure that ended the command.
function exit_codes.of_failure(problem)
  if problem.kind == "unauthorized" or problem.kind == "denied" then
    return exit_codes.REFUSED
  elseif problem.reason == "max_failures" then
    return exit_codes.MAX_FAILURES
  end
  return problem.message_code == "interrupted" and exit_codes.INTERRUPTED or exit_codes.COULD_NOT_RUN
end

return exit_codes
