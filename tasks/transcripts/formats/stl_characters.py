"""The five character code tables of EBU STL (Tech 3264, appendix 2), and replacements for other characters.

Table 00 is ISO 6937/2 (1983): ASCII with the dollar at A4h, 89 more single-byte characters, and accented letters in two
bytes, accent first. Tables 01 to 04 are ISO 8859 parts 5 to 8.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from functools import lru_cache

LATIN = "00"
_ISO_8859 = {"01": "iso8859_5", "02": "iso8859_6", "03": "iso8859_7", "04": "iso8859_8"}
TABLES = (LATIN, *_ISO_8859)

_UNUSED = "\0"
_LATIN_ROWS = {
    0xA0: "\0¡¢£$¥#§¤‘“«←↑→↓°±²³×µ¶·÷’”»¼½¾¿",
    0xD0: "—¹®©™♪¬¦\0\0\0\0⅛⅜⅝⅞ΩÆÐªĦ\0ĲĿŁØŒºÞŦŊŉĸæđðħıĳŀłøœßþŧŋ",
}
_LATIN_SINGLE = {
    character: bytes([first + index])
    for first, row in _LATIN_ROWS.items()
    for index, character in enumerate(row)
    if character != _UNUSED and character != "#"
} | {"Đ": b"\xe2", "Ω": b"\xe0", "μ": b"\xb5"}
# By combining character: the accent's byte, and the letters that may follow it.
_LATIN_ACCENTS = {
    "\u0300": (0xC1, "AEIOUaeiou"),
    "\u0301": (0xC2, "ACEILNORSUYZaceilnorsuyz"),
    "\u0302": (0xC3, "ACEGHIJOSUWYaceghijosuwy"),
    "\u0303": (0xC4, "AINOUainou"),
    "\u0304": (0xC5, "AEIOUaeiou"),
    "\u0306": (0xC6, "AGUagu"),
    "\u0307": (0xC7, "CEGIZcegz"),
    "\u0308": (0xC8, "AEIOUYaeiouy"),
    "\u030a": (0xCA, "AUau"),
    "\u0327": (0xCB, "CGKLNRSTcgklnrst"),
    "\u030b": (0xCD, "OUou"),
    "\u0328": (0xCE, "AEIUaeiu"),
    "\u030c": (0xCF, "CDELNRSTZcdelnrstz"),
}
_LATIN_DECODED = {code[0]: character for character, code in _LATIN_SINGLE.items() if character not in "ĐΩμ"} | {
    0xA0: "\u00a0",
    0xA6: "#",
    0xE0: "Ω",
    0xFF: "",  # soft hyphen
}
_LATIN_ACCENT_CODES = {code: accent for accent, (code, _) in _LATIN_ACCENTS.items()} | {
    0xC9: "\u0308"  # T.61 tells umlaut and diaeresis apart
}
# Replacements without loss of meaning. Before Unicode had Romanian's comma below, it was written as a cedilla.
_REWRITTEN = {
    "…": "...",
    "–": "-",
    "‐": "-",
    "‑": "-",
    "−": "-",
    "„": '"',
    "‚": "'",
    "‹": "<",
    "›": ">",
    "´": "'",
    "‘": "'",
    "’": "'",
    "“": '"',
    "”": '"',
    "—": "-",
    "€": "EUR",
    "ș": "ş",
    "ț": "ţ",
    "Ș": "Ş",
    "Ț": "Ţ",
}


def best_table(text: str) -> str:
    """Return the number of the table that loses the fewest characters of the text; Latin if several do."""
    counts = Counter(unicodedata.normalize("NFC", text))
    return min(TABLES, key=lambda table: sum(n for character, n in counts.items() if represent(character, table)[1]))


def encode(text: str, table: str) -> tuple[list[bytes], int]:
    """Return the codes of the text, one per screen cell, and the number of characters lost."""
    cells = [_cells(character, table) for character in unicodedata.normalize("NFC", text)]
    return [code for codes, _ in cells for code in codes], sum(is_lost for _, is_lost in cells)


@lru_cache(maxsize=1 << 12)
def _cells(character: str, table: str) -> tuple[tuple[bytes, ...], bool]:
    parts, is_lost = represent(character, table)
    return tuple(_exact(part, table) or b"?" for part in parts), is_lost


def decode(data: bytes, table: str) -> tuple[str, int]:
    """Return the text of codes without control codes, and the number of codes that the table does not have."""
    if table != LATIN:
        text = data.decode(_ISO_8859[table], "replace")
        return text.replace("\xad", "").replace("\ufffd", ""), text.count("\ufffd")
    characters: list[str] = []
    n_undefined, accent = 0, ""
    for code in data:
        if code in _LATIN_ACCENT_CODES:
            n_undefined += bool(accent)
            accent = _LATIN_ACCENT_CODES[code]
            continue
        character = chr(code) if code < 0x7F else _LATIN_DECODED.get(code)
        n_undefined += character is None
        if accent:
            # A cedilla stands under g only in capitals: the accent of the small letter is above it.
            combined = "ģ" if (character, accent) == ("g", "\u0301") else _composed(character or "", accent)
            n_undefined += len(combined) != 1
            character, accent = combined[:1], ""
        characters.append(character or "")
    return "".join(characters), n_undefined + bool(accent)


def _composed(letter: str, accent: str) -> str:
    """The accented letter; the letter and a mark if Unicode has no such letter."""
    if letter == " ":
        return letter  # the accent alone
    return unicodedata.normalize("NFC", letter + accent) if letter else ""


def transliterate(text: str, table: str) -> str:
    """Return the text in characters of the table only, one per screen cell."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(represent(character, table)[0] for character in unicodedata.normalize("NFC", text))


@lru_cache(maxsize=1 << 12)
def represent(character: str, table: str) -> tuple[str, bool]:
    """Return the characters of the table that represent a character, and whether it is lost: unaccented, or "?"."""
    if _exact(character, table) is not None:
        return character, False
    if unicodedata.category(character) in ("Cf", "Mn", "Me"):
        return "", False  # joiners, direction marks and variation selectors are invisible
    if character.isdecimal():
        return str(unicodedata.decimal(character)), False
    parts = _REWRITTEN.get(character) or unicodedata.normalize("NFKD", character)
    known = "".join(part for part in parts if part != " " and _exact(part, table) is not None)
    return known or "?", character not in _REWRITTEN or len(known) < len(parts)


def _exact(character: str, table: str) -> bytes | None:
    if " " <= character <= "~" and (character != "$" or table != LATIN):
        return character.encode()
    if table != LATIN:
        try:
            # The standard refers to ISO 8859 of 1987; these characters were added in 2003.
            return character.encode(_ISO_8859[table]) if character not in "€₯ͺ\xad" else None
        except UnicodeEncodeError:
            return None
    if character in _LATIN_SINGLE:
        return _LATIN_SINGLE[character]
    parts = unicodedata.normalize("NFD", character)
    if len(parts) == 2 and parts[1] in _LATIN_ACCENTS:
        code, letters = _LATIN_ACCENTS[parts[1]]
        return bytes([code]) + parts[0].encode() if parts[0] in letters else None
    return None
