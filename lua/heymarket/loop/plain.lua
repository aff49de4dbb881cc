--- The loop of a plain program: it blocks its thread in libcurl's poll. See heymarket.loop for the contract.
local plain = {}

--- A plain program can wait anywhere.
function plain.can_wait()
  return true
end

--- Waits. The transfers of all calls that share this transport go on while one of them waits.
function plain.wait(transport, completions, seconds)
  transport:pump()
  if completions:length() == 0 and (seconds > 0 or transport:running() > 0) then
    transport:block(seconds)
    transport:pump()
  end
end

--- Nobody else could run in the meantime: a coroutine would wait for one that it keeps from running.
function plain.pause()
  return false
end

--- Nobody else runs while a plain program waits, so nobody has to be woken.
function plain.wake() end

return plain
