"""Running an engine over a split and counting its errors."""

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
from training.evaluation.records import RateInterval, ScoredUtterance
from training.evaluation.sound import snr_db, word_edges
from training.evaluation.units import sum_by_unit
from training.scoring.bootstrap import rate_interval
from training.scoring.errors import character_errors, word_errors
from training.scoring.normaliser import normalise

WARM_UP_SAMPLES = 5 * SAMPLE_RATE_HZ
BLOCK_SECONDS = 600.0  # handed to the engine at once: it packs by length, memory stays at 40 MB
_COLUMNS = ["utterance_id", "programme_id", "speaker", "text", "duration_s", "audio"]
_GENRE = "genre"  # a column that a dataset may have


@dataclass(frozen=True)
class Heard:
    """A split's utterances with what the engine made of them."""

    utterances: list[ScoredUtterance]
    recognise_s: float

    @property
    def audio_s(self) -> float:
        return sum(utterance.duration_s for utterance in self.utterances)

    @property
    def rtfx(self) -> float:
        """Seconds of audio in a second of recognition, decoding of files not counted."""
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


def listen(engine: Engine, manifest: DatasetManifest, split: str, dataset: str, progress: ProgressHook) -> Heard:
    """Recognise every utterance of the split and score it."""
    n_utterances = sum(shard.utterances for shard in manifest.shards(split))
    scored: list[ScoredUtterance] = []
    recognise_s = 0.0
    engine.recognise([np.zeros(WARM_UP_SAMPLES, np.float32)])  # the first call takes longer, whatever it hears
    for block in _blocks(_rows(manifest, split, dataset)):
        began = time.monotonic()
        found = engine.recognise([row.samples for row in block], [Hints(language=manifest.language)] * len(block))
        recognise_s += time.monotonic() - began
        scored += [_score(row, recognition) for row, recognition in zip(block, found, strict=True)]
        progress("recognise", len(scored), n_utterances, "utterances")
    return Heard(scored, recognise_s)


def rate_intervals(utterances: list[ScoredUtterance]) -> tuple[RateInterval, RateInterval]:
    """Word and character error rates with their intervals."""
    programmes = [u.programme_id for u in utterances]
    rates = []
    for counts in ([u.words for u in utterances], [u.characters for u in utterances]):
        errors, lengths = sum_by_unit(programmes, [c.errors for c in counts], [c.length for c in counts])
        found = rate_interval(errors, lengths)
        rates.append(RateInterval(value=found.value, low=found.low, high=found.high))
    return rates[0], rates[1]


def _score(row: _Row, found: Recognition) -> ScoredUtterance:
    reference, normal = normalise(row.text), normalise(found.text)
    return ScoredUtterance(
        utterance_id=row.utterance_id,
        programme_id=row.programme_id,
        speaker=row.speaker,
        duration_s=row.duration_s,
        genre=row.genre or "",
        snr_db=snr_db(row.samples),
        reference=row.text,
        hypothesis=found.text,
        words=word_errors(reference, normal),
        characters=character_errors(reference, normal),
        edges=word_edges(row.samples, row.text, found.words),
    )


def _rows(manifest: DatasetManifest, split: str, dataset: str) -> Iterator[_Row]:
    from tasks.dataset import flac
    from tasks.dataset.schema import open_parquet

    uris = manifest.uris(split)
    if not uris or not sum(shard.utterances for shard in manifest.shards(split)):
        raise InputRejected(
            f"the {split} split is empty",
            reason=Reason.NO_INPUT,
            subject=dataset,
            next_step="give assemble-dataset a larger share for it, or more programmes",
        )
    with open_parquet(uris[0]) as file:
        names = file.schema_arrow.names
        if "audio" not in names:
            raise InputRejected(
                "the dataset carries no audio, and an engine hears audio",
                reason=Reason.NO_INPUT,
                subject=dataset,
                next_step="run extract-features with --with-audio=true",
            )
    columns = [*_COLUMNS, _GENRE] if _GENRE in names else _COLUMNS
    for batch in read_batches(manifest, split, columns):
        for fields in batch.to_pylist():
            yield _Row(samples=flac.to_float(flac.decode(fields.pop("audio"))), **fields)


def _blocks(rows: Iterator[_Row]) -> Iterator[list[_Row]]:
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
