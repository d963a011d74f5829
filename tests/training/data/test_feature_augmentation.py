"""SpecAugment masks, warps, and synthetic non-speech."""

from __future__ import annotations

import numpy as np
import pytest

from tests.training.tones import say
from training.data.feature_augmentation import SpecAugment, VoiceWarp, augmentation_rng
from training.data.nonspeech import random_nonspeech
from training.data.order import Position


def test_masks_hide_a_bounded_part_and_nothing_beyond_the_utterance() -> None:
    import torch

    mask = SpecAugment()
    for batch in range(20):
        features = torch.ones(3, 400, 80) * torch.arange(1, 401)[None, :, None]
        before = features.clone()
        mask(features, [400, 100, 30], [augmentation_rng(0, Position(0, batch), place) for place in range(3)])
        changed = features != before
        assert not changed[1, 100:].any()
        assert not changed[2, 30:].any()
        assert changed[0].float().mean() < 0.6


def test_the_same_position_has_the_same_masks() -> None:
    a, b = (augmentation_rng(3, Position(2, 9), 1).random(4) for _ in range(2))
    np.testing.assert_array_equal(a, b)
    assert augmentation_rng(3, Position(2, 10), 1).random() != a[0]
    assert augmentation_rng(3, Position(2, 9), 2).random() != a[0]


def test_a_warp_by_1_is_the_identity_and_others_move_a_ridge() -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(100, 80)).astype(np.float32)
    warp = VoiceWarp()
    np.testing.assert_allclose(warp(features, 1.0, 1.0), features, atol=1e-5)
    ridge = np.zeros((100, 80), np.float32)
    ridge[50, 40] = 1.0
    moved = warp(ridge, 1.1, 1.1)
    assert moved.shape == (110, 80)
    frame, mel = np.unravel_index(moved.argmax(), moved.shape)
    assert (frame, mel) == (pytest.approx(55, abs=1), pytest.approx(44, abs=1))
    for _ in range(50):
        longer, wider = warp.factors(rng)
        assert warp(features, longer, wider).shape == (round(100 * longer), 80)


def test_nonspeech_has_the_requested_length() -> None:
    rng = np.random.default_rng(0)
    for n in (1600, 16_000, 50_001):
        sound = random_nonspeech(n, rng)
        assert sound.shape == (n,)
        assert sound.dtype == np.float32
        assert np.isfinite(sound).all()
        assert 0 < np.abs(sound).max() <= 1
    assert not np.array_equal(random_nonspeech(1600, rng), random_nonspeech(1600, rng))
    assert len(say("ab", rng)) > 1600
