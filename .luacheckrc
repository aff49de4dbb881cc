-- The module runs on every Lua from 5.1 to 5.4: only what all of them share is taken for granted.
std = "min"
max_line_length = 120
files["spec"] = { std = "min+busted" }
files["spec/nginx"] = { std = "min+busted+ngx_lua" }
files["bench"] = { std = "max" }
exclude_files = { "build", "node_modules", "bench/node_modules" }
