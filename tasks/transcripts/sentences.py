"""Sentence ends, and capitals for recognisers that write only lower case."""
# ruff: noqa: SIM905 - word lists read better as text

from __future__ import annotations

from collections.abc import Collection, Sequence

from tasks.transcripts.document import Word
from tasks.transcripts.text import primary_language

_CLOSERS = "\"')]}»”’›"
_MARKS = ".,;:!?…¿¡([{«“„‘" + _CLOSERS
_FINAL = (".", "!", "?", "…", "。", "！", "？", "؟", "۔", "।", "։")
_ABBREVIATIONS = frozenset(
    "approx. bzw. d.h. dr. e.g. i.e. jr. mlle. mme. mr. mrs. ms. prof. sig. sr. sra. st. vs. z.b.".split()
)
_FIRST_PERSON = frozenset("i i'm i'd i'll i've i’m i’d i’ll i’ve".split())


def ends_sentence(text: str, following: str | None = None) -> bool:
    """Whether a word ends its sentence. It does not if a lower-case word follows one with capitals."""
    bare = text.rstrip(_CLOSERS)
    if not bare.endswith(_FINAL):
        return False
    if bare.endswith("."):
        is_initial = len(bare) == 2 and bare[0].isupper() and bare[0] != "I"
        if is_initial or bare.lower() in _ABBREVIATIONS:
            return False
    return following is None or not following[:1].islower() or text.islower()


def with_capitals(
    words: Sequence[Word], language: str, names: Collection[str] = (), pause_ms: int = 1_000
) -> tuple[Word, ...]:
    """Capitalise sentence starts, and in English "I", if the recogniser wrote no capitals itself.

    `names` are vocabulary words whose spelling was given to the recogniser: their capitals do not count. Without
    punctuation, sentences start at a change of speaker and after a pause.
    """
    cased = (word.text for word in words if not word.text.islower() and word.text.lower() != word.text)
    if any(text.strip(_MARKS) not in names for text in cased):
        return tuple(words)
    english = primary_language(language) == "en"
    punctuated = any(ends_sentence(word.text) for word in words)
    capitalised: list[Word] = []
    before: Word | None = None
    for word in words:
        starts = (
            before is None
            or (ends_sentence(before.text) if punctuated else word.start_ms - before.end_ms >= pause_ms)
            or (word.speaker != before.speaker and None not in (word.speaker, before.speaker))
        )
        bare = word.text.rstrip(_MARKS)
        text = _capitalise(word.text) if starts or (english and bare in _FIRST_PERSON) else word.text
        capitalised.append(word if text == word.text else word.model_copy(update={"text": text}))
        before = word
    return tuple(capitalised)


def _capitalise(text: str) -> str:
    """Put the first letter in title case; opening quotes and brackets may precede it."""
    for index, character in enumerate(text):
        if character.isalnum():
            return text[:index] + character.title() + text[index + 1 :]
    return text
