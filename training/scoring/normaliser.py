"""The text normaliser that scoring uses on references and hypotheses alike.

Its name and version stand in every evaluation: two error rates compare only under the same normaliser.
"""

from __future__ import annotations

import unicodedata

NORMALISER = "words-lower-1"
"""Compatibility forms (NFKC), lower case; apostrophes inside words stay; every other mark parts words."""

_APOSTROPHES = "\u2019\u2018\u02bc\u0060\u00b4"
_TO_APOSTROPHE = str.maketrans(dict.fromkeys(_APOSTROPHES, "'"))


def normalise(text: str) -> str:
    """Words of `text`, parted by single spaces: `"It’s 10-year-old news."` becomes `it's 10 year old news`.

    Numbers are not spelled out and spellings not unified: references are written as they are spoken.
    """
    text = unicodedata.normalize("NFKC", text.translate(_TO_APOSTROPHE)).casefold()
    text = unicodedata.normalize("NFKC", text).translate(_TO_APOSTROPHE)  # both steps may leave work for the other
    kept = "".join(c if c == "'" or _is_word(c) else " " for c in text)
    return " ".join(word for raw in kept.split() if (word := raw.strip("'")))


def _is_word(character: str) -> bool:
    return unicodedata.category(character)[0] in "LNM"
