from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.transcripts.document import Word
from tasks.transcripts.merging import SegmentRules, into_segments, speakers_in, with_monotonic_times, with_speakers
from tasks.transcripts.spans import Span, Turn
from tests.tasks.transcripts.builders import speak, word, words


def speakers_of(spoken: list[Word], turns: list[Turn], **bounds: int) -> list[str | None]:
    return [one.speaker for one in with_speakers(spoken, turns, **bounds)]


def test_words_get_the_speaker_of_the_largest_overlap():
    spoken = [word("one", 0, 400), word("two", 900, 1_100), word("three", 1_200, 1_400)]
    assert speakers_of(spoken, [Turn(0, 950, "anna"), Turn(950, 2_000, "ben")]) == ["anna", "ben", "ben"]


def test_overlaps_add_up_over_turns():
    spoken = [word("looong", 0, 1_000)]
    turns = [Turn(0, 300, "anna"), Turn(300, 700, "ben"), Turn(700, 1_000, "anna")]
    assert speakers_of(spoken, turns) == ["anna"]


@pytest.mark.parametrize(
    ("turns", "speaker"),
    [
        ([Turn(0, 600, "anna")], "anna"),
        ([Turn(0, 500, "anna")], "anna"),
        ([Turn(0, 499, "anna")], None),  # too far
        ([Turn(1_700, 1_800, "ben")], None),
        ([Turn(0, 700, "anna"), Turn(1_250, 1_800, "ben")], "ben"),
        ([Turn(0, 800, "anna"), Turn(1_250, 1_800, "ben")], None),  # 200 ms from one, 150 ms from the other
        ([Turn(0, 800, "anna"), Turn(1_250, 1_800, "anna")], "anna"),
        ([], None),
    ],
)
def test_a_word_outside_all_turns_gets_the_nearest_speaker(turns: list[Turn], speaker: str | None):
    assert speakers_of([word("hm", 1_000, 1_100)], turns, nearest_ms=500) == [speaker]


def test_a_word_that_two_share_has_no_speaker():
    turns = [Turn(0, 510, "anna"), Turn(510, 2_000, "ben")]
    assert speakers_of([word("both", 0, 1_000)], turns) == [None]
    assert speakers_of([word("hers", 0, 800)], turns) == ["anna"]


def test_a_word_of_no_length_gets_a_speaker():
    assert speakers_of([word("x", 500, 500)], [Turn(0, 500, "anna"), Turn(500, 900, "ben")]) == ["ben"]


def test_single_word_flips_are_smoothed():
    spoken = speak("the news at ten tonight")  # a word each 300 ms
    turns = [Turn(0, 600, "anna"), Turn(600, 900, "ben"), Turn(900, 1_500, "anna")]
    assert speakers_of(spoken, turns) == ["anna"] * 5


def test_a_gap_in_the_turns_is_filled_from_both_sides():
    spoken = speak("the news at ten tonight")
    turns = [Turn(0, 600, "anna"), Turn(620, 700, "ben"), Turn(720, 800, "cleo"), Turn(900, 1_500, "anna")]
    assert speakers_of(spoken, turns) == ["anna"] * 5


@pytest.mark.parametrize(
    "spoken",
    [
        [word("so", 0, 300, None), word("yes", 700, 900), word("indeed", 1_300, 1_500)],  # between pauses
        [word("so?", 0, 300, None), word("Yes.", 300, 600), word("Indeed", 600, 900)],  # a sentence of its own
    ],
)
def test_a_short_answer_is_no_flip(spoken: list[Word]):
    middle = spoken[1]
    turns = [
        Turn(0, middle.start_ms, "anna"),
        Turn(middle.start_ms, middle.end_ms, "ben"),
        Turn(middle.end_ms, 2_000, "anna"),
    ]
    assert speakers_of(spoken, turns) == ["anna", "ben", "anna"]


@st.composite
def exclusive_turns(draw: st.DrawFn) -> list[Turn]:
    turns, time_ms = [], 0
    for _ in range(draw(st.integers(0, 12))):
        start_ms = time_ms + draw(st.integers(0, 2_000))
        time_ms = start_ms + draw(st.integers(1, 3_000))
        turns.append(Turn(start_ms, time_ms, draw(st.sampled_from("ABC"))))
    return turns


