"""CTC models of transformers: log-mel in, one pass, words from the frames on which their symbols were emitted."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tasks.audio import SAMPLE_RATE_HZ
from tasks.features.config import Family, FeaturesConfig, kaldi
from tasks.features.logmel import LogMel, pad_batch
from tasks.recognition import beam, greedy
from tasks.recognition.engine import Hints, Recognition
from tasks.recognition.guide import Guide
from tasks.recognition.packing import pack
from tasks.recognition.spelling import SpellingGuide, SpellingModel
from tasks.recognition.vocabulary import VocabularyGuide, written

# Audio that goes through the model at once, padding counted. On a core longer batches only leave the cache.
BATCH_S = {"cpu": 40.0, "cuda": 1200.0}
PORTION_S = {"cpu": 300.0, "cuda": 1200.0}
# The encoder's convolutions and normalisation give NaN on a frame or two, and no word is shorter.
SHORTEST_S = 0.1


class CtcEngine:
    """`ParakeetForCTC` or `Wav2Vec2BertForCTC`: an encoder under one linear layer.

    Decodes greedily, or by beam search where a spelling model lies in the folder or a vocabulary is given.
    """

    def __init__(self, folder: Path, device: str = "auto") -> None:
        from transformers import AutoModelForCTC, AutoTokenizer
        from transformers.utils import logging

        logging.disable_progress_bar()  # loading is quick, and its bar would stand in the log
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        self._device = torch.device(device)
        dtype = torch.float16 if self._device.type == "cuda" else torch.float32
        # `to` and the nested configuration are typed too loosely upstream to be followed.
        model: Any = AutoModelForCTC.from_pretrained(folder, dtype=dtype, local_files_only=True)
        self._model = model.to(self._device).eval()
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        self.blank = int(model.config.pad_token_id)
        spelling = SpellingModel.load(folder)
        self._spelling = SpellingGuide(spelling) if spelling else None
        self._symbols = symbols_of(tokenizer, self.blank)
        self.features = features_of(folder)
        self.log_mel = LogMel(self.features, self._device)
        self._config = model.config
        self._frame_ms = 1000 * subsampling_factor(model.config) / self.features.frame_rate_hz
        self._budget = int(BATCH_S[self._device.type] * self.features.frame_rate_hz)

    @property
    def name(self) -> str:
        how = "beam search with spelling" if self._spelling else "greedy"
        return f"transformers {type(self._model).__name__}, {how}"

    @property
    def longest_chunk_s(self) -> float:
        """Attention goes over the whole chunk. What training has hardly seen is no better understood (measured with
        the base model: 12 to 30 s are equal within 0.4 points of WER, 8 s is a point worse) and costs more."""
        return 16.0

    @property
    def join_pause_s(self) -> float:
        """Silence costs as much as speech."""
        return 0.6

    @property
    def portion_s(self) -> float:
        return PORTION_S[self._device.type]

    @property
    def has_fixed_window(self) -> bool:
        return False

    @property
    def tells_languages(self) -> bool:
        return False

    def languages(self, chunks: Sequence[np.ndarray]) -> list[dict[str, float]]:  # noqa: ARG002
        """See `Engine.languages`: a CTC model does not tell."""
        return []

    def recognise(
        self, chunks: Sequence[np.ndarray], hints: Sequence[Hints] | None = None, careful: bool = False
    ) -> list[Recognition]:
        """See `Engine.recognise`. Carefully is greedily: by the audio alone."""
        n_frames = [self.features.n_frames(len(chunk)) for chunk in chunks]
        shortest = int(SHORTEST_S * self.features.frame_rate_hz)
        heard = [index for index, frames in enumerate(n_frames) if frames > shortest]
        log_posteriors: dict[int, np.ndarray] = {}
        for batch in pack([n_frames[index] for index in heard], self._budget):
            indexes = [heard[position] for position in batch]
            features = self.log_mel([chunks[index] for index in indexes])  # (n_frames, n_mels) each
            log_posteriors.update(zip(indexes, self.log_posteriors(features), strict=True))
        recognitions = [Recognition(())] * len(chunks)
        by_vocabulary: dict[tuple[str, ...], list[int]] = defaultdict(list)
        for index in heard:
            by_vocabulary[hints[index].vocabulary if hints and not careful else ()].append(index)
        for vocabulary, indexes in by_vocabulary.items():
            found = self._emissions([log_posteriors.pop(index) for index in indexes], vocabulary, careful)
            for index, emissions in zip(indexes, found, strict=True):
                duration_ms = len(chunks[index]) * 1000 // SAMPLE_RATE_HZ
                words = greedy.words(emissions, self._symbols, self._frame_ms, duration_ms)
                recognitions[index] = Recognition(written(words, hints[index].vocabulary if hints else ()))
        return recognitions

    def recognise_features(self, features: torch.Tensor, duration_ms: int) -> Recognition:
        """One utterance of which there are only the features, normalised, `(n_frames, n_features)`."""
        if len(features) <= int(SHORTEST_S * self.features.frame_rate_hz):
            return Recognition(())
        (emissions,) = self._emissions(self.log_posteriors([features]), (), careful=False)
        return Recognition(greedy.words(emissions, self._symbols, self._frame_ms, duration_ms))

    def _emissions(
        self, log_posteriors: list[np.ndarray], vocabulary: tuple[str, ...], careful: bool
    ) -> list[list[greedy.Emission]]:
        guides: list[Guide] = [self._spelling] if self._spelling and not careful else []
        if vocabulary:
            guides.append(VocabularyGuide(vocabulary, self._symbols))
        if not guides:
            return [
                greedy.emissions(frames.argmax(axis=-1), np.exp(frames.max(axis=-1)), self.blank)
                for frames in log_posteriors
            ]
        return beam.align(log_posteriors, beam.search(log_posteriors, self.blank, guides), self.blank)

    @torch.inference_mode()
    def log_posteriors(self, features: Sequence[torch.Tensor]) -> list[np.ndarray]:
        """For each utterance's features `(n_frames, n_mels)`, one batch: natural logarithms of the symbols'
        posteriors, `(n_output_frames, n_symbols)` float32."""
        batch, mask = pad_batch(features)
        batch = batch.to(self._device, self._model.dtype)
        logits = self._model(input_features=batch, attention_mask=mask.to(self._device)).logits
        found = logits.float().log_softmax(dim=-1).cpu().numpy()  # (batch, n_output_frames, n_symbols)
        return [found[row, : self.n_output_frames(len(f))] for row, f in enumerate(features)]

    def n_output_frames(self, n_frames: int) -> int:
        """See `output_frames`."""
        return output_frames(self._config, n_frames)


def subsampling_factor(config: Any) -> int:
    """How many frames of features one frame of a model's output stands for."""
    if config.model_type == "parakeet_ctc":
        return int(config.encoder_config.subsampling_factor)
    return int(config.adapter_stride**config.num_adapter_layers) if config.add_adapter else 1


