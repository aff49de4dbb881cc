"""Reads JSON, or bytes, as Python understands them: the witness for what is sent.

    json_witness.py values   one JSON text a line; prints each as a line in one form: strings in ASCII, keys in their
                             order, whole numbers as digits, other numbers with a ~ before them
    json_witness.py utf8     hexadecimal bytes, a line each; prints "bad", "control" or "good"
    json_witness.py points   as `values` for JSON strings: prints their code points
    json_witness.py floats   two words a line, the second JSON; prints whether they are the same number
"""

import json
import sys
import unicodedata


def pairs(items):
    if len({name for name, _ in items}) != len(items):
        raise ValueError("a name stands twice")
    return dict(items)


def refuse(name):
    raise ValueError(name + " is not JSON")


def shown(value):
    if isinstance(value, dict):
        return "{" + ",".join(json.dumps(name) + ":" + shown(item) for name, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(shown, value)) + "]"
    if isinstance(value, float):
        return "~" + repr(value)
    return json.dumps(value)


def read(line):
    return json.loads(line.decode("utf-8", "strict"), object_pairs_hook=pairs, parse_constant=refuse)


def values(line):
    return shown(read(line))


def points(line):
    return " ".join("%x" % ord(character) for character in read(line))


def utf8(line):
    try:
        text = bytes.fromhex(line.decode()).decode("utf-8", "strict")
    except UnicodeDecodeError:
        return "bad"
    return "control" if any(unicodedata.category(character) == "Cc" for character in text) else "good"


def floats(line):
    said, written = line.split()
    return "same" if float(said) == float(read(written)) else "%r is not %r" % (said, written)


def main():
    act = {"values": values, "points": points, "utf8": utf8, "floats": floats}[sys.argv[1]]
    for line in sys.stdin.buffer.read().split(b"\n")[:-1]:
        try:
            print(act(line))
        except ValueError as error:
            print("INVALID", " ".join(str(error).split()))


main()
