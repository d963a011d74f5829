"""Makes a corpus and an inbox of human speech, for the same DAGs as the demo's channel.

    python -m local.demo.human_speech --speech DIR --corpus DIR --inbox DIR --references DIR

`manifest.jsonl` of the speech folder has one recording a line: `path`, `text`, `speaker`, `lang`, `duration` (seconds)
and optionally `split`. The corpus gets one programme for each speaker of the training recordings, so that splitting by
programme is splitting by speaker; its `manifest.jsonl` gives the offset of each utterance. The inbox gets programmes of
held-out recordings, joined by source up to two minutes, and the references their texts.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from tasks.audio import SAMPLE_RATE_HZ
from tasks.contract import Frozen
from tasks.dataset import flac
from tasks.media.decoding.reader import load_audio

TRAINING = ("train_pack/", "words/", "digits/strings/", "digits/isolated/")
HELD_OUT = ("sentences/", "digits/isolated/")
PAUSE = np.zeros(SAMPLE_RATE_HZ // 2, np.int16)  # between two recordings of a programme
PROGRAMME_S = 120.0
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
    def is_usable(self) -> bool:
        """One speaker and a plain English transcript. Texts with `|` or line ends are lists, not transcripts."""
        text = self.text or ""
        return self.lang == "en" and isinstance(self.speaker, str) and bool(text) and not set("|\n") & set(text)

    @property
    def is_training(self) -> bool:
        return self.path.startswith(TRAINING) and self.split in ("", "train")

    @property
    def is_held_out(self) -> bool:
        return self.path.startswith(HELD_OUT) and self.split != "train"

    @property
    def source(self) -> str:
        """The path's first two folders, as a file name."""
        return _UNSAFE.sub("-", "/".join(self.path.split("/")[:2]))


@dataclass(frozen=True)
class Part:
    """A recording's position in a programme."""

    recording: Recording
    start_s: float
    duration_s: float


def write_corpus_and_inbox(speech: Path, corpus: Path, inbox: Path, references: Path) -> tuple[float, float]:
    """Write the three folders; returns the seconds of speech in corpus and inbox."""
    lines = (speech / "manifest.jsonl").read_text("utf-8").splitlines()
    recordings = [r for r in map(Recording.model_validate_json, lines) if r.is_usable]
    for folder in (corpus, inbox, references):
        folder.mkdir(parents=True, exist_ok=True)

    entries: list[dict[str, object]] = []
    for name, group in by_speaker(recordings):
        for part in write_programme(corpus / f"{name}.flac", speech, group):
            segment = {"audio_filepath": f"{name}.flac", "offset": part.start_s, "duration": part.duration_s}
            entries.append({**segment, "text": part.recording.text, "speaker": name})
    (corpus / "manifest.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in entries))

    inbox_s = 0.0
    for name, group in by_source(recordings):
        parts = list(write_programme(inbox / f"{name}.flac", speech, group))
        inbox_s += sum(part.duration_s for part in parts)
        (references / f"{name}.txt").write_text(" ".join(str(part.recording.text) for part in parts) + "\n")
    return sum(float(str(entry["duration"])) for entry in entries), inbox_s


def by_speaker(recordings: Iterable[Recording]) -> Iterator[tuple[str, list[Recording]]]:
    """Name and recordings of each of the corpus's programmes."""
    groups: dict[str, list[Recording]] = defaultdict(list)
    for recording in recordings:
        if recording.is_training:
            groups[_UNSAFE.sub("-", str(recording.speaker)).strip("-")].append(recording)
    yield from sorted(groups.items())


def by_source(recordings: Iterable[Recording]) -> Iterator[tuple[str, list[Recording]]]:
    """Name and recordings of each of the inbox's programmes."""
    groups: dict[str, list[Recording]] = defaultdict(list)
    for recording in recordings:
        if recording.is_held_out:
            groups[recording.source].append(recording)
    for source, held_out in sorted(groups.items()):
        batch: list[Recording] = []
        index = 1
        for recording in sorted(held_out, key=lambda r: (str(r.speaker), r.path)):
            if batch and sum(r.duration or 0.0 for r in [*batch, recording]) > PROGRAMME_S:
                yield f"{source}-{index}", batch
                batch, index = [], index + 1
            batch.append(recording)
        yield f"{source}-{index}", batch


def write_programme(path: Path, speech: Path, recordings: Iterable[Recording]) -> Iterator[Part]:
    """Join recordings, each followed by a pause, into one FLAC; yields their parts after writing it."""
    pieces: list[np.ndarray] = []
    parts: list[Part] = []
    n_samples = 0
    for recording in recordings:
        pcm = flac.to_pcm(load_audio(speech / recording.path))
        parts.append(Part(recording, n_samples / SAMPLE_RATE_HZ, len(pcm) / SAMPLE_RATE_HZ))
        pieces += [pcm, PAUSE]
        n_samples += len(pcm) + len(PAUSE)
    path.write_bytes(flac.encode(np.concatenate(pieces)))
    yield from parts


def main(
    speech: Annotated[Path, typer.Option(help="folder of recordings with a manifest.jsonl")],
    corpus: Annotated[Path, typer.Option(help="folder for the corpus")],
    inbox: Annotated[Path, typer.Option(help="folder for the inbox")],
    references: Annotated[Path, typer.Option(help="folder for the inbox's reference texts")],
) -> None:
    corpus_s, inbox_s = write_corpus_and_inbox(speech, corpus, inbox, references)
    typer.echo(f"corpus: {corpus_s / 60:.1f} minutes; inbox: {inbox_s / 60:.1f} minutes")


if __name__ == "__main__":
    typer.run(main)
