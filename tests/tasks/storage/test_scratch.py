"""Scratch folders, their removal, and reservations of disk space."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tasks.contract import Reason, StepError
from tasks.storage import scratch
from tasks.storage.scratch import SCRATCH_LIMIT_VARIABLE, free_bytes, reserve_space, scratch_folder

DIE = """
import os
from tasks.storage.scratch import scratch_folder
with scratch_folder("x") as folder:
    print(folder, flush=True)
    os._exit(9)
"""


def test_the_folder_of_a_killed_process_is_removed_by_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    died = subprocess.run([sys.executable, "-c", DIE], capture_output=True, text=True, check=False)
    left = Path(died.stdout.strip())
    (left / "half").write_bytes(b"x")
    elsewhere = tmp_path / "airscript-another_host-1-x-abc"
    elsewhere.mkdir()
    with scratch_folder("a") as first, scratch_folder("b") as second:
        assert not left.exists()
        assert first.is_dir()
        assert second.is_dir()
        assert first.parent == tmp_path
    assert list(tmp_path.iterdir()) == [elsewhere]


def test_space_is_reserved_before_writing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv(SCRATCH_LIMIT_VARIABLE, "8Ki")
    (tmp_path / "old").write_bytes(bytes(2048))
    assert free_bytes(tmp_path) == 6144
    with reserve_space(tmp_path / "a", 4096, "a larger volume"):
        (tmp_path / "a").write_bytes(bytes(1024))
        with (
            pytest.raises(StepError, match="a larger volume") as full,
            reserve_space(tmp_path / "b", 2049, "a larger volume"),
        ):
            pytest.fail("only 2048 bytes are free beside the other reservation")
        assert full.value.reason is Reason.DISK_FULL
        with reserve_space(tmp_path / "b", 2048, "a larger volume"):
            pass
    with reserve_space(tmp_path / "b", 5120, "a larger volume"):
        pass


def test_threads_may_reserve_and_release_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A release while another thread adds the reservations up failed a programme."""
    size = scratch._size

    def slow_size(path: Path) -> int:
        time.sleep(1e-4)
        return size(path)

    monkeypatch.setattr(scratch, "_size", slow_size)

    def reserve(number: int) -> None:
        for _ in range(20):
            with reserve_space(tmp_path / str(number), 1, "nothing"):
                time.sleep(3e-4)

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(reserve, range(8))) == [None] * 8


def test_without_a_limit_the_disk_decides(tmp_path: Path) -> None:
    free = shutil.disk_usage(tmp_path).free
    with pytest.raises(StepError, match="give it more"), reserve_space(tmp_path / "a", 2 * free, "give it more"):
        pytest.fail("so much space is not free")
