"""Whisper: its window, its prompt, and the no-speech token."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from tasks.contract import Misconfigured, Reason
from tasks.models.folder import CTRANSLATE2_FOLDER
from tasks.recognition import Hints
from tests.training.tones import write_whisper
from training.data.shards import TrainingUtterance
from training.families.converted_whisper import ConvertedWhisper
from training.families.model_folder import load_acoustic_model, save_acoustic_model
from training.families.whisper import Whisper
from training.families.whisper_tokens import IGNORED_LABEL, SPEECH_LABEL
from training.finetuning import conversion

pytestmark = pytest.mark.timeout(900)  # trains small models: minutes where cores are shared


def test_utterances_beyond_window_or_token_limit_are_rejected(tmp_path: Path) -> None:
    model = load_acoustic_model(write_whisper(tmp_path / "model"), "cpu")
    assert model.rejection_reason("a cab", 30.0) is None
    assert model.rejection_reason("a cab", 30.1) is Reason.TOO_LONG
    assert model.rejection_reason("a" * 500, 20.0) is Reason.CHARACTER_RATE


def test_training_labels_have_the_decoding_prompt(tmp_path: Path) -> None:
    model = load_acoustic_model(write_whisper(tmp_path / "model"), "cpu")
    batch = model.collate([TrainingUtterance("u", np.zeros((3000, 80), np.float16), "ab", 1.0)])
    tokens = model.tokenizer.convert_ids_to_tokens(batch.decoder_inputs[0].tolist())
    assert tokens == ["<|startoftranscript|>", "<|en|>", "<|transcribe|>", "<|notimestamps|>", "Ġ", "a", "b"]
    labels = batch.labels[0].tolist()
    assert labels[:3] == [SPEECH_LABEL, IGNORED_LABEL, IGNORED_LABEL], "decoders set the prompt"
    assert model.tokenizer.convert_ids_to_tokens(labels[3:]) == ["Ġ", "a", "b", "<|endoftext|>"]


def test_no_speech_is_learned_and_recognised_by_all_decoders(tmp_path: Path) -> None:
    """By training's decoding, by the parity check and by the production engine. As upstream, end-of-text first and
    special tokens are suppressed."""
    from tasks.features.logmel import LogMel
    from tasks.recognition import load_engine

    folder = write_whisper(tmp_path / "model")
    config = json.loads((folder / "generation_config.json").read_text())
    end, n_tokens = config["eos_token_id"], json.loads((folder / "config.json").read_text())["vocab_size"]
    config |= {"begin_suppress_tokens": [end], "suppress_tokens": list(range(end + 1, n_tokens))}
    (folder / "generation_config.json").write_text(json.dumps(config))
    model = load_acoustic_model(folder, "cpu")
    assert isinstance(model, Whisper)
    noise = np.random.default_rng(0).normal(0, 0.05, 24_000).astype(np.float32)
    tone = np.sin(np.arange(24_000) * 0.2).astype(np.float32)
    sounds = zip(LogMel(model.features)([noise, tone]), ("", "ab"), strict=True)
    batch = model.collate([TrainingUtterance("u", features.numpy(), text, 1.5) for features, text in sounds])
    optimizer = torch.optim.AdamW(model.module.parameters(), lr=1e-2)
    for _ in range(60):
        model.loss(batch).backward()
        optimizer.step()
        optimizer.zero_grad()
    model.module.eval()
    assert model.decode(batch) == ["", "ab"]
    save_acoustic_model(model.module, folder, tmp_path / "saved")
    converted = conversion.convert(tmp_path / "saved", "float32", tmp_path) / CTRANSLATE2_FOLDER
    assert ConvertedWhisper(converted, model, "cpu").decode(batch) == ["", "ab"]
    found = load_engine(tmp_path / "saved", "cpu").recognise([noise, tone], [Hints("en")] * 2)
    assert [bool(recognition.words) for recognition in found] == [False, True]
    assert model.tokenizer.convert_ids_to_tokens(batch.labels[0][:1].tolist()) == ["<|nospeech|>"]
    assert batch.labels[0][1:].eq(IGNORED_LABEL).all()


def test_without_a_no_speech_token_non_speech_is_an_empty_text(tmp_path: Path) -> None:
    folder = write_whisper(tmp_path / "model")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).write_text((folder / name).read_text().replace("<|nospeech|>", "<|other|>"))
    model = load_acoustic_model(folder, "cpu")
    batch = model.collate([TrainingUtterance("u", np.zeros((3000, 80), np.float16), "", 1.0)])
    assert batch.labels[0, :3].eq(IGNORED_LABEL).all()
    assert model.tokenizer.convert_ids_to_tokens(batch.labels[0, 3:].tolist()) == ["<|endoftext|>"]
    assert len(model.decode(batch)) == 1


def test_language_tags_with_a_region_are_accepted_and_unknown_languages_refused(tmp_path: Path) -> None:
    folder = write_whisper(tmp_path / "model")
    assert load_acoustic_model(folder, "cpu", "en-GB").generate_options["language"] == "en"  # type: ignore[attr-defined]
    with pytest.raises(Misconfigured, match="tlh"):
        load_acoustic_model(folder, "cpu", "tlh")
