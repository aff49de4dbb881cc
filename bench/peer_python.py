#!/usr/bin/python3
"""The import as one would write it with requests: peer_python.py FILE."""
import csv
import os
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
TEXT = ["phone", "first", "last", "display_name", "email", "avatar"]

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


def contact(row):
    result = {field: row[field] for field in TEXT if row[field]}
    if row["assignee_id"]:
        result["assignee_id"] = int(row["assignee_id"])
    if row["tags"]:
        result["tags"] = [{"tag_id": int(tag)} for tag in row["tags"].split(";")]
    if row["is_opted_out"]:
        result["is_opted_out"] = row["is_opted_out"] == "true"
    custom = {column[7:]: value for column, value in row.items() if column.startswith("custom.") and value}
    if custom:
        result["custom"] = custom
    return result


def send(contacts):
    response = session.post(URL, json=contacts, headers={"Authorization": f"Bearer {token()}"}, timeout=60)
    response.raise_for_status()
    if response.json() != "ok":
        raise RuntimeError(f"not all were created: {response.text[:200]}")
    return len(contacts)


def main():
    sent = 0
    with open(sys.argv[1], encoding="utf-8", newline="") as file, ThreadPoolExecutor(CONCURRENCY) as pool:
        rows = csv.DictReader(file)
        pending = set()
        while batch := [contact(row) for row in islice(rows, BATCH)]:
            if len(pending) >= CONCURRENCY:
                done, pending = wait(pending, return_when=FIRST_COMPLETED)
                sent += sum(future.result() for future in done)
            pending.add(pool.submit(send, batch))
        sent += sum(future.result() for future in pending)
    print(sent, "contacts sent")


main()
