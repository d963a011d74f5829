"""Challengers that are worse, heard for real: the model of the repository on synthetic speech, and damaged copies."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import soxr
import torch
from safetensors.torch import load_file, save_file

import local.demo.base_model
from local.demo.synthesis import espeak
from local.demo.synthesis.sentences import SentenceGenerator
from local.demo.synthesis.voices import VoiceSet, random_voice
from tasks.audio import SAMPLE_RATE_HZ
from tasks.contract import Receipt
from tests.training.tones import Steps, write_dataset
from training.evaluation.promotion import Judged, compare
from training.evaluation.records import Decision, load_evaluation, load_utterances

pytestmark = pytest.mark.timeout(900)  # an engine listens to minutes of sound: longer where cores are shared

WEIGHTS = Path(local.demo.base_model.__file__).parent / "weights"
BLANK = 0
N_PROGRAMMES = 4
Weights = dict[str, torch.Tensor]


def damage(weights: Weights) -> None:
    """Noise on every weight."""
    torch.manual_seed(0)
    for tensor in weights.values():
        if tensor.ndim > 1:
            tensor += (0.5 * tensor.float().std() * torch.randn(tensor.shape)).to(tensor.dtype)


def loosen(weights: Weights) -> None:
    """It would rather say a letter than nothing."""
    weights["ctc_head.bias"][BLANK] -= 12


def changed(change: Callable[[Weights], None], folder: Path) -> Path:
    """A copy of the model with other weights."""
    shutil.copytree(WEIGHTS, folder)
    weights = load_file(folder / "model.safetensors")
    change(weights)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def read_out(seed: int) -> Callable[[np.random.Generator], tuple[str, np.ndarray]]:
    """Utterances in voices that the model was not trained on."""
    rng, sentences = random.Random(seed), SentenceGenerator(seed)

    def speech(_: np.random.Generator) -> tuple[str, np.ndarray]:
        text = sentences.sentence()
        spoken = espeak.speak(text, random_voice(VoiceSet.BASE_VALIDATION, rng))
        return text, soxr.resample(spoken, espeak.ESPEAK_RATE_HZ, SAMPLE_RATE_HZ)

    return speech


@dataclass(frozen=True)
class Heard:
    """Evaluations of the models on the same speech and the same sounds without speech."""

    run: Steps
    sound: Receipt
    damaged: Receipt
    talker: Receipt

    def compared(self, challenger: Receipt, champion: Receipt) -> Receipt:
        # How long each took says nothing where cores are shared.
        return self.run("compare-models", challenger=challenger.result, champion=champion.result, slowest_share=1e-6)


@pytest.fixture(scope="module")
def heard(tmp_path_factory: pytest.TempPathFactory) -> Heard:
    folder = tmp_path_factory.mktemp("challengers")
    dataset = write_dataset(folder / "dataset", n_train=1, n_test=60, speech=read_out(seed=4))
    run = Steps(folder)
    models = (WEIGHTS, changed(damage, folder / "damaged"), changed(loosen, folder / "talker"))
    return Heard(run, *(run("evaluate", model=str(model), dataset=dataset) for model in models))


def test_a_damaged_model_is_not_promoted_over_the_sound_one(heard: Heard) -> None:
    found = heard.compared(heard.damaged, heard.sound)
    assert found.labels["decision"] == "keep"
    assert "not surely better" in found.labels["reason"]
    assert found.metrics["challenger_wer"] > found.metrics["champion_wer"]


def test_the_sound_one_is_promoted_over_the_damaged(heard: Heard) -> None:
    """Else the tests here would show only that nothing is ever promoted."""
    assert heard.compared(heard.sound, heard.damaged).labels["decision"] == "promote"


def test_one_that_talks_on_silence_is_not_promoted_though_it_is_better(heard: Heard) -> None:
    found = heard.compared(heard.talker, heard.damaged)
    assert found.metrics["p_better"] > 0.95
    assert found.labels["decision"] == "keep"
    assert "words in silence, the champion 0" in found.labels["reason"]
    assert "words a minute where nobody speaks" in found.labels["reason"]


def test_better_on_average_but_worse_in_a_programme_is_not_promoted(heard: Heard) -> None:
    """Both models' own records, changed for one another in one programme of four."""
    by_sound, by_damaged = (list(load_utterances(receipt.result)) for receipt in (heard.sound, heard.damaged))
    challenger, champion = [], []
    for place, (good, bad) in enumerate(zip(by_sound, by_damaged, strict=True)):
        programme = {"programme_id": f"programme-{place % N_PROGRAMMES}"}
        ours, theirs = (bad, good) if place % N_PROGRAMMES == 0 else (good, bad)
        challenger.append(ours.model_copy(update=programme))
        champion.append(theirs.model_copy(update=programme))
    found = compare(
        Judged(load_evaluation(heard.sound.result), challenger), Judged(load_evaluation(heard.damaged.result), champion)
    )
    assert found.p_better > 0.95
    assert found.decision is Decision.KEEP
    assert [part.value for part in found.slices if part.too_bad and part.kind == "programme"] == ["programme-0"]
