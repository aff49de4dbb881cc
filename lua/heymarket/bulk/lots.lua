--- Lots: the next contacts as one lot, where they may all stand in the next request.
---
--- Ordinary rows of a file go into a lot without ever being Lua tables (csrc/rows/lot.c). A row that is not ordinary
--- comes as an entry, as without lots: it is settled at once where it is finished, else it is added to the lot.
local lots = {}

local rows = require "heymarket.rows"

local Lots = {}
Lots.__index = Lots

--- Makes what gives the lots of one call.
---@param dependencies table `source`; `counter` of report.lua; `order`; `sort(entries)`, which settles those that are
--- finished and gives the others; `is_stopped()`, has the call stopped?; `take_turns(count)`, called when so many
--- contacts more were read
function lots.new(dependencies)
  local self = {}
  for name, value in pairs(dependencies) do
    self[name] = value
  end
  return setmetatable(self, Lots)
end

-- Adds an entry to the lot of a batch. False where it cannot stand there.
function Lots:add(batch, entry, max_bytes)
  if entry.possibly_sent or not entry.origin then
    return false
  end
  local lot = batch.lot or rows.lot(entry.index, entry.position)
  if lot:count() > 0 and lot:bytes(#entry.body) > max_bytes then
    return false
  end
  lot:at(entry.index, entry.position)
  lot:add(entry.phone, entry.body, entry.origin, entry.is_doubtful)
  batch.lot = lot
  self.counter:begin_lot(batch, entry)
  return true
end

-- Fills the lot of a batch. Gives the entry that cannot stand in it although it comes next.
function Lots:fill(batch, size, max_bytes)
  local count = 0
  while count < size and not self.is_stopped() do
    local lot, state = self.source:take_lot(size - count, max_bytes, batch.lot)
    if lot then
      local before = count
      batch.lot, count = lot, lot:count()
      self.counter:begin_lot(batch)
      self.take_turns(count - before)
    end
    if state ~= "odd" then
      return nil
    elseif count < size and not self.is_stopped() then
      local entries = self.source:take(1)
      if not entries[1] then
        return nil -- that was the last one
      end
      local entry = self.sort(entries)[1]
      if entry and not self:add(batch, entry, max_bytes) then
        return entry
      end
      count = count + (entry and 1 or 0)
      self.take_turns(1)
    end
  end
end

--- Gives the next request as a batch with a lot. Its phones are in flight from here on.
---@param size integer contacts at most
---@param max_bytes integer bytes of its body at most; a single contact may be larger
---@return heymarket.Batch? batch nil where the next contacts must go one by one; raises a failure where the source
--- cannot go on
---@return heymarket.Entry[]? entries those of them that were read already
function Lots:next(size, max_bytes)
  if not self.order:takes_lots() then
    return nil
  end
  local batch = {}
  local entry = self:fill(batch, size, max_bytes)
  if not batch.lot then
    return nil, { entry }
  elseif not entry and self.order:admit_lot(batch.lot) then
    return batch
  end
  local entries = lots.open(self.counter, batch)
  entries[#entries + 1] = entry
  return nil, entries
end

--- The entries of a batch, each of which may have an outcome of its own from here on.
---@param counter table of report.lua
---@param batch heymarket.Batch
---@return heymarket.Entry[]
function lots.open(counter, batch)
  local lot = batch.lot
  if lot then
    batch.entries = counter:open_lot(batch)
    batch.lot = nil
    lot:free()
  end
  return batch.entries
end

return lots
