"""Python's csv module as an independent reader and writer of CSV for spec/csv_spec.lua.

csv_witness.py generate SEED COUNT FOLDER   writes N.csv and what Python reads in it, N.rows
csv_witness.py read FILE                    prints what Python reads in FILE
csv_witness.py judge                        reads files from its input, each a line in hexadecimal, and prints a line for
                                            each: what Python reads, each row followed by "|"; before a row of which a cell
                                            swallowed rows stands "S", and the line in which it ends where it is the only
                                            cell of several lines
In .rows each line is a row: its cells in hexadecimal, each followed by a slash, the cell without the blanks and
invisible marks at its ends, and a comma. A blank line of the CSV is an empty
line; "!" is a row that Python's strict reader refuses, and ends the file.
"""

import csv
import io
import pathlib
import random
import sys


MARKS = "".join(map(chr, [0xAD, 0x61C, 0x180E, *range(0x200B, 0x2010), *range(0x202A, 0x202F), *range(0x2060, 0x2065),
                          *range(0x2066, 0x2070), 0xFEFF]))
BLANKS = "".join(chr(point) for point in range(0x10000) if chr(point).isspace() and not 0x1C <= point <= 0x1F)


def trimmed(cell):
    text = cell.encode("latin-1").decode("utf-8", "surrogateescape")
    return text.strip(BLANKS + MARKS).encode("utf-8", "surrogateescape")


def rows_of(text):
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    lines = []
    while True:
        try:
            row = next(reader)
        except StopIteration:
            return lines
        except csv.Error:
            return lines + ["!"]
        lines.append("".join("%s/%s," % (cell.encode("latin-1").hex(), trimmed(cell).hex()) for cell in row))


def swallows(cell, line_end, width):
    """Has a line of this cell as many delimiters as the header? One of two columns needs two such lines."""
    lines = cell.split(line_end)
    alike = sum(line.count(",") == width - 1 for line in lines)
    return len(lines) > 1 and alike >= (2 if width <= 2 else 1)


def judge(text):
    reader = csv.reader(io.StringIO(text.removeprefix("\xef\xbb\xbf"), newline=""), strict=True)
    header = text.split("\n")[0]
    line_end = "\r" if "\r" in header.removesuffix("\r") or "\n" not in text and "\r" in text else "\n"
    width, said = None, ""
    while True:
        try:
            row = next(reader)
        except StopIteration:
            return said
        except csv.Error:
            return said + "!|"
        width = width or len(row)
        marks = ""
        if any(swallows(cell, line_end, width) for cell in row):
            # Python counts a line for each kind of line break.
            alone = sum(line_end in cell for cell in row) == 1 and not ("\r" in text.replace("\r\n", "") and line_end == "\n")
            alone = alone and not ("\n" in text and line_end == "\r")
            marks = "S%s " % (reader.line_num if alone else "")
        said += marks + "".join("%s/%s," % (cell.encode("latin-1").hex(), trimmed(cell).hex()) for cell in row) + "|"


def well_formed(source):
    """Any cells, written by Python in one of its ways."""
    width = source.randint(1, 6)
    end = source.choice(["\n", "\r\n", "\r"])
    out = io.StringIO(newline="")
    quoting = source.choice([csv.QUOTE_MINIMAL, csv.QUOTE_ALL])
    writer = csv.writer(out, lineterminator=end, quoting=quoting)
    writer.writerow(["phone"] + ["custom.%d" % number for number in range(1, width)])
    alphabet = 'ab,"\n\r\t ;\\\'\x01\x7f\x80\xc3\xa9\xef\xbb\xbf\xff_='
    if quoting == csv.QUOTE_MINIMAL:
        # This writer quotes the line break of its own line end only, and so writes what its reader misreads.
        alphabet = "".join(character for character in alphabet if character not in "\r\n" or character in end)
    for _ in range(source.randint(0, 12)):
        writer.writerow("".join(source.choices(alphabet, k=source.randint(0, 9))) for _ in range(width))
    text = out.getvalue()
    if source.random() < 0.3 and not text.endswith('"' + end):
        text = text[: -len(end)]
    return text


def soup(source):
    """Any order at all of the characters that mean something."""
    end = source.choice(["\n", "\r\n"])
    body = "".join(source.choices(["a", "b", ",", '"', '""', '"a"', '","', end], k=source.randint(0, 30)))
    return "phone,custom.1" + end + body


def main(command, *arguments):
    if command == "read":
        text = pathlib.Path(arguments[0]).read_bytes().decode("latin-1")
        print("\n".join(rows_of(text)))
        return
    if command == "judge":
        for line in sys.stdin:
            print(judge(bytes.fromhex(line).decode("latin-1")))
        return
    seed, count, folder = int(arguments[0]), int(arguments[1]), pathlib.Path(arguments[2])
    source = random.Random(seed)
    for number in range(1, count + 1):
        text = (well_formed if number % 2 else soup)(source)
        (folder / ("%d.csv" % number)).write_bytes(text.encode("latin-1"))
        (folder / ("%d.rows" % number)).write_text("".join(line + "\n" for line in rows_of(text)))


main(*sys.argv[1:])
