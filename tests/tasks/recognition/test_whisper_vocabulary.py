"""A vocabulary helps where its names are spoken, and says nothing where nobody speaks: with a trained Whisper."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from tasks.audio import SAMPLE_RATE_HZ
from tasks.recognition import load_engine
from tasks.recognition.engine import Engine, Hints

NAMES = ("Laura Hughes", "Margaret Thornton", "Brixton", "Zau al Makan", "Nguyen", "Lobsterfield")


@pytest.fixture(scope="module")
def engine(whisper_base: Path) -> Engine:
    return load_engine(whisper_base, "cpu")


def test_names_are_not_put_into_noise(engine: Engine) -> None:
    noise = np.random.default_rng(0).standard_normal(8 * SAMPLE_RATE_HZ)
    smooth = np.convolve(noise, np.ones(20) / 20, "same")
    chunks = [(level * one).astype(np.float32) for level, one in ((0.1, noise), (0.01, noise), (0.2, smooth))]
    with_names = engine.recognise(chunks, [Hints("en", NAMES)] * len(chunks))
    assert [recognition.text for recognition in with_names] == [
        recognition.text for recognition in engine.recognise(chunks, [Hints("en")] * len(chunks))
    ]
    assert not any(name.split()[0] in recognition.text for recognition in with_names for name in NAMES)


def test_a_name_that_is_spoken_is_spelled_as_listed(engine: Engine, speech: Path) -> None:
    samples, _ = soundfile.read(speech / "sentences/audiobook/367-130732-0006.flac", dtype="float32")
    (recognition,) = engine.recognise([samples], [Hints("en", ("NewBerg",))])
    assert "NewBerg" in recognition.text
