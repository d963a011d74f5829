"""Results of extract-features as read by assemble-dataset."""

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
    """One shard: the result of extract-features and its account."""

    uri: str
    result: StepResult
    account: ShardAccount

    def output(self, name: str) -> str:
        return output_uri(self.uri, self.result, name)


def read_shard(uri: str) -> ExtractedShard:
    """Load the shard whose extract-features result is at `uri`."""
    result = load_result(uri)
    return ExtractedShard(
        uri, result, ShardAccount.model_validate_json(storage.read_bytes(output_uri(uri, result, ACCOUNT)))
    )


def common_account(extracted: Sequence[ExtractedShard]) -> ShardAccount:
    """The account that represents all shards. Raises InputRejected if one was made with other arguments."""
    first = extracted[0]
    for other in extracted[1:]:
        if _settings(other.account) != _settings(first.account):
            raise InputRejected(
                f"made with other arguments than {first.uri}: {_settings(other.account)}, {_settings(first.account)}",
                reason=Reason.INVALID_ARGUMENT,
                subject=other.uri,
                next_step="prepare and extract all shards with the same arguments",
            )
    return first.account


def _settings(account: ShardAccount) -> tuple[object, ...]:
    return account.language, account.normaliser, account.features, account.configuration


def indexes(extracted: Sequence[ExtractedShard], context: StepContext, stage: str) -> Iterator[pa.Table]:
    """Yield the index table of each shard."""
    from tasks.dataset.schema import open_parquet

    for number, shard in enumerate(extracted):
        context.progress(stage, number, len(extracted), "shards")
        with open_parquet(shard.output(INDEX_NAME)) as file:
            yield file.read()
    context.progress(stage, len(extracted), len(extracted), "shards")
