--- Writes the documents as a site: README.md, CHANGELOG.md, CONTRIBUTING.md and doc/*.md as HTML, with a navigation and
--- one stylesheet. Links between pages lead to pages; a link to another file of the tree leads to a page with its text.
---
---   lua5.4 tools/site.lua [FOLDER]     build/doc unless told
---
--- Needs cmark-gfm. Prints every link whose file or anchor is missing, and exits with 1.

local FOLDER = arg[1] or "build/doc"

-- The navigation. Pages of doc/ that are not named here stand in the last group but one.
local GROUPS = {
  {
    "Start",
    {
      "README.md",
      "doc/installing.md",
      "doc/contacts.md",
      "doc/calls.md",
      "doc/import.md",
      "doc/command.md",
      "doc/nginx.md",
      "doc/loops.md",
    },
  },
  { "Look up", { "doc/reference.md", "doc/configuration.md", "doc/events.md", "doc/errors.md", "doc/sandbox.md" } },
  { "Understand", { "doc/design.md", "doc/security.md", "doc/performance.md", "doc/vendor-api.md" } },
  { "Change", { "CONTRIBUTING.md", "doc/architecture.md", "doc/interfaces.md", "doc/upgrading.md", "CHANGELOG.md" } },
}
local OTHERS = 3

local STYLE = [[
:root { --text: #1d2329; --back: #fff; --soft: #59636e; --line: #d5dae0; --tint: #f4f6f8; --link: #0b5cad }
@media (prefers-color-scheme: dark) {
  :root { --text: #d8dee5; --back: #14181d; --soft: #97a2ad; --line: #353d46; --tint: #1e242b; --link: #7db8f5 }
}
* { box-sizing: border-box }
html { color-scheme: light dark; scroll-padding-top: 1rem }
body { margin: 0; color: var(--text); background: var(--back); font: 1rem/1.6 system-ui, sans-serif }
a { color: var(--link); text-decoration-thickness: 1px; text-underline-offset: 2px }
main { max-width: 64rem; padding: 1rem 1.25rem 4rem; min-width: 0 }
h1, h2, h3 { line-height: 1.25; overflow-wrap: anywhere }
h1 { font-size: 1.9rem; margin: .5rem 0 1rem }
h2 { font-size: 1.4rem; margin: 2.5rem 0 .75rem; padding-top: .75rem; border-top: 1px solid var(--line) }
h3 { font-size: 1.1rem; margin: 2rem 0 .5rem }
code, pre { font: .875em/1.5 ui-monospace, "DejaVu Sans Mono", monospace }
code { background: var(--tint); padding: .1em .3em; border-radius: 4px; overflow-wrap: anywhere }
pre { background: var(--tint); border: 1px solid var(--line); border-radius: 6px }
pre { padding: .75rem 1rem; overflow-x: auto; --shade: rgb(0 0 0 / .3) }
/* A shadow at the side on which a line goes on: the inner two layers move with the text and hide it at an end. */
pre { background: linear-gradient(to right, var(--tint) 40%, transparent) left / 2.5rem 100% no-repeat local,
  linear-gradient(to left, var(--tint) 40%, transparent) right / 2.5rem 100% no-repeat local,
  linear-gradient(to right, var(--shade), transparent) left / .75rem 100% no-repeat scroll,
  linear-gradient(to left, var(--shade), transparent) right / .75rem 100% no-repeat scroll, var(--tint) }
