"""Our features against transformers' extractors, on synthetic signals and real speech."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import ParakeetFeatureExtractor, SeamlessM4TFeatureExtractor, WhisperFeatureExtractor

from tasks.features.config import FeaturesConfig, parakeet, wav2vec2_bert, whisper
from tasks.features.logmel import LogMel, pad_batch, per_feature_norm

RATE_HZ = 16_000
TOLERANCE = 1e-4


def voice_like(n_samples: int, seed: int = 0) -> np.ndarray:
    """A gliding tone with overtones, a syllabic envelope and a little noise."""
    rng = np.random.default_rng(seed)
    seconds = np.arange(n_samples) / RATE_HZ
    phase = 2 * np.pi * np.cumsum(120 + 40 * np.sin(2 * np.pi * 0.7 * seconds)) / RATE_HZ
    tone = sum(np.sin(k * phase) / k for k in range(1, 20))
    loudness = 0.1 + np.maximum(0, np.sin(2 * np.pi * 3 * seconds))
    return (0.05 * tone * loudness + 0.002 * rng.standard_normal(n_samples)).astype(np.float32)


BATCH = [voice_like(n, seed) for seed, n in enumerate((16_000, 51_231, 80_001, 719, 4_800, 160_000))]
LONG = voice_like(31 * RATE_HZ)


CLIPS = (  # read books with next to nothing above the speech, a noisy meeting, commands, one word
    "sentences/audiobook/1688-142285-0001.flac",
    "sentences/audiobook/3331-159605-0004.flac",
    "sentences/second_language/1309_013090287.flac",
    "diarization/ami/dev00.flac",
    "sentences/an4/an104-mrcb-b.flac",
    "words/bed/62581901_nohash_0.flac",
)
EDGES = [30 * RATE_HZ - 201, 30 * RATE_HZ - 199, 30 * RATE_HZ - 41, 30 * RATE_HZ - 1, 30 * RATE_HZ, 30 * RATE_HZ + 1]

Reference = Callable[[list[np.ndarray]], list[np.ndarray]]
"""transformers' features of waveforms, `(n_frames, n_features)` each, without masked frames."""


def parakeet_reference(hop_samples: int, n_mels: int = 80) -> Reference:
    extractor = ParakeetFeatureExtractor(feature_size=n_mels, hop_length=hop_samples)

    def features(waveforms: list[np.ndarray]) -> list[np.ndarray]:
        found = extractor(waveforms, sampling_rate=RATE_HZ, return_tensors="pt")
        return [f[mask].numpy() for f, mask in zip(found.input_features, found.attention_mask.bool(), strict=True)]

    return features


def whisper_reference(n_mels: int) -> Reference:
    extractor = WhisperFeatureExtractor(feature_size=n_mels)

    def features(waveforms: list[np.ndarray]) -> list[np.ndarray]:
        return [f.T for f in extractor(waveforms, sampling_rate=RATE_HZ, return_tensors="np").input_features]

    return features


def bert_reference(*, normalised: bool = True) -> Reference:
    extractor = SeamlessM4TFeatureExtractor()

    def features(waveforms: list[np.ndarray]) -> list[np.ndarray]:
        found = extractor(waveforms, sampling_rate=RATE_HZ, return_tensors="np", do_normalize_per_mel_bins=normalised)
        masks = found.attention_mask.astype(bool)
        return [f[mask] for f, mask in zip(found.input_features, masks, strict=True)]

    return features


REFERENCES = {
    "parakeet-10ms": (parakeet(), parakeet_reference(160)),
    "parakeet-20ms": (parakeet(320), parakeet_reference(320)),
    "parakeet-128": (parakeet(n_mels=128), parakeet_reference(160, n_mels=128)),
    "whisper-80": (whisper(80), whisper_reference(80)),
    "whisper-128": (whisper(128), whisper_reference(128)),
    "wav2vec2-bert": (wav2vec2_bert(), bert_reference()),
}
CONFIGS = [config for config, _ in REFERENCES.values()]
each_family = pytest.mark.parametrize(("config", "reference"), REFERENCES.values(), ids=REFERENCES)
each_whisper = pytest.mark.parametrize("n_mels", [80, 128])


