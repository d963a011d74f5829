"""What `benchmarks.digits` trains on and scores: human speech, and digits of a synthesiser, in many voices and rooms.

Features are normalised over what is heard at once. Over a single digit that takes away what tells its vowel (a steady
sound between silences is the same in every mel), so single recordings are heard in sittings: several of one speaker,
in any order, with pauses. Single digits are of three people once the fourth is left out, so variety is what counts:
each sitting is played faster or slower (with pace and pitch go the formants), in another room, with other sounds
behind, in another band.
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

from benchmarks.support.small_dataset import Said
from local.demo.human_speech import Recording
from local.demo.synthesis.augmentation import SoundBank
from local.demo.synthesis.espeak import ESPEAK_RATE_HZ, speak
from local.demo.synthesis.voices import VoiceSet, random_voice
from tasks.audio import SAMPLE_RATE_HZ
from tasks.media.decoding.reader import load_audio
from training.data.audio_augmentation import add_noise, change_speed
from training.data.nonspeech import random_nonspeech
from training.scoring.normaliser import normalise

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
ISOLATED, STRINGS, WORDS, SYNTHETIC = "digits/isolated/", "digits/strings/", "words/", "synthetic/"
SENTENCES = "train_pack/"
READ = ("sentences/an4/", "sentences/second_language/")

TELEPHONE_HZ = 8_000  # single digits were recorded at this rate, all else at twice that
TELEPHONE_SHARE = 0.7
SCORED_FLOOR_DB = 45.0  # below the speech, under the pauses as well: true silence is nothing that a microphone gives
FLOOR_DB = (25.0, 60.0)
NOISE_SHARE, SNR_DB = 0.6, (3.0, 30.0)
ROOM_SHARE = 0.35
FASTEST, FASTEST_SENTENCE = 1.3, 1.14  # and one by as much: longer and shorter vocal tracts
QUIET = 0.01  # of a synthetic utterance's peak: cut away before and after it

# A digit is cut so closely (down to 0.14 s) that without a pause the model's frames are too few for its letters.
SCORED_PAUSE_S, SCORED_DIGITS = 0.24, 10
PAUSE_S, CLOSE_PAUSE_S, CLOSE_SHARE = (0.2, 0.7), (0.0, 0.5), 0.3
SITTING = (2, 10)  # recordings
LOUDER_DB = 4.0  # or fainter, one recording beside the next
WORD_DIGITS = 0.6  # of the words in a sitting, where its speaker has said any

SENTENCE_COPIES = 6  # each in another voice and place
SITTINGS = {ISOLATED: 1300, WORDS: 320}
STRING_COPIES = 10
SYNTHETIC_UTTERANCES = 960


def load(speech: Path) -> list[Said]:
    """All that is trained on or scored."""
    lines = (speech / "manifest.jsonl").read_text("utf-8").splitlines()
    return [
        Said(str(r.speaker), normalise(str(r.text)), load_audio(speech / r.path), r.path)
        for r in map(Recording.model_validate_json, lines)
        if r.is_usable and r.path.startswith((SENTENCES, ISOLATED, STRINGS, WORDS, *READ))
    ]


def of(said: Iterable[Said], *folders: str) -> list[Said]:
    return [s for s in said if s.path.startswith(folders)]


def synthetic_strings(n: int) -> Iterator[Said]:
    """Two to nine digits each, in the synthesiser's voices, cut closely."""
    rng = random.Random("synthetic strings")
    for _ in range(n):
        voice = random_voice(rng.choice(list(VoiceSet)), rng)
        digits = [rng.choice(DIGITS) for _ in range(rng.randint(2, 9))]
        spoken = speak(rng.choice((" ", ", ", ". ")).join(digits) + ".", voice)
        loud = np.flatnonzero(np.abs(spoken) > QUIET * np.abs(spoken).max())
        samples = soxr.resample(spoken[loud[0] : loud[-1] + 1], ESPEAK_RATE_HZ, SAMPLE_RATE_HZ)
        yield Said(voice.name, " ".join(digits), samples, SYNTHETIC)


@dataclass(frozen=True)
class Sitting:
    """Recordings of one speaker, one after the other."""

    samples: np.ndarray
    """`(n_samples,)` float32 at 16 kHz."""
    recordings: tuple[Said, ...]
    places: tuple[tuple[int, int], ...]
    """First sample and end of each recording with its share of the pauses."""

    @property
    def text(self) -> str:
        return " ".join(recording.text for recording in self.recordings)


def sitting(recordings: Sequence[Said], pauses_s: Sequence[float]) -> Sitting:
    """The recordings, half a pause before and half a pause after each."""
    pieces, places, at = [], [], 0
    for recording, pause_s in zip(recordings, pauses_s, strict=True):
        pieces.append(padded(recording.samples, pause_s / 2))
        places.append((at, at + len(pieces[-1])))
        at += len(pieces[-1])
    return Sitting(np.concatenate(pieces), tuple(recordings), tuple(places))


