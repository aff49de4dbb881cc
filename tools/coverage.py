#!/usr/bin/env python3
"""Prints, for each file of lua/ and csrc/, how many of its lines the specs run: coverage.py [SPEC...].

Without names it runs the fast specs. With names it leaves out files of which no line ran. `make coverage` builds what it needs: the C modules for gcov, in build/coverage.
Lua is watched by a hook (tools/coverage_hook.lua), also in the processes that the specs start.
"""
import collections
import glob
import os
import re
import subprocess
import sys
import tempfile

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BUILD = "build/coverage"


def run_specs(specs, lines_file, folder):
    env = {name: value for name, value in os.environ.items() if not name.startswith(("LUA_", "HEYMARKET_"))}
    env.update(LUA_PATH=f"{TOP}/lua/?.lua;{TOP}/lua/?/init.lua;;", LUA_CPATH=f"{TOP}/{BUILD}/?.so;;", TMPDIR=folder,
               LUA_INIT=f"@{TOP}/tools/coverage_hook.lua", HEYMARKET_COVERAGE=lines_file, HEYMARKET_TEST_TMP=folder,
               HEYMARKET_TEST_LUA="lua5.4", HEYMARKET_TEST_RUN="5.4", HEYMARKET_TEST_FAST="1")
    failed = 0
    for spec in specs:
        totals = os.path.join(folder, "totals")
        env["HEYMARKET_TEST_TOTALS"] = totals
        process = subprocess.run(["lua5.4", "/usr/bin/busted", "-o", "spec/support/totals.lua", spec], env=env,
                                 stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if process.returncode:
            failed += 1
            print(f"{spec} failed:", process.stdout.decode(errors="replace")[-2000:], file=sys.stderr)
    return failed


def lua_coverage(lines_file):
    ran = collections.defaultdict(set)
    with open(lines_file, encoding="utf-8") as file:
        for entry in file:
            name, _, line = entry.rstrip().rpartition(":")
            ran[name].add(int(line))
    for path in sorted(glob.glob("lua/heymarket/**/*.lua", recursive=True)):
        listing = subprocess.run(["luac5.4", "-l", "-p", path], check=True, stdout=subprocess.PIPE).stdout.decode()
        lines = {int(line) for line in re.findall(r"(?m)^\t\d+\t\[(\d+)\]", listing)}
        yield path, len(lines), len(lines & ran[path])


def c_coverage():
    # A file that two modules share, or a header, is counted once: with the most lines that one of them ran.
    best = {}
    for data in sorted(glob.glob(BUILD + "/heymarket/*.gcno")):
        text = subprocess.run(["gcov", "-n", data], check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        found = re.findall(r"File '([^']*)'\n(?:Lines executed:([\d.]+)% of (\d+)|No executable lines)",
                           text.stdout.decode())
        for name, percent, lines in found:
            path = os.path.relpath(name, TOP)
            if lines and path.startswith("csrc/"):
                ran = round(float(percent) * int(lines) / 100)
                best[path] = max(best.get(path, (0, 0)), (ran, int(lines)))
    for path, (ran, lines) in sorted(best.items()):
        yield path, lines, ran


def show(rows, only_run):
    total = [0, 0]
    for path, lines, ran in rows:
        if only_run and not ran:
            continue
        total = [total[0] + lines, total[1] + ran]
        print(f"{path:44} {lines:6} {ran:6} {100 * ran / max(lines, 1):6.1f} %")
    if only_run and not total[0]:
        return
    print(f"{'together':44} {total[0]:6} {total[1]:6} {100 * total[1] / max(total[0], 1):6.1f} %")


def main():
    os.chdir(TOP)
    for old in glob.glob(BUILD + "/heymarket/*.gcda"):
        os.remove(old)
    specs = sys.argv[1:] or sorted(glob.glob("spec/*_spec.lua") + glob.glob("spec/behaviour/*_spec.lua"))
    with tempfile.TemporaryDirectory() as folder:
        lines_file = os.path.join(folder, "lines")
        failed = run_specs(specs, lines_file, folder)
        print(f"{'file':44} {'lines':>6} {'run':>6} {'share':>8}")
        show(lua_coverage(lines_file), only_run=sys.argv[1:])
        show(c_coverage(), only_run=sys.argv[1:])
    sys.exit(1 if failed else 0)


main()
