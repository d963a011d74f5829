"""Convert a Whisper to CTranslate2, and measure how its transcripts differ from the original's."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import torch

from tasks.contract import InputRejected, Reason
from tasks.dataset.integrity import verify_shards
from tasks.dataset.manifest import Split, load_manifest
from tasks.models.folder import CTRANSLATE2_FOLDER
from tasks.models.whisper import ctranslate2_folder
from tasks.transcripts.error_counts import ErrorCounts, total
from tasks.transcripts.normaliser import normalise
from training.families.converted_whisper import ConvertedWhisper
from training.families.model_folder import load_acoustic_model
from training.families.whisper import Whisper
from training.finetuning.session import index_split
from training.finetuning.validation import take_sample
from training.scoring.errors import word_errors

BATCH_WINDOWS = 8
PARITY_SECONDS = 300.0  # speech that both models transcribe


@dataclass(frozen=True)
class Parity:
    """Original and converted model on the same utterances, decoded greedily from the same features."""

    split: str
    utterances: int
    differing: int
    """Number of utterances transcribed differently."""
    original: ErrorCounts
    converted: ErrorCounts

    @property
    def change(self) -> float:
        """The converted model's WER minus the original's."""
        return self.converted.rate - self.original.rate


def convert(trained: Path, quantization: str, scratch: Path) -> Path:
    """Copy the model, and write its CTranslate2 form into a subfolder. Return the copy's folder."""
    folder = scratch / "converted"
    shutil.copytree(trained, folder, ignore=shutil.ignore_patterns(CTRANSLATE2_FOLDER))
    ctranslate2_folder.convert(folder, folder / CTRANSLATE2_FOLDER, quantization)
    return folder


def measure_parity(folder: Path, dataset: str, converted: Path | None = None) -> Parity:
    """Transcribe a fixed sample of the dataset with the model in `folder` and with its CTranslate2 form.

    Raises:
        InputRejected: neither the validation nor the test split has an utterance that fits the model.
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    manifest, _ = load_manifest(dataset)
    model = load_acoustic_model(folder, device, manifest.language)
    assert isinstance(model, Whisper)
    for split in (Split.VALIDATION, Split.TEST):
        verify_shards(manifest, [split])
        material = index_split(model, manifest.uris(split))
        if len(material.index):
            break
    else:
        raise InputRejected(
            "has no usable validation or test utterance to compare original and conversion on",
            reason=Reason.NO_INPUT,
            subject=dataset,
            next_step="give the dataset a validation split",
        )
    batch_frames = BATCH_WINDOWS * model.features.n_frames(0)
    batches = take_sample(model, material.reader, material.index, PARITY_SECONDS, batch_frames).batches
    model.module.eval()
    original = [text for batch in batches for text in model.decode(batch)]
    converted_model = ConvertedWhisper(converted or folder / CTRANSLATE2_FOLDER, model, device)
    converted_texts = [text for batch in batches for text in converted_model.decode(batch)]
    references = [normalise(text) for batch in batches for text in batch.texts]
    return Parity(
        split=split,
        utterances=len(references),
        differing=sum(a != b for a, b in zip(original, converted_texts, strict=True)),
        original=_errors(references, original),
        converted=_errors(references, converted_texts),
    )


def _errors(references: list[str], hypotheses: list[str]) -> ErrorCounts:
    return total(word_errors(r, normalise(h)) for r, h in zip(references, hypotheses, strict=True))
