"""The bootstrap: coverage on known distributions, pairing, and its rate of false positives."""

from __future__ import annotations

import numpy as np
import pytest

from training.scoring.bootstrap import paired_difference, rate_interval


def test_interval_covers_the_true_rate_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    true_rate, covered, n_trials = 0.1, 0, 60
    for trial in range(n_trials):
        lengths = rng.integers(50, 200, 40)
        errors = rng.binomial(lengths, true_rate)
        found = rate_interval(errors, lengths, seed=trial)
        covered += found.low <= true_rate <= found.high
    assert covered / n_trials == pytest.approx(0.95, abs=0.06)


def test_the_rate_is_a_ratio_of_sums() -> None:
    found = rate_interval(np.array([10, 0]), np.array([10, 990]))
    assert found.value == pytest.approx(0.01)


def test_paired_difference_detects_what_two_intervals_hide() -> None:
    """Units vary much more than the models differ: only pairing shows that one is consistently better."""
    rng = np.random.default_rng(1)
    lengths = np.full(30, 100)
    champion = rng.integers(5, 60, 30)
    challenger = champion - rng.integers(0, 3, 30)
    ours, theirs = rate_interval(challenger, lengths), rate_interval(champion, lengths)
    assert ours.high > theirs.low  # the intervals overlap
    found = paired_difference(challenger, champion, lengths)
    assert found.high < 0
    assert found.p_better > 0.99


def test_equal_models_are_not_better() -> None:
    errors = np.array([3, 1, 4, 1, 5, 9, 2, 6])
    found = paired_difference(errors, errors, np.full(8, 50))
    assert found.p_better == pytest.approx(0.5)
    assert found.difference == 0


def test_a_coin_flip_is_rarely_called_better() -> None:
    """Two models that differ by chance alone: the 95 % rule is wrong about one time in twenty."""
    rng = np.random.default_rng(2)
    wrong = 0
    for trial in range(80):
        lengths = np.full(25, 80)
        a, b = rng.binomial(lengths, 0.1), rng.binomial(lengths, 0.1)
        wrong += paired_difference(a, b, lengths, seed=trial).p_better >= 0.95
    assert wrong / 80 < 0.15


def test_a_single_unit_gives_a_point() -> None:
    found = rate_interval(np.array([2]), np.array([10]))
    assert (found.low, found.high) == (0.2, 0.2)
