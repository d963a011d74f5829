"""Checks the bytes of a dataset's shards against its manifest, before they are read."""

from __future__ import annotations

import json
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache

from tasks import storage
from tasks.contract import InputRejected, Reason
from tasks.dataset.manifest import DatasetManifest, Shard, Split
from tasks.progress import ProgressHook, no_progress

N_READERS = 16  # hashing is fast; one stream from S3 is not


def verify_shards(
    manifest: DatasetManifest, splits: Iterable[Split | str], record: str = "", progress: ProgressHook = no_progress
) -> None:
    """Hash all shards of the splits.

    `record`: URI of a JSON object with the etags of shards that an earlier attempt found intact; these are not hashed
    again while their etags stand. Ten thousand hours of features are 0.6 TB.

    Raises:
        InputRejected: CORRUPT, with the shard's URI.
    """
    shards = [shard for split in splits for shard in manifest.shards(split)]
    intact: dict[str, str] = json.loads(storage.read_bytes(record)) if record and storage.exists(record) else {}
    with ThreadPoolExecutor(N_READERS) as pool:
        etags = list(pool.map(lambda shard: storage.info(shard.uri).etag, shards))
        doubtful = [
            (shard, etag) for shard, etag in zip(shards, etags, strict=True) if intact.get(shard.sha256) != etag
        ]
        for done, _ in enumerate(pool.map(lambda pair: verify_shard(*pair), doubtful), start=1):
            progress("verify", done, len(doubtful), "shards")
    if record and doubtful:
        intact = {shard.sha256: etag for shard, etag in zip(shards, etags, strict=True)}
        storage.write(record, json.dumps(intact).encode())


@lru_cache(maxsize=100_000)
def verify_shard(shard: Shard, etag: str) -> None:  # noqa: ARG001  another etag is another object
    """Hash one shard, once in a process. Raises InputRejected(CORRUPT)."""
    if storage.digest(shard.uri) != shard.sha256:
        raise InputRejected(
            f"shard {shard.name} is not the one in the dataset's manifest: its bytes were changed or damaged",
            reason=Reason.CORRUPT,
            subject=shard.uri,
            next_step="restore it, or delete the result of extract-features for it and run corpus_features again",
        )
