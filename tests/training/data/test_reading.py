"""From Parquet shards to batches: what is read is what was written, ahead of the model, and faults come through."""

from __future__ import annotations

import threading
from contextlib import closing
from itertools import islice

import numpy as np
import pytest

from tasks.dataset.manifest import load_manifest
from tests.training.tones import say
from training.data.augmentation import SpecAugment, VoiceWarp, augmentation_rng
from training.data.loader import AHEAD_BATCHES, BatchLoader, Draw
from training.data.nonspeech import random_nonspeech
from training.data.order import EpochOrder, Position
from training.data.shards import ShardReader, Utterance


@pytest.fixture(scope="module")
def reader(dataset: str) -> ShardReader:
    return ShardReader(load_manifest(dataset)[0].uris("train"))


def everything(utterance_id: str, text: str, duration_s: float) -> bool:
    return True


def test_features_are_those_of_the_audio(reader: ShardReader, dataset: str) -> None:
    """Column by column against the dataset's own reader, whole."""
    import pyarrow.parquet as pq

    from tasks.storage import path_of

    rows = pq.read_table(path_of(load_manifest(dataset)[0].uris("train")[0])).to_pylist()
    found = [utterance for group in range(len(reader.groups)) for utterance in reader.read(group)]
    assert [u.utterance_id for u in found] == [row["utterance_id"] for row in rows]
    for utterance, row in list(zip(found, rows, strict=True))[::17]:
        np.testing.assert_array_equal(utterance.features, np.array(row["input_features"], np.float16))
        assert utterance.text == row["text"]


def test_the_index_knows_the_frames_without_reading_them(reader: ShardReader) -> None:
    from tasks.features.config import parakeet

    index = reader.index(parakeet(hop_samples=320), everything)
    assert len(index) == 96
    for utterance in range(0, 96, 7):
        features = reader.read(int(index.group[utterance]))[int(index.row[utterance])].features
        assert len(features) == index.n_frames[utterance]


def test_what_the_judge_refuses_is_left_out(reader: ShardReader) -> None:
    from tasks.features.config import parakeet

    index = reader.index(parakeet(hop_samples=320), lambda _, text, __: "a" not in text)
    texts = [reader.read(int(g))[int(r)].text for g, r in zip(index.group, index.row, strict=True)]
    assert 0 < len(texts) < 96
    assert not any("a" in text for text in texts)


def make_loader(reader: ShardReader, start: Position, make: object = None) -> BatchLoader[list[str]]:
    from tasks.features.config import parakeet

    index = reader.index(parakeet(hop_samples=320), everything)
    order = EpochOrder(index, batch_frames=600, pool_frames=2500, seed=1)
    return BatchLoader(reader, index, order, start, make or (lambda draw: [u.utterance_id for u in draw.utterances]))


def test_a_loader_started_in_the_middle_gives_the_rest(reader: ShardReader) -> None:
    first = make_loader(reader, Position())
    whole = list(islice(first, 40))
    first.close()
    assert {loaded.position.epoch for loaded in whole} >= {0, 1}
    second = make_loader(reader, whole[25].position)
    assert [loaded.batch for loaded in islice(second, 15)] == [loaded.batch for loaded in whole[25:]]
    second.close()
    ids = [u for loaded in whole if loaded.position.epoch == 0 for u in loaded.batch]
    assert len(ids) == len(set(ids)) == 96


