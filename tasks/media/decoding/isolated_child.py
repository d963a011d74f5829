"""The fork server behind `isolated`, and the process that it forks for each medium."""

from __future__ import annotations

import contextlib
import gc
import io
import os
import resource
import select
import signal
import socket
import sys
import time
import traceback
import wave
from pathlib import Path
from typing import IO, NoReturn

import numpy as np

from tasks.contract import Frozen, Reason
from tasks.media.decoding.lanes import open_lanes
from tasks.media.decoding.live import live_blocks
from tasks.media.decoding.messages import (
    COUNT_BYTES,
    MAX_REQUEST_BYTES,
    PCM_HEADER,
    STATUS_BYTES,
    DecodeRequest,
    MessageKind,
    OpenedMessage,
    RejectedMessage,
)
from tasks.media.decoding.reader import open_audio
from tasks.media.findings import MediaRejected
from tasks.media.limits import MediaLimits, Progress
from tasks.media.sandbox.confinement import (
    GIVEN,
    SYSTEM_CALLS,
    confine_server,
    die_with_parent,
    filter_system_calls,
    limit_resources,
)

EXIT_CRASHED = 70  # EX_SOFTWARE
REPORT_EVERY_S = 5.0
POLL_MS = 500
STATE_BYTES = 512
MAX_LIVE_CPU_S = 1 << 30  # a live stream has no end to be limited by; spinning without progress is stopped as in files
STALL_MARGIN_S = 0.25  # by which the kernel's timer leaves the stop to Python, which can explain it


class ForkServer:
    """Serves the requests on a socket, one medium at a time."""

    def __init__(self, control: socket.socket) -> None:
        self._control, self._caller = control, os.getppid()
        _decode_sample()  # loads what is loaded late, before the first fork, and before files are out of reach
        self._idle_bytes = _address_space_bytes()
        # Self-pipe: the end of a child arrives as a byte, so that one poll() waits for everything.
        self._wake, self._wake_writer = os.pipe()
        os.set_blocking(self._wake_writer, False)
        signal.set_wakeup_fd(self._wake_writer)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        report = confine_server()
        self._filters = _try_filter()
        report = report.model_copy(update={"measures": {**report.measures, SYSTEM_CALLS: self._filters}})
        content = report.model_dump_json().encode()
        control.sendall(len(content).to_bytes(COUNT_BYTES, "little") + content)

    def serve(self) -> None:
        """Serve until the caller closes the socket, or ends."""
        while self._wait_for_request():
            try:
                request, descriptors, _, _ = socket.recv_fds(self._control, MAX_REQUEST_BYTES, 3)
            except ConnectionResetError:
                return
            if not request:
                return
            media, output, errors = descriptors
            server = os.getpid()
            pid = os.fork()
            if not pid:
                self._become_decoder(server, request, media, output, errors)
            os.close(media)
            os.close(errors)
            with contextlib.suppress(OSError):  # the caller is gone, and so is the reader of the output
                self._send_number(pid)
            code = self._wait_for_end(pid, output)
            os.close(output)  # only now does the reader see the end of the output
            with contextlib.suppress(OSError):
                self._send_number(code)

    def _wait_for_request(self) -> bool:
        """Wait until there is something on the socket. False if the caller has ended."""
        watch = select.poll()
        watch.register(self._control, select.POLLIN)
        while not self._is_orphan:
            if watch.poll(POLL_MS):
                return True
        return False

    @property
    def _is_orphan(self) -> bool:
        """Whether the caller has ended. A process that it forked may hold the other ends of our pipes."""
        return os.getppid() != self._caller

    def _send_number(self, number: int) -> None:
        self._control.sendall(number.to_bytes(STATUS_BYTES, "little", signed=True))

    def _wait_for_end(self, pid: int, output: int) -> int:
        """Wait until the process ends and return its exit code, negative for a signal.

        Kill it once nobody reads its output any more, which the writing end of a pipe reports without being asked for.
        """
        watch = select.poll()
        watch.register(self._wake, select.POLLIN)
        watch.register(output, 0)
        watch.register(self._control, 0)
        while True:
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                return os.waitstatus_to_exitcode(status)
            if self._is_orphan:
                os.kill(pid, signal.SIGKILL)
            for descriptor, _ in watch.poll(POLL_MS):
                if descriptor == self._wake:
                    os.read(self._wake, 64)
                else:
                    os.kill(pid, signal.SIGKILL)
                    watch.unregister(descriptor)

    def _become_decoder(self, server: int, message: bytes, media: int, output: int, errors: int) -> NoReturn:
        """Decode, send the messages and exit. Never return into the server's loop."""
        code = EXIT_CRASHED
        try:
            die_with_parent(server)
            os.setpgid(0, 0)
            signal.set_wakeup_fd(-1)
            self._control.close()
            os.close(self._wake)
            os.close(self._wake_writer)
            # Anything that a library prints goes to standard error; the messages have their own descriptor.
            os.dup2(errors, 1)
            os.dup2(errors, 2)
            os.close(errors)
            sys.stderr = os.fdopen(2, "w")
            request = DecodeRequest.model_validate_json(message)
            file, answers = os.fdopen(media, "rb", buffering=0), os.fdopen(output, "wb", buffering=0)
            limits = request.limits
            cpu_s = float(MAX_LIVE_CPU_S)
            if not request.is_live:
                cpu_s = limits.cpu_s(file.seek(0, os.SEEK_END), limits.max_duration_s)
                file.seek(0)
            limit_resources(limits.memory_bytes, int(cpu_s) + 1, in_use_bytes=self._idle_bytes)
            if self._filters == GIVEN and filter_system_calls() != GIVEN:
                raise RuntimeError("the filter of system calls is refused")
            _allow_cpu(limits)
            code = _send_messages(file, request, answers)
            sys.stderr.flush()
        except Exception:
            traceback.print_exc()
        finally:
            os._exit(code)


