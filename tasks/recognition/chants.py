"""Chants and other true repetitions, told from decoding loops by their times.

A loop puts more repetitions into the speech than can be said, or piles them up in a few frames: the attention from
which times are derived stands still. Of the loops into which Whisper base was prompted on speech, faint speech and
noise, all seven had many words of no length. A crowd that chants a slogan keeps a pace that can be spoken.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from statistics import median

from tasks.recognition.engine import RecognisedWord

MAX_PHRASE_WORDS = 8
MIN_REPEATS = 3
KEPT_REPEATS = 2
# Of a chant. Fast readers reach 20; a loop may also be spread thinly over a long window.
MIN_CHARACTERS_PER_S, MAX_CHARACTERS_PER_S = 4.0, 18.0
MIN_REGULAR_SHARE = 0.75  # of the periods that are at least half and at most twice the median
MIN_WORD_MS, MAX_BRIEF_SHARE = 40, 0.1  # share of words that are shorter
TOLERANCE = 1.1  # speech may be detected a little shorter than the words are


def without_chants(words: Sequence[RecognisedWord], speech_ms: float) -> list[RecognisedWord]:
    """Return the words with each phrase that is repeated at a pace that can be spoken reduced to two repetitions.

    `speech_ms`: speech in the chunk; repetitions that last longer than that are no chant.
    """
    texts = ["".join(filter(str.isalnum, word.text.casefold())) or word.text for word in words]
    kept: list[RecognisedWord] = []
    at = 0
    while at < len(words):
        n_words, repeats = _longest_run(texts, at)
        run = [words[at + n_words * index : at + n_words * (index + 1)] for index in range(repeats)]
        is_chant = repeats >= MIN_REPEATS and _can_be_spoken(run, speech_ms)
        n_kept = KEPT_REPEATS if is_chant else repeats
        kept += words[at : at + n_kept * n_words]
        at += repeats * n_words
    return kept


def _longest_run(texts: Sequence[str], at: int) -> tuple[int, int]:
    """Return the length in words and the repeats of the phrase from `at` on whose repetitions cover most words."""
    best = (1, 1)
    for n_words in range(1, min(MAX_PHRASE_WORDS, (len(texts) - at) // 2) + 1):
        phrase, repeats = texts[at : at + n_words], 1
        while texts[at + n_words * repeats : at + n_words * (repeats + 1)] == phrase:
            repeats += 1
        if repeats > 1 and n_words * repeats > best[0] * best[1]:
            best = (n_words, repeats)
    return best


def _can_be_spoken(run: Sequence[Sequence[RecognisedWord]], speech_ms: float) -> bool:
    """Whether the repetitions follow each other regularly, at a pace of speech, and fit into the chunk's speech."""
    periods_ms = [after[0].start_ms - before[0].start_ms for before, after in pairwise(run)]
    period_ms = median(periods_ms)
    n_characters = sum(len(word.text) + 1 for word in run[0])
    n_regular = sum(period_ms / 2 <= one <= 2 * period_ms for one in periods_ms)
    spoken_ms = sum(phrase[-1].end_ms - phrase[0].start_ms for phrase in run)
    n_brief = sum(word.end_ms - word.start_ms < MIN_WORD_MS for phrase in run for word in phrase)
    return (
        n_brief <= MAX_BRIEF_SHARE * sum(map(len, run))
        and MIN_CHARACTERS_PER_S * period_ms <= n_characters * 1000 <= MAX_CHARACTERS_PER_S * period_ms
        and n_regular >= MIN_REGULAR_SHARE * len(periods_ms)
        and spoken_ms <= TOLERANCE * speech_ms
    )
