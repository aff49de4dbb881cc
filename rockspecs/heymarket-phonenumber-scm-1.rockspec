-- Written by tools/rockspecs.lua: `make format` writes it anew.
rockspec_format = "3.0"
package = "heymarket-phonenumber"
version = "scm-1"

-- The address is set at release (tools/source.lua). This one can lead nowhere.
source = { url = "git+https://address-is-set-at-release.invalid/heymarket.git", branch = "main" }

description = {
  summary = "Phone numbers by region for heymarket, read by libphonenumber",
  detailed = [=[
    With this rock, default_country of heymarket can be a region, such as "DE".
  ]=],
  labels = { "heymarket", "phone", "contacts" },
  license = "MIT",
}

supported_platforms = { "linux" }
dependencies = { "lua >= 5.1, < 5.5", "heymarket == scm-1" }

-- Looked for as those of heymarket are. PHONENUMBER_DIR names another place. CXX names the compiler of C++.
external_dependencies = { PHONENUMBER = { library = "phonenumber" } }

build = {
  type = "make",
  build_target = "rock-phonenumber",
  build_variables = {
    CC = "$(CC)",
    CFLAGS = "$(CFLAGS)",
    LUA_INCDIR = "$(LUA_INCDIR)",
    INCDIRS = "$(PHONENUMBER_INCDIR)",
    LIBDIRS = "$(PHONENUMBER_LIBDIR)",
  },
  install_pass = false,
  install = { lib = { ["heymarket.phonenumber"] = "build/rock/heymarket/phonenumber.so" } },
}
