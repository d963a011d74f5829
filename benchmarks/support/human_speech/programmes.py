"""Programmes of human speech: the recordings of a folder with a manifest, joined by reader."""

from __future__ import annotations

import re
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from tasks.audio import SAMPLE_RATE_HZ
from tasks.contract import Frozen
from tasks.media.decoding.reader import load_audio
from tasks.media.speech_activity import speech_segments
from tasks.transcripts.spans import Span

PAUSE_S = 0.7  # between two recordings of a programme
MAX_PROGRAMME_S = 120.0
NO_SPEECH = "no speech"
SAMPLED = {"digits/isolated": 25}  # recordings of each speaker: of the folder's thousand digits a hundred tell enough
UNSCORED = ("train_pack", "formats")  # for training, and one text many times
_UNSAFE = re.compile(r"[^A-Za-z0-9]+")


class Recording(Frozen, extra="ignore"):
    """A line of the manifest."""

    path: str
    text: str | None = None
    speaker: str | list[str] | None = None
    lang: str | None = None
    duration: float | None = None
    split: str = ""

    @property
    def folder(self) -> str:
        """The recording's folder; its parent, where every word or speaker has a folder of its own."""
        folder = Path(self.path).parent
        is_one_of_many = folder.name == self.text or str(self.speaker).endswith(folder.name)
        return str(folder.parent if is_one_of_many else folder)

    @property
    def spoken(self) -> str:
        """The text. A list of lines, `id|text`, begins with the number of the list."""
        if not self.text or "|" not in self.text:
            return self.text or ""
        return " ".join(line.partition("|")[2] for line in self.text.splitlines()[1:])


@dataclass(frozen=True)
class Utterance:
    """A text and the stretches of speech in which it is said."""

    text: str
    speech: tuple[Span, ...]


@dataclass(frozen=True)
class Composition:
    """Audio and what is said in it."""

    samples: np.ndarray
    """`(n_samples,)`, or `(n_samples, 2)` in stereo, float32 at 16 kHz."""
    utterances: tuple[Utterance, ...] = ()
    is_ordered: bool = True
    """False where two talk at once: the order of their words in one text is arbitrary."""

    @property
    def text(self) -> str:
        return " ".join(utterance.text for utterance in self.utterances)

    @property
    def duration_s(self) -> float:
        return len(self.samples) / SAMPLE_RATE_HZ


@dataclass(frozen=True)
class Programme:
    """A medium of the inbox, and the folder that it is scored with."""

    name: str
    folder: str
    content: Composition


@dataclass(frozen=True)
class Clip:
    """A recording with its audio, `(n_samples,)` at 16 kHz."""

    samples: np.ndarray
    text: str

    @property
    def duration_s(self) -> float:
        return len(self.samples) / SAMPLE_RATE_HZ

    @cached_property
    def speech(self) -> tuple[Span, ...]:
        segments = speech_segments([self.samples])
        return tuple(Span(start_ms=segment.start_ms, end_ms=segment.end_ms) for segment in segments)

    def utterance(self, offset: int) -> Utterance:
        """What is said, if the clip starts at sample `offset`."""
        at_ms = 1000 * offset // SAMPLE_RATE_HZ
        speech = (Span(start_ms=at_ms + span.start_ms, end_ms=at_ms + span.end_ms) for span in self.speech)
        return Utterance(self.text, tuple(speech))


class Tape:
    """Clips and other sounds one after the other."""

    def __init__(self) -> None:
        self._pieces: list[np.ndarray] = []
        self._n_samples = 0
        self.utterances: list[Utterance] = []

    def add(self, clip: Clip, gain_db: float = 0.0) -> None:
        self.utterances.append(clip.utterance(self._n_samples))
        self.play(clip.samples * 10 ** (gain_db / 20))

    def play(self, samples: np.ndarray) -> None:
        """Append `(n_samples,)` without a text."""
        self._pieces.append(np.asarray(samples, np.float32))
        self._n_samples += len(samples)

    def pause(self, seconds: float) -> None:
        self.play(np.zeros(round(seconds * SAMPLE_RATE_HZ), np.float32))

    @property
    def samples(self) -> np.ndarray:
        """All of it, `(n_samples,)`."""
        return np.concatenate(self._pieces)

    @property
    def composition(self) -> Composition:
        return Composition(self.samples, tuple(self.utterances))


def file_name(folder: str, name: str) -> str:
    """A name of a programme that is unique over folders and safe in paths."""
    return _UNSAFE.sub("-", f"{folder}-{name}").strip("-")


def read_manifest(speech: Path) -> list[Recording]:
    lines = (speech / "manifest.jsonl").read_text("utf-8").splitlines()
    return [Recording.model_validate_json(line) for line in lines]


def load(speech: Path, recording: Recording) -> Clip:
    samples = load_audio(speech / recording.path)
    return Clip(samples, recording.spoken)


def scored_folders(recordings: Iterable[Recording]) -> dict[str, list[Recording]]:
    """The recordings with texts by folder, without those for training; of large folders a sample by speaker."""
    found: dict[str, list[Recording]] = defaultdict(list)
    taken: dict[tuple[str, str], int] = defaultdict(int)
    for recording in recordings:
        folder, speaker = recording.folder, str(recording.speaker)
        if not recording.spoken or folder.startswith(UNSCORED) or recording.split == "train":
            continue
        if taken[folder, speaker] < SAMPLED.get(folder, sys.maxsize):
            taken[folder, speaker] += 1
            found[folder].append(recording)
    return dict(sorted(found.items()))


def by_reader(folder: str, recordings: Iterable[Recording], speech: Path) -> Iterator[Programme]:
    """A programme for each reader, with pauses; one of more than two minutes is divided."""
    readers: dict[str, list[Recording]] = defaultdict(list)
    for recording in recordings:
        readers[f"{recording.speaker}-{recording.lang}"].append(recording)
    for reader, own in sorted(readers.items()):
        tape, seconds, part = Tape(), 0.0, 1
        for recording in own:
            clip = load(speech, recording)
            if tape.utterances and seconds + clip.duration_s > MAX_PROGRAMME_S:
                yield Programme(file_name(folder, f"{reader}-{part}"), folder, tape.composition)
                tape, seconds, part = Tape(), 0.0, part + 1
            tape.add(clip)
            tape.pause(PAUSE_S)
            seconds += clip.duration_s + PAUSE_S
        yield Programme(file_name(folder, f"{reader}-{part}"), folder, tape.composition)


def alone(folder: str, recordings: Iterable[Recording], speech: Path) -> Iterator[Programme]:
    """A programme for each recording."""
    for recording in recordings:
        tape = Tape()
        tape.add(load(speech, recording))
        yield Programme(file_name(folder, Path(recording.path).stem), folder, tape.composition)
