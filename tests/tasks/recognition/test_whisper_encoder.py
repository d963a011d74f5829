"""How much of a window is encoded."""

from __future__ import annotations

import numpy as np
import pytest

from tasks.recognition.whisper_encoder import encoded_s, pooled


@pytest.mark.parametrize(("length_s", "expected"), [(0, 15), (12, 15), (12.1, 20), (17, 20), (22, 25), (22.1, 30)])
def test_a_chunk_is_encoded_with_at_least_three_seconds_of_silence_if_its_window_has_room(
    length_s: float, expected: int
) -> None:
    assert encoded_s(length_s) == expected


def test_the_decoder_of_a_model_wider_than_base_gets_every_frame() -> None:
    encoded = np.zeros((1, 8, 768), np.float32)
    assert pooled(encoded) is encoded


def test_the_decoder_gets_the_mean_of_three_frames() -> None:
    encoded = np.arange(16, dtype=np.float32).reshape(1, 8, 2)  # two frames are left over
    assert pooled(encoded).tolist() == [[[2.0, 3.0], [8.0, 9.0]]]
