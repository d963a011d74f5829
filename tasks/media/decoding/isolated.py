"""Decode in a process of its own: a file that crashes, hangs or bloats FFmpeg ends that process and nothing else.

A decoder process has loaded Python, NumPy and FFmpeg and decodes nothing itself: for each medium it forks. So every
medium gets a fresh process with limits of its own, and short clips are worth isolating too: with ten busy processes on
two cores, a fork adds 25 to 40 ms to the 20 of a one-second clip, and starting Python anew 800.

The medium comes as an open file (so no name of a file ever stands on a command line). Its process has limits on memory
and processor time, no permission to write files, no environment to speak of, and a process group of its own. It answers
on a pipe with messages of one byte for the kind, four for the length, and the content.
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
from tasks.media.container.tracks import TrackChoice, TrackPolicy
from tasks.media.findings import AudioFindings, MediaRejected
from tasks.media.limits import MediaLimits, Stopwatch

HEADER_BYTES = 5
MAX_MESSAGE_BYTES = 1 << 26
START_GRACE_S = 120.0  # for Python and the libraries to load, on a machine that is busy
ANSWER_GRACE_S = 30.0  # beside the limit that the decoder keeps itself
PIPE_BYTES = 1 << 16
STATUS_BYTES = 8  # of a process id, and of the code with which it ended

# No fault of a medium: the next one would fare no better.
NO_DECODER = "the decoder process does not start; what it says stands above in the log"


class MessageKind(Enum):
    """What a message of the decoder holds."""

    OPENED = b"O"  # OpenedMessage, as JSON
    BLOCK = b"B"  # float32 samples
    FINDINGS = b"F"  # AudioFindings, as JSON: the end
    REJECTED = b"R"  # RejectedMessage, as JSON: the end


class DecodeRequest(Frozen):
    """What to do with the medium that comes with it."""

    policy: TrackPolicy
    limits: MediaLimits
    sample_rate_hz: int


class OpenedMessage(Frozen):
    """The medium was opened and a track chosen."""

    probe: MediaProbe
    choice: TrackChoice


class RejectedMessage(Frozen):
    """`MediaRejected` on its way to the parent."""

    reason: Reason
    detail: str
    findings: AudioFindings | None


class IsolatedDecoder:
    """A decoder process, started when the first medium comes and ended with the block. One medium at a time.

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
        """`decode.open_audio` for a local file, in a process of its own; it decodes ahead while the caller works.

        Raises `MediaRejected` as `open_audio` does; a crash is `decode_error`, a hang `time_limit`. Raises
        `ChildProcessError` when the decoder process itself does not start.
        """
        request = DecodeRequest(
            policy=policy or TrackPolicy(), limits=limits or MediaLimits(), sample_rate_hz=sample_rate_hz
        )
        with ExitStack() as stack:
            media = stack.enter_context(open_regular_file(path))
            (output, answers), (errors, complaints) = os.pipe(), os.pipe()
            stack.callback(os.close, output)
            stack.callback(os.close, errors)
            os.set_blocking(complaints, False)  # who complains without end is not waited for
            try:
                self._send(request, [media.fileno(), answers, complaints])
            finally:
                os.close(answers)
                os.close(complaints)
            child = _Child(self, errors)
            stack.callback(child.end)
            yield IsolatedAudio(child, output, request)

    def _send(self, request: DecodeRequest, descriptors: list[int]) -> None:
        """Hand over a request with its files. A decoder that died in idleness is started again."""
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
        ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with its:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tasks.media.decoding.isolated_child", str(its.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[its.fileno()],
                env=_environment(),
                start_new_session=True,
            )
        return ours

    def _stop(self) -> None:
        """It ends by itself, with what it may be decoding, when the socket is closed; but nobody waits for that."""
        if self._control is not None:
            self._control.close()
            self._control = None
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def receive(self, timeout_s: float) -> int | None:
        """A number that the decoder process tells. None when it has died, or says nothing for so long."""
        if self._control is None:
            return None
        told = b""
        if select.select([self._control], [], [], timeout_s)[0]:
            with contextlib.suppress(OSError):
                told = self._control.recv(STATUS_BYTES)
        if not told:
            self._stop()
            return None
        return int.from_bytes(told, "little", signed=True)


