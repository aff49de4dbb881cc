"""A second reading of the section "Phones" of the interface, for spec/phone_spec.lua.

Reads lines `COUNTRY TAB NUMBER`, both in hexadecimal; the country is empty, "false" or a calling code. Prints the digits
that are to be sent, or "refused".
"""
import re
import sys
import unicodedata

KEEP_ZERO = {"39", "378", "225", "241", "242"}
TRUNK = {"7": "8", "36": "06"}
HYPHENS = "\u2010\u2011\u2012\u2013\u2212\ufe63\uff0d"
# Of the format characters, those with a shape of their own or with no meaning in a number are no mark.
MARKS = {chr(p) for p in [0xAD, 0x61C, 0x180E, *range(0x200B, 0x2010), *range(0x202A, 0x202F), *range(0x2060, 0x2065),
                          *range(0x2066, 0x2070), 0xFEFF]}
CODES = set("1 7".split()) | set(
    "20 27 30 31 32 33 34 36 39 40 41 43 44 45 46 47 48 49 51 52 53 54 55 56 57 58 60 61 62 63 64 65 66 81 82 84 86 90 "
    "91 92 93 94 95 98".split())


def is_blank(character):
    return character.isspace() and character not in "\x1c\x1d\x1e\x1f"


def is_calling_code(digits):
    return digits in CODES or (len(digits) == 3 and digits[0] not in CODES and digits[:2] not in CODES
                               and digits[0] != "0")


def plausible(year, month, day):
    if not (1 <= int(month) <= 12 and 1 <= int(day) <= 31 and len(month) <= 2 and len(day) <= 2):
        return False
    return len(year) == 2 or (len(year) == 4 and (1800 <= int(year) <= 2199 or year == "9999"))


def is_date(text):
    found = re.fullmatch(r"([0-9]+) *[-./] *([0-9]+) *[-./] *([0-9]+)(\.?)( .*)?", text, re.S)
    if not found:
        return False
    a, b, c, _, time = found.groups()
    if len(a) == 4:
        return plausible(a, b, c)
    return (plausible(c, b, a) or plausible(c, a, b)) and (time is None or len(c) == 4)


def international(digits):
    if not re.fullmatch("[1-9][0-9]{6,14}", digits):
        return None
    if digits[0] == "1" and not re.fullmatch("1[2-9][0-9]{9}", digits):
        return None
    return digits


def read(text, country):
    text = "".join("-" if c in HYPHENS else " " if is_blank(c) else c for c in text if c not in MARKS).strip(" ")
    text = re.sub("^ *tel:", "", re.sub("^'", "", text), flags=re.I).lstrip(" ")
    if text.startswith("-") or re.fullmatch(r"\+?[0-9]+([.,][0-9]*)?[eE][-+]?[0-9]+", text):
        return None
    if re.fullmatch(r"\+?[0-9]+\.([0-9]{1,2}|0+)", text) or is_date(text):
        return None
    for place in (i for i, c in enumerate(text) if c == "/"):
        if min(sum(c.isdigit() for c in side) for side in (text[:place], text[place:])) >= 7:
            return None
    text = text.replace(" ", "")
    if re.search(r"[^-0-9+.()/]", text):
        return None
    bare = re.sub(r"[-.()/]", "", text)
    if not re.fullmatch(r"\+?[0-9]+", bare):
        return None
    certain = bare[0] == "+" or bare.startswith("00")
    def code_before(place):
        digits = re.sub(r"[-.()/]", "", text[:place])
        code = digits[1:] if digits.startswith("+") else digits[2:] if digits.startswith("00") else ""
        return code if is_calling_code(code) else None

    area = re.search(r"\(0[0-9]+\)", text)
    if area and code_before(area.start()) not in KEEP_ZERO | {"229", None}:
        return None
    if "(0)" in text:
        zero = text.index("(0)")
        if code_before(zero) in KEEP_ZERO | {None} or text.count("(0)") > 1:
            return None
        bare = re.sub(r"[-.()/]", "", text[:zero] + text[zero + 3:])
    if certain:
        return international(bare[1:] if bare[0] == "+" else bare[2:])
    if country == "false":
        return bare if 7 <= len(bare) <= 15 else None
    if country == "":
        return international(bare) if len(bare) >= 11 else None
    if bare.startswith(country) and len(bare) >= 11:
        return international(bare)
    trunk = TRUNK.get(country, "0")
    if bare.startswith(trunk) and (country != "7" or len(bare) > 10):
        return international(country + (bare if country in KEEP_ZERO else bare[len(trunk):]))
    if len(bare) > 10 or (trunk != "0" and bare[0] == "0"):
        return None
    return international(country + bare)


def main():
    if sys.argv[1:] == ["characters"]:
        for point in range(0x110000):
            if 0xD800 <= point < 0xE000:
                continue
            character = chr(point)
            sort = "blank" if is_blank(character) else "mark" if character in MARKS else None
            if sort is None and unicodedata.category(character) in ("Zs", "Zl", "Zp"):
                sort = "blank"
            if sort:
                print(sort, character.encode().hex())
        return
    for line in sys.stdin:
        country, number = line.rstrip("\n").split("\t")
        text = bytes.fromhex(number).decode("utf-8", "surrogateescape")
        print(read(text, bytes.fromhex(country).decode()) or "refused")


main()
