"""A programme's chunks on their way through the engine: the vote on its language, and the ladder of the doubtful."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.night.hearing import Hearing, Piece
from tasks.night.steps.recognise import hear
from tasks.recognition import Hints, Recognition, Word
from tasks.recognition.quality import Sign
from tasks.transcripts.document import WordTiming
from tasks.transcripts.spans import Span
from tests.tasks.night.builders import preparation

TEXT = "good evening here is the news of the day from all over the land"
LOOP = "thank you for watching " * 10


def spoken(text: str, length_ms: int) -> tuple[Word, ...]:
    texts = text.split()
    each_ms = length_ms // max(len(texts), 1)
    return tuple(Word(t, n * each_ms, (n + 1) * each_ms, 0.9, WordTiming.CTC) for n, t in enumerate(texts))


class Scripted:
    """An engine that says what its script says of a chunk of so many seconds, usual or careful."""

    tells_languages, portion_s = False, 3.0
    name, longest_chunk_s, join_pause_s, has_fixed_window = "scripted", 30.0, 0.6, False

    def __init__(self, script: dict[tuple[int, bool], str]) -> None:
        self.script = script
        self.calls: list[tuple[list[int], set[str | None], bool]] = []

    def languages(self, chunks: Iterable[np.ndarray]) -> list[dict[str, float]]:
        return []

    def recognise(
        self, chunks: Sequence[np.ndarray], hints: Sequence[Hints] | None = None, careful: bool = False
    ) -> list[Recognition]:
        lengths_s = [round(len(chunk) / 16_000) for chunk in chunks]
        self.calls.append((lengths_s, {hint.language for hint in hints or ()}, careful))
        return [
            Recognition(spoken(self.script.get((s, careful), TEXT), len(c) // 16), "en")
            for s, c in zip(lengths_s, chunks, strict=True)
        ]


def heard(engine: Scripted, *lengths_s: int, given: str | None = None) -> list[tuple[str, tuple[Sign, ...], bool]]:
    """Chunks of silence: their halves are a quarter and the rest."""
    hearing = voting(1, given)
    hearing.vote([{"en": 1.0}])
    pieces, at_ms = [], 0
    for length_s in lengths_s:
        span = Span(start_ms=at_ms, end_ms=at_ms + 1000 * length_s)
        pieces.append(Piece(hearing, span, (span,), np.zeros(16_000 * length_s, np.float32)))
        at_ms = span.end_ms
    return [(found.text, signs, again) for _, found, signs, again in hear(engine, pieces)]


def test_what_is_believed_is_heard_once() -> None:
    engine = Scripted({})
    assert heard(engine, 10, 12) == [(TEXT, (), False)] * 2
    assert engine.calls == [([10, 12], {"en"}, False)]


def test_only_what_fails_is_heard_again_in_halves() -> None:
    engine = Scripted({(20, False): LOOP})
    good, looped = heard(engine, 12, 20)
    assert good == (TEXT, (), False)
    assert looped == (f"{TEXT} {TEXT}", (), True)
    assert [(lengths, careful) for lengths, _, careful in engine.calls] == [([12, 20], False), ([5, 15], False)]
    assert engine.calls[-1][1] == {"en"}, "each half in the language of the programme"


def test_what_fails_in_halves_is_heard_carefully() -> None:
    engine = Scripted({(20, False): LOOP, (5, False): LOOP, (15, False): LOOP})
    assert heard(engine, 20) == [(f"{TEXT} {TEXT}", (), True)]
    assert [careful for _, _, careful in engine.calls] == [False, False, True]
    assert engine.calls[-1][1] == {None}, "each half in the language that is heard in it"


def test_a_language_that_was_given_wins_over_the_vote_on_every_rung() -> None:
    engine = Scripted(dict.fromkeys(itertools.product((20, 5, 15), (False, True)), LOOP))
    heard(engine, 20, given="cy")  # the vote says en
    assert [languages for _, languages, _ in engine.calls] == [{"cy"}] * 3


def test_what_stays_doubtful_is_kept_and_marked() -> None:
    engine = Scripted(dict.fromkeys(itertools.product((20, 5, 15), (False, True)), LOOP))
    ((text, signs, again),) = heard(engine, 20)
    assert text == LOOP.strip()
    assert {Sign.COMPRESSES, Sign.REPEATED_WORDS} <= set(signs)
    assert again


def unsure(text: str, speech_ms: int, confidence: float) -> tuple[str, tuple[Sign, ...]]:
    """A chunk of 10 s whose halves have no words for the engine."""
    span, hearing = Span(start_ms=0, end_ms=10_000), voting(1)

    class Unsure(Scripted):
        def recognise(self, chunks: Sequence[np.ndarray], *others: object) -> list[Recognition]:  # type: ignore[override]
            found = super().recognise(chunks)
            return [Recognition(tuple(replace(w, confidence=confidence) for w in r.words)) for r in found]

    engine = Unsure({(10, False): text, **dict.fromkeys(itertools.product((2, 3, 7, 8), (False, True)), "")})
    piece = Piece(hearing, span, (Span(start_ms=0, end_ms=speech_ms),), np.zeros(160_000, np.float32))
    ((_, found, signs, _),) = hear(engine, [piece])
    return found.text, signs


def test_words_that_are_not_heard_again_are_kept_and_marked() -> None:
    """Two seconds of speech need no word, so silence shows no sign."""
    assert unsure("fire in brixton tonight", 1_900, 0.2) == ("fire in brixton tonight", (Sign.IMPROBABLE,))
    assert unsure("no no no no no", 1_900, 0.9) == ("no no no no no", (Sign.REPEATED_WORDS,))


def test_words_where_nobody_speaks_may_be_taken_back() -> None:
    assert unsure("thank you for watching", 0, 0.9) == ("", ())


def test_speech_that_words_pass_over_is_heard_again() -> None:
    engine = Scripted({})
    hearing = Hearing(preparation(), "en")
    span = Span(start_ms=0, end_ms=20_000)
    piece = Piece(hearing, span, (span,), np.zeros(320_000, np.float32))
    early = tuple(Word(w.text, w.start_ms // 4, w.end_ms // 4, 0.9, w.timing) for w in spoken(TEXT, 20_000))
    assert piece.doubts(early) == (Sign.SPEECH_PASSED_OVER,)
    assert piece.doubts(spoken(TEXT, 20_000)) == ()
    assert engine.calls == []


def voting(n_chunks: int, given: str | None = None) -> Hearing:
    hearing = Hearing(preparation(), given)
    hearing.chunks = tuple(Span(start_ms=n * 30_000, end_ms=n * 30_000 + 25_000) for n in range(n_chunks))
    return hearing


@given(st.integers(1, 3000))
def test_ballots_come_from_the_whole_programme(n_chunks: int) -> None:
    hearing = voting(n_chunks)
    ballots = hearing.ballots
    assert len(set(ballots)) == len(ballots) == min(n_chunks, max(3, min(12, n_chunks // 6)))
    assert list(ballots) == sorted(ballots, key=lambda ballot: ballot.start_ms)
    third_ms = n_chunks * 30_000 / 3
    if n_chunks >= 9:
        assert {int(ballot.start_ms // third_ms) for ballot in ballots} == {0, 1, 2}


def test_an_opening_in_another_language_does_not_decide() -> None:
    hearing = voting(60)
    said = [{"de": 0.95, "en": 0.05} if b.start_ms < 300_000 else {"en": 0.9, "cy": 0.1} for b in hearing.ballots]
    hearing.vote(said)
    assert hearing.hints.language == "en"


def test_without_ballots_nothing_is_settled() -> None:
    hearing = voting(3)
    hearing.vote([])
    assert hearing.hints.language is None


@pytest.mark.parametrize("n", [0, 1])
def test_a_programme_without_chunks_votes_nothing(n: int) -> None:
    assert len(voting(n).ballots) == n
