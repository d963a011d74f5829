"""What an evaluation says, as later steps and people read it."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum

from pydantic import Field

from tasks import storage
from tasks.contract import Frozen, InputRejected, Reason
from tasks.step import load_result, output_uri
from training.scoring.errors import ErrorCounts

EVALUATION, UTTERANCES = "evaluation.json", "utterances.jsonl"


class ScoredUtterance(Frozen):
    """One utterance's texts and errors. A line of `utterances.jsonl`."""

    utterance_id: str
    programme_id: str
    speaker: str
    duration_s: float
    level_range_db: float = Field(description="how far the loud frames stand above the quiet ones")
    reference: str
    hypothesis: str
    words: ErrorCounts
    characters: ErrorCounts


class SliceKind(StrEnum):
    """By what utterances are grouped to see where a model is weak."""

    PROGRAMME = "programme"
    SPEAKER = "speaker"
    DURATION = "duration"
    LEVEL_RANGE = "level_range"


class Slice(Frozen):
    """The errors of a part of the split."""

    kind: SliceKind
    value: str
    utterances: int
    hours: float
    words: ErrorCounts


class RateInterval(Frozen):
    """A rate and the central 95 % of its bootstrap resamples."""

    value: float
    low: float
    high: float


class InventedWords(Frozen):
    """Words recognised in sound that holds no speech."""

    sound: str
    seconds: float
    words: int
    heard: str


class Evaluation(Frozen):
    """`evaluation.json`: everything but times, so that equal models give equal bytes."""

    model_version: str
    model_digest: str
    engine: str
    dataset_name: str
    dataset_version: str
    split: str
    normaliser: str
    utterances: int
    hours: float
    words: ErrorCounts
    characters: ErrorCounts
    resampled: str = Field(description="unit of the bootstrap: programme or utterance")
    wer: RateInterval
    cer: RateInterval
    slices: tuple[Slice, ...]
    invented: tuple[InventedWords, ...]

    @property
    def invented_words_per_minute(self) -> float:
        seconds = sum(found.seconds for found in self.invented)
        return 60 * sum(found.words for found in self.invented) / seconds if seconds else 0.0


def load_evaluation(result_uri: str) -> Evaluation:
    """The evaluation behind an evaluate step's result."""
    result = load_result(result_uri)
    if EVALUATION not in result.outputs:
        raise InputRejected(
            f"the {result.step} step left no evaluation",
            reason=Reason.CORRUPT,
            subject=result_uri,
            next_step="give the result.json of an evaluate step",
        )
    return Evaluation.model_validate_json(storage.read_bytes(output_uri(result_uri, result, EVALUATION)))


def load_utterances(result_uri: str) -> Iterator[ScoredUtterance]:
    """The scored utterances behind an evaluate step's result, in the dataset's order."""
    with storage.open_reader(output_uri(result_uri, load_result(result_uri), UTTERANCES)) as file:
        for line in file:
            yield ScoredUtterance.model_validate_json(line)
