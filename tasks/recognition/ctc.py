"""CTC models of transformers: log-mel features in one pass, words with the times of the frames that emitted them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tasks.audio import SAMPLE_RATE_HZ
from tasks.features.config import FeaturesConfig
from tasks.features.logmel import LogMel, pad_batch
from tasks.models.description import ctc_features
from tasks.models.folder import extractor_settings
from tasks.recognition import beam, greedy
from tasks.recognition.engine import Hints, Recognition
from tasks.recognition.fusion import FusionScorer
from tasks.recognition.packing import pack
from tasks.recognition.spelling import SpellingModel, SpellingScorer
from tasks.recognition.vocabulary import VocabularyScorer, spell_as_listed
from tasks.transcripts.spans import Span

# Audio in one forward pass, including padding. On a core longer batches only fall out of the cache.
FORWARD_S = {"cpu": 40.0, "cuda": 1200.0}
BATCH_S = {"cpu": 300.0, "cuda": 1200.0}
# The encoder's convolutions and normalisation give NaN on a frame or two, and no word is shorter.
MIN_CHUNK_S = 0.1


class CtcEngine:
    """`ParakeetForCTC` or `Wav2Vec2BertForCTC`: an encoder under one linear layer.

    Decodes greedily, or by beam search if the folder has a spelling model or the hints a vocabulary.
    """

    def __init__(self, folder: Path, device: str = "auto") -> None:
        from transformers import AutoModelForCTC, AutoTokenizer
        from transformers.utils import logging

        logging.disable_progress_bar()  # loading is quick, and the bar would end up in the log
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        self._device = torch.device(device)
        dtype = torch.float16 if self._device.type == "cuda" else torch.float32
        # Upstream types `to` and the nested configuration too loosely for mypy.
        model: Any = AutoModelForCTC.from_pretrained(folder, dtype=dtype, local_files_only=True)
        self._model = model.to(self._device).eval()
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        self.blank = int(model.config.pad_token_id)
        spelling = SpellingModel.load(folder)
        self._spelling = SpellingScorer(spelling) if spelling else None
        self._symbols = tokenizer_symbols(tokenizer, self.blank)
        self.features = features_config(folder)
        self.log_mel = LogMel(self.features, self._device)
        self._config = model.config
        self._frame_ms = 1000 * subsampling_factor(model.config) / self.features.frame_rate_hz
        self._budget = int(FORWARD_S[self._device.type] * self.features.frame_rate_hz)

    @property
    def name(self) -> str:
        decoding = "beam search with spelling" if self._spelling else "greedy"
        return f"transformers {type(self._model).__name__}, {decoding}"

    @property
    def max_chunk_s(self) -> float:
        """Attention spans the whole chunk, and lengths that are rare in training cost more without being better
        recognised (base model: 12 to 30 s are equal within 0.4 points of WER, 8 s is a point worse)."""
        return 16.0

    @property
    def join_pause_s(self) -> float:
        """Short, because silence costs as much as speech."""
        return 0.6

    @property
    def batch_s(self) -> float:
        return BATCH_S[self._device.type]

    @property
    def has_fixed_window(self) -> bool:
        return False

    @property
    def detects_languages(self) -> bool:
        return False

    def detect_languages(self, chunks: Sequence[np.ndarray]) -> list[dict[str, float]]:  # noqa: ARG002
        """See `Engine.detect_languages`: a CTC model does not."""
        return []

    def detect_languages_within(
        self,
        chunk: np.ndarray,  # noqa: ARG002
        stretches: Sequence[Span],  # noqa: ARG002
    ) -> list[dict[str, float]]:
        """See `Engine.detect_languages_within`: a CTC model does not."""
        return []

    def recognise(
        self, chunks: Sequence[np.ndarray], hints: Sequence[Hints] | None = None, fallback: bool = False
    ) -> list[Recognition]:
        """See `Engine.recognise`. The fallback is greedy decoding: acoustic scores alone."""
        n_frames = [self.features.n_frames(len(chunk)) for chunk in chunks]
        min_frames = int(MIN_CHUNK_S * self.features.frame_rate_hz)
        long_enough = [index for index, frames in enumerate(n_frames) if frames > min_frames]
        log_posteriors: dict[int, np.ndarray] = {}
        for batch in pack([n_frames[index] for index in long_enough], self._budget):
            indexes = [long_enough[position] for position in batch]
            features = self.log_mel([chunks[index] for index in indexes])  # (n_frames, n_mels) each
            log_posteriors.update(zip(indexes, self.log_posteriors(features), strict=True))
        recognitions = [Recognition(())] * len(chunks)
        by_vocabulary: dict[tuple[str, ...], list[int]] = defaultdict(list)
        for index in long_enough:
            by_vocabulary[hints[index].vocabulary if hints and not fallback else ()].append(index)
        for vocabulary, indexes in by_vocabulary.items():
            emissions_by_chunk = self._emissions([log_posteriors.pop(index) for index in indexes], vocabulary, fallback)
            for index, emissions in zip(indexes, emissions_by_chunk, strict=True):
                duration_ms = len(chunks[index]) * 1000 // SAMPLE_RATE_HZ
                words = greedy.to_words(emissions, self._symbols, self._frame_ms, duration_ms)
                recognitions[index] = Recognition(spell_as_listed(words, hints[index].vocabulary if hints else ()))
        return recognitions

    def recognise_features(self, features: torch.Tensor, duration_ms: int) -> Recognition:
        """Recognise one utterance from its normalised features, `(n_frames, n_features)`."""
        if len(features) <= int(MIN_CHUNK_S * self.features.frame_rate_hz):
            return Recognition(())
        (emissions,) = self._emissions(self.log_posteriors([features]), (), fallback=False)
        return Recognition(greedy.to_words(emissions, self._symbols, self._frame_ms, duration_ms))

    def _emissions(
        self, log_posteriors: list[np.ndarray], vocabulary: tuple[str, ...], fallback: bool
    ) -> list[list[greedy.Emission]]:
        scorers: list[FusionScorer] = [self._spelling] if self._spelling and not fallback else []
        if vocabulary:
            scorers.append(VocabularyScorer(vocabulary, self._symbols))
        if not scorers:
            return [
                greedy.collapse(frames.argmax(axis=-1), np.exp(frames.max(axis=-1)), self.blank)
                for frames in log_posteriors
            ]
        return beam.align(log_posteriors, beam.search(log_posteriors, self.blank, scorers), self.blank)

    @torch.inference_mode()
    def log_posteriors(self, features: Sequence[torch.Tensor]) -> list[np.ndarray]:
        """Run one forward pass over utterances' features, `(n_frames, n_mels)` each. Return the symbols' log posteriors
        (natural), `(n_output_frames, n_symbols)` float32 each."""
        batch, mask = pad_batch(features)  # (batch, n_frames, n_mels), (batch, n_frames)
        batch = batch.to(self._device, self._model.dtype)
        logits = self._model(input_features=batch, attention_mask=mask.to(self._device)).logits
        log_posteriors = logits.float().log_softmax(dim=-1).cpu().numpy()  # (batch, n_output_frames, n_symbols)
        return [log_posteriors[row, : self.n_output_frames(len(f))] for row, f in enumerate(features)]

    def n_output_frames(self, n_frames: int) -> int:
        """See `output_frames`."""
        return output_frames(self._config, n_frames)


def subsampling_factor(config: Any) -> int:
    """Feature frames per output frame."""
    if config.model_type == "parakeet_ctc":
        return int(config.encoder_config.subsampling_factor)
    return int(config.adapter_stride**config.num_adapter_layers) if config.add_adapter else 1


def output_frames(config: Any, n_frames: int) -> int:
    """Output frames after the strided convolutions of a model's encoder, or of its adapter."""
    if config.model_type == "parakeet_ctc":
        encoder = config.encoder_config
        kernel, stride = encoder.subsampling_conv_kernel_size, encoder.subsampling_conv_stride
        factor, padding = encoder.subsampling_factor, (kernel - 1) // 2
    else:
        kernel, stride = config.adapter_kernel_size, config.adapter_stride
        factor, padding = subsampling_factor(config), kernel // 2
    while factor > 1:
        n_frames = (n_frames + 2 * padding - kernel) // stride + 1
        factor //= stride
    return n_frames


def tokenizer_symbols(tokenizer: Any, blank: int) -> tuple[greedy.Symbol, ...]:
    """The text of each model output. A word delimiter token (`|`) is a space, not a special token."""
    tokens = tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))
    silent = {*tokenizer.all_special_ids, blank}
    if delimiter := getattr(tokenizer, "word_delimiter_token", None):
        silent.discard(tokenizer.word_delimiter_token_id)
        tokens = [" " if token == delimiter else token for token in tokens]
    return greedy.symbol_table(tokens, silent)


def features_config(folder: Path) -> FeaturesConfig:
    """The feature configuration of a saved CTC model."""
    return ctc_features(extractor_settings(folder))
