"""What the corpus steps hand to each other: programmes, the stretches of speech in them, and the splits."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import Field

from tasks import storage
from tasks.contract import Frozen, InputRejected, ItemOutcome, Reason
from tasks.dataset.manifest import Split
from tasks.dataset.summary import Examples, Summary, Tally
from tasks.step import load_result, output_uri

# What the steps' outputs are called.
OUTCOMES = "outcomes.jsonl"  # of each step: an `ItemOutcome` a line
MEDIA = "media.jsonl"  # prepare-corpus: a `DecodedMedium` a line
UTTERANCES = "utterances.parquet"  # prepare-corpus: rows of the schema `PREPARED`
MATCHES = "matches.parquet"  # match-captions: rows of the schema `MATCH`
INDEX_NAME = "index.parquet"  # extract-features: rows of the schema `INDEX`
ACCOUNT = "account.json"  # extract-features: a `ShardAccount`

MAX_S = 1e7  # no transcript goes on for a third of a year


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


class ShardAccount(Frozen):
    """What `assemble-dataset` has to know of a shard besides its index."""

    summary: Summary
    rows: dict[Split, Tally]
    language: str
    normaliser: str
    features: str
    examples: Examples = Field(description="some of what was dropped so far, for the report")
    matched_by: str = Field(default="", description="version of the model that the captions were held against")
    configuration: dict[str, dict[str, Any]] = Field(description="arguments of the steps that made it")


def read_matches(matched_uri: str, prepared_digest: str) -> dict[str, dict[str, Any]]:
    """Rows of the schema `MATCH` by utterance. Raises InputRejected when they are not of that prepared shard."""
    from tasks.dataset.schema import open_parquet

    result = load_result(matched_uri)
    if result.inputs["prepared"] != prepared_digest:
        raise InputRejected(
            "was made from another prepare-corpus result",
            reason=Reason.INVALID_ARGUMENT,
            subject=matched_uri,
            next_step="run match-captions on this prepare-corpus result",
        )
    with open_parquet(output_uri(matched_uri, result, MATCHES)) as file:
        return {row["utterance_id"]: row for row in file.read().to_pylist()}
