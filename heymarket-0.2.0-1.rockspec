rockspec_format = "3.0"
package = "heymarket"
version = "0.2.0-1"

-- For `luarocks make` in this tree. The address is of no use beyond it: the rock is not published.
source = { url = "git+file://." }

description = {
  summary = "Heymarket batch contacts for Lua: each contact handed in comes back with exactly one outcome",
  detailed = [[
    Validates contacts, signs and sends them in batches to the Heymarket API, and accounts for every one of them.
    Runs on Lua 5.1 to 5.4, LuaJIT and in nginx, and brings a `heymarket` command that imports CSV files.
  ]],
  license = "MIT",
  labels = { "heymarket", "sms", "contacts", "import", "csv", "nginx", "commandline" },
}

-- lua-cjson, lpeg and argparse are needed too, and left out on purpose. Debian's packages of them are not known to
-- LuaRocks: it would fetch and compile them again, or fail where it cannot. Without them `require` says what to install.
dependencies = { "lua >= 5.1, < 5.5" }

-- No external_dependencies: LuaRocks looks for curl/curl.h where Debian does not keep it, and would want variables.
-- The compiler finds it by itself, and says so where the development packages are missing.
build = {
  type = "builtin",
  modules = {
    ["heymarket.core"] = {
      sources = { "csrc/contact.c", "csrc/core.c", "csrc/http.c", "csrc/json.c", "csrc/response.c", "csrc/signer.c", "csrc/system.c", "csrc/text.c", "csrc/url.c" },
      libraries = { "curl", "sodium" },
    },
    ["heymarket.answer"] = "lua/heymarket/answer.lua",
    ["heymarket.cli.failures"] = "lua/heymarket/cli/failures.lua",
    ["heymarket.cli.import"] = "lua/heymarket/cli/import.lua",
    ["heymarket.cli"] = "lua/heymarket/cli/init.lua",
    ["heymarket.cli.progress"] = "lua/heymarket/cli/progress.lua",
    ["heymarket.cli.sandbox"] = "lua/heymarket/cli/sandbox.lua",
    ["heymarket.cli.summary"] = "lua/heymarket/cli/summary.lua",
    ["heymarket.client"] = "lua/heymarket/client.lua",
    ["heymarket.contact"] = "lua/heymarket/contact.lua",
    ["heymarket.csv"] = "lua/heymarket/csv.lua",
    ["heymarket.dispatch"] = "lua/heymarket/dispatch.lua",
    ["heymarket.engine"] = "lua/heymarket/engine.lua",
    ["heymarket.failure"] = "lua/heymarket/failure.lua",
    heymarket = "lua/heymarket/init.lua",
    ["heymarket.intake"] = "lua/heymarket/intake.lua",
    ["heymarket.journal"] = "lua/heymarket/journal.lua",
    ["heymarket.json"] = "lua/heymarket/json.lua",
    ["heymarket.options"] = "lua/heymarket/options.lua",
    ["heymarket.pacer"] = "lua/heymarket/pacer.lua",
    ["heymarket.phone"] = "lua/heymarket/phone.lua",
    ["heymarket.redact"] = "lua/heymarket/redact.lua",
    ["heymarket.report"] = "lua/heymarket/report.lua",
    ["heymarket.retry"] = "lua/heymarket/retry.lua",
    ["heymarket.sandbox.contacts"] = "lua/heymarket/sandbox/contacts.lua",
    ["heymarket.sandbox"] = "lua/heymarket/sandbox/init.lua",
    ["heymarket.sandbox.json"] = "lua/heymarket/sandbox/json.lua",
    ["heymarket.sandbox.nginx"] = "lua/heymarket/sandbox/nginx.lua",
    ["heymarket.sandbox.script"] = "lua/heymarket/sandbox/script.lua",
    ["heymarket.sandbox.server"] = "lua/heymarket/sandbox/server.lua",
    ["heymarket.sandbox.token"] = "lua/heymarket/sandbox/token.lua",
    ["heymarket.sandbox.transport"] = "lua/heymarket/sandbox/transport.lua",
    ["heymarket.text"] = "lua/heymarket/text.lua",
    ["heymarket.token"] = "lua/heymarket/token.lua",
    ["heymarket.transport"] = "lua/heymarket/transport.lua",
    ["heymarket.waiting"] = "lua/heymarket/waiting.lua",
  },
  install = { bin = { heymarket = "lua/bin/heymarket" } },
}
