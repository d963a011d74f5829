"""Cut utterances out of an audio stream, holding only the blocks of the current utterance in memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from tasks.audio import SAMPLES_PER_MS
from tasks.corpus.utterances.cutting import CutUtterance

if TYPE_CHECKING:
    import numpy as np


class Slicer:
    """Cuts utterances out of blocks. `n_samples` is the length of the blocks so far."""

    def __init__(self, utterances: Sequence[CutUtterance]) -> None:
        """`utterances` are ordered by start; neighbours may overlap."""
        self._utterances = utterances
        self.n_samples = 0

    def slice(self, blocks: Iterable[np.ndarray]) -> Iterator[tuple[CutUtterance, np.ndarray]]:
        """Yield each utterance with its samples, `(n_samples,)` of the blocks' type. Reads all blocks.

        An utterance whose end is None or beyond the end of the audio gets the samples that exist, possibly none.
        """
        import numpy as np

        held: list[np.ndarray] = []  # blocks from `held_from` on that an utterance may still need
        held_from = 0
        waiting = list(reversed(self._utterances))
        for block in blocks:
            held.append(block)
            self.n_samples += len(block)
            while waiting and waiting[-1].end_ms is not None and waiting[-1].end_ms * SAMPLES_PER_MS <= self.n_samples:
                yield self._take(waiting.pop(), held, held_from)
            needed_from = waiting[-1].start_ms * SAMPLES_PER_MS if waiting else self.n_samples
            while held and held_from + len(held[0]) <= needed_from:
                held_from += len(held.pop(0))
        if not held:
            held = [np.zeros(0, np.float32)]
        while waiting:
            yield self._take(waiting.pop(), held, held_from)

    def _take(self, utterance: CutUtterance, held: list[np.ndarray], held_from: int) -> tuple[CutUtterance, np.ndarray]:
        import numpy as np

        start = utterance.start_ms * SAMPLES_PER_MS - held_from
        end = (self.n_samples if utterance.end_ms is None else utterance.end_ms * SAMPLES_PER_MS) - held_from
        parts, at = [], 0
        for block in held:
            if at < end and at + len(block) > start:
                parts.append(block[max(0, start - at) : end - at])
            at += len(block)
        return utterance, np.concatenate(parts) if parts else held[0][:0]
