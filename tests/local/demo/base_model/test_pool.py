"""Shards round-trip, batches stay within their seconds, and a pool is deterministic for a seed."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest

from local.demo.base_model import pool
from local.demo.base_model.alphabet import encode
from local.demo.base_model.batches import bucket, collate, endless_batches, is_alignable, spec_augment
from local.demo.base_model.pool import Utterance, UtteranceSource, read_shard, write_shard
from local.demo.synthesis import augmentation
from local.demo.synthesis.augmentation import SoundBank
from local.demo.synthesis.voices import VoiceSet


def utterance(n_frames: int, text: str = "ab") -> Utterance:
    rng = np.random.default_rng(n_frames)
    features = rng.standard_normal((n_frames, 80)).astype(np.float16)
    return Utterance(features, np.array(encode(text), dtype=np.uint8))


@pytest.fixture
def small_bank(monkeypatch: pytest.MonkeyPatch) -> SoundBank:
    monkeypatch.setattr(augmentation, "BANK_CLIPS", 3)
    monkeypatch.setattr(augmentation, "CLIP_SECONDS", 2)
    return SoundBank.make(seed=1)


def test_a_shard_with_an_empty_text_round_trips(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    spoken = [(rng.standard_normal(n).astype(np.float32), text) for n, text in ((8_000, "yes."), (9_000, ""))]
    write_shard(tmp_path / "train-00000.npz", spoken)
    read = read_shard(tmp_path / "train-00000.npz")
    assert [len(u.features) for u in read] == [25, 28]
    assert [u.labels.tolist() for u in read] == [encode("yes."), []]
    assert [path.name for path in tmp_path.iterdir()] == ["train-00000.npz"]


def test_speech_has_a_limited_length_and_text_in_the_alphabet(small_bank: SoundBank) -> None:
    source = UtteranceSource(VoiceSet.BASE_VALIDATION, 5, small_bank)
    for (speech, text), _ in zip(source.speech(), range(6), strict=False):
        assert 0.3 * 16_000 < len(speech) < 16 * 16_000
        assert encode(text)


def test_filling_is_resumed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small_bank: SoundBank) -> None:
    monkeypatch.setattr(pool, "SHARD_UTTERANCES", 3)
    pool.fill(tmp_path, seed=1, n_shards=1)
    first = (tmp_path / "train-00000.npz").read_bytes()
    pool.fill(tmp_path, seed=1, n_shards=2)
    assert (tmp_path / "train-00000.npz").read_bytes() == first
    assert sorted(path.name for path in tmp_path.iterdir()) == ["train-00000.npz", "train-00001.npz"]


def test_labels_with_too_few_frames_are_not_alignable() -> None:
    assert is_alignable(utterance(8, "abab"))
    assert not is_alignable(utterance(7, "abab"))
    assert not is_alignable(utterance(8, "aabb"))


def test_batches_have_every_utterance_and_stay_within_their_seconds() -> None:
    utterances = [utterance(n) for n in np.random.default_rng(2).integers(20, 600, size=80)]
    batches = bucket(utterances, batch_s=20.0, rng=random.Random(1))
    assert sorted(id(u) for batch in batches for u in batch) == sorted(map(id, utterances))
    for batch in batches:
        assert len(batch) * max(u.duration_s for u in batch) <= 20.0 or len(batch) == 1


def test_each_worker_reads_its_own_shards_and_all_before_any_is_repeated(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    for index in range(6):
        spoken = [(rng.standard_normal(16_000 + 320 * index).astype(np.float32), "a")] * 2
        write_shard(tmp_path / f"train-{index:05d}.npz", spoken)
    for rank in (0, 1):
        batches = endless_batches(tmp_path, batch_s=1.0, rank=rank, n_workers=2, seed=1)
        lengths = [len(next(batches)[0].features) for _ in range(6)]  # three shards of two utterances
        assert sorted(lengths) == sorted(2 * [50 + index for index in range(rank, 6, 2)])


def test_spec_augment_zeroes_only_a_part() -> None:
    features, mask, labels = collate([utterance(300), utterance(200, "")])
    assert features.shape == (2, 300, 80)
    assert mask.sum(dim=1).tolist() == [300, 200]
    assert labels.tolist() == [encode("ab"), [0, 0]]
    before = features.clone()
    after = spec_augment(features, random.Random(4))
    changed = before != after
    assert 0 < changed.float().mean() < 0.6
    assert (after[changed] == 0).all()
