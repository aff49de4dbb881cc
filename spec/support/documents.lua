--- The documents of this project as their readers see them: pages, their code blocks, headings, links and tables.
local documents = {}

local process = require "spec.support.process"

---@class heymarket.test.Block a code block of a page
---@field page string
---@field line integer of its first line of code
---@field language string
---@field code string
---@field not_run string? why it cannot run: from a comment `<!-- not run: why -->` in the line before
---@field file string? it is a file that later blocks of the page find under this name: from `<!-- file: NAME -->`
---@field output string? what it prints: the next block of the page, where that is `text`. "…" stands for any text

--- The pages: README.md and all of doc/.
---@return string[] paths in order
function documents.pages()
  local paths = {}
  for path in process.output("ls README.md doc/*.md"):gmatch "[^\n]+" do
    paths[#paths + 1] = path
  end
  return paths
end

local function lines_of(page)
  local text = assert(process.read_file(page), page)
  return (text:gsub("\n?$", "\n")):gmatch "(.-)\n"
end

--- The code blocks of a page.
---@param page string
---@return heymarket.test.Block[]
function documents.blocks(page)
  local blocks, block, before, number = {}, nil, "", 0
  for line in lines_of(page) do
    number = number + 1
    local language = line:match "^%s*```(.*)$"
    if language and block then
      block.code = table.concat(block, "\n") .. "\n"
      blocks[#blocks + 1], block = block, nil
    elseif language then
      local not_run, file = before:match "^<!%-%- not run: (.+) %-%->$", before:match "^<!%-%- file: (%S+) %-%->$"
      block = { page = page, line = number + 1, language = language, not_run = not_run, file = file }
    elseif block then
      block[#block + 1] = line
    end
    before = line
  end
  assert(not block, page .. ": a code block does not end")
  for i, each in ipairs(blocks) do
    local following = blocks[i + 1]
    each.output = following and following.language == "text" and following.code or nil
  end
  return blocks
end

--- The lines of a page that are no code.
---@param page string
---@return string[]
function documents.prose(page)
  local lines, in_code = {}, false
  for line in lines_of(page) do
    local is_fence = line:find "^%s*```" ~= nil
    in_code = in_code ~= is_fence
    if not in_code and not is_fence then
      lines[#lines + 1] = line
    end
  end
  return lines
end

--- The anchors of a page's headings, as GitHub makes them.
---@param page string
---@return table<string, boolean>
function documents.anchors(page)
  local anchors, counts = {}, {}
  for _, line in ipairs(documents.prose(page)) do
    local heading = line:match "^#+ (.+)$"
    if heading then
      local anchor = heading:lower():gsub("%[([^%]]*)%]%b()", "%1"):gsub("[^%w%s_\128-\255-]", ""):gsub(" ", "-")
      counts[anchor] = (counts[anchor] or 0) + 1
      anchors[counts[anchor] == 1 and anchor or anchor .. "-" .. counts[anchor] - 1] = true
    end
  end
  return anchors
end

--- The rows of the tables below a header line, each an array of its cells.
---@param page string
---@param header string the header line, as it stands
---@return string[][][] tables
function documents.tables(page, header)
  local tables, current = {}, nil
  for _, line in ipairs(documents.prose(page)) do
    if line == header then
      current = {}
      tables[#tables + 1] = current
    elseif current and line:find "^|" then
      local cells = {}
      for cell in line:gsub("\\|", "\1"):gmatch "|([^|]*)%f[|]" do
        cells[#cells + 1] = cell:gsub("\1", "|"):match "^%s*(.-)%s*$"
      end
      current[#current + 1] = not line:find "^|[-|]+$" and cells or nil
    else
      current = nil
    end
  end
  return tables
end

--- Is this block an example that can run?
---@param block heymarket.test.Block
---@param languages table<string, boolean>
---@return boolean
function documents.runs(block, languages)
  return languages[block.language] == true and not block.not_run and not block.file
end

--- Does a block print what its page says? Where the page says nothing, anything will do. A line end at the end does not
--- count.
---@param block heymarket.test.Block
---@param printed string
---@return boolean
function documents.says(block, printed)
  local wanted = (block.output or "…"):gsub("\n$", ""):gsub("%p", "%%%0"):gsub("…", ".-")
  return printed:gsub("\n$", ""):find("^" .. wanted .. "$") ~= nil
end

return documents
