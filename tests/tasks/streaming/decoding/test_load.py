"""Steps become longer where a worker cannot keep up."""

from __future__ import annotations

import pytest

from tasks.streaming.decoding.load import LoadMeter, Reading, next_step_ms
from tasks.streaming.decoding.whisper import PACE


def test_the_meter_counts_decoding_passes_only() -> None:
    now_s = [0.0]
    meter = LoadMeter(lambda: now_s[0])
    before = meter.reading
    with meter.measure():
        now_s[0] = 3.0
    now_s[0] = 4.0
    assert meter.reading.since(before) == Reading(at_s=4.0, busy_s=3.0)


@pytest.mark.parametrize(
    ("busy_s", "expected_ms"),
    [(0.0, 1_000), (9.0, 1_500), (7.0, 1_000), (1.0, 667)],
    ids=["idle", "busy", "ok", "free"],
)
def test_the_step_follows_the_load(busy_s: float, expected_ms: int) -> None:
    assert next_step_ms(1_000, Reading(10.0, busy_s), PACE) == expected_ms


def test_the_step_is_bounded() -> None:
    step_ms = PACE.step_ms
    for _ in range(20):
        step_ms = next_step_ms(step_ms, Reading(1.0, 1.0), PACE)
    assert step_ms == PACE.max_step_ms
    for _ in range(20):
        step_ms = next_step_ms(step_ms, Reading(1.0, 0.1), PACE)
    assert step_ms == PACE.step_ms
