"""Errors of a night on human speech: WER, DER, and cpWER (the words of each speaker).

The programmes are made from `AIRSCRIPT_SPEECH`: the talks of `diarization/`, the readings of `sentences/long`, and the
utterances of each reader of `sentences/audiobook`, joined with pauses. They pass through the night's own steps, and the
published transcripts are scored. `--model NAME=DIR` and `--diarizer DIR` choose model and diarizer.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.support.harness import BASE, Report, Row, argument_parser, make_report, print_and_save
from benchmarks.support.night_steps import transcribe
from tasks.audio import SAMPLE_RATE_HZ
from tasks.publishing.transcripts import MANIFEST_NAME, read_published_transcript
from tasks.transcripts.document import Transcript
from tasks.transcripts.error_counts import total
from tasks.transcripts.formats.rttm import turns
from tasks.transcripts.normaliser import normalise
from tasks.transcripts.reading_order import in_reading_order
from training.scoring.errors import word_errors
from training.scoring.speakers import annotation_of, diarization_errors, read_rttm, read_uem, speaker_word_errors

if TYPE_CHECKING:
    from pyannote.core import Timeline

PAUSE_S = 0.7

NOBODY = "?"


@dataclass(frozen=True)
class Programme:
    """The references of a programme."""

    folder: str
    text: str = ""
    """Normalised reference text; empty if unknown."""
    texts: Mapping[str, str] = field(default_factory=dict)
    """The same, by speaker."""
    rttm: Path | None = None


def fill(inbox: Path, speech: Path) -> dict[str, Programme]:
    """Write the programmes' media to the inbox; returns the references by name."""
    import soundfile

    found: dict[str, Programme] = {}
    for rttm in sorted((speech / "diarization").rglob("*.rttm")):
        shutil.copy(rttm.with_suffix(".flac"), inbox)
        stm = rttm.with_suffix(".stm")
        lines = [line.split(" ", 5) for line in stm.read_text().splitlines()] if stm.exists() else []
        texts = by_speaker((speaker, text) for _, _, speaker, _, _, text in lines)
        text = normalise(" ".join(text for *_, text in lines))
        found[rttm.stem] = Programme(f"diarization/{rttm.parent.name}", text, texts, rttm)
    readers: dict[str, list[dict[str, str]]] = defaultdict(list)
    for line in (speech / "manifest.jsonl").read_text().splitlines():
        row = json.loads(line)
        folder = str(Path(row["path"]).parent)
        if folder == "sentences/long":
            shutil.copy(speech / row["path"], inbox)
            verses = [verse.partition("|")[2] for verse in row["text"].splitlines()[1:]]  # the first line is a number
            found[Path(row["path"]).stem] = Programme(folder, normalise(" ".join(verses)))
        elif folder == "sentences/audiobook":
            readers[row["speaker"]].append(row)
    pause = np.zeros(int(PAUSE_S * SAMPLE_RATE_HZ), np.float32)
    for name, rows in readers.items():
        waveforms = [soundfile.read(speech / row["path"], dtype="float32")[0] for row in rows]
        joined = np.concatenate([part for waveform in waveforms for part in (waveform, pause)])  # (n_samples,)
        soundfile.write(inbox / f"{name}.flac", joined, SAMPLE_RATE_HZ)
        found[name] = Programme("sentences/audiobook", normalise(" ".join(row["text"] for row in rows)))
    return found


def by_speaker(utterances: Iterable[tuple[str, str]]) -> dict[str, str]:
    """The normalised text of each speaker, from pairs of speaker and text in order."""
    texts: dict[str, list[str]] = defaultdict(list)
    for speaker, text in utterances:
        texts[speaker].append(text)
    return {speaker: normalise(" ".join(parts)) for speaker, parts in texts.items()}


def scores(transcripts: Path, programmes: Mapping[str, Programme]) -> list[str]:
    """The error rates on each folder of speech, one line each."""
    by_folder: dict[str, list[tuple[Programme, Transcript]]] = defaultdict(list)
    for manifest in transcripts.glob(f"*/*/{MANIFEST_NAME}"):
        transcript = read_published_transcript(manifest.as_uri())[1]
        programme = programmes[transcript.media.name]
        by_folder[programme.folder].append((programme, transcript))
    return [f"{folder}: {'; '.join(measures(rows))}" for folder, rows in sorted(by_folder.items())]


def measures(rows: list[tuple[Programme, Transcript]]) -> Iterator[str]:
    """WER, cpWER, DER and the number of speakers, as far as there are references."""
    if any(programme.text for programme, _ in rows):
        yield f"WER {_percent(total(word_errors(p.text, normalise(t.text)) for p, t in rows).rate)}"
    if any(programme.texts for programme, _ in rows):
        hypotheses = ((p, by_speaker((word.speaker or NOBODY, word.text) for word in t.words)) for p, t in rows)
        yield f"cpWER {_percent(total(speaker_word_errors(p.texts, texts) for p, texts in hypotheses).rate)}"
    talks = [(p.rttm, annotation_of(turns(in_reading_order(t)))) for p, t in rows if p.rttm]
    if talks:
        yield str(diarization_errors((read_rttm(rttm), answer, scored_part(rttm)) for rttm, answer in talks))


def scored_part(rttm: Path) -> Timeline | None:
    """The scored part by the UEM file; None, for all of it, without one."""
    uem = rttm.with_suffix(".uem")
    return read_uem(uem) if uem.exists() else None


def _percent(rate: float) -> str:
    return f"{100 * rate:.1f} %"


def measure(models: Mapping[str, Path], diarizer: str) -> Report:
    speech = os.environ.get("AIRSCRIPT_SPEECH")
    if not speech:
        sys.exit("night_errors needs human speech: set AIRSCRIPT_SPEECH")
    rows, notes = [], []
    with tempfile.TemporaryDirectory() as folder:
        inbox = Path(folder) / "inbox"
        inbox.mkdir()
        programmes = fill(inbox, Path(speech))
        for name, model in models.items():
            began = time.perf_counter()
            recognised, _ = transcribe(inbox, Path(folder) / name, model, diarizer)
            took_s = time.perf_counter() - began
            rate = 3600 * recognised.metrics["audio_hours"] / took_s
            rows.append(Row(name, took_s, (took_s, took_s), rate, rate / rows[0].rate if rows else 1.0))
            notes += [f"{name}, {line}" for line in scores(Path(folder) / name / "transcripts", programmes)]
    return make_report(
        "night_errors",
        f"{len(programmes)} programmes of human speech, from files to published transcripts; diarizer {diarizer}",
        "x real time",
        rows[0].name,
        ("torch", "transformers", "pyannote.audio", "pyannote.metrics", "jiwer"),
        rows,
        notes,
    )


def main() -> None:
    parser = argument_parser(__doc__ or "")
    parser.add_argument("--model", action="append", default=[], metavar="NAME=DIR", help="also score this model")
    parser.add_argument("--diarizer", default="embedded", help="embedded, a folder or a hub name")
    options = parser.parse_args()
    others = (pair.partition("=") for pair in options.model)
    result = measure({"base": BASE} | {name: Path(folder) for name, _, folder in others}, options.diarizer)
    print_and_save(result, options.json)


if __name__ == "__main__":
    main()
