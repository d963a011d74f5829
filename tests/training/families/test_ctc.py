"""CTC models: which targets fit, and losses of edge cases."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tasks.contract import Reason
from tests.training.tones import configured, write_parakeet, write_wav2vec2_bert
from training.data.shards import TrainingUtterance
from training.families.model_folder import load_acoustic_model

pytestmark = pytest.mark.timeout(900)  # trains small models: minutes where cores are shared


def test_impossible_targets_are_rejected(tmp_path: Path) -> None:
    model = load_acoustic_model(write_parakeet(tmp_path / "model"), "cpu")
    assert model.rejection_reason("a cab", 1.0) is None
    assert model.rejection_reason("a" * 12, 1.0) is None  # 12 letters and 11 blanks between them, in 25 frames
    assert model.rejection_reason("a" * 14, 1.0) is Reason.CHARACTER_RATE
    assert model.rejection_reason("ab" * 12, 1.0) is None
    assert model.rejection_reason("ab" * 13, 1.0) is Reason.CHARACTER_RATE
    assert model.rejection_reason("x", 0.03) is Reason.TOO_SHORT
    assert model.rejection_reason("7 up", 1.0) is Reason.ALPHABET


def test_marks_missing_in_the_vocabulary_are_no_reason_to_reject(tmp_path: Path) -> None:
    letters_alone = load_acoustic_model(write_wav2vec2_bert(tmp_path / "model"), "cpu")
    assert letters_alone.rejection_reason("so, is it? it is.", 3.0) is None
    with_marks, without = (
        letters_alone.collate([TrainingUtterance("u", np.zeros((150, 160), np.float16), text, 3.0)]).labels.tolist()
        for text in ("so, is it? it is.", "so is it it is")
    )
    assert with_marks == without
    assert letters_alone.rejection_reason("so & so", 3.0) is Reason.ALPHABET
    writes_marks = load_acoustic_model(write_parakeet(tmp_path / "parakeet"), "cpu")
    texts = ("so, yes.", "so yes")
    labels = [
        writes_marks.collate([TrainingUtterance("u", np.zeros((150, 80), np.float16), text, 3.0)]).labels
        for text in texts
    ]
    assert labels[0].shape[1] == labels[1].shape[1] + 2


def test_the_target_of_an_empty_text_is_blanks(tmp_path: Path) -> None:
    sound = TrainingUtterance("u", np.random.default_rng(0).normal(size=(100, 160)).astype(np.float16), "", 2.0)
    model = load_acoustic_model(write_wav2vec2_bert(tmp_path / "model"), "cpu")
    model.module.eval()
    batch = model.collate([sound])
    with torch.no_grad():
        logits = model.module(input_features=batch.features).logits[0]
        expected = -logits.log_softmax(-1)[:, model.module.config.pad_token_id].sum()
        torch.testing.assert_close(model.loss(batch), expected)


def test_a_wav2vec2_bert_without_mask_vector(tmp_path: Path) -> None:
    """As the usual recipe saves it: without masks, it has no mask vector."""
    unmasked = {"mask_time_prob": 0.0, "mask_feature_prob": 0.0}
    model = load_acoustic_model(configured(write_wav2vec2_bert(tmp_path / "model"), unmasked), "cpu")
    assert all(p.requires_grad for p in model.module.parameters())


def test_accepted_targets_have_a_finite_loss(tmp_path: Path) -> None:
    """At the exact boundary: `ctc_zero_infinity` would turn an infinite loss into zero."""
    model = load_acoustic_model(write_parakeet(tmp_path / "model"), "cpu")
    model.module.eval()
    model.module.config.ctc_zero_infinity = False
    rng = np.random.default_rng(0)
    for text in ("a" * 13, "ab" * 12, "hello  hello"):
        for n_frames in range(20, 60):
            rejected = model.rejection_reason(text, n_frames / 50)
            utterance = TrainingUtterance("u", rng.normal(size=(n_frames, 80)).astype(np.float16), text, n_frames / 50)
            with torch.no_grad():
                finite = bool(torch.isfinite(model.loss(model.collate([utterance]))))
            assert finite == (rejected is None), (text, n_frames)
