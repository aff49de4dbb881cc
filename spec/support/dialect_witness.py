"""Python's csv module and codecs as independent writers of files for spec/csv_dialects_spec.lua.

dialect_witness.py delimiters   reads "SEED COUNT" and prints a line for each file: its delimiter, its bytes, and its
                                rows; each row its cells and "|", each cell followed by a comma; all in hexadecimal
dialect_witness.py encodings    reads "SEED COUNT" and prints a line for each file: the name of its encoding, or "mark", its
                                bytes, and its rows as above
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


# Names of iconv and characters beyond ASCII that the encoding has.
ENCODINGS = [("windows-1252", "äöüßéŽ€"), ("windows-1250", "łąęśżŽ€"), ("windows-1251", "Привет"), ("ISO-8859-1", "äöüé"),
             ("CP850", "äöüéñ"), ("MACINTOSH", "äöü€"), ("SHIFT_JIS", "日本語ｱ表"), ("EUC-JP", "日本語"), ("GB18030", "中文😀é"),
             ("BIG5", "中文"), ("ISO-2022-JP", "日本語"), ("UTF-16LE", "é日😀"), ("UTF-16BE", "é日😀"), ("UTF-32LE", "é😀"),
             ("UTF-8", "é日😀"), ("utf8", "é"), ("KOI8-R", "Привет"), ("UTF-7", "é日")]
PYTHON_NAMES = {"MACINTOSH": "mac_roman"}


def encode(source):
    name, characters = source.choice(ENCODINGS)
    codec = PYTHON_NAMES.get(name, name)
    out = io.StringIO(newline="")
    writer = csv.writer(out, delimiter=source.choice(DELIMITERS), lineterminator=source.choice(["\n", "\r\n", "\r"]))
    writer.writerow(["phone", "_x", "first"])
    for _ in range(source.randint(0, 12)):
        writer.writerow("".join(source.choices(characters + "ab ,'", k=source.randint(0, 9))) for _ in range(3))
    text = out.getvalue()
    if name.startswith("UTF-16") and source.random() < 0.5 or name == "UTF-8" and source.random() < 0.5:
        return "mark", ("\ufeff" + text).encode(codec), text
    return name, text.encode(codec), text


if sys.argv[1] == "encodings":
    seed, count = map(int, sys.stdin.read().split())
    chosen = random.Random(seed)
    for _ in range(count):
        name, data, text = encode(chosen)
        dialect = next(each for each in DELIMITERS if "phone%s_x" % each in text)
        print(name, data.hex(), rows_of(text, dialect))
elif sys.argv[1] == "delimiters":
    seed, count = map(int, sys.stdin.read().split())
    chosen = random.Random(seed)
    for _ in range(count):
        delimiter, text = make(chosen)
        print(hexed(delimiter), hexed(text), rows_of(text, delimiter))
else:
    for line in sys.stdin:
        delimiter, text = (bytes.fromhex(word).decode("utf-8") for word in line.split())
        print(rows_of(text, delimiter))
