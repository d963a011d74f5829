"""Beam search and alignment against exhaustive search over every CTC path, and the effect of a spelling model."""

from __future__ import annotations

import gzip
import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.recognition.beam import BEAM_WIDTH, align, search
from tasks.recognition.spelling import FILE_NAME, SpellingModel, SpellingScorer

BLANK = 0
N_SYMBOLS = 3


def log_posteriors(n_frames: int, seed: int, n_symbols: int = N_SYMBOLS) -> np.ndarray:
    rng = np.random.default_rng(seed)
    logits = rng.standard_normal((n_frames, n_symbols)) * 2
    return (logits - np.log(np.exp(logits).sum(-1, keepdims=True))).astype(np.float32)


def best(frames: np.ndarray, spelling: SpellingModel | None = None, beam: int = BEAM_WIDTH) -> list[int]:
    (found,) = search([frames], BLANK, [SpellingScorer(spelling)] if spelling else [], beam)
    return found


def collapse(path: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(symbol for symbol, _ in itertools.groupby(path) if symbol != BLANK)


def texts_by_probability(frames: np.ndarray) -> dict[tuple[int, ...], float]:
    found: dict[tuple[int, ...], float] = {}
    for path in itertools.product(range(frames.shape[1]), repeat=len(frames)):
        probability = float(np.exp(sum(frames[n, symbol] for n, symbol in enumerate(path))))
        found[collapse(path)] = found.get(collapse(path), 0.0) + probability
    return found


@settings(max_examples=30, deadline=None)
@given(n_frames=st.integers(1, 6), seed=st.integers(0, 10_000))
def test_without_fusion_the_most_likely_text_is_found(n_frames: int, seed: int) -> None:
    frames = log_posteriors(n_frames, seed)
    probabilities = texts_by_probability(frames)
    found = tuple(best(frames, beam=500))
    assert probabilities[found] == pytest.approx(max(probabilities.values()), rel=0.02)


@settings(max_examples=30, deadline=None)
@given(n_frames=st.integers(1, 6), seed=st.integers(0, 10_000))
def test_the_alignment_is_the_most_likely_path_of_the_text(n_frames: int, seed: int) -> None:
    frames = log_posteriors(n_frames, seed)
    paths: dict[tuple[int, ...], list[tuple[float, tuple[int, ...]]]] = {}
    for path in itertools.product(range(N_SYMBOLS), repeat=n_frames):
        score = float(sum(frames[n, symbol] for n, symbol in enumerate(path)))
        paths.setdefault(collapse(path), []).append((score, path))
    for text, ways in paths.items():
        (found,) = align([frames], [text], BLANK)
        assert tuple(emission.symbol for emission in found) == text
        spoken = [BLANK] * n_frames
        for emission in found:
            assert 0 <= emission.start < emission.end <= n_frames
            spoken[emission.start : emission.end] = [emission.symbol] * (emission.end - emission.start)
        score = sum(frames[n, symbol] for n, symbol in enumerate(spoken))
        assert score == pytest.approx(max(ways)[0], abs=1e-4)


def test_a_text_longer_than_the_audio_has_no_alignment() -> None:
    fits, longer, empty = align([log_posteriors(2, 0)] * 3, [[1, 2], [1, 1], []], BLANK)
    assert [emission.symbol for emission in fits] == [1, 2]
    assert longer == empty == []


def test_no_frames_give_no_symbols() -> None:
    nothing = np.zeros((0, N_SYMBOLS), np.float32)
    assert search([nothing, log_posteriors(3, 1), nothing], BLANK, []) == [[], best(log_posteriors(3, 1)), []]
    assert search([], BLANK, []) == []


@settings(max_examples=20, deadline=None)
@given(lengths=st.lists(st.integers(0, 40), min_size=1, max_size=6), seed=st.integers(0, 1000))
def test_batching_does_not_change_results(lengths: list[int], seed: int) -> None:
    """Utterances of any lengths, searched and aligned in a batch or one by one."""
    frames = [log_posteriors(length, seed + n, n_symbols=6) for n, length in enumerate(lengths)]
    spelling = SpellingModel.learn([[1, 2, 3, 4, 5] * 3, [2, 2, 4]], n_symbols=6)
    spelling.weight = 0.7
    scorers = [SpellingScorer(spelling)]
    together = search(frames, BLANK, scorers)
    assert together == [search([utterance], BLANK, scorers)[0] for utterance in frames]
    aligned = align(frames, together, BLANK)
    assert aligned == [align([f], [text], BLANK)[0] for f, text in zip(frames, together, strict=True)]


def test_a_spelling_model_decompressed_by_a_client_is_loaded(tmp_path: Path) -> None:
    """MLflow 3.17's client does so when it downloads directly from S3."""
    spelling = SpellingModel.learn([[1, 2, 3]], n_symbols=4)
    spelling.save(tmp_path)
    (tmp_path / FILE_NAME).write_bytes(gzip.decompress((tmp_path / FILE_NAME).read_bytes()))
    assert SpellingModel.load(tmp_path) == spelling


@settings(max_examples=20, deadline=None)
@given(n_frames=st.integers(1, 5), seed=st.integers(0, 10_000), weight=st.floats(0, 1.5))
def test_the_text_with_the_best_fused_score_is_found(n_frames: int, seed: int, weight: float) -> None:
    """Against the exhaustive list of texts, each with its acoustic and fusion score."""
    frames = log_posteriors(n_frames, seed)
    spelling = SpellingModel.learn([[1, 2, 1, 2, 2], [2, 1]], N_SYMBOLS, order=3)
    spelling.weight, spelling.bonus = weight, 0.3

    def score(text: tuple[int, ...], probability: float) -> float:
        context, fusion_score = spelling.start, 0.0
        for symbol in text:
            fusion_score += (
                weight * np.log(spelling.probabilities(spelling.longest_known(context))[symbol]) + spelling.bonus
            )
            context = spelling.extend(context, symbol)
        return float(np.log(probability) + fusion_score)

    scores = {text: score(text, p) for text, p in texts_by_probability(frames).items()}
    # Symbols below a posterior of 0.001 are not expanded, so the result is the best or nearly so.
    assert scores[tuple(best(frames, spelling, beam=500))] == pytest.approx(max(scores.values()), abs=0.02)


def test_runs_of_certain_blanks_are_collapsed() -> None:
    """Symbols on both sides of a run are not merged."""
    certain, letter = [0.9996, 0.0002, 0.0002], [0.1, 0.85, 0.05]
    frames = np.log(np.array([certain] * 5 + [letter] + [certain] * 7 + [letter] + [certain], dtype=np.float32))
    assert best(frames) == [1, 1]


def test_spelling_decides_where_the_audio_is_ambiguous() -> None:
    """Acoustically 1 2 is slightly more likely than 1 3; the texts contain only 1 3."""
    ambiguous = np.log(np.array([[0.01, 0.97, 0.01, 0.01], [0.02, 0.01, 0.50, 0.47]], dtype=np.float32))
    spelling = SpellingModel.learn([[1, 3]] * 20, n_symbols=4)
    assert best(ambiguous, spelling) == [1, 2]
    spelling.weight = 0.5
    assert best(ambiguous, spelling) == [1, 3]


def test_spelling_does_not_overrule_clear_audio() -> None:
    clear = np.log(np.array([[0.001, 0.997, 0.001, 0.001], [0.001, 0.001, 0.997, 0.001]], dtype=np.float32))
    spelling = SpellingModel.learn([[1, 3]] * 20, n_symbols=4)
    spelling.weight = 0.5
    assert best(clear, spelling) == [1, 2]


@settings(max_examples=50)
@given(texts=st.lists(st.lists(st.integers(0, 4), max_size=12), max_size=6), context=st.text('\x1f !"#$', max_size=12))
def test_probabilities_are_a_distribution_after_any_context(texts: list[list[int]], context: str) -> None:
    spelling = SpellingModel.learn(texts, n_symbols=5, order=4)
    probabilities = spelling.probabilities(spelling.longest_known(context[-3:]))
    assert probabilities.sum() == pytest.approx(1)
    assert (probabilities > 0).all()


def test_witten_bell_on_a_case_by_hand() -> None:
    """One text, 1 2 1 2, and bigrams: its start was followed by 1, once."""
    spelling = SpellingModel.learn([[1, 2, 1, 2]], n_symbols=4, order=2)
    unigram = 2 / 6 + (2 / 6) * (1 / 4)  # two of four symbols seen, two kinds, uniform below
    expected = 1 / 2 + (1 / 2) * unigram  # one symbol seen after the start, of one kind
    assert spelling.probabilities(spelling.start)[1] == pytest.approx(expected)


def test_a_model_is_saved_and_loaded_the_same(tmp_path: Path) -> None:
    spelling = SpellingModel.learn([[1, 2, 3], [2, 3, 300]], n_symbols=301, order=3)
    spelling.weight, spelling.bonus = 0.8, 1.0
    spelling.save(tmp_path)
    first = (tmp_path / FILE_NAME).read_bytes()
    loaded = SpellingModel.load(tmp_path)
    assert loaded is not None
    assert loaded == spelling
    context = spelling.longest_known(spelling.extend(spelling.start, 2))
    assert np.array_equal(loaded.probabilities(context), spelling.probabilities(context))
    spelling.save(tmp_path)
    assert (tmp_path / FILE_NAME).read_bytes() == first


def test_a_folder_without_a_model_gives_none(tmp_path: Path) -> None:
    assert SpellingModel.load(tmp_path) is None


@settings(max_examples=30)
@given(
    texts=st.lists(st.lists(st.integers(0, 4), max_size=12), max_size=6),
    symbols=st.lists(st.integers(0, 4), max_size=9),
)
def test_the_scorer_gives_the_models_probabilities(texts: list[list[int]], symbols: list[int]) -> None:
    spelling = SpellingModel.learn(texts, n_symbols=5, order=4)
    spelling.weight, spelling.bonus = 0.8, 0.5
    scorer = SpellingScorer(spelling)
    state, context = np.array([[scorer.start]]), spelling.start
    for symbol in symbols:
        expected = 0.8 * np.log(spelling.probabilities(spelling.longest_known(context))) + 0.5
        assert scorer.scores(state, np.arange(5)[None])[0, 0] == pytest.approx(expected, abs=1e-4)
        state = scorer.advance(state[0], np.array([symbol]))[None]
        context = spelling.extend(context, symbol)


def test_a_long_text_is_aligned_in_order() -> None:
    frames = log_posteriors(600, 3, n_symbols=31)
    text = [1 + n % 30 for n in range(250)]
    (found,) = align([frames], [text], BLANK)
    assert [emission.symbol for emission in found] == text
    assert all(earlier.end <= later.start for earlier, later in itertools.pairwise(found))
