"""What is told of the machine."""

from __future__ import annotations

import math
import tomllib
from pathlib import Path

import pytest
import torch

from training.finetuning.hardware import gpu_busy


class NotSupported(Exception):
    """As NVML's: on a slice of a GPU, say."""


def test_the_gpus_share_of_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "utilization", lambda device: 37)
    assert gpu_busy(torch.device("cuda")) == 0.37


@pytest.mark.parametrize("error", [ModuleNotFoundError, RuntimeError, NotSupported])
def test_a_gpu_that_does_not_say_ends_no_run(monkeypatch: pytest.MonkeyPatch, error: type[Exception]) -> None:
    def fail(device: torch.device) -> int:
        raise error

    monkeypatch.setattr(torch.cuda, "utilization", fail)
    assert math.isnan(gpu_busy(torch.device("cuda")))


def test_what_reads_the_gpus_counters_comes_with_the_worker() -> None:
    with (Path(__file__).parents[3] / "pyproject.toml").open("rb") as file:
        worker = tomllib.load(file)["project"]["optional-dependencies"]["worker"]
    assert any(requirement.startswith("nvidia-ml-py") for requirement in worker)
