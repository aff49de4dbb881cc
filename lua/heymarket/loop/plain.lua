--- The loop of a plain program: it blocks its thread in libcurl's poll. See heymarket.loop for the contract.
local plain = {}

--- A plain program can wait anywhere.
function plain.can_wait()
  return true
end

--- Results arrive at the transport itself, which this thread drives.
function plain.mailbox(transport)
  return transport:own_mailbox()
end

--- Waits. The transfers of all calls that share this transport go on while one of them waits.
function plain.wait(transport, completions, seconds)
  local mailbox = transport:own_mailbox()
  mailbox:pump()
  if completions:length() == 0 and (seconds > 0 or not mailbox:is_empty()) then
    transport:block(seconds)
    mailbox:pump()
  end
end

--- Nobody else could run in the meantime: a coroutine would wait for one that it keeps from running.
function plain.pause()
  return false
end

return plain