class _Child:
    """The process that decodes one medium, as seen from here: its grandparent."""

    def __init__(self, decoder: IsolatedDecoder, errors: int) -> None:
        self._decoder, self._errors = decoder, errors
        self._has_ended = False
        self._code: int | None = None
        self._pid = decoder.receive(START_GRACE_S)
        if self._pid is None:
            raise ChildProcessError(NO_DECODER)

    def end(self) -> None:
        """Kill it with everything that it may have started, and learn how it ended.

        Its parent keeps the process id for it until the next request, so nobody else can be hit.
        """
        if self._has_ended:
            return
        self._has_ended = True
        assert self._pid is not None
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._pid, signal.SIGKILL)
        self._code = self._decoder.receive(START_GRACE_S)

    def death(self) -> MediaRejected:
        """Why it has ended without a last word. Its output is closed, so it is ending by itself."""
        if not self._has_ended:
            self._has_ended = True
            self._code = self._decoder.receive(START_GRACE_S)
        code = self._code
        if code is None or -code == signal.SIGKILL:
            return MediaRejected(Reason.MEMORY_LIMIT, "the decoder was killed: the machine was out of memory")
        if -code == signal.SIGXCPU:
            return MediaRejected(Reason.TIME_LIMIT, "the decoder used more processor time than it may have")
        words = _available(self._errors).decode(errors="replace").strip().splitlines()
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        return MediaRejected(Reason.DECODE_ERROR, f"the decoder crashed ({how}) {words[-1] if words else ''}".strip())


class IsolatedAudio:
    """The blocks of a medium that another process decodes, once. Made by `IsolatedDecoder.open_audio`."""

    def __init__(self, child: _Child, output: int, request: DecodeRequest) -> None:
        self.sample_rate_hz = request.sample_rate_hz
        self._child, self._output = child, output
        self._stopwatch = Stopwatch(request.limits.wall_clock_s + ANSWER_GRACE_S)
        self._findings: AudioFindings | None = None
        kind, content = self._message()
        if kind is not MessageKind.OPENED:
            raise MediaRejected(Reason.DECODE_ERROR, f"the decoder answered {kind.name} before it had opened the file")
        opened = OpenedMessage.model_validate_json(content)
        self.probe: MediaProbe = opened.probe
        self.choice: TrackChoice = opened.choice
        self._stopwatch.pause()

    def __iter__(self) -> Iterator[np.ndarray]:
        """Blocks of `(n_samples,)` float32 at `sample_rate_hz`."""
        while True:
            self._stopwatch.resume()
            kind, content = self._message()
            self._stopwatch.pause()
            if kind is MessageKind.FINDINGS:
                self._findings = AudioFindings.model_validate_json(content)
                return
            yield np.frombuffer(content, np.float32)

    @property
    def findings(self) -> AudioFindings:
        """Known after the last block."""
        if self._findings is None:
            raise RuntimeError("the findings are known when all blocks have been read")
        return self._findings

    def _message(self) -> tuple[MessageKind, bytearray]:
        header = self._read(HEADER_BYTES)
        n_bytes = int.from_bytes(header[1:], "little")
        try:
            kind = MessageKind(bytes(header[:1]))
        except ValueError:
            n_bytes = MAX_MESSAGE_BYTES + 1
        if n_bytes > MAX_MESSAGE_BYTES:
            raise MediaRejected(Reason.DECODE_ERROR, "the decoder's answer makes no sense")
        content = self._read(n_bytes)
        if kind is MessageKind.REJECTED:
            rejection = RejectedMessage.model_validate_json(content)
            raise MediaRejected(rejection.reason, rejection.detail, rejection.findings)
        return kind, content

    def _read(self, n_bytes: int) -> bytearray:
        """Exactly so many bytes of the decoder's output. Waiting is what the clock counts."""
        content = bytearray(n_bytes)
        at = 0
        while at < n_bytes:
            left_s = self._stopwatch.limit_s - self._stopwatch.elapsed_s
            if left_s <= 0 or not select.select([self._output], [], [], left_s)[0]:
                self._child.end()
                raise MediaRejected(Reason.TIME_LIMIT, f"decoding took more than {self._stopwatch.limit_s:g} s")
            n_read = os.readv(self._output, [memoryview(content)[at:]])
            if not n_read:
                raise self._child.death()
            at += n_read
        return content


def _available(pipe: int) -> bytes:
    """What lies in a pipe, without waiting for more: a grandchild may hold it open."""
    os.set_blocking(pipe, False)
    try:
        return os.read(pipe, PIPE_BYTES)
    except BlockingIOError:
        return b""


def _environment() -> dict[str, str]:
    """Nothing that a hijacked decoder could use: no credentials, no addresses."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL", "TZ") if name in os.environ}
    return {
        **kept,
        "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry),
        "PYTHONUTF8": "1",
        # A BLAS of many threads reserves address space for each of them, and that is limited; and a process that has
        # threads cannot be forked safely.
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }
