"""What the benchmarks share: where things are, the packages they need, and how our Lua is found."""
import os
import pathlib
import shutil
import subprocess
import sys

BENCH = pathlib.Path(__file__).resolve().parent
ROOT = BENCH.parent
BUILD = ROOT / "build" / "bench"
PYTHON = "/usr/bin/python3"  # Debian's, for which Debian's packages are
LUAS = {"lua5.4": "5.4", "luajit": "jit"}


def say(*words):
    print(*words, file=sys.stderr, flush=True)


def need(*packages):
    """Ends with 2 where Debian packages are missing, and says which."""
    def there(package):
        query = ["dpkg-query", "-W", "-f=${db:Status-Status}", package]
        return subprocess.run(query, capture_output=True, text=True).stdout == "installed"

    missing = [package for package in packages if not there(package)]
    # Other sources than Debian's bring npm with Node.
    if not shutil.which("npm"):
        missing += ["nodejs", "npm"]
    if missing:
        say("Missing Debian packages:", *missing)
        say("`make deps-bench` installs what the benchmarks need.")
        sys.exit(2)


def compile_c(name, *libraries):
    """Compiles bench/NAME.c unless that was done before; gives the program."""
    source, program = BENCH / f"{name}.c", BUILD / name
    if not program.exists() or program.stat().st_mtime < source.stat().st_mtime:
        flags = ["-std=c11", "-Wall", "-Wextra", "-O2"]
        subprocess.run(["gcc", *flags, "-o", program, source, *libraries], check=True)
    return str(program)


def lua_environment(lua):
    """The environment in which LUA finds our module in this tree."""
    return {
        "HEYMARKET_LUA": lua,
        "LUA_PATH": f"{ROOT}/lua/?.lua;{ROOT}/lua/?/init.lua;;",
        "LUA_CPATH": f"{ROOT}/build/{LUAS[lua]}/?.so;;",
    }


def built(lua):
    return (ROOT / "build" / LUAS[lua] / "heymarket" / "core.so").exists()


def clean_environment():
    """Ours without what would turn a peer aside: a proxy, or Lua's own search paths."""
    return {name: value for name, value in os.environ.items()
            if not name.lower().endswith("_proxy") and not name.startswith(("LUA_", "HEYMARKET_"))}
