"""Decode in a child process: a file that crashes, hangs or bloats FFmpeg ends the child and nothing else.

The child gets the open file as its standard input (so no name of a file ever stands on a command line), limits on
memory and processor time, no permission to write files, no environment to speak of, and a process group of its own.
It answers on its standard output with messages of one byte for the kind, four for the length, and the content.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import IO

import numpy as np

from tasks.contract import Frozen, Reason
from tasks.media.findings import AudioFindings, MediaRejected
from tasks.media.limits import MediaLimits, Stopwatch
from tasks.media.probe import MediaProbe
from tasks.media.source import open_regular_file
from tasks.media.tracks import TrackChoice, TrackPolicy

SAMPLE_RATE_HZ = 16_000
HEADER_BYTES = 5
MAX_MESSAGE_BYTES = 1 << 26
START_GRACE_S = 60.0  # for Python and the libraries to load, on a machine that is busy
STDERR_BYTES = 2000
STILL_DYING_S = 10.0


class Kind(Enum):
    """What a message of the child holds."""

    OPENED = b"O"  # Opened, as JSON
    BLOCK = b"B"  # float32 samples
    FINDINGS = b"F"  # AudioFindings, as JSON: the end
    REJECTED = b"R"  # Rejection, as JSON: the end


class Request(Frozen):
    """What the child is to do; its only argument."""

    policy: TrackPolicy
    limits: MediaLimits
    sample_rate_hz: int


class Opened(Frozen):
    """The medium was opened and a track chosen."""

    probe: MediaProbe
    choice: TrackChoice


class Rejection(Frozen):
    """`MediaRejected` on its way to the parent."""

    reason: Reason
    detail: str
    findings: AudioFindings | None


@contextmanager
def open_audio_isolated(
    path: str | Path,
    policy: TrackPolicy | None = None,
    limits: MediaLimits | None = None,
    *,
    sample_rate_hz: int = SAMPLE_RATE_HZ,
) -> Iterator[IsolatedAudio]:
    """`decode.open_audio` for a local file, in a child process; the child decodes ahead while the caller works.

    Raises `MediaRejected` as `open_audio` does; a crash is `decode_error`, a hang `time_limit`.
    """
    request = Request(policy=policy or TrackPolicy(), limits=limits or MediaLimits(), sample_rate_hz=sample_rate_hz)
    with open_regular_file(path) as file, tempfile.TemporaryFile() as errors:
        child = subprocess.Popen(
            [sys.executable, "-m", "tasks.media.isolated_child", request.model_dump_json()],
            stdin=file,
            stdout=subprocess.PIPE,
            stderr=errors,
            env=_environment(),
            start_new_session=True,
        )
        try:
            audio = IsolatedAudio(child, errors, request)
            yield audio
        finally:
            _end(child)


class IsolatedAudio:
    """The blocks of a medium that a child process decodes, once. Made by `open_audio_isolated`."""

    def __init__(self, child: subprocess.Popen[bytes], errors: IO[bytes], request: Request) -> None:
        assert child.stdout is not None
        self.sample_rate_hz = request.sample_rate_hz
        self._child, self._errors = child, errors
        self._output = child.stdout.fileno()
        self._stopwatch = Stopwatch(request.limits.wall_clock_s + START_GRACE_S)
        self._findings: AudioFindings | None = None
        kind, content = self._message()
        if kind is not Kind.OPENED:
            raise MediaRejected(Reason.DECODE_ERROR, f"the decoder answered {kind.name} before it had opened the file")
        opened = Opened.model_validate_json(content)
        self.probe: MediaProbe = opened.probe
        self.choice: TrackChoice = opened.choice
        self._stopwatch.pause()

    def __iter__(self) -> Iterator[np.ndarray]:
        """Blocks of `(n_samples,)` float32 at `sample_rate_hz`."""
        while True:
            self._stopwatch.resume()
            kind, content = self._message()
            self._stopwatch.pause()
            if kind is Kind.FINDINGS:
                self._findings = AudioFindings.model_validate_json(content)
                return
            yield np.frombuffer(content, np.float32)

    @property
    def findings(self) -> AudioFindings:
        """Known after the last block."""
        if self._findings is None:
            raise RuntimeError("the findings are known when all blocks have been read")
        return self._findings

    def _message(self) -> tuple[Kind, bytearray]:
        header = self._read(HEADER_BYTES)
        n_bytes = int.from_bytes(header[1:], "little")
        try:
            kind = Kind(bytes(header[:1]))
        except ValueError:
            n_bytes = MAX_MESSAGE_BYTES + 1
        if n_bytes > MAX_MESSAGE_BYTES:
            raise MediaRejected(Reason.DECODE_ERROR, "the decoder's answer makes no sense")
        content = self._read(n_bytes)
        if kind is Kind.REJECTED:
            rejection = Rejection.model_validate_json(content)
            raise MediaRejected(rejection.reason, rejection.detail, rejection.findings)
        return kind, content

    def _read(self, n_bytes: int) -> bytearray:
        """Exactly so many bytes of the child's output. Waiting is what the clock counts."""
        content = bytearray(n_bytes)
        at = 0
        while at < n_bytes:
            left_s = self._stopwatch.limit_s - self._stopwatch.elapsed_s
            if left_s <= 0 or not select.select([self._output], [], [], left_s)[0]:
                _end(self._child)
                raise MediaRejected(Reason.TIME_LIMIT, f"decoding took more than {self._stopwatch.limit_s:g} s")
            n_read = os.readv(self._output, [memoryview(content)[at:]])
            if not n_read:
                raise self._death()
            at += n_read
        return content

    def _death(self) -> MediaRejected:
        """The child has ended without a last word."""
        code = self._child.wait(STILL_DYING_S)
        if -code == signal.SIGXCPU:
            return MediaRejected(Reason.TIME_LIMIT, "the decoder used more processor time than it may have")
        if -code == signal.SIGKILL:
            return MediaRejected(Reason.MEMORY_LIMIT, "the decoder was killed: the machine was out of memory")
        self._errors.seek(0, os.SEEK_END)
        self._errors.seek(max(0, self._errors.tell() - STDERR_BYTES))
        words = self._errors.read().decode(errors="replace").strip().splitlines()
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        return MediaRejected(Reason.DECODE_ERROR, f"the decoder crashed ({how}) {words[-1] if words else ''}".strip())


def _environment() -> dict[str, str]:
    """Nothing that a hijacked decoder could use: no credentials, no addresses."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL", "TZ") if name in os.environ}
    return {
        **kept,
        "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry),
        "PYTHONUTF8": "1",
        # A BLAS of many threads reserves address space for each of them, and that is limited.
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }


def _end(child: subprocess.Popen[bytes]) -> None:
    """Kill the child's whole process group and take in what is left of it."""
    if child.poll() is None:
        os.killpg(child.pid, signal.SIGKILL)
    if child.stdout is not None:
        child.stdout.close()
    child.wait()
