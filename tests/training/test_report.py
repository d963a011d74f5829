"""What the run's page counts and shows."""

from __future__ import annotations

from tests.training.test_rule import evaluation, utterances
from training.evaluation.records import ScoredUtterance
from training.report.confusions import confusions
from training.report.curves import curve, smoothed
from training.report.page import worst
from training.scoring.errors import ErrorCounts, word_errors
from training.scoring.normaliser import normalise


def scored(reference: str, hypothesis: str, name: str = "u") -> ScoredUtterance:
    return ScoredUtterance(
        utterance_id=name,
        programme_id="p",
        speaker="s",
        duration_s=1.0,
        level_range_db=20.0,
        reference=reference,
        hypothesis=hypothesis,
        words=word_errors(normalise(reference), normalise(hypothesis)),
        characters=ErrorCounts(),
    )


def test_confusions_add_up_to_the_errors() -> None:
    spoken = [
        scored("The cat sat on the mat.", "the cat sad on mat"),
        scored("A cat sat.", "a cat sad there"),
        scored("", "um"),
        scored("Nothing heard", ""),
    ]
    found = confusions(spoken)
    assert found.substituted == [(("sat", "sad"), 2)]
    assert dict(found.deleted) == {"the": 1, "nothing": 1, "heard": 1}
    assert dict(found.inserted) == {"there": 1, "um": 1}
    n = sum(count for kind in (found.substituted, found.deleted, found.inserted) for _, count in kind)
    assert n == sum(u.words.errors for u in spoken)


def test_the_worst_come_first_and_the_right_ones_never() -> None:
    spoken = [scored("a b c d", "a b c d", "right"), scored("a b c d", "x", "four"), scored("a b", "a x", "one")]
    assert [u.utterance_id for u in worst(spoken)] == ["four", "one"]


def test_curves_stay_inside_their_frame() -> None:
    drawn = curve([(0, 90.0), (10, 45.0), (20, 0.0)], "%", dots=True)
    assert drawn.count("<circle") == 3
    assert "step 10: 45 %" in drawn
    assert curve([], "%") == ""


def test_smoothing_leaves_out_skipped_steps() -> None:
    points = smoothed([4.0, None, 2.0, 2.0, None, None, None, None], 4)
    assert points[0] == (4.0, 8 / 3)
    assert all(value == 2.0 for _, value in points[2:])


def test_builders_agree() -> None:
    import numpy as np

    spoken = utterances(np.ones((2, 3), int))
    assert evaluation(spoken, "m").words.errors == 6
