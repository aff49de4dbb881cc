#!/usr/bin/env python3
"""Kills imports and cuts the power at random moments, and compares what they report with what the server saw.

    tools/soak.py [--kills 1000] [--cuts 200] [--seed N] [--lua lua5.4]

Each import has a journal and a few hundred contacts, of which many have the phone of an earlier one with newer data.
The server loses answers, refuses requests and is slow. Again and again the process is killed (kill -9), or stopped, and
the same import is started once more. A power cut is a kill after which everything that had not reached the disk is cut
off, zeroed in parts or replaced by other bytes, and a file whose directory had not reached the disk may be gone.

Every report, of whichever run, is compared with the server's ledger. An untrue label is an error:
- accepted, and no answer covers the contact
- rejected and not ambiguous, and this very contact was created by an earlier request
- failed, unsent or invalid, and the server acted on it
- with overwrite, an older contact that replaced a newer one which is reported as accepted
- accepted or rejected in one report and something else in a later one, or sent again after such a report
"""

import argparse
import collections
import json
import os
import pathlib
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request

TOP = pathlib.Path(__file__).resolve().parent.parent
COUNT = 400
LIVES = 12  # of one import, before it may end
# Not through the proxy of the environment.
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Server:
    """spec/support/fault_server.py, which ends with its standard input."""

    def __init__(self):
        command = [sys.executable, str(TOP / "spec/support/fault_server.py")]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.url = "http://127.0.0.1:%d" % int(self.process.stdout.readline())

    def control(self, name, value=None):
        data = None if name == "ledger" else b"" if value is None else json.dumps(value).encode()
        with OPENER.open(self.url + "/_control/" + name, data) as answer:
            return json.load(answer)

    def close(self):
        self.process.stdin.close()
        self.process.wait()


class Ledger:
    """What the server did with each contact, which its name tells apart."""

    def __init__(self, raw, rows, overwrite):
        self.sent, self.acted, self.covered, self.listed = (collections.defaultdict(list) for _ in range(4))
        self.created, self.last = {}, {}
        number_of = {name: number for number, (_, name) in enumerate(rows, 1)}
        for position, request in enumerate(raw["requests"]):
            if not request.get("body"):
                continue
            try:
                contacts = json.loads(request["body"])
            except ValueError:
                continue  # the client died in the middle of it
            for contact in contacts:
                number, phone = number_of[contact["first"]], contact["phone"]
                self.sent[number].append(position)
                is_listed = phone in (request["listed"] or [])
                if is_listed:
                    self.listed[number].append(position)
                elif request["stored"]:
                    self.covered[number].append(position)
                if request["stored"] and (overwrite or phone not in self.created):
                    self.acted[number].append(position)
                    self.created.setdefault(phone, number)
                    self.last[phone] = number
        self.requests = len(raw["requests"])


