-- Written by tools/rockspecs.lua: `make format` writes it anew.
rockspec_format = "3.0"
package = "heymarket"
version = "0.2.0-1"

-- The address is set at release (tools/source.lua). This one can lead nowhere.
source = { url = "git+https://address-is-set-at-release.invalid/heymarket.git", tag = "v0.2.0" }

description = {
  summary = "Heymarket batch contacts for Lua: each contact handed in comes back with exactly one outcome",
  detailed = [=[
    Validates contacts, signs and sends them in batches to the Heymarket API, and accounts for every one of them.
    Runs on Lua 5.1 to 5.4, LuaJIT and in nginx. The rock heymarket-cli has the command.
  ]=],
  labels = { "heymarket", "sms", "contacts", "import", "csv", "nginx" },
  license = "MIT",
}

supported_platforms = { "linux" }
dependencies = { "lua >= 5.1, < 5.5", "lua-cjson >= 2.1" }

-- LuaRocks looks for the libraries only: Debian keeps curl/curl.h where LuaRocks does not look, and the compiler does.
-- CURL_DIR and SODIUM_DIR name another place.
external_dependencies = { CURL = { library = "curl" }, SODIUM = { library = "sodium" } }

-- Not the type "builtin": it would install all files of lua/, the command among them.
build = {
  type = "make",
  build_target = "rock",
  build_variables = {
    CC = "$(CC)",
    CFLAGS = "$(CFLAGS)",
    LUA_INCDIR = "$(LUA_INCDIR)",
    INCDIRS = "$(CURL_INCDIR) $(SODIUM_INCDIR)",
    LIBDIRS = "$(CURL_LIBDIR) $(SODIUM_LIBDIR)",
  },
  install_pass = false,
  install = {
    lua = {
      ["heymarket.api.batch_contacts"] = "lua/heymarket/api/batch_contacts.lua",
      ["heymarket.api.endpoints"] = "lua/heymarket/api/endpoints.lua",
      ["heymarket.api.pages"] = "lua/heymarket/api/pages.lua",
      ["heymarket.bulk.bisect"] = "lua/heymarket/bulk/bisect.lua",
      ["heymarket.bulk.calls"] = "lua/heymarket/bulk/calls.lua",
      ["heymarket.bulk"] = "lua/heymarket/bulk/init.lua",
      ["heymarket.bulk.journal"] = "lua/heymarket/bulk/journal.lua",
      ["heymarket.bulk.lots"] = "lua/heymarket/bulk/lots.lua",
      ["heymarket.bulk.notes"] = "lua/heymarket/bulk/notes.lua",
      ["heymarket.bulk.order"] = "lua/heymarket/bulk/order.lua",
      ["heymarket.bulk.outcome"] = "lua/heymarket/bulk/outcome.lua",
      ["heymarket.bulk.record_log"] = "lua/heymarket/bulk/record_log.lua",
      ["heymarket.bulk.resume"] = "lua/heymarket/bulk/resume.lua",
      ["heymarket.bulk.source"] = "lua/heymarket/bulk/source.lua",
      ["heymarket.catalogue"] = "lua/heymarket/catalogue.lua",
      ["heymarket.catalogue_input"] = "lua/heymarket/catalogue_input.lua",
      ["heymarket.client"] = "lua/heymarket/client.lua",
      ["heymarket.contact.fields"] = "lua/heymarket/contact/fields.lua",
      ["heymarket.contact"] = "lua/heymarket/contact/init.lua",
      ["heymarket.contact.phone"] = "lua/heymarket/contact/phone.lua",
      ["heymarket.csv.columns"] = "lua/heymarket/csv/columns.lua",
      ["heymarket.csv.contacts"] = "lua/heymarket/csv/contacts.lua",
      ["heymarket.csv.dialect"] = "lua/heymarket/csv/dialect.lua",
      ["heymarket.csv.encoding"] = "lua/heymarket/csv/encoding.lua",
      ["heymarket.csv.header"] = "lua/heymarket/csv/header.lua",
      ["heymarket.csv"] = "lua/heymarket/csv/init.lua",
      ["heymarket.csv.input"] = "lua/heymarket/csv/input.lua",
      ["heymarket.csv.lines"] = "lua/heymarket/csv/lines.lua",
      ["heymarket.csv.objects"] = "lua/heymarket/csv/objects.lua",
      ["heymarket.csv.products"] = "lua/heymarket/csv/products.lua",
      ["heymarket.csv.reader"] = "lua/heymarket/csv/reader.lua",
      ["heymarket.csv.source"] = "lua/heymarket/csv/source.lua",
      ["heymarket.csv.writer"] = "lua/heymarket/csv/writer.lua",
      ["heymarket.failure"] = "lua/heymarket/failure.lua",
      ["heymarket.http.backlog"] = "lua/heymarket/http/backlog.lua",
      ["heymarket.http.credentials"] = "lua/heymarket/http/credentials.lua",
      ["heymarket.http.date"] = "lua/heymarket/http/date.lua",
      ["heymarket.http.events"] = "lua/heymarket/http/events.lua",
      ["heymarket.http.in_flight"] = "lua/heymarket/http/in_flight.lua",
      ["heymarket.http.outage"] = "lua/heymarket/http/outage.lua",
      ["heymarket.http.pace_memory"] = "lua/heymarket/http/pace_memory.lua",
      ["heymarket.http.pace_shared_dict"] = "lua/heymarket/http/pace_shared_dict.lua",
      ["heymarket.http.pacer"] = "lua/heymarket/http/pacer.lua",
      ["heymarket.http.permits"] = "lua/heymarket/http/permits.lua",
      ["heymarket.http.redact"] = "lua/heymarket/http/redact.lua",
      ["heymarket.http.response"] = "lua/heymarket/http/response.lua",
      ["heymarket.http.retry"] = "lua/heymarket/http/retry.lua",
      ["heymarket.http.sender"] = "lua/heymarket/http/sender.lua",
      ["heymarket.http.stop"] = "lua/heymarket/http/stop.lua",
      ["heymarket.http.token"] = "lua/heymarket/http/token.lua",
      ["heymarket.http.transport"] = "lua/heymarket/http/transport.lua",
      ["heymarket.http.try"] = "lua/heymarket/http/try.lua",
      heymarket = "lua/heymarket/init.lua",
      ["heymarket.loop.cqueues"] = "lua/heymarket/loop/cqueues.lua",
      ["heymarket.loop"] = "lua/heymarket/loop/init.lua",
      ["heymarket.loop.luv"] = "lua/heymarket/loop/luv.lua",
      ["heymarket.loop.mailbox"] = "lua/heymarket/loop/mailbox.lua",
      ["heymarket.loop.nginx"] = "lua/heymarket/loop/nginx.lua",
      ["heymarket.loop.nginx_reader"] = "lua/heymarket/loop/nginx_reader.lua",
      ["heymarket.loop.plain"] = "lua/heymarket/loop/plain.lua",
      ["heymarket.loop.seat"] = "lua/heymarket/loop/seat.lua",
      ["heymarket.loop.table"] = "lua/heymarket/loop/table.lua",
      ["heymarket.messages"] = "lua/heymarket/messages.lua",
      ["heymarket.option_kinds"] = "lua/heymarket/option_kinds.lua",
      ["heymarket.options"] = "lua/heymarket/options.lua",
      ["heymarket.regions"] = "lua/heymarket/regions.lua",
      ["heymarket.report"] = "lua/heymarket/report.lua",
      ["heymarket.runtime"] = "lua/heymarket/runtime.lua",
      ["heymarket.sandbox.answers"] = "lua/heymarket/sandbox/answers.lua",
      ["heymarket.sandbox.contacts"] = "lua/heymarket/sandbox/contacts.lua",
      ["heymarket.sandbox"] = "lua/heymarket/sandbox/init.lua",
      ["heymarket.sandbox.json"] = "lua/heymarket/sandbox/json.lua",
      ["heymarket.sandbox.options"] = "lua/heymarket/sandbox/options.lua",
      ["heymarket.sandbox.routes"] = "lua/heymarket/sandbox/routes.lua",
      ["heymarket.sandbox.script"] = "lua/heymarket/sandbox/script.lua",
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
    lib = {
      ["heymarket.core"] = "build/rock/heymarket/core.so",
      ["heymarket.rows"] = "build/rock/heymarket/rows.so",
      ["heymarket.system"] = "build/rock/heymarket/system.so",
    },
  },
}
