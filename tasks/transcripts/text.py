"""Cleaning of words, joining them into text by the rules of their script, and display width."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache
from itertools import pairwise

# Removed from every word: control characters, the byte order mark, the two non-characters and surrogates (XML and
# UTF-8 cannot carry them), and bidirectional embeddings, overrides and isolates, which would reorder the text that
# follows. The marks U+200E and U+200F and the joiners stay: scripts need them.
UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ufeff\ufffe\uffff\ud800-\udfff]")

# Scripts written without spaces between words.
_UNSPACED = frozenset({"bo", "ja", "km", "lo", "my", "th", "yue", "zh"})
# In these, a recognised word is everything between two spaces.
_BY_PHRASE = frozenset({"bo", "km"})
# ASCII and Latin letters lie below: Latin words are separated by spaces in any language.
_LATIN_END = "\u0250"

# Languages written from right to left.
_RIGHT_TO_LEFT = frozenset({"ar", "ckb", "dv", "fa", "he", "ps", "sd", "ug", "ur", "yi"})


def clean(text: str) -> str:
    """Return the text on one line: whitespace runs become one space, unsafe characters are removed."""
    if text.isalnum():
        return text
    return " ".join(UNSAFE.sub("", " ".join(text.split())).split())


def primary_language(language: str) -> str:
    """Return the language without region or script: "en" for "en-GB" (BCP 47)."""
    return language.partition("-")[0].lower()


def separates_words(language: str) -> bool:
    """Whether the script separates words by spaces. If not, a "word" here is a piece of text of any size."""
    return primary_language(language) not in _UNSPACED


def space_between(before: str, after: str, language: str) -> str:
    """Return the separator of two words: a space; in scripts without spaces only between two Latin words."""
    is_latin = before[-1:] < _LATIN_END and after[:1] < _LATIN_END
    return " " if is_latin or primary_language(language) not in _UNSPACED - _BY_PHRASE else ""


def join(words: Iterable[str], language: str) -> str:
    texts = [*words]
    if primary_language(language) not in _UNSPACED - _BY_PHRASE:
        return " ".join(texts)
    spaces = [space_between(before, after, language) for before, after in pairwise(texts)]
    return "".join(part for pair in zip(texts, [*spaces, ""], strict=False) for part in pair)


def is_right_to_left(language: str) -> bool:
    return primary_language(language) in _RIGHT_TO_LEFT


@lru_cache(maxsize=1 << 16)
def display_width(text: str) -> int:
    """Return the columns of the text in a fixed-pitch font: wide East Asian characters and emoji count 2, marks 0.

    Source: Unicode Standard Annex #11, East Asian Width.
    """
    if text.isascii():
        return len(text)
    return sum(_character_width(character) for character in text)


def _character_width(character: str) -> int:
    if unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in ("W", "F") else 1
