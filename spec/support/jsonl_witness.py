"""Python's json module as an independent reader of JSON Lines for spec/jsonl_spec.lua.

jsonl_witness.py        reads "SEED COUNT" and prints a line for each line that it makes, ordinary, odd or damaged: the
                        line in hexadecimal, and "!" where it is no contact, "?" where it has a number that not every
                        Lua holds, else the contact as JSON in hexadecimal
"""

import json
import random
import sys

BLANKS = "".join(chr(point) for point in range(0x10000) if chr(point).isspace() and not 0x1C <= point <= 0x1F)
MARKS = "".join(map(chr, [0xAD, 0x61C, 0x180E, *range(0x200B, 0x2010), *range(0x202A, 0x202F), *range(0x2060, 0x2065),
                          *range(0x2066, 0x2070), 0xFEFF]))
TEXTS = ["Ann", " Ann ", "", "  ", "Zoë", "\u00a0x\u200b", "日本", "😀", 'a"b', "back\\slash", "a\nb", "a,b", "\x7f", "{", "}]",
         "\u2028", "null", "\x01x", "\x02", "\x03", "/"]
IDS = [1, 2, 77, -1, 0, "12", " 12 ", "-1", "x", "", "007", None, 1.0, 2.5, "1.0", True, {"tag_id": 5}, {"tag_id": "6"},
       {"tag_id": None}, {"tag_id": 1, "x": 2}, [], "\x01"]
ODD = [None, True, False, 0, -1, 12, 1.5, 1e3, -0.25, "", " ", [], {}, [1], [None], {"a": {"b": [1, "x"]}}, [[]]]
PHONES = ["+12025550001", " +12025550002 ", 12025550003, "12", "", 12025550004.0, "+49 30 123456", None, "12025550005"]


class Unfit(Exception):
    pass


def unique(pairs):
    if len({name for name, _ in pairs}) < len(pairs):
        raise ValueError("a name that stands twice")
    return dict(pairs)


def constant(_):
    raise ValueError("no JSON")


def depth(value):
    if isinstance(value, (list, dict)):
        return 1 + max(map(depth, value.values() if isinstance(value, dict) else value), default=0)
    return 0


def check(value):
    if isinstance(value, str):
        value.encode("utf-8")  # half a surrogate pair cannot be written
    elif isinstance(value, dict):
        for name, item in value.items():
            check(name)
            check(item)
    elif isinstance(value, list):
        for item in value:
            check(item)
    elif isinstance(value, (int, float)) and not abs(value) < 2 ** 53:
        raise Unfit


def without_null(value):
    if isinstance(value, dict):
        return {name: without_null(item) for name, item in value.items() if item is not None}
    return [without_null(item) for item in value] if isinstance(value, list) else value


def text(value):
    return value.strip(BLANKS + MARKS) or None if isinstance(value, str) else value


def number(value):
    value = text(value)
    digits = value[1:] if isinstance(value, str) and value.startswith("-") else value
    return int(value) if isinstance(digits, str) and digits.isascii() and digits.isdigit() else value


def item_number(value):
    return value if text(value) is None else number(value)


def numbers(value):
    if not isinstance(value, list):
        return value if isinstance(value, dict) else text(value)
    return [{**item, "tag_id": item_number(item["tag_id"])} if isinstance(item, dict) and "tag_id" in item
            else item_number(item) for item in value]


def custom(value):
    if not isinstance(value, dict) or not value:
        return value if isinstance(value, list) else text(value)
    return {name: text(item) for name, item in value.items() if text(item) is not None} or None


READERS = {"assignee_id": number, "tags": numbers, "email_suppressions": numbers, "custom": custom}


def contact_of(line):
    value = json.loads(line.decode("utf-8"), object_pairs_hook=unique, parse_constant=constant)
    if not isinstance(value, dict) or depth(value) > 100:
        raise ValueError("no object")
    check(value)
    found = {}
    for name, item in without_null(value).items():
        if name.startswith("_") or name == "is_opted_out" and item is False:
            continue
        if isinstance(item, list) and None in item:
            raise ValueError("null in an array")
        item = READERS.get(name, text)(item)
        if item is not None:
            found[name] = item
    check(found)
    return found


def make(source):
    value = {"phone": source.choice(PHONES)}
    names = ["first", "last", "email", "avatar", "display_name", "assignee_id", "tags", "custom", "is_opted_out",
             "email_suppressions", "_x", "frist", "_row"]
    for name in source.sample(names, source.randint(0, 7)):
        if source.random() < 0.15:
            value[name] = source.choice(ODD)
        elif name in ("tags", "email_suppressions"):
            value[name] = source.choices(IDS, k=source.randint(0, 6)) if source.random() < 0.9 else source.choice(IDS)
        elif name == "assignee_id":
            value[name] = source.choice(IDS)
        elif name == "custom":
            value[name] = {source.choice(["1", "2", "33", "x", "_a", ""]): source.choice(TEXTS + ODD)
                           for _ in range(source.randint(0, 4))}
        elif name == "is_opted_out":
            value[name] = source.choice([True, False])
        else:
            value[name] = source.choice(TEXTS)
    line = json.dumps(value, ensure_ascii=source.random() < 0.5,
                      separators=source.choice([(",", ":"), (", ", ": "), (" ,\t", " : ")]))
    if source.random() < 0.1:
        line = source.choice([" ", "\t"]) + line + source.choice([" ", "\t", "\t \t"])
    line = line.encode("utf-8")
    if source.random() < 0.3:
        for _ in range(source.randint(1, 2)):
            at, length = source.randint(0, len(line)), source.choice([0, 0, 1, 2, 9])
            piece = source.choice([b"", b'"', b",", b"{", b"}", b"[", b"]", b"\\", b"\xff", b"\xed\xa0\x80", b"\xc3", b"NaN",
                                   b"null", b"1e5", b"0x1", b"01", b"\\ud800", b"\\u0001", b"\\u0000", b"\x00", b"\x1f",
                                   b'"phone":1,', b"\xef\xbb\xbf", b"[" * 101, b"-", b".5", b"\xc2\xa0", b"\x0b", b"9" * 20])
            line = line[:at] + piece + line[at + length:]
    return line


seed, count = map(int, sys.stdin.read().split())
chosen = random.Random(seed)
made = 0
while made < count:
    line = make(chosen)
    if not line.strip(b" \t\r"):
        continue
    made += 1
    try:
        said = json.dumps(contact_of(line)).encode().hex()
    except Unfit:
        said = "?"
    except (ValueError, RecursionError):
        said = "!"
    print(line.hex(), said)
