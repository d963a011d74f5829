"""Several processes take the same steps as a single process with the whole batch."""

from __future__ import annotations

import json
import multiprocessing
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Event

import pytest
import torch
from torch import distributed

from tasks import storage
from tasks.contract import ExitCode, Misconfigured, Preempted, Reason
from tasks.contract.recipe import PresetName
from tasks.progress import no_progress
from tests.training.tones import write_dataset, write_wav2vec2_bert
from training.finetuning.distribution import ProcessGroup, launch_group
from training.finetuning.loop import weights_of
from training.finetuning.recipe import load_preset
from training.finetuning.session import RunSettings, TrainingResult, run_session, run_worker

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

STEPS = 6


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_dataset(tmp_path_factory.mktemp("data"), n_train=14, n_test=3, features="wav2vec2-bert")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base without dropout, which differs by rank, and without batch normalisation."""
    folder = write_wav2vec2_bert(tmp_path_factory.mktemp("base") / "model")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "final_dropout": 0.0, "conformer_conv_dropout": 0.0}))
    return folder


def make_settings(dataset: str, base: Path, folder: Path, attempt: str) -> RunSettings:
    """Batches of about three utterances; the second has one, so that one of two ranks has an empty share."""
    recipe = load_preset(PresetName.DEMO).recipe.model_copy(
        update={"steps": STEPS, "batch_seconds": 6.0, "validations": 2, "speed_share": 0.5, "noise_share": 0.5}
    )
    scratch = folder / f"scratch-{attempt}"
    scratch.mkdir(parents=True)
    return RunSettings(dataset, base, recipe, storage.file_uri(folder / "checkpoints"), attempt, scratch)


@pytest.fixture(scope="module")
def alone(dataset: str, base: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainingResult:
    torch.set_num_threads(1)
    one = make_settings(dataset, base, tmp_path_factory.mktemp("alone"), "a")
    return run_session(one, ProcessGroup(), log_metrics=ignore, progress=no_progress, stop=Event())


@pytest.fixture(autouse=True)
def destroyed_group() -> Iterator[None]:
    """After a fault rank 0 does not leave the group, as its process would end."""
    yield
    if distributed.is_initialized():
        distributed.destroy_process_group()


def ignore(step: int, figures: dict[str, float]) -> None:
    pass


def assert_same(found: TrainingResult, expected: TrainingResult) -> None:
    assert found.state.losses == pytest.approx(expected.state.losses, rel=1e-4)
    assert found.state.wers == expected.state.wers
    assert found.state.position == expected.state.position
    assert found.state.audio_s == pytest.approx(expected.state.audio_s)
    theirs = weights_of(expected.model.module)
    for name, tensor in weights_of(found.model.module).items():
        torch.testing.assert_close(tensor, theirs[name], atol=2e-4, rtol=1e-3)


def test_two_processes_equal_one_even_after_a_stop(
    dataset: str, base: Path, tmp_path: Path, alone: TrainingResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two processes are stopped half-way; two resume and save; one finishes."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    stop = Event()

    def stop_after(step: int, figures: dict[str, float]) -> None:
        if step == 2 and "loss" in figures:
            stop.set()

    first = make_settings(dataset, base, tmp_path, "first")
    with pytest.raises(Preempted, match="after step 2 of 6"), launch_group(2, run_worker, first) as group:
        run_session(first, group, log_metrics=stop_after, progress=no_progress, stop=stop)
    second = make_settings(dataset, base, tmp_path, "second")
    with launch_group(2, run_worker, second) as group:
        together = run_session(second, group, log_metrics=ignore, progress=no_progress, stop=Event())
    assert_same(together, alone)
    assert not list((second.scratch / "rank-1").iterdir()), "only rank 0 writes"

    storage.delete(f"{second.checkpoints}/step-{STEPS:08d}-second/manifest.json")
    third = make_settings(dataset, base, tmp_path, "third")
    rest = run_session(third, ProcessGroup(), log_metrics=ignore, progress=no_progress, stop=Event())
    assert_same(rest, alone)


def test_a_process_that_dies_ends_the_run(base: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A worker joins, finds no dataset, and dies; rank 0 does not wait for it."""
    lost = make_settings(storage.file_uri(tmp_path / "manifest.json"), base, tmp_path, "lost")
    with pytest.raises(RuntimeError), launch_group(2, run_worker, lost) as group:
        group.sum(1.0)
    assert "no such object" in capfd.readouterr().err


def preempted_worker(group: ProcessGroup) -> None:
    group.broadcast(None)
    raise Preempted


def test_workers_wait_for_rank_0_to_save_when_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long it takes: a worker that exited earlier would count as dead, and end the run."""
    exits: list[int] = []
    monkeypatch.setattr("training.finetuning.distribution.EXIT_GRACE_S", 0.5)
    monkeypatch.setattr("training.finetuning.distribution.os._exit", exits.append)

    def save() -> None:
        with launch_group(2, preempted_worker) as group:
            group.broadcast(None)
            time.sleep(4)
            assert multiprocessing.active_children()
            raise Preempted

    with pytest.raises(Preempted):
        save()
    assert not exits
    assert not multiprocessing.active_children()


def hang() -> None:
    """Like destroying an NCCL group while a rank is missing."""
    Event().wait()


def failing_worker(group: ProcessGroup) -> None:
    distributed.destroy_process_group = hang
    raise Misconfigured("too large", reason=Reason.INVALID_ARGUMENT)


def test_a_fault_does_not_wait_for_other_processes(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(RuntimeError), launch_group(2, failing_worker) as group:
        group.sum(1.0)
    assert "Misconfigured: too large" in capfd.readouterr().err


def test_rank_0_is_ended_when_a_worker_fault_does_not_reach_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the worker's exit code: a misconfiguration is not retried."""
    exits: list[int] = []
    monkeypatch.setattr("training.finetuning.distribution.EXIT_GRACE_S", 0.0)
    ended = Event()
    monkeypatch.setattr("training.finetuning.distribution.os._exit", lambda code: (exits.append(code), ended.set()))

    def wait_outside_collectives() -> None:
        with launch_group(2, failing_worker):
            assert ended.wait(60)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        wait_outside_collectives()
    assert exits[0] == ExitCode.MISCONFIGURED


def waiting_worker(group: ProcessGroup) -> None:
    group.broadcast(None)


def test_a_fault_of_rank_0_ends_the_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distributed, "destroy_process_group", hang)
    with pytest.raises(ZeroDivisionError), launch_group(2, waiting_worker):
        print(1 / 0)
    assert not multiprocessing.active_children()
