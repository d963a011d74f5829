from __future__ import annotations

import av
import numpy as np
import pytest

from tasks.media.decoding.block_buffer import BlockBuffer


def frame(samples: np.ndarray, sample_format: str) -> av.AudioFrame:
    """A frame of `(n_channels, n_samples)`."""
    made = samples if sample_format.endswith("p") else np.ascontiguousarray(samples.T).reshape(1, -1)
    layout = {1: "mono", 2: "stereo"}[len(samples)]
    return av.AudioFrame.from_ndarray(np.ascontiguousarray(made), format=sample_format, layout=layout)


@pytest.mark.parametrize("sample_format", ["s16", "s16p", "flt", "fltp"])
@pytest.mark.parametrize("n_frame", [100, 1024, 50_000])
def test_a_block_is_the_concatenation_of_its_frames(sample_format: str, n_frame: int) -> None:
    rng = np.random.default_rng(0)
    samples = rng.integers(-(2**15), 2**15, (2, 7 * n_frame)).astype(np.float32) / 2**15
    coded = samples if "flt" in sample_format else (samples * 2**15).astype(np.int16)
    buffer = BlockBuffer(sample_format, 2, 48_000)
    blocks = []
    for number in range(7):
        buffer.push(frame(coded[:, number * n_frame : (number + 1) * n_frame], sample_format), n_frame)
        if number in (3, 6):
            blocks.append(buffer.take().copy())
            buffer.reclaim()
    np.testing.assert_array_equal(np.concatenate(blocks, axis=1), samples)


def test_a_block_in_use_is_not_overwritten() -> None:
    buffer = BlockBuffer("fltp", 1, 1024)
    blocks = []
    for value in range(3):  # a packet with audio for several blocks
        buffer.push(frame(np.full((1, 20_000), value, np.float32), "fltp"), 20_000)
        blocks.append(buffer.take())
    assert [np.unique(block).tolist() for block in blocks] == [[0.0], [1.0], [2.0]]


def test_memory_is_reused() -> None:
    buffer = BlockBuffer("fltp", 1, 1024)
    buffer.push(frame(np.zeros((1, 512), np.float32), "fltp"), 512)
    first = buffer.take()
    buffer.reclaim()
    buffer.push(frame(np.ones((1, 512), np.float32), "fltp"), 512)
    assert np.shares_memory(first, buffer.take())


def test_an_empty_buffer_gives_an_empty_block() -> None:
    assert BlockBuffer("s16", 2, 1024).take().shape == (2, 0)