class Import:
    """One import, from its first run to its end."""

    def __init__(self, soak, number):
        self.soak, self.random = soak, soak.random
        self.overwrite = number % 2 == 0
        self.folder = pathlib.Path(soak.folder, "import%d" % number)
        self.folder.mkdir()
        self.journal, self.state = self.folder / "journal", soak.folder / ("state%d" % number)
        self.rows = self.make_rows()
        self.rows_path = soak.folder / ("rows%d.json" % number)
        self.rows_path.write_text(json.dumps(self.rows))
        self.known, self.reported_at = {}, {}
        self.life = 0

    def make_rows(self):
        rows = []
        for number in range(1, COUNT + 1):
            phone = "1%010d" % (2000000000 + number)
            if self.random.random() < 0.03:
                phone = "none"
            elif rows and self.random.random() < 0.25:
                phone = self.random.choice(rows[-60:])[0]
            rows.append((phone, "Name %d" % number))
        return rows

    def steps(self):
        """What the next requests meet."""
        faults = [
            {"fault": "reset_after_read", "process": "all"},
            {"fault": "reset_after_read", "process": "none"},
            {"fault": "reset_before_read"},
            {"fault": "not_json", "process": "all"},
            {"status": 503},
            {"status": 500, "process": "all"},
            {"status": 422},
        ]
        faults += [{"status": 429, "headers": {"Retry-After": "0"}}] * 4
        steps = []
        for _ in range(self.random.randrange(80)):
            step = dict(self.random.choice(faults)) if self.random.random() < 0.25 else {}
            step.update(keep_body=True, delay=self.random.random() * 0.02)
            steps.append(step)
        return steps

    def run(self, stop_after=None, kill_after=None):
        """One run: what it printed, or None where it was killed."""
        self.life += 1
        options = {"url": self.soak.server.url, "journal": str(self.journal), "rows": str(self.rows_path),
                   "overwrite": self.overwrite, "life": self.life, "max_attempts": self.random.choice([1, 1, 2])}
        if stop_after is not None:
            options["stop_after"] = stop_after
        env = dict(self.soak.env, DISK_FILE=str(self.journal), DISK_STATE=str(self.state))
        command = [self.soak.lua, "spec/support/soak_worker.lua", json.dumps(options)]
        process = subprocess.Popen(command, cwd=TOP, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        try:
            out, _ = process.communicate(timeout=kill_after)
        except subprocess.TimeoutExpired:
            process.kill()
            out, _ = process.communicate()
        line = out.decode("utf-8", "replace").strip()
        if process.returncode == -9:
            return None
        if process.returncode != 0 or not line.startswith("{"):
            self.lie("the import ended with %r: %s" % (process.returncode, line))
            return None
        return collections.defaultdict(lambda: None, json.loads(line))

    def cut_power(self):
        """Leave of the journal what a power cut might leave."""
        if not self.journal.exists():
            return
        text = bytearray(self.journal.read_bytes())
        safe, named = 0, False
        if self.state.exists():
            words = self.state.read_text().split()
            safe, named = min(int(words[0]), len(text)), words[1] == "1"
        if not named and self.random.random() < 0.5:
            self.journal.unlink()
            self.state.unlink(missing_ok=True)
            return
        for _ in range(self.random.randrange(3)):
            if safe < len(text):
                start = self.random.randrange(safe, len(text))
                end = self.random.randrange(start, len(text)) + 1
                text[start:end] = bytes(end - start) if self.random.random() < 0.7 else self.random.randbytes(end - start)
        if self.random.random() < 0.5:
            del text[self.random.randrange(safe, len(text) + 1):]
        self.journal.write_bytes(text)
        self.state.write_text("%20d 1\n" % len(text))

    def lie(self, what):
        self.soak.lies += 1
        how = "with" if self.overwrite else "without"
        print("UNTRUE (seed %d, %s overwrite, run %d, %s): %s" % (self.soak.seed, how, self.life, self.journal, what),
              flush=True)

    def check(self, made):
        """Compare a report with the ledger."""
        ledger = Ledger(self.soak.server.control("ledger"), self.rows, self.overwrite)
        if made["total"] is None:
            self.lie("no report: %s" % made["failure"])
            return
        if made["finished"] and made["total"] != COUNT:
            self.lie("%d contacts are reported instead of %d" % (made["total"], COUNT))
        labels = {number: ("accepted", False, None) for number in range(1, made["total"] + 1)}
        for item in made["items"]:
            if labels[item["index"]][0] != "accepted":
                self.lie("contact %d has two outcomes" % item["index"])
            labels[item["index"]] = (item["outcome"], item["ambiguous"], item.get("reason"))
        if made["accepted"] != sum(outcome == "accepted" for outcome, _, _ in labels.values()):
            self.lie("the counts do not add up")
        for number, label in labels.items():
            problem = self.check_label(number, label, ledger)
            if problem:
                self.lie("contact %d (%s) is %s: %s" % (number, self.rows[number - 1][0], label, problem))
            self.soak.labels[label[0] + (" (superseded)" if label[2] == "superseded" else "")
                             + (" (ambiguous)" if label[1] else "")] += 1
            if label[0] in ("accepted", "rejected"):
                self.known[number], self.reported_at[number] = label, ledger.requests
        if self.overwrite:
            self.check_order(labels, ledger)

    def check_label(self, number, label, ledger):
        outcome, ambiguous, _ = label
        phone = self.rows[number - 1][0]
        if (outcome == "invalid") != (phone == "none"):
            return "its phone is " + phone
        if number in self.known and self.known[number] != label:
            return "an earlier report said %s" % (self.known[number],)
        again = [position for position in ledger.sent[number] if position >= self.reported_at.get(number, ledger.requests)]
        if again:
            return "it was sent again after a report said what became of it"
        if outcome == "accepted" and not ledger.covered[number]:
            return "no answer covers it"
        if outcome == "rejected" and not ledger.listed[number]:
            return "no answer lists it"
        if outcome == "rejected" and not ambiguous and not self.overwrite and ledger.created.get(phone) == number:
            return "this import created it"
        if outcome in ("failed", "unsent", "invalid") and ledger.acted[number]:
            return "the server acted on it"
        return None

    def check_order(self, labels, ledger):
        newest = {}
        for number, (outcome, _, _) in labels.items():
            if outcome == "accepted":
                newest[self.rows[number - 1][0]] = number
        for phone, number in newest.items():
            if ledger.last.get(phone, 0) < number:
                self.lie("the account holds contact %s of phone %s, and %d is newer and accepted"
                         % (ledger.last.get(phone), phone, number))

    def go(self):
        soak, server = self.soak, self.soak.server
        server.control("reset")
        for _ in range(LIVES):
            server.control("default", {"keep_body": True, "delay": 0.004})
            server.control("script", self.steps())
            stop_after, kill_after = None, None
            end = self.random.random()
            if end < 0.15:
                stop_after = self.random.randrange(COUNT)
            elif end < 0.85:
                kill_after = soak.start + self.random.random() * soak.whole
            made = self.run(stop_after, kill_after)
            if made is None:
                soak.kills += 1
                if self.random.random() < soak.cut_share:
                    soak.cuts += 1
                    self.cut_power()
            else:
                soak.reports += 1
                if made["failure"] and made["failure"]["kind"] == "journal":
                    self.lie("the journal was refused: %s" % made["failure"]["message"])
                    return
                self.check(made)
        server.control("script", [])
        server.control("default", {"keep_body": True})
        for _ in range(2):
            whole = self.run()
            soak.reports += 1
            if whole is None or not whole["finished"]:
                self.lie("the import does not come to its end: %s" % (whole and whole["failure"]))
                return
            self.check(whole)
        shutil.rmtree(self.folder)


class Soak:
    def __init__(self, arguments):
        self.seed, self.lua = arguments.seed, arguments.lua
        self.random = random.Random(self.seed)
        self.wanted_kills, self.wanted_cuts = arguments.kills, arguments.cuts
        self.kills = self.cuts = self.reports = self.lies = 0
        self.labels = collections.Counter()
        self.cut_share = min(1.0, arguments.cuts / max(1, arguments.kills) * 1.2)
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="heymarket-soak-"))
        abi = "jit" if "jit" in self.lua else re.sub(r".*lua", "", self.lua)  # the folder below build/
        self.env = {name: value for name, value in os.environ.items() if not name.startswith(("HEYMARKET_SECRET", "LUA_"))}
        self.env.update(LUA_PATH="%s/lua/?.lua;%s/lua/?/init.lua;;" % (TOP, TOP),
                        LUA_CPATH="%s/build/%s/?.so;;" % (TOP, abi), LD_PRELOAD=str(self.folder / "disk.so"))

    def measure(self):
        """How long a run lasts here decides when it is killed."""
        trial = Import(self, 0)
        self.server.control("reset")
        started = time.monotonic()
        trial.run(stop_after=0)
        self.start = (time.monotonic() - started) * 0.8
        self.server.control("default", {"keep_body": True, "delay": 0.01})
        started = time.monotonic()
        trial.run()
        self.whole = time.monotonic() - started - self.start

    def run(self):
        subprocess.run(["cc", "-std=c11", "-O1", "-shared", "-fPIC", "-o", self.env["LD_PRELOAD"],
                        str(TOP / "spec/support/disk.c"), "-ldl"], check=True)
        self.server = Server()
        started, number = time.monotonic(), 0
        try:
            self.measure()
            while self.kills < self.wanted_kills or self.cuts < self.wanted_cuts:
                number += 1
                Import(self, number).go()
        finally:
            self.server.close()
            print("seed %d, %s: %d imports, %d kills, %d of them power cuts, %d reports, %.0f s"
                  % (self.seed, self.lua, number, self.kills, self.cuts, self.reports, time.monotonic() - started))
            print("labels: " + ", ".join("%s %d" % pair for pair in sorted(self.labels.items())))
            print("untrue: %d" % self.lies)
        if self.lies == 0:
            shutil.rmtree(self.folder)
        return 1 if self.lies else 0


def main():
    parser = argparse.ArgumentParser(description="kill imports at random moments and look for untrue labels")
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--cuts", type=int, default=200)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 31))
    parser.add_argument("--lua", default="lua5.4")
    sys.exit(Soak(parser.parse_args()).run())


if __name__ == "__main__":
    main()
