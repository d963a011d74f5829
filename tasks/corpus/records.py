"""What the corpus steps hand to each other: programmes, the stretches of speech in them, and the splits."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum

from pydantic import Field

from tasks import storage
from tasks.contract import Frozen, InputRejected, ItemOutcome, Reason

SAMPLE_RATE_HZ = 16_000
MAX_S = 1e7  # no transcript goes on for a third of a year


def whole_ms(duration_s: float) -> int:
    """The whole milliseconds of a row's `duration_s`, as accounts count them."""
    return round(duration_s * SAMPLE_RATE_HZ) // (SAMPLE_RATE_HZ // 1000)


class Split(StrEnum):
    TRAIN = "train"
    VALIDATION = "validation"
    TEST = "test"


class Supervision(Frozen):
    """What a transcript says about a stretch of audio. `end_s` is None in a transcript without times."""

    start_s: float = Field(allow_inf_nan=False, lt=MAX_S, gt=-MAX_S)
    end_s: float | None = Field(allow_inf_nan=False, lt=MAX_S, gt=-MAX_S)
    text: str
    speaker: str = ""
    language: str = Field(default="", description="BCP 47, where the transcript tells")


class Programme(Frozen):
    """One medium with its transcript, as `scan` found it in the listing. A line of a shard's file.

    A programme named in a JSON Lines manifest carries that manifest's `supervisions`; any other has them in the
    object `transcript`.
    """

    programme_id: str
    split: Split
    media: str
    size: int
    etag: str
    transcript: str
    transcript_etag: str = ""
    supervisions: tuple[Supervision, ...] = ()


def read_programmes(uri: str) -> Iterator[Programme]:
    """A shard's programmes, one at a time. Raises InputRejected for a line that is no programme."""
    with storage.open_reader(uri) as file:
        for number, line in enumerate(file, start=1):
            try:
                yield Programme.model_validate_json(line)
            except ValueError as error:
                raise InputRejected(
                    f"line {number} is no programme: {error}",
                    reason=Reason.CORRUPT,
                    subject=uri,
                    next_step="run scan-corpus again",
                ) from None


def read_outcomes(uri: str) -> Iterator[ItemOutcome]:
    """A step's `outcomes.jsonl`, one at a time."""
    with storage.open_reader(uri) as file:
        for line in file:
            yield ItemOutcome.model_validate_json(line)
