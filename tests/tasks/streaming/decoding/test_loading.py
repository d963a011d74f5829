"""Which features a model's decoder takes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tasks.contract import Misconfigured
from tasks.features.config import FeatureFamily, kaldi
from tasks.streaming.decoding.loading import streamed_features, without_normalisation
from tests.tasks.streaming.conftest import WEIGHTS


def test_a_trained_whisper_takes_frames_without_window(whisper_base: Path) -> None:
    config = streamed_features(whisper_base)
    assert (config.family, config.n_mels, config.window_samples) == (FeatureFamily.WHISPER, 80, 0)


@pytest.mark.parametrize("subfolder", ["", "ctranslate2"])
def test_large_v3_takes_128_mels(tmp_path: Path, subfolder: str) -> None:
    """CTranslate2's folder does not name its features; only large-v3 and its descendants know a hundred languages."""
    folder = tmp_path / subfolder
    folder.mkdir(exist_ok=True)
    for name in ("model.bin", "tokenizer.json"):
        (folder / name).write_bytes(b"")
    (folder / "config.json").write_text(json.dumps({"lang_ids": list(range(50_259, 50_359))}))
    assert streamed_features(tmp_path).n_mels == 128


def test_parakeet_is_not_normalised() -> None:
    config = streamed_features(WEIGHTS)
    assert config.family is FeatureFamily.PARAKEET
    assert not config.per_feature_norm


def test_features_that_depend_on_a_whole_utterance_are_refused() -> None:
    with pytest.raises(Misconfigured, match="cannot be streamed"):
        without_normalisation(kaldi(), "model")
