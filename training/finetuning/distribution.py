"""Several processes on one run, each with an accelerator and its share of every batch.

Data-parallel: every process computes the gradients of its share, DDP adds them up, and all take the same step. Rank 0
is the step's own process: it decides, validates and writes; the others follow it. Losses and gradients weigh as they
would in one process, so that a run may be resumed on another number of accelerators.
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

Told = TypeVar("Told")

PATIENCE = timedelta(hours=1)  # the others wait while rank 0 validates or uploads
LAST_WORDS_S = 20.0  # after one process died, for rank 0 to end by itself


class Peers:
    """One process's view of all. Alone, nothing is exchanged."""

    def __init__(self, rank: int = 0, world: int = 1) -> None:
        self.share = Share(rank, world)
        self.device = torch.device("cuda", rank) if torch.cuda.is_available() else torch.device("cpu")

    @property
    def leads(self) -> bool:
        return self.share.rank == 0

    @property
    def world(self) -> int:
        return self.share.world

    def network(self, module: torch.nn.Module) -> torch.nn.Module:
        """What to compute the loss with, so that gradients are added up over all processes.

        Batch normalisation sees the whole batch on GPUs; torch has nothing of that kind for processors, where each
        process normalises its own share.
        """
        if self.world == 1:
            return module
        if self.device.type == "cuda":
            torch.nn.SyncBatchNorm.convert_sync_batchnorm(module)
        devices = [self.device] if self.device.type == "cuda" else None
        return torch.nn.parallel.DistributedDataParallel(module, device_ids=devices)

    def sum(self, *values: float) -> list[float]:
        """Each value added up over all processes."""
        if self.world == 1:
            return list(values)
        tensor = torch.tensor(values, dtype=torch.float64)
        distributed.all_reduce(tensor)
        found: list[float] = tensor.tolist()
        return found

    def told(self, value: Told) -> Told:
        """What rank 0 has for `value`, in every process."""
        if self.world == 1:
            return value
        box = [value]
        distributed.broadcast_object_list(box, src=0)
        return box[0]


@contextlib.contextmanager
def joined(rank: int, world: int, port: int) -> Iterator[Peers]:
    """This process as one of `world` on this machine."""
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    if torch.cuda.is_available():
        torch.cuda.set_device(rank)
    distributed.init_process_group(
        backend, init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=world, timeout=PATIENCE
    )
    peers = Peers(rank, world)
    try:
        yield peers
    except Preempted:  # they were all told to stop
        _part(peers)
        raise
    # After any other exception, NCCL might wait here for processes that never come.
    _part(peers)


def _part(peers: Peers) -> None:
    """They end together: the others wait for rank 0, which may still write."""
    peers.told(None)
    distributed.destroy_process_group()


@contextlib.contextmanager
def peers_of(world: int, follow: Callable[..., None], *arguments: Any) -> Iterator[Peers]:
    """This process as rank 0, with `world - 1` new ones that call `follow(peers, *arguments)`."""
    if world == 1:
        yield Peers()
        return
    port = _free_port()
    spawn = multiprocessing.get_context("spawn")
    processes = [
        spawn.Process(target=_work, args=(rank, world, port, follow, arguments), daemon=True)
        for rank in range(1, world)
    ]
    for process in processes:
        process.start()
    finished = threading.Event()
    threading.Thread(target=_watch, args=(processes, finished), name="peers", daemon=True).start()
    try:
        with joined(0, world, port) as peers:
            yield peers
    finally:
        finished.set()
        for process in processes:
            process.kill()
            process.join()


def _work(rank: int, world: int, port: int, follow: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    """A process's life. Rank 0 is told to stop, and tells the others."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    parent = os.getppid()
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    try:
        with joined(rank, world, port) as peers:
            follow(peers, *arguments)
    except Preempted:  # rank 0 says so
        pass
    except BaseException as fault:
        traceback.print_exc()
        # At once: the interpreter's own end takes the group apart, and may wait for the others.
        os._exit(fault.exit_code if isinstance(fault, StepError) else ExitCode.FAULT)


def _end_with(parent: int) -> None:
    """A killed rank 0 leaves nothing behind that holds an accelerator."""
    while os.getppid() == parent:
        threading.Event().wait(1.0)
    os._exit(ExitCode.FAULT)


def _watch(processes: Sequence[BaseProcess], finished: threading.Event) -> None:
    """A process that died would be waited for. Where the connection's end does not wake rank 0, this ends it."""
    while not finished.wait(1.0):
        dead = [process.exitcode for process in processes if process.exitcode]
        if dead and not finished.wait(LAST_WORDS_S):
            log.error("a process of the run died", exit_codes=dead)
            os._exit(ExitCode.MISCONFIGURED if ExitCode.MISCONFIGURED in dead else ExitCode.FAULT)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
