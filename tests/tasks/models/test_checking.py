"""A model that could not be loaded is refused by its files, with the file's name, before anything is run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tasks import models, storage
from tasks.contract import InputRejected, Misconfigured, Reason

WEIGHTS = b"w" * 2048
PARAKEET = {
    "config.json": b'{"model_type": "parakeet_ctc"}',
    "model.safetensors": WEIGHTS,
    "tokenizer.json": b"{}",
    "processor_config.json": b"{}",
}
WHISPER = {"config.json": b'{"model_type": "whisper"}', "model.safetensors": WEIGHTS, "tokenizer.json": b"{}"}
SYSTRAN = {"config.json": b"{}", "model.bin": WEIGHTS, "vocabulary.txt": b"a"}
OPENAI = {"base.pt": WEIGHTS, "multilingual.tiktoken": b""}
INDEX = json.dumps({"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}})
PARTS = {
    **{name: data for name, data in WHISPER.items() if name != "model.safetensors"},
    "model.safetensors.index.json": INDEX.encode(),
    "model-00001-of-00002.safetensors": WEIGHTS,
    "model-00002-of-00002.safetensors": WEIGHTS,
}
FLAVOR = {"transformers": {"model_binary": "model", "components": ["tokenizer"]}, "python_function": {}}
PIPELINE = {
    "MLmodel": json.dumps({"flavors": FLAVOR}).encode(),
    "model/config.json": WHISPER["config.json"],
    "model/model.safetensors": WEIGHTS,
    "components/tokenizer/tokenizer.json": b"{}",
}


def written(root: str, files: dict[str, bytes], left_out: str = "") -> str:
    for name, data in files.items():
        if name != left_out:
            storage.write(storage.join(root, name), data)
    return root


@pytest.mark.parametrize("files", [PARAKEET, WHISPER, SYSTRAN, OPENAI, PARTS, PIPELINE])
def test_complete_models_pass(files: dict[str, bytes], storage_root: str) -> None:
    models.check(models.resolve(written(storage_root, files)))


@pytest.mark.parametrize(
    ("files", "left_out", "message"),
    [
        (PARAKEET, "processor_config.json", "no preprocessor_config.json"),
        (PARAKEET, "tokenizer.json", "no tokenizer"),
        (PARAKEET, "model.safetensors", "no weights"),
        (WHISPER, "tokenizer.json", "without a tokenizer"),
        (SYSTRAN, "vocabulary.txt", "no vocabulary.json"),
        (OPENAI, "multilingual.tiktoken", "no tokenizer beside the checkpoint"),
        (PARTS, "model-00002-of-00002.safetensors", "1 of 2 parts"),
        (PIPELINE, "components/tokenizer/tokenizer.json", "without a tokenizer"),
        (PIPELINE, "model/model.safetensors", "no weights"),
    ],
)
def test_what_is_missing_is_named(files: dict[str, bytes], left_out: str, message: str, tmp_path: Path) -> None:
    uri = written(tmp_path.as_uri(), files, left_out)
    with pytest.raises(InputRejected, match=message) as error:
        models.check(models.resolve(uri))
    assert error.value.reason is Reason.MODEL_NOT_FOUND
    assert error.value.subject.startswith(uri)
    assert error.value.next_step


@pytest.mark.parametrize(
    ("files", "name", "data"),
    [
        (WHISPER, "model.safetensors", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"),
        (SYSTRAN, "model.bin", b""),
        (OPENAI, "base.pt", b"PK"),
        (WHISPER, "config.json", b"<html>"),
        (WHISPER, "config.json", b"[]"),
        (PARTS, "model.safetensors.index.json", b"{"),
    ],
)
def test_a_damaged_file_is_named(files: dict[str, bytes], name: str, data: bytes, tmp_path: Path) -> None:
    uri = written(tmp_path.as_uri(), {**files, name: data})
    with pytest.raises(InputRejected) as error:
        models.check(models.resolve(uri))
    assert error.value.reason is Reason.CORRUPT
    assert error.value.subject == f"{uri}/{name}"


def test_several_checkpoints_are_named_and_each_can_be_given(tmp_path: Path) -> None:
    uri = written(tmp_path.as_uri(), {**OPENAI, "small.pt": WEIGHTS, "notes.txt": b"-"})
    with pytest.raises(InputRejected, match=r"2 checkpoints: base.pt, small.pt"):
        models.check(models.resolve(uri))
    small = models.resolve(f"{uri}/small.pt")
    models.check(small)
    fetched = models.fetch(small, tmp_path / "scratch")
    assert {path.name for path in fetched.iterdir()} == {"small.pt", "multilingual.tiktoken"}
    assert models.resolve(str(tmp_path / "small.pt")) == small


def test_other_kinds_of_models_are_refused(tmp_path: Path) -> None:
    uri = written(tmp_path.as_uri(), WHISPER | {"config.json": b'{"model_type": "bert"}'})
    with pytest.raises(Misconfigured, match="'bert'"):
        models.check(models.resolve(uri))


def test_a_pipeline_logged_without_weights(tmp_path: Path) -> None:
    flavor = {"transformers": {"source_model_name": "openai/whisper-tiny"}}
    uri = written(tmp_path.as_uri(), {"MLmodel": json.dumps({"flavors": flavor}).encode()})
    with pytest.raises(InputRejected, match="only a reference to openai/whisper-tiny"):
        models.check(models.resolve(uri))


def test_a_night_refuses_before_it_looks_at_media(tmp_path: Path) -> None:
    from tests.tasks.night.station import Station

    station = Station(tmp_path.as_uri())
    station.deliver("news.wav", b"-")
    model = written(station.at("model"), WHISPER, left_out="tokenizer.json")
    with pytest.raises(InputRejected, match="without a tokenizer"):
        station.plan(model)
