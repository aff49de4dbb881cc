--- Reads the lines of JSON Lines. It knows no JSON.
local lines = {}

local input = require "heymarket.csv.input"

local find, sub = string.find, string.sub

local Lines = input.extend()

-- Reads the next line, blank or not. Gives nil at the end of the input, and false where the buffer ends before the
-- line. Of a line that is too long only the beginning is kept.
function Lines:next_line()
  local from, limit = self.next, self.max_record
  local at = find(self.buffer, "\n", from, true)
  local last = #self.buffer
  if not at and not self.at_end then
    if last - from >= limit then
      self.beginning = self.beginning or sub(self.buffer, from, from + limit - 1)
    end
    if self.beginning then
      self.next = last + 1
    end
    return false
  elseif not at and from > last and not self.beginning then
    return nil
  end
  self.next = (at or last) + 1
  self.row = self.row + 1
  local beginning = self.beginning or self.next - from > limit and sub(self.buffer, from, from + limit - 1)
  self.beginning = nil
  if beginning then
    return beginning, { { code = "jsonl_line_too_long", values = { limit = limit } } }
  end
  return (sub(self.buffer, from, (at or last + 1) - 1):gsub("\r$", ""))
end

--- Reads the next line that is not blank.
---@return string|nil|false line nil at the end of the input; false where more input has to be read first, see `fill`
---@return heymarket.Issue[]? issues
---@return string? origin the line
function Lines:read_record()
  if self.failed then
    error(self.failed, 0)
  end
  local line, issues
  repeat
    line, issues = self:next_line()
  until not line or find(line, "[^ \t\r]")
  return line, issues, line or nil
end

--- See the reader of CSV.
function Lines.take()
  return 0, 0, false
end

--- See the reader of CSV.
function Lines.gives_lots()
  return false
end

--- See the reader of CSV.
function Lines.is_after_blank()
  return false
end

--- The lines of entries.
---@param entries heymarket.Entry[]
---@return (string|false)[] by the place of the entry; false where it has no `origin`
function Lines.cells_of(_, entries)
  local list = {}
  for i, entry in ipairs(entries) do
    list[i] = entry.origin or false
  end
  return list
end

--- Makes a reader.
---@param handle table|userdata has read(size)
---@param name string of the input, for messages
---@param settings table `chunk_size`, `max_record` (bytes)
function lines.new(handle, name, settings)
  local self = input.fields(handle, name, settings)
  self.beginning = nil -- of a line that is too long, and whose end was not read yet
  return setmetatable(self, Lines)
end

return lines
