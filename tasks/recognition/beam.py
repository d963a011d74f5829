"""CTC prefix beam search (Hannun et al., 2014) over many utterances at once, and forced alignment of their texts.

The search is vectorised: each time step is taken for all utterances and all prefixes of their beams together.
Spelling model and vocabulary are added by shallow fusion (`fusion.py`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tasks.recognition.fusion import FusionScorer
from tasks.recognition.greedy import Emission

BEAM_WIDTH = 48
MAX_SYMBOLS = 8  # only the most likely symbols of a frame extend a prefix
MIN_LOG_POSTERIOR = math.log(1e-3)  # a less likely symbol does not extend a prefix
CERTAIN_BLANK = math.log(0.999)
MAX_UTTERANCES = 64  # searched together; with more, the arrays of a step do not fit into the CPU's cache


@dataclass
class _Beams:
    """The best prefixes of each utterance, arrays of `(n_utterances, beam)`.

    `hash` identifies a prefix by its symbols. With `parent_hash`, `_step` finds an extension that is already in the
    beam, and merges the two paths.
    """

    log_p_blank: np.ndarray
    """Log probability of all paths to the prefix that end in the blank."""
    log_p_symbol: np.ndarray
    """Log probability of all paths to the prefix that end in its last symbol."""
    fusion_score: np.ndarray
    """Sum of the scorers' scores."""
    last: np.ndarray
    """The prefix's last symbol, -1 for the empty prefix."""
    hash: np.ndarray
    parent_hash: np.ndarray
    states: list[np.ndarray]
    """The state of each prefix, one array for each scorer."""

    @classmethod
    def empty(cls, n: int, beam: int, scorers: Sequence[FusionScorer]) -> _Beams:
        impossible = np.full((n, beam), -np.inf)
        log_p_blank = impossible.copy()
        log_p_blank[:, 0] = 0.0
        # From 1: no prefix has the hash 0, which stands for "no parent".
        hashes = np.arange(1, beam + 1, dtype=np.uint64)[None].repeat(n, axis=0)
        states = [np.full((n, beam), scorer.start) for scorer in scorers]
        last = np.full((n, beam), -1)
        return cls(log_p_blank, impossible, np.zeros((n, beam)), last, hashes, np.zeros_like(hashes), states)

    @property
    def log_p(self) -> np.ndarray:
        """Log probability of all paths to the prefix."""
        return np.logaddexp(self.log_p_blank, self.log_p_symbol)

    def select(self, utterances: slice) -> _Beams:
        """Return the beams of some of the utterances."""
        return _Beams(
            log_p_blank=self.log_p_blank[utterances],
            log_p_symbol=self.log_p_symbol[utterances],
            fusion_score=self.fusion_score[utterances],
            last=self.last[utterances],
            hash=self.hash[utterances],
            parent_hash=self.parent_hash[utterances],
            states=[states[utterances] for states in self.states],
        )


def search(
    log_posteriors: Sequence[np.ndarray], blank: int, scorers: Sequence[FusionScorer], beam: int = BEAM_WIDTH
) -> list[list[int]]:
    """Return, for each utterance, the symbols with the best sum of acoustic and fusion scores.

    log_posteriors: `(n_frames, n_symbols)` float32 each, natural logarithms.
    """
    texts: list[list[int]] = [[] for _ in log_posteriors]
    frames = [_collapse_blanks(utterance, blank) for utterance in log_posteriors]
    longest_first = sorted((i for i in range(len(frames)) if len(frames[i])), key=lambda i: -len(frames[i]))
    for first in range(0, len(longest_first), MAX_UTTERANCES):
        indexes = longest_first[first : first + MAX_UTTERANCES]
        group = [frames[i] for i in indexes]
        for index, symbols in zip(indexes, _search_together(group, blank, scorers, beam), strict=True):
            texts[index] = symbols
    return texts


def _collapse_blanks(log_posteriors: np.ndarray, blank: int) -> np.ndarray:
    """Keep one frame of each run of certain blanks: for the text, one blank is as good as many."""
    is_blank = log_posteriors[:, blank] > CERTAIN_BLANK  # (n_frames,)
    repeated = is_blank[1:] & is_blank[:-1]  # (n_frames - 1,)
    return log_posteriors[np.r_[True, ~repeated]] if repeated.any() else log_posteriors


