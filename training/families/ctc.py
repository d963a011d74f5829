"""CTC models: an encoder with one linear layer, trained by summing over all alignments (Graves et al., 2006)."""

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
from tasks.recognition.ctc import features_of, output_frames
from training.data.shards import Utterance
from training.families.acoustic import Batch
from training.families.family import Family

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class CtcModel:
    """`ParakeetForCTC` or `Wav2Vec2BertForCTC`."""

    def __init__(self, folder: Path, device: str, family: Family) -> None:
        from transformers import AutoModelForCTC, AutoTokenizer

        model: Any = AutoModelForCTC.from_pretrained(folder, dtype=torch.float32, local_files_only=True)
        # wav2vec2-BERT is published with the loss of pre-training: a sum, which no learning rate fits for long. What
        # else it draws at random, it draws outside torch's generator (masks) or differently on each GPU (whole layers).
        model.config.ctc_loss_reduction, model.config.ctc_zero_infinity = "mean", True
        if family is Family.WAV2VEC2_BERT_CTC:
            model.config.apply_spec_augment, model.config.layerdrop = False, 0.0
            if hasattr(model.wav2vec2_bert, "masked_spec_embed"):
                model.wav2vec2_bert.masked_spec_embed.requires_grad_(False)  # what its masks would have put in
        else:
            model.encoder.layerdrop = model.config.encoder_config.layerdrop = 0.0
        self.family = family
        self.module: PreTrainedModel = model.to(device).train()
        self.network: torch.nn.Module = self.module
        self.features = features_of(folder)
        self._tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        self._mute = str.maketrans("", "", "".join(mark for mark in ".,?" if self._cannot_write(mark)))
        self._blank = int(model.config.pad_token_id)
        self._device = torch.device(device)

    def rejects(self, text: str, duration_s: float) -> Reason | None:
        """CTC writes at most one symbol a frame, and needs a blank between two equal ones. Where that does not fit,
        the loss is infinite and `ctc_zero_infinity` would hide it."""
        n_frames = self.features.n_frames(round(duration_s * self.features.sample_rate_hz))
        n_output = self._n_output_frames(n_frames) if n_frames else 0
        if n_output < 2:
            return Reason.TOO_SHORT
        labels = self._labels(text)
        if self._tokenizer.unk_token_id in labels:
            return Reason.ALPHABET
        n_needed = len(labels) + sum(a == b for a, b in itertools.pairwise(labels))
        return Reason.CHARACTER_RATE if n_needed > n_output else None

    def collate(self, utterances: Sequence[Utterance]) -> Batch:
        features, mask = pad_batch([torch.from_numpy(u.features.astype(np.float32)) for u in utterances])
        # A blank stands for no text: the loss passes over it, and wav2vec2-BERT takes the largest label of a batch.
        labels = [torch.tensor(self._labels(u.text) or [self._blank]) for u in utterances]
        return Batch(
            features=features,
            n_frames=tuple(mask.sum(-1).tolist()),
            labels=pad_sequence(labels, batch_first=True, padding_value=self._blank),
            texts=tuple(u.text for u in utterances),
            audio_s=sum(u.duration_s for u in utterances),
            weight=len(utterances),
        )

    def loss(self, batch: Batch) -> torch.Tensor:
        features, mask = self._inputs(batch)
        loss = self.network(input_features=features, attention_mask=mask, labels=batch.labels.to(self._device)).loss
        assert isinstance(loss, torch.Tensor)
        return loss

    @torch.no_grad()
    def decode(self, batch: Batch) -> list[str]:
        features, mask = self._inputs(batch)
        best = self.module(input_features=features, attention_mask=mask).logits.argmax(-1).cpu()
        n_output = [self._n_output_frames(n) for n in batch.n_frames]
        return [str(self._tokenizer.decode(ids[:n])) for ids, n in zip(best.tolist(), n_output, strict=True)]

    def _inputs(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        """Features and attention mask `(batch, n_frames)` on the model's device."""
        lengths = torch.tensor(batch.n_frames)
        mask = torch.arange(batch.features.shape[1])[None, :] < lengths[:, None]
        return batch.features.to(self._device), mask.to(self._device)

    def _labels(self, text: str) -> list[int]:
        """A text's symbols, but marks that the model does not write: NVIDIA's Parakeet CTC writes letters only."""
        return list(self._tokenizer(text.translate(self._mute), add_special_tokens=False).input_ids)

    def _cannot_write(self, mark: str) -> bool:
        return self._tokenizer.unk_token_id in self._tokenizer(mark, add_special_tokens=False).input_ids

    def _n_output_frames(self, n_frames: int) -> int:
        return output_frames(self.module.config, n_frames)
