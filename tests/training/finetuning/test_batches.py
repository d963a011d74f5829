"""Training batches of one rank."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tasks.contract.recipe import PresetName
from tests.training.tones import write_parakeet, write_wav2vec2_bert, write_whisper
from training.data.loader import BatchDraw, Share
from training.data.order import Position
from training.data.shards import Segment, TrainingUtterance
from training.families.model_folder import load_acoustic_model
from training.finetuning.batches import N_SOUNDS, BatchMaker
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


def test_windows_get_timestamps_and_previous_texts_in_a_share(tmp_path: Path) -> None:
    """And always the same for the same position. What was said before is told in written form only."""
    model = load_acoustic_model(write_whisper(tmp_path / "model"), "cpu")
    recipe = load_preset(PresetName.DEMO).recipe.model_copy(update={"augment": False})
    features = np.zeros((3000, 80), np.float16)
    drawn = [
        TrainingUtterance("u", features, "ab", 2.0, segments=(Segment("ab", 0.0, 2.0),), previous_text=before)
        for before in ("cd", "Cd") * 20
    ]
    start, timestamp = (model.tokenizer.convert_tokens_to_ids(t) for t in ("<|startofprev|>", "<|0.00|>"))

    def shares(restores: bool) -> tuple[float, float, float]:
        maker = BatchMaker(model, recipe, written=list if restores else None)
        batches = [maker(BatchDraw(Position(0, n), len(drawn), 2.0, drawn)) for n in (0, 1)]
        assert batches[0].decoder_inputs.tolist() != batches[1].decoder_inputs.tolist()
        again = maker(BatchDraw(Position(0, 0), len(drawn), 2.0, drawn))
        assert again.decoder_inputs.tolist() == batches[0].decoder_inputs.tolist()
        inputs = np.array(batches[0].decoder_inputs)
        told = inputs[:, 0] == start
        return float((inputs == timestamp).any(axis=1).mean()), float(told[::2].mean()), float(told[1::2].mean())

    timed, told, told_written = shares(restores=False)
    assert 0.1 < timed < 0.5
    assert 0 < told < 0.5
    assert 0 < told_written < 0.5
    assert shares(restores=True) == (timed, 0.0, told_written)


def test_with_a_frozen_encoder_features_repeat(tmp_path: Path) -> None:
    """They are encoded once: no masks, and a bounded number of sounds without speech."""
    model = load_acoustic_model(write_whisper(tmp_path / "model"), "cpu")
    recipe = load_preset(PresetName.WHISPER_FROZEN_ENCODER).recipe
    maker = BatchMaker(model, recipe)
    features = np.random.default_rng(0).normal(size=(3000, 80)).astype(np.float16)
    utterance = TrainingUtterance("u", features, "ab", 20.0)
    batches = [maker(BatchDraw(Position(0, n), 1, 20.0, [utterance])) for n in range(30)]
    for batch in batches:
        np.testing.assert_array_equal(batch.features[0].numpy(), features.astype(np.float32))
    sounds = [batch for batch in batches if len(batch.texts) == 2]
    assert 2 <= len(sounds) <= 15
    assert {batch.texts[1] for batch in sounds} == {""}
    rng = np.random.default_rng(0)
    drawn = {maker._nonspeech(8.0, rng).features.tobytes() for _ in range(3 * N_SOUNDS)}
    assert N_SOUNDS // 2 < len(drawn) <= N_SOUNDS
