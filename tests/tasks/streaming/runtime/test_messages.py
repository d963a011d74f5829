"""Messages between components."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.streaming.runtime.messages import (
    AudioBlock,
    from_pcm,
    pcm,
)


@pytest.mark.parametrize("uri", ["s3://two words/a.pcm", "s3://bucket", "file://host/a.pcm", "http://a/b"])
def test_audio_uris_that_storage_does_not_support_are_invalid(uri: str) -> None:
    with pytest.raises(ValueError, match="audio_uri"):
        AudioBlock(session="s", sequence=0, start_ms=0, audio_uri=uri)


@given(st.lists(st.floats(-2, 2, width=32), max_size=50))
def test_samples_survive_16_bit_pcm(samples: list[float]) -> None:

    found = from_pcm(pcm(np.array(samples, np.float32)))
    assert np.abs(found - np.clip(samples, -1, 32_767 / 32_768)).max(initial=0) <= 1 / 65_536 + 1e-7
