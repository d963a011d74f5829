"""A few utterances to look at and to hear: always the same ones for the same dataset."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tasks.corpus.dataset import feature_arrays
from tasks.corpus.planning import SPLIT_CODES
from tasks.corpus.records import Split
from tasks.corpus.repeats import Rows
from tasks.corpus.report import Sample
from tasks.corpus.schema import open_parquet

N_SAMPLES = 6
MAX_DURATION_MS = 15_000  # a page with all of them inside stays under two megabytes


def choose(rows: Rows, kept: np.ndarray) -> list[int]:
    """Numbers of up to `N_SAMPLES` kept rows, at random by their digests, of different programmes where there are."""
    candidates = np.flatnonzero(kept & (rows.duration_ms <= MAX_DURATION_MS))
    candidates = candidates[np.argsort(rows.digest[candidates, 0], kind="stable")]
    _, first = np.unique(rows.programme[candidates], return_index=True)
    one_each = candidates[np.sort(first)]
    others = candidates[~np.isin(np.arange(len(candidates)), first)]
    return np.concatenate([one_each, others])[:N_SAMPLES].tolist()


def read(rows: Rows, chosen: list[int], uris: dict[tuple[int, Split], str]) -> Iterator[Sample]:
    """The chosen rows out of the shards' files; `uris` by shard and split."""
    splits = {code: split for split, code in SPLIT_CODES.items()}
    for number in chosen:
        uri = uris[int(rows.shard[number]), splits[int(rows.split[number])]]
        with open_parquet(uri) as file:
            row = int(rows.row[number])
            for group in range(file.num_row_groups):
                n_rows = file.metadata.row_group(group).num_rows
                if row < n_rows:
                    batch = file.read_row_group(group).combine_chunks().to_batches()[0]
                    yield Sample(
                        utterance_id=batch.column("utterance_id")[row].as_py(),
                        text=batch.column("text")[row].as_py(),
                        duration_s=batch.column("duration_s")[row].as_py(),
                        features=feature_arrays(batch)[row],
                        audio=batch.column("audio")[row].as_py() if "audio" in batch.schema.names else b"",
                    )
                    break
                row -= n_rows
