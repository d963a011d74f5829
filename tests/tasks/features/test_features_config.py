"""Feature configurations are values: round trip through JSON, and digests of their parameters."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.features.config import FeatureFamily, FeaturesConfig, kaldi, parakeet, wav2vec2_bert, whisper

CONFIGS = [
    parakeet(),
    parakeet(320),
    parakeet(per_feature_norm=False),
    whisper(),
    whisper(128),
    kaldi(),
    wav2vec2_bert(),
]


@pytest.mark.parametrize("config", CONFIGS, ids=lambda c: f"{c.family}-{c.hop_samples}-{c.n_mels}")
def test_json_round_trip_keeps_configuration_and_digest(config: FeaturesConfig) -> None:
    read = FeaturesConfig.from_json(config.to_json())
    assert read == config
    assert read.digest == config.digest
    assert isinstance(read.family, FeatureFamily)


def test_digests_differ_if_any_parameter_differs() -> None:
    assert len({config.digest for config in CONFIGS}) == len(CONFIGS)
    config = parakeet(320)
    for field in dataclasses.fields(config):
        if isinstance(getattr(config, field.name), int) and field.name != "window_samples":
            changed = dataclasses.replace(config, **{field.name: getattr(config, field.name) + 1})
            assert changed.digest != config.digest, field.name


def test_the_digest_is_of_the_canonical_json() -> None:
    shuffled = json.dumps(dict(reversed(json.loads(parakeet().to_json()).items())), indent=2)
    assert FeaturesConfig.from_json(shuffled).digest == parakeet().digest


@settings(deadline=None)
@given(n_samples=st.integers(0, 10**7))
def test_frames_by_family(n_samples: int) -> None:
    assert parakeet(320).n_frames(n_samples) == n_samples // 320
    assert whisper().n_frames(n_samples) == 3000
    n_whole = len(range(0, n_samples - 399, 160))  # frames that fit completely
    assert kaldi().n_frames(n_samples) == n_whole
    assert wav2vec2_bert().n_frames(n_samples) == n_whole // 2


def test_stacking_halves_the_frames_and_doubles_their_width() -> None:
    config = wav2vec2_bert()
    assert (config.n_features, config.frame_rate_hz) == (160, 50.0)
    assert (parakeet().n_features, parakeet().frame_rate_hz) == (80, 100.0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"win_samples": 600}, "window of 600"),
        ({"n_mels": 0}, "n_mels"),
        ({"stride": 0}, "stride"),
        ({"window_samples": 1001}, "multiple of hop"),
        ({"family": "wavelet"}, "wavelet"),
    ],
)
def test_invalid_parameters_are_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(parakeet(), **change)  # type: ignore[arg-type]


def test_an_unknown_field_is_refused() -> None:
    with pytest.raises(TypeError, match="dither"):
        FeaturesConfig.from_json(json.dumps({**json.loads(parakeet().to_json()), "dither": 0.1}))


def test_the_configuration_needs_no_torch() -> None:
    code = "import sys, tasks.features.config; sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
