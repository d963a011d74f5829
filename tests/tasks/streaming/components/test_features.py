"""features: equal to the batch path."""

from __future__ import annotations

import numpy as np

from tasks.features.logmel import LogMel
from tasks.streaming.components.features import without_normalisation
from tasks.streaming.runtime.messages import (
    LiveFeatures,
    from_floats,
    from_pcm,
)
from tasks.streaming.runtime.session import Component
from tests.tasks.streaming.conftest import WEIGHTS, blocks_of, push_all


def test_features_equal_those_of_the_batch_path(components: list[Component], spoken: tuple[np.ndarray, int]) -> None:
    from tasks.recognition.ctc import features_config

    prepared = push_all(components[0], blocks_of(*spoken))
    streamed: list[LiveFeatures] = push_all(components[1], prepared)
    found = np.concatenate([from_floats(message.features, message.n_features) for message in streamed])
    audio = np.concatenate([from_pcm(message.audio) for message in prepared])
    batch = LogMel(without_normalisation(features_config(WEIGHTS), "base"))([audio])[0].numpy()
    assert found.shape == batch.shape
    assert np.abs(found - batch).max() < 1e-3
