"""Several processes on one run take the steps that one process would take with the whole batch."""

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
from tasks.contract.arguments import PresetName
from tasks.progress import no_progress
from tests.training.tones import write_dataset, write_wav2vec2_bert
from training.finetuning.distribution import Peers, peers_of
from training.finetuning.loop import weights_of
from training.finetuning.recipe import load_preset
from training.finetuning.session import Session, Trained, follow, train

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

STEPS = 6


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_dataset(tmp_path_factory.mktemp("data"), n_train=14, n_test=3, features="wav2vec2-bert")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Without dropout, whose numbers are each process's own, and without batch normalisation."""
    folder = write_wav2vec2_bert(tmp_path_factory.mktemp("base") / "model")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "final_dropout": 0.0, "conformer_conv_dropout": 0.0}))
    return folder


def session(dataset: str, base: Path, folder: Path, attempt: str) -> Session:
    """Batches of three or so utterances, the second of a single one: in it, one of two processes has no share."""
    recipe = load_preset(PresetName.DEMO).recipe.model_copy(
        update={"steps": STEPS, "batch_seconds": 6.0, "validations": 2, "speed_share": 0.5, "noise_share": 0.5}
    )
    scratch = folder / f"scratch-{attempt}"
    scratch.mkdir(parents=True)
    return Session(dataset, base, recipe, storage.file_uri(folder / "checkpoints"), attempt, scratch)


@pytest.fixture(scope="module")
def alone(dataset: str, base: Path, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    torch.set_num_threads(1)
    one = session(dataset, base, tmp_path_factory.mktemp("alone"), "a")
    return train(one, Peers(), metrics=ignore, progress=no_progress, stop=Event())


@pytest.fixture(autouse=True)
def group_taken_apart() -> Iterator[None]:
    """Rank 0 leaves it after a fault, for its process ends."""
    yield
    if distributed.is_initialized():
        distributed.destroy_process_group()


def ignore(step: int, figures: dict[str, float]) -> None:
    pass


def assert_same(found: Trained, expected: Trained) -> None:
    assert found.state.losses == pytest.approx(expected.state.losses, rel=1e-4)
    assert found.state.wers == expected.state.wers
    assert found.state.position == expected.state.position
    assert found.state.audio_s == pytest.approx(expected.state.audio_s)
    theirs = weights_of(expected.model.module)
    for name, tensor in weights_of(found.model.module).items():
        torch.testing.assert_close(tensor, theirs[name], atol=2e-4, rtol=1e-3)


def test_two_processes_are_as_one_also_after_a_stop(
    dataset: str, base: Path, tmp_path: Path, alone: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two processes are stopped half-way; two go on, and save; one makes the rest."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    stop = Event()

    def stop_after(step: int, figures: dict[str, float]) -> None:
        if step == 2 and "loss" in figures:
            stop.set()

    first = session(dataset, base, tmp_path, "first")
    with pytest.raises(Preempted, match="after step 2 of 6"), peers_of(2, follow, first) as peers:
        train(first, peers, metrics=stop_after, progress=no_progress, stop=stop)
    second = session(dataset, base, tmp_path, "second")
    with peers_of(2, follow, second) as peers:
        together = train(second, peers, metrics=ignore, progress=no_progress, stop=Event())
    assert_same(together, alone)
    assert not list((second.scratch / "rank-1").iterdir()), "only rank 0 writes"

    storage.delete(f"{second.checkpoints}/step-{STEPS:08d}-second/manifest.json")
    third = session(dataset, base, tmp_path, "third")
    rest = train(third, Peers(), metrics=ignore, progress=no_progress, stop=Event())
    assert_same(rest, alone)


def test_a_process_that_dies_ends_the_run(base: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """It joins, finds no dataset, and dies; rank 0 does not wait for it."""
    lost = session(storage.file_uri(tmp_path / "manifest.json"), base, tmp_path, "lost")
    with pytest.raises(RuntimeError), peers_of(2, follow, lost) as peers:
        peers.sum(1.0)
    assert "no such object" in capfd.readouterr().err


def be_stopped(peers: Peers) -> None:
    peers.told(None)
    raise Preempted


def test_the_others_wait_for_what_rank_0_saves_when_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long: a process that ended before would count as dead, and end the run."""
    exits: list[int] = []
    monkeypatch.setattr("training.finetuning.distribution.LAST_WORDS_S", 0.5)
    monkeypatch.setattr("training.finetuning.distribution.os._exit", exits.append)

    def save() -> None:
        with peers_of(2, be_stopped) as peers:
            peers.told(None)
            time.sleep(4)
            assert multiprocessing.active_children()
            raise Preempted

    with pytest.raises(Preempted):
        save()
    assert not exits
    assert not multiprocessing.active_children()


def wait_for_ever() -> None:
    """What taking NCCL's group apart does where a process of it does not come."""
    Event().wait()


def fail(peers: Peers) -> None:
    distributed.destroy_process_group = wait_for_ever
    raise Misconfigured("too large", reason=Reason.INVALID_ARGUMENT)


def test_a_fault_waits_for_no_other_process(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(RuntimeError), peers_of(2, fail) as peers:
        peers.sum(1.0)
    assert "Misconfigured: too large" in capfd.readouterr().err


def test_where_rank_0_does_not_hear_of_a_fault_it_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the code that says why: a wrong setting is not tried again."""
    exits: list[int] = []
    monkeypatch.setattr("training.finetuning.distribution.LAST_WORDS_S", 0.0)
    ended = Event()
    monkeypatch.setattr("training.finetuning.distribution.os._exit", lambda code: (exits.append(code), ended.set()))

    def hear_nothing() -> None:
        with peers_of(2, fail):
            assert ended.wait(60)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        hear_nothing()
    assert exits[0] == ExitCode.MISCONFIGURED


def wait_for_word(peers: Peers) -> None:
    peers.told(None)


def test_a_fault_of_rank_0_ends_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distributed, "destroy_process_group", wait_for_ever)
    with pytest.raises(ZeroDivisionError), peers_of(2, wait_for_word):
        print(1 / 0)
    assert not multiprocessing.active_children()
