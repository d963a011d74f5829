"""Transcribe a split with an engine and count its errors."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from tasks.audio import SAMPLE_RATE_HZ
from tasks.contract import InputRejected, Reason
from tasks.dataset.manifest import DatasetManifest, read_batches
from tasks.progress import ProgressHook
from tasks.recognition import Engine, Hints, Recognition
from tasks.transcripts.normaliser import normalise
from training.evaluation.acoustics import boundary_errors, snr_db
from training.evaluation.records import ScoredUtterance
from training.evaluation.resampling import sum_by_unit
from training.scoring.bootstrap import RateInterval, rate_interval
from training.scoring.errors import character_errors, word_errors

WARM_UP_SAMPLES = 5 * SAMPLE_RATE_HZ
BLOCK_SECONDS = 600.0  # audio per call: the engine packs it by length, and memory stays at 40 MB
_COLUMNS = ["utterance_id", "programme_id", "speaker", "text", "duration_s", "audio"]
_GENRE = "genre"  # optional column


@dataclass(frozen=True)
class ScoredSplit:
    """A split's utterances, transcribed and scored."""

    utterances: list[ScoredUtterance]
    recognise_s: float

    @property
    def audio_s(self) -> float:
        return sum(utterance.duration_s for utterance in self.utterances)

    @property
    def rtfx(self) -> float:
        """Seconds of audio recognised per second; decoding the audio files is not counted."""
        return self.audio_s / max(self.recognise_s, 1e-9)


@dataclass(frozen=True)
class _Row:
    utterance_id: str
    programme_id: str
    speaker: str
    text: str
    duration_s: float
    samples: np.ndarray
    genre: str | None = None


def transcribe_split(
    engine: Engine, manifest: DatasetManifest, split: str, dataset: str, progress: ProgressHook
) -> ScoredSplit:
    """Recognise every utterance of the split and score it against its reference."""
    n_utterances = sum(shard.utterances for shard in manifest.shards(split))
    scored: list[ScoredUtterance] = []
    recognise_s = 0.0
    engine.recognise([np.zeros(WARM_UP_SAMPLES, np.float32)])  # warm-up: the first call is slower
    for block in _blocks(_rows(manifest, split, dataset)):
        began = time.monotonic()
        recognitions = engine.recognise(
            [row.samples for row in block], [Hints(language=manifest.language)] * len(block)
        )
        recognise_s += time.monotonic() - began
        scored += [_score(row, recognition) for row, recognition in zip(block, recognitions, strict=True)]
        progress("recognise", len(scored), n_utterances, "utterances")
    return ScoredSplit(scored, recognise_s)


def rate_intervals(utterances: list[ScoredUtterance]) -> tuple[RateInterval, RateInterval]:
    """Return word and character error rates with their bootstrap intervals."""
    programmes = [u.programme_id for u in utterances]
    rates = []
    for counts in ([u.words for u in utterances], [u.characters for u in utterances]):
        errors, lengths = sum_by_unit(programmes, [c.errors for c in counts], [c.length for c in counts])
        rates.append(rate_interval(errors, lengths))
    return rates[0], rates[1]


def _score(row: _Row, recognition: Recognition) -> ScoredUtterance:
    reference, hypothesis = normalise(row.text), normalise(recognition.text)
    return ScoredUtterance(
        utterance_id=row.utterance_id,
        programme_id=row.programme_id,
        speaker=row.speaker,
        duration_s=row.duration_s,
        genre=row.genre or "",
        snr_db=snr_db(row.samples),
        reference=row.text,
        hypothesis=recognition.text,
        words=word_errors(reference, hypothesis),
        characters=character_errors(reference, hypothesis),
        edges=boundary_errors(row.samples, row.text, recognition.words),
    )


def _rows(manifest: DatasetManifest, split: str, dataset: str) -> Iterator[_Row]:
    from tasks.dataset import flac
    from tasks.dataset.integrity import verify_shards
    from tasks.dataset.schema import open_parquet

    uris = manifest.uris(split)
    if not uris or not sum(shard.utterances for shard in manifest.shards(split)):
        raise InputRejected(
            f"the {split} split is empty",
            reason=Reason.NO_INPUT,
            subject=dataset,
            next_step="give assemble-dataset a larger share for it, or more programmes",
        )
    verify_shards(manifest, [split])
    with open_parquet(uris[0]) as file:
        names = file.schema_arrow.names
        if "audio" not in names:
            raise InputRejected(
                "the dataset carries no audio, which evaluation needs",
                reason=Reason.NO_INPUT,
                subject=dataset,
                next_step="run extract-features with --with-audio=true",
            )
    columns = [*_COLUMNS, _GENRE] if _GENRE in names else _COLUMNS
    for batch in read_batches(manifest, split, columns):
        for fields in batch.to_pylist():
            yield _Row(samples=flac.to_float(flac.decode(fields.pop("audio"))), **fields)


def _blocks(rows: Iterator[_Row]) -> Iterator[list[_Row]]:
    """Group rows into blocks of about `BLOCK_SECONDS`."""
    block: list[_Row] = []
    seconds = 0.0
    for row in rows:
        block.append(row)
        seconds += row.duration_s
        if seconds >= BLOCK_SECONDS:
            yield block
            block, seconds = [], 0.0
    if block:
        yield block
