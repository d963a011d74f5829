"""A small dataset, a small model and an empty MLflow, each made once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.training.tones import Steps, use_mlflow, write_dataset, write_parakeet


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The URI of a small dataset's manifest."""
    return write_dataset(tmp_path_factory.mktemp("dataset"), n_train=96, n_test=24)


@pytest.fixture(scope="session")
def base_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small, untrained Parakeet."""
    return write_parakeet(tmp_path_factory.mktemp("base") / "model")


@pytest.fixture(scope="session")
def empty_mlflow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MLflow's empty database, made once: its migrations take seconds."""
    from mlflow import MlflowClient

    folder = tmp_path_factory.mktemp("mlflow")
    MlflowClient(f"sqlite:///{folder}/mlflow.db").search_experiments()
    return folder / "mlflow.db"


@pytest.fixture
def mlflow_store(empty_mlflow: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URI of an empty MLflow store."""
    return use_mlflow(empty_mlflow, tmp_path / "mlflow", monkeypatch)


@pytest.fixture
def run(tmp_path: Path) -> Steps:
    return Steps(tmp_path)
