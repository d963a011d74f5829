"""The text normaliser that every comparison of words applies to references and hypotheses.

Every evaluation records its name and version: error rates are comparable only under the same normaliser.
"""

from __future__ import annotations

import unicodedata

NORMALISER = "words-lower-1"
"""NFKC and lower case; apostrophes inside words stay, every other mark separates words."""

_APOSTROPHES = "\u2019\u2018\u02bc\u0060\u00b4"
_TO_APOSTROPHE = str.maketrans(dict.fromkeys(_APOSTROPHES, "'"))


def normalise(text: str) -> str:
    """Normalise `text` to words separated by single spaces: `"It’s 10-year-old news."` -> `it's 10 year old news`.

    Numbers are not spelled out and spellings not unified: references are verbatim transcripts.
    """
    text = unicodedata.normalize("NFKC", text.translate(_TO_APOSTROPHE)).casefold()
    text = unicodedata.normalize("NFKC", text).translate(_TO_APOSTROPHE)  # casefold can undo NFKC
    kept = "".join(c if c == "'" or _is_word(c) else " " for c in text)
    return " ".join(word for raw in kept.split() if (word := raw.strip("'")))


def _is_word(character: str) -> bool:
    return unicodedata.category(character)[0] in "LNM"
