--- Bisect: what follows when the server refuses a batch.
---
--- A refused batch is halved until the contacts at fault stand alone. What was refused and what was accepted shows
--- whether the contacts are at fault, the size of the batches, or something else, as wrong credentials or a wrong
--- address: then it is pointless to go on.
local bisect = {}

-- So many refusals in a row that are alike, single contacts among them, with nothing ever accepted: the fault is not
-- the contacts'. One bad contact in a batch of a hundred never comes near this.
local MAX_REFUSALS, MIN_SINGLES = 16, 3
local MIN_BYTES = 1024 -- the bodies of requests are not limited to less than this
-- Statuses by which a server refuses what is in the request, rather than the request as such.
local ABOUT_CONTENT = { [400] = true, [409] = true, [413] = true, [422] = true }

---@class heymarket.Family the halves of one refused batch
---@field is_accepted boolean were all answers so far accepting?
---@field left integer halves without an answer
---@field size integer entries of the larger half

local unpack = rawget(_G, "unpack") or rawget(table, "unpack")

local Bisect = {}
Bisect.__index = Bisect

--- Makes the bisection of one call.
---@param batch_size integer entries in a request at most
---@param max_bytes integer bytes in the body of a request at most
function bisect.new(batch_size, max_bytes)
  return setmetatable({
    batch_size = batch_size,
    max_bytes = max_bytes,
    halves = {}, -- batches that wait to be sent
    any_accepted = false, -- has the server ever accepted a request of this call?
    refusals = 0, -- in a row and alike
    singles = 0, -- those of them that were of a single contact
    sort = nil, -- what they have in common
    takes_smallest = false, -- of the last half that was taken under suspicion
  }, Bisect)
end

--- The limits of a request, as far as the server's answers have shown them.
---@return integer batch_size entries
---@return integer max_bytes bytes of its body
function Bisect:limits()
  return self.batch_size, self.max_bytes
end

--- Nothing was accepted so far and something was refused: then one request at a time goes out, until it is clear whose
--- fault it is.
---@return boolean
function Bisect:is_suspicious()
  return not self.any_accepted and self.refusals > 0
end

-- Place of the half that goes next. Under suspicion the smallest and the largest take turns: the small ones lead to a
-- single contact, the large ones show whether all others are refused as well.
function Bisect:place_of_next()
  local halves = self.halves
  local best = #halves
  if best > 1 and self:is_suspicious() then
    self.takes_smallest = not self.takes_smallest
    for i = #halves - 1, 1, -1 do
      local size, best_size = #halves[i].entries, #halves[best].entries
      if self.takes_smallest and size < best_size or not self.takes_smallest and size > best_size then
        best = i
      end
    end
  end
  return best
end

--- Takes out the half that is to be sent next.
---@return heymarket.Batch? half nil where none waits
function Bisect:next()
  local half = table.remove(self.halves, self:place_of_next())
  if half and #half.entries > self.batch_size then
    -- A smaller size was learned since it was put here.
    self:halve(half, half.failure)
    return self:next()
  end
  return half
end

--- Takes out all halves: they will not be sent.
---@return heymarket.Batch[]
function Bisect:drain()
  local halves = self.halves
  self.halves = {}
  return halves
end

function Bisect:halve(batch, problem)
  local entries = batch.entries
  local middle = math.ceil(#entries / 2)
  local left, right = { unpack(entries, 1, middle) }, { unpack(entries, middle + 1) }
  local family = { is_accepted = true, left = 2, size = middle }
  for _, half in ipairs { right, left } do
    local made = { entries = half, possibly_sent = batch.possibly_sent, failure = problem, family = family }
    self.halves[#self.halves + 1] = made
  end
end

--- An answer accepted a batch. Where both halves of a refused one are accepted, its size was the fault, and later
--- batches are no larger than its halves.
---@param batch heymarket.Batch
function Bisect:accepted(batch)
  self.any_accepted = true
  local family = batch.family
  if family and family.is_accepted then
    family.left = family.left - 1
    if family.left == 0 then
      self.batch_size = math.min(self.batch_size, family.size)
    end
  end
end

-- Counts refusals that are alike: with one of another sort the count begins anew.
function Bisect:count_refusal(batch, problem)
  local details = type(problem.details) == "table" and problem.details or {}
  local sort = problem.status .. tostring(details.error_code or details.code)
  if sort ~= self.sort then
    self.sort, self.refusals, self.singles = sort, 0, 0
  end
  self.refusals = self.refusals + 1
  self.singles = self.singles + (#batch.entries == 1 and 1 or 0)
end

--- A batch failed. Decides whose fault it is.
---@param batch heymarket.Batch
---@param problem heymarket.Failure? nil where it was never sent
---@param is_stopped boolean has the call stopped? Then nothing is sent any more
---@return "stop"|"halved"|"failed" verdict "stop": the fault is not the contacts', so the call is to stop; "halved":
--- its halves will be given by `next`; "failed": its contacts have failed
---@return integer? refusals with "stop": so many requests were refused alike; nil where one was enough
function Bisect:failed(batch, problem, is_stopped)
  if batch.family then
    batch.family.is_accepted = false
  end
  if not problem or is_stopped then
    return "failed"
  elseif ABOUT_CONTENT[problem.status] then
    return self:refused(batch, problem)
  elseif problem.kind == "bad_data" and not problem.retryable and not self.any_accepted then
    -- Not found, wrong method and the like concern the address of the call, whatever is in the request.
    return "stop"
  end
  return "failed"
end

-- The server refused what is in a batch.
function Bisect:refused(batch, problem)
  self:count_refusal(batch, problem)
  if not self.any_accepted and self.refusals >= MAX_REFUSALS and self.singles >= MIN_SINGLES then
    return "stop", self.refusals
  elseif #batch.entries == 1 then
    return "failed"
  end
  self:halve(batch, problem)
  if problem.status == 413 and batch.body then
    self.max_bytes = math.min(self.max_bytes, math.max(MIN_BYTES, math.floor(#batch.body / 2)))
  end
  return "halved"
end

return bisect
