"""Scratch folders: gone with their process, or cleared by the next one."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tasks.contract import Reason, StepError
from tasks.storage.scratch import LIMIT_VARIABLE, free_bytes, reserved, scratch_folder

DIE = """
import os
from tasks.storage.scratch import scratch_folder
with scratch_folder("x") as folder:
    print(folder, flush=True)
    os._exit(9)
"""


def test_what_a_killed_process_left_goes_with_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_room_is_looked_for_before_the_first_byte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv(LIMIT_VARIABLE, "8Ki")
    (tmp_path / "old").write_bytes(bytes(2048))
    assert free_bytes(tmp_path) == 6144
    with reserved(tmp_path / "a", 4096, "a larger volume"):
        (tmp_path / "a").write_bytes(bytes(1024))
        with (
            pytest.raises(StepError, match="a larger volume") as full,
            reserved(tmp_path / "b", 2049, "a larger volume"),
        ):
            pytest.fail("there is room for 2048 beside what is still to come")
        assert full.value.reason is Reason.DISK_FULL
        with reserved(tmp_path / "b", 2048, "a larger volume"):
            pass
    with reserved(tmp_path / "b", 5120, "a larger volume"):
        pass


def test_without_a_limit_the_disk_decides(tmp_path: Path) -> None:
    free = shutil.disk_usage(tmp_path).free
    with pytest.raises(StepError, match="give it more"), reserved(tmp_path / "a", 2 * free, "give it more"):
        pytest.fail("there is no such room")