def assert_equal_to(reference: Reference, config: FeaturesConfig, waveforms: list[np.ndarray]) -> None:
    for ours, theirs in zip(LogMel(config)(waveforms), reference(waveforms), strict=True):
        assert ours.shape == theirs.shape
        assert np.abs(ours.numpy() - theirs).max() < TOLERANCE


@each_family
def test_a_batch_of_many_lengths_equals_the_reference(config: FeaturesConfig, reference: Reference) -> None:
    assert_equal_to(reference, config, BATCH)


@each_family
def test_real_speech_equals_the_reference(config: FeaturesConfig, reference: Reference, speech: Path) -> None:
    assert_equal_to(reference, config, [soundfile.read(speech / clip, dtype="float32")[0] for clip in CLIPS])


@each_family
@pytest.mark.parametrize("n_samples", EDGES)
def test_thirty_seconds_and_a_sample_more_or_less_equal_the_reference(
    config: FeaturesConfig, reference: Reference, n_samples: int
) -> None:
    assert_equal_to(reference, config, [LONG[:n_samples]])


@pytest.mark.parametrize("hop_samples", [160, 320])
def test_parakeet_before_normalisation_equals_the_reference_on_silence_too(hop_samples: int) -> None:
    """Normalised silence is a ratio of rounding errors in the reference; before normalisation it is comparable."""
    extractor = ParakeetFeatureExtractor(hop_length=hop_samples)
    silence = np.zeros(RATE_HZ, dtype=np.float32)
    (ours,) = LogMel(parakeet(hop_samples, per_feature_norm=False))([silence])
    reference = extractor._torch_extract_fbank_features(torch.from_numpy(silence)[None])[0, : len(ours)]
    assert (ours - reference).abs().max() < TOLERANCE
    (normalised,) = LogMel(parakeet(hop_samples))([silence])
    assert normalised.abs().max() == 0


@pytest.mark.parametrize("n_samples", [RATE_HZ, 10 * RATE_HZ])
def test_wav2vec2_bert_equals_the_reference_on_silence(n_samples: int) -> None:
    """Before normalisation. After it, the reference has 0 or 0.003 everywhere: NumPy's mean of equal numbers may be
    off by its last bit, and that is divided by the square root of 1e-7. Ours has 0."""
    silence = [np.zeros(n_samples, np.float32)]
    assert_equal_to(
        bert_reference(normalised=False), dataclasses.replace(wav2vec2_bert(), per_feature_norm=False), silence
    )
    (normalised,) = LogMel(wav2vec2_bert())(silence)
    assert normalised.abs().max() == 0
    assert np.abs(bert_reference()(silence)[0]).max() < 0.01


def test_wav2vec2_bert_equals_the_reference_with_a_loud_offset_and_before_normalisation() -> None:
    """Without its mean a frame of a constant signal is silence."""
    offset = [voice_like(40_000) + np.float32(0.3), np.full(RATE_HZ, 0.1, np.float32)]
    assert_equal_to(
        bert_reference(normalised=False), dataclasses.replace(wav2vec2_bert(), per_feature_norm=False), offset
    )


def test_wav2vec2_bert_stacks_the_same_frames_as_the_reference() -> None:
    """Also with an odd number of frames: the reference pads the last one, and its mask hides the pair."""
    lengths = [240, 400, 559, 880, 1039, 1040, 1200, 1359, 1360]
    waveforms = [voice_like(n) for n in lengths]
    config = dataclasses.replace(
        wav2vec2_bert(), per_feature_norm=False
    )  # with two frames, it is mostly rounding error
    for ours, waveform in zip(LogMel(config)(waveforms), waveforms, strict=True):
        (theirs,) = bert_reference(normalised=False)([waveform])
        assert ours.shape == theirs.shape
        assert np.abs(ours.numpy() - theirs).max(initial=0) < TOLERANCE


@each_whisper
@pytest.mark.parametrize("n_samples", [1, 160, 200, 201, 5_123, 16_000])
def test_whisper_equals_the_reference_from_one_sample_on(n_mels: int, n_samples: int) -> None:
    assert_equal_to(whisper_reference(n_mels), whisper(n_mels), [voice_like(n_samples)])


@each_whisper
def test_whisper_equals_the_reference_on_silence_and_in_a_batch(n_mels: int) -> None:
    batch = [np.zeros(RATE_HZ, np.float32), voice_like(40_000), LONG, np.ones(1, np.float32)]
    assert_equal_to(whisper_reference(n_mels), whisper(n_mels), batch)


