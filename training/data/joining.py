"""Joins neighbouring utterances of a programme, for models that pay for a whole window however short its speech is.

A caption lasts about four seconds and Whisper's window thirty: joined, an epoch takes an eighth of the windows. A model
tuned on single captions also loses text in full windows (faster-whisper #428).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from training.data.shards import Segment, TrainingUtterance, UtteranceRow

WINDOW_S = 30.0
# Nights cut chunks of any length, and a model that has seen mostly full windows writes on after the end of short ones.
# With a quarter of them short, the decoder of Whisper base inserted 645 words into 40 captions of 241 words, after 57
# steps of four windows at 3e-5.
SHORT_SHARE, SHORT_S = 0.5, (1.0, 12.0)


@dataclass(frozen=True)
class Joining:
    """Rules for joining rows. `seed` decides which windows stay short, the same in every epoch."""

    max_s: float
    seed: int
    fits: Callable[[str, float], bool]
    """Called as `fits(text, duration_s)` with a joined text and duration."""

    def windows(self, rows: Sequence[UtteranceRow], group: int) -> Iterator[list[UtteranceRow]]:
        """Divide the usable rows of a row group into windows: neighbours of one programme, in order."""
        rng = np.random.default_rng([self.seed, group])
        window: list[UtteranceRow] = []
        limit_s = self._limit_s(rng)
        for row in rows:
            if window and not self._extends(window, row, limit_s):
                yield window
                window, limit_s = [], self._limit_s(rng)
            window.append(row)
        if window:
            yield window

    def _limit_s(self, rng: np.random.Generator) -> float:
        return min(self.max_s, rng.uniform(*SHORT_S)) if rng.random() < SHORT_SHARE else self.max_s

    def _extends(self, window: list[UtteranceRow], row: UtteranceRow, limit_s: float) -> bool:
        last, together = window[-1], [*window, row]
        return (
            row.programme_id == last.programme_id
            and row.row == last.row + 1
            and (duration_s := sum(r.duration_s for r in together)) <= limit_s
            and self.fits(" ".join(r.text for r in together), duration_s)
        )


def join(utterances: Sequence[TrainingUtterance]) -> TrainingUtterance:
    """Join utterances, each in a window of `WINDOW_S`, into one window with a segment for each.

    Whisper clamps a window to a range below its own maximum, so the quieter utterances are clamped again: the features
    equal those of the joined audio, except in the three frames around each joint.
    """
    if len(utterances) == 1:
        return utterances[0]
    n_window = len(utterances[0].features)
    frame_rate_hz = n_window / WINDOW_S
    lengths = [math.ceil(u.duration_s * frame_rate_hz) for u in utterances]
    spoken = np.concatenate([u.features[:n] for u, n in zip(utterances, lengths, strict=True)])[:n_window]
    features = _fill_window(spoken.astype(np.float32), n_window)
    ends_s = [n / frame_rate_hz for n in itertools.accumulate(lengths)]
    starts_s = [0.0, *ends_s[:-1]]
    return TrainingUtterance(
        utterance_id=utterances[0].utterance_id,
        features=features.astype(np.float16),
        text=" ".join(u.text for u in utterances),
        duration_s=min(ends_s[-1], WINDOW_S),
        audio=tuple(audio for u in utterances for audio in u.audio),
        programme_id=utterances[0].programme_id,
        segments=tuple(
            Segment(u.text, start_s, min(end_s, WINDOW_S))
            for u, start_s, end_s in zip(utterances, starts_s, ends_s, strict=True)
        ),
    )


def stretch(segments: Sequence[Segment], factor: float) -> tuple[Segment, ...]:
    """Scale the times of segments."""
    return tuple(replace(s, start_s=s.start_s * factor, end_s=s.end_s * factor) for s in segments)


def _fill_window(spoken: np.ndarray, n_window: int) -> np.ndarray:
    """Clamp `(n_frames, n_mels)` as Whisper does, and fill the window with silence: `(n_window, n_mels)`."""
    from tasks.features.logmel import WHISPER_FLOOR, WHISPER_RANGE

    lowest = spoken.max() - WHISPER_RANGE / 4  # features are (log10 + 4) / 4
    silence = max(lowest, (math.log10(WHISPER_FLOOR) + 4) / 4)
    window = np.full((n_window, spoken.shape[1]), silence, np.float32)
    np.maximum(spoken, lowest, out=window[: len(spoken)])
    return window
