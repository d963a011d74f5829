"""The fork server behind `isolated`, and the process that it forks for each medium."""

from __future__ import annotations

import gc
import os
import resource
import select
import signal
import socket
import sys
import traceback
from pathlib import Path
from typing import IO, NoReturn

import numpy as np

from tasks.contract import Frozen, Reason
from tasks.media.decoding.isolated import STATUS_BYTES, DecodeRequest, MessageKind, OpenedMessage, RejectedMessage
from tasks.media.decoding.lanes import open_lanes
from tasks.media.decoding.reader import open_audio
from tasks.media.findings import MediaRejected
from tasks.media.limits import MediaLimits

EXIT_CRASHED = 70  # EX_SOFTWARE
MAX_REQUEST_BYTES = 1 << 16


def main() -> int:
    """Serve requests until the parent closes the socket whose descriptor is the only argument."""
    import soxr  # noqa: F401  (loaded once, before forking)

    gc.freeze()  # a garbage collection in the fork would touch, and so copy, every shared page
    control = socket.socket(fileno=int(sys.argv[1]))
    ended: int | None = None  # a process that has ended but is not reaped yet, so that its id is not reused
    while True:
        request, descriptors, _, _ = socket.recv_fds(control, MAX_REQUEST_BYTES, 3)
        if ended is not None:
            os.waitpid(ended, 0)
        if not request:
            return 0
        pid = os.fork()
        if not pid:
            control.close()
            _become_decoder(request, *descriptors)
        os.setpgid(pid, pid)
        for descriptor in descriptors:
            os.close(descriptor)
        try:
            _send_number(control, pid)
            _wait_for_end(control, pid)
            ended = pid
            status = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
            assert status is not None
            _send_number(control, status.si_status if status.si_code == os.CLD_EXITED else -status.si_status)
        except OSError:
            return 0  # the parent is gone


def _send_number(control: socket.socket, number: int) -> None:
    control.send(number.to_bytes(STATUS_BYTES, "little", signed=True))


def _wait_for_end(control: socket.socket, pid: int) -> None:
    """Wait until the decoder ends. Kill it if the parent is gone."""
    process = os.pidfd_open(pid)
    try:
        ready, _, _ = select.select([process, control.fileno()], [], [])
        if process not in ready:
            os.killpg(pid, signal.SIGKILL)
            select.select([process], [], [])
    finally:
        os.close(process)


def _become_decoder(message: bytes, media: int, output: int, errors: int) -> NoReturn:
    """Decode, send the messages and exit. Never return into the fork server's loop."""
    code = EXIT_CRASHED
    try:
        os.setpgid(0, 0)
        request = DecodeRequest.model_validate_json(message)
        # Anything that a library prints goes to standard error; the messages have their own descriptor.
        os.dup2(errors, 1)
        os.dup2(errors, 2)
        sys.stderr = os.fdopen(2, "w")
        with os.fdopen(media, "rb", buffering=0) as file, os.fdopen(output, "wb", buffering=0) as answers:
            file.seek(0)
            limit_resources(request.limits)
            code = _send_messages(file, request, answers)
        sys.stderr.flush()
    finally:
        os._exit(code)


def _send_messages(media: IO[bytes], request: DecodeRequest, output: IO[bytes]) -> int:
    try:
        send_decoded(media, request, output)
    except MediaRejected as rejected:
        rejection = RejectedMessage(reason=rejected.reason, detail=rejected.detail, findings=rejected.findings)
        _send(output, MessageKind.REJECTED, rejection)
    except MemoryError:
        detail = f"decoding needs more than {request.limits.memory_bytes} bytes of memory"
        _send(output, MessageKind.REJECTED, RejectedMessage(reason=Reason.MEMORY_LIMIT, detail=detail, findings=None))
    except BrokenPipeError:
        return 0  # the parent stopped reading
    except OSError as fault:  # from storage: FFmpeg's own errors are MediaRejected by now
        rejection = RejectedMessage(reason=Reason.UNREADABLE, detail=f"reading failed: {fault}", findings=None)
        _send(output, MessageKind.REJECTED, rejection)
    except Exception:
        traceback.print_exc()
        return EXIT_CRASHED
    return 0


def send_decoded(media: IO[bytes], request: DecodeRequest, output: IO[bytes]) -> None:
    """Decode `media` and write the messages to `output`."""
    if request.lanes:
        with open_lanes(media, request.lanes, request.limits, request.sample_rate_hz) as blocks:
            for lane, block in blocks:
                _send(output, MessageKind.LANE, bytes((lane,)) + np.ascontiguousarray(block, np.float32).tobytes())
        _send(output, MessageKind.END, b"")
        return
    with open_audio(media, request.policy, request.limits, sample_rate_hz=request.sample_rate_hz) as audio:
        _send(output, MessageKind.OPENED, OpenedMessage(probe=audio.probe, choice=audio.choice))
        for block in audio:
            _send(output, MessageKind.BLOCK, np.ascontiguousarray(block, np.float32).tobytes())
        _send(output, MessageKind.FINDINGS, audio.findings)


def _send(output: IO[bytes], kind: MessageKind, content: Frozen | bytes) -> None:
    data = content if isinstance(content, bytes) else content.model_dump_json().encode()
    view = memoryview(kind.value + len(data).to_bytes(4, "little") + data)
    while view:
        view = view[output.write(view) :]


def limit_resources(limits: MediaLimits) -> None:
    """Limit this process's memory and CPU time, and forbid it to write files and core dumps."""
    in_use = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    address_space = in_use + limits.memory_bytes
    cpu_s = int(limits.wall_clock_s) + 10
    for kind, value in (
        (resource.RLIMIT_AS, address_space),
        (resource.RLIMIT_CPU, cpu_s),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        _, hard = resource.getrlimit(kind)
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (value, value))


if __name__ == "__main__":
    sys.exit(main())
