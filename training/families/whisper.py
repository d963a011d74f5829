"""Whisper: an encoder over a 30-second window, and a decoder prompted with language and task."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.nn.utils.rnn import pad_sequence

from tasks.contract import Misconfigured, Reason
from tasks.features.config import FeaturesConfig, whisper
from tasks.recognition.whisper import NO_SPEECH_THRESHOLD, NO_SPEECH_TOKENS
from training.data.shards import TrainingUtterance
from training.families.acoustic import PaddedBatch
from training.families.family import ModelFamily

if TYPE_CHECKING:
    from transformers import PreTrainedModel

IGNORED_LABEL = -100  # ignored by torch's cross entropy


class Whisper:
    """`WhisperForConditionalGeneration`."""

    family = ModelFamily.WHISPER

    def __init__(self, folder: Path, device: str, language: str) -> None:
        from transformers import AutoTokenizer, WhisperForConditionalGeneration

        model: Any = WhisperForConditionalGeneration.from_pretrained(folder, dtype=torch.float32, local_files_only=True)
        # Masks would be drawn outside torch's generator, and layerdrop would drop other layers on each GPU.
        model.config.apply_spec_augment = False
        model.model.encoder.layerdrop = model.model.decoder.layerdrop = 0.0
        self.module: PreTrainedModel = model.to(device).train()
        self.network: torch.nn.Module = self.module
        self.features = features_config(folder)
        self.tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        self.generate_options: dict[str, Any] = {}
        if model.generation_config.is_multilingual:
            language = _whisper_language(language)
            self.tokenizer.set_prefix_tokens(language=language, task="transcribe", predict_timestamps=False)
            self.generate_options = {"language": language, "task": "transcribe"}
        known = self.tokenizer.get_vocab()
        self._no_speech: int | None = next((known[token] for token in NO_SPEECH_TOKENS if token in known), None)
        self._generate = model.generate
        self._n_positions = int(model.config.max_target_positions)
        self._device = torch.device(device)

    def rejection_reason(self, text: str, duration_s: float) -> Reason | None:
        """Return why the utterance exceeds the 30-second window or the decoder's token limit, or None."""
        if duration_s > self.features.window_samples / self.features.sample_rate_hz:
            return Reason.TOO_LONG
        return Reason.CHARACTER_RATE if len(self._labels(text)) > self._n_positions else None

    def collate(self, utterances: Sequence[TrainingUtterance]) -> PaddedBatch:
        # (batch, n_frames, n_mels), every utterance in a full window
        features = torch.stack([torch.from_numpy(u.features.astype(np.float32)) for u in utterances])
        labels = [torch.tensor(self._labels(u.text)[1:]) for u in utterances]  # the model prepends the start token
        rate_hz = self.features.frame_rate_hz
        return PaddedBatch(
            features=features,
            n_frames=tuple(min(int(u.duration_s * rate_hz) + 1, features.shape[1]) for u in utterances),
            labels=pad_sequence(labels, batch_first=True, padding_value=IGNORED_LABEL),
            texts=tuple(u.text for u in utterances),
            audio_s=sum(u.duration_s for u in utterances),
            n_items=sum(len(tokens) for tokens in labels),
        )

    def loss(self, batch: PaddedBatch) -> torch.Tensor:
        loss = self.network(
            input_features=batch.features.transpose(1, 2).to(self._device), labels=batch.labels.to(self._device)
        ).loss
        assert isinstance(loss, torch.Tensor)
        return loss

    @torch.no_grad()
    def decode(self, batch: PaddedBatch) -> list[str]:
        # the encoder takes (batch, n_mels, n_frames)
        encoded = self.module.get_encoder()(batch.features.transpose(1, 2).to(self._device))
        ids = self._generate(encoder_outputs=encoded, num_beams=1, do_sample=False, **self.generate_options)
        no_speech = self._no_speech_probabilities(encoded)
        return ["" if p > NO_SPEECH_THRESHOLD else text for text, p in zip(self.texts_of(ids), no_speech, strict=True)]

    def _no_speech_probabilities(self, encoded: Any) -> list[float]:
        """Return each window's no-speech probability as engines compute it: at the first token after the start."""
        n_windows = len(encoded.last_hidden_state)
        if self._no_speech is None:
            return [0.0] * n_windows
        start = torch.full((n_windows, 1), self.module.config.decoder_start_token_id, device=self._device)
        logits = self.module(encoder_outputs=encoded, decoder_input_ids=start).logits[:, 0]  # (n_windows, vocabulary)
        probabilities: list[float] = logits.float().softmax(-1)[:, self._no_speech].tolist()
        return probabilities

    def texts_of(self, ids: Any) -> list[str]:
        """Detokenise sequences of tokens, without special tokens."""
        return [text.strip() for text in self.tokenizer.batch_decode(ids, skip_special_tokens=True)]

    @property
    def prompt(self) -> list[int]:
        """The prompt of a text without timestamps: start, language, task."""
        return list(self.tokenizer("").input_ids[:-1])  # without the end-of-text token

    @property
    def max_text_tokens(self) -> int:
        """Maximum number of tokens generated after the prompt."""
        return min(int(self.module.generation_config.max_length), self._n_positions - len(self.prompt))

    def _labels(self, text: str) -> list[int]:
        """Return a text's tokens after its prompt.

        Non-speech is the no-speech token alone, without language, as in pre-training (Radford et al., 2022, section
        2.3): decoding never allows end-of-text first.
        """
        tokens = list(self.tokenizer(text).input_ids)
        return tokens if text or self._no_speech is None else [tokens[0], self._no_speech]


def _whisper_language(tag: str) -> str:
    """Return Whisper's code for a language: `en` for `en-GB`. Raises Misconfigured for one that it does not know."""
    from transformers.models.whisper.tokenization_whisper import LANGUAGES

    language = tag.partition("-")[0].lower()
    if language not in LANGUAGES:
        raise Misconfigured(
            f"Whisper does not know the language {tag!r}",
            reason=Reason.INVALID_ARGUMENT,
            subject="the dataset's language",
            next_step=f"use a dataset in one of {', '.join(sorted(LANGUAGES))}, or a CTC base model",
        )
    return language


def features_config(folder: Path) -> FeaturesConfig:
    """Return the features that a saved Whisper takes: 80 mels, or 128 from large-v3 on."""
    saved = json.loads((folder / "preprocessor_config.json").read_bytes())
    return whisper(n_mels=saved["feature_size"])
