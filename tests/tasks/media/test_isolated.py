from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tasks.contract import Reason
from tasks.media import isolated
from tasks.media.decode import open_audio
from tasks.media.findings import MediaRejected
from tasks.media.isolated import open_audio_isolated
from tasks.media.limits import MediaLimits
from tasks.media.tracks import TrackPolicy
from tests.tasks.media.making import Track, encode, marked, wav

STEREO = np.stack([marked(12.0), marked(12.0, seed=1)])


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("media") / "a -name\nof two lines.flac"
    path.write_bytes(encode("flac", Track(STEREO, "flac")))
    return path


def rejection(path: Path, limits: MediaLimits | None = None) -> MediaRejected:
    with pytest.raises(MediaRejected) as rejected, open_audio_isolated(path, limits=limits) as audio:
        for _ in audio:
            pass
    return rejected.value


def acting_as(script: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Let the child run `script` instead of decoding."""
    child = tmp_path / "child"
    child.write_text(f"#!{sys.executable}\nimport os, signal, sys, time\n{script}\n")
    child.chmod(0o755)
    monkeypatch.setattr(isolated.sys, "executable", str(child))


def children() -> list[str]:
    """Processes of this one that are alive or not yet taken in."""
    tasks = Path(f"/proc/{os.getpid()}/task")
    return [pid for task in tasks.iterdir() for pid in (task / "children").read_text().split()]


def test_the_same_blocks_as_in_this_process(path: Path):
    policy = TrackPolicy(channel=1)
    with open_audio(path, policy) as inside, open_audio_isolated(path, policy) as outside:
        expected = np.concatenate(list(inside))
        np.testing.assert_array_equal(np.concatenate(list(outside)), expected)
        assert (outside.probe, outside.choice, outside.findings) == (inside.probe, inside.choice, inside.findings)
    assert not children()


def test_reading_may_stop_early(path: Path):
    with open_audio_isolated(path) as audio:
        next(iter(audio))
        with pytest.raises(RuntimeError, match="when all blocks have been read"):
            _ = audio.findings
    assert not children()


def test_rejections_cross_over(path: Path, tmp_path: Path):
    empty = tmp_path / "empty.wav"
    empty.write_bytes(b"")
    assert rejection(empty).reason is Reason.EMPTY
    assert rejection(tmp_path / "missing.wav").reason is Reason.UNREADABLE
    too_long = rejection(path, MediaLimits(max_duration_s=5.0))
    assert too_long.reason is Reason.TOO_LONG
    assert too_long.findings is not None
    assert too_long.findings.duration_s > 5.0


def test_memory_is_limited(path: Path):
    assert rejection(path, MediaLimits(memory_bytes=1 << 20)).reason is Reason.MEMORY_LIMIT


def test_memory_does_not_grow_with_duration(tmp_path: Path):
    """Half an hour, 115 MB as float32, within 48 MB above what lies idle."""
    path = tmp_path / "long.wav"
    minute = wav(np.random.default_rng(0).standard_normal((1, 60 * 16_000)) * 0.05, claimed_bytes=30 * 60 * 32_000)
    with path.open("wb") as file:
        file.write(minute[:44])
        for _ in range(30):
            file.write(minute[44:])
    with open_audio_isolated(path, limits=MediaLimits(memory_bytes=48 << 20)) as audio:
        assert sum(len(block) for block in audio) == 30 * 60 * 16_000


@pytest.mark.parametrize(
    ("script", "reason", "words"),
    [
        ("os.kill(os.getpid(), signal.SIGSEGV)", Reason.DECODE_ERROR, "SIGSEGV"),
        ("os.abort()", Reason.DECODE_ERROR, "SIGABRT"),
        ("os.kill(os.getpid(), signal.SIGXCPU)", Reason.TIME_LIMIT, "processor time"),
        ("os.kill(os.getpid(), signal.SIGKILL)", Reason.MEMORY_LIMIT, "out of memory"),
        ("sys.exit('no such module')", Reason.DECODE_ERROR, "no such module"),
        ("os.write(1, b'complete nonsense')", Reason.DECODE_ERROR, "no sense"),
        ("os.write(1, b'B' + (2**31).to_bytes(4, 'little'))", Reason.DECODE_ERROR, "no sense"),
        ("os.write(1, b'B' + (400).to_bytes(4, 'little') + b'short')", Reason.DECODE_ERROR, "crashed"),
    ],
)
def test_a_child_that_dies_or_babbles(
    script: str, reason: Reason, words: str, path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    acting_as(script, monkeypatch, tmp_path)
    rejected = rejection(path)
    assert rejected.reason is reason
    assert words in rejected.detail
    assert not children()


def test_a_child_that_hangs_is_killed_with_all_that_it_started(
    path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    child = tmp_path / "child"
    child.write_text(f"#!/bin/sh\nsleep 1000 &\necho $! > {tmp_path / 'pid'}\nwait\n")
    child.chmod(0o755)
    monkeypatch.setattr(isolated.sys, "executable", str(child))
    monkeypatch.setattr(isolated, "START_GRACE_S", 3.0)
    rejected = rejection(path, MediaLimits(wall_clock_s=1.0))
    assert rejected.reason is Reason.TIME_LIMIT
    assert not children()
    grandchild = Path("/proc") / (tmp_path / "pid").read_text().strip()
    patience = time.monotonic() + 10
    while grandchild.exists() and "State:\tZ" not in (grandchild / "status").read_text():
        assert time.monotonic() < patience, "the grandchild lives"
        time.sleep(0.05)


def test_the_child_gets_no_credentials_and_cannot_write(path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    assert "secret" not in isolated._environment().values()
    code = (
        "from tasks.media.isolated_child import _limit_resources; from tasks.media.limits import MediaLimits\n"
        "_limit_resources(MediaLimits())\n"
        "import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        f"open({str(tmp_path / 'written')!r}, 'wb', buffering=0).write(b'x')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "File too large" in done.stderr


def test_no_descriptors_are_left_open(path: Path):
    before = len(list(Path("/proc/self/fd").iterdir()))
    with open_audio_isolated(path) as audio:
        next(iter(audio))
    assert len(list(Path("/proc/self/fd").iterdir())) == before
