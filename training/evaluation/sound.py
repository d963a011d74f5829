"""What an utterance's samples tell by themselves: its signal-to-noise ratio, and where its speech begins and ends."""

from __future__ import annotations

import numpy as np

from tasks.audio import SAMPLE_RATE_HZ
from tasks.recognition import Word
from training.evaluation.records import WordEdges, WordTimes
from training.scoring.normaliser import normalise

FRAME_SAMPLES = 400  # 25 ms
QUIET_QUANTILE = 0.10
HIGHEST_SNR_DB = 60.0  # digital silence in the pauses says no more than that
CLEAR_SNR_DB = 20.0  # edges can be told where speech stands so far above its background
EDGE_FRAME_SAMPLES = 160  # 10 ms
EDGE_DB = 25.0  # below the loudest frames: where a word is taken to begin


def snr_db(samples: np.ndarray) -> float:
    """Power of the speech over that of the background, which is what the quietest tenth of the frames hold.

    `(n_samples,)` at 16 kHz. The minimum statistics of R. Martin (2001), over a whole utterance instead of a window.
    """
    power = _frame_powers(samples, FRAME_SAMPLES)
    if len(power) < 2:
        return 0.0
    noise = max(float(np.quantile(power, QUIET_QUANTILE)), 1e-10)
    speech = max(float(power.mean()) - noise, 1e-10)
    return round(min(10 * np.log10(speech / noise), HIGHEST_SNR_DB), 1)


def speech_edges_ms(samples: np.ndarray) -> tuple[int, int] | None:
    """When the speech begins and ends; None where its background hides that, or it fills the utterance to its edge."""
    if snr_db(samples) < CLEAR_SNR_DB:
        return None
    power = _frame_powers(samples, EDGE_FRAME_SAMPLES)
    loud = np.flatnonzero(power > np.quantile(power, 0.95) * 10 ** (-EDGE_DB / 10))
    first, last = int(loud[0]), int(loud[-1])
    if first < 2 or last > len(power) - 3:
        return None
    frame_ms = 1000 * EDGE_FRAME_SAMPLES // SAMPLE_RATE_HZ
    return first * frame_ms, (last + 1) * frame_ms


def word_edges(samples: np.ndarray, reference: str, words: tuple[Word, ...]) -> WordEdges | None:
    """Time errors of an utterance's first and last word, each where it was understood."""
    edges, said = speech_edges_ms(samples), normalise(reference).split()
    if edges is None or not said or not words:
        return None
    first = words[0].start_ms - edges[0] if normalise(words[0].text) == said[0] else None
    last = words[-1].end_ms - edges[1] if normalise(words[-1].text) == said[-1] else None
    return WordEdges(start_ms=first, end_ms=last) if first is not None or last is not None else None


def word_times(found: list[WordEdges]) -> WordTimes | None:
    """The errors of all edges together; None where there are none."""
    errors = np.array([e for edges in found for e in (edges.start_ms, edges.end_ms) if e is not None])
    if not len(errors):
        return None
    return WordTimes(
        edges=len(errors),
        median_ms=float(np.median(np.abs(errors))),
        p90_ms=float(np.quantile(np.abs(errors), 0.9)),
        bias_ms=float(np.median(errors)),
    )


def _frame_powers(samples: np.ndarray, n: int) -> np.ndarray:
    n_frames = len(samples) // n
    return np.square(samples[: n_frames * n].reshape(n_frames, n), dtype=np.float64).mean(axis=1)
