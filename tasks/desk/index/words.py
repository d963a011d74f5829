"""What FTS5 takes for a word: where a script has no spaces, every character is one.

FTS5's tokeniser divides text at spaces and marks, so all of a Chinese sentence would be one word. With single
characters for words, a search for several of them is a search for a phrase. FTS5's trigrams would make the index
larger, and find no word of one or two characters, which most Chinese words have.
"""

from __future__ import annotations

import re
import unicodedata

# Thai and Lao, Tibetan, Myanmar, Khmer, kana, Han (with the extensions beyond 16 bits), half-width kana.
_BLOCKS = (
    (0x0E00, 0x0EFF),
    (0x0F00, 0x0FFF),
    (0x1000, 0x109F),
    (0x1780, 0x17FF),
    (0x3041, 0x30FF),
    (0x31F0, 0x31FF),
    (0x3400, 0x4DBF),
    (0x4E00, 0x9FFF),
    (0xF900, 0xFAFF),
    (0xFF66, 0xFF9F),
    (0x20000, 0x3FFFF),
)
_VOWELS = (chr(code) for first, last in _BLOCKS[:4] for code in range(first, last + 1))
_MARKS = "".join(sign for sign in _VOWELS if unicodedata.category(sign).startswith("M"))
SPACELESS = "".join(f"{chr(first)}-{chr(last)}" for first, last in _BLOCKS)
"""The letters of these scripts, for a regular expression's brackets."""
_CHARACTER = re.compile(f"[{SPACELESS}][{_MARKS}]*")


def spaced(text: str) -> str:
    """Return the text with spaces around each character of a script without spaces; vowel signs stay with theirs."""
    return text if text.isascii() else _CHARACTER.sub(r" \g<0> ", text)


def is_spaceless(character: str) -> bool:
    """Whether the character's script has no spaces."""
    return _CHARACTER.match(character) is not None
