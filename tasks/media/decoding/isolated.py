"""Decode each medium in its own confined process: a file that crashes, exploits, hangs or bloats FFmpeg ends only that.

A fork server has Python, NumPy and FFmpeg loaded and forks for each medium. So every medium gets a fresh process with
its own limits, at a cost that is low even for short clips: with ten busy processes on two cores, a fork adds 25 to 40
ms to the 20 ms of a one-second clip; starting Python would add 800 ms.

The medium is passed as an open file descriptor, so no file name ever appears on a command line. Its process cannot open
files or sockets, start processes, or see others (`tasks.media.sandbox`); where the host denies a part of that, the log
says so. It dies when its reader closes the pipe on which it answers.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from typing import IO, Self

import numpy as np
import structlog

from tasks.audio import SAMPLE_RATE_HZ
from tasks.contract import Preempted
from tasks.media.container.source import open_regular_file
from tasks.media.container.tracks import Lane, TrackPolicy
from tasks.media.decoding.lanes import LaneBlock
from tasks.media.decoding.messages import COUNT_BYTES, MAX_REPORT_BYTES, STATUS_BYTES, DecodeRequest, PcmBlock
from tasks.media.decoding.messages_in import IsolatedAudio, MessageReader
from tasks.media.decoding.reader import MAX_SECONDS_IN_MEMORY
from tasks.media.limits import MediaLimits
from tasks.media.sandbox.confinement import SandboxReport, close_to_others

log = structlog.get_logger()

START_TIMEOUT_S = 120.0  # for loading Python and the libraries on a busy machine
END_TIMEOUT_S = 1.5  # for the kernel to end a killed process; it may be waiting for storage
WAIT_S = 0.2  # between looks at `stop`

# Not caused by the medium: the next one would fail too.
NO_DECODER = "the decoder process does not start; see its output in the log above"


class IsolatedDecoder:
    """A fork server for decoding, started with the first medium and stopped with the block. One medium at a time.

    with IsolatedDecoder() as decoder:
        for path in paths:
            with decoder.open_audio(path) as audio:
                for block in audio:
                    ...
    """

    program = ("-m", "tasks.media.decoding.isolated_child")
    """What Python runs as the fork server, before the descriptor of its socket."""

    def __init__(self, stop: threading.Event | None = None) -> None:
        """`stop`: once it is set, waiting for a decoder ends within a fraction of a second with `Preempted`."""
        self._stop_event = stop
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self.sandbox: SandboxReport | None = None
        """The measures that this host gave, once the fork server runs."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    @contextmanager
    def open_audio(
        self,
        path: str | Path,
        policy: TrackPolicy | None = None,
        limits: MediaLimits | None = None,
        *,
        sample_rate_hz: int = SAMPLE_RATE_HZ,
    ) -> Iterator[IsolatedAudio]:
        """`reader.open_audio` for a local file in its own process, which decodes ahead while the caller works.

        Raises `MediaRejected` as `open_audio` does; a crash is decode_error, a file that makes FFmpeg spin or takes too
        much memory decoder_limit, a host that gives no processor time time_limit. Raises `ChildProcessError` if the
        decoder process itself does not start, `Misconfigured` if the host denies a sandbox that the settings require,
        `Preempted` if `stop` is set meanwhile.
        """
        request = DecodeRequest(
            policy=policy or TrackPolicy(), limits=limits or MediaLimits(), sample_rate_hz=sample_rate_hz
        )
        with self._start_decoding(path, request) as child:
            yield IsolatedAudio(child, request)

    @contextmanager
    def open_lanes(
        self, path: str | Path, lanes: tuple[Lane, ...], limits: MediaLimits | None = None
    ) -> Iterator[Iterator[LaneBlock]]:
        """`lanes.open_lanes` for a local file in its own process. Raises as `open_audio` does."""
        request = DecodeRequest(
            policy=TrackPolicy(), limits=limits or MediaLimits(), sample_rate_hz=SAMPLE_RATE_HZ, lanes=lanes
        )
        with self._start_decoding(path, request) as child:
            yield MessageReader(child, request).lane_blocks()

    def load_audio(self, media: str | Path | bytes) -> np.ndarray:
        """`reader.load_audio` for a local file or the content of one, in its own process. Raises as `open_audio`."""
        limits = MediaLimits(max_duration_s=MAX_SECONDS_IN_MEMORY)
        request = DecodeRequest(policy=TrackPolicy(), limits=limits, sample_rate_hz=SAMPLE_RATE_HZ)
        with self._start_decoding(media, request) as child:
            return np.concatenate(list(IsolatedAudio(child, request)))

    @contextmanager
    def open_live(self, media: IO[bytes], limits: MediaLimits | None = None) -> Iterator[Iterator[PcmBlock]]:
        """Decode the first audio track of what arrives in a pipe, `media`, in its own process, as it arrives.

        Blocks are a decoder's frames. Raises as `open_audio` does; time without input is not the medium's.
        """
        request = DecodeRequest(
            policy=TrackPolicy(), limits=limits or MediaLimits(), sample_rate_hz=SAMPLE_RATE_HZ, is_live=True
        )
        with self._start_decoding(media, request) as child:
            yield MessageReader(child, request).pcm_blocks()

    @contextmanager
    def _start_decoding(self, media: str | Path | bytes | IO[bytes], request: DecodeRequest) -> Iterator[DecodeProcess]:
        """Start a process for a request, yield it, and end it on exit."""
        with ExitStack() as stack:
            if isinstance(media, str | Path):
                file = stack.enter_context(open_regular_file(media))
            else:
                file = stack.enter_context(unnamed_file(media)) if isinstance(media, bytes) else media
            (output, output_end), (errors, errors_end) = os.pipe(), os.pipe()
            child = DecodeProcess(self, output, errors, self._stop_event)
            stack.callback(child.end)
            os.set_blocking(errors_end, False)  # a child that floods its stderr must not block on the full pipe
            try:
                self._send(request, [file.fileno(), output_end, errors_end])
            finally:
                os.close(output_end)
                os.close(errors_end)
            child.pid = self._receive_number(START_TIMEOUT_S)
            yield child

    @property
    def pid(self) -> int | None:
        """Process id of the fork server while it runs."""
        return self._process.pid if self._process else None

    def _send(self, request: DecodeRequest, descriptors: list[int]) -> None:
        """Send a request with its descriptors. Restarts a fork server that died while idle."""
        for _ in range(2):
            if self._control is None:
                self._start()
            assert self._control is not None
            try:
                socket.send_fds(self._control, [request.model_dump_json().encode()], descriptors)
                return
            except OSError:
                self._stop()
        raise ChildProcessError(NO_DECODER)

    def _start(self) -> None:
        close_to_others()
        self._control, remote = socket.socketpair()
        with remote:
            self._process = subprocess.Popen(
                [sys.executable, *self.program, str(remote.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[remote.fileno()],
                env=child_environment(),
                start_new_session=True,
            )
        n_bytes = int.from_bytes(self._receive(COUNT_BYTES, START_TIMEOUT_S, self._stop_event) or b"", "little")
        report = self._receive(n_bytes, START_TIMEOUT_S) if 0 < n_bytes <= MAX_REPORT_BYTES else None
        if report is None:
            raise ChildProcessError(NO_DECODER)
        self.sandbox = SandboxReport.model_validate_json(report)
        _log_sandbox(tuple(self.sandbox.measures.items()))
        self.sandbox.check()

    def _stop(self) -> None:
        """Kill the fork server. It would end by itself once the socket is closed, but this does not wait for that."""
        if self._control is not None:
            self._control.close()
            self._control = None
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _receive_number(self, timeout_s: float) -> int:
        message = self._receive(STATUS_BYTES, timeout_s, self._stop_event)
        if message is None:
            raise ChildProcessError(NO_DECODER)
        return int.from_bytes(message, "little", signed=True)

    def receive_exit_code(self, timeout_s: float) -> int | None:
        """Receive how the last process ended. None if the fork server has died or does not answer in time."""
        message = self._receive(STATUS_BYTES, timeout_s)
        return None if message is None else int.from_bytes(message, "little", signed=True)

    def _receive(self, n_bytes: int, timeout_s: float, stop: threading.Event | None = None) -> bytes | None:
        """Receive exactly `n_bytes`, or kill the fork server and return None. Raises Preempted once `stop` is set."""
        message = b""
        while self._control is not None and len(message) < n_bytes:
            part = b""
            if wait_until_readable(self._control.fileno(), timeout_s, stop):
                with contextlib.suppress(OSError):
                    part = self._control.recv(n_bytes - len(message))
            if not part:
                self._stop()
            message += part
        return message if len(message) == n_bytes else None


class DecodeProcess:
    """The process that decodes one medium: a child of the fork server, so a grandchild of this process."""

    def __init__(self, decoder: IsolatedDecoder, output: int, errors: int, stop: threading.Event | None) -> None:
        """`output`, `errors`: the reading ends of its pipes, which are closed with it."""
        self.pid: int | None = None
        self._decoder, self._output, self._errors, self._stop_event = decoder, output, errors, stop
        self._has_ended = False

    def wait_for_output(self, timeout_s: float) -> bool:
        """Wait until there is output, or it ends. False if there is none in time. Raises Preempted."""
        return wait_until_readable(self._output, timeout_s, self._stop_event)

    def read_into(self, buffer: memoryview) -> int:
        """Read output that is there. Returns the number of bytes; 0 at its end."""
        return os.readv(self._output, [buffer])

    def end(self) -> None:
        """Have the fork server kill it, by closing its output, and wait for that."""
        if self._output < 0:
            return
        os.close(self._output)
        os.close(self._errors)
        self._output = self._errors = -1
        if self.pid is not None and not self._has_ended:
            self._decoder.receive_exit_code(END_TIMEOUT_S)

    def exit_state(self) -> tuple[int | None, str]:
        """Return exit code (negative: a signal) and last line of errors of a process that is ending by itself."""
        code = self._decoder.receive_exit_code(START_TIMEOUT_S)
        self._has_ended = True
        lines = _read_available(self._errors).decode(errors="replace").strip().splitlines()
        return code, lines[-1] if lines else ""


@contextmanager
def unnamed_file(content: bytes) -> Iterator[IO[bytes]]:
    """A file with this content and without a name, in memory where the host has such files (Linux)."""
    if sys.platform == "linux":
        file: IO[bytes] = os.fdopen(os.memfd_create("media"), "w+b", buffering=0)
    else:
        file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115
    with file:
        file.write(content)
        yield file


def wait_until_readable(descriptor: int, timeout_s: float, stop: threading.Event | None = None) -> bool:
    """Wait for data or the end of a stream. False if neither came in time. Raises Preempted once `stop` is set."""
    deadline = time.monotonic() + timeout_s
    while True:
        if stop is not None and stop.is_set():
            raise Preempted
        left_s = deadline - time.monotonic()
        wait_s = max(0.0, left_s if stop is None else min(left_s, WAIT_S))
        if select.select([descriptor], [], [], wait_s)[0]:
            return True
        if left_s <= 0:
            return False


@cache
def _log_sandbox(measures: tuple[tuple[str, str], ...]) -> None:
    """Log once in this process which measures the host gave."""
    report = SandboxReport(measures=dict(measures))
    if report.denied:
        log.warning("media decoders are confined, except for what this host denies", **report.measures)
    else:
        log.info("media decoders are confined", **report.measures)


def _read_available(pipe: int) -> bytes:
    """Read what is in a pipe without waiting for more: a grandchild may hold it open."""
    os.set_blocking(pipe, False)
    try:
        return os.read(pipe, 1 << 16)
    except BlockingIOError:
        return b""


def child_environment() -> dict[str, str]:
    """A minimal environment: no credentials or addresses that a hijacked decoder could use."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL", "TZ") if name in os.environ}
    return {
        **kept,
        "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry),
        "PYTHONUTF8": "1",
        # A multi-threaded BLAS reserves address space per thread, which is limited here, and a process with threads
        # cannot be forked safely.
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }
