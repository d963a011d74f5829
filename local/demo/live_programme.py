"""A programme for live captions: synthetic news, an anchor and sometimes a reporter."""

from __future__ import annotations

import random
import wave
from dataclasses import dataclass
from pathlib import Path

import numpy as np


@dataclass(frozen=True)
class Spoken:
    """The audio, `(n_samples,)` float32, and reference text of a programme."""

    samples: np.ndarray
    rate_hz: int
    text: str


def speech(seed: int, seconds: float) -> Spoken:
    """About `seconds` of the demo's news."""
    from local.demo.synthesis.espeak import ESPEAK_RATE_HZ, speak
    from local.demo.synthesis.grammar import Side
    from local.demo.synthesis.script import Kind, write_script

    rng = random.Random(seed)
    script = write_script("news", Kind.NEWS, Side.INBOX, seconds, rng)
    parts: list[np.ndarray] = []
    for line in script.lines:
        pause_s = rng.uniform(0.25, 0.9)
        parts += [speak(line.text, script.cast[line.speaker]), np.zeros(int(pause_s * ESPEAK_RATE_HZ), np.float32)]
    return Spoken(np.concatenate(parts), ESPEAK_RATE_HZ, " ".join(line.text for line in script.lines))


def write_wave(spoken: Spoken, path: Path) -> None:
    """Write a programme as a WAV file of 16 bits."""
    with wave.open(str(path), "wb") as writer:
        writer.setparams((1, 2, spoken.rate_hz, 0, "NONE", ""))
        writer.writeframes(np.clip(np.rint(spoken.samples * 32_767), -32_768, 32_767).astype("<i2").tobytes())
