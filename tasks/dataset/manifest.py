"""A dataset: Parquet shards listed in a manifest, whose sha256 is the dataset's version.

The manifest lists shards by content hash and contains no URIs, so equal data has an equal version wherever it was made.
The URIs are in `locations.json` beside it: shards stay where `extract-features` wrote them.
"""

from __future__ import annotations

import hashlib
import json
import posixpath
from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from pydantic import Field

from tasks import storage
from tasks.contract import Frozen, InputRejected, Reason
from tasks.dataset.summary import Summary, Tally

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

MANIFEST = "manifest.json"
LOCATIONS = "locations.json"
REVIEWED_PREFIX = "human-review."
"""How the ids of programmes begin whose words people have checked."""


class Split(StrEnum):
    TRAIN = "train"
    VALIDATION = "validation"
    TEST = "test"


class Shard(Frozen):
    """One Parquet file of one split."""

    name: str = Field(description="name inside the dataset, as `train/00003.parquet`")
    sha256: str
    bytes: int
    utterances: int
    hours: float
    uri: str = Field(default="", exclude=True, description="its URI; filled in by load_manifest")


class DatasetManifest(Frozen):
    """The contents of a dataset, and what was dropped from it."""

    schema_version: int = 1
    name: str
    language: str
    sample_rate_hz: int
    normaliser: str
    features: str
    features_config: dict[str, Any]
    matched_by: tuple[str, ...] = Field(default=(), description="models that the captions were matched with, if any")
    splits: dict[Split, tuple[Shard, ...]]
    kept: dict[Split, Tally] = Field(description="utterances and their duration")
    programmes: dict[Split, int]
    reviewed: Tally = Field(default=Tally(), description="of these, utterances of programmes that people have checked")
    account: Summary = Field(description="corpus totals, and what was dropped per step and reason")
    configuration: dict[str, dict[str, Any]] = Field(description="arguments of the steps that made it")

    def shards(self, split: Split | str) -> tuple[Shard, ...]:
        return self.splits.get(Split(split), ())

    def uris(self, split: Split | str) -> list[str]:
        """URIs of the shards of a split."""
        return [shard.uri for shard in self.shards(split)]


def load_manifest(uri: str) -> tuple[DatasetManifest, str]:
    """Load the dataset whose manifest.json is at `uri`, and its version. Raises InputRejected if it is invalid."""
    data = storage.read_bytes(uri)
    try:
        manifest = DatasetManifest.model_validate_json(data)
        locations = json.loads(storage.read_bytes(storage.join(storage.parent(uri), LOCATIONS)))
        located = {
            split: tuple(
                shard.model_copy(update={"uri": resolve(storage.parent(uri), locations[shard.name])})
                for shard in shards
            )
            for split, shards in manifest.splits.items()
        }
    except (ValueError, KeyError) as error:
        raise InputRejected(
            f"not a dataset manifest: {error}",
            reason=Reason.CORRUPT,
            subject=uri,
            next_step="give the manifest.json of an assemble-dataset result",
        ) from None
    return manifest.model_copy(update={"splits": located}), hashlib.sha256(data).hexdigest()


def reference(folder: str, uri: str) -> str:
    """`uri` relative to `folder` if both are in one store, so that the whole store can be moved."""
    scheme, _, path = uri.partition("://")
    from_scheme, _, from_path = folder.partition("://")
    if scheme != from_scheme or path.split("/")[0] != from_path.split("/")[0]:
        return uri
    return posixpath.relpath("/" + path, "/" + from_path)


def resolve(folder: str, reference: str) -> str:
    """The URI that a `reference` made for `folder` stands for."""
    if "://" in reference:
        return reference
    scheme, _, path = folder.partition("://")
    whole = posixpath.normpath("/" + path.lstrip("/") + "/" + reference)
    return f"{scheme}://{whole if path.startswith('/') else whole[1:]}"


def read_batches(manifest: DatasetManifest, split: Split | str, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """Yield the rows of a split, one row group at a time, with the given columns. Verify its shards before."""
    from tasks.dataset.schema import open_parquet

    for shard in manifest.shards(split):
        with open_parquet(shard.uri) as file:
            for number in range(file.num_row_groups):
                yield from file.read_row_group(number, columns=list(columns)).combine_chunks().to_batches()


def feature_arrays(batch: pa.RecordBatch) -> list[np.ndarray]:
    """The `input_features` of a batch: one `(n_frames, n_mels)` float16 view each, without copying."""
    import numpy as np

    column = batch.column("input_features")
    frames = column.flatten()  # one entry per frame
    values = frames.flatten().to_numpy().reshape(-1, column.type.value_type.list_size)  # (n_frames of all, n_mels)
    ends = np.cumsum(column.value_lengths().to_numpy())  # (n_rows,)
    return np.split(values, ends[:-1]) if len(ends) else []
