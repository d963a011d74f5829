"""The characters of CEA-608 (47 CFR 79.101): standard ones in one byte, special and extended ones in two."""

from __future__ import annotations

import unicodedata

_REPLACED = {
    0x2A: "á", 0x5C: "é", 0x5E: "í", 0x5F: "ó", 0x60: "ú", 0x7B: "ç", 0x7C: "÷", 0x7D: "Ñ", 0x7E: "ñ", 0x7F: "█",
}  # fmt: skip
_SPECIAL = "®°½¿™¢£♪à èâêîôû"  # 11h 30h to 3Fh; 39h is a transparent space
_EXTENDED = {
    0x12: "ÁÉÓÚÜü‘¡*'—©℠•“”ÀÂÇÈÊËëÎÏïÔÙùÛ«»",
    0x13: "ÃãÍÌìÒòÕõ{}\\^_|~ÄäÖöß¥¤┃ÅåØø┏┓┗┛",
}  # by first byte, from 20h
_NO_MARKS = "©℠"  # their substitutes are letters: (C), SM


def standard(code: int) -> str:
    """Return the character of one byte, 20h to 7Fh."""
    return _REPLACED.get(code, chr(code))


def special(second: int) -> str:
    """Return a special character by its second byte, 30h to 3Fh."""
    return _SPECIAL[second - 0x30]


def extended(first: int, second: int) -> str:
    """Return an extended character; `first` is 12h or 13h."""
    return _EXTENDED[first][second - 0x20]


def is_substitute(character: str, extended_character: str) -> bool:
    """Whether the character before an extended one is its substitute for old decoders, which it then overwrites.

    The standard requires a substitute. Some encoders omit it, and the preceding letter must not be overwritten.
    """
    if extended_character.isalpha():
        base = unicodedata.normalize("NFD", extended_character)[0].lower()
        base = {"ø": "o", "ß": "s"}.get(base, base)
        return character.lower() == base or not (character.isalnum() or character == " ")
    return not character.isalnum() or extended_character in _NO_MARKS
