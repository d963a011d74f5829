"""The life of a step: keys, cached results, receipts, exit codes, and one winner."""

from __future__ import annotations

import errno
import json
import os
import signal
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest
from pydantic import Field

from tasks import storage
from tasks.contract import (
    RESULT_NAME,
    ExitCode,
    InputRejected,
    MappedItem,
    Misconfigured,
    Outcome,
    Preempted,
    Reason,
    Receipt,
    Status,
    StepArguments,
    StepDefinition,
    StepError,
    count_outcomes,
)
from tasks.contract.outcomes import ItemOutcome
from tasks.progress import no_progress
from tasks.step import StepContext, StepOutput, load_result, output_uri, run_step


class ProbeArguments(StepArguments):
    """Arguments of a step for tests."""

    text: str = Field("hello", description="what to write")


@dataclass
class Probe:
    """A step made of a function, with a count of its runs."""

    work: Callable[[ProbeArguments, StepContext], StepOutput]
    VERSION: int = 1
    source: dict[str, str] = field(default_factory=dict)
    runs: int = 0

    def inputs(self, arguments: ProbeArguments) -> dict[str, str]:
        return self.source

    def run(self, arguments: ProbeArguments, context: StepContext) -> StepOutput:
        self.runs += 1
        return self.work(arguments, context)


DEFINITION = StepDefinition("probe", "tasks", ProbeArguments, "probe_step")


def write_text(arguments: ProbeArguments, context: StepContext) -> StepOutput:
    context.publish("text.txt", arguments.text.encode())
    return StepOutput(items=(MappedItem(name="text", path=context.path("text.txt")),), counts={"texts": 1})


@pytest.fixture
def probe(monkeypatch: pytest.MonkeyPatch) -> Probe:
    step = Probe(write_text)
    monkeypatch.setitem(sys.modules, "probe_step", step)
    return step


def run(root: str, **arguments: object) -> Receipt:
    return run_step(DEFINITION, ProbeArguments(output=root, receipt=f"{root}/receipt.json", **arguments), no_progress)


def test_a_second_run_is_cached_and_says_so(probe: Probe, storage_root: str) -> None:
    first, second = run(storage_root), run(storage_root)
    assert (first.status, second.status) == (Status.DONE, Status.CACHED)
    assert probe.runs == 1
    assert first.result == second.result
    assert first.items == second.items
    assert storage.read_bytes(first.items[0].uri) == b"hello"


def test_the_result_lists_outputs_with_size_and_digest(probe: Probe, storage_root: str) -> None:
    receipt = run(storage_root)
    result = load_result(receipt.result)
    artifact = result.outputs["text.txt"]
    uri = output_uri(receipt.result, result, "text.txt")
    assert artifact.bytes == len(storage.read_bytes(uri))
    assert artifact.sha256 == storage.digest(uri)
    assert result.counts == {"texts": 1}


@pytest.mark.parametrize("change", ["argument", "input", "version"])
def test_whatever_determines_the_output_is_in_the_key(probe: Probe, storage_root: str, change: str) -> None:
    before = run(storage_root)
    if change == "input":
        probe.source = {"media": "0123"}
    elif change == "version":
        probe.VERSION = 2
    after = run(storage_root, **({"text": "other"} if change == "argument" else {}))
    assert after.status is Status.DONE
    assert after.result != before.result
    assert storage.exists(before.result)


def test_output_and_receipt_uris_are_not_in_the_key(probe: Probe, storage_root: str) -> None:
    one = run(f"{storage_root}/one")
    two = run(f"{storage_root}/two")
    assert load_result(one.result).key == load_result(two.result).key
    assert load_result(one.result).content_digest == load_result(two.result).content_digest


