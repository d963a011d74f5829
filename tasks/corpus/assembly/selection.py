"""Which rows make a dataset, and whether its splits leak.

The rows of all shards are a few numbers each, so that ten thousand hours fit in memory.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tasks.contract import Reason
from tasks.corpus.inventory.identity import hash64
from tasks.corpus.inventory.planning import SPLIT_CODES
from tasks.dataset.manifest import Split
from tasks.dataset.summary import whole_ms

if TYPE_CHECKING:
    import pyarrow as pa

# Of a repeat the copy that is held out stays: what is tested on is never trained on.
KEPT_FIRST = (Split.TEST, Split.VALIDATION, Split.TRAIN)
_RANK = np.array([KEPT_FIRST.index(split) for split in sorted(SPLIT_CODES, key=lambda s: SPLIT_CODES[s])], np.int8)


@dataclass(frozen=True)
class Rows:
    """All rows of a dataset to be, parallel arrays `(n_rows,)`. 69 bytes a row: four million take 275 MB."""

    digest: np.ndarray  # (n_rows, 4) uint64: the audio's sha256
    programme: np.ndarray  # int64: hash of the programme's name
    programme_audio: np.ndarray  # uint64: the first 8 bytes of the sha256 of all of its audio
    split: np.ndarray  # int8: code of the split
    shard: np.ndarray  # int32
    row: np.ndarray  # int32: number inside the shard's file of that split
    duration_ms: np.ndarray  # int64
    match_error: np.ndarray  # float32; NaN where the caption was held against nothing

    def __len__(self) -> int:
        return len(self.split)

    def of_shard(self, shard: int) -> slice:
        """The rows of one shard: they lie together."""
        first, end = np.searchsorted(self.shard, [shard, shard + 1])
        return slice(int(first), int(end))

    def places(self, shard: int, split: Split) -> np.ndarray:
        """The numbers of the rows in one shard's file of one split, in the file's order."""
        rows = self.of_shard(shard)
        return rows.start + np.flatnonzero(self.split[rows] == SPLIT_CODES[split])


def rows_of(indexes: Iterable[pa.Table]) -> Rows:
    """Rows from the index tables of the shards, in their order."""
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
            )
        )
    return Rows(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def _digests(hexadecimal: pa.ChunkedArray) -> np.ndarray:
    """`(n_rows, 4)` uint64."""
    return np.frombuffer(bytes.fromhex("".join(hexadecimal.to_pylist())), ">u8").reshape(-1, 4).astype(np.uint64)


@dataclass(frozen=True)
class Selection:
    """Which rows make the dataset, and why the others do not. Arrays are `(n_rows,)` bool."""

    rows: Rows
    lost: dict[Reason, np.ndarray]

    @property
    def used(self) -> np.ndarray:
        return ~np.logical_or.reduce(list(self.lost.values()))


def select(rows: Rows, max_match_error: float) -> Selection:
    """Leave out captions that do not match, then repeated programmes, then repeats inside what is left.

    In that order: a copy whose caption does not match is no reason to drop the one whose caption does. Of a programme
    that lies there twice, the captions may be cut in two ways, so its utterances need not be the same to the sample.
    """
    mismatched = rows.match_error > max_match_error  # never true of NaN
    repeated = find_repeated_programmes(rows, ~mismatched)
    repeated |= find_repeats(rows, ~mismatched & ~repeated)
    return Selection(rows, {Reason.MATCH_ERROR: mismatched, Reason.DUPLICATE: repeated})


def find_repeated_programmes(rows: Rows, candidates: np.ndarray) -> np.ndarray:
    """Which of the `candidates` are of a programme with the audio of another: of all but the first by `KEPT_FIRST`.

    Both are `(n_rows,)` bool.
    """
    order = np.lexsort((rows.row, rows.shard, _RANK[rows.split], rows.programme_audio))
    order = order[candidates[order]]
    repeats = np.zeros(len(rows), bool)
    if len(order):
        _, first, place = np.unique(rows.programme_audio[order], return_index=True, return_inverse=True)
        repeats[order] = rows.programme[order] != rows.programme[order[first]][place]
    return repeats


def find_repeats(rows: Rows, candidates: np.ndarray) -> np.ndarray:
    """Which of the `candidates` repeat another one's audio: all copies but the first by `KEPT_FIRST`, shard and row.

    Both are `(n_rows,)` bool.
    """
    digest = rows.digest
    keys = (rows.row, rows.shard, _RANK[rows.split], digest[:, 3], digest[:, 2], digest[:, 1], digest[:, 0])
    order = np.lexsort(keys)  # the last key counts most
    order = order[candidates[order]]
    ordered = digest[order]
    repeats = np.zeros(len(rows), bool)
    repeats[order[1:]] = (ordered[1:] == ordered[:-1]).all(axis=1)
    return repeats


def leaking_programmes(rows: Rows) -> np.ndarray:
    """Hashes of the programmes whose rows, repeats or not, lie in more than one split."""
    return _in_two_splits(rows.programme, rows.split)


def leaking_audio(rows: Rows, kept: np.ndarray) -> np.ndarray:
    """Digests (their first 8 bytes) of audio, utterances' or whole programmes', that is kept in more than one split."""
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
