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
_NO_MARKS = "©℠"  # replaced by letters, (C) and SM, where a decoder does not know them


def standard(code: int) -> str:
    """A character in one byte of 20h to 7Fh."""
    return _REPLACED.get(code, chr(code))


def special(second: int) -> str:
    """A special character by its second byte, 30h to 3Fh."""
    return _SPECIAL[second - 0x30]


def extended(first: int, second: int) -> str:
    """An extended character; `first` is 12h or 13h."""
    return _EXTENDED[first][second - 0x20]


def is_substitute(character: str, extended_character: str) -> bool:
    """Whether the character before an extended one stands for it on old decoders, which the extended one overwrites.

    The standard demands one always. Some encoders forget it, and the letter before must not be lost then.
    """
    if extended_character.isalpha():
        base = unicodedata.normalize("NFD", extended_character)[0].lower()
        base = {"ø": "o", "ß": "s"}.get(base, base)
        return character.lower() == base or not (character.isalnum() or character == " ")
    return not character.isalnum() or extended_character in _NO_MARKS
