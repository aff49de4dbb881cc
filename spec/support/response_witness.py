"""Reads answers to a batch of contacts as Python understands them: the witness for what a client may believe.

Each line of the input is a body in hexadecimal. Prints a line for each:

    bad                  it is no answer of this API
    none                 it lists no contact
    listed PHONE…        the digits of the contacts that it lists; ? for what is no contact with a phone,
                         ~DIGITS for a phone in a form that may be read in more than one way

and before it "inboxes " where it is a list of inboxes.
"""

import json
import re
import sys

SPACE = b" \t\r\n"
PLAIN = re.compile(r"\+?[1-9][0-9]{6,14}", re.ASCII)


class Fraction(float):
    """A number with a point or an exponent."""


def pairs(items):
    if len({name for name, _ in items}) != len(items):
        raise ValueError("a name stands twice")
    return dict(items)


def refuse(name):
    raise ValueError(name + " is not JSON")


def check_strings(value):
    """Raises where a string holds half a surrogate pair, which Python's reader lets pass."""
    if isinstance(value, str):
        value.encode("utf-8")
    elif isinstance(value, list):
        for item in value:
            check_strings(item)
    elif isinstance(value, dict):
        for name, item in value.items():
            check_strings(name)
            check_strings(item)


def read(body):
    value = json.loads(
        body.decode("utf-8"), object_pairs_hook=pairs, parse_constant=refuse, parse_float=Fraction
    )
    check_strings(value)
    return value


def phone_of(item):
    phone = item.get("phone") if isinstance(item, dict) else None
    if isinstance(phone, int) and not isinstance(phone, bool):
        phone = str(phone)
    if not isinstance(phone, str):
        return "?"
    digits = re.sub("[^0-9]", "", phone)
    return phone.lstrip("+") if PLAIN.fullmatch(phone) else "~" + digits


def listed(body):
    if body.strip(SPACE) in (b"", b"ok", b'"ok"', b"null"):
        return "none"
    value = read(body)
    if not isinstance(value, list):
        return "bad"
    return " ".join(["listed", *map(phone_of, value)]) if value else "none"


def is_inboxes(body):
    value = read(body)
    return isinstance(value, list) or isinstance(value, dict) and isinstance(value.get("inboxes"), list)


def attempt(act, body, otherwise):
    try:
        return act(body)
    except (ValueError, RecursionError):
        return otherwise


def main():
    for line in sys.stdin.buffer.read().split(b"\n")[:-1]:
        body = bytes.fromhex(line.decode())
        print(("inboxes " if attempt(is_inboxes, body, False) else "") + attempt(listed, body, "bad"))


main()
