"""Our features against transformers' extractors, on signals made here."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import ParakeetFeatureExtractor, WhisperFeatureExtractor
from transformers.audio_utils import mel_filter_bank

from tasks.features.config import FeaturesConfig, parakeet, whisper
from tasks.features.logmel import LogMel, pad_batch, per_feature_norm
from tasks.features.mel import mel_filters

RATE_HZ = 16_000
TOLERANCE = 1e-4


def voice_like(n_samples: int, seed: int = 0) -> np.ndarray:
    """A gliding tone with overtones, syllables of loudness and a little noise: something with structure."""
    rng = np.random.default_rng(seed)
    seconds = np.arange(n_samples) / RATE_HZ
    phase = 2 * np.pi * np.cumsum(120 + 40 * np.sin(2 * np.pi * 0.7 * seconds)) / RATE_HZ
    tone = sum(np.sin(k * phase) / k for k in range(1, 20))
    loudness = 0.1 + np.maximum(0, np.sin(2 * np.pi * 3 * seconds))
    return (0.05 * tone * loudness + 0.002 * rng.standard_normal(n_samples)).astype(np.float32)


BATCH = [voice_like(n, seed) for seed, n in enumerate((16_000, 51_231, 80_001, 719, 4_800, 160_000))]


@pytest.mark.parametrize(("n_mels", "n_fft"), [(80, 512), (80, 400), (128, 400)])
def test_mel_filters_are_slaneys(n_mels: int, n_fft: int) -> None:
    reference = mel_filter_bank(
        num_frequency_bins=n_fft // 2 + 1,
        num_mel_filters=n_mels,
        min_frequency=0.0,
        max_frequency=RATE_HZ / 2,
        sampling_rate=RATE_HZ,
        norm="slaney",
        mel_scale="slaney",
    )
    np.testing.assert_allclose(mel_filters(n_mels, n_fft, RATE_HZ), reference, atol=1e-12)


@pytest.mark.parametrize("hop_samples", [160, 320])
def test_parakeet_equals_the_reference_in_a_batch_of_many_lengths(hop_samples: int) -> None:
    extractor = ParakeetFeatureExtractor(hop_length=hop_samples)
    reference = extractor(BATCH, sampling_rate=RATE_HZ, return_tensors="pt")
    ours = LogMel(parakeet(hop_samples))(BATCH)
    for index, features in enumerate(ours):
        n_frames = int(reference.attention_mask[index].sum())
        assert features.shape == (n_frames, 80)
        assert (features - reference.input_features[index, :n_frames]).abs().max() < TOLERANCE


def test_parakeet_before_normalisation_equals_the_reference_on_silence_too() -> None:
    """Normalised silence is rounding noise over rounding noise in the reference; before it, all is comparable."""
    extractor = ParakeetFeatureExtractor(hop_length=320)
    silence = np.zeros(RATE_HZ, dtype=np.float32)
    (ours,) = LogMel(parakeet(320, per_feature_norm=False))([silence])
    reference = extractor._torch_extract_fbank_features(torch.from_numpy(silence)[None])[0, : len(ours)]
    assert (ours - reference).abs().max() < TOLERANCE
    (normalised,) = LogMel(parakeet(320))([silence])
    assert normalised.abs().max() == 0


@pytest.mark.parametrize("n_mels", [80, 128])
@pytest.mark.parametrize(
    "n_samples",
    [1, 160, 5_123, 16_000, 30 * RATE_HZ - 201, 30 * RATE_HZ - 41, 30 * RATE_HZ - 1, 30 * RATE_HZ, 31 * RATE_HZ],
)
def test_whisper_equals_the_reference_up_to_and_past_its_window(n_mels: int, n_samples: int) -> None:
    waveform = voice_like(n_samples)
    extractor = WhisperFeatureExtractor(feature_size=n_mels)
    reference = extractor(waveform, sampling_rate=RATE_HZ, return_tensors="pt").input_features[0].T
    (ours,) = LogMel(whisper(n_mels))([waveform])
    assert ours.shape == (3000, n_mels)
    assert (ours - reference).abs().max() < TOLERANCE


def test_whisper_equals_the_reference_on_silence_and_in_a_batch() -> None:
    batch = [np.zeros(RATE_HZ, dtype=np.float32), voice_like(40_000), voice_like(30 * RATE_HZ)]
    reference = WhisperFeatureExtractor()(batch, sampling_rate=RATE_HZ, return_tensors="pt").input_features
    for features, expected in zip(LogMel(whisper())(batch), reference, strict=True):
        assert (features - expected.T).abs().max() < TOLERANCE


@pytest.mark.parametrize("config", [parakeet(), parakeet(320), whisper()], ids=["10ms", "20ms", "whisper"])
def test_an_utterance_has_the_same_features_alone_and_in_any_company(config: FeaturesConfig) -> None:
    extract = LogMel(config)
    for alone, together in zip(BATCH, extract(BATCH), strict=True):
        torch.testing.assert_close(extract([alone])[0], together, atol=1e-5, rtol=0)


@settings(max_examples=40, deadline=None)
@given(lengths=st.lists(st.integers(0, 3_000), max_size=6))
def test_every_length_has_its_frames_and_no_value_is_nan(lengths: list[int]) -> None:
    config = parakeet()
    features = LogMel(config)([voice_like(n) for n in lengths])
    assert [len(f) for f in features] == [config.n_frames(n) for n in lengths]
    assert all(torch.isfinite(f).all() for f in features)


def test_one_sample_and_nothing_at_all() -> None:
    assert LogMel(parakeet())([]) == []
    empty, one = LogMel(parakeet())([np.zeros(0, np.float32), np.ones(1, np.float32)])
    assert empty.shape == one.shape == (0, 80)
    (nothing,) = LogMel(whisper())([np.zeros(0, np.float32)])
    assert torch.isfinite(nothing).all()


def test_a_single_frame_is_zeros_where_the_reference_has_nan() -> None:
    (features,) = LogMel(parakeet())([voice_like(200)])
    assert features.shape == (1, 80)
    assert features.abs().max() == 0


def test_stereo_is_refused() -> None:
    with pytest.raises(ValueError, match="mono"):
        LogMel(parakeet())([np.zeros((2, 16_000), np.float32)])


@settings(max_examples=30, deadline=None)
@given(gain_db=st.floats(-20, 20), n_frames=st.integers(2, 60))
def test_normalised_features_do_not_know_the_gain(gain_db: float, n_frames: int) -> None:
    logs = torch.from_numpy(voice_like(n_frames * 80).reshape(n_frames, 80)) * 100
    louder = logs + gain_db * float(np.log(10)) / 10
    torch.testing.assert_close(per_feature_norm(louder), per_feature_norm(logs), atol=2e-3, rtol=0)


def test_a_padded_batch_holds_its_parts_and_zeros() -> None:
    features = LogMel(parakeet(320))(BATCH)
    batch, mask = pad_batch(features)
    assert batch.shape == (len(BATCH), max(map(len, features)), 80)
    assert mask.sum(dim=1).tolist() == [len(f) for f in features]
    for row, row_mask, part in zip(batch, mask, features, strict=True):
        torch.testing.assert_close(row[row_mask], part)
        assert row[~row_mask].abs().sum() == 0
