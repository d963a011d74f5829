"""GPU utilisation, where it is available and where not."""

from __future__ import annotations

import math
import tomllib
from pathlib import Path

import pytest
import torch

from training.finetuning.hardware import gpu_utilisation


class NotSupported(Exception):
    """Like NVML's error, for example on a MIG slice."""


def test_gpu_utilisation_is_a_share(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "utilization", lambda device: 37)
    assert gpu_utilisation(torch.device("cuda")) == 0.37


@pytest.mark.parametrize("error", [ModuleNotFoundError, RuntimeError, NotSupported])
def test_unavailable_utilisation_does_not_end_a_run(monkeypatch: pytest.MonkeyPatch, error: type[Exception]) -> None:
    def fail(device: torch.device) -> int:
        raise error

    monkeypatch.setattr(torch.cuda, "utilization", fail)
    assert math.isnan(gpu_utilisation(torch.device("cuda")))


def test_the_worker_extra_requires_nvml() -> None:
    with (Path(__file__).parents[3] / "pyproject.toml").open("rb") as file:
        worker = tomllib.load(file)["project"]["optional-dependencies"]["worker"]
    assert any(requirement.startswith("nvidia-ml-py") for requirement in worker)
