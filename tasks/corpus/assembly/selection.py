"""Select the rows of a dataset, and check its splits for leaks.

Each row is only a few numbers, so that ten thousand hours fit in memory.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from tasks.contract import Reason
from tasks.corpus.inventory.identity import hash64
from tasks.corpus.inventory.planning import SPLIT_CODES
from tasks.dataset.manifest import REVIEWED_PREFIX, Split
from tasks.dataset.summary import whole_ms

if TYPE_CHECKING:
    import pyarrow as pa

# Of several copies the held-out one is kept: test data is never trained on. Within a split, it is the one that people
# have checked.
KEPT_FIRST = (Split.TEST, Split.VALIDATION, Split.TRAIN)
_RANK = np.array([KEPT_FIRST.index(split) for split in sorted(SPLIT_CODES, key=lambda s: SPLIT_CODES[s])], np.int8)


@dataclass(frozen=True)
class Rows:
    """The rows of all shards, as parallel arrays `(n_rows,)`. 70 bytes per row: four million take 280 MB."""

    digest: np.ndarray  # (n_rows, 4) uint64: the audio's sha256
    programme: np.ndarray  # int64: hash of the programme id
    programme_audio: np.ndarray  # uint64: first 8 bytes of the sha256 of the programme's whole audio
    split: np.ndarray  # int8: code of the split
    shard: np.ndarray  # int32
    row: np.ndarray  # int32: row number in the shard's file of that split
    duration_ms: np.ndarray  # int64
    match_error: np.ndarray  # float32; NaN if the caption was not matched
    reviewed: np.ndarray  # bool: people have checked the words

    def __len__(self) -> int:
        return len(self.split)

    def of_shard(self, shard: int) -> slice:
        """The rows of one shard, which are contiguous."""
        first, end = np.searchsorted(self.shard, [shard, shard + 1])
        return slice(int(first), int(end))

    def places(self, shard: int, split: Split) -> np.ndarray:
        """Indexes of the rows in one shard's file of one split, in file order."""
        rows = self.of_shard(shard)
        return rows.start + np.flatnonzero(self.split[rows] == SPLIT_CODES[split])


def rows_of(indexes: Iterable[pa.Table]) -> Rows:
    """Build rows from the index tables of the shards, in order."""
    parts: list[tuple[np.ndarray, ...]] = []
    for shard, table in enumerate(indexes):
        splits = table.column("split").to_pylist()
        codes = np.array([SPLIT_CODES[Split(split)] for split in splits], np.int8)
        row = np.zeros(len(codes), np.int32)
        for code in SPLIT_CODES.values():
            row[codes == code] = np.arange((codes == code).sum(), dtype=np.int32)
        parts.append(
            (
                _digests(table.column("sha256")),
                np.array([hash64(name) for name in table.column("programme_id").to_pylist()], np.int64),
                _digests(table.column("programme_sha256"))[:, 0],
                codes,
                np.full(len(codes), shard, np.int32),
                row,
                np.array([whole_ms(s) for s in table.column("duration_s").to_pylist()], np.int64),
                table.column("match_error").to_numpy().astype(np.float32),
                np.array([name.startswith(REVIEWED_PREFIX) for name in table.column("programme_id").to_pylist()], bool),
            )
        )
    return Rows(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def _digests(hexadecimal: pa.ChunkedArray) -> np.ndarray:
    """sha256 digests as `(n_rows, 4)` uint64."""
    return np.frombuffer(bytes.fromhex("".join(hexadecimal.to_pylist())), ">u8").reshape(-1, 4).astype(np.uint64)


@dataclass(frozen=True)
class Selection:
    """The rows of the dataset, and masks of those dropped for each reason, `(n_rows,)` bool."""

    rows: Rows
    dropped: dict[Reason, np.ndarray]

    @cached_property
    def kept(self) -> np.ndarray:
        """Mask of the rows that are kept, `(n_rows,)` bool."""
        return ~np.logical_or.reduce(list(self.dropped.values()))


def select(rows: Rows, max_match_error: float) -> Selection:
    """Drop captions that do not match, then repeated programmes, then repeated utterances among the rest.

    The order matters: a copy with a mismatched caption must not displace one whose caption matches. The captions of a
    programme that occurs twice may be cut differently, so its utterances need not be equal to the sample.
    """
    mismatched = rows.match_error > max_match_error  # false for NaN
    repeated = find_repeated_programmes(rows, ~mismatched)
    repeated |= find_repeats(rows, ~mismatched & ~repeated)
    return Selection(rows, {Reason.MATCH_ERROR: mismatched, Reason.DUPLICATE: repeated})


def find_repeated_programmes(rows: Rows, candidates: np.ndarray) -> np.ndarray:
    """Mask of the `candidates` whose programme has the same audio as another, except the first by `KEPT_FIRST`.

    Both masks are `(n_rows,)` bool.
    """
    order = np.lexsort((rows.row, rows.shard, ~rows.reviewed, _RANK[rows.split], rows.programme_audio))  # (n_rows,)
    order = order[candidates[order]]  # (n_candidates,)
    repeats = np.zeros(len(rows), bool)
    if len(order):
        _, first, place = np.unique(rows.programme_audio[order], return_index=True, return_inverse=True)
        repeats[order] = rows.programme[order] != rows.programme[order[first]][place]
    return repeats


def find_repeats(rows: Rows, candidates: np.ndarray) -> np.ndarray:
    """Mask of the `candidates` that repeat another's audio: all but the first by `KEPT_FIRST`, shard and row.

    Both masks are `(n_rows,)` bool.
    """
    digest = rows.digest
    keys = (rows.row, rows.shard, ~rows.reviewed, _RANK[rows.split], *rows.digest.T[::-1])
    order = np.lexsort(keys)  # the last key is the primary one
    order = order[candidates[order]]  # (n_candidates,)
    ordered = digest[order]  # (n_candidates, 4)
    repeats = np.zeros(len(rows), bool)
    repeats[order[1:]] = (ordered[1:] == ordered[:-1]).all(axis=1)
    return repeats


def leaking_programmes(rows: Rows) -> np.ndarray:
    """Hashes of programmes with rows, repeated or not, in more than one split."""
    return _in_two_splits(rows.programme, rows.split)


def leaking_audio(rows: Rows, kept: np.ndarray) -> np.ndarray:
    """Digests (first 8 bytes) of utterance or programme audio that is kept in more than one split."""
    split = rows.split[kept]
    audio = (rows.digest[kept, 0], rows.programme_audio[kept])
    return np.concatenate([_in_two_splits(digests, split) for digests in audio])


def _in_two_splits(keys: np.ndarray, splits: np.ndarray) -> np.ndarray:
    unique, place = np.unique(keys, return_inverse=True)
    lowest = np.full(len(unique), max(SPLIT_CODES.values()), np.int8)
    highest = np.zeros(len(unique), np.int8)
    np.minimum.at(lowest, place, splits)
    np.maximum.at(highest, place, splits)
    return np.asarray(unique[lowest != highest])
