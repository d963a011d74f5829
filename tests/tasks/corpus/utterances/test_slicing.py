"""Slicing a stream equals slicing the whole array, whatever the block sizes."""

from __future__ import annotations

import weakref
from collections.abc import Iterator

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tasks.audio import SAMPLES_PER_MS
from tasks.corpus.utterances.cutting import CutUtterance
from tasks.corpus.utterances.slicing import Slicer


@given(
    st.lists(st.integers(0, 4000), max_size=12),
    st.lists(st.tuples(st.integers(0, 900), st.integers(0, 700)), max_size=8),
)
def test_equals_slices_of_the_whole(block_lengths: list[int], times: list[tuple[int, int]]) -> None:
    whole = np.arange(sum(block_lengths), dtype=np.float32)
    blocks = np.split(whole, np.cumsum(block_lengths)[:-1]) if block_lengths else []
    utterances = [CutUtterance(start, start + length, "x") for start, length in sorted(times)]
    slicer = Slicer(utterances)
    sliced = list(slicer.slice(iter(blocks)))
    assert slicer.n_samples == len(whole)
    assert sorted(u.start_ms for u, _ in sliced) == [u.start_ms for u in utterances]
    for utterance, samples in sliced:
        start, end = utterance.start_ms * SAMPLES_PER_MS, (utterance.end_ms or 0) * SAMPLES_PER_MS
        np.testing.assert_array_equal(samples, whole[start:end])


def test_blocks_are_released_when_no_utterance_needs_them() -> None:
    blocks = [np.zeros(16_000, np.float32) for _ in range(200)]
    references = [weakref.ref(block) for block in blocks]
    most_alive = 0

    def stream() -> Iterator[np.ndarray]:
        nonlocal most_alive
        while blocks:
            yield blocks.pop(0)
            most_alive = max(most_alive, sum(r() is not None for r in references) - len(blocks))

    utterances = [CutUtterance(second * 1000, second * 1000 + 5000, "x") for second in range(0, 190, 10)]
    assert {len(samples) for _, samples in Slicer(utterances).slice(stream())} == {5 * 16_000}
    assert most_alive <= 8
