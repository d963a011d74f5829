"""Conversion of a Whisper to CTranslate2: accepted when its WER agrees with the original's, refused otherwise."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tasks.contract import InputRejected, Reason
from tasks.models import fetch, resolve
from tasks.models.folder import CTRANSLATE2_FOLDER
from tasks.recognition import load_engine
from tasks.transcripts.error_counts import ErrorCounts
from tests.training.tones import Steps, write_dataset, write_whisper
from training.families.model_folder import load_acoustic_model
from training.finetuning import conversion

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_dataset(tmp_path_factory.mktemp("data"), n_train=6, n_test=4, features="whisper-80")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_whisper(tmp_path_factory.mktemp("whisper") / "model")


def test_a_whisper_is_converted_evaluated_and_registered(
    dataset: str, base: Path, run: Steps, mlflow_store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = {"dataset": dataset, "base": str(base), "steps": 2, "batch_seconds": 90.0, "learning_rate": 1e-3}
    arguments["preset"] = "demo"
    trained = run("train", **arguments)
    assert trained.warnings[0] == "preset demo is tuned for parakeet-ctc, and this model is whisper"
    converted = run("convert-model", trained=trained.result)
    assert converted.labels["converted"] == "yes"
    assert converted.labels["model"] == converted.result
    assert converted.counts["utterances"] == 4
    evaluated = run("evaluate", model=converted.labels["model"], dataset=dataset)
    compared = run("compare-models", challenger=evaluated.result, champion=evaluated.result)
    results = {"converted": converted.result, "evaluation": evaluated.result, "comparison": compared.result}
    registered = run("register-model", trained=trained.result, name="w", **results)
    folder = fetch(resolve(registered.labels["model"]), tmp_path)
    assert (folder / CTRANSLATE2_FOLDER / "model.bin").is_file()
    assert (folder / "model.safetensors").is_file(), "needed for further fine-tuning"
    monkeypatch.delattr("tasks.models.whisper.ctranslate2_folder.convert")  # production does not convert
    assert load_engine(folder, "cpu").name.startswith("faster-whisper")


def write_constant_whisper(letter: str, folder: Path) -> Path:
    """A Whisper that always decodes this letter."""
    model = load_acoustic_model(write_whisper(folder), "cpu")
    (token,) = model.tokenizer(letter, add_special_tokens=False).input_ids
    decoder = model.module.model.decoder
    with torch.no_grad():
        decoder.layer_norm.weight.zero_()
        decoder.layer_norm.bias.copy_(50 * decoder.embed_tokens.weight[token])
    model.module.save_pretrained(folder)
    return folder


def test_the_conversion_of_another_model_is_detected(dataset: str, tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    ours = conversion.convert(write_constant_whisper("a", tmp_path / "a-model"), "float16", tmp_path)
    theirs = conversion.convert(write_constant_whisper("b", tmp_path / "b-model"), "int8", tmp_path / "b")
    same, other = (conversion.measure_parity(ours, dataset, folder / CTRANSLATE2_FOLDER) for folder in (ours, theirs))
    assert (same.utterances, same.differing, same.change) == (4, 0, 0.0)
    assert other.differing == 4


def test_a_conversion_with_a_higher_wer_is_refused(
    dataset: str, base: Path, run: Steps, mlflow_store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained = run("train", dataset=dataset, base=str(base), steps=1, batch_seconds=90.0)
    found = conversion.Parity(
        "validation", 40, 3, ErrorCounts(deletions=2, length=400), ErrorCounts(deletions=5, length=400)
    )
    monkeypatch.setattr(conversion, "measure_parity", lambda folder, dataset: found)
    with pytest.raises(InputRejected, match=r"1\.25 % WER on 40 utterances.*the original 0\.50 %") as raised:
        run("convert-model", trained=trained.result)
    assert raised.value.reason is Reason.CONVERSION_DIFFERS
    assert run("convert-model", trained=trained.result, max_wer_change=0.01).labels["converted"] == "yes"


def test_a_ctc_model_needs_no_conversion(
    run: Steps, mlflow_store: str, tmp_path_factory: pytest.TempPathFactory, base_model: Path
) -> None:
    tones = write_dataset(tmp_path_factory.mktemp("data"), n_train=4, n_test=1)
    trained = run("train", dataset=tones, base=str(base_model), steps=1)
    converted = run("convert-model", trained=trained.result)
    assert (converted.labels["converted"], converted.labels["model"]) == ("no", trained.result)
    assert resolve(converted.labels["model"]) == resolve(trained.result)
