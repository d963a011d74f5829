"""Where speech begins and ends in an utterance that has no times."""

from __future__ import annotations

import numpy as np

from tasks.corpus.cutting import PAD_MS
from tasks.corpus.slicing import SAMPLES_PER_MS


def speech_bounds(samples: np.ndarray) -> tuple[int, int]:
    """First and last sample of speech with `PAD_MS` around, or everything where no speech is found."""
    from faster_whisper.vad import VadOptions, get_speech_timestamps

    options = VadOptions(threshold=0.3, min_speech_duration_ms=0, speech_pad_ms=PAD_MS)
    found = get_speech_timestamps(samples, options)
    if not found:
        return 0, len(samples)
    # Whole milliseconds, so that the times that are written down are those of the samples.
    start = found[0]["start"] // SAMPLES_PER_MS * SAMPLES_PER_MS
    return start, min(found[-1]["end"], len(samples))
