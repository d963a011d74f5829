"""An inbox of short programmes for tests that disturb nights."""

from __future__ import annotations

import os
import random
from pathlib import Path

import numpy as np
import pytest

from tasks import storage
from tasks.audio import SAMPLE_RATE_HZ
from tests.faults.night import Night
from tests.tasks.night.media import wav

KILLS = int(os.environ.get("AIRSCRIPT_KILLS", "12"))
PROGRAMMES = 20 if KILLS >= 50 else 6


@pytest.fixture
def model(tmp_path: Path) -> str:
    """A model of random weights, the cheapest that recognises."""
    import torch

    from local.demo.base_model.model import export, make_model

    torch.set_num_threads(1)
    torch.manual_seed(1)
    folder = tmp_path / "model"
    folder.mkdir()
    export(make_model(hidden_size=32, n_layers=1), folder)
    return str(folder)


@pytest.fixture
def night(tmp_path: Path, model: str) -> Night:
    """An inbox of short programmes of different synthetic speech."""
    night = Night((tmp_path / "storage").as_uri(), model)
    for number in range(PROGRAMMES):
        storage.write(night.at("inbox", f"bulletin-{number:02d}.wav"), bulletin(number))
    return night


def bulletin(number: int) -> bytes:
    """A short programme of synthetic speech, unlike all others."""
    import soxr

    from local.demo.synthesis.espeak import ESPEAK_RATE_HZ, speak
    from local.demo.synthesis.voices import VoiceSet, random_voice

    voice = random_voice(VoiceSet.BASE_TRAINING, random.Random(number))
    spoken = speak(f"Good evening. Here is bulletin number {number} of the night.", voice)
    samples = soxr.resample(spoken, ESPEAK_RATE_HZ, SAMPLE_RATE_HZ)
    return wav(np.pad(samples, (0, 160 * number)))
