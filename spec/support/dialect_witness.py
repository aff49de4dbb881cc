"""Python's csv module and codecs as independent writers of files for spec/csv_dialects_spec.lua.

dialect_witness.py delimiters   reads "SEED COUNT" and prints a line for each file: its delimiter, its bytes, and its
                                rows; each row its cells and "|", each cell followed by a comma; all in hexadecimal
dialect_witness.py read         reads lines "DELIMITER FILE" in hexadecimal, and prints the rows that Python reads
"""

import csv
import io
import random
import sys

DELIMITERS = ",;\t|"
HEADERS = [["phone", "first", "_note"], ["First Name", "Phone Number", "tags"], ["phone"],
           ["_a;b", "phone", "custom.1"], ["phone", "_x,y|z", "last"], ["_two\nlines", "phone", "email"]]


def hexed(text):
    return text.encode("utf-8", "surrogateescape").hex()


def rows_of(text, delimiter):
    return "".join("".join(hexed(cell) + "," for cell in row) + "|"
                   for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True))


def make(source):
    header = source.choice(HEADERS)
    delimiter = source.choice(DELIMITERS if len(header) > 1 else ",")
    out = io.StringIO(newline="")
    writer = csv.writer(out, delimiter=delimiter, lineterminator=source.choice(["\n", "\r\n"]),
                        quoting=source.choice([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]))
    writer.writerow(header)
    for _ in range(source.randint(0, 8)):
        # A single empty cell would be a blank line.
        least = 1 if len(header) == 1 else 0
        writer.writerow("".join(source.choices("ab;,|\t \"'é1\n", k=source.randint(least, 7))) for _ in header)
    return delimiter, out.getvalue()


if sys.argv[1] == "delimiters":
    seed, count = map(int, sys.stdin.read().split())
    chosen = random.Random(seed)
    for _ in range(count):
        delimiter, text = make(chosen)
        print(hexed(delimiter), hexed(text), rows_of(text, delimiter))
else:
    for line in sys.stdin:
        delimiter, text = (bytes.fromhex(word).decode("utf-8") for word in line.split())
        print(rows_of(text, delimiter))
