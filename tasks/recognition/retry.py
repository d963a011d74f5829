"""Splitting a chunk for another decoding pass, and joining what was heard in its parts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tasks.audio import SAMPLE_RATE_HZ
from tasks.recognition.engine import Recognition
from tasks.recognition.quality import PUNCTUATION
from tasks.transcripts.sentences import ends_sentence

MAX_BEGUN_WORDS = 3
FRAME_SAMPLES = SAMPLE_RATE_HZ // 50  # 320 samples in 20 ms


def split_at_quietest(samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Split `(n_samples,)` in two at the quietest 20 ms of its middle half, at a whole millisecond."""
    frames = samples[: len(samples) // FRAME_SAMPLES * FRAME_SAMPLES].reshape(-1, FRAME_SAMPLES)
    # (n_frames, FRAME_SAMPLES)
    first, last = len(frames) // 4, 3 * len(frames) // 4
    if last <= first:
        cut = len(samples) // 2
    else:
        energies = np.square(frames[first:last], dtype=np.float64).sum(axis=1)  # (last - first,)
        cut = (first + int(energies.argmin())) * FRAME_SAMPLES + FRAME_SAMPLES // 2
    cut -= cut % (SAMPLE_RATE_HZ // 1000)
    return samples[:cut], samples[cut:]


def join_halves(first: Recognition, second: Recognition, offset_ms: int) -> Recognition:
    """Join the recognitions of two parts; the second begins `offset_ms` after the first."""
    moved = (replace(word, start_ms=word.start_ms + offset_ms, end_ms=word.end_ms + offset_ms) for word in second.words)
    log_probability = first.log_probability + second.log_probability
    return Recognition((*first.words, *moved), first.language or second.language, log_probability)


def fill_gap(heard: Recognition, gap: Recognition, start_ms: int, end_ms: int) -> Recognition:
    """Insert the recognition of the stretch from `start_ms` to `end_ms`, in which `heard` has no words.

    A word at the edge, which both have because its times are imprecise, is kept once. A decoder that skips a sentence
    stretches a word over it: at the begin of the next sentence, that and the words before it belong behind the gap.
    """
    before = [word for word in heard.words if word.start_ms < start_ms]
    after = list(heard.words[len(before) :])
    if before and before[-1].end_ms >= end_ms:
        n_begun = next((n for n, word in enumerate(reversed(before)) if ends_sentence(word.text)), len(before))
        if n_begun <= MAX_BEGUN_WORDS:
            after = [replace(word, start_ms=end_ms, end_ms=end_ms) for word in before[len(before) - n_begun :]] + after
            before = before[: len(before) - n_begun]
    before = [replace(word, end_ms=min(word.end_ms, start_ms)) for word in before]
    inserted = [
        replace(word, start_ms=start_ms + word.start_ms, end_ms=min(start_ms + word.end_ms, end_ms))
        for word in gap.words
    ]
    if before and inserted and _is_same(before[-1].text, inserted[0].text):
        inserted = inserted[1:]
    if after and inserted and _is_same(after[0].text, inserted[-1].text):
        inserted = inserted[:-1]
    return replace(heard, words=(*before, *inserted, *after))


def _is_same(text: str, other: str) -> bool:
    return text.lower().strip(PUNCTUATION) == other.lower().strip(PUNCTUATION)
