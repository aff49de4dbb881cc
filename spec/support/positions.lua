--- The positions at which a test tries something: all of them under `make test`. Under `make check`, and where busted
--- is started by hand, every fifth, beginning at another one each second, so that several runs together try all.
---@param first integer
---@param last integer
---@return fun(): integer? next_position
return function(first, last)
  local step = os.getenv "HEYMARKET_TEST_RUN" and not os.getenv "HEYMARKET_TEST_FAST" and 1 or 5
  local position = first + os.time() % step - step
  return function()
    position = position + step
    return position <= last and position or nil
  end
end
