"""What `train` refuses before it trains."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tasks.contract import InputRejected, Misconfigured, Reason
from tasks.contract.arguments import Train
from tests.training.tones import Steps, write_whisper
from training.steps import train


def test_a_missing_tracking_server_is_reported(
    dataset: str, base_model: Path, run: Steps, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = {"dataset": dataset, "base": str(base_model), "steps": 2}
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with pytest.raises(Misconfigured, match="MLFLOW_TRACKING_URI"):
        run("train", **arguments)
    monkeypatch.setattr("training.registry.tracking.CONNECT_ATTEMPTS", 1)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(Misconfigured, match="MLflow does not answer"):
        run("train", **arguments)


def test_features_of_another_model_are_refused_before_anything_is_loaded(
    dataset: str, base_model: Path, tmp_path: Path
) -> None:
    other = shutil.copytree(base_model, tmp_path / "other")
    settings = json.loads((other / "preprocessor_config.json").read_text())
    (other / "preprocessor_config.json").write_text(json.dumps({**settings, "hop_length": 160}))
    with pytest.raises(InputRejected, match="run corpus_features with the features parakeet-80-10ms") as raised:
        train.inputs(Train(output=tmp_path.as_uri(), dataset=dataset, base=str(other)))
    assert raised.value.reason is Reason.INVALID_ARGUMENT
    # Another one than the dataset was made for became champion: nothing is loaded, and the weights are not looked at.
    whisper = write_whisper(tmp_path / "whisper")
    (whisper / "model.safetensors").write_bytes(b"not read")
    with pytest.raises(InputRejected, match="run corpus_features with the features whisper-80"):
        train.inputs(Train(output=tmp_path.as_uri(), dataset=dataset, base=str(whisper)))


def test_a_preset_of_another_family_is_refused_for_a_base_that_nobody_chose(
    dataset: str, base_model: Path, tmp_path: Path, mlflow_store: str
) -> None:
    given = {"output": tmp_path.as_uri(), "dataset": dataset, "preset": "whisper-small-lora"}
    with pytest.raises(Misconfigured, match="leave the preset empty"):
        train.inputs(Train(**given, base="models:/m@champion", fallback=str(base_model)))
    assert train.inputs(Train(**given, base=str(base_model))), "chosen: train warns at the end"
