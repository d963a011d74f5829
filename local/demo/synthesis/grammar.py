"""Sentences of the channel's programmes (news, weather, sport, talk) in written form, from a template grammar.

A slot in braces is filled from its list in the lexicon, whose entries may contain slots. Numbers are spelled out, so
that the written words are the spoken ones.

The hash of a sentence assigns it to archive or inbox, so that the two share none.
"""

from __future__ import annotations

import hashlib
import random
import re
from enum import StrEnum

from local.demo.synthesis.lexicon import LEXICON
from local.demo.synthesis.numerals import cardinal, ordinal

INBOX_SHARE = 4  # one sentence in four is the inbox's

_ARTICLE = re.compile(r"\ban? (?=(\w))")
_SLOT = re.compile(r"\{(\w+)\}")
_NUMBERS = {"small": (2, 12), "medium": (13, 99), "hundreds": (1, 9), "degrees": (2, 31), "hour": (1, 12)}


class Side(StrEnum):
    ARCHIVE = "archive"
    INBOX = "inbox"


def side_of(sentence: str) -> Side:
    """The side of a sentence, which depends only on its words."""
    words = " ".join(re.findall(r"[a-z']+", sentence.lower()))
    digest = hashlib.sha256(words.encode()).digest()
    return Side.INBOX if digest[0] % INBOX_SHARE == 0 else Side.ARCHIVE


def sentence(slot: str, side: Side, rng: random.Random) -> str:
    """A random sentence of the slot that belongs to the side, capitalised and punctuated."""
    for _ in range(1000):
        text = _ARTICLE.sub(_article, _expand("{" + slot + "}", rng))
        if side_of(text) is side:
            return text[0].upper() + text[1:]
    raise ValueError(f"grammar: {slot!r} has too few sentences for the {side}; add entries to the lexicon")


def _article(match: re.Match[str]) -> str:
    return "an " if match[1] in "aeiou" else "a "


def _expand(template: str, rng: random.Random) -> str:
    return _SLOT.sub(lambda match: _fill(match[1], rng), template)


def _fill(slot: str, rng: random.Random) -> str:
    if slot in _NUMBERS:
        number = cardinal(rng.randint(*_NUMBERS[slot]))
        return number + " hundred" if slot == "hundreds" else number
    if slot == "date":
        return ordinal(rng.randint(1, 31))
    return _expand(rng.choice(LEXICON[slot]), rng)
