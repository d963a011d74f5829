"""The five character code tables of EBU STL (Tech 3264, appendix 2), and what stands in for others.

Table 00 is ISO 6937/2 (1983): ASCII, but with the dollar at A4h, 89 more characters in one byte, and accented
letters in two, the accent first. Tables 01 to 04 are ISO 8859 parts 5 to 8.
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
# The accent's byte and the letters that may follow it, by the accent's combining character.
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
# Written otherwise without loss of meaning. Romanian's comma below was typed as a cedilla before Unicode had
# it.
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
    """The number of the table that loses the fewest of the text's characters; Latin where they are equal."""
    counts = Counter(unicodedata.normalize("NFC", text))
    return min(TABLES, key=lambda table: sum(n for character, n in counts.items() if shown(character, table)[1]))


def encode(text: str, table: str) -> tuple[list[bytes], int]:
    """The text as codes, one for each cell of the screen, and how many characters were lost."""
    cells = [shown(character, table) for character in unicodedata.normalize("NFC", text)]
    codes = [_exact(part, table) or b"?" for parts, _ in cells for part in parts]
    return codes, sum(is_lost for _, is_lost in cells)


def written_out(text: str, table: str) -> str:
    """The text in characters of the table alone, one for each cell of the screen."""
    return "".join(shown(character, table)[0] for character in unicodedata.normalize("NFC", text))


@lru_cache(maxsize=1 << 12)
def shown(character: str, table: str) -> tuple[str, bool]:
    """What of a table stands for the character, and whether it is lost: without its accents, or a question mark."""
    if _exact(character, table) is not None:
        return character, False
    if unicodedata.category(character) in ("Cf", "Mn", "Me"):
        return "", False  # a joiner, a direction mark or a selector has nothing to show by itself
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
            return character.encode(_ISO_8859[table]) if character not in "€₯ͺ\xad" else None  # of 2003, not 1987
        except UnicodeEncodeError:
            return None
    if character in _LATIN_SINGLE:
        return _LATIN_SINGLE[character]
    parts = unicodedata.normalize("NFD", character)
    if len(parts) == 2 and parts[1] in _LATIN_ACCENTS:
        code, letters = _LATIN_ACCENTS[parts[1]]
        return bytes([code]) + parts[0].encode() if parts[0] in letters else None
    return None