def _search_together(
    frames: Sequence[np.ndarray], blank: int, scorers: Sequence[FusionScorer], beam: int
) -> list[list[int]]:
    """Search one group of utterances frame by frame; an utterance leaves the beams when its frames end.

    `frames` are ordered by length, longest first, and none is empty.
    """
    lengths = np.array([len(utterance) for utterance in frames])  # (n_utterances,)
    beams = _Beams.empty(len(frames), beam, scorers)
    ends: dict[int, _Beams] = {}  # the final beam of each utterance, by row
    steps: list[tuple[np.ndarray, np.ndarray]] = []  # parents and appended symbols of each frame
    for t in range(lengths[0]):
        n_active = int((lengths > t).sum())
        for row in range(n_active, len(beams.last)):
            ends[row] = beams.select(slice(row, row + 1))
        if n_active < len(beams.last):
            beams = beams.select(slice(n_active))
        beams, parents, appended = _step(beams, np.stack([f[t] for f in frames[:n_active]]), blank, scorers)
        steps.append((parents, appended))
    for row in range(len(beams.last)):
        ends[row] = beams.select(slice(row, row + 1))
    return [_backtrace(ends[row], row, int(lengths[row]), steps, scorers) for row in range(len(frames))]


@dataclass
class _Paths:
    """What the prefixes of a beam become in one frame: log probabilities."""

    stay_blank: np.ndarray
    """The unchanged prefix after a blank, `(n_utterances, beam)`."""
    stay_symbol: np.ndarray
    """The unchanged prefix after its last symbol, `(n_utterances, beam)`."""
    extended: np.ndarray
    """The prefix with one more symbol, `(n_utterances, beam, n_tried)`."""


def _step(
    beams: _Beams, frame: np.ndarray, blank: int, scorers: Sequence[FusionScorer]
) -> tuple[_Beams, np.ndarray, np.ndarray]:
    """Advance by one frame.

    Return the new beams and, for each of their prefixes, the index of its parent in the old beam and the symbol by
    which it is longer (-1: none), both `(n_utterances, beam)`.

    frame: `(n_utterances, n_symbols)`.
    """
    symbols, log_p = _most_likely(frame, blank)  # (n_utterances, n_tried) both
    paths = _extend(beams, frame, blank, symbols, log_p)
    _merge_duplicates(beams, paths, symbols)
    return _keep_best(beams, paths, symbols, scorers)


def _extend(beams: _Beams, frame: np.ndarray, blank: int, symbols: np.ndarray, log_p: np.ndarray) -> _Paths:
    """Compute the log probabilities of all prefixes, unchanged and extended by each of `symbols`."""
    rows = np.arange(len(frame))[:, None]  # (n_utterances, 1)
    total = beams.log_p  # (n_utterances, beam)

    # A prefix stays as it is on a blank, or on a repetition of its last symbol.
    log_p_last = np.where(beams.last < 0, -np.inf, frame[rows, beams.last])  # (n_utterances, beam)
    stay_blank = total + frame[:, blank, None]  # (n_utterances, beam)
    stay_symbol = beams.log_p_symbol + log_p_last  # (n_utterances, beam)

    # It is extended by any other symbol, and by its last symbol only after a blank.
    repeats = symbols[:, None, :] == beams.last[:, :, None]  # (n_utterances, beam, n_tried)
    extended = np.where(repeats, beams.log_p_blank[:, :, None], total[:, :, None]) + log_p[:, None, :]
    # (n_utterances, beam, n_tried)
    return _Paths(stay_blank, stay_symbol, extended)


def _merge_duplicates(beams: _Beams, paths: _Paths, symbols: np.ndarray) -> None:
    """Merge, in place, each extension that equals a prefix already in the beam with that prefix."""
    is_alive = np.isfinite(beams.log_p)  # (n_utterances, beam)
    is_child = beams.parent_hash[:, :, None] == beams.hash[:, None, :]  # (n_utterances, beam, beam): child, parent
    is_child &= is_alive[:, :, None] & is_alive[:, None, :]
    utterance, child, parent = np.nonzero(is_child)  # (n_pairs,) each
    pair, symbol_index = np.nonzero(symbols[utterance] == beams.last[utterance, child][:, None])  # (n_merged,) both
    utterance, child, parent = utterance[pair], child[pair], parent[pair]  # (n_merged,) each
    merged = np.logaddexp(paths.stay_symbol[utterance, child], paths.extended[utterance, parent, symbol_index])
    paths.stay_symbol[utterance, child] = merged
    paths.extended[utterance, parent, symbol_index] = -np.inf


