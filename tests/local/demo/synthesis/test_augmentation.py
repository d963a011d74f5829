"""Augmented speech is finite, within range, not truncated, and deterministic for a seed."""

from __future__ import annotations

import numpy as np
import pytest

from local.demo.synthesis import augmentation
from local.demo.synthesis.augmentation import Augmenter, SoundBank
from tasks.audio import SAMPLE_RATE_HZ


@pytest.fixture(scope="module")
def bank() -> SoundBank:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(augmentation, "BANK_CLIPS", 6)
        patch.setattr(augmentation, "CLIP_SECONDS", 3)
        return SoundBank.make(seed=1)


def tone(seconds: float) -> np.ndarray:
    samples = np.arange(int(seconds * SAMPLE_RATE_HZ))
    return (0.3 * np.sin(2 * np.pi * 440 * samples / SAMPLE_RATE_HZ)).astype(np.float32)


def test_versions_differ_stay_in_range_and_are_not_truncated(bank: SoundBank) -> None:
    augmenter = Augmenter(bank, np.random.default_rng(2))
    speech = tone(1.5)
    versions = [augmenter.waveform(speech) for _ in range(60)]  # enough for every branch, babble included
    for version in versions:
        assert version.dtype == np.float32
        assert np.isfinite(version).all()
        assert 0.05 < np.abs(version).max() < 1.0
        assert len(speech) <= len(version) <= len(speech) + SAMPLE_RATE_HZ
    assert len({version.tobytes() for version in versions}) == len(versions)


def test_the_same_seed_gives_the_same_sound(bank: SoundBank) -> None:
    one, other = (Augmenter(bank, np.random.default_rng(9)) for _ in range(2))
    for _ in range(5):
        np.testing.assert_array_equal(one.waveform(tone(0.8)), other.waveform(tone(0.8)))


def test_a_background_has_the_requested_length(bank: SoundBank) -> None:
    augmenter = Augmenter(bank, np.random.default_rng(4))
    for n_samples in (1, 16_000, 80_000):
        assert augmenter.background_only(n_samples).shape == (n_samples,)


def test_noise_has_the_requested_slope() -> None:
    rng = np.random.default_rng(5)
    for slope in (0.0, 1.0, 2.0):
        power = np.abs(np.fft.rfft(augmentation.noise(rng, 4, slope))) ** 2
        low, high = power[2_000:4_000].mean(), power[16_000:32_000].mean()  # three octaves apart
        assert np.log2(low / high) / 3 == pytest.approx(slope, abs=0.15)


def test_music_has_tones(bank: SoundBank) -> None:
    spectrum = np.abs(np.fft.rfft(augmentation.music(np.random.default_rng(6), 4.0)))
    assert spectrum.max() > 50 * np.median(spectrum)
