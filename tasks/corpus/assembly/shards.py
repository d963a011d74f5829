"""The Parquet shards of a dataset: those of extract-features, rewritten only if they lose rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tasks import storage
from tasks.corpus.assembly.extracted_shards import ExtractedShard
from tasks.dataset.manifest import Shard, Split, reference
from tasks.dataset.summary import Tally
from tasks.step import StepContext

if TYPE_CHECKING:
    import numpy as np

    from tasks.corpus.assembly.selection import Selection


def publish_shards(
    extracted: Sequence[ExtractedShard], selection: Selection, context: StepContext
) -> tuple[dict[Split, tuple[Shard, ...]], dict[str, str]]:
    """Return the shards of each split, and their locations by name. Publishes the rewritten ones under this step."""
    splits: dict[Split, list[Shard]] = {split: [] for split in Split}
    locations: dict[str, str] = {}
    for number, source in enumerate(extracted):
        for split in Split:
            if located := _publish_shard(number, source, split, selection, context):
                shard, uri = located
                splits[split].append(shard)
                locations[shard.name] = reference(storage.join(context.prefix, context.attempt), uri)
        context.progress("shards", number + 1, len(extracted), "shards")
    return {split: tuple(shards) for split, shards in splits.items()}, locations


def _publish_shard(
    number: int, source: ExtractedShard, split: Split, selection: Selection, context: StepContext
) -> tuple[Shard, str] | None:
    """One split of one extracted shard with its URI; None if no row of it is kept."""
    artifact = source.result.outputs.get(f"{split}.parquet")
    indexes = selection.rows.places(number, split)  # (n_rows of the file,)
    kept = selection.kept[indexes]  # (n_rows of the file,)
    if artifact is None or not kept.any():
        return None
    name = f"{split}/{number:05d}.parquet"
    uri = source.output(f"{split}.parquet")
    if not kept.all():
        uri = _rewrite(uri, kept, name, context)
        artifact = context.outputs[name]
    tally = Tally(count=int(kept.sum()), ms=int(selection.rows.duration_ms[indexes[kept]].sum()))
    shard = Shard(name=name, sha256=artifact.sha256, bytes=artifact.bytes, utterances=tally.count, hours=tally.hours)
    return shard, uri


def _rewrite(uri: str, kept: np.ndarray, name: str, context: StepContext) -> str:
    """Publish the shard at `uri` with only the `kept` rows, row group by row group."""
    import pyarrow as pa

    from tasks.dataset.schema import open_parquet, open_writer

    path = context.scratch / "rewritten.parquet"
    with open_parquet(uri) as file, open_writer(path, file.schema_arrow) as writer:
        first = 0
        for number in range(file.num_row_groups):
            table = file.read_row_group(number)
            mask = kept[first : first + len(table)]
            first += len(table)
            if mask.any():
                writer.write_table(table.filter(pa.array(mask)))
    return context.publish(name, path)
