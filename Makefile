# heymarket: `make help` lists what there is to do.

ALL_LUAS = 5.4 jit 5.1 5.2 5.3
LUAS = $(ALL_LUAS)
ODD_LUAS = $(filter-out $(ALL_LUAS),$(LUAS))
$(if $(ODD_LUAS),$(error LUAS=$(ODD_LUAS): not one of $(sort $(ALL_LUAS)) (jit is LuaJIT)))
# What `make test` runs; with LUAS given, only these.
RUNS = $(if $(filter command,$(firstword $(origin LUAS))),$(LUAS),$(LUAS) asan tsan valgrind lint rocks deb demo fuzz)
SPECS =
CHECK_LUA = $(if $(filter command,$(firstword $(origin LUAS))),$(firstword $(LUAS)),5.4)
# The Luas to build for these runs. Specs that start nginx, which has LuaJIT, or the command in Lua 5.4 say so by name.
STARTING_SPECS = $(if $(SPECS),$(shell grep -sliE 'nginx|sandbox|lua5\.4|luajit' $(SPECS)),all)
TEST_LUAS = $(sort $(filter 5.1 5.2 5.3 5.4 jit,$(RUNS)) $(if $(filter asan tsan valgrind,$(RUNS)),5.4) \
  $(if $(filter demo fuzz,$(RUNS)),5.4 jit) $(if $(filter-out lint rocks deb,$(RUNS)),$(if $(STARTING_SPECS),5.4 jit)))
# How long each fuzzer of `make fuzz` runs; FUZZERS="csv json_text" for only these.
SECONDS = 60
FUZZERS =
# What `make soak` does to imports, under each of two Luas.
KILLS = 1000
CUTS = 200
PREFIX = /usr/local
# The first runs the command. Debian's nginx, which serves the sandbox, has LuaJIT.
INSTALL_LUAS = $(if $(filter command,$(firstword $(origin LUAS))),$(LUAS),5.4 jit)

CC = cc
CXX = c++
CFLAGS = -O2 -g
WARNINGS = -Wall -Wextra -Wformat=2
HARDENING = -D_FORTIFY_SOURCE=2 -fstack-protector-strong
MODULE_CFLAGS = -std=c11 -fPIC -fvisibility=hidden $(WARNINGS)
MODULE_CXXFLAGS = -std=c++14 -fPIC -fvisibility=hidden -fvisibility-inlines-hidden $(WARNINGS)
MODULE_LDFLAGS = -shared -Wl,-z,relro,-z,now
SANITIZE = -O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=undefined

# `make V=1` shows each command.
Q = $(if $(V),,@)
SAY = @$(if $(V),:,echo)

# Each module is a shared object with the sources of its folder, the common ones, and the libraries that it needs.
MODULES = core rows system
LIBRARIES_core = libcurl libsodium
LIBRARIES_rows = libsodium
LIBRARIES_system =
LIBRARIES = $(sort $(foreach module,$(MODULES),$(LIBRARIES_$(module))))
COMMON_SOURCES = $(wildcard csrc/*.c)
sources_of = $(wildcard csrc/$(1)/*.c) $(COMMON_SOURCES)
libraries_of = $(if $(LIBRARIES_$(1)),$$(shell pkg-config --libs $(LIBRARIES_$(1))))
SOURCES = $(COMMON_SOURCES) $(foreach module,$(MODULES),$(wildcard csrc/$(module)/*.c))
# heymarket.phonenumber is built where libphonenumber is found. It has no pkg-config file everywhere, so a program is compiled.
PHONENUMBER_SOURCES = csrc/phonenumber/module.c csrc/phonenumber/reader.cpp
PHONENUMBER_LIBRARY = -lphonenumber
has_phonenumber = sh .ci/has-phonenumber "$(CXX)"
HEADERS = $(wildcard csrc/*.h csrc/*/*.h)
NATIVE = $(foreach lua,$(LUAS),$(MODULES:%=build/$(lua)/heymarket/%.so))

# The pkg-config name and the Debian packages of each Lua.
pc_of = $(if $(filter jit,$(1)),luajit,lua$(1))
# For heymarket.phonenumber, which `make build` leaves out where they are missing.
PHONENUMBER_NEEDS = g++=g++ libphonenumber-dev

