-- Written by tools/rockspecs.lua: `make format` writes it anew.
rockspec_format = "3.0"
package = "heymarket-cli"
version = "scm-1"

-- The address is set at release (tools/source.lua). This one can lead nowhere.
source = { url = "git+https://address-is-set-at-release.invalid/heymarket.git", branch = "main" }

description = {
  summary = "The heymarket command: imports CSV files of contacts, and serves a sandbox of the Heymarket API",
  detailed = [=[
    heymarket import, check, token and sandbox. The sandbox is served by an nginx with its Lua module, which has to be
    installed beside it.
  ]=],
  labels = { "heymarket", "contacts", "import", "csv", "commandline" },
  license = "MIT",
}

supported_platforms = { "linux" }
dependencies = { "lua >= 5.1, < 5.5", "heymarket == scm-1", "argparse >= 0.7" }

build = {
  type = "none",
  install = {
    lua = {
      ["heymarket.cli.columns"] = "lua/heymarket/cli/columns.lua",
      ["heymarket.cli.command_line"] = "lua/heymarket/cli/command_line.lua",
      ["heymarket.cli.commands"] = "lua/heymarket/cli/commands.lua",
      ["heymarket.cli.console"] = "lua/heymarket/cli/console.lua",
      ["heymarket.cli.dry_run"] = "lua/heymarket/cli/dry_run.lua",
      ["heymarket.cli.failures"] = "lua/heymarket/cli/failures.lua",
      ["heymarket.cli.failures_lines"] = "lua/heymarket/cli/failures_lines.lua",
      ["heymarket.cli.forecast"] = "lua/heymarket/cli/forecast.lua",
      ["heymarket.cli.import"] = "lua/heymarket/cli/import.lua",
      ["heymarket.cli"] = "lua/heymarket/cli/init.lua",
      ["heymarket.cli.output_file"] = "lua/heymarket/cli/output_file.lua",
      ["heymarket.cli.parser"] = "lua/heymarket/cli/parser.lua",
      ["heymarket.cli.progress"] = "lua/heymarket/cli/progress.lua",
      ["heymarket.cli.reasons"] = "lua/heymarket/cli/reasons.lua",
      ["heymarket.cli.summary"] = "lua/heymarket/cli/summary.lua",
      ["heymarket.sandbox.nginx"] = "lua/heymarket/sandbox/nginx.lua",
      ["heymarket.sandbox.nginx_conf"] = "lua/heymarket/sandbox/nginx_conf.lua",
      ["heymarket.sandbox.server"] = "lua/heymarket/sandbox/server.lua",
    },
    bin = { heymarket = "lua/bin/heymarket" },
  },
}
