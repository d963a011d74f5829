"""Signal-to-noise ratio and speech boundaries of an utterance, estimated from its samples alone."""

from __future__ import annotations

import numpy as np

from tasks.audio import SAMPLE_RATE_HZ
from tasks.recognition import RecognisedWord
from tasks.transcripts.normaliser import normalise
from training.evaluation.records import BoundaryErrors, BoundaryErrorSummary

FRAME_SAMPLES = 400  # 25 ms
QUIET_QUANTILE = 0.10
MAX_SNR_DB = 60.0  # digital silence in the pauses would give an arbitrarily high ratio
MIN_BOUNDARY_SNR_DB = 20.0  # speech this far above its background has boundaries that can be located
BOUNDARY_FRAME_SAMPLES = 160  # 10 ms
BOUNDARY_DB = 25.0  # below the loudest frames: the level at which speech is taken to begin


def snr_db(samples: np.ndarray) -> float:
    """Estimate the power of the speech over that of the background, taken from the quietest tenth of the frames.

    `samples` is `(n_samples,)` at 16 kHz. The minimum statistics of R. Martin (2001), over a whole utterance instead of
    a sliding window.
    """
    power = _frame_powers(samples, FRAME_SAMPLES)  # (n_frames,)
    if len(power) < 2:
        return 0.0
    noise = max(float(np.quantile(power, QUIET_QUANTILE)), 1e-10)
    speech = max(float(power.mean()) - noise, 1e-10)
    return round(min(10 * np.log10(speech / noise), MAX_SNR_DB), 1)


def speech_boundaries_ms(samples: np.ndarray) -> tuple[int, int] | None:
    """Locate start and end of the speech; None where background masks them or speech touches the utterance's edge."""
    if snr_db(samples) < MIN_BOUNDARY_SNR_DB:
        return None
    power = _frame_powers(samples, BOUNDARY_FRAME_SAMPLES)  # (n_frames,)
    loud = np.flatnonzero(power > np.quantile(power, 0.95) * 10 ** (-BOUNDARY_DB / 10))  # (n_loud_frames,)
    first, last = int(loud[0]), int(loud[-1])
    if first < 2 or last > len(power) - 3:
        return None
    frame_ms = 1000 * BOUNDARY_FRAME_SAMPLES // SAMPLE_RATE_HZ
    return first * frame_ms, (last + 1) * frame_ms


def boundary_errors(samples: np.ndarray, reference: str, words: tuple[RecognisedWord, ...]) -> BoundaryErrors | None:
    """Return the time errors of an utterance's first and last word, each where it was recognised correctly."""
    boundaries, expected = speech_boundaries_ms(samples), normalise(reference).split()
    if boundaries is None or not expected or not words:
        return None
    start_ms, end_ms = boundaries
    start_error_ms = words[0].start_ms - start_ms if normalise(words[0].text) == expected[0] else None
    end_error_ms = words[-1].end_ms - end_ms if normalise(words[-1].text) == expected[-1] else None
    if start_error_ms is None and end_error_ms is None:
        return None
    return BoundaryErrors(start_ms=start_error_ms, end_ms=end_error_ms)


def summarise_boundary_errors(errors_by_utterance: list[BoundaryErrors]) -> BoundaryErrorSummary | None:
    """Summarise the errors of all boundaries; None where there are none."""
    both = [e for pair in errors_by_utterance for e in (pair.start_ms, pair.end_ms)]
    errors = np.array([e for e in both if e is not None])  # (n_boundaries,)
    if not len(errors):
        return None
    return BoundaryErrorSummary(
        edges=len(errors),
        median_ms=float(np.median(np.abs(errors))),
        p90_ms=float(np.quantile(np.abs(errors), 0.9)),
        bias_ms=float(np.median(errors)),
    )


def _frame_powers(samples: np.ndarray, frame_samples: int) -> np.ndarray:
    """Mean power of each whole frame: `(n_samples,)` to `(n_frames,)`."""
    n_frames = len(samples) // frame_samples
    frames = samples[: n_frames * frame_samples].reshape(n_frames, frame_samples)
    return np.square(frames, dtype=np.float64).mean(axis=1)
