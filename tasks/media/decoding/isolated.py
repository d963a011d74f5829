"""Decode each medium in its own process: a file that crashes, hangs or bloats FFmpeg ends only that process.

A fork server has Python, NumPy and FFmpeg loaded and forks for each medium. So every medium gets a fresh process with
its own limits, at a cost that is low even for short clips: with ten busy processes on two cores, a fork adds 25 to 40
ms to the 20 ms of a one-second clip; starting Python would add 800 ms.

The medium is passed as an open file descriptor, so no file name ever appears on a command line. Its process has limits
on memory and CPU time, may not write files, gets a minimal environment and its own process group. It answers on a pipe
with messages of one byte for the kind, four for the length, and the content.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from enum import Enum
from pathlib import Path
from typing import Self

import numpy as np

from tasks.audio import SAMPLE_RATE_HZ
from tasks.contract import Frozen, Reason
from tasks.media.container.probe import MediaProbe
from tasks.media.container.source import open_regular_file
from tasks.media.container.tracks import Lane, TrackChoice, TrackPolicy
from tasks.media.decoding.lanes import LaneBlock
from tasks.media.findings import AudioFindings, MediaRejected
from tasks.media.limits import MediaLimits, Stopwatch

HEADER_BYTES = 5
MAX_MESSAGE_BYTES = 1 << 26
START_TIMEOUT_S = 120.0  # for loading Python and the libraries on a busy machine
ANSWER_GRACE_S = 30.0  # on top of the time limit that the decoder enforces itself
PIPE_BYTES = 1 << 16
STATUS_BYTES = 8  # of a process id or an exit code on the control socket

# Not caused by the medium: the next one would fail too.
NO_DECODER = "the decoder process does not start; see its output in the log above"


class MessageKind(Enum):
    """The content of a message from the decoder."""

    OPENED = b"O"  # OpenedMessage, as JSON
    BLOCK = b"B"  # float32 samples
    LANE = b"L"  # the index of a lane in one byte, then its float32 samples
    END = b"E"  # after the last block of all lanes: the last message
    FINDINGS = b"F"  # AudioFindings, as JSON: the last message
    REJECTED = b"R"  # RejectedMessage, as JSON: the last message


class DecodeRequest(Frozen):
    """How to decode a medium. Its file descriptor is sent along."""

    policy: TrackPolicy
    limits: MediaLimits
    sample_rate_hz: int
    lanes: tuple[Lane, ...] = ()  # decode these separately instead of the policy's choice


class OpenedMessage(Frozen):
    """The medium was opened and a track was chosen."""

    probe: MediaProbe
    choice: TrackChoice


class RejectedMessage(Frozen):
    """`MediaRejected`, serialised for the parent."""

    reason: Reason
    detail: str
    findings: AudioFindings | None


class IsolatedDecoder:
    """A fork server for decoding, started with the first medium and stopped with the block. One medium at a time.

    with IsolatedDecoder() as decoder:
        for path in paths:
            with decoder.open_audio(path) as audio:
                for block in audio:
                    ...
    """

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None

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

        Raises `MediaRejected` as `open_audio` does; a crash is decode_error, a hang time_limit. Raises
        `ChildProcessError` if the decoder process itself does not start.
        """
        request = DecodeRequest(
            policy=policy or TrackPolicy(), limits=limits or MediaLimits(), sample_rate_hz=sample_rate_hz
        )
        with self._start_decoding(path, request) as (child, output):
            yield IsolatedAudio(child, output, request)

    @contextmanager
    def open_lanes(
        self, path: str | Path, lanes: tuple[Lane, ...], limits: MediaLimits | None = None
    ) -> Iterator[Iterator[LaneBlock]]:
        """`lanes.open_lanes` for a local file in its own process. Raises as `open_audio` does."""
        request = DecodeRequest(
            policy=TrackPolicy(), limits=limits or MediaLimits(), sample_rate_hz=SAMPLE_RATE_HZ, lanes=lanes
        )
        with self._start_decoding(path, request) as (child, output):
            yield _MessageReader(child, output, request).lane_blocks()

    @contextmanager
    def _start_decoding(self, path: str | Path, request: DecodeRequest) -> Iterator[tuple[_DecodeProcess, int]]:
        """Start a process for a request, yield it with the descriptor of its output pipe, and end it on exit."""
        with ExitStack() as stack:
            media = stack.enter_context(open_regular_file(path))
            (output, output_end), (errors, errors_end) = os.pipe(), os.pipe()
            stack.callback(os.close, output)
            stack.callback(os.close, errors)
            os.set_blocking(errors_end, False)  # a child that floods its stderr must not block on the full pipe
            try:
                self._send(request, [media.fileno(), output_end, errors_end])
            finally:
                os.close(output_end)
                os.close(errors_end)
            child = _DecodeProcess(self, errors)
            stack.callback(child.end)
            yield child, output

    @property
    def pid(self) -> int | None:
        """Process id of the fork server while it runs."""
        return self._process.pid if self._process else None

    def _send(self, request: DecodeRequest, descriptors: list[int]) -> None:
        """Send a request with its descriptors. Restarts a fork server that died while idle."""
        for _ in range(2):
            if self._control is None:
                self._control = self._start()
            try:
                socket.send_fds(self._control, [request.model_dump_json().encode()], descriptors)
                return
            except OSError:
                self._stop()
        raise ChildProcessError(NO_DECODER)

    def _start(self) -> socket.socket:
        control, remote = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with remote:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tasks.media.decoding.isolated_child", str(remote.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[remote.fileno()],
                env=child_environment(),
                start_new_session=True,
            )
        return control

    def _stop(self) -> None:
        """Kill the fork server. It would end by itself once the socket is closed, but this does not wait for that."""
        if self._control is not None:
            self._control.close()
            self._control = None
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def receive(self, timeout_s: float) -> int | None:
        """Receive a process id or exit code. None if the fork server has died or does not answer in time."""
        if self._control is None:
            return None
        message = b""
        if select.select([self._control], [], [], timeout_s)[0]:
            with contextlib.suppress(OSError):
                message = self._control.recv(STATUS_BYTES)
        if not message:
            self._stop()
            return None
        return int.from_bytes(message, "little", signed=True)