dev_5.1 = lua5.1.pc=liblua5.1-0-dev
dev_5.2 = lua5.2.pc=liblua5.2-dev
dev_5.3 = lua5.3.pc=liblua5.3-dev
dev_5.4 = lua5.4.pc=liblua5.4-dev
dev_jit = luajit.pc=libluajit2-5.1-dev
lua_5.1 = lua5.1
lua_5.2 = lua5.2
lua_5.3 = lua5.3
lua_5.4 = lua5.4
lua_jit = luajit=luajit2

BUILD_NEEDS = $(CC)=gcc pkg-config=pkg-config libc6-dev libcurl.pc=libcurl4-openssl-dev \
  libsodium.pc=libsodium-dev $(foreach lua,$(LUAS),$(dev_$(lua)))
RUN_NEEDS = $(foreach lua,$(LUAS),$(lua_$(lua))) lua-cjson lua-argparse
SERVE_NEEDS = nginx libnginx-mod-http-lua python3=python3
# Beside what every Debian has (coreutils, util-linux, mount). The locales are for a decimal comma, LPeg for an oracle.
TEST_NEEDS = $(SERVE_NEEDS) lua-busted lua-lpeg curl=curl openssl=openssl locales valgrind=valgrind libc6-dbg \
  git=git dpkg-dev zip=zip unzip=unzip \
  lua-luv lua-cqueues lua-socket $(PHONENUMBER_NEEDS)
# npm brings StyLua.
LINT_NEEDS = lua5.4 gcc=gcc luacheck=lua-check clang=clang clang-format=clang-format cppcheck=cppcheck \
  shellcheck=shellcheck pyflakes3=pyflakes3 npm=npm
ROCKS_NEEDS = $(PHONENUMBER_NEEDS) luarocks=luarocks zip=zip unzip=unzip $(dev_5.1) $(dev_5.4) $(lua_5.1) $(lua_5.4) $(lua_jit)
# dpkg-buildpackage refuses to build without build-essential.
DEB_NEEDS = libphonenumber-dev build-essential dpkg-buildpackage=dpkg-dev dh=debhelper lintian=lintian $(dev_5.1) $(dev_5.2) $(dev_5.3) $(dev_5.4)
RELEASE_NEEDS = lua5.4 git=git zip=zip
FUZZ_NEEDS = lua5.4 luajit=luajit2 liblua5.4-dev clang=clang libclang-rt-dev

# Debian's own Python, for which Debian's packages are. The peers of bench/ have these.
BENCH_NEEDS = python3 python3-jwt python3-requests lua-luaossl lua-socket golang-go node=nodejs npm=npm wrk=wrk gcc=gcc \
  libc6-dev libsodium-dev libcurl4-openssl-dev

# The parts of what is needed. DEPS=check says what is missing, DEPS=install installs it.
PARTS = build run phonenumber serve test lint rocks deb release fuzz bench
DEPS = check

.PHONY: help build test check coverage demo lint format fuzz soak bench install uninstall deb release deps clean
.PHONY: rock $(MODULES:%=rock-%) rock-phonenumber ready native native-phonenumber native-phonenumber-asan native-asan native-tsan native-coverage fuzzers $(PARTS:%=needs-%) $(PARTS:%=deps-%)
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

help: ## list the targets
	@echo "make TARGET [LUAS=\"5.4 jit\"]"
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  \1|\2/p' Makefile | awk -F'|' '{ printf "%-12s %s\n", $$1, $$2 }'

build: ## compile the C modules for every Lua, into build/<lua>/, and make build/bin/heymarket
	@echo "build: the C modules for Lua $(LUAS)"
	@$(MAKE) -j2 native build/bin/heymarket LUAS="$(LUAS)"

test: ## install what is missing, and run all checks; a part with RUNS="5.4 asan", SPECS=spec/csv_spec.lua, LUAS=5.4
	@echo "test: $(RUNS)"
	@sh .ci/specs $(SPECS)
	@$(MAKE) ready RUNS="$(RUNS)" LUAS="$(TEST_LUAS)" DEPS=install
	@python3 .ci/test --runs "$(RUNS)" --specs "$(SPECS)"

