"""From Parquet shards to batches: contents, prefetching, resuming, and faults of the reading threads."""

from __future__ import annotations

import threading
from contextlib import closing
from itertools import islice

import numpy as np
import pytest

from tasks.dataset.manifest import load_manifest
from training.data.loader import PREFETCH_BATCHES, BatchDraw, BatchLoader
from training.data.order import EpochOrder, Position
from training.data.shards import ShardReader, TrainingUtterance


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


def test_the_index_computes_frames_without_reading_them(reader: ShardReader) -> None:
    from tasks.features.config import parakeet

    index = reader.index(parakeet(hop_samples=320), everything)
    assert len(index) == 96
    for utterance in range(0, 96, 7):
        features = reader.read(int(index.group[utterance]))[int(index.row[utterance])].features
        assert len(features) == index.n_frames[utterance]


def test_unusable_utterances_are_left_out(reader: ShardReader) -> None:
    from tasks.features.config import parakeet

    index = reader.index(parakeet(hop_samples=320), lambda _, text, __: "a" not in text)
    texts = [reader.read(int(g))[int(r)].text for g, r in zip(index.group, index.row, strict=True)]
    assert 0 < len(texts) < 96
    assert not any("a" in text for text in texts)


def make_loader(reader: ShardReader, start: Position, make: object = None, threads: int = 1) -> BatchLoader[list[str]]:
    from tasks.features.config import parakeet

    index = reader.index(parakeet(hop_samples=320), everything)
    order = EpochOrder(index, batch_frames=600, pool_frames=2500, seed=1)
    make = make or (lambda draw: [u.utterance_id for u in draw.utterances])
    return BatchLoader(reader, index, order, start, make, threads=threads)


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
    """And no further, to bound memory; the batches are those of the order, with the right utterances."""
    from tasks.features.config import parakeet

    read: list[int] = []

    class RecordingReader:
        groups = reader.groups

        def read(self, group: int) -> list[TrainingUtterance]:
            read.append(group)
            return reader.read(group)

    index = reader.index(parakeet(hop_samples=320), everything)
    # More batches in a pool than are prefetched, so that none of the second pool is made before the first is consumed.
    order = EpochOrder(index, batch_frames=150, pool_frames=2500, seed=1)
    pools = list(islice(order.pools_from(Position()), 3))
    first, second, third = ({*pool.groups} for pool, _ in pools)
    assert not first & second
    assert third - second - first
    assert len(pools[0][1]) > PREFETCH_BATCHES + 2
    expected = [
        [reader.read(int(index.group[u]))[int(index.row[u])].utterance_id for u in batch]
        for _, batches in pools
        for _, batch in batches
    ]
    loader = BatchLoader(
        RecordingReader(), index, order, Position(), lambda draw: [u.utterance_id for u in draw.utterances]
    )  # type: ignore[arg-type]
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
    def fail(draw: BatchDraw) -> list[str]:
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
    def slow_at_first(draw: BatchDraw) -> list[str]:
        threading.Event().wait(0.05 if draw.position.batch % 3 == 0 else 0)
        return [u.utterance_id for u in draw.utterances]

    one = make_loader(reader, Position())
    expected = list(islice(one, 12))
    one.close()
    several = make_loader(reader, Position(), slow_at_first, threads=4)
    assert list(islice(several, 12)) == expected
    several.close()
