"""S3: keys that obstore cannot name, folder markers, long names, and what differs between servers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import obstore
import pytest

from tasks import storage
from tasks.contract import InputRejected, Reason
from tasks.storage import s3_errors
from tests.s3_servers import SEAWEEDFS, S3Server


@pytest.mark.parametrize("name", ["я" * 120 + ".wav", "長" * 80, "e\u0301" * 80 + ".flac"])
def test_a_local_copy_has_a_valid_file_name(s3: str, tmp_path: Path, name: str) -> None:
    storage.write(f"{s3}/{name}", b"audio")
    assert storage.local_copy(f"{s3}/{name}", tmp_path).read_bytes() == b"audio"


@pytest.mark.parametrize("name", ["я" * 120 + "/" + "長" * 300 + ".wav", "n" * 1000])
def test_a_name_that_is_too_long_for_a_file_has_a_local_copy(moto_s3: str, tmp_path: Path, name: str) -> None:
    storage.write(f"{moto_s3}/{name}", b"audio")
    assert storage.local_copy(f"{moto_s3}/{name}", tmp_path).read_bytes() == b"audio"


UNSUPPORTED_KEYS = ["a//b.wav", "c/../c.wav", "d/./e.wav", "f\x01g.wav"]


def test_an_unsupported_key_does_not_hide_others(
    moto_s3: str, moto_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """object_store rejects them: they are listed anyway, and reading one tells what is wrong with its key."""
    monkeypatch.setattr("tasks.storage.s3.LIST_PAGE", 10)
    names = sorted(["a/a.wav", *UNSUPPORTED_KEYS, *(f"{n:02d}.wav" for n in range(35)), "zoë.wav"])
    for name in names:
        moto_server.put(f"{moto_s3}/in/{name}", name.encode())
    listed = {item.uri.removeprefix(f"{moto_s3}/in/"): item for item in storage.list_objects(f"{moto_s3}/in")}
    assert list(listed) == names
    for name in [*names[:35:5], "a/a.wav", "zoë.wav"]:
        assert storage.info(listed[name].uri) == listed[name]
    for name in UNSUPPORTED_KEYS:
        assert not storage.exists(listed[name].uri)
        with pytest.raises(InputRejected, match="rename the object") as caught:
            storage.read_bytes(listed[name].uri)
        assert caught.value.reason is Reason.UNREADABLE


def test_folder_markers_are_not_listed(s3: str, s3_server: S3Server) -> None:
    for key in ("day/", "day/2026-03-24/", "day/2026-03-24/news.mp4", "day/empty.wav"):
        s3_server.put(f"{s3}/{key}", b"")
    s3_server.put(f"{s3}/day/notes", b"x")
    listed = [item.uri.removeprefix(f"{s3}/day/") for item in storage.list_objects(f"{s3}/day")]
    assert listed == ["2026-03-24/news.mp4", "empty.wav", "notes"]


def test_folder_markers_are_not_listed_beside_unsupported_keys(moto_s3: str, moto_server: S3Server) -> None:
    """There boto3 lists."""
    for key in ("day/", "day/2026-03-24/", "day/2026-03-24/news.mp4", "day//odd"):
        moto_server.put(f"{moto_s3}/{key}", b"x" if key.endswith("odd") else b"")
    listed = [item.uri.removeprefix(f"{moto_s3}/day/") for item in storage.list_objects(f"{moto_s3}/day")]
    assert listed == ["/odd", "2026-03-24/news.mp4"]


# ---- what differs between servers (docs/containers.md) ---------------------------------------------------------------


@pytest.fixture
def seaweedfs(s3_server: S3Server) -> S3Server:
    if s3_server.kind != SEAWEEDFS:
        pytest.skip("of SeaweedFS only")
    return s3_server


def names(prefix: str) -> list[str]:
    return [item.uri.removeprefix(f"{prefix}/") for item in storage.list_objects(prefix)]


def test_seaweedfs_changes_slashes(s3: str, seaweedfs: S3Server) -> None:
    for key in ("a//b.wav", "c\\d.wav"):
        seaweedfs.put(f"{s3}/{key}", b"x")
    assert names(s3) == ["a/b.wav", "c/d.wav"]


def test_seaweedfs_rejects_dots_and_long_names(s3: str, seaweedfs: S3Server) -> None:
    from botocore.exceptions import ClientError

    for key in ("c/../c.wav", "d/./e.wav"):
        with pytest.raises(ClientError, match="InvalidRequest"):
            seaweedfs.put(f"{s3}/{key}", b"x")
    storage.write(f"{s3}/{'n' * 255}", b"x")
    with pytest.raises(InputRejected, match="the key is too long") as caught:
        storage.write(f"{s3}/{'n' * 256}", b"x")
    assert caught.value.reason is Reason.UNREADABLE
    assert names(s3) == ["n" * 255]


def test_an_object_may_stand_beside_a_folder_of_its_name(s3: str) -> None:
    for key in ("x/1", "x", "y", "y/2", "x-y"):
        storage.write(f"{s3}/{key}", key.encode())
    assert sorted(names(s3)) == ["x", "x-y", "x/1", "y", "y/2"]
    for key in ("x", "y", "x/1", "y/2"):
        assert storage.read_bytes(f"{s3}/{key}") == key.encode()
    storage.delete(f"{s3}/x")
    assert not storage.exists(f"{s3}/x")
    assert storage.read_bytes(f"{s3}/x/1") == b"x/1"


@pytest.mark.parametrize("n_keys", [1, 2, 3, 5])
def test_a_listing_that_breaks_off_after_any_key_is_complete(
    s3: str, monkeypatch: pytest.MonkeyPatch, n_keys: int
) -> None:
    """SeaweedFS lists folder by folder, not in the order of S3. After `x` it leaves out what is below `x/`."""
    keys = ["a-b/c", "a/b-c", "a/b/c", "x", "x-y", "x.wav", "x/1", "x/2", "x/2/3", "x0", "x ", "é", "z"]
    for key in keys:
        storage.write(f"{s3}/{key}", b"x")
    obstore_list, n_broken = obstore.list, 0

    def breaking_off(*arguments: Any, **options: Any) -> Iterator[Any]:
        nonlocal n_broken
        yield next(pages := iter(obstore_list(*arguments, **options)))
        for _ in pages:
            n_broken += 1
            raise OSError("Generic S3 error: error decoding response body")

    monkeypatch.setattr("tasks.storage.s3.LIST_PAGE", n_keys + 1)  # the key after which a listing continues comes again
    monkeypatch.setattr(obstore, "list", breaking_off)
    monkeypatch.setattr(s3_errors, "FIRST_DELAY_S", 0.0)
    assert sorted(names(s3)) == sorted(keys)
    assert n_broken >= len(keys) // (n_keys + 1)