check: needs-lint ## the quick checks before a commit: one build, lint, and the specs that need no sockets
	@echo "check: lint, and the fast specs under Lua $(CHECK_LUA)"
	@$(MAKE) ready RUNS="$(CHECK_LUA)" LUAS="$(CHECK_LUA)" TEST_LUAS=
	@python3 .ci/test --fast --runs "lint $(CHECK_LUA)"

coverage: ## print which part of each C and Lua file the fast specs run (SPECS=spec/csv_spec.lua for other specs)
	@echo "coverage: of C by gcov, of Lua by a hook, under Lua 5.4"
	@sh .ci/specs $(SPECS)
	@$(MAKE) needs-build needs-run needs-test native-coverage LUAS=5.4
	@python3 tools/coverage.py $(SPECS)

demo: ## install what is missing, import 5,200 contacts into the sandbox over HTTP, and compare what it then holds
	@echo "demo: import a CSV file over HTTP"
	@$(MAKE) needs-build needs-run needs-serve needs-phonenumber LUAS="5.4 jit" DEPS=install
	@$(MAKE) build LUAS="5.4 jit"
	@CSV="$(CSV)" sh examples/demo.sh

lint: needs-lint needs-build ## check style and look for mistakes, without running anything
	@echo "lint: Lua, C, Python and shell sources"
	@sh .ci/lint

format: needs-lint ## bring the sources into their format
	@echo "format: Lua and C sources"
	@sh .ci/lint format

# The documents. Lint builds them, too.
DOC_NEEDS = lua5.4 cmark-gfm=cmark-gfm
LINT_NEEDS += $(DOC_NEEDS)
PARTS += doc
.PHONY: doc reference needs-doc deps-doc

doc: needs-doc ## write the documents as a site, into build/doc, and name dead links
	@echo "doc: README.md and doc/ as HTML"
	@lua5.4 tools/site.lua build/doc

reference: ## write doc/reference.md and the codes in doc/errors.md anew, from the sources
	@echo "reference: doc/reference.md, doc/errors.md"
	@lua5.4 tools/reference.lua

needs-doc:
	@.ci/deps $(DEPS) $(DOC_NEEDS)

fuzz: ## feed damaged input to whatever reads foreign bytes (SECONDS=60 each, FUZZERS="csv journal")
	@echo "fuzz: $(SECONDS) s each"
	@$(MAKE) build needs-run fuzzers LUAS="5.4 jit"
	@sh .ci/fuzz $(SECONDS) $(FUZZERS)

soak: ## kill imports and cut the power at random (KILLS=1000 CUTS=200), then fuzz for SECONDS=3600 each
	@echo "soak: $(KILLS) kills and $(CUTS) power cuts under Lua 5.4 and LuaJIT, then the fuzzers"
	@$(MAKE) build needs-run needs-test LUAS="5.4 jit"
	@python3 tools/soak.py --kills $(KILLS) --cuts $(CUTS) --lua lua5.4
	@python3 tools/soak.py --kills $(KILLS) --cuts $(CUTS) --lua luajit
	@$(MAKE) fuzz SECONDS=$(if $(filter command,$(origin SECONDS)),$(SECONDS),3600)

bench: build needs-run needs-serve needs-bench ## count calls from file to file; measure signing, importing, and a handler in nginx
	@echo "bench: calls from file to file, signing, importing, and a handler in nginx"
	@lua5.4 tools/count_calls.lua
	@bench/signing
	@bench/run
	@bench/nginx

install: ## put modules and command below PREFIX (LUAS="5.4 5.1" for other Luas; DESTDIR)
	@echo "install: below $(DESTDIR)$(PREFIX) for Lua $(INSTALL_LUAS)"
	@$(MAKE) build LUAS="$(INSTALL_LUAS)"
	@sh .ci/install install "$(DESTDIR)" "$(PREFIX)" $(INSTALL_LUAS)

uninstall: ## remove what install put there
	@echo "uninstall: from $(DESTDIR)$(PREFIX)"
	@sh .ci/install uninstall "$(DESTDIR)" "$(PREFIX)" $(INSTALL_LUAS)

deb: needs-build needs-deb ## build the Debian packages, into build/deb
	@echo "deb: into build/deb"
	@sh .ci/deb build/deb

