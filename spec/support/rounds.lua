--- How often a test with random input runs: in full under `make test`, a fifth as often under `make check` and where
--- busted is started by hand.
---@param full integer
---@return integer
return function(full)
  local is_full = os.getenv "HEYMARKET_TEST_RUN" and not os.getenv "HEYMARKET_TEST_FAST"
  return is_full and full or math.ceil(full / 5)
end
