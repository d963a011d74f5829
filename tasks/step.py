"""Running one step: its key, the cached result, its outputs, and `result.json` last.

A step is a module with

    VERSION: int                                        raised when its output would change
    def inputs(arguments) -> dict[str, str]             what it reads, with digests; cheap
    def run(arguments, context) -> StepOutput           the work

Outputs lie in `<output>/<key16>/<attempt>/`, so two attempts never write the same object; `result.json` beside them
is put with "only if absent", so one of them wins and the other returns the winner's result.

Where a fault spoiled some items but not the step, the result serves the steps after it and no later attempt: it lies
at `result-<attempt>.json`, the step's key stays free, and whoever asks next has the spoiled items tried again.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from importlib import import_module, metadata
from pathlib import Path
from types import FrameType
from typing import Any, Protocol

import structlog

from tasks import storage
from tasks.contract import (
    RESULT_NAME,
    Artifact,
    ExitCode,
    InputRejected,
    MappedItem,
    Misconfigured,
    Preempted,
    Reason,
    Receipt,
    ReceiptItem,
    Status,
    StepArguments,
    StepDefinition,
    StepError,
    StepResult,
    digest_of,
)
from tasks.progress import ProgressHook
from tasks.storage.scratch import scratch_folder

log = structlog.get_logger()


@dataclass(frozen=True)
class StepOutput:
    """What a step's `run` returns: small facts for the result. Its objects it has published already."""

    items: tuple[MappedItem, ...] = ()
    counts: dict[str, int] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    faults: int = 0
    """Items spoiled by a fault that another attempt may not meet; a rejection is none."""
    elsewhere: tuple[str, ...] = ()
    """URIs of what was published outside the step's folder: when one of them is gone, the step did not happen."""


class StepModule(Protocol):
    """What a step's module offers."""

    VERSION: int

    @staticmethod
    def inputs(arguments: Any) -> dict[str, str]: ...

    @staticmethod
    def run(arguments: Any, context: StepContext) -> StepOutput: ...


@dataclass
class StepContext:
    """What a step gets besides its arguments."""

    prefix: str
    """`<output>/<key16>`: the step's own folder, shared by its attempts (checkpoints lie here)."""
    attempt: str
    scratch: Path
    """A local folder that is removed afterwards."""
    progress: ProgressHook
    key: str = ""
    inputs: dict[str, str] = field(default_factory=dict)
    """What the step's `inputs` found, and the key is made of."""
    outputs: dict[str, Artifact] = field(default_factory=dict)
    stop: threading.Event = field(default_factory=threading.Event)
    """Set by SIGTERM inside `graceful()`."""
    _graceful: bool = False

    def path(self, name: str) -> str:
        """An output's path relative to the result, as `MappedItem` and `Artifact` carry it."""
        return f"{self.attempt}/{name}"

    def publish(self, name: str, data: bytes | Path) -> str:
        """Publish one output object, list it in the result, and return its URI."""
        uri = storage.join(self.prefix, self.path(name))
        storage.write(uri, data)
        if isinstance(data, Path):
            size, sha256 = data.stat().st_size, storage.digest_file(data)
        else:
            import hashlib

            size, sha256 = len(data), hashlib.sha256(data).hexdigest()
        self.outputs[name] = Artifact(path=self.path(name), bytes=size, sha256=sha256)
        return uri

    def confirm(self, name: str, digest: str) -> None:
        """Hold what was found again while the step ran against the input of that name: an alias may have moved, and
        the result would lie under another model's key.

        Raises:
            StepError: CHANGED_WHILE_READ; another attempt gets a key of its own.
        """
        if digest != self.inputs[name]:
            raise StepError(
                "is another one than when the step began",
                reason=Reason.CHANGED_WHILE_READ,
                subject=name,
                next_step="start again",
            )

    @contextlib.contextmanager
    def graceful(self) -> Iterator[threading.Event]:
        """Inside, SIGTERM only sets the event: the step saves its state and raises Preempted itself."""
        self._graceful = True
        try:
            yield self.stop
        finally:
            self._graceful = False

    def on_sigterm(self, _signal: int, _frame: FrameType | None) -> None:
        self.stop.set()
        if not self._graceful:
            raise Preempted


def load_result(uri: str) -> StepResult:
    """The result at `uri`. Raises InputRejected when the step that should have written it has not."""
    try:
        return StepResult.from_bytes(storage.read_bytes(uri))
    except InputRejected as error:
        raise InputRejected(
            "no result there, so the step did not happen",
            reason=error.reason,
            subject=uri,
            next_step="run the step before this one",
        ) from None
    except ValueError as error:
        raise InputRejected(str(error), reason=Reason.CORRUPT, subject=uri, next_step="run its step again") from None


def output_uri(result_uri: str, result: StepResult, name: str) -> str:
    """The URI of one output of a result."""
    return storage.join(storage.parent(result_uri), result.outputs[name].path)


def item_uris(result_uri: str, result: StepResult) -> list[ReceiptItem]:
    """A result's items with absolute URIs."""
    folder = storage.parent(result_uri)
    return [ReceiptItem(name=item.name, uri=storage.join(folder, item.path)) for item in result.items]


def step_key(definition: StepDefinition, version: int, arguments: StepArguments, inputs: dict[str, str]) -> str:
    """sha256 over what decides the output: step, its version, arguments and input digests."""
    return digest_of(
        {"step": definition.name, "version": version, "arguments": arguments.canonical(), "inputs": inputs}
    )


