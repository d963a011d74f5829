"""How much of a window is encoded."""

from __future__ import annotations

import pytest

from tasks.recognition.whisper_encoder import encoded_s


@pytest.mark.parametrize(("length_s", "expected"), [(0, 15), (12, 15), (12.1, 30), (27, 30), (30, 30)])
def test_a_chunk_is_encoded_with_at_least_three_seconds_of_silence_if_its_window_has_room(
    length_s: float, expected: int
) -> None:
    assert encoded_s(length_s) == expected