class WatchedProgress(Progress):
    """Progress that puts off the kernel's end of this process, and that the reader hears of."""

    def __init__(self, limits: MediaLimits, output: IO[bytes]) -> None:
        super().__init__(limits)
        self._output, self._reported_at = output, time.monotonic()
        _allow_cpu(limits)

    def note_new_bytes(self) -> None:
        super().note_new_bytes()
        _allow_cpu(self._limits)
        if time.monotonic() > self._reported_at + REPORT_EVERY_S:
            self._reported_at = time.monotonic()
            _send(self._output, MessageKind.PROGRESS, b"")

    def note_audio(self, duration_s: float) -> None:
        super().note_audio(duration_s)
        if duration_s > 0:
            _allow_cpu(self._limits)


def _allow_cpu(limits: MediaLimits) -> None:
    """Have the kernel end this process, wherever it spins, after so much processor time from now on.

    SIGPROF does so by default, and its timer counts processor time.
    """
    signal.setitimer(signal.ITIMER_PROF, limits.stalled_cpu_s + STALL_MARGIN_S)


def _send_messages(media: IO[bytes], request: DecodeRequest, output: IO[bytes]) -> int:
    try:
        send_decoded(media, request, output)
    except MediaRejected as rejected:
        reason, detail = rejected.reason, rejected.detail
        if reason is Reason.MEMORY_LIMIT:  # its own limit, not the machine's: the same at every try
            reason, detail = Reason.DECODER_LIMIT, _too_much_memory(request)
        _send(output, MessageKind.REJECTED, RejectedMessage(reason=reason, detail=detail, findings=rejected.findings))
    except MemoryError:
        rejection = RejectedMessage(reason=Reason.DECODER_LIMIT, detail=_too_much_memory(request), findings=None)
        _send(output, MessageKind.REJECTED, rejection)
    except BrokenPipeError:
        return 0  # the reader stopped
    except OSError as fault:  # from storage: FFmpeg's own errors are MediaRejected by now
        rejection = RejectedMessage(reason=Reason.UNREADABLE, detail=f"reading failed: {fault}", findings=None)
        _send(output, MessageKind.REJECTED, rejection)
    except Exception:
        traceback.print_exc()
        return EXIT_CRASHED
    return 0


