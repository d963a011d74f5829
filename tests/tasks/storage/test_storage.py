"""Storage: the same behaviour on a folder and on S3, and names that no one would choose."""

from __future__ import annotations

import errno
import hashlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

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


def test_listing_is_whole_and_below_the_prefix_only(storage_root: str) -> None:
    names = [f"inbox/{n:04d}.wav" for n in range(1003)]
    for name in names:
        storage.write(storage.join(storage_root, name), b"x")
    storage.write(storage.join(storage_root, "inbox-other/1.wav"), b"x")
    listed = [item.uri for item in storage.list_objects(storage.join(storage_root, "inbox"))]
    assert listed == [storage.join(storage_root, name) for name in names]


def test_an_absent_prefix_is_empty(storage_root: str) -> None:
    assert list(storage.list_objects(storage.join(storage_root, "nothing"))) == []


def test_an_absent_object_is_named(storage_root: str) -> None:
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


@pytest.mark.parametrize("name", ["я" * 120 + ".wav", "長" * 80, "e\u0301" * 90 + ".flac"])
def test_a_local_copy_has_a_name_that_a_disk_takes(s3: str, tmp_path: Path, name: str) -> None:
    storage.write(f"{s3}/{name}", b"audio")
    assert storage.local_copy(f"{s3}/{name}", tmp_path).read_bytes() == b"audio"


@pytest.mark.parametrize("uri", ["/tmp/x", "http://host/x", "", "file://host/x"])
def test_other_addresses_are_refused(uri: str) -> None:
    with pytest.raises(Misconfigured, match="s3://bucket/prefix"):
        storage.read_bytes(uri)


NAMES = st.binary(min_size=1, max_size=255).filter(
    lambda name: b"/" not in name and b"\0" not in name and name not in (b".", b"..") and not name.startswith(b".tmp-")
)


@settings(max_examples=60, deadline=None)
@given(name=NAMES)
def test_any_file_name_survives_a_listing(name: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("names")
    (folder / os.fsdecode(name)).write_bytes(name)
    (item,) = storage.list_objects(storage.file_uri(folder))
    assert storage.read_bytes(item.uri) == name
    assert os.fsencode(storage.name_of(item.uri)) == name


ODD_KEYS = ["a//b.wav", "c/../c.wav", "d/./e.wav", "f\x01g.wav"]


def test_an_odd_key_in_s3_hides_no_other(s3: str, s3_endpoint: str) -> None:
    """object_store cannot name them: they are listed all the same, and reading one says what is wrong with it."""
    names = sorted(["a/a.wav", *ODD_KEYS, *(f"{n:04d}.wav" for n in range(1200)), "zoë.wav"])
    client = boto3.client("s3", endpoint_url=s3_endpoint)
    for name in names:
        client.put_object(Bucket=s3.removeprefix("s3://"), Key=f"in/{name}", Body=name.encode())
    listed = {item.uri.removeprefix(f"{s3}/in/"): item for item in storage.list_objects(f"{s3}/in")}
    assert list(listed) == names
    for name in [*names[:1200:100], "a/a.wav", "zoë.wav"]:
        assert storage.info(listed[name].uri) == listed[name]
    for name in ODD_KEYS:
        assert not storage.exists(listed[name].uri)
        with pytest.raises(InputRejected, match="rename the object") as caught:
            storage.read_bytes(listed[name].uri)
        assert caught.value.reason is Reason.UNREADABLE


def test_folders_as_consoles_make_them_are_no_objects(s3: str, s3_endpoint: str) -> None:
    client = boto3.client("s3", endpoint_url=s3_endpoint)
    keys = ["day/", "day/2026-03-24/", "day/2026-03-24/news.mp4", "day/empty.wav", "day/notes"]
    for key in keys:
        client.put_object(Bucket=s3.removeprefix("s3://"), Key=key, Body=b"x" if key == "day/notes" else b"")

    def listed() -> list[str]:
        return [item.uri.removeprefix(f"{s3}/day/") for item in storage.list_objects(f"{s3}/day")]

    assert listed() == ["2026-03-24/news.mp4", "empty.wav", "notes"]
    client.put_object(Bucket=s3.removeprefix("s3://"), Key="day//odd", Body=b"x")  # and by the other way of listing
    assert listed() == ["/odd", "2026-03-24/news.mp4", "empty.wav", "notes"]


def test_a_folder_that_cannot_be_read_hides_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a/1.wav", "lost+found/2.wav", "z/3.wav"):
        storage.write(storage.file_uri(tmp_path / name), b"x")
    (tmp_path / "a" / "up").symlink_to(tmp_path)
    (tmp_path / "z" / "itself").symlink_to("itself")
    (tmp_path / "z" / "nowhere").symlink_to("gone")
    scandir = os.scandir

    def guarded(path: Path) -> Iterator[os.DirEntry[str]]:  # root may read everything
        if Path(path).name == "lost+found":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", guarded)
    listed = [storage.path_of(item.uri) for item in storage.list_objects(storage.file_uri(tmp_path))]
    assert listed == [tmp_path / "a/1.wav", tmp_path / "z/3.wav"]
    with pytest.raises(PermissionError):  # what was asked for is not passed over
        list(storage.list_objects(storage.file_uri(tmp_path / "lost+found")))


def test_no_temporary_file_is_listed_or_left(tmp_path: Path) -> None:
    (tmp_path / ".tmp-0123").write_bytes(b"half")
    storage.write(storage.file_uri(tmp_path / "whole"), b"x")
    assert [storage.name_of(item.uri) for item in storage.list_objects(storage.file_uri(tmp_path))] == ["whole"]
    with pytest.raises(storage.AlreadyExists):
        storage.write(storage.file_uri(tmp_path / "whole"), b"y", create=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".tmp-0123", "whole"]
