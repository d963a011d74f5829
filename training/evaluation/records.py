"""Records that `evaluate` and `compare-models` publish, and how later steps read them."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum

from pydantic import ConfigDict, Field

from tasks import storage
from tasks.contract import Frozen, InputRejected, Reason
from tasks.step import load_result, output_uri
from tasks.storage.records import read_one
from tasks.transcripts.error_counts import ErrorCounts
from training.scoring.bootstrap import RateInterval

_ALIASED = ConfigDict(validate_by_name=True, validate_by_alias=True, serialize_by_alias=True)

EVALUATION, UTTERANCES, OUT_OF_DOMAIN = "evaluation.json", "utterances.jsonl", "out-of-domain.jsonl"
COMPARISON = "comparison.json"


class BoundaryErrors(Frozen):
    """Error of the first word's start and of the last word's end against the speech in the audio, in ms; positive is
    late."""

    start_ms: int | None
    """None where the first word was not recognised correctly."""
    end_ms: int | None
    """None where the last word was not recognised correctly."""


class ScoredUtterance(Frozen):
    """One utterance with its texts and errors: a line of `utterances.jsonl`."""

    utterance_id: str
    programme_id: str
    speaker: str
    duration_s: float
    genre: str = ""
    snr_db: float = Field(description="estimated power of the speech over the background in its pauses")
    reference: str
    hypothesis: str
    words: ErrorCounts
    characters: ErrorCounts
    edges: BoundaryErrors | None = Field(None, description="where the speech boundaries can be located in the audio")


class SliceKind(StrEnum):
    """Attribute by which utterances are grouped, to find where a model is weak."""

    PROGRAMME = "programme"
    GENRE = "genre"
    SPEAKER = "speaker"
    REVIEWED = "reviewed"
    DURATION = "duration"
    SNR = "snr"


class Slice(Frozen):
    """Error counts of one slice of the split."""

    kind: SliceKind
    value: str
    utterances: int
    hours: float
    words: ErrorCounts


class BoundaryErrorSummary(Frozen):
    """Errors of word times, over all speech boundaries that could be located."""

    edges: int
    """Number of boundaries."""
    median_ms: float
    p90_ms: float
    bias_ms: float = Field(description="median with its sign; positive is late")


class OutOfDomain(Frozen):
    """Errors on a dataset that the challenger was not fine-tuned on."""

    dataset_name: str
    dataset_version: str
    utterances: int
    words: ErrorCounts


class HallucinatedWords(Frozen):
    """Words hallucinated in a sound without speech."""

    sound: str
    silent: bool = Field(False, description="too faint to be mistaken for speech")
    seconds: float
    words: int
    heard: str


class Evaluation(Frozen):
    """`evaluation.json`: everything but timings, so that equal models give equal bytes.

    In JSON `resampling_unit` is called `resampled`.
    """

    model_config = _ALIASED

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
    resampling_unit: str = Field(
        validation_alias="resampled",
        serialization_alias="resampled",
        description="unit that the bootstrap resamples: programme or utterance",
    )
    wer: RateInterval
    cer: RateInterval
    slices: tuple[Slice, ...]
    invented: tuple[HallucinatedWords, ...]
    word_times: BoundaryErrorSummary | None = None
    out_of_domain: OutOfDomain | None = None

    @property
    def hallucinated_words_per_minute(self) -> float:
        seconds = sum(sound.seconds for sound in self.invented)
        return 60 * sum(sound.words for sound in self.invented) / seconds if seconds else 0.0

    @property
    def words_in_silence(self) -> int:
        return sum(sound.words for sound in self.invented if sound.silent)


class Decision(StrEnum):
    PROMOTE = "promote"
    KEEP = "keep"
    SAME = "same"


class SubsetComparison(Frozen):
    """Both models on the same subset of utterances."""

    reference_words: int
    challenger_wer: float
    champion_wer: float
    p_worse: float
    """Share of resamples in which the challenger is worse here."""
    regressed: bool
    """Significantly worse, and by more than the bound."""


class SliceComparison(SubsetComparison):
    """Both models on one slice of the split."""

    kind: SliceKind
    value: str


class Comparison(Frozen):
    """`comparison.json`: the decision, its reasons and the figures behind them.

    In JSON `resampling_unit` is called `resampled` and `n_units` is called `n_resampled`.
    """

    model_config = _ALIASED

    decision: Decision
    reasons: tuple[str, ...]
    challenger: str
    champion: str
    challenger_wer: float
    champion_wer: float
    difference: float
    """Challenger's WER minus champion's: negative is better."""
    difference_low: float
    difference_high: float
    p_better: float
    significant: bool
    """Better with 95 % confidence, by the bootstrap and by a t-test for this number of units."""
    resampling_unit: str = Field(validation_alias="resampled", serialization_alias="resampled")
    n_units: int = Field(validation_alias="n_resampled", serialization_alias="n_resampled")
    slices: tuple[SliceComparison, ...]
    challenger_invented_per_minute: float
    champion_invented_per_minute: float
    challenger_words_in_silence: int
    champion_words_in_silence: int
    out_of_domain: SubsetComparison | None
    challenger_rtfx: float
    champion_rtfx: float
    same_hardware: bool


def load_evaluation(result_uri: str) -> Evaluation:
    """Load the evaluation of an `evaluate` step's result."""
    result = load_result(result_uri)
    if EVALUATION not in result.outputs:
        raise InputRejected(
            f"the result of {result.step} has no {EVALUATION}",
            reason=Reason.CORRUPT,
            subject=result_uri,
            next_step="give the result.json of an evaluate step",
        )
    return Evaluation.model_validate_json(storage.read_bytes(output_uri(result_uri, result, EVALUATION)))


def load_utterances(result_uri: str, name: str = UTTERANCES) -> Iterator[ScoredUtterance]:
    """Yield the scored utterances of an `evaluate` step's result in the dataset's order; none without that output."""
    result = load_result(result_uri)
    if name not in result.outputs:
        return
    with storage.open_reader(output_uri(result_uri, result, name)) as file:
        for line in file:
            yield ScoredUtterance.model_validate_json(line)


def load_comparison(result_uri: str) -> Comparison:
    """Load the comparison of a `compare-models` step's result."""
    return read_one(Comparison, output_uri(result_uri, load_result(result_uri), COMPARISON))
