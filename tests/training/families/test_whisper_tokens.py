"""Whisper's sequences: prompts, timestamps, what is in the loss, and the merges of its tokenizer."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.training.tones import write_whisper
from training.data.shards import Segment, TrainingUtterance
from training.families.whisper import token_losses
from training.families.whisper_tokens import IGNORED_LABEL, SPEECH_LABEL, WhisperTokens

FEATURES = np.zeros((1, 1), np.float16)


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> WhisperTokens:
    folder = write_whisper(tmp_path_factory.mktemp("whisper") / "model")
    return WhisperTokens(folder, "en-GB", 64, is_multilingual=True)


def names(tokens: WhisperTokens, ids: list[int]) -> list[str]:
    unscored = {IGNORED_LABEL: "-", SPEECH_LABEL: "speech"}
    return [unscored.get(i) or tokens.tokenizer.convert_ids_to_tokens(i) for i in ids]


def test_a_text_follows_its_prompt_and_the_prompt_is_not_in_the_loss(tokens: WhisperTokens) -> None:
    found = tokens.sequence(TrainingUtterance("u", FEATURES, "ab", 1.0))
    assert names(tokens, found.inputs)[:4] == ["<|startoftranscript|>", "<|en|>", "<|transcribe|>", "<|notimestamps|>"]
    assert names(tokens, found.labels) == ["speech", "-", "-", "Ġ", "a", "b", "<|endoftext|>"]


def test_segments_stand_between_their_timestamps(tokens: WhisperTokens) -> None:
    spans = (Segment("a", 0.0, 1.5), Segment("b", 1.5, 2.01))
    found = tokens.sequence(TrainingUtterance("u", FEATURES, "a b", 2.01, segments=spans, with_timestamps=True))
    assert names(tokens, found.labels) == [
        *("speech", "-", "<|0.00|>", "Ġ", "a", "<|1.50|>", "<|1.50|>", "Ġ", "b"),
        *("<|2.00|>", "<|endoftext|>"),
    ]
    assert "<|notimestamps|>" not in names(tokens, found.inputs)


def test_previous_text_comes_first_and_gives_way(tokens: WhisperTokens) -> None:
    found = tokens.sequence(TrainingUtterance("u", FEATURES, "ab", 1.0, previous_text="cd ef"))
    assert names(tokens, found.inputs)[:8] == ["<|startofprev|>", *"Ġcd", *"Ġef", "<|startoftranscript|>"]
    assert names(tokens, found.labels)[:8] == ["-"] * 7 + ["speech"]
    crowded = tokens.sequence(TrainingUtterance("u", FEATURES, "a" * 55, 9.0, previous_text="b" * 99))
    assert len(crowded.inputs) <= 64
    long = tokens.sequence(TrainingUtterance("u", FEATURES, "a", 9.0, previous_text="c" * 99))
    assert names(tokens, long.inputs)[:32] == ["<|startofprev|>", *"c" * 31], "half of the positions, its end"


def test_timestamps_give_way_where_they_do_not_fit(tokens: WhisperTokens) -> None:
    spans = tuple(Segment("ab", n, n + 1.0) for n in range(14))  # 42 tokens, 28 timestamps
    found = tokens.sequence(
        TrainingUtterance("u", FEATURES, " ".join(s.text for s in spans), 14.0, segments=spans, with_timestamps=True)
    )
    assert "<|notimestamps|>" in names(tokens, found.inputs)
    assert len(found.inputs) <= 64


def test_non_speech_is_the_no_speech_token_whatever_was_said_before(tokens: WhisperTokens) -> None:
    found = tokens.sequence(TrainingUtterance("u", FEATURES, "", 2.0, previous_text="ab", with_timestamps=True))
    assert names(tokens, found.inputs) == ["<|startoftranscript|>"]
    assert names(tokens, found.labels) == ["<|nospeech|>"]


def test_speech_tells_that_it_is_speech_and_not_in_which_language() -> None:
    logits = torch.zeros(1, 1, 4, requires_grad=True)
    loss = token_losses(logits, torch.tensor([[SPEECH_LABEL]]), no_speech=2)
    assert loss.item() == pytest.approx(-math.log(3 / 4))
    loss.sum().backward()
    assert logits.grad is not None
    down, *others = logits.grad[0, 0, [2, 0, 1, 3]].tolist()
    assert down > 0
    assert others == pytest.approx([others[0]] * 3)
    assert others[0] < 0
    certain = torch.tensor([[[0.0, 0.0, 200.0, 0.0]]])
    assert token_losses(certain, torch.tensor([[SPEECH_LABEL]]), no_speech=2).isfinite().all()


def test_the_first_merge_of_the_multilingual_tokenizer_is_mended(whisper_base: Path, tmp_path: Path) -> None:
    """` to` and ` the` are tokens, and without the merge of space and t no text is written with them."""
    shutil.copy(whisper_base / "tokenizer.json", tmp_path / "tokenizer.json")
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "WhisperTokenizer"}))
    tokens = WhisperTokens(tmp_path, "en", 448, is_multilingual=True)
    text = "The man that they told to try this went there."
    ids = tokens.text(text)
    assert "Ġ" not in names(tokens, ids)
    assert len(ids) == 11
    assert tokens.tokenizer.decode(ids) == f" {text}"
