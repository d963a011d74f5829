from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyannote.core import Segment, Timeline

from tasks.transcripts.spans import Turn
from training.scoring.speakers import (
    SpeakerErrors,
    annotation_of,
    diarization_errors,
    jaccard_error_rate,
    read_rttm,
    speaker_errors,
    speaker_word_errors,
)

SETTINGS = {
    "collar_0.0_all_speech": (0.0, False),
    "collar_0.0_without_overlap": (0.0, True),
    "collar_0.25_all_speech": (0.25, False),
    "collar_0.25_without_overlap": (0.25, True),
}
SCORED = {"ES2014c": None, "dscore_FILE1": Timeline([Segment(0.0, 43.0)])}


@pytest.mark.parametrize("name", list(SCORED))
@pytest.mark.parametrize("setting", list(SETTINGS))
def test_the_figures_of_nists_script(speech: Path, name: str, setting: str) -> None:
    folder = speech / "scoring" / "der" / name
    expected = json.loads((folder / "expected.json").read_text())["md_eval_22"][setting]
    reference, hypothesis = (read_rttm(folder / f"{side}.rttm") for side in ("ref", "sys"))
    collar_s, without_overlap = SETTINGS[setting]
    found = speaker_errors(reference, hypothesis, SCORED[name], collar_s, without_overlap)
    assert found.scored_s == pytest.approx(expected["scored_s"], abs=0.02)
    assert found.missed_s == pytest.approx(expected["missed_s"], abs=0.02)
    assert found.false_alarm_s == pytest.approx(expected["false_alarm_s"], abs=0.02)
    assert found.confusion_s == pytest.approx(expected["confusion_s"], abs=0.02)
    assert 100 * found.rate == pytest.approx(expected["der_percent"], abs=0.006)


def test_published_figures(speech: Path) -> None:
    """7.17 and 26.393 percent DER were published with the data; JER by pyannote.metrics differs from dscore's."""
    pairs = {}
    for name, scored in SCORED.items():
        folder = speech / "scoring" / "der" / name
        expected = json.loads((folder / "expected.json").read_text())
        pair = [read_rttm(folder / f"{side}.rttm") for side in ("ref", "sys")]
        pairs[name] = pair
        jer = jaccard_error_rate(*pair, scored)
        assert jer == pytest.approx(expected["jaccard_error_rate_pyannote_metrics"], abs=1e-6)
    assert 100 * speaker_errors(*pairs["ES2014c"], None, 0.25, True).rate == pytest.approx(7.16923618, abs=1e-3)
    found = speaker_errors(*pairs["dscore_FILE1"], SCORED["dscore_FILE1"])
    assert 100 * found.rate == pytest.approx(26.39309, abs=1e-3)


def test_the_collar_lies_on_each_side_of_a_boundary() -> None:
    reference = annotation_of([Turn(1000, 5000, "a")])
    late = annotation_of([Turn(1240, 5000, "x")])
    later = annotation_of([Turn(1260, 5000, "x")])
    assert speaker_errors(reference, late, collar_s=0.25).rate == 0
    assert speaker_errors(reference, later, collar_s=0.25).rate > 0


def test_errors_add_up_by_time() -> None:
    one = SpeakerErrors(scored_s=10, missed_s=1)
    other = SpeakerErrors(scored_s=30, false_alarm_s=2, confusion_s=1)
    assert (one + other).rate == pytest.approx(4 / 40)


times = st.lists(st.integers(0, 60), min_size=2, max_size=12, unique=True).map(sorted)


@settings(deadline=None, max_examples=25)
@given(times, st.randoms())
def test_names_of_speakers_do_not_matter(edges: list[int], rng) -> None:  # type: ignore[no-untyped-def]
    turns = [Turn(1000 * a, 1000 * b, rng.choice("ab")) for a, b in zip(edges[0::2], edges[1::2], strict=False)]
    renamed = [Turn(t.start_ms, t.end_ms, {"a": "S2", "b": "S1"}[t.speaker]) for t in turns]
    assert speaker_errors(annotation_of(turns), annotation_of(renamed)).rate == 0


def test_words_at_the_wrong_speaker_count_twice() -> None:
    reference = {"anna": "good evening here is the news", "ben": "thank you"}
    right = {"S2": "good evening here is the news", "S1": "thank you"}
    moved = {"S1": "good evening here is the", "S2": "news thank you"}
    assert speaker_word_errors(reference, right).errors == 0
    assert speaker_word_errors(reference, right).length == 8
    assert speaker_word_errors(reference, moved).errors == 2
    assert speaker_word_errors(reference, moved | {"?": "hello"}).insertions == 2


def test_recordings_add_up_and_speakers_are_counted() -> None:
    reference = annotation_of([Turn(0, 4_000, "ann"), Turn(4_000, 8_000, "bob")])
    as_one = annotation_of([Turn(0, 8_000, "S1")])
    found = diarization_errors([(reference, reference, None), (reference, as_one, None)])
    assert (found.n_correct, found.n) == (1, 2)
    assert found.without_collar.scored_s == pytest.approx(16)
    assert found.without_collar.confusion_s == pytest.approx(4)
    assert found.with_collar.scored_s == pytest.approx(2 * (8 - 4 * 0.25), abs=0.01)
    assert str(found).startswith(
        "DER 25.0 % without collar, overlap scored (missed 0.0, false alarm 0.0, confusion 25.0)"
    )
    assert str(found).endswith("number of speakers correct in 1 of 2")