release: needs-release ## check what a release needs, and make its rocks (VERSION=1.2.3); WRITE=1 writes the version into the files
	@lua5.4 tools/release.lua "$(VERSION)" $(if $(WRITE),write)

clean: ## remove build/, and what luarocks make leaves in the tree
	@echo "clean: remove what was built"
	@rm -rf build heymarket csrc/*.o csrc/*/*.o

deps: ## install the Debian packages that all targets need; deps-build, deps-lint and so on for a part
	@$(MAKE) $(PARTS:%=needs-%) DEPS=install
$(PARTS:%=deps-%): deps-%:
	@$(MAKE) needs-$* DEPS=install

# These run every time: they cost a few milliseconds.
needs-build:
	@.ci/deps $(DEPS) $(BUILD_NEEDS)
needs-run:
	@.ci/deps $(DEPS) $(RUN_NEEDS)
needs-phonenumber:
	@.ci/deps $(DEPS) $(PHONENUMBER_NEEDS)
needs-serve:
	@.ci/deps $(DEPS) $(SERVE_NEEDS)
needs-test:
	@.ci/deps $(DEPS) $(TEST_NEEDS)
needs-lint:
	@.ci/deps $(DEPS) $(LINT_NEEDS)
needs-bench:
	@.ci/deps $(DEPS) $(BENCH_NEEDS)
needs-fuzz:
	@.ci/deps $(DEPS) $(FUZZ_NEEDS)
needs-rocks:
	@.ci/deps $(DEPS) $(ROCKS_NEEDS)
needs-release:
	@.ci/deps $(DEPS) $(RELEASE_NEEDS)
needs-deb:
	@.ci/deps $(DEPS) $(DEB_NEEDS)

# All that the checks need, short of running them. The build looks for libphonenumber, so that comes first.
ready:
	@$(if $(filter install,$(DEPS)),$(MAKE) needs-build needs-phonenumber)
	@$(MAKE) build LUAS="$(LUAS)"
	@$(if $(filter lint,$(RUNS)),$(MAKE) needs-lint needs-build LUAS="$(ALL_LUAS)")
	@$(MAKE) needs-run needs-test $(if $(filter rocks,$(RUNS)),needs-rocks) $(if $(filter deb,$(RUNS)),needs-deb) \
	  $(if $(filter asan,$(RUNS)),native-asan) $(if $(filter tsan,$(RUNS)),native-tsan) $(if $(filter fuzz,$(RUNS)),fuzzers) LUAS="$(LUAS)"

native: $(NATIVE) native-phonenumber

# The parts that need libphonenumber, where it is.
native-phonenumber: | needs-build
	@if $(has_phonenumber); then \
	  $(MAKE) $(foreach lua,$(LUAS),build/$(lua)/heymarket/phonenumber.so) \
	    $(if $(wildcard spec/support/phone_examples.cpp),build/phone_examples) LUAS="$(LUAS)"; \
	else \
	  echo "  without heymarket.phonenumber (default_country = \"DE\"): libphonenumber is not found"; \
	fi

define phonenumber_rules
build/$(1)/obj/phonenumber/reader.o: csrc/phonenumber/reader.cpp $(HEADERS) Makefile
	@mkdir -p $$(@D)
	$(SAY) "  compile $$@"
	$(Q)$(CXX) $(MODULE_CXXFLAGS) $(HARDENING) $(CXXFLAGS) -c -o $$@ $$<
build/$(1)/heymarket/phonenumber.so: build/$(1)/obj/phonenumber/reader.o build/$(1)/obj/phonenumber/module.o \
    $(patsubst csrc/%.c,build/$(1)/obj/%.o,$(COMMON_SOURCES))
	@mkdir -p $$(@D)
	$(SAY) "  link    $$@"
	$(Q)$(CXX) $(MODULE_LDFLAGS) $(LDFLAGS) -o $$@.new $$^ $(PHONENUMBER_LIBRARY)
	@mv $$@.new $$@
endef
$(foreach lua,$(LUAS),$(eval $(call phonenumber_rules,$(lua))))