def run_step(definition: StepDefinition, arguments: StepArguments, progress: ProgressHook) -> Receipt:
    """Run a step, or return what an earlier run left. The receipt is written where the arguments ask for it.

    Raises:
        StepError: after a failed receipt was written.
    """
    started = time.monotonic()
    try:
        receipt = _run(definition, arguments, progress, started)
    except BaseException as fault:
        error = _as_step_error(fault)
        receipt = Receipt(
            step=definition.name,
            status=Status.FAILED,
            seconds=time.monotonic() - started,
            exit_code=error.exit_code,
            reason=error.reason,
            error=str(error),
        )
        _write_receipt(arguments, receipt)
        raise error from fault
    _write_receipt(arguments, receipt)
    return receipt


def _run(definition: StepDefinition, arguments: StepArguments, progress: ProgressHook, started: float) -> Receipt:
    step: StepModule = import_module(definition.module)  # type: ignore[assignment]
    inputs = step.inputs(arguments)
    key = step_key(definition, step.VERSION, arguments, inputs)
    prefix = storage.join(arguments.output, key[:16])
    result_uri = storage.join(prefix, RESULT_NAME)
    was_done = storage.exists(result_uri)
    if was_done and all(map(storage.exists, (standing := load_result(result_uri)).elsewhere)):
        return _receipt(result_uri, standing, Status.CACHED, time.monotonic() - started)

    attempt = secrets.token_hex(4)
    log.info("step starts", step=definition.name, key=key[:16], output=prefix)
    with scratch_folder(definition.name) as scratch:
        context = StepContext(
            prefix=prefix, attempt=attempt, scratch=scratch, progress=progress, key=key, inputs=inputs
        )
        try:
            with _sigterm(context.on_sigterm):
                output = step.run(arguments, context)
        except Exception:
            # Another attempt may have won meanwhile and cleaned up under this one.
            if was_done or not storage.exists(result_uri):
                raise
            return _receipt(result_uri, load_result(result_uri), Status.CACHED, time.monotonic() - started)
    result = StepResult(
        step=definition.name,
        step_version=step.VERSION,
        key=key,
        arguments=arguments.canonical(),
        inputs=inputs,
        outputs=context.outputs,
        items=output.items,
        counts=output.counts,
        metrics=output.metrics,
        labels=output.labels,
        warnings=output.warnings,
        faults=output.faults,
        elsewhere=output.elsewhere,
        seconds=round(time.monotonic() - started, 3),
        finished_at=datetime.now(UTC),
        code_version=code_version(),
    )
    if was_done or (output.faults and not storage.exists(result_uri)):
        result_uri = storage.join(prefix, f"result-{attempt}.json")
    try:
        storage.write(result_uri, result.to_bytes(), create=True)
    except storage.AlreadyExists:
        return _receipt(result_uri, load_result(result_uri), Status.CACHED, time.monotonic() - started)
    return _receipt(result_uri, result, Status.DONE, result.seconds)


def _receipt(uri: str, result: StepResult, status: Status, seconds: float) -> Receipt:
    return Receipt(
        step=result.step,
        status=status,
        result=uri,
        items=tuple(item_uris(uri, result)),
        counts=result.counts,
        metrics=result.metrics,
        labels=result.labels,
        warnings=result.warnings,
        seconds=round(seconds, 3),
    )


def _write_receipt(arguments: StepArguments, receipt: Receipt) -> None:
    if arguments.receipt:
        storage.write(arguments.receipt, receipt.model_dump_json().encode() + b"\n")


def _as_step_error(fault: BaseException) -> StepError:
    """Every failure as one of the contract's, so that the exit code and the receipt say the same."""
    if isinstance(fault, StepError):
        return fault
    if storage.is_disk_full(fault):
        return StepError(
            "no space left",
            reason=Reason.DISK_FULL,
            subject=str(fault),
            next_step="free some space, then start again",
        )
    if isinstance(fault, KeyboardInterrupt):
        return Preempted("interrupted")
    if isinstance(fault, MemoryError):
        return StepError("out of memory", reason=Reason.MEMORY_LIMIT, next_step="give the step a larger profile")
    if isinstance(fault, ModuleNotFoundError):
        return Misconfigured(
            str(fault),
            reason=Reason.INVALID_ARGUMENT,
            subject="environment",
            next_step="install the worker extra: pip install 'airscript[worker]'",
        )
    return StepError(f"{type(fault).__name__}: {fault}", reason=Reason.INTERNAL_ERROR)


@contextlib.contextmanager
def _sigterm(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """`handler` for SIGTERM inside the block. Only the main thread may set one; elsewhere nothing changes."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@cache
def code_version() -> str:
    """The release, with the commit where it is known (`AIRSCRIPT_CODE_VERSION` in images, git in a checkout)."""
    if stamped := os.environ.get("AIRSCRIPT_CODE_VERSION"):
        return stamped
    version = metadata.version("airscript")
    git = subprocess.run(
        ["git", "describe", "--always", "--dirty"],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=False,
    )
    return f"{version}+{git.stdout.strip()}" if git.returncode == 0 and git.stdout.strip() else version


__all__ = [
    "ExitCode",
    "StepContext",
    "StepOutput",
    "item_uris",
    "load_result",
    "output_uri",
    "run_step",
    "step_key",
]