class _DecodeProcess:
    """The process that decodes one medium: a child of the fork server, so a grandchild of this process."""

    def __init__(self, decoder: IsolatedDecoder, errors: int) -> None:
        self._decoder, self._errors = decoder, errors
        self._has_ended = False
        self._code: int | None = None
        pid = decoder.receive(START_TIMEOUT_S)
        if pid is None:
            raise ChildProcessError(NO_DECODER)
        self.pid = pid

    def end(self) -> None:
        """Kill its process group and fetch its exit code.

        The fork server does not reap it before the next request, so the process id cannot have been reused.
        """
        if self._has_ended:
            return
        self._has_ended = True
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self._code = self._decoder.receive(START_TIMEOUT_S)

    def crash_error(self) -> MediaRejected:
        """The error for a process that closed its output without a last message, and so is ending by itself."""
        if not self._has_ended:
            self._has_ended = True
            self._code = self._decoder.receive(START_TIMEOUT_S)
        code = self._code
        if code is None or -code == signal.SIGKILL:
            return MediaRejected(Reason.MEMORY_LIMIT, "the decoder was killed: the machine was out of memory")
        if -code == signal.SIGXCPU:
            return MediaRejected(Reason.TIME_LIMIT, "the decoder exceeded its limit of processor time")
        lines = _read_available(self._errors).decode(errors="replace").strip().splitlines()
        cause = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        return MediaRejected(Reason.DECODE_ERROR, f"the decoder crashed ({cause}) {lines[-1] if lines else ''}".strip())


class _MessageReader:
    """Reads a decoder's messages within the time limit."""

    def __init__(self, child: _DecodeProcess, output: int, request: DecodeRequest) -> None:
        self._child, self._output = child, output
        self._stopwatch = Stopwatch(request.limits.wall_clock_s + ANSWER_GRACE_S)

    def lane_blocks(self) -> Iterator[LaneBlock]:
        """Yield the blocks of all lanes in the order of decoding."""
        while True:
            self._stopwatch.resume()
            kind, content = self._read_message()
            self._stopwatch.pause()
            if kind is MessageKind.END:
                return
            yield content[0], np.frombuffer(bytes(content[1:]), np.float32)  # (n_samples,)

    def _read_message(self) -> tuple[MessageKind, bytearray]:
        header = self._read(HEADER_BYTES)
        n_bytes = int.from_bytes(header[1:], "little")
        try:
            kind = MessageKind(bytes(header[:1]))
        except ValueError:
            n_bytes = MAX_MESSAGE_BYTES + 1
        if n_bytes > MAX_MESSAGE_BYTES:
            raise MediaRejected(Reason.DECODE_ERROR, "the decoder sent an invalid message")
        content = self._read(n_bytes)
        if kind is MessageKind.REJECTED:
            rejection = RejectedMessage.model_validate_json(content)
            raise MediaRejected(rejection.reason, rejection.detail, rejection.findings)
        return kind, content

    def _read(self, n_bytes: int) -> bytearray:
        """Read exactly `n_bytes` of the decoder's output, within the time limit."""
        content = bytearray(n_bytes)
        at = 0
        while at < n_bytes:
            left_s = self._stopwatch.limit_s - self._stopwatch.elapsed_s
            if left_s <= 0 or not select.select([self._output], [], [], left_s)[0]:
                self._child.end()
                raise MediaRejected(Reason.TIME_LIMIT, f"decoding took more than {self._stopwatch.limit_s:g} s")
            n_read = os.readv(self._output, [memoryview(content)[at:]])
            if not n_read:
                raise self._child.crash_error()
            at += n_read
        return content


class IsolatedAudio(_MessageReader):
    """Iterates once over the blocks of a medium that another process decodes. Created by `IsolatedDecoder`."""

    def __init__(self, child: _DecodeProcess, output: int, request: DecodeRequest) -> None:
        self.sample_rate_hz = request.sample_rate_hz
        super().__init__(child, output, request)
        self.pid = child.pid
        self._findings: AudioFindings | None = None
        kind, content = self._read_message()
        if kind is not MessageKind.OPENED:
            raise MediaRejected(Reason.DECODE_ERROR, f"the decoder sent {kind.name} before OPENED")
        opened = OpenedMessage.model_validate_json(content)
        self.probe: MediaProbe = opened.probe
        self.choice: TrackChoice = opened.choice
        self._stopwatch.pause()

    def __iter__(self) -> Iterator[np.ndarray]:
        """Yield blocks of `(n_samples,)` float32 at `sample_rate_hz`."""
        while True:
            self._stopwatch.resume()
            kind, content = self._read_message()
            self._stopwatch.pause()
            if kind is MessageKind.FINDINGS:
                self._findings = AudioFindings.model_validate_json(content)
                return
            yield np.frombuffer(content, np.float32)  # (n_samples,)

    @property
    def findings(self) -> AudioFindings:
        """Available after the last block. Raises RuntimeError before."""
        if self._findings is None:
            raise RuntimeError("the findings are known only when all blocks have been read")
        return self._findings


def _read_available(pipe: int) -> bytes:
    """Read what is in a pipe without waiting for more: a grandchild may hold it open."""
    os.set_blocking(pipe, False)
    try:
        return os.read(pipe, PIPE_BYTES)
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
