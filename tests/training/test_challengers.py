"""Worse challengers, evaluated for real: the repository's model on synthetic speech, and damaged copies of it."""

from __future__ import annotations

import random
import re
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
from training.evaluation.promotion import Contender, compare
from training.evaluation.records import Decision, load_evaluation, load_utterances

pytestmark = pytest.mark.timeout(900)  # recognises minutes of audio: longer where cores are shared

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


def suppress_blank(weights: Weights) -> None:
    """Make letters more likely than blanks."""
    weights["ctc_head.bias"][BLANK] -= 12


def modified(change: Callable[[Weights], None], folder: Path) -> Path:
    """A copy of the model with changed weights."""
    shutil.copytree(WEIGHTS, folder)
    weights = load_file(folder / "model.safetensors")
    change(weights)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def synthetic_speech(seed: int) -> Callable[[np.random.Generator], tuple[str, np.ndarray]]:
    """Utterances in voices that the model was not trained on."""
    rng, sentences = random.Random(seed), SentenceGenerator(seed)

    def speech(_: np.random.Generator) -> tuple[str, np.ndarray]:
        text = sentences.sentence()
        spoken = espeak.speak(text, random_voice(VoiceSet.BASE_VALIDATION, rng))
        return text, soxr.resample(spoken, espeak.ESPEAK_RATE_HZ, SAMPLE_RATE_HZ)

    return speech


@dataclass(frozen=True)
class Evaluated:
    """Evaluations of the models on the same speech and the same sounds without speech."""

    run: Steps
    intact: Receipt
    damaged: Receipt
    hallucinating: Receipt

    def compared(self, challenger: Receipt, champion: Receipt) -> Receipt:
        # Speed is meaningless where cores are shared.
        return self.run("compare-models", challenger=challenger.result, champion=champion.result, slowest_share=1e-6)


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory: pytest.TempPathFactory) -> Evaluated:
    folder = tmp_path_factory.mktemp("challengers")
    dataset = write_dataset(folder / "dataset", n_train=1, n_test=60, speech=synthetic_speech(seed=4))
    run = Steps(folder)
    models = (WEIGHTS, modified(damage, folder / "damaged"), modified(suppress_blank, folder / "hallucinating"))
    return Evaluated(run, *(run("evaluate", model=str(model), dataset=dataset) for model in models))


def test_a_damaged_model_is_not_promoted_over_the_intact_one(evaluated: Evaluated) -> None:
    found = evaluated.compared(evaluated.damaged, evaluated.intact)
    assert found.labels["decision"] == "keep"
    assert "not significantly better" in found.labels["reason"]
    assert found.metrics["challenger_wer"] > found.metrics["champion_wer"]


def test_the_intact_model_is_promoted_over_the_damaged(evaluated: Evaluated) -> None:
    """Without this, the tests here would pass with a rule that never promotes."""
    assert evaluated.compared(evaluated.intact, evaluated.damaged).labels["decision"] == "promote"


def test_a_model_that_hallucinates_in_silence_is_not_promoted_though_it_is_better(evaluated: Evaluated) -> None:
    found = evaluated.compared(evaluated.hallucinating, evaluated.damaged)
    assert found.metrics["p_better"] > 0.95
    assert found.labels["decision"] == "keep"
    assert re.search(r"hallucinates in silence: \d+ words, the champion 0", found.labels["reason"])
    assert "hallucinates in non-speech" in found.labels["reason"]


def test_better_on_average_but_worse_in_a_programme_is_not_promoted(evaluated: Evaluated) -> None:
    """Both models' own records, swapped in one programme of four."""
    by_intact, by_damaged = (list(load_utterances(receipt.result)) for receipt in (evaluated.intact, evaluated.damaged))
    challenger, champion = [], []
    for index, (good, bad) in enumerate(zip(by_intact, by_damaged, strict=True)):
        programme = {"programme_id": f"programme-{index % N_PROGRAMMES}"}
        ours, theirs = (bad, good) if index % N_PROGRAMMES == 0 else (good, bad)
        challenger.append(ours.model_copy(update=programme))
        champion.append(theirs.model_copy(update=programme))
    found = compare(
        Contender(load_evaluation(evaluated.intact.result), challenger),
        Contender(load_evaluation(evaluated.damaged.result), champion),
    )
    assert found.p_better > 0.95
    assert found.decision is Decision.KEEP
    assert [part.value for part in found.slices if part.regressed and part.kind == "programme"] == ["programme-0"]
