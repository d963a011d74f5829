"""Reading a dataset's shards: a small index of all utterances, and features by row group.

Only the columns that training needs are read. A row group is the unit of reading: large enough for S3, small enough
to keep many of them in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from tasks.corpus.dataset import feature_arrays
from tasks.corpus.schema import open_parquet
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

_TEXT_COLUMNS = ["utterance_id", "text", "duration_s"]


class ShardReader:
    """Random access to the utterances of a list of shards."""

    def __init__(self, shards: Sequence[str], *, with_audio: bool = False) -> None:
        """`with_audio` reads the audio too, where the shards have any."""
        self.groups = tuple(
            RowGroup(shard, number) for shard in shards for number in range(self._file(shard).num_row_groups)
        )
        self.has_audio = with_audio and all("audio" in self._file(shard).schema_arrow.names for shard in shards)

    def index(self, config: FeaturesConfig, judge: Judge) -> UtteranceIndex:
        """Every utterance that `judge` takes. Frames are computed from durations: no features are read."""
        kept: list[tuple[int, int, int, float]] = []
        for index in range(len(self.groups)):
            rows = zip(*(column.to_pylist() for column in self._columns(index, _TEXT_COLUMNS)), strict=True)
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
        """Every utterance's text, one row group in memory."""
        for group in range(len(self.groups)):
            yield from self._columns(group, ["text"]).column("text").to_pylist()

    def read(self, group: int) -> list[Utterance]:
        """All utterances of a row group, in their order."""
        names = [*_TEXT_COLUMNS, *(["audio"] if self.has_audio else [])]
        batch = self._columns(group, [*names, "input_features"])
        rows = zip(*(batch.column(name).to_pylist() for name in names), strict=True)
        return [
            Utterance(utterance_id, features, text, duration_s, *audio)
            for features, (utterance_id, text, duration_s, *audio) in zip(feature_arrays(batch), rows, strict=True)
        ]

    def _columns(self, group: int, columns: list[str]) -> pa.RecordBatch:
        place = self.groups[group]
        table = self._file(place.shard).read_row_group(place.number, columns=columns)
        return table.combine_chunks().to_batches()[0]

    @lru_cache(maxsize=64)  # noqa: B019  one reader lives as long as its step
    def _file(self, shard: str) -> pq.ParquetFile:
        return open_parquet(shard)
