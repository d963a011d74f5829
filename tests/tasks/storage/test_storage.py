"""Storage behaves alike on folders and on S3."""

from __future__ import annotations

import hashlib
import os
import threading
from pathlib import Path

import pytest

from tasks import storage
from tasks.contract import InputRejected, Misconfigured, Reason


def test_what_is_written_is_read_back(storage_root: str) -> None:
    uri = storage.join(storage_root, "a", "b.json")
    storage.write(uri, b"one")
    storage.write(uri, b"two")
    assert storage.read_bytes(uri) == b"two"
    assert storage.info(uri).size == 3
    assert storage.digest(uri) == hashlib.sha256(b"two").hexdigest()


def test_a_file_is_written_from_disk(storage_root: str, tmp_path: Path) -> None:
    source = tmp_path / "source.bin"
    source.write_bytes(os.urandom(3_000_000))
    uri = storage.join(storage_root, "copy.bin")
    storage.write(uri, source)
    assert storage.digest(uri) == storage.digest_file(source)


def test_create_lets_one_writer_win(storage_root: str) -> None:
    uri = storage.join(storage_root, "result.json")
    wins: list[bytes] = []
    gate = threading.Barrier(8)

    def contend(data: bytes) -> None:
        gate.wait()
        try:
            storage.write(uri, data, create=True)
        except storage.AlreadyExists:
            return
        wins.append(data)

    threads = [threading.Thread(target=contend, args=(bytes([65 + n]) * 1000,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(wins) == 1
    assert storage.read_bytes(uri) == wins[0]


def test_a_listing_is_complete_and_stays_below_its_prefix(storage_root: str) -> None:
    names = [f"inbox/{n:04d}.wav" for n in range(1003)]
    for name in names:
        storage.write(storage.join(storage_root, name), b"x")
    storage.write(storage.join(storage_root, "inbox-other/1.wav"), b"x")
    listed = [item.uri for item in storage.list_objects(storage.join(storage_root, "inbox"))]
    assert listed == [storage.join(storage_root, name) for name in names]


def test_a_missing_prefix_is_empty(storage_root: str) -> None:
    assert list(storage.list_objects(storage.join(storage_root, "nothing"))) == []


def test_a_missing_object_is_named(storage_root: str) -> None:
    uri = storage.join(storage_root, "gone.wav")
    assert not storage.exists(uri)
    with pytest.raises(InputRejected, match=r"gone\.wav") as caught:
        storage.read_bytes(uri)
    assert caught.value.reason is Reason.NOT_FOUND


def test_the_etag_changes_with_the_content(storage_root: str) -> None:
    uri = storage.join(storage_root, "x")
    storage.write(uri, b"one")
    first = storage.info(uri).etag
    storage.write(uri, b"two")
    assert first
    assert storage.info(uri).etag != first


def test_readers_seek(storage_root: str) -> None:
    uri = storage.join(storage_root, "x")
    storage.write(uri, bytes(range(256)) * 16)
    with storage.open_reader(uri) as reader:
        reader.seek(-3, os.SEEK_END)
        assert reader.read() == b"\xfd\xfe\xff"
        reader.seek(5)
        assert reader.read(2) == b"\x05\x06"


def test_deleting_twice_is_fine(storage_root: str) -> None:
    uri = storage.join(storage_root, "x")
    storage.write(uri, b"1")
    storage.delete(uri)
    storage.delete(uri)
    assert not storage.exists(uri)


def test_a_local_copy_has_the_bytes(storage_root: str, tmp_path: Path) -> None:
    uri = storage.join(storage_root, "deep", "programme.wav")
    storage.write(uri, b"audio")
    assert storage.local_copy(uri, tmp_path).read_bytes() == b"audio"


@pytest.mark.parametrize("size", [0, 1, 1 << 20, (5 << 20) + 3])
def test_a_copy_has_the_bytes_in_their_order(
    storage_root: str, tmp_path: Path, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tasks.storage.s3.PART_BYTES", 1 << 20)
    uri, data = storage.join(storage_root, "weights.bin"), os.urandom(size)
    storage.write(uri, data)
    storage.copy(uri, tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == data


@pytest.mark.parametrize("uri", ["/tmp/x", "http://host/x", "", "file://host/x"])
def test_other_uris_are_rejected(uri: str) -> None:
    with pytest.raises(Misconfigured, match="s3://bucket/prefix"):
        storage.read_bytes(uri)