pre code { background: none; padding: 0; overflow-wrap: normal; font-size: 1em }
.table { overflow-x: auto; margin: 1rem 0 }
table { border-collapse: collapse; min-width: 100%; font-size: .94rem }
th, td { text-align: left; vertical-align: top; padding: .4rem .75rem .4rem 0; border-bottom: 1px solid var(--line) }
th { color: var(--soft); font-weight: 600 }
main > * { max-width: 52rem }
td { min-width: 4rem }
td code { overflow-wrap: anywhere }
td:first-child code { white-space: nowrap }
td:last-child { min-width: 12rem }
nav { padding: 1rem 1.25rem; background: var(--tint); border-bottom: 1px solid var(--line); font-size: .94rem }
nav label { cursor: pointer; font-weight: 600; display: block }
nav label::after { content: " ▾" }
nav input { position: absolute; opacity: 0 }
nav input:focus-visible + label { outline: 2px solid var(--link) }
nav input:not(:checked) ~ div { display: none }
nav h2 { font-size: .8rem; color: var(--soft); margin: 1rem 0 .25rem; padding: 0; border: 0 }
nav ul { list-style: none; margin: 0; padding: 0 }
nav li a { display: block; padding: .2rem 0; color: inherit; text-decoration: none }
nav li a:hover { text-decoration: underline }
nav a[aria-current] { font-weight: 600; color: var(--link) }
nav ul ul { padding-left: .9rem; color: var(--soft); border-left: 1px solid var(--line) }
@media (max-width: 40rem) {
  main { padding: .5rem 1rem 3rem }
  thead { position: absolute; opacity: 0; pointer-events: none }
  table, tbody { display: block }
  tr { display: block; padding: .5rem 0; border-bottom: 1px solid var(--line) }
  td, td:last-child { display: block; border: 0; padding: .1rem 0; min-width: 0 }
  td:empty { display: none }
  td[data-label]::before { content: attr(data-label) ": "; color: var(--soft) }
  td:first-child code { white-space: normal }
}
@media (min-width: 60rem) {
  body { display: grid; grid-template-columns: 17rem minmax(0, 1fr) }
  nav { position: sticky; top: 0; height: 100vh; overflow-y: auto; border: 0; border-right: 1px solid var(--line) }
  nav label, nav input { display: none }
  nav input:not(:checked) ~ div { display: block }
  main { padding: 1.5rem 3rem 4rem }
}
]]

local problems = 0

local function complain(...)
  problems = problems + 1
  print(string.format(...))
end

local function read(path)
  local file = io.open(path, "rb")
  local text = file and file:read "a" -- nil for a folder
  if file then
    file:close()
  end
  return text
end

local function run(command)
  local pipe = assert(io.popen(command))
  local output = pipe:read "a"
  assert(pipe:close(), command .. " failed")
  return output
end

local function quote(word)
  return "'" .. word:gsub("'", "'\\''") .. "'"
end

local function write(path, text)
  local target = FOLDER .. "/" .. path
  run("mkdir -p " .. quote(target:match "^(.*)/"))
  local file = assert(io.open(target, "wb"))
  assert(file:write(text))
  assert(file:close())
end

