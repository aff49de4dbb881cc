--- The rules of phone numbers in Lua, as they were before phone.c: an oracle for spec/encoder_spec.lua.
local phone = {}

local text = require "heymarket.util.text"

local find, gsub, lower, match, sub = string.find, string.gsub, string.lower, string.match, string.sub

local MIN_DIGITS, MAX_DIGITS = 7, 15 -- of an international number
local MIN_WITHOUT_PLUS = 11 -- digits of a number that is international although it has no plus sign
local MAX_NATIONAL = 10 -- digits of a national number without its trunk prefix
local MAX_LENGTH = 1000 -- bytes of what is looked at closely
local EXAMPLE = "such as +12345678900"

-- The calling codes of one and two digits; all others have three.
local SHORT_CODES = {}
for code in
  (
    "1 7 20 27 30 31 32 33 34 36 39 40 41 43 44 45 46 47 48 49 51 52 53 54 55 56 57 58 60 61 62 63 64 65 66 81 82 84 "
    .. "86 90 91 92 93 94 95 98"
  ):gmatch "%d+"
do
  SHORT_CODES[code] = true
end

-- Calling codes behind which a national number keeps its leading 0.
local KEEPS_ZERO = { ["39"] = true, ["225"] = true, ["241"] = true, ["242"] = true, ["378"] = true }

-- What is dialled before a national number within a country, where that is not 0.
local TRUNKS = { ["7"] = "8", ["36"] = "06" }

-- What a character beyond ASCII stands for. Copied numbers hold typographic hyphens, en dashes and minus signs. The
-- longer dashes are left out, because they also stand between two numbers.
local STANDS_FOR = {
  ["\226\128\144"] = "-", -- U+2010 hyphen
  ["\226\128\145"] = "-", -- U+2011 non-breaking hyphen
  ["\226\128\146"] = "-", -- U+2012 figure dash
  ["\226\128\147"] = "-", -- U+2013 en dash
  ["\226\136\146"] = "-", -- U+2212 minus sign
  ["\239\185\163"] = "-", -- U+FE63 small hyphen-minus
  ["\239\188\141"] = "-", -- U+FF0D full-width hyphen-minus
}
for character, instead in pairs(text.unseen) do
  STANDS_FOR[character] = instead
end

local function count_digits(written)
  local _, count = gsub(written, "%d", "")
  return count
end

local function digit_count(count)
  return count == 1 and "1 digit" or count .. " digits"
end

---------------------------------------------------------------------------------------------------------------------
-- Shapes of other things

local function is_year(digits)
  local year = tonumber(digits)
  return #digits == 2 or #digits == 4 and (year >= 1800 and year <= 2199 or year == 9999)
end

local function is_day_and_month(a, b)
  a, b = #a <= 2 and tonumber(a) or 0, #b <= 2 and tonumber(b) or 0
  return a >= 1 and b >= 1 and (a <= 31 and b <= 12 or a <= 12 and b <= 31)
end

