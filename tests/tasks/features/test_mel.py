"""Mel filters against transformers and against values computed by MATLAB."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import scipy.io
from transformers.audio_utils import mel_filter_bank

from tasks.features.mel import hz_to_mel, kaldi_filters, mel_to_hz, slaney_filters

RATE_HZ = 16_000


@pytest.mark.parametrize(("n_mels", "n_fft"), [(80, 512), (80, 400), (128, 400)])
def test_slaneys_filters(n_mels: int, n_fft: int) -> None:
    reference = mel_filter_bank(
        num_frequency_bins=n_fft // 2 + 1,
        num_mel_filters=n_mels,
        min_frequency=0.0,
        max_frequency=RATE_HZ / 2,
        sampling_rate=RATE_HZ,
        norm="slaney",
        mel_scale="slaney",
    )
    np.testing.assert_allclose(slaney_filters(n_mels, n_fft, RATE_HZ), reference, atol=1e-12)


@pytest.mark.parametrize("n_mels", [23, 80])
def test_kaldis_filters(n_mels: int) -> None:
    reference = mel_filter_bank(
        num_frequency_bins=257,
        num_mel_filters=n_mels,
        min_frequency=20,
        max_frequency=RATE_HZ // 2,
        sampling_rate=RATE_HZ,
        norm=None,
        mel_scale="kaldi",
        triangularize_in_mel_space=True,
    )
    np.testing.assert_allclose(kaldi_filters(n_mels, 512, RATE_HZ), reference, atol=1e-12)


@pytest.mark.parametrize("number", ["001", "017", "033", "049", "065", "097"])
def test_slaneys_filters_equal_matlabs(number: str, speech: Path) -> None:
    """`fft2melmx` of the Auditory Toolbox, at other rates, sizes and upper limits than any model's (librosa's test
    data). It fills the upper half of the spectrum with zeros, which we leave out."""
    reference = scipy.io.loadmat(
        speech / "reference_features" / "mel_filters" / f"feature-melfb-{number}.mat", squeeze_me=True
    )
    n_bins = int(reference["nfft"]) // 2 + 1
    ours = slaney_filters(
        int(reference["nfilts"]), int(reference["nfft"]), int(reference["sr"]), float(reference["fmax"])
    )
    assert reference["fmin"] == reference["htk"] == 0
    np.testing.assert_allclose(ours, reference["wts"][:, :n_bins].T, atol=1e-12)
    assert not reference["wts"][:, n_bins:].any()


def test_slaneys_scale_equals_matlabs(speech: Path) -> None:
    folder = speech / "reference_features" / "mel_filters"
    to_mel = scipy.io.loadmat(folder / "feature-hz_to_mel-001.mat", squeeze_me=True)
    to_hz = scipy.io.loadmat(folder / "feature-mel_to_hz-001.mat", squeeze_me=True)
    assert hz_to_mel(to_mel["f"]) == pytest.approx(float(to_mel["result"]), abs=1e-12)
    assert mel_to_hz(to_hz["f"]) == pytest.approx(float(to_hz["result"]), abs=1e-12)


def test_slaneys_scale_round_trip() -> None:
    hz = np.linspace(0, 24_000, 1_001)
    np.testing.assert_allclose(mel_to_hz(hz_to_mel(hz)), hz, atol=1e-9)
    assert (np.diff(hz_to_mel(hz)) > 0).all()
