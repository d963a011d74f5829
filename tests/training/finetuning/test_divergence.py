"""When a training run is ended as diverged, and when not."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tasks.contract import Reason, StepError
from training.finetuning.divergence import LossMonitor
from training.finetuning.schedule import learning_rate


def monitor_of(losses: list[float]) -> LossMonitor:
    monitor = LossMonitor()
    for loss in losses:
        monitor.update(loss, 1.0)
    return monitor


def test_a_falling_loss_with_spikes_is_not_divergence() -> None:
    rng = np.random.default_rng(0)
    losses = [10 * math.exp(-i / 40) + abs(rng.normal(0, 0.5)) + 5 * (i % 50 == 49) for i in range(400)]
    monitor = monitor_of(losses)
    assert monitor.smoothed < 2


def test_one_bad_step_is_skipped_three_end_the_run() -> None:
    monitor = LossMonitor()
    assert not monitor.update(math.nan, 1.0)
    assert not monitor.update(1.0, math.inf)
    assert monitor.update(1.0, 1.0)
    monitor.update(math.nan, 1.0)
    monitor.update(math.nan, 1.0)
    with pytest.raises(StepError) as raised:
        monitor.update(math.nan, 1.0)
    assert raised.value.reason is Reason.DIVERGED


def test_a_rising_loss_ends_the_run() -> None:
    with pytest.raises(StepError, match="rose from"):
        monitor_of([0.5] * 30 + [0.5 + i for i in range(60)])


def test_learning_rate_rises_then_falls() -> None:
    rates = [learning_rate(step, 400, 1e-3) for step in range(400)]
    peak = rates.index(max(rates))
    assert max(rates) == pytest.approx(1e-3)
    assert rates[:peak] == sorted(rates[:peak])
    assert rates[peak:] == sorted(rates[peak:], reverse=True)
    assert rates[-1] == pytest.approx(2e-5)
    assert learning_rate(0, 1, 1e-3) == 1e-3


def test_a_single_outlier_does_not_end_the_run() -> None:
    losses = [50.0 if step == 94 else 0.7 for step in range(200)]
    assert monitor_of(losses).smoothed < 1
    with pytest.raises(StepError, match="rose from"):
        monitor_of(losses + [50.0] * 10)