def scored_sittings(digits: Sequence[Said], per_sitting: int, rng: np.random.Generator) -> Iterator[Sitting]:
    """Every digit once, in random order."""
    order = [digits[place] for place in rng.permutation(len(digits))]
    for start in range(0, len(order), per_sitting):
        found = sitting(part := order[start : start + per_sitting], [SCORED_PAUSE_S] * len(part))
        yield replace(found, samples=with_floor(found.samples, SCORED_FLOOR_DB, rng))


class Studio:
    """Other voices, places and bands. Deterministic by its generator."""

    def __init__(self, seed: int) -> None:
        self._rng, self._bank = np.random.default_rng(seed), SoundBank.make(seed)

    def sentences(self, said: list[Said]) -> Iterator[Said]:
        """Sentences and words of everyone who says no string, and synthetic strings."""
        reserved = {s.speaker for s in of(said, STRINGS)}
        for s in of(said, SENTENCES, WORDS) * SENTENCE_COPIES:
            if s.speaker not in reserved:
                yield self._elsewhere(s, FASTEST_SENTENCE)
        for s in synthetic_strings(SYNTHETIC_UTTERANCES * SENTENCE_COPIES):
            yield self._elsewhere(s, FASTEST)

    def digits(self, said: list[Said], left_out: set[str]) -> Iterator[Said]:
        """Sittings and strings of everybody but those left out, and synthetic strings."""
        heard = [s for s in said if s.speaker not in left_out]
        for folder, n in SITTINGS.items():
            by_speaker: dict[str, list[Said]] = defaultdict(list)
            for s in of(heard, folder):
                by_speaker[s.speaker].append(s)
            for number in range(n):
                yield self._elsewhere(self._sitting(list(by_speaker.values())[number % len(by_speaker)]), FASTEST)
        for s in [*of(heard, STRINGS) * STRING_COPIES, *synthetic_strings(SYNTHETIC_UTTERANCES)]:
            yield self._elsewhere(s, FASTEST)

    def _sitting(self, recordings: list[Said]) -> Said:
        """Some of the recordings, digits rather than other words."""
        rng, n = self._rng, int(self._rng.integers(SITTING[0], SITTING[1] + 1))
        digits = [s for s in recordings if s.text in DIGITS]
        pools = [digits if digits and rng.random() < WORD_DIGITS else recordings for _ in range(n)]
        chosen = [pool[rng.integers(len(pool))] for pool in pools]
        gains = 10 ** (rng.uniform(-LOUDER_DB, LOUDER_DB, n) / 20)
        pauses = rng.uniform(*(CLOSE_PAUSE_S if rng.random() < CLOSE_SHARE else PAUSE_S), n).tolist()
        louder = [replace(s, samples=s.samples * np.float32(gain)) for s, gain in zip(chosen, gains, strict=True)]
        found = sitting(louder, pauses)
        return replace(chosen[0], text=found.text, samples=found.samples)

    def _elsewhere(self, s: Said, fastest: float) -> Said:
        """The same words in another voice, another place and perhaps a telephone's band."""
        rng = self._rng
        samples = change_speed(s.samples, float(np.exp(rng.uniform(-1, 1) * np.log(fastest))), SAMPLE_RATE_HZ)
        if rng.random() < ROOM_SHARE:
            room = self._bank.rooms[rng.integers(len(self._bank.rooms))]
            samples = fftconvolve(samples, room)[: len(samples)]
        if rng.random() < NOISE_SHARE:
            samples = add_noise(samples, random_nonspeech(len(samples), rng), float(rng.uniform(*SNR_DB)))
        if rng.random() < TELEPHONE_SHARE:
            samples = telephone(samples)
        return replace(s, samples=with_floor(samples, float(rng.uniform(*FLOOR_DB)), rng))


def telephone(samples: np.ndarray) -> np.ndarray:
    """`(n_samples,)` with the band of 8 kHz, still at 16 kHz."""
    cut = soxr.resample(samples, SAMPLE_RATE_HZ, TELEPHONE_HZ)
    return np.asarray(soxr.resample(cut, TELEPHONE_HZ, SAMPLE_RATE_HZ), np.float32)


def padded(samples: np.ndarray, silence_s: float) -> np.ndarray:
    """With silence before and after."""
    return np.pad(samples, round(silence_s * SAMPLE_RATE_HZ))


def with_floor(samples: np.ndarray, floor_db: float, rng: np.random.Generator) -> np.ndarray:
    """With faint white noise under the whole, as far below its power."""
    noise = rng.normal(size=len(samples)) * np.sqrt(np.mean(np.square(samples))) * 10 ** (-floor_db / 20)
    return (samples + noise).astype(np.float32)
