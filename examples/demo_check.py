#!/usr/bin/env python3
"""The other side of `make demo`: tells the sandbox what it knows beforehand, and looks afterwards whether the command
spoke the truth. It shares no code with the module, so that a mistake there cannot hide itself here.

  demo_check.py prepare FOLDER     contacts of existing.csv are put in, the phone in refused.txt will be refused
  demo_check.py compare FOLDER     contacts.csv, failures.csv and summary.txt against what the sandbox holds
"""
import csv
import json
import os
import re
import sys
import urllib.request

SANDBOX = os.environ["HEYMARKET_BASE_URL"] + "/_sandbox/"
KEY = os.environ["HEYMARKET_SANDBOX_KEY"]
# Not through the proxy of the environment.
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))
OUTCOMES = ["accepted", "rejected", "invalid", "failed", "unknown", "unsent"]


def call(path, data=None):
    body = None if data is None else json.dumps(data).encode()
    headers = {"Content-Type": "application/json", "Authorization": "Bearer " + KEY}
    request = urllib.request.Request(SANDBOX + path, body, headers)
    with OPENER.open(request, timeout=60) as answer:
        return json.load(answer)


def rows_of(path):
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def wire(row):
    """What the documentation makes of a row."""
    contact = {"phone": re.sub(r"\D", "", row["phone"])}
    contact.update({name: row[name] for name in ("first", "last", "email") if row[name]})
    if row["tags"]:
        contact["tags"] = [{"tag_id": int(tag)} for tag in row["tags"].split(";")]
    if row["custom.101"]:
        contact["custom"] = {"101": row["custom.101"]}
    return contact


def prepare(folder):
    call("contacts", [wire(row) for row in rows_of(f"{folder}/existing.csv")])
    with open(f"{folder}/refused.txt", encoding="ascii") as file:
        phone = file.read().strip()
    # However often it comes, alone or among others: the whole request is refused.
    call("script", [{"contains": phone, "times": 1000, "status": 400, "body": {"error_code": "bad_data"}}])


def same(held, contact):
    tags = [tag["tag_id"] for tag in held.get("tags") or []]
    return (all(held.get(name) == value for name, value in contact.items() if name != "tags")
            and tags == [tag["tag_id"] for tag in contact.get("tags", [])])


def compare(folder):
    complaints = []

    def expect(truth, complaint):
        if not truth:
            complaints.append(complaint)

    with open(f"{folder}/summary.txt", encoding="utf-8") as file:
        summary = {name: int(count.replace(",", ""))
                   for name, count in re.findall(r"^  (\w+) +([\d,]+)\b", file.read(), re.M)}
    said = [summary.get(outcome, 0) for outcome in OUTCOMES]
    expect(sum(said) == summary.get("total"), f"the summary does not add up: {said} against {summary.get('total')}")

    rows = rows_of(f"{folder}/contacts.csv")
    not_accepted = {int(row["_row"]): row["_outcome"] for row in rows_of(f"{folder}/failures.csv")}
    expect(summary.get("total") == len(rows), f"the file has {len(rows)} contacts, the summary {summary.get('total')}")
    existing = {contact["phone"]: contact for contact in map(wire, rows_of(f"{folder}/existing.csv"))}
    held = call("contacts")
    held = held.get("contacts", held)

    counts = dict.fromkeys(OUTCOMES, 0)
    for number, row in enumerate(rows, 2):  # as a spreadsheet counts: the header is row 1
        outcome = not_accepted.get(number, "accepted")
        counts[outcome] += 1
        phone = re.sub(r"\D", "", row["phone"])
        if outcome == "accepted":
            expect(same(held.get(phone, {}), wire(row)), f"row {number} is called accepted, but the sandbox does not hold it")
            expect(phone not in existing, f"row {number} is called accepted, but was there before")
        elif outcome == "rejected":
            expect(phone in existing, f"row {number} is called rejected, but was not there before")
            expect(same(held.get(phone, {}), existing.get(phone, {})), f"row {number} is called rejected, but was changed")
        else:
            expect(phone not in held, f"row {number} is called {outcome}, but the sandbox holds it")
    for outcome, count in zip(OUTCOMES, said):
        expect(counts[outcome] == count, f"{outcome}: {count} in the summary, {counts[outcome]} by the rows")
    new = len(held) - len(existing)
    expect(new == counts["accepted"], f"the sandbox has {new} new contacts, the command accepted {counts['accepted']}")
    for outcome in ("accepted", "rejected", "invalid", "failed"):
        expect(counts[outcome], f"the demo is meant to show {outcome} contacts, and there are none")

    print(f"The sandbox holds {len(held):,} contacts: {len(existing):,} were there before and are unchanged, {new:,} are new.")
    if complaints:
        for complaint in complaints[:20]:
            print(f"  {complaint}")
        print(f"They do not agree: {len(complaints)} differences.")
        sys.exit(1)
    print("The summary and the sandbox agree, contact by contact.")


{"prepare": prepare, "compare": compare}[sys.argv[1]](sys.argv[2])
