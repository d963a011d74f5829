"""What a log says of how far a step is."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from tasks.progress import LogProgress


def lefts(monkeypatch: pytest.MonkeyPatch, calls: list[tuple[float, float]], total: float) -> list[str | None]:
    """The times left that are logged when the clock and what is completed are as `calls` say."""
    monkeypatch.setenv("AIRSCRIPT_PROGRESS_SECONDS", "0")
    clock = 0.0
    monkeypatch.setattr("tasks.progress.time.monotonic", lambda: clock)
    progress = LogProgress("train")
    with capture_logs() as lines:
        for clock, completed in calls:  # noqa: B007  the clock reads it
            progress("train", completed, total, "steps")
    return [line.get("left") for line in lines]


def test_the_time_left_is_told_from_the_pace(monkeypatch: pytest.MonkeyPatch) -> None:
    assert lefts(monkeypatch, [(1000.0, 0), (1010.0, 5), (1040.0, 20)], 20) == [None, "30s", None]


def test_what_an_earlier_attempt_did_is_no_pace_of_this_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Resumed after 9,900 of 20,000 steps, at a second and a half a step."""
    assert lefts(monkeypatch, [(0.0, 9_901), (148.5, 10_000)], 20_000) == [None, "15000s"]
