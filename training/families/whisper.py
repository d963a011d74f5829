"""Whisper: an encoder over a 30-second window, and a decoder prompted with language and task."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.nn.utils.rnn import pad_sequence

from tasks.contract import Reason
from tasks.features.config import FeaturesConfig, whisper
from tasks.recognition.whisper import NO_SPEECH_THRESHOLD
from training.data.shards import TrainingUtterance
from training.families.acoustic import PaddedBatch
from training.families.encodings import EncodingCache
from training.families.family import ModelFamily
from training.families.whisper_tokens import IGNORED_LABEL, SPEECH_LABEL, WhisperTokens

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class Whisper:
    """`WhisperForConditionalGeneration`."""

    family = ModelFamily.WHISPER

    def __init__(self, folder: Path, device: str, language: str) -> None:
        from transformers import WhisperForConditionalGeneration

        model: Any = WhisperForConditionalGeneration.from_pretrained(folder, dtype=torch.float32, local_files_only=True)
        # Masks would be drawn outside torch's generator, and layerdrop would drop other layers on each GPU.
        model.config.apply_spec_augment = False
        model.model.encoder.layerdrop = model.model.decoder.layerdrop = 0.0
        self.module: PreTrainedModel = model.to(device).train()
        self.network: torch.nn.Module = self.module
        self.features = features_config(folder)
        self._n_positions = int(model.config.max_target_positions)
        is_multilingual = bool(model.generation_config.is_multilingual)
        self.tokens = WhisperTokens(folder, language, self._n_positions, is_multilingual=is_multilingual)
        self.tokenizer = self.tokens.tokenizer
        self.generate_options: dict[str, Any] = (
            {"language": self.tokens.language, "task": "transcribe"} if is_multilingual else {}
        )
        self._generate = model.generate
        self._device = torch.device(device)
        self.encodings: EncodingCache | None = None

    def freeze_encoder(self, folder: Path) -> None:
        """Train the decoder alone, and keep the encoder's outputs in `folder`."""
        self.module.get_encoder().requires_grad_(requires_grad=False)
        self.encodings = EncodingCache(folder, self._encode)

    def rejection_reason(self, text: str, duration_s: float) -> Reason | None:
        """Return why the utterance exceeds the 30-second window or the decoder's token limit, or None."""
        if duration_s > self.features.window_samples / self.features.sample_rate_hz:
            return Reason.TOO_LONG
        return None if self.tokens.fits(text) else Reason.CHARACTER_RATE

    def collate(self, utterances: Sequence[TrainingUtterance]) -> PaddedBatch:
        # (batch, n_frames, n_mels), every utterance in a full window
        features = torch.stack([torch.from_numpy(u.features.astype(np.float32)) for u in utterances])
        sequences = [self.tokens.sequence(u) for u in utterances]
        rate_hz = self.features.frame_rate_hz
        return PaddedBatch(
            features=features,
            n_frames=tuple(min(int(u.duration_s * rate_hz) + 1, features.shape[1]) for u in utterances),
            labels=_padded([s.labels for s in sequences], IGNORED_LABEL),
            texts=tuple(u.text for u in utterances),
            audio_s=sum(u.duration_s for u in utterances),
            n_items=sum(label != IGNORED_LABEL for s in sequences for label in s.labels),
            decoder_inputs=_padded([s.inputs for s in sequences], self.tokens.start),
        )

    def loss(self, batch: PaddedBatch) -> torch.Tensor:
        inputs = batch.decoder_inputs
        assert inputs is not None
        encoder: dict[str, Any] = (
            {"encoder_outputs": (self._encoded(batch),)}
            if self.encodings
            else {"input_features": batch.features.transpose(1, 2).to(self._device)}
        )
        logits = self.network(**encoder, decoder_input_ids=inputs.to(self._device)).logits
        labels = batch.labels.to(self._device)
        return token_losses(logits, labels, self.tokens.no_speech).mean()

    @torch.no_grad()
    def decode(self, batch: PaddedBatch) -> list[str]:
        from transformers.modeling_outputs import BaseModelOutput

        encoded: Any = BaseModelOutput(last_hidden_state=self._encoded(batch))
        ids = self._generate(encoder_outputs=encoded, num_beams=1, do_sample=False, **self.generate_options)
        no_speech = self._no_speech_probabilities(encoded)
        return ["" if p > NO_SPEECH_THRESHOLD else text for text, p in zip(self.texts_of(ids), no_speech, strict=True)]

    def _encoded(self, batch: PaddedBatch) -> torch.Tensor:
        """Return the encoder's outputs without gradients, `(batch, n_positions, d_model)`."""
        if self.encodings:
            return self.encodings(batch.features).to(self._device, torch.float32)
        return self._encode(batch.features)

    @torch.no_grad()
    def _encode(self, features: torch.Tensor) -> torch.Tensor:
        """Encode windows `(n, n_frames, n_mels)`: `(n, n_positions, d_model)`."""
        encoder: Any = self.module.get_encoder()
        # the encoder takes (n, n_mels, n_frames)
        encoded: torch.Tensor = encoder.eval()(features.transpose(1, 2).to(self._device)).last_hidden_state
        return encoded

    def _no_speech_probabilities(self, encoded: Any) -> list[float]:
        """Return each window's no-speech probability as engines compute it: at the first token after the start."""
        n_windows = len(encoded.last_hidden_state)
        if self.tokens.no_speech is None:
            return [0.0] * n_windows
        start = torch.full((n_windows, 1), self.tokens.start, device=self._device)
        logits = self.module(encoder_outputs=encoded, decoder_input_ids=start).logits[:, 0]  # (n_windows, vocabulary)
        probabilities: list[float] = logits.float().softmax(-1)[:, self.tokens.no_speech].tolist()
        return probabilities

    def texts_of(self, ids: Any) -> list[str]:
        """Detokenise sequences of tokens, without special tokens."""
        return [text.strip() for text in self.tokenizer.batch_decode(ids, skip_special_tokens=True)]

    @property
    def prompt(self) -> list[int]:
        """The prompt of a text without timestamps: start, language, task."""
        return self.tokens.prompt

    @property
    def max_text_tokens(self) -> int:
        """Maximum number of tokens generated after the prompt."""
        return min(int(self.module.generation_config.max_length), self._n_positions - len(self.prompt))


def token_losses(logits: torch.Tensor, labels: torch.Tensor, no_speech: int | None) -> torch.Tensor:
    """Return the losses of the labels `(batch, n)` that are in the loss, given `(batch, n, vocabulary)`."""
    # The logits of ignored positions are left out before they become float32: they take most of a step's memory.
    scored = labels >= 0
    losses = torch.nn.functional.cross_entropy(logits[scored].float(), labels[scored], reduction="none")
    if no_speech is None:
        return losses
    at_start = logits[labels == SPEECH_LABEL].float()  # (n_speech, vocabulary)
    is_silent = at_start[:, no_speech] - at_start.logsumexp(-1)  # log probability of no-speech
    return torch.cat([losses, -torch.log1p(-is_silent.exp().clamp(max=1 - 1e-6))])


def _padded(rows: Sequence[list[int]], value: int) -> torch.Tensor:
    return pad_sequence([torch.tensor(row) for row in rows], batch_first=True, padding_value=value)


def features_config(folder: Path) -> FeaturesConfig:
    """Return the features that a saved Whisper takes: 80 mels, or 128 from large-v3 on."""
    config = json.loads((folder / "config.json").read_bytes())
    return whisper(n_mels=config["num_mel_bins"])
