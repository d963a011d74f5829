"""Statistics of a dataset's rows, gathered from the shards' indexes one at a time."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pyarrow as pa

DURATION_EDGES_S = np.arange(0, 31, 1.0)
RATE_EDGES = np.arange(0, 32, 1.0)
WORDS_EDGES = np.arange(0, 310, 10.0)
MATCH_EDGES = np.arange(0, 41) / 40
MAX_SPEAKERS = 1_000_000


@dataclass
class Statistics:
    """Histograms and sums over the kept rows. Memory depends only on the number of sources and speakers."""

    durations: np.ndarray = field(default_factory=lambda: np.zeros(len(DURATION_EDGES_S) - 1, np.int64))
    characters_per_s: np.ndarray = field(default_factory=lambda: np.zeros(len(RATE_EDGES) - 1, np.int64))
    words_per_minute: np.ndarray = field(default_factory=lambda: np.zeros(len(WORDS_EDGES) - 1, np.int64))
    match_errors: np.ndarray = field(default_factory=lambda: np.zeros(len(MATCH_EDGES) - 1, np.int64))
    """Of all rows, including those dropped for it."""
    hours_by_source: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    speakers: set[str] = field(default_factory=set)
    n_words: int = 0
    n_characters: int = 0

    def add(self, table: pa.Table, kept: np.ndarray) -> None:
        """Add one shard's index; `kept`, `(n_rows,)` bool, is the mask of kept rows."""
        errors = table.column("match_error").drop_null().to_numpy()
        self.match_errors += _histogram(errors, MATCH_EDGES)
        table = table.filter(kept)
        texts = table.column("text").to_pylist()
        duration_s = table.column("duration_s").to_numpy()
        characters = np.array([len(text) for text in texts], np.int64)  # (n_kept,)
        words = np.array([len(text.split()) for text in texts], np.int64)  # (n_kept,)
        self.n_words += int(words.sum())
        self.n_characters += int(characters.sum())
        self.durations += _histogram(duration_s, DURATION_EDGES_S)
        self.characters_per_s += _histogram(characters / np.maximum(duration_s, 1e-3), RATE_EDGES)
        self.words_per_minute += _histogram(words * 60 / np.maximum(duration_s, 1e-3), WORDS_EDGES)
        for programme, seconds in zip(table.column("programme_id").to_pylist(), duration_s.tolist(), strict=True):
            self.hours_by_source[source_of(programme)] += seconds / 3600
        if len(self.speakers) < MAX_SPEAKERS:
            self.speakers.update(name for name in table.column("speaker").unique().to_pylist() if name)


def source_of(programme_id: str) -> str:
    """The series a programme belongs to: its first folder, or its name without dates and numbers."""
    folder, dot, _ = programme_id.partition(".")
    return folder if dot else re.sub(r"(?<![-_])[-_]*+\d[\d_-]*+", "", programme_id) or programme_id


def _histogram(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Counts per bin, `(n_edges - 1,)`; values beyond the outer edges count in the outer bins."""
    return np.histogram(np.clip(values, edges[0], edges[-1]), edges)[0]
