"""Speed perturbation and noise: as strong as requested, and the same whenever a batch is made."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tasks.audio import SAMPLE_RATE_HZ
from tasks.contract.recipe import PresetName
from tasks.dataset import flac
from tasks.dataset.manifest import load_manifest
from tests.training.tones import TONES_HZ, say, write_dataset, write_wav2vec2_bert
from training.data.audio_augmentation import AudioAugment, add_noise, change_speed
from training.data.loader import BatchDraw
from training.data.order import Position
from training.data.shards import ShardReader, TrainingUtterance
from training.families.model_folder import load_acoustic_model
from training.finetuning.batches import BatchMaker
from training.finetuning.recipe import load_preset


def test_faster_is_shorter_and_higher() -> None:
    tone = say("a", np.random.default_rng(0))
    faster = change_speed(tone, 1.1, SAMPLE_RATE_HZ)
    assert len(faster) == pytest.approx(len(tone) / 1.1, abs=2)
    spectrum = np.abs(np.fft.rfft(faster))
    peak_hz = spectrum.argmax() * SAMPLE_RATE_HZ / len(faster)
    assert peak_hz == pytest.approx(1.1 * TONES_HZ["a"], rel=0.03)


@pytest.mark.parametrize("snr_db", [5.0, 30.0])
def test_noise_has_the_requested_snr(snr_db: float) -> None:
    rng = np.random.default_rng(0)
    speech, noise = say("abc", rng), rng.normal(size=len(say("abc", rng))).astype(np.float32)
    added = add_noise(speech, noise, snr_db) - speech
    found = 10 * np.log10(np.mean(np.square(speech)) / np.mean(np.square(added)))
    assert found == pytest.approx(snr_db, abs=0.1)


def test_shares_are_kept_and_utterances_without_audio_stay_unchanged(dataset: str) -> None:
    reader = ShardReader(load_manifest(dataset)[0].uris("train"), with_audio=True)
    assert reader.has_audio
    utterances = [u for group in range(len(reader.groups)) for u in reader.read(group)]
    from tasks.features.config import parakeet

    config = parakeet(hop_samples=320)
    half = AudioAugment(config, speed_share=0.5, noise_share=0.0)
    found = [half(u, np.random.default_rng(i)) for i, u in enumerate(utterances)]
    changed = [new for old, new in zip(utterances, found, strict=True) if new is not old]
    assert 0.3 < len(changed) / len(utterances) < 0.7
    for new in changed:
        assert len(new.features) == config.n_frames(round(new.duration_s * SAMPLE_RATE_HZ))
    assert half(replace(utterances[0], audio=()), np.random.default_rng(1)).features is utterances[0].features
    samples = flac.to_float(flac.decode(utterances[0].audio[0]))
    assert len(samples) / SAMPLE_RATE_HZ == pytest.approx(utterances[0].duration_s)


def test_a_batch_is_the_same_whenever_it_is_made(base_model: Path, tmp_path: Path) -> None:
    uri = write_dataset(tmp_path / "data", n_train=5, n_test=1)
    utterances = ShardReader(load_manifest(uri)[0].uris("train"), with_audio=True).read(0)
    recipe = load_preset(PresetName.DEMO).recipe.model_copy(update={"speed_share": 1.0, "noise_share": 1.0})
    maker = BatchMaker(load_acoustic_model(base_model, "cpu"), recipe)
    one, same, other = (maker(BatchDraw(Position(0, batch), 5, 2.0, utterances)) for batch in (3, 3, 4))
    assert one.features.equal(same.features)
    assert one.features.shape != other.features.shape or not one.features.equal(other.features)
    texts = {u.text for u in utterances}
    assert set(one.texts) - {""} == texts


def test_stacked_frames_are_warped_and_masked_alike(tmp_path: Path) -> None:
    """wav2vec2-BERT takes two frames of 80 mels as one of 160: a tone stays in the same mel of both."""
    model = load_acoustic_model(write_wav2vec2_bert(tmp_path / "model"), "cpu")
    features = np.zeros((100, 160), np.float16)
    features[:, [40, 120]] = 10.0
    recipe = load_preset(PresetName.DEMO).recipe
    maker = BatchMaker(model, recipe)
    utterances = [TrainingUtterance(f"u{n}", features, "so", 2.0) for n in range(4)]
    batch = maker(BatchDraw(Position(0, 0), 4, 2.0, utterances)).features[:4]
    first, second = batch[..., :80], batch[..., 80:]
    loudest = first.argmax(-1)
    assert loudest.unique().numel() > 3, "voices were changed"
    is_audible = (first.amax(-1) > 5) & (second.amax(-1) > 5)
    assert is_audible.sum() > 100
    assert (loudest[is_audible] == second.argmax(-1)[is_audible]).all()
