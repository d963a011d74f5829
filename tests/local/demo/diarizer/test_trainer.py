from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from pyannote.audio.utils.powerset import Powerset

from local.demo.diarizer import trainer
from local.demo.diarizer.diarizer_card import Run, write_card
from local.demo.diarizer.mixtures import Window
from local.demo.diarizer.speakers import Speaker, recording
from local.demo.diarizer.talks import talks
from local.demo.diarizer.trainer import angular_loss, permutation_free, targets, train_embedding, train_segmentation
from local.demo.diarizer.tuning import reference_of, tune
from local.demo.synthesis.augmentation import SoundBank
from tasks.diarization.embedded import (
    EmbeddedConfig,
    load_embedded,
    load_networks,
    make_embedding,
    make_segmentation,
    pipeline_of,
    save_embedded,
)
from tasks.diarization.networks import FRAME_SAMPLES, N_WINDOW_FRAMES

CONFIG = EmbeddedConfig(channels=8, dimension=6, hidden=8, layers=1)


def test_the_best_permutation_of_speakers_counts() -> None:
    """Against a brute-force search over permutations."""
    torch.manual_seed(1)
    powerset = Powerset(3, 2)
    predicted = torch.randn(4, 30, 7).log_softmax(-1)
    spoken = torch.zeros(4, 30, 3)
    for batch, frame in itertools.product(range(4), range(30)):
        spoken[batch, frame, torch.randperm(3)[: int(torch.randint(0, 3, ()))]] = 1
    by_hand = []
    for batch in range(4):
        losses = []
        for order in itertools.permutations(range(3)):
            sets = powerset.to_powerset(spoken[batch : batch + 1][..., list(order)]).float()[0]
            losses.append(-(predicted[batch] * sets).sum(-1).mean())
        by_hand.append(min(losses))
    assert permutation_free(predicted, spoken, powerset) == pytest.approx(float(torch.stack(by_hand).mean()), abs=1e-6)
    shuffled = spoken[..., [2, 0, 1]]
    assert torch.allclose(
        permutation_free(predicted, shuffled, powerset), permutation_free(predicted, spoken, powerset)
    )


def test_the_margin_raises_the_loss() -> None:
    cosines = torch.tensor([[0.9, 0.1, -0.3], [0.2, 0.8, 0.1]])
    labels = torch.tensor([0, 1])
    plain = torch.nn.functional.cross_entropy(trainer.SCALE * cosines, labels)
    assert angular_loss(cosines, labels, 0.0) == pytest.approx(float(plain), abs=1e-4)
    assert angular_loss(cosines, labels, 0.3) > plain


def test_targets_are_read_at_the_centre_of_each_frame() -> None:
    activity = np.zeros((1000, 3), dtype=bool)
    activity[100:, 1] = True  # after the first second
    window = Window(np.zeros(160_000, np.float32), activity)
    found = targets([window])
    assert found.shape == (1, N_WINDOW_FRAMES, 3)
    assert int(found[0, :, 1].argmax()) == 16_000 // FRAME_SAMPLES
    assert found[0, :, [0, 2]].sum() == 0


@pytest.fixture(scope="module")
def hummers() -> list[Speaker]:
    rng = np.random.default_rng(1)
    seconds = np.arange(3 * 16_000) / 16_000

    def hum(hz: float) -> np.ndarray:
        return sum(np.sin(2 * np.pi * hz * k * seconds) / k for k in range(1, 9)) + 0.01 * rng.standard_normal(48_000)

    return [Speaker(f"{hz}", (recording(hum(hz).astype(np.float32)),)) for hz in (90.0, 130.0, 180.0, 250.0)]


@pytest.fixture(scope="module")
def bank() -> SoundBank:
    noise = np.random.default_rng(2).standard_normal(16_000).astype(np.float32)
    return SoundBank(rooms=(np.array([1, 0, 0.1], np.float32),), sounds=(noise,))


def test_networks_are_trained_tuned_and_saved(
    hummers: list[Speaker], bank: SoundBank, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Small networks from random weights, a few steps each; then the threshold, the folder and its card."""
    monkeypatch.setattr(trainer, "CROPS", 16)
    monkeypatch.setattr(trainer, "WINDOWS", 4)
    monkeypatch.setattr(trainer, "WARMUP_STEPS", 2)
    monkeypatch.setattr(trainer, "LOG_EVERY", 8)
    torch.set_num_threads(1)
    torch.manual_seed(1)
    losses: dict[str, list[float]] = {}

    def log(network: str, step: int, seconds: float, loss: float) -> None:
        losses.setdefault(network, []).append(loss)

    embedding = make_embedding(CONFIG)
    untouched = {name: value.clone() for name, value in embedding.state_dict().items()}
    train_embedding(embedding, hummers, bank, 24, 1, log)
    assert any(not torch.equal(value, untouched[name]) for name, value in embedding.state_dict().items())
    learned = {name: value.clone() for name, value in embedding.state_dict().items()}
    segmentation = make_segmentation(embedding, CONFIG)
    train_segmentation(segmentation, hummers, bank, 24, 1, log)
    assert all(torch.equal(value, learned[name]) for name, value in embedding.state_dict().items()), "frozen"
    assert all(found[-1] < found[0] for found in losses.values()), losses

    tuned = tune(pipeline_of(embedding, segmentation, CONFIG), talks([hummers], bank, seed=1, n=2), (0.6, 0.8, 1.0))
    assert tuned.threshold in (0.6, 0.8, 1.0)
    assert tuned.errors.scored_s > 2
    config = CONFIG.model_copy(update={"threshold": tuned.threshold})
    save_embedded(embedding, segmentation, config, tmp_path)
    write_card(Run(4, 0.1, 24, 24, 1, human=False, started=False), tuned, tmp_path)
    assert f"threshold {tuned.threshold:g} was chosen" in (tmp_path / "README.md").read_text()
    again, _ = load_networks(tmp_path, config)
    for name, value in again.state_dict().items():
        assert torch.allclose(value.float(), learned[name].float(), rtol=1e-3, atol=1e-4), name
    assert load_embedded(tmp_path).parameters(instantiated=True)["clustering"]["threshold"] == tuned.threshold


def test_the_reference_of_a_mixture() -> None:
    activity = np.zeros((300, 3), dtype=bool)
    activity[50:150, 0] = activity[100:300, 2] = True
    found = reference_of(Window(np.zeros(48_000, np.float32), activity))
    turns = [(segment.start, segment.end, label) for segment, _, label in found.itertracks(yield_label=True)]
    assert turns == [(0.5, 1.5, "0"), (1.0, 3.0, "2")]
