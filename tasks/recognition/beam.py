"""CTC prefix beam search with a spelling model (Hannun et al., 2014), and the frames of the text that it finds."""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence

import numpy as np

from tasks.recognition.greedy import Emission
from tasks.recognition.spelling import SpellingModel

BEAM = 24
LEAST_LOG_POSTERIOR = math.log(1e-3)  # less likely symbols of a frame are not tried
CERTAIN_BLANK = math.log(0.999)
_NEVER = -math.inf


class _Prefix:
    """A text so far: its last symbol, the spelling model's view of it, and its extensions (made once, so that two
    ways to one text meet in one object)."""

    __slots__ = ("bias", "context", "extensions", "parent", "symbol")

    def __init__(self, parent: _Prefix | None, symbol: int, context: str, bias: float) -> None:
        self.parent, self.symbol, self.context, self.bias = parent, symbol, context, bias
        self.extensions: dict[int, _Prefix] = {}


def search(log_posteriors: np.ndarray, blank: int, spelling: SpellingModel, beam: int = BEAM) -> list[int]:
    """The symbols that audio and spelling together make most likely.

    log_posteriors: `(n_frames, n_symbols)` float32, natural logarithms.
    """
    # Of each prefix, the log probability of all ways to it that end in the blank, and of those that end in its symbol.
    beams: dict[_Prefix, tuple[float, float]] = {_Prefix(None, -1, spelling.start, 0.0): (0.0, _NEVER)}
    for frame in log_posteriors:
        log_blank = float(frame[blank])
        if log_blank > CERTAIN_BLANK:
            beams = {prefix: (_add(*ways) + log_blank, _NEVER) for prefix, ways in beams.items()}
            continue
        tried = [(int(s), float(frame[s])) for s in np.flatnonzero(frame > LEAST_LOG_POSTERIOR) if s != blank]
        grown: dict[_Prefix, tuple[float, float]] = {}
        for prefix, (by_blank, by_symbol) in beams.items():
            total = _add(by_blank, by_symbol)
            _meet(grown, prefix, total + log_blank, _NEVER)
            for symbol, log_p in tried:
                if symbol == prefix.symbol:
                    _meet(grown, prefix, _NEVER, by_symbol + log_p)
                    if by_blank > _NEVER:
                        _meet(grown, _extend(prefix, symbol, spelling), _NEVER, by_blank + log_p)
                else:
                    _meet(grown, _extend(prefix, symbol, spelling), _NEVER, total + log_p)
        if len(grown) > beam:
            kept = heapq.nlargest(beam, grown.items(), key=lambda item: _add(*item[1]) + item[0].bias)
            beams = dict(kept)
        else:
            beams = grown
    best: _Prefix | None = max(beams.items(), key=lambda item: _add(*item[1]) + item[0].bias)[0]
    symbols = []
    while best is not None and best.parent is not None:
        symbols.append(best.symbol)
        best = best.parent
    return symbols[::-1]


def _extend(prefix: _Prefix, symbol: int, spelling: SpellingModel) -> _Prefix:
    longer = prefix.extensions.get(symbol)
    if longer is None:
        bias = prefix.bias + spelling.weight * spelling.log_probabilities(prefix.context)[symbol] + spelling.bonus
        longer = _Prefix(prefix, symbol, spelling.extend(prefix.context, symbol), bias)
        prefix.extensions[symbol] = longer
    return longer


def _meet(grown: dict[_Prefix, tuple[float, float]], prefix: _Prefix, by_blank: float, by_symbol: float) -> None:
    known = grown.get(prefix)
    grown[prefix] = (by_blank, by_symbol) if known is None else (_add(known[0], by_blank), _add(known[1], by_symbol))


def _add(a: float, b: float) -> float:
    """log(exp(a) + exp(b))."""
    if a < b:
        a, b = b, a
    return a if b == _NEVER else a + math.log1p(math.exp(b - a))


def align(log_posteriors: np.ndarray, symbols: Sequence[int], blank: int) -> list[Emission]:
    """The frames on which `symbols` were said, by the most likely CTC path through exactly them (Viterbi).

    log_posteriors: `(n_frames, n_symbols)`. Texts that do not fit in the frames have no path and give nothing.
    """
    if not symbols:
        return []
    n_frames = len(log_posteriors)
    states = np.full(2 * len(symbols) + 1, blank)
    states[1::2] = symbols
    emitted = log_posteriors[:, states]  # (n_frames, n_states)
    may_skip = np.r_[False, False, (states[2:] != blank) & (states[2:] != states[:-2])]
    score = np.full(len(states), -np.inf)
    score[:2] = emitted[0, :2]
    steps = np.zeros((n_frames, len(states)), dtype=np.int8)
    for n in range(1, n_frames):
        arrivals = np.stack(
            [score, np.r_[-np.inf, score[:-1]], np.where(may_skip, np.r_[-np.inf, -np.inf, score[:-2]], -np.inf)]
        )
        steps[n] = arrivals.argmax(axis=0)
        score = arrivals.max(axis=0) + emitted[n]
    state = len(states) - 1 if score[-1] >= score[-2] else len(states) - 2
    if not np.isfinite(score[state]):
        return []
    path = np.empty(n_frames, dtype=np.int64)
    for n in range(n_frames - 1, -1, -1):
        path[n] = state
        state -= int(steps[n, state])
    found = []
    for position, symbol in enumerate(symbols):
        frames = np.flatnonzero(path == 2 * position + 1)
        peak = float(np.exp(log_posteriors[frames, symbol].max()))
        found.append(Emission(int(symbol), int(frames[0]), int(frames[-1]) + 1, min(peak, 1.0)))
    return found
