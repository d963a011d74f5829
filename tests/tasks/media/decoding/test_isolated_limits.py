"""A decoder that spins, waits or outlives its reader, whatever the file makes it do."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tasks.contract import TRANSIENT_REASONS, Preempted, Reason
from tasks.media.decoding import isolated
from tasks.media.decoding.isolated import IsolatedDecoder
from tasks.media.findings import MediaRejected
from tasks.media.limits import MediaLimits
from tests.tasks.media.acting import write_acting_child
from tests.tasks.media.making import Track, encode, marked, wav

WITHIN_S = 2.0
SPIN = "while True: pass"
# Where no Python runs, so where no handler of Python's does either.
SPIN_IN_C = "import re; re.match('(a+)+b', 'a' * 200)"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "a.wav"
    path.write_bytes(wav(marked(3.0, 16_000)[None]))
    return path


def act(body: str, monkeypatch: pytest.MonkeyPatch, folder: Path, setup: str = "import re") -> None:
    monkeypatch.setattr(isolated.sys, "executable", str(write_acting_child(folder, body, setup)))


def read_all(path: Path, limits: MediaLimits | None = None, stop: threading.Event | None = None) -> int:
    """Decode in a process of its own, and return the number of samples."""
    with IsolatedDecoder(stop) as decoder, decoder.open_audio(path, limits=limits) as audio:
        return sum(len(block) for block in audio)


def rejection(path: Path, limits: MediaLimits) -> MediaRejected:
    with pytest.raises(MediaRejected) as rejected:
        read_all(path, limits)
    return rejected.value


@pytest.mark.parametrize("body", [SPIN, SPIN_IN_C])
def test_a_decoder_that_spins_is_stopped_for_good(
    body: str, path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    """By its processor time, so that a busy machine does not blame the file, and the file is not tried again."""
    act(body, monkeypatch, tmp_path)
    rejected = rejection(path, MediaLimits(stalled_cpu_s=0.2))
    assert rejected.reason is Reason.DECODER_LIMIT
    assert "makes the decoder spin: 0.2 s of processor time" in rejected.detail
    assert Reason.DECODER_LIMIT not in TRANSIENT_REASONS


def test_a_decoder_that_waits_is_tried_again(path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    act("time.sleep(1000)", monkeypatch, tmp_path)
    rejected = rejection(path, MediaLimits(stalled_s=0.5))
    assert rejected.reason is Reason.TIME_LIMIT
    assert Reason.TIME_LIMIT in TRANSIENT_REASONS


def test_a_decoder_that_trickles_is_stopped(path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """A part of a message is no progress."""
    act("while True: output.write(b'O'); time.sleep(0.2)", monkeypatch, tmp_path)
    assert rejection(path, MediaLimits(stalled_s=1.0)).reason in (Reason.TIME_LIMIT, Reason.DECODE_ERROR)


def test_reading_again_and_again_is_no_progress(path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """A demuxer that seeks back and reads the same bytes, for ever."""
    act(
        """
        from_start = isolated_child.MediaSource(media, request.limits, isolated_child.Progress(request.limits))
        while True:
            from_start.seek(0)
            from_start.read(1000)
        """,
        monkeypatch,
        tmp_path,
        "from tasks.media.container.source import MediaSource\nisolated_child.MediaSource = MediaSource",
    )
    rejected = rejection(path, MediaLimits(stalled_cpu_s=0.3))
    assert (rejected.reason, "spin" in rejected.detail) == (Reason.DECODER_LIMIT, True)


def test_a_file_that_drips_has_a_limit_of_its_size(path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Progress puts off the end, but a small file gets no more processor time than its bytes and audio are worth."""
    act(
        """
        from_start = isolated_child.WatchedProgress(request.limits, output)
        while True:
            from_start.note_audio(1 / 16_000)
            from_start.check()
        """,
        monkeypatch,
        tmp_path,
    )
    rejected = rejection(path, MediaLimits(stalled_cpu_s=0.2, base_cpu_s=0.5, cpu_s_per_second=0.0))
    assert rejected.reason is Reason.DECODER_LIMIT
    assert "of processor time for 0 bytes" in rejected.detail


