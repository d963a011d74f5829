"""Numbers in words, as num2words spells them, but without hyphens and commas.

The transcripts of synthetic speech contain no digits, and the base model's alphabet has neither mark.
"""

from __future__ import annotations

from num2words import num2words


def cardinal(number: int) -> str:
    """`342` is "three hundred and forty two"."""
    return _unmarked(num2words(number))


def ordinal(number: int) -> str:
    """`21` is "twenty first"."""
    return _unmarked(num2words(number, to="ordinal"))


def year(number: int) -> str:
    """`1987` is "nineteen eighty seven", `2026` "twenty twenty six", `2004` "two thousand and four"."""
    return _unmarked(num2words(number, to="year"))


def _unmarked(words: str) -> str:
    return words.replace("-", " ").replace(",", "")
