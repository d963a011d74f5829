"""The simulated core of live captions."""

from __future__ import annotations

import time

from benchmarks.live_speech import Core
from tasks.streaming.decoding.load import LoadMeter


def spin() -> None:
    """Use 50 ms of the processor."""
    until_s = time.process_time() + 0.05
    while time.process_time() < until_s:
        pass


def test_work_waits_for_the_core_and_a_meter_counts_what_it_takes() -> None:
    core = Core()
    meter = LoadMeter(core.now_s)

    def measured() -> None:
        with meter.measure():
            spin()

    core.work(1.0, spin)
    assert 1.05 <= core.free_s < 2.0
    first_s = core.free_s
    core.work(0.5, measured)
    assert core.free_s >= first_s + 0.05
    assert core.now_s() == core.free_s
    assert abs(core.busy_s - (core.free_s - 1.0)) < 1e-9
    assert 0.05 <= meter.reading.busy_s <= core.free_s - first_s
    core.work(9.0, spin)
    assert core.free_s >= 9.05
