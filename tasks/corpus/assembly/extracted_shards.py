"""What `extract-features` made of the shards, as `assemble-dataset` reads it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tasks import storage
from tasks.contract import InputRejected, Reason
from tasks.corpus.records import ACCOUNT, INDEX_NAME, ShardAccount
from tasks.step import StepContext, load_result, output_uri

if TYPE_CHECKING:
    import pyarrow as pa

    from tasks.contract import StepResult


@dataclass(frozen=True)
class ExtractedShard:
    """One shard: extract-features' result and what it says of itself."""

    uri: str
    result: StepResult
    account: ShardAccount

    def output(self, name: str) -> str:
        return output_uri(self.uri, self.result, name)


def read_shard(uri: str) -> ExtractedShard:
    result = load_result(uri)
    return ExtractedShard(
        uri, result, ShardAccount.model_validate_json(storage.read_bytes(output_uri(uri, result, ACCOUNT)))
    )


def common_account(extracted: Sequence[ExtractedShard]) -> ShardAccount:
    """What all shards must agree on. Raises InputRejected when one was made otherwise."""
    first = extracted[0]
    for other in extracted[1:]:
        if _made(other.account) != _made(first.account):
            raise InputRejected(
                f"not made as {first.uri} was: {_made(other.account)} against {_made(first.account)}",
                reason=Reason.INVALID_ARGUMENT,
                subject=other.uri,
                next_step="prepare and extract all shards with the same arguments",
            )
    return first.account


def _made(account: ShardAccount) -> tuple[object, ...]:
    return account.language, account.normaliser, account.features, account.configuration


def indexes(extracted: Sequence[ExtractedShard], context: StepContext, stage: str) -> Iterator[pa.Table]:
    """The index of each shard, one at a time."""
    from tasks.dataset.schema import open_parquet

    for number, shard in enumerate(extracted):
        context.progress(stage, number, len(extracted), "shards")
        with open_parquet(shard.output(INDEX_NAME)) as file:
            yield file.read()
    context.progress(stage, len(extracted), len(extracted), "shards")
