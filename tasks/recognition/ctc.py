"""CTC models of transformers: log-mel in, one pass, words from the frames on which their symbols were emitted."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tasks.features.config import Family, FeaturesConfig
from tasks.features.logmel import LogMel, pad_batch
from tasks.recognition import beam, greedy
from tasks.recognition.engine import SAMPLE_RATE_HZ, Recognition
from tasks.recognition.packing import pack
from tasks.recognition.spelling import SpellingModel

# Audio that goes through the model at once, padding counted. On a core longer batches only leave the cache.
BATCH_S = {"cpu": 40.0, "cuda": 1200.0}
# The encoder's convolutions and normalisation give NaN on a frame or two, and no word is shorter.
SHORTEST_S = 0.1


class CtcEngine:
    """`ParakeetForCTC`: a FastConformer encoder under one linear layer.

    Decodes greedily, or with the spelling model that lies in the folder.
    """

    def __init__(self, folder: Path, device: str = "auto") -> None:
        from transformers import AutoTokenizer, ParakeetForCTC
        from transformers.utils import logging

        logging.disable_progress_bar()  # loading is quick, and its bar would stand in the log
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        self._device = torch.device(device)
        dtype = torch.float16 if self._device.type == "cuda" else torch.float32
        # `to` and the nested configuration are typed too loosely upstream to be followed.
        model: Any = ParakeetForCTC.from_pretrained(folder, dtype=dtype, local_files_only=True)
        self._model = model.to(self._device).eval()
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        self.blank = int(model.config.pad_token_id)
        self.spelling = SpellingModel.load(folder)
        tokens = tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))
        self._symbols = greedy.vocabulary(tokens, {*tokenizer.all_special_ids, self.blank})
        self.features = features_of(folder)
        self._logmel = LogMel(self.features, self._device)
        self._encoder = model.config.encoder_config
        self._frame_ms = 1000 * self._encoder.subsampling_factor / self.features.frame_rate_hz
        self._budget = int(BATCH_S[self._device.type] * self.features.frame_rate_hz)

    @property
    def name(self) -> str:
        return f"transformers ParakeetForCTC, {'beam search with spelling' if self.spelling else 'greedy'}"

    @property
    def longest_chunk_s(self) -> float:
        """Attention goes over the whole chunk. What training has hardly seen is no better understood (measured with
        the base model: 12 to 30 s are equal within 0.4 points of WER, 8 s is a point worse) and costs more."""
        return 16.0

    def recognise(self, chunks: Sequence[np.ndarray]) -> list[Recognition]:
        """See `Engine.recognise`."""
        n_frames = [self.features.n_frames(len(chunk)) for chunk in chunks]
        shortest = int(SHORTEST_S * self.features.frame_rate_hz)
        long_enough = [index for index, frames in enumerate(n_frames) if frames > shortest]
        recognitions = [Recognition(())] * len(chunks)
        for batch in pack([n_frames[index] for index in long_enough], self._budget):
            indexes = [long_enough[position] for position in batch]
            for index, found in zip(indexes, self._decode([chunks[i] for i in indexes]), strict=True):
                recognitions[index] = found
        return recognitions

    def _decode(self, chunks: list[np.ndarray]) -> list[Recognition]:
        features = self._logmel(chunks)  # (n_frames, n_mels) each
        return [
            Recognition(
                greedy.words(
                    self._emissions(log_posteriors),
                    self._symbols,
                    self._frame_ms,
                    len(chunk) * 1000 // SAMPLE_RATE_HZ,
                )
            )
            for chunk, log_posteriors in zip(chunks, self.log_posteriors(features), strict=True)
        ]

    def _emissions(self, log_posteriors: np.ndarray) -> list[greedy.Emission]:
        if self.spelling is None:
            best = log_posteriors.argmax(axis=-1)
            return greedy.emissions(best, np.exp(log_posteriors.max(axis=-1)), self.blank)
        found = beam.search(log_posteriors, self.blank, self.spelling)
        return beam.align(log_posteriors, found, self.blank)

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
        """Frames after the encoder's strided convolutions."""
        kernel, stride = self._encoder.subsampling_conv_kernel_size, self._encoder.subsampling_conv_stride
        factor = self._encoder.subsampling_factor
        while factor > 1:
            n_frames = (n_frames + (kernel - 1) // 2 * 2 - kernel) // stride + 1
            factor //= 2
        return n_frames


def features_of(folder: Path) -> FeaturesConfig:
    """The features that a saved Parakeet asks for, from its `preprocessor_config.json`."""
    saved: dict[str, Any] = json.loads((folder / "preprocessor_config.json").read_bytes())
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
