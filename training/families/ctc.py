"""CTC models: an encoder with a linear layer, trained on the sum over all alignments (Graves et al., 2006)."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.nn.utils.rnn import pad_sequence

from tasks.contract import Reason
from tasks.features.logmel import pad_batch
from tasks.recognition.ctc import features_config, output_frames
from training.data.shards import TrainingUtterance
from training.families.acoustic import PaddedBatch
from training.families.family import ModelFamily

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class CtcModel:
    """`ParakeetForCTC` or `Wav2Vec2BertForCTC`."""

    def __init__(self, folder: Path, device: str, family: ModelFamily) -> None:
        from transformers import AutoModelForCTC, AutoTokenizer

        model: Any = AutoModelForCTC.from_pretrained(folder, dtype=torch.float32, local_files_only=True)
        # wav2vec2-BERT is published with its pre-training loss, a sum, for which no fixed learning rate fits. Its masks
        # are drawn outside torch's generator, and layerdrop drops other layers on each GPU: both are switched off.
        model.config.ctc_loss_reduction, model.config.ctc_zero_infinity = "mean", True
        if family is ModelFamily.WAV2VEC2_BERT_CTC:
            model.config.apply_spec_augment, model.config.layerdrop = False, 0.0
            if hasattr(model.wav2vec2_bert, "masked_spec_embed"):
                model.wav2vec2_bert.masked_spec_embed.requires_grad_(False)  # the mask vector: unused without masks
        else:
            model.encoder.layerdrop = model.config.encoder_config.layerdrop = 0.0
        self.family = family
        self.module: PreTrainedModel = model.to(device).train()
        self.network: torch.nn.Module = self.module
        self.features = features_config(folder)
        self.tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        unwritable = "".join(mark for mark in ".,?" if not self._can_write(mark))
        self._strip_marks = str.maketrans("", "", unwritable)
        self._blank = int(model.config.pad_token_id)
        self._device = torch.device(device)

    def rejection_reason(self, text: str, duration_s: float) -> Reason | None:
        """Return why the text does not fit the audio, or None.

        CTC emits at most one symbol per output frame, and needs a blank between two equal ones. A text that does not
        fit has an infinite loss, which `ctc_zero_infinity` would hide.
        """
        n_frames = self.features.n_frames(round(duration_s * self.features.sample_rate_hz))
        n_output = self._n_output_frames(n_frames) if n_frames else 0
        if n_output < 2:
            return Reason.TOO_SHORT
        labels = self._labels(text)
        if self.tokenizer.unk_token_id in labels:
            return Reason.ALPHABET
        n_required = len(labels) + sum(a == b for a, b in itertools.pairwise(labels))
        return Reason.CHARACTER_RATE if n_required > n_output else None

    def collate(self, utterances: Sequence[TrainingUtterance]) -> PaddedBatch:
        # features (batch, n_frames, n_features), mask (batch, n_frames)
        features, mask = pad_batch([torch.from_numpy(u.features.astype(np.float32)) for u in utterances])
        # An empty text becomes a blank: the loss ignores it, and wav2vec2-BERT takes the maximum over a batch's labels.
        labels = [torch.tensor(self._labels(u.text) or [self._blank]) for u in utterances]
        return PaddedBatch(
            features=features,
            n_frames=tuple(mask.sum(-1).tolist()),
            labels=pad_sequence(labels, batch_first=True, padding_value=self._blank),
            texts=tuple(u.text for u in utterances),
            audio_s=sum(u.duration_s for u in utterances),
            n_items=len(utterances),
        )

    def loss(self, batch: PaddedBatch) -> torch.Tensor:
        features, mask = self._inputs(batch)
        loss = self.network(input_features=features, attention_mask=mask, labels=batch.labels.to(self._device)).loss
        assert isinstance(loss, torch.Tensor)
        return loss

    @torch.no_grad()
    def decode(self, batch: PaddedBatch) -> list[str]:
        features, mask = self._inputs(batch)
        best = self.module(input_features=features, attention_mask=mask).logits.argmax(-1).cpu()  # (batch, n_output)
        n_output = [self._n_output_frames(n) for n in batch.n_frames]
        return [str(self.tokenizer.decode(ids[:n])) for ids, n in zip(best.tolist(), n_output, strict=True)]

    def _inputs(self, batch: PaddedBatch) -> tuple[torch.Tensor, torch.Tensor]:
        """Return features and attention mask `(batch, n_frames)` on the model's device."""
        lengths = torch.tensor(batch.n_frames)
        mask = torch.arange(batch.features.shape[1])[None, :] < lengths[:, None]
        return batch.features.to(self._device), mask.to(self._device)

    def _labels(self, text: str) -> list[int]:
        """Tokenise a text without the marks missing from the vocabulary: NVIDIA's Parakeet CTC has letters only."""
        return list(self.tokenizer(text.translate(self._strip_marks), add_special_tokens=False).input_ids)

    def _can_write(self, mark: str) -> bool:
        return self.tokenizer.unk_token_id not in self.tokenizer(mark, add_special_tokens=False).input_ids

    def _n_output_frames(self, n_frames: int) -> int:
        return output_frames(self.module.config, n_frames)
