from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tasks.media.decoding.mono import MAX_LAG_S, MonoTrack, SampleQueue, TrackMix


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), max_size=30))
def test_a_queue_keeps_the_time_of_every_sample(steps: list[tuple[int, int]]):
    """Sample n comes out at position n, or is replaced by silence if it came too late."""
    queue = SampleQueue()
    pushed, out = 0, np.zeros(0, np.float32)
    for n_push, n_take in steps:
        queue.push(np.arange(pushed, pushed + n_push, dtype=np.float32) + 1)
        pushed += n_push
        taken = queue.take(n_take)
        assert len(taken) == n_take
        out = np.concatenate([out, taken])
    places = np.arange(len(out)) + 1
    assert ((out == places) | (out == 0)).all()
    # All samples that came in time are there.
    assert queue.n_samples == max(0, pushed - len(out))


def test_hours_of_silence_before_a_late_track_are_not_buffered():
    """A single packet yields all of them."""
    second = np.zeros(100, np.float32)
    late = SimpleNamespace(feed=lambda packet: (second for _ in range(7200)), finish=lambda: ())
    other = SimpleNamespace(feed=lambda packet: (), finish=lambda: ())
    mix = TrackMix({0: cast(MonoTrack, late), 1: cast(MonoTrack, other)}, sample_rate_hz=100)
    n_samples = 0
    for block in mix.feed(SimpleNamespace(stream_index=0)):
        n_samples += len(block)
        assert mix.max_waiting_samples <= (MAX_LAG_S + 1) * 100
    assert n_samples + sum(len(block) for block in mix.finish()) == 7200 * 100
