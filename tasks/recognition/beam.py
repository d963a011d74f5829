"""CTC prefix beam search (Hannun et al., 2014) over many utterances at once, and the frames of a text.

The search is written over arrays: a step of time is taken for all utterances and all prefixes of their beams
together. What spelling and vocabulary say comes from automata (`guide.py`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tasks.recognition.greedy import Emission
from tasks.recognition.guide import Guide

BEAM = 48
MOST_SYMBOLS = 8  # of a frame that are tried, the likeliest
LEAST_LOG_POSTERIOR = math.log(1e-3)  # less likely ones are not
CERTAIN_BLANK = math.log(0.999)
MOST_UTTERANCES = 64  # searched together: more would leave the cache
_MIX = np.uint64(0x9E3779B97F4A7C15)
_SHIFT = np.uint64(29)


@dataclass
class _Beams:
    """The best prefixes of each utterance, arrays of `(n_utterances, beam)`.

    A prefix is known by a hash of its symbols, and by that of its parent: two ways to one text meet by these.
    """

    by_blank: np.ndarray
    """Log probability of all ways to the prefix that end in the blank."""
    by_symbol: np.ndarray
    """Of all ways that end in its last symbol."""
    said: np.ndarray
    """What the guides said of it."""
    last: np.ndarray
    """Its last symbol, -1 if it has none."""
    hash: np.ndarray
    parent_hash: np.ndarray
    states: list[np.ndarray]
    """Of each guide."""

    @classmethod
    def empty(cls, n: int, beam: int, guides: Sequence[Guide]) -> _Beams:
        never = np.full((n, beam), -np.inf)
        by_blank = never.copy()
        by_blank[:, 0] = 0.0
        hashes = np.arange(1, beam + 1, dtype=np.uint64)[None].repeat(n, axis=0)
        states = [np.full((n, beam), guide.start) for guide in guides]
        last = np.full((n, beam), -1)
        return cls(by_blank, never, np.zeros((n, beam)), last, hashes, np.zeros_like(hashes), states)

    def of(self, utterances: slice) -> _Beams:
        """Of some of the utterances."""
        return _Beams(
            by_blank=self.by_blank[utterances],
            by_symbol=self.by_symbol[utterances],
            said=self.said[utterances],
            last=self.last[utterances],
            hash=self.hash[utterances],
            parent_hash=self.parent_hash[utterances],
            states=[states[utterances] for states in self.states],
        )


def search(
    log_posteriors: Sequence[np.ndarray], blank: int, guides: Sequence[Guide], beam: int = BEAM
) -> list[list[int]]:
    """For each utterance, the symbols that the audio and the guides together make most likely.

    log_posteriors: `(n_frames, n_symbols)` float32 each, natural logarithms.
    """
    found: list[list[int]] = [[] for _ in log_posteriors]
    frames = [_without_silence(utterance, blank) for utterance in log_posteriors]
    longest_first = sorted((i for i in range(len(frames)) if len(frames[i])), key=lambda i: -len(frames[i]))
    for first in range(0, len(longest_first), MOST_UTTERANCES):
        indexes = longest_first[first : first + MOST_UTTERANCES]
        for index, symbols in zip(indexes, _search([frames[i] for i in indexes], blank, guides, beam), strict=True):
            found[index] = symbols
    return found


def _without_silence(log_posteriors: np.ndarray, blank: int) -> np.ndarray:
    """Frames that are certainly blank, one for each run of them: to the text one blank says as much as many."""
    silent = log_posteriors[:, blank] > CERTAIN_BLANK
    repeated = silent[1:] & silent[:-1]
    return log_posteriors[np.r_[True, ~repeated]] if repeated.any() else log_posteriors


def _search(frames: Sequence[np.ndarray], blank: int, guides: Sequence[Guide], beam: int) -> list[list[int]]:
    """`frames` are ordered by length, the longest first, and none is empty."""
    lengths = np.array([len(utterance) for utterance in frames])
    beams = _Beams.empty(len(frames), beam, guides)
    ends: list[_Beams] = []  # of the utterances that are through, the shortest first
    steps: list[tuple[np.ndarray, np.ndarray]] = []
    for t in range(lengths[0]):
        n_left = int((lengths > t).sum())
        if n_left < len(beams.last):
            ends += [beams.of(slice(row, row + 1)) for row in range(len(beams.last) - 1, n_left - 1, -1)]
            beams = beams.of(slice(n_left))
        beams, came_from, added = _step(beams, np.stack([f[t] for f in frames[:n_left]]), blank, guides)
        steps.append((came_from, added))
    ends += [beams.of(slice(row, row + 1)) for row in range(len(beams.last) - 1, -1, -1)]
    return [_trace(end, row, int(lengths[row]), steps, guides) for row, end in enumerate(reversed(ends))]


def _step(
    beams: _Beams, frame: np.ndarray, blank: int, guides: Sequence[Guide]
) -> tuple[_Beams, np.ndarray, np.ndarray]:
    """One frame on. Returns the new beams and, for each of their prefixes, which one it came from and the symbol that
    was added to that (-1: none).

    frame: `(n_utterances, n_symbols)`.
    """
    n, beam = beams.last.shape
    rows = np.arange(n)[:, None]
    symbols, tried = _likeliest(frame, blank)  # (n, n_tried) both
    total = np.logaddexp(beams.by_blank, beams.by_symbol)

    # A prefix stays when the blank is said, or its last symbol goes on.
    on_last = np.where(beams.last < 0, -np.inf, frame[rows, beams.last])
    stays_by_blank = total + frame[:, blank, None]
    stays_by_symbol = beams.by_symbol + on_last

    # It grows by any other symbol, and by its last one after a blank.
    repeats = symbols[:, None, :] == beams.last[:, :, None]
    grown = np.where(repeats, beams.by_blank[:, :, None], total[:, :, None]) + tried[:, None, :]

    # Where the grown prefix is in the beam already, the two are one.
    lives = np.isfinite(total)
    is_child = (beams.parent_hash[:, :, None] == beams.hash[:, None, :]) & lives[:, :, None] & lives[:, None, :]
    known, child, parent = np.nonzero(is_child)
    alike, place = np.nonzero(symbols[known] == beams.last[known, child][:, None])
    u, c, p = known[alike], child[alike], parent[alike]
    stays_by_symbol[u, c] = np.logaddexp(stays_by_symbol[u, c], grown[u, p, place])
    grown[u, p, place] = -np.inf

    said = beams.said[:, :, None]
    for guide, states in zip(guides, beams.states, strict=True):
        said = said + guide.scores(states, symbols)
    scores = np.concatenate(
        [np.logaddexp(stays_by_blank, stays_by_symbol) + beams.said, (grown + said).reshape(n, -1)], axis=1
    )
    kept = np.argpartition(-scores, beam - 1, axis=1)[:, :beam]
    is_grown = kept >= beam
    came_from = np.where(is_grown, (kept - beam) // symbols.shape[1], kept)
    place = np.where(is_grown, (kept - beam) % symbols.shape[1], 0)
    added = np.where(is_grown, symbols[rows, place], -1)
    hashes = beams.hash[rows, came_from]
    new_said = beams.said + np.zeros_like(total) if not guides else said[rows, came_from, place]
    after = _Beams(
        by_blank=np.where(is_grown, -np.inf, stays_by_blank[rows, came_from]),
        by_symbol=np.where(is_grown, grown[rows, came_from, place], stays_by_symbol[rows, came_from]),
        said=np.where(is_grown, new_said, beams.said[rows, came_from]),
        last=np.where(is_grown, added, beams.last[rows, came_from]),
        hash=np.where(is_grown, _hash(hashes, added), hashes),
        parent_hash=np.where(is_grown, hashes, beams.parent_hash[rows, came_from]),
        states=[states[rows, came_from] for states in beams.states],
    )
    changed = np.nonzero(is_grown & np.isfinite(after.by_symbol))
    for guide, states in zip(guides, after.states, strict=True):
        states[changed] = guide.follow(states[changed], added[changed])
    return after, came_from, added


def _likeliest(frame: np.ndarray, blank: int) -> tuple[np.ndarray, np.ndarray]:
    """The symbols of each row that are worth a try, and their log posteriors; too unlikely ones have -inf."""
    speaking = frame.copy()
    speaking[:, blank] = -np.inf
    n_tried = min(MOST_SYMBOLS, frame.shape[1])
    symbols = np.argpartition(-speaking, n_tried - 1, axis=1)[:, :n_tried]
    found = np.take_along_axis(speaking, symbols, axis=1)
    return symbols, np.where(found > LEAST_LOG_POSTERIOR, found, -np.inf)


def _hash(prefixes: np.ndarray, symbols: np.ndarray) -> np.ndarray:
    """Of prefixes with one more symbol. 64 bits: two of the texts ever compared are never taken for one."""
    mixed = (prefixes ^ (symbols.astype(np.uint64) + np.uint64(1))) * _MIX
    return mixed ^ (mixed >> _SHIFT)


def _trace(
    end: _Beams, row: int, n_frames: int, steps: Sequence[tuple[np.ndarray, np.ndarray]], guides: Sequence[Guide]
) -> list[int]:
    """The symbols of an utterance's best prefix, from how it came about."""
    scores = np.logaddexp(end.by_blank, end.by_symbol) + end.said
    for guide, states in zip(guides, end.states, strict=True):
        scores = scores + guide.close(states)
    place = int(scores[0].argmax())
    symbols = []
    for t in range(n_frames - 1, -1, -1):
        came_from, added = steps[t]
        if added[row, place] >= 0:
            symbols.append(int(added[row, place]))
        place = int(came_from[row, place])
    return symbols[::-1]