@given(words(max_words=12), exclusive_turns(), st.randoms())
def test_speakers_agree_with_their_definition(spoken: list[Word], turns: list[Turn], random):
    shuffled = random.sample(turns, len(turns))
    for before, found in zip(spoken, with_speakers(spoken, shuffled), strict=True):
        assert found.model_copy(update={"speaker": before.speaker}) == before
    for one in spoken:  # alone, so that nothing is smoothed
        end_ms = max(one.end_ms, one.start_ms + 1)
        shared: dict[str, int] = {}
        for turn in turns:
            overlap = min(turn.end_ms, end_ms) - max(turn.start_ms, one.start_ms)
            if overlap > 0:
                shared[turn.speaker] = shared.get(turn.speaker, 0) + overlap
        (found,) = speakers_of([one], turns, nearest_ms=700)
        ranked = sorted(shared.values(), reverse=True)
        if len(ranked) > 1 and ranked[1] >= 0.8 * ranked[0]:
            assert found is None
        elif ranked:
            assert shared[found] == ranked[0]
        elif found is not None:
            distance = {turn: max(turn.start_ms - one.end_ms, one.start_ms - turn.end_ms) for turn in turns}
            nearest = min(distance.values())
            assert nearest <= 700
            assert any(turn.speaker == found and distance[turn] == nearest for turn in turns)


def test_a_word_out_of_order_is_moved_and_shortened():
    times = [(1_000, 1_400), (0, 400), (1_200, 1_300), (1_500, 9_999)]
    ordered = with_monotonic_times([word("a", *time) for time in times], duration_ms=1_600)
    assert [(one.start_ms, one.end_ms) for one in ordered] == [
        (1_000, 1_400),
        (1_000, 1_400),
        (1_200, 1_400),
        (1_500, 1_600),
    ]


@given(words(max_words=12).flatmap(st.permutations), st.integers(0, 60_000))
def test_times_are_put_in_order(shuffled: list[Word], duration_ms: int):
    ordered = with_monotonic_times(shuffled, duration_ms)
    assert [one.text for one in ordered] == [one.text for one in shuffled]
    starts, ends = [one.start_ms for one in ordered], [one.end_ms for one in ordered]
    assert starts == sorted(starts)
    assert ends == sorted(ends)
    assert all(one.start_ms <= one.end_ms <= duration_ms for one in ordered)
    assert with_monotonic_times(ordered, duration_ms) == ordered


def test_speakers_come_in_the_order_of_their_first_words():
    spoken = [word("a", 0, 1, "ben"), word("b", 1, 2), word("c", 2, 3, "anna"), word("d", 3, 4, "ben")]
    assert [speaker.id for speaker in speakers_in(spoken)] == ["ben", "anna"]


def test_words_in_order_stay_as_they_are():
    spoken = speak("the news at ten")
    assert all(after is before for after, before in zip(with_monotonic_times(spoken, 1_200), spoken, strict=True))


@given(words(), st.lists(st.builds(Span, st.integers(0, 9_000), st.integers(0, 9_000)), max_size=3))
def test_segments_keep_all_words_and_their_rules(spoken: list[Word], suspect: list[Span]):
    rules = SegmentRules(min_pause_ms=700, min_duration_ms=1_500, max_duration_ms=6_000)
    segments = into_segments(spoken, suspect, rules)
    assert [one for segment in segments for one in segment.words] == spoken
    for segment in segments:
        first, last = segment.words[0], segment.words[-1]
        assert (segment.start_ms, segment.end_ms) == (first.start_ms, last.end_ms)
        assert last.end_ms - first.start_ms <= rules.max_duration_ms or len(segment.words) == 1
        assert {one.speaker for one in segment.words} <= {segment.speaker, None}
        for before, after in zip(segment.words, segment.words[1:], strict=False):
            assert after.start_ms - before.end_ms < rules.min_pause_ms
        middles = [(one.start_ms + one.end_ms) // 2 for one in segment.words]
        marks = {any(span.start_ms <= middle < span.end_ms for span in suspect) for middle in middles}
        assert marks == {segment.suspect}


def test_segments_end_at_sentences_after_the_minimum_duration():
    spoken = speak("Yes. No. This sentence lasts for more than two seconds. And the next.")
    texts = [" ".join(one.text for one in segment.words) for segment in into_segments(spoken)]
    assert texts == ["Yes. No. This sentence lasts for more than two seconds.", "And the next."]


def test_a_new_speaker_starts_a_segment_and_an_ambiguous_word_does_not():
    spoken = [
        *speak("I was", "anna"),
        *speak("er", None, 600),
        *speak("saying", "anna", 900),
        *speak("no", "ben", 1_200),
    ]
    segments = into_segments(spoken)
    assert [(segment.speaker, len(segment.words)) for segment in segments] == [("anna", 4), ("ben", 1)]


def test_a_segment_too_long_is_cut_at_its_longest_late_pause():
    spoken = speak(" ".join(["word"] * 100))
    spoken[50:] = [word("word", one.start_ms + 400, one.end_ms + 400) for one in spoken[50:]]
    segments = into_segments(spoken, rules=SegmentRules(max_duration_ms=20_000))
    assert [len(segment.words) for segment in segments] == [50, 50]


def test_an_hour_without_a_pause_is_cut_without_deep_recursion():
    segments = into_segments(speak(" ".join(["word"] * 12_000)))
    assert max(segment.end_ms - segment.start_ms for segment in segments) <= SegmentRules().max_duration_ms
    assert min(len(segment.words) for segment in segments) > 20
