"""Reading a dataset's shards: a small index of all utterances, and features by row group.

Only the columns that training needs are read. A row group is the unit of reading: large enough for S3, small enough
to keep many of them in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
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
class Utterance:
    """What a model is trained on: `features` is `(n_frames, n_features)` float16, `audio` FLAC where asked for."""

    utterance_id: str
    features: np.ndarray
    text: str
    duration_s: float
    audio: bytes = b""


@dataclass(frozen=True)
class UtteranceIndex:
    """All usable utterances of a split, in the dataset's order: parallel arrays, `(n_utterances,)` each.

    16 bytes an utterance: ten thousand hours fit in 60 MB.
    """

    group: np.ndarray  # int32, row group's number over all shards
    row: np.ndarray  # int32, row inside its group
    n_frames: np.ndarray  # int32
    duration_s: np.ndarray  # float32

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


Judge = Callable[[str, str, float], bool]
"""Called as `judge(utterance_id, text, duration_s)`; false keeps the utterance out of the index."""

# Ten thousand hours have about 70,000 row groups, and S3 takes 30 to 60 ms for each: an hour for one reader, at every
# start of a run.
READERS = 16

_TEXT_COLUMNS = ["utterance_id", "text", "duration_s"]


class ShardReader:
    """Random access to the utterances of a list of shards."""

    def __init__(self, shards: Sequence[str], *, with_audio: bool = False) -> None:
        """`with_audio` reads the audio too, where the shards have any."""
        with ThreadPoolExecutor(READERS) as pool:
            layouts = list(pool.map(self._layout, shards))
        self._shards = shards
        self.groups = tuple(
            RowGroup(shard, number)
            for shard, (n_groups, _) in zip(shards, layouts, strict=True)
            for number in range(n_groups)
        )
        self.has_audio = with_audio and all(has_audio for _, has_audio in layouts)

    def index(self, config: FeaturesConfig, judge: Judge) -> UtteranceIndex:
        """Every utterance that `judge` takes. Frames are computed from durations: no features are read."""
        kept: list[tuple[int, int, int, float]] = []
        for index, table in enumerate(self._tables(_TEXT_COLUMNS)):
            rows = zip(*(column.to_pylist() for column in table.columns), strict=True)
            for row, (utterance_id, text, duration_s) in enumerate(rows):
                if judge(utterance_id, text, duration_s):
                    n_frames = config.n_frames(round(duration_s * config.sample_rate_hz))
                    kept.append((index, row, n_frames, duration_s))
        groups, rows_, n_frames_, durations = zip(*kept, strict=True) if kept else ((), (), (), ())
        return UtteranceIndex(
            np.array(groups, np.int32),
            np.array(rows_, np.int32),
            np.array(n_frames_, np.int32),
            np.array(durations, np.float32),
        )

    def texts(self) -> Iterator[str]:
        """Every utterance's text, a few shards' in memory."""
        for table in self._tables(["text"]):
            yield from table.column("text").to_pylist()

    def read(self, group: int) -> list[Utterance]:
        """All utterances of a row group, in their order."""
        names = [*_TEXT_COLUMNS, *(["audio"] if self.has_audio else [])]
        batch = self._columns(group, [*names, "input_features"])
        rows = zip(*(batch.column(name).to_pylist() for name in names), strict=True)
        return [
            Utterance(utterance_id, features, text, duration_s, *audio)
            for features, (utterance_id, text, duration_s, *audio) in zip(feature_arrays(batch), rows, strict=True)
        ]

    def _layout(self, shard: str) -> tuple[int, bool]:
        """How many row groups there are, and whether they hold audio."""
        with open_parquet(shard) as file:
            return file.num_row_groups, "audio" in file.schema_arrow.names

    def _tables(self, columns: list[str]) -> Iterator[pa.Table]:
        """Some columns of every row group, in order, several shards being read at once."""

        def read(shard: str) -> list[pa.Table]:
            with open_parquet(shard) as file:
                return [file.read_row_group(number, columns=columns) for number in range(file.num_row_groups)]

        with ThreadPoolExecutor(READERS) as pool:
            for first in range(0, len(self._shards), READERS):
                for tables in pool.map(read, self._shards[first : first + READERS]):
                    yield from tables

    def _columns(self, group: int, columns: list[str]) -> pa.RecordBatch:
        place = self.groups[group]
        table = self._file(place.shard).read_row_group(place.number, columns=columns)
        return table.combine_chunks().to_batches()[0]

    @lru_cache(maxsize=64)  # noqa: B019  one reader lives as long as its step
    def _file(self, shard: str) -> pq.ParquetFile:
        return open_parquet(shard)
