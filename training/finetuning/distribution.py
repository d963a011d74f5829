"""Data-parallel training: several processes, each with one accelerator and its share of every batch.

Every process computes the gradients of its share, DistributedDataParallel averages them, and all take the same step.
Rank 0 is the step's own process: it decides, validates and writes; the other ranks are its workers. Losses and
gradients are weighted as in a single process, so that a run can resume on another number of accelerators.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import socket
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from multiprocessing.process import BaseProcess
from typing import Any, TypeVar

import structlog
import torch
from torch import distributed

from tasks.contract import ExitCode, Preempted, StepError
from training.data.loader import Share

log = structlog.get_logger()

T = TypeVar("T")

COLLECTIVE_TIMEOUT = timedelta(hours=1)  # workers wait this long in a collective while rank 0 validates or uploads
EXIT_GRACE_S = 20.0  # time for rank 0 to end by itself after a worker died


class ProcessGroup:
    """One process's view of all ranks. With a world size of 1, every operation is local."""

    def __init__(self, rank: int = 0, world_size: int = 1) -> None:
        self.share = Share(rank, world_size)
        self.device = torch.device("cuda", rank) if torch.cuda.is_available() else torch.device("cpu")

    @property
    def is_rank_zero(self) -> bool:
        return self.share.rank == 0

    @property
    def world_size(self) -> int:
        return self.share.world_size

    def wrap(self, module: torch.nn.Module) -> torch.nn.Module:
        """Wrap `module` for computing the loss, so that gradients are averaged over all ranks.

        On GPUs batch normalisation is synchronised over the whole batch. torch has no such layer for CPUs: there each
        process normalises its own share.
        """
        if self.world_size == 1:
            return module
        if self.device.type == "cuda":
            torch.nn.SyncBatchNorm.convert_sync_batchnorm(module)
        devices = [self.device] if self.device.type == "cuda" else None
        return torch.nn.parallel.DistributedDataParallel(module, device_ids=devices)

    def sum(self, *values: float) -> list[float]:
        """All-reduce: sum each value over all ranks."""
        if self.world_size == 1:
            return list(values)
        tensor = torch.tensor(values, dtype=torch.float64)
        distributed.all_reduce(tensor)
        sums: list[float] = tensor.tolist()
        return sums

    def broadcast(self, value: T) -> T:
        """Return rank 0's `value` on every rank."""
        if self.world_size == 1:
            return value
        box = [value]
        distributed.broadcast_object_list(box, src=0)
        return box[0]


@contextlib.contextmanager
def join_group(rank: int, world_size: int, port: int) -> Iterator[ProcessGroup]:
    """Join this process to a group of `world_size` processes on this machine."""
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    if torch.cuda.is_available():
        torch.cuda.set_device(rank)
    distributed.init_process_group(
        backend, init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=world_size, timeout=COLLECTIVE_TIMEOUT
    )
    group = ProcessGroup(rank, world_size)
    try:
        yield group
    except Preempted:  # raised on all ranks together
        _leave_group(group)
        raise
    # After any other exception the group is not left: NCCL might wait here for processes that never come.
    _leave_group(group)


def _leave_group(group: ProcessGroup) -> None:
    """Leave together: workers wait for rank 0, which may still be writing."""
    group.broadcast(None)
    distributed.destroy_process_group()


@contextlib.contextmanager
def launch_group(world_size: int, worker: Callable[..., None], *arguments: Any) -> Iterator[ProcessGroup]:
    """Make this process rank 0, and spawn `world_size - 1` workers that call `worker(group, *arguments)`."""
    if world_size == 1:
        yield ProcessGroup()
        return
    port = _free_port()
    spawn = multiprocessing.get_context("spawn")
    processes = [
        spawn.Process(target=_run_worker, args=(rank, world_size, port, worker, arguments), daemon=True)
        for rank in range(1, world_size)
    ]
    for process in processes:
        process.start()
    finished = threading.Event()
    threading.Thread(target=_watch_workers, args=(processes, finished), name="watch-workers", daemon=True).start()
    try:
        with join_group(0, world_size, port) as group:
            yield group
    finally:
        finished.set()
        for process in processes:
            process.kill()
            process.join()


def _run_worker(rank: int, world_size: int, port: int, worker: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    """Run one worker process. It ignores signals: rank 0 receives them and broadcasts the decision to stop."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    parent = os.getppid()
    threading.Thread(target=_exit_with_parent, args=(parent,), daemon=True).start()
    try:
        with join_group(rank, world_size, port) as group:
            worker(group, *arguments)
    except Preempted:  # reported by rank 0
        pass
    except BaseException as error:
        traceback.print_exc()
        # Exit at once: a regular interpreter exit would take the process group apart, which may wait for other ranks.
        os._exit(error.exit_code if isinstance(error, StepError) else ExitCode.FAULT)


def _exit_with_parent(parent: int) -> None:
    """Exit when rank 0 is killed, so that no orphan keeps an accelerator busy."""
    while os.getppid() == parent:
        threading.Event().wait(1.0)
    os._exit(ExitCode.FAULT)


def _watch_workers(processes: Sequence[BaseProcess], finished: threading.Event) -> None:
    """End rank 0 when a worker has died and the lost connection does not: it would wait in a collective."""
    while not finished.wait(1.0):
        dead = [process.exitcode for process in processes if process.exitcode]
        if dead and not finished.wait(EXIT_GRACE_S):
            log.error("a training worker died", exit_codes=dead)
            os._exit(ExitCode.MISCONFIGURED if ExitCode.MISCONFIGURED in dead else ExitCode.FAULT)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
