"""Validation on a fixed sample during training: its WER decides which weights are kept."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tasks.transcripts.error_counts import ErrorCounts, total
from tasks.transcripts.normaliser import normalise
from training.data.order import cut_batches
from training.data.shards import ShardReader, UtteranceIndex
from training.families.acoustic import AcousticModel, PaddedBatch
from training.scoring.errors import word_errors


@dataclass(frozen=True)
class ValidationSample:
    """Batches of the validation split, the same for the whole run."""

    batches: tuple[PaddedBatch, ...]

    @property
    def audio_s(self) -> float:
        return sum(batch.audio_s for batch in self.batches)

    def score(self, model: AcousticModel) -> ErrorCounts:
        """Count the word errors of greedy decoding. Leaves the model in training mode."""
        model.module.eval()
        try:
            errors = [
                word_errors(normalise(text), normalise(hypothesis))
                for batch in self.batches
                for text, hypothesis in zip(batch.texts, model.decode(batch), strict=True)
            ]
        finally:
            model.module.train()
        return total(errors)


def take_sample(
    model: AcousticModel, reader: ShardReader, index: UtteranceIndex, seconds: float, batch_frames: int
) -> ValidationSample:
    """Sample about `seconds` of the split, spread evenly over its programmes."""
    n_wanted = min(len(index), max(1, round(seconds / max(float(index.duration_s.mean()), 0.1))))
    chosen = np.unique(np.linspace(0, len(index) - 1, n_wanted).round().astype(int))
    utterances = {}
    for group in np.unique(index.group[chosen]):
        rows = reader.read(int(group))
        utterances.update({int(u): rows[int(index.row[u])] for u in chosen if index.group[u] == group})
    batches = cut_batches(chosen, index.n_frames[chosen], batch_frames, np.random.default_rng(0))
    return ValidationSample(tuple(model.collate([utterances[int(u)] for u in batch]) for batch in batches))
