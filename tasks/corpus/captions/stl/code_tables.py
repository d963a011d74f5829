"""The code table of a file's text: the declared one, unless its text makes sense only in another.

Many files declare table 00 (ISO 6937) and hold Windows-1252, or Windows-1254 in Turkish, whose bytes are other letters
in ISO 6937: "ş" becomes "ŋ", "é" becomes "Ø".
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from tasks.corpus.utterances.text import LETTERS
from tasks.media.languages import same_language
from tasks.transcripts.formats.stl_characters import LATIN, TABLES, decode

SCORED_BYTES = 1 << 18
_NEVER_TEXT = frozenset("ĸŧŋŉŀĳħþ⅛⅜⅝⅞←↑→↓¬¦¤µ±¶ω")  # in lower case, for languages without a known alphabet


@dataclass(frozen=True)
class CodeTable:
    """A code table of text fields."""

    name: str
    decode: Callable[[bytes], tuple[str, int]]
    """Returns the text, and the number of codes that the table does not have."""


def code_table(declared: str, language: str, texts: Sequence[bytes]) -> tuple[CodeTable, str]:
    """Return the table of a file's texts, and a remark if it is not the declared one."""
    declared = declared.strip().zfill(2)
    table = CodeTable(declared, lambda data: decode(data, declared if declared in TABLES else LATIN))
    if declared in TABLES and declared != LATIN:
        return table, ""
    latin = CodeTable("ISO 6937", table.decode)
    page = "cp1254" if same_language(language, "tr") else "cp1252"
    windows = CodeTable(page.replace("cp", "Windows-"), lambda data: _decode_windows(data, page))
    sample = b" ".join(texts)[:SCORED_BYTES]
    chosen = min((latin, windows), key=lambda t: _oddity(t, sample, language))  # the first if both are as good
    if chosen is latin and declared == LATIN:
        return latin, ""
    return chosen, f"the text is read as {chosen.name}, though its header declares the code table {declared!r}"


def _decode_windows(data: bytes, page: str) -> tuple[str, int]:
    text = data.decode(page, "replace")
    return text.replace("\ufffd", ""), text.count("\ufffd")


def _oddity(table: CodeTable, sample: bytes, language: str) -> int:
    """How many characters are undefined, foreign to the language, or capitals inside a word."""
    text, n_undefined = table.decode(sample)
    letters = LETTERS.get(re.split("[-_]", language.lower())[0])
    n_foreign = sum(not character.isascii() and _is_foreign(character, letters) for character in text)
    n_capitals = sum(a.islower() and b.isupper() and not (a + b).isascii() for a, b in pairwise(text))
    return n_undefined + n_foreign + n_capitals


def _is_foreign(character: str, letters: str | None) -> bool:
    lower = character.lower()[:1]
    if letters is None:
        return lower in _NEVER_TEXT
    return unicodedata.category(character) in ("Ll", "Lu", "Lo", "No", "Sm", "Cc") and lower not in letters
