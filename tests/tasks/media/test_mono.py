from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tasks.media.mono import SampleQueue


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), max_size=30))
def test_a_queue_keeps_every_samples_time(steps: list[tuple[int, int]]):
    """Sample number n comes out at place n, or is silence there when it came too late."""
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
    # Whatever had come in time is there.
    assert queue.n_samples == max(0, pushed - len(out))
