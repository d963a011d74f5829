"""Folders: any file name, unreadable subfolders, and temporary files."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks import storage

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


def test_an_unreadable_folder_does_not_hide_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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
    with pytest.raises(PermissionError):  # the requested folder itself is not skipped
        list(storage.list_objects(storage.file_uri(tmp_path / "lost+found")))


def test_temporary_files_are_neither_listed_nor_left(tmp_path: Path) -> None:
    (tmp_path / ".tmp-0123").write_bytes(b"half")
    storage.write(storage.file_uri(tmp_path / "whole"), b"x")
    assert [storage.name_of(item.uri) for item in storage.list_objects(storage.file_uri(tmp_path))] == ["whole"]
    with pytest.raises(storage.AlreadyExists):
        storage.write(storage.file_uri(tmp_path / "whole"), b"y", create=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".tmp-0123", "whole"]
