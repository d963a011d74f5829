from __future__ import annotations

import pytest
from hypothesis import settings

from tasks.audio import SAMPLE_RATE_HZ
from tests.tasks.night.media import wav

settings.register_profile("shared machine", deadline=None)
settings.load_profile("shared machine")


@pytest.fixture(scope="session")
def speech_wav() -> bytes:
    """Some seconds of synthetic speech."""
    import random

    import soxr

    from local.demo.synthesis.espeak import ESPEAK_RATE_HZ, speak
    from local.demo.synthesis.voices import VoiceSet, random_voice

    voice = random_voice(VoiceSet.BASE_TRAINING, random.Random(1))
    spoken = speak("Good evening. Here is the news. The council has voted for a new bridge over the river.", voice)
    return wav(soxr.resample(spoken, ESPEAK_RATE_HZ, SAMPLE_RATE_HZ))


@pytest.fixture(scope="session")
def two_models(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """Two models of random weights."""
    import torch

    from local.demo.base_model.model import export, make_model

    torch.set_num_threads(1)
    folders = []
    for seed in (1, 2):
        folder = tmp_path_factory.mktemp(f"model-{seed}")
        torch.manual_seed(seed)
        export(make_model(hidden_size=32, n_layers=1), folder)
        folders.append(str(folder))
    return folders[0], folders[1]