def align(log_posteriors: Sequence[np.ndarray], texts: Sequence[Sequence[int]], blank: int) -> list[list[Emission]]:
    """For each utterance, the frames on which its symbols were said: by the most likely CTC path through exactly
    them (Viterbi).

    log_posteriors: `(n_frames, n_symbols)` each. A text that does not fit in its frames has no path and gives nothing.
    """
    found: list[list[Emission]] = [[] for _ in texts]
    by_length = sorted((i for i, text in enumerate(texts) if len(text)), key=lambda i: -len(log_posteriors[i]))
    for first in range(0, len(by_length), MOST_UTTERANCES):
        indexes = by_length[first : first + MOST_UTTERANCES]
        frames, spoken = [log_posteriors[i] for i in indexes], [texts[i] for i in indexes]
        for index, path in zip(indexes, _paths(frames, spoken, blank), strict=True):
            found[index] = _emissions(path, texts[index], log_posteriors[index])
    return found


def _paths(frames: Sequence[np.ndarray], texts: Sequence[Sequence[int]], blank: int) -> list[np.ndarray | None]:
    """The state of each frame, `(n_frames,)` each: 0 is the first blank, 1 the first symbol, 2 the next blank, ….

    `frames` are ordered by length, the longest first.
    """
    lengths = np.array([len(utterance) for utterance in frames])
    n_states = 2 * max(len(text) for text in texts) + 1
    states = np.full((len(texts), n_states), blank)
    for row, text in enumerate(texts):
        states[row, 1 : 2 * len(text) : 2] = text
    is_symbol = states != blank
    may_skip = np.zeros_like(is_symbol)
    may_skip[:, 2:] = is_symbol[:, 2:] & (states[:, 2:] != states[:, :-2])
    never = np.float32(-np.inf)
    score = np.full(states.shape, never, dtype=np.float32)
    score[:, :2] = np.take_along_axis(np.stack([f[0] for f in frames]), states[:, :2], axis=1)
    steps: list[np.ndarray] = []  # how many states each state is beyond the one before it
    for t in range(1, int(lengths[0])):
        n_left = int((lengths > t).sum())
        now = score[:n_left]
        by_one = np.full_like(now, never)
        by_one[:, 1:] = now[:, :-1]
        by_two = np.full_like(now, never)
        np.copyto(by_two[:, 2:], now[:, :-2], where=may_skip[:n_left, 2:])
        moved = by_one > now
        best = np.where(moved, by_one, now)
        skipped = by_two > best
        steps.append(np.where(skipped, np.int8(2), moved.astype(np.int8)))
        frame = np.stack([f[t] for f in frames[:n_left]])
        score[:n_left] = np.where(skipped, by_two, best) + np.take_along_axis(frame, states[:n_left], axis=1)
    return [_path(score[row], row, len(text), int(lengths[row]), steps) for row, text in enumerate(texts)]


def _path(score: np.ndarray, row: int, n_said: int, n_frames: int, steps: Sequence[np.ndarray]) -> np.ndarray | None:
    state = 2 * n_said if score[2 * n_said] >= score[2 * n_said - 1] else 2 * n_said - 1
    if not np.isfinite(score[state]):
        return None
    path = np.empty(n_frames, dtype=np.int64)
    for t in range(n_frames - 1, -1, -1):
        path[t] = state
        if t:
            state -= int(steps[t - 1][row, state])
    return path


def _emissions(path: np.ndarray | None, symbols: Sequence[int], log_posteriors: np.ndarray) -> list[Emission]:
    """The runs of a path's symbols. A state, once left, does not come back."""
    if path is None:
        return []
    places = 2 * np.arange(len(symbols)) + 1
    starts, ends = np.searchsorted(path, places), np.searchsorted(path, places, side="right")
    peaks = (float(np.exp(log_posteriors[a:b, s].max())) for a, b, s in zip(starts, ends, symbols, strict=True))
    return [
        Emission(int(symbol), int(start), int(end), min(peak, 1.0))
        for symbol, start, end, peak in zip(symbols, starts, ends, peaks, strict=True)
    ]
