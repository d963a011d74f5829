"""What a training's report counts and shows."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np

from tasks.contract import StepResult
from tasks.transcripts.error_counts import ErrorCounts
from tasks.transcripts.normaliser import normalise
from tests.training.evaluation.test_promotion import evaluation, utterances
from training.evaluation.promotion import Contender, compare
from training.evaluation.records import ScoredUtterance
from training.report.confusions import confusions
from training.report.material import RunMaterial, worst_utterances
from training.report.training_report import render_training_report, slice_table, smoothed
from training.scoring.errors import word_errors


def scored(reference: str, hypothesis: str, name: str = "u") -> ScoredUtterance:
    return ScoredUtterance(
        utterance_id=name,
        programme_id="p",
        speaker="s",
        duration_s=1.0,
        snr_db=20.0,
        reference=reference,
        hypothesis=hypothesis,
        words=word_errors(normalise(reference), normalise(hypothesis)),
        characters=ErrorCounts(),
    )


def test_confusions_add_up_to_the_errors() -> None:
    spoken = [
        scored("The cat sat on the mat.", "the cat sad on mat"),
        scored("A cat sat down.", "a cat sad down there"),
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
    assert [u.utterance_id for u in worst_utterances(spoken)] == ["four", "one"]


def test_smoothing_leaves_out_skipped_steps() -> None:
    points = smoothed([4.0, None, 2.0, 2.0, None, None, None, None], 4)
    assert points[0] == (4.0, 8 / 3)
    assert all(value == 2.0 for _, value in points[2:])


def test_the_page_plays_the_worst_and_escapes_what_was_said() -> None:
    spoken = [*utterances(np.full((2, 12), 4)), scored("<script>alert(1)</script> said", "nothing", "hostile")]
    challenger, champion = evaluation(spoken, "new"), evaluation(spoken, "old")
    result = StepResult(
        step="evaluate",
        step_version=1,
        key="k",
        arguments={},
        inputs={},
        metrics={"rtfx": 50.0, "trained_audio_hours": 1.5, "train_seconds": 90.0, "audio_hours_per_hour": 60.0},
        labels={"hardware": "2 cores"},
        finished_at=datetime(2026, 1, 1, tzinfo=UTC),
        code_version="0",
    )
    run = RunMaterial(
        name="m",
        trained=result,
        losses=[3.0, None, 2.0, 1.5, 1.0, 0.9],
        validation_wers=[(0, 0.9), (6, 0.2)],
        evaluation=challenger,
        evaluated=result,
        utterances=spoken,
        comparison=compare(Contender(challenger, spoken), Contender(champion, spoken)),
        audio={"hostile": b"fLaC", "0-0": b"fLaC"},
    )
    page = render_training_report(run)
    assert "<script>" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt; said" in page
    assert page.count("data:audio/flac;base64,") == 1 + ("0-0" in page)
    assert "4 errors in 20 words" in page


def test_a_part_stands_beside_the_champions_and_is_resampled_over_programmes() -> None:
    """Twelve programmes share four speakers, three each: too few to draw from; all twelve have utterances of 4 s."""
    ours, theirs = utterances(np.full((12, 6), 2)), utterances(np.full((12, 6), 3))
    table = slice_table(
        ours, compare(Contender(evaluation(ours, "new"), ours), Contender(evaluation(theirs, "old"), theirs))
    )
    by = {(row[0], row[1]): row for row in table.rows}
    assert by["speaker", "speaker-1"][3:] == ("10.00 %", "10.00 % to 10.00 %", "utterances", "15.00 %")
    assert by["duration", "2 to 5 s"][5] == "programmes"
