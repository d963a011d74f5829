"""The train step under a real SIGTERM: it saves, exits with 75, and resumes in the same MLflow run."""

from __future__ import annotations

import itertools
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tasks import storage
from tasks.contract import STEPS, ExitCode, Preempted, Reason, Receipt, StepError
from tasks.step import run_step
from training.registry import tracking

pytestmark = pytest.mark.timeout(900)  # its fixtures train a model: minutes where cores are shared


STEP_COUNT = 9


class TermAt:
    """A progress hook that sends SIGTERM at a step, as Kubernetes would."""

    def __init__(self, step: int) -> None:
        self.step, self.seen = step, []

    def __call__(self, stage: str, completed: float, total: float | None, unit: str = "", detail: str = "") -> None:
        if stage == "train":
            self.seen.append(int(completed))
            if completed == self.step:
                os.kill(os.getpid(), signal.SIGTERM)


def train(folder: Path, dataset: str, base: Path, progress: TermAt, **more: object) -> Receipt:
    definition = STEPS["train"]
    arguments = definition.arguments(
        output=storage.file_uri(folder / "work"),
        receipt=storage.file_uri(folder / "receipt.json"),
        dataset=dataset,
        base=str(base),
        steps=STEP_COUNT,
        batch_seconds=8.0,
        learning_rate=1e-3,
        **more,
    )
    return run_step(definition, arguments, progress)


def test_sigterm_saves_and_the_next_attempt_resumes(
    dataset: str, base_model: Path, tmp_path: Path, mlflow_store: str
) -> None:
    with pytest.raises(Preempted, match="after step 4 of 9") as raised:
        train(tmp_path, dataset, base_model, TermAt(4))
    assert raised.value.exit_code == ExitCode.PREEMPTED == 75
    failed = Receipt.model_validate_json((tmp_path / "receipt.json").read_bytes())
    assert (failed.exit_code, failed.reason) == (75, Reason.PREEMPTED)
    client = tracking.connect()
    (experiment,) = [e for e in client.search_experiments() if e.name == "acoustic-model"]
    (mlflow_run,) = client.search_runs([experiment.experiment_id])
    assert mlflow_run.info.status == "KILLED"

    second = TermAt(-1)
    done = train(tmp_path, dataset, base_model, second)
    assert second.seen == [5, 6, 7, 8, 9]
    assert done.labels["mlflow_run"] == mlflow_run.info.run_id
    assert len(client.search_runs([experiment.experiment_id])) == 1
    assert client.get_run(mlflow_run.info.run_id).info.status == "FINISHED"
    steps = sorted(metric.step for metric in client.get_metric_history(mlflow_run.info.run_id, "loss"))
    assert steps == list(range(1, STEP_COUNT + 1))


def interrupting(function: Callable[..., Any], at: int, finished: list[int]) -> Callable[..., Any]:
    """Send SIGTERM before a call of `function`, counted from 1; `finished` gets the calls that ended."""
    calls = itertools.count(1)

    def interrupted(*arguments: Any, **options: Any) -> Any:
        if (call := next(calls)) == at:
            os.kill(os.getpid(), signal.SIGTERM)
        found = function(*arguments, **options)
        finished.append(call)
        return found

    return interrupted


def test_sigterm_is_answered_at_once_where_nothing_would_be_lost(
    dataset: str, base_model: Path, tmp_path: Path, mlflow_store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the model loads, in the first step, and in a step after a checkpoint: a step may take minutes."""
    from training.finetuning import loop, session

    monkeypatch.setattr(loop, "CHECKPOINT_EVERY_S", 0.0)
    monkeypatch.setattr(loop, "CHECKPOINT_TIME_SHARE", 1e9)
    for owner, name, at in (
        (session, "load_acoustic_model", 1),
        (loop.Trainer, "take_step", 1),
        (loop.Trainer, "take_step", 4),
    ):
        finished: list[int] = []
        with monkeypatch.context() as patched:
            patched.setattr(owner, name, interrupting(getattr(owner, name), at, finished))
            with pytest.raises(Preempted) as raised:
                train(tmp_path, dataset, base_model, TermAt(-1))
        assert raised.value.exit_code == 75
        assert at not in finished, f"{name} was waited for"
    last = TermAt(-1)
    train(tmp_path, dataset, base_model, last)
    assert last.seen == list(range(4, STEP_COUNT + 1))


def test_a_tracking_server_outage_at_a_resume_is_a_fault_not_a_misconfiguration(
    dataset: str, base_model: Path, tmp_path: Path, mlflow_store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A misconfiguration is not retried; a preempted run must be."""
    with pytest.raises(Preempted):
        train(tmp_path, dataset, base_model, TermAt(2))
    monkeypatch.setattr(tracking, "CONNECT_ATTEMPTS", 1)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(StepError, match="MLflow does not answer") as raised:
        train(tmp_path, dataset, base_model, TermAt(-1))
    assert raised.value.exit_code == ExitCode.FAULT


def test_divergence_ends_the_run_and_keeps_the_last_good_checkpoint(
    dataset: str, base_model: Path, tmp_path: Path, mlflow_store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from training.finetuning import loop

    monkeypatch.setattr(loop, "CHECKPOINT_EVERY_S", 0.0)
    monkeypatch.setattr(loop, "CHECKPOINT_TIME_SHARE", 1e9)
    original = loop.Trainer.take_step

    def poisoned(self: loop.Trainer, batch: object) -> float:
        if self.state.step == 3:
            with loop.torch.no_grad():
                next(self.model.module.parameters()).fill_(float("nan"))
        return original(self, batch)

    monkeypatch.setattr(loop.Trainer, "take_step", poisoned)
    with pytest.raises(StepError, match="3 steps in a row") as raised:
        train(tmp_path, dataset, base_model, TermAt(-1))
    assert (raised.value.reason, raised.value.exit_code) == (Reason.DIVERGED, ExitCode.MISCONFIGURED)  # no retry
    client = tracking.connect()
    (experiment,) = [e for e in client.search_experiments() if e.name == "acoustic-model"]
    (ended,) = client.search_runs([experiment.experiment_id])
    assert ended.info.status == "FAILED"
    assert "3 steps in a row" in ended.data.tags["airscript.ended_because"]
    (prefix,) = [p for p in (tmp_path / "work").iterdir() if p.is_dir()]
    kept = loop.Checkpoints(storage.file_uri(prefix / "checkpoints"), "x", tmp_path)
    newest = kept.newest()
    assert newest is not None
    assert all(loop.torch.isfinite(tensor).all() for tensor in kept.weights(newest).values())
