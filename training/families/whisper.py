"""Whisper: an encoder over a 30-second window, and a decoder that writes text after a prompt of its task."""

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
from tasks.recognition.whisper import NO_SPEECH, NO_SPEECH_TOKENS
from training.data.shards import Utterance
from training.families.acoustic import Batch
from training.families.family import Family

if TYPE_CHECKING:
    from transformers import PreTrainedModel

IGNORED_LABEL = -100  # torch's cross entropy leaves it out


class Whisper:
    """`WhisperForConditionalGeneration`."""

    family = Family.WHISPER

    def __init__(self, folder: Path, device: str, language: str) -> None:
        from transformers import AutoTokenizer, WhisperForConditionalGeneration

        model: Any = WhisperForConditionalGeneration.from_pretrained(folder, dtype=torch.float32, local_files_only=True)
        # It would draw masks outside torch's generator, and leave out other layers on each GPU.
        model.config.apply_spec_augment = False
        model.model.encoder.layerdrop = model.model.decoder.layerdrop = 0.0
        self.module: PreTrainedModel = model.to(device).train()
        self.network: torch.nn.Module = self.module
        self.features = features_of(folder)
        self._tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        self._prompt: dict[str, Any] = {}
        if model.generation_config.is_multilingual:
            language = _language_of(language)
            self._tokenizer.set_prefix_tokens(language=language, task="transcribe", predict_timestamps=False)
            self._prompt = {"language": language, "task": "transcribe"}
        known = self._tokenizer.get_vocab()
        self._no_speech: int | None = next((known[token] for token in NO_SPEECH_TOKENS if token in known), None)
        self._generate = model.generate
        self._n_positions = int(model.config.max_target_positions)
        self._device = torch.device(device)

    def rejects(self, text: str, duration_s: float) -> Reason | None:
        """The window holds 30 seconds and the decoder a fixed number of tokens; what passes them would be cut."""
        if duration_s > self.features.window_samples / self.features.sample_rate_hz:
            return Reason.TOO_LONG
        return Reason.CHARACTER_RATE if len(self._labels(text)) > self._n_positions else None

    def collate(self, utterances: Sequence[Utterance]) -> Batch:
        features = torch.stack([torch.from_numpy(u.features.astype(np.float32)) for u in utterances])
        labels = [torch.tensor(self._labels(u.text)[1:]) for u in utterances]  # the model puts the first one itself
        rate_hz = self.features.frame_rate_hz
        return Batch(
            features=features,
            n_frames=tuple(min(int(u.duration_s * rate_hz) + 1, features.shape[1]) for u in utterances),
            labels=pad_sequence(labels, batch_first=True, padding_value=IGNORED_LABEL),
            texts=tuple(u.text for u in utterances),
            audio_s=sum(u.duration_s for u in utterances),
            weight=sum(len(tokens) for tokens in labels),
        )

    def loss(self, batch: Batch) -> torch.Tensor:
        loss = self.network(
            input_features=batch.features.transpose(1, 2).to(self._device), labels=batch.labels.to(self._device)
        ).loss
        assert isinstance(loss, torch.Tensor)
        return loss

    @torch.no_grad()
    def decode(self, batch: Batch) -> list[str]:
        encoded = self.module.get_encoder()(batch.features.transpose(1, 2).to(self._device))
        texts = self.text_of(self._generate(encoder_outputs=encoded, num_beams=1, do_sample=False, **self._prompt))
        return ["" if p > NO_SPEECH else text for text, p in zip(texts, self._no_speech_of(encoded), strict=True)]

    def _no_speech_of(self, encoded: Any) -> list[float]:
        """How probable it is that nobody speaks, as engines ask: by the first token after the start."""
        n_windows = len(encoded.last_hidden_state)
        if self._no_speech is None:
            return [0.0] * n_windows
        start = torch.full((n_windows, 1), self.module.config.decoder_start_token_id, device=self._device)
        logits = self.module(encoder_outputs=encoded, decoder_input_ids=start).logits[:, 0]
        found: list[float] = logits.float().softmax(-1)[:, self._no_speech].tolist()
        return found

    def text_of(self, ids: Any) -> list[str]:
        """What sequences of tokens write, special ones left out."""
        return [text.strip() for text in self._tokenizer.batch_decode(ids, skip_special_tokens=True)]

    @property
    def prompt(self) -> list[int]:
        """The tokens before a text without times: start, language, task."""
        return list(self._tokenizer("").input_ids[:-1])  # without what ends a text

    @property
    def longest_text(self) -> int:
        """Tokens that are generated at most, after the prompt."""
        return min(int(self.module.generation_config.max_length), self._n_positions - len(self.prompt))

    def _labels(self, text: str) -> list[int]:
        """A text after its prompt. Of sound without speech only that there is none, and no language, as in
        pre-training (Radford et al., 2022, section 2.3): the end of a text is never allowed first."""
        tokens = list(self._tokenizer(text).input_ids)
        return tokens if text or self._no_speech is None else [tokens[0], self._no_speech]


def _language_of(tag: str) -> str:
    """Whisper's own name of a language, `en` of `en-GB`. Raises Misconfigured for one that it does not know."""
    from transformers.models.whisper.tokenization_whisper import LANGUAGES

    language = tag.partition("-")[0].lower()
    if language not in LANGUAGES:
        raise Misconfigured(
            f"Whisper does not know the language {tag!r}",
            reason=Reason.INVALID_ARGUMENT,
            subject="the dataset's language",
            next_step=f"make a dataset in one of {', '.join(sorted(LANGUAGES))}, or take a CTC base",
        )
    return language


def features_of(folder: Path) -> FeaturesConfig:
    """The features that a saved Whisper asks for: 80 mels, or 128 from large-v3 on."""
    saved = json.loads((folder / "preprocessor_config.json").read_bytes())
    return whisper(n_mels=saved["feature_size"])
