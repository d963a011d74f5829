"""Scratch folders: gone with their process, or cleared by the next one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tasks.scratch import scratch_folder

DIE = """
import os
from tasks.scratch import scratch_folder
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
