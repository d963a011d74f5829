"""features: equal to the batch path."""

from __future__ import annotations

import numpy as np
import torch

from tasks.features.config import whisper
from tasks.features.logmel import LogMel, whisper_range
from tasks.streaming.components import prepare
from tasks.streaming.components.features import FeaturesSession
from tasks.streaming.decoding.loading import streamed_features, without_normalisation
from tasks.streaming.runtime.messages import (
    LiveFeatures,
    from_floats,
    from_pcm,
)
from tasks.streaming.runtime.session import Component
from tests.tasks.streaming.conftest import WEIGHTS, blocks_of, push_all


def test_features_equal_those_of_the_batch_path(components: list[Component], spoken: tuple[np.ndarray, int]) -> None:
    prepared = push_all(components[0], blocks_of(*spoken))
    streamed: list[LiveFeatures] = push_all(components[1], prepared)
    found = np.concatenate([from_floats(message.features, message.n_features) for message in streamed])
    audio = np.concatenate([from_pcm(message.audio) for message in prepared])
    batch = LogMel(streamed_features(WEIGHTS))([audio])[0].numpy()
    assert found.shape == batch.shape
    assert np.abs(found - batch).max() < 1e-3


def test_frames_in_a_window_equal_whispers_features(spoken: tuple[np.ndarray, int]) -> None:
    """Streamed frames, ranged as a window, are what Whisper's extractor gives for the window's audio."""
    config = whisper()
    prepared = push_all(prepare.component(), blocks_of(*spoken))
    logmel = LogMel(without_normalisation(config, "whisper"))
    session = FeaturesSession(logmel, "s")
    streamed = [output for message in prepared for output in session.push(message)]
    frames = np.concatenate([from_floats(message.features, message.n_features) for message in streamed])
    audio = np.concatenate([from_pcm(message.audio) for message in prepared])
    n_frames = 300  # the frame after the last has audio on one side only, as a window cut off there has
    ranged = whisper_range(torch.from_numpy(frames[:n_frames].copy()), config.window_samples // config.hop_samples)
    expected = LogMel(config)([audio[: n_frames * config.hop_samples]])[0]
    difference = (ranged - expected).abs()[: n_frames - 1]
    assert difference.max() < 1e-3
    assert ranged[n_frames + 2 :].allclose(expected[n_frames + 2 :], atol=1e-3)
