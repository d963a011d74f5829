"""What a figure was measured on."""

from __future__ import annotations

import contextlib
import math
import os
import platform
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def use_all_cores(n_processes: int = 1) -> None:
    """Torch's threads on this process's share of the cores, unless `OMP_NUM_THREADS` says otherwise."""
    import torch

    cores = max(1, len(os.sched_getaffinity(0)) // n_processes)
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS") or cores))


def spare_threads(n_processes: int = 1) -> int:
    """Threads for making batches beside each training process: a quarter of its cores, one at least, eight at most."""
    return min(8, max(1, len(os.sched_getaffinity(0)) // n_processes // 4))


@contextlib.contextmanager
def denormals_flushed() -> Iterator[None]:
    """Numbers too small to be normal count as zero inside: they slow a processor's arithmetic many times."""
    import torch

    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)


def gpu_busy(device: torch.device) -> float:
    """The share of the last moments in which the GPU was computing, as NVML counts it; NaN where nothing tells."""
    import torch

    try:
        return torch.cuda.utilization(device) / 100
    except (
        Exception
    ):  # no driver, or a GPU that does not say: NVML's errors have no base but this, and no run ends here
        return math.nan


def hardware() -> str:
    """The accelerator, or the processor with the cores that this process may use."""
    import torch

    if torch.cuda.is_available():
        return f"{torch.cuda.device_count()} x {torch.cuda.get_device_name(0)}"
    return f"{len(os.sched_getaffinity(0))} cores of {_processor()}"


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
