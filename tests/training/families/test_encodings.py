"""The frozen encoder's outputs on disk."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch

from tests.training.tones import write_whisper
from training.data.shards import TrainingUtterance
from training.families.encodings import EncodingCache
from training.families.lora import add_adapters
from training.families.model_folder import load_acoustic_model
from training.families.whisper import Whisper


class Usage(NamedTuple):
    free: int


def windows(n: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).normal(size=(n, 30, 4)).astype(np.float32))


def test_each_window_is_encoded_once(tmp_path: Path) -> None:
    cache = EncodingCache(tmp_path / "encodings", lambda features: features * 3)
    first = cache(windows(3))
    assert (first.dtype, cache.n_encoded) == (torch.float16, 3)
    torch.testing.assert_close(cache(windows(4))[:3], first, rtol=0, atol=0)
    assert cache.n_encoded == 4
    again = EncodingCache(tmp_path / "encodings", lambda features: features * 0)
    torch.testing.assert_close(again(windows(3)), first, rtol=0, atol=0)
    assert again.n_encoded == 0


def test_a_full_disk_costs_time_and_no_results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(free=2 * 2 * 30 * 4 * 2))  # room for two windows
    cache = EncodingCache(tmp_path / "encodings", lambda features: features)
    first = cache(windows(5))
    torch.testing.assert_close(cache(windows(5)), first, rtol=0, atol=0)
    assert cache.n_encoded == 5 + 3
    assert len(list((tmp_path / "encodings").iterdir())) == 2


@pytest.fixture
def model(tmp_path: Path) -> Whisper:
    found = load_acoustic_model(write_whisper(tmp_path / "model"), "cpu")
    assert isinstance(found, Whisper)
    return found


def batch_of(n: int) -> list[TrainingUtterance]:
    rng = np.random.default_rng(n)
    return [TrainingUtterance(str(i), rng.normal(size=(3000, 80)).astype(np.float16), "ab", 2.0) for i in range(n)]


def test_a_frozen_encoder_gives_the_same_loss_and_texts(model: Whisper, tmp_path: Path) -> None:
    batch = model.collate(batch_of(3))
    model.module.eval()
    expected = model.loss(batch).item(), model.decode(batch)
    model.freeze_encoder(tmp_path / "encodings")
    for _ in range(2):  # encoded, then read
        assert model.loss(batch).item() == pytest.approx(expected[0], rel=1e-3)
        assert model.decode(batch) == expected[1]
    assert model.encodings is not None
    assert model.encodings.n_encoded == 3


@pytest.mark.parametrize("rank", [0, 2])
def test_only_the_decoder_is_trained(rank: int, model: Whisper, tmp_path: Path) -> None:
    model.freeze_encoder(tmp_path / "encodings")
    if rank:
        add_adapters(model.module, model.family, rank, decoder_only=True)
    model.loss(model.collate(batch_of(2))).backward()
    trained = {name for name, p in model.module.named_parameters() if p.grad is not None and p.grad.any()}
    assert trained
    assert all(name.startswith("model.decoder.") for name in trained)
    assert trained <= {name for name, p in model.module.named_parameters() if p.requires_grad}
    assert all(("lora" in name) == bool(rank) for name in trained)
