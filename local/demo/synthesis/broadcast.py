"""From a script to audio: the lines spoken one after another, over a bed of music or noise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import soxr

from local.demo.synthesis import augmentation
from local.demo.synthesis.espeak import ESPEAK_RATE_HZ, speak
from local.demo.synthesis.script import Kind, Line, Script
from tasks.audio import SAMPLE_RATE_HZ

PEAK = 0.7
SILENCE = 0.004  # amplitude below which the ends of a line are trimmed
FADE_SECONDS = 0.5


@dataclass(frozen=True)
class SpokenLine:
    """A line with the times of its speech."""

    line: Line
    start_ms: int
    end_ms: int


@dataclass(frozen=True)
class Broadcast:
    """A programme's audio, stereo `(n_samples, 2)` float32 at `ESPEAK_RATE_HZ`, and the times of its lines."""

    script: Script
    samples: np.ndarray
    lines: tuple[SpokenLine, ...]

    @property
    def duration_ms(self) -> int:
        return round(1000 * len(self.samples) / ESPEAK_RATE_HZ)


@dataclass(frozen=True)
class Bed:
    """A background bed: music or noise, its SNR, and how long it plays before the first line."""

    music: bool
    snr_db: float
    intro_s: float


BEDS = {
    Kind.HEADLINES: Bed(music=True, snr_db=27, intro_s=0.8),
    Kind.NEWS: Bed(music=False, snr_db=32, intro_s=0.5),
    Kind.WEATHER: Bed(music=True, snr_db=25, intro_s=2.0),
    Kind.SPORT: Bed(music=False, snr_db=22, intro_s=1.0),  # crowd noise
    Kind.TALK: Bed(music=False, snr_db=30, intro_s=0.6),
}


def perform(script: Script, rng: np.random.Generator) -> Broadcast:
    """Speak a script. Deterministic only in a fresh process: espeak-ng keeps state between utterances."""
    bed = BEDS[script.kind]
    pieces, spoken = [np.zeros(round(bed.intro_s * ESPEAK_RATE_HZ), dtype=np.float32)], []
    position = len(pieces[0])
    for line in script.lines:
        speech = _trim(speak(line.text, script.cast[line.speaker]))
        speech *= 0.12 / _rms(speech)
        start, position = position, position + len(speech)
        spoken.append(SpokenLine(line, _ms(start), _ms(position)))
        pause = np.zeros(round(rng.uniform(0.25, 0.6) * ESPEAK_RATE_HZ), dtype=np.float32)
        pieces += [speech, pause]
        position += len(pause)
    voice = np.concatenate(pieces)
    background = _background(len(voice), bed, rng)
    background *= 0.12 * 10 ** (-bed.snr_db / 20) / _rms(background)
    samples = voice[:, None] + background  # (n_samples, 2)
    return Broadcast(script, (samples * (PEAK / np.abs(samples).max())).astype(np.float32), tuple(spoken))


def interlude(seconds: float, rng: np.random.Generator) -> np.ndarray:
    """Music without speech, stereo `(n_samples, 2)`."""
    sound = _background(round(seconds * ESPEAK_RATE_HZ), Bed(music=True, snr_db=0, intro_s=0), rng)
    return np.asarray(sound * (PEAK / np.abs(sound).max()), dtype=np.float32)


def _background(n_samples: int, bed: Bed, rng: np.random.Generator) -> np.ndarray:
    """Music or noise with fades, the right channel slightly delayed: `(n_samples, 2)`."""
    seconds = 24.0
    if bed.music:
        loop = augmentation.music(rng, seconds)
    else:
        loop = augmentation.noise(rng, seconds, slope=rng.uniform(0.8, 1.6))
    loop = soxr.resample(loop, SAMPLE_RATE_HZ, ESPEAK_RATE_HZ, quality="MQ")
    left = np.resize(loop, n_samples)
    right = np.roll(left, ESPEAK_RATE_HZ // 90)
    n_fade = min(round(FADE_SECONDS * ESPEAK_RATE_HZ), n_samples // 2)
    envelope = np.ones(n_samples, dtype=np.float32)
    envelope[:n_fade] = np.linspace(0, 1, n_fade)
    envelope[n_samples - n_fade :] = np.linspace(1, 0, n_fade)
    return np.asarray(np.stack([left, right], axis=1) * envelope[:, None])


def _trim(speech: np.ndarray) -> np.ndarray:
    loud = np.flatnonzero(np.abs(speech) > SILENCE)
    return speech[loud[0] : loud[-1] + 1] if len(loud) else speech


def _rms(signal: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(signal)))) + 1e-9


def _ms(n_samples: int) -> int:
    return round(1000 * n_samples / ESPEAK_RATE_HZ)
