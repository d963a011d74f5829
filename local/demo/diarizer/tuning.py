"""Tunes the clustering threshold, the distance below which two voices are one speaker, on talks of unseen speakers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from local.demo.diarizer.mixtures import Window
from local.demo.diarizer.speakers import FRAME_SAMPLES
from tasks.audio import SAMPLE_RATE_HZ
from training.scoring.speakers import SpeakerErrors, speaker_errors

if TYPE_CHECKING:
    from pyannote.audio.pipelines import SpeakerDiarization
    from pyannote.core import Annotation

N_TALKS = 40
THRESHOLDS = tuple(round(0.3 + 0.05 * n, 2) for n in range(15))


@dataclass(frozen=True)
class Tuned:
    """The chosen threshold and its result on the talks."""

    threshold: float
    errors: SpeakerErrors
    right_counts: int
    """Talks with the correct number of speakers."""


def tune(pipeline: SpeakerDiarization, windows: Sequence[Window], thresholds: Sequence[float] = THRESHOLDS) -> Tuned:
    """Choose, among the thresholds within a point of the lowest DER, the one with most correct speaker counts.

    The networks run only once.
    """
    pipeline.training = True  # pyannote then caches the networks' outputs in the file
    pipeline.segmentation_batch_size, pipeline.embedding_batch_size = 8, 24
    files = [
        {"waveform": torch.from_numpy(window.samples)[None], "sample_rate": SAMPLE_RATE_HZ, "uri": str(index)}
        for index, window in enumerate(windows)
    ]
    found = []
    for threshold in thresholds:
        parameters = pipeline.parameters(instantiated=True)
        parameters["clustering"]["threshold"] = threshold
        pipeline.instantiate(parameters)
        errors, right = SpeakerErrors(), 0
        for file, window in zip(files, windows, strict=True):
            output: Any = pipeline(file)  # a DiarizeOutput, which pyannote does not declare
            errors += speaker_errors(reference_of(window), output.speaker_diarization)
            right += len(output.speaker_diarization.labels()) == int(window.activity.any(axis=0).sum())
        found.append(Tuned(threshold, errors, right))
    best = min(tuned.errors.rate for tuned in found)
    return max((tuned for tuned in found if tuned.errors.rate <= best + 0.01), key=lambda tuned: tuned.right_counts)


def reference_of(window: Window) -> Annotation:
    """The reference turns of a mixture."""
    from pyannote.core import Annotation, Segment

    annotation = Annotation()
    for speaker in range(window.activity.shape[1]):
        padded = np.concatenate([[0], window.activity[:, speaker].astype(np.int8), [0]])
        edges = np.flatnonzero(np.diff(padded)) * FRAME_SAMPLES / SAMPLE_RATE_HZ
        for start, end in zip(edges[0::2], edges[1::2], strict=True):
            annotation[Segment(start, end), f"{speaker}"] = f"{speaker}"
    return annotation
