from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.media.loudness import LevelMeter

RATE_HZ = 16_000


def metered(samples: np.ndarray, *cuts: int) -> LevelMeter:
    meter = LevelMeter(RATE_HZ)
    for block in np.split(samples, sorted(cuts)):
        meter.push(block.astype(np.float32))
    return meter


def test_a_full_scale_sine():
    sine = np.sin(2 * np.pi * 1000 * np.arange(5 * RATE_HZ) / RATE_HZ)
    meter = metered(sine)
    assert meter.rms_dbfs == pytest.approx(-3.01, abs=0.01)
    assert meter.gated_dbfs == pytest.approx(-3.01, abs=0.01)
    assert meter.peak_dbfs == pytest.approx(0.0, abs=0.01)


def test_pauses_count_for_rms_but_not_for_the_gated_level():
    speech = np.random.default_rng(0).standard_normal(4 * RATE_HZ) * 0.1
    room = np.random.default_rng(1).standard_normal(12 * RATE_HZ) * 0.001
    meter = metered(np.concatenate([speech, room]))
    assert meter.gated_dbfs == pytest.approx(-20.0, abs=0.1)
    assert meter.rms_dbfs == pytest.approx(-26.0, abs=0.1)


def test_silence_and_nothing():
    for samples in (np.zeros(RATE_HZ), np.zeros(0)):
        meter = metered(samples)
        assert (meter.rms_dbfs, meter.gated_dbfs, meter.peak_dbfs) == (-120.0, -120.0, -120.0)


@given(cuts=st.lists(st.integers(0, 3 * RATE_HZ), max_size=6))
def test_the_result_does_not_depend_on_block_sizes(cuts: list[int]):
    samples = np.random.default_rng(2).standard_normal(3 * RATE_HZ) * np.linspace(0.001, 0.3, 3 * RATE_HZ)
    whole, parts = metered(samples), metered(samples, *cuts)
    for name in ("rms_dbfs", "gated_dbfs", "peak_dbfs"):
        assert getattr(parts, name) == pytest.approx(getattr(whole, name), abs=0.011)
