"""The weights in the repository: they load offline, are small, and recognise an unseen voice."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soxr
import torch

import local.demo.base_model
from local.demo.base_model.model import SUBSAMPLING, export, make_model
from local.demo.base_model.pool import FEATURES, Utterance
from local.demo.base_model.trainer import learning_rate, word_error_rate
from local.demo.synthesis.espeak import ESPEAK_RATE_HZ, Voice, speak
from tasks.features.logmel import LogMel, pad_batch

WEIGHTS = Path(local.demo.base_model.__file__).parent / "weights"
MAX_BYTES = 10_000_000
SENTENCES = (
    "the weather in the north will be cold.",
    "the government said that more people are working this year.",
    "she was in the house when it started to rain.",
    "they have to wait for the next train.",
)


@pytest.fixture(scope="module")
def waveforms() -> list[np.ndarray]:
    voice = Voice("en", "m3", words_per_minute=150)
    return [soxr.resample(speak(text, voice), ESPEAK_RATE_HZ, FEATURES.sample_rate_hz) for text in SENTENCES]


def test_the_folder_stays_small_and_has_a_card() -> None:
    assert sum(path.stat().st_size for path in WEIGHTS.iterdir()) <= MAX_BYTES
    assert "python -m local.demo.base_model" in (WEIGHTS / "README.md").read_text()


def test_it_loads_offline_and_its_processor_computes_our_features(waveforms: list[np.ndarray]) -> None:
    from transformers import ParakeetForCTC, ParakeetProcessor

    model = ParakeetForCTC.from_pretrained(WEIGHTS, dtype=torch.float32).eval()
    processor = ParakeetProcessor.from_pretrained(WEIGHTS)
    inputs = processor(waveforms, sampling_rate=FEATURES.sample_rate_hz)
    features, mask = pad_batch(LogMel(FEATURES)(waveforms))
    n_frames = features.shape[1]  # the reference pads by a frame that it masks
    assert inputs.attention_mask[:, :n_frames].equal(mask)
    torch.testing.assert_close(inputs.input_features[:, :n_frames], features, atol=1e-4, rtol=0)
    with torch.inference_mode():
        texts = processor.batch_decode(model.generate(**inputs))
    assert any("the" in text.split() for text in texts)


def test_it_recognises_common_words_in_an_unseen_voice(waveforms: list[np.ndarray]) -> None:
    from transformers import ParakeetForCTC, ParakeetTokenizer

    model = ParakeetForCTC.from_pretrained(WEIGHTS, dtype=torch.float32)
    tokenizer = ParakeetTokenizer.from_pretrained(WEIGHTS)
    utterances = [
        Utterance(features.numpy().astype(np.float16), np.array(tokenizer(text).input_ids, dtype=np.uint8))
        for features, text in zip(LogMel(FEATURES)(waveforms), SENTENCES, strict=True)
    ]
    assert word_error_rate(model, tokenizer, utterances) < 0.7  # an untrained model has 1.0, this one about 0.5


def test_an_export_keeps_the_weights_to_half_precision(tmp_path: Path) -> None:
    from transformers import ParakeetForCTC

    torch.manual_seed(1)
    model = make_model(hidden_size=32, n_layers=1)
    export(model, tmp_path)
    again = ParakeetForCTC.from_pretrained(tmp_path, dtype=torch.float32)
    for name, tensor in model.state_dict().items():
        torch.testing.assert_close(again.state_dict()[name], tensor, atol=1e-3, rtol=1e-3)
    extractor = json.loads((tmp_path / "preprocessor_config.json").read_text())
    assert (extractor["hop_length"], extractor["feature_size"]) == (FEATURES.hop_samples, FEATURES.n_mels)


def test_the_model_has_one_output_frame_for_every_two() -> None:
    model = make_model(hidden_size=32, n_layers=1).eval()
    with torch.inference_mode():
        logits = model(input_features=torch.randn(1, 101, 80), attention_mask=torch.ones(1, 101).bool()).logits
    assert logits.shape[1] == -(-101 // SUBSAMPLING)


def test_the_learning_rate_rises_then_falls_with_the_elapsed_time() -> None:
    assert learning_rate(0, 0.0, 1.0) == pytest.approx(0.01)
    assert learning_rate(500, 0.0, 1.0) == 1.0
    rates = [learning_rate(500, share / 10, 1.0) for share in range(11)]
    assert rates == sorted(rates, reverse=True)
    assert rates[-1] == 0.01
