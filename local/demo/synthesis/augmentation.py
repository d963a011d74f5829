"""Acoustic augmentation of 16 kHz waveforms: rooms, noise, music, babble, band limits and levels.

The variety of voices limits a model trained on synthetic speech. Resampling shifts formants, pitch and pace together,
so that each synthetic vocal tract becomes many.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tasks.audio import SAMPLE_RATE_HZ

BANK_CLIPS = 48
CLIP_SECONDS = 20


@dataclass(frozen=True)
class SoundBank:
    """Room impulse responses and background sounds, `(n_samples,)` each. Takes seconds to make, so it is shared."""

    rooms: tuple[np.ndarray, ...]
    sounds: tuple[np.ndarray, ...]

    @classmethod
    def make(cls, seed: int) -> SoundBank:
        rng = np.random.default_rng(seed)
        sounds = [noise(rng, CLIP_SECONDS, slope=rng.uniform(0.0, 2.0)) for _ in range(2 * BANK_CLIPS // 3)]
        sounds += [music(rng, CLIP_SECONDS) for _ in range(BANK_CLIPS // 3)]
        return cls(rooms=tuple(room(rng) for _ in range(BANK_CLIPS)), sounds=tuple(sounds))


class Augmenter:
    """Applies a random room, background, band limit and level. Deterministic for its generator."""

    def __init__(self, bank: SoundBank, rng: np.random.Generator) -> None:
        self._bank = bank
        self._rng = rng
        self._speech: list[np.ndarray] = []  # recent utterances, to be mixed to babble

    def waveform(self, speech: np.ndarray) -> np.ndarray:
        """An augmented version of an utterance, `(n_samples,)` float32 in -1..1; silence may be added at both ends."""
        rng = self._rng
        self._remember(speech)
        lead, tail = rng.integers(0, int(0.4 * SAMPLE_RATE_HZ), size=2)
        signal = np.pad(speech, (int(lead), int(tail)))
        if rng.random() < 0.3:
            response = self._bank.rooms[rng.integers(len(self._bank.rooms))]
            signal = _convolve(signal, response)[: len(signal)]
        if rng.random() < 0.25:
            signal = _band_limit(signal, rng)
        if rng.random() < 0.65:
            signal = signal + self._background(len(signal), _rms(speech), snr_db=rng.uniform(3, 30))
        if rng.random() < 0.05:
            signal = np.clip(signal, *np.quantile(signal, (0.002, 0.998)))
        return level(signal, rng)

    def background_only(self, n_samples: int) -> np.ndarray:
        """Music or noise without speech, `(n_samples,)` float32."""
        return level(self._background(n_samples, 0.1, snr_db=0.0, babble=False), self._rng)

    def _background(self, n_samples: int, speech_rms: float, snr_db: float, babble: bool = True) -> np.ndarray:
        rng = self._rng
        if babble and len(self._speech) >= 8 and rng.random() < 0.2:
            chosen = rng.choice(len(self._speech), size=rng.integers(4, 8), replace=False)
            clip = np.sum([np.resize(self._speech[i], CLIP_SECONDS * SAMPLE_RATE_HZ) for i in chosen], axis=0)
        else:
            clip = self._bank.sounds[rng.integers(len(self._bank.sounds))]
        start = int(rng.integers(len(clip)))
        sound = np.resize(np.roll(clip, -start)[:n_samples], n_samples)
        gain = speech_rms / (_rms(sound) + 1e-9) * 10 ** (-snr_db / 20)
        return np.asarray(sound * gain, dtype=np.float32)

    def _remember(self, speech: np.ndarray) -> None:
        if len(speech) > SAMPLE_RATE_HZ:
            self._speech = [*self._speech[-31:], speech]


def room(rng: np.random.Generator) -> np.ndarray:
    """A room impulse response: the direct sound, then noise that decays by 60 dB within the reverberation time."""
    reverberation_s = rng.uniform(0.08, 0.6)
    n_samples = int(reverberation_s * SAMPLE_RATE_HZ)
    tail = rng.standard_normal(n_samples) * 10 ** (-3 * np.arange(n_samples) / n_samples)
    tail *= rng.uniform(0.15, 0.8) / np.sqrt(np.sum(tail**2))
    tail[0] = 1.0
    return tail.astype(np.float32)


def noise(rng: np.random.Generator, seconds: float, slope: float) -> np.ndarray:
    """Noise with a power density of 1 / frequency ** `slope`: 0 is white, 1 pink, 2 brown."""
    n_samples = int(seconds * SAMPLE_RATE_HZ)
    spectrum = np.fft.rfft(rng.standard_normal(n_samples))
    spectrum *= np.maximum(np.arange(len(spectrum)), 20.0) ** (-slope / 2)
    sound = np.fft.irfft(spectrum, n_samples)
    swell = 1 + rng.uniform(0, 0.7) * np.sin(np.linspace(0, rng.uniform(1, 40), n_samples))
    return np.asarray(sound * swell / np.abs(sound).max(), dtype=np.float32)


def music(rng: np.random.Generator, seconds: float) -> np.ndarray:
    """Chords of a random scale, plucked or sustained, some with drums."""
    n_samples = int(seconds * SAMPLE_RATE_HZ)
    out = np.zeros(n_samples, dtype=np.float64)
    beat = int(SAMPLE_RATE_HZ * rng.uniform(0.25, 0.7))
    root_hz = 110.0 * 2 ** (rng.integers(0, 12) / 12)
    steps = np.array((0, 2, 4, 5, 7, 9, 11) if rng.random() < 0.5 else (0, 2, 3, 5, 7, 8, 10))
    n_harmonics, decay_s = int(rng.integers(1, 7)), rng.uniform(0.15, 2.0)
    drum = rng.random() < 0.5
    chord = np.array((0, 2, 4))
    for index, start in enumerate(range(0, n_samples, beat)):
        if index % 4 == 0:
            chord = rng.integers(0, 7) + np.array((0, 2, 4))
        length = min(2 * beat, n_samples - start)
        seconds_in = np.arange(length) / SAMPLE_RATE_HZ
        envelope = np.exp(-seconds_in / decay_s) * np.minimum(1, seconds_in / 0.01)
        envelope *= np.minimum(1, (length - np.arange(length)) / 400)
        degrees = (*chord[rng.random(3) < 0.7], int(rng.integers(0, 14)))
        for degree in degrees:
            hz = root_hz * 2 ** (degree // 7 + steps[degree % 7] / 12)
            for harmonic in range(1, n_harmonics + 1):
                out[start : start + length] += envelope * np.sin(2 * np.pi * hz * harmonic * seconds_in) / harmonic
        if drum:
            hit = rng.standard_normal(length) * np.exp(-seconds_in / 0.03)
            out[start : start + length] += hit * (1.5 if index % 2 else 0.6)
    return np.asarray(out / np.abs(out).max(), dtype=np.float32)


def level(signal: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Scale to a random peak level below clipping."""
    peak = float(np.abs(signal).max()) or 1.0
    return np.asarray(signal * (rng.uniform(0.1, 0.95) / peak), dtype=np.float32)


def _band_limit(signal: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A random band-pass with soft edges and a spectral tilt, like a telephone, an old tape or an equaliser."""
    n_fft = 1 << (len(signal) - 1).bit_length()
    hz = np.linspace(0, SAMPLE_RATE_HZ / 2, n_fft // 2 + 1)
    high_hz, low_hz = rng.uniform(3000, 7500), rng.uniform(20, 350)
    gains = 1 / (1 + (hz / high_hz) ** 12) / (1 + (low_hz / np.maximum(hz, 1)) ** 6)
    gains *= 10 ** (rng.uniform(-6, 6) * (hz / 8000 - 0.5) / 20)
    return np.fft.irfft(np.fft.rfft(signal, n_fft) * gains, n_fft)[: len(signal)].astype(np.float32)


def _convolve(signal: np.ndarray, response: np.ndarray) -> np.ndarray:
    n_fft = 1 << (len(signal) + len(response) - 2).bit_length()
    product = np.fft.rfft(signal, n_fft) * np.fft.rfft(response, n_fft)
    return np.fft.irfft(product, n_fft)[: len(signal) + len(response) - 1].astype(np.float32)


def _rms(signal: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(signal)))) if len(signal) else 0.0