def _too_much_memory(request: DecodeRequest) -> str:
    return f"decoding needs more than {request.limits.memory_bytes} bytes of memory"


def send_decoded(media: IO[bytes], request: DecodeRequest, output: IO[bytes]) -> None:
    """Decode `media` and write the messages to `output`."""
    progress = WatchedProgress(request.limits, output)
    if request.is_live:
        for audio_block in live_blocks(media, progress):
            header = PCM_HEADER.pack(audio_block.rate_hz, audio_block.n_channels)
            _send(output, MessageKind.PCM, header + audio_block.audio)
        _send(output, MessageKind.END, b"")
        return
    if request.lanes:
        with open_lanes(media, request.lanes, request.limits, request.sample_rate_hz, progress) as blocks:
            for lane, block in blocks:
                _send(output, MessageKind.LANE, bytes((lane,)) + np.ascontiguousarray(block, np.float32).tobytes())
        _send(output, MessageKind.END, b"")
        return
    rate_hz = request.sample_rate_hz
    with open_audio(media, request.policy, request.limits, sample_rate_hz=rate_hz, progress=progress) as audio:
        _send(output, MessageKind.OPENED, OpenedMessage(probe=audio.probe, choice=audio.choice))
        for block in audio:
            _send(output, MessageKind.BLOCK, np.ascontiguousarray(block, np.float32).tobytes())
        _send(output, MessageKind.FINDINGS, audio.findings)


def _send(output: IO[bytes], kind: MessageKind, content: Frozen | bytes) -> None:
    data = content if isinstance(content, bytes) else content.model_dump_json().encode()
    view = memoryview(kind.value + len(data).to_bytes(4, "little") + data)
    while view:
        view = view[output.write(view) :]


def _try_filter() -> str:
    """Return `GIVEN` if a process decodes under the filter of system calls, and why it does not otherwise.

    Where the host denies the filter, or its C library needs a call that is not on the list, media are decoded without.
    """
    result, result_end = os.pipe()
    pid = os.fork()
    if not pid:
        state = "the process ended"
        try:
            state = filter_system_calls()
            if state == GIVEN:
                _decode_sample()
        except Exception as error:
            state = f"{type(error).__name__}: {error}"
        finally:
            os.write(result_end, state.encode()[:STATE_BYTES])
            os._exit(0)
    os.close(result_end)
    state = os.read(result, STATE_BYTES).decode(errors="replace")
    os.close(result)
    os.waitpid(pid, 0)
    return state or "a process under it is killed"


def _decode_sample() -> None:
    """Decode a tenth of a second of our own: stereo at another rate, to use every part."""
    sample = io.BytesIO()
    with wave.open(sample, "wb") as writer:
        writer.setparams((2, 2, 48_000, 0, "NONE", ""))
        writer.writeframes(np.arange(9600, dtype="<i2").tobytes())
    sample.seek(0)
    with open_audio(sample) as audio:
        for _ in audio:
            pass
        audio.findings.model_dump_json()


def _address_space_bytes() -> int:
    """Return the size of this process's address space; 0 where it is not known, which is where it has no limit."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    except FileNotFoundError:
        return 0


def main() -> int:
    """Serve requests until the parent closes the socket whose descriptor is the only argument."""
    control = socket.socket(fileno=int(sys.argv[1]))
    server = ForkServer(control)
    gc.freeze()  # a garbage collection in the fork would touch, and so copy, every shared page
    server.serve()
    return 0


if __name__ == "__main__":
    sys.exit(main())
