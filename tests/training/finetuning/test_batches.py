"""Training batches of one rank."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tasks.contract.arguments import PresetName
from tests.training.tones import write_parakeet, write_wav2vec2_bert, write_whisper
from training.data.loader import BatchDraw, Share
from training.data.order import Position
from training.families.model_folder import load_acoustic_model
from training.finetuning.batches import BatchMaker
from training.finetuning.recipe import load_preset

pytestmark = pytest.mark.timeout(900)  # trains small models: minutes where cores are shared


@pytest.mark.parametrize("write", [write_parakeet, write_wav2vec2_bert, write_whisper])
def test_a_rank_with_an_empty_share_takes_the_step_too(write: Callable[[Path], Path], tmp_path: Path) -> None:
    model = load_acoustic_model(write(tmp_path / "model"), "cpu")
    maker = BatchMaker(model, load_preset(PresetName.DEMO).recipe, Share(rank=2, world_size=3))
    batch = maker(BatchDraw(Position(0, 0), 1, 2.0, []))
    model.loss(batch).backward()
    assert (batch.n_items, batch.texts) == (0, ("",))
    assert all(p.grad is not None for p in model.module.parameters() if p.requires_grad)