# Prints the example number of each region, for spec/region_spec.lua.
build/phone_examples: spec/support/phone_examples.cpp Makefile
	@mkdir -p $(@D)
	$(SAY) "  compile $@"
	$(Q)$(CXX) -std=c++14 $(WARNINGS) -O1 -o $@.new $< $(PHONENUMBER_LIBRARY)
	@mv $@.new $@

# For one Lua: its objects, and its module of this name.
define object_rules
build/$(1)/obj/%.o: csrc/%.c $(HEADERS) Makefile | needs-build
	@mkdir -p $$(@D)
	$(SAY) "  compile $$@"
	$(Q)$(CC) $(MODULE_CFLAGS) $(HARDENING) $(CFLAGS) $$(shell pkg-config --cflags $(call pc_of,$(1)) $(LIBRARIES)) -c -o $$@ $$<
endef
define module_rules
build/$(1)/heymarket/$(2).so: $(patsubst csrc/%.c,build/$(1)/obj/%.o,$(call sources_of,$(2)))
	@mkdir -p $$(@D)
	$(SAY) "  link    $$@"
	$(Q)$(CC) $(MODULE_LDFLAGS) $(LDFLAGS) -o $$@.new $$^ $(call libraries_of,$(2))
	@mv $$@.new $$@
endef
$(foreach lua,$(LUAS),$(eval $(call object_rules,$(lua))))
$(foreach lua,$(LUAS),$(foreach module,$(MODULES),$(eval $(call module_rules,$(lua),$(module)))))

# What LuaRocks builds: the modules for one Lua, which it names with the other places by these variables. Each run builds
# anew, because the last one may have been for another Lua.
LUA_INCDIR =
INCDIRS =
LIBDIRS =
rock: $(MODULES:%=rock-%)
$(MODULES:%=rock-%): rock-%:
	@mkdir -p build/rock/heymarket
	$(CC) $(MODULE_CFLAGS) $(HARDENING) $(CFLAGS) $(MODULE_LDFLAGS) $(LDFLAGS) -o build/rock/heymarket/$*.so \
	  $(call sources_of,$*) -I$(LUA_INCDIR) $(sort $(INCDIRS:%=-I%)) \
	  $(sort $(foreach place,$(LIBDIRS),-L$(place) -Wl,-rpath,$(place))) $(patsubst lib%,-l%,$(LIBRARIES_$*))

rock-phonenumber:
	@mkdir -p build/rock/heymarket
	$(CC) $(MODULE_CFLAGS) $(HARDENING) $(CFLAGS) -I$(LUA_INCDIR) -c -o build/rock/module.o csrc/phonenumber/module.c
	$(CC) $(MODULE_CFLAGS) $(HARDENING) $(CFLAGS) -I$(LUA_INCDIR) -c -o build/rock/lua_compat.o csrc/lua_compat.c
	$(CXX) $(MODULE_CXXFLAGS) $(HARDENING) $(CFLAGS) $(sort $(INCDIRS:%=-I%)) $(MODULE_LDFLAGS) $(LDFLAGS) \
	  -o build/rock/heymarket/phonenumber.so csrc/phonenumber/reader.cpp build/rock/module.o build/rock/lua_compat.o \
	  $(sort $(foreach place,$(LIBDIRS),-L$(place) -Wl,-rpath,$(place))) $(PHONENUMBER_LIBRARY)

# The sanitizers' build, for Lua 5.4, and the wrapper that starts Lua with their library.
native-asan: $(MODULES:%=build/asan/heymarket/%.so) build/asan/lua5.4 native-phonenumber-asan

native-phonenumber-asan: | needs-build
	@! $(has_phonenumber) || $(MAKE) build/asan/heymarket/phonenumber.so