local ESCAPES = { ["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;", ['"'] = "&quot;" }
local UNESCAPES = { amp = "&", lt = "<", gt = ">", quot = '"' }

local function escape(text)
  return (text:gsub('[&<>"]', ESCAPES))
end

-- The text of a heading without its tags.
local function plain(html)
  return (html:gsub("<[^>]*>", ""):gsub("&(%a+);", UNESCAPES))
end

-- Where a page stands in the site.
local function target_of(path)
  return path == "README.md" and "index.html" or (path:gsub("%.md$", "") .. ".html")
end

-- A path from the folder of one page to another path, both from the top of the site.
local function relative(from, to)
  local _, depth = from:gsub("/", "")
  return ("../"):rep(depth) .. to
end

-- The path that a link of a page means, from the top of the tree.
local function resolve(page, link)
  local parts = {}
  for part in ((page:match "^(.*/)" or "") .. link):gmatch "[^/]+" do
    if part == ".." then
      parts[#parts] = nil
    elseif part ~= "." then
      parts[#parts + 1] = part
    end
  end
  return table.concat(parts, "/")
end

-- Names the cells of a table by their columns: on a narrow screen each row is a list. The first column needs no name.
local function label_cells(html)
  local labels = {}
  for inner in html:gmatch "<th[^>]*>(.-)</th>" do
    labels[#labels + 1] = plain(inner)
  end
  return (
    html:gsub("<tr>(.-)</tr>", function(row)
      local column = 0
      return "<tr>"
        .. row:gsub("<td", function()
          column = column + 1
          local label = column > 1 and labels[column] or ""
          return label ~= "" and ('<td data-label="%s"'):format(escape(label)) or "<td"
        end)
        .. "</tr>"
    end)
  )
end

-- Gives the headings their anchors, as GitHub makes them.
local function add_anchors(page)
  local counts = {}
  page.anchors, page.headings = {}, {}
  page.html = page.html:gsub("<h(%d)>(.-)</h%d>", function(level, inner)
    local title = plain(inner)
    local slug = title:lower():gsub("[^%w%s_\128-\255-]", ""):gsub("%s", "-")
    local count = counts[slug] or 0
    counts[slug] = count + 1
    local anchor = count == 0 and slug or ("%s-%d"):format(slug, count)
    page.anchors[anchor] = true
    page.title = page.title or title
    page.headings[#page.headings + 1] = { level = tonumber(level), anchor = anchor, title = title }
    return ('<h%s id="%s">%s</h%s>'):format(level, anchor, inner, level)
  end)
end

local pages, by_path = {}, {}
for path in run("ls README.md CHANGELOG.md CONTRIBUTING.md doc/*.md"):gmatch "[^\n]+" do
  local page = { path = path, target = target_of(path) }
  page.html = run("cmark-gfm -e table -e strikethrough -e autolink " .. quote(path))
  page.html = page.html:gsub("<!%-%-.-%-%->\n?", ""):gsub("<table>.-</table>", function(html)
    return '<div class="table">' .. label_cells(html) .. "</div>"
  end)
  add_anchors(page)
  page.title = path == "README.md" and "Overview" or page.title or path
  pages[#pages + 1], by_path[path] = page, page
end

local sources = {} -- files that pages link to, beside pages

-- The href of a link in the site; nil where it leads nowhere.
local function href_of(page, link)
  local place, anchor = link:match "^([^#]*)#?(.*)$"
  local path = place == "" and page.path or resolve(page.path, place)
  local other = by_path[path]
  if other and (anchor == "" or other.anchors[anchor]) then
    return (other == page and "" or relative(page.target, other.target)) .. (anchor ~= "" and "#" .. anchor or "")
  elseif other then
    return complain("%s: %s has no heading for #%s", page.path, path, anchor)
  elseif read(path) then
    sources[path] = true
    return relative(page.target, path .. ".html")
  elseif not os.rename(path, path) then
    complain("%s: the file %s does not exist", page.path, path)
  end
end

local function add_links(page)
  page.html = page.html:gsub('<a href="([^"]*)"[^>]*>(.-)</a>', function(link, inner)
    if link:find "^mailto:" then
      return inner -- an address in an example, which is nobody's
    elseif link:find "^%a+:" then
      return nil
    end
    local href = href_of(page, (link:gsub("&amp;", "&")))
    local other = inner:find "^[%w_/%.-]+%.md$" and by_path[resolve(page.path, (link:gsub("#.*$", "")))]
    inner = other and escape(other.title) or inner -- in the site a page has a title, and no file name
    return href and ('<a href="%s">%s</a>'):format(escape(href), inner) or inner
  end)
end

local function link_in(lines, page, other)
  local current = page == other and ' aria-current="page"' or ""
  local href = relative(page.target, other.target)
  lines[#lines + 1] = ('<li><a href="%s"%s>%s</a>'):format(href, current, escape(other.title))
  if page == other then
    lines[#lines + 1] = "<ul>"
    for _, heading in ipairs(page.headings) do
      if heading.level == 2 then
        lines[#lines + 1] = ('<li><a href="#%s">%s</a></li>'):format(heading.anchor, escape(heading.title))
      end
    end
    lines[#lines + 1] = "</ul>"
  end
  lines[#lines + 1] = "</li>"
end

local function navigation(page)
  local lines = {}
  for _, group in ipairs(GROUPS) do
    lines[#lines + 1] = "<h2>" .. group[1] .. "</h2>\n<ul>"
    for _, path in ipairs(group[2]) do
      if by_path[path] then
        link_in(lines, page, by_path[path])
      end
    end
    lines[#lines + 1] = "</ul>"
  end
  return table.concat(lines, "\n")
end

-- On a narrow screen the navigation is closed until somebody opens it; on a wide one it stands open.
local FRAME = [[
<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>%s · heymarket for Lua</title>
<link rel="stylesheet" href="%s">
<nav>
<input type="checkbox" id="pages"><label for="pages">heymarket for Lua: all pages</label>
<div>
%s
</div>
</nav>
<main>
%s</main>
</html>
]]

local function write_page(page)
  local style = relative(page.target, "style.css")
  write(page.target, FRAME:format(escape(page.title), style, navigation(page), page.html))
end

-- Pages that no group names.
local named = {}
for _, group in ipairs(GROUPS) do
  for _, path in ipairs(group[2]) do
    named[path] = true
  end
end
for _, page in ipairs(pages) do
  if not named[page.path] then
    table.insert(GROUPS[OTHERS][2], page.path)
  end
end

run("rm -rf " .. quote(FOLDER))
write("style.css", STYLE)
for _, page in ipairs(pages) do
  add_links(page)
  write_page(page)
end
for path in pairs(sources) do
  local html = ("<h1>%s</h1>\n<pre><code>%s</code></pre>\n"):format(escape(path), escape(read(path)))
  write_page { path = path, target = path .. ".html", title = path, html = html }
end
print(("%s: %d pages"):format(FOLDER, #pages))
os.exit(problems == 0 and 0 or 1)
