"""A few utterances to look at and to hear: always the same ones for the same dataset."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tasks.corpus.assembly.selection import Rows
from tasks.corpus.inventory.planning import SPLIT_CODES
from tasks.corpus.report.page import Sample
from tasks.dataset.manifest import Split, feature_arrays
from tasks.dataset.schema import open_parquet

N_SAMPLES, N_DOUBTFUL = 6, 4
MAX_DURATION_MS = 15_000  # a page with all of them inside stays under two megabytes


def choose(rows: Rows, among: np.ndarray, n_samples: int = N_SAMPLES) -> list[int]:
    """Numbers of up to `n_samples` rows `among` those, at random by their digests, of different programmes where there
    are."""
    candidates = np.flatnonzero(among & (rows.duration_ms <= MAX_DURATION_MS))
    candidates = candidates[np.argsort(rows.digest[candidates, 0], kind="stable")]
    _, first = np.unique(rows.programme[candidates], return_index=True)
    one_each = candidates[np.sort(first)]
    others = candidates[~np.isin(np.arange(len(candidates)), first)]
    return np.concatenate([one_each, others])[:n_samples].tolist()


def read(rows: Rows, chosen: list[int], uris: dict[tuple[int, Split], str], heard: dict[int, str]) -> Iterator[Sample]:
    """The chosen rows out of the shards' files; `uris` by shard and split, what was `heard` by row."""
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
                        match_error=batch.column("match_error")[row].as_py(),
                        heard=heard.get(number, ""),
                    )
                    break
                row -= n_rows
