"""Run one step: compute its key, reuse a cached result or do the work, and write `result.json` last.

A step is a module with

    VERSION: int                                            raised when its output would change
    def inputs(arguments) -> dict[str, str] | StepInputs    digests of what it reads; must be cheap
    def run(arguments, context) -> StepOutput               the work

Outputs are written to `<output>/<key16>/<attempt>/` (`key16`: the key's first 16 characters), so two attempts never
write the same object. `result.json` beside these folders is written only if absent, so one attempt wins and the other
returns the winner's result.

If the step succeeds although some of its items failed for a transient reason, its result is passed on but not cached:
it is written to `result-<attempt>.json`, so the key has no result, and the next run tries those items again. A result
that replaces one with missing `external_uris` is written in the same way.
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
    """What a step's `run` returns: the facts for `result.json`. By then the step has published its output objects."""

    items: tuple[MappedItem, ...] = ()
    counts: dict[str, int] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    n_retryable: int = 0
    """Items that failed for a transient reason; rejected items do not count. If any did, the result is not cached."""
    external_uris: tuple[str, ...] = ()
    """Objects published outside the step's folder. If one is missing later, the step runs again."""


@dataclass(frozen=True)
class StepInputs:
    """What a step's `inputs` may return instead of a dict: the digests, and the listing from which they were made.

    `run` then works on this listing instead of listing again, when something may have changed.
    """

    digests: dict[str, str]
    listing: Any = None
    """Passed to `run` as `StepContext.listing`."""


class StepModule(Protocol):
    """The interface of a step's module."""

    VERSION: int

    @staticmethod
    def inputs(arguments: Any) -> dict[str, str] | StepInputs: ...

    @staticmethod
    def run(arguments: Any, context: StepContext) -> StepOutput: ...


@dataclass
class StepContext:
    """What a step is given besides its arguments."""

    prefix: str
    """`<output>/<key16>`: the step's folder, shared by all attempts; checkpoints are here."""
    attempt: str
    scratch: Path
    """A local folder, removed after the step."""
    progress: ProgressHook
    key: str = ""
    inputs: dict[str, str] = field(default_factory=dict)
    """The digests that the step's `inputs` returned; part of the key."""
    listing: Any = None
    """`StepInputs.listing`."""
    outputs: dict[str, Artifact] = field(default_factory=dict)
    stop: threading.Event = field(default_factory=threading.Event)
    """Set by SIGTERM inside `graceful()`."""
    _graceful: bool = False

    def path(self, name: str) -> str:
        """Return an output's path relative to the result, as in `MappedItem` and `Artifact`."""
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
        """Check that an input resolved during the run is still the one in the key: an alias may have moved since.

        Raises:
            StepError: CHANGED_WHILE_READ; the next attempt gets another key.
        """
        if digest != self.inputs[name]:
            raise StepError(
                "changed while the step ran",
                reason=Reason.CHANGED_WHILE_READ,
                subject=name,
                next_step="start again",
            )

    @contextlib.contextmanager
    def graceful(self) -> Iterator[threading.Event]:
        """Inside the block SIGTERM only sets the event: the step saves its state and raises Preempted itself."""
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
    """Read the result at `uri`. Raises InputRejected if it is missing or corrupt."""
    try:
        return StepResult.from_bytes(storage.read_bytes(uri))
    except InputRejected as error:
        raise InputRejected(
            "no result there: the step has not run, or has not finished",
            reason=error.reason,
            subject=uri,
            next_step="run the step before this one",
        ) from None
    except ValueError as error:
        raise InputRejected(str(error), reason=Reason.CORRUPT, subject=uri, next_step="run its step again") from None


def output_uri(result_uri: str, result: StepResult, name: str) -> str:
    """Return the URI of one output of a result."""
    return storage.join(storage.parent(result_uri), result.outputs[name].path)


def item_uris(result_uri: str, result: StepResult) -> list[ReceiptItem]:
    """Return a result's items with absolute URIs."""
    folder = storage.parent(result_uri)
    return [ReceiptItem(name=item.name, uri=storage.join(folder, item.path)) for item in result.items]


def step_key(definition: StepDefinition, version: int, arguments: StepArguments, inputs: dict[str, str]) -> str:
    """Return the sha256 over everything that determines the output: step, version, arguments and input digests."""
    return digest_of(
        {"step": definition.name, "version": version, "arguments": arguments.canonical(), "inputs": inputs}
    )


