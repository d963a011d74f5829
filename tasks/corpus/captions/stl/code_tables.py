"""Select the code table of a file: the declared one, unless its text is plausible only in another.

Many files declare table 00 (ISO 6937) but are encoded in Windows-1252, or in Windows-1254 for Turkish, whose bytes are
other letters in ISO 6937: "ş" becomes "ŋ", "é" becomes "Ø".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from tasks.corpus.utterances.text import LETTERS
from tasks.media.languages import same_language
from tasks.transcripts.formats.stl_characters import LATIN, TABLES, decode

SCORED_BYTES = 1 << 18
_RESERVED = bytes(range(0x86, 0xA0))
# Lower case: the ISO 6937 readings of Windows-1252's accented letters that no supported language uses.
_NEVER_TEXT = frozenset("ĸŧŋŉŀĳħþð⅛⅜⅝⅞←↑→↓¬¦¤µ±¶ω")
_ICELANDIC = frozenset("þð")


@dataclass(frozen=True)
class CodeTable:
    """A code table of text fields."""

    name: str
    decode: Callable[[bytes], tuple[str, int]]
    """Returns the text and the number of codes undefined in the table."""


def select_code_table(declared: str, language: str, texts: Sequence[bytes]) -> tuple[CodeTable, str]:
    """Return the table for a file's texts, and a remark if it is not the declared one."""
    declared = declared.strip().zfill(2)
    table = CodeTable(declared, lambda data: decode(_remove_reserved(data), declared if declared in TABLES else LATIN))
    if declared in TABLES and declared != LATIN:
        return table, ""
    latin = CodeTable("ISO 6937", table.decode)
    page = "cp1254" if same_language(language, "tr") else "cp1252"
    windows = CodeTable(page.replace("cp", "Windows-"), lambda data: _decode_windows(data, page))
    sample = b" ".join(texts)[:SCORED_BYTES]
    as_latin, as_windows = (_Implausibility.of(table, sample, language) for table in (latin, windows))
    n_reserved = len(sample) - len(_remove_reserved(sample))
    as_latin = replace(as_latin, n_garbled=as_latin.n_garbled + n_reserved)
    if declared == LATIN and not (as_latin.is_garbled and 2 * as_windows.total < as_latin.total):
        return latin, ""
    chosen = windows if as_windows.total < as_latin.total else latin
    return chosen, f"the text is decoded as {chosen.name}, though its header declares the code table {declared!r}"


def _remove_reserved(data: bytes) -> bytes:
    """Remove the codes that STL reserves. In Windows' tables some are letters and quotes: œ, ’."""
    return data.translate(None, _RESERVED)


def _decode_windows(data: bytes, page: str) -> tuple[str, int]:
    text = data.decode(page, "replace")
    return text.replace("\ufffd", ""), text.count("\ufffd")


@dataclass(frozen=True)
class _Implausibility:
    """How implausible a text is in its language."""

    n_garbled: int
    """Undefined characters, capitals inside words, and characters that do not occur in text."""
    n_foreign: int
    """Letters outside the language's alphabet, which may still occur in names."""

    @classmethod
    def of(cls, table: CodeTable, sample: bytes, language: str) -> _Implausibility:
        text, n_undefined = table.decode(sample)
        primary = re.split("[-_]", language.lower())[0]
        letters, never = LETTERS.get(primary), _NEVER_TEXT - (_ICELANDIC if primary in ("is", "fo") else frozenset())
        others = [character.lower()[0] for character in text if not character.isascii()]
        n_capitals = sum(a.islower() and b.isupper() and not b.isascii() for a, b in pairwise(text))
        n_never = sum(character in never for character in others)
        n_foreign = 0 if letters is None else sum(c.isalpha() and c not in letters for c in others)
        return cls(n_undefined + n_capitals + n_never, n_foreign)

    @property
    def is_garbled(self) -> bool:
        return self.n_garbled > 0

    @property
    def total(self) -> int:
        return self.n_garbled + self.n_foreign
