"""Sentences of a small channel's programmes: news, weather, sport and talk, in written form.

A template holds slots in braces; a slot is filled from its list, whose entries may hold slots again.
Numbers are spelled out, so the words that are written are the words that are spoken.

Every sentence belongs to one side by its own hash: the archive's sentences and the inbox's never meet.
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
    """Whose sentence it is, by its words alone."""
    words = " ".join(re.findall(r"[a-z']+", sentence.lower()))
    digest = hashlib.sha256(words.encode()).digest()
    return Side.INBOX if digest[0] % INBOX_SHARE == 0 else Side.ARCHIVE


def sentence(slot: str, side: Side, rng: random.Random) -> str:
    """One sentence of a kind that belongs to the side, with its capital and its mark."""
    for _ in range(1000):
        text = _ARTICLE.sub(_article, _expand("{" + slot + "}", rng))
        if side_of(text) is side:
            return text[0].upper() + text[1:]
    raise ValueError(f"grammar: {slot!r} has hardly a sentence for the {side}; give it more entries")


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
