from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tasks.contract import Reason
from tasks.media.container.tracks import TrackPolicy
from tasks.media.decoding import isolated
from tasks.media.decoding.isolated import IsolatedAudio, IsolatedDecoder
from tasks.media.decoding.reader import open_audio
from tasks.media.findings import MediaRejected
from tasks.media.limits import MediaLimits
from tests.tasks.media.acting import write_acting_child
from tests.tasks.media.making import Track, encode, marked, wav

SERVERS: set[str] = set()
STEREO = np.stack([marked(12.0), marked(12.0, seed=1)])


@contextlib.contextmanager
def open_isolated(
    path: Path, policy: TrackPolicy | None = None, limits: MediaLimits | None = None
) -> Iterator[IsolatedAudio]:
    """A decoder for a single medium."""
    with IsolatedDecoder() as decoder, decoder.open_audio(path, policy, limits) as audio:
        yield audio


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("media") / "a -name\nof two lines.flac"
    path.write_bytes(encode("flac", Track(STEREO, "flac")))
    return path


def rejection(path: Path, limits: MediaLimits | None = None) -> MediaRejected:
    with pytest.raises(MediaRejected) as rejected, open_isolated(path, limits=limits) as audio:
        for _ in audio:
            pass
    return rejected.value


def acting_as(script: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Make the decode process run `script` instead of decoding; it answers on `output`."""
    monkeypatch.setattr(isolated.sys, "executable", str(write_acting_child(tmp_path, script)))


def pids_of_children() -> set[str]:
    tasks = Path(f"/proc/{os.getpid()}/task")
    return {pid for task in tasks.iterdir() for pid in (task / "children").read_text().split()}


@pytest.fixture(autouse=True, scope="module")
def servers() -> Iterator[set[str]]:
    """Child processes of this process that belong to other tests."""
    SERVERS.update(pids_of_children())
    yield SERVERS
    SERVERS.clear()


def children() -> list[str]:
    """Child processes that are alive or not reaped, except those of multiprocessing and the servers of other tests."""
    pids = pids_of_children() - SERVERS
    return [pid for pid in pids if "multiprocessing" not in (Path("/proc") / pid / "cmdline").read_text()]


def test_the_same_blocks_as_in_this_process(path: Path):
    policy = TrackPolicy(channel=1)
    with open_audio(path, policy) as inside, open_isolated(path, policy) as outside:
        expected = np.concatenate(list(inside))
        np.testing.assert_array_equal(np.concatenate(list(outside)), expected)
        assert (outside.probe, outside.choice, outside.findings) == (inside.probe, inside.choice, inside.findings)
    assert not children()


def test_reading_may_stop_early(path: Path):
    with open_isolated(path) as audio:
        next(iter(audio))
        with pytest.raises(RuntimeError, match="only when all blocks have been read"):
            _ = audio.findings
    assert not children()


def test_rejections_reach_the_caller(path: Path, tmp_path: Path):
    empty = tmp_path / "empty.wav"
    empty.write_bytes(b"")
    assert rejection(empty).reason is Reason.EMPTY
    assert rejection(tmp_path / "missing.wav").reason is Reason.UNREADABLE
    too_long = rejection(path, MediaLimits(max_duration_s=5.0))
    assert too_long.reason is Reason.TOO_LONG
    assert too_long.findings is not None
    assert too_long.findings.duration_s > 5.0


def test_memory_is_limited(path: Path):
    """By the file's own need, the same at every try, unlike the machine's."""
    rejected = rejection(path, MediaLimits(memory_bytes=1 << 20))
    assert (rejected.reason, rejected.detail) == (
        Reason.DECODER_LIMIT,
        "decoding needs more than 1048576 bytes of memory",
    )


def test_memory_does_not_grow_with_duration(tmp_path: Path):
    """Half an hour, 115 MB as float32, within 48 MB above idle memory."""
    path = tmp_path / "long.wav"
    minute = wav(np.random.default_rng(0).standard_normal((1, 60 * 16_000)) * 0.05, claimed_bytes=30 * 60 * 32_000)
    with path.open("wb") as file:
        file.write(minute[:44])
        for _ in range(30):
            file.write(minute[44:])
    with open_isolated(path, limits=MediaLimits(memory_bytes=48 << 20)) as audio:
        assert sum(len(block) for block in audio) == 30 * 60 * 16_000


@pytest.mark.parametrize(
    ("script", "reason", "words"),
    [
        ("os.kill(os.getpid(), signal.SIGSEGV)", Reason.DECODE_ERROR, "SIGSEGV"),
        ("os.abort()", Reason.DECODE_ERROR, "SIGABRT"),
        ("os.kill(os.getpid(), signal.SIGXCPU)", Reason.DECODER_LIMIT, "processor time"),
        ("os.kill(os.getpid(), signal.SIGKILL)", Reason.MEMORY_LIMIT, "out of memory"),
        ("raise RuntimeError('no such thing')", Reason.DECODE_ERROR, "exit code 70) RuntimeError: no such thing"),
        ("raise OSError(116, 'Stale file handle')", Reason.UNREADABLE, "Stale file handle"),
        ("os._exit(3)", Reason.DECODE_ERROR, "exit code 3"),
        ("output.write(b'complete nonsense')", Reason.DECODE_ERROR, "invalid message"),
        ("output.write(b'B' + (2**31).to_bytes(4, 'little'))", Reason.DECODE_ERROR, "invalid message"),
        ("output.write(b'B' + (400).to_bytes(4, 'little') + b'short')", Reason.DECODE_ERROR, "exit code 0"),
        ("output.write(b'B' + (4).to_bytes(4, 'little') + b'four')", Reason.DECODE_ERROR, "BLOCK before OPENED"),
        ("output.write(b'O' + (4).to_bytes(4, 'little') + b'four')", Reason.DECODE_ERROR, "no OpenedMessage"),
        ("output.write(b'R' + (4).to_bytes(4, 'little') + b'four')", Reason.DECODE_ERROR, "no RejectedMessage"),
        ("os.kill(os.getpid(), 40)", Reason.DECODE_ERROR, "signal 40"),
        ("os.close(output.fileno()), time.sleep(1), os._exit(4)", Reason.DECODE_ERROR, "exit code 4"),
        ("os.write(2, b'x' * (1 << 20)); os.abort()", Reason.DECODE_ERROR, "SIGABRT"),
    ],
)
def test_a_child_that_dies_or_sends_garbage(
    script: str, reason: Reason, words: str, path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    acting_as(script, monkeypatch, tmp_path)
    rejected = rejection(path)
    assert rejected.reason is reason
    assert words in rejected.detail
    assert not children()


def test_no_descriptors_are_left_open(path: Path):
    before = len(list(Path("/proc/self/fd").iterdir()))
    with open_isolated(path) as audio:
        next(iter(audio))
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_one_decoder_serves_many_media_and_outlives_those_that_crash(
    path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    """Python's start-up of a third of a second is paid once; a crash costs one medium."""
    fault = "os.kill(os.getpid(), signal.SIGSEGV) if media.read(1) == b'!' else media.seek(0)"
    acting_as(f"{fault}\ndecode(media, request, output)", monkeypatch, tmp_path)
    bad = tmp_path / "bad.wav"
    bad.write_bytes(b"!" + path.read_bytes()[1:])
    with IsolatedDecoder() as decoder:
        served = []
        for media in (path, bad, path, bad, path):
            try:
                with decoder.open_audio(media) as audio:
                    served.append(sum(len(block) for block in audio))
            except MediaRejected as rejected:
                served.append(rejected.detail)
            assert len(children()) == 1
        crashed = "the decoder crashed (signal SIGSEGV)"
        assert served == [12 * 16_000, crashed, 12 * 16_000, crashed, 12 * 16_000]
    assert not children()


def test_a_decoder_that_died_while_idle_is_restarted(path: Path):
    with IsolatedDecoder() as decoder:
        for _ in range(2):
            with decoder.open_audio(path) as audio:
                assert sum(len(block) for block in audio) == 12 * 16_000
            (pid,) = children()
            os.kill(int(pid), signal.SIGKILL)
            while is_alive(pid):
                time.sleep(0.01)
    assert not children()


def test_a_decoder_that_cannot_start_is_not_blamed_on_the_medium(path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(isolated.sys, "executable", "/bin/false")
    with pytest.raises(ChildProcessError), open_isolated(path):
        pass


def is_alive(pid: str) -> bool:
    """Whether it runs. A zombie counts as ended."""
    try:
        return "State:\tZ" not in (Path("/proc") / pid / "status").read_text()
    except OSError:
        return False
