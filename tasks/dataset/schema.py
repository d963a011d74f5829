"""Parquet schemas of the corpus pipeline, and writers that give equal bytes for equal rows."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tasks import storage
from tasks.contract import InputRejected, Reason

COMPRESSION = "zstd"
COMPRESSION_LEVEL = 1
# The high bytes of features are similar, the low ones noise: byte stream split saves 12 % of space at no cost in time.
BYTE_STREAM_SPLIT = "input_features.list.element.list.element"

# Columns with repeated values.
DICTIONARIES = ("programme_id", "programme_sha256", "speaker", "split", "features_config")

UTTERANCE = [
    pa.field("utterance_id", pa.string(), nullable=False),
    pa.field("programme_id", pa.string(), nullable=False),
    pa.field("speaker", pa.string(), nullable=False),
    pa.field("text", pa.string(), nullable=False),
    pa.field("duration_s", pa.float64(), nullable=False),
    pa.field("sample_rate_hz", pa.int32(), nullable=False),
]
AUDIO = pa.field("audio", pa.binary(), nullable=False)  # FLAC, 16 bit, mono
DIGEST = pa.field("sha256", pa.string(), nullable=False)  # of the samples as 16-bit little-endian PCM
PROGRAMME_DIGEST = pa.field("programme_sha256", pa.string(), nullable=False)  # the same, of the programme's whole audio
SPLIT = pa.field("split", pa.string(), nullable=False)
# Character errors of the recogniser's hypothesis per character of the caption; null if captions were not matched.
MATCH_ERROR = pa.field("match_error", pa.float32())
HYPOTHESIS = pa.field("heard", pa.string())

SPOOLED = pa.schema([*UTTERANCE, SPLIT, AUDIO, DIGEST])  # while a programme is being decoded
PREPARED = SPOOLED.append(PROGRAMME_DIGEST)
MATCH = pa.schema([UTTERANCE[0], HYPOTHESIS, MATCH_ERROR, pa.field("word_error", pa.float32())])
# A shard's rows without audio and features.
INDEX = pa.schema([*UTTERANCE, SPLIT, DIGEST, PROGRAMME_DIGEST, MATCH_ERROR, HYPOTHESIS])


def dataset_schema(n_mels: int, *, with_audio: bool) -> pa.Schema:
    """The dataset's columns; `input_features` is `(n_frames, n_mels)` float16."""
    frames = pa.list_(pa.list_(pa.float16(), n_mels))
    return pa.schema(
        [
            *UTTERANCE,
            *([AUDIO] if with_audio else []),
            pa.field("input_features", frames, nullable=False),
            pa.field("features_config", pa.string(), nullable=False),
            DIGEST,
            MATCH_ERROR,
        ]
    )


def open_writer(path: Path, schema: pa.Schema) -> pq.ParquetWriter:
    """Open a writer whose output depends only on rows and row groups. Each `write_table` is one row group."""
    return pq.ParquetWriter(
        path,
        schema,
        compression=COMPRESSION,
        compression_level=COMPRESSION_LEVEL,
        use_dictionary=[name for name in DICTIONARIES if name in schema.names],
        use_byte_stream_split=[BYTE_STREAM_SPLIT] if "input_features" in schema.names else [],
        # Min/max statistics of features are useless, and take a third of the writing time.
        write_statistics=[field.name for field in schema if not pa.types.is_nested(field.type)],
        write_page_index=True,
    )


class RowWriter:
    """Writes single rows into row groups of bounded size."""

    def __init__(self, path: Path, schema: pa.Schema, *, max_rows: int, max_bytes: int) -> None:
        self._schema, self._max_rows, self._max_bytes = schema, max_rows, max_bytes
        self._rows: dict[str, list[Any]] = {name: [] for name in schema.names}
        self._n_bytes = 0
        self.n_rows = 0
        self._writer = open_writer(path, schema)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, fault: type[BaseException] | None, *_: object) -> None:
        if fault is None:
            self._flush()
        self._writer.close()

    def write(self, row: Mapping[str, Any]) -> None:
        """Append one row: a value for each column that is not nullable; `input_features` as `(n_frames, n_mels)`."""
        for field in self._schema:
            value = row.get(field.name) if field.nullable else row[field.name]
            self._rows[field.name].append(value)
            self._n_bytes += _n_bytes(value)
        self.n_rows += 1
        if len(self._rows[self._schema.names[0]]) >= self._max_rows or self._n_bytes >= self._max_bytes:
            self._flush()

    def _flush(self) -> None:
        if not self._n_bytes:
            return
        columns = [_column(self._rows[field.name], field.type) for field in self._schema]
        self._writer.write_table(pa.Table.from_arrays(columns, schema=self._schema))
        self._rows = {name: [] for name in self._schema.names}
        self._n_bytes = 0


def _column(values: list[Any], kind: pa.DataType) -> pa.Array:
    if not (pa.types.is_list(kind) and pa.types.is_fixed_size_list(kind.value_type)):
        return pa.array(values, kind)
    frames = np.concatenate(values)  # (n_frames of all, n_mels)
    offsets = np.concatenate([[0], np.cumsum([len(value) for value in values])]).astype(np.int32)
    matrix = pa.FixedSizeListArray.from_arrays(pa.array(frames.reshape(-1)), type=kind.value_type)
    return pa.ListArray.from_arrays(pa.array(offsets), matrix, type=kind)


def _n_bytes(value: Any) -> int:
    if isinstance(value, np.ndarray):
        return value.nbytes
    return len(value) if isinstance(value, bytes | str) else 8


def open_parquet(uri: str) -> pq.ParquetFile:
    """Open a Parquet object in a folder or on S3 for reading by row group and column. Raises InputRejected(corrupt)."""
    source = str(storage.path_of(uri)) if uri.startswith("file://") else storage.open_reader(uri)
    storage.info(uri)
    try:
        return pq.ParquetFile(source)
    except (pa.ArrowInvalid, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        # Arrow raises OSError without an errno for a damaged footer ("Couldn't deserialize thrift").
        raise InputRejected(
            str(error), reason=Reason.CORRUPT, subject=uri, next_step="run the step that wrote it again"
        ) from None
