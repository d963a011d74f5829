"""GPU utilisation, where it is available and where not."""

from __future__ import annotations

import math
import tomllib
from pathlib import Path

import pytest
import torch

from tasks.contract.recipe import Precision
from training.finetuning.hardware import gpu_utilisation, uses_bfloat16


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


@pytest.mark.parametrize(
    ("device", "precision", "capabilities", "expected"),
    [
        ("cuda", Precision.AUTO, {}, True),
        ("cuda", Precision.FLOAT32, {}, False),
        ("cpu", Precision.AUTO, {"avx512_bf16": True}, False),
        ("cpu", Precision.BFLOAT16, {"avx512_bf16": True}, True),
        ("cpu", Precision.BFLOAT16, {"avx2": True, "avx512_bf16": False}, False),
    ],
)
def test_bfloat16_only_where_it_is_fast(
    monkeypatch: pytest.MonkeyPatch, device: str, precision: Precision, capabilities: dict[str, bool], expected: bool
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    assert uses_bfloat16(precision, torch.device(device)) is expected


def test_the_worker_extra_requires_nvml() -> None:
    with (Path(__file__).parents[3] / "pyproject.toml").open("rb") as file:
        worker = tomllib.load(file)["project"]["optional-dependencies"]["worker"]
    assert any(requirement.startswith("nvidia-ml-py") for requirement in worker)
