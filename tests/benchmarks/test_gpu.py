"""The benchmark for a GPU runs here in its tiny form, on the CPU: no figure is judged, all have to come."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from benchmarks.gpu import PARTS, SHARES, part_named
from benchmarks.support.gpu.plan import Figure, Plan

WHATS = {
    "features": ("parakeet", "whisper, 128 mels", "wav2vec2-bert"),
    "whispers": ("recognise", "batched", "ratio"),
    "parakeet": ("our engine", "transformers", "ratio"),
    "training": ("ours", "waiting for data", "transformers Trainer", "ratio"),
    "stopping": ("SIGTERM to the end", "first step after it"),
    "speakers": ("airscript", "pyannote", "ratio"),
}


@pytest.mark.parametrize("part", PARTS)
def test_every_part_runs(part: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRSCRIPT_MODEL_CACHE", str(tmp_path / "cache"))
    figures = list(part_named(part)(Plan("cpu", is_tiny=True, folder=tmp_path)))
    assert all(math.isfinite(figure.value) and figure.value >= 0 for figure in figures)
    for what in WHATS[part]:
        assert any(what in figure.what for figure in figures), what
    if part == "stopping":
        assert figures[-1].value == 3  # it was stopped after the second step


def test_parts_share_the_time() -> None:
    assert SHARES.keys() == PARTS.keys()
    assert sum(SHARES.values()) == pytest.approx(1)


def test_bars() -> None:
    assert Figure("features", "whisper-80", 5_000, "x real time", at_least=5_000).is_met is True
    assert Figure("training", "waiting for data", 0.04, "share", at_most=0.03).is_met is False
    assert Figure("training", "ours", 9, "x real time").is_met is None


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_says_so() -> None:
    done = subprocess.run([sys.executable, "-m", "benchmarks.gpu"], capture_output=True, text=True, check=False)
    assert done.returncode == 69
    assert "no GPU here" in done.stderr
    assert "--tiny" in done.stderr