def test_code_that_puts_off_its_end_has_one(path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Of a file that has taken the decoder over, and pretends to make progress."""
    act("while True: isolated_child._allow_cpu(request.limits)", monkeypatch, tmp_path)
    limits = MediaLimits(base_cpu_s=0.0, cpu_s_per_second=0.0)
    rejected = rejection(path, limits)
    assert (rejected.reason, rejected.detail) == (
        Reason.DECODER_LIMIT,
        "exceeded the decoder's limit of processor time",
    )


def test_progress_without_audio_keeps_a_large_file_alive(path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Gigabytes of pictures before the first sound: the reader hears that bytes are read."""
    act(
        """
        isolated_child.REPORT_EVERY_S = 0.1
        progress = isolated_child.WatchedProgress(request.limits, output)
        for _ in range(15):
            time.sleep(0.2)
            progress.note_new_bytes()
        decode(media, request, output)
        """,
        monkeypatch,
        tmp_path,
    )
    assert read_all(path, MediaLimits(stalled_s=1.5)) == 3 * 16_000


def test_the_limit_grows_with_the_file():
    """An hour of television in 50 GB may take hours of processor time, and a short clip a minute."""
    limits = MediaLimits()
    assert limits.cpu_s(25_000, 0.0) == pytest.approx(60, abs=1)
    assert limits.cpu_s(50_000_000_000, 3600.0) > 4 * 3600


@pytest.mark.parametrize("body", [SPIN, SPIN_IN_C, "time.sleep(1000)"])
def test_stop_is_answered_at_once(body: str, path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    act(body, monkeypatch, tmp_path)
    stop, stopped_at = threading.Event(), [0.0]

    def set_stop() -> None:
        stopped_at[0] = time.monotonic()
        stop.set()

    threading.Timer(2.5, set_stop).start()  # when it spins, or before: starting is waiting too
    with pytest.raises(Preempted):
        read_all(path, stop=stop)
    assert time.monotonic() - stopped_at[0] < WITHIN_S


@pytest.mark.parametrize("body", [SPIN, SPIN_IN_C])
def test_a_signal_handler_that_raises_is_answered_at_once(
    body: str, path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    """As SIGTERM does in a step that is not `graceful`, like the corpus's."""
    act(body, monkeypatch, tmp_path)
    raised_at = [0.0]

    def preempt(*_: object) -> None:
        raised_at[0] = time.monotonic()
        raise Preempted

    before = signal.signal(signal.SIGALRM, preempt)
    signal.setitimer(signal.ITIMER_REAL, 2.5)
    try:
        with pytest.raises(Preempted):
            read_all(path)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert time.monotonic() - raised_at[0] < WITHIN_S


WORKER = """
import sys
from tasks.media.decoding import isolated
isolated.sys.executable = sys.argv[2] or sys.executable
decoder = isolated.IsolatedDecoder()
with decoder._start_decoding(sys.argv[1], isolated.DecodeRequest(
    policy=isolated.TrackPolicy(), limits=isolated.MediaLimits(), sample_rate_hz=16_000
)) as child:
    import os, time
    if sys.argv[3] and not os.fork():
        os.close(1)
        time.sleep(10)
        os._exit(0)
    print("pids", decoder.pid, child.pid, flush=True)
    time.sleep(1000)
"""


@contextlib.contextmanager
def worker_of(path: Path, child: str, fork: str = "") -> Iterator[tuple[subprocess.Popen[str], list[int]]]:
    """A worker that decodes, with the process ids of its fork server and of that one's child."""
    worker = subprocess.Popen([sys.executable, "-c", WORKER, str(path), child, fork], stdout=subprocess.PIPE, text=True)
    assert worker.stdout is not None
    try:
        found = next(line for line in worker.stdout if line.startswith("pids"))
        yield worker, [int(pid) for pid in found.split()[1:]]
    finally:
        worker.kill()
        worker.wait()
        worker.stdout.close()


@pytest.mark.parametrize("is_forked", [False, True], ids=["", "after a fork that lives on"])
@pytest.mark.parametrize("body", ["", SPIN, SPIN_IN_C], ids=["decoding", "spinning", "spinning in C"])
def test_a_decoder_dies_with_its_worker(body: str, is_forked: bool, path: Path, tmp_path: Path):
    """`kill -9` of a step ends the fork server and the process that decodes, whoever else has its pipes open."""
    child = str(write_acting_child(tmp_path, body, "import re")) if body else ""
    with worker_of(path, child, "fork" if is_forked else "") as (worker, pids):
        assert len(pids) == 2
        assert all(map(is_alive, pids))
        worker.kill()
        assert end_within(WITHIN_S, pids)


def test_a_decoder_dies_with_its_fork_server(path: Path, tmp_path: Path):
    """Killed for memory, for example: the kernel does this, as nobody is left to."""
    with worker_of(path, str(write_acting_child(tmp_path, SPIN))) as (_, (server, decoder)):
        subprocess.run(["kill", "-9", str(server)], check=True)
        assert end_within(WITHIN_S, [server, decoder])


def end_within(limit_s: float, pids: list[int]) -> bool:
    deadline = time.monotonic() + limit_s
    while any(map(is_alive, pids)) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not any(map(is_alive, pids))


def is_alive(pid: int) -> bool:
    """Whether it runs. A zombie counts as ended."""
    try:
        return "State:\tZ" not in (Path("/proc") / str(pid) / "status").read_text()
    except OSError:
        return False


def test_an_hour_of_audio_is_within_its_limits(tmp_path: Path):
    """At a twentieth of the default limits."""
    path = tmp_path / "a.flac"
    path.write_bytes(encode("flac", Track(np.tile(marked(60.0, 16_000), 10)[None], "flac", 16_000)))
    limits = MediaLimits(stalled_cpu_s=0.75, base_cpu_s=3.0, cpu_s_per_megabyte=0.025, cpu_s_per_second=0.025)
    assert read_all(path, limits) == 600 * 16_000
