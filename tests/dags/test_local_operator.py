"""The local operator with real processes: results, failure types, cancellation."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from dags.common.failures import (
    StepFailed,
    StepInputRejected,
    StepMisconfigured,
    StepOutOfMemory,
    StepPreempted,
)
from dags.common.local import LocalStepOperator, parse_log_line
from dags.common.receipts import read_receipt
from dags.common.step import step
from tasks.contract import Receipt, ReceiptItem, Status, progress_uri

Run = Callable[[Any, dict[str, Any]], Any]
Contexts = Callable[..., dict[str, Any]]


@pytest.fixture
def scan(step_worker: object) -> LocalStepOperator:
    task = step("scan-corpus", media="s3://media", shards=2)
    assert isinstance(task, LocalStepOperator)
    return task


def test_a_step_runs_and_is_cached_the_second_time(scan: Any, task_context: Contexts, run_task: Run) -> None:
    first, second = task_context(scan), task_context(scan)
    items = run_task(scan, first)
    assert [item["name"] for item in items] == ["part-0", "part-1"]
    assert all(item["uri"].startswith("file://") for item in items)
    assert first["ti"].pushed["status"] == "done"
    assert first["ti"].pushed["counts"] == {"things": 2}
    assert first["ti"].pushed["model"] == "models:/acoustic-model/1"

    assert run_task(scan, second) == items
    assert second["ti"].pushed["status"] == "cached"
    assert second["ti"].pushed["result"] == first["ti"].pushed["result"]


def test_the_log_sums_up_the_step_in_one_line(
    step_worker: Callable[..., None], task_context: Contexts, run_task: Run
) -> None:
    step_worker(prepare_corpus="warn")
    task = step("prepare-corpus", shard="s3://shard", item="shard-00001")
    with capture_logs() as entries:
        result = run_task(task, task_context(task, map_index=1))
    assert result.endswith("/result.json")
    lines = {(entry["log_level"], entry["event"] % entry.get("positional_args", ())) for entry in entries}
    assert ("warning", "one file was quarantined") in lines
    assert any(
        level == "info" and line.startswith("done: prepare-corpus shard-00001 in ") and "things=1" in line
        for level, line in lines
    )


@pytest.mark.parametrize(
    ("behaviour", "failure", "reason"),
    [
        ("reject", StepInputRejected, "a.wav: no audio in it"),
        ("misconfigure", StepMisconfigured, "no such model family"),
        ("preempted", StepPreempted, "stopped on request"),
        ("memory", StepOutOfMemory, "out of memory"),
        ("fault", StepFailed, "RuntimeError: a bug"),
        ("die", StepPreempted, "killed by signal 9"),
        ("silent", StepFailed, "receipt is missing"),
    ],
)
def test_each_failure_has_its_type(
    scan: Any,
    step_worker: Callable[..., None],
    task_context: Contexts,
    run_task: Run,
    behaviour: str,
    failure: type[Exception],
    reason: str,
) -> None:
    step_worker(scan_corpus=behaviour)
    with pytest.raises(failure, match=reason) as caught:
        run_task(scan, task_context(scan))
    assert type(caught.value) is failure


@pytest.mark.parametrize("behaviour", ["die", "silent"])
def test_an_earlier_attempts_receipt_is_not_used(
    scan: Any, step_worker: Callable[..., None], task_context: Contexts, run_task: Run, behaviour: str
) -> None:
    context = task_context(scan)
    run_task(scan, context)
    assert read_receipt(scan.receipt_uri(context))
    scan.step_arguments = scan.step_arguments | {"shards": 3}  # other work, so nothing is cached
    step_worker(scan_corpus=behaviour)
    with pytest.raises((StepFailed, StepPreempted)):
        run_task(scan, context)
    assert read_receipt(scan.receipt_uri(context)) is None


@pytest.mark.parametrize("behaviour", ["sleep", "save"])
def test_cancelling_stops_the_step_and_fails_the_task(
    scan: Any, step_worker: Callable[..., None], task_context: Contexts, run_task: Run, behaviour: str
) -> None:
    step_worker(scan_corpus=behaviour)
    context = task_context(scan)

    relay_line = scan.relay_line

    def cancel_when_asleep(line: str) -> None:
        relay_line(line)
        if line == "asleep":
            threading.Thread(target=scan.on_kill).start()

    scan.relay_line = cancel_when_asleep
    started = time.monotonic()
    with pytest.raises(StepPreempted, match="stopped on request"):
        run_task(scan, context)
    assert time.monotonic() - started < 300  # the step sleeps twice as long
    receipt = read_receipt(scan.receipt_uri(context))
    assert receipt
    assert receipt.status is Status.FAILED
    assert receipt.exit_code == 75


def test_an_invalid_argument_starts_no_process(scan: Any, task_context: Contexts, run_task: Run) -> None:
    scan.step_arguments = {"media": "s3://media", "shards": "many"}
    with pytest.raises(StepMisconfigured, match="shards='many'"):
        run_task(scan, task_context(scan))
    assert scan.process is None


@pytest.mark.parametrize(
    ("outputs", "expected"),
    [
        (["a", "b"], ("a", "b")),
        ("a", ("a",)),  # one mapped task
        (None, ()),  # none
        ([None], ()),
        (["a", None], ("a",)),
        (iter(["a"]), ("a",)),
    ],
)
def test_outputs_of_mapped_tasks_as_airflow_gives_them(
    environment: object, task_context: Contexts, outputs: Any, expected: tuple[str, ...]
) -> None:
    report: Any = step("report-night", plan="p", transcripts="t", published=outputs)
    assert report.validate_arguments(task_context(report)).published == expected


def test_a_step_does_not_inherit_airflows_secrets(
    scan: Any,
    step_worker: Callable[..., None],
    task_context: Contexts,
    run_task: Run,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    step_worker(scan_corpus="environment")
    monkeypatch.setenv("AIRFLOW__CORE__FERNET_KEY", "secret")
    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", "secret")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://mlflow")
    lines: list[str] = []
    scan.relay_line = lines.append
    run_task(scan, task_context(scan))
    names = next(line for line in lines if line.startswith("names:")).split()
    assert "MLFLOW_TRACKING_URI" in names
    assert not [name for name in names if name.startswith(("AIRFLOW__", "AIRFLOW_CONN"))]


def test_a_label_no_skips_the_task_and_emits_no_asset_event(
    step_worker: Callable[..., None], task_context: Contexts, run_task: Run, tmp_path: Path
) -> None:
    from airflow.sdk import Asset
    from airflow.sdk.exceptions import AirflowSkipException

    asset = Asset("champion")
    task = step("promote-model", registered="a", comparison="b", outlets=[asset], skip_if_label_is_no="promoted")
    context = task_context(task)
    run_task(task, context)
    assert context["outlet_events"][asset].extra["model"] == "models:/acoustic-model/1"
    step_worker(promote_model="keep")
    task.step_arguments = task.step_arguments | {"promote": "no"}
    with pytest.raises(AirflowSkipException, match="promoted: no"):
        run_task(task, task_context(task))


def test_a_receipts_uri_has_run_task_and_map_index(scan: Any, task_context: Contexts, tmp_path: Path) -> None:
    runs = (tmp_path / "home" / "storage" / "runs" / "corpus" / "a_dag" / "manual__2026-01-02T03-04-05-00-00").as_uri()
    assert scan.receipt_uri(task_context(scan)) == f"{runs}/scan_corpus.json"
    assert scan.receipt_uri(task_context(scan, map_index=3)) == f"{runs}/scan_corpus-3.json"
    assert progress_uri(f"{runs}/scan_corpus.json") == f"{runs}/scan_corpus.progress.json"


@pytest.mark.parametrize(
    ("step_name", "result"),
    [
        ("scan-corpus", "work/train/k/result.json"),
        ("scan-corpus", "work/scan-corpus/../train/k/result.json"),
        ("scan-corpus", "work/scan-corpus/%2e%2e/train/k/result.json"),
        ("publish", "work/scan-corpus/k/result.json"),
    ],
)
def test_a_receipt_that_names_what_other_steps_wrote_is_a_failure(
    scan: Any, task_context: Contexts, step_name: str, result: str
) -> None:
    storage = scan.output_prefix.removesuffix("work/scan-corpus")
    own = Receipt(step="scan-corpus", status=Status.DONE, result=f"{storage}work/scan-corpus/k/result.json")
    assert scan.conclude(task_context(scan), own) == []
    with pytest.raises(StepFailed, match="not below"):
        scan.conclude(task_context(scan), own.model_copy(update={"step": step_name, "result": storage + result}))
    stolen = ReceiptItem(name="part-0", uri=storage + "work/train/k/part-0")
    with pytest.raises(StepFailed, match="train/k/part-0"):
        scan.conclude(task_context(scan), own.model_copy(update={"items": (stolen,)}))


def test_storage_in_a_folder_with_a_space(
    environment: Callable[..., None], step_worker: object, tmp_path: Path, task_context: Contexts, run_task: Run
) -> None:
    environment(AIRSCRIPT_STORAGE=str(tmp_path / "my storage, 100 % ü"))
    scan = step("scan-corpus", media="s3://media")
    assert len(run_task(scan, task_context(scan))) == 2


@pytest.mark.parametrize(
    ("line", "level", "text"),
    [
        ('{"event": "progress", "level": "info", "done": "3/4", "timestamp": "x"}', logging.INFO, "progress done=3/4"),
        ('{"event": "slow", "level": "warning"}', logging.WARNING, "slow"),
        ('{"level": "error"}', logging.INFO, '{"level": "error"}'),
        ('{"event": "odd", "level": "shout"}', logging.INFO, "odd"),
        ("{broken", logging.INFO, "{broken"),
        ("Traceback (most recent call last):", logging.INFO, "Traceback (most recent call last):"),
        ("", logging.INFO, ""),
    ],
)
def test_log_lines_of_a_step_are_parsed(line: str, level: int, text: str) -> None:
    assert parse_log_line(line) == (level, text)
