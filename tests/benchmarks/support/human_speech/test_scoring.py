"""What is scored as what."""

from __future__ import annotations

import numpy as np

from benchmarks.support.human_speech.programmes import Composition, Utterance
from benchmarks.support.human_speech.scoring import comparable, score, unordered_word_errors
from benchmarks.support.human_speech.systems import HeardWord, Hypothesis
from tasks.transcripts.spans import Span


def test_ideographs_are_words() -> None:
    assert comparable("砸自己的脚") == comparable("砸自己的 脚") == "砸 自 己 的 脚"


def test_a_bag_of_words_has_no_order() -> None:
    assert unordered_word_errors("a b c d", "c d a b").errors == 0
    found = unordered_word_errors("a b c d", "a b x")
    assert (found.substitutions, found.deletions, found.insertions, found.length) == (1, 1, 0, 4)


def test_words_far_from_speech_and_speech_far_from_words() -> None:
    speech = (Span(start_ms=1000, end_ms=4000), Span(start_ms=10_000, end_ms=16_000))
    content = Composition(np.zeros(1, np.float32), (Utterance("good evening", speech),))
    words = (
        HeardWord(text="Good", start_ms=1100, end_ms=1500),
        HeardWord(text="evening.", start_ms=1500, end_ms=2500),
        HeardWord(text="you", start_ms=6000, end_ms=6500),
        HeardWord(text="…", start_ms=7000, end_ms=7500),
    )
    found = score(content, Hypothesis(programme="a", words=words))
    assert (found.errors.errors, found.errors.insertions) == (1, 1)
    assert found.invented == 1
    assert (found.speech_s, found.uncovered_s) == (9.0, 6.5)


def test_where_nobody_speaks_every_word_is_invented() -> None:
    words = tuple(HeardWord(text="you", start_ms=n, end_ms=n + 100) for n in range(3))
    found = score(Composition(np.zeros(1, np.float32)), Hypothesis(programme="a", words=words))
    assert (found.invented, found.errors.insertions, found.uncovered_s) == (3, 3, 0.0)
