"""Shards are read only as the manifest lists them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tasks import storage
from tasks.contract import InputRejected, Reason
from tasks.dataset.integrity import verify_shards
from tasks.dataset.manifest import load_manifest
from tests.training.tones import write_dataset


@pytest.fixture
def dataset(tmp_path: Path) -> str:
    return write_dataset(tmp_path / "dataset", n_train=4, n_test=2)


def flip(path: Path, position: int) -> None:
    data = bytearray(path.read_bytes())
    data[position] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("position", [4, -4, -9])
def test_one_flipped_bit_is_named(dataset: str, tmp_path: Path, position: int) -> None:
    """In the first column, in the length of the footer, and in the footer."""
    flip(tmp_path / "dataset" / "test.parquet", position)
    manifest, _ = load_manifest(dataset)
    verify_shards(manifest, ["train", "validation"])
    with pytest.raises(InputRejected, match=r"test/00000\.parquet is not the one in the dataset's manifest") as error:
        verify_shards(manifest, ["test"])
    assert error.value.reason is Reason.CORRUPT
    assert error.value.exit_code == 65


def test_an_earlier_attempts_finding_holds_while_the_etag_stands(dataset: str, tmp_path: Path) -> None:
    manifest, _ = load_manifest(dataset)
    record = storage.file_uri(tmp_path / "verified.json")
    hashed: list[int] = []
    verify_shards(manifest, ["train"], record, lambda _stage, _done, total, _unit: hashed.append(total or 0))
    assert hashed == [1]
    (shard,) = manifest.shards("train")
    assert json.loads(storage.read_bytes(record)) == {shard.sha256: storage.info(shard.uri).etag}
    verify_shards(manifest, ["train"], record, lambda *_: pytest.fail("hashed again"))
    flip(tmp_path / "dataset" / "train.parquet", 100)
    with pytest.raises(InputRejected):
        verify_shards(manifest, ["train"], record)


def test_a_step_that_reads_a_replaced_shard_says_which(dataset: str, tmp_path: Path) -> None:
    """A valid shard of another dataset in its place."""
    write_dataset(tmp_path / "other", n_train=4, n_test=2, seed=5)
    (tmp_path / "other" / "train.parquet").replace(tmp_path / "dataset" / "train.parquet")
    with pytest.raises(InputRejected, match="train/00000"):
        verify_shards(load_manifest(dataset)[0], ["train"])
