"""What `benchmarks.digits` trains on: human speech, and digits of a synthesiser, in many voices, rooms and bands.

Single digits are of three people once the fourth is left out, so variety is what counts: each copy is played faster or
slower (with pace and pitch go the formants), in another room, with other sounds behind, in another band.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import soxr
from scipy.signal import fftconvolve

from benchmarks.small_dataset import Said
from tasks.corpus.records import SAMPLE_RATE_HZ
from tasks.media.decode import load_audio
from training.data.nonspeech import random_nonspeech
from training.data.sound_augmentation import played, with_noise
from training.human_speech import Recording
from training.scoring.normaliser import normalise
from training.synthesis.augmentation import SoundBank
from training.synthesis.espeak import SAMPLE_RATE_HZ as ESPEAK_RATE_HZ
from training.synthesis.espeak import speak
from training.synthesis.voices import VoiceSet, random_voice

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
ISOLATED, STRINGS, WORDS, SYNTHETIC = "digits/isolated/", "digits/strings/", "words/", "synthetic/"
SENTENCES = "train_pack/"
READ = ("sentences/an4/", "sentences/second_language/")

TELEPHONE_HZ = 8_000  # single digits were recorded at this rate, all else at twice that
TELEPHONE_SHARE = 0.7
SILENCE_S = 0.12  # before and after a digit that is scored: it is cut down to 0.14 s, too few frames for its letters
TRAINED_SILENCE_S = (0.04, 0.3)
SCORED_FLOOR_DB = 45.0  # below the digit, under the silence as well: true silence is nothing that a microphone gives
FLOOR_DB = (25.0, 60.0)
NOISE_SHARE, SNR_DB = 0.6, (3.0, 30.0)
ROOM_SHARE = 0.35
FASTEST, FASTEST_SENTENCE = 1.3, 1.14  # and one by as much: longer and shorter vocal tracts
QUIET = 0.01  # of a synthetic digit's peak: cut away before and after it
# Made of each recording. What few people say is repeated more often: 750 single digits, 58 words, some 60 strings.
COPIES = {ISOLATED: 7, WORDS: 25, STRINGS: 25, SYNTHETIC: 1}
SYNTHETIC_UTTERANCES = 4000


def load(speech: Path) -> list[Said]:
    """All that is trained on or scored."""
    lines = (speech / "manifest.jsonl").read_text("utf-8").splitlines()
    return [
        Said(str(r.speaker), normalise(str(r.text)), load_audio(speech / r.path), r.path)
        for r in map(Recording.model_validate_json, lines)
        if r.is_plain and r.path.startswith((SENTENCES, ISOLATED, STRINGS, WORDS, *READ))
    ]


def of(said: Iterable[Said], *folders: str) -> list[Said]:
    return [s for s in said if s.path.startswith(folders)]


def synthetic_digits(n: int) -> Iterator[Said]:
    """One to three digits each, in the synthesiser's voices, cut closely."""
    rng = random.Random("synthetic digits")
    for _ in range(n):
        voice = random_voice(rng.choice(list(VoiceSet)), rng)
        text = " ".join(rng.choice(DIGITS) for _ in range(rng.choice((1, 1, 1, 1, 2, 3))))
        spoken = soxr.resample(speak(text + rng.choice((".", "?", ",", "")), voice), ESPEAK_RATE_HZ, SAMPLE_RATE_HZ)
        loud = np.flatnonzero(np.abs(spoken) > QUIET * np.abs(spoken).max())
        yield Said(voice.name, text, spoken[loud[0] : loud[-1] + 1], SYNTHETIC)


class Studio:
    """Other voices, places and bands. Deterministic by its generator."""

    def __init__(self, seed: int) -> None:
        self._rng, self._bank = np.random.default_rng(seed), SoundBank.make(seed)

    def sentences(self, said: list[Said]) -> Iterator[Said]:
        """Sentences and words of everyone who says no string, and synthetic digits."""
        reserved = {s.speaker for s in of(said, STRINGS)}
        for s in of(said, SENTENCES, WORDS):
            if s.speaker not in reserved:
                yield replace(s, samples=self._elsewhere(s.samples, FASTEST_SENTENCE, (0.0, 0.0)))
        for s in synthetic_digits(SYNTHETIC_UTTERANCES // 4):
            yield self._digit(s)

    def digits(self, said: list[Said], left_out: set[str]) -> Iterator[Said]:
        """Digits of everybody but those left out, synthetic ones among them; other words once."""
        for s in [*of(said, *COPIES), *synthetic_digits(SYNTHETIC_UTTERANCES)]:
            if s.speaker not in left_out:
                folder = next(folder for folder in COPIES if s.path.startswith(folder))
                for _ in range(COPIES[folder] if s.text.split()[0] in DIGITS else 1):
                    yield self._digit(s)

    def _digit(self, s: Said) -> Said:
        return replace(s, samples=self._elsewhere(s.samples, FASTEST, self._rng.uniform(*TRAINED_SILENCE_S, 2)))

    def _elsewhere(self, samples: np.ndarray, fastest: float, silence_s: Sequence[float]) -> np.ndarray:
        """The same words in another voice, another place and perhaps a telephone's band, `(n_samples * factor,)`."""
        rng = self._rng
        samples = played(samples, float(np.exp(rng.uniform(-1, 1) * np.log(fastest))), SAMPLE_RATE_HZ)
        # The noise of a recording that was cut closely ends where the word ends.
        cut = rng.random() < 0.5
        samples = samples if cut else padded(samples, silence_s)
        if rng.random() < ROOM_SHARE:
            room = self._bank.rooms[rng.integers(len(self._bank.rooms))]
            samples = fftconvolve(samples, room)[: len(samples)]
        if rng.random() < NOISE_SHARE:
            samples = with_noise(samples, random_nonspeech(len(samples), rng), float(rng.uniform(*SNR_DB)))
        samples = padded(samples, silence_s) if cut else samples
        if rng.random() < TELEPHONE_SHARE:
            samples = telephone(samples)
        return with_floor(samples, float(rng.uniform(*FLOOR_DB)), rng)


def telephone(samples: np.ndarray) -> np.ndarray:
    """`(n_samples,)` with the band of 8 kHz, still at 16 kHz."""
    cut = soxr.resample(samples, SAMPLE_RATE_HZ, TELEPHONE_HZ)
    return np.asarray(soxr.resample(cut, TELEPHONE_HZ, SAMPLE_RATE_HZ), np.float32)


def padded(samples: np.ndarray, silence_s: Sequence[float]) -> np.ndarray:
    """With silence before and after."""
    before, after = (round(s * SAMPLE_RATE_HZ) for s in silence_s)
    return np.pad(samples, (before, after))


def with_floor(samples: np.ndarray, floor_db: float, rng: np.random.Generator) -> np.ndarray:
    """With faint white noise under the whole, as far below its power."""
    noise = rng.normal(size=len(samples)) * np.sqrt(np.mean(np.square(samples))) * 10 ** (-floor_db / 20)
    return (samples + noise).astype(np.float32)
