"""An inbox of short programmes for tests that kill nights."""

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
def night(tmp_path: Path) -> Night:
    """An inbox of short programmes of different synthetic speech, and a model of random weights."""
    import soxr
    import torch

    from local.demo.base_model.model import export, make_model
    from local.demo.synthesis.espeak import ESPEAK_RATE_HZ, speak
    from local.demo.synthesis.voices import VoiceSet, random_voice

    torch.set_num_threads(1)
    torch.manual_seed(1)
    model = tmp_path / "model"
    model.mkdir()
    export(make_model(hidden_size=32, n_layers=1), model)
    night = Night((tmp_path / "storage").as_uri(), str(model))
    for n in range(PROGRAMMES):
        voice = random_voice(VoiceSet.BASE_TRAINING, random.Random(n))
        spoken = speak(f"Good evening. Here is bulletin number {n} of the night.", voice)
        samples = soxr.resample(spoken, ESPEAK_RATE_HZ, SAMPLE_RATE_HZ)
        storage.write(night.at("inbox", f"bulletin-{n:02d}.wav"), wav(np.pad(samples, (0, 160 * n))))
    return night
