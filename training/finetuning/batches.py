"""Makes training batches: texts in written form, audio and feature augmentation, occasional non-speech, SpecAugment."""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
    from training.families.acoustic import AcousticModel, PaddedBatch
    from training.finetuning.recipe import Recipe

NONSPEECH_SHARE = 0.25  # share of the batches with one example without speech
MAX_NONSPEECH_S = 8.0
N_SOUNDS = 64  # different ones with a frozen encoder, which encodes each once

# Pre-training had both; a decoder tuned without them forgets to tell times or to follow a prompt, such as a vocabulary.
TIMESTAMP_SHARE = 0.3
PREVIOUS_TEXT_SHARE = 0.2


class BatchMaker:
    """Collates and augments batches for one model by its recipe. Runs in the loader's threads."""

    def __init__(
        self,
        model: AcousticModel,
        recipe: Recipe,
        share: Share | None = None,
        written: Callable[[Sequence[TrainingUtterance]], list[TrainingUtterance]] | None = None,
    ) -> None:
        """`written` returns utterances with their texts in written form; None leaves texts as they are."""
        from tasks.features.logmel import LogMel

        self._model, self._recipe, self._share = model, recipe, share or Share()
        self._logmel = LogMel(model.features)
        self._written = written
        self._changes_features = not recipe.frozen_encoder
        self._augment = AudioAugment(model.features, recipe.speed_share, recipe.noise_share)
        self._warp = VoiceWarp()
        self._mask = SpecAugment(frame_rate_hz=model.features.frame_rate_hz * model.features.stride)

    def __call__(self, draw: BatchDraw) -> PaddedBatch:
        """Make this process's share of the batch. An empty share becomes a batch with `n_items` 0, because every rank
        must take the step."""
        slots = self._share.indices(draw.n_utterances + 1)  # the last slot is for a sound without speech
        rngs = [augmentation_rng(self._recipe.seed, draw.position, slot) for slot in slots or [0]]
        utterances = self._written(draw.utterances) if self._written else draw.utterances
        utterances = [self._augment_audio(u, rng) for u, rng in zip(utterances, rngs, strict=False)]
        if self._model.features.window_samples:
            utterances = [self._choose_prompt(u, rng) for u, rng in zip(utterances, rngs, strict=False)]
        if self._recipe.augment:
            utterances = [self._warp_voice(u, rng) for u, rng in zip(utterances, rngs, strict=False)]
            if len(rngs) > len(utterances) and rngs[-1].random() < NONSPEECH_SHARE:
                max_s = min(MAX_NONSPEECH_S, draw.longest_s)
                utterances.append(self._nonspeech(rngs[-1].uniform(0.3, 1.0) * max_s, rngs[-1]))
        if not utterances:
            return replace(self._model.collate([self._nonspeech(0.3, rngs[0])]), n_items=0, audio_s=0.0)
        batch = self._model.collate(utterances)
        if self._recipe.augment and self._changes_features:
            stride = self._model.features.stride
            # (batch, n_frames, stride * n_mels) to (batch, stride * n_frames, n_mels)
            spectra = batch.features.view(len(utterances), -1, self._model.features.n_mels)
            self._mask(spectra, [stride * n for n in batch.n_frames], rngs[: len(utterances)])
        return batch

    def _augment_audio(self, utterance: TrainingUtterance, rng: np.random.Generator) -> TrainingUtterance:
        """Change speed or add noise, unless the text would no longer fit."""
        if not self._changes_features:
            return utterance
        changed = self._augment(utterance, rng)
        if changed is not utterance and self._model.rejection_reason(changed.text, changed.duration_s):
            return utterance
        return changed

    def _choose_prompt(self, utterance: TrainingUtterance, rng: np.random.Generator) -> TrainingUtterance:
        """Choose whether a decoder writes timestamps, and whether it is told the previous text.

        A previous text without capitals is not told where texts are restored to their written form: it is not restored.
        """
        with_timestamps, with_previous = rng.random(2) < (TIMESTAMP_SHARE, PREVIOUS_TEXT_SHARE)
        before = utterance.previous_text
        is_written = not self._written or before != before.lower()
        return replace(
            utterance,
            with_timestamps=bool(with_timestamps),
            previous_text=before if with_previous and is_written else "",
        )

    def _warp_voice(self, utterance: TrainingUtterance, rng: np.random.Generator) -> TrainingUtterance:
        """Change voice and pace, unless the text would no longer fit. Whisper's fixed window is left as it is."""
        longer, wider = self._warp.factors(rng)
        duration_s = utterance.duration_s * longer
        if self._model.features.family is FeatureFamily.WHISPER or self._model.rejection_reason(
            utterance.text, duration_s
        ):
            return utterance
        stride, (n_frames, n_features) = self._model.features.stride, utterance.features.shape
        spectra = utterance.features.reshape(n_frames * stride, self._model.features.n_mels)
        warped = self._warp(spectra, longer, wider)  # (n_frames * stride * longer, n_mels)
        features = warped[: len(warped) // stride * stride].reshape(-1, n_features)
        return replace(utterance, features=features, duration_s=duration_s)

    def _nonspeech(self, duration_s: float, rng: np.random.Generator) -> TrainingUtterance:
        config = self._model.features
        if not self._changes_features:
            rng = np.random.default_rng([self._recipe.seed, int(rng.integers(N_SOUNDS))])
            duration_s = rng.uniform(0.3, 1.0) * MAX_NONSPEECH_S
        n_samples = max(round(duration_s * config.sample_rate_hz), 4 * config.n_fft)
        features = self._logmel([random_nonspeech(n_samples, rng)])[0].numpy()
        return TrainingUtterance("", features, "", n_samples / config.sample_rate_hz)