-- y-m-d, d-m-y or m-d-y; behind a year of four digits a time may follow.
local function is_date(written)
  local a, b, c, rest = match(written, "^(%d+) *[-./] *(%d+) *[-./] *(%d+)(.*)$")
  if not a then
    return false
  end
  local is_whole, has_time = rest == "" or rest == ".", find(rest, "^%.? ") ~= nil
  if #a == 4 then
    return (is_whole or has_time) and is_year(a) and tonumber(b) <= 12 and is_day_and_month(b, c)
  end
  return (is_whole or has_time and #c == 4) and is_year(c) and is_day_and_month(a, b)
end

-- A spreadsheet makes 12345678900.0 of a number, or 12345678900.5 where somebody calculated with it.
local function is_fraction(written)
  local fraction = match(written, "^%+?%d+%.(%d+)$")
  return fraction ~= nil and (#fraction <= 2 or find(fraction, "^0+$") ~= nil)
end

-- 030/1234567 has a separator, 1234567/7654321 is two numbers.
local function is_two_numbers(written)
  local at = find(written, "/", 1, true)
  while at do
    if count_digits(sub(written, 1, at)) >= MIN_DIGITS and count_digits(sub(written, at)) >= MIN_DIGITS then
      return true
    end
    at = find(written, "/", at + 1, true)
  end
  return false
end

-- What is wrong with the shape of a number that holds other characters than digits, or nil.
local function shape_problem(written)
  if sub(written, 1, 1) == "-" then
    return "begins with a minus sign, so it is no phone number: write it with its country code, " .. EXAMPLE
  elseif find(written, "^%+?%d+[.,]?%d*[eE][+-]?%d+$") then
    return "was cut short by a spreadsheet, which wrote it with an exponent: format the column as text or as a number "
      .. "without decimal places, and fill it in anew"
  elseif is_fraction(written) then
    return "is a fraction, as a spreadsheet writes a number with decimal places: write its digits only"
  elseif is_date(written) then
    return "has the shape of a date: write a phone number with its country code, " .. EXAMPLE
  elseif is_two_numbers(written) then
    return "holds two numbers with / between them: keep one of them"
  end
end

---------------------------------------------------------------------------------------------------------------------
-- Characters

-- Words and signs before the extension of a number within a company.
local EXTENSIONS = { "^;?e?xt", "^x%.?%d", "^#%d" }

-- Says what is wrong with the first character that is no part of a number.
local function character_problem(before, bad)
  local digits = count_digits(before)
  local where = digits == 0 and "at its beginning" or "after " .. digit_count(digits)
  for _, pattern in ipairs(EXTENSIONS) do
    if digits >= MIN_DIGITS and find(lower(sub(bad, 1, 8)), pattern) then
      return ("holds an extension %s: text messages reach the number alone, so take the extension out"):format(where)
    end
  end
  if digits >= MIN_DIGITS and count_digits(bad) >= MIN_DIGITS and find(bad, "^[+,;|&]") then
    return ("holds two numbers, with %s between them: keep one of them"):format(text.character(sub(bad, 1, 1)))
  end
  if sub(bad, 1, 1) == "+" then
    return ("holds + %s: a + can stand at the beginning only"):format(digits == 0 and "twice" or where)
  end
  local character = text.character(match(bad, "^[^\128-\191]?[\128-\191]*"))
  return ("holds %s %s: only digits, blanks and + - . ( ) / can stand in a phone number, %s"):format(
    character,
    where,
    EXAMPLE
  )
end

local function is_calling_code(digits)
  return SHORT_CODES[digits]
    or #digits == 3
      and not find(digits, "^0")
      and not SHORT_CODES[sub(digits, 1, 1)]
      and not SHORT_CODES[sub(digits, 1, 2)]
end

-- The country code that is all there is before this place, or nil.
local function code_before(written, place)
  local before = gsub(sub(written, 1, place - 1), "[-.()/]", "")
  local code = match(before, "^%+(%d+)$") or match(before, "^00(%d+)$")
  return code and is_calling_code(code) and code
end

-- The 0 in brackets of +44 (0)20… is dialled within the country only, as is that of +44 (020)….
local function drop_bracketed_zero(written)
  local place, _, area = find(written, "%((0%d+)%)")
  local code = place and code_before(written, place)
  if code and not KEEPS_ZERO[code] and code ~= "229" then -- in Benin, numbers begin with 01
    local told = "holds the area code (%s) behind a country code: leave out its 0, which is dialled within the country"
    return nil, told:format(area)
  end
  local first, last = find(written, "(0)", 1, true)
  if not first then
    return written
  end
  code = code_before(written, first)
  if not code then
    return nil,
      "holds (0), which can be left out or not: write the number with + and its country code and without (0), "
        .. EXAMPLE
  elseif KEEPS_ZERO[code] then
    local told = "holds (0), but behind the country code %s a 0 can be a part of the number: write it with 0 or without"
    return nil, told:format(code)
  elseif find(written, "(0)", last + 1, true) then
    return nil, "holds (0) twice: write it with its country code and without (0), " .. EXAMPLE
  end
  return sub(written, 1, first - 1) .. sub(written, last + 1)
end

-- The text with plain blanks and hyphens only, without what may stand before a number.
local function cleaned(given)
  local written = given
  if find(written, "[\128-\255]") then
    written = gsub(written, "[\194-\239][\128-\191]+", STANDS_FOR)
  end
  written = text.trim(gsub(written, "[\t-\r]", " "))
  -- Spreadsheets put an apostrophe before a number that is to stay text.
  written = gsub(written, "^'", "")
  written = gsub(written, "^ *[tT][eE][lL]:", "")
  return (gsub(written, "^ +", ""))
end

-- The digits of a text, and whether they begin with a country code for certain; or nil and what is wrong.
local function digits_of(given)
  local written = given
  if not find(written, "^[%d+(][-%d .()/]*%d$") then
    written = cleaned(given)
    if written == "" then
      return nil, "is empty"
    end
  end
  if #written > MAX_LENGTH then
    return nil, ("is %d bytes long: a phone number has 7 to 15 digits"):format(#written)
  end
  local problem = find(written, "[^%d+ ()]") and shape_problem(written)
  if problem then
    return nil, problem
  end
  written = gsub(written, " ", "")
  local before, bad = match(written, "^([-.()/]*%+?[-%d.()/]*)(.*)$")
  if bad ~= "" then
    return nil, character_problem(before, bad)
  elseif find(written, "(0", 1, true) then
    written, problem = drop_bracketed_zero(written)
    if not written then
      return nil, problem
    end
  end
  local plus, digits = match(gsub(written, "[-.()/]", ""), "^(%+?)(%d*)$")
  if digits == "" then
    return nil, "holds no digits"
  elseif plus == "" and sub(digits, 1, 2) == "00" then
    return sub(digits, 3), true
  end
  return digits, plus ~= ""
end

---------------------------------------------------------------------------------------------------------------------
-- Countries

local function length_problem(digits)
  if #digits < MIN_DIGITS or #digits > MAX_DIGITS then
    return ("has %s: a phone number has %d to %d, country code included"):format(
      digit_count(#digits),
      MIN_DIGITS,
      MAX_DIGITS
    )
  end
end

-- What is wrong with digits that are to begin with a country code, or nil.
local function international_problem(digits)
  if sub(digits, 1, 1) == "0" then
    return "has a 0 where its country code begins: write it with + and its country code, " .. EXAMPLE
  end
  local problem = length_problem(digits)
  if problem or sub(digits, 1, 1) ~= "1" then
    return problem
  elseif #digits ~= 11 then
    return ("has %d digits: a number of country code 1 has 11, that 1 included"):format(#digits)
  elseif not find(digits, "^1[2-9]") then
    return ("has an area code that begins with %s: behind country code 1 it begins with 2 to 9"):format(
      sub(digits, 2, 2)
    )
  end
end

-- A national number with its country code before it, or nil where it could be an international one.
local function with_country(digits, country)
  if sub(digits, 1, #country) == country and #digits >= MIN_WITHOUT_PLUS then
    return digits
  end
  local trunk = TRUNKS[country] or "0"
  local national = digits
  -- In country 7 numbers have ten digits, of which the first can be an 8 as well.
  if sub(digits, 1, #trunk) == trunk and not (country == "7" and #digits <= MAX_NATIONAL) then
    national = KEEPS_ZERO[country] and digits or sub(digits, #trunk + 1)
  elseif trunk ~= "0" and sub(digits, 1, 1) == "0" then
    return nil,
      ("begins with 0, which no number of the country code %s does: write it with + and its country code"):format(
        country
      )
  elseif #digits > MAX_NATIONAL then
    return nil,
      (
        "has %d digits without + and begins neither with the country code %s nor with %s: it could be a number of "
        .. "another country, so write it with + and its country code"
      ):format(#digits, country, trunk)
  end
  return country .. national
end

local function without_plus(digits, default_country)
  local problem
  if default_country == false then
    problem = length_problem(digits)
  elseif default_country then
    local given = digits
    digits, problem = with_country(given, default_country)
    if digits and sub(given, 1, 1) == "0" and sub(digits, 1, 1) == "1" and #digits ~= 11 then
      problem = "begins with 0, which no number of the country code " .. default_country
      problem = problem .. " does: write it with + and its country code"
    elseif digits then
      problem = international_problem(digits)
      if problem and digits ~= given then
        problem = problem .. (" (with the default country code %s before it)"):format(default_country)
      end
    end
  elseif sub(digits, 1, 1) ~= "0" and #digits >= MIN_DIGITS and #digits < MIN_WITHOUT_PLUS then
    problem = ("has %d digits and no country code: write it with + and its code, %s, or set a default country "):format(
      #digits,
      EXAMPLE
    ) .. '(default_country = "1")'
  else
    problem = international_problem(digits)
  end
  if problem then
    return nil, problem
  end
  return digits
end

--- The digits of a phone number as the API wants them: country code first, no plus sign.
---@param given string
---@param default_country string|boolean|nil calling code of the numbers that come without one; false takes them as they
--- are
---@return string? digits
---@return string? problem
function phone.read(given, default_country)
  local digits, international = given, false
  if not find(given, "^[1-9]%d*$") then
    digits, international = digits_of(given)
    if not digits then
      return nil, international
    end
  end
  if not international then
    return without_plus(digits, default_country)
  end
  local problem = international_problem(digits)
  if problem then
    return nil, problem
  end
  return digits
end

return phone