def test_of_two_attempts_one_wins_and_both_return_its_result(probe: Probe, storage_root: str) -> None:
    gate = threading.Barrier(2)

    def race(arguments: ProbeArguments, context: StepContext) -> StepOutput:
        context.publish("text.txt", context.attempt.encode())
        gate.wait()
        return StepOutput(labels={"attempt": context.attempt})

    probe.work = race
    receipts: list[Receipt] = []

    def attempt(name: str) -> None:
        arguments = ProbeArguments(output=storage_root, receipt=f"{storage_root}/{name}.json")
        receipts.append(run_step(DEFINITION, arguments, no_progress))

    threads = [threading.Thread(target=attempt, args=(name,)) for name in ("a", "b")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(receipt.status for receipt in receipts) == [Status.CACHED, Status.DONE]
    assert receipts[0].labels == receipts[1].labels
    result = load_result(receipts[0].result)
    winner = storage.read_bytes(output_uri(receipts[0].result, result, "text.txt"))
    assert winner.decode() == result.labels["attempt"]


@pytest.mark.parametrize(
    ("fault", "exit_code", "reason"),
    [
        (InputRejected("no audio", reason=Reason.NO_AUDIO_TRACK, subject="a.mp4"), 65, Reason.NO_AUDIO_TRACK),
        (Misconfigured("bad", reason=Reason.INVALID_ARGUMENT), 78, Reason.INVALID_ARGUMENT),
        (Preempted(), 75, Reason.PREEMPTED),
        (KeyboardInterrupt(), 75, Reason.PREEMPTED),
        (ZeroDivisionError("x"), 70, Reason.INTERNAL_ERROR),
        (MemoryError(), 70, Reason.MEMORY_LIMIT),
        (OSError(errno.ENOSPC, "No space left on device"), 70, Reason.DISK_FULL),
    ],
)
def test_a_failure_has_an_exit_code_a_reason_and_a_receipt(
    probe: Probe, tmp_path: object, storage_root: str, fault: BaseException, exit_code: int, reason: Reason
) -> None:
    def fail(arguments: ProbeArguments, context: StepContext) -> StepOutput:
        context.publish("half.txt", b"half")
        raise fault

    probe.work = fail
    with pytest.raises(StepError) as caught:
        run(storage_root)
    assert caught.value.exit_code == exit_code
    receipt = Receipt.model_validate_json(storage.read_bytes(f"{storage_root}/receipt.json"))
    assert (receipt.status, receipt.exit_code, receipt.reason) == (Status.FAILED, exit_code, reason)
    assert not any(item.uri.endswith(RESULT_NAME) for item in storage.list_objects(storage_root))


def test_after_a_failure_the_step_runs_again(probe: Probe, storage_root: str) -> None:
    probe.work = lambda arguments, context: (_ for _ in ()).throw(RuntimeError("once"))
    with pytest.raises(StepError, match="RuntimeError: once"):
        run(storage_root)
    probe.work = write_text
    assert run(storage_root).status is Status.DONE


def test_a_result_with_retryable_items_is_usable_but_not_cached(probe: Probe, storage_root: str) -> None:
    def spoiled(arguments: ProbeArguments, context: StepContext) -> StepOutput:
        context.publish("text.txt", f"half {probe.runs}".encode())
        return StepOutput(n_retryable=1)

    probe.work = spoiled
    first, second = run(storage_root), run(storage_root)
    assert (first.status, second.status) == (Status.DONE, Status.DONE)
    for number, receipt in enumerate((first, second), start=1):
        result = load_result(receipt.result)
        assert result.n_retryable == 1
        assert json.loads(storage.read_bytes(receipt.result))["faults"] == 1
        assert storage.read_bytes(output_uri(receipt.result, result, "text.txt")) == f"half {number}".encode()
    probe.work = write_text
    third = run(storage_root)
    assert (third.status, load_result(third.result).n_retryable) == (Status.DONE, 0)
    assert run(storage_root).result == third.result
    assert probe.runs == 3


def test_a_complete_result_wins_over_one_with_retryable_items(probe: Probe, storage_root: str) -> None:
    """Another attempt completes while an item of this one fails."""

    def overtaken(arguments: ProbeArguments, context: StepContext) -> StepOutput:
        probe.work = write_text
        run(storage_root)
        return StepOutput(n_retryable=1)

    probe.work = overtaken
    receipt = run(storage_root)
    assert receipt.status is Status.CACHED
    assert load_result(receipt.result).n_retryable == 0


def test_sigterm_stops_a_step_that_saves_nothing(probe: Probe, storage_root: str) -> None:
    def wait(arguments: ProbeArguments, context: StepContext) -> StepOutput:
        os.kill(os.getpid(), signal.SIGTERM)
        threading.Event().wait(5)
        raise AssertionError("SIGTERM did not stop the step")

    probe.work = wait
    with pytest.raises(Preempted):
        run(storage_root)


def test_sigterm_lets_a_graceful_step_finish_saving(probe: Probe, storage_root: str) -> None:
    def train(arguments: ProbeArguments, context: StepContext) -> StepOutput:
        with context.graceful() as stop:
            os.kill(os.getpid(), signal.SIGTERM)
            assert stop.wait(5)
            storage.write(f"{context.prefix}/checkpoints/manifest.json", b"{}")
        raise Preempted

    probe.work = train
    with pytest.raises(Preempted) as caught:
        run(storage_root)
    assert caught.value.exit_code is ExitCode.PREEMPTED
    assert any("checkpoints/manifest.json" in item.uri for item in storage.list_objects(storage_root))


def test_scratch_is_removed_even_after_a_failure(probe: Probe, storage_root: str) -> None:
    seen = SimpleNamespace(path=None)

    def fail(arguments: ProbeArguments, context: StepContext) -> StepOutput:
        seen.path = context.scratch
        (context.scratch / "big.wav").write_bytes(b"x")
        raise RuntimeError

    probe.work = fail
    with pytest.raises(StepError):
        run(storage_root)
    assert not seen.path.exists()


def test_a_missing_result_means_the_step_has_not_run(storage_root: str) -> None:
    with pytest.raises(InputRejected, match="has not run"):
        load_result(f"{storage_root}/scan/0123/result.json")


def test_a_torn_result_is_refused(storage_root: str) -> None:
    uri = f"{storage_root}/result.json"
    storage.write(uri, json.dumps({"step": "probe"}).encode()[:-3])
    with pytest.raises(InputRejected) as caught:
        load_result(uri)
    assert caught.value.reason is Reason.CORRUPT


def test_outcomes_are_counted_by_reason() -> None:
    outcomes = [
        ItemOutcome(item="a", outcome=Outcome.DONE),
        ItemOutcome(item="b", outcome=Outcome.REJECTED, reason=Reason.EMPTY),
        ItemOutcome(item="c", outcome=Outcome.REJECTED, reason=Reason.EMPTY),
    ]
    assert count_outcomes(outcomes) == {"done": 1, "rejected": 2, "rejected:empty": 2}
