"""A batch as training sees it: warped voices, now and then a sound without speech, and hidden parts."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from tasks.features.config import Family
from training.data.augmentation import SpecAugment, VoiceWarp
from training.data.nonspeech import random_nonspeech
from training.data.shards import Utterance

if TYPE_CHECKING:
    from training.families import AcousticModel, Batch

NONSPEECH_SHARE = 0.25  # of the batches hold one sound without speech
LONGEST_NONSPEECH_S = 8.0


class Augmenter:
    """Makes one family's batches. Runs in the loader's thread."""

    def __init__(self, model: AcousticModel) -> None:
        from tasks.features.logmel import LogMel

        self._model = model
        self._logmel = LogMel(model.features)
        self._warp = VoiceWarp()
        self._mask = SpecAugment(frame_rate_hz=model.features.frame_rate_hz)

    def __call__(self, utterances: list[Utterance], rng: np.random.Generator) -> Batch:
        seen = [self._warped(utterance, rng) for utterance in utterances]
        if rng.random() < NONSPEECH_SHARE:
            longest_s = min(LONGEST_NONSPEECH_S, max(utterance.duration_s for utterance in seen))
            seen.append(self._nonspeech(rng.uniform(0.3, 1.0) * longest_s, rng))
        batch = self._model.collate(seen)
        self._mask(batch.features, list(batch.n_frames), rng)
        return batch

    def _warped(self, utterance: Utterance, rng: np.random.Generator) -> Utterance:
        """Another voice and pace, where the words still fit. A window of fixed length is left as it is."""
        longer, wider = self._warp.factors(rng)
        duration_s = utterance.duration_s * longer
        if self._model.features.family is Family.WHISPER or self._model.rejects(utterance.text, duration_s):
            return utterance
        return replace(utterance, features=self._warp(utterance.features, longer, wider), duration_s=duration_s)

    def _nonspeech(self, duration_s: float, rng: np.random.Generator) -> Utterance:
        config = self._model.features
        n_samples = max(round(duration_s * config.sample_rate_hz), 4 * config.n_fft)
        features = self._logmel([random_nonspeech(n_samples, rng)])[0].numpy()
        return Utterance("", features, "", n_samples / config.sample_rate_hz)
