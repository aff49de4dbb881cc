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
      sources = { "csrc/buffer.c", "csrc/core/callbacks.c", "csrc/core/curl_names.c", "csrc/core/date.c", "csrc/core/easy_options.c", "csrc/core/hold.c", "csrc/core/module.c", "csrc/core/multi.c", "csrc/core/pool.c", "csrc/core/pool_start.c", "csrc/core/request.c", "csrc/core/response_head.c", "csrc/core/result.c", "csrc/core/setup.c", "csrc/core/signer.c", "csrc/core/sigpipe.c", "csrc/core/sockets.c", "csrc/core/transfer.c", "csrc/core/verdict.c", "csrc/lua_compat.c" },
      libraries = { "curl", "sodium" },
    },
    ["heymarket.rows"] = {
      sources = { "csrc/buffer.c", "csrc/lua_compat.c", "csrc/rows/characters.c", "csrc/rows/encoder.c", "csrc/rows/hash.c", "csrc/rows/json_check.c", "csrc/rows/json_string.c", "csrc/rows/kinds.c", "csrc/rows/mistake.c", "csrc/rows/module.c", "csrc/rows/phone.c", "csrc/rows/visible.c" },
      libraries = { "sodium" },
    },
    ["heymarket.system"] = {
      sources = { "csrc/buffer.c", "csrc/lua_compat.c", "csrc/system/clock.c", "csrc/system/files.c", "csrc/system/module.c", "csrc/system/signals.c" },
      libraries = {},
    },
    ["heymarket.api.batch_contacts"] = "lua/heymarket/api/batch_contacts.lua",
    ["heymarket.api.endpoints"] = "lua/heymarket/api/endpoints.lua",
    ["heymarket.api.pages"] = "lua/heymarket/api/pages.lua",
    ["heymarket.bulk.bisect"] = "lua/heymarket/bulk/bisect.lua",
    ["heymarket.bulk.calls"] = "lua/heymarket/bulk/calls.lua",
    ["heymarket.bulk"] = "lua/heymarket/bulk/init.lua",
    ["heymarket.bulk.journal"] = "lua/heymarket/bulk/journal.lua",
    ["heymarket.bulk.notes"] = "lua/heymarket/bulk/notes.lua",
    ["heymarket.bulk.order"] = "lua/heymarket/bulk/order.lua",
    ["heymarket.bulk.outcome"] = "lua/heymarket/bulk/outcome.lua",
    ["heymarket.bulk.record_log"] = "lua/heymarket/bulk/record_log.lua",
    ["heymarket.bulk.resume"] = "lua/heymarket/bulk/resume.lua",
    ["heymarket.bulk.source"] = "lua/heymarket/bulk/source.lua",
    ["heymarket.catalogue"] = "lua/heymarket/catalogue.lua",
    ["heymarket.cli.commands"] = "lua/heymarket/cli/commands.lua",
    ["heymarket.cli.console"] = "lua/heymarket/cli/console.lua",
    ["heymarket.cli.failures"] = "lua/heymarket/cli/failures.lua",
    ["heymarket.cli.import"] = "lua/heymarket/cli/import.lua",
    ["heymarket.cli"] = "lua/heymarket/cli/init.lua",
    ["heymarket.cli.output_file"] = "lua/heymarket/cli/output_file.lua",
    ["heymarket.cli.parser"] = "lua/heymarket/cli/parser.lua",
    ["heymarket.cli.progress"] = "lua/heymarket/cli/progress.lua",
    ["heymarket.cli.reasons"] = "lua/heymarket/cli/reasons.lua",
    ["heymarket.cli.summary"] = "lua/heymarket/cli/summary.lua",
    ["heymarket.client"] = "lua/heymarket/client.lua",
    ["heymarket.contact.fields"] = "lua/heymarket/contact/fields.lua",
    ["heymarket.contact"] = "lua/heymarket/contact/init.lua",
    ["heymarket.contact.phone"] = "lua/heymarket/contact/phone.lua",
    ["heymarket.csv.contacts"] = "lua/heymarket/csv/contacts.lua",
    ["heymarket.csv.grammar"] = "lua/heymarket/csv/grammar.lua",
    ["heymarket.csv.header"] = "lua/heymarket/csv/header.lua",
    ["heymarket.csv"] = "lua/heymarket/csv/init.lua",
    ["heymarket.csv.reader"] = "lua/heymarket/csv/reader.lua",
    ["heymarket.csv.writer"] = "lua/heymarket/csv/writer.lua",
    ["heymarket.failure"] = "lua/heymarket/failure.lua",
    ["heymarket.http.date"] = "lua/heymarket/http/date.lua",
    ["heymarket.http.events"] = "lua/heymarket/http/events.lua",
    ["heymarket.http.in_flight"] = "lua/heymarket/http/in_flight.lua",
    ["heymarket.http.pace_memory"] = "lua/heymarket/http/pace_memory.lua",
    ["heymarket.http.pace_shared_dict"] = "lua/heymarket/http/pace_shared_dict.lua",
    ["heymarket.http.pacer"] = "lua/heymarket/http/pacer.lua",
    ["heymarket.http.redact"] = "lua/heymarket/http/redact.lua",
    ["heymarket.http.response"] = "lua/heymarket/http/response.lua",
    ["heymarket.http.retry"] = "lua/heymarket/http/retry.lua",
    ["heymarket.http.sender"] = "lua/heymarket/http/sender.lua",
    ["heymarket.http.stop"] = "lua/heymarket/http/stop.lua",
    ["heymarket.http.token"] = "lua/heymarket/http/token.lua",
    ["heymarket.http.transport"] = "lua/heymarket/http/transport.lua",
    ["heymarket.http.try"] = "lua/heymarket/http/try.lua",
    heymarket = "lua/heymarket/init.lua",
    ["heymarket.loop"] = "lua/heymarket/loop/init.lua",
    ["heymarket.loop.nginx"] = "lua/heymarket/loop/nginx.lua",
    ["heymarket.loop.plain"] = "lua/heymarket/loop/plain.lua",
    ["heymarket.messages"] = "lua/heymarket/messages.lua",
    ["heymarket.option_kinds"] = "lua/heymarket/option_kinds.lua",
    ["heymarket.options"] = "lua/heymarket/options.lua",
    ["heymarket.report"] = "lua/heymarket/report.lua",
    ["heymarket.runtime"] = "lua/heymarket/runtime.lua",
    ["heymarket.sandbox.answers"] = "lua/heymarket/sandbox/answers.lua",
    ["heymarket.sandbox.contacts"] = "lua/heymarket/sandbox/contacts.lua",
    ["heymarket.sandbox"] = "lua/heymarket/sandbox/init.lua",
    ["heymarket.sandbox.json"] = "lua/heymarket/sandbox/json.lua",
    ["heymarket.sandbox.nginx"] = "lua/heymarket/sandbox/nginx.lua",
    ["heymarket.sandbox.nginx_conf"] = "lua/heymarket/sandbox/nginx_conf.lua",
    ["heymarket.sandbox.options"] = "lua/heymarket/sandbox/options.lua",
    ["heymarket.sandbox.routes"] = "lua/heymarket/sandbox/routes.lua",
    ["heymarket.sandbox.script"] = "lua/heymarket/sandbox/script.lua",
    ["heymarket.sandbox.server"] = "lua/heymarket/sandbox/server.lua",
    ["heymarket.sandbox.token"] = "lua/heymarket/sandbox/token.lua",
    ["heymarket.sandbox.transport"] = "lua/heymarket/sandbox/transport.lua",
    ["heymarket.types"] = "lua/heymarket/types.lua",
    ["heymarket.util.edit_mark"] = "lua/heymarket/util/edit_mark.lua",
    ["heymarket.util.fifo"] = "lua/heymarket/util/fifo.lua",
    ["heymarket.util.format"] = "lua/heymarket/util/format.lua",
    ["heymarket.util.json"] = "lua/heymarket/util/json.lua",
    ["heymarket.util.spelling"] = "lua/heymarket/util/spelling.lua",
    ["heymarket.util.text"] = "lua/heymarket/util/text.lua",
  },
  install = { bin = { heymarket = "lua/bin/heymarket" } },
}
