-- The module runs on every Lua from 5.1 to 5.4: only what all of them share is taken for granted.
std = "min"
self = false -- the methods of seams keep their shape, whether they need the object or not
max_line_length = 120
files["lua/heymarket/util/json.lua"] = { read_globals = { math = { fields = { "type", "tointeger" }, other_fields = true } } }
files["lua/heymarket/loop/nginx*.lua"] = { std = "min+ngx_lua" }
files["spec"] = { std = "min+busted" }
files["spec/live/nginx"] = { std = "min+busted+ngx_lua" }
files["bench"] = { std = "max" }
files["tools"] = { std = "max" }
files["tools/coverage_hook.lua"] = { ignore = { "122" } } -- watches os.exit and coroutines
exclude_files = { "build", "node_modules", "bench/node_modules" }
-- Functions without bodies, for editors.
files["doc/luacats"] = { unused_args = false, ignore = { "241" } }
