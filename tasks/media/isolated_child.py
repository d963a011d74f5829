"""The child of `isolated`: decodes its standard input, within limits that it sets itself before it reads a byte."""

from __future__ import annotations

import os
import resource
import sys
import traceback
from pathlib import Path
from typing import IO

import numpy as np

from tasks.contract import Frozen, Reason
from tasks.media.decode import open_audio
from tasks.media.findings import MediaRejected
from tasks.media.isolated import Kind, Opened, Rejection, Request
from tasks.media.limits import MediaLimits

CRASHED = 70  # EX_SOFTWARE


def main() -> int:
    """Answer with messages on standard output; see `isolated`."""
    request = Request.model_validate_json(sys.argv[1])
    # Whatever a library prints goes to standard error; the messages have the descriptor for themselves.
    with os.fdopen(os.dup(1), "wb", buffering=0) as output:
        os.dup2(2, 1)
        media = os.fdopen(os.dup(0), "rb", buffering=0)
        import soxr  # noqa: F401  (loaded now, so that the limit counts from after it)

        _limit_resources(request.limits)
        try:
            _decode(media, request, output)
        except MediaRejected as rejected:
            _send(output, Kind.REJECTED, Rejection(
                reason=rejected.reason, detail=rejected.detail, findings=rejected.findings
            ))  # fmt: skip
        except MemoryError:
            detail = f"decoding needs more than {request.limits.memory_bytes} bytes of memory"
            _send(output, Kind.REJECTED, Rejection(reason=Reason.MEMORY_LIMIT, detail=detail, findings=None))
        except BrokenPipeError:
            return 0  # the parent has heard enough
        except Exception:
            traceback.print_exc()
            return CRASHED
    return 0


def _decode(media: IO[bytes], request: Request, output: IO[bytes]) -> None:
    with open_audio(media, request.policy, request.limits, sample_rate_hz=request.sample_rate_hz) as audio:
        _send(output, Kind.OPENED, Opened(probe=audio.probe, choice=audio.choice))
        for block in audio:
            _send(output, Kind.BLOCK, np.ascontiguousarray(block, np.float32).tobytes())
        _send(output, Kind.FINDINGS, audio.findings)


def _send(output: IO[bytes], kind: Kind, content: Frozen | bytes) -> None:
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
