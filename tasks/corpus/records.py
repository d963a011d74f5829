"""Records and output files that the corpus steps pass to each other."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import Field

from tasks import storage
from tasks.contract import Frozen, InputRejected, ItemOutcome, Reason
from tasks.dataset.manifest import Split
from tasks.dataset.summary import Examples, Summary, Tally
from tasks.step import load_result, output_uri

# File names of the steps' outputs.
OUTCOMES = "outcomes.jsonl"  # every step: one `ItemOutcome` per line
MEDIA = "media.jsonl"  # prepare-corpus: one `DecodedMedium` per line
UTTERANCES = "utterances.parquet"  # prepare-corpus: rows of the schema `PREPARED`
MATCHES = "matches.parquet"  # match-captions: rows of the schema `MATCH`
INDEX_NAME = "index.parquet"  # extract-features: rows of the schema `INDEX`
ACCOUNT = "account.json"  # extract-features: a `ShardAccount`

MAX_S = 1e7  # 116 days, more than any transcript


class Supervision(Frozen):
    """A transcript's text for a span of audio. `end_s` is None in a transcript without times."""

    start_s: float = Field(allow_inf_nan=False, lt=MAX_S, gt=-MAX_S)
    end_s: float | None = Field(allow_inf_nan=False, lt=MAX_S, gt=-MAX_S)
    text: str
    speaker: str = ""
    language: str = Field(default="", description="BCP 47, if the transcript declares it")


class Programme(Frozen):
    """One medium with its transcript, as listed by scan-corpus. One line of a shard's file.

    A programme listed in a JSON Lines manifest carries that manifest's `supervisions`; for any other they are in the
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
    """Yield a shard's programmes. Raises InputRejected for an invalid line."""
    with storage.open_reader(uri) as file:
        for number, line in enumerate(file, start=1):
            try:
                yield Programme.model_validate_json(line)
            except ValueError as error:
                raise InputRejected(
                    f"line {number} is not a programme: {error}",
                    reason=Reason.CORRUPT,
                    subject=uri,
                    next_step="run scan-corpus again",
                ) from None


def read_outcomes(uri: str) -> Iterator[ItemOutcome]:
    """Yield the outcomes in a step's `outcomes.jsonl`."""
    with storage.open_reader(uri) as file:
        for line in file:
            yield ItemOutcome.model_validate_json(line)


class ShardAccount(Frozen):
    """What assemble-dataset needs to know about a shard besides its index."""

    summary: Summary
    rows: dict[Split, Tally]
    language: str
    normaliser: str
    features: str
    examples: Examples = Field(description="examples of what was dropped so far, for the report")
    matched_by: str = Field(default="", description="version of the model that the captions were matched with")
    configuration: dict[str, dict[str, Any]] = Field(description="arguments of the steps that made it")


def read_matches(matched_uri: str, prepared_digest: str) -> dict[str, dict[str, Any]]:
    """Rows of the schema `MATCH` by utterance id. Raises InputRejected if they belong to another prepared shard."""
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