@pytest.mark.parametrize("config", CONFIGS, ids=list(REFERENCES))
def test_features_do_not_depend_on_the_batch(config: FeaturesConfig) -> None:
    extract = LogMel(config)
    for alone, together in zip(BATCH, extract(BATCH), strict=True):
        torch.testing.assert_close(extract([alone])[0], together, atol=1e-5, rtol=0)


@pytest.mark.parametrize("config", [parakeet(), wav2vec2_bert()], ids=["parakeet", "wav2vec2-bert"])
@settings(max_examples=40, deadline=None)
@given(lengths=st.lists(st.integers(0, 3_000), max_size=6))
def test_every_length_has_its_frames_and_no_value_is_nan(config: FeaturesConfig, lengths: list[int]) -> None:
    features = LogMel(config)([voice_like(n) for n in lengths])
    assert [len(f) for f in features] == [config.n_frames(n) for n in lengths]
    assert all(f.shape[1] == config.n_features and torch.isfinite(f).all() for f in features)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("config", CONFIGS, ids=list(REFERENCES))
def test_gpu_features_equal_cpu_features(config: FeaturesConfig) -> None:
    for there, here in zip(LogMel(config, "cuda")(BATCH), LogMel(config)(BATCH), strict=True):
        assert there.is_cuda
        torch.testing.assert_close(there.cpu(), here, atol=1e-3, rtol=0)


@pytest.mark.parametrize("config", [parakeet(), wav2vec2_bert()], ids=["parakeet", "wav2vec2-bert"])
def test_one_sample_and_no_samples_have_no_frame(config: FeaturesConfig) -> None:
    """Parakeet's reference has masked frames here, and wav2vec2-BERT's fails below 240 samples."""
    assert LogMel(config)([]) == []
    empty, one = LogMel(config)([np.zeros(0, np.float32), np.ones(1, np.float32)])
    assert empty.shape == one.shape == (0, config.n_features)


@each_whisper
def test_whisper_in_c_and_in_torch_are_equal(n_mels: int, speech: Path) -> None:
    read = [soundfile.read(speech / clip, dtype="float32")[0] for clip in CLIPS]
    edges = [LONG[:n_samples] for n_samples in EDGES]
    made = [np.zeros(0, np.float32), np.ones(1, np.float32), np.zeros(RATE_HZ, np.float32)]
    in_c, in_torch = LogMel(whisper(n_mels)), LogMel(whisper(n_mels), allows_native=False)
    for waveforms, tolerance in ((read, 5e-5), (edges, 5e-5), (made, 1e-6)):
        for ours, other in zip(in_c(waveforms), in_torch(waveforms), strict=True):
            torch.testing.assert_close(ours, other, atol=tolerance, rtol=0)


@each_whisper
def test_whisper_in_torch_equals_the_reference(n_mels: int) -> None:
    """Where asrfront has no wheel, and on a GPU."""
    pytest.importorskip("asrfront")
    batch = [voice_like(40_000), LONG, np.zeros(RATE_HZ, np.float32)]
    ours = LogMel(whisper(n_mels), allows_native=False)(batch)
    for features, theirs in zip(ours, whisper_reference(n_mels)(batch), strict=True):
        assert np.abs(features.numpy() - theirs).max() < TOLERANCE


def test_whisper_features_of_no_samples_are_those_of_silence() -> None:
    (nothing,) = LogMel(whisper())([np.zeros(0, np.float32)])
    assert torch.isfinite(nothing).all()


def test_a_single_frame_is_zeros_where_the_reference_has_nan() -> None:
    (features,) = LogMel(parakeet())([voice_like(200)])
    assert features.shape == (1, 80)
    assert features.abs().max() == 0
    assert parakeet_reference(160)([voice_like(200)])[0].shape == (1, 80)


def test_stereo_is_refused() -> None:
    with pytest.raises(ValueError, match="mono"):
        LogMel(parakeet())([np.zeros((2, 16_000), np.float32)])


@settings(max_examples=30, deadline=None)
@given(gain_db=st.floats(-20, 20), n_frames=st.integers(2, 60))
def test_normalised_features_do_not_depend_on_gain(gain_db: float, n_frames: int) -> None:
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
