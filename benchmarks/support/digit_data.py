"""Training and test data of `benchmarks.digits`: human speech and synthetic digits, augmented.

Features are normalised over the whole input. For a single digit that removes what identifies its vowel (a steady sound
between silences is the same in every mel), so isolated recordings are joined to sittings: several of one speaker in
random order, with pauses. With one of four speakers left out, isolated digits come from three people only, so variety
matters: each sitting gets another speed (which shifts pace, pitch and formants), room, background and bandwidth.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import soxr
from scipy.signal import fftconvolve

from benchmarks.support.small_dataset import SpokenUtterance
from local.demo.human_speech import Recording
from local.demo.synthesis.augmentation import SoundBank
from local.demo.synthesis.espeak import ESPEAK_RATE_HZ, speak
from local.demo.synthesis.voices import VoiceSet, random_voice
from tasks.audio import SAMPLE_RATE_HZ
from tasks.media.decoding.reader import load_audio
from tasks.transcripts.normaliser import normalise
from training.data.audio_augmentation import add_noise, change_speed
from training.data.nonspeech import random_nonspeech

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
ISOLATED, STRINGS, WORDS, SYNTHETIC = "digits/isolated/", "digits/strings/", "words/", "synthetic/"
SENTENCES = "train_pack/"
READ = ("sentences/an4/", "sentences/second_language/")

TELEPHONE_HZ = 8_000  # sample rate of the isolated digits; all else has twice that
TELEPHONE_SHARE = 0.7
SCORED_FLOOR_DB = 45.0  # noise floor below the speech, in pauses too: no microphone gives digital silence
FLOOR_DB = (25.0, 60.0)
NOISE_SHARE, SNR_DB = 0.6, (3.0, 30.0)
ROOM_SHARE = 0.35
MAX_SPEED, MAX_SENTENCE_SPEED = 1.3, 1.14  # minimum: the reciprocal; shorter and longer vocal tracts
QUIET = 0.01  # share of a synthetic utterance's peak below which its ends are trimmed

# Digits are trimmed so closely (down to 0.14 s) that without a pause there are fewer frames than letters.
SCORED_PAUSE_S, SCORED_DIGITS = 0.24, 10
PAUSE_S, CLOSE_PAUSE_S, CLOSE_SHARE = (0.2, 0.7), (0.0, 0.5), 0.3
SITTING = (2, 10)  # recordings
LEVEL_DB = 4.0  # maximum random gain or attenuation of each recording
DIGIT_SHARE = 0.6  # of the words in a sitting, if its speaker has digits

SENTENCE_COPIES = 6  # each with another augmentation
SITTINGS = {ISOLATED: 1300, WORDS: 320}
STRING_COPIES = 10
SYNTHETIC_UTTERANCES = 960


def load(speech: Path) -> list[SpokenUtterance]:
    """All training and test utterances."""
    lines = (speech / "manifest.jsonl").read_text("utf-8").splitlines()
    return [
        SpokenUtterance(str(r.speaker), normalise(str(r.text)), load_audio(speech / r.path), r.path)
        for r in map(Recording.model_validate_json, lines)
        if r.is_usable and r.path.startswith((SENTENCES, ISOLATED, STRINGS, WORDS, *READ))
    ]


def of(utterances: Iterable[SpokenUtterance], *folders: str) -> list[SpokenUtterance]:
    return [s for s in utterances if s.path.startswith(folders)]


def synthetic_strings(n: int) -> Iterator[SpokenUtterance]:
    """Strings of two to nine digits in synthetic voices, with trimmed ends."""
    rng = random.Random("synthetic strings")
    for _ in range(n):
        voice = random_voice(rng.choice(list(VoiceSet)), rng)
        digits = [rng.choice(DIGITS) for _ in range(rng.randint(2, 9))]
        spoken = speak(rng.choice((" ", ", ", ". ")).join(digits) + ".", voice)
        loud = np.flatnonzero(np.abs(spoken) > QUIET * np.abs(spoken).max())
        samples = soxr.resample(spoken[loud[0] : loud[-1] + 1], ESPEAK_RATE_HZ, SAMPLE_RATE_HZ)
        yield SpokenUtterance(voice.name, " ".join(digits), samples, SYNTHETIC)


@dataclass(frozen=True)
class Sitting:
    """Recordings of one speaker, one after the other."""

    samples: np.ndarray
    """`(n_samples,)` float32 at 16 kHz."""
    recordings: tuple[SpokenUtterance, ...]
    spans: tuple[tuple[int, int], ...]
    """First and end sample of each recording, with half a pause on either side."""

    @property
    def text(self) -> str:
        return " ".join(recording.text for recording in self.recordings)


def sitting(recordings: Sequence[SpokenUtterance], pauses_s: Sequence[float]) -> Sitting:
    """Join the recordings, with half a pause before and after each."""
    pieces, spans, at = [], [], 0
    for recording, pause_s in zip(recordings, pauses_s, strict=True):
        pieces.append(padded(recording.samples, pause_s / 2))
        spans.append((at, at + len(pieces[-1])))
        at += len(pieces[-1])
    return Sitting(np.concatenate(pieces), tuple(recordings), tuple(spans))


def scored_sittings(digits: Sequence[SpokenUtterance], per_sitting: int, rng: np.random.Generator) -> Iterator[Sitting]:
    """Sittings with every digit once, in random order."""
    order = [digits[index] for index in rng.permutation(len(digits))]
    for start in range(0, len(order), per_sitting):
        found = sitting(part := order[start : start + per_sitting], [SCORED_PAUSE_S] * len(part))
        yield replace(found, samples=with_floor(found.samples, SCORED_FLOOR_DB, rng))


class DigitAugmenter:
    """Random speeds, rooms, backgrounds and bandwidths. Deterministic for its seed."""

    def __init__(self, seed: int) -> None:
        self._rng, self._bank = np.random.default_rng(seed), SoundBank.make(seed)

    def sentences(self, utterances: list[SpokenUtterance]) -> Iterator[SpokenUtterance]:
        """Sentences and words of all speakers without strings, and synthetic strings."""
        reserved = {s.speaker for s in of(utterances, STRINGS)}
        for s in of(utterances, SENTENCES, WORDS) * SENTENCE_COPIES:
            if s.speaker not in reserved:
                yield self._augment(s, MAX_SENTENCE_SPEED)
        for s in synthetic_strings(SYNTHETIC_UTTERANCES * SENTENCE_COPIES):
            yield self._augment(s, MAX_SPEED)

    def digits(self, utterances: list[SpokenUtterance], left_out: set[str]) -> Iterator[SpokenUtterance]:
        """Sittings and strings of all speakers but those left out, and synthetic strings."""
        kept = [s for s in utterances if s.speaker not in left_out]
        for folder, n in SITTINGS.items():
            by_speaker: dict[str, list[SpokenUtterance]] = defaultdict(list)
            for s in of(kept, folder):
                by_speaker[s.speaker].append(s)
            for number in range(n):
                yield self._augment(self._sitting(list(by_speaker.values())[number % len(by_speaker)]), MAX_SPEED)
        for s in [*of(kept, STRINGS) * STRING_COPIES, *synthetic_strings(SYNTHETIC_UTTERANCES)]:
            yield self._augment(s, MAX_SPEED)

    def _sitting(self, recordings: list[SpokenUtterance]) -> SpokenUtterance:
        """A random selection of the recordings, with more digits than other words."""
        rng, n = self._rng, int(self._rng.integers(SITTING[0], SITTING[1] + 1))
        digits = [s for s in recordings if s.text in DIGITS]
        pools = [digits if digits and rng.random() < DIGIT_SHARE else recordings for _ in range(n)]
        chosen = [pool[rng.integers(len(pool))] for pool in pools]
        gains = 10 ** (rng.uniform(-LEVEL_DB, LEVEL_DB, n) / 20)
        pauses = rng.uniform(*(CLOSE_PAUSE_S if rng.random() < CLOSE_SHARE else PAUSE_S), n).tolist()
        scaled = [replace(s, samples=s.samples * np.float32(gain)) for s, gain in zip(chosen, gains, strict=True)]
        found = sitting(scaled, pauses)
        return replace(chosen[0], text=found.text, samples=found.samples)

    def _augment(self, s: SpokenUtterance, max_speed: float) -> SpokenUtterance:
        """The utterance with another speed, room, background and perhaps a telephone's bandwidth."""
        rng = self._rng
        samples = change_speed(s.samples, float(np.exp(rng.uniform(-1, 1) * np.log(max_speed))), SAMPLE_RATE_HZ)
        if rng.random() < ROOM_SHARE:
            room = self._bank.rooms[rng.integers(len(self._bank.rooms))]
            samples = fftconvolve(samples, room)[: len(samples)]
        if rng.random() < NOISE_SHARE:
            samples = add_noise(samples, random_nonspeech(len(samples), rng), float(rng.uniform(*SNR_DB)))
        if rng.random() < TELEPHONE_SHARE:
            samples = telephone(samples)
        return replace(s, samples=with_floor(samples, float(rng.uniform(*FLOOR_DB)), rng))


def telephone(samples: np.ndarray) -> np.ndarray:
    """Limit the band to that of 8 kHz, `(n_samples,)` at 16 kHz."""
    narrow = soxr.resample(samples, SAMPLE_RATE_HZ, TELEPHONE_HZ)
    return np.asarray(soxr.resample(narrow, TELEPHONE_HZ, SAMPLE_RATE_HZ), np.float32)


def padded(samples: np.ndarray, silence_s: float) -> np.ndarray:
    """`samples` with silence before and after."""
    return np.pad(samples, round(silence_s * SAMPLE_RATE_HZ))


def with_floor(samples: np.ndarray, floor_db: float, rng: np.random.Generator) -> np.ndarray:
    """`samples` with white noise `floor_db` below their power."""
    noise = rng.normal(size=len(samples)) * np.sqrt(np.mean(np.square(samples))) * 10 ** (-floor_db / 20)
    return (samples + noise).astype(np.float32)
