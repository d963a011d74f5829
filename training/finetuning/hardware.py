"""The hardware that a run uses: its description, its threads, its GPU utilisation."""

from __future__ import annotations

import contextlib
import math
import os
import platform
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from tasks.contract.recipe import Precision

if TYPE_CHECKING:
    import torch

log = structlog.get_logger()


def use_all_cores(n_processes: int = 1) -> None:
    """Give torch this process's share of the cores as threads, unless `OMP_NUM_THREADS` sets another number."""
    import torch

    cores = max(1, len(os.sched_getaffinity(0)) // n_processes)
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS") or cores))


def loader_threads(n_processes: int = 1) -> int:
    """Number of threads that make batches beside each training process: a quarter of its cores, from one to eight."""
    return min(8, max(1, len(os.sched_getaffinity(0)) // n_processes // 4))


@contextlib.contextmanager
def flush_denormals() -> Iterator[None]:
    """Flush denormals to zero inside: they slow CPU arithmetic many times over."""
    import torch

    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)


def uses_bfloat16(precision: Precision, device: torch.device) -> bool:
    """Whether to compute in bfloat16: on a GPU unless float32 is asked for; on a CPU only if asked for and it can.

    Without the instructions a step of Whisper base took 80 s on a core, against 1 s with AVX512_BF16.
    """
    import torch

    if device.type == "cuda":
        return precision is not Precision.FLOAT32
    capabilities = torch.cpu.get_capabilities()
    can = any(capabilities.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16"))
    if precision is Precision.BFLOAT16 and not can:
        log.warning("computing in float32", reason="this processor has no instructions for bfloat16")
    return precision is Precision.BFLOAT16 and can


def gpu_utilisation(device: torch.device) -> float:
    """Return the share of time in which the GPU was computing, as NVML samples it; NaN where it is not available."""
    import torch

    try:
        return torch.cuda.utilization(device) / 100
    except Exception:  # no driver, or unsupported (such as a MIG slice); NVML's errors share no narrower base class
        return math.nan


def gpu_memory_bytes() -> int:
    """Return the memory of the first GPU; 0 without one."""
    import torch

    return int(torch.cuda.get_device_properties(0).total_memory) if torch.cuda.is_available() else 0


def describe_hardware() -> str:
    """Name the accelerators, or the CPU with the number of cores that this process may use."""
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
