"""A batch as training sees it: warped voices, now and then a sound without speech, and hidden parts."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from tasks.features.config import FeatureFamily
from training.data.audio_augmentation import AudioAugment
from training.data.feature_augmentation import SpecAugment, VoiceWarp, augmentation_rng
from training.data.loader import BatchDraw, Share
from training.data.nonspeech import random_nonspeech
from training.data.shards import TrainingUtterance

if TYPE_CHECKING:
    from training.families import AcousticModel, PaddedBatch
    from training.finetuning.recipe import Recipe

NONSPEECH_SHARE = 0.25  # of the batches hold one sound without speech
MAX_NONSPEECH_S = 8.0


class BatchMaker:
    """Makes one family's batches, as the recipe says. Runs in the loader's thread."""

    def __init__(self, model: AcousticModel, recipe: Recipe, share: Share | None = None) -> None:
        from tasks.features.logmel import LogMel

        self._model, self._recipe, self._share = model, recipe, share or Share()
        self._logmel = LogMel(model.features)
        self._sound = AudioAugment(model.features, recipe.speed_share, recipe.noise_share)
        self._warp = VoiceWarp()
        self._mask = SpecAugment(frame_rate_hz=model.features.frame_rate_hz * model.features.stride)

    def __call__(self, draw: BatchDraw) -> PaddedBatch:
        """This process's part of the batch. If it has none, something without weight: it must take the step too."""
        places = self._share.of(draw.n_utterances + 1)  # the last place is for a sound without speech
        rngs = [augmentation_rng(self._recipe.seed, draw.position, place) for place in places or [0]]
        seen = [self._sounded(utterance, rng) for utterance, rng in zip(draw.utterances, rngs, strict=False)]
        if self._recipe.augment:
            seen = [self._warped(utterance, rng) for utterance, rng in zip(seen, rngs, strict=False)]
            if len(rngs) > len(seen) and rngs[-1].random() < NONSPEECH_SHARE:
                longest_s = min(MAX_NONSPEECH_S, draw.longest_s)
                seen.append(self._nonspeech(rngs[-1].uniform(0.3, 1.0) * longest_s, rngs[-1]))
        if not seen:
            return replace(self._model.collate([self._nonspeech(0.3, rngs[0])]), weight=0, audio_s=0.0)
        batch = self._model.collate(seen)
        if self._recipe.augment:
            stride = self._model.features.stride
            spectra = batch.features.view(len(seen), -1, self._model.features.n_mels)
            self._mask(spectra, [stride * n for n in batch.n_frames], rngs[: len(seen)])
        return batch

    def _sounded(self, utterance: TrainingUtterance, rng: np.random.Generator) -> TrainingUtterance:
        """Another pace or noise behind it, where the words still fit."""
        changed = self._sound(utterance, rng)
        if changed is not utterance and self._model.rejection_reason(changed.text, changed.duration_s):
            return utterance
        return changed

    def _warped(self, utterance: TrainingUtterance, rng: np.random.Generator) -> TrainingUtterance:
        """Another voice and pace, where the words still fit. A window of fixed length is left as it is."""
        longer, wider = self._warp.factors(rng)
        duration_s = utterance.duration_s * longer
        if self._model.features.family is FeatureFamily.WHISPER or self._model.rejection_reason(
            utterance.text, duration_s
        ):
            return utterance
        stride, (n_frames, n_features) = self._model.features.stride, utterance.features.shape
        spectra = utterance.features.reshape(n_frames * stride, self._model.features.n_mels)
        warped = self._warp(spectra, longer, wider)
        features = warped[: len(warped) // stride * stride].reshape(-1, n_features)
        return replace(utterance, features=features, duration_s=duration_s)

    def _nonspeech(self, duration_s: float, rng: np.random.Generator) -> TrainingUtterance:
        config = self._model.features
        n_samples = max(round(duration_s * config.sample_rate_hz), 4 * config.n_fft)
        features = self._logmel([random_nonspeech(n_samples, rng)])[0].numpy()
        return TrainingUtterance("", features, "", n_samples / config.sample_rate_hz)
