#!/usr/bin/python3
"""Writes the contacts that every peer imports: make_csv.py FILE [ROWS]. The same rows every time."""
import csv
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


def main():
    path, rows = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 100_000
    rng = random.Random(20240416)
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for row in range(1, rows + 1):
            writer.writerow(contact(row, rng))


main()
