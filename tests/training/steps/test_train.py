"""What `train` refuses before it trains."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tasks.contract import InputRejected, Misconfigured, Reason
from tests.training.tones import Steps


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


def test_features_of_another_family_are_refused(
    dataset: str, base_model: Path, run: Steps, mlflow_store: str, tmp_path: Path
) -> None:
    other = shutil.copytree(base_model, tmp_path / "other")
    settings = json.loads((other / "preprocessor_config.json").read_text())
    (other / "preprocessor_config.json").write_text(json.dumps({**settings, "hop_length": 160}))
    with pytest.raises(InputRejected, match="run corpus_features with the features parakeet-80-10ms") as raised:
        run("train", dataset=dataset, base=str(other), steps=2)
    assert raised.value.reason is Reason.INVALID_ARGUMENT
