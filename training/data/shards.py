"""Reads a dataset's shards: a small index of all utterances, and features by row group.

Only the columns that training needs are read. The unit of reading is a row group: large enough for S3, small enough to
keep many in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from tasks.dataset.manifest import feature_arrays
from tasks.dataset.schema import open_parquet
from tasks.features.config import FeaturesConfig

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq


@dataclass(frozen=True)
class Segment:
    """A stretch of an utterance with its text; times from the utterance's start."""

    text: str
    start_s: float
    end_s: float


@dataclass(frozen=True)
class TrainingUtterance:
    """An utterance to train on, or several neighbours joined: `features` is `(n_frames, n_features)` float16."""

    utterance_id: str
    features: np.ndarray
    text: str
    duration_s: float
    audio: tuple[bytes, ...] = ()
    """If requested: FLAC, one stream for each joined utterance."""
    programme_id: str = ""
    segments: tuple[Segment, ...] = ()
    """The joined utterances; empty for a single one."""
    previous_text: str = ""
    """What was said before in the programme, as a decoder's prompt."""
    with_timestamps: bool = False
    """Whether a decoder that can write timestamps learns them from this utterance."""

    @property
    def spans(self) -> tuple[Segment, ...]:
        return self.segments or (Segment(self.text, 0.0, self.duration_s),)


@dataclass(frozen=True)
class UtteranceRow:
    """What the index of a split reads of an utterance."""

    row: int
    text: str
    duration_s: float
    programme_id: str


@dataclass(frozen=True)
class UtteranceIndex:
    """All usable utterances of a split, in the dataset's order: parallel arrays, `(n_utterances,)` each.

    20 bytes per utterance: ten thousand hours fit in 75 MB. Joined neighbours count as one utterance.
    """

    group: np.ndarray  # int32, row group, numbered over all shards
    row: np.ndarray  # int32, first row within its group
    n_frames: np.ndarray  # int32
    duration_s: np.ndarray  # float32
    n_rows: np.ndarray  # int32, consecutive rows that are joined

    def __len__(self) -> int:
        return len(self.group)

    @property
    def hours(self) -> float:
        return float(self.duration_s.sum()) / 3600


@dataclass(frozen=True)
class RowGroup:
    """One row group of one shard."""

    shard: str
    number: int


UtteranceFilter = Callable[[str, str, float], bool]
"""Called as `is_usable(utterance_id, text, duration_s)`; False leaves the utterance out of the index."""

Divide = Callable[[Sequence[UtteranceRow], int], Iterable[Sequence[UtteranceRow]]]
"""Called as `divide(rows, group)`: which neighbours are joined."""

# Ten thousand hours have about 70,000 row groups, and S3 takes 30 to 60 ms for each: a single reader would need an hour
# at every start of a run.
N_READERS = 16

_TEXT_COLUMNS = ["utterance_id", "text", "duration_s", "programme_id"]


class ShardReader:
    """Random access to the utterances of a list of shards."""

    def __init__(self, shards: Sequence[str], *, with_audio: bool = False) -> None:
        """`with_audio` also reads the audio, if every shard has it."""
        with ThreadPoolExecutor(N_READERS) as pool:
            layouts = list(pool.map(self._layout, shards))
        self._shards = shards
        self.groups = tuple(
            RowGroup(shard, number)
            for shard, (n_groups, _) in zip(shards, layouts, strict=True)
            for number in range(n_groups)
        )
        self.has_audio = with_audio and all(has_audio for _, has_audio in layouts)

    def index(self, config: FeaturesConfig, is_usable: UtteranceFilter, divide: Divide | None = None) -> UtteranceIndex:
        """Index every usable utterance. Frames are computed from durations; no features are read.

        `divide(rows, group)` divides the usable rows of a row group into those to be joined; None joins none.
        """
        kept: list[tuple[int, int, int, float, int]] = []
        for group, table in enumerate(self._tables(_TEXT_COLUMNS)):
            rows = enumerate(zip(*(table.column(name).to_pylist() for name in _TEXT_COLUMNS), strict=True))
            usable = [
                UtteranceRow(row, text, duration_s, programme_id)
                for row, (utterance_id, text, duration_s, programme_id) in rows
                if is_usable(utterance_id, text, duration_s)
            ]
            for joined in divide(usable, group) if divide else ([row] for row in usable):
                duration_s = sum(row.duration_s for row in joined)
                n_frames = config.n_frames(round(duration_s * config.sample_rate_hz))
                kept.append((group, joined[0].row, n_frames, duration_s, len(joined)))
        groups, first_rows, n_frames_, durations, n_rows = zip(*kept, strict=True) if kept else ((), (), (), (), ())
        return UtteranceIndex(
            np.array(groups, np.int32),
            np.array(first_rows, np.int32),
            np.array(n_frames_, np.int32),
            np.array(durations, np.float32),
            np.array(n_rows, np.int32),
        )

    def texts(self) -> Iterator[str]:
        """Yield every utterance's text, with a few shards in memory at a time."""
        for table in self._tables(["text"]):
            yield from table.column("text").to_pylist()

    def read(self, group: int) -> list[TrainingUtterance]:
        """Read all utterances of a row group, in order."""
        names = [*_TEXT_COLUMNS, *(["audio"] if self.has_audio else [])]
        batch = self._columns(group, [*names, "input_features"])
        rows = zip(*(batch.column(name).to_pylist() for name in names), strict=True)
        return [
            TrainingUtterance(utterance_id, features, text, duration_s, tuple(audio), programme_id)
            for features, (utterance_id, text, duration_s, programme_id, *audio) in zip(
                feature_arrays(batch), rows, strict=True
            )
        ]

    def _layout(self, shard: str) -> tuple[int, bool]:
        """Return the number of row groups, and whether the shard has audio."""
        with open_parquet(shard) as file:
            return file.num_row_groups, "audio" in file.schema_arrow.names

    def _tables(self, columns: list[str]) -> Iterator[pa.Table]:
        """Yield the given columns of every row group, in order, reading several shards in parallel."""

        def read(shard: str) -> list[pa.Table]:
            with open_parquet(shard) as file:
                return [file.read_row_group(number, columns=columns) for number in range(file.num_row_groups)]

        with ThreadPoolExecutor(N_READERS) as pool:
            for first in range(0, len(self._shards), N_READERS):
                for tables in pool.map(read, self._shards[first : first + N_READERS]):
                    yield from tables

    def _columns(self, group: int, columns: list[str]) -> pa.RecordBatch:
        row_group = self.groups[group]
        table = self._file(row_group.shard).read_row_group(row_group.number, columns=columns)
        return table.combine_chunks().to_batches()[0]

    @lru_cache(maxsize=64)  # noqa: B019  a reader lives as long as its step
    def _file(self, shard: str) -> pq.ParquetFile:
        return open_parquet(shard)
