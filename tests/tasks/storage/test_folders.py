"""Folders: any file name, unreadable subfolders, and temporary files."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks import storage
from tasks.storage import folders

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


DYING_WRITER = """
import os, signal, sys
from pathlib import Path
from tasks import storage
sys.addaudithook(lambda event, _: event == "os.link" and os.kill(os.getpid(), signal.SIGKILL))
storage.write(Path(sys.argv[1]).as_uri(), b"half", create=True)
"""


@pytest.fixture
def no_age(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(folders, "STALE_S", 0.0)
    storage._folder_storage.cache_clear()
    yield
    storage._folder_storage.cache_clear()


def test_the_next_writer_removes_what_a_killed_one_left(tmp_path: Path, no_age: None) -> None:
    dead = subprocess.run([sys.executable, "-c", DYING_WRITER, tmp_path / "one"], check=False)
    assert dead.returncode == -signal.SIGKILL
    assert [path.name[:5] for path in tmp_path.iterdir()] == [".tmp-"]
    assert not list(storage.list_objects(tmp_path.as_uri()))
    storage.write(storage.file_uri(tmp_path / "two"), b"x")
    assert [path.name for path in tmp_path.iterdir()] == ["two"]


def test_a_living_writers_file_is_never_removed(tmp_path: Path, no_age: None) -> None:
    """One writer reads from a pipe and so is in the middle of its file while others write."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    folder = tmp_path / "folder"
    slow = threading.Thread(target=storage.write, args=(storage.file_uri(folder / "slow"), pipe))
    slow.start()
    with pipe.open("wb") as source:
        source.write(b"first half, ")
        source.flush()
        time.sleep(0.01)
        for n in range(20):
            storage.write(storage.file_uri(folder / f"{n}"), b"x", create=n % 2 == 0)
        source.write(b"second half")
    slow.join()
    assert (folder / "slow").read_bytes() == b"first half, second half"
    assert not list(folder.glob(".tmp-*"))


def test_a_folders_entry_is_synced_after_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[Path] = []
    fsync = os.fsync

    def watched(descriptor: int) -> None:
        synced.append(Path(f"/proc/self/fd/{descriptor}").readlink())
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", watched)
    storage.write(storage.file_uri(tmp_path / "a" / "b" / "c"), b"x")
    assert synced[:2] == [tmp_path, tmp_path / "a"]
    assert synced[2].name.startswith(".tmp-")
    assert synced[3:] == [tmp_path / "a" / "b"]


def test_links_are_not_followed_out_of_a_folder_of_others(tmp_path: Path) -> None:
    inbox, secret = tmp_path / "inbox", tmp_path / "secret"
    for path in (inbox / "news.wav", inbox / "sub" / "more.wav", secret / "payroll.wav"):
        storage.write(storage.file_uri(path), b"x")
    (inbox / "latest.wav").symlink_to("news.wav")
    (inbox / "payroll.wav").symlink_to(secret / "payroll.wav")
    (inbox / "chain.wav").symlink_to("payroll.wav")
    (inbox / "all").symlink_to(secret)
    (inbox / "again").symlink_to("sub")
    links: list[str] = []
    names = [storage.name_of(item.uri) for item in storage.list_objects(storage.file_uri(inbox), links)]
    assert names == ["latest.wav", "news.wav", "more.wav"]
    assert [storage.name_of(uri) for uri in links] == ["again", "all", "chain.wav", "payroll.wav"]


def test_files_of_a_trusted_folder_may_be_links(tmp_path: Path) -> None:
    """As in the cache of the Hugging Face hub: a snapshot's files are links to blobs."""
    storage.write(storage.file_uri(tmp_path / "blobs" / "0123"), b"weights")
    snapshot = tmp_path / "snapshots" / "main"
    snapshot.mkdir(parents=True)
    (snapshot / "model.safetensors").symlink_to("../../blobs/0123")
    (item,) = storage.list_objects(storage.file_uri(snapshot))
    assert storage.read_bytes(item.uri) == b"weights"


def test_folders_that_link_to_each_other_are_walked_once(tmp_path: Path) -> None:
    folders = [tmp_path / str(number) for number in range(8)]
    for folder in folders:
        folder.mkdir()
        (folder / "a.wav").write_bytes(b"x")
        for other in folders:
            (folder / f"to-{other.name}").symlink_to(other)
    links: list[str] = []
    assert len(list(storage.list_objects(storage.file_uri(tmp_path), links))) == 8
    assert len(links) == 64
