"""The other side of `isolated`: a process that forks for each medium, and what the fork does."""

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
from tasks.media.decoding.reader import open_audio
from tasks.media.findings import MediaRejected
from tasks.media.limits import MediaLimits

CRASHED = 70  # EX_SOFTWARE
MAX_REQUEST_BYTES = 1 << 16


def main() -> int:
    """Serve requests until the other side closes the socket whose descriptor is the only argument."""
    import soxr  # noqa: F401  (loaded once, here)

    gc.freeze()  # a collection in the fork would touch, and so copy, every object that is shared
    control = socket.socket(fileno=int(sys.argv[1]))
    ended: int | None = None  # a process of which only the exit status is left: it keeps its id
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
            _tell(control, pid)
            _wait(control, pid)
            ended = pid
            status = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
            assert status is not None
            _tell(control, status.si_status if status.si_code == os.CLD_EXITED else -status.si_status)
        except OSError:
            return 0  # the other side is gone


def _tell(control: socket.socket, number: int) -> None:
    control.send(number.to_bytes(STATUS_BYTES, "little", signed=True))


def _wait(control: socket.socket, pid: int) -> None:
    """Until the decoder ends. When the other side is gone it is killed: nobody hears it any more."""
    process = os.pidfd_open(pid)
    try:
        ready, _, _ = select.select([process, control.fileno()], [], [])
        if process not in ready:
            os.killpg(pid, signal.SIGKILL)
            select.select([process], [], [])
    finally:
        os.close(process)


def _become_decoder(told: bytes, media: int, output: int, errors: int) -> NoReturn:
    """Decode, answer and exit. Whatever happens, this process does not go on as its parent would."""
    code = CRASHED
    try:
        os.setpgid(0, 0)
        request = DecodeRequest.model_validate_json(told)
        # Whatever a library prints goes to standard error; the messages have a descriptor for themselves.
        os.dup2(errors, 1)
        os.dup2(errors, 2)
        sys.stderr = os.fdopen(2, "w")
        with os.fdopen(media, "rb", buffering=0) as file, os.fdopen(output, "wb", buffering=0) as answers:
            file.seek(0)
            _limit_resources(request.limits)
            code = _answer(file, request, answers)
        sys.stderr.flush()
    finally:
        os._exit(code)


def _answer(media: IO[bytes], request: DecodeRequest, output: IO[bytes]) -> int:
    try:
        _decode(media, request, output)
    except MediaRejected as rejected:
        rejection = RejectedMessage(reason=rejected.reason, detail=rejected.detail, findings=rejected.findings)
        _send(output, MessageKind.REJECTED, rejection)
    except MemoryError:
        detail = f"decoding needs more than {request.limits.memory_bytes} bytes of memory"
        _send(output, MessageKind.REJECTED, RejectedMessage(reason=Reason.MEMORY_LIMIT, detail=detail, findings=None))
    except BrokenPipeError:
        return 0  # the other side has heard enough
    except OSError as fault:  # of the storage: what FFmpeg stumbles over never gets so far
        rejection = RejectedMessage(reason=Reason.UNREADABLE, detail=f"cannot be read on: {fault}", findings=None)
        _send(output, MessageKind.REJECTED, rejection)
    except Exception:
        traceback.print_exc()
        return CRASHED
    return 0


def _decode(media: IO[bytes], request: DecodeRequest, output: IO[bytes]) -> None:
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


def _limit_resources(limits: MediaLimits) -> None:
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
