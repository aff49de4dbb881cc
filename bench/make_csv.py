#!/usr/bin/python3
"""Writes the contacts that every peer imports: make_csv.py FILE [ROWS]. The same rows every time.

Twenty of them have a mistake each, and must not be sent. FILE.wrong says which: a line for each with the number of the
row, where the header is row 1, and the mistake.
"""
import csv
import io
import random
import sys

COLUMNS = ["phone", "first", "last", "display_name", "email", "avatar", "assignee_id", "tags", "is_opted_out",
           "custom.101", "custom.102"]
FIRST = ["John", "Mary", "José", "Zoë", "Jürgen", "Łucja", "Ísak", "Søren", "Chloé", "Đorđe", "Анна", "Ελένη", "李娜",
         "さくら", "민준", "محمد", "Ana María", "Siân", "Wei", "Olu"]
LAST = ["Smith", "Müller", "García", "Łukasiewicz", "O'Brien", "Nguyễn", "Þórsdóttir", "Иванова", "Παπαδάκης", "王",
        "佐藤", "김", "Öztürk", "de la Cruz", "Johnson", "Brown", "Ståhl", "Novák", "Da Silva", "Lee"]
NICKNAMES = ["Red", "Ace", "Łuk", "Zé", "小李", "🎸"]
PLANS = ["Premium", "Basic", "Trial, 30 days", 'The "Gold" plan', "Café-Abo", "Família ❤️", "VIP"]
CITIES = ["Chicago, IL", "São Paulo", "Kraków", "Zürich", "北京", "New York, NY", "Reykjavík", "Austin, TX", ""]

# The mistakes: what is wrong, and the cell that has it, as bytes. Those without a column change the cells of the row.
MISTAKES = [
    ("letters in a phone", "phone", b"call John"), ("a phone with a fraction", "phone", b"12025550123.5"),
    ("a phone of five digits", "phone", b"12025"), ("no phone", "phone", b""),
    ("an email address without @", "email", b"customer.example.com"),
    ("an email address with a blank", "email", b"customer 1@example.com"),
    ("a name in Latin-1", "first", "Zoë".encode("latin-1")), ("a character cut off", "custom.102", b"Z\xc3"),
    ("a control character", "last", b"Smith\x07"), ("a control character beyond ASCII", "display_name", b"J\xc2\x85S"),
    ("an address without https://", "avatar", b"images.example.com/1.png"),
    ("an address of FTP", "avatar", b"ftp://images.example.com/1.png"),
    ("six tags", "tags", b"1001;1002;1003;1004;1005;1006"), ("a tag twice", "tags", b"1001;1002;1001"),
    ("a tag that is no number", "tags", b"1001;gold"), ("a number of 2^63", "assignee_id", b"9223372036854775808"),
    ("an unknown boolean", "is_opted_out", b"maybe"), ("a bare quote", "first", b'Jo"hn'),
    ("a cell too few", None, lambda cells: cells[:-1]), ("a cell too many", None, lambda cells: [*cells, "1"]),
]

# Area codes and exchanges begin with 2 to 9. A step that shares no factor with their number visits each once.
NUMBERS = 800 * 800 * 10000
STEP = 1_618_033_989


def phone(row):
    number = row * STEP % NUMBERS
    area, rest = divmod(number, 800 * 10000)
    exchange, line = divmod(rest, 10000)
    return f"1{area + 200}{exchange + 200}{line:04}"


def contact(row, rng):
    # random() alone is the same in every version of Python; choice() and randrange() are not.
    def below(limit):
        return int(rng.random() * limit)

    def pick(values):
        return values[below(len(values))]

    first, last = pick(FIRST), pick(LAST)
    style = below(8)
    if style == 0:
        display = f"{last}, {first}"
    elif style == 1:
        display = f'{first} "{pick(NICKNAMES)}" {last}'
    elif style == 2:
        display = f"{first} {last} 🎉"
    else:
        display = f"{first} {last}"
    tags = []
    for _ in range(1 + below(3)):
        tag = 1000 + below(400)
        if tag not in tags:
            tags.append(tag)
    return [
        phone(row), first, last, display, f"customer.{row}@example.{pick(['com', 'org', 'net'])}",
        f"https://images.example.com/avatars/{below(1 << 32):08x}.png" if below(4) else "",
        str(20000 + below(60)) if below(5) else "-1", ";".join(map(str, tags)), "true" if below(20) == 0 else "false",
        pick(PLANS), pick(CITIES),
    ]


def line_of(cells):
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow(cells)
    return text.getvalue().encode()


def with_mistake(cells, column, wrong):
    if column is None:
        return line_of(wrong(cells))
    mark = "MISTAKE"
    marked = [mark if name == column else cell for name, cell in zip(COLUMNS, cells)]
    return line_of(marked).replace(mark.encode(), wrong)


def main():
    path, rows = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 100_000
    rng = random.Random(20240416)
    wrong = {(i + 1) * rows // (len(MISTAKES) + 1): mistake for i, mistake in enumerate(MISTAKES)}
    with open(path, "wb") as file, open(path + ".wrong", "w", encoding="utf-8") as told:
        file.write(line_of(COLUMNS) + b"\n")
        for row in range(1, rows + 1):
            cells = contact(row, rng)
            if row in wrong:
                what, column, value = wrong[row]
                file.write(with_mistake(cells, column, value) + b"\n")
                told.write(f"{row + 1} {what}\n")
            else:
                file.write(line_of(cells) + b"\n")


main()
