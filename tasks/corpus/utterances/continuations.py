"""Songs, hyphenated words and names in capitals that only several captions together show."""

from __future__ import annotations

from collections.abc import Sequence

from tasks.corpus.records import Supervision
from tasks.corpus.utterances.hyphens import is_parted
from tasks.corpus.utterances.labels import names_in_capitals, without_names
from tasks.corpus.utterances.songs import without_songs_in

MAX_GAP_S = 0.8  # between the two captions of a hyphenated word


def with_spoken_texts(captions: Sequence[Supervision], language: str) -> list[tuple[Supervision, str]]:
    """Return the captions, ordered by time, each with its text without songs and with whole words.

    The second part of a hyphenated word moves to the caption where the word begins. If its own caption has no other
    words, the two captions are merged.
    """
    names = names_in_capitals(caption.text for caption in captions)
    texts = without_songs_in([(c.start_s, c.start_s if c.end_s is None else c.end_s, c.text) for c in captions])
    texts = [without_names(text, names) for text in texts]
    result: list[tuple[Supervision, str]] = []
    for caption, text in zip(captions, texts, strict=True):
        if result and _goes_on(*result[-1], caption, text, language):
            before, begin = result[-1]
            tail, *rest = text.split(maxsplit=1)
            result[-1] = (before, f"{begin.rstrip()[:-1]}{tail}")
            if not rest:
                result[-1] = (before.model_copy(update={"end_s": caption.end_s}), result[-1][1])
                continue
            text = rest[0]
        result.append((caption, text))
    return result


def _goes_on(before: Supervision, begin: str, caption: Supervision, text: str, language: str) -> bool:
    """Whether a word begins in one caption and ends in the next."""
    return (
        begin.endswith(("-", "\u00ad", " "))
        and before.end_s is not None
        and caption.end_s is not None
        and caption.start_s - before.end_s <= MAX_GAP_S
        and (before.speaker == caption.speaker or not (before.speaker and caption.speaker))
        and is_parted(begin, text, language)
    )
