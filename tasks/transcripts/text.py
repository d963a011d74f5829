"""What a word's text may hold, how words join into text, and how wide text is on a screen."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache

# Taken out of every word: controls, the byte order mark, the two non-characters and the surrogates (XML and
# UTF-8 cannot carry them), and the bidirectional embeddings, overrides and isolates, which would reorder
# whatever a reader prints after them. The marks U+200E and U+200F and the joiners stay: scripts need them.
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ufeff\ufffe\uffff\ud800-\udfff]")

# Scripts written without spaces between words.
_UNSPACED = frozenset({"bo", "ja", "km", "lo", "my", "th", "yue", "zh"})

# Languages written from right to left.
_RIGHT_TO_LEFT = frozenset({"ar", "ckb", "dv", "fa", "he", "ps", "sd", "ug", "ur", "yi"})


def clean(text: str) -> str:
    """The text on one line: whitespace runs (line breaks too) become one space, unsafe characters go."""
    if text.isalnum():
        return text
    return " ".join(_UNSAFE.sub("", " ".join(text.split())).split())


def primary_language(language: str) -> str:
    """The language without its region or script: "en" of "en-GB" (BCP 47)."""
    return language.partition("-")[0].lower()


def separator(language: str) -> str:
    """What stands between two words: a space, or nothing in scripts that write none."""
    return "" if primary_language(language) in _UNSPACED else " "


def join(words: Iterable[str], language: str) -> str:
    return separator(language).join(words)


def is_right_to_left(language: str) -> bool:
    return primary_language(language) in _RIGHT_TO_LEFT


@lru_cache(maxsize=1 << 16)
def display_width(text: str) -> int:
    """Columns the text takes in a fixed-pitch font: wide East Asian characters and emoji two, marks none.

    Source: Unicode Standard Annex #11, East Asian Width.
    """
    if text.isascii():
        return len(text)
    return sum(_character_width(character) for character in text)


def _character_width(character: str) -> int:
    if unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in ("W", "F") else 1
