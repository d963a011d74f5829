"""Supervisions to utterances: what is joined, padded and dropped, and that nothing vanishes."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.contract import Reason
from tasks.corpus.captions.problems import TranscriptProblem
from tasks.corpus.records import Supervision
from tasks.corpus.utterances.cutting import PAD_MS, CutRules, CutUtterance, covered_ms, cut, pad
from tasks.corpus.utterances.text import normaliser_for

RULES = CutRules(
    normaliser=normaliser_for("en"),
    min_duration_ms=300,
    max_duration_ms=20_000,
    join_duration_ms=12_000,
    min_characters_per_s=1.0,
    max_characters_per_s=25.0,
)


def cue(start_s: float, end_s: float | None, text: str = "some words here", speaker: str = "") -> Supervision:
    return Supervision(start_s=start_s, end_s=end_s, text=text, speaker=speaker)


def spans(utterances: list[CutUtterance]) -> list[tuple[int, int | None]]:
    return [(u.start_ms, u.end_ms) for u in utterances]


def test_captions_that_follow_each_other_become_one_utterance() -> None:
    kept, dropped = cut([cue(1, 3), cue(3.2, 5), cue(5, 7, "the end.")], RULES, join=True)
    assert spans(kept) == [(900, 7100)]
    assert kept[0].text == "some words here some words here the end."
    assert dropped == []


def test_manifests_are_not_joined() -> None:
    kept, _ = cut([cue(1, 3), cue(3, 5)], RULES, join=False)
    assert spans(kept) == [(900, 3000), (3000, 5100)]


@pytest.mark.parametrize(
    "second",
    [
        cue(4.0, 6.0),  # a second of silence in between
        cue(3.0, 13.5),  # longer than the join duration
        cue(3.0, 5.0, speaker="ben"),
    ],
)
def test_captions_that_are_not_joined(second: Supervision) -> None:
    kept, _ = cut([cue(1, 3, speaker="ann"), second], RULES, join=True)
    assert len(kept) == 2


def test_a_long_utterance_ends_at_a_sentence() -> None:
    cues = [cue(0, 4, "one two three"), cue(4, 8, "four five six."), cue(8, 11, "seven eight nine")]
    kept, _ = cut(cues, RULES, join=True)
    assert [u.text for u in kept] == ["one two three four five six.", "seven eight nine"]


def test_neighbours_of_a_dropped_caption_are_not_joined() -> None:
    kept, dropped = cut([cue(0, 2), cue(2, 2.5, "in 1987"), cue(2.5, 5)], RULES, join=True)
    assert spans(kept) == [(0, 2100), (2400, 5100)]
    assert [d.reason for d in dropped] == [Reason.ALPHABET]


@pytest.mark.parametrize(
    "problem",
    [
        TranscriptProblem(6, "no length", start_s=2.7, end_s=2.7, after_s=1.0),
        TranscriptProblem(6, "times in the wrong order", start_s=3.2, end_s=2.7),
        TranscriptProblem(6, "a wrong minute", start_s=62.7, end_s=3.2, after_s=1.0),
        TranscriptProblem(6, "no times", after_s=1.0),
        TranscriptProblem(6, "no begin", end_s=3.2),
    ],
)
def test_neighbours_of_words_that_no_caption_holds_are_not_joined(problem: TranscriptProblem) -> None:
    kept, _ = cut([cue(1, 2.6), cue(3.3, 5.4), cue(5.5, 7)], RULES, join=True, problems=[problem])
    assert spans(kept) == [(900, 2700), (3200, 7100)]


def test_words_at_the_begin_of_a_caption_part_it_on_both_sides() -> None:
    """Their words may have been spoken before or after it."""
    problem = TranscriptProblem(6, "no length", start_s=3.3, end_s=3.3)
    kept, _ = cut([cue(1, 2.6), cue(3.3, 5.4), cue(5.4, 7)], RULES, join=True, problems=[problem])
    assert spans(kept) == [(900, 2700), (3200, 5400), (5400, 7100)]


def test_a_problem_elsewhere_parts_no_captions() -> None:
    problems = [TranscriptProblem(1, "first", start_s=0.5), TranscriptProblem(9, "last", after_s=3.3)]
    kept, _ = cut([cue(1, 2.6), cue(3.3, 5.4)], RULES, join=True, problems=problems)
    assert spans(kept) == [(900, 5500)]


def test_a_caption_that_lacks_words_of_its_time_is_dropped() -> None:
    inside = TranscriptProblem(6, "no length", start_s=2.7, end_s=2.7, after_s=1.0)
    kept, dropped = cut([cue(1, 4), cue(4.1, 6)], RULES, join=True, problems=[inside])
    assert spans(kept) == [(4000, 6100)]
    assert [(d.reason, "line 6" in d.detail) for d in dropped] == [(Reason.OVERLAP, True)]


def test_a_song_over_several_captions_is_dropped_whole() -> None:
    texts = ["♪ I walk along", "and the river runs", "and never stops ♪", "good evening"]
    kept, dropped = cut([cue(n * 3, n * 3 + 2.8, text) for n, text in enumerate(texts)], RULES, join=True)
    assert [u.text for u in kept] == ["good evening"]
    assert [d.reason for d in dropped] == [Reason.TRANSCRIPT_EMPTY] * 3


@pytest.mark.parametrize(
    ("supervision", "reason"),
    [
        (cue(0, 0.05, "x"), Reason.TOO_SHORT),
        (cue(0, 21), Reason.TOO_LONG),
        (cue(0, 1, "far too much text for a second of speech"), Reason.CHARACTER_RATE),
        (cue(0, 19, "hm"), Reason.CHARACTER_RATE),
        (cue(0, 2, "[applause]"), Reason.TRANSCRIPT_EMPTY),
        (cue(0, 2, "news at 10"), Reason.ALPHABET),
        (cue(-5, -2), Reason.TRANSCRIPT_OUT_OF_RANGE),
    ],
)
def test_reasons(supervision: Supervision, reason: Reason) -> None:
    kept, dropped = cut([supervision], RULES, join=True)
    assert kept == []
    assert [d.reason for d in dropped] == [reason]


@pytest.mark.parametrize("join", [True, False])
def test_overlapping_cues_are_dropped(join: bool) -> None:
    lone, two, at_once = cue(0, 2, "all alone here"), cue(4, 6, "one of two"), cue(4.5, 7, "the other one")
    kept, dropped = cut([lone, two, at_once, two, cue(9, 11), cue(9, 11)], RULES, join=join)
    assert [u.text for u in kept] == ["all alone here", "some words here"]
    assert sorted(d.reason for d in dropped) == [Reason.DUPLICATE, Reason.DUPLICATE, Reason.OVERLAP, Reason.OVERLAP]


def test_many_overlapping_cues_do_not_exceed_their_span() -> None:
    cues = [cue(n * 0.02, n * 0.02 + 5, f"word number {'abcdefghij'[n % 10]}") for n in range(300)]
    kept, dropped = cut([*cues, cue(20, 22)], RULES, join=False)
    assert spans(kept) == [(19_900, 22_100)]
    assert {d.reason for d in dropped} == {Reason.OVERLAP}


def test_of_lines_without_times_one_is_used() -> None:
    kept, dropped = cut([cue(0, None)] * 3, RULES, join=False)
    assert len(kept) == 1
    assert [d.reason for d in dropped] == [Reason.DUPLICATE] * 2
    kept, _ = cut([cue(0, None, "these words"), cue(0, None, "or those")], RULES, join=False)
    assert kept == []


def test_a_small_overlap_is_cut_in_the_middle() -> None:
    kept, _ = cut([cue(1, 3), cue(2.8, 5)], RULES, join=False)
    assert spans(kept) == [(900, 2900), (2900, 5100)]


def test_an_endless_caption_does_not_displace_others() -> None:
    kept, dropped = cut([cue(0, 60, "a logo"), cue(1, 3), cue(5, 7)], RULES, join=True)
    assert spans(kept) == [(900, 3100), (4900, 7100)]
    assert [d.reason for d in dropped] == [Reason.TOO_LONG]


def test_padding_stays_in_the_gap() -> None:
    utterances = [CutUtterance(40, 1000, "a"), CutUtterance(1100, 2000, "b"), CutUtterance(2000, 3000, "c")]
    assert spans(pad(utterances)) == [(0, 1050), (1050, 2000), (2000, 3000 + PAD_MS)]


cue_lists = st.lists(
    st.builds(
        lambda start_ms, length_ms, text, speaker: cue(start_ms / 1000, (start_ms + length_ms) / 1000, text, speaker),
        st.integers(0, 120_000),
        st.integers(1, 30_000),
        st.sampled_from(["good evening", "yes.", "at 9", "[music]", "a longer line of words that go on", "what?"]),
        st.sampled_from(["", "ann", "ben"]),
    ),
    max_size=20,
)


@given(cue_lists, st.booleans())
def test_every_word_is_kept_or_dropped_once(cues: list[Supervision], join: bool) -> None:
    kept, dropped = cut(cues, RULES, join=join)
    normalised = [RULES.normaliser(c.text) for c in cues]
    words = sorted(itertools.chain.from_iterable(text.split() for text in normalised))
    found = [u.text for u in kept] + [d.utterance.text for d in dropped]
    assert sorted(itertools.chain.from_iterable(text.split() for text in found)) == words


@given(cue_lists)
def test_kept_utterances_satisfy_the_rules(cues: list[Supervision]) -> None:
    kept, dropped = cut(cues, RULES, join=True)
    for utterance in kept:
        assert utterance.start_ms >= 0
        assert RULES.min_duration_ms <= utterance.duration_ms <= RULES.max_duration_ms
        rate = len(utterance.text) / (utterance.duration_ms / 1000)
        assert RULES.min_characters_per_s <= rate <= RULES.max_characters_per_s
        assert not RULES.normaliser.unknown_characters(utterance.text)
    assert kept == sorted(kept, key=lambda u: u.start_ms)
    total_ms = sum(u.duration_ms for u in [*kept, *(d.utterance for d in dropped)])
    assert covered_ms([*kept, *(d.utterance for d in dropped)]) <= total_ms


@given(cue_lists, st.booleans())
def test_no_audio_is_in_two_utterances(cues: list[Supervision], join: bool) -> None:
    kept, _ = cut(cues, RULES, join=join)
    assert sum(u.duration_ms for u in kept) == covered_ms(kept)