def run_step(definition: StepDefinition, arguments: StepArguments, progress: ProgressHook) -> Receipt:
    """Run a step or return its cached result, and write the receipt that the arguments ask for.

    Raises:
        StepError: the step failed. Its receipt has already been written.
    """
    started = time.monotonic()
    try:
        receipt = _run(definition, arguments, progress, started)
    except BaseException as exception:
        error = _as_step_error(exception)
        receipt = Receipt(
            step=definition.name,
            status=Status.FAILED,
            seconds=time.monotonic() - started,
            exit_code=error.exit_code,
            reason=error.reason,
            error=str(error),
        )
        _write_receipt(arguments, receipt)
        raise error from exception
    _write_receipt(arguments, receipt)
    return receipt


def _run(definition: StepDefinition, arguments: StepArguments, progress: ProgressHook, started: float) -> Receipt:
    step: StepModule = import_module(definition.module)  # type: ignore[assignment]
    returned = step.inputs(arguments)
    inputs = returned if isinstance(returned, StepInputs) else StepInputs(returned)
    key = step_key(definition, step.VERSION, arguments, inputs.digests)
    prefix = storage.join(arguments.output, key[:16])
    result_uri = storage.join(prefix, RESULT_NAME)
    previous = load_result(result_uri) if storage.exists(result_uri) else None
    if previous is not None and all(map(storage.exists, previous.external_uris)):
        return _receipt(result_uri, previous, Status.CACHED, time.monotonic() - started)

    # From here on, `previous` is a result that cannot be reused: an object outside the step's folder is missing.
    attempt = secrets.token_hex(4)
    log.info("step starts", step=definition.name, key=key[:16], output=prefix)
    with scratch_folder(definition.name) as scratch:
        context = StepContext(
            prefix=prefix,
            attempt=attempt,
            scratch=scratch,
            progress=progress,
            key=key,
            inputs=inputs.digests,
            listing=inputs.listing,
        )
        try:
            with _sigterm(context.on_sigterm):
                output = step.run(arguments, context)
        except Exception:
            # Another attempt may have finished first and deleted shared files, such as checkpoints, that this one used.
            if previous is not None or not storage.exists(result_uri):
                raise
            return _cached_receipt(result_uri, started)

    result = _make_result(definition, step.VERSION, arguments, context, output, started)
    # `result.json` is never overwritten, and must not exist while items are to be tried again.
    if previous is not None or (output.n_retryable and not storage.exists(result_uri)):
        result_uri = storage.join(prefix, f"result-{attempt}.json")
    try:
        storage.write(result_uri, result.to_bytes(), create=True)
    except storage.AlreadyExists:
        return _cached_receipt(result_uri, started)
    return _receipt(result_uri, result, Status.DONE, result.seconds)


def _make_result(
    definition: StepDefinition,
    version: int,
    arguments: StepArguments,
    context: StepContext,
    output: StepOutput,
    started: float,
) -> StepResult:
    return StepResult(
        step=definition.name,
        step_version=version,
        key=context.key,
        arguments=arguments.canonical(),
        inputs=context.inputs,
        outputs=context.outputs,
        items=output.items,
        counts=output.counts,
        metrics=output.metrics,
        labels=output.labels,
        warnings=output.warnings,
        n_retryable=output.n_retryable,
        external_uris=output.external_uris,
        seconds=round(time.monotonic() - started, 3),
        finished_at=datetime.now(UTC),
        code_version=code_version(),
    )


def _cached_receipt(uri: str, started: float) -> Receipt:
    return _receipt(uri, load_result(uri), Status.CACHED, time.monotonic() - started)


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


def _as_step_error(exception: BaseException) -> StepError:
    """Convert any exception to a StepError, so that exit code and receipt agree."""
    if isinstance(exception, StepError):
        return exception
    if storage.is_disk_full(exception):
        return StepError(
            "no space left",
            reason=Reason.DISK_FULL,
            subject=str(exception),
            next_step="free some space, then start again",
        )
    if isinstance(exception, KeyboardInterrupt):
        return Preempted("interrupted")
    if isinstance(exception, MemoryError):
        return StepError("out of memory", reason=Reason.MEMORY_LIMIT, next_step="give the step a larger profile")
    if isinstance(exception, ModuleNotFoundError):
        return Misconfigured(
            str(exception),
            reason=Reason.INVALID_ARGUMENT,
            subject="environment",
            next_step="install the worker extra: pip install 'airscript[worker]'",
        )
    return StepError(f"{type(exception).__name__}: {exception}", reason=Reason.INTERNAL_ERROR)


@contextlib.contextmanager
def _sigterm(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Install `handler` for SIGTERM inside the block.

    In other threads it does nothing: Python allows signal handlers in the main thread only.
    """
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
    """Return the release and, where known, the commit (`AIRSCRIPT_CODE_VERSION` in images, git in a checkout)."""
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
