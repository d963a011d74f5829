"""Makes a corpus and an inbox of human speech, for the same DAGs as the demo's channel.

    python -m local.demo.human_speech --speech DIR --corpus DIR --inbox DIR --references DIR

`DIR/manifest.jsonl` of the speech has one recording a line: `path`, `text`, `speaker`, `lang`, `duration` (seconds)
and sometimes `split`. The corpus gets one programme for each speaker of the training recordings, so that a dataset
split by programme is split by speaker; its `manifest.jsonl` gives each utterance its place. The inbox gets programmes
of held-back recordings, joined by source up to two minutes, and the references their texts.
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
HELD_BACK = ("sentences/", "digits/isolated/")
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
    def is_plain(self) -> bool:
        """One speaker saying a known English text. Texts with marks (`|`, line ends) are lists, not what is said."""
        text = self.text or ""
        return self.lang == "en" and isinstance(self.speaker, str) and bool(text) and not set("|\n") & set(text)

    @property
    def trains(self) -> bool:
        return self.path.startswith(TRAINING) and self.split in ("", "train")

    @property
    def is_held_back(self) -> bool:
        return self.path.startswith(HELD_BACK) and self.split != "train"

    @property
    def source(self) -> str:
        """The first two folders, as a name."""
        return _UNSAFE.sub("-", "/".join(self.path.split("/")[:2]))


@dataclass(frozen=True)
class Part:
    """A recording's place in a programme."""

    recording: Recording
    start_s: float
    duration_s: float


def prepare(speech: Path, corpus: Path, inbox: Path, references: Path) -> tuple[float, float]:
    """Write the three folders; returns the seconds of corpus and inbox."""
    lines = (speech / "manifest.jsonl").read_text("utf-8").splitlines()
    recordings = [r for r in map(Recording.model_validate_json, lines) if r.is_plain]
    for folder in (corpus, inbox, references):
        folder.mkdir(parents=True, exist_ok=True)

    entries: list[dict[str, object]] = []
    for name, group in by_speaker(recordings):
        for part in write_programme(corpus / f"{name}.flac", speech, group):
            place = {"audio_filepath": f"{name}.flac", "offset": part.start_s, "duration": part.duration_s}
            entries.append({**place, "text": part.recording.text, "speaker": name})
    (corpus / "manifest.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in entries))

    inbox_s = 0.0
    for name, group in by_source(recordings):
        parts = list(write_programme(inbox / f"{name}.flac", speech, group))
        inbox_s += sum(part.duration_s for part in parts)
        (references / f"{name}.txt").write_text(" ".join(str(part.recording.text) for part in parts) + "\n")
    return sum(float(str(entry["duration"])) for entry in entries), inbox_s


def by_speaker(recordings: Iterable[Recording]) -> Iterator[tuple[str, list[Recording]]]:
    """Name and recordings of each programme of the corpus."""
    groups: dict[str, list[Recording]] = defaultdict(list)
    for recording in recordings:
        if recording.trains:
            groups[_UNSAFE.sub("-", str(recording.speaker)).strip("-")].append(recording)
    yield from sorted(groups.items())


def by_source(recordings: Iterable[Recording]) -> Iterator[tuple[str, list[Recording]]]:
    """Name and recordings of each programme of the inbox."""
    groups: dict[str, list[Recording]] = defaultdict(list)
    for recording in recordings:
        if recording.is_held_back:
            groups[recording.source].append(recording)
    for source, held_back in sorted(groups.items()):
        batch: list[Recording] = []
        number = 1
        for recording in sorted(held_back, key=lambda r: (str(r.speaker), r.path)):
            if batch and sum(r.duration or 0.0 for r in [*batch, recording]) > PROGRAMME_S:
                yield f"{source}-{number}", batch
                batch, number = [], number + 1
            batch.append(recording)
        yield f"{source}-{number}", batch


def write_programme(path: Path, speech: Path, recordings: Iterable[Recording]) -> Iterator[Part]:
    """Join recordings, a pause after each, into one FLAC; the parts in order, once it is written."""
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
    references: Annotated[Path, typer.Option(help="folder for the inbox's texts")],
) -> None:
    corpus_s, inbox_s = prepare(speech, corpus, inbox, references)
    typer.echo(f"corpus: {corpus_s / 60:.1f} minutes; inbox: {inbox_s / 60:.1f} minutes")


if __name__ == "__main__":
    typer.run(main)