build/asan/heymarket/phonenumber.so: $(PHONENUMBER_SOURCES) $(COMMON_SOURCES) $(HEADERS) Makefile
	@mkdir -p $(@D) build/asan/obj
	$(SAY) "  compile $@"
	$(Q)for file in module:csrc/phonenumber/module.c $(foreach file,$(COMMON_SOURCES),$(basename $(notdir $(file))):$(file)); do \
	  $(CC) $(MODULE_CFLAGS) $(SANITIZE) $$(pkg-config --cflags lua5.4) -c -o build/asan/obj/$${file%%:*}.o $${file#*:} || exit 1; \
	done
	$(Q)$(CXX) $(MODULE_CXXFLAGS) $(SANITIZE) $(MODULE_LDFLAGS) -o $@.new csrc/phonenumber/reader.cpp \
	  build/asan/obj/module.o $(patsubst csrc/%.c,build/asan/obj/%.o,$(COMMON_SOURCES)) $(PHONENUMBER_LIBRARY)
	@mv $@.new $@

define asan_rules
build/asan/heymarket/$(1).so: $(call sources_of,$(1)) $(HEADERS) Makefile | needs-build needs-test
	@mkdir -p $$(@D)
	$(SAY) "  compile $$@"
	$(Q)$(CC) $(MODULE_CFLAGS) $(SANITIZE) $(MODULE_LDFLAGS) -o $$@.new $(call sources_of,$(1)) \
	  $$(shell pkg-config --cflags lua5.4 $(LIBRARIES)) $(call libraries_of,$(1))
	@mv $$@.new $$@
endef
$(foreach module,$(MODULES),$(eval $(call asan_rules,$(module))))

# A program with several Lua states under ThreadSanitizer; and the same without locks, about which it must complain.
native-tsan: build/tsan/race build/tsan/race-without-locks

RACE = $(CC) -std=c11 -D_GNU_SOURCE $(WARNINGS) -O1 -g -fsanitize=thread
build/tsan/race: spec/support/thread_race.c $(call sources_of,core) $(HEADERS) Makefile | needs-build
	@mkdir -p $(@D)
	$(SAY) "  compile $@"
	$(Q)$(RACE) -o $@ $(filter %.c,$^) $$(pkg-config --cflags --libs lua5.4 $(LIBRARIES_core))
build/tsan/race-without-locks: build/tsan/race spec/support/no_locks.h
	$(SAY) "  compile $@"
	$(Q)$(RACE) -w -include spec/support/no_locks.h -o $@ spec/support/thread_race.c $(call sources_of,core) \
	  $$(pkg-config --cflags --libs lua5.4 $(LIBRARIES_core))

# For `make coverage`: gcov counts the lines that run. Not optimised, so that each line keeps its code.
native-coverage: $(MODULES:%=build/coverage/heymarket/%.so)

define coverage_rules
build/coverage/heymarket/$(1).so: $(call sources_of,$(1)) $(HEADERS) Makefile | needs-build
	@mkdir -p $$(@D)
	$(SAY) "  compile $$@"
	$(Q)$(CC) $(MODULE_CFLAGS) -O0 -g --coverage $(MODULE_LDFLAGS) -o $$@ $(call sources_of,$(1)) \
	  $$(shell pkg-config --cflags lua5.4 $(LIBRARIES)) $(call libraries_of,$(1))
endef
$(foreach module,$(MODULES),$(eval $(call coverage_rules,$(module))))

build/asan/lua5.4: .ci/lua-asan spec/support/alone.c Makefile | needs-build
	@mkdir -p $(@D)
	$(SAY) "  compile build/asan/alone.so"
	$(Q)$(CC) $(WARNINGS) -O1 -shared -fPIC -o build/asan/alone.so spec/support/alone.c
	@ln -sf "$$(readlink -f "$$($(CC) -print-file-name=libasan.so)")" build/asan/libasan.so
	@cp $< $@
	@chmod +x $@

# The fuzzers that are C programs, each with all C modules under libFuzzer's eyes.
fuzzers: $(patsubst spec/fuzz/%.c,build/fuzz/%,$(wildcard spec/fuzz/*.c)) | needs-fuzz

build/fuzz/%: spec/fuzz/%.c $(wildcard spec/fuzz/*.h) $(SOURCES) $(HEADERS) Makefile | needs-build needs-fuzz
	@mkdir -p $(@D)
	$(SAY) "  compile $@"
	$(Q)clang -std=c11 $(WARNINGS) -O1 -g -fno-omit-frame-pointer -fsanitize=fuzzer,address,undefined \
	  -fno-sanitize-recover=undefined -o $@.new $< $(SOURCES) $(shell pkg-config --cflags --libs lua5.4 $(LIBRARIES))
	@mv $@.new $@

build/bin/heymarket: .ci/command-in-tree Makefile
	@mkdir -p $(@D)
	@cp $< $@
	@chmod +x $@