def output_frames(config: Any, n_frames: int) -> int:
    """Frames after the strided convolutions of a model's encoder, or of the adapter on it."""
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


def symbols_of(tokenizer: Any, blank: int) -> tuple[greedy.Symbol, ...]:
    """What each output of a model writes. Where a token parts words (`|`), that is no special token but a space."""
    tokens = tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))
    silent = {*tokenizer.all_special_ids, blank}
    if delimiter := getattr(tokenizer, "word_delimiter_token", None):
        silent.discard(tokenizer.word_delimiter_token_id)
        tokens = [" " if token == delimiter else token for token in tokens]
    return greedy.vocabulary(tokens, silent)


def features_of(folder: Path) -> FeaturesConfig:
    """The features that a saved CTC model asks for, from its `preprocessor_config.json`."""
    saved: dict[str, Any] = json.loads((folder / "preprocessor_config.json").read_bytes())
    if saved.get("feature_extractor_type") == "SeamlessM4TFeatureExtractor":
        return kaldi(saved["num_mel_bins"], per_feature_norm=True, stride=saved["stride"])
    return FeaturesConfig(
        family=Family.PARAKEET,
        n_mels=saved["feature_size"],
        hop_samples=saved["hop_length"],
        win_samples=saved["win_length"],
        n_fft=saved["n_fft"],
        sample_rate_hz=saved["sampling_rate"],
        preemphasis=saved["preemphasis"],
        per_feature_norm=True,
    )
