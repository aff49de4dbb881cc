--- The grammar of CSV, as LPeg patterns.
local grammar = {}

local text = require "heymarket.util.text"

local sub = string.sub

-- A pattern for exactly this many cells leaves them all on the Lua stack, which holds 8,000 values on Lua 5.1.
local MAX_FAST_COLUMNS = 200

-- A scanner reads one cell at a time and names what is wrong with it. It must agree with `row` on every good row; a row
-- that `row` does not match is read again with it.
local function make_scanner(lpeg, eol)
  local P, S, C, Cc, Cp, Cs = lpeg.P, lpeg.S, lpeg.C, lpeg.Cc, lpeg.Cp, lpeg.Cs
  local quote = P '"'
  local stop = P "," + eol + -P(1)
  local unstopped = (1 - stop)
  local inside = (1 - quote) + P '""'
  local cell = Cc "good" * quote * Cs(((1 - quote) ^ 1 + P '""' / '"') ^ 0) * quote * #stop
    + Cc "stray" * C(quote * inside ^ 0 * quote * unstopped ^ 1)
    + Cc "unclosed" * C(quote * P(1) ^ 0)
    + Cc "good" * C((1 - S ',"\r\n') ^ 0) * #stop
    + Cc "bare" * C(unstopped ^ 0)
  return { cell = cell * Cp(), eol = eol * Cp() }
end

-- A cell, and a cell that `text.trim` would leave as it is.
local function make_cells(lpeg)
  local B, P, R, S, C, Cs = lpeg.B, lpeg.P, lpeg.R, lpeg.S, lpeg.C, lpeg.Cs
  local quote = P '"'
  -- Most quoted cells hold no doubled quote: they are one slice of the input.
  local quoted = quote * C((1 - quote) ^ 0) * quote * -quote + quote * Cs(((1 - quote) ^ 1 + P '""' / '"') ^ 0) * quote
  local any = quoted + C((1 - S ',"\r\n') ^ 0)
  local lasts, unseen, leads = {}, P(false), ""
  for character in pairs(text.unseen) do
    local before = sub(character, 1, -2)
    lasts[before] = (lasts[before] or "") .. sub(character, -1)
  end
  for before, last in pairs(lasts) do
    unseen, leads = unseen + before * S(last), leads .. sub(before, 1, 1)
  end
  local lead, high = S(leads), R "\128\255"
  local function head_but(stops)
    return R "!\255" - lead - stops + #lead * (1 - unseen)
  end
  local tail = B(R "!\127") + B((1 - lead) * (1 - lead) * high) + B((1 - unseen) * (1 - unseen) * high)
  -- Most cells hold neither a blank nor a byte with which an unseen character could begin.
  local trimmed = C((R "!\255" - lead - S ',"') ^ 0) * #S ",\r\n"
    + quote * C(head_but(quote) * (1 - quote) ^ 0 * tail + P(true)) * quote * -quote
    + quote * #(head_but(quote) + P '""') * Cs(((1 - quote) ^ 1 + P '""' / '"') ^ 0) * tail * quote
    + C(head_but(S ',"') * (1 - S ',"\r\n') ^ 0 * tail + P(true))
  return any, trimmed
end

local function make(lpeg)
  local P, S, Cp = lpeg.P, lpeg.S, lpeg.Cp
  local ends = { lf = P "\r" ^ -1 * P "\n", cr = P "\r", any = P "\r" ^ -1 * P "\n" + P "\r" }
  local any, trimmed = make_cells(lpeg)
  local made = { match = lpeg.match, scanners = {} }
  for name, eol in pairs(ends) do
    made.scanners[name] = make_scanner(lpeg, eol)
  end
  --- The pattern of one good row of exactly `width` cells: gives the cells and the position after the row. With
  --- `is_trimmed` it matches only where no cell has anything to trim.
  function made.row(width, ending, is_trimmed)
    if width > MAX_FAST_COLUMNS then
      return P(false)
    end
    local cell = is_trimmed and trimmed or any
    local row = cell
    for _ = 2, width do
      row = row * P "," * cell
    end
    if width == 1 then
      row = -S "\r\n" * row -- a blank line is no row of one empty cell
    end
    return row * ends[ending] * Cp()
  end
  return made
end

local made -- built when the first file is opened: LPeg is not needed by those who import no CSV

--- The grammar: `match`, `scanners`, `row(width, ending, is_trimmed)`; endings are "lf", "cr" and "any".
---@return table? grammar nil where LPeg is not installed
function grammar.load()
  if not made then
    local found, lpeg = pcall(require, "lpeg")
    made = found and make(lpeg) or nil
  end
  return made
end

return grammar
