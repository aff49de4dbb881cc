--- Files of CSV and JSON Lines as a source of contacts: `client:import(csv.open("contacts.csv"))`.
---@class heymarket.csv
local csv = {}

local contacts = require "heymarket.csv.contacts"
local failure = require "heymarket.failure"
local header = require "heymarket.csv.header"
local lines = require "heymarket.csv.lines"
local messages = require "heymarket.messages"
local objects = require "heymarket.csv.objects"
local options = require "heymarket.options"
local reader = require "heymarket.csv.reader"
local source = require "heymarket.csv.source"

csv.encode_row = require("heymarket.csv.writer").encode_row

-- Lua types of options, by the type of their kind, where the two differ.
local LUA_TYPES = { map = "table", names = "table", word = "string" }
-- Issues that are mistakes in the program, which raise.
local IS_WRONG_USE = { option_map = true, option_names = true }

-- Raises on wrong use of Lua; gives the values of the options, or the issues of those that cannot be.
local function read_options(given)
  options.expect(given, "table?", "options", 3)
  for _, row in ipairs(options.list "csv") do
    local value = (given or {})[row.name]
    if value ~= nil then
      options.expect(value, LUA_TYPES[row.kind.type] or row.kind.type, "options." .. row.name, 3)
    end
  end
  local values, issues = options.read("csv", given)
  for _, issue in ipairs(issues or {}) do
    if IS_WRONG_USE[issue.code] then
      error("options." .. issue.field .. " " .. messages.text(issue.code, issue.values), 3)
    end
  end
  return values, issues
end

-- Bytes from here to the end of the file, or nil where it cannot be known.
local function size_of(handle)
  local is_seekable, here = pcall(function()
    return handle:seek()
  end)
  if not is_seekable or not here then
    return nil
  end
  local last = handle:seek "end"
  handle:seek("set", here)
  return last and last > here and last - here or nil
end

local function is_readable(value)
  if io.type(value) then
    return io.type(value) == "file"
  end
  local is_indexed, read = pcall(function()
    return value.read
  end)
  return is_indexed and read ~= nil
end

-- By format: reads what comes before the first row. Gives the columns, what makes contacts of rows, and the number of
-- the row before the first. Raises a failure where the input cannot be used.
local STARTS = {}

function STARTS.csv(input, values)
  local columns, issues = input:read_header(function(names)
    return header.count_known(names, values.map, values.ignore)
  end)
  local layout
  if columns then
    layout, issues = header.read(columns, values.map, values.ignore, values.from)
  end
  if not layout then
    error(failure.invalid(issues), 0)
  end
  local made = contacts.new(columns, layout, values.allow_opt_in)
  input:set_fields(made:fields())
  return { columns = columns, contacts = made, last_row = 1 }
end

-- Only CSV has columns. The keys of JSON Lines are fields.
function STARTS.jsonl(input, values)
  local issues = {}
  for _, name in ipairs { "delimiter", "from", "map", "allow_multiline_rows" } do
    local value = values[name]
    if type(value) == "table" and next(value) ~= nil or type(value) ~= "table" and value then
      issues[#issues + 1] = { field = name, code = "jsonl_without_option", is_option = true }
    end
  end
  if issues[1] then
    error(failure.invalid(issues), 0)
  end
  input:read_mark()
  return { columns = {}, contacts = objects.new(values.ignore, values.allow_opt_in), last_row = 0 }
end

-- The format that a name has by its ending.
local function format_of(file)
  local ending = type(file) == "string" and file:lower():match "%.(%w+)$"
  return (ending == "jsonl" or ending == "ndjson") and "jsonl" or "csv"
end

-- Opens what the caller gave. Returns a handle, its name for messages, and whether it is ours to close.
local function open_handle(file)
  if type(file) ~= "string" then
    return file, "the input", false
  end
  local handle, problem = io.open(file, "rb")
  if not handle then
    return nil, failure.make("source", "csv_not_opened", { problem = problem })
  end
  return handle, file, true
end

--- Opens a file of CSV or JSON Lines as a source of contacts. Reads and checks the header of CSV.
---
--- Options:
--- - `format` ("jsonl" where the name ends with .jsonl or .ndjson, else "csv"): "csv", or "jsonl" for one contact in
---   JSON a line;
--- - `delimiter` (found in the header): what separates the cells: ",", ";", tab or "|", or the name of one: "comma",
---   "semicolon", "tab", "pipe";
--- - `encoding` (UTF-8): as iconv knows it, such as "windows-1252", for input without a mark; UTF-8 and UTF-16 are
---   known by their marks;
--- - `from` (found in the header): the product whose export the file is, such as "hubspot", see products.lua;
--- - `map` (table): name of a column to name of a field, or an array of {column, field}. Several columns may be mapped
---   to phone: the first filled one counts, in the order of the array, else of the file;
--- - `ignore` (array): names of columns to ignore; "*" stands for all whose names are not known;
--- - `limit` (none): the source ends after so many rows;
--- - `allow_opt_in` (false): send `is_opted_out = false`. Without it that is left out, because it may undo an opt-out
---   that the person sent by text;
--- - `allow_multiline_rows` (false): a quoted cell may hold lines that look like rows;
--- - `max_record` (1 MiB): greatest length in bytes of a record with its line end;
--- - `chunk_size` (64 KiB): bytes that are read at a time.
---@param file string|table|userdata path, or a handle with a `read` method as files have; a handle is not closed
---@param given heymarket.CsvOptions?
---@return heymarket.csv.Source? source
---@return heymarket.Failure? failure kind "source" or "invalid"
function csv.open(file, given)
  if type(file) ~= "string" and not is_readable(file) then
    local what = io.type(file) or file == nil and "nil" or "a " .. type(file)
    error("file must be a path or an open file handle, not " .. what, 2)
  end
  local values, issues = read_options(given)
  if not values then
    return nil, failure.invalid(issues)
  end
  local handle, name, is_owned = open_handle(file)
  if not handle then
    return nil, name
  end
  local format = values.format or format_of(file)
  local input = (format == "csv" and reader or lines).new(handle, name, values)
  local total = size_of(handle)
  local ok, started = pcall(STARTS[format], input, values)
  if ok then
    started.format, started.reader, started.total, started.limit = format, input, total, values.limit
    started.owned = is_owned and handle or nil
    return source.new(started)
  elseif is_owned then
    handle:close()
  end
  if failure.is(started) then
    return nil, started
  end
  error(started, 0)
end

return csv
