--- The words of all messages about what users hand in: contacts and CSV files. A part of catalogue.lua.

return {
  -- Contact -----------------------------------------------------------------------------------------------------

  several = "{mistakes}",
  contact_type = "a contact must be a table, not {given}",
  required = "is required",
  unknown_field = 'is not a field of a contact[; did you mean "{nearest}"?]',
  inexact = "is a whole number too large to be exact in this Lua",
  not_string = "must be a string, not {given}",
  not_utf8 = "is not valid UTF-8 (byte {position}): save the source as UTF-8[, or name its encoding with "
    .. "{option:encoding}: it looks like {encoding}]",
  control_character = "holds the control character {character}: take it out",
  unseen_character = "holds {character}, which does not show: take it out",
  not_email = "does not look like an email address, such as ann@example.com",
  not_url = "must be the URL of an image that starts with http:// or https://",
  not_boolean = "must be true or false, not {given}",
  not_integer = "must be an integer, not {given}",
  not_user_id = "must be a user id (greater than 0), or -1 for nobody",
  item_inexact = "item {item} is a whole number too large to be exact in this Lua",
  not_integers = "must be an array of integers, not {given}",
  integers_with_gaps = "must be an array of integers without gaps or names",
  item_not_integer = "item {item} must be an integer, not {given}",
  not_tags = "must be an array of tag ids, not {given}",
  tags_with_gaps = "must be an array of tag ids without gaps or names",
  tag_with_other_key = 'item {item} has the field "[{name}][{key}]": a tag is an id, or {tag_id = id}',
  item_not_id = "item {item} must be an id (an integer, or {tag_id = integer}), not {given}",
  item_not_positive = "item {item} must be an id greater than 0",
  too_many_tags = "has {count} tags: a contact has at most {max}",
  tag_twice = "has the tag {id} twice",
  not_custom = "must be a table of custom field ids and values, not {given}",
  custom_bad_key = 'has the key ["{name}"][{key}]: keys are numeric ids of custom fields, such as 123',
  custom_twice = "has the field {id} twice, as a number and as a string",
  custom_not_utf8 = "field {id} is not valid UTF-8 (byte {position}): save the source as UTF-8[, or name its encoding "
    .. "with {option:encoding}: it looks like {encoding}]",
  custom_inexact = "field {id} is a whole number too large to be exact in this Lua: give it as a string of digits",
  custom_not_finite = "field {id} must be a finite number",
  custom_bad_type = "field {id} must be a string, an integer, a finite number or a boolean, not a {type}",
  phone_type = "must be a string or an integer, not {given}",
  phone_negative = "must not be negative",
  phone_empty = "is empty",
  phone_long = "is {length} bytes long: a phone number has 7 to 15 digits",
  phone_minus = "begins with a minus sign, so it is no phone number: write it with its country code, such as "
    .. "+12345678900",
  phone_exponent = "was cut short by a spreadsheet, which wrote it with an exponent: format the column as text or as a "
    .. "number without decimal places, and fill it in anew",
  phone_fraction = "is a fraction, as a spreadsheet writes a number with decimal places: write its digits only",
  phone_date = "has the shape of a date: write a phone number with its country code, such as +12345678900",
  phone_two_numbers = "holds two numbers with / between them: keep one of them",
  phone_second_number = "holds two numbers, with {character} between them: keep one of them",
  phone_extension = "holds an extension after {digits} digits: text messages reach the number alone, so take the "
    .. "extension out",
  phone_plus_twice = "holds + twice: a + can stand at the beginning only",
  phone_plus_inside = "holds + after {digits} {digits?digit|digits}: a + can stand at the beginning only",
  phone_first_character = "holds {character} at its beginning: only digits, blanks and + - . ( ) / can stand in a "
    .. "phone number, such as +12345678900",
  phone_character = "holds {character} after {digits} {digits?digit|digits}: only digits, blanks and + - . ( ) / can "
    .. "stand in a phone number, such as +12345678900",
  phone_area_zero = "holds the area code ({area}) behind a country code: leave out its 0, which is dialled within the "
    .. "country",
  phone_optional_zero = "holds (0), which can be left out or not: write the number with + and its country code and "
    .. "without (0), such as +12345678900",
  phone_kept_zero = "holds (0), but behind the country code {code} a 0 can be a part of the number: write it with 0 or "
    .. "without",
  phone_zero_twice = "holds (0) twice: write it with its country code and without (0), such as +12345678900",
  phone_no_digits = "holds no digits",
  phone_leading_zero = "has a 0 where its country code begins: write it with + and its country code, such as "
    .. "+12345678900[ (with the default country code {country} before it)]",
  phone_length = "has {digits} {digits?digit|digits}: a phone number has 7 to 15, country code included"
    .. "[ (with the default country code {country} before it)]",
  phone_length_of_1 = "has {digits} digits: a number of country code 1 has 11, that 1 included"
    .. "[ (with the default country code {country} before it)]",
  phone_area_of_1 = "has an area code that begins with {digit}: behind country code 1 it begins with 2 to 9"
    .. "[ (with the default country code {country} before it)]",
  phone_no_trunk_zero = "begins with 0, which no number of the country code {country} does: write it with + and its "
    .. "country code",
  phone_region_short = "is too short[ for a number of the country code {country}]: digits are missing",
  phone_region_long = "is too long[ for a number of the country code {country}]",
  phone_region_length = "has a number of digits that no number[ of the country code {country}] has",
  phone_region_local = "lacks its area code: write the whole number",
  phone_region_country = "begins with a country code that does not exist",
  phone_region_none = "is no phone number of the region {region}",
  phone_region_ambiguous = "has {digits} digits without +, and libphonenumber knows such a number in another country "
    .. "but none in the region {region}: write it with + and its country code",
  phone_region_failed = "could not be read, because libphonenumber failed: most likely there was not enough memory",
  phone_other_country = "has {digits} digits without + and begins neither with the country code {country} nor with "
    .. "{trunk}: it could be a number of another country, so write it with + and its country code",
  phone_no_country = {
    library = "has {digits} digits and no country code: write it with + and its code, such as +12345678900, or set a "
      .. 'default country (default_country = "1")',
    command = "has {digits} digits and no country code: write it with + and its code, such as +12345678900, or set a "
      .. "default country (--default-country 1)",
  },

  -- CSV ---------------------------------------------------------------------------------------------------------

  csv_bare_quote = "has a quote in an unquoted cell: put the whole cell in quotes and double the quote[ (the cell goes "
    .. "from line {first} to line {last} of the file, and may have swallowed the rows between)]",
  csv_blank_header = "row 1 is blank: it must name the columns",
  csv_cell_count = "the row has {count} cells where the header has {columns}",
  csv_closed = "{name} was closed before its end was read",
  csv_empty = "{name} is empty: its first row must name the columns",
  csv_from_other = "is not what the file is: it has not two of the columns that an export of {product} has",
  csv_from_several = "must say whose export the file is, because its columns fit several: {names}",
  csv_ignored_absent = 'is ignored, but the file has no such column[; did you mean "{nearest}"?]',
  csv_mapped_absent = 'is mapped, but the file has no such column[; did you mean "{nearest}"?]',
  csv_mapped_and_ignored = "is both mapped and ignored",
  csv_mapped_internal = "cannot be mapped: a column that begins with _ is always ignored",
  csv_mapped_to_unknown = 'is mapped to "{name}", which is not a field[; did you mean "{nearest}"?]',
  csv_mapped_twice = 'is mapped twice: "{other}" is the same column',
  csv_no_phone = "is missing: one column must be phone or Phone Number, or be mapped to phone",
  csv_not_boolean = "must be yes, y, true, t or 1, or no, n, false, f or 0, not {cell}",
  csv_not_encoded = "holds bytes that mean nothing in {encoding}: name another encoding with {option:encoding}",
  csv_header_not_utf8 = "is not valid UTF-8: save the file as UTF-8, or name its encoding with {option:encoding}: it "
    .. "looks like {encoding}",
  csv_not_integer = "must be a whole number that is not too large, not {cell}",
  csv_not_integers = "must be whole numbers separated by ;, not {cell}",
  csv_not_opened = "cannot open {problem}",
  csv_not_text = "cannot read {name}: its read method gives a {type}",
  csv_other_delimiter = "is not a known column: if it is several, {option:delimiter} names what separates them",
  csv_record_too_long = "row {row} of {name} is longer than {limit} bytes: most likely a quote in it is never closed",
  csv_second_column = "is a second column for {name}, after {other}",
  csv_separator = "the first line says that {character} separates the cells, which cannot be: it must be a comma, a "
    .. "semicolon, a tab or |",
  csv_stray_break = "has a stray line break: put the whole cell in quotes",
  csv_stray_quote = "has text after its closing quote: double each quote that is within a quoted cell[ (the cell goes "
    .. "from line {first} to line {last} of the file, and may have swallowed the rows between)]",
  csv_swallowed_rows = "goes on to line {last} of the file, and most likely swallowed rows: correct its quotes, or "
    .. "allow it with {option:allow_multiline_rows}",
  csv_unclosed_quote = "opens a quote that is never closed (it opens in row {row}): all later rows, up to line {last} "
    .. "of the file, were read as part of this cell",
  csv_unknown_column = {
    library = 'is not a known column[ (did you mean "{nearest}"?)]: name its field with the option map, or ignore it '
      .. "with the option ignore",
    command = 'is not a known column[ (did you mean "{nearest}"?)]: name its field with --map, or ignore it with '
      .. "--ignore",
  },
  csv_unknown_custom = {
    library = 'is not a known column (did you mean "custom.<id>", where <id> is the number of the custom field?): name '
      .. "its field with the option map, or ignore it with the option ignore",
    command = 'is not a known column (did you mean "custom.<id>", where <id> is the number of the custom field?): name '
      .. "its field with --map, or ignore it with --ignore",
  },
  csv_unnamed_column = "has no name in the header",
  csv_unreadable = "cannot read {name}: {problem}",
  csv_zero_bytes = "{name} has NUL bytes in its header: save it as CSV in UTF-8, or, where it is UTF-16 without a "
    .. "mark, name that with {option:encoding} (UTF-16LE or UTF-16BE)",

  -- JSON Lines --------------------------------------------------------------------------------------------------

  jsonl_line_too_long = "the line is longer than {limit} bytes",
  jsonl_not_json = "the line is no JSON: {problem}[; it looks like {encoding}, which {option:encoding} can name]",
  jsonl_not_object = "the line is no JSON object: it must be one contact, such as "
    .. '{"phone": "+12345678900", "first": "Ann"}',
  jsonl_null_item = "item {item} is null",
  jsonl_without_option = "is for CSV files only: the keys of JSON Lines are the names of fields",
}
