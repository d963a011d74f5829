"""A normaliser for English in which ways of writing are no errors: numbers, contractions, symbols.

For texts of which one has "fifty six thousand", and the other "56,000": a recogniser decides how it writes.
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING

from tasks.transcripts.normaliser import normalise

if TYPE_CHECKING:
    from transformers.models.whisper.english_normalizer import EnglishTextNormalizer

ENGLISH_NORMALISER = "english-digits-1"
"""`words-lower-1`, then Whisper's English normaliser (Radford et al., 2022, appendix C) without its list of British and
American spellings, which no wheel contains; then every digit is a word."""

_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}\b)")
_NUMBER = re.compile(r"\b(?:\d+|one)\b")  # upstream writes "one" instead of 1


def normalise_english(text: str) -> str:
    """Normalise `text` to words separated by single spaces: `"It's 1504."` and `it is one five oh four` alike.

    Digits are apart because upstream joins a row of spoken ones to one number, but not "1-5-0-4".
    """
    english = normalise(_upstream()(normalise(_THOUSANDS.sub("", text))))
    return _NUMBER.sub(lambda number: " ".join(number[0].replace("one", "1")), english)


@cache
def _upstream() -> EnglishTextNormalizer:
    from transformers.models.whisper.english_normalizer import EnglishTextNormalizer

    return EnglishTextNormalizer({})
