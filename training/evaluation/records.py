"""What an evaluation and a comparison say, as later steps and people read them."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum

from pydantic import Field

from tasks import storage
from tasks.contract import Frozen, InputRejected, Reason
from tasks.step import load_result, output_uri
from tasks.storage.records import read_one
from training.scoring.errors import ErrorCounts

EVALUATION, UTTERANCES, OUT_OF_DOMAIN = "evaluation.json", "utterances.jsonl", "out-of-domain.jsonl"
COMPARISON = "comparison.json"


class WordEdges(Frozen):
    """How far the first word's start and the last word's end are from the sound's, in ms; positive is late."""

    start_ms: int | None
    """None where the first word was not understood."""
    end_ms: int | None


class ScoredUtterance(Frozen):
    """One utterance's texts and errors. A line of `utterances.jsonl`."""

    utterance_id: str
    programme_id: str
    speaker: str
    duration_s: float
    genre: str = ""
    snr_db: float = Field(description="of speech over what is heard in the pauses, estimated")
    reference: str
    hypothesis: str
    words: ErrorCounts
    characters: ErrorCounts
    edges: WordEdges | None = Field(None, description="where its sound tells when the speech begins and ends")


class SliceKind(StrEnum):
    """By what utterances are grouped to see where a model is weak."""

    PROGRAMME = "programme"
    GENRE = "genre"
    SPEAKER = "speaker"
    DURATION = "duration"
    SNR = "snr"


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


class WordTimes(Frozen):
    """Time error of words, over all edges that could be told."""

    edges: int
    median_ms: float
    p90_ms: float
    bias_ms: float = Field(description="median with its sign; positive is late")


class OutOfDomain(Frozen):
    """A dataset that the challenger was not fine-tuned on."""

    dataset_name: str
    dataset_version: str
    utterances: int
    words: ErrorCounts


class InventedWords(Frozen):
    """Words recognised in sound that holds no speech."""

    sound: str
    silent: bool = Field(False, description="so faint that there is nothing to be mistaken for speech")
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
    word_times: WordTimes | None = None
    out_of_domain: OutOfDomain | None = None

    @property
    def invented_words_per_minute(self) -> float:
        seconds = sum(found.seconds for found in self.invented)
        return 60 * sum(found.words for found in self.invented) / seconds if seconds else 0.0

    @property
    def words_in_silence(self) -> int:
        return sum(found.words for found in self.invented if found.silent)


class Decision(StrEnum):
    PROMOTE = "promote"
    KEEP = "keep"
    SAME = "same"


class PartComparison(Frozen):
    """Both models on some utterances."""

    reference_words: int
    challenger_wer: float
    champion_wer: float
    p_worse: float
    """How sure it is that the challenger is worse here."""
    too_bad: bool
    """Worse by more than the bound, and surely so."""


class SliceComparison(PartComparison):
    """Both models on one part of the split."""

    kind: SliceKind
    value: str


class Comparison(Frozen):
    """`comparison.json`."""

    decision: Decision
    reasons: tuple[str, ...]
    challenger: str
    champion: str
    challenger_wer: float
    champion_wer: float
    difference: float
    """Challenger's rate less champion's: negative is better."""
    difference_low: float
    difference_high: float
    p_better: float
    is_sure: bool
    """Not only by its resamples, but also for so few units."""
    resampled: str
    n_resampled: int
    slices: tuple[SliceComparison, ...]
    challenger_invented_per_minute: float
    champion_invented_per_minute: float
    challenger_words_in_silence: int
    champion_words_in_silence: int
    out_of_domain: PartComparison | None
    challenger_rtfx: float
    champion_rtfx: float
    same_hardware: bool


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


def load_utterances(result_uri: str, name: str = UTTERANCES) -> Iterator[ScoredUtterance]:
    """The scored utterances behind an evaluate step's result, in the dataset's order; none if it has no such output."""
    result = load_result(result_uri)
    if name not in result.outputs:
        return
    with storage.open_reader(output_uri(result_uri, result, name)) as file:
        for line in file:
            yield ScoredUtterance.model_validate_json(line)


def load_comparison(result_uri: str) -> Comparison:
    """The comparison behind a compare-models step's result."""
    return read_one(Comparison, output_uri(result_uri, load_result(result_uri), COMPARISON))
