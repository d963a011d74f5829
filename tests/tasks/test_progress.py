"""Progress in logs."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from tasks.progress import LogProgress


def times_left(monkeypatch: pytest.MonkeyPatch, calls: list[tuple[float, float]], total: float) -> list[str | None]:
    """Return the logged times left for `calls` of (clock, completed)."""
    monkeypatch.setenv("AIRSCRIPT_PROGRESS_SECONDS", "0")
    clock = 0.0
    monkeypatch.setattr("tasks.progress.time.monotonic", lambda: clock)
    progress = LogProgress("train")
    with capture_logs() as lines:
        for clock, completed in calls:  # noqa: B007  the clock reads it
            progress("train", completed, total, "steps")
    return [line.get("left") for line in lines]


def test_the_time_left_follows_from_the_pace(monkeypatch: pytest.MonkeyPatch) -> None:
    assert times_left(monkeypatch, [(1000.0, 0), (1010.0, 5), (1040.0, 20)], 20) == [None, "30s", None]


def test_work_of_an_earlier_attempt_does_not_count_for_the_pace(monkeypatch: pytest.MonkeyPatch) -> None:
    """Resumed after 9,900 of 20,000 steps, at a second and a half a step."""
    assert times_left(monkeypatch, [(0.0, 9_901), (148.5, 10_000)], 20_000) == [None, "15000s"]
