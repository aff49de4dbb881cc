#!/usr/bin/python3
"""The import as one would write it with requests: peer_python.py FILE.

A row with a mistake is named and passed over. A bare quote is none to the csv module: it stays in the text.
"""
import csv
import os
import re
import sys
import threading
import time
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from itertools import islice

import jwt
import requests

BATCH, CONCURRENCY, TOKEN_TTL = 100, 4, 240
URL = os.environ["HEYMARKET_BASE_URL"] + "/v1/batch/contacts"
SECRET_ID, SECRET_KEY = os.environ["HEYMARKET_SECRET_ID"], os.environ["HEYMARKET_SECRET_KEY"]
TEXT = ["first", "last", "display_name"]
PHONE = re.compile(r"\+?[\d ()/-]+(?:\.[\d ()/-]{2,})*", re.ASCII)
NO_DIGITS = re.compile(r"\D")
EMAIL = re.compile(r"[^\s@,;<>\"]+@[^\s@,;<>\"]+")
URL_START = re.compile(r"https?://\S+")
INTEGER = re.compile(r"-?\d+", re.ASCII)
# Control characters, and the bytes that are not UTF-8, as the error handler surrogateescape gives them.
UNWANTED = re.compile("[\0-\x1f\x7f-\x9f\udc80-\udcff]")
TRUTH = {"true": True, "yes": True, "t": True, "y": True, "1": True,
         "false": False, "no": False, "f": False, "n": False, "0": False}

session = requests.Session()
lock = threading.Lock()
cached = {"token": None, "until": 0.0}


def token():
    with lock:
        now = time.time()
        if now >= cached["until"]:
            claims = {"iss": SECRET_ID, "iat": int(now)}
            cached["token"] = jwt.encode(claims, f"{SECRET_ID}||{SECRET_KEY}", algorithm="HS256")
            cached["until"] = now + TOKEN_TTL
        return cached["token"]


def whole(text):
    if not INTEGER.fullmatch(text) or not -2**63 <= int(text) < 2**63:
        raise ValueError(f"{text!r} is no whole number")
    return int(text)


def checked(pattern, text):
    if not pattern.fullmatch(text):
        raise ValueError(f"{text!r} is not what it should be")
    return text


def contact(row):
    if None in row or None in row.values():
        raise ValueError("the row has another number of cells than the header")
    if any(UNWANTED.search(value) for value in row.values()):
        raise ValueError("a control character, or bytes that are not UTF-8")
    digits = NO_DIGITS.sub("", checked(PHONE, row["phone"]))
    if not 7 <= len(digits) <= 15:
        raise ValueError(f"a phone number has 7 to 15 digits, not {len(digits)}")
    result = {"phone": digits, **{field: row[field] for field in TEXT if row[field]}}
    if row["email"]:
        result["email"] = checked(EMAIL, row["email"])
    if row["avatar"]:
        result["avatar"] = checked(URL_START, row["avatar"])
    if row["assignee_id"]:
        result["assignee_id"] = whole(row["assignee_id"])
        if result["assignee_id"] < 1 and result["assignee_id"] != -1:
            raise ValueError("an id is above 0, or -1")
    if row["tags"]:
        tags = [whole(tag) for tag in row["tags"].split(";")]
        if len(tags) > 5 or len(set(tags)) < len(tags) or min(tags) < 1:
            raise ValueError("at most five tags, none twice, with ids above 0")
        result["tags"] = [{"tag_id": tag} for tag in tags]
    if row["is_opted_out"]:
        if row["is_opted_out"].lower() not in TRUTH:
            raise ValueError(f"{row['is_opted_out']!r} is neither true nor false")
        result["is_opted_out"] = TRUTH[row["is_opted_out"].lower()]
    custom = {column[7:]: value for column, value in row.items() if column.startswith("custom.") and value}
    if custom:
        result["custom"] = custom
    return result


def contacts(rows):
    for position, row in enumerate(rows, 2):  # the header is row 1
        try:
            yield contact(row)
        except ValueError as problem:
            print(f"row {position}: {problem}", file=sys.stderr)


def send(batch):
    response = session.post(URL, json=batch, headers={"Authorization": f"Bearer {token()}"}, timeout=60)
    response.raise_for_status()
    if response.json() != "ok":
        raise RuntimeError(f"not all were created: {response.text[:200]}")
    return len(batch)


def main():
    sent = 0
    file = open(sys.argv[1], encoding="utf-8", errors="surrogateescape", newline="")
    with file, ThreadPoolExecutor(CONCURRENCY) as pool:
        right = contacts(csv.DictReader(file))
        pending = set()
        while batch := list(islice(right, BATCH)):
            if len(pending) >= CONCURRENCY:
                done, pending = wait(pending, return_when=FIRST_COMPLETED)
                sent += sum(future.result() for future in done)
            pending.add(pool.submit(send, batch))
        sent += sum(future.result() for future in pending)
    print(sent, "contacts sent")


main()
