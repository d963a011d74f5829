"""What a model is can be told from its settings, in every layout, without its weights."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tasks import models, storage
from tasks.contract import InputRejected, Misconfigured, Reason
from tasks.features.config import FeaturesConfig, parakeet, wav2vec2_bert, whisper
from tests.tasks.models.whisper import layouts
from tests.training.tones import write_parakeet, write_wav2vec2_bert, write_whisper

WEIGHTS = b"w" * 2048
MODEL = {"model.safetensors": WEIGHTS, "tokenizer.json": b"{}"}


def written(root: str, files: dict[str, bytes]) -> models.ModelReference:
    for name, data in files.items():
        storage.write(storage.join(root, name), data)
    return models.resolve(root)


def whisper_settings(n_mels: int) -> dict[str, bytes]:
    return {"config.json": json.dumps({"model_type": "whisper", "num_mel_bins": n_mels}).encode(), **MODEL}


def ctranslate2(n_tokens: int, prefix: str = "") -> dict[str, bytes]:
    vocabulary = json.dumps([f"<{number}>" for number in range(n_tokens)]).encode()
    files = {"config.json": b"{}", "model.bin": WEIGHTS, "vocabulary.json": vocabulary}
    return {prefix + name: data for name, data in files.items()} | {"config.json": b"{}"}


@pytest.mark.parametrize(
    ("files", "n_mels"),
    [
        (whisper_settings(80), 80),
        (whisper_settings(128) | ctranslate2(51866, "ctranslate2/") | whisper_settings(128), 128),
        (ctranslate2(51864), 80),
        (ctranslate2(51865), 80),
        (ctranslate2(51866), 128),
        (ctranslate2(51866, "ctranslate2/"), 128),
        (ctranslate2(51865) | {"preprocessor_config.json": b'{"feature_size": 128}'}, 128),
    ],
)
def test_whispers(files: dict[str, bytes], n_mels: int, storage_root: str) -> None:
    found = models.describe(written(storage_root, files))
    assert (found.model_type, found.features, found.weights_bytes) == ("whisper", whisper(n_mels), len(WEIGHTS))


@pytest.mark.parametrize(
    ("write", "features"),
    [
        (write_parakeet, parakeet(hop_samples=320)),
        (write_wav2vec2_bert, wav2vec2_bert()),
        (write_whisper, whisper()),
        (lambda folder: layouts.openai(write_whisper(folder.with_name("w")), folder), whisper()),
        (lambda folder: layouts.transformers_5(write_whisper(folder.with_name("w")), folder), whisper()),
        (lambda folder: layouts.mlflow(write_whisper(folder.with_name("w")), folder), whisper()),
    ],
    ids=["parakeet", "wav2vec2-bert", "whisper", "openai", "transformers 5", "mlflow"],
)
def test_models_as_they_are_saved(write, features: FeaturesConfig, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    write(folder)
    assert models.describe(models.resolve(str(folder))).features == features


def test_what_cannot_be_told_is_refused(tmp_path: Path) -> None:
    for number, (files, message) in enumerate(
        (
            ({**MODEL, "config.json": b'{"model_type": "whisper"}'}, "KeyError: 'num_mel_bins'"),
            ({**MODEL, "config.json": b'{"model_type": "parakeet_ctc"}'}, "no such file"),
            ({**MODEL, "config.json": b"<html>"}, "no settings of a model"),
            ({"config.json": b"{}", "model.bin": WEIGHTS}, "no vocabulary.json"),
            ({"config.json": b"{}"}, "no weights"),
        )
    ):
        with pytest.raises(InputRejected, match=message) as raised:
            models.describe(written((tmp_path / str(number)).as_uri(), files))
        assert raised.value.reason in (Reason.CORRUPT, Reason.MODEL_NOT_FOUND)
        assert raised.value.next_step
    with pytest.raises(Misconfigured, match="no engine for model type 'bert'"):
        models.describe(written((tmp_path / "bert").as_uri(), {**MODEL, "config.json": b'{"model_type": "bert"}'}))
