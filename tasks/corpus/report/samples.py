"""A few utterances to look at and listen to: always the same ones for the same dataset."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from tasks.corpus.assembly.selection import Rows
from tasks.corpus.inventory.planning import SPLIT_CODES
from tasks.dataset.manifest import Split, feature_arrays
from tasks.dataset.schema import open_parquet

N_SAMPLES, N_MISMATCHED = 6, 4
MAX_DURATION_MS = 15_000  # a report with all of them inside stays under two megabytes


@dataclass(frozen=True)
class Sample:
    """One utterance. `features` is `(n_frames, n_mels)`; `audio` is FLAC, empty if not kept."""

    utterance_id: str
    text: str
    duration_s: float
    features: np.ndarray
    audio: bytes
    match_error: float | None = None
    hypothesis: str = ""


def choose_rows(rows: Rows, candidates: np.ndarray, n_samples: int = N_SAMPLES) -> list[int]:
    """Indices of up to `n_samples` rows of the mask `candidates`, `(n_rows,)`: in the order of their digests, so at
    random, and of different programmes where possible."""
    short = np.flatnonzero(candidates & (rows.duration_ms <= MAX_DURATION_MS))
    short = short[np.argsort(rows.digest[short, 0], kind="stable")]
    _, first = np.unique(rows.programme[short], return_index=True)
    one_each = short[np.sort(first)]
    others = short[~np.isin(np.arange(len(short)), first)]
    return np.concatenate([one_each, others])[:n_samples].tolist()


def read_samples(
    rows: Rows, chosen: list[int], uris: dict[tuple[int, Split], str], hypotheses: dict[int, str]
) -> Iterator[Sample]:
    """Read the chosen rows from the shards' files; `uris` by shard and split, `hypotheses` by row."""
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
                        hypothesis=hypotheses.get(number, ""),
                    )
                    break
                row -= n_rows