def test_the_next_pool_is_read_while_batches_are_made_of_this_one(reader: ShardReader) -> None:
    """And no further, for memory; the batches are those that the order has, with the utterances that it names."""
    from tasks.features.config import parakeet

    read: list[int] = []

    class Noted:
        groups = reader.groups

        def read(self, group: int) -> list[Utterance]:
            read.append(group)
            return reader.read(group)

    index = reader.index(parakeet(hop_samples=320), everything)
    # More batches in a pool than are made ahead, so that none of the second is made before the first is through.
    order = EpochOrder(index, batch_frames=150, pool_frames=2500, seed=1)
    pools = list(islice(order.pools_from(Position()), 3))
    first, second, third = ({*pool.groups} for pool, _ in pools)
    assert not first & second
    assert third - second - first
    assert len(pools[0][1]) > AHEAD_BATCHES + 2
    expected = [
        [reader.read(int(index.group[u]))[int(index.row[u])].utterance_id for u in batch]
        for _, batches in pools
        for _, batch in batches
    ]
    loader = BatchLoader(Noted(), index, order, Position(), lambda draw: [u.utterance_id for u in draw.utterances])  # type: ignore[arg-type]
    with closing(loader):
        loaded = list(islice(loader, 1))
        for _ in range(600):
            if set(read) >= second:
                break
            threading.Event().wait(0.05)
        assert set(read) == first | second
        loaded += list(islice(loader, len(expected) - 1))
    assert [item.batch for item in loaded] == expected


def test_a_fault_in_the_thread_reaches_the_trainer(reader: ShardReader) -> None:
    def fail(draw: Draw) -> list[str]:
        if draw.position.batch == 2:
            raise ZeroDivisionError("in the thread")
        return []

    loader = make_loader(reader, Position(), fail)
    with pytest.raises(ZeroDivisionError, match="in the thread"):
        list(islice(loader, 5))
    loader.close()


def test_a_closed_loader_leaves_no_thread(reader: ShardReader) -> None:
    loader = make_loader(reader, Position())
    next(iter(loader))
    loader.close()
    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("batch")]


def test_several_threads_keep_the_order(reader: ShardReader) -> None:
    def slow_at_first(draw: Draw) -> list[str]:
        threading.Event().wait(0.05 if draw.position.batch % 3 == 0 else 0)
        return [u.utterance_id for u in draw.utterances]

    one = make_loader(reader, Position())
    expected = list(islice(one, 12))
    one.close()
    several = BatchLoader(reader, one._index, one._order, Position(), slow_at_first, threads=4)
    assert list(islice(several, 12)) == expected
    several.close()


def test_masks_hide_a_bounded_part_and_nothing_beyond_the_utterance() -> None:
    import torch

    mask = SpecAugment()
    for batch in range(20):
        features = torch.ones(3, 400, 80) * torch.arange(1, 401)[None, :, None]
        before = features.clone()
        mask(features, [400, 100, 30], [augmentation_rng(0, Position(0, batch), place) for place in range(3)])
        changed = features != before
        assert not changed[1, 100:].any()
        assert not changed[2, 30:].any()
        assert changed[0].float().mean() < 0.6


def test_the_same_position_has_the_same_masks() -> None:
    a, b = (augmentation_rng(3, Position(2, 9), 1).random(4) for _ in range(2))
    np.testing.assert_array_equal(a, b)
    assert augmentation_rng(3, Position(2, 10), 1).random() != a[0]
    assert augmentation_rng(3, Position(2, 9), 2).random() != a[0]


def test_a_warp_by_nothing_changes_nothing_and_a_real_one_moves_what_is_there() -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(100, 80)).astype(np.float32)
    warp = VoiceWarp()
    np.testing.assert_allclose(warp(features, 1.0, 1.0), features, atol=1e-5)
    ridge = np.zeros((100, 80), np.float32)
    ridge[50, 40] = 1.0
    moved = warp(ridge, 1.1, 1.1)
    assert moved.shape == (110, 80)
    frame, mel = np.unravel_index(moved.argmax(), moved.shape)
    assert (frame, mel) == (pytest.approx(55, abs=1), pytest.approx(44, abs=1))
    for _ in range(50):
        longer, wider = warp.factors(rng)
        assert warp(features, longer, wider).shape == (round(100 * longer), 80)


def test_nonspeech_is_sound_of_the_asked_length() -> None:
    rng = np.random.default_rng(0)
    for n in (1600, 16_000, 50_001):
        sound = random_nonspeech(n, rng)
        assert sound.shape == (n,)
        assert sound.dtype == np.float32
        assert np.isfinite(sound).all()
        assert 0 < np.abs(sound).max() <= 1
    assert not np.array_equal(random_nonspeech(1600, rng), random_nonspeech(1600, rng))
    assert len(say("ab", rng)) > 1600