def _keep_best(
    beams: _Beams, paths: _Paths, symbols: np.ndarray, scorers: Sequence[FusionScorer]
) -> tuple[_Beams, np.ndarray, np.ndarray]:
    """Keep the prefixes with the best sums of acoustic and fusion scores. Return what `_step` returns."""
    n, beam = beams.last.shape
    n_tried = symbols.shape[1]
    rows = np.arange(n)[:, None]  # (n_utterances, 1)
    fusion_score = np.repeat(beams.fusion_score[:, :, None], n_tried, axis=2)  # (n_utterances, beam, n_tried)
    for scorer, states in zip(scorers, beams.states, strict=True):
        fusion_score += scorer.scores(states, symbols)
    scores = np.concatenate(
        [
            np.logaddexp(paths.stay_blank, paths.stay_symbol) + beams.fusion_score,
            (paths.extended + fusion_score).reshape(n, -1),
        ],
        axis=1,
    )  # (n_utterances, beam + beam * n_tried)
    kept = np.argpartition(-scores, beam - 1, axis=1)[:, :beam]  # (n_utterances, beam), as are all below
    is_extended = kept >= beam
    parents = np.where(is_extended, (kept - beam) // n_tried, kept)
    symbol_index = np.where(is_extended, (kept - beam) % n_tried, 0)
    appended = np.where(is_extended, symbols[rows, symbol_index], -1)
    hashes = beams.hash[rows, parents]
    extended = paths.extended[rows, parents, symbol_index]
    extended_score = fusion_score[rows, parents, symbol_index]
    new_beams = _Beams(
        log_p_blank=np.where(is_extended, -np.inf, paths.stay_blank[rows, parents]),
        log_p_symbol=np.where(is_extended, extended, paths.stay_symbol[rows, parents]),
        fusion_score=np.where(is_extended, extended_score, beams.fusion_score[rows, parents]),
        last=np.where(is_extended, appended, beams.last[rows, parents]),
        hash=np.where(is_extended, _extend_hash(hashes, appended), hashes),
        parent_hash=np.where(is_extended, hashes, beams.parent_hash[rows, parents]),
        states=[states[rows, parents] for states in beams.states],
    )
    changed = np.nonzero(is_extended & np.isfinite(new_beams.log_p_symbol))
    for scorer, states in zip(scorers, new_beams.states, strict=True):
        states[changed] = scorer.advance(states[changed], appended[changed])
    return new_beams, parents, appended


def _most_likely(frame: np.ndarray, blank: int) -> tuple[np.ndarray, np.ndarray]:
    """Return, for each utterance, the symbols to extend its prefixes with, and their log posteriors (-inf if too
    unlikely), both `(n_utterances, n_tried)`."""
    without_blank = frame.copy()
    without_blank[:, blank] = -np.inf
    n_tried = min(MAX_SYMBOLS, frame.shape[1])
    symbols = np.argpartition(-without_blank, n_tried - 1, axis=1)[:, :n_tried]
    log_p = np.take_along_axis(without_blank, symbols, axis=1)
    return symbols, np.where(log_p > MIN_LOG_POSTERIOR, log_p, -np.inf)


# Multiplicative hashing: 2**64 / golden ratio, then the high bits are folded into the low ones.
_MIX = np.uint64(0x9E3779B97F4A7C15)
_SHIFT = np.uint64(29)


def _extend_hash(prefixes: np.ndarray, symbols: np.ndarray) -> np.ndarray:
    """Return the hashes of the prefixes with one more symbol.

    With 64 bits, a collision within a beam is too unlikely to matter.
    """
    mixed = (prefixes ^ (symbols.astype(np.uint64) + np.uint64(1))) * _MIX
    return mixed ^ (mixed >> _SHIFT)


def _backtrace(
    end: _Beams,
    row: int,
    n_frames: int,
    steps: Sequence[tuple[np.ndarray, np.ndarray]],
    scorers: Sequence[FusionScorer],
) -> list[int]:
    """Return the symbols of an utterance's best prefix, read backwards through the steps. `end` has only its row."""
    scores = end.log_p + end.fusion_score  # (1, beam)
    for scorer, states in zip(scorers, end.states, strict=True):
        scores = scores + scorer.final_scores(states)
    prefix_index = int(scores[0].argmax())
    symbols = []
    for t in range(n_frames - 1, -1, -1):
        parents, appended = steps[t]
        if appended[row, prefix_index] >= 0:
            symbols.append(int(appended[row, prefix_index]))
        prefix_index = int(parents[row, prefix_index])
    return symbols[::-1]


def align(log_posteriors: Sequence[np.ndarray], texts: Sequence[Sequence[int]], blank: int) -> list[list[Emission]]:
    """Forced alignment: for each utterance, the frames of its symbols on the most likely CTC path (Viterbi).

    log_posteriors: `(n_frames, n_symbols)` each. A text with more symbols than its frames can hold gives no emissions.
    """
    emissions: list[list[Emission]] = [[] for _ in texts]
    by_length = sorted((i for i, text in enumerate(texts) if len(text)), key=lambda i: -len(log_posteriors[i]))
    for first in range(0, len(by_length), MAX_UTTERANCES):
        indexes = by_length[first : first + MAX_UTTERANCES]
        frames, symbols = [log_posteriors[i] for i in indexes], [texts[i] for i in indexes]
        for index, path in zip(indexes, _align_together(frames, symbols, blank), strict=True):
            emissions[index] = _to_emissions(path, texts[index], log_posteriors[index])
    return emissions


def _align_together(
    frames: Sequence[np.ndarray], texts: Sequence[Sequence[int]], blank: int
) -> list[np.ndarray | None]:
    """Align one group of utterances: the state of each frame, `(n_frames,)` each, or None without a path.

    State 0 is the first blank, 1 the first symbol, 2 the next blank, ….

    `frames` are ordered by length, longest first.
    """
    lengths = np.array([len(utterance) for utterance in frames])  # (n_utterances,)
    n_states = 2 * max(len(text) for text in texts) + 1
    states = np.full((len(texts), n_states), blank)  # (n_utterances, n_states)
    for row, text in enumerate(texts):
        states[row, 1 : 2 * len(text) : 2] = text
    is_symbol = states != blank
    may_skip = np.zeros_like(is_symbol)
    may_skip[:, 2:] = is_symbol[:, 2:] & (states[:, 2:] != states[:, :-2])
    impossible = np.float32(-np.inf)
    score = np.full(states.shape, impossible, dtype=np.float32)  # (n_utterances, n_states)
    score[:, :2] = np.take_along_axis(np.stack([f[0] for f in frames]), states[:, :2], axis=1)
    # For each state, how many states back its best predecessor is: 0, 1 or 2.
    backpointers: list[np.ndarray] = []
    for t in range(1, int(lengths[0])):
        n_active = int((lengths > t).sum())
        now = score[:n_active]  # (n_active, n_states), as are all below
        by_one = np.full_like(now, impossible)
        by_one[:, 1:] = now[:, :-1]
        by_two = np.full_like(now, impossible)
        np.copyto(by_two[:, 2:], now[:, :-2], where=may_skip[:n_active, 2:])
        moved = by_one > now
        best = np.where(moved, by_one, now)
        skipped = by_two > best
        backpointers.append(np.where(skipped, np.int8(2), moved.astype(np.int8)))
        frame = np.stack([f[t] for f in frames[:n_active]])  # (n_active, n_symbols)
        score[:n_active] = np.where(skipped, by_two, best) + np.take_along_axis(frame, states[:n_active], axis=1)
    return [
        _backtrace_path(score[row], row, len(text), int(lengths[row]), backpointers) for row, text in enumerate(texts)
    ]


def _backtrace_path(
    score: np.ndarray, row: int, n_symbols: int, n_frames: int, backpointers: Sequence[np.ndarray]
) -> np.ndarray | None:
    """Return one utterance's best path `(n_frames,)`, read backwards from the final `score` `(n_states,)`, or None."""
    state = 2 * n_symbols if score[2 * n_symbols] >= score[2 * n_symbols - 1] else 2 * n_symbols - 1
    if not np.isfinite(score[state]):
        return None
    path = np.empty(n_frames, dtype=np.int64)
    for t in range(n_frames - 1, -1, -1):
        path[t] = state
        if t:
            state -= int(backpointers[t - 1][row, state])
    return path


def _to_emissions(path: np.ndarray | None, symbols: Sequence[int], log_posteriors: np.ndarray) -> list[Emission]:
    """Return each symbol with its frames on the path. A path never returns to a state that it has left."""
    if path is None:
        return []
    states = 2 * np.arange(len(symbols)) + 1  # (n_symbols_of_text,)
    starts, ends = np.searchsorted(path, states), np.searchsorted(path, states, side="right")
    peaks = (float(np.exp(log_posteriors[a:b, s].max())) for a, b, s in zip(starts, ends, symbols, strict=True))
    return [
        Emission(int(symbol), int(start), int(end), min(peak, 1.0))
        for symbol, start, end, peak in zip(symbols, starts, ends, peaks, strict=True)
    ]
